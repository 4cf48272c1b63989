//! The receipts of a completed departure: one for the leaver, and one for each owner to whom it passed something.

mod to_leaver;
mod to_owner;

use apalis_diesel::{ClaimedJob, Job, JobError};
use rollcall_domain::base::job::MailDepartureReceipt;
use rollcall_domain::base::limits;
use rollcall_domain::departure::receipt::{self, Receipt, ReceiptContent};
use rollcall_domain::resource::kind::ResourceKind;
pub use to_leaver::DepartureToLeaverMail;
pub use to_owner::DepartureToOwnerMail;

use super::membership_ended::MembershipEnd;
use crate::context::{Context, connection, job_error};
use crate::mail::Envelope;
use crate::mail::document::{Block, name};
use crate::mail::words::{row, thousands};

/// What passed from the leaver to the owner.
#[derive(Debug, Clone, Default)]
pub struct Moved {
    /// The number of resources of each kind. Kinds without any aren't shown.
    pub counts: Vec<Count>,
    /// The names of some resources. The first 20 are shown.
    pub examples: Vec<String>,
    /// The number of samples that were collected into one of the owner's projects. They still belong to the leaver.
    pub collected_samples: u64,
}

/// The number of resources of one kind.
#[derive(Debug, Clone)]
pub struct Count {
    /// The kind in the plural, such as `Projects`.
    pub kind: &'static str,
    /// The number of resources.
    pub count: u64,
}

impl From<receipt::MovedSummary> for Moved {
    fn from(moved: receipt::MovedSummary) -> Self {
        let number = |count: i64| u64::try_from(count).unwrap_or_default();
        let counts = moved.counts.into_iter();
        Self {
            counts: counts.map(|(kind, count)| Count { kind: plural(kind), count: number(count) }).collect(),
            examples: moved.examples,
            collected_samples: number(moved.collected_samples),
        }
    }
}

impl Moved {
    pub(super) fn total(&self) -> u64 {
        self.counts.iter().map(|kind| kind.count).sum()
    }

    pub(super) fn blocks(&self) -> Vec<Block> {
        let rows = self
            .counts
            .iter()
            .filter(|kind| kind.count > 0)
            .map(|kind| row(kind.kind, thousands(kind.count)))
            .collect();
        let mut blocks = vec![Block::Rows(rows)];
        let mut examples: Vec<String> = self.examples.iter().map(|example| name(example)).collect();
        if !examples.is_empty() {
            let more = self.total().saturating_sub(examples.len() as u64);
            if more > 0 {
                examples.push(format!("and {} more", thousands(more)));
            }
            blocks.push(Block::List(examples));
        }
        blocks
    }
}

/// Sends the receipt to one of its recipients.
pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailDepartureReceipt) -> Result<(), JobError> {
    let MailDepartureReceipt { departure_id: id, recipient_id } = *payload;
    let mut reader = connection(context).await?;
    let found = receipt::of(&mut reader, id, recipient_id).await.map_err(job_error)?;
    drop(reader);
    let Some(Receipt { departure, organization_name, recipient, ending, moved, told }) = found else { return Ok(()) };
    let Some(email) = recipient.email else { return Ok(()) };
    // The limits count each recipient on their own.
    let (turn, limit) = match told {
        ReceiptContent::Leaver { .. } => (MailDepartureReceipt::KIND.to_owned(), limits::MEMBER_MAILS),
        ReceiptContent::Owner { .. } => {
            (format!("{} to {recipient_id}", MailDepartureReceipt::KIND), limits::RECEIPT_MAILS)
        }
    };
    if !context.takes_turn(job, &turn, departure.member_id, &email, limit).await? {
        return Ok(());
    }
    let envelope = Envelope {
        key: format!("departure.{id}.{recipient_id}"),
        address: email.to_string(),
        name: Some(recipient.name),
        date: departure.completed_at.unwrap_or(departure.started_at),
    };
    let moved = moved.into();
    let mail = match told {
        ReceiptContent::Leaver { tells_end, new_owner_names, samples_owner_name } => DepartureToLeaverMail {
            organization_name,
            ending,
            end: tells_end.then(|| MembershipEnd::of(departure)),
            new_owner_name: new_owner_names.map(|names| names.join(" and ")),
            samples_owner_name,
            moved,
        }
        .render(envelope),
        ReceiptContent::Owner { leaver, other_owners, owns, advice } => DepartureToOwnerMail {
            organization_name,
            ending,
            leaver_name: leaver.name,
            leaver_username: leaver.username.to_string(),
            moved,
            other_owners,
            owns,
            advice,
        }
        .render(envelope),
    };
    context.send(job, mail).await
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
