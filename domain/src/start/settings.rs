//! The settings of the API and the worker: environment variables, or the same names in `rollcall.toml`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::base::credit_rates::CreditRates;
use crate::base::issuer::Issuer;
use crate::base::limits;
use crate::base::link::PublicUrl;
use crate::base::secret::Keyring;
use crate::base::text::{self, EmailAddress};
use crate::database::Endpoint;
use crate::database::deployment::{Deployment, OrganizationCreation, WebhookTargets};

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// A JSON object per line.
    Json,
}

/// A staff member's bearer token, which is `name=token` in the setting.
#[derive(Debug, Clone)]
pub struct StaffToken {
    /// The name under which the audit log records them.
    pub name: String,
    /// The bearer token.
    pub token: SecretString,
}

/// The settings, as they were given.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    /// The URL of the database. Without it, the built-in PostgreSQL is used.
    #[serde(default)]
    database_url: Option<SecretString>,
    #[serde(default)]
    rollcall_direct_database_url: Option<SecretString>,
    #[serde(default)]
    rollcall_database_ca: Option<PathBuf>,
    #[serde(default)]
    rollcall_pooler_prepared_statements: bool,
    #[serde(default)]
    rollcall_data_dir: Option<PathBuf>,
    /// The address that the API listens on.
    #[serde(default = "default_listen")]
    pub rollcall_listen: SocketAddr,
    /// The address that serves metrics to Prometheus. Without it, there are no metrics.
    #[serde(default)]
    pub rollcall_metrics_listen: Option<SocketAddr>,
    #[serde(default)]
    rollcall_public_url: Option<PublicUrl>,
    /// A URL with smtp:// or smtps://, as lettre defines them. Without it, emails are written to files.
    #[serde(default)]
    pub rollcall_smtp_url: Option<SecretString>,
    #[serde(default)]
    rollcall_mail_from: Option<String>,
    #[serde(default)]
    rollcall_mail_dir: Option<PathBuf>,
    #[serde(default)]
    rollcall_support_email: Option<String>,
    #[serde(default)]
    rollcall_upgrade_url: Option<String>,
    #[serde(default)]
    rollcall_credit_rates: Option<String>,
    #[serde(default)]
    rollcall_secret: Option<SecretString>,
    #[serde(default)]
    rollcall_previous_secret: Option<SecretString>,
    #[serde(default)]
    rollcall_staff_tokens: Option<SecretString>,
    #[serde(default)]
    rollcall_issuers: Option<SecretString>,
    #[serde(default)]
    rollcall_trusted_proxies: Option<String>,
    #[serde(default)]
    rollcall_allowed_origins: Option<String>,
    /// Whether each user may belong to only one organization (D3).
    #[serde(default)]
    pub rollcall_one_organization_per_user: bool,
    /// Who may create organizations (D4).
    #[serde(default)]
    pub rollcall_organization_creation: OrganizationCreation,
    /// Whether webhooks may use plain HTTP.
    #[serde(default)]
    pub rollcall_webhook_allow_http: bool,
    /// Whether webhooks may deliver to private, loopback and link-local addresses.
    #[serde(default)]
    pub rollcall_webhook_allow_private: bool,
    #[serde(default = "default_invitations_per_day")]
    rollcall_invitations_per_day: u32,
    #[serde(default = "default_new_account_invitations_per_day")]
    rollcall_new_account_invitations_per_day: u32,
    /// What is logged, in the syntax of `tracing_subscriber::EnvFilter`.
    #[serde(default)]
    pub rust_log: Option<String>,
    /// The format of the log.
    #[serde(default)]
    pub rollcall_log: LogFormat,
}

