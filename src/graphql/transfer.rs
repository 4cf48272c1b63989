//! Project transfers.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::Error;
use rollcall_domain::authority::rights::AccessLevel;
use rollcall_domain::base::id::{OrganizationId, ResourceId, TransferId, TypedId, UserId};
use rollcall_domain::database;
use rollcall_domain::resource::transfer::{self, RecipientBy, Transfer};

use super::connection::connection;
use super::context::{OpenTransferOf, actor, connection as reader, database, loaders, request};
use super::error::{Payload, UserError, payload, top_level};
use super::given;
use super::id::Id;
use super::organization::Organization;
use super::resource::Resource;
use super::user::{Naming, User};

/// Where an offer of a project stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "transfer::TransferStatus")]
pub enum TransferStatus {
    /// It waits for the recipient.
    Offered,
    /// The project is the recipient's, and moved or about to be.
    Accepted,
    /// The recipient doesn't want it.
    Declined,
    /// It was taken back.
    Cancelled,
    /// Nobody answered in time.
    Expired,
}

#[derive(Debug, Clone)]
pub struct ProjectTransfer {
    transfer: transfer::Transfer,
    status: TransferStatus,
}

impl ProjectTransfer {
    /// The transfer as it stands at a moment.
    pub fn at(transfer: transfer::Transfer, now: DateTime<Utc>) -> Self {
        let status = transfer.status_at(now).into();
        Self { transfer, status }
    }

    /// The open offer of a project.
    pub async fn open(context: &Context<'_>, project: ResourceId) -> async_graphql::Result<Option<Self>> {
        let found = loaders(context).load_one(OpenTransferOf(project)).await?;
        Ok(found.map(|transfer| Self { transfer, status: TransferStatus::Offered }))
    }
}

/// An offer to move a project, its ownership and its bills to another organization.
#[Object]
impl ProjectTransfer {
    /// Begins with trf_.
    pub async fn id(&self) -> ID {
        self.transfer.id.to_string().into()
    }

    /// The project. Those who can't reach it, such as the recipient of an open offer, see it as it was offered, without
    /// its description.
    async fn resource(&self, context: &Context<'_>) -> async_graphql::Result<Resource> {
        let project = Resource::load(context, self.transfer.resource_id).await?;
        Ok(match project.access(context).await? {
            AccessLevel::None => Resource(self.transfer.as_offered(project.0)),
            _ => project,
        })
    }

    /// The organization that it is from.
    async fn from(&self, context: &Context<'_>) -> async_graphql::Result<Organization> {
        Organization::load(context, self.transfer.organization_id).await
    }

    /// The organization that it goes to; if only a recipient was named, null until they choose one.
    async fn to(&self, context: &Context<'_>) -> async_graphql::Result<Option<Organization>> {
        match self.transfer.to_organization_id {
            Some(id) => Organization::load(context, id).await.map(Some),
            None => Ok(None),
        }
    }

    /// Who offered it. Where the directory of the organization that it is from is HIDDEN, for whoever doesn't lead that
    /// and isn't that person, somebody called `member`.
    async fn offered_by(&self, context: &Context<'_>) -> async_graphql::Result<User> {
        let Transfer { id, organization_id, offered_by_id, .. } = &self.transfer;
        User::who_is(context, *organization_id, *offered_by_id, "member", id.uuid()).await
    }

    /// Who receives it. Until they have accepted it, whom the viewer can't look up otherwise is shown to whoever offers
    /// it, and to the owner and admins, as they were named, such as by a username, under an id that leads nowhere. To
    /// others they are someone.
    async fn recipient(&self, context: &Context<'_>) -> async_graphql::Result<User> {
        let Transfer { id, organization_id, offered_by_id, recipient_id, recipient_named_as, .. } = &self.transfer;
        match self.status {
            TransferStatus::Accepted => User::load(context, *recipient_id).await,
            TransferStatus::Offered
            | TransferStatus::Declined
            | TransferStatus::Cancelled
            | TransferStatus::Expired => {
                let naming = Naming {
                    organization_id: *organization_id,
                    named_by: *offered_by_id,
                    word: recipient_named_as.as_deref(),
                    by: id.uuid(),
                };
                User::named(context, *recipient_id, naming).await
            }
        }
    }

    /// Where it stands.
    async fn status(&self) -> TransferStatus {
        self.status
    }

    /// When it was offered.
    async fn created_at(&self) -> DateTime<Utc> {
        self.transfer.created_at
    }

    /// When the offer expires.
    async fn expires_at(&self) -> DateTime<Utc> {
        self.transfer.expires_at
    }

    /// When the project and what lies in it had moved; read-only from the acceptance until then.
    async fn moved_at(&self) -> Option<DateTime<Utc>> {
        self.transfer.moved_at
    }
}

connection!(ProjectTransferConnection, ProjectTransferEdge, ProjectTransfer, "transfers", total_count);

/// What to offer to whom.
#[derive(InputObject)]
pub struct OfferProjectTransferInput {
    /// The project; takes ADMINISTER on it and the permission to bill where it is.
    resource_id: Id<ResourceId>,
    /// To an organization: without a recipient one that the viewer may bill, and it is moved at once.
    to_organization_id: Option<Id<OrganizationId>>,
    /// To somebody, who chooses an organization where none is named.
    recipient_id: Option<Id<UserId>>,
    /// Somebody by username instead.
    recipient_username: Option<String>,
}

