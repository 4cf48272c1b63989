//! A TCP connection on which the peer can't send without end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A TCP stream that fails once the peer has sent more than `limit` bytes since we last wrote something.
///
/// The parsers of HTTP and SMTP that read from it have no limits of their own for everything a peer may send: an
/// endless row of interim responses, for example, or an endless line. Time limits don't replace this one, since a
/// parser that always finds more to read gives the timer no turn.
#[derive(Debug)]
pub(crate) struct BoundedStream {
    stream: TcpStream,
    limit: usize,
    /// The error's words.
    excess: &'static str,
    /// The number of bytes that were read since the last write.
    read: usize,
}

impl BoundedStream {
    pub(crate) fn new(stream: TcpStream, limit: usize, excess: &'static str) -> Self {
        Self { stream, limit, excess, read: 0 }
    }

    /// Whether the peer has sent something since we last wrote.
    pub(crate) fn has_read(&self) -> bool {
        self.read > 0
    }

    pub(crate) fn peer_addr(&self) -> io::Result<std::net::SocketAddr> {
        self.stream.peer_addr()
    }
}

impl AsyncRead for BoundedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.read += buffer.filled().len() - before;
        if self.read > self.limit {
            buffer.set_filled(before);
            return Poll::Ready(Err(io::Error::other(self.excess)));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.read = 0;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Connection for BoundedStream {
    fn connected(&self) -> Connected {
        self.stream.connected()
    }
}
