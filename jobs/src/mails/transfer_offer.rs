//! The email that tells somebody that a project is offered to them (R61).

use apalis_diesel::{ClaimedJob, JobError};
use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use rollcall_domain::account::user::{self, User};
use rollcall_domain::authority::membership::MemberStatus;
use rollcall_domain::base::job::MailTransferOffer;
use rollcall_domain::base::link::Route;
use rollcall_domain::database;
use rollcall_domain::membership::{member, organization};
use rollcall_domain::resource::transfer::{self, Transfer, TransferStatus};
use url::Url;

use crate::context::{Context, connection, job_error};

/// The organizations and users of a transfer.
pub(crate) struct Parties {
    pub(crate) from_name: String,
    pub(crate) to_name: Option<String>,
    pub(crate) offered_by: User,
    pub(crate) recipient: User,
}

impl Parties {
    pub(crate) async fn of(reader: &mut AsyncPgConnection, transfer: &Transfer) -> rollcall_domain::Result<Self> {
        let to_name = match transfer.to_organization_id {
            Some(id) => Some(organization::by_id(reader, id).await?.name),
            None => None,
        };
        Ok(Self {
            from_name: organization::by_id(reader, transfer.organization_id).await?.name,
            to_name,
            offered_by: user::by_id(reader, transfer.offered_by_id).await?,
            recipient: user::by_id(reader, transfer.recipient_id).await?,
        })
    }
}
use crate::mail::document::{Block, Document, name};
use crate::mail::words::{deadline, greeting, paragraph, row};
use crate::mail::{Envelope, Mail, RenderError, SOMEBODY};

/// Tells the recipient that a project is offered to them.
#[derive(Debug, Clone)]
pub struct TransferOfferMail {
    /// The name of the user who offers the project.
    pub offered_by_name: String,
    /// Their username, without `@`, if the recipient may know it.
    pub offered_by_username: Option<String>,
    /// The project.
    pub project_name: String,
    /// The organization that holds the project.
    pub from_name: String,
    /// The organization that the project is offered to, if one is named.
    pub to_name: Option<String>,
    /// The offer's id.
    pub transfer_id: String,
    /// When the offer expires.
    pub expires_at: DateTime<Utc>,
    /// The page for signing in.
    pub sign_in_link: Url,
}

impl TransferOfferMail {
    /// Renders the email. It greets the recipient by the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let project = name(&self.project_name);
        let offered_by = match &self.offered_by_username {
            Some(username) => format!("{} (@{})", name(&self.offered_by_name), name(username)),
            None => name(&self.offered_by_name),
        };
        let expires = deadline(self.expires_at, &envelope);
        let pays = match &self.to_name {
            Some(to) => format!("{} will hold it and pay for it.", name(to)),
            None => "the organization you choose will hold it and pay for it. It must be one that you may \
                bill."
                .to_owned(),
        };
        let mut rows = vec![row("Project", project.clone()), row("Currently in", name(&self.from_name))];
        rows.extend(self.to_name.as_deref().map(|to| row("For", name(to))));
        rows.push(row("Offer", name(&self.transfer_id)));
        rows.push(row("Open until", expires.clone()));
        Document {
            subject: format!("{} offers you the project {project}", name(&self.offered_by_name)),
            preheader: format!("Accept or decline it until {expires}."),
            heading: format!("The project {project} is offered to you"),
            blocks: vec![
                greeting(&envelope),
                paragraph(format!("{offered_by} offers you this project. If you accept, you will own it, and {pays}")),
                Block::Rows(rows),
                Block::Button { label: "Sign in", url: self.sign_in_link.clone() },
                paragraph(
                    "Accept or decline it in the platform you use, where the offer has the ID above. If you do \
                    nothing, it expires.",
                ),
            ],
            reason: "You received this email because the project was offered to your account.".to_owned(),
        }
        .render(envelope)
    }
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailTransferOffer) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    let found = transfer::by_ids(&mut reader, &[payload.transfer_id]).await.map_err(job_error)?.pop();
    let now = database::now(&reader).await.map_err(job_error)?;
    // An offer that was already answered or cancelled isn't worth an email.
    let Some(transfer) = found.filter(|transfer| transfer.status_at(now) == TransferStatus::Offered) else {
        return Ok(());
    };
    let Parties { from_name, to_name, offered_by, recipient } =
        Parties::of(&mut reader, &transfer).await.map_err(job_error)?;
    // Only those who lead the organization may know who acts for it if it hides its structure (R77).
    let organization = organization::by_id(&reader, transfer.organization_id).await.map_err(job_error)?;
    let member = member::of(&mut reader, organization.id, recipient.id).await.map_err(job_error)?;
    let is_shown = match member.filter(|member| member.status == MemberStatus::Active) {
        Some(member) => organization.standing_of(member.role).sees_structure(),
        None => organization.member_directory.shows_structure(),
    };
    drop(reader);
    let Some(email) = recipient.email else { return Ok(()) };
    let mail = TransferOfferMail {
        offered_by_name: if is_shown { offered_by.name } else { SOMEBODY.to_owned() },
        offered_by_username: is_shown.then(|| offered_by.username.to_string()),
        project_name: transfer.resource_name().to_owned(),
        from_name,
        to_name,
        transfer_id: transfer.id.to_string(),
        expires_at: transfer.expires_at,
        sign_in_link: context.link(Route::SignIn),
    };
    let envelope = Envelope {
        key: format!("transfer.{}", transfer.id),
        address: email.to_string(),
        name: Some(recipient.name),
        date: transfer.created_at,
    };
    organization::take_mail_turn(&context.database, transfer.organization_id).await.map_err(job_error)?;
    context.send(job, mail.render(envelope)).await
}
