//! The responses that wait for their clients to read them, and the memory that they take up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rollcall_domain::base::client::ClientNetwork;
use rollcall_domain::base::limits;

/// Counts the bytes of responses that haven't been sent yet.
#[derive(Clone, Default)]
pub struct UnsentBytes(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    bytes: usize,
    of_clients: HashMap<ClientNetwork, usize>,
}

impl UnsentBytes {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room for a client's response. Small ones always find room, since the number of requests is limited.
    /// `None` if the client's unsent responses would take up more than [`limits::UNSENT_OF_CLIENT`], or more than is
    /// left for everybody. However many clients read nothing, a new one thus finds as much room as each of them has.
    pub fn hold(&self, client: ClientNetwork, bytes: usize) -> Option<HeldBytes> {
        let bytes = if bytes <= limits::SMALL_ANSWER { 0 } else { bytes };
        let mut state = self.state();
        let of_client = state.of_clients.get(&client).copied().unwrap_or_default() + bytes;
        let left = limits::UNSENT.saturating_sub(state.bytes + bytes);
        if bytes > 0 && (of_client > limits::UNSENT_OF_CLIENT || of_client > left) {
            return None;
        }
        if bytes > 0 {
            state.bytes += bytes;
            state.of_clients.insert(client, of_client);
        }
        Some(HeldBytes { unsent: self.clone(), client, bytes })
    }
}

/// The memory of a response, until this value is dropped.
pub struct HeldBytes {
    unsent: UnsentBytes,
    client: ClientNetwork,
    bytes: usize,
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut state = self.unsent.state();
        state.bytes -= self.bytes;
        if let Some(of_client) = state.of_clients.get_mut(&self.client) {
            *of_client -= self.bytes;
            if *of_client == 0 {
                state.of_clients.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn a_newcomer_finds_room_whoever_reads_nothing() {
        let unsent = UnsentBytes::default();
        let client = |last: u8| ClientNetwork::of(IpAddr::from([192, 0, 2, last]));
        let size = limits::SMALL_ANSWER + 1;
        let mut held = Vec::new();
        for last in 1..=9 {
            while let Some(one) = unsent.hold(client(last), size) {
                held.push(one);
            }
        }
        assert!(unsent.state().bytes <= limits::UNSENT);
        assert!(unsent.state().of_clients.values().all(|bytes| *bytes <= limits::UNSENT_OF_CLIENT));
        assert!(unsent.hold(client(10), size).is_some());
        assert!(unsent.hold(client(1), limits::SMALL_ANSWER).is_some());
        drop(held);
        let state = unsent.state();
        assert!(state.bytes == 0 && state.of_clients.is_empty());
    }
}
