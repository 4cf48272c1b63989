//! Project transfers: a project, its ownership and its costs pass to another organization (R61).
//!
//! Whoever may bill to the other organization takes the project there at once, or accepts an offer. From the acceptance
//! on, the project belongs to the recipient, counts towards the other organization's storage, and is read-only together
//! with its contents. The worker then moves it in one transaction.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rust_decimal::Decimal;
use serde_json::json;

use crate::account::user;
use crate::authority::access::{self, Held, Lock};
use crate::authority::actor::Actor;
use crate::authority::attempt;
use crate::authority::audit::{self, AuditAction, NewEvent, in_log};
use crate::authority::expiry::{self, Expiring};
use crate::authority::issued::Issued;
use crate::authority::mail_limit::{self, CausedMail};
use crate::authority::membership::MemberStatus;
use crate::authority::resource_access::{self, Giver, OWN_COUNTS};
use crate::authority::rights::{AccessLevel, Action};
use crate::base::client::ClientNetwork;
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{GrantId, OrganizationId, ResourceId, TransferId, UserId};
use crate::base::job::{ExpireTransfer, JobClaim, MailTransferAnswered, MailTransferOffer, MoveProject};
use crate::base::limits;
use crate::base::page::{Page, PageRequest, by_id};
use crate::base::sql::{FixedSql, Prepare as _, statement};
use crate::base::text::Username;
use crate::base::text_enum::text_enum;
use crate::database::schema::{grants, members, project_transfers, resources};
use crate::database::{Database, Transaction, now, rollcall_now};
use crate::membership::{collaborator, member, organization};
use crate::resource::kind::ResourceKind;
use crate::resource::storage;
use crate::resource::{self, Resource, Visibility};

text_enum! {
    /// The status of an offer.
    TransferStatus {
        /// It is waiting for the recipient's answer.
        Offered = "offered",
        /// The project belongs to the recipient, and has been or is about to be moved.
        Accepted = "accepted",
        /// The recipient declined it.
        Declined = "declined",
        /// It was cancelled.
        Cancelled = "cancelled",
        /// It expired without an answer.
        Expired = "expired",
    }
}

/// An offer to move a project.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = project_transfers)]
pub struct Transfer {
    /// The transfer's id.
    pub id: TransferId,
    /// The organization from which the project is offered.
    pub organization_id: OrganizationId,
    /// The project.
    pub resource_id: ResourceId,
    /// The organization to which it passes; `None` until the recipient chooses one.
    pub to_organization_id: Option<OrganizationId>,
    /// The user who made the offer.
    pub offered_by_id: UserId,
    /// The recipient.
    pub recipient_id: UserId,
    /// The status without regard to its expiry; see [`Transfer::status_at`]. An offer that ended together with somebody
    /// concerned is cancelled even before the worker has marked it.
    #[diesel(select_expression = status_now(), select_expression_type = FixedSql<Text>)]
    status: TransferStatus,
    /// When the offer was made.
    pub created_at: DateTime<Utc>,
    /// When it expires.
    pub expires_at: DateTime<Utc>,
    /// When the project was moved.
    pub moved_at: Option<DateTime<Utc>>,
    resource_name: String,
    resource_owner_id: UserId,
    resource_size_bytes: i64,
    /// The name by which the recipient was given; `None` if it was an id.
    pub recipient_named_as: Option<String>,
}

fn status_now() -> FixedSql<Text> {
    Issued::Transfer.status("offered", "cancelled")
}

impl Transfer {
    /// The status at a time. An offer past its expiry is expired, whether or not the worker has marked it.
    pub fn status_at(&self, now: DateTime<Utc>) -> TransferStatus {
        match self.status {
            TransferStatus::Offered if self.expires_at <= now => TransferStatus::Expired,
            status => status,
        }
    }

    /// The project's name at the time of the offer.
    pub fn resource_name(&self) -> &str {
        &self.resource_name
    }

    /// The project as it was offered. People who can't reach the project see only this, whatever becomes of it
    /// elsewhere.
    pub fn as_offered(&self, project: Resource) -> Resource {
        Resource {
            organization_id: self.organization_id,
            name: self.resource_name.clone(),
            description: None,
            owner_id: self.resource_owner_id,
            container_id: None,
            visibility: Visibility::Private,
            size_bytes: self.resource_size_bytes,
            updated_at: self.created_at,
            ..project
        }
    }
}

/// How the caller names a recipient.
#[derive(Debug, Clone)]
pub enum RecipientBy {
    /// By id.
    Id(UserId),
    /// By username.
    Username(String),
}

/// The command that offers a project.
#[derive(Debug)]
pub struct OfferTransfer {
    /// The project.
    pub resource_id: ResourceId,
    /// The organization to which the project passes.
    pub to_organization_id: Option<OrganizationId>,
    /// The recipient. If omitted, the actor takes the project to the organization themselves.
    pub recipient: Option<RecipientBy>,
}

