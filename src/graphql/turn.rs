//! Turns: what keeps a thread busy is done by as many requests at a time as there are cores. The clients that wait for
//! one take them one after the other, so that nobody waits for all of somebody else's.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::pending;
use rollcall_domain::base::client::ClientNetwork;
use rollcall_domain::base::keyed::Keyed;
use tokio::sync::{Semaphore, oneshot};

/// The turns that there are, and who waits for them.
#[derive(Debug)]
pub struct Turns {
    queue: Arc<Mutex<Queue>>,
    /// What is much work is done by one request of a client at a time.
    much_work: Keyed<ClientNetwork, Semaphore>,
}

/// Those who wait, by client, and the clients in the order in which they are next.
#[derive(Debug)]
struct Queue {
    free: usize,
    waiting: HashMap<ClientNetwork, VecDeque<oneshot::Sender<Turn>>>,
    next: VecDeque<ClientNetwork>,
}

/// A turn, until it is dropped.
#[derive(Debug)]
struct Turn(Arc<Mutex<Queue>>);

/// A line in which a client's request waits for its turns.
#[derive(Debug, Clone)]
pub struct Line {
    queue: Arc<Mutex<Queue>>,
    client: ClientNetwork,
    /// Where it is much work.
    much_work: Option<Arc<Semaphore>>,
}

/// How many have their turn at the same time.
pub fn turns() -> usize {
    std::thread::available_parallelism().map_or(2, |threads| threads.get().max(2))
}

impl Turns {
    pub(super) fn new() -> Self {
        let queue = Queue { free: turns(), waiting: HashMap::new(), next: VecDeque::new() };
        Self { queue: Arc::new(Mutex::new(queue)), much_work: Keyed::default() }
    }

    /// The line of a client's request.
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
        // Nobody leaves the queue without a turn.
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
        // Whoever has given up meanwhile passes it on by dropping it.
        let _ = next.send(Self(self.0.clone()));
    }
}

impl Queue {
    /// Who is next: the client that has waited longest since its last turn, and of its requests the first.
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

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    // Nothing panics while it is locked.
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does what keeps the thread busy when it is its turn.
pub async fn in_turn<T>(line: &Line, work: impl FnOnce() -> T) -> T {
    let _alone = match &line.much_work {
        // Nobody closes it.
        Some(much_work) => much_work.acquire().await.ok(),
        None => None,
    };
    let _turn = line.turn().await;
    work()
}

/// Runs a future, each of its steps when it is its turn. While it waits for something else it has none.
pub async fn in_turns<T>(line: &Line, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
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

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Mutex;

    use super::*;

    /// However many requests of one client wait, another's is the next but one.
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
        // Whoever gives up keeps nobody waiting.
        futures_util::future::poll_immediate(pin!(given_up.turn())).await;
        drop(all.pop());
        waiting.await;
        drop(all);
        assert_eq!(*order.lock().unwrap(), [1, 2, 1, 1, 1]);
        assert_eq!(lock(&turns.queue).free, super::turns());
        assert!(lock(&turns.queue).waiting.is_empty());
    }
}
