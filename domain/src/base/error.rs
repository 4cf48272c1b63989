//! The outcomes of commands: a result, refusals that the caller can act on, or a fault.

use std::time::Duration;

use diesel::result::{DatabaseErrorKind, Error as DieselError};

/// The result of a domain function.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason of a refusal. It is the `UserErrorCode` of the GraphQL schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The value has the wrong form.
    Invalid,
    /// The value may not be empty.
    Blank,
    /// The value has too many characters.
    TooLong,
    /// There are more items than are allowed.
    TooMany,
    /// The object doesn't exist, or the caller may not know that it does.
    NotFound,
    /// The caller may see the object, but isn't allowed to do this.
    Forbidden,
    /// Somebody else changed the same object at the same moment, or the object's state doesn't allow this.
    Conflict,
    /// Nobody can do this to themselves.
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
    /// The ownership can be transferred only to an admin (R46).
    NotAnAdmin,
    /// The departure would now do something else than the plan showed (R44).
    PlanStale,
    /// The deployment allows each user only one organization (D3).
    OneOrganization,
    /// The organization's plan has no free seats left (R64).
    SeatLimit,
    /// Billing to an organization requires its permission (R55).
    BillingAccessRequired,
    /// The organization's plan has too little storage left (R64).
    QuotaExceeded,
    /// A published app can't move to another organization (R60).
    Published,
    /// The slug is already in use.
    SlugTaken,
    /// The username is already in use.
    UsernameTaken,
    /// An account with this email address already exists.
    EmailTaken,
    /// Another object already has the platform's id (R87).
    ExternalIdTaken,
    /// The limit for a period of time is used up. The message says when to try again.
    RateLimited,
}

/// The reader of a refusal that is about a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// The person that it is about.
    Themselves,
    /// Somebody else, who does something that concerns the person.
    Another,
}

/// A refusal that the caller can act on. If there is one, nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason, for programs.
    pub code: Code,
    /// The path to the input field at fault, without the leading `input`.
    pub field: Vec<String>,
    /// What is wrong and what would be right, in words for people.
    pub message: String,
}

impl Refusal {
    /// A refusal because of one field of the input.
    pub fn new(code: Code, field: &str, message: impl Into<String>) -> Self {
        Self { code, field: vec![field.to_owned()], message: message.into() }
    }

    /// The same refusal, for a field inside `parents`.
    pub fn within<const N: usize>(mut self, parents: [&str; N]) -> Self {
        self.field.splice(0..0, parents.map(str::to_owned));
        self
    }

    /// Whether the refusal is about this field of the input, at any depth.
    pub fn is_on(&self, field: &str) -> bool {
        self.field.last().is_some_and(|last| last == field)
    }
}

/// The errors of domain functions.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller can act on it, and nothing has changed.
    #[error("refused: {0:?}")]
    Refused(Vec<Refusal>),
    /// There is no valid session or key, or no longer one.
    #[error("not signed in")]
    Unauthenticated,
    /// Too many attempts.
    #[error("too many tries")]
    RateLimited {
        /// How long to wait.
        retry_after: Duration,
    },
    /// A cursor, page or id doesn't have the right form.
    #[error("{0}")]
    BadRequest(String),
    /// The database failed, or one of its constraints was violated unexpectedly.
    #[error("the database failed")]
    Database(#[source] DieselError),
    /// The service is overloaded: no connection was free in time, or a statement took or waited too long.
    #[error("the database is too busy, or can't be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The mutation was sent before with the same idempotency key, or another one was, so it changes nothing (R91).
    #[error("the mutation was sent before")]
    Repeated,
    /// Another worker has taken over the running job, so this run must not commit.
    #[error("the job was taken over")]
    JobLost,
    /// Something happened that should be impossible.
    #[error("{0}")]
    Bug(&'static str),
}

impl Error {
    /// A refusal because of one field of the input.
    pub fn refused(code: Code, field: &str, message: impl Into<String>) -> Self {
        Refusal::new(code, field, message).into()
    }

    /// Whether the transaction can simply be run again, because it only conflicted with another one.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self.sqlstate(), Some(sqlstate::SERIALIZATION_FAILURE | sqlstate::DEADLOCK_DETECTED))
    }

    /// Whether another transaction held a needed lock for too long.
    pub(crate) fn is_lock_timeout(&self) -> bool {
        self.sqlstate() == Some(sqlstate::LOCK_NOT_AVAILABLE)
    }

    /// Whether the input contained something that PostgreSQL can't store: a NUL character, or a number or time that is
    /// out of range.
    pub fn is_unstorable(&self) -> bool {
        match self {
            Self::Database(DieselError::SerializationError(_)) => true,
            _ => matches!(
                self.sqlstate(),
                Some(
                    sqlstate::CHARACTER_NOT_IN_REPERTOIRE
                        | sqlstate::UNTRANSLATABLE_CHARACTER
                        | sqlstate::NUMERIC_VALUE_OUT_OF_RANGE
                        | sqlstate::DATETIME_FIELD_OVERFLOW
                        | sqlstate::INTERVAL_FIELD_OVERFLOW
                )
            ),
        }
    }

    /// The SQLSTATE of PostgreSQL's error, which is the same in every language.
    fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Database(error) => sqlstate::of(error),
            Self::Unavailable(cause) => cause.downcast_ref().and_then(sqlstate::of),
            _ => None,
        }
    }

    /// The name of the constraint that was violated, if this is a violation.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Database(DieselError::DatabaseError(_, info)) => info.constraint_name(),
            _ => None,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(vec![refusal])
    }
}

