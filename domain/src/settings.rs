//! The settings that API and worker share: environment variables, or the same names in `rollcall.toml`.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::database::Deployment;
use crate::limits;
use crate::link::PublicUrl;
use crate::secret::Keyring;
use crate::text::EmailAddress;
use crate::webhook::WebhookTargets;

/// Who may create organizations (D4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrganizationCreation {
    /// Whoever has an account.
    #[default]
    Anyone,
    /// The platform's staff only.
    Staff,
}

/// A staff member's bearer token, `name=token` in the setting.
#[derive(Debug, Clone)]
pub struct StaffToken {
    /// By which the audit log knows them.
    pub name: String,
    /// What they send as bearer token.
    pub token: SecretString,
}

/// The settings as they were given.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    /// PostgreSQL; without it the built-in one.
    #[serde(default)]
    pub database_url: Option<SecretString>,
    /// A way to PostgreSQL around a pooler, for migrations and listening.
    #[serde(default)]
    pub rollcall_direct_database_url: Option<SecretString>,
    #[serde(default)]
    rollcall_data_dir: Option<PathBuf>,
    /// Where the API listens.
    #[serde(default = "default_listen")]
    pub rollcall_listen: SocketAddr,
    /// Where Prometheus finds metrics; without it there are none.
    #[serde(default)]
    pub rollcall_metrics_listen: Option<SocketAddr>,
    #[serde(default)]
    rollcall_public_url: Option<PublicUrl>,
    /// lettre's smtp:// or smtps:// URL; without it mails are files under the data folder.
    #[serde(default)]
    pub rollcall_smtp_url: Option<SecretString>,
    /// Whom mails are from.
    #[serde(default = "default_mail_from")]
    pub rollcall_mail_from: String,
    #[serde(default)]
    rollcall_support_email: Option<String>,
    #[serde(default)]
    rollcall_secret: Option<SecretString>,
    #[serde(default)]
    rollcall_previous_secret: Option<SecretString>,
    #[serde(default)]
    rollcall_staff_tokens: Option<SecretString>,
    #[serde(default)]
    rollcall_trusted_proxies: Option<String>,
    #[serde(default)]
    rollcall_allowed_origins: Option<String>,
    /// D3.
    #[serde(default)]
    pub rollcall_one_organization_per_user: bool,
    /// D4.
    #[serde(default)]
    pub rollcall_organization_creation: OrganizationCreation,
    /// Webhooks may lead to plain http.
    #[serde(default)]
    pub rollcall_webhook_allow_http: bool,
    /// Webhooks may lead to private, loopback and link-local addresses.
    #[serde(default)]
    pub rollcall_webhook_allow_private: bool,
    #[serde(default = "default_invitations_per_day")]
    rollcall_invitations_per_day: u32,
    #[serde(default = "default_new_account_invitations_per_day")]
    rollcall_new_account_invitations_per_day: u32,
}

/// The settings' names, for the file: what isn't one is a mistake that must not go unnoticed.
const NAMES: &[&str] = &[
    "database_url",
    "rollcall_direct_database_url",
    "rollcall_data_dir",
    "rollcall_listen",
    "rollcall_metrics_listen",
    "rollcall_public_url",
    "rollcall_smtp_url",
    "rollcall_mail_from",
    "rollcall_support_email",
    "rollcall_secret",
    "rollcall_previous_secret",
    "rollcall_staff_tokens",
    "rollcall_trusted_proxies",
    "rollcall_allowed_origins",
    "rollcall_one_organization_per_user",
    "rollcall_organization_creation",
    "rollcall_webhook_allow_http",
    "rollcall_webhook_allow_private",
    "rollcall_invitations_per_day",
    "rollcall_new_account_invitations_per_day",
];

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8080))
}

fn default_mail_from() -> String {
    "Rollcall <rollcall@localhost.localdomain>".to_owned()
}

fn default_invitations_per_day() -> u32 {
    limits::CAUSED_MAILS.account.tries.unsigned_abs()
}

fn default_new_account_invitations_per_day() -> u32 {
    limits::NEW_ACCOUNT_MAILS.unsigned_abs()
}

/// The setting was given and isn't empty.
fn given(secret: Option<&SecretString>) -> Option<&SecretString> {
    secret.filter(|secret| !secret.expose_secret().trim().is_empty())
}

