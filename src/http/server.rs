//! Connections: how many there may be, and how long a client may be slow or silent.
//!
//! `axum::serve` has no such limits, but hyper's connections do.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
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
use rollcall_domain::base::client::ClientNetwork;
use rollcall_domain::base::limits;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Handle, Runtime};
use tokio::sync::Notify;
use tokio::task::JoinError;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tower::ServiceExt;

use super::admission::Places;
use crate::graphql::turns;

/// The number of files that a process opens besides its connections: for the database, libraries and logs.
const OTHER_FILES: u64 = 128;

/// Serves requests until `shutdown` is cancelled. Then it closes idle connections, finishes the requests in progress,
/// and returns.
pub async fn serve(
    mut listener: TcpListener,
    router: Router,
    work: WorkThreads,
    trusted_proxies: Arc<Vec<IpNet>>,
    most_connections: usize,
    shutdown: CancellationToken,
) {
    let connections = Arc::new(Connections::new(most_connections));
    let tasks = TaskTracker::new();
    loop {
        let (stream, peer) = tokio::select! {
            // If no more files can be opened, this waits.
            accepted = Listener::accept(&mut listener) => accepted,
            () = shutdown.cancelled() => break,
        };
        let is_proxy = trusted_proxies.iter().any(|network| network.contains(&peer.ip().to_canonical()));
        let client = if is_proxy { None } else { Some(ClientNetwork::of(peer.ip())) };
        let Some(open) = connections.open(client) else { continue };
        tasks.spawn(answer(stream, peer, is_proxy, router.clone(), work.clone(), open, shutdown.clone()));
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// The threads that process requests. Connections and probes have other threads, so that the server can accept
/// connections and respond to probes however busy these are.
#[derive(Clone)]
pub struct WorkThreads {
    handle: Handle,
    _threads: Arc<Threads>,
}

struct Threads(Option<Runtime>);

impl WorkThreads {
    /// Starts as many threads as requests can have their turn at the same time, and two more, which handle responses
    /// of the database in the meantime.
    ///
    /// # Errors
    /// If the system can't start more threads.
    pub fn start() -> io::Result<Self> {
        let runtime = runtime::Builder::new_multi_thread()
            .thread_name("requests")
            .worker_threads(turns() + 2)
            .enable_all()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), _threads: Arc::new(Threads(Some(runtime))) })
    }

    /// Runs a future on these threads. If the caller drops the returned future, it is aborted.
    async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T, JoinError> {
        AbortOnDropHandle::new(self.handle.spawn(work)).await
    }
}

