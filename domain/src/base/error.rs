//! What can come of a command: its result, refusals that the caller can act on, or a fault.

use std::time::Duration;

use diesel::result::{DatabaseErrorKind, Error as DieselError};

/// The result of a domain function.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a refusal was given; the contract's `UserErrorCode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The value has the wrong form.
    Invalid,
    /// The value may not be empty.
    Blank,
    /// The value has too many characters.
    TooLong,
    /// More items than allowed.
    TooMany,
    /// There is no such thing, or none that the caller may know of.
    NotFound,
    /// The caller knows of it and may not do this.
    Forbidden,
    /// Someone else changed the same at the same moment, or its state doesn't allow it.
    Conflict,
    /// Nobody can do this to themselves.
    Self_,
    /// The person belongs to the organization.
    AlreadyMember,
    /// An invitation to the person is open.
    AlreadyInvited,
    /// It was used before.
    AlreadyUsed,
    /// Its time is over.
    Expired,
    /// It was taken back.
    Revoked,
    /// It is meant for another address.
    WrongEmail,
    /// The account is suspended.
    Suspended,
    /// What was typed to confirm isn't what it should be.
    ConfirmationMismatch,
    /// The owner can't leave before handing over.
    OwnerMustStay,
    /// Ownership goes to admins only (R46).
    NotAnAdmin,
    /// What was planned isn't what would happen now (R44).
    PlanStale,
    /// The deployment allows one organization per user (D3).
    OneOrganization,
    /// The organization's plan has too few seats (R64).
    SeatLimit,
    /// Billing to the organization takes the permission for it (R55).
    BillingAccessRequired,
    /// The organization's plan has too little storage (R64).
    QuotaExceeded,
    /// A published app's organization can't change (R60).
    Published,
    /// The slug is in use.
    SlugTaken,
    /// The username is in use.
    UsernameTaken,
    /// The address has an account.
    EmailTaken,
    /// So many are allowed in a time, and no more; the message says when it can be tried again.
    RateLimited,
}

/// Who reads a refusal that is about somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// The person themselves.
    Themselves,
    /// Someone else, who does something with them.
    Another,
}

/// A refusal that the caller can act on; nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub code: Code,
    /// Path to the input field at fault, without the leading `input`.
    pub field: Vec<String>,
    /// What is wrong and what would be right, for people.
    pub message: String,
}

impl Refusal {
    /// A refusal on one field of the input.
    pub fn new(code: Code, field: &str, message: impl Into<String>) -> Self {
        Self { code, field: vec![field.to_owned()], message: message.into() }
    }

    /// The same refusal, its field inside `parents`.
    pub fn within<const N: usize>(mut self, parents: [&str; N]) -> Self {
        self.field.splice(0..0, parents.map(str::to_owned));
        self
    }

    /// Whether this field of the input, wherever it lies, is at fault.
    pub(crate) fn is_on(&self, field: &str) -> bool {
        self.field.last().is_some_and(|last| last == field)
    }
}

/// What a domain function can fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller can act on it; nothing has changed.
    #[error("refused: {0:?}")]
    Refused(Vec<Refusal>),
    /// Nobody is signed in, or no longer.
    #[error("not signed in")]
    Unauthenticated,
    /// Too many tries.
    #[error("too many tries")]
    RateLimited {
        /// How long to wait.
        retry_after: Duration,
    },
    /// A cursor, page or id isn't of the right form.
    #[error("{0}")]
    BadRequest(String),
    /// The database failed or a rule of its own was broken.
    #[error("the database failed")]
    Database(#[source] DieselError),
    /// The service has too much to do just now: no connection was free in time, or a statement took or waited too long.
    #[error("the database is too busy, or can't be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A job that runs was taken over by another worker: this run must not commit.
    #[error("the job was taken over")]
    JobLost,
    /// What can't happen did.
    #[error("{0}")]
    Bug(&'static str),
}

impl Error {
    /// A refusal on one field of the input.
    pub fn refused(code: Code, field: &str, message: impl Into<String>) -> Self {
        Refusal::new(code, field, message).into()
    }

    /// Whether the transaction may simply be run again: another one stood in its way.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self.sqlstate(), Some(sqlstate::SERIALIZATION_FAILURE | sqlstate::DEADLOCK_DETECTED))
    }

    /// Whether another transaction held what this one needed for longer than anyone should wait.
    pub(crate) fn is_lock_timeout(&self) -> bool {
        self.sqlstate() == Some(sqlstate::LOCK_NOT_AVAILABLE)
    }

    /// Whether the input held what PostgreSQL can't store: a NUL character, or a number or time out of its range.
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

    /// The code of PostgreSQL's error, which says what happened in every language.
    fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Database(error) => sqlstate::of(error),
            Self::Unavailable(cause) => cause.downcast_ref().and_then(sqlstate::of),
            _ => None,
        }
    }

    /// The name of the constraint that was violated, if that is what happened.
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

/// Whether the connection has ended, so that no code came.
fn is_connection_lost(error: &DieselError) -> bool {
    use DatabaseErrorKind::{ClosedConnection, UnableToSendCommand};
    matches!(error, DieselError::DatabaseError(ClosedConnection | UnableToSendCommand, _))
}

/// The codes of PostgreSQL's errors that mean something here.
///
/// diesel keeps them to itself; `database/wire.rs` writes them before the messages.
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
    /// A standby, which the primary has just become.
    const READ_ONLY: &str = "25006";
    const SHUTTING_DOWN: [&str; 4] = ["57P01", "57P02", "57P03", "57P05"];

    pub(super) fn of(error: &Error) -> Option<&str> {
        let Error::DatabaseError(_, information) = error else { return None };
        let (code, rest) = information.message().split_at_checked(5)?;
        let is_code = code.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
        (is_code && rest.starts_with(": ")).then_some(code)
    }

    /// Whether the database had too much to do, or is going away: a moment later the same may succeed.
    pub(super) fn is_unavailable(code: &str) -> bool {
        matches!(code, LOCK_NOT_AVAILABLE | QUERY_CANCELED | IDLE_IN_TRANSACTION | READ_ONLY)
            || SHUTTING_DOWN.contains(&code)
            || code.starts_with(CLASS_CONNECTION)
            || code.starts_with(CLASS_RESOURCES)
    }
}

/// Gives a violated constraint its meaning.
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
