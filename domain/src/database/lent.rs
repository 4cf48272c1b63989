//! The check that nobody asks for a connection while holding another. If everybody did, each would wait for what the
//! next one holds.
//!
//! Debug builds, and therefore the tests, keep a list of the connections that are lent, and log an ERROR where it
//! happens. Release builds keep no list.

use std::panic::Location;

/// A connection's entry in the list while it is lent. It records where the connection was asked for.
pub(super) use list::Entry as LentEntry;

/// Runs a part of a task that takes turns with its siblings, such as a GraphQL field. Connections that the siblings
/// hold don't count as held by it.
pub async fn subtask<F: Future>(future: F) -> F::Output {
    list::as_subtask(future).await
}

/// Call this before waiting for anything that may take long or need a connection, such as a data loader or a mail
/// server.
#[track_caller]
pub fn expect_none_held() {
    report(Location::caller());
}

/// Logs an ERROR if the caller already holds a connection.
pub(super) fn report(asked_at: &'static Location<'static>) {
    if let Some(held_since) = list::newest() {
        tracing::error!(%asked_at, %held_since, "waits while it holds a connection");
    }
}

#[cfg(not(debug_assertions))]
mod list {
    use std::panic::Location;

    pub(in super::super) struct Entry;

    impl Entry {
        pub(in super::super) fn new(_: &'static Location<'static>) -> Self {
            Self
        }
    }

    pub(super) fn as_subtask<F: Future>(future: F) -> F {
        future
    }

    pub(super) fn newest() -> Option<&'static Location<'static>> {
        None
    }
}

#[cfg(debug_assertions)]
mod list {
    use std::panic::Location;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Mutex, MutexGuard, PoisonError};
    use std::thread::{self, ThreadId};

    /// A sequence of steps that run one after the other.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum LogicalTask {
        /// A part of a task.
        Part(u64),
        /// A task without parts.
        Task(tokio::task::Id),
        /// The future with which the runtime was started. It stays on its thread.
        Main(ThreadId),
    }

    tokio::task_local! {
        static PART: u64;
    }

    pub(super) fn as_subtask<F: Future>(future: F) -> impl Future<Output = F::Output> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        PART.scope(COUNT.fetch_add(1, Ordering::Relaxed), future)
    }

    impl LogicalTask {
        fn current() -> Self {
            match (PART.try_with(|part| *part), tokio::task::try_id()) {
                (Ok(part), _) => Self::Part(part),
                (Err(_), Some(task)) => Self::Task(task),
                (Err(_), None) => Self::Main(thread::current().id()),
            }
        }
    }

    struct LentConnection {
        number: u64,
        subtask: LogicalTask,
        place: &'static Location<'static>,
    }

    /// The entries, of which there are never more than the process has connections.
    fn lent() -> MutexGuard<'static, Vec<LentConnection>> {
        static LENT: Mutex<Vec<LentConnection>> = Mutex::new(Vec::new());
        LENT.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in super::super) struct Entry(u64);

    impl Entry {
        pub(in super::super) fn new(place: &'static Location<'static>) -> Self {
            static COUNT: AtomicU64 = AtomicU64::new(0);
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            lent().push(LentConnection { number, subtask: LogicalTask::current(), place });
            Self(number)
        }
    }

    impl Drop for Entry {
        fn drop(&mut self) {
            lent().retain(|lent| lent.number != self.0);
        }
    }

    /// Where the caller took the connection that it holds.
    pub(super) fn newest() -> Option<&'static Location<'static>> {
        let subtask = LogicalTask::current();
        lent().iter().rev().find(|lent| lent.subtask == subtask).map(|lent| lent.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_one_strand_holds_it_alone_holds() {
        assert_eq!(list::newest(), None);
        let (first, second) = (Location::caller(), Location::caller());
        let held = LentEntry::new(first);
        assert_eq!(list::newest(), Some(first));
        let another = LentEntry::new(second);
        drop(held);
        assert_eq!(list::newest(), Some(second), "it is told by its entry, in whichever order they end");
        subtask(async { assert_eq!(list::newest(), None) }).await;
        tokio::spawn(async { assert_eq!(list::newest(), None) }).await.unwrap();
        // A connection belongs to the task that took it, wherever it is dropped.
        tokio::spawn(async move { drop(another) }).await.unwrap();
        assert_eq!(list::newest(), None);
    }

    #[tokio::test]
    async fn siblings_in_a_task_hold_one_each() {
        let field = async || {
            assert_eq!(list::newest(), None);
            let _held = LentEntry::new(Location::caller());
            tokio::task::yield_now().await;
            assert!(list::newest().is_some());
        };
        tokio::join!(subtask(field()), subtask(field()));
        assert_eq!(list::newest(), None);
    }
}
