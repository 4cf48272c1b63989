//! The emails about a change of address: the link that goes to the new address, what the old address is told, and what
//! both are told if the platform's staff have changed it.

pub(crate) mod changed;
pub(crate) mod link;
pub(crate) mod requested;
pub(crate) mod set;

use apalis_diesel::JobError;
pub use changed::EmailChangedMail;
pub use link::EmailChangeLinkMail;
pub use requested::EmailChangeRequestedMail;
use rollcall_domain::account::user::{self, User};
use rollcall_domain::base::id::EmailChangeId;
use rollcall_domain::sign_in::email_change::{self, EmailChange};
pub use set::EmailSetMail;

use crate::context::{Context, connection, job_error};

/// The name to greet. A deleted account doesn't have one.
fn greeted(user: User) -> Option<String> {
    user.deleted_at.is_none().then_some(user.name)
}

async fn find(context: &Context, id: EmailChangeId) -> Result<Option<(EmailChange, User)>, JobError> {
    let mut reader = connection(context).await?;
    let Some(change) = email_change::by_id(&mut reader, id).await.map_err(job_error)? else { return Ok(None) };
    let user = user::by_id(&mut reader, change.user_id).await.map_err(job_error)?;
    Ok(Some((change, user)))
}
