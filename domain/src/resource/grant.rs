//! Sharing: grants of a level on a resource to a user, a team or an organization (R6, R57–R59, R66), and invitations of
//! email addresses.
//!
//! Whoever shares something learns no more than they named. A resource that is shared with an address waits for the
//! next person who signs in with it, whether or not the address has an account. To people who may not know more about
//! the grantee, a grant shows the name by which it was created.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;

use crate::account::grant_invitation::GrantInvitation;
use crate::authority::actor::Actor;
use crate::authority::attempt::{self, Count};
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::issued::Issued;
use crate::authority::mail_limit::{self, CausedMail};
use crate::authority::membership::MemberStatus;
use crate::authority::resource_access::OWN_COUNTS;
use crate::authority::rights::{AccessLevel, ExternalSharing};
use crate::authority::{access, visibility};
use crate::base::attached::{self, Attached};
use crate::base::client::ClientNetwork;
use crate::base::error::{Code, Error, Refusal, Result, on_violation};
use crate::base::id::{GrantId, GrantInvitationId, OrganizationId, ResourceId, TeamId, UserId};
use crate::base::job::MailGrantInvitation;
use crate::base::limits;
use crate::base::page::{Page, PageRequest, Slice};
use crate::base::sql::{FixedSql, Prepare as _, fixed_sql, statement};
use crate::base::text::{EmailAddress, in_words};
use crate::database::schema::{grant_invitations, grants, organizations};
use crate::database::{Database, Transaction, now, rollcall_now};
use crate::membership::{collaborator, organization};
use crate::resource::grantee::{self, Found, Grantee, Named};
use crate::resource::{self, Asking, Resource};

/// A grant.
#[derive(Debug, Clone, Queryable, Selectable, QueryableByName)]
#[diesel(table_name = grants)]
pub struct Grant {
    /// The grant's id.
    pub id: GrantId,
    /// The organization to which the resource belongs.
    pub organization_id: OrganizationId,
    /// The resource.
    pub resource_id: ResourceId,
    user_id: Option<UserId>,
    team_id: Option<TeamId>,
    grantee_organization_id: Option<OrganizationId>,
    /// The level that is granted.
    pub level: AccessLevel,
    /// The user who last created or changed the grant; `None` for the platform.
    pub granted_by_id: Option<UserId>,
    /// When the grant was created.
    pub created_at: DateTime<Utc>,
    /// The name by which the grantee was given; `None` if it was an id.
    pub named_as: Option<String>,
}

impl Grant {
    /// The grantee. A constraint ensures that exactly one of the three columns is set.
    pub fn grantee(&self) -> Grantee {
        match (self.user_id, self.team_id, self.grantee_organization_id) {
            (Some(id), ..) => Grantee::User(id),
            (None, Some(id), _) => Grantee::Team(id),
            (None, None, Some(id)) => Grantee::Organization(id),
            (None, None, None) => Grantee::Organization(self.organization_id),
        }
    }
}

impl Attached for Grant {
    type Id = GrantId;
    type Parent = ResourceId;
    const TABLE: &'static str = "grants";
    const PARENT: &'static str = "resource_id";
    fn condition() -> String {
        "true".to_owned()
    }
    fn id(&self) -> GrantId {
        self.id
    }
    fn parent(&self) -> ResourceId {
        self.resource_id
    }
}

/// The result of sharing a resource.
#[derive(Debug, Clone)]
pub enum Shared {
    /// A grant was created or changed.
    Granted(Grant),
    /// The address was invited. Whoever signs in with it gets the grant.
    Invited(GrantInvitation),
}