/// Offers a project to somebody, or takes it to an organization to which the actor may bill. This requires ADMINISTER
/// on the project, and permission to bill to its current organization.
///
/// # Errors
///
/// NOT_FOUND, FORBIDDEN, INVALID, CONFLICT, PUBLISHED or BILLING_ACCESS_REQUIRED on the input that is at fault;
/// QUOTA_EXCEEDED if the other organization has no room; RATE_LIMITED.
pub async fn offer(
    database: &Database,
    actor: &Actor,
    command: &OfferTransfer,
    client: ClientNetwork,
) -> Result<Transfer> {
    let user_id = actor.person("resourceId")?.user_id();
    let guesses = match &command.recipient {
        Some(RecipientBy::Username(_)) => 1,
        Some(RecipientBy::Id(_)) | None => 0,
    };
    let guess = attempt::count_guesses(database, actor, client, guesses).await?;
    let mails = mails_to(database, user_id, command.recipient.as_ref()).await?;
    let mails = mail_limit::count(database, actor, client, &mails, "resourceId").await?;
    let offered = database
        .transaction(async |transaction| {
            let field = "resourceId";
            let (recipient, recipient_field) = match &command.recipient {
                None => (Some(user_id), "toOrganizationId"),
                Some(recipient) => lock_recipient(transaction, recipient).await?,
            };
            // Accounts and organizations are locked before memberships and resources, so that no offer is made to a
            // person who is just leaving, or between organizations one of which is just being deleted (R42, R48).
            let found = resource::by_ids(transaction, &[command.resource_id]).await?.pop();
            let found = found.ok_or_else(|| resource::not_found(field))?;
            let mut concerned = vec![found.organization_id];
            concerned.extend(command.to_organization_id);
            access::lock_organizations(transaction, &concerned).await?;
            let project =
                resource::reach(transaction, actor, command.resource_id, AccessLevel::Administer, field).await?;
            if project.organization_id != found.organization_id {
                return Err(Error::refused(Code::Conflict, field, "it has just moved; try again"));
            }
            if project.kind != ResourceKind::Project {
                let message = format!("this is {}; only projects are transferred", project.kind.with_article());
                return Err(Error::refused(Code::Invalid, field, message));
            }
            if let Some((code, message)) = keeps_from_giving(transaction, user_id, project.organization_id).await? {
                return Err(Error::refused(code, field, message));
            }
            require_unpublished(transaction, project.id, field).await?;
            if command.to_organization_id == Some(project.organization_id) {
                return Err(Error::refused(Code::Invalid, "toOrganizationId", "it is in this organization already"));
            }
            // This is checked last, so that only actors who may make the offer learn whether an account exists.
            guess.mark_made();
            let no_account = || Refusal::new(Code::NotFound, recipient_field, "there is no such account");
            let recipient_id = recipient.ok_or_else(no_account)?;
            let at = now(transaction).await?;
            let mut transfer = NewTransfer {
                id: TransferId::new(),
                organization_id: project.organization_id,
                resource_id: project.id,
                to_organization_id: command.to_organization_id,
                offered_by_id: user_id,
                recipient_id,
                status: TransferStatus::Offered,
                created_at: at,
                expires_at: at + limits::TRANSFER_OFFER,
                resource_name: project.name,
                resource_owner_id: project.owner_id,
                resource_size_bytes: project.size_bytes,
                recipient_named_as: match &command.recipient {
                    Some(RecipientBy::Username(username)) => {
                        Some(Username::parse("recipientUsername", username)?.to_string())
                    }
                    Some(RecipientBy::Id(_)) | None => None,
                },
            };
            // An offer that expired, or ended together with somebody concerned, doesn't stand in the way.
            let before = open_offer(transaction, project.id).await?;
            let mut events = mark_over(transaction, before.as_slice()).await?;
            let open = before.filter(|_| events.is_empty());
            if recipient_id == user_id {
                let Some(target) = command.to_organization_id else {
                    let message = "name an organization that you may bill, or somebody else as the recipient";
                    return Err(Error::refused(Code::Invalid, recipient_field, message));
                };
                require_target(transaction, actor, target, "toOrganizationId").await?;
                transfer.status = TransferStatus::Accepted;
                if let Some(open) = open {
                    let cancelled = close(transaction, open, TransferStatus::Cancelled, None).await?;
                    let summary = "cancelled: the project was taken elsewhere";
                    events.push(event(actor, &cancelled, AuditAction::TransferCancelled, summary));
                }
                let transfer = insert(transaction, &transfer).await?;
                events.extend(begin(transaction, actor, &transfer, target, "toOrganizationId").await?);
                audit::record(transaction, events).await?;
                return Ok(transfer);
            }
            if let Some(target) = command.to_organization_id {
                // The actor must belong to the organization, but needn't be able to bill to it.
                let not_found = access::organization_not_found("toOrganizationId");
                access::enter(transaction, actor, target, Lock::Membership, not_found).await?;
            }
            if let Some(open) = open {
                let message = format!("an offer of this project is open; cancel {open} first");
                return Err(Error::refused(Code::Conflict, field, message));
            }
            mails.require(transaction).await?;
            let transfer = insert(transaction, &transfer).await?;
            transaction.enqueue_at(&ExpireTransfer { transfer_id: transfer.id }, transfer.expires_at).await?;
            transaction.enqueue(&MailTransferOffer { transfer_id: transfer.id }).await?;
            events.push(event(actor, &transfer, AuditAction::TransferOffered, "offered a project to somebody"));
            audit::record(transaction, events).await?;
            Ok(transfer)
        })
        .await;
    // A recipient's id counts as a guess only if the request was refused, since nobody can guess many.
    let by_id = matches!(&command.recipient, Some(RecipientBy::Id(_))) && guess.is_made();
    let offered = guess.refund_if_right(mails.settle(offered).await).await;
    attempt::count_refusal(database, actor, client, by_id.into(), offered).await
}

