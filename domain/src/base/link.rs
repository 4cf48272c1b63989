//! The service's public URL, and the path of each of its pages. Paths are written only here: for the API's routes,
//! forms and redirects, and for the links in the worker's emails.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::Deserialize;
use url::{Host, Url};

/// The URL at which people reach the service. It may have a path, which a proxy strips: every link, form, redirect and
/// cookie includes it, but no route does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PublicUrl(Url);

/// Why a text isn't a public URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "ROLLCALL_PUBLIC_URL {0}; set it to where people reach the service, such as https://example.org or https://example.org/rollcall"
)]
pub struct PublicUrlError(&'static str);

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, PublicUrlError> {
        let mut url = match Url::parse(text.trim()) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => url,
            // Without a scheme, a host name followed by a port looks like a scheme.
            Ok(_) | Err(url::ParseError::RelativeUrlWithoutBase) => {
                return Err(PublicUrlError("must begin with https:// or http://"));
            }
            Err(_) => return Err(PublicUrlError("isn't a web address")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(PublicUrlError("must not hold a user name or password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(PublicUrlError("must end with its path, without ? or #"));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        // The path is used in the attributes of cookies. A second slash at its start would lead to another host.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%".contains(&byte);
        if path.contains("//") || !path.bytes().all(is_plain) {
            return Err(PublicUrlError("must have a path of letters, digits, - . _ ~ and single slashes"));
        }
        url.set_path(&path);
        Ok(Self(url))
    }
}

impl TryFrom<String> for PublicUrl {
    type Error = PublicUrlError;

    fn try_from(text: String) -> Result<Self, PublicUrlError> {
        text.parse()
    }
}

impl fmt::Display for PublicUrl {
    /// The URL, without a slash at its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// Whether a URL leads to the machine on which it is opened.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl PublicUrl {
    /// The URL of a service that is reached only on this machine.
    pub(crate) fn of_listener(address: SocketAddr) -> Result<Self, PublicUrlError> {
        format!("http://{address}").parse()
    }

    /// The path that all paths of the service begin with: empty, or for example `/rollcall`.
    pub fn base_path(&self) -> &str {
        self.0.path().trim_end_matches('/')
    }

    /// The Origin header that browsers send from our pages.
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// Whether pages are served over HTTPS, so that cookies can require it.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether the URL leads to the machine on which it is opened.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.0)
    }

    /// The path of a page as browsers request it.
    pub fn path(&self, route: Route<'_>) -> String {
        format!("{}{}", self.base_path(), route.path())
    }

    /// The full URL of a page, for example for an email.
    pub fn link(&self, route: Route<'_>) -> Url {
        let mut url = self.0.clone();
        url.set_path(&self.path(route));
        url
    }
}

/// Everything that has a path. Tokens and names are inserted as given, so that `{token}` produces the template of a
/// route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    /// The playground, which is the start page.
    Playground,
    /// A file of the playground, with its version and name.
    PlaygroundFile(&'a str, &'a str),
    /// The stylesheet of the pages.
    Style,
    /// The API.
    Graphql,
    /// The form that requests a sign-in email.
    SignIn,
    /// The form that takes the six digits from the sign-in email.
    SignInCode,
    /// The link in the sign-in email, with its token.
    SignInLink(&'a str),
    /// The form that ends the session on this device.
    SignOut,
    /// The account, and the devices on which it is signed in.
    Account,
    /// The form that creates a token for the playground or other clients.
    AccountToken,
    /// The form that ends a session on another device.
    EndSession(&'a str),
    /// The form that ends the sessions on all other devices.
    EndOtherSessions,
    /// The page that confirms a new email address.
    EmailChange(&'a str),
    /// The page of an invitation.
    Invitation(&'a str),
    /// The form that accepts an invitation.
    AcceptInvitation(&'a str),
    /// The form that declines an invitation.
    DeclineInvitation(&'a str),
    /// The form that emails the invited address a link that signs in and accepts.
    SignInForInvitation(&'a str),
    /// The page of a shared collection.
    Shared(&'a str),
    /// The page of a resource, for people who are signed in and can reach it.
    Resource(&'a str),
    /// The list of emails that are kept on this machine.
    Mails,
    /// One of these emails, with its percent-encoded name.
    Mail(&'a str),
    /// The HTML part of such an email.
    MailHtml(&'a str),
    /// The source file of such an email.
    MailFile(&'a str),
}

impl Route<'_> {
    /// The path below the public URL, which is the route.
    pub fn path(self) -> Cow<'static, str> {
        let fixed = match self {
            Self::Playground => "/",
            Self::PlaygroundFile(version, name) => return format!("/playground/{version}/{name}").into(),
            Self::Style => "/style.css",
            Self::Graphql => "/graphql",
            Self::SignIn => "/sign-in",
            Self::SignInCode => "/sign-in/code",
            Self::SignInLink(token) => return format!("/sign-in/{token}").into(),
            Self::SignOut => "/sign-out",
            Self::Account => "/account",
            Self::AccountToken => "/account/token",
            Self::EndSession(id) => return format!("/account/sessions/{id}/end").into(),
            Self::EndOtherSessions => "/account/sessions/end-others",
            Self::EmailChange(token) => return format!("/email-change/{token}").into(),
            Self::Invitation(token) => return format!("/invitations/{token}").into(),
            Self::AcceptInvitation(token) => return format!("/invitations/{token}/accept").into(),
            Self::DeclineInvitation(token) => return format!("/invitations/{token}/decline").into(),
            Self::SignInForInvitation(token) => return format!("/invitations/{token}/sign-in").into(),
            Self::Shared(token) => return format!("/shared/{token}").into(),
            Self::Resource(id) => return format!("/resources/{id}").into(),
            Self::Mails => "/mail",
            Self::Mail(name) => return format!("/mail/{name}").into(),
            Self::MailHtml(name) => return format!("/mail/{name}/html").into(),
            Self::MailFile(name) => return format!("/mail/{name}/raw").into(),
        };
        fixed.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_has_one_form() {
        for (given, shown, base_path, origin) in [
            ("https://example.org", "https://example.org", "", "https://example.org"),
            ("https://example.org/", "https://example.org", "", "https://example.org"),
            (" HTTPS://Example.ORG:443// ", "https://example.org", "", "https://example.org"),
            ("https://example.org/rollcall/", "https://example.org/rollcall", "/rollcall", "https://example.org"),
            (
                "http://localhost:9000/a/b-c_d.e~f///",
                "http://localhost:9000/a/b-c_d.e~f",
                "/a/b-c_d.e~f",
                "http://localhost:9000",
            ),
            ("https://example.org/a/../rollcall", "https://example.org/rollcall", "/rollcall", "https://example.org"),
            (
                "https://münchen.example/ä",
                "https://xn--mnchen-3ya.example/%C3%A4",
                "/%C3%A4",
                "https://xn--mnchen-3ya.example",
            ),
            ("http://[::1]:8080", "http://[::1]:8080", "", "http://[::1]:8080"),
        ] {
            let url: PublicUrl = given.parse().unwrap();
            assert_eq!((url.to_string().as_str(), url.base_path(), url.origin().as_str()), (shown, base_path, origin));
            assert_eq!(url.link(Route::Account).as_str(), format!("{shown}/account"));
            assert_eq!(url.path(Route::Playground), format!("{base_path}/"));
        }
    }

    #[test]
    fn what_is_no_public_url_is_refused() {
        for (given, why) in [
            ("", "must begin with"),
            ("example.org", "must begin with"),
            ("localhost:8080", "must begin with"),
            ("ftp://example.org", "must begin with"),
            ("https://", "isn't a web address"),
            ("https://exa mple.org", "isn't a web address"),
            ("https://example.org:99999", "isn't a web address"),
            ("https://ada:secret@example.org", "user name or password"),
            ("https://example.org/?a", "without ? or #"),
            ("https://example.org/#a", "without ? or #"),
            ("https://example.org//rollcall", "single slashes"),
            ("https://example.org/a;Domain=b", "single slashes"),
            ("https://example.org/a'b", "single slashes"),
        ] {
            let refusal = given.parse::<PublicUrl>().unwrap_err().to_string();
            assert!(refusal.contains(why) && refusal.contains("https://example.org/rollcall"), "{given}: {refusal}");
            assert!(!refusal.contains("secret"), "{refusal}");
        }
    }
}
