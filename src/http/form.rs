//! The forms of the pages. A POST takes effect only with the hidden field that was made for the browser's own cookie,
//! and never if the browser says that another site sent it. The response is a redirect; any message waits in a cookie
//! for the page that it leads to.

use std::time::Duration;

use axum::http::{HeaderMap, header};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cookie::time;
use rollcall_domain::Error;
use rollcall_domain::base::error::Refusal;
use rollcall_domain::base::limits;
use rollcall_domain::base::link::PublicUrl;
use rollcall_domain::base::random;
use rollcall_domain::base::secret::{Keyring, Purpose};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// The browser's own secret, which identifies its forms.
const FORM: CookieName = CookieName("rollcall_form");
/// The session token.
pub const SESSION: CookieName = CookieName("rollcall_session");
/// The address to which a sign-in email was sent.
pub const EMAIL: CookieName = CookieName("rollcall_email");
/// The resource to show once the person is signed in.
pub const RESOURCE: CookieName = CookieName("rollcall_resource");
const NOTICE: CookieName = CookieName("rollcall_notice");

/// The maximum number of characters of a typed value that a notice returns to its form. Forms don't accept more.
const TYPED: usize = 254;
/// The size in bytes of a cookie's value that every browser accepts.
const LARGEST_NOTICE: usize = 3_500;

/// A cookie's name, without its prefix.
#[derive(Clone, Copy)]
pub struct CookieName(&'static str);

impl CookieName {
    /// The name that is sent to browsers. With HTTPS, its prefix ensures that no other host, and no page without
    /// HTTPS, can set the cookie. `__Host-` also requires that the cookie is for the whole host, which a cookie below
    /// a path isn't.
    pub fn of(self, site: &PublicUrl) -> String {
        match (site.is_https(), site.base_path()) {
            (true, "") => format!("__Host-{}", self.0),
            (true, _) => format!("__Secure-{}", self.0),
            (false, _) => self.0.to_owned(),
        }
    }
}

/// Makes a cookie for the pages. Scripts can't read it, and requests from other sites don't contain it.
pub fn cookie(name: CookieName, value: String, site: &PublicUrl, lifetime: Duration) -> Cookie<'static> {
    let path = match site.base_path() {
        "" => "/",
        path => path,
    };
    Cookie::build((name.of(site), value))
        .path(path.to_owned())
        .http_only(true)
        .secure(site.is_https())
        .same_site(SameSite::Lax)
        .max_age(time::Duration::seconds(lifetime.as_secs().try_into().unwrap_or(i64::MAX)))
        .build()
}

/// Removes a cookie from the jar.
pub fn without(jar: CookieJar, name: CookieName, site: &PublicUrl) -> CookieJar {
    jar.remove(cookie(name, String::new(), site, Duration::ZERO))
}

/// A form that one of our own pages has shown to this browser.
#[derive(Debug)]
pub struct OurForm {
    /// The browser's secret.
    browser: String,
    /// A value that distinguishes this instance of the form from all others.
    showing: Vec<u8>,
}

impl OurForm {
    /// The parts that identify a form when it is sent again to a path.
    pub fn identity<'a>(&'a self, path: &'a str) -> [&'a [u8]; 3] {
        [self.browser.as_bytes(), &self.showing, path.as_bytes()]
    }

    /// The digest of the form's identity and of what was sent with it.
    pub fn digest(&self, keyring: &Keyring, path: &str, sent: &[&str]) -> Result<Vec<u8>, Error> {
        let parts: Vec<&[u8]> =
            self.identity(path).into_iter().chain(sent.iter().map(|part| part.as_bytes())).collect();
        keyring.digest(Purpose::Form, &parts)
    }
}

/// Makes the hidden field for a form that is about to be shown. Also returns the jar with the cookie that the field
/// belongs to.
pub fn protect(keyring: &Keyring, jar: CookieJar, site: &PublicUrl) -> Result<(CookieJar, String), Error> {
    let browser = match jar.get(&FORM.of(site)) {
        Some(cookie) => cookie.value().to_owned(),
        None => URL_SAFE_NO_PAD.encode(random::bytes::<16>()?),
    };
    let showing = random::bytes::<16>()?;
    let digest = keyring.digest(Purpose::Form, &[browser.as_bytes(), &showing])?;
    let field = URL_SAFE_NO_PAD.encode([showing.as_slice(), &digest].concat());
    // The cookie is set again each time, so that it lasts as long as the form may be open.
    Ok((jar.add(cookie(FORM, browser, site, limits::SESSION_LIFETIME)), field))
}

/// Checks that one of our own pages has shown the form to this browser. `None` if that isn't the case.
pub fn read(
    keyring: &Keyring,
    headers: &HeaderMap,
    jar: &CookieJar,
    site: &PublicUrl,
    field: &str,
) -> Result<Option<OurForm>, Error> {
    let (Some(cookie), Ok(field)) = (jar.get(&FORM.of(site)), URL_SAFE_NO_PAD.decode(field)) else {
        return Ok(None);
    };
    let Some((showing, digest)) = field.split_first_chunk::<16>() else { return Ok(None) };
    let browser = cookie.value();
    let is_genuine = keyring.verify(Purpose::Form, &[browser.as_bytes(), showing], digest)?;
    let is_ours = is_genuine && is_from_here(headers, site);
    Ok(is_ours.then(|| OurForm { browser: browser.to_owned(), showing: showing.to_vec() }))
}

