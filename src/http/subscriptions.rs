//! The subscriptions that are open in this process: how many there may be, and how they run.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use apalis_diesel::correlation;
use axum::http::StatusCode;
use futures_util::FutureExt as _;
use metrics::{describe_gauge, gauge};
use rollcall_domain::authority::actor::Actor;
use rollcall_domain::base::client::ClientNetwork;
use rollcall_domain::base::id::{UserId, new_name};
use rollcall_domain::base::limits;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::Instrument as _;

use super::App;
use super::graphql::{CheckedSubscription, Part};
use super::unsent::HeldBytes;
use crate::graphql::{Request as GraphqlRequest, asked_by};

const OPEN: &str = "rollcall_subscriptions";
const CONNECTIONS: &str = "rollcall_subscription_connections";

/// What the clients of subscriptions are told when the process stops.
pub const STOPPING: &str = "the service is being stopped or restarted; connect again";

/// Describes the metrics.
pub fn describe() {
    describe_gauge!(OPEN, "Open subscriptions, by transport.");
    describe_gauge!(CONNECTIONS, "Open connections for subscriptions, by transport.");
    for transport in [Transport::WebSocket, Transport::EventStream] {
        gauge!(OPEN, "transport" => transport.label()).set(0.0);
        gauge!(CONNECTIONS, "transport" => transport.label()).set(0.0);
    }
}

/// How a client is told of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Over a WebSocket, which can carry many subscriptions.
    WebSocket,
    /// As server-sent events, each subscription over a connection of its own.
    EventStream,
}

impl Transport {
    fn label(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::EventStream => "event_stream",
        }
    }
}

/// The subscriptions of a process, and their connections. Cloning it is cheap.
#[derive(Clone)]
pub struct Subscriptions {
    counts: Arc<Mutex<Counts>>,
    most_connections: usize,
    /// Cancelled when everything must end.
    pub shutdown: CancellationToken,
    /// The connections that the HTTP server has handed over.
    pub upgraded: TaskTracker,
}

#[derive(Default)]
struct Counts {
    subscriptions: usize,
    of_clients: HashMap<ClientNetwork, usize>,
    of_accounts: HashMap<UserId, usize>,
    connections: usize,
    connections_of_clients: HashMap<ClientNetwork, usize>,
}

/// The refusal of one more subscription or connection.
#[derive(Debug)]
pub struct TooMany {
    /// The error's code.
    pub code: &'static str,
    /// What the limit is.
    pub message: String,
}

impl TooMany {
    fn of_one(what: &str, of: &str, most: usize) -> Self {
        Self { code: "TOO_MANY", message: format!("{of} can have at most {most} {what} at a time; end one of them") }
    }

    fn of_all(what: &str, most: usize) -> Self {
        let message = format!("there are already {most} {what}, which is as many as this process serves; try again");
        Self { code: "UNAVAILABLE", message }
    }