impl Settings {
    /// Reads `rollcall.toml` of the working directory, if there is one, and the environment over it.
    pub fn load() -> anyhow::Result<Self> {
        let file = config::Config::builder()
            .add_source(config::File::from(Path::new("rollcall.toml")).required(false))
            .build()
            .context("rollcall.toml can't be read")?;
        let mut settings = config::Config::builder();
        for (name, value) in file.cache.into_table().context("rollcall.toml isn't a table")? {
            // The file's names are those of the environment; the environment comes without case.
            let field = name.to_lowercase();
            if !NAMES.contains(&field.as_str()) {
                bail!("rollcall.toml: there is no setting {name}");
            }
            settings = settings.set_default(field, value)?;
        }
        let settings: Self = settings
            .add_source(config::Environment::default().ignore_empty(true))
            .build()
            .context("the settings can't be read")?
            .try_deserialize()
            .context("a setting has the wrong form")?;
        settings.staff_tokens()?;
        settings.trusted_proxies()?;
        settings.allowed_origins()?;
        settings.support_email()?;
        Ok(settings)
    }

    /// Whether a data folder was named, and with it the built-in PostgreSQL chosen.
    pub fn has_data_dir(&self) -> bool {
        self.rollcall_data_dir.is_some()
    }

    /// The folder of the built-in PostgreSQL, the mails and the secret.
    pub fn data_dir(&self) -> PathBuf {
        self.rollcall_data_dir.clone().unwrap_or_else(|| PathBuf::from("./data"))
    }

    /// Where mails are written while no SMTP server is set.
    pub fn mail_dir(&self) -> PathBuf {
        self.data_dir().join("mails")
    }

    /// Where people reach the service. Fails where nobody could follow a link: it isn't set, and the API listens for others too.
    pub fn public_url(&self) -> anyhow::Result<PublicUrl> {
        self.public_url_at(self.rollcall_listen)
    }

    /// The same for an API that has found its port: `ROLLCALL_LISTEN` may leave that open.
    pub fn public_url_at(&self, address: SocketAddr) -> anyhow::Result<PublicUrl> {
        match &self.rollcall_public_url {
            Some(url) => Ok(url.clone()),
            None if address.ip().is_loopback() => Ok(PublicUrl::of_listener(address)?),
            None => bail!(
                "ROLLCALL_PUBLIC_URL is required where ROLLCALL_LISTEN ({address}) isn't 127.0.0.1 or [::1]: links in mails begin with it; \
                 set it to where people reach the service, such as https://example.org or https://example.org/rollcall"
            ),
        }
    }

    /// Whether the API is for this machine alone: it listens here, and links don't lead elsewhere.
    pub fn is_local(&self) -> bool {
        let public_is_local = self.rollcall_public_url.as_ref().is_none_or(PublicUrl::is_loopback);
        self.rollcall_listen.ip().is_loopback() && public_is_local
    }

    /// What the deployment decides about organizations.
    pub fn deployment(&self) -> Deployment {
        let count = |number| i32::try_from(number).unwrap_or(i32::MAX);
        Deployment {
            one_organization_per_user: self.rollcall_one_organization_per_user,
            organization_creation: self.rollcall_organization_creation,
            webhook_targets: WebhookTargets {
                allow_http: self.rollcall_webhook_allow_http,
                allow_private: self.rollcall_webhook_allow_private,
            },
            invitations_per_day: count(self.rollcall_invitations_per_day),
            new_account_invitations_per_day: count(self.rollcall_new_account_invitations_per_day),
        }
    }

    /// The tokens of the platform's staff.
    pub fn staff_tokens(&self) -> anyhow::Result<Vec<StaffToken>> {
        let Some(list) = given(self.rollcall_staff_tokens.as_ref()) else { return Ok(Vec::new()) };
        list.expose_secret()
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .map(|entry| match entry.split_once('=') {
                Some((name, token)) if !name.trim().is_empty() && token.len() >= 16 => {
                    Ok(StaffToken { name: name.trim().to_owned(), token: token.into() })
                }
                _ => bail!("ROLLCALL_STAFF_TOKENS: each must be name=token, the token of at least 16 characters"),
            })
            .collect()
    }

    /// Whom people write to, and whom replies to mails reach.
    pub fn support_email(&self) -> anyhow::Result<Option<EmailAddress>> {
        let Some(address) = self.rollcall_support_email.as_deref().map(str::trim).filter(|text| !text.is_empty())
        else {
            return Ok(None);
        };
        match EmailAddress::parse("ROLLCALL_SUPPORT_EMAIL", address) {
            Ok(address) => Ok(Some(address)),
            Err(_) => bail!(
                "ROLLCALL_SUPPORT_EMAIL: {address:?} is no address; write it without a name, such as support@example.org"
            ),
        }
    }

