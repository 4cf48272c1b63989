//! The bodies of requests while they are received, and what they take up until their requests are answered.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rollcall_domain::base::client::ClientNetwork;
use rollcall_domain::base::limits;
use tokio::sync::Notify;

/// All bodies in memory.
#[derive(Clone, Default)]
pub struct Bodies(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The bodies that are being received, by client, in the order in which they began.
    received: HashMap<ClientNetwork, VecDeque<Receiving>>,
    /// The size of all bodies, including those that are complete.
    bytes: usize,
    began: u64,
}

struct Receiving {
    number: u64,
    bytes: usize,
    /// Notified when the body must make room.
    leave: Arc<Notify>,
}

impl Bodies {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a body of the client that is being received. If there are too many, the one that has taken longest is
    /// aborted, so that silent senders don't keep others out, not even behind the same address.
    pub fn begin(&self, client: ClientNetwork) -> Body {
        let leave = Arc::<Notify>::default();
        let mut state = self.state();
        let number = state.began;
        state.began += 1;
        if state.received.get(&client).is_some_and(|of_client| of_client.len() >= limits::MAX_UNREAD_OF_CLIENT) {
            state.abort_slowest(client);
        }
        state.received.entry(client).or_default().push_back(Receiving { number, bytes: 0, leave: leave.clone() });
        Body { bodies: self.clone(), client, number, bytes: 0, leave }
    }
}

impl State {
    fn abort_slowest(&mut self, client: ClientNetwork) {
        let Some(of_client) = self.received.get_mut(&client) else { return };
        if let Some(slowest) = of_client.pop_front() {
            self.bytes -= slowest.bytes;
            slowest.leave.notify_one();
        }
        if of_client.is_empty() {
            self.received.remove(&client);
        }
    }

    /// Removes a body that is being received. `None` if it was aborted, or is complete.
    fn remove(&mut self, client: ClientNetwork, number: u64) -> Option<Receiving> {
        let of_client = self.received.get_mut(&client)?;
        let position = of_client.iter().position(|one| one.number == number)?;
        let removed = of_client.remove(position);
        if of_client.is_empty() {
            self.received.remove(&client);
        }
        removed
    }
}

/// A body, until this value is dropped.
pub struct Body {
    bodies: Bodies,
    client: ClientNetwork,
    number: u64,
    /// The size of a complete body.
    bytes: usize,
    leave: Arc<Notify>,
}

impl Body {
    /// Waits until the body is aborted, to make room for others.
    pub async fn aborted(&self) {
        self.leave.notified().await;
    }

    /// Records that more of the body has arrived. If all bodies together take up too much, the slowest one of the
    /// client whose bodies take up most is aborted.
    pub fn add(&self, bytes: usize) {
        let mut state = self.bodies.state();
        let of_client = state.received.get_mut(&self.client);
        let Some(own) = of_client.and_then(|bodies| bodies.iter_mut().find(|one| one.number == self.number)) else {
            return;
        };
        own.bytes += bytes;
        state.bytes += bytes;
        while state.bytes > limits::BODIES {
            let held = |bodies: &VecDeque<Receiving>| bodies.iter().map(|one| one.bytes).sum::<usize>();
            let largest = state.received.iter().max_by_key(|(_, bodies)| held(bodies)).map(|(client, _)| *client);
            let Some(largest) = largest else { return };
            state.abort_slowest(largest);
        }
    }

    /// Records that the body is complete. It isn't aborted any more.
    pub fn complete(&mut self) {
        let mut state = self.bodies.state();
        if let Some(own) = state.remove(self.client, self.number) {
            self.bytes = own.bytes;
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let mut state = self.bodies.state();
        let receiving = state.remove(self.client, self.number).map_or(0, |own| own.bytes);
        state.bytes -= self.bytes + receiving;
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use futures_util::FutureExt as _;

    use super::*;

    fn client(last: u8) -> ClientNetwork {
        ClientNetwork::of(IpAddr::from([192, 0, 2, last]))
    }

    #[tokio::test]
    async fn who_holds_most_makes_room() {
        let bodies = Bodies::default();
        let held: Vec<Body> = (0..limits::BODIES / limits::BODY).map(|_| bodies.begin(client(1))).collect();
        held.iter().for_each(|body| body.add(limits::BODY));
        let mut newcomer = bodies.begin(client(2));
        newcomer.add(1);
        assert!(held[0].aborted().now_or_never().is_some());
        assert!(held[1].aborted().now_or_never().is_none() && newcomer.aborted().now_or_never().is_none());
        // What is complete counts, but isn't aborted.
        newcomer.complete();
        drop(held);
        assert_eq!(bodies.state().bytes, 1);
        drop(newcomer);
        let state = bodies.state();
        assert!(state.bytes == 0 && state.received.is_empty());
    }

    #[tokio::test]
    async fn a_client_has_so_many_bodies_at_a_time() {
        let bodies = Bodies::default();
        let held: Vec<Body> = (0..=limits::MAX_UNREAD_OF_CLIENT).map(|_| bodies.begin(client(1))).collect();
        let aborted = held.iter().filter(|body| body.aborted().now_or_never().is_some()).count();
        assert_eq!(aborted, 1);
        assert!(held[0].aborted().now_or_never().is_none(), "it was told once");
    }
}
