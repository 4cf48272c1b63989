//! What organizations use and spend.

use async_graphql::{Context, Enum, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::base::credit_rates;
use rollcall_domain::base::id::{OrganizationId, ResourceId, RunId, UserId};
use rollcall_domain::organization::{upgrade, usage};
use rollcall_domain::resource::usage_report;

use super::context::{actor, database, request};
use super::error::{Payload, UserError, payload};
use super::id::{BigInt, Decimal, Id, Time};
use super::resource::Resource;
use super::user::User;

/// What is metered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "credit_rates::UsageKind")]
pub enum UsageKind {
    /// Hours of one CPU.
    CpuHours,
    /// Hours of one GiB (2^30 bytes) of memory.
    MemoryGibHours,
    /// Months of one GB (10^9 bytes) of storage.
    StorageGbMonths,
    /// GB (10^9 bytes) that left over the network.
    NetworkGb,
}

/// What each point of a series covers, by UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "usage::UsageInterval")]
pub enum UsageInterval {
    /// A day.
    Day,
    /// A month.
    Month,
}

/// What a series is grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "usage::UsageGroup")]
pub enum UsageGroup {
    /// The kind of usage.
    Kind,
    /// The user who used it.
    Member,
    /// The workspace in which it was used.
    Workspace,
}

/// What an organization uses at this moment, and what it used and spent within a period. All of it is of one moment,
/// also together with `usageSeries` and `billing` of the same request.
#[derive(SimpleObject)]
pub struct Usage {
    /// The number of runs that were queued within the period.
    total_runs: i64,
    /// The number of runs that the platform is carrying out at this moment.
    concurrent_runs: i64,
    /// How many of these are studio sessions.
    running_studio_sessions: i64,
    /// The number of active members.
    users: i64,
    /// The number of bytes that the organization's resources take up.
    storage_bytes: BigInt,
    /// The credits that were spent within the period. One credit is one US dollar.
    credits_spent: Decimal,
    /// The credits that are left: all that were purchased, less all that were spent. The number is negative if more
    /// was spent than purchased.
    credits_available: Decimal,
}

impl Usage {
    /// The overview.
    pub fn of(overview: &usage::Overview) -> Self {
        Self {
            total_runs: overview.runs,
            concurrent_runs: overview.runs_running(None),
            running_studio_sessions: overview.runs_running(Some(rollcall_domain::base::run_kind::RunKind::Studio)),
            users: overview.users,
            storage_bytes: BigInt(usage::whole(overview.storage_bytes)),
            credits_spent: Decimal(overview.spent),
            credits_available: Decimal(overview.available),
        }
    }
}

/// A point, with its organization.
#[derive(Debug, Clone, Copy)]
pub struct UsagePoint(pub OrganizationId, pub usage::UsagePoint);

/// What was used and spent within one interval, by one kind, member or workspace. If a series would have more than
/// 1,000 points, those who spent the least share the point of an interval that names nobody, so that the sum is exact.
#[Object]
impl UsagePoint {
    /// The beginning of the interval.
    async fn from(&self) -> DateTime<Utc> {
        self.1.from
    }

    /// The kind of usage, if the series is grouped by that.
    async fn kind(&self) -> Option<UsageKind> {
        match self.1.key {
            usage::UsageKey::Kind(kind) => Some(kind.into()),
            usage::UsageKey::Member(_) | usage::UsageKey::Workspace(_) | usage::UsageKey::Others => None,
        }
    }

    /// The user, if the series is grouped by members. Null for usage that names nobody. People whom the viewer can't
    /// look up, because they never were members, are shown as placeholders, like `Collaborator.user`; those who aren't
    /// collaborators any more are anonymous.
    async fn user(&self, context: &Context<'_>) -> async_graphql::Result<Option<User>> {
        match self.1.key {
            usage::UsageKey::Member(id) => User::outside(context, self.0, id).await.map(Some),
            usage::UsageKey::Kind(_) | usage::UsageKey::Workspace(_) | usage::UsageKey::Others => Ok(None),
        }
    }

    /// The workspace, if the series is grouped by workspaces. Null for usage outside of workspaces, and for a
    /// workspace that is gone or that the viewer can't reach.
    async fn workspace(&self, context: &Context<'_>) -> async_graphql::Result<Option<Resource>> {
        match self.1.key {
            usage::UsageKey::Workspace(id) => Resource::find(context, id).await,
            usage::UsageKey::Kind(_) | usage::UsageKey::Member(_) | usage::UsageKey::Others => Ok(None),
        }
    }

    /// How much was used, in the unit of the kind. Null unless the series is grouped by kinds.
    async fn quantity(&self) -> Option<Decimal> {
        self.1.quantity.map(Decimal)
    }

    /// The credits that were spent. One credit is one US dollar.
    async fn credits(&self) -> Decimal {
        Decimal(self.1.credits)
    }
}

/// What was used outside of runs, such as downloads.
#[derive(InputObject)]
pub struct ReportUsageInput {
    /// What was used, 1 to 1,000 entries.
    entries: Vec<UsageEntryInput>,
}

/// Something that was used.
#[derive(InputObject)]
pub struct UsageEntryInput {
    /// A key that identifies this entry, up to 200 characters. An entry that is sent again with the same key isn't
    /// counted again, whatever has changed since. Of a service key, keys are its organization's; otherwise, they are
    /// those of the organization that the entry names or, if it names none, of the user.
    idempotency_key: String,
    /// The organization that pays. If omitted, the user's default bill-to does.
    organization_id: Option<Id<OrganizationId>>,
    /// What was used.
    kind: UsageKind,
    /// How much was used, more than 0 and at most 1,000,000,000, with up to nine decimal places.
    quantity: Decimal,
    /// The network's region, on which its rate depends.
    region: Option<String>,
    /// The user who used it. Required without an organization.
    user_id: Option<Id<UserId>>,
    /// The organization's workspace in which it was used.
    workspace_id: Option<Id<ResourceId>>,
    /// The organization's run that used it.
    run_id: Option<Id<RunId>>,
    /// When it was used, within the last three years; now if omitted.
    occurred_at: Option<Time>,
}

/// The result of reporting usage.
#[derive(SimpleObject, Default)]
pub struct ReportUsagePayload {
    /// The number of entries that were recorded.
    recorded: Option<i32>,
    /// The number of entries that had been recorded before, with the same key.
    already_recorded: Option<i32>,
    /// Why nothing was recorded.
    user_errors: Vec<UserError>,
}
payload!(ReportUsagePayload);

/// The organization that asks for more, and what for.
#[derive(InputObject)]
pub struct RequestUpgradeInput {
    /// The organization.
    organization_id: Id<OrganizationId>,
    /// What is needed, in words, up to 2000 characters.
    message: Option<String>,
}

/// The result of asking for more.
#[derive(SimpleObject, Default)]
pub struct RequestUpgradePayload {
    /// Why nobody was asked.
    user_errors: Vec<UserError>,
}

impl Payload for RequestUpgradePayload {
    fn refused(user_errors: Vec<UserError>) -> Self {
        Self { user_errors }
    }
}

/// The mutations of usage.
#[derive(Default)]
pub struct UsageMutation;

#[Object]
impl UsageMutation {
    /// Records what was used outside of runs, all entries or none. For service keys with the scope WRITE, for their
    /// organization, and for the platform's staff.
    async fn report_usage(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "What was used.")] input: ReportUsageInput,
    ) -> async_graphql::Result<ReportUsagePayload> {
        let entry = |entry: UsageEntryInput| usage_report::UsageEntry {
            idempotency_key: entry.idempotency_key,
            organization_id: entry.organization_id.map(|id| id.0),
            kind: entry.kind.into(),
            quantity: entry.quantity.0,
            region: entry.region,
            user_id: entry.user_id.map(|id| id.0),
            workspace_id: entry.workspace_id.map(|id| id.0),
            run_id: entry.run_id.map(|id| id.0),
            occurred_at: entry.occurred_at.map(|time| time.0),
        };
        let entries: Vec<_> = input.entries.into_iter().map(entry).collect();
        let outcome = usage_report::report(database(context), actor(context)?, &entries).await;
        let number = |number: usize| Some(i32::try_from(number).unwrap_or(i32::MAX));
        Payload::of(outcome, |reported| ReportUsagePayload {
            recorded: number(reported.recorded),
            already_recorded: number(reported.already_recorded),
            user_errors: Vec::new(),
        })
    }

    /// Asks the platform for a larger plan, by an email to its support address. For the owner and admins, at most three
    /// times a day for an organization and ten times a day for an account.
    async fn request_upgrade(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The organization, and what it needs.")] input: RequestUpgradeInput,
    ) -> async_graphql::Result<RequestUpgradePayload> {
        let (id, message) = (input.organization_id.0, input.message.as_deref());
        let client = request(context).client;
        let outcome = upgrade::request(database(context), actor(context)?, id, message, client).await;
        Payload::of(outcome, |()| RequestUpgradePayload::default())
    }
}