    /// The proxies whose X-Forwarded-For is believed.
    pub fn trusted_proxies(&self) -> anyhow::Result<Vec<IpNet>> {
        let entries = self.rollcall_trusted_proxies.as_deref().unwrap_or_default().split(',').map(str::trim);
        entries
            .filter(|entry| !entry.is_empty())
            .map(|entry| match (entry.parse::<IpAddr>(), entry.parse::<IpNet>()) {
                (Ok(address), _) => Ok(address.to_canonical().into()),
                // Addresses are compared as IPv4 where they are.
                (_, Ok(IpNet::V6(network))) if network.addr().to_ipv4_mapped().is_some() => {
                    bail!("ROLLCALL_TRUSTED_PROXIES: {entry:?} is a network of IPv4; write it as 10.0.0.0/8")
                }
                (_, Ok(network)) => Ok(network.trunc()),
                _ => bail!(
                    "ROLLCALL_TRUSTED_PROXIES: {entry:?} is no address or network; write them as 10.0.0.5, 10.0.0.0/8, fd00::/8"
                ),
            })
            .collect()
    }

    /// The origins of browser apps that may call /graphql, as browsers name them.
    pub fn allowed_origins(&self) -> anyhow::Result<Vec<String>> {
        let entries = self.rollcall_allowed_origins.as_deref().unwrap_or_default().split(',').map(str::trim);
        entries.filter(|entry| !entry.is_empty()).map(origin).collect()
    }

    /// The keyring: of ROLLCALL_SECRET, or, with the built-in database, of a secret kept in the data folder.
    pub fn keyring(&self) -> anyhow::Result<Keyring> {
        let previous = given(self.rollcall_previous_secret.as_ref()).cloned();
        if let Some(secret) = given(self.rollcall_secret.as_ref()) {
            if secret.expose_secret().len() < 32 {
                bail!("ROLLCALL_SECRET must have at least 32 characters; `openssl rand -hex 32` makes a good one");
            }
            return Ok(Keyring::new(secret.clone(), previous));
        }
        if self.database_url.is_some() {
            bail!(
                "ROLLCALL_SECRET is required with DATABASE_URL, the same for every process; `openssl rand -hex 32` makes one"
            );
        }
        Ok(Keyring::new(kept_secret(&self.data_dir())?, previous))
    }
}

/// One of ROLLCALL_ALLOWED_ORIGINS: scheme, host and port, and nothing else.
fn origin(entry: &str) -> anyhow::Result<String> {
    let refuse = |why: String| anyhow::anyhow!("ROLLCALL_ALLOWED_ORIGINS: {entry:?} {why}");
    const FORM: &str = "write exact origins, such as https://app.example.org or http://localhost:5173";
    if entry.contains('*') {
        return Err(refuse(format!("has a wildcard; {FORM}")));
    }
    let Ok(url) = Url::parse(entry) else { return Err(refuse(format!("is no origin; {FORM}"))) };
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse(format!("is neither http:// nor https://; {FORM}")));
    }
    let origin = url.origin().ascii_serialization();
    // What is behind the host: `Url` makes a slash of nothing.
    let rest = entry.split_once("://").map_or("", |(_, rest)| rest);
    if !url.username().is_empty() || url.password().is_some() || rest.contains(['/', '\\', '?', '#', '@']) {
        return Err(refuse(format!("has more than scheme, host and port; write {origin}")));
    }
    // Browsers write hosts in their ASCII form, and leave out the port that the scheme implies.
    Ok(origin)
}

/// The secret in the data folder, made at the first use.
fn kept_secret(data_dir: &Path) -> anyhow::Result<SecretString> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;

    let path = data_dir.join("secret");
    let folder = || format!("{} can't be used", data_dir.display());
    std::fs::create_dir_all(data_dir).with_context(folder)?;
    if !path.exists() {
        // Written whole under another name first: a process that starts at the same moment sees all or nothing.
        let draft = data_dir.join(format!("secret.{}", crate::id::new_name()));
        let bytes = crate::secret::random_bytes::<32>()?;
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).with_context(folder)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        let linked = std::fs::hard_link(&draft, &path);
        std::fs::remove_file(&draft)?;
        match linked {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error).with_context(folder),
            _ => {}
        }
    }
    let secret = std::fs::read_to_string(&path).with_context(folder)?;
    Ok(secret.trim().to_owned().into())
}
