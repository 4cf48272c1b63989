//! Protection of forms: a POST acts only with the hidden field that was made for the browser's own cookie, and never
//! when the browser says that another site sent it.

use axum::http::{HeaderMap, header};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rollcall_domain::Error;
use rollcall_domain::secret::{Keyring, Purpose, random_bytes};

const COOKIE: CookieName = CookieName("__Host-rollcall_form");

/// A cookie's name on https, where no other host, and no page without https, can set a cookie that begins like this.
#[derive(Clone, Copy)]
pub struct CookieName(pub &'static str);

impl CookieName {
    /// The name; without https, browsers refuse the prefix.
    pub fn of(self, secure: bool) -> &'static str {
        match secure {
            true => self.0,
            false => self.0.trim_start_matches("__Host-"),
        }
    }
}

/// A cookie for the pages: kept from scripts and from other sites' requests.
pub fn cookie(name: CookieName, value: String, secure: bool) -> Cookie<'static> {
    Cookie::build((name.of(secure), value)).path("/").http_only(true).secure(secure).same_site(SameSite::Lax).build()
}

/// The hidden field for a form, and the jar with the cookie that it belongs to.
pub fn protect(keyring: &Keyring, jar: CookieJar, secure: bool) -> Result<(CookieJar, String), Error> {
    let (jar, value) = match jar.get(COOKIE.of(secure)) {
        Some(cookie) => {
            let value = cookie.value().to_owned();
            (jar, value)
        }
        None => {
            let value = URL_SAFE_NO_PAD.encode(random_bytes::<16>()?);
            (jar.add(cookie(COOKIE, value.clone(), secure)), value)
        }
    };
    let field = URL_SAFE_NO_PAD.encode(keyring.digest(Purpose::Form, &[value.as_bytes()])?);
    Ok((jar, field))
}

/// Whether a form was sent from one of our own pages.
pub fn is_ours(
    keyring: &Keyring,
    headers: &HeaderMap,
    jar: &CookieJar,
    secure: bool,
    field: &str,
) -> Result<bool, Error> {
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return Ok(false);
    }
    // Browsers that don't say so by Sec-Fetch-Site do it by Origin.
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    let origin = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok());
    if site.is_none() && origin.is_some_and(|origin| origin.split_once("://").map(|(_, origin)| origin) != host) {
        return Ok(false);
    }
    let (Some(cookie), Ok(digest)) = (jar.get(COOKIE.of(secure)), URL_SAFE_NO_PAD.decode(field)) else {
        return Ok(false);
    };
    keyring.verify(Purpose::Form, &[cookie.value().as_bytes()], &digest)
}
