//! Mails a completed departure's receipt to the leaver, or to whom it has made the owner of something.

use apalis_diesel::{ClaimedJob, Job, JobError};
use rollcall_domain::account::api_key::{self, ApiKey};
use rollcall_domain::account::user;
use rollcall_domain::authority::membership::MemberStatus;
use rollcall_domain::base::job::MailDepartureReceipt;
use rollcall_domain::base::limits;
use rollcall_domain::departure::receipt;
use rollcall_domain::departure::{self, DepartureKind, DepartureStatus};
use rollcall_domain::event::webhook::{self, Webhook};
use rollcall_domain::membership::{member, organization};
use rollcall_domain::resource::kind::ResourceKind;

use crate::context::{Context, connection, job_error};
use crate::mail::{self, Count, DepartureToLeaver, DepartureToOwner, Envelope, Moved};
use crate::membership_ended_mail::membership_end;

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailDepartureReceipt) -> Result<(), JobError> {
    let MailDepartureReceipt { departure_id: id, recipient_id } = *payload;
    let mut reader = connection(context).await?;
    let Some(departure) = departure::by_ids(&mut reader, &[id]).await.map_err(job_error)?.pop() else { return Ok(()) };
    // Taken back meanwhile: what it would tell isn't so any more.
    if matches!(departure.status, DepartureStatus::Reverting | DepartureStatus::Reverted) {
        return Ok(());
    }
    let organization = organization::by_id(&mut reader, departure.organization_id).await.map_err(job_error)?;
    let recipient = user::by_id(&mut reader, recipient_id).await.map_err(job_error)?;
    let leaver = user::by_id(&mut reader, departure.user_id).await.map_err(job_error)?;
    let is_leaver = recipient_id == departure.user_id;
    let is_owner = recipient_id == departure.new_owner_id;
    // Who handed the organization over and has gone since is no business of its any more; their own receipt tells the rest.
    let member = member::of(&mut reader, departure.organization_id, recipient_id).await.map_err(job_error)?;
    if !is_leaver && member.as_ref().is_none_or(|member| member.status != MemberStatus::Active) {
        return Ok(());
    }
    let receipt = receipt::receipt(&mut reader, id, (!is_leaver).then_some(recipient_id)).await.map_err(job_error)?;
    // The leaver hears of all who have something of theirs now: what somebody received who has gone since is the owner's. Each of
    // those hears of the others.
    let mut owners = receipt.receivers;
    if is_leaver {
        let here = member::active_among(&mut reader, departure.organization_id, &owners).await.map_err(job_error)?;
        let received = owners.len();
        owners.retain(|owner| here.contains(owner));
        if (owners.is_empty() || owners.len() < received) && !owners.contains(&departure.new_owner_id) {
            owners.push(departure.new_owner_id);
        }
    }
    let owners: Vec<String> = user::by_ids(&mut reader, &owners)
        .await
        .map_err(job_error)?
        .into_iter()
        .filter(|owner| is_leaver || owner.id != recipient_id)
        .map(|owner| owner.name)
        .collect();
    let samples_owner = match receipt.samples_owner.filter(|_| is_leaver && receipt.collected_samples > 0) {
        Some(owner) => Some(user::by_id(&mut reader, owner).await.map_err(job_error)?.name),
        None => None,
    };
    let known =
        webhook::known_to(&mut reader, departure.organization_id, departure.user_id).await.map_err(job_error)?;
    let services =
        api_key::known_to(&mut reader, departure.organization_id, departure.user_id).await.map_err(job_error)?;
    drop(reader);
    let Some(email) = recipient.email else { return Ok(()) };
    // Each of those who get one has their own turn.
    let (turn, limit) = match is_leaver {
        true => (MailDepartureReceipt::KIND.to_owned(), limits::MEMBER_MAILS),
        false => (format!("{} to {recipient_id}", MailDepartureReceipt::KIND), limits::RECEIPT_MAILS),
    };
    if !context.takes_turn(job, &turn, departure.member_id, &email, limit).await? {
        return Ok(());
    }
    let moved = Moved {
        counts: receipt
            .counts
            .into_iter()
            .map(|(kind, count)| Count { kind: plural(kind), count: u64::try_from(count).unwrap_or_default() })
            .collect(),
        examples: receipt.examples,
        collected_samples: match is_leaver || receipt.samples_owner == Some(recipient_id) {
            true => u64::try_from(receipt.collected_samples).unwrap_or_default(),
            false => 0,
        },
    };
    let kind = match (departure.kind, leaver.deleted_at) {
        (DepartureKind::Leave, Some(_)) => mail::DepartureKind::Deleted,
        (departed, _) => kind(departed),
    };
    let envelope = Envelope {
        key: format!("departure.{id}.{recipient_id}"),
        address: email.to_string(),
        name: Some(recipient.name),
        date: departure.completed_at.unwrap_or(departure.started_at),
    };
    let mail = if is_leaver {
        // Who went by themselves knows it; who was told has heard it.
        let tells_end = departure.kind != DepartureKind::Leave && departure.told_at.is_none();
        // Who mustn't see who leads the organization isn't told of it at the end either (R77).
        let names = member.is_some_and(|member| organization.standing_of(member.role).sees_structure());
        DepartureToLeaver {
            organization_name: organization.name,
            kind,
            end: tells_end.then(|| membership_end(departure)),
            new_owner_name: names.then(|| owners.join(" and ")),
            samples_owner_name: samples_owner.filter(|_| names),
            moved,
        }
        .render(envelope)
    } else {
        DepartureToOwner {
            organization_name: organization.name,
            kind,
            leaver_name: leaver.name,
            leaver_username: leaver.username.to_string(),
            moved,
            other_owners: owners,
            owns: is_owner,
            advice: match is_owner {
                true => known
                    .iter()
                    .map(Webhook::renewal_advice)
                    .chain(services.iter().map(ApiKey::renewal_advice))
                    .collect(),
                false => Vec::new(),
            },
        }
        .render(envelope)
    };
    context.send(job, mail).await
}

/// How someone went, as the mails say it.
pub(crate) fn kind(kind: DepartureKind) -> mail::DepartureKind {
    match kind {
        DepartureKind::Leave => mail::DepartureKind::Left,
        DepartureKind::Remove => mail::DepartureKind::Removed,
        DepartureKind::Deactivate => mail::DepartureKind::Deactivated,
    }
}

fn plural(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Project => "Projects",
        ResourceKind::Volume => "Volumes",
        ResourceKind::Sample => "Samples",
        ResourceKind::Document => "Documents",
        ResourceKind::Machine => "Machines",
        ResourceKind::App => "Apps",
        ResourceKind::Workspace => "Workspaces",
        ResourceKind::Source => "Sources",
        ResourceKind::SourceGroup => "Source groups",
        ResourceKind::Collection => "Collections",
    }
}
