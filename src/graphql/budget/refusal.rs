//! The errors for requests that ask for too much.

use async_graphql::{ErrorExtensionValues, Pos, ServerError};

/// Refuses a count that exceeds its limit.
///
/// # Errors
/// If it does. The error contains the limit and the count.
pub fn limit(what: &str, count: u64, limit: u64) -> Result<(), ServerError> {
    if count <= limit {
        return Ok(());
    }
    let error = refusal(format!("the document has {} {what}; the limit is {limit}", shown(count)), None);
    Err(with_limit(error, limit))
}

/// Refuses a cost that exceeds its limit.
///
/// # Errors
/// If it does. The error contains the limit and the cost.
pub fn afford(what: &str, cost: u64, limit: u64) -> Result<(), ServerError> {
    if cost <= limit {
        return Ok(());
    }
    let message = format!(
        "the {what} costs {}; the limit is {limit}: ask for fewer fields, smaller pages (`first`) or fewer lists within lists",
        shown(cost)
    );
    let mut error = with_limit(refusal(message, None), limit);
    error.extensions.get_or_insert_default().set("cost", cost);
    Err(error)
}

/// A count as it is shown to people. Beyond a billion, the exact number doesn't matter.
fn shown(count: u64) -> String {
    const MANY: u64 = 1_000_000_000;
    if count > MANY { format!("more than {MANY}") } else { count.to_string() }
}

/// The error for a document that isn't executed.
pub fn refusal(message: String, pos: Option<Pos>) -> ServerError {
    let mut error = ServerError::new(message, pos);
    let mut extensions = ErrorExtensionValues::default();
    extensions.set("code", "BAD_REQUEST");
    error.extensions = Some(extensions);
    error
}

fn with_limit(mut error: ServerError, limit: u64) -> ServerError {
    error.extensions.get_or_insert_default().set("limit", limit);
    error
}
