//! The traffic of a connection to PostgreSQL. Three things are done to it that neither diesel-async nor tokio-postgres
//! lets its users do.
//!
//! - **Errors keep their SQLSTATE.** diesel shows an error's message, which is in the server's language, but not its
//!   code. Here the code is put before the message, in psql's form: `40P01: deadlock detected`.
//! - **Statements have no names behind a pooler.** A pooler that gives each transaction another server connection
//!   (PgBouncer before 1.21) doesn't know the statements that were prepared on the previous one. If the settings ask
//!   for it, a statement's text is sent with each use, as the unnamed statement, which the next one replaces in
//!   PostgreSQL.
//! - **Outstanding answers are counted.** A user who reads only the first rows leaves the rest of the answer on the
//!   connection.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A stream with TLS.
type Encrypted<S> = <MakeRustlsConnect as MakeTlsConnect<S>>::Stream;

/// How statements are named on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatementNames {
    /// Each statement has a name of its own and is parsed once.
    Kept,
    /// No statement has a name, for poolers.
    Removed,
}

/// Who ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// We do.
    Ours,
    /// The server does, once it has done what it was asked to do. PgBouncer 1.18 fails if a client that cancels a
    /// statement doesn't wait for that.
    Servers,
}

/// A stream to PostgreSQL, with or without TLS.
pub(super) enum Transport<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    Plain(S),
    Encrypted(Box<Encrypted<S>>),
}

/// A stream to PostgreSQL, as tokio-postgres sees it.
pub(super) struct Wire<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    transport: Transport<S>,
    ending: Ending,
    unnaming: Option<StatementUnnamer>,
    unanswered: Unanswered,
    /// Whether the first message was sent. It is the only one without a type.
    has_begun: bool,
    /// Bytes to send that aren't a whole message yet.
    outgoing: BytesMut,
    /// Bytes to be written next.
    unwritten: BytesMut,
    /// Received bytes that aren't a whole message yet.
    incoming: BytesMut,
    /// Bytes that tokio-postgres is to read next.
    unread: BytesMut,
}

/// The number of requests that were sent on a connection and whose answers haven't ended yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Unanswered(watch::Sender<usize>);