/// The names of the settings, each with a description of its valid values for error messages. Other names are an
/// error, so that no mistake goes unnoticed.
const NAMES: &[(&str, &str)] = &[
    ("DATABASE_URL", "a URL such as postgres://user:password@host:5432/database"),
    ("ROLLCALL_DIRECT_DATABASE_URL", "a URL such as postgres://user:password@host:5432/database"),
    ("ROLLCALL_DATABASE_CA", "a file with certificates in PEM"),
    ("ROLLCALL_POOLER_PREPARED_STATEMENTS", "true or false"),
    ("ROLLCALL_DATA_DIR", "a folder"),
    ("ROLLCALL_LISTEN", "an address and a port such as 127.0.0.1:8080 or [::1]:8080"),
    ("ROLLCALL_METRICS_LISTEN", "an address and a port such as 127.0.0.1:9464"),
    ("ROLLCALL_PUBLIC_URL", "a URL such as https://rollcall.example"),
    ("ROLLCALL_SMTP_URL", "a URL such as smtp://user:password@host:587?tls=required"),
    ("ROLLCALL_MAIL_FROM", "a sender such as Rollcall <rollcall@example.org>"),
    ("ROLLCALL_MAIL_DIR", "a folder"),
    ("ROLLCALL_SUPPORT_EMAIL", "an address such as support@example.org"),
    ("ROLLCALL_UPGRADE_URL", "a URL such as https://example.org/plans"),
    ("ROLLCALL_CREDIT_RATES", "JSON such as {\"cpu_hour\": \"0.1\", \"network_gb\": {\"default\": \"0.09\"}}"),
    ("ROLLCALL_SECRET", "at least 32 characters"),
    ("ROLLCALL_PREVIOUS_SECRET", "at least 32 characters"),
    ("ROLLCALL_STAFF_TOKENS", "name=token, separated by commas"),
    (
        "ROLLCALL_ISSUERS",
        "JSON such as [{\"issuer\": \"https://id.example.org\", \"name\": \"Example\", \"audience\": \"rollcall\"}]",
    ),
    ("ROLLCALL_TRUSTED_PROXIES", "addresses and networks such as 10.0.0.5, fd00::/8"),
    ("ROLLCALL_ALLOWED_ORIGINS", "origins such as https://app.example.org, http://localhost:5173"),
    ("ROLLCALL_ONE_ORGANIZATION_PER_USER", "true or false"),
    ("ROLLCALL_ORGANIZATION_CREATION", "anyone or staff"),
    ("ROLLCALL_WEBHOOK_ALLOW_HTTP", "true or false"),
    ("ROLLCALL_WEBHOOK_ALLOW_PRIVATE", "true or false"),
    ("ROLLCALL_INVITATIONS_PER_DAY", "a whole number from 0"),
    ("ROLLCALL_NEW_ACCOUNT_INVITATIONS_PER_DAY", "a whole number from 0"),
    (
        "RUST_LOG",
        "a level (error, warn, info, debug, trace or off), or levels by target such as info,rollcall_jobs=debug",
    ),
    ("ROLLCALL_LOG", "text or json"),
];

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8080))
}

/// The sender of emails that are only written to files.
const LOCAL_SENDER: &str = "Rollcall <rollcall@localhost.localdomain>";
/// The minimum length of a secret.
const SHORTEST_SECRET: usize = 32;

fn default_invitations_per_day() -> u32 {
    limits::CAUSED_MAILS.account.tries.unsigned_abs()
}

fn default_new_account_invitations_per_day() -> u32 {
    limits::NEW_ACCOUNT_MAILS.unsigned_abs()
}

