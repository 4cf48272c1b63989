//! Correlation ids. An id follows a chain of work: from a request to the jobs that it enqueues, and to the jobs that
//! those enqueue in turn.
//!
//! Every job that is enqueued within [`scope`] stores the id in its row. A worker runs the job's handler in the scope
//! of this id again, and the `job` span around it has the field `correlation_id`.
//!
//! ```
//! use apalis_diesel::correlation;
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! correlation::scope("request 4711", async {
//!     // … enqueue …
//!     assert_eq!(correlation::current().as_deref(), Some("request 4711"));
//! })
//! .await;
//! assert_eq!(correlation::current(), None);
//! # });
//! # Ok::<_, std::io::Error>(())
//! ```

/// The maximum length of an id in bytes, which is that of the column.
const LONGEST_ID: usize = 100;

tokio::task_local! {
    static CURRENT: Option<String>;
}

/// Runs `future` with `id` as the current correlation id. Tasks that are spawned within it aren't part of the scope.
///
/// An id longer than 100 bytes is cut, and NUL characters, which PostgreSQL's text can't contain, are removed. An id
/// is only there for the logs, so these aren't errors.
pub async fn scope<F: Future>(id: impl Into<String>, future: F) -> F::Output {
    let mut id = id.into();
    id.retain(|character| character != '\0');
    id.truncate(id.floor_char_boundary(LONGEST_ID));
    CURRENT.scope(Some(id), future).await
}

/// The correlation id of the innermost [`scope`] that this task is in.
pub fn current() -> Option<String> {
    CURRENT.try_with(Clone::clone).ok().flatten()
}

/// Runs a job's handler in the scope of the job's id, if it has one.
#[cfg(feature = "worker")]
pub(crate) fn scope_of_job<F: Future>(id: Option<String>, future: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(id, future)
}

/// Like [`scope_of_job`], for a function that isn't asynchronous.
#[cfg(feature = "worker")]
pub(crate) fn in_scope_of_job<T>(id: Option<String>, call: impl FnOnce() -> T) -> T {
    CURRENT.sync_scope(id, call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn scopes_nest_and_end() {
        scope("outer", async {
            scope("inner", async { assert_eq!(current().as_deref(), Some("inner")) }).await;
            assert_eq!(current().as_deref(), Some("outer"));
        })
        .await;
        assert_eq!(current(), None);
    }

    #[tokio::test]
    async fn ids_that_the_column_would_refuse_are_cut() {
        scope("a\0b", async { assert_eq!(current().as_deref(), Some("ab")) }).await;
        scope("ä".repeat(80), async { assert_eq!(current(), Some("ä".repeat(50))) }).await;
        scope(format!("x{}", "ä".repeat(80)), async { assert_eq!(current(), Some(format!("x{}", "ä".repeat(49)))) })
            .await;
    }
}
