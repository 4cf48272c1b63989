//! Where people reach the service, and the address of each of its pages. Addresses are spelled here alone: for the
//! API's routes, forms and redirects, and for the links that the worker mails.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::Deserialize;
use url::{Host, Url};

/// The address at which people reach the service. It may have a path, which a proxy strips: every link, form, redirect
/// and cookie has it, and no route.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PublicUrl(Url);

/// Why a text is no public URL.
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
            // Without a scheme, a name and its port look like one.
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
        // It stands in the attributes of cookies, and a second slash at its start would lead to another host.
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
    /// Without a slash at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl PublicUrl {
    /// The address of a service that this machine alone reaches.
    pub(crate) fn of_listener(address: SocketAddr) -> Result<Self, PublicUrlError> {
        format!("http://{address}").parse()
    }

    /// The path that every address of the service begins with: empty, or `/rollcall` say.
    pub fn base_path(&self) -> &str {
        self.0.path().trim_end_matches('/')
    }

    /// What browsers send as Origin from our pages.
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// Whether pages are served over https, so that cookies can insist on it.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether it leads to the machine on which it is followed.
    pub fn is_loopback(&self) -> bool {
        match self.0.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }

    /// A page's path as browsers ask for it.
    pub fn path(&self, route: Route<'_>) -> String {
        format!("{}{}", self.base_path(), route.path())
    }

    /// A link to a page, such as for a mail.
    pub fn link(&self, route: Route<'_>) -> Url {
        let mut url = self.0.clone();
        url.set_path(&self.path(route));
        url
    }
}

/// What has an address. Tokens and names stand in it as they are given, so that `{token}` makes the template of a
/// route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    /// The playground, which is the first page.
    Playground,
    /// A file of the playground, in its version.
    PlaygroundFile(&'a str, &'a str),
    /// The stylesheet of the pages.
    Style,
    /// The API.
    Graphql,
    /// Asks for a mail to sign in by.
    SignIn,
    /// Takes the six digits of that mail.
    SignInCode,
    /// The link of that mail.
    SignInLink(&'a str),
    /// Ends the session of this device.
    SignOut,
    /// The account, and where it is signed in.
    Account,
    /// A token for the playground and other clients.
    AccountToken,
    /// Ends a session elsewhere.
    EndSession(&'a str),
    /// Ends every session elsewhere.
    EndOtherSessions,
    /// Confirms another address.
    EmailChange(&'a str),
    /// An invitation.
    Invitation(&'a str),
    /// Accepts it.
    AcceptInvitation(&'a str),
    /// Declines it.
    DeclineInvitation(&'a str),
    /// Mails the invited address a link that signs in and accepts.
    SignInForInvitation(&'a str),
    /// A shared collection.
    Shared(&'a str),
    /// A resource, for whoever is signed in and reaches it.
    Resource(&'a str),
    /// The mails that are kept on this machine.
    Mails,
    /// One of them, its name percent-encoded.
    Mail(&'a str),
    /// Its HTML part.
    MailHtml(&'a str),
    /// The mail as a file.
    MailFile(&'a str),
}

impl Route<'_> {
    /// Its path below the public URL: the route.
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