/// The settings that were given, by their names in upper case. White space around values is removed, since files with
/// secrets end with a line break. An empty value counts as not given.
struct GivenSettings(BTreeMap<&'static str, String>);

impl GivenSettings {
    /// Reads `rollcall.toml` in the working directory, if it exists, and then the environment, which overrides it.
    fn load() -> anyhow::Result<Self> {
        let mut given = Self(BTreeMap::new());
        let file = config::Config::builder()
            .add_source(config::File::from(Path::new("rollcall.toml")).required(false))
            .build()
            .and_then(|file| file.cache.into_table())
            .context("rollcall.toml can't be read")?;
        for (name, value) in file {
            // Each [[issuer]] is one of them.
            let name = if name == "issuer" { "rollcall_issuers".to_owned() } else { name };
            let known =
                known(&name).with_context(|| format!("rollcall.toml: there is no setting {name}{}", meant(&name)))?;
            // A setting that is JSON in the environment can be a table in the file, or several.
            let text = match value.kind {
                config::ValueKind::Array(_) if known != "ROLLCALL_ISSUERS" => value.into_string(),
                config::ValueKind::Table(_) | config::ValueKind::Array(_) => {
                    value.try_deserialize::<serde_json::Value>().map(|table| table.to_string())
                }
                _ => value.into_string(),
            };
            let text = text.map_err(|_| anyhow::anyhow!("rollcall.toml: {known} must be {}", allowed(known)))?;
            given.set(known, &text);
        }
        for (name, value) in std::env::vars_os() {
            let name = name.to_string_lossy();
            let Some(known) = known(&name) else {
                if name.to_uppercase().starts_with("ROLLCALL_") && !is_service_link(&name, &value.to_string_lossy()) {
                    bail!("there is no setting {name}{}: rename or unset it", meant(&name));
                }
                continue;
            };
            let Some(value) = value.to_str() else { bail!("{known} isn't UTF-8; it must be {}", allowed(known)) };
            given.set(known, value);
        }
        Ok(given)
    }

    fn set(&mut self, name: &'static str, text: &str) {
        if !text.trim().is_empty() {
            self.0.insert(name, text.trim().to_owned());
        }
    }

    fn read(&self) -> Result<Settings, config::ConfigError> {
        let mut settings = config::Config::builder();
        for (name, text) in &self.0 {
            settings = settings.set_override(name.to_lowercase(), text.as_str())?;
        }
        settings.build()?.try_deserialize()
    }

    /// Parses the settings. The error names the setting that is invalid, but not its value, which may be a secret.
    fn settings(self) -> anyhow::Result<Settings> {
        let error = match self.read() {
            Ok(settings) => return Ok(settings),
            Err(error) => error,
        };
        for (name, text) in self.0 {
            if name == "ROLLCALL_PUBLIC_URL" {
                text.parse::<PublicUrl>()?;
            }
            if Self(BTreeMap::from([(name, text)])).read().is_err() {
                bail!("{name} must be {}", allowed(name));
            }
        }
        Err(error.into())
    }
}

/// The name of a setting, whatever the case in which it is written.
fn known(name: &str) -> Option<&'static str> {
    NAMES.iter().map(|(known, _)| *known).find(|known| known.eq_ignore_ascii_case(name))
}

/// A description of the setting's valid values.
fn allowed(name: &str) -> &'static str {
    NAMES.iter().find(|(known, _)| *known == name).map_or("", |(_, allowed)| allowed)
}

/// The setting that was probably meant, as the end of a sentence.
fn meant(name: &str) -> String {
    // Only the parts that differ between settings are compared.
    let own_part = |name: &str| name.to_uppercase().trim_start_matches("ROLLCALL_").to_owned();
    let name = own_part(name);
    let likeness = |known: &str| strsim::normalized_damerau_levenshtein(&own_part(known), &name);
    let nearest =
        NAMES.iter().map(|(known, _)| (likeness(known), *known)).max_by(|one, other| one.0.total_cmp(&other.0));
    match nearest {
        Some((likeness, known)) if likeness > 0.6 => format!(" (is {known} meant?)"),
        _ => " (README lists those there are)".to_owned(),
    }
}

/// Whether an environment variable is one of those that Kubernetes sets for each Service of a namespace. Such a
/// Service may be called `rollcall` too.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_port = name.contains("_PORT_") && ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| name.contains(protocol));
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || is_port
        || (name.ends_with("_PORT") && value.contains("://"))
}

impl Settings {
    /// Reads `rollcall.toml` in the working directory, if it exists, and then the environment, which overrides it.
    ///
    /// # Errors
    /// If a setting is invalid. The error is one line that names the setting, its valid values, and what to do.
    pub fn load() -> anyhow::Result<Self> {
        let settings = GivenSettings::load()?.settings()?;
        settings.staff_tokens()?;
        settings.issuers()?;
        settings.trusted_proxies()?;
        settings.allowed_origins()?;
        settings.deployment()?;
        settings.check_secrets()?;
        settings.check_database()?;
        settings.check_mails()?;
        Ok(settings)
    }