/// Whether the browser says that one of our pages sent the form, if it says anything. This compares with the public
/// URL, whatever a proxy has done to the request's host.
fn is_from_here(headers: &HeaderMap, site: &PublicUrl) -> bool {
    // A header that can't be read doesn't come from our pages.
    let text = |name| headers.get(name).map(|value: &axum::http::HeaderValue| value.to_str().unwrap_or_default());
    let fetch_site = text(header::HeaderName::from_static("sec-fetch-site"));
    if fetch_site.is_some_and(|fetch_site| !matches!(fetch_site, "same-origin" | "none")) {
        return false;
    }
    match text(header::ORIGIN) {
        None => true,
        // The browser hides the origin, but has already told with Sec-Fetch-Site where the form comes from.
        Some("null") => fetch_site.is_some(),
        Some(origin) => origin == site.origin() || is_this_machine(origin, text(header::HOST), site),
    }
}

/// Whether the origin is a service that is reached only on this machine, under another of its names or ports, such as
/// localhost.
fn is_this_machine(origin: &str, host: Option<&str>, site: &PublicUrl) -> bool {
    let is_loopback = Url::parse(origin).is_ok_and(|url| match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    });
    site.is_loopback() && is_loopback && origin.split_once("://").map(|(_, authority)| authority) == host
}

/// A message that a page shows once after a form was sent.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Notice {
    /// The path of the page below the public URL.
    pub page: String,
    /// The title and the text of what was done.
    pub done: Option<(String, String)>,
    /// What is wrong with the form.
    problems: Vec<Problem>,
    /// The values that were typed, by field.
    typed: Vec<(String, String)>,
}

/// A problem with a form.
#[derive(Debug, Serialize, Deserialize)]
pub struct Problem {
    /// The field that it is about. Empty if it is about the form as a whole.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Notice {
    /// A notice that something was done.
    pub fn done(title: impl Into<String>, text: impl Into<String>) -> Self {
        Self { done: Some((title.into(), text.into())), ..Self::default() }
    }

    /// A notice that a form with these fields was refused.
    pub fn refused(refusals: &[Refusal], fields: &[&str]) -> Self {
        let problems = refusals.iter().map(|refusal| {
            let field = refusal.field.last().filter(|field| fields.contains(&field.as_str()));
            Problem { field: field.cloned().unwrap_or_default(), message: sentence(&refusal.message) }
        });
        Self { problems: problems.collect(), ..Self::default() }
    }

    /// A notice of a problem with the form as a whole.
    pub fn problem(message: impl Into<String>) -> Self {
        Self { problems: vec![Problem { field: String::new(), message: message.into() }], ..Self::default() }
    }

    /// Adds the value that was typed into a field.
    pub fn with(mut self, field: &str, typed: Option<&str>) -> Self {
        if let Some(typed) = typed {
            self.typed.push((field.to_owned(), typed.chars().take(TYPED).collect()));
        }
        self
    }

    /// The problems with the form.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The problem with a field.
    pub fn of(&self, field: &str) -> Option<&str> {
        self.problems.iter().find(|problem| problem.field == field).map(|problem| problem.message.as_str())
    }

    /// The value that was typed into a field.
    pub fn typed(&self, field: &str) -> Option<&str> {
        self.typed.iter().find(|(name, _)| name == field).map(|(_, typed)| typed.as_str())
    }
}

/// Encodes any text as the value of a cookie.
pub fn to_cookie_text(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text.chars().take(TYPED).collect::<String>())
}

/// Decodes the text from the value of a cookie.
pub fn from_cookie_text(value: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(value).ok()?).ok()
}

/// A refusal's message as a full sentence.
pub fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let first: String = letters.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

/// Adds the notice for a page to the jar.
pub fn with_notice(keyring: &Keyring, jar: CookieJar, site: &PublicUrl, notice: &Notice) -> Result<CookieJar, Error> {
    let seal = |notice: &Notice| -> Result<String, Error> {
        let json = serde_json::to_vec(notice).map_err(|_| Error::Bug("notices are plain"))?;
        // The notice is authenticated, so that nobody else can write what our pages show.
        let digest = keyring.digest(Purpose::Notice, &[&json])?;
        Ok(URL_SAFE_NO_PAD.encode([digest, json].concat()))
    };
    let mut value = seal(notice)?;
    if value.len() > LARGEST_NOTICE {
        let problems = vec![Problem { field: String::new(), message: "This is too long.".to_owned() }];
        value = seal(&Notice { page: notice.page.clone(), problems, ..Notice::default() })?;
    }
    Ok(jar.add(cookie(NOTICE, value, site, limits::FORM_SENT_AGAIN)))
}