/// The email that an offer causes. Somebody who takes the project themselves gets none.
async fn mails_to(database: &Database, user_id: UserId, recipient: Option<&RecipientBy>) -> Result<Vec<CausedMail>> {
    let Some(recipient) = recipient else { return Ok(Vec::new()) };
    let mut connection = database.connection().await?;
    let (account, field) = match recipient {
        RecipientBy::Id(id) => (user::by_ids(&mut connection, &[*id]).await?.pop(), "recipientId"),
        RecipientBy::Username(username) => {
            let username = Username::parse("recipientUsername", username)?;
            (user::by_username(&mut connection, &username).await?, "recipientUsername")
        }
    };
    let account = account.filter(|account| account.id != user_id);
    Ok(account.and_then(|account| account.email).map(|email| CausedMail::new(email, [field])).into_iter().collect())
}

#[derive(Insertable)]
#[diesel(table_name = project_transfers)]
struct NewTransfer {
    id: TransferId,
    organization_id: OrganizationId,
    resource_id: ResourceId,
    to_organization_id: Option<OrganizationId>,
    offered_by_id: UserId,
    recipient_id: UserId,
    status: TransferStatus,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    resource_name: String,
    resource_owner_id: UserId,
    resource_size_bytes: i64,
    recipient_named_as: Option<String>,
}

/// Returns the reason why somebody may not give away what the organization holds, or `None` if they may. They need the
/// permission to bill to it and, if its policy doesn't allow sharing with outsiders, must lead it.
async fn keeps_from_giving(
    transaction: &mut Transaction,
    user_id: UserId,
    organization_id: OrganizationId,
) -> Result<Option<(Code, &'static str)>> {
    let held = access::held_by(transaction, user_id, organization_id).await?;
    let Some(Held { standing, may_bill: true }) = held else {
        let message = "requires the permission for billable activities in the organization that it is in";
        return Ok(Some((Code::BillingAccessRequired, message)));
    };
    let sharing = organization::external_sharing(transaction, organization_id).await?;
    if !standing.may_give_away(sharing) {
        let message = "the organization's policy keeps what it holds inside; its owner or an admin may give it away";
        return Ok(Some((Code::Forbidden, message)));
    }
    Ok(None)
}

/// Returns the project's offer whose row is open, even if it has expired or ended. The project must be locked.
async fn open_offer(transaction: &mut Transaction, project: ResourceId) -> Result<Option<TransferId>> {
    Ok(project_transfers::table
        .filter(project_transfers::resource_id.eq(project))
        .filter(project_transfers::status.eq(TransferStatus::Offered))
        .select(project_transfers::id)
        .first(&mut **transaction)
        .await
        .optional()?)
}

async fn insert(transaction: &mut Transaction, transfer: &NewTransfer) -> Result<Transfer> {
    Ok(diesel::insert_into(project_transfers::table)
        .values(transfer)
        .returning(Transfer::as_returning())
        .get_result(&mut **transaction)
        .await?)
}

/// Locks the recipient's account, if there is one, and returns the input field in which they are named.
async fn lock_recipient(
    transaction: &mut Transaction,
    recipient: &RecipientBy,
) -> Result<(Option<UserId>, &'static str)> {
    let (id, field) = match recipient {
        RecipientBy::Id(id) => (Some(*id), "recipientId"),
        RecipientBy::Username(username) => {
            let username = Username::parse("recipientUsername", username)?;
            (user::by_username(transaction, &username).await?.map(|user| user.id), "recipientUsername")
        }
    };
    access::lock_users(transaction, id.as_slice()).await?;
    let found = user::by_ids(transaction, id.as_slice()).await?.pop().filter(|user| user.deleted_at.is_none());
    Ok((found.map(|user| user.id), field))
}

/// Locks the actor's membership in the organization that is to pay, and fails unless they may bill to it (R55).
async fn require_target(transaction: &mut Transaction, actor: &Actor, id: OrganizationId, field: &str) -> Result<()> {
    let not_found = access::organization_not_found(field);
    access::enter(transaction, actor, id, Lock::Membership, not_found).await?.require_billing(field)
}

/// Fails with PUBLISHED if the project contains a published app, whose organization can't change (R60).
async fn require_unpublished(transaction: &mut Transaction, id: ResourceId, field: &str) -> Result<()> {
    let published =
        resources::table.filter(resources::container_id.eq(id)).filter(resources::published_at.is_not_null());
    if diesel::select(diesel::dsl::exists(published)).get_result(&mut **transaction).await? {
        let message = "a published app lies in it, whose organization can't change; take that out first";
        return Err(Error::refused(Code::Published, field, message));
    }
    Ok(())
}

