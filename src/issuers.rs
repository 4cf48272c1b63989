//! The issuers of OpenID Connect whose tokens the API accepts (R92): which keys they sign with, and what a token must
//! be.
//!
//! Nothing is asked of an issuer for each request. Its keys are fetched when the first of its tokens comes, and again
//! when they grow old or a token names another key. While an issuer can't be reached, the keys that are known stay
//! good for a day.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Uri, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use rollcall_domain::account::authentication;
use rollcall_domain::account::identity::IssuedToken;
use rollcall_domain::authority::actor::Actor;
use rollcall_domain::base::issuer::{Issuer, is_secure};
use rollcall_domain::base::limits;
use rollcall_domain::database::Database;
use rollcall_domain::sign_in::by_issuer::{self, IssuedProfile};
use rollcall_domain::{Error, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;

/// The ways of signing that are accepted.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
/// The largest token that is looked at.
const LARGEST_TOKEN: usize = 8 * 1_024;
/// The largest answer of an issuer that is read.
const LARGEST_ANSWER: usize = 512 * 1_024;
/// How long an issuer may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// After what time keys are fetched again.
const FRESH: Duration = Duration::from_secs(10 * 60);
/// For how long keys serve if the issuer can't be reached.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long an issuer is left alone after it was asked, whatever tokens name.
const PAUSE: Duration = Duration::from_secs(10);
/// The fewest bytes of an RSA key: 2,048 bits.
const RSA_BYTES: usize = 256;

type Http = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// The issuers of a deployment.
pub struct Issuers(Vec<Arc<KnownIssuer>>);

struct KnownIssuer {
    issuer: Issuer,
    audience: String,
    http: Http,
    keys: RwLock<Option<Arc<Keys>>>,
    /// When the issuer was last asked, held by whoever asks it.
    asked: Mutex<Option<Instant>>,
}

/// The keys of an issuer.
struct Keys {
    keys: Vec<Key>,
    fetched: Instant,
}

struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// The part of the issuer's metadata that is needed.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// The claims of a token. Texts are texts: a list of issuers or subjects is no token.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    iat: f64,
    exp: f64,
    /// A key that whoever shows the token must have, too. Nothing proves that here.
    #[serde(default)]
    cnf: Option<Value>,
    /// What happened, in tokens that tell of that, such as those that end a session.
    #[serde(default)]
    events: Option<Value>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    email_verified: Option<Value>,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
struct Unverified {
    iss: String,
}

impl Issuers {
    /// Prepares for the issuers, without asking any of them.
    pub fn new(issuers: Vec<Issuer>) -> anyhow::Result<Self> {
        if issuers.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let tls = HttpsConnectorBuilder::new()
            .with_native_roots()
            .context("this machine has no root certificates, by which issuers are known: install ca-certificates")?;
        let http: Http = Client::builder(TokioExecutor::new()).build(tls.https_or_http().enable_http1().build());
        let known = |issuer: Issuer| {
            let audience = issuer.audience.clone()?;
            let (keys, asked) = (RwLock::new(None), Mutex::new(None));
            Some(Arc::new(KnownIssuer { issuer, audience, http: http.clone(), keys, asked }))
        };
        Ok(Self(issuers.into_iter().filter_map(known).collect()))
    }

    /// The actor of a token, if it is one that an issuer may have signed.
    ///
    /// # Errors
    ///
    /// UNAUTHENTICATED for everything that isn't a valid token of one of the issuers, and what
    /// [`by_issuer::begin`] refuses; UNAVAILABLE if its issuer can't be asked for its keys.
    pub async fn authenticate(
        &self,
        database: &Database,
        token: &str,
        user_agent: Option<&str>,
    ) -> Result<Option<Actor>> {
        if self.0.is_empty() || token.bytes().filter(|byte| *byte == b'.').count() != 2 {
            return Ok(None);
        }
        let (known, claims) = self.verify(token).await?;
        let time = |seconds: f64| DateTime::from_timestamp(seconds.trunc() as i64, 0).ok_or(Error::Unauthenticated);
        let issued = IssuedToken {
            issuer: claims.iss,
            subject: claims.sub,
            issued_at: time(claims.iat)?,
            expires_at: time(claims.exp)?,
        };
        if !is_subject(&issued.subject) {
            return Err(Error::Unauthenticated);
        }
        if let Some(actor) = authentication::authenticate_issued(database, &issued).await? {
            return Ok(Some(actor));
        }
        let profile = IssuedProfile {
            email: claims.email,
            // Some issuers write it as text.
            email_verified: matches!(claims.email_verified, Some(Value::Bool(true)))
                || claims.email_verified == Some(Value::from("true")),
            name: claims.name,
        };
        by_issuer::begin(database, &known.issuer, &issued, &profile, user_agent).await.map(Some)
    }

    async fn verify(&self, token: &str) -> Result<(&Arc<KnownIssuer>, Claims)> {
        if token.len() > LARGEST_TOKEN {
            return Err(Error::Unauthenticated);
        }
        let header = decode_header(token).map_err(|_| Error::Unauthenticated)?;
        // Other kinds of tokens are signed with the same keys, such as those that end a session.
        let is_of_kind = header.typ.as_deref().is_none_or(|kind| {
            let kind = kind.to_ascii_lowercase();
            ["jwt", "at+jwt", "application/at+jwt"].contains(&kind.as_str())
        });
        if !is_of_kind || !ALGORITHMS.contains(&header.alg) {
            return Err(Error::Unauthenticated);
        }
        // Only to find the issuer, whose key then has to fit.
        let unverified: Unverified =
            jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| Error::Unauthenticated)?;
        let known = self.0.iter().find(|known| known.issuer.issuer == unverified.iss).ok_or(Error::Unauthenticated)?;
        let keys = known.keys_with(header.kid.as_deref(), header.alg).await?;
        let key = keys.find(header.kid.as_deref(), header.alg).ok_or(Error::Unauthenticated)?;
        let mut validation = Validation::new(key.algorithm);
        validation.set_issuer(&[&known.issuer.issuer]);
        validation.set_audience(&[&known.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = limits::CLOCKS_APART.as_secs();
        let claims: Claims = decode(token, &key.key, &validation).map_err(|_| Error::Unauthenticated)?.claims;
        match (&claims.cnf, &claims.events) {
            (None | Some(Value::Null), None | Some(Value::Null)) => Ok((known, claims)),
            _ => Err(Error::Unauthenticated),
        }
    }
}

/// Whether a text can be a subject: up to 255 visible characters.
fn is_subject(text: &str) -> bool {
    (1..=limits::SUBJECT).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

impl KnownIssuer {
    /// The issuer's keys, with the one that is named if it has that.
    async fn keys_with(self: &Arc<Self>, id: Option<&str>, algorithm: Algorithm) -> Result<Arc<Keys>> {
        let known = self.known();
        if let Some(keys) = &known
            && keys.find(id, algorithm).is_some()
            && keys.fetched.elapsed() < FRESH
        {
            return Ok(keys.clone());
        }
        self.fetch_again().await;
        // Without an answer of the issuer, nobody knows whether it has the key.
        let is_known = |keys: &Arc<Keys>| keys.find(id, algorithm).is_some() || keys.fetched.elapsed() < PAUSE;
        self.known()
            .filter(is_known)
            .ok_or_else(|| Error::Unavailable(format!("the keys of {} can't be fetched", self.issuer.issuer).into()))
    }

    /// The keys that are known, unless they are too old.
    fn known(&self) -> Option<Arc<Keys>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.clone().filter(|keys| keys.fetched.elapsed() < STALE)
    }

    /// Fetches the keys, unless the issuer was asked a moment ago. Whoever comes meanwhile waits for the outcome.
    async fn fetch_again(self: &Arc<Self>) {
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|asked| asked.elapsed() < PAUSE) {
            return;
        }
        *asked = Some(Instant::now());
        // It goes on even if the request that asks for it is given up.
        let issuer = self.clone();
        if tokio::spawn(async move { issuer.fetch_and_keep().await }).await.is_err() {
            tracing::error!(issuer = self.issuer.issuer, "the keys of an issuer can't be read");
        }
    }

    async fn fetch_and_keep(&self) {
        match tokio::time::timeout(PATIENCE, self.fetch()).await.unwrap_or_else(|_| bail!("it takes too long")) {
            Ok(keys) => {
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) =
                    Some(Arc::new(Keys { keys, fetched: Instant::now() }));
            }
            Err(error) => {
                let issuer = &self.issuer.issuer;
                tracing::warn!(issuer, error = format!("{error:#}"), "the keys of an issuer can't be fetched");
            }
        }
    }

    async fn fetch(&self) -> anyhow::Result<Vec<Key>> {
        let own = &self.issuer.issuer;
        let discovery: Discovery =
            self.get(&format!("{}/.well-known/openid-configuration", own.trim_end_matches('/'))).await?;
        ensure!(discovery.issuer == *own, "its metadata is that of {:?}", discovery.issuer);
        let is_plain = own.starts_with("http://");
        let is_safe = is_secure(discovery.jwks_uri.split('?').next().unwrap_or_default());
        ensure!(
            is_safe && (is_plain || discovery.jwks_uri.starts_with("https://")),
            "its keys aren't at an https:// URL"
        );
        let set: KeySet = self.get(&discovery.jwks_uri).await?;
        // Whatever can't be read is a key of some other kind.
        Ok(set.keys.into_iter().filter_map(|key| Key::of(&serde_json::from_value(key).ok()?)).collect())
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> anyhow::Result<T> {
        let uri: Uri = url.parse().with_context(|| format!("{url} is no URL"))?;
        let request = Request::get(uri).header(header::ACCEPT, "application/json").body(Empty::new())?;
        let response = self.http.request(request).await.with_context(|| format!("{url} can't be reached"))?;
        if response.status() != StatusCode::OK {
            bail!("{url} answers {}", response.status());
        }
        let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("{url} can't be read: {error}"))?.to_bytes();
        serde_json::from_slice(&body).with_context(|| format!("{url} isn't what OpenID Connect says"))
    }
}

