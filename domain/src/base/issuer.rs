//! The issuers of OpenID Connect that a deployment trusts to sign its people in (R92).

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use crate::base::{limits, link, text};

/// An issuer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// Its identifier, a URL, exactly as its tokens have it in `iss`.
    pub issuer: String,
    /// How people know it.
    pub name: String,
    /// What its tokens for this service have in `aud`. Without it, none are accepted.
    #[serde(default)]
    pub audience: Option<String>,
    /// As what the deployment is registered there.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The secret by which it is known there.
    #[serde(default)]
    pub client_secret: Option<SecretString>,
    /// Whether the deployment believes that whoever signs in there owns the address that the issuer calls verified. Then
    /// an account that has the address already is theirs.
    #[serde(default)]
    pub link_by_email: bool,
}

impl Issuer {
    /// Reads the issuers of a deployment, a JSON list.
    ///
    /// # Errors
    ///
    /// What is wrong, as the rest of a sentence that begins with the setting's name.
    pub fn parse_all(json: &str) -> Result<Vec<Self>, String> {
        let issuers: Vec<Self> =
            serde_json::from_str(json).map_err(|error| format!("must be a list of issuers: {error}"))?;
        for (position, issuer) in issuers.iter().enumerate() {
            let wrong = |message: &str| Err(format!("{}: {message}", issuer.issuer));
            if !is_secure(&issuer.issuer) {
                return wrong("`issuer` must be a URL that begins with https://, without ? and #");
            }
            if text::line("name", &issuer.name, limits::NAME).is_err() {
                return wrong("`name` must have 1 to 100 characters");
            }
            if issuer.audience.as_ref().is_some_and(|audience| audience.trim().is_empty()) {
                return wrong("`audience` must be what the issuer's tokens for this service have in `aud`");
            }
            if issuers.iter().take(position).any(|other| other.issuer == issuer.issuer) {
                return wrong("is named twice");
            }
        }
        Ok(issuers)
    }
}

/// Whether nobody on the way to a URL can read or change what it leads to: https, or plain http on this machine.
pub fn is_secure(url: &str) -> bool {
    let Ok(parsed) = Url::parse(url) else { return false };
    let is_safe = match parsed.scheme() {
        "https" => true,
        "http" => link::is_loopback(&parsed),
        _ => false,
    };
    is_safe && parsed.query().is_none() && parsed.fragment().is_none() && parsed.username().is_empty()
}
