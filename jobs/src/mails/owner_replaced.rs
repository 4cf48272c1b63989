//! The email that tells the former owner that the platform's staff gave their organization to somebody else (R1).

use apalis_diesel::{ClaimedJob, Job, JobError};
use chrono::{DateTime, Utc};
use rollcall_domain::account::user;
use rollcall_domain::authority::audit::{self, AuditEvent};
use rollcall_domain::base::id::UserId;
use rollcall_domain::base::job::MailOwnerReplaced;
use rollcall_domain::base::limits;
use rollcall_domain::membership::{member, organization};

use crate::context::{Context, connection, job_error};
use crate::mail::document::{Block, Document, name};
use crate::mail::words::{greeting, paragraph, row, time};
use crate::mail::{Envelope, Mail, RenderError};

/// Tells the former owner that the platform's staff gave the organization to somebody else.
#[derive(Debug, Clone)]
pub struct OwnerReplacedMail {
    /// The organization.
    pub organization_name: String,
    /// The new owner's name.
    pub new_owner_name: String,
    /// The new owner's username, without `@`.
    pub new_owner_username: String,
    /// When the owner was replaced.
    pub replaced_at: DateTime<Utc>,
}

impl OwnerReplacedMail {
    /// Renders the email. It greets the recipient by the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let owner = format!("{} (@{})", name(&self.new_owner_name), name(&self.new_owner_username));
        Document {
            subject: format!("{organization} has a new owner"),
            preheader: format!("The platform's staff passed ownership to {owner}."),
            heading: format!("{organization} has a new owner"),
            blocks: vec![
                greeting(&envelope),
                paragraph(format!(
                    "The platform's staff passed ownership of {organization} from you to {owner}. You are now an admin \
                    there. Any open invitations and codes of yours that an admin can't issue have ended."
                )),
                Block::Rows(vec![
                    row("Organization", organization.clone()),
                    row("New owner", owner),
                    row("When", time(self.replaced_at)),
                ]),
                paragraph(
                    "If you didn't ask for this and nobody has told you why, please contact the platform's \
                    staff.",
                ),
            ],
            reason: format!("You received this email because you owned {organization}."),
        }
        .render(envelope)
    }
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailOwnerReplaced) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    let found = audit::by_id(&mut reader, payload.audit_event_id).await.map_err(job_error)?;
    let Some(event) = found else { return Ok(()) };
    let not_of_this_kind = || JobError::discard("the event is no change of the owner");
    let former = user_of(&event, "from").ok_or_else(not_of_this_kind)?;
    let new = user_of(&event, "to").ok_or_else(not_of_this_kind)?;
    let organization = organization::by_id(&reader, event.organization_id).await.map_err(job_error)?;
    let former = user::by_id(&mut reader, former).await.map_err(job_error)?;
    let new = user::by_id(&mut reader, new).await.map_err(job_error)?;
    let membership = member::of(&mut reader, event.organization_id, former.id).await.map_err(job_error)?;
    drop(reader);
    let Some(email) = former.email else { return Ok(()) };
    let mail = OwnerReplacedMail {
        organization_name: organization.name,
        new_owner_name: new.name,
        new_owner_username: new.username.to_string(),
        replaced_at: event.occurred_at,
    };
    let envelope = Envelope {
        key: format!("owner-replaced.{}", event.id),
        address: email.to_string(),
        name: Some(former.name),
        date: event.occurred_at,
    };
    if let Some(membership) = membership
        && !context.takes_turn(job, MailOwnerReplaced::KIND, membership.id, &email, limits::ROLE_MAILS).await?
    {
        return Ok(());
    }
    context.send(job, mail.render(envelope)).await
}

/// The user whose id is under this key of the event's metadata.
fn user_of(event: &AuditEvent, key: &str) -> Option<UserId> {
    event.metadata.get(key)?.as_str()?.parse().ok()
}