impl From<DieselError> for Error {
    fn from(error: DieselError) -> Self {
        match is_connection_lost(&error) || sqlstate::of(&error).is_some_and(sqlstate::is_unavailable) {
            true => Self::Unavailable(Box::new(error)),
            false => Self::Database(error),
        }
    }
}

/// Whether the connection was lost, in which case there is no SQLSTATE.
fn is_connection_lost(error: &DieselError) -> bool {
    use DatabaseErrorKind::{ClosedConnection, UnableToSendCommand};
    matches!(error, DieselError::DatabaseError(ClosedConnection | UnableToSendCommand, _))
}

/// The SQLSTATEs that have a meaning here.
///
/// diesel doesn't expose them; `database/wire.rs` puts them before the messages.
mod sqlstate {
    use diesel::result::Error;

    pub(super) const SERIALIZATION_FAILURE: &str = "40001";
    pub(super) const DEADLOCK_DETECTED: &str = "40P01";
    pub(super) const LOCK_NOT_AVAILABLE: &str = "55P03";
    pub(super) const CHARACTER_NOT_IN_REPERTOIRE: &str = "22021";
    pub(super) const UNTRANSLATABLE_CHARACTER: &str = "22P05";
    pub(super) const NUMERIC_VALUE_OUT_OF_RANGE: &str = "22003";
    pub(super) const DATETIME_FIELD_OVERFLOW: &str = "22008";
    pub(super) const INTERVAL_FIELD_OVERFLOW: &str = "22015";
    const QUERY_CANCELED: &str = "57014";
    const CLASS_CONNECTION: &str = "08";
    const CLASS_RESOURCES: &str = "53";
    const IDLE_IN_TRANSACTION: &str = "25P03";
    /// The server is a standby, which was the primary until just now.
    const READ_ONLY: &str = "25006";
    const SHUTTING_DOWN: [&str; 4] = ["57P01", "57P02", "57P03", "57P05"];

    pub(super) fn of(error: &Error) -> Option<&str> {
        let Error::DatabaseError(_, information) = error else { return None };
        let (code, rest) = information.message().split_at_checked(5)?;
        let is_code = code.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
        (is_code && rest.starts_with(": ")).then_some(code)
    }

    /// Whether the database is overloaded or shutting down, so that the same may succeed a moment later.
    pub(super) fn is_unavailable(code: &str) -> bool {
        matches!(code, LOCK_NOT_AVAILABLE | QUERY_CANCELED | IDLE_IN_TRANSACTION | READ_ONLY)
            || SHUTTING_DOWN.contains(&code)
            || code.starts_with(CLASS_CONNECTION)
            || code.starts_with(CLASS_RESOURCES)
    }
}

/// Converts the violation of this constraint into a refusal.
pub(crate) fn on_violation<T>(
    result: Result<T, DieselError>,
    constraint: &str,
    refusal: impl FnOnce() -> Refusal,
) -> Result<T> {
    result.map_err(|error| {
        let error = Error::from(error);
        if error.constraint() == Some(constraint) { refusal().into() } else { error }
    })
}
