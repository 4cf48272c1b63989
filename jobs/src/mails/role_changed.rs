//! The email that tells a member that their role was changed, and by whom.

use apalis_diesel::{ClaimedJob, Job, JobError};
use chrono::{DateTime, Utc};
use rollcall_domain::authority::audit::AuditEvent;
use rollcall_domain::authority::rights::Role;
use rollcall_domain::base::job::MailRoleChanged;
use rollcall_domain::base::limits;
use rollcall_domain::membership::organization;

use super::member_event::MemberEvent;
use crate::context::{Context, connection, job_error};
use crate::mail::document::{Block, Document, name};
use crate::mail::words::{greeting, paragraph, row, time};
use crate::mail::{Envelope, Mail, RenderError};

/// Tells a member that their role was changed.
#[derive(Debug, Clone)]
pub struct RoleChangedMail {
    /// The organization.
    pub organization_name: String,
    /// The previous role, such as `Member`.
    pub old_role: String,
    /// The new role.
    pub new_role: String,
    /// The name of the member who changed it. `None` if it wasn't a member.
    pub changed_by: Option<String>,
    /// When the role was changed.
    pub changed_at: DateTime<Utc>,
}

impl RoleChangedMail {
    /// Renders the email. It greets the recipient by the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let (old, new) = (name(&self.old_role), name(&self.new_role));
        let mut rows = vec![row("Previous role", old.clone()), row("New role", new.clone())];
        rows.extend(self.changed_by.as_deref().map(|by| row("Changed by", name(by))));
        rows.push(row("When", time(self.changed_at)));
        Document {
            subject: format!("Your role in {organization} is now {new}"),
            preheader: format!("Until now, it was {old}."),
            heading: format!("Your role in {organization} changed"),
            blocks: vec![
                greeting(&envelope),
                paragraph(format!("Your role in {organization} is now {new}; it was {old}.")),
                Block::Rows(rows),
                paragraph(
                    "There is nothing you need to do. If you didn't expect this, please ask the person who changed it \
                    or the organization's owner.",
                ),
            ],
            reason: format!("You received this email because you are a member of {organization}."),
        }
        .render(envelope)
    }
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailRoleChanged) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    let found = MemberEvent::find(&mut reader, payload.audit_event_id).await.map_err(job_error)?;
    drop(reader);
    let Some(MemberEvent { event, member, user, organization_name, done_by }) = found else { return Ok(()) };
    let (from, to) = change(&event).ok_or_else(|| JobError::discard("the event is no change of a role"))?;
    // If the member has left or has another role in the meantime, another email tells them so.
    if member.role != to {
        return Ok(());
    }
    let Some(email) = user.email else { return Ok(()) };
    let mail = RoleChangedMail {
        organization_name,
        old_role: from.label().to_owned(),
        new_role: to.label().to_owned(),
        changed_by: done_by,
        changed_at: event.occurred_at,
    };
    let envelope = Envelope {
        key: format!("role-changed.{}", event.id),
        address: email.to_string(),
        name: Some(user.name),
        date: event.occurred_at,
    };
    if !context.takes_turn(job, MailRoleChanged::KIND, member.id, &email, limits::ROLE_MAILS).await? {
        return Ok(());
    }
    organization::take_mail_turn(&context.database, event.organization_id).await.map_err(job_error)?;
    context.send(job, mail.render(envelope)).await
}

/// The previous and the new role.
fn change(event: &AuditEvent) -> Option<(Role, Role)> {
    let role = |key: &str| {
        let word = event.metadata.get(key)?.as_str()?;
        Role::ALL.iter().copied().find(|role| role.as_str() == word)
    };
    // Events that were recorded by earlier versions have the old names.
    Some((role("oldRole").or_else(|| role("from"))?, role("role").or_else(|| role("to"))?))
}
