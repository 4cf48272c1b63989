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

/// The status of an offer to transfer a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "transfer::TransferStatus")]
pub enum TransferStatus {
    /// It waits for the recipient's answer.
    Offered,
    /// It was accepted. The project belongs to the recipient, and has moved or is about to move.
    Accepted,
    /// The recipient declined it.
    Declined,
    /// It was cancelled.
    Cancelled,
    /// It expired without an answer.
    Expired,
}

#[derive(Debug, Clone)]
pub struct ProjectTransfer {
    transfer: transfer::Transfer,
    status: TransferStatus,
}

impl ProjectTransfer {
    /// The transfer, with its status at the given time.
    pub fn at(transfer: transfer::Transfer, now: DateTime<Utc>) -> Self {
        let status = transfer.status_at(now).into();
        Self { transfer, status }
    }

    /// Finds the pending offer of a project.
    pub async fn open(context: &Context<'_>, project: ResourceId) -> async_graphql::Result<Option<Self>> {
        let found = loaders(context).load_one(OpenTransferOf(project)).await?;
        Ok(found.map(|transfer| Self { transfer, status: TransferStatus::Offered }))
    }
}

/// An offer to transfer a project to another organization, which then holds it and pays for it.
#[Object]
impl ProjectTransfer {
    /// The transfer's id. It begins with `trf_`.
    pub async fn id(&self) -> ID {
        self.transfer.id.to_string().into()
    }

    /// The project. Viewers who can't reach it, such as the recipient of a pending offer, see it as it was when it was
    /// offered, without its description.
    async fn resource(&self, context: &Context<'_>) -> async_graphql::Result<Resource> {
        let project = Resource::load(context, self.transfer.resource_id).await?;
        Ok(match project.access(context).await? {
            AccessLevel::None => Resource(self.transfer.as_offered(project.0)),
            _ => project,
        })
    }

    /// The organization that holds the project before the transfer.
    async fn from(&self, context: &Context<'_>) -> async_graphql::Result<Organization> {
        Organization::load(context, self.transfer.organization_id).await
    }

    /// The organization that the project moves to. If the offer names only a recipient, this is null until they choose
    /// an organization.
    async fn to(&self, context: &Context<'_>) -> async_graphql::Result<Option<Organization>> {
        match self.transfer.to_organization_id {
            Some(id) => Organization::load(context, id).await.map(Some),
            None => Ok(None),
        }
    }

    /// The user who made the offer. If the directory of the project's organization is HIDDEN, viewers who don't lead
    /// it and aren't this user themselves see a placeholder user with the username `member`.
    async fn offered_by(&self, context: &Context<'_>) -> async_graphql::Result<User> {
        let Transfer { id, organization_id, offered_by_id, .. } = &self.transfer;
        User::who_is(context, *organization_id, *offered_by_id, "member", id.uuid()).await
    }

    /// The user who receives the project. Until they accept, viewers who can't look them up otherwise see a
    /// placeholder whose id can't be looked up. For the user who made the offer, the owner and admins, its username is
    /// the word by which the recipient was named, such as a username; for everybody else it is anonymous.
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
                    named_by: Some(*offered_by_id),
                    word: recipient_named_as.as_deref(),
                    by: id.uuid(),
                };
                User::named(context, *recipient_id, naming).await
            }
        }
    }

    /// The offer's status.
    async fn status(&self) -> TransferStatus {
        self.status
    }

    /// When the offer was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.transfer.created_at
    }

    /// When the offer expires.
    async fn expires_at(&self) -> DateTime<Utc> {
        self.transfer.expires_at
    }

    /// When the move of the project and its contents was completed. They are read-only from the acceptance until then.
    async fn moved_at(&self) -> Option<DateTime<Utc>> {
        self.transfer.moved_at
    }
}

connection!(ProjectTransferConnection, ProjectTransferEdge, ProjectTransfer, "transfers", total_count);

/// The project to transfer, and who receives it.
#[derive(InputObject)]
pub struct OfferProjectTransferInput {
    /// The project. The viewer needs ADMINISTER access to it and the permission to bill to its current organization.
    resource_id: Id<ResourceId>,
    /// The organization to move the project to. Without a recipient, it must be one that the viewer may bill to, and
    /// the project is moved at once.
    to_organization_id: Option<Id<OrganizationId>>,
    /// The recipient. If no organization is named, they choose one when they accept.
    recipient_id: Option<Id<UserId>>,
    /// The recipient's username, as an alternative to `recipientId`.
    recipient_username: Option<String>,
}

