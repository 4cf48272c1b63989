//! Turns. Work that keeps a thread busy is done by only as many requests at a time as there are cores. Waiting clients
//! take turns one after the other, so that no client has to wait for all requests of another client.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::pending;
use rollcall_domain::base::client::ClientNetwork;
use rollcall_domain::base::keyed::Keyed;
use tokio::sync::{Semaphore, oneshot};

/// The turns that exist, and the requests that wait for one.
#[derive(Debug)]
pub struct Turns {
    queue: Arc<Mutex<Queue>>,
    /// Lets each client have only one expensive request processed at a time.
    much_work: Keyed<ClientNetwork, Semaphore>,
}

/// The waiting requests by client, and the clients in the order in which their turn comes.
#[derive(Debug)]
struct Queue {
    free: usize,
    waiting: HashMap<ClientNetwork, VecDeque<oneshot::Sender<Turn>>>,
    next: VecDeque<ClientNetwork>,
}

/// A turn. It lasts until this value is dropped.
#[derive(Debug)]
struct Turn(Arc<Mutex<Queue>>);

/// A queue in which a client's request waits for its turns.
#[derive(Debug, Clone)]
pub struct Line {
    queue: Arc<Mutex<Queue>>,
    client: ClientNetwork,
    /// Set if the request is expensive.
    much_work: Option<Arc<Semaphore>>,
}

/// The number of turns that can be taken at the same time.
pub fn turns() -> usize {
    std::thread::available_parallelism().map_or(2, |threads| threads.get().max(2))
}

impl Turns {
    pub(super) fn new() -> Self {
        let queue = Queue { free: turns(), waiting: HashMap::new(), next: VecDeque::new() };
        Self { queue: Arc::new(Mutex::new(queue)), much_work: Keyed::default() }
    }

    /// The queue for a client's request.
    pub(super) fn line(&self, client: ClientNetwork, is_much_work: bool) -> Line {
        let much_work = is_much_work.then(|| self.much_work.get(client, || Semaphore::new(1)));
        Line { queue: self.queue.clone(), client, much_work }
    }
}

impl Line {
    async fn turn(&self) -> Turn {
        let turn = {
            let mut queue = lock(&self.queue);
            if queue.free > 0 {
                queue.free -= 1;
                return Turn(self.queue.clone());
            }
            let (sender, turn) = oneshot::channel();
            let queue = &mut *queue;
            let own = queue.waiting.entry(self.client).or_default();
            if own.is_empty() {
                queue.next.push_back(self.client);
            }
            own.push_back(sender);
            turn
        };
        // Senders aren't dropped without sending a turn, so the fallback is never used.
        turn.await.unwrap_or_else(|_| Turn(self.queue.clone()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queue = lock(&self.0);
        let Some(next) = queue.next() else {
            queue.free += 1;
            return;
        };
        drop(queue);
        // If the receiver has given up in the meantime, dropping this turn passes it on to the next one.
        let _ = next.send(Self(self.0.clone()));
    }
}

impl Queue {
    /// Removes and returns the next request: the first one of the client whose last turn was longest ago.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let client = self.next.pop_front()?;
        let own = self.waiting.get_mut(&client)?;
        let first = own.pop_front();
        if own.is_empty() {
            self.waiting.remove(&client);
        } else {
            self.next.push_back(client);
        }
        first
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while the lock is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for a turn, and then does work that keeps the thread busy.
pub async fn in_turn<T>(line: &Line, work: impl FnOnce() -> T) -> T {
    let _alone = match &line.much_work {
        // The semaphore is never closed.
        Some(much_work) => much_work.acquire().await.ok(),
        None => None,
    };
    let _turn = line.turn().await;
    work()
}

/// Runs a future and takes a turn for each of its steps. While the future waits for something else, it doesn't hold a
/// turn.
pub async fn in_turns<T>(line: &Line, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        let waker = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
        let polled = in_turn(line, || future.as_mut().poll(&mut Context::from_waker(&waker))).await;
        if let Poll::Ready(outcome) = polled {
            return outcome;
        }
        // Suspends until whatever the future waits for wakes the task.
        pending!();
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Mutex;

    use super::*;

    /// However many requests of one client are waiting, another client gets the turn after next at the latest.
    #[tokio::test]
    async fn clients_take_their_turns_one_after_the_other() {
        let turns = Turns::new();
        let client = |last: u8| ClientNetwork::of(IpAddr::from([192, 0, 2, last]));
        let mut all = Vec::new();
        for _ in 0..super::turns() {
            all.push(turns.line(client(9), false).turn().await);
        }
        let order = Mutex::new(Vec::new());
        let take = async |last: u8| {
            let line = turns.line(client(last), false);
            in_turn(&line, || order.lock().unwrap().push(last)).await;
        };
        let given_up = turns.line(client(3), false);
        let waiting = async {
            futures_util::join!(take(1), take(1), take(1), take(1), take(2));
        };
        let mut waiting = pin!(waiting);
        futures_util::future::poll_immediate(&mut waiting).await;
        // A request that gives up doesn't hold up the others.
        futures_util::future::poll_immediate(pin!(given_up.turn())).await;
        drop(all.pop());
        waiting.await;
        drop(all);
        assert_eq!(*order.lock().unwrap(), [1, 2, 1, 1, 1]);
        assert_eq!(lock(&turns.queue).free, super::turns());
        assert!(lock(&turns.queue).waiting.is_empty());
    }
}
