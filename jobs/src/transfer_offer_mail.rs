//! Tells somebody that a project is offered to them (R61).

use apalis_diesel::{ClaimedJob, JobError};
use diesel_async::AsyncPgConnection;
use rollcall_domain::account::user::{self, User};
use rollcall_domain::authority::membership::MemberStatus;
use rollcall_domain::base::job::MailTransferOffer;
use rollcall_domain::base::link::Route;
use rollcall_domain::database;
use rollcall_domain::membership::{member, organization};
use rollcall_domain::resource::transfer::{self, Transfer, TransferStatus};

use crate::context::{Context, connection, job_error};
use crate::mail::{Envelope, SOMEBODY, TransferOffer};

/// Whom a transfer is between.
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

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailTransferOffer) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    let found = transfer::by_ids(&mut reader, &[payload.transfer_id]).await.map_err(job_error)?.pop();
    let now = database::now(&mut reader).await.map_err(job_error)?;
    // What is answered or taken back by now is no news.
    let Some(transfer) = found.filter(|transfer| transfer.status_at(now) == TransferStatus::Offered) else {
        return Ok(());
    };
    let Parties { from_name, to_name, offered_by, recipient } =
        Parties::of(&mut reader, &transfer).await.map_err(job_error)?;
    // Who acts for an organization that doesn't show it is nobody's to know but its leaders' (R77).
    let organization = organization::by_id(&mut reader, transfer.organization_id).await.map_err(job_error)?;
    let member = member::of(&mut reader, organization.id, recipient.id).await.map_err(job_error)?;
    let is_shown = match member.filter(|member| member.status == MemberStatus::Active) {
        Some(member) => organization.standing_of(member.role).sees_structure(),
        None => organization.member_directory.shows_structure(),
    };
    drop(reader);
    let Some(email) = recipient.email else { return Ok(()) };
    let mail = TransferOffer {
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