/// Shares a resource, or changes the level of an existing grant. This requires ADMINISTER on the resource, so nobody
/// can grant more than their own level.
///
/// # Errors
///
/// NOT_FOUND, FORBIDDEN or CONFLICT on `resourceId` if the actor doesn't administer the resource; on `grantee`,
/// whatever prevents sharing with them; INVALID on `level`; TOO_MANY; RATE_LIMITED.
pub async fn share(
    database: &Database,
    actor: &Actor,
    resource_id: ResourceId,
    named: &Named,
    level: AccessLevel,
    client: ClientNetwork,
) -> Result<Shared> {
    if level == AccessLevel::None {
        return Err(Error::refused(Code::Invalid, "level", "must be VIEW or more; revoke the grant instead"));
    }
    let address = match named {
        Named::Email(email) => {
            Some(EmailAddress::parse("email", email).map_err(|refusal| refusal.within(["grantee"]))?)
        }
        _ => None,
    };
    let guesses = match named {
        Named::Username(_) | Named::OrganizationSlug(_) => 1,
        // Every address gets the same answer. Ids are counted only if they were wrong, since nobody can guess many.
        Named::Email(_) | Named::User(_) | Named::Team(_) | Named::Organization(_) => 0,
    };
    let guess = attempt::count_guesses(database, actor, client, guesses).await?;
    // Emails are counted for every address, so that the answer doesn't reveal which addresses have an account. The
    // counts are taken back if nothing is sent.
    let mails = address.clone().map(|address| CausedMail::new(address, ["grantee", "email"]));
    let mails = mail_limit::count(database, actor, client, mails.as_slice(), "grantee").await?;
    let shared = database
        .transaction(async |transaction| {
            let resource =
                resource::reach(transaction, actor, resource_id, AccessLevel::Administer, "resourceId").await?;
            let sharing = organization::external_sharing(transaction, resource.organization_id).await?;
            guess.mark_made();
            let (found, field) = grantee::find(transaction, actor, &resource, named, address.as_ref()).await?;
            if sharing == ExternalSharing::MembersOnly
                && !grantee::is_inside(transaction, actor, &resource, &found).await?
            {
                let message =
                    "the organization's policy keeps sharing inside; share with members whom you see, teams or itself";
                return Err(grantee::at_grantee(Code::Forbidden, field, message));
            }
            match found {
                Found::Grantee(grantee) => {
                    let (grant, event) = put(transaction, actor, &resource, grantee, named.word(), level).await?;
                    if let (Grantee::User(id), true) = (grantee, event.is(AuditAction::GrantCreated)) {
                        require_few_to_strangers(transaction, actor, &resource, id, field).await?;
                    }
                    audit::record(transaction, [event]).await?;
                    Ok(Shared::Granted(grant))
                }
                Found::Address(email) => {
                    let invitation = invite(transaction, actor, &resource, &email, level).await?;
                    mails.require(transaction).await?;
                    transaction.enqueue(&MailGrantInvitation { grant_invitation_id: invitation.id }).await?;
                    let event = NewEvent::by(actor, resource.organization_id, AuditAction::GrantInvited, resource.id)
                        .summary(format!("shared {} with an address", resource.kind.with_article()))
                        .with(json!({
                            "level": level.as_str(), "grantInvitationIds": [invitation.id.to_string()],
                            "resourceIds": [resource.id.to_string()],
                        }));
                    audit::record(transaction, [event]).await?;
                    Ok(Shared::Invited(invitation))
                }
            }
        })
        .await;
    let is_sent = matches!(shared, Ok(Shared::Invited(_)));
    // A refused request sends no email. If it weren't counted, somebody could repeat it for free and find out from the
    // response times whether there is an account.
    let by_id = matches!(named, Named::User(_) | Named::Organization(_));
    let asked = if guess.is_made() { address.iter().len() + usize::from(by_id) } else { 0 };
    let shared = guess.refund_if_right(mails.settle_if(is_sent, shared).await).await;
    attempt::count_refusal(database, actor, client, asked, shared).await
}

