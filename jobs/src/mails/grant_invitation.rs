//! The email to an address that a resource was shared with.

use apalis_diesel::{ClaimedJob, JobError};
use chrono::{DateTime, Utc};
use rollcall_domain::account::{grant_invitation, user};
use rollcall_domain::base::job::MailGrantInvitation;
use rollcall_domain::base::link::Route;
use rollcall_domain::membership::organization;
use rollcall_domain::{database, resource};
use url::Url;

use crate::context::{Context, connection, job_error};
use crate::mail::document::{Block, Document, name};
use crate::mail::words::{deadline, greeting, paragraph, row};
use crate::mail::{Envelope, Mail, RenderError, SOMEBODY};

/// Tells the recipient that a resource was shared with their address.
#[derive(Debug, Clone)]
pub struct GrantInvitationMail {
    /// The name of the user who shared the resource.
    pub inviter_name: String,
    /// The organization that holds the resource.
    pub organization_name: String,
    /// The kind of the resource, such as `project`.
    pub kind: String,
    /// The resource's name.
    pub resource_name: String,
    /// What the person may do with the resource.
    pub level: String,
    /// When the invitation expires.
    pub expires_at: DateTime<Utc>,
    /// The page that shows the resource to whoever is signed in.
    pub link: Url,
}

impl GrantInvitationMail {
    /// Renders the email.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let (inviter, organization) = (name(&self.inviter_name), name(&self.organization_name));
        let (resource, kind) = (name(&self.resource_name), name(&self.kind));
        let expires = deadline(self.expires_at, &envelope);
        Document {
            subject: format!("{inviter} shared {resource} with you"),
            preheader: format!("Sign in with this email address by {expires}."),
            heading: format!("{resource} was shared with you"),
            blocks: vec![
                greeting(&envelope),
                paragraph(format!(
                    "{inviter} shared the {kind} {resource} with you on Rollcall. It belongs to \
                    {organization}."
                )),
                Block::Rows(vec![
                    row("What", format!("{resource} ({kind})")),
                    row("You may", name(&self.level)),
                    row("Sign in by", expires),
                ]),
                Block::Button { label: "See what was shared", url: self.link.clone() },
                paragraph(
                    "Sign in with this email address on the page that opens, and you will have access. You don't need \
                    an account yet. If you don't know the sender, ignore this email.",
                ),
            ],
            reason: format!("You received this email because {inviter} entered this email address."),
        }
        .render(envelope)
    }
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailGrantInvitation) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    let found =
        grant_invitation::invitation_by_id(&mut reader, payload.grant_invitation_id).await.map_err(job_error)?;
    let now = database::now(&reader).await.map_err(job_error)?;
    // An invitation that was already taken up or revoked isn't worth an email.
    let Some(shared) = found.filter(|shared| shared.expires_at > now) else { return Ok(()) };
    let resource = resource::by_ids(&mut reader, &[shared.resource_id]).await.map_err(job_error)?.pop();
    let Some(resource) = resource else { return Ok(()) };
    let organization = organization::by_id(&reader, shared.organization_id).await.map_err(job_error)?;
    if organization.deleted_at.is_some() {
        return Ok(());
    }
    let inviter = match shared.invited_by_id {
        Some(id) => Some(user::by_id(&mut reader, id).await.map_err(job_error)?),
        None => None,
    };
    drop(reader);
    let mail = GrantInvitationMail {
        // Nobody may know who acts for an organization that hides its structure (R77).
        inviter_name: match (inviter, organization.member_directory.shows_structure()) {
            (Some(inviter), true) => inviter.name,
            (Some(_), false) => SOMEBODY.to_owned(),
            // The platform acts in the organization's name.
            (None, _) => organization.name.clone(),
        },
        organization_name: organization.name,
        kind: resource.kind.label().to_owned(),
        resource_name: resource.name,
        level: shared.level.as_str().to_owned(),
        expires_at: shared.expires_at,
        link: context.link(Route::Resource(&resource.id.to_string())),
    };
    let envelope = Envelope {
        key: format!("grant-invitation.{}.{}", shared.id, shared.created_at.timestamp()),
        address: shared.email.to_string(),
        name: None,
        date: shared.created_at,
    };
    organization::take_mail_turn(&context.database, shared.organization_id).await.map_err(job_error)?;
    context.send(job, mail.render(envelope)).await
}