impl Unanswered {
    fn was_sent(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    fn was_answered(&self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }

    pub(super) fn is_none(&self) -> bool {
        *self.0.borrow() == 0
    }

    /// Waits until all answers have ended.
    pub(super) async fn ended(&self) {
        // The sender can't be gone, since it is this one.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

/// How many bytes are read at a time.
const CHUNK: usize = 16 * 1_024;
/// The length of a message's header: one byte for its type, and four for its length.
const HEADER: usize = 5;

impl<S> Wire<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    pub(super) fn new(transport: Transport<S>, names: StatementNames, ending: Ending, unanswered: Unanswered) -> Self {
        let unnaming = match names {
            StatementNames::Kept => None,
            StatementNames::Removed => Some(StatementUnnamer::default()),
        };
        unanswered.0.send_replace(0);
        let [outgoing, unwritten, incoming, unread] = Default::default();
        Self { transport, ending, unnaming, unanswered, has_begun: false, outgoing, unwritten, incoming, unread }
    }

    fn poll_write_out(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unwritten.has_remaining() {
            let written = ready!(Pin::new(&mut self.transport).poll_write(context, &self.unwritten))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unwritten.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

/// Takes the next whole message from a buffer. Only the first message that a client sends has no type.
fn take_message(buffer: &mut BytesMut, is_typed: bool) -> io::Result<Option<Bytes>> {
    let skipped = usize::from(is_typed);
    let Some(length) = buffer.get(skipped..skipped + 4).and_then(|bytes| bytes.try_into().ok()) else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(length) as usize;
    if length < 4 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message of PostgreSQL's protocol is broken"));
    }
    let whole = skipped + length;
    if buffer.len() < whole {
        buffer.reserve(whole - buffer.len());
        return Ok(None);
    }
    Ok(Some(buffer.split_to(whole).freeze()))
}

fn put_message(out: &mut BytesMut, kind: u8, parts: &[&[u8]]) {
    let length = 4 + parts.iter().map(|part| part.len()).sum::<usize>();
    out.put_u8(kind);
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    for part in parts {
        out.put_slice(part);
    }
}

/// Splits at the next NUL.
fn split_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    Some((parts.next()?, parts.next()?))
}

/// Writes an error with its code before its message.
fn put_error(out: &mut BytesMut, body: &[u8]) {
    let mut fields = Vec::new();
    let mut rest = body;
    while let Some((kind @ 1.., text)) = rest.split_first()
        && let Some((text, after)) = split_text(text)
    {
        fields.push((*kind, text));
        rest = after;
    }
    let code = fields.iter().find(|(kind, _)| *kind == b'C').map_or(&b""[..], |(_, code)| code);
    let mut rewritten = Vec::with_capacity(body.len() + 8);
    for (kind, text) in &fields {
        rewritten.push(*kind);
        if *kind == b'M' && !code.is_empty() {
            rewritten.extend_from_slice(code);
            rewritten.extend_from_slice(b": ");
        }
        rewritten.extend_from_slice(text);
        rewritten.push(0);
    }
    rewritten.push(0);
    put_message(out, b'E', &[&rewritten]);
}

/// A reply that is expected from the server.
enum ExpectedReply {
    /// The server has parsed a statement. `is_known` says whether tokio-postgres asked for that.
    Parsed { is_known: bool },
    /// The server is ready for the next request.
    Ready,
}

/// Removes the names of statements from messages.
#[derive(Default)]
struct StatementUnnamer {
    /// For each statement that tokio-postgres has prepared, the part of its Parse message after the name.
    statements: HashMap<Vec<u8>, Bytes>,
    /// The statement that is the unnamed one at present, within a request.
    current: Option<Vec<u8>>,
    expected: VecDeque<ExpectedReply>,
}

impl StatementUnnamer {
    fn rewrite(&mut self, message: &Bytes, out: &mut BytesMut) {
        let whole = |out: &mut BytesMut| out.put_slice(message);
        let (Some(kind), Some(body)) = (message.first(), message.get(HEADER..)) else { return whole(out) };
        match kind {
            b'P' => {
                let Some((name, text)) = split_text(body) else { return whole(out) };
                self.statements.insert(name.to_vec(), message.slice_ref(text));
                self.parse(name, true, out);
            }
            b'B' => {
                let Some((portal, rest)) = split_text(body) else { return whole(out) };
                let Some((name, values)) = split_text(rest) else { return whole(out) };
                self.parse(name, false, out);
                put_message(out, b'B', &[portal, &[0, 0], values]);
            }
            b'D' | b'C' => {
                let Some((b'S', name)) = body.split_first() else { return whole(out) };
                let Some((name, _)) = split_text(name) else { return whole(out) };
                if *kind == b'D' {
                    self.parse(name, false, out);
                } else {
                    self.statements.remove(name);
                    self.current = None;
                }
                put_message(out, *kind, &[&[b'S', 0]]);
            }
            b'S' | b'Q' => {
                self.current = None;
                self.expected.push_back(ExpectedReply::Ready);
                whole(out);
            }
            _ => whole(out),
        }
    }

    /// Sends a Parse message for the statement as the unnamed one, unless it already is.
    fn parse(&mut self, name: &[u8], is_known: bool, out: &mut BytesMut) {
        if !is_known && self.current.as_deref() == Some(name) {
            return;
        }
        if let Some(text) = self.statements.get(name) {
            put_message(out, b'P', &[&[0], text]);
            self.expected.push_back(ExpectedReply::Parsed { is_known });
            self.current = Some(name.to_vec());
        }
    }

    /// Whether to pass the server's message on to tokio-postgres.
    fn is_passed_on(&mut self, kind: u8) -> bool {
        match kind {
            b'1' => !matches!(self.expected.pop_front(), Some(ExpectedReply::Parsed { is_known: false })),
            // After an error the server skips the rest of the request.
            b'Z' => {
                while let Some(ExpectedReply::Parsed { .. }) = self.expected.pop_front() {}
                true
            }
            _ => true,
        }
    }
}

impl<S> AsyncRead for Wire<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.unread.is_empty() {
            let mut chunk = [0; CHUNK];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.transport).poll_read(context, &mut chunk))?;
            if chunk.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.incoming.extend_from_slice(chunk.filled());
            while let Some(message) = take_message(&mut this.incoming, true)? {
                let (Some(kind), Some(body)) = (message.first(), message.get(HEADER..)) else { continue };
                if this.unnaming.as_mut().is_some_and(|unnaming| !unnaming.is_passed_on(*kind)) {
                    continue;
                }
                if *kind == b'Z' {
                    this.unanswered.was_answered();
                }
                match kind {
                    b'E' => put_error(&mut this.unread, body),
                    _ => this.unread.put_slice(&message),
                }
            }
        }
        let part = this.unread.split_to(this.unread.len().min(buffer.remaining()));
        buffer.put_slice(&part);
        Poll::Ready(Ok(()))
    }
}

