//! Transferring resources to another member of their organization.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;

use crate::account::user;
use crate::account::user_ref::{self, UserRef};
use crate::authority::access::{self, Lock, WritePermit};
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::platform::PlatformScope;
use crate::authority::rights::{AccessLevel, Action, Role};
use crate::base::error::{Code, Error, Reader, Refusal, Result};
use crate::base::id::{OrganizationId, ResourceId, UserId};
use crate::base::limits;
use crate::base::upsert::{self, ItemRefusals};
use crate::database::schema::resources;
use crate::database::{Database, Transaction, rollcall_now};
use crate::membership::member;
use crate::resource::resource_ref::{self, ResourceRef};
use crate::resource::{self, Purpose, Resource};

/// The input field with the resources to transfer.
const LIST: &str = "resources";

/// Makes another active member of the organization the owner of resources, all or none; what lies in them keeps its
/// owners. The organization's owner and admins, and platform keys with RESOURCES_WRITE, transfer whatever they
/// administer, others what they own. Returns the resources in the order in which they were named.
///
/// # Errors
///
/// On `organizationId`: NOT_FOUND, FORBIDDEN. BLANK or TOO_MANY on `resources`. On `to`: NOT_FOUND for everybody who
/// isn't an active member whom the actor may see; SUSPENDED if their account is suspended; FORBIDDEN if somebody who
/// isn't an owner or admin names them by address or by the platform's own id. For each item: INVALID if it is named
/// twice, NOT_FOUND, FORBIDDEN, and CONFLICT while it moves to another organization.
pub async fn transfer(
    database: &Database,
    actor: &Actor,
    organization_id: OrganizationId,
    named: &[ResourceRef],
    to: &UserRef,
) -> Result<Vec<Resource>> {
    upsert::require_number(LIST, named.len(), limits::MAX_UPSERTED_RESOURCES)?;
    let mut refusals = ItemRefusals::of(LIST);
    refusals.repeated("", named.iter().enumerate());
    refusals.none()?;
    database
        .transaction(async |transaction| {
            let field = "organizationId";
            let not_found = access::organization_not_found(field);
            let permit = access::enter(transaction, actor, organization_id, Lock::Membership, not_found).await?;
            let powers = Powers::of(actor, &permit, field)?;
            let recipient = recipient(transaction, &permit, &powers, organization_id, to).await?;
            let found = resource_ref::resolve(transaction, named).await?;
            let mut refusals = ItemRefusals::of(LIST);
            let ids: Vec<Option<ResourceId>> = named
                .iter()
                .map(|name| found.get(name).filter(|(_, holder)| *holder == organization_id).map(|(id, _)| *id))
                .collect();
            let known: Vec<ResourceId> = ids.iter().flatten().copied().collect();
            let reached =
                resource::reach_each(transaction, actor, &known, AccessLevel::Administer, Purpose::Change, "").await?;
            let mut reached = reached.into_iter();
            let mut transferred: Vec<Resource> = Vec::new();
            for (position, (id, name)) in ids.iter().zip(named).enumerate() {
                let reached = id.and_then(|_| reached.next()).unwrap_or_else(|| Err(name.not_found()));
                let reached = reached.map_err(|refusal| match refusal.code {
                    Code::NotFound if transferred.iter().any(|resource| Some(resource.id) == *id) => {
                        Refusal::new(Code::Invalid, "", "is named twice in this list")
                    }
                    Code::NotFound => name.not_found(),
                    _ => refusal,
                });
                let owned = reached.and_then(|resource| match powers.cover(&resource) {
                    true => Ok(resource),
                    false => {
                        let message = "only its owner, and the organization's owner and admins, transfer it";
                        Err(Refusal::new(Code::Forbidden, "", message))
                    }
                });
                transferred.extend(refusals.keep(position, owned));
            }
            refusals.none()?;
            pass_on(transaction, actor, recipient, &mut transferred).await?;
            Ok(transferred)
        })
        .await
}

/// What somebody may transfer.
enum Powers {
    /// All that they administer.
    Everything,
    /// What they own.
    OwnedBy(UserId),
}