    fn check_secrets(&self) -> anyhow::Result<()> {
        for (name, secret) in
            [("ROLLCALL_SECRET", &self.rollcall_secret), ("ROLLCALL_PREVIOUS_SECRET", &self.rollcall_previous_secret)]
        {
            if secret.as_ref().is_some_and(|secret| secret.expose_secret().chars().count() < SHORTEST_SECRET) {
                bail!(
                    "{name} must have at least {SHORTEST_SECRET} characters; `openssl rand -hex 32` makes a good one"
                );
            }
        }
        let same = |one: &SecretString, other: &SecretString| one.expose_secret() == other.expose_secret();
        if let (Some(secret), Some(previous)) = (&self.rollcall_secret, &self.rollcall_previous_secret)
            && same(secret, previous)
        {
            bail!(
                "ROLLCALL_PREVIOUS_SECRET is the same as ROLLCALL_SECRET: unset it, or name the secret before this one"
            );
        }
        Ok(())
    }

    fn check_database(&self) -> anyhow::Result<()> {
        if self.database_url.is_some() {
            if self.rollcall_data_dir.is_some() {
                bail!(
                    "ROLLCALL_DATA_DIR is the folder of the built-in PostgreSQL, but DATABASE_URL names another: unset one of \
                     them (ROLLCALL_MAIL_DIR is the folder for mails)"
                );
            }
            let ways = [self.database()?, self.direct_database()?];
            if self.rollcall_database_ca.is_some() && !ways.iter().flatten().any(Endpoint::judges_server) {
                bail!(
                    "ROLLCALL_DATABASE_CA is set, but nothing is compared with it: add sslmode=verify-full (or verify-ca, require) \
                     to DATABASE_URL"
                );
            }
            if self.rollcall_database_ca.is_some()
                && let Some(open) = ways.iter().flatten().find(|way| way.leaves_tls_open())
            {
                bail!(
                    "ROLLCALL_DATABASE_CA is set, but {} doesn't say whether it is for that way too: add sslmode=verify-full to it, or \
                     sslmode=disable where nobody can listen",
                    open.setting()
                );
            }
            if self.rollcall_pooler_prepared_statements && self.rollcall_direct_database_url.is_none() {
                bail!(
                    "ROLLCALL_POOLER_PREPARED_STATEMENTS says what the pooler in DATABASE_URL keeps, and a pooler takes \
                     ROLLCALL_DIRECT_DATABASE_URL, the way around it: set that too"
                );
            }
            return Ok(());
        }
        for (name, is_given) in [
            ("ROLLCALL_DIRECT_DATABASE_URL", self.rollcall_direct_database_url.is_some()),
            ("ROLLCALL_DATABASE_CA", self.rollcall_database_ca.is_some()),
        ] {
            if is_given {
                bail!("{name} belongs to DATABASE_URL, which isn't set: set that, or unset {name}");
            }
        }
        Ok(())
    }

    fn check_mails(&self) -> anyhow::Result<()> {
        if self.rollcall_smtp_url.is_none() {
            return Ok(());
        }
        if self.rollcall_mail_dir.is_some() {
            bail!("ROLLCALL_SMTP_URL sends emails and ROLLCALL_MAIL_DIR keeps them as files: unset one of them");
        }
        if self.rollcall_public_url.is_none() {
            bail!(
                "ROLLCALL_PUBLIC_URL is required with ROLLCALL_SMTP_URL: links in mails begin with it, such as \
                 https://rollcall.example"
            );
        }
        if self.rollcall_mail_from.is_none() {
            bail!(
                "ROLLCALL_MAIL_FROM is required with ROLLCALL_SMTP_URL: the sender, such as Rollcall <rollcall@example.org>"
            );
        }
        Ok(())
    }

