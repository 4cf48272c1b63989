//! What a client hears of an error: data in `userErrors` where it can act on it, a top-level error otherwise.

use std::cell::Cell;
use std::time::Duration;

use async_graphql::resolver_utils::EnumType;
use async_graphql::{Enum, ErrorExtensions, SimpleObject};
use metrics::counter;
use rollcall_domain::Error;
use rollcall_domain::base::error::{Code, Refusal};
use rollcall_domain::base::limits;

/// Why a mutation changed nothing, in a form that programs can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "Code")]
pub enum UserErrorCode {
    /// The value has the wrong form.
    Invalid,
    /// The value may not be empty.
    Blank,
    /// The value has too many characters.
    TooLong,
    /// More items than allowed.
    TooMany,
    /// There is no such thing, or none that the viewer may know of.
    NotFound,
    /// The viewer knows of it and may not do this.
    Forbidden,
    /// Someone else is changing the same thing at this moment, or its state doesn't allow it.
    Conflict,
    /// Nobody can do this to themselves.
    #[graphql(name = "SELF")]
    Self_,
    /// The person belongs to the organization already.
    AlreadyMember,
    /// An invitation to the person is open.
    AlreadyInvited,
    /// It was used before.
    AlreadyUsed,
    /// Its time is over.
    Expired,
    /// It was taken back.
    Revoked,
    /// It is meant for another email address.
    WrongEmail,
    /// The account is suspended.
    Suspended,
    /// What was typed to confirm isn't what it should be.
    ConfirmationMismatch,
    /// The owner can't leave before the ownership is transferred.
    OwnerMustStay,
    /// Ownership goes to an admin only.
    NotAnAdmin,
    /// What would happen has changed since the plan was made.
    PlanStale,
    /// This deployment allows one organization per user.
    OneOrganization,
    /// The organization's plan has too few seats.
    SeatLimit,
    /// Billing to the organization takes the permission for billable activities.
    BillingAccessRequired,
    /// The organization's plan has too little storage.
    QuotaExceeded,
    /// A published app's organization can't change.
    Published,
    /// The slug is in use.
    SlugTaken,
    /// The username is in use.
    UsernameTaken,
    /// The address has an account.
    EmailTaken,
    /// Only so many are allowed in a given time; the message says when to try again.
    RateLimited,
}

/// Something in the input that the viewer can act on; nothing has changed.
#[derive(Debug, Clone, SimpleObject)]
pub struct UserError {
    /// Why.
    pub code: UserErrorCode,
    /// What is wrong and what would be right, for people.
    pub message: String,
    /// Path to the input field at fault, such as ["input", "email"].
    pub field: Vec<String>,
}

impl From<Refusal> for UserError {
    fn from(refusal: Refusal) -> Self {
        let field = std::iter::once("input".to_owned())
            .chain(refusal.field.into_iter().filter(|part| !part.is_empty()))
            .collect();
        Self { code: refusal.code.into(), message: refusal.message, field }
    }
}

/// A mutation's payload: its fields where it succeeded, and otherwise its errors alone.
pub trait Payload: Default {
    /// A payload of errors alone.
    fn refused(user_errors: Vec<UserError>) -> Self;

    /// The payload of a command's outcome.
    fn of<T>(outcome: rollcall_domain::Result<T>, payload: impl FnOnce(T) -> Self) -> async_graphql::Result<Self> {
        match outcome {
            Ok(value) => Ok(payload(value)),
            Err(Error::Refused(refusals)) => {
                let errors: Vec<UserError> = refusals.into_iter().map(UserError::from).collect();
                note_refusal(&errors);
                Ok(Self::refused(errors))
            }
            Err(error) => Err(top_level(error)),
        }
    }
}

tokio::task_local! {
    /// Whether a mutation of this request was refused.
    static REFUSED: Cell<bool>;
}

/// Runs an operation, and tells whether a mutation of it was refused.
pub async fn noting_refusals<T>(operation: impl Future<Output = T>) -> (T, bool) {
    REFUSED.scope(Cell::new(false), async { (operation.await, REFUSED.with(Cell::get)) }).await
}

fn note_refusal(errors: &[UserError]) {
    for error in errors {
        let code = UserErrorCode::items().iter().find(|item| item.value == error.code).map_or("", |item| item.name);
        counter!("rollcall_graphql_user_errors_total", "code" => code).increment(1);
    }
    // Outside of an operation nobody asks.
    let _ = REFUSED.try_with(|refused| refused.set(true));
}

macro_rules! payload {
    ($name:ident) => {
        impl $crate::graphql::error::Payload for $name {
            fn refused(user_errors: Vec<$crate::graphql::error::UserError>) -> Self {
                Self { user_errors, ..Self::default() }
            }
        }
    };
}
pub(crate) use payload;

/// Nobody is signed in.
pub fn unauthenticated() -> async_graphql::Error {
    async_graphql::Error::new("sign in first: send `Authorization: Bearer <session token or API key>`")
        .extend_with(|_, extensions| extensions.set("code", "UNAUTHENTICATED"))
}

/// The request has the wrong form.
pub fn bad_request(message: impl Into<String>) -> async_graphql::Error {
    async_graphql::Error::new(message).extend_with(|_, extensions| extensions.set("code", "BAD_REQUEST"))
}

/// What is answered where there is too much to do just now.
pub const UNAVAILABLE: &str = "the service is too busy just now; try again in a moment";

/// There is too much to do just now. The error holds the cause: a request logs it once, however many of its fields
/// fail.
fn unavailable(error: Error) -> async_graphql::Error {
    let error =
        async_graphql::Error { message: UNAVAILABLE.to_owned(), ..async_graphql::Error::new_with_source(error) };
    error.extend_with(|_, extensions| {
        extensions.set("code", "UNAVAILABLE");
        extensions.set("retryAfter", whole_seconds(limits::RETRY_AFTER));
    })
}

/// Rounded up: who waits that long gets through.
pub fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// The top-level error of what no input field is at fault for.
pub fn top_level(error: Error) -> async_graphql::Error {
    match error {
        Error::Unauthenticated => unauthenticated(),
        Error::BadRequest(message) => bad_request(message),
        Error::RateLimited { retry_after } => {
            let seconds = whole_seconds(retry_after);
            async_graphql::Error::new(format!("too many tries; wait {seconds} seconds")).extend_with(|_, extensions| {
                extensions.set("code", "RATE_LIMITED");
                extensions.set("retryAfter", seconds);
            })
        }
        Error::Unavailable(_) => unavailable(error),
        error if error.is_unstorable() => bad_request("a text holds a NUL character, or a time is out of range"),
        // In queries, what one may not see is absent; a refusal that comes here is a mistake of ours. The HTTP layer
        // logs the cause and tells clients an id to quote.
        Error::Refused(_) | Error::Database(_) | Error::JobLost | Error::Bug(_) => {
            async_graphql::Error::new_with_source(error)
        }
    }
}

/// The top-level error of a query: there, what one may not see is null.
pub fn visible<T>(outcome: rollcall_domain::Result<T>) -> async_graphql::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(Error::Refused(refusals))
            if refusals.iter().all(|refusal| matches!(refusal.code, Code::Forbidden | Code::NotFound)) =>
        {
            Ok(None)
        }
        Err(error) => Err(top_level(error)),
    }
}
