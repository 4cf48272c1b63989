//! ROLLCALL_SECRET and what is derived from it, such as digests of codes, tokens in emails, and the digits for signing
//! in.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::random;

/// The purpose of a derived secret. It is part of the derivation, so that a secret for one purpose is never valid for
/// another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The token in an invitation's link.
    Invitation,
    /// The token in a sign-in email's link.
    SignInLink,
    /// The digits in a sign-in email.
    SignInDigits,
    /// The token in the link that confirms an account's new address.
    EmailChange,
    /// The stored digest of a join code.
    JoinCode,
    /// The hidden field of a form.
    Form,
    /// The message that a page shows once after a form was sent.
    Notice,
    /// The token of a session that a form begins.
    FormSession,
    /// The secret that signs a webhook's deliveries.
    Webhook,
    /// The fingerprint of the secret that the database stores.
    Fingerprint,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Invitation => b"rollcall/invitation",
            Self::SignInLink => b"rollcall/sign-in-link",
            Self::SignInDigits => b"rollcall/sign-in-digits",
            Self::EmailChange => b"rollcall/email-change",
            Self::JoinCode => b"rollcall/join-code",
            Self::Form => b"rollcall/form",
            Self::Notice => b"rollcall/notice",
            Self::FormSession => b"rollcall/form-session",
            Self::Webhook => b"rollcall/webhook",
            Self::Fingerprint => b"rollcall/fingerprint",
        }
    }
}

/// A secret that was created for somebody and is shown only once.
#[derive(Clone)]
pub struct Token(SecretString);

impl Token {
    /// A token with 256 random bits, and a prefix that tells its kind.
    pub(crate) fn random(prefix: &str) -> crate::Result<Self> {
        Ok(Self(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random::bytes::<32>()?)).into()))
    }

    /// The digest of a token, which is what is stored.
    pub(crate) fn digest(token: &str) -> Vec<u8> {
        Sha256::digest(token.as_bytes()).to_vec()
    }

    /// The token itself, to be shown or sent.
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The deployment's secret, and the previous one while it is still accepted.
#[derive(Clone)]
pub struct Keyring {
    current: SecretString,
    previous: Option<SecretString>,
}

impl Keyring {
    /// Makes a keyring of ROLLCALL_SECRET and ROLLCALL_PREVIOUS_SECRET.
    pub fn new(current: SecretString, previous: Option<SecretString>) -> Self {
        Self { current, previous }
    }

    fn mac(secret: &SecretString, purpose: Purpose, data: &[&[u8]]) -> crate::Result<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
            .map_err(|_| crate::Error::Bug("HMAC takes keys of any length"))?;
        mac.update(purpose.label());
        for part in data {
            // The lengths distinguish ("ab", "c") from ("a", "bc").
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        Ok(mac)
    }

    /// The digest with the current secret.
    pub fn digest(&self, purpose: Purpose, data: &[&[u8]]) -> crate::Result<Vec<u8>> {
        Ok(Self::mac(&self.current, purpose, data)?.finalize().into_bytes().to_vec())
    }

    /// The digests with every accepted secret, the current one first.
    pub fn accepted_digests(&self, purpose: Purpose, data: &[&[u8]]) -> crate::Result<Vec<Vec<u8>>> {
        std::iter::once(&self.current)
            .chain(&self.previous)
            .map(|secret| Ok(Self::mac(secret, purpose, data)?.finalize().into_bytes().to_vec()))
            .collect()
    }

