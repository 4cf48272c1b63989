//! Grantees: to whom a name refers, and whether the resource may be shared with them.

use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;

use crate::account::grant_invitation;
use crate::account::user::{self, User};
use crate::authority::access;
use crate::authority::actor::Actor;
use crate::authority::membership::MemberStatus;
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{OrganizationId, TeamId, UserId};
use crate::base::text::{EmailAddress, Slug, Username};
use crate::database::Transaction;
use crate::database::schema::{grants, members, organizations, teams, users};
use crate::membership::{organization, team};
use crate::resource::Resource;

/// The holder of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grantee {
    /// A person.
    User(UserId),
    /// A team of the organization to which the resource belongs (R66).
    Team(TeamId),
    /// All members of an organization, within their permissions (R57, R58).
    Organization(OrganizationId),
}

/// How the caller names a grantee.
#[derive(Debug, Clone)]
pub enum Named {
    /// A person by id.
    User(UserId),
    /// A person by username.
    Username(String),
    /// A person by email address, with or without an account.
    Email(String),
    /// A team by id.
    Team(TeamId),
    /// An organization by id.
    Organization(OrganizationId),
    /// An organization by slug.
    OrganizationSlug(String),
}

impl Named {
    /// The name in its parsed form, without looking anything up; `None` if it is an id.
    pub(super) fn word(&self) -> Option<String> {
        match self {
            Self::Username(username) => Username::parse("username", username).ok().map(|username| username.to_string()),
            Self::Email(email) => EmailAddress::parse("email", email).ok().map(|email| email.to_string()),
            Self::OrganizationSlug(slug) => Slug::parse("organizationSlug", slug).ok().map(|slug| slug.to_string()),
            Self::User(_) | Self::Team(_) | Self::Organization(_) => None,
        }
    }
}

/// What a name refers to.
pub(super) enum Found {
    Grantee(Grantee),
    Address(EmailAddress),
}

pub(super) fn at_grantee(code: Code, name: &str, message: impl Into<String>) -> Error {
    Refusal::new(code, name, message).within(["grantee"]).into()
}

/// Returns what the name refers to, and the input field in which it was given. A person's membership in the resource's
/// organization is locked `FOR SHARE`, so that nothing is granted to somebody who is just leaving.
pub(super) async fn find(
    transaction: &mut Transaction,
    actor: &Actor,
    resource: &Resource,
    named: &Named,
    address: Option<&EmailAddress>,
) -> Result<(Found, &'static str)> {
    let no_account = |field: &str| at_grantee(Code::NotFound, field, "there is no such account");
    let (user, field): (Option<User>, _) = match named {
        Named::User(id) => (user::by_ids(transaction, &[*id]).await?.pop(), "userId"),
        Named::Username(username) => {
            let username = Username::parse("username", username).map_err(|refusal| refusal.within(["grantee"]))?;
            (user::by_username(transaction, &username).await?, "username")
        }
        Named::Email(_) => {
            let email = address.ok_or(Error::Bug("an address is parsed first"))?;
            // Somebody may be signing in with the address at this moment.
            grant_invitation::hold_address(transaction, email).await?;
            match known_by_address(transaction, actor, resource, email).await? {
                Some(user) => (Some(user), "email"),
                None => return Ok((Found::Address(email.clone()), "email")),
            }
        }
        Named::Team(id) => {
            // A team that the actor can't see, for example in an organization to which they don't belong, doesn't exist
            // for them.
            let seen = team::visible_to(transaction, actor, &[*id]).await?;
            let team: Option<TeamId> = teams::table
                .filter(teams::id.eq_any(seen.iter().map(|team| team.id)))
                .filter(teams::organization_id.eq(resource.organization_id))
                .select(teams::id)
                .for_key_share()
                .first(&mut **transaction)
                .await
                .optional()?;
            let message = "there is no such team in the organization that holds the resource";
            let team = team.ok_or_else(|| at_grantee(Code::NotFound, "teamId", message))?;
            return Ok((Found::Grantee(Grantee::Team(team)), "teamId"));
        }
        Named::Organization(_) | Named::OrganizationSlug(_) => return find_organization(transaction, named).await,
    };
    let user = user.filter(|user| user.deleted_at.is_none()).ok_or_else(|| no_account(field))?;
    if actor.is(user.id) {
        return Err(at_grantee(Code::Self_, field, "you administer it; nobody grants anything to themselves"));
    }
    // A grant on a sample of their own lets owners who aren't members reach it again (R33).
    if user.id == resource.owner_id
        && lock_member(transaction, resource.organization_id, user.id).await? == Some(MemberStatus::Active)
    {
        return Err(at_grantee(Code::Conflict, field, "they own it"));
    }
    Ok((Found::Grantee(Grantee::User(user.id)), field))
}