impl Keys {
    /// The key that is named. Where none is named, the only one there is for the way of signing.
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let mut fitting =
            self.keys.iter().filter(|key| key.algorithm == algorithm && (id.is_none() || key.id.as_deref() == id));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Some(key),
            _ => None,
        }
    }
}

impl Key {
    /// A key that signatures are verified with; `None` for others, and for those that are too weak.
    fn of(jwk: &Jwk) -> Option<Self> {
        let (algorithm, named) = match &jwk.algorithm {
            AlgorithmParameters::RSA(key) if length(&key.n) >= RSA_BYTES => (Algorithm::RS256, KeyAlgorithm::RS256),
            AlgorithmParameters::EllipticCurve(key)
                if key.curve == EllipticCurve::P256 && length(&key.x) == 32 && length(&key.y) == 32 =>
            {
                (Algorithm::ES256, KeyAlgorithm::ES256)
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 && length(&key.x) == 32 => {
                (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
            }
            _ => return None,
        };
        let common = &jwk.common;
        let is_for_signatures = common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify))
            && common.key_algorithm.is_none_or(|other| other == named);
        let key = DecodingKey::from_jwk(jwk).ok().filter(|_| is_for_signatures)?;
        Some(Self { id: common.key_id.clone(), algorithm, key })
    }
}

/// How many bytes a key's part has, without the zeros before a long number; 0 if it can't be read.
fn length(part: &str) -> usize {
    let bytes = URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).unwrap_or_default();
    match bytes.len() {
        short @ 0..=32 => short,
        _ => bytes.iter().skip_while(|byte| **byte == 0).count(),
    }
}
