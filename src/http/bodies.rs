//! The bodies of requests: while they are received, and until their requests have been read.

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
    bytes: usize,
    of_clients: HashMap<ClientNetwork, OfClient>,
    began: u64,
}

/// The bodies of a client.
#[derive(Default)]
struct OfClient {
    /// Their size.
    bytes: usize,
    /// How many there are, complete or not.
    bodies: usize,
    /// Those that are being received, in the order in which they began.
    received: VecDeque<Receiving>,
}

struct Receiving {
    number: u64,
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
        let of_client = state.of_clients.entry(client).or_default();
        if of_client.received.len() >= limits::MAX_UNREAD_OF_CLIENT {
            of_client.abort_slowest();
        }
        of_client.bodies += 1;
        of_client.received.push_back(Receiving { number, leave: leave.clone() });
        Body { bodies: self.clone(), client, number, bytes: 0, leave }
    }
}

impl OfClient {
    /// Aborts the body that has taken longest. Returns its number.
    fn abort_slowest(&mut self) -> Option<u64> {
        let slowest = self.received.pop_front()?;
        slowest.leave.notify_one();
        Some(slowest.number)
    }
}

/// A body, until this value is dropped.
pub struct Body {
    bodies: Bodies,
    client: ClientNetwork,
    number: u64,
    bytes: usize,
    leave: Arc<Notify>,
}

/// There is no memory for more of a body.
#[derive(Debug, PartialEq, Eq)]
pub struct OutOfMemory;

impl Body {
    /// What is notified when the body is aborted, to make room for others of its client.
    pub fn aborted(&self) -> Arc<Notify> {
        self.leave.clone()
    }

    /// Makes room for more of the body. A client's bodies, complete or not, may take up
    /// [`limits::BODIES_OF_CLIENT`], and no more than is left for everybody: however many clients send as much as they
    /// can, a new one thus finds as much room as each of them has. If they would take up more, the slowest one of the
    /// same client is aborted.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`] if this is the slowest one, or if the others are complete.
    pub fn add(&mut self, bytes: usize) -> Result<(), OutOfMemory> {
        let mut state = self.bodies.state();
        let left = limits::BODIES.saturating_sub(state.bytes + bytes);
        let of_client = state.of_clients.entry(self.client).or_default();
        let wanted = of_client.bytes + bytes;
        if wanted > limits::BODIES_OF_CLIENT || wanted > left {
            // The memory of an aborted body is free once its connection has noticed.
            let aborted = of_client.abort_slowest();
            if wanted > limits::BODIES_OF_CLIENT + limits::BODY
                || wanted > left
                || aborted.is_none_or(|one| one == self.number)
            {
                return Err(OutOfMemory);
            }
        }
        of_client.bytes += bytes;
        state.bytes += bytes;
        self.bytes += bytes;
        Ok(())
    }

    /// Records that the body is complete. It isn't aborted any more.
    pub fn complete(&self) {
        if let Some(of_client) = self.bodies.state().of_clients.get_mut(&self.client) {
            of_client.received.retain(|one| one.number != self.number);
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.complete();
        let mut state = self.bodies.state();
        state.bytes -= self.bytes;
        if let Some(of_client) = state.of_clients.get_mut(&self.client) {
            of_client.bytes -= self.bytes;
            of_client.bodies -= 1;
            if of_client.bodies == 0 {
                state.of_clients.remove(&self.client);
            }
        }
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

    fn is_aborted(body: &Body) -> bool {
        body.aborted().notified().now_or_never().is_some()
    }

    #[test]
    fn a_newcomer_finds_room_whoever_sends_as_much_as_they_can() {
        for is_complete in [false, true] {
            let bodies = Bodies::default();
            let mut held = Vec::new();
            for last in 1..=9 {
                for _ in 0..limits::MAX_UNREAD_OF_CLIENT {
                    let mut body = bodies.begin(client(last));
                    if body.add(limits::BODY).is_ok() && is_complete {
                        body.complete();
                    }
                    held.push(body);
                }
            }
            assert!(bodies.state().bytes <= limits::BODIES);
            let mut newcomer = bodies.begin(client(10));
            assert_eq!(newcomer.add(limits::SMALL_ANSWER), Ok(()));
            assert!(!is_aborted(&newcomer));
            drop((held, newcomer));
            let state = bodies.state();
            assert!(state.bytes == 0 && state.of_clients.is_empty());
        }
    }

    #[test]
    fn a_client_makes_room_for_itself() {
        let bodies = Bodies::default();
        let mut held: Vec<Body> =
            (0..limits::BODIES_OF_CLIENT / limits::BODY).map(|_| bodies.begin(client(1))).collect();
        held.iter_mut().for_each(|body| assert_eq!(body.add(limits::BODY), Ok(())));
        let mut another = bodies.begin(client(1));
        assert_eq!(another.add(1), Ok(()));
        assert!(is_aborted(&held[0]) && !is_aborted(&held[1]) && !is_aborted(&another));
        held.iter().for_each(Body::complete);
        another.complete();
        drop(held.remove(0));
        // Nothing is left that could be aborted but itself.
        let mut last = bodies.begin(client(1));
        assert_eq!(last.add(limits::BODY), Err(OutOfMemory));
    }

    #[test]
    fn a_client_has_so_many_bodies_at_a_time() {
        let bodies = Bodies::default();
        let held: Vec<Body> = (0..=limits::MAX_UNREAD_OF_CLIENT).map(|_| bodies.begin(client(1))).collect();
        assert!(is_aborted(&held[0]));
        assert!(held[1..].iter().all(|body| !is_aborted(body)));
    }
}