    /// The HTTP status for it.
    pub fn status(&self) -> StatusCode {
        match self.code {
            "UNAVAILABLE" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// How long to wait before trying again, if that is all there is to do.
    pub fn retry_after(&self) -> Option<std::time::Duration> {
        (self.code == "UNAVAILABLE").then_some(limits::RETRY_AFTER)
    }

    /// The same as the end of a subscription.
    pub fn part(&self) -> Part {
        Part::failed(self.code, &self.message, self.retry_after())
    }
}

impl Subscriptions {
    /// No subscriptions yet. `most_connections` is the number of connections that the process can open.
    pub fn new(most_connections: usize, shutdown: CancellationToken) -> Self {
        Self {
            counts: Arc::default(),
            most_connections: limits::MAX_SUBSCRIPTION_CONNECTIONS.min(most_connections / 2),
            shutdown,
            upgraded: TaskTracker::new(),
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Nothing panics while the lock is held.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for one more subscription.
    ///
    /// # Errors
    /// If a limit is reached. The error names the limit.
    pub fn subscribe(
        &self,
        transport: Transport,
        client: ClientNetwork,
        actor: Option<&Actor>,
    ) -> Result<SubscriptionPlace, TooMany> {
        const WHAT: &str = "open subscriptions";
        let account = actor.and_then(Actor::account);
        let mut counts = self.counts();
        if counts.subscriptions >= limits::MAX_SUBSCRIPTIONS {
            return Err(TooMany::of_all(WHAT, limits::MAX_SUBSCRIPTIONS));
        }
        let (of_client, of_account) = (limits::MAX_SUBSCRIPTIONS_OF_CLIENT, limits::MAX_SUBSCRIPTIONS_OF_ACCOUNT);
        if number(&counts.of_clients, client) >= of_client {
            return Err(TooMany::of_one(WHAT, "a client's address", of_client));
        }
        if account.is_some_and(|account| number(&counts.of_accounts, account) >= of_account) {
            return Err(TooMany::of_one(WHAT, "an account", of_account));
        }
        counts.subscriptions += 1;
        add(&mut counts.of_clients, client);
        if let Some(account) = account {
            add(&mut counts.of_accounts, account);
        }
        gauge!(OPEN, "transport" => transport.label()).increment(1.0);
        Ok(SubscriptionPlace { subscriptions: self.clone(), transport, client, account })
    }

    /// Takes a place for one more connection.
    ///
    /// # Errors
    /// If a limit is reached. The error names the limit.
    pub fn connect(&self, transport: Transport, client: ClientNetwork) -> Result<ConnectionPlace, TooMany> {
        const WHAT: &str = "open connections for subscriptions";
        let mut counts = self.counts();
        if counts.connections >= self.most_connections {
            return Err(TooMany::of_all(WHAT, self.most_connections));
        }
        let of_client = limits::MAX_SUBSCRIPTION_CONNECTIONS_OF_CLIENT;
        if number(&counts.connections_of_clients, client) >= of_client {
            return Err(TooMany::of_one(WHAT, "a client's address", of_client));
        }
        counts.connections += 1;
        add(&mut counts.connections_of_clients, client);
        gauge!(CONNECTIONS, "transport" => transport.label()).increment(1.0);
        Ok(ConnectionPlace { subscriptions: self.clone(), transport, client })
    }
}

fn number<K: Eq + Hash>(counts: &HashMap<K, usize>, key: K) -> usize {
    counts.get(&key).copied().unwrap_or_default()
}

fn add<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K) {
    *counts.entry(key).or_default() += 1;
}

fn remove<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

/// A subscription's place, until it is dropped.
pub struct SubscriptionPlace {
    subscriptions: Subscriptions,
    transport: Transport,
    client: ClientNetwork,
    account: Option<UserId>,
}

impl Drop for SubscriptionPlace {
    fn drop(&mut self) {
        let mut counts = self.subscriptions.counts();
        counts.subscriptions -= 1;
        remove(&mut counts.of_clients, self.client);
        if let Some(account) = self.account {
            remove(&mut counts.of_accounts, account);
        }
        gauge!(OPEN, "transport" => self.transport.label()).decrement(1.0);
    }
}

/// A connection's place, until it is dropped.
pub struct ConnectionPlace {
    subscriptions: Subscriptions,
    transport: Transport,
    client: ClientNetwork,
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        let mut counts = self.subscriptions.counts();
        counts.connections -= 1;
        remove(&mut counts.connections_of_clients, self.client);
        gauge!(CONNECTIONS, "transport" => self.transport.label()).decrement(1.0);
    }
}

/// A part of a subscription's answer, and the memory that it takes up until it has been sent.
pub struct HeldPart {
    /// The part.
    pub part: Part,
    /// Its memory, if it takes up any.
    pub held: Option<HeldBytes>,
}

impl From<Part> for HeldPart {
    fn from(part: Part) -> Self {
        Self { part, held: None }
    }
}

/// Runs a subscription in a task of its own, which ends with the returned handle or when `parts` isn't received any
/// more. `begin` finds out who asks and what; if it fails, its error is the only part.
///
/// Each part is given to `parts` together with `key`. The subscription goes on only once there is room for it.
pub fn run<K: Clone + Send + Sync + 'static>(
    app: App,
    place: SubscriptionPlace,
    begin: impl Future<Output = Result<(GraphqlRequest, CheckedSubscription), Part>> + Send + 'static,
    key: K,
    parts: mpsc::Sender<(K, HeldPart)>,
) -> AbortOnDropHandle<()> {
    let id = correlation::current().unwrap_or_else(|| new_name().to_string());
    let (admission, client) = (app.admission.clone(), place.client);
    let send = async move |part: Part| {
        let size = match &part {
            Part::Next(body) => body.len(),
            Part::Failed(_) | Part::Complete => 0,
        };
        let held = admission.hold_unsent(client, size);
        let (part, goes_on) = match held {
            Some(_) => (part, true),
            None => {
                let message = "too many large answers wait to be read; read them, and subscribe again";
                (Part::failed("UNAVAILABLE", message, Some(limits::RETRY_AFTER)), false)
            }
        };
        parts.send((key.clone(), HeldPart { part, held })).await.is_ok() && goes_on
    };
    // In a box, so that a subscription doesn't take up the memory for it to its end.
    let begin = Box::pin(begin);
    let running = async move {
        let _place = place;
        let run = async {
            match begin.await {
                Ok((who, subscription)) => {
                    let prepare = |request| asked_by(who, &app.database, request);
                    subscription.run(&app.schema, &app.request_limits, prepare, &send).await;
                }
                Err(part) => {
                    send(part).await;
                }
            }
        };
        if let Err(panic) = AssertUnwindSafe(run).catch_unwind().await {
            let cause = panic.downcast_ref::<String>().map(String::as_str);
            let cause = cause.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
            let id = correlation::current().unwrap_or_default();
            tracing::error!(error_id = id, cause, "a subscription panicked");
            send(Part::failed("INTERNAL", &format!("something went wrong here; quote {id}"), None)).await;
        }
    };
    AbortOnDropHandle::new(tokio::spawn(correlation::scope(id, running).in_current_span()))
}
