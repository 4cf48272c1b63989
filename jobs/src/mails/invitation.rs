//! The email with an invitation's link.

use apalis_diesel::{ClaimedJob, JobError};
use chrono::{DateTime, Utc};
use rollcall_domain::base::delivery::DeliveryStatus;
use rollcall_domain::base::job::MailInvitation;
use rollcall_domain::base::limits;
use rollcall_domain::base::link::Route;
use rollcall_domain::membership::invitation::{self, InvitationStatus};
use rollcall_domain::membership::invitation_grants::GrantInWords;
use rollcall_domain::membership::invitation_mail::{self, InvitationToMail};
use rollcall_domain::membership::organization;
use url::Url;

use crate::context::{Context, Unsent, connection, hold, job_error};
use crate::mail::document::{Block, Document, line, name};
use crate::mail::words::{deadline, greeting, paragraph, row};
use crate::mail::{Envelope, Mail, RenderError};

/// Invites the recipient to an organization.
#[derive(Clone)]
pub struct InvitationMail {
    /// The organization.
    pub organization_name: String,
    /// The name of the user who invites. `None` if the recipient may not know it.
    pub inviter_name: Option<String>,
    /// The role offered, such as `Member`.
    pub role: String,
    /// What the recipient gets access to by joining.
    pub grants: Vec<GrantInWords>,
    /// The message of the user who invites.
    pub message: Option<String>,
    /// The page that shows the invitation.
    pub link: Url,
    /// When the invitation expires.
    pub expires_at: DateTime<Utc>,
}

impl InvitationMail {
    /// Renders the email. It greets the recipient by the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let invites = match &self.inviter_name {
            Some(inviter) => format!("{} invites you to join {organization}", name(inviter)),
            None => format!("You are invited to join {organization}"),
        };
        let expires = deadline(self.expires_at, &envelope);
        let mut blocks = vec![
            greeting(&envelope),
            paragraph(format!("{invites} on Rollcall, where its members share and manage their work together.")),
        ];
        blocks.extend(message(self.inviter_name.as_deref(), self.message.as_deref()));
        blocks.push(Block::Rows(vec![
            row("Organization", organization.clone()),
            row("Your role", name(&self.role)),
            row("Open until", expires.clone()),
        ]));
        blocks.extend(granted(&self.grants));
        blocks.extend([
            Block::Button { label: "See the invitation", url: self.link.clone() },
            paragraph(
                "You can accept or decline on the page that opens; opening it changes nothing. You don't need an \
                account: we create one when you accept.",
            ),
            paragraph(
                "If you would rather not join, just ignore this email and the invitation will expire. The link is \
                only for you, so please don't share it.",
            ),
        ]);
        Document {
            subject: invites.clone(),
            preheader: format!("See the invitation, then accept or decline it. It is open until {expires}."),
            heading: format!("Join {organization}"),
            blocks,
            reason: reason(&self.organization_name),
        }
        .render(envelope)
    }
}

/// The inviter's own words, marked as such. Nothing in them can be clicked.
fn message(inviter_name: Option<&str>, message: Option<&str>) -> Option<Block> {
    let message = line(message?, limits::INVITATION_MESSAGE);
    Some(paragraph(match inviter_name.map(name) {
        Some(inviter) => format!("{inviter} writes: “{message}”"),
        None => format!("The person who invites you writes: “{message}”"),
    }))
}

/// What the recipient gets access to by joining.
pub(super) fn granted(grants: &[GrantInWords]) -> Vec<Block> {
    if grants.is_empty() {
        return Vec::new();
    }
    let words = |grant: &GrantInWords| {
        format!("{} ({}): you can {}", name(&grant.name), name(&grant.kind), grant.level.in_words())
    };
    vec![paragraph("When you join, you also get access to:"), Block::List(grants.iter().map(words).collect())]
}

/// Why somebody receives the emails about an invitation.
pub(super) fn reason(organization_name: &str) -> String {
    format!(
        "You received this email because someone in {} entered your email address to invite you.",
        name(organization_name)
    )
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailInvitation) -> Result<(), JobError> {
    let MailInvitation { invitation_id: id, token_version } = *payload;
    let found = invitation_mail::by_id(&mut *connection(context).await?, id).await.map_err(job_error)?;
    let Some(InvitationToMail { invitation, organization, inviter_name, recipient, grants, at }) = found else {
        return Ok(());
    };
    let is_current = invitation.token_version == token_version && invitation.status_at(at) == InvitationStatus::Pending;
    if !is_current || invitation.delivery == DeliveryStatus::Sent {
        return Ok(());
    }
    // The invitations of a deleted organization are paused (R48). If this email was due in that time, somebody has to
    // resend the invitation later.
    if organization.deleted_at.is_some() {
        return Ok(());
    }
    let Some((address, name)) = recipient else { return Ok(()) };
    let token = invitation::link_token(&context.database, &invitation).map_err(job_error)?;
    let mail = InvitationMail {
        organization_name: organization.name,
        inviter_name: inviter_name.filter(|_| organization.member_directory.shows_structure()),
        role: invitation.role.label().to_owned(),
        grants,
        message: invitation.message,
        link: context.link(Route::Invitation(token.reveal())),
        expires_at: invitation.expires_at,
    };
    let envelope = Envelope {
        key: format!("invitation.{id}.{token_version}"),
        address: address.to_string(),
        name,
        date: invitation.sent_at,
    };
    organization::take_mail_turn(&context.database, invitation.organization_id).await.map_err(job_error)?;
    let outcome = context.try_send(job, mail.render(envelope)).await?;
    // The address of a person who was invited by username must not become known, whatever the server says about it.
    let told = |unsent: &Unsent| match &invitation.email {
        Some(_) => unsent.reply.clone(),
        None => unsent.in_own_words(),
    };
    let (delivery, error) = match &outcome {
        Ok(()) => (DeliveryStatus::Sent, None),
        Err(unsent) if unsent.again_after.is_some() => (DeliveryStatus::Deferred, Some(told(unsent))),
        Err(unsent) => (DeliveryStatus::Failed, Some(told(unsent))),
    };
    let hold = hold(job);
    context
        .database
        .transaction(async |transaction| {
            hold(transaction).await?;
            invitation::set_delivery(transaction, id, token_version, delivery, error.as_deref()).await
        })
        .await
        .map_err(job_error)?;
    outcome.map_err(Unsent::into)
}