impl<S> AsyncWrite for Wire<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.unwritten.len() >= CHUNK {
            ready!(this.poll_write_out(context))?;
        }
        this.outgoing.extend_from_slice(bytes);
        while let Some(message) = take_message(&mut this.outgoing, this.has_begun)? {
            let is_first = !std::mem::replace(&mut this.has_begun, true);
            if is_first || matches!(message.first(), Some(b'S' | b'Q')) {
                this.unanswered.was_sent();
            }
            match &mut this.unnaming {
                Some(unnaming) if !is_first => unnaming.rewrite(&message, &mut this.unwritten),
                _ => this.unwritten.put_slice(&message),
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_write_out(context))?;
        Pin::new(&mut this.transport).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_write_out(context))?;
        if this.ending == Ending::Servers {
            ready!(Pin::new(&mut this.transport).poll_flush(context))?;
            let mut chunk = [0; 64];
            loop {
                let mut chunk = ReadBuf::new(&mut chunk);
                // It doesn't matter how the server ends the connection.
                let read = ready!(Pin::new(&mut this.transport).poll_read(context, &mut chunk));
                if read.is_err() || chunk.filled().is_empty() {
                    break;
                }
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.transport).poll_shutdown(context)
    }
}

impl<S> TlsStream for Wire<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    fn channel_binding(&self) -> ChannelBinding {
        match &self.transport {
            Transport::Plain(_) => ChannelBinding::none(),
            Transport::Encrypted(stream) => stream.channel_binding(),
        }
    }
}