/// Makes the project the recipient's and read-only, takes it out of its container, and counts it towards the other
/// organization's storage from now on.
async fn begin(
    transaction: &mut Transaction,
    actor: &Actor,
    transfer: &Transfer,
    target: OrganizationId,
    field: &str,
) -> Result<Vec<NewEvent>> {
    let project = transfer.resource_id;
    diesel::update(resources::table.find(project))
        .set((
            resources::container_id.eq(None::<ResourceId>),
            resources::owner_id.eq(transfer.recipient_id),
            resources::owned_since.eq(rollcall_now()),
            resources::moving.eq(true),
        ))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    transaction.enqueue(&MoveProject { transfer_id: transfer.id }).await?;
    let bytes: Option<Decimal> = resources::table
        .filter(resources::id.eq(project).or(resources::container_id.eq(project)))
        .select(diesel::dsl::sum(resources::size_bytes))
        .first(&mut **transaction)
        .await?;
    let bytes = bytes.unwrap_or_default();
    let mut changes = [(transfer.organization_id, -bytes), (target, bytes)];
    changes.sort_by_key(|(id, _)| *id);
    for (id, bytes) in changes {
        storage::change(transaction, id, bytes, field).await?;
    }
    let gone = event(actor, transfer, AuditAction::TransferAccepted, "a project passes to another organization");
    let here = NewEvent::by(actor, target, AuditAction::TransferAccepted, transfer.id)
        .summary("a project comes from another organization")
        .about(transfer.recipient_id)
        .with(json!({
            "resourceIds": [project.to_string()], "toOrganizationId": target.to_string(),
            "owner": transfer.recipient_id.to_string(),
        }));
    Ok(vec![gone.with(json!({ "owner": transfer.recipient_id.to_string() })), here])
}

fn event(actor: &Actor, transfer: &Transfer, action: AuditAction, summary: &str) -> NewEvent {
    NewEvent::by(actor, transfer.organization_id, action, transfer.id)
        .summary(summary)
        .about(transfer.recipient_id)
        .with(details(transfer))
}

fn details(transfer: &Transfer) -> serde_json::Value {
    json!({
        "resourceIds": [transfer.resource_id.to_string()],
        "from": transfer.offered_by_id.to_string(),
        "to": transfer.recipient_id.to_string(),
        "fromOrganizationId": transfer.organization_id.to_string(),
        "toOrganizationId": transfer.to_organization_id.map(|id| id.to_string()),
    })
}

