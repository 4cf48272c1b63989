//! Turns: what keeps a thread busy is done by as many requests at a time as there are cores, apart from the threads that serve everybody
//! else, and by one request of a client at a time, so that nobody waits for all of somebody else's.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use futures_util::pending;
use rollcall_domain::base::client::ClientNetwork;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;

/// The turns that there are, and who waits for them.
#[derive(Debug)]
pub struct Turns {
    all: Arc<Semaphore>,
    /// Each client's own line, as long as somebody stands in it.
    clients: Mutex<HashMap<ClientNetwork, Weak<Semaphore>>>,
}

/// A line in which a client's requests wait for their turns.
#[derive(Debug, Clone)]
pub struct Line {
    all: Arc<Semaphore>,
    own: Arc<Semaphore>,
}

impl Turns {
    pub(super) fn new() -> Self {
        let turns = std::thread::available_parallelism().map_or(1, |threads| threads.get().max(2));
        Self { all: Arc::new(Semaphore::new(turns)), clients: Mutex::default() }
    }

    pub(super) fn line(&self, client: ClientNetwork) -> Line {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let own = clients.get(&client).and_then(Weak::upgrade).unwrap_or_else(|| {
            clients.retain(|_, line| line.strong_count() > 0);
            let own = Arc::new(Semaphore::new(1));
            clients.insert(client, Arc::downgrade(&own));
            own
        });
        Line { all: self.all.clone(), own }
    }
}

/// Does what keeps the thread busy: at once or, in a line, when it is its turn.
pub async fn in_turn<T>(line: Option<&Line>, work: impl FnOnce() -> T) -> T {
    let Some(line) = line else { return work() };
    // Nobody closes them.
    let _own = line.own.acquire().await;
    let _turn = line.all.acquire().await;
    let is_shared = Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if is_shared { tokio::task::block_in_place(work) } else { work() }
}

/// Runs a future: in a line, each of its steps when it is its turn. While it waits for something else it has none.
pub async fn in_turns<T>(line: Option<&Line>, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    if line.is_none() {
        return future.await;
    }
    loop {
        let waker = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
        let polled = in_turn(line, || future.as_mut().poll(&mut Context::from_waker(&waker))).await;
        if let Poll::Ready(outcome) = polled {
            return outcome;
        }
        // Until what it waits for wakes the task.
        pending!();
    }
}
