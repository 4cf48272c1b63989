//! Connections: how many there are, and for how long a client may be slow or silent.
//!
//! `axum::serve` sets no such limits; hyper's own connections do.

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

/// Files that a process has open besides its connections: the database's, libraries, logs.
const OTHER_FILES: u64 = 128;

/// Answers requests until `shutdown` is cancelled; then it closes idle connections, finishes what is under way, and
/// returns.
pub async fn serve(
    mut listener: TcpListener,
    router: Router,
    work: WorkThreads,
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
        let is_proxy = trusted_proxies.iter().any(|network| network.contains(&peer.ip().to_canonical()));
        let client = if is_proxy { None } else { Some(ClientNetwork::of(peer.ip())) };
        let Some(open) = connections.open(client) else { continue };
        tasks.spawn(answer(stream, peer, is_proxy, router.clone(), work.clone(), open, shutdown.clone()));
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// The threads that answer requests. Connections and probes have others: whatever keeps these busy, a client is heard,
/// and whoever asks whether the process lives gets an answer.
#[derive(Clone)]
pub struct WorkThreads {
    handle: Handle,
    _threads: Arc<Threads>,
}

struct Threads(Option<Runtime>);

impl WorkThreads {
    /// As many as have their turn at the same time, and two more, which hear from the database meanwhile.
    ///
    /// # Errors
    /// Where the system has no more threads.
    pub fn start() -> io::Result<Self> {
        let runtime = runtime::Builder::new_multi_thread()
            .thread_name("requests")
            .worker_threads(turns() + 2)
            .enable_all()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), _threads: Arc::new(Threads(Some(runtime))) })
    }

    /// Runs to its end there, or until it is given up here.
    async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T, JoinError> {
        AbortOnDropHandle::new(self.handle.spawn(work)).await
    }
}

impl Drop for Threads {
    /// Nobody waits for what is left on them.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Answers the requests of one connection.
async fn answer(
    stream: TcpStream,
    peer: SocketAddr,
    is_proxy: bool,
    router: Router,
    work: WorkThreads,
    open: OpenConnection,
    shutdown: CancellationToken,
) {
    // An answer goes out at once, however short.
    let _ = stream.set_nodelay(true);
    let state = open.state.clone();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(ConnectionInUse(state.clone()));
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
            // A client that is slow, gone or not one of HTTP is no concern of ours.
            _ = connection.as_mut() => return,
            () = open.state.leave.notified() => {
                // It may have begun to answer meanwhile; an answer isn't broken off for a newcomer, unless nobody reads
                // it.
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
    open: Mutex<OpenConnections>,
}

#[derive(Default)]
struct OpenConnections {
    states: BTreeMap<u64, Arc<ConnectionState>>,
    opened: u64,
    /// How many each client has; trusted proxies aren't among them.
    of_clients: HashMap<ClientNetwork, usize>,
}

struct ConnectionState {
    /// None for a trusted proxy.
    client: Option<ClientNetwork>,
    /// Requests that are being answered.
    answering: AtomicUsize,
    /// Whether an answer is on its way to the client.
    writing: AtomicBool,
    /// Since when it does nothing, where it does nothing.
    idle_since: Mutex<Instant>,
    /// Those of the answer that is on its way.
    places: Mutex<Option<Places>>,
    /// Tells it to make room.
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

    /// Keeps an answer's places until it has gone out.
    fn keep(&self, places: Option<Places>) {
        *self.places.lock().unwrap_or_else(PoisonError::into_inner) = places;
    }

    /// Notes that an answer goes out from now on; returns whether one did before.
    fn begin(&self) -> bool {
        self.writing.swap(true, Ordering::Relaxed)
    }

    /// Notes that all that was written has gone out.
    fn sent(&self) {
        if self.writing.swap(false, Ordering::Relaxed) {
            self.keep(None);
            *self.idle_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }
}

impl OpenConnections {
    /// Who makes room for one more: of the client with the most connections the one that has been idle for longest;
    /// then any that is idle, trusted proxies last; then one whose answer nobody reads. So neither silence nor many
    /// connections keep others out.
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

    /// Room for one more; none where every connection is being answered. Where there are too many, the least needed
    /// makes room.
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

/// A connection that counts until it is dropped, or has to make room.
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

/// The connection by which a request came.
#[derive(Clone)]
pub struct ConnectionInUse(Arc<ConnectionState>);

impl ConnectionInUse {
    /// Notes that a request of it is being answered, until that is dropped. Until then it makes room for others, where
    /// there are too many: its client may still be sending.
    pub fn answering(&self) -> Answering {
        self.0.answering.fetch_add(1, Ordering::Relaxed);
        Answering(self.0.clone())
    }
}

/// A request of a connection that is being answered; also where it is given up before its end.
pub struct Answering(Arc<ConnectionState>);

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
        if !self.state.begin() {
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
        // Not the one that is being answered; of the others, the one that has been idle for longest.
        let third = connections.open(client(3)).unwrap();
        assert_eq!((left(&crowd[0]), left(&crowd[1]), left(&crowd[2])), (false, true, false));
        crowd[2].state.begin();
        crowd[2].state.sent();
        let fourth = connections.open(client(4)).unwrap();
        assert!(left(&crowd[2]) && !left(&lone) && !left(&third) && !left(&fourth) && !left(&proxy));
        // Among those with one each: whoever has been idle for longest, the proxy last.
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
