//! The email with the link that confirms a new address.

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::base::job::MailEmailChangeLink;
use rollcall_domain::base::limits;
use rollcall_domain::base::link::Route;
use rollcall_domain::database;
use rollcall_domain::sign_in::email_change;
use url::Url;

use super::find;
use crate::context::{Context, connection, job_error};
use crate::mail::document::{Block, Document, name};
use crate::mail::words::{duration, paragraph};
use crate::mail::{Envelope, Mail, RenderError};

/// Lets the recipient confirm that their address is the new address of an account. The address may belong to somebody
/// else, so the email reveals only the account's username.
#[derive(Clone)]
pub struct EmailChangeLinkMail {
    /// The account's username, without `@`.
    pub username: String,
    /// The page that confirms the change.
    pub link: Url,
    /// The number of minutes for which the link works.
    pub link_minutes: u32,
}

impl EmailChangeLinkMail {
    /// Renders the email. It doesn't use the envelope's name, since the address may belong to somebody else.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let lifetime = duration(self.link_minutes);
        Document {
            subject: "Confirm your new email address for Rollcall".into(),
            preheader: format!("The link works for {lifetime}."),
            heading: "Is this your new email address?".into(),
            blocks: vec![
                paragraph(format!(
                    "The person with the Rollcall account @{} says that this is their new email address.",
                    name(&self.username)
                )),
                Block::Button { label: "See the new address", url: self.link.clone() },
                paragraph(format!(
                    "Confirm it on the page that opens; opening it changes nothing. The link works once, for \
                    {lifetime}."
                )),
                paragraph(
                    "If you didn't ask for this, ignore this email: nothing happens to this address or to any account \
                    of yours.",
                ),
            ],
            reason: "You received this email because someone entered this email address as the new one for their \
                Rollcall account."
                .into(),
        }
        .render(Envelope { name: None, ..envelope })
    }
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailEmailChangeLink) -> Result<(), JobError> {
    let Some((change, user)) = find(context, payload.email_change_id).await? else { return Ok(()) };
    // An email with a link that no longer works would only confuse.
    let now = database::now(&*connection(context).await?).await.map_err(job_error)?;
    if change.why_closed(now).is_some() {
        return Ok(());
    }
    let token = email_change::link_token(&context.database, change.id).map_err(job_error)?;
    let mail = EmailChangeLinkMail {
        username: user.username.to_string(),
        link: context.link(Route::EmailChange(token.reveal())),
        link_minutes: u32::try_from(limits::EMAIL_CHANGE_LIFETIME.as_secs() / 60).unwrap_or(u32::MAX),
    };
    let envelope = Envelope {
        key: format!("email-change-link.{}", change.id),
        address: change.new_email.to_string(),
        // Somebody else may read the emails to this address.
        name: None,
        date: change.created_at,
    };
    context.send(job, mail.render(envelope)).await
}