    /// The endpoint of the given database. `None` if none is given.
    pub(crate) fn database(&self) -> anyhow::Result<Option<Endpoint>> {
        let Some(url) = &self.database_url else { return Ok(None) };
        let endpoint = Endpoint::parse("DATABASE_URL", url.expose_secret(), self.rollcall_database_ca.as_deref())?;
        // If there is a direct endpoint as well, this one leads to a pooler.
        match self.rollcall_direct_database_url {
            Some(_) => Ok(Some(endpoint.behind_pooler(self.rollcall_pooler_prepared_statements))),
            None => Ok(Some(endpoint)),
        }
    }

    /// The endpoint that leads to the database without a pooler, for migrations and listening. `None` if none is
    /// given.
    pub(crate) fn direct_database(&self) -> anyhow::Result<Option<Endpoint>> {
        let Some(url) = &self.rollcall_direct_database_url else { return Ok(None) };
        let ca = self.rollcall_database_ca.as_deref();
        Endpoint::parse("ROLLCALL_DIRECT_DATABASE_URL", url.expose_secret(), ca).map(Some)
    }

    /// The sender of emails.
    pub fn mail_from(&self) -> &str {
        self.rollcall_mail_from.as_deref().unwrap_or(LOCAL_SENDER)
    }

    /// Whether a data directory is set, which selects the built-in PostgreSQL.
    pub fn has_data_dir(&self) -> bool {
        self.rollcall_data_dir.is_some()
    }

    /// The directory of the built-in PostgreSQL, the emails and the secret.
    pub fn data_dir(&self) -> PathBuf {
        self.rollcall_data_dir.clone().unwrap_or_else(|| PathBuf::from("./data"))
    }

    /// The directory that emails are written to while no SMTP server is set: the one in the settings, or one in the
    /// data directory. `None` with a given database, since its operator might believe that emails were sent which are
    /// only in a directory of some worker.
    pub fn mail_dir(&self) -> Option<PathBuf> {
        match (&self.rollcall_mail_dir, &self.database_url) {
            (Some(folder), _) => Some(folder.clone()),
            (None, Some(_)) => None,
            (None, None) => Some(self.data_dir().join("mails")),
        }
    }

    /// The URL at which people reach the service. Fails if nobody could follow a link, because the URL isn't set
    /// although the API listens for other machines too.
    pub fn public_url(&self) -> anyhow::Result<PublicUrl> {
        self.public_url_at(self.rollcall_listen)
    }

    /// The same for an API that has found its port, since `ROLLCALL_LISTEN` may leave the choice of port open.
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

    /// Whether the API is only for this machine: it listens only here, and links lead only here.
    pub fn is_local(&self) -> bool {
        let public_is_local = self.rollcall_public_url.as_ref().is_none_or(PublicUrl::is_loopback);
        self.rollcall_listen.ip().is_loopback() && public_is_local
    }

    /// The deployment's choices about organizations.
    ///
    /// # Errors
    /// If one of them is wrong. The error is one line that names the setting.
    pub fn deployment(&self) -> anyhow::Result<Deployment> {
        let count = |number| i32::try_from(number).unwrap_or(i32::MAX);
        Ok(Deployment {
            one_organization_per_user: self.rollcall_one_organization_per_user,
            organization_creation: self.rollcall_organization_creation,
            webhook_targets: WebhookTargets {
                allow_http: self.rollcall_webhook_allow_http,
                allow_private: self.rollcall_webhook_allow_private,
            },
            invitations_per_day: count(self.rollcall_invitations_per_day),
            new_account_invitations_per_day: count(self.rollcall_new_account_invitations_per_day),
            credit_rates: self.credit_rates()?,
            upgrade_url: self.upgrade_url()?,
            support_email: self.support_email()?,
        })
    }

    /// What usage costs (R70).
    fn credit_rates(&self) -> anyhow::Result<CreditRates> {
        match &self.rollcall_credit_rates {
            Some(json) => CreditRates::parse(json).map_err(|wrong| anyhow::anyhow!("ROLLCALL_CREDIT_RATES {wrong}")),
            None => Ok(CreditRates::default()),
        }
    }

    /// Where organizations can ask for a larger plan.
    fn upgrade_url(&self) -> anyhow::Result<Option<String>> {
        let Some(given) = &self.rollcall_upgrade_url else { return Ok(None) };
        match text::optional_link("ROLLCALL_UPGRADE_URL", Some(given)) {
            Ok(url) => Ok(url),
            Err(_) => bail!("ROLLCALL_UPGRADE_URL must be {}", allowed("ROLLCALL_UPGRADE_URL")),
        }
    }

