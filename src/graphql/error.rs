//! How errors reach the client: as data in `userErrors` if the client can act on them, otherwise as top-level errors.

use std::cell::Cell;
use std::time::Duration;

use async_graphql::resolver_utils::EnumType;
use async_graphql::{Enum, ErrorExtensions, SimpleObject};
use metrics::counter;
use rollcall_domain::Error;
use rollcall_domain::base::error::{Code, Refusal};
use rollcall_domain::base::limits;
use rollcall_domain::database::idempotency;

/// Why a mutation changed nothing, as a code for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "Code")]
pub enum UserErrorCode {
    /// The value has the wrong form.
    Invalid,
    /// The value may not be empty.
    Blank,
    /// The value has too many characters.
    TooLong,
    /// There are more items than are allowed.
    TooMany,
    /// The object doesn't exist, or the viewer may not know that it does.
    NotFound,
    /// The viewer may see the object, but isn't allowed to do this.
    Forbidden,
    /// Somebody else is changing the same object at this moment, or the object's state doesn't allow this.
    Conflict,
    /// Nobody can do this to themselves.
    #[graphql(name = "SELF")]
    Self_,
    /// The person is already a member of the organization.
    AlreadyMember,
    /// The person already has a pending invitation.
    AlreadyInvited,
    /// It has already been used.
    AlreadyUsed,
    /// It has expired.
    Expired,
    /// It has been revoked.
    Revoked,
    /// It is meant for another email address.
    WrongEmail,
    /// The account is suspended.
    Suspended,
    /// The text that was typed as confirmation doesn't match.
    ConfirmationMismatch,
    /// The owner can't leave before they transfer the ownership.
    OwnerMustStay,
    /// The ownership can be transferred only to an admin.
    NotAnAdmin,
    /// The departure would now do something else than the plan showed.
    PlanStale,
    /// This deployment allows each user to create only one organization.
    OneOrganization,
    /// The organization's plan has no free seats left.
    SeatLimit,
    /// Billing to an organization requires its permission for billable activities.
    BillingAccessRequired,
    /// The organization's plan has too little storage left.
    QuotaExceeded,
    /// A published app can't move to another organization.
    Published,
    /// The slug is already in use.
    SlugTaken,
    /// The username is already in use.
    UsernameTaken,
    /// An account with this email address already exists.
    EmailTaken,
    /// Another object already has this id of the platform's.
    ExternalIdTaken,
    /// The limit for a period of time is used up. The message says when to try again.
    RateLimited,
}

/// A problem with the input that the client can correct. If there is one, the mutation has changed nothing.
#[derive(Debug, Clone, SimpleObject)]
pub struct UserError {
    /// The kind of problem.
    pub code: UserErrorCode,
    /// What is wrong and what would be right, in words for people.
    pub message: String,
    /// The path to the input field at fault, such as `["input", "email"]`.
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

/// A mutation's payload: its fields if the mutation succeeded, and only its user errors otherwise.
pub trait Payload: Default {
    /// Makes a payload that contains nothing but user errors.
    fn refused(user_errors: Vec<UserError>) -> Self;

    /// Makes the payload for a command's outcome.
    fn of<T>(outcome: rollcall_domain::Result<T>, payload: impl FnOnce(T) -> Self) -> async_graphql::Result<Self> {
        // A mutation that was sent before changes nothing, so it doesn't matter why it wouldn't have.
        if let Some(Refusal { code, message, field }) = idempotency::refusal() {
            let errors = vec![UserError { code: code.into(), message, field }];
            note_refusal(&errors);
            return Ok(Self::refused(errors));
        }
        match outcome {
            Ok(value) => Ok(payload(value)),
            Err(Error::Refused(refusals)) => {
                idempotency::note_refusals(&refusals);
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

/// Runs an operation, and returns its result and whether one of its mutations was refused.
pub async fn noting_refusals<T>(operation: impl Future<Output = T>) -> (T, bool) {
    REFUSED.scope(Cell::new(false), async { (operation.await, REFUSED.with(Cell::get)) }).await
}

fn note_refusal(errors: &[UserError]) {
    for error in errors {
        counter!("rollcall_graphql_user_errors_total", "code" => code_name(error.code)).increment(1);
    }
    // Outside of an operation there is no such cell, and nobody reads it.
    let _ = REFUSED.try_with(|refused| refused.set(true));
}

/// A code as the schema names it.
/// The name of a code in the API.
pub fn code_name(code: impl Into<UserErrorCode>) -> &'static str {
    let code = code.into();
    UserErrorCode::items().iter().find(|item| item.value == code).map_or("", |item| item.name)
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

/// The error for requests without a valid session or key.
pub fn unauthenticated() -> async_graphql::Error {
    async_graphql::Error::new("sign in first: send `Authorization: Bearer <session token or API key>`")
        .extend_with(|_, extensions| extensions.set("code", "UNAUTHENTICATED"))
}

/// The error for requests that have the wrong form.
pub fn bad_request(message: impl Into<String>) -> async_graphql::Error {
    async_graphql::Error::new(message).extend_with(|_, extensions| extensions.set("code", "BAD_REQUEST"))
}

/// The message that clients get while the service is overloaded.
pub const UNAVAILABLE: &str = "the service is too busy just now; try again in a moment";

/// The error for requests that fail because the service is overloaded. It holds its cause, so that a request logs it
/// once, however many of its fields fail.
fn unavailable(error: Error) -> async_graphql::Error {
    let error =
        async_graphql::Error { message: UNAVAILABLE.to_owned(), ..async_graphql::Error::new_with_source(error) };
    error.extend_with(|_, extensions| {
        extensions.set("code", "UNAVAILABLE");
        extensions.set("retryAfter", whole_seconds(limits::RETRY_AFTER));
    })
}

/// The seconds of a duration, rounded up, so that a client that waits that long succeeds.
pub fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// Converts an error for which no input field is at fault into a top-level error.
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
        // In queries, what the viewer may not see is absent, so a refusal that comes here is a bug. The HTTP layer
        // logs the cause and gives the client an id to quote.
        Error::Refused(_) | Error::Database(_) | Error::Repeated | Error::JobLost | Error::Bug(_) => {
            async_graphql::Error::new_with_source(error)
        }
    }
}

/// Converts an error of a field that has no `userErrors` and can't be null, such as a subscription: a refusal becomes a
/// top-level error with its code.
pub fn without_payload(error: Error) -> async_graphql::Error {
    let Error::Refused(refusals) = &error else { return top_level(error) };
    let Some(refusal) = refusals.first() else { return top_level(error) };
    let code = code_name(refusal.code);
    async_graphql::Error::new(&refusal.message).extend_with(|_, extensions| extensions.set("code", code))
}

/// Converts the outcome of a query: what the viewer may not see becomes null, and other errors become top-level
/// errors.
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