/// Counts a new grant to somebody whom the actor may not look up and who isn't a member of the resource's organization,
/// and fails with RATE_LIMITED if there are too many. A grant doesn't need the grantee's consent, and its resource
/// appears in their list.
async fn require_few_to_strangers(
    transaction: &mut Transaction,
    actor: &Actor,
    resource: &Resource,
    id: UserId,
    field: &str,
) -> Result<()> {
    if !visibility::visible_to(transaction, actor, &[id]).await?.is_empty()
        || grantee::is_inside(transaction, actor, resource, &Found::Grantee(Grantee::User(id))).await?
    {
        return Ok(());
    }
    // A platform shares as much as it likes, but not with one person.
    let by = actor.account().map(|by| Count { limit: limits::STRANGERS_GRANTS, subject: by.to_string(), number: 1 });
    let to = Count { limit: limits::GRANTS_OF_STRANGERS, subject: id.to_string(), number: 1 };
    let counts: Vec<Count> = by.into_iter().chain([to]).collect();
    let Err(over) = attempt::count_in_transaction(transaction, &counts).await? else { return Ok(()) };
    let wait = in_words(over.iter().map(|over| over.wait).max().unwrap_or_default());
    let message = match over.iter().any(|over| over.bucket == limits::STRANGERS_GRANTS.bucket) {
        true => format!(
            "you have shared as much with people whom you don't know as one may in a day; try again in {wait}, or share with an organization"
        ),
        false => format!("was given as much today as strangers may give to one person; try again in {wait}"),
    };
    Err(grantee::at_grantee(Code::RateLimited, field, message))
}

fn next_position() -> FixedSql<BigInt> {
    fixed_sql("nextval('grant_positions')")
}

/// Creates a grant, or changes the level of an existing one. A change is a new decision and therefore takes a new
/// position. The resource must be locked.
async fn put(
    transaction: &mut Transaction,
    actor: &Actor,
    resource: &Resource,
    grantee: Grantee,
    named_as: Option<String>,
    level: AccessLevel,
) -> Result<(Grant, NewEvent)> {
    let by = actor.account();
    let (user_id, team_id, organization_id) = match grantee {
        Grantee::User(id) => {
            // The membership is locked before the position is taken, so that a departure that is in progress finishes
            // first.
            let status = grantee::lock_member(transaction, resource.organization_id, id).await?;
            if status != Some(MemberStatus::Active) {
                collaborator::hold_grants(transaction, resource.organization_id, id).await?;
            }
            (Some(id), None, None)
        }
        Grantee::Team(id) => (None, Some(id), None),
        Grantee::Organization(id) => (None, None, Some(id)),
    };
    let to = match grantee {
        Grantee::User(id) => id.to_string(),
        Grantee::Team(id) => id.to_string(),
        Grantee::Organization(id) => id.to_string(),
    };
    let changed: Option<Grant> = diesel::update(
        grants::table
            .filter(grants::resource_id.eq(resource.id))
            .filter(grants::user_id.is_not_distinct_from(user_id))
            .filter(grants::team_id.is_not_distinct_from(team_id))
            .filter(grants::grantee_organization_id.is_not_distinct_from(organization_id)),
    )
    .set((
        grants::level.eq(level),
        grants::position.eq(next_position()),
        grants::granted_by_id.eq(by),
        // A grantee who was named by their id once stays known by it.
        grants::named_as.eq(diesel::dsl::sql::<Nullable<Text>>("CASE WHEN named_as IS NOT NULL THEN ")
            .bind::<Nullable<Text>, _>(&named_as)
            .sql(" END")),
    ))
    .returning(Grant::as_returning())
    .prepared()
    .get_result(&mut **transaction)
    .await
    .optional()?;
    let (grant, action, what) = match changed {
        Some(grant) => (grant, AuditAction::GrantChanged, "changed what is shared of"),
        None => {
            let all: i64 = grants::table
                .filter(grants::resource_id.eq(resource.id))
                .count()
                .get_result(&mut **transaction)
                .await?;
            if all >= limits::MAX_GRANTS {
                let message =
                    format!("this is shared with {all} already; share with a team or an organization instead");
                return Err(Error::refused(Code::TooMany, "resourceId", message));
            }
            let inserted = diesel::insert_into(grants::table)
                .values((
                    grants::id.eq(GrantId::new()),
                    grants::organization_id.eq(resource.organization_id),
                    grants::resource_id.eq(resource.id),
                    grants::user_id.eq(user_id),
                    grants::team_id.eq(team_id),
                    grants::grantee_organization_id.eq(organization_id),
                    grants::level.eq(level),
                    grants::named_as.eq(&named_as),
                    grants::granted_by_id.eq(by),
                    grants::created_at.eq(rollcall_now()),
                ))
                .returning(Grant::as_returning())
                .get_result(&mut **transaction)
                .await;
            // Everything else that creates a grant on the resource waits for its lock.
            let grant = on_violation(inserted, "grants_user_key", || {
                let message = "they are just taking up an invitation to it; try again";
                Refusal::new(Code::Conflict, "resourceId", message)
            })?;
            (grant, AuditAction::GrantCreated, "shared")
        }
    };
    let event = NewEvent::by(actor, resource.organization_id, action, grant.id)
        .summary(format!("{what} {}: {level}", resource.kind.with_article()))
        .with(json!({
            "resourceIds": [resource.id.to_string()], "grantIds": [grant.id.to_string()], "grantee": to,
            "level": level.as_str(),
        }));
    let event = match user_id {
        Some(user_id) => event.about(user_id),
        None => event,
    };
    Ok((grant, event))
}

