//! TLS to PostgreSQL: what each `sslmode` of libpq requires, implemented with rustls.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;
use x509_cert::Certificate;
use x509_cert::der::{Decode, oid::db::rfc4519::CN};

/// The TLS mode, in libpq's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SslMode {
    /// No TLS.
    Disable,
    /// TLS if the server offers it, whoever the server is.
    Prefer,
    /// TLS. If a CA is given, it must have issued the server's certificate.
    Require,
    /// The given CA must have issued the server's certificate.
    VerifyCa,
    /// In addition, the certificate must name the host.
    VerifyFull,
}

impl SslMode {
    const ALL: [(&'static str, Self); 5] = [
        ("disable", Self::Disable),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
        ("verify-ca", Self::VerifyCa),
        ("verify-full", Self::VerifyFull),
    ];

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(name, _)| *name == text).map(|(_, mode)| mode)
    }

    pub(super) fn names() -> String {
        Self::ALL.map(|(name, _)| name).join(", ")
    }
}

/// The root certificates against which a server's certificate is verified.
#[derive(Debug, Clone, Copy)]
pub(super) enum Roots<'p> {
    /// None were configured.
    Unnamed,
    /// `sslrootcert=system`.
    System,
    /// The file in `sslrootcert`: only its certificates.
    File(&'p Path),
    /// The file in ROLLCALL_DATABASE_CA: its certificates and, if the host's name is verified, the system's.
    CaSetting(&'p Path),
}

impl Roots<'_> {
    fn of_file(self, path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
        let file = match self {
            Self::CaSetting(_) => format!("the CA file {} of ROLLCALL_DATABASE_CA", path.display()),
            Self::Unnamed | Self::System | Self::File(_) => format!("the CA file {}", path.display()),
        };
        let unreadable = || format!("{file} can't be read; it must hold certificates in PEM");
        let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
            .with_context(unreadable)?
            .collect::<Result<_, _>>()
            .with_context(unreadable)?;
        if certificates.is_empty() {
            bail!("{file} holds no certificate in PEM");
        }
        Ok(certificates)
    }

    fn of_system() -> Vec<CertificateDer<'static>> {
        rustls_native_certs::load_native_certs().certs
    }
}

/// Returns the TLS connector for the mode, or `None` if the mode uses no TLS. Errors don't name the setting.
pub(super) fn connector(
    mode: SslMode,
    roots: Roots<'_>,
    binds_channel: bool,
) -> anyhow::Result<Option<MakeRustlsConnect>> {
    let certificates = match (mode, roots) {
        (SslMode::Disable, _) => return Ok(None),
        (SslMode::Prefer, _) | (SslMode::Require, Roots::Unnamed) => None,
        (SslMode::Require | SslMode::VerifyCa, Roots::File(path) | Roots::CaSetting(path))
        | (SslMode::VerifyFull, Roots::File(path)) => Some(roots.of_file(path)?),
        (SslMode::VerifyCa, Roots::Unnamed) => bail!(
            "sslmode=verify-ca needs the CA: name its file in ROLLCALL_DATABASE_CA or sslrootcert, or use verify-full with the \
             system's certificates"
        ),
        (SslMode::Require | SslMode::VerifyCa, Roots::System) => bail!(
            "with sslrootcert=system anybody's certificate would do: use sslmode=verify-full, which looks at the host's name too"
        ),
        (SslMode::VerifyFull, Roots::Unnamed | Roots::System) => {
            let system = Roots::of_system();
            if system.is_empty() {
                bail!(
                    "this machine has no root certificates for sslmode=verify-full: install them (ca-certificates), or name your \
                     CA's file in ROLLCALL_DATABASE_CA"
                );
            }
            Some(system)
        }
        (SslMode::VerifyFull, Roots::CaSetting(path)) => Some([roots.of_file(path)?, Roots::of_system()].concat()),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = CertificateVerifier::new(certificates, mode == SslMode::VerifyFull, binds_channel, &provider)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Some(MakeRustlsConnect::new(config)))
}