impl Powers {
    fn of(actor: &Actor, permit: &WritePermit, field: &str) -> Result<Self> {
        let of_member = || match (permit.require_on(Action::ViewAllResources, field), actor.account()) {
            (Ok(()), _) => Ok(Self::Everything),
            (Err(_), Some(user_id)) => Ok(Self::OwnedBy(user_id)),
            (Err(refusal), None) => Err(refusal),
        };
        match actor {
            Actor::Platform(key) => {
                key.require(PlatformScope::ResourcesWrite, field)?;
                Ok(Self::Everything)
            }
            Actor::User { .. }
            | Actor::ApiKey { .. }
            | Actor::OnBehalf { .. }
            | Actor::Service { .. }
            | Actor::Staff { .. } => of_member(),
        }
    }

    fn cover(&self, resource: &Resource) -> bool {
        match self {
            Self::Everything => true,
            Self::OwnedBy(user_id) => resource.owner_id == *user_id,
        }
    }
}

/// The recipient, who stays an active member until the transaction ends.
async fn recipient(
    transaction: &mut Transaction,
    permit: &WritePermit,
    powers: &Powers,
    organization_id: OrganizationId,
    to: &UserRef,
) -> Result<UserId> {
    let not_found = || {
        let message = "there is no active member like this whom you may see";
        Error::from(Refusal::new(Code::NotFound, to.field(), message).within(["to"]))
    };
    match (powers, to) {
        (Powers::Everything, _) | (Powers::OwnedBy(_), UserRef::Id(_) | UserRef::Username(_)) => {}
        // Whoever sees a member need not know these of them.
        (Powers::OwnedBy(_), UserRef::Email(_) | UserRef::ExternalId(_)) => {
            let message = "name the member by id or username; only the owner and admins name them otherwise";
            return Err(Error::refused(Code::Forbidden, "to", message));
        }
    }
    let found = user_ref::resolve(transaction, std::slice::from_ref(to)).await?;
    let user_id = *found.get(to).ok_or_else(not_found)?;
    let active = member::lock_active(transaction, organization_id, &[user_id]).await?;
    let is_seen = |role: Role| match powers {
        Powers::Everything => true,
        Powers::OwnedBy(own) => *own == user_id || permit.standing().sees_members_of(role),
    };
    active.get(&user_id).copied().filter(|role| is_seen(*role)).ok_or_else(not_found)?;
    match user::suspended_among(transaction, &[user_id]).await?.get(&user_id) {
        None => Ok(user_id),
        Some(suspension) => Err(suspension.refusal(Reader::Another, None, to.field()).within(["to"]).into()),
    }
}

async fn pass_on(
    transaction: &mut Transaction,
    actor: &Actor,
    recipient: UserId,
    transferred: &mut [Resource],
) -> Result<()> {
    let passing: Vec<ResourceId> =
        transferred.iter().filter(|resource| resource.owner_id != recipient).map(|resource| resource.id).collect();
    diesel::update(resources::table.filter(resources::id.eq_any(&passing)))
        .set((resources::owner_id.eq(recipient), resources::owned_since.eq(rollcall_now())))
        .execute(&mut **transaction)
        .await?;
    let mut given: BTreeMap<(OrganizationId, UserId), Vec<String>> = BTreeMap::new();
    for resource in transferred.iter_mut().filter(|resource| resource.owner_id != recipient) {
        given.entry((resource.organization_id, resource.owner_id)).or_default().push(resource.id.to_string());
        resource.owner_id = recipient;
    }
    let event = |((organization_id, from), ids): ((OrganizationId, UserId), Vec<String>)| {
        NewEvent::by(actor, organization_id, AuditAction::ResourceTransferred, organization_id)
            .summary(format!("transferred {} resource(s) of {from} to {recipient}", ids.len()))
            .about(recipient)
            .with(json!({ "from": from.to_string(), "owner": recipient.to_string(), "resourceIds": ids }))
    };
    let events: Vec<NewEvent> = given.into_iter().map(event).collect();
    audit::record(transaction, events).await
}