/// Returns the account of an address if the actor knows whose it is: their own, that of a member of the organization if
/// they lead it, or one with which the resource is already shared by this address. The same statements run whether or
/// not there is an account.
async fn known_by_address(
    transaction: &mut Transaction,
    actor: &Actor,
    resource: &Resource,
    email: &EmailAddress,
) -> Result<Option<User>> {
    let leads = access::view(transaction, actor, resource.organization_id)
        .await?
        .is_some_and(|permit| permit.standing().leads());
    let is_member = members::table
        .filter(members::organization_id.eq(resource.organization_id))
        .filter(members::user_id.eq(users::id))
        .filter(members::status.eq(MemberStatus::Active));
    let is_shared = grants::table
        .filter(grants::resource_id.eq(resource.id))
        .filter(grants::user_id.eq(users::id.nullable()))
        .filter(grants::named_as.eq(email.as_str()));
    let is_known = users::id
        .nullable()
        .is_not_distinct_from(actor.account())
        .or(leads.into_sql::<Bool>().and(diesel::dsl::exists(is_member)))
        .or(diesel::dsl::exists(is_shared));
    Ok(users::table
        .filter(users::email.eq(email))
        .filter(is_known)
        .select(User::as_select())
        .first(&mut **transaction)
        .await
        .optional()?)
}

async fn find_organization(transaction: &mut Transaction, named: &Named) -> Result<(Found, &'static str)> {
    let (id, field) = match named {
        Named::Organization(id) => (Some(*id), "organizationId"),
        Named::OrganizationSlug(slug) => {
            let slug =
                Slug::parse("organizationSlug", slug).map_err(|refusal| refusal.within(["grantee"]))?.to_string();
            (organization::id_by_slug(transaction, &slug).await?, "organizationSlug")
        }
        _ => return Err(Error::Bug("this names no organization")),
    };
    let found: Option<(OrganizationId, Option<UserId>)> = match id {
        Some(id) => organizations::table
            .find(id)
            .filter(organizations::deleted_at.is_null())
            .select((organizations::id, organizations::personal_user_id))
            .first(&mut **transaction)
            .await
            .optional()?,
        None => None,
    };
    match found {
        // A personal organization concerns nobody else. What is meant for its owner is shared with that person.
        None | Some((_, Some(_))) => {
            Err(at_grantee(Code::NotFound, field, "there is no such organization to share with"))
        }
        Some((id, None)) => Ok((Found::Grantee(Grantee::Organization(id)), field)),
    }
}

/// Whether the grantee belongs to the organization of the resource, as far as the actor may know. If the directory is
/// hidden, the answer is true only for actors who can see the member (R77).
pub(super) async fn is_inside(
    transaction: &mut Transaction,
    actor: &Actor,
    resource: &Resource,
    found: &Found,
) -> Result<bool> {
    match found {
        Found::Address(_) => Ok(false),
        Found::Grantee(Grantee::Team(_)) => Ok(true),
        Found::Grantee(Grantee::Organization(id)) => Ok(*id == resource.organization_id),
        Found::Grantee(Grantee::User(id)) => {
            let organization_id = resource.organization_id;
            if lock_member(transaction, organization_id, *id).await? != Some(MemberStatus::Active) {
                return Ok(false);
            }
            let held = access::held_by(transaction, *id, organization_id).await?;
            let permit = access::view(transaction, actor, organization_id).await?;
            Ok(held.is_some_and(|held| match permit.map(|permit| permit.standing()) {
                Some(standing) => standing.sees_structure() || standing.sees_members_of(held.standing.role),
                None => held.standing.member_directory.shows_structure(),
            }))
        }
    }
}

pub(super) async fn lock_member(
    transaction: &mut Transaction,
    organization_id: OrganizationId,
    user_id: UserId,
) -> Result<Option<MemberStatus>> {
    Ok(members::table
        .filter(members::organization_id.eq(organization_id))
        .filter(members::user_id.eq(user_id))
        .select(members::status)
        .for_share()
        .first(&mut **transaction)
        .await
        .optional()?)
}