/// Invites an email address to a resource, or changes its existing invitation. The resource must be locked.
async fn invite(
    transaction: &mut Transaction,
    actor: &Actor,
    resource: &Resource,
    email: &EmailAddress,
    level: AccessLevel,
) -> Result<GrantInvitation> {
    let by = actor.account();
    let all: i64 = grant_invitations::table
        .filter(grant_invitations::resource_id.eq(resource.id))
        .filter(grant_invitations::email.ne(email))
        .filter(Issued::GrantInvitation.stands())
        .count()
        .get_result(&mut **transaction)
        .await?;
    if all >= limits::MAX_GRANT_INVITATIONS {
        let message = format!("{all} addresses are invited to this already; take back those that nobody answers");
        return Err(Error::refused(Code::TooMany, "resourceId", message));
    }
    let of_address: i64 = grant_invitations::table
        .filter(grant_invitations::email.eq(email))
        .filter(grant_invitations::organization_id.eq(resource.organization_id))
        .filter(grant_invitations::resource_id.ne(resource.id))
        .filter(grant_invitations::expires_at.gt(rollcall_now()))
        .filter(Issued::GrantInvitation.stands())
        .count()
        .get_result(&mut **transaction)
        .await?;
    if of_address >= limits::MAX_GRANT_INVITATIONS_OF_ADDRESS {
        let message = "this address has as many invitations to the organization's resources as one may have; share more once it has an account";
        return Err(grantee::at_grantee(Code::TooMany, "email", message));
    }
    let days: i32 = organizations::table
        .find(resource.organization_id)
        .select(organizations::invitation_days)
        .first(&mut **transaction)
        .await?;
    let at = now(transaction).await?;
    let expires_at = at + TimeDelta::days(days.into());
    let values = || {
        (
            grant_invitations::level.eq(level),
            grant_invitations::invited_by_id.eq(by),
            grant_invitations::created_at.eq(at),
            grant_invitations::expires_at.eq(expires_at),
            grant_invitations::position.eq(next_position()),
        )
    };
    Ok(diesel::insert_into(grant_invitations::table)
        .values((
            grant_invitations::id.eq(GrantInvitationId::new()),
            grant_invitations::organization_id.eq(resource.organization_id),
            grant_invitations::resource_id.eq(resource.id),
            grant_invitations::email.eq(email),
            values(),
        ))
        .on_conflict((grant_invitations::resource_id, grant_invitations::email))
        .do_update()
        .set(values())
        .returning(GrantInvitation::as_returning())
        .get_result(&mut **transaction)
        .await?)
}