    /// Whether `digest` was made with an accepted secret. The comparison takes constant time.
    pub fn verify(&self, purpose: Purpose, data: &[&[u8]], digest: &[u8]) -> crate::Result<bool> {
        for secret in std::iter::once(&self.current).chain(&self.previous) {
            if Self::mac(secret, purpose, data)?.verify_slice(digest).is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The token of a link in an email. It consists of the id, the version and their HMAC, so that an email that is
    /// sent again contains the same token.
    pub fn link_token(&self, purpose: Purpose, id: Uuid, version: i32) -> crate::Result<Token> {
        let version = version.to_be_bytes();
        let mut bytes = Vec::with_capacity(52);
        bytes.extend_from_slice(id.as_bytes());
        bytes.extend_from_slice(&version);
        bytes.extend(self.digest(purpose, &[id.as_bytes(), &version])?);
        Ok(Token(URL_SAFE_NO_PAD.encode(bytes).into()))
    }

    /// Reads the id and the version from a genuine link token. `None` for anything else.
    pub fn read_link_token(&self, purpose: Purpose, token: &str) -> crate::Result<Option<(Uuid, i32)>> {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(token.trim()) else { return Ok(None) };
        let Some((id, rest)) = bytes.split_first_chunk::<16>() else { return Ok(None) };
        let Some((version, digest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let genuine = self.verify(purpose, &[id, version], digest)?;
        Ok(genuine.then(|| (Uuid::from_bytes(*id), i32::from_be_bytes(*version))))
    }

    /// The secret of a webhook in a version, with every accepted secret of the deployment, the current one first.
    ///
    /// It has the form of Standard Webhooks: `whsec_` and 32 bytes in base64.
    pub fn webhook_secrets(&self, id: Uuid, version: i32) -> crate::Result<Vec<Token>> {
        let digests = self.accepted_digests(Purpose::Webhook, &[id.as_bytes(), &version.to_be_bytes()])?;
        Ok(digests.into_iter().map(|digest| Token(format!("whsec_{}", STANDARD.encode(digest)).into())).collect())
    }

    /// The token of the session that a form begins. It is the same however often the form is sent.
    pub(crate) fn session_token(&self, prefix: &str, form: &[&[u8]]) -> crate::Result<Token> {
        let digest = self.digest(Purpose::FormSession, form)?;
        Ok(Token(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(digest)).into()))
    }

    /// The six digits of a sign-in email.
    pub fn digits(&self, id: Uuid) -> crate::Result<String> {
        Ok(Self::to_digits(&self.digest(Purpose::SignInDigits, &[id.as_bytes()])?))
    }

    /// Whether the digits are those of the email, with any accepted secret.
    pub fn verify_digits(&self, id: Uuid, given: &str) -> crate::Result<bool> {
        let accepted = self.accepted_digests(Purpose::SignInDigits, &[id.as_bytes()])?;
        Ok(accepted.iter().any(|digest| Self::to_digits(digest) == given))
    }

    fn to_digits(digest: &[u8]) -> String {
        let number = digest.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        format!("{:06}", number % 1_000_000)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring(current: &str, previous: Option<&str>) -> Keyring {
        Keyring::new(current.into(), previous.map(Into::into))
    }

    #[test]
    fn a_link_token_is_read_back_under_the_current_and_the_previous_secret_only() {
        let id = crate::base::id::new_name();
        let token = keyring("old", None).link_token(Purpose::Invitation, id, 3).unwrap();
        let read = |ring: Keyring, purpose| ring.read_link_token(purpose, token.reveal()).unwrap();
        assert_eq!(read(keyring("old", None), Purpose::Invitation), Some((id, 3)));
        assert_eq!(read(keyring("new", Some("old")), Purpose::Invitation), Some((id, 3)));
        assert_eq!(read(keyring("new", None), Purpose::Invitation), None);
        assert_eq!(read(keyring("old", None), Purpose::SignInLink), None);
    }

    #[test]
    fn a_changed_token_is_none() {
        let ring = keyring("secret", None);
        let token = ring.link_token(Purpose::Invitation, crate::base::id::new_name(), 1).unwrap();
        for position in 0..token.reveal().len() {
            let mut changed: Vec<char> = token.reveal().chars().collect();
            changed[position] = if changed[position] == 'A' { 'B' } else { 'A' };
            let changed: String = changed.into_iter().collect();
            assert_eq!(ring.read_link_token(Purpose::Invitation, &changed).unwrap(), None, "{position}");
        }
        assert_eq!(ring.read_link_token(Purpose::Invitation, "").unwrap(), None);
        assert_eq!(ring.read_link_token(Purpose::Invitation, "ü").unwrap(), None);
    }

    #[test]
    fn secrets_do_not_print() {
        let ring = keyring("hunter2", None);
        let token = Token::random("rcs_").unwrap();
        assert!(!format!("{ring:?}{token:?}").contains("hunter2"));
        assert!(!format!("{token:?}").contains(token.reveal()));
    }
}
