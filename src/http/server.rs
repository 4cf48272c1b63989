//! Connections: how many there are, and for how long a client may be slow or silent.
//!
//! `axum::serve` sets no such limits; hyper's own connections do.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use rollcall_domain::limits;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// Files that a process has open besides its connections: the database's, libraries, logs.
const OTHER_FILES: u64 = 128;

/// Answers requests until `shutdown` is cancelled; then it closes idle connections, finishes what is under way, and returns.
pub async fn serve(
    mut listener: TcpListener,
    router: Router,
    trusted_proxies: Arc<Vec<IpNet>>,
    shutdown: CancellationToken,
) {
    let connections = Arc::new(Connections::new(most_connections()));
    let tasks = TaskTracker::new();
    loop {
        let (stream, peer) = tokio::select! {
            // It waits where there are no more files to be had.
            accepted = Listener::accept(&mut listener) => accepted,
            () = shutdown.cancelled() => break,
        };
        let Some(open) = connections.open() else { continue };
        let is_proxy = trusted_proxies.iter().any(|network| network.contains(&peer.ip().to_canonical()));
        tasks.spawn(answer(stream, peer, is_proxy, router.clone(), open, shutdown.clone()));
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// Answers the requests of one connection.
async fn answer(
    stream: TcpStream,
    peer: SocketAddr,
    is_proxy: bool,
    router: Router,
    open: OpenConnection,
    shutdown: CancellationToken,
) {
    // An answer goes out at once, however short.
    let _ = stream.set_nodelay(true);
    let state = open.state.clone();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let answering = Answering::begin(state.clone());
        let answer = router.clone().oneshot(request.map(axum::body::Body::new) as Request);
        async move {
            let response = answer.await;
            drop(answering);
            response
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(if is_proxy { limits::PROXY_IDLE } else { limits::HEADERS_TIMEOUT })
        .max_header_size(limits::HEADERS)
        .max_buf_size(2 * limits::HEADERS);
    let io = TokioIo::new(Patient::new(stream, open.state.clone()));
    let mut connection = pin!(http.serve_connection(io, service).with_upgrades());
    let mut is_stopping = false;
    loop {
        tokio::select! {
            biased;
            // A client that is slow, gone or not one of HTTP is no concern of ours.
            _ = connection.as_mut() => return,
            () = open.state.leave.notified() => {
                // It may have begun to answer meanwhile; an answer isn't broken off for a newcomer, unless nobody reads it.
                if !open.state.is_answering() {
                    return;
                }
            }
            () = shutdown.cancelled(), if !is_stopping => {
                is_stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// As many as the process may open files for, with some for what else it does.
fn most_connections() -> usize {
    let files = rlimit::increase_nofile_limit(limits::MAX_CONNECTIONS as u64 + OTHER_FILES).unwrap_or(1_024);
    let most = usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(limits::MAX_CONNECTIONS);
    most.clamp(1, limits::MAX_CONNECTIONS)
}

/// The open connections.
struct Connections {
    limit: usize,
    /// In the order in which they were opened.
    open: Mutex<BTreeMap<u64, Arc<ConnectionState>>>,
}

#[derive(Default)]
struct ConnectionState {
    /// Requests that are being answered.
    answering: AtomicUsize,
    /// Whether an answer is on its way to the client.
    writing: AtomicBool,
    /// Tells it to make room.
    leave: Notify,
}

impl ConnectionState {
    fn is_answering(&self) -> bool {
        self.answering.load(Ordering::Relaxed) > 0
    }

    fn is_idle(&self) -> bool {
        !self.is_answering() && !self.writing.load(Ordering::Relaxed)
    }
}

impl Connections {
    fn new(limit: usize) -> Self {
        Self { limit, open: Mutex::default() }
    }

    /// Room for one more; none where every connection is being answered. Where there are too many, the one that has been idle
    /// makes room, or the one whose answer nobody reads: silence keeps nobody out.
    fn open(self: &Arc<Self>) -> Option<OpenConnection> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= self.limit {
            let idle = open.iter().find(|(_, connection)| connection.is_idle());
            let leaving = idle.or_else(|| open.iter().find(|(_, connection)| !connection.is_answering()));
            let number = leaving.map(|(number, _)| *number)?;
            if let Some(connection) = open.remove(&number) {
                connection.leave.notify_one();
            }
        }
        let number = open.last_key_value().map_or(0, |(number, _)| number + 1);
        let state = Arc::<ConnectionState>::default();
        open.insert(number, state.clone());
        Some(OpenConnection { connections: self.clone(), number, state })
    }
}

/// A connection that counts until it is dropped.
struct OpenConnection {
    connections: Arc<Connections>,
    number: u64,
    state: Arc<ConnectionState>,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        // The number may be another's by now, where this one had to make room.
        if open.get(&self.number).is_some_and(|state| Arc::ptr_eq(state, &self.state)) {
            open.remove(&self.number);
        }
    }
}

/// A request of a connection that is being answered; also where it is given up before its end.
struct Answering(Arc<ConnectionState>);

impl Answering {
    fn begin(state: Arc<ConnectionState>) -> Self {
        state.answering.fetch_add(1, Ordering::Relaxed);
        Self(state)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream whose client has to read each answer in time.
struct Patient {
    stream: TcpStream,
    state: Arc<ConnectionState>,
    /// By when what is being written must have gone out.
    deadline: Pin<Box<Sleep>>,
}

impl Patient {
    fn new(stream: TcpStream, state: Arc<ConnectionState>) -> Self {
        Self { stream, state, deadline: Box::pin(sleep_until(Instant::now())) }
    }

    /// Notes that an answer has begun.
    fn begin(&mut self) {
        if !self.state.writing.swap(true, Ordering::Relaxed) {
            self.deadline.as_mut().reset(Instant::now() + limits::READING_TIMEOUT);
        }
    }

    /// What came of a write, unless the time is up.
    fn in_time<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        // Also while the client reads a little every now and then.
        if self.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        outcome
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.begin();
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.in_time(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.begin();
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.in_time(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = ready!(Pin::new(&mut self.stream).poll_flush(context));
        self.state.writing.store(false, Ordering::Relaxed);
        Poll::Ready(outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
