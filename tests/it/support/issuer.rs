//! A real issuer of OpenID Connect, at which tests sign in as people do, and which signs tokens that no issuer would.

use std::path::Path;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::LOCATION;
use reqwest::redirect::Policy;
use reqwest::{Response, Url};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

/// What the tests' service is called in `aud`.
pub const AUDIENCE: &str = "rollcall";
const SIGNED_IN: &str = "http://127.0.0.1:1/signed-in";

/// An issuer, which ends with the value.
pub struct Issuer {
    /// Its identifier.
    pub url: String,
    /// The ids of its keys for RS256, ES256 and EdDSA.
    pub keys: [String; 3],
    child: Child,
    talk: Mutex<(ChildStdin, Lines<BufReader<ChildStdout>>)>,
}

impl Issuer {
    /// Starts an issuer at a port that is free.
    pub async fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        Self::start_at(port).await
    }

    /// Starts an issuer at a port, with keys of its own.
    pub async fn start_at(port: u16) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/issuer");
        assert!(folder.join("node_modules").exists(), "the issuer isn't installed: run `make issuer`");
        let mut command = Command::new("node");
        command.arg("provider.mjs").current_dir(folder).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        input.write_all(format!("{}\n", json!({ "port": port, "audience": AUDIENCE })).as_bytes()).await.unwrap();
        let mut lines = BufReader::new(output).lines();
        let keys = lines.next_line().await.unwrap().expect("the issuer has ended");
        let keys = serde_json::from_str(&keys).unwrap();
        Self { url: format!("http://127.0.0.1:{port}"), keys, child, talk: Mutex::new((input, lines)) }
    }

    /// The port, for another issuer in its place.
    pub fn port(&self) -> u16 {
        Url::parse(&self.url).unwrap().port().unwrap()
    }

    /// Ends the issuer.
    pub async fn stop(mut self) -> u16 {
        self.child.kill().await.unwrap();
        self.port()
    }

    /// The setting that makes a deployment trust it.
    pub fn setting(&self, link_by_email: bool) -> String {
        let issuer = json!({ "issuer": self.url, "name": "Example Platform", "audience": AUDIENCE, "link_by_email": link_by_email });
        json!([issuer]).to_string()
    }

    /// Signs in as an app in a browser does, by code and proof key, and returns the access token.
    pub async fn sign_in(&self, name: &str) -> String {
        self.sign_in_with(name, "RS256").await
    }

    /// Likewise, with a token that is signed in one of the ways.
    pub async fn sign_in_with(&self, name: &str, algorithm: &str) -> String {
        let browser =
            reqwest::Client::builder().cookie_store(true).redirect(Policy::none()).no_proxy().build().unwrap();
        let verifier = "v".repeat(43);
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
        let resource = format!("urn:rollcall:{algorithm}");
        let query = [
            ("client_id", "app"),
            ("response_type", "code"),
            ("scope", "openid email profile api"),
            ("redirect_uri", SIGNED_IN),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("resource", &resource),
            ("state", "s"),
            ("nonce", "n"),
        ];
        let start = Url::parse_with_params(&format!("{}/auth", self.url), query).unwrap();
        let mut response = browser.get(start).send().await.unwrap();
        let code = loop {
            if let Some(next) = redirect(&response) {
                if next.as_str().starts_with(SIGNED_IN) {
                    break next.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
                }
                response = browser.get(next).send().await.unwrap();
                continue;
            }
            // The pages ask for the name, and whether the app may have it.
            let (page, at) = (response.url().clone(), response.text().await.unwrap());
            let prompt = if at.contains(r#"value="login""#) { "login" } else { "consent" };
            let form = [("prompt", prompt), ("login", name), ("password", "any")];
            response = browser.post(page).form(&form).send().await.unwrap();
        };
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", "app"),
            ("code", &code),
            ("redirect_uri", SIGNED_IN),
            ("code_verifier", &verifier),
            ("resource", &resource),
        ];
        let tokens = browser.post(format!("{}/token", self.url)).form(&form).send().await.unwrap();
        let tokens: Value = tokens.json().await.unwrap();
        tokens["access_token"].as_str().unwrap_or_else(|| panic!("{tokens}")).to_owned()
    }

    /// Signs a token with whatever header and claims, by the key with an id, or by a secret.
    pub async fn sign(&self, header: Value, claims: Value, by: By<'_>) -> String {
        let mut token = json!({ "header": header, "claims": claims });
        match by {
            By::Key(id) => token["key"] = json!(id),
            By::Secret(secret) => token["secret"] = json!(secret),
        }
        let mut talk = self.talk.lock().await;
        talk.0.write_all(format!("{token}\n").as_bytes()).await.unwrap();
        talk.1.next_line().await.unwrap().expect("the issuer has ended")
    }
}

/// What signs a token.
#[derive(Clone, Copy)]
pub enum By<'a> {
    Key(&'a str),
    Secret(&'a str),
}

fn redirect(response: &Response) -> Option<Url> {
    let location = response.headers().get(LOCATION)?.to_str().unwrap();
    Some(response.url().join(location).unwrap())
}