impl<S> AsyncRead for Transport<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Encrypted(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl<S> AsyncWrite for Transport<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Encrypted(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Encrypted(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Encrypted(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Bytes {
        let mut out = BytesMut::new();
        put_message(&mut out, kind, &[body]);
        out.freeze()
    }

    #[test]
    fn an_error_has_its_code_before_its_message_and_the_rest_stays() {
        let mut out = BytesMut::new();
        put_error(&mut out, b"SFEHLER\0VERROR\0C40P01\0MVerklemmung entdeckt\0Ddetail\0ndeadlock_key\0\0");
        let wanted = b"SFEHLER\0VERROR\0C40P01\0M40P01: Verklemmung entdeckt\0Ddetail\0ndeadlock_key\0\0";
        assert_eq!(out.freeze(), message(b'E', wanted));
    }

    #[test]
    fn messages_are_taken_whole_however_they_come() {
        let whole = [message(b'Q', b"SELECT 1\0"), message(b'S', b"")].concat();
        let mut buffer = BytesMut::new();
        let mut taken = Vec::new();
        for byte in whole {
            buffer.put_u8(byte);
            taken.extend(take_message(&mut buffer, true).unwrap());
        }
        assert_eq!(taken, [message(b'Q', b"SELECT 1\0"), message(b'S', b"")]);
        assert!(take_message(&mut BytesMut::from(&b"Q\0\0\0\x01"[..]), true).is_err());
    }

    #[tokio::test]
    async fn an_answer_is_under_way_until_the_server_is_ready_again() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (ours, mut servers) = tokio::io::duplex(1_024);
        let unanswered = Unanswered::default();
        let mut wire = Wire::new(Transport::Plain(ours), StatementNames::Kept, Ending::Ours, unanswered.clone());
        let (startup, ready) = (b"\0\0\0\x08\0\x03\0\0", message(b'Z', b"I"));
        let (sync, query) = (message(b'S', b""), message(b'Q', b"SELECT 1\0"));
        let answer = async |wire: &mut Wire<_>, servers: &mut tokio::io::DuplexStream, part: &[u8]| {
            servers.write_all(part).await.unwrap();
            wire.read_exact(&mut vec![0; part.len()]).await.unwrap();
        };
        wire.write_all(startup).await.unwrap();
        answer(&mut wire, &mut servers, &ready).await;
        assert!(unanswered.is_none());
        // Requests count from the moment when they are completely sent.
        wire.write_all(&sync[..3]).await.unwrap();
        assert!(unanswered.is_none());
        wire.write_all(&sync[3..]).await.unwrap();
        wire.write_all(&query).await.unwrap();
        wire.flush().await.unwrap();
        for (part, is_none) in
            [(message(b'D', b"row"), false), (ready.clone(), false), (message(b'D', b"row"), false), (ready, true)]
        {
            answer(&mut wire, &mut servers, &part).await;
            assert_eq!(unanswered.is_none(), is_none);
        }
        let mut sent = vec![0; startup.len() + sync.len() + query.len()];
        servers.read_exact(&mut sent).await.unwrap();
        assert_eq!(sent, [&startup[..], &sync, &query].concat());
    }

    #[test]
    fn a_statements_text_goes_along_with_each_use_and_its_name_nowhere() {
        let mut unnaming = StatementUnnamer::default();
        let sent = |unnaming: &mut StatementUnnamer, messages: &[Bytes]| {
            let mut out = BytesMut::new();
            for message in messages {
                unnaming.rewrite(message, &mut out);
            }
            std::iter::from_fn(|| take_message(&mut out, true).unwrap()).collect::<Vec<_>>()
        };
        let sync = message(b'S', b"");
        let parse = message(b'P', b"\0SELECT $1\0\0\0");
        // Preparing a statement: the server answers what was asked.
        let prepared =
            sent(&mut unnaming, &[message(b'P', b"s1\0SELECT $1\0\0\0"), message(b'D', b"Ss1\0"), sync.clone()]);
        assert_eq!(prepared, [parse.clone(), message(b'D', b"S\0"), sync.clone()]);
        assert!([b'1', b't', b'T', b'Z'].map(|kind| unnaming.is_passed_on(kind)) == [true; 4]);
        // Each use parses the statement again, which the client doesn't learn.
        for _ in 0..2 {
            let used =
                sent(&mut unnaming, &[message(b'B', b"\0s1\0values"), message(b'E', b"\0\0\0\0\0"), sync.clone()]);
            assert_eq!(used, [parse.clone(), message(b'B', b"\0\0values"), message(b'E', b"\0\0\0\0\0"), sync.clone()]);
            assert_eq!(
                [b'1', b'2', b'D', b'C', b'Z'].map(|kind| unnaming.is_passed_on(kind)),
                [false, true, true, true, true]
            );
        }
        // After an error nothing more comes for that request; counting begins again with the next one.
        sent(&mut unnaming, &[message(b'B', b"\0s1\0values"), sync.clone()]);
        sent(&mut unnaming, &[message(b'P', b"s2\0SELECT 2\0\0\0"), sync.clone()]);
        assert_eq!([b'E', b'Z', b'1', b'Z'].map(|kind| unnaming.is_passed_on(kind)), [true; 4]);
        // A closed statement is forgotten.
        assert_eq!(sent(&mut unnaming, &[message(b'C', b"Ss1\0"), sync.clone()]), [message(b'C', b"S\0"), sync]);
        assert_eq!(unnaming.statements.len(), 1);
    }
}