/// Revokes a grant. Whoever administers the resource may do so, and so may the grantee. A collaborator whose last grant
/// in the organization this was leaves its teams.
///
/// # Errors
///
/// NOT_FOUND, FORBIDDEN or CONFLICT on `grantId` if the actor may not revoke the grant.
pub async fn revoke(database: &Database, actor: &Actor, id: GrantId) -> Result<GrantId> {
    access::require_writing(actor, "grantId")?;
    let not_found = || Refusal::new(Code::NotFound, "grantId", "there is no such grant");
    database
        .transaction(async |transaction| {
            let asking = Asking::to_change(actor, "grantId")?;
            let grant = seen_by(transaction, &asking, actor, &[id]).await?.pop().ok_or_else(not_found)?;
            if !grant.user_id.is_some_and(|grantee| actor.is(grantee)) {
                resource::reach(transaction, actor, grant.resource_id, AccessLevel::Administer, "grantId").await?;
            }
            let deleted = diesel::delete(grants::table.find(id)).execute(&mut **transaction).await?;
            if deleted == 0 {
                return Err(not_found().into());
            }
            let organization_id = grant.organization_id;
            let event = NewEvent::by(actor, organization_id, AuditAction::GrantRevoked, id)
                .summary("what was shared isn't any more")
                .with(json!({
                    "resourceIds": [grant.resource_id.to_string()], "grantIds": [id.to_string()],
                    "level": grant.level.as_str(),
                }));
            let event = match grant.user_id {
                Some(user_id) => event.about(user_id),
                None => event,
            };
            let grantee = grant.user_id.as_slice();
            let left = collaborator::leave_teams(transaction, organization_id, grantee).await?;
            audit::record(transaction, [event].into_iter().chain(left)).await?;
            Ok(id)
        })
        .await
}

/// Revokes an email address's invitation to a resource. This requires ADMINISTER on the resource.
///
/// # Errors
///
/// NOT_FOUND, FORBIDDEN or CONFLICT on `id` if the actor may not revoke the invitation.
pub async fn revoke_invitation(database: &Database, actor: &Actor, id: GrantInvitationId) -> Result<GrantInvitationId> {
    let not_found = || Refusal::new(Code::NotFound, "id", "there is no such invitation to a resource");
    database
        .transaction(async |transaction| {
            let asking = Asking::to_change(actor, "id")?;
            let found = invitations_seen_by(transaction, &asking, &[id]).await?.pop().ok_or_else(not_found)?;
            resource::reach(transaction, actor, found.resource_id, AccessLevel::Administer, "id").await?;
            let deleted = diesel::delete(grant_invitations::table.find(id)).execute(&mut **transaction).await?;
            if deleted == 0 {
                return Err(not_found().into());
            }
            let event = NewEvent::by(actor, found.organization_id, AuditAction::GrantInvitationRevoked, id)
                .summary("took an invitation to a resource back")
                .with(
                    json!({ "resourceIds": [found.resource_id.to_string()], "grantInvitationIds": [id.to_string()] }),
                );
            audit::record(transaction, [event]).await?;
            Ok(id)
        })
        .await
}