impl Drop for Threads {
    /// Nothing waits for the tasks that are still running on the threads.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Serves the requests of one connection.
async fn answer(
    stream: TcpStream,
    peer: SocketAddr,
    is_proxy: bool,
    router: Router,
    work: WorkThreads,
    open: OpenConnection,
    shutdown: CancellationToken,
) {
    // Responses are sent at once, however short they are.
    let _ = stream.set_nodelay(true);
    let (state, open) = (open.state.clone(), Arc::new(open));
    let in_use = ConnectionInUse(open.clone());
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(in_use.clone());
        let (state, work, is_probe) = (state.clone(), work.clone(), request.uri().path().starts_with("/health/"));
        let answer = router.clone().oneshot(request.map(axum::body::Body::new) as Request);
        let answer = async { answer.await.unwrap_or_else(|never| match never {}) };
        async move {
            let mut response = if is_probe { answer.await } else { work.run(answer).await? };
            state.keep(response.extensions_mut().remove());
            Ok::<_, JoinError>(response)
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
            // Errors of a client that is slow, gone, or doesn't speak HTTP can be ignored.
            _ = connection.as_mut() => return,
            () = open.state.leave.notified() => {
                // It may have begun a response in the meantime. A response isn't cut off for a new connection, unless
                // nobody reads it.
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

/// The maximum number of connections: as many as the process may open files for, with some left for other purposes.
pub fn most_connections() -> usize {
    let files = rlimit::increase_nofile_limit(limits::MAX_CONNECTIONS as u64 + OTHER_FILES).unwrap_or(1_024);
    let most = usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(limits::MAX_CONNECTIONS);
    most.clamp(1, limits::MAX_CONNECTIONS)
}

/// All open connections.
struct Connections {
    limit: usize,
    open: Mutex<OpenConnections>,
}

#[derive(Default)]
struct OpenConnections {
    states: BTreeMap<u64, Arc<ConnectionState>>,
    opened: u64,
    /// The number of connections of each client. Trusted proxies aren't included.
    of_clients: HashMap<ClientNetwork, usize>,
}

struct ConnectionState {
    /// `None` for a trusted proxy.
    client: Option<ClientNetwork>,
    /// The number of requests that are in progress.
    answering: AtomicUsize,
    /// Whether a response is being sent to the client.
    writing: AtomicBool,
    /// Since when the connection has been idle, if it is.
    idle_since: Mutex<Instant>,
    /// The places of the response that is being sent.
    places: Mutex<Option<Places>>,
    /// Notified when the connection must make room.
    leave: Notify,
}

impl ConnectionState {
    fn new(client: Option<ClientNetwork>) -> Self {
        Self {
            client,
            answering: AtomicUsize::new(0),
            writing: AtomicBool::new(false),
            idle_since: Mutex::new(Instant::now()),
            places: Mutex::default(),
            leave: Notify::new(),
        }
    }

    fn is_answering(&self) -> bool {
        self.answering.load(Ordering::Relaxed) > 0
    }

    fn is_idle(&self) -> bool {
        !self.is_answering() && !self.writing.load(Ordering::Relaxed)
    }

    fn idle_since(&self) -> Instant {
        *self.idle_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the places of a response until it has been sent.
    fn keep(&self, places: Option<Places>) {
        *self.places.lock().unwrap_or_else(PoisonError::into_inner) = places;
    }

    /// Records that a response is now being sent. Returns whether one was being sent before.
    fn begin(&self) -> bool {
        self.writing.swap(true, Ordering::Relaxed)
    }

    /// Records that everything has been sent.
    fn sent(&self) {
        if self.writing.swap(false, Ordering::Relaxed) {
            self.keep(None);
            *self.idle_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }
}

impl OpenConnections {
    /// The connection to close when another one needs room. It is the one that has been idle for longest among those
    /// of the client with the most connections; otherwise the one that has been idle for longest at all, trusted
    /// proxies last; otherwise one whose response nobody reads. Thus neither silent connections nor many connections
    /// keep others out.
    fn least_needed(&self) -> Option<u64> {
        let crowd = self.of_clients.iter().max_by_key(|(_, connections)| **connections).map(|(client, _)| *client);
        let idle = self.states.iter().filter(|(_, state)| state.is_idle());
        let idle = idle.min_by_key(|(_, state)| (state.client.is_none(), state.client != crowd, state.idle_since()));
        let leaving = idle.or_else(|| self.states.iter().find(|(_, state)| !state.is_answering()));
        leaving.map(|(number, _)| *number)
    }

    fn remove(&mut self, number: u64) -> Option<Arc<ConnectionState>> {
        let state = self.states.remove(&number)?;
        if let Some(client) = state.client
            && let Entry::Occupied(mut connections) = self.of_clients.entry(client)
        {
            *connections.get_mut() -= 1;
            if *connections.get() == 0 {
                connections.remove();
            }
        }
        Some(state)
    }
}

impl Connections {
    fn new(limit: usize) -> Self {
        Self { limit, open: Mutex::default() }
    }

    /// Makes room for one more connection. If there are too many, the least needed one is closed. `None` if all of
    /// them have requests in progress.
    fn open(self: &Arc<Self>, client: Option<ClientNetwork>) -> Option<OpenConnection> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.states.len() >= self.limit {
            let leaving = open.least_needed()?;
            if let Some(connection) = open.remove(leaving) {
                connection.leave.notify_one();
            }
        }
        let number = open.opened;
        open.opened += 1;
        let state = Arc::new(ConnectionState::new(client));
        open.states.insert(number, state.clone());
        if let Some(client) = client {
            *open.of_clients.entry(client).or_default() += 1;
        }
        Some(OpenConnection { connections: self.clone(), number, state })
    }
}

/// A connection that counts until it is dropped or has to make room.
struct OpenConnection {
    connections: Arc<Connections>,
    number: u64,
    state: Arc<ConnectionState>,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.connections.open.lock().unwrap_or_else(PoisonError::into_inner).remove(self.number);
    }
}

/// The connection that a request came on. It counts as open as long as this exists, also after it has been handed over
/// to another protocol.
#[derive(Clone)]
pub struct ConnectionInUse(Arc<OpenConnection>);

impl ConnectionInUse {
    /// Records that a request of this connection is in progress, until the returned value is dropped. Before that, the
    /// connection may be closed to make room for others, since its client may still be sending.
    pub fn answering(&self) -> Answering {
        self.0.state.answering.fetch_add(1, Ordering::Relaxed);
        Answering(self.0.clone())
    }
}

/// A request of a connection that is in progress. Dropping this also covers requests that are aborted.
pub struct Answering(Arc<OpenConnection>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.state.answering.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that fails if its client doesn't read a response in time.
struct Patient {
    stream: TcpStream,
    state: Arc<ConnectionState>,
    /// The time by which everything that is being written must have been sent.
    deadline: Pin<Box<Sleep>>,
}

impl Patient {
    fn new(stream: TcpStream, state: Arc<ConnectionState>) -> Self {
        Self { stream, state, deadline: Box::pin(sleep_until(Instant::now())) }
    }

    /// Records that a response has begun.
    fn begin(&mut self) {
        if !self.state.begin() {
            self.deadline.as_mut().reset(Instant::now() + limits::READING_TIMEOUT);
        }
    }

    /// The outcome of a write, or a timeout if the time is up.
    fn in_time<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        // The time also ends for a client that reads a little every now and then.
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
        self.state.sent();
        Poll::Ready(outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u8) -> Option<ClientNetwork> {
        Some(ClientNetwork::of([203, 0, 113, number].into()))
    }

    #[tokio::test]
    async fn the_client_with_the_most_connections_makes_room() {
        let connections = Arc::new(Connections::new(5));
        let proxy = connections.open(None).unwrap();
        let lone = connections.open(client(1)).unwrap();
        let crowd: Vec<_> = (0..3).map(|_| connections.open(client(2)).unwrap()).collect();
        crowd[0].state.answering.fetch_add(1, Ordering::Relaxed);
        let left = |open: &OpenConnection| !connections.open.lock().unwrap().states.contains_key(&open.number);
        // The connection with a request in progress stays. Of the others, the one that has been idle for longest is
        // closed.
        let third = connections.open(client(3)).unwrap();
        assert_eq!((left(&crowd[0]), left(&crowd[1]), left(&crowd[2])), (false, true, false));
        crowd[2].state.begin();
        crowd[2].state.sent();
        let fourth = connections.open(client(4)).unwrap();
        assert!(left(&crowd[2]) && !left(&lone) && !left(&third) && !left(&fourth) && !left(&proxy));
        // Among clients with one connection each, it is the one that has been idle for longest, and the proxy last.
        lone.state.begin();
        lone.state.sent();
        crowd[0].state.answering.fetch_sub(1, Ordering::Relaxed);
        crowd[0].state.begin();
        let _fifth = connections.open(client(5)).unwrap();
        assert!(left(&third) || left(&lone) || left(&fourth));
        assert!(!left(&proxy) && !left(&crowd[0]));
        drop(proxy);
        assert_eq!(connections.open.lock().unwrap().states.len(), 4);
    }
}