    /// The bearer tokens of the platform's staff.
    pub fn staff_tokens(&self) -> anyhow::Result<Vec<StaffToken>> {
        let Some(list) = &self.rollcall_staff_tokens else { return Ok(Vec::new()) };
        let mut tokens: Vec<StaffToken> = Vec::new();
        for entry in list.expose_secret().split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (name, token) = match entry.split_once('=') {
                Some((name, token)) if !name.trim().is_empty() && token.trim().len() >= 16 => {
                    (text::settled_line(name), token.trim())
                }
                _ => bail!("ROLLCALL_STAFF_TOKENS: each must be name=token, the token of at least 16 characters"),
            };
            if tokens.iter().any(|other| other.name == name || other.token.expose_secret() == token) {
                bail!("ROLLCALL_STAFF_TOKENS: {name} has the name or the token of another; each needs its own");
            }
            tokens.push(StaffToken { name, token: token.into() });
        }
        Ok(tokens)
    }

    /// The issuers that sign people in (R92).
    pub fn issuers(&self) -> anyhow::Result<Vec<Issuer>> {
        match &self.rollcall_issuers {
            Some(json) => {
                Issuer::parse_all(json.expose_secret()).map_err(|wrong| anyhow::anyhow!("ROLLCALL_ISSUERS {wrong}"))
            }
            None => Ok(Vec::new()),
        }
    }

    /// The address that people can write to, and that replies to emails go to.
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

    /// The proxies whose `X-Forwarded-For` is trusted.
    pub fn trusted_proxies(&self) -> anyhow::Result<Vec<IpNet>> {
        let entries = self.rollcall_trusted_proxies.as_deref().unwrap_or_default().split(',').map(str::trim);
        entries
            .filter(|entry| !entry.is_empty())
            .map(|entry| match (entry.parse::<IpAddr>(), entry.parse::<IpNet>()) {
                (Ok(address), _) => Ok(address.to_canonical().into()),
                // IPv4 addresses are compared as IPv4, even if they are mapped to IPv6.
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

    /// The origins of browser apps that may call `/graphql`, in the form in which browsers send them.
    pub fn allowed_origins(&self) -> anyhow::Result<Vec<String>> {
        let entries = self.rollcall_allowed_origins.as_deref().unwrap_or_default().split(',').map(str::trim);
        entries.filter(|entry| !entry.is_empty()).map(origin).collect()
    }

    /// The keyring of ROLLCALL_SECRET. With the built-in database, the secret may also be kept in the data directory.
    pub fn keyring(&self) -> anyhow::Result<Keyring> {
        let previous = self.rollcall_previous_secret.clone();
        if let Some(secret) = &self.rollcall_secret {
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

/// Parses an entry of ROLLCALL_ALLOWED_ORIGINS: scheme, host and port, and nothing else.
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
    // The part after the host is checked in the text, since `Url` turns an empty path into a slash.
    let rest = entry.split_once("://").map_or("", |(_, rest)| rest);
    if !url.username().is_empty() || url.password().is_some() || rest.contains(['/', '\\', '?', '#', '@']) {
        return Err(refuse(format!("has more than scheme, host and port; write {origin}")));
    }
    // Browsers write hosts in their ASCII form, and omit the port if it is the scheme's default.
    Ok(origin)
}

/// The secret in the data directory. It is created at the first use.
fn kept_secret(data_dir: &Path) -> anyhow::Result<SecretString> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;

    let path = data_dir.join("secret");
    let folder = || format!("{} can't be used", data_dir.display());
    std::fs::create_dir_all(data_dir).with_context(folder)?;
    if !path.exists() {
        // The secret is first written completely under another name, so that a process that starts at the same moment
        // sees all of it or nothing.
        let draft = data_dir.join(format!("secret.{}", crate::base::id::new_name()));
        let bytes = crate::base::random::bytes::<32>()?;
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