/// Verifies a server's certificate as libpq does: not at all, against the CA, or against the CA and the host's name.
#[derive(Debug)]
struct CertificateVerifier {
    /// `None` accepts every certificate.
    trusted: Option<TrustedRoots>,
    names_host: bool,
    binds_channel: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
struct TrustedRoots {
    roots: RootCertStore,
    /// The same certificates. A server may present one of them itself, for example a self-signed one.
    certificates: Vec<CertificateDer<'static>>,
}

impl CertificateVerifier {
    fn new(
        certificates: Option<Vec<CertificateDer<'static>>>,
        names_host: bool,
        binds_channel: bool,
        provider: &CryptoProvider,
    ) -> anyhow::Result<Self> {
        let trusted = certificates.map(|certificates| {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates.iter().cloned());
            TrustedRoots { roots, certificates }
        });
        Ok(Self { trusted, names_host, binds_channel, algorithms: provider.signature_verification_algorithms })
    }

    /// Whether signatures needn't be verified, since the certificate could be anybody's anyway.
    fn takes_any_signature(&self, certificate: &CertificateDer<'_>) -> bool {
        // Certificates that rustls can't read are X.509 version 1, as `openssl x509 -req` creates them.
        self.trusted.is_none() && !self.binds_channel && ParsedCertificate::try_from(certificate).is_err()
    }
}

fn refused(reason: CertificateError) -> rustls::Error {
    rustls::Error::InvalidCertificate(reason)
}

impl ServerCertVerifier for CertificateVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(trusted) = &self.trusted else { return Ok(ServerCertVerified::assertion()) };
        let parsed = ParsedCertificate::try_from(certificate)
            .map_err(|_| rustls::Error::General("the server's certificate isn't of version 3 of X.509".to_owned()))?;
        let fields = Certificate::from_der(certificate).map_err(|_| refused(CertificateError::BadEncoding))?;
        if trusted.certificates.contains(certificate) {
            let validity = &fields.tbs_certificate.validity;
            let now = now.as_secs();
            if now < validity.not_before.to_unix_duration().as_secs() {
                return Err(refused(CertificateError::NotValidYet));
            }
            if now > validity.not_after.to_unix_duration().as_secs() {
                return Err(refused(CertificateError::Expired));
            }
        } else {
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                &trusted.roots,
                intermediates,
                now,
                self.algorithms.all,
            )?;
        }
        if self.names_host
            && let Err(error) = verify_server_name(&parsed, host)
            && !is_named_by_subject(&error, &fields, host)
        {
            return Err(error);
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.takes_any_signature(certificate) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.takes_any_signature(certificate) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether a certificate without alternative names has the host as its subject's common name, which is where
/// PostgreSQL's manual tells people to put it.
fn is_named_by_subject(error: &rustls::Error, fields: &Certificate, host: &ServerName<'_>) -> bool {
    let has_names = !matches!(error, rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. })
        if presented.is_empty());
    if has_names {
        return false;
    }
    let host = host.to_str();
    let mut names =
        fields.tbs_certificate.subject.0.iter().flat_map(|part| part.0.iter()).filter(|name| name.oid == CN);
    names.any(|name| std::str::from_utf8(name.value.value()).is_ok_and(|name| fits(name, &host)))
}

/// Whether a name matches the host. A leading `*.` stands for any one label.
fn fits(name: &str, host: &str) -> bool {
    let is_same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
    match (name.strip_prefix("*."), host.split_once('.')) {
        (Some(domain), Some((label, rest))) => !label.is_empty() && domain.contains('.') && is_same(domain, rest),
        (Some(_), None) => false,
        (None, _) => is_same(name, host),
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_common_name_fits_its_host_and_one_label_for_a_star() {
        for (name, host) in [("db.example.org", "DB.example.org"), ("*.example.org", "db.example.org")] {
            assert!(fits(name, host), "{name} {host}");
        }
        for (name, host) in [
            ("db.example.org", "db.example.com"),
            ("*.example.org", "a.db.example.org"),
            ("*.example.org", "example.org"),
            ("*.org", "example.org"),
            ("*", "db"),
        ] {
            assert!(!fits(name, host), "{name} {host}");
        }
    }
}
