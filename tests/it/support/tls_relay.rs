//! TLS before a server of the tests that speaks none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::server::Certificate;

/// The relay; it ends with the test's runtime.
pub struct TlsRelay {
    pub port: u16,
    target: Arc<AtomicU16>,
}

impl TlsRelay {
    /// Listens with the certificate; where it leads to is said later.
    pub async fn start(certificate: &Certificate) -> Self {
        Self::listen(certificate, None).await
    }

    /// Like `start`, for a mail server whose clients begin TLS by STARTTLS. It sends the answer to that and `more` as
    /// one packet, without TLS.
    pub async fn with_starttls(certificate: &Certificate, more: &'static str) -> Self {
        Self::listen(certificate, Some(more)).await
    }

    async fn listen(certificate: &Certificate, starttls: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, target) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU16::new(0)));
        let chain = vec![CertificateDer::from_pem_slice(certificate.pem.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let (acceptor, leads_to) = (TlsAcceptor::from(Arc::new(config)), target.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (acceptor, target) = (acceptor.clone(), leads_to.load(Ordering::Relaxed));
                tokio::spawn(async move {
                    if let Some(more) = starttls
                        && begin(&mut stream, more).await.is_err()
                    {
                        return;
                    }
                    // Whoever doesn't trust the certificate ends here.
                    let Ok(mut encrypted) = acceptor.accept(stream).await else { return };
                    let mut plain = BufReader::new(TcpStream::connect(("127.0.0.1", target)).await.unwrap());
                    if starttls.is_some() {
                        // The client was greeted before TLS began.
                        plain.read_line(&mut String::new()).await.unwrap();
                    }
                    let _ = tokio::io::copy_bidirectional(&mut encrypted, &mut plain).await;
                });
            }
        });
        Self { port, target }
    }

    /// Leads to a port of this machine.
    pub fn lead_to(&self, port: u16) {
        self.target.store(port, Ordering::Relaxed);
    }
}

/// The conversation up to STARTTLS.
async fn begin(stream: &mut TcpStream, more: &str) -> std::io::Result<()> {
    let mut command = [0; 512];
    for answer in ["220 test ESMTP\r\n", "250-test\r\n250 STARTTLS\r\n"] {
        stream.write_all(answer.as_bytes()).await?;
        // Clients wait for an answer after each command.
        let _length = stream.read(&mut command).await?;
    }
    stream.write_all(format!("220 Go ahead\r\n{more}").as_bytes()).await
}