/// Takes the notice for a page out of the jar.
pub fn take_notice(keyring: &Keyring, jar: CookieJar, site: &PublicUrl, page: &str) -> (CookieJar, Notice) {
    let open = |value: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(value).ok()?;
        let (digest, json) = bytes.split_first_chunk::<32>()?;
        keyring.verify(Purpose::Notice, &[json], digest).ok().filter(|genuine| *genuine)?;
        serde_json::from_slice::<Notice>(json).ok().filter(|notice| notice.page == page)
    };
    match jar.get(&NOTICE.of(site)).and_then(|cookie| open(cookie.value())) {
        Some(notice) => (without(jar, NOTICE, site), notice),
        None => (jar, Notice::default()),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_form_comes_from_where_people_reach_the_service() {
        let public = "https://rollcall.example/app";
        let local = "http://127.0.0.1:8080";
        for (site, host, origin, fetch_site, is_ours) in [
            (public, "rollcall.example", Some("https://rollcall.example"), Some("same-origin"), true),
            (public, "rollcall.example", Some("https://rollcall.example"), None, true),
            // The result doesn't depend on what the proxy has done to the host.
            (public, "backend:8080", Some("https://rollcall.example"), None, true),
            (public, "backend:8080", Some("http://backend:8080"), None, false),
            (public, "127.0.0.1:8080", Some("http://127.0.0.1:8080"), None, false),
            (public, "rollcall.example", Some("http://rollcall.example"), None, false),
            (public, "rollcall.example", Some("https://evil.example"), None, false),
            (public, "rollcall.example", Some("https://rollcall.example"), Some("same-site"), false),
            (public, "rollcall.example", Some("https://rollcall.example"), Some("cross-site"), false),
            (public, "rollcall.example", None, Some("cross-site"), false),
            (public, "rollcall.example", None, None, true),
            (public, "rollcall.example", Some("null"), Some("same-origin"), true),
            (public, "rollcall.example", Some("null"), Some("cross-site"), false),
            (public, "rollcall.example", Some("null"), None, false),
            // On this machine, any of its names is accepted, and a tunnel to another port is too.
            (local, "127.0.0.1:8080", Some("http://127.0.0.1:8080"), None, true),
            (local, "localhost:8080", Some("http://localhost:8080"), None, true),
            (local, "localhost:9000", Some("http://localhost:9000"), None, true),
            (local, "[::1]:8080", Some("http://[::1]:8080"), None, true),
            (local, "127.0.0.1:8080", Some("http://localhost:3000"), None, false),
            (local, "evil.example:8080", Some("http://evil.example:8080"), None, false),
        ] {
            let mut headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
            origin.map(|origin| headers.insert(header::ORIGIN, HeaderValue::from_static(origin)));
            fetch_site.map(|site| headers.insert("sec-fetch-site", HeaderValue::from_static(site)));
            assert_eq!(is_from_here(&headers, &site.parse().unwrap()), is_ours, "{site} {headers:?}");
        }
    }

    #[test]
    fn cookies_belong_to_the_path_of_the_public_url() {
        for (site, shown) in [
            ("http://localhost:8080", "rollcall_form=x; HttpOnly; SameSite=Lax; Path=/; Max-Age=60"),
            ("http://localhost/app", "rollcall_form=x; HttpOnly; SameSite=Lax; Path=/app; Max-Age=60"),
            ("https://a.example", "__Host-rollcall_form=x; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=60"),
            (
                "https://a.example/app",
                "__Secure-rollcall_form=x; HttpOnly; SameSite=Lax; Secure; Path=/app; Max-Age=60",
            ),
        ] {
            let cookie = cookie(FORM, "x".to_owned(), &site.parse().unwrap(), Duration::from_secs(60));
            assert_eq!(cookie.to_string(), shown);
        }
    }

    #[test]
    fn a_notice_is_read_by_its_page_and_written_by_nobody_else() {
        let keyring = Keyring::new("a secret of more than thirty-two characters".into(), None);
        let site = "http://localhost:8080".parse().unwrap();
        let notice =
            |name: &str| Notice { page: "/a".to_owned(), ..Notice::problem("Wrong.").with("name", Some(name)) };
        let jar = with_notice(&keyring, CookieJar::new(), &site, &notice("Zoë")).unwrap();
        let (_, other) = take_notice(&keyring, jar.clone(), &site, "/b");
        assert!(other.problems().is_empty());
        let (taken, found) = take_notice(&keyring, jar.clone(), &site, "/a");
        assert_eq!((found.of(""), found.typed("name")), (Some("Wrong."), Some("Zoë")));
        assert!(taken.get("rollcall_notice").is_none());
        let forged = Keyring::new("another secret of more than thirty-two characters".into(), None);
        assert!(take_notice(&forged, jar, &site, "/a").1.problems().is_empty());
        // However much was typed, the notice fits into a cookie.
        for name in ["𝔸".repeat(10_000), "\u{1}".repeat(10_000)] {
            let jar = with_notice(&keyring, CookieJar::new(), &site, &notice(&name).with("x", Some(&name))).unwrap();
            assert!(jar.get("rollcall_notice").unwrap().value().len() <= LARGEST_NOTICE);
            assert_eq!(take_notice(&keyring, jar, &site, "/a").1.problems().len(), 1);
        }
    }
}
