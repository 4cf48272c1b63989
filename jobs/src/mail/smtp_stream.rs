//! The connections below lettre: what a mail server may send on them, and when.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::bounded_stream::BoundedStream;

/// How many bytes a server may send before we say something. An answer has at most 100 kB, and TLS begins with the
/// server's certificates. lettre counts a line's bytes only once the line has ended.
const MOST: usize = 256 * 1_024;
/// The first byte that a client sends when TLS begins. No SMTP command begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// Connects to a mail server.
pub(super) async fn connect(host: &str, port: u16) -> io::Result<BoundedStream> {
    let stream = TcpStream::connect((host, port)).await?;
    // The end of an email is sent by itself. It would otherwise wait until the server has acknowledged what came before.
    stream.set_nodelay(true)?;
    Ok(BoundedStream::new(stream, MOST, "the server's answer is too long"))
}

/// A connection that begins without TLS, and may change to it (STARTTLS).
///
/// As long as there is no TLS, each read gives at most one line, and nothing can be written while a further line has
/// come already. Otherwise, answers that somebody on the network appends to the server's answer to STARTTLS would wait
/// in lettre's buffer, and count as answers that were received with TLS.
#[derive(Debug)]
pub(super) struct PlainStream {
    stream: BoundedStream,
    /// What has come and wasn't read yet. It is empty once TLS has begun.
    rest: VecDeque<u8>,
    has_tls: bool,
}

impl PlainStream {
    pub(super) fn new(stream: BoundedStream) -> Self {
        Self { stream, rest: VecDeque::new(), has_tls: false }
    }
}

impl AsyncTokioStream for PlainStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

impl AsyncRead for PlainStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.has_tls {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        if self.rest.is_empty() {
            let mut space = [0; 1_024];
            let mut read = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
            self.rest.extend(read.filled());
        }
        let line = self.rest.iter().position(|byte| *byte == b'\n').map_or(self.rest.len(), |end| end + 1);
        let line: Vec<u8> = self.rest.drain(..line.min(buffer.remaining())).collect();
        buffer.put_slice(&line);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PlainStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Err(io::Error::other("the server spoke out of turn")));
        }
        // What is written without an answer in between continues a command or an email, whatever its first byte is.
        self.has_tls |= self.stream.has_read() && bytes.first() == Some(&TLS_HANDSHAKE);
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A connection that has TLS from the first byte on.
#[derive(Debug)]
pub(super) struct EncryptedStream(pub(super) TlsStream<BoundedStream>);

impl AsyncTokioStream for EncryptedStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().0.peer_addr()
    }
}

impl AsyncRead for EncryptedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for EncryptedStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