/// An offer.
#[derive(SimpleObject, Default)]
pub struct OfferProjectTransferPayload {
    /// The transfer.
    transfer: Option<ProjectTransfer>,
    /// Why nothing was offered.
    user_errors: Vec<UserError>,
}
payload!(OfferProjectTransferPayload);

/// An offer to accept.
#[derive(InputObject)]
pub struct AcceptProjectTransferInput {
    /// The offer.
    id: Id<TransferId>,
    /// The organization to accept it for, if the offer names none; the viewer must be allowed to bill it.
    organization_id: Option<Id<OrganizationId>>,
}

/// An accepted offer.
#[derive(SimpleObject, Default)]
pub struct AcceptProjectTransferPayload {
    /// The transfer.
    transfer: Option<ProjectTransfer>,
    /// Why it wasn't accepted.
    user_errors: Vec<UserError>,
}
payload!(AcceptProjectTransferPayload);

/// An offer to decline.
#[derive(InputObject)]
pub struct DeclineProjectTransferInput {
    /// The offer.
    id: Id<TransferId>,
}

/// A declined offer.
#[derive(SimpleObject, Default)]
pub struct DeclineProjectTransferPayload {
    /// The transfer.
    transfer: Option<ProjectTransfer>,
    /// Why it wasn't declined.
    user_errors: Vec<UserError>,
}
payload!(DeclineProjectTransferPayload);

/// An offer to take back.
#[derive(InputObject)]
pub struct CancelProjectTransferInput {
    /// The offer.
    id: Id<TransferId>,
}

/// An offer that was taken back.
#[derive(SimpleObject, Default)]
pub struct CancelProjectTransferPayload {
    /// The transfer.
    transfer: Option<ProjectTransfer>,
    /// Why it wasn't taken back.
    user_errors: Vec<UserError>,
}
payload!(CancelProjectTransferPayload);

/// What became of a transfer, as the viewer sees it at this moment.
async fn seen<P: Payload>(
    context: &Context<'_>,
    outcome: rollcall_domain::Result<transfer::Transfer>,
    payload: impl FnOnce(ProjectTransfer) -> P,
) -> async_graphql::Result<P> {
    let now = database::now(&mut *reader(context).await?).await.map_err(top_level)?;
    Payload::of(outcome, |transfer| payload(ProjectTransfer::at(transfer, now)))
}

/// Project transfers.
#[derive(Default)]
pub struct TransferMutation;

#[Object]
impl TransferMutation {
    /// Offers a project to somebody, or takes it to another organization that the viewer may bill. The email of an
    /// offer counts like an invitation, and so can be RATE_LIMITED.
    async fn offer_project_transfer(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "What to offer to whom.")] input: OfferProjectTransferInput,
    ) -> async_graphql::Result<OfferProjectTransferPayload> {
        let recipient = match (input.recipient_id, given(input.recipient_username)) {
            (Some(_), Some(_)) => {
                let message = "name the recipient by id or by username, not by both";
                return Payload::of(
                    Err(Error::refused(rollcall_domain::base::error::Code::Invalid, "recipientUsername", message)),
                    |()| OfferProjectTransferPayload::default(),
                );
            }
            (Some(id), None) => Some(RecipientBy::Id(id.0)),
            (None, Some(username)) => Some(RecipientBy::Username(username)),
            (None, None) => None,
        };
        let command = transfer::OfferTransfer {
            resource_id: input.resource_id.0,
            to_organization_id: input.to_organization_id.map(|id| id.0),
            recipient,
        };
        let outcome = transfer::offer(database(context), actor(context)?, &command, request(context).client).await;
        seen(context, outcome, |transfer| OfferProjectTransferPayload {
            transfer: Some(transfer),
            user_errors: Vec::new(),
        })
        .await
    }

    /// Accepts an offered project for an organization that the viewer may bill; they become its owner. It is read-only
    /// until it has moved with what lies in it.
    async fn accept_project_transfer(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which offer.")] input: AcceptProjectTransferInput,
    ) -> async_graphql::Result<AcceptProjectTransferPayload> {
        let organization_id = input.organization_id.map(|id| id.0);
        let outcome = transfer::accept(database(context), actor(context)?, input.id.0, organization_id).await;
        seen(context, outcome, |transfer| AcceptProjectTransferPayload {
            transfer: Some(transfer),
            user_errors: Vec::new(),
        })
        .await
    }

    /// Declines an offered project.
    async fn decline_project_transfer(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which offer.")] input: DeclineProjectTransferInput,
    ) -> async_graphql::Result<DeclineProjectTransferPayload> {
        let outcome = transfer::decline(database(context), actor(context)?, input.id.0).await;
        seen(context, outcome, |transfer| DeclineProjectTransferPayload {
            transfer: Some(transfer),
            user_errors: Vec::new(),
        })
        .await
    }

    /// Takes an offer back: who made it, or whoever administers the project, such as its owner.
    async fn cancel_project_transfer(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which offer.")] input: CancelProjectTransferInput,
    ) -> async_graphql::Result<CancelProjectTransferPayload> {
        let outcome = transfer::cancel(database(context), actor(context)?, input.id.0).await;
        seen(context, outcome, |transfer| CancelProjectTransferPayload {
            transfer: Some(transfer),
            user_errors: Vec::new(),
        })
        .await
    }
}