/// The result of offering a project.
#[derive(SimpleObject, Default)]
pub struct OfferProjectTransferPayload {
    /// The transfer.
    transfer: Option<ProjectTransfer>,
    /// Why the project wasn't offered.
    user_errors: Vec<UserError>,
}
payload!(OfferProjectTransferPayload);

/// The offer to accept, and where the project goes.
#[derive(InputObject)]
pub struct AcceptProjectTransferInput {
    /// The offer.
    id: Id<TransferId>,
    /// The organization to move the project to, if the offer doesn't name one. The viewer must be allowed to bill to
    /// it.
    organization_id: Option<Id<OrganizationId>>,
}

/// The result of accepting an offer.
#[derive(SimpleObject, Default)]
pub struct AcceptProjectTransferPayload {
    /// The accepted transfer.
    transfer: Option<ProjectTransfer>,
    /// Why the offer wasn't accepted.
    user_errors: Vec<UserError>,
}
payload!(AcceptProjectTransferPayload);

/// Identifies the offer to decline.
#[derive(InputObject)]
pub struct DeclineProjectTransferInput {
    /// The offer.
    id: Id<TransferId>,
}

/// The result of declining an offer.
#[derive(SimpleObject, Default)]
pub struct DeclineProjectTransferPayload {
    /// The declined transfer.
    transfer: Option<ProjectTransfer>,
    /// Why the offer wasn't declined.
    user_errors: Vec<UserError>,
}
payload!(DeclineProjectTransferPayload);

/// Identifies the offer to cancel.
#[derive(InputObject)]
pub struct CancelProjectTransferInput {
    /// The offer.
    id: Id<TransferId>,
}

/// The result of cancelling an offer.
#[derive(SimpleObject, Default)]
pub struct CancelProjectTransferPayload {
    /// The cancelled transfer.
    transfer: Option<ProjectTransfer>,
    /// Why the offer wasn't cancelled.
    user_errors: Vec<UserError>,
}
payload!(CancelProjectTransferPayload);

/// Makes a payload that contains the transfer as it is now.
async fn seen<P: Payload>(
    context: &Context<'_>,
    outcome: rollcall_domain::Result<transfer::Transfer>,
    payload: impl FnOnce(ProjectTransfer) -> P,
) -> async_graphql::Result<P> {
    let now = database::now(&*reader(context).await?).await.map_err(top_level)?;
    Payload::of(outcome, |transfer| payload(ProjectTransfer::at(transfer, now)))
}

/// The mutations of project transfers.
#[derive(Default)]
pub struct TransferMutation;

#[Object]
impl TransferMutation {
    /// Offers a project to another user, or moves it to another organization that the viewer may bill to. The email of
    /// an offer counts towards the same limits as an invitation, so the mutation can be RATE_LIMITED.
    async fn offer_project_transfer(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The project, and who receives it.")] input: OfferProjectTransferInput,
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

    /// Accepts a project for an organization that the viewer may bill to. The viewer becomes the project's owner. The
    /// project is read-only until it has moved together with its contents.
    async fn accept_project_transfer(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The offer to accept.")] input: AcceptProjectTransferInput,
    ) -> async_graphql::Result<AcceptProjectTransferPayload> {
        let organization_id = input.organization_id.map(|id| id.0);
        let outcome = transfer::accept(database(context), actor(context)?, input.id.0, organization_id).await;
        seen(context, outcome, |transfer| AcceptProjectTransferPayload {
            transfer: Some(transfer),
            user_errors: Vec::new(),
        })
        .await
    }

    /// Declines a project that was offered to the viewer.
    async fn decline_project_transfer(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The offer to decline.")] input: DeclineProjectTransferInput,
    ) -> async_graphql::Result<DeclineProjectTransferPayload> {
        let outcome = transfer::decline(database(context), actor(context)?, input.id.0).await;
        seen(context, outcome, |transfer| DeclineProjectTransferPayload {
            transfer: Some(transfer),
            user_errors: Vec::new(),
        })
        .await
    }

    /// Cancels an offer. For the user who made it, and for everybody who administers the project, such as its owner.
    async fn cancel_project_transfer(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The offer to cancel.")] input: CancelProjectTransferInput,
    ) -> async_graphql::Result<CancelProjectTransferPayload> {
        let outcome = transfer::cancel(database(context), actor(context)?, input.id.0).await;
        seen(context, outcome, |transfer| CancelProjectTransferPayload {
            transfer: Some(transfer),
            user_errors: Vec::new(),
        })
        .await
    }
}