/// Whether the actor administers the project of a transfer. Locks the memberships that give them the right.
async fn administers(transaction: &mut Transaction, actor: &Actor, transfer: &Transfer) -> Result<bool> {
    match resource::reach(transaction, actor, transfer.resource_id, AccessLevel::Administer, "id").await {
        Ok(_) => Ok(true),
        Err(Error::Refused(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn not_found() -> Refusal {
    Refusal::new(Code::NotFound, "id", "there is no such transfer")
}

/// Returns the transfer if the actor may know of it.
async fn known(transaction: &mut Transaction, actor: &Actor, id: TransferId) -> Result<Transfer> {
    access::require_writing(actor, "id")?;
    actor.require_people("id")?;
    Ok(visible_to(transaction, actor, &[id]).await?.pop().ok_or_else(not_found)?)
}

/// Fails if an offer can't be answered or cancelled any more.
fn require_open(transfer: &Transfer, at: DateTime<Utc>) -> Result<()> {
    let (code, message) = match transfer.status_at(at) {
        TransferStatus::Offered => return Ok(()),
        TransferStatus::Accepted => (Code::AlreadyUsed, "this offer was already accepted"),
        TransferStatus::Declined => (Code::Revoked, "this offer was declined; ask for a new one"),
        TransferStatus::Cancelled => (Code::Revoked, "this offer was taken back; ask for a new one"),
        TransferStatus::Expired => (Code::Expired, "this offer has expired; ask for a new one"),
    };
    Err(Error::refused(code, "id", message))
}

/// Ends an open offer with a status; an accepted one passes to `target`. If somebody else ended it first, the refusal
/// says how.
async fn close(
    transaction: &mut Transaction,
    id: TransferId,
    status: TransferStatus,
    target: Option<OrganizationId>,
) -> Result<Transfer> {
    let closed: Option<Transfer> = diesel::update(
        project_transfers::table
            .find(id)
            .filter(project_transfers::status.eq(TransferStatus::Offered))
            .filter(project_transfers::expires_at.gt(rollcall_now()))
            .filter(Issued::Transfer.stands()),
    )
    .set((project_transfers::status.eq(status), target.map(|target| project_transfers::to_organization_id.eq(target))))
    .returning(Transfer::as_returning())
    .prepared()
    .get_result(&mut **transaction)
    .await
    .optional()?;
    match closed {
        Some(transfer) => Ok(transfer),
        None => {
            let at = now(transaction).await?;
            let transfer = by_ids(transaction, &[id]).await?.pop().ok_or_else(not_found)?;
            require_open(&transfer, at)?;
            Err(Error::refused(Code::Conflict, "id", "someone else is answering this offer; try again"))
        }
    }
}

/// Accepts an offer, as its recipient, for an organization to which they may bill (R55). Whoever made the offer must
/// still administer the project and be able to bill to its organization.
///
/// # Errors
///
/// FORBIDDEN for everybody but the recipient; ALREADY_USED, REVOKED or EXPIRED if the offer has ended; whatever
/// prevents the organization from taking the project.
pub async fn accept(
    database: &Database,
    actor: &Actor,
    id: TransferId,
    organization_id: Option<OrganizationId>,
) -> Result<Transfer> {
    let user_id = actor.person("id")?.user_id();
    database
        .transaction(async |transaction| {
            let offered = known(transaction, actor, id).await?;
            if offered.recipient_id != user_id {
                return Err(Error::refused(Code::Forbidden, "id", "only the recipient accepts an offer"));
            }
            let at = now(transaction).await?;
            require_open(&offered, at)?;
            let target = match (offered.to_organization_id, organization_id) {
                (Some(named), Some(chosen)) if named != chosen => {
                    let message = "the offer names another organization; leave this out";
                    return Err(Error::refused(Code::Invalid, "organizationId", message));
                }
                (Some(id), _) | (None, Some(id)) => id,
                (None, None) => {
                    let message = "choose an organization that you may bill";
                    return Err(Error::refused(Code::Blank, "organizationId", message));
                }
            };
            if target == offered.organization_id {
                return Err(Error::refused(Code::Invalid, "organizationId", "the project is in this organization"));
            }
            require_target(transaction, actor, target, "organizationId").await?;
            let kept = keeps_from_giving(transaction, offered.offered_by_id, offered.organization_id).await?;
            let project = offered.resource_id;
            let locked: Option<Resource> = resources::table
                .find(project)
                .select(Resource::as_select())
                .for_no_key_update()
                .first(&mut **transaction)
                .await
                .optional()?;
            // Whoever answered the offer meanwhile held the project's lock, so the offer is read again.
            let offered = by_ids(transaction, &[id]).await?.pop().ok_or_else(not_found)?;
            require_open(&offered, at)?;
            let giver = Giver {
                user_id: Some(offered.offered_by_id),
                resource_id: project,
                organization_id: offered.organization_id,
            };
            let is_rightful = !resource_access::rightful(transaction, &[giver]).await?.is_empty();
            if locked.is_none() || kept.is_some() || !is_rightful {
                let message = "whoever offered the project may not give it away any more; ask for a new offer";
                return Err(Error::refused(Code::Revoked, "id", message));
            }
            require_unpublished(transaction, project, "id").await?;
            let transfer = close(transaction, id, TransferStatus::Accepted, Some(target)).await?;
            let events = begin(transaction, actor, &transfer, target, "organizationId").await?;
            transaction.enqueue(&MailTransferAnswered { transfer_id: id }).await?;
            audit::record(transaction, events).await?;
            Ok(transfer)
        })
        .await
}

/// Declines an offer, as its recipient.
///
/// # Errors
///
/// FORBIDDEN for everybody but the recipient; ALREADY_USED, REVOKED or EXPIRED if the offer has ended.
pub async fn decline(database: &Database, actor: &Actor, id: TransferId) -> Result<Transfer> {
    database
        .transaction(async |transaction| {
            let offered = known(transaction, actor, id).await?;
            if !actor.is(offered.recipient_id) {
                return Err(Error::refused(Code::Forbidden, "id", "only the recipient declines an offer"));
            }
            let transfer = close(transaction, id, TransferStatus::Declined, None).await?;
            transaction.enqueue(&MailTransferAnswered { transfer_id: id }).await?;
            audit::record(
                transaction,
                [event(actor, &transfer, AuditAction::TransferDeclined, "declined an offered project")],
            )
            .await?;
            Ok(transfer)
        })
        .await
}

/// Cancels an offer. Whoever made it may do so, and so may everybody who administers the project, such as its owner.
///
/// # Errors
///
/// NOT_FOUND or FORBIDDEN if the actor may not cancel the offer; ALREADY_USED, REVOKED or EXPIRED if it has ended.
pub async fn cancel(database: &Database, actor: &Actor, id: TransferId) -> Result<Transfer> {
    database
        .transaction(async |transaction| {
            let offered = known(transaction, actor, id).await?;
            if !actor.is(offered.offered_by_id) && !administers(transaction, actor, &offered).await? {
                return Err(Error::refused(
                    Code::Forbidden,
                    "id",
                    "requires ADMINISTER on the project; decline it instead",
                ));
            }
            let transfer = close(transaction, id, TransferStatus::Cancelled, None).await?;
            audit::record(
                transaction,
                [event(actor, &transfer, AuditAction::TransferCancelled, "took an offered project back")],
            )
            .await?;
            Ok(transfer)
        })
        .await
}

/// Clears the names by which a deleted account was given as the recipient of offers.
pub(crate) async fn forget_names(transaction: &mut Transaction, user_id: UserId) -> Result<()> {
    diesel::update(project_transfers::table.filter(project_transfers::recipient_id.eq(user_id)))
        .set(project_transfers::recipient_named_as.eq(None::<String>))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

impl Expiring for Transfer {
    type Id = TransferId;

    async fn lock_overdue(transaction: &mut Transaction, at: DateTime<Utc>, limit: u32) -> Result<Vec<TransferId>> {
        Ok(expiry::overdue!(project_transfers, TransferStatus::Offered, at, limit).load(&mut **transaction).await?)
    }

    async fn mark_over(transaction: &mut Transaction, ids: &[TransferId]) -> Result<Vec<NewEvent>> {
        mark_over(transaction, ids).await
    }
}

/// Marks an offer as expired if its time is over.
pub async fn expire(database: &Database, id: TransferId, claim: JobClaim<'_>) -> Result<()> {
    expiry::expire::<Transfer>(database, id, claim).await
}

/// Marks overdue offers as expired, and sends an email to those who made them. Marks offers that ended together with
/// somebody concerned as cancelled. Returns the events to record.
async fn mark_over(transaction: &mut Transaction, ids: &[TransferId]) -> Result<Vec<NewEvent>> {
    let over: Vec<Transfer> = diesel::update(
        project_transfers::table
            .filter(project_transfers::id.eq_any(ids))
            .filter(project_transfers::status.eq(TransferStatus::Offered))
            .filter(project_transfers::expires_at.le(rollcall_now()).or(Issued::Transfer.has_ended())),
    )
    .set(project_transfers::status.eq(Issued::Transfer.over("cancelled", "expired")))
    .returning(Transfer::as_returning())
    .prepared()
    .get_results(&mut **transaction)
    .await?;
    let expired = over.iter().filter(|transfer| transfer.status == TransferStatus::Expired);
    let mails: Vec<_> = expired.map(|transfer| MailTransferAnswered { transfer_id: transfer.id }).collect();
    transaction.enqueue_all(&mails).await?;
    let event = |transfer: &Transfer| {
        let (action, summary) = match transfer.status {
            TransferStatus::Expired => (AuditAction::TransferExpired, "nobody answered the offer in time"),
            _ => (AuditAction::TransferCancelled, "cancelled: somebody concerned, or an organization, is gone"),
        };
        NewEvent::by_system(transfer.organization_id, action, transfer.id)
            .summary(summary)
            .about(transfer.recipient_id)
            .with(details(transfer))
    };
    Ok(over.iter().map(event).collect())
}

/// Moves an accepted project with its contents, in one transaction. A second run finds nothing to do.
///
/// - Grants to teams, dormant grants and open invitations end.
/// - Other grants to people and organizations move along. They count as made at this moment in the other organization,
///   whatever those people were to it before.
/// - Collaborators to whom nothing else is granted in the organization that the project leaves also leave its teams.
/// - The project and its contents are removed from all collections.
/// - Contents whose owner isn't a member of the other organization become the recipient's. Samples keep their owners
///   (R33).
/// - If the recipient has left meanwhile, the owner of the other organization receives everything.
pub async fn carry_out(database: &Database, id: TransferId, claim: JobClaim<'_>) -> Result<()> {
    database
        .transaction(async |transaction| {
            claim(transaction).await?;
            let found: Option<Transfer> = project_transfers::table
                .find(id)
                .select(Transfer::as_select())
                .for_no_key_update()
                .first(&mut **transaction)
                .await
                .optional()?;
            let Some(transfer) = found else { return Ok(()) };
            let (TransferStatus::Accepted, None, Some(target)) =
                (transfer.status, transfer.moved_at, transfer.to_organization_id)
            else {
                return Ok(());
            };
            let project = transfer.resource_id;
            let Carried { owner, moved, passed, ended, left_teams } =
                carry(transaction, &transfer, project, target).await?;
            let at = now(transaction).await?;
            diesel::update(project_transfers::table.find(id))
                .set(project_transfers::moved_at.eq(at))
                .prepared()
                .execute(&mut **transaction)
                .await?;
            let chunks = moved.chunks(limits::IDS_OF_EVENT).len().max(ended.chunks(limits::IDS_OF_EVENT).len());
            let part = |number: usize| {
                let moved = moved.chunks(limits::IDS_OF_EVENT).nth(number).unwrap_or_default();
                let ended = ended.chunks(limits::IDS_OF_EVENT).nth(number).unwrap_or_default();
                let passed: Vec<ResourceId> = moved.iter().copied().filter(|id| passed.contains(id)).collect();
                json!({
                    "resourceIds": in_log(moved), "passedOnIds": in_log(&passed), "grantIds": in_log(ended),
                    "owner": owner.to_string(), "toOrganizationId": target.to_string(),
                })
            };
            let mut events = Vec::new();
            for organization_id in [transfer.organization_id, target] {
                events.extend((0..chunks).map(|number| {
                    NewEvent::by_system(organization_id, AuditAction::TransferCompleted, id)
                        .summary("a project was moved with what lies in it")
                        .about(owner)
                        .with(part(number))
                }));
            }
            audit::record(transaction, events.into_iter().chain(left_teams)).await
        })
        .await
}

/// Locks, `FOR SHARE`, the memberships in the target organization of the recipient, of the owners of the contents, and
/// of the people with whom some of it is shared. Returns who receives the project, and which of these people are active
/// members.
async fn lock_people(
    transaction: &mut Transaction,
    transfer: &Transfer,
    project: ResourceId,
    target: OrganizationId,
) -> Result<(UserId, Vec<UserId>)> {
    let moving = resources::table.filter(resources::id.eq(project).or(resources::container_id.eq(project)));
    let owners = moving.select(resources::owner_id);
    let grantees = grants::table
        .filter(grants::resource_id.eq_any(moving.select(resources::id)))
        .select(grants::user_id.assume_not_null())
        .filter(grants::user_id.is_not_null());
    let concerned: Vec<(UserId, MemberStatus)> = members::table
        .filter(members::organization_id.eq(target))
        .filter(
            members::user_id
                .eq(transfer.recipient_id)
                .or(members::user_id.eq_any(owners))
                .or(members::user_id.eq_any(grantees)),
        )
        .order(members::id)
        .select((members::user_id, members::status))
        .for_share()
        .load(&mut **transaction)
        .await?;
    let active = |(user_id, status)| (status == MemberStatus::Active).then_some(user_id);
    let members: Vec<UserId> = concerned.into_iter().filter_map(active).collect();
    let owner = match members.contains(&transfer.recipient_id) {
        true => transfer.recipient_id,
        false => member::lock_owner(transaction, target).await?,
    };
    Ok((owner, members))
}

/// The ids of what moves: the project and its contents.
const MOVING: &str = "SELECT id FROM resources WHERE id = :project_id OR container_id = :project_id";

statement! {
    struct RemoveTeamGrants { project_id: SqlUuid = ResourceId } =
        format!("DELETE FROM grants WHERE team_id IS NOT NULL AND resource_id IN ({MOVING}) RETURNING id")
}

statement! {
    struct RemoveSleepingGrants { project_id: SqlUuid = ResourceId } = format!(
        "DELETE FROM grants WHERE id IN (SELECT g.id FROM grants g JOIN organizations o ON o.id = g.organization_id \
         LEFT JOIN members m ON m.organization_id = g.organization_id AND m.user_id = g.user_id \
         WHERE g.resource_id IN ({MOVING}) AND CASE WHEN g.user_id IS NOT NULL THEN NOT ({OWN_COUNTS}) \
         ELSE g.grantee_organization_id <> g.organization_id AND o.external_sharing <> 'allowed' END) RETURNING id"
    )
}

statement! {
    struct RemoveInvitations { project_id: SqlUuid = ResourceId } =
        format!("DELETE FROM grant_invitations WHERE resource_id IN ({MOVING})")
}

statement! {
    struct RemoveFromCollections { project_id: SqlUuid = ResourceId } =
        format!("DELETE FROM collection_items WHERE resource_id IN ({MOVING})")
}

statement! {
    struct TakePositions { project_id: SqlUuid = ResourceId } = format!(
        "UPDATE grants SET position = nextval('grant_positions') WHERE user_id IS NOT NULL AND resource_id IN ({MOVING})"
    )
}

statement! {
    struct PassOn {
        project_id: SqlUuid = ResourceId,
        new_owner_id: SqlUuid = UserId,
        members: Array<SqlUuid> = Vec<UserId>,
    } = "UPDATE resources r SET owner_id = :new_owner_id, owned_since = rollcall_now() \
           WHERE (r.id = :project_id AND r.owner_id <> :new_owner_id \
             OR r.container_id = :project_id AND r.kind <> 'sample' AND r.owner_id <> ALL (:members)) \
           RETURNING r.id"
}

statement! {
    struct CollaboratorsOnMoving { project_id: SqlUuid = ResourceId } =
        format!("SELECT DISTINCT user_id FROM grants WHERE outside AND resource_id IN ({MOVING})")
}

/// What was done when a project moved.
struct Carried {
    /// The new owner.
    owner: UserId,
    /// The project and its contents, in the order of their ids.
    moved: Vec<ResourceId>,
    /// Those of them that passed to the new owner.
    passed: HashSet<ResourceId>,
    /// The grants that ended.
    ended: Vec<GrantId>,
    /// The events of collaborators who left teams.
    left_teams: Vec<NewEvent>,
}

/// Moves the project.
///
/// The contents, of which there may be many, move with their container before any membership is locked. Changes to
/// these memberships therefore wait only for the rest, which is quick.
async fn carry(
    transaction: &mut Transaction,
    transfer: &Transfer,
    project: ResourceId,
    target: OrganizationId,
) -> Result<Carried> {
    #[derive(QueryableByName)]
    struct ResourceRow {
        #[diesel(sql_type = SqlUuid)]
        id: ResourceId,
    }
    #[derive(QueryableByName)]
    struct GrantRow {
        #[diesel(sql_type = SqlUuid)]
        id: GrantId,
    }
    #[derive(QueryableByName)]
    struct MovingCollaborator {
        #[diesel(sql_type = SqlUuid)]
        user_id: UserId,
    }
    let collaborators: Vec<MovingCollaborator> =
        CollaboratorsOnMoving { project_id: project }.query().load(&mut **transaction).await?;
    let collaborators: Vec<UserId> = collaborators.into_iter().map(|one| one.user_id).collect();
    let mut ended: Vec<GrantRow> = RemoveTeamGrants { project_id: project }.query().load(&mut **transaction).await?;
    ended.extend(RemoveSleepingGrants { project_id: project }.query().load::<GrantRow>(&mut **transaction).await?);
    for statement in
        [RemoveInvitations { project_id: project }.query(), RemoveFromCollections { project_id: project }.query()]
    {
        statement.execute(&mut **transaction).await?;
    }
    // `resources_container_fkey` makes the contents follow, and `grants_resource_fkey` the grants on them.
    diesel::update(resources::table.find(project).filter(resources::organization_id.eq(transfer.organization_id)))
        .set((resources::organization_id.eq(target), resources::moving.eq(false)))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    let (owner, members) = lock_people(transaction, transfer, project, target).await?;
    // The positions are taken while the memberships are locked, so that whoever leaves afterwards leaves these grants
    // behind.
    TakePositions { project_id: project }.query().execute(&mut **transaction).await?;
    // People who have become members since then aren't locked, and their contents pass on as well.
    let pass = PassOn { project_id: project, new_owner_id: owner, members };
    let passed: Vec<ResourceRow> = pass.query().load(&mut **transaction).await?;
    let moved: Vec<ResourceId> = resources::table
        .filter(resources::id.eq(project).or(resources::container_id.eq(project)))
        .order(resources::id)
        .select(resources::id)
        .load(&mut **transaction)
        .await?;
    let left_teams = collaborator::leave_teams(transaction, transfer.organization_id, &collaborators).await?;
    let passed = passed.into_iter().map(|row| row.id).collect();
    Ok(Carried { owner, moved, passed, ended: ended.into_iter().map(|row| row.id).collect(), left_teams })
}

/// Returns the transfers with these ids without checking access.
pub async fn by_ids(connection: &mut AsyncPgConnection, ids: &[TransferId]) -> Result<Vec<Transfer>> {
    Ok(project_transfers::table
        .filter(project_transfers::id.eq_any(ids))
        .select(Transfer::as_select())
        .load(connection)
        .await?)
}

/// Returns those of the transfers that the actor may see. These are visible to the recipient, to whoever made the offer
/// while they belong to the organization it is from, to that organization's owner and admins, and while the offer is
/// open to everybody who administers the project.
pub async fn visible_to(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    ids: &[TransferId],
) -> Result<Vec<Transfer>> {
    let found = by_ids(connection, ids).await?;
    let permits = access::permits(connection, actor, found.iter().map(|transfer| transfer.organization_id)).await?;
    let levels = resource::levels(connection, actor, found.iter().map(|transfer| transfer.resource_id)).await?;
    let may_see = |transfer: &Transfer| {
        let permit = permits.get(&transfer.organization_id);
        actor.is_in(transfer.organization_id, transfer.recipient_id)
            || permit.is_some_and(|permit| {
                permit.is_of(transfer.offered_by_id) || permit.standing().allows(Action::ViewAllResources)
            })
            || transfer.status == TransferStatus::Offered
                && levels.get(&transfer.resource_id) == Some(&AccessLevel::Administer)
    };
    Ok(found.into_iter().filter(may_see).collect())
}

type Query = diesel::helper_types::IntoBoxed<'static, project_transfers::table, diesel::pg::Pg>;

fn open() -> Query {
    project_transfers::table
        .into_boxed()
        .filter(project_transfers::status.eq(TransferStatus::Offered))
        .filter(project_transfers::expires_at.gt(rollcall_now()))
        .filter(Issued::Transfer.stands())
}

fn incoming(user_id: UserId) -> Query {
    open().filter(project_transfers::recipient_id.eq(user_id))
}

/// Returns the open offers of the projects, at most one for each, without checking access.
pub async fn open_of_resources(connection: &mut AsyncPgConnection, ids: &[ResourceId]) -> Result<Vec<Transfer>> {
    let query = open().filter(project_transfers::resource_id.eq_any(ids));
    Ok(query.select(Transfer::as_select()).load(connection).await?)
}

/// Returns a page of the open offers to the actor, oldest first. Keys see none, since they can't accept any.
pub async fn list_incoming(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    page: &PageRequest,
) -> Result<Page<Transfer>> {
    let slice = page.slice()?;
    let Some((user_id, _)) = actor.session() else { return Ok(Page::default()) };
    let query = incoming(user_id).select(Transfer::as_select());
    let rows = by_id!(query, slice, project_transfers::id).load(connection).await?;
    slice.page(rows, |transfer: &Transfer| transfer.id)
}

/// Counts the open offers to the actor.
pub async fn count_incoming(connection: &mut AsyncPgConnection, actor: &Actor) -> Result<i64> {
    let Some((user_id, _)) = actor.session() else { return Ok(0) };
    Ok(incoming(user_id).select(diesel::dsl::count_star()).first(connection).await?)
}