/// Clears the names by which a deleted account was given, such as its email address.
pub(crate) async fn forget_names(transaction: &mut Transaction, user_id: UserId) -> Result<()> {
    diesel::update(grants::table.filter(grants::user_id.eq(user_id)))
        .set(grants::named_as.eq(None::<String>))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Returns those of the grants that the actor may see: grants on what they administer, and grants to themselves as long
/// as they count.
pub async fn visible_to(connection: &mut AsyncPgConnection, actor: &Actor, ids: &[GrantId]) -> Result<Vec<Grant>> {
    seen_by(connection, &Asking::to_read(actor), actor, ids).await
}

async fn seen_by(
    connection: &mut AsyncPgConnection,
    asking: &Asking<'_>,
    actor: &Actor,
    ids: &[GrantId],
) -> Result<Vec<Grant>> {
    let found: Vec<Grant> =
        grants::table.filter(grants::id.eq_any(ids)).select(Grant::as_select()).load(connection).await?;
    let needed = |grant: &Grant| match grant.user_id.is_some_and(|grantee| actor.is(grantee)) {
        true => AccessLevel::View,
        false => AccessLevel::Administer,
    };
    resource::within_reach(connection, asking, found, needed).await
}

/// Returns those of the invitations that the actor may see: invitations to what they administer.
pub async fn invitations_visible_to(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    ids: &[GrantInvitationId],
) -> Result<Vec<GrantInvitation>> {
    invitations_seen_by(connection, &Asking::to_read(actor), ids).await
}

async fn invitations_seen_by(
    connection: &mut AsyncPgConnection,
    asking: &Asking<'_>,
    ids: &[GrantInvitationId],
) -> Result<Vec<GrantInvitation>> {
    let found: Vec<GrantInvitation> = grant_invitations::table
        .filter(grant_invitations::id.eq_any(ids))
        .filter(grant_invitations::expires_at.gt(rollcall_now()))
        .filter(Issued::GrantInvitation.stands())
        .select(GrantInvitation::as_select())
        .load(connection)
        .await?;
    resource::within_reach(connection, asking, found, |_| AccessLevel::Administer).await
}

/// Returns a page of the grants on each of the resources, oldest first, and how many there are. The caller has checked
/// that the actor administers the resources.
pub async fn of_resources(
    connection: &mut AsyncPgConnection,
    ids: &[ResourceId],
    page: &PageRequest,
    with_count: bool,
) -> Result<HashMap<ResourceId, (Page<Grant>, i64)>> {
    attached::to(connection, ids, page, with_count).await
}

/// Returns a page of the open invitations to each of the resources, like [`of_resources`].
pub async fn invitations_of_resources(
    connection: &mut AsyncPgConnection,
    ids: &[ResourceId],
    page: &PageRequest,
    with_count: bool,
) -> Result<HashMap<ResourceId, (Page<GrantInvitation>, i64)>> {
    attached::to(connection, ids, page, with_count).await
}

statement! {
    struct GrantsOfCollaborators<'a> {
        organizations: Array<SqlUuid> = &'a [OrganizationId],
        users: Array<SqlUuid> = &'a [UserId],
        after: Nullable<SqlUuid> = Option<GrantId>,
        most: BigInt = i64,
    } = format!(include_str!("grants_of_collaborators.sql"), own_counts = OWN_COUNTS)
}

statement! {
    struct CountGrantsOfCollaborators<'a> {
        organizations: Array<SqlUuid> = &'a [OrganizationId],
        users: Array<SqlUuid> = &'a [UserId],
    } = format!(include_str!("count_grants_of_collaborators.sql"), own_counts = OWN_COUNTS)
}

/// Returns a page of the grants by which each of the collaborators reaches something, oldest first, and how many there
/// are: those to themselves, and those to teams that they are in. The caller has checked that the actor leads the
/// organizations.
pub async fn of_collaborators(
    connection: &mut AsyncPgConnection,
    people: &[(OrganizationId, UserId)],
    page: &PageRequest,
    with_count: bool,
) -> Result<HashMap<(OrganizationId, UserId), (Page<Grant>, i64)>> {
    #[derive(QueryableByName)]
    struct HeldGrant {
        #[diesel(sql_type = SqlUuid)]
        holder_id: UserId,
        #[diesel(embed)]
        grant: Grant,
    }
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = SqlUuid)]
        organization_id: OrganizationId,
        #[diesel(sql_type = SqlUuid)]
        user_id: UserId,
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let slice: Slice<GrantId> = page.slice()?;
    let (organizations, users): (Vec<OrganizationId>, Vec<UserId>) = people.iter().copied().unzip();
    let (organizations, users) = (organizations.as_slice(), users.as_slice());
    let asked = GrantsOfCollaborators { organizations, users, after: slice.after, most: slice.fetch() };
    let rows: Vec<HeldGrant> = asked.query().load(connection).await?;
    let counts: Vec<Count> = match with_count {
        false => Vec::new(),
        true => CountGrantsOfCollaborators { organizations, users }.query().load(connection).await?,
    };
    let counts: HashMap<_, i64> =
        counts.into_iter().map(|row| ((row.organization_id, row.user_id), row.count)).collect();
    let mut found: HashMap<_, Vec<Grant>> = HashMap::new();
    for HeldGrant { holder_id, grant } in rows {
        found.entry((grant.organization_id, holder_id)).or_default().push(grant);
    }
    people
        .iter()
        .map(|key| {
            let page = slice.page(found.remove(key).unwrap_or_default(), |grant| grant.id)?;
            Ok((*key, (page, counts.get(key).copied().unwrap_or_default())))
        })
        .collect()
}
