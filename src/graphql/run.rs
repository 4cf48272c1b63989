//! Runs.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::base::id::{OrganizationId, ResourceId, RunId, TypedId};
use rollcall_domain::base::run_kind;
use rollcall_domain::resource::run;

use super::connection::connection;
use super::context::{actor, database};
use super::error::{Payload, UserError, payload};
use super::id::{Decimal, Id};
use super::resource::Resource;
use super::user::User;

/// The kind of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "run_kind::RunKind")]
pub enum RunKind {
    /// A pipeline.
    Pipeline,
    /// A studio session.
    Studio,
    /// A job.
    Job,
}

/// The status of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "run::RunStatus")]
pub enum RunStatus {
    /// It waits until the platform starts it.
    Queued,
    /// The platform is carrying it out.
    Running,
    /// It finished successfully.
    Succeeded,
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
}

#[derive(Debug, Clone)]
pub struct Run(pub run::Run);

/// A piece of computing work that a member has queued for the platform.
#[Object]
impl Run {
    /// The run's id. It begins with `run_`.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The kind of the run.
    async fn kind(&self) -> RunKind {
        self.0.kind.into()
    }

    /// The run's name.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The run's status.
    async fn status(&self) -> RunStatus {
        self.0.status.into()
    }

    /// The resource that the run is for, if the viewer can reach it.
    async fn resource(&self, context: &Context<'_>) -> async_graphql::Result<Option<Resource>> {
        match self.0.resource_id {
            Some(id) => Resource::find(context, id).await,
            None => Ok(None),
        }
    }

    /// The user who queued the run. Service keys, which read no accounts, and platform keys without READ see a
    /// placeholder called `member`, whose id can't be looked up.
    async fn queued_by(&self, context: &Context<'_>) -> async_graphql::Result<User> {
        User::for_people(context, self.0.queued_by_id, "member", self.0.id.uuid()).await
    }

    /// When the run was queued.
    async fn queued_at(&self) -> DateTime<Utc> {
        self.0.queued_at
    }

    /// When the platform started the run.
    async fn started_at(&self) -> Option<DateTime<Utc>> {
        self.0.started_at
    }

    /// When the run ended, whether it succeeded, failed or was cancelled.
    async fn finished_at(&self) -> Option<DateTime<Utc>> {
        self.0.finished_at
    }

    /// The CPU-hours used so far.
    async fn cpu_hours(&self) -> Decimal {
        Decimal(self.0.cpu_hours)
    }

    /// The GiB-hours of memory used so far.
    async fn memory_gib_hours(&self) -> Decimal {
        Decimal(self.0.memory_gib_hours)
    }

    /// The credits used so far. One credit is one US dollar.
    async fn credits(&self) -> Decimal {
        Decimal(self.0.credits)
    }
}

connection!(RunConnection, RunEdge, Run, "runs");

/// The run to queue.
#[derive(InputObject)]
pub struct QueueRunInput {
    /// The organization that the run belongs to.
    organization_id: Id<OrganizationId>,
    /// The kind of the run.
    kind: RunKind,
    /// A name for the run, 1 to 100 characters.
    name: String,
    /// The resource that the run is for. It must belong to the organization, and the viewer must be able to reach it.
    resource_id: Option<Id<ResourceId>>,
}

/// The result of queuing a run.
#[derive(SimpleObject, Default)]
pub struct QueueRunPayload {
    /// The new run.
    run: Option<Run>,
    /// Why nothing was queued.
    user_errors: Vec<UserError>,
}
payload!(QueueRunPayload);

/// What the platform reports of a run.
#[derive(InputObject)]
pub struct ReportRunInput {
    /// The run.
    id: Id<RunId>,
    /// Its status. A run only moves forward: from QUEUED to RUNNING, and to one of its ends.
    status: RunStatus,
    /// The CPU-hours that the run has used so far, from 0 to 1,000,000,000, with up to nine decimal places. If this is
    /// omitted, or less than was reported before, the number stays as it is.
    cpu_hours: Option<Decimal>,
    /// The GiB-hours of memory that the run has used so far, likewise.
    memory_gib_hours: Option<Decimal>,
}

/// The result of reporting a run.
#[derive(SimpleObject, Default)]
pub struct ReportRunPayload {
    /// The run as it is now.
    run: Option<Run>,
    /// Why the report wasn't taken.
    user_errors: Vec<UserError>,
}
payload!(ReportRunPayload);

/// Identifies the run to cancel.
#[derive(InputObject)]
pub struct CancelRunInput {
    /// The run.
    id: Id<RunId>,
}

/// The result of cancelling a run.
#[derive(SimpleObject, Default)]
pub struct CancelRunPayload {
    /// The cancelled run.
    run: Option<Run>,
    /// Why nothing was cancelled.
    user_errors: Vec<UserError>,
}
payload!(CancelRunPayload);

/// The mutations of runs.
#[derive(Default)]
pub struct RunMutation;

#[Object]
impl RunMutation {
    /// Queues a run, if the organization's limit for runs allows another one. For the owner, admins and members.
    async fn queue_run(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The run to queue.")] input: QueueRunInput,
    ) -> async_graphql::Result<QueueRunPayload> {
        let command = run::QueueRun {
            organization_id: input.organization_id.0,
            kind: input.kind.into(),
            name: input.name,
            resource_id: input.resource_id.map(|id| id.0),
        };
        let outcome = run::queue(database(context), actor(context)?, &command).await;
        Payload::of(outcome, |run| QueueRunPayload { run: Some(Run(run)), user_errors: Vec::new() })
    }

    /// Cancels a run that hasn't ended. For the member who queued it, the owner and admins.
    async fn cancel_run(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The run to cancel.")] input: CancelRunInput,
    ) -> async_graphql::Result<CancelRunPayload> {
        let outcome = run::cancel(database(context), actor(context)?, input.id.0).await;
        Payload::of(outcome, |run| CancelRunPayload { run: Some(Run(run)), user_errors: Vec::new() })
    }

    /// Reports what has become of a run and what it has used so far. For the organization's service keys with the
    /// scope WRITE. The numbers are totals: a report that is sent twice, or arrives late, changes nothing.
    async fn report_run(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The run, its status and its totals so far.")] input: ReportRunInput,
    ) -> async_graphql::Result<ReportRunPayload> {
        let command = run::ReportRun {
            id: input.id.0,
            status: input.status.into(),
            cpu_hours: input.cpu_hours.map(|hours| hours.0),
            memory_gib_hours: input.memory_gib_hours.map(|hours| hours.0),
        };
        let outcome = run::report(database(context), actor(context)?, &command).await;
        Payload::of(outcome, |run| ReportRunPayload { run: Some(Run(run)), user_errors: Vec::new() })
    }
}
