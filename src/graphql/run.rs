//! Runs.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::base::id::{OrganizationId, ResourceId, RunId};
use rollcall_domain::resource::run;

use super::connection::connection;
use super::context::{actor, database};
use super::error::{Payload, UserError, payload};
use super::id::{Decimal, Id};
use super::resource::Resource;
use super::user::User;

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "run::RunKind")]
pub enum RunKind {
    /// A pipeline.
    Pipeline,
    /// A studio session.
    Studio,
    /// A job.
    Job,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "run::RunStatus")]
pub enum RunStatus {
    /// It waits for the platform.
    Queued,
    /// The platform carries it out.
    Running,
    /// It came to its end.
    Succeeded,
    /// It went wrong.
    Failed,
    /// It was cancelled.
    Cancelled,
}

#[derive(Debug, Clone)]
pub struct Run(pub run::Run);

/// What a member has queued for the platform to carry out.
#[Object]
impl Run {
    /// Begins with run_.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// What is run.
    async fn kind(&self) -> RunKind {
        self.0.kind.into()
    }

    /// What it is called.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// Where it stands.
    async fn status(&self) -> RunStatus {
        self.0.status.into()
    }

    /// What it is about, where the viewer reaches that.
    async fn resource(&self, context: &Context<'_>) -> async_graphql::Result<Option<Resource>> {
        match self.0.resource_id {
            Some(id) => Resource::find(context, id).await,
            None => Ok(None),
        }
    }

    /// Who queued it.
    async fn queued_by(&self, context: &Context<'_>) -> async_graphql::Result<User> {
        User::load(context, self.0.queued_by_id).await
    }

    /// When it was queued.
    async fn queued_at(&self) -> DateTime<Utc> {
        self.0.queued_at
    }

    /// When the platform began.
    async fn started_at(&self) -> Option<DateTime<Utc>> {
        self.0.started_at
    }

    /// When it ended, in whichever way.
    async fn finished_at(&self) -> Option<DateTime<Utc>> {
        self.0.finished_at
    }

    /// CPU-hours so far.
    async fn cpu_hours(&self) -> Decimal {
        Decimal(self.0.cpu_hours)
    }

    /// GiB-hours of memory so far.
    async fn memory_gib_hours(&self) -> Decimal {
        Decimal(self.0.memory_gib_hours)
    }

    /// Credits so far; one is one US dollar.
    async fn credits(&self) -> Decimal {
        Decimal(self.0.credits)
    }
}

connection!(RunConnection, RunEdge, Run, "runs");

/// What to queue.
#[derive(InputObject)]
pub struct QueueRunInput {
    /// In which organization.
    organization_id: Id<OrganizationId>,
    /// What is run.
    kind: RunKind,
    /// What to call it, 1 to 100 characters.
    name: String,
    /// What it is about: a resource of the organization that the viewer reaches.
    resource_id: Option<Id<ResourceId>>,
}

/// What was queued.
#[derive(SimpleObject, Default)]
pub struct QueueRunPayload {
    /// The run.
    run: Option<Run>,
    /// Why nothing was queued.
    user_errors: Vec<UserError>,
}
payload!(QueueRunPayload);

/// What to cancel.
#[derive(InputObject)]
pub struct CancelRunInput {
    /// Which run.
    id: Id<RunId>,
}

/// What was cancelled.
#[derive(SimpleObject, Default)]
pub struct CancelRunPayload {
    /// The run.
    run: Option<Run>,
    /// Why nothing was cancelled.
    user_errors: Vec<UserError>,
}
payload!(CancelRunPayload);

/// What members queue.
#[derive(Default)]
pub struct RunMutation;

#[Object]
impl RunMutation {
    /// Queues a run, if the organization's plan has room for it; for the owner, admins and members.
    async fn queue_run(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "What to queue.")] input: QueueRunInput,
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

    /// Cancels a run that hasn't ended; for the member who queued it, the owner and admins.
    async fn cancel_run(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which run.")] input: CancelRunInput,
    ) -> async_graphql::Result<CancelRunPayload> {
        let outcome = run::cancel(database(context), actor(context)?, input.id.0).await;
        Payload::of(outcome, |run| CancelRunPayload { run: Some(Run(run)), user_errors: Vec::new() })
    }
}
