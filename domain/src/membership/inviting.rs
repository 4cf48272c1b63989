//! Inviting people, reminding them, and resending and revoking invitations.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::future::join_all;
use futures_util::join;
use serde_json::json;

use crate::account::user::{self, User};
use crate::authority::access::{self, Lock, Permit, WritePermit};
use crate::authority::actor::Actor;
use crate::authority::attempt;
use crate::authority::audit::{self, AuditAction, NewEvent, in_log};
use crate::authority::issued::Issued;
use crate::authority::mail_limit::{self, CausedMail};
use crate::authority::membership::MemberStatus;
use crate::authority::permissions::PermissionsInput;
use crate::authority::platform::PlatformScope;
use crate::authority::rights::{Action, Role};
use crate::base::client::ClientNetwork;
use crate::base::delivery::DeliveryStatus;
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{InvitationId, OrganizationId, TeamId, UserId};
use crate::base::job::{ExpireInvitation, MailInvitation, MailInvitationReminder};
use crate::base::limits;
use crate::base::sql::Prepare as _;
use crate::base::text::{self, EmailAddress, Username};
use crate::database::schema::{invitations, members, users};
use crate::database::{Database, Transaction, now, rollcall_now};
use crate::membership::invitation::{self, Invitation, InvitationStatus};
use crate::membership::invitation_grants::{self, Grantable, InvitedGrant};
use crate::membership::seats::{self, Seats};
use crate::membership::{organization, team};

/// A person to invite, by either email address or username.
#[derive(Debug, Clone)]
pub struct Invite {
    /// The email address.
    pub email: Option<String>,
    /// The username of an account.
    pub username: Option<String>,
    /// The name that the inviter gives the person.
    pub name: Option<String>,
    /// The role to give.
    pub role: Role,
    /// The permissions to give.
    pub permissions: PermissionsInput,
    /// The teams that the person joins by accepting.
    pub team_ids: Vec<TeamId>,
    /// What is granted with the membership.
    pub grants: Vec<InvitedGrant>,
}

#[derive(PartialEq, Eq, Hash, Clone)]
enum Invitee {
    Email(EmailAddress),
    Username(Username),
}

struct Parsed {
    invitee: Invitee,
    name: Option<String>,
    role: Role,
    permissions: PermissionsInput,
    team_ids: Vec<TeamId>,
    grants: Vec<InvitedGrant>,
}

impl Invite {
    fn parse(&self) -> Result<Parsed, Refusal> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        let invitee = match (given(&self.email), given(&self.username)) {
            (Some(email), None) => Invitee::Email(EmailAddress::parse("email", &email)?),
            (None, Some(username)) => Invitee::Username(Username::parse("username", &username)?),
            (Some(_), Some(_)) => {
                return Err(Refusal::new(Code::Invalid, "email", "name an email address or a username, not both"));
            }
            (None, None) => return Err(Refusal::new(Code::Blank, "email", "name an email address or a username")),
        };
        let name = text::optional_name("name", self.name.as_deref(), limits::NAME)?;
        if self.role == Role::Owner {
            return Err(Refusal::new(
                Code::Forbidden,
                "role",
                "nobody is invited as owner; ownership passes by a transfer",
            ));
        }
        if self.team_ids.len() > limits::MAX_INVITATION_TEAMS {
            let message = format!("must be at most {}", limits::MAX_INVITATION_TEAMS);
            return Err(Refusal::new(Code::TooMany, "teamIds", message));
        }
        invitation_grants::check(&self.grants)?;
        Ok(Parsed {
            invitee,
            name,
            role: self.role,
            permissions: self.permissions,
            team_ids: self.team_ids.clone(),
            grants: self.grants.clone(),
        })
    }
}

/// Gives a refusal the path of an entry in the list of invitations.
fn at(position: usize) -> impl Fn(Refusal) -> Refusal {
    move |refusal| refusal.within(["invitations", &position.to_string()])
}

/// Who tells people that they are invited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// An email, and a reminder before the invitation expires.
    Mail,
    /// The platform, which hands out the links itself.
    Platform,
}

/// Invites one to fifty people, all or none. If the delivery is by mail, each gets an email, which shows the message.
/// For platform keys with MEMBERS_WRITE, the platform may deliver the links itself.
///
/// # Errors
///
/// FORBIDDEN on `sendMail` for everybody else who wants no mail; TOO_LONG or INVALID for the message; BLANK or TOO_MANY
/// for no or too many people; FORBIDDEN if the actor may not invite, or not for the role that they give; for each
/// person, whatever prevents inviting them; SEAT_LIMIT; RATE_LIMITED.
pub async fn invite(
    database: &Database,
    actor: &Actor,
    organization_id: OrganizationId,
    invites: &[Invite],
    message: Option<&str>,
    delivery: Delivery,
    client: ClientNetwork,
) -> Result<Vec<Invitation>> {
    if delivery == Delivery::Platform {
        actor.require_scope(PlatformScope::MembersWrite, "sendMail")?;
    }
    let message = text::optional_message("message", message, limits::INVITATION_MESSAGE)?;
    if invites.is_empty() {
        return Err(Error::refused(Code::Blank, "invitations", "name at least one person"));
    }
    if invites.len() > limits::MAX_INVITATIONS {
        return Err(Error::refused(
            Code::TooMany,
            "invitations",
            format!("must be at most {} at once", limits::MAX_INVITATIONS),
        ));
    }
    let mut parsed = Vec::new();
    let mut refusals = Vec::new();
    let mut seen = HashSet::new();
    for (position, invite) in invites.iter().enumerate() {
        match invite.parse() {
            Ok(invite) if seen.insert(invite.invitee.clone()) => parsed.push(invite),
            Ok(invite) => {
                refusals.push(at(position)(Refusal::new(
                    Code::AlreadyInvited,
                    field_of(&invite.invitee),
                    "named twice in this list",
                )));
            }
            Err(refusal) => refusals.push(at(position)(refusal)),
        }
    }
    if !refusals.is_empty() {
        return Err(Error::Refused(refusals));
    }
    // The answer reveals which usernames don't exist.
    let guesses = attempt::count_guesses(database, actor, client, usernames_of(&parsed).len()).await?;
    let mails = match delivery {
        Delivery::Mail => mails_to(database, &parsed).await?,
        Delivery::Platform => Vec::new(),
    };
    let mails = mail_limit::count(database, actor, client, &mails, "invitations").await?;
    let made = database
        .transaction(async |transaction| {
            // The accounts are locked, so that nobody is invited by username while they are deleting their account. In
            // the order of locks, users come before organizations.
            let named = named_accounts(transaction, &parsed).await?;
            access::lock_users(transaction, &named).await?;
            let permit = access::authorize(
                transaction,
                actor,
                organization_id,
                Lock::Organization,
                Action::Invite,
                "organizationId",
            )
            .await?;
            guesses.mark_made();
            let (accounts, few, seats, organization, created_at) = {
                let transaction = &*transaction;
                join!(
                    accounts_of(transaction, &parsed),
                    require_few_open(transaction, organization_id, parsed.len()),
                    seats::require_seats(transaction, organization_id, Seats::More(parsed.len()), "invitations"),
                    organization::by_id(transaction, organization_id),
                    now(transaction),
                )
            };
            let (accounts, organization, created_at) = (accounts?, organization?, created_at?);
            let (refused, mails_left) = {
                let transaction = &*transaction;
                join!(refuse(transaction, &permit, &parsed, &accounts), mails.require(transaction))
            };
            let (mut refusals, over) = refused?;
            let named = parsed.iter().flat_map(|invite| &invite.grants);
            let grantable = Grantable::read(transaction, &permit, named).await?;
            let refused = parsed
                .iter()
                .enumerate()
                .flat_map(|(position, invite)| grantable.refusals(&invite.grants).into_iter().map(at(position)));
            refusals.extend(refused);
            if !refusals.is_empty() {
                return Err(Error::Refused(refusals));
            }
            few?;
            seats?;
            mails_left?;
            let mut events = invitation::mark_over(transaction, &over).await?;
            let expires_at = created_at + chrono::Duration::days(i64::from(organization.invitation_days));
            let status = match delivery {
                Delivery::Mail => DeliveryStatus::Queued,
                Delivery::Platform => DeliveryStatus::Sent,
            };
            let inserts = parsed.iter().map(|invite| {
                let permissions = invite.permissions.or(organization.default_permissions.into());
                let (email, user_id) = match &invite.invitee {
                    Invitee::Email(email) => (Some(email), None),
                    Invitee::Username(_) => (None, account_of(&accounts, &invite.invitee).map(|user| user.id)),
                };
                let row = (
                    invitations::id.eq(InvitationId::new()),
                    invitations::organization_id.eq(organization_id),
                    invitations::email.eq(email),
                    invitations::user_id.eq(user_id),
                    invitations::name.eq(invite.name.as_deref()),
                    invitations::message.eq(message.as_deref()),
                    invitations::role.eq(invite.role),
                    invitations::billable_activities.eq(permissions.billable_activities),
                    invitations::shared_apps.eq(permissions.shared_apps),
                    invitations::shared_projects.eq(permissions.shared_projects),
                    invitations::invited_by_id.eq(permit.user_id()),
                    invitations::created_at.eq(created_at),
                    invitations::sent_at.eq(created_at),
                    invitations::expires_at.eq(expires_at),
                    invitations::delivery.eq(status),
                );
                let transaction = &*transaction;
                async move {
                    let insert = diesel::insert_into(invitations::table).values(row);
                    insert.returning(Invitation::as_returning()).get_result(&mut &**transaction).await
                }
            });
            // Single inserts share one prepared statement, and they are sent together.
            let made = join_all(inserts).await;
            let made: Vec<Invitation> = made.into_iter().collect::<diesel::QueryResult<_>>()?;
            let pairs: Vec<(InvitationId, TeamId)> = made
                .iter()
                .zip(&parsed)
                .flat_map(|(invitation, invite)| invite.team_ids.iter().map(|team_id| (invitation.id, *team_id)))
                .collect();
            let granting: Vec<(InvitationId, &[InvitedGrant])> = made
                .iter()
                .zip(&parsed)
                .map(|(invitation, invite)| (invitation.id, invite.grants.as_slice()))
                .collect();
            events.extend(made.iter().zip(&parsed).map(|(invitation, invite)| {
                let event = NewEvent::by(actor, organization_id, AuditAction::MemberInvited, invitation.id)
                    .summary(format!("invited someone as {}", invitation.role))
                    .with(json!({ "role": invitation.role.as_str() }));
                // The account of an address isn't looked up; whoever is invited by their username is known.
                let event = match invitation.user_id {
                    Some(user_id) => event.about(user_id),
                    None => event,
                };
                let event = match invite.team_ids.is_empty() {
                    true => event,
                    false => event.with(json!({ "teamIds": in_log(&invite.team_ids) })),
                };
                match invite.grants.is_empty() {
                    true => event,
                    false => event.with(json!({ "grants": invitation_grants::in_log(&invite.grants) })),
                }
            }));
            let mailed: &[Invitation] = match delivery {
                Delivery::Mail => &made,
                Delivery::Platform => &[],
            };
            let mails: Vec<_> = mailed
                .iter()
                .map(|invitation| MailInvitation {
                    invitation_id: invitation.id,
                    token_version: invitation.token_version,
                })
                .collect();
            let expiries: Vec<_> =
                made.iter().map(|invitation| ExpireInvitation { invitation_id: invitation.id }).collect();
            let transaction = &*transaction;
            let (teams, granted, mailed, expiring, reminding, recorded) = join!(
                team::invite_into(transaction, organization_id, &pairs),
                invitation_grants::add(transaction, organization_id, &granting),
                transaction.enqueue_all(&mails),
                transaction.enqueue_all_at(&expiries, expires_at),
                remind(transaction, mailed, created_at, expires_at),
                audit::record(transaction, events),
            );
            teams.and(granted).and(mailed).and(expiring).and(reminding).and(recorded)?;
            Ok(made)
        })
        .await;
    let made = mails.settle(made).await;
    let (unknown, tells_of_recipients) = match &made {
        Err(Error::Refused(refusals)) => (
            refusals.iter().filter(|refusal| refusal.code == Code::NotFound && refusal.is_on("username")).count(),
            refusals.iter().any(|refusal| refusal.code == Code::RateLimited && !refusal.is_on("invitations")),
        ),
        Ok(_) | Err(_) => (0, false),
    };
    guesses.refund_all_but(unknown).await;
    // The refusal says which recipients have had many emails, although nothing was sent. It could reveal the address of
    // somebody who was invited by username, so it counts as guesses.
    let asked = if tells_of_recipients { parsed.len() } else { 0 };
    attempt::count_refusal(database, actor, client, asked, made).await
}

/// The emails that the invitations cause. An invitation by an unknown username causes none.
async fn mails_to(database: &Database, parsed: &[Parsed]) -> Result<Vec<CausedMail>> {
    let usernames = usernames_of(parsed);
    let mut addresses: HashMap<Username, Option<EmailAddress>> = HashMap::new();
    if !usernames.is_empty() {
        let found = users::table
            .filter(users::username.eq_any(usernames))
            .select((users::username, users::email))
            .load(&mut *database.connection().await?)
            .await?;
        addresses.extend::<Vec<_>>(found);
    }
    let mail = |(position, invite): (usize, &Parsed)| {
        let to = match &invite.invitee {
            Invitee::Email(email) => Some(email),
            Invitee::Username(username) => addresses.get(username).and_then(Option::as_ref),
        };
        Some(CausedMail::new(to?.clone(), ["invitations", &position.to_string(), field_of(&invite.invitee)]))
    };
    Ok(parsed.iter().enumerate().filter_map(mail).collect())
}

/// Schedules reminders before the invitations expire, unless a reminder would be sent at the same time as the
/// invitation.
async fn remind(
    transaction: &Transaction,
    invitations: &[Invitation],
    sent_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<()> {
    let at = expires_at - limits::INVITATION_REMINDER;
    if at <= sent_at {
        return Ok(());
    }
    let reminders: Vec<_> = invitations
        .iter()
        .map(|invitation| MailInvitationReminder {
            invitation_id: invitation.id,
            token_version: invitation.token_version,
        })
        .collect();
    transaction.enqueue_all_at(&reminders, at).await
}

/// The usernames of those who are invited by username.
fn usernames_of(parsed: &[Parsed]) -> Vec<&Username> {
    let mut usernames = Vec::new();
    for invite in parsed {
        match &invite.invitee {
            Invitee::Username(username) => usernames.push(username),
            Invitee::Email(_) => {}
        }
    }
    usernames
}

fn field_of(invitee: &Invitee) -> &'static str {
    match invitee {
        Invitee::Email(_) => "email",
        Invitee::Username(_) => "username",
    }
}

/// The accounts of those who are invited by username.
async fn named_accounts(transaction: &mut Transaction, parsed: &[Parsed]) -> Result<Vec<UserId>> {
    let usernames = usernames_of(parsed);
    if usernames.is_empty() {
        return Ok(Vec::new());
    }
    Ok(users::table.filter(users::username.eq_any(usernames)).select(users::id).load(&mut **transaction).await?)
}

/// The accounts of everybody who is invited, by address or username.
async fn accounts_of(transaction: &Transaction, parsed: &[Parsed]) -> Result<Vec<User>> {
    let mut emails = Vec::new();
    let mut usernames = Vec::new();
    for invite in parsed {
        match &invite.invitee {
            Invitee::Email(email) => emails.push(email.clone()),
            Invitee::Username(username) => usernames.push(username.clone()),
        }
    }
    Ok(users::table
        .filter(users::email.eq_any(emails).or(users::username.eq_any(usernames)))
        .select(User::as_select())
        .load(&mut &**transaction)
        .await?)
}

fn account_of<'a>(accounts: &'a [User], invitee: &Invitee) -> Option<&'a User> {
    accounts.iter().find(|user| match invitee {
        Invitee::Email(email) => user.email.as_ref() == Some(email),
        Invitee::Username(username) => user.username == *username,
    })
}

/// The addresses and users by which earlier invitations to the same people are found. Each person is matched only in
/// the way in which they are named: whoever invites by username doesn't learn which address belongs to whom (R25).
fn to_same(parsed: &[Parsed], accounts: &[User]) -> (Vec<EmailAddress>, Vec<UserId>) {
    let (mut emails, mut user_ids) = (Vec::new(), Vec::new());
    for Parsed { invitee, .. } in parsed {
        match invitee {
            Invitee::Email(email) => emails.push(email.clone()),
            Invitee::Username(_) => user_ids.extend(account_of(accounts, invitee).map(|user| user.id)),
        }
    }
    (emails, user_ids)
}

/// Fails with TOO_MANY if too many invitations would be open. The organization must be locked.
async fn require_few_open(transaction: &Transaction, organization_id: OrganizationId, more: usize) -> Result<()> {
    let open: i64 =
        invitation::open_of(organization_id).select(diesel::dsl::count_star()).first(&mut &**transaction).await?;
    if open.saturating_add(i64::try_from(more).unwrap_or(i64::MAX)) <= limits::MAX_OPEN_INVITATIONS {
        return Ok(());
    }
    let message = format!(
        "{open} invitations are open, and at most {} may be; revoke those that nobody answers, or wait until they expire",
        limits::MAX_OPEN_INVITATIONS
    );
    Err(Error::refused(Code::TooMany, "invitations", message))
}

/// Returns all refusals of the invitations, and the earlier invitations to the same people that have expired or ended.
/// These are to be marked, so that they don't stand in the way of new ones even if the worker hasn't run yet.
async fn refuse(
    transaction: &Transaction,
    permit: &Permit,
    parsed: &[Parsed],
    accounts: &[User],
) -> Result<(Vec<Refusal>, Vec<InvitationId>)> {
    let organization_id = permit.organization_id();
    let team_ids: Vec<TeamId> = parsed.iter().flat_map(|invite| invite.team_ids.iter().copied()).collect();
    let (active, pending, teams) = join!(
        active_among(transaction, organization_id, accounts),
        pending_among(transaction, organization_id, parsed, accounts),
        team::in_organization(transaction, organization_id, &team_ids),
    );
    let (active, pending, teams) = (active?, pending?, teams?);
    let (over, pending): (Vec<_>, Vec<_>) = pending.into_iter().partition(|pending| pending.is_over);
    let over: Vec<InvitationId> = over.into_iter().map(|pending| pending.id).collect();
    let mut refusals = Vec::new();
    for (position, invite) in parsed.iter().enumerate() {
        let unknown = invite.team_ids.iter().enumerate().filter(|(_, id)| !teams.contains(id));
        refusals.extend(unknown.map(|(of_team, _)| {
            let refusal = Refusal::new(Code::NotFound, &of_team.to_string(), "there is no such team here");
            at(position)(refusal.within(["teamIds"]))
        }));
        let field = field_of(&invite.invitee);
        let account = account_of(accounts, &invite.invitee);
        let mut say =
            |code, field: &str, message: &str| refusals.push(at(position)(Refusal::new(code, field, message)));
        if !permit.standing().may_issue(invite.role) {
            say(Code::Forbidden, "role", "your role here doesn't allow inviting with this role");
        }
        // A person is matched only as they are named. Otherwise the inviter could try addresses until one turns out to
        // be that of a username that they have invited (R25). Somebody who is invited in both ways still takes only one
        // seat.
        let is_pending = pending.iter().any(|pending| match &invite.invitee {
            Invitee::Email(named) => pending.email.as_ref() == Some(named),
            Invitee::Username(_) => pending.user_id.is_some() && pending.user_id == account.map(|user| user.id),
        });
        match (&invite.invitee, account) {
            (Invitee::Username(_), None) => say(Code::NotFound, field, "there is no account with this username"),
            (_, Some(user)) if active.contains(&user.id) => {
                say(Code::AlreadyMember, field, "belongs to the organization already")
            }
            _ if is_pending => say(Code::AlreadyInvited, field, "has an open invitation; resend or revoke that one"),
            _ => {}
        }
    }
    Ok((refusals, over))
}

/// The accounts that are active members.
async fn active_among(
    transaction: &Transaction,
    organization_id: OrganizationId,
    accounts: &[User],
) -> Result<HashSet<UserId>> {
    if accounts.is_empty() {
        return Ok(HashSet::new());
    }
    let active: Vec<UserId> = members::table
        .filter(members::organization_id.eq(organization_id))
        .filter(members::user_id.eq_any(accounts.iter().map(|user| user.id)))
        .filter(members::status.eq(MemberStatus::Active))
        .select(members::user_id)
        .load(&mut &**transaction)
        .await?;
    Ok(active.into_iter().collect())
}

/// An invitation whose row is pending.
#[derive(Queryable)]
struct PendingInvitation {
    id: InvitationId,
    email: Option<EmailAddress>,
    user_id: Option<UserId>,
    /// Whether it has expired or ended but isn't marked yet.
    is_over: bool,
}

/// The pending invitations to the same people, each matched as the person is named.
async fn pending_among(
    transaction: &Transaction,
    organization_id: OrganizationId,
    parsed: &[Parsed],
    accounts: &[User],
) -> Result<Vec<PendingInvitation>> {
    let (emails, user_ids) = to_same(parsed, accounts);
    Ok(invitations::table
        .filter(invitations::organization_id.eq(organization_id))
        .filter(invitations::status.eq(InvitationStatus::Pending))
        .filter(invitations::email.eq_any(emails).or(invitations::user_id.eq_any(user_ids)))
        .select((
            invitations::id,
            invitations::email,
            invitations::user_id,
            invitations::expires_at.le(rollcall_now()).or(Issued::Invitation.has_ended()),
        ))
        .load(&mut &**transaction)
        .await?)
}

/// Locks an invitation and its organization for somebody who may invite; otherwise the refusal is NOT_FOUND.
async fn enter(transaction: &mut Transaction, actor: &Actor, id: InvitationId) -> Result<(WritePermit, Invitation)> {
    access::require_writing(actor, "id")?;
    let not_found = || Refusal::new(Code::NotFound, "id", "there is no such invitation");
    let found = invitation::by_id(transaction, id).await?.ok_or_else(not_found)?;
    let permit = access::enter(transaction, actor, found.organization_id, Lock::Organization, not_found()).await?;
    permit.require_or(Action::Invite, "id", not_found())?;
    // Answers and expiries don't lock the organization; the lock on the invitation's row keeps them out.
    let invitation: Option<Invitation> = invitations::table
        .find(id)
        .select(Invitation::as_select())
        .for_no_key_update()
        .first(&mut **transaction)
        .await
        .optional()?;
    let invitation = invitation.ok_or_else(not_found)?;
    if !permit.standing().may_issue(invitation.role) {
        return Err(Error::refused(
            Code::Forbidden,
            "id",
            "your role here doesn't allow issuing this invitation's role",
        ));
    }
    Ok((permit, invitation))
}

/// Sends an open invitation again, with a new token and a new expiry. The old link stops working (R23).
///
/// # Errors
///
/// NOT_FOUND or FORBIDDEN if the actor may not send the invitation; the reason if it isn't open any more; RATE_LIMITED.
pub async fn resend(database: &Database, actor: &Actor, id: InvitationId, client: ClientNetwork) -> Result<Invitation> {
    let recipient = recipient(&mut *database.connection().await?, id).await?;
    let mails: Vec<CausedMail> = recipient.map(|email| CausedMail::new(email, ["id"])).into_iter().collect();
    let mails = mail_limit::count(database, actor, client, &mails, "id").await?;
    let sent = database
        .transaction(async |transaction| {
            let (_, invitation) = enter(transaction, actor, id).await?;
            let at = now(transaction).await?;
            if let Some(refusal) = invitation::why_closed(&invitation, at, "id") {
                return Err(refusal.into());
            }
            mails.require(transaction).await?;
            let organization = organization::by_id(transaction, invitation.organization_id).await?;
            let expires_at = at + chrono::Duration::days(i64::from(organization.invitation_days));
            let invitation: Invitation = diesel::update(invitations::table.find(id))
                .set((
                    invitations::token_version.eq(invitations::token_version + 1),
                    invitations::delivery.eq(DeliveryStatus::Queued),
                    invitations::delivery_error.eq(None::<String>),
                    invitations::sent_at.eq(at),
                    invitations::expires_at.eq(expires_at),
                ))
                .returning(Invitation::as_returning())
                .prepared()
                .get_result(&mut **transaction)
                .await?;
            transaction.enqueue(&MailInvitation { invitation_id: id, token_version: invitation.token_version }).await?;
            transaction.enqueue_at(&ExpireInvitation { invitation_id: id }, expires_at).await?;
            remind(transaction, std::slice::from_ref(&invitation), at, expires_at).await?;
            let event = NewEvent::by(actor, invitation.organization_id, AuditAction::InvitationResent, id)
                .summary("sent an invitation again, under a new link");
            audit::record(transaction, [event]).await?;
            Ok(invitation)
        })
        .await;
    mails.settle(sent).await
}

/// The address to which an invitation's emails are sent; `None` if there is no such invitation, or if its account is
/// deleted.
async fn recipient(connection: &mut AsyncPgConnection, id: InvitationId) -> Result<Option<EmailAddress>> {
    match invitation::by_id(connection, id).await? {
        Some(Invitation { email: Some(email), .. }) => Ok(Some(email)),
        Some(Invitation { user_id: Some(user_id), .. }) => Ok(user::by_id(connection, user_id).await?.email),
        _ => Ok(None),
    }
}

/// Revokes an open invitation.
///
/// # Errors
///
/// NOT_FOUND or FORBIDDEN if the actor may not revoke the invitation; the reason if it isn't open any more.
pub async fn revoke(database: &Database, actor: &Actor, id: InvitationId) -> Result<Invitation> {
    database
        .transaction(async |transaction| {
            let (_, invitation) = enter(transaction, actor, id).await?;
            let at = now(transaction).await?;
            if let Some(refusal) = invitation::why_closed(&invitation, at, "id") {
                return Err(refusal.into());
            }
            let invitation: Invitation = diesel::update(invitations::table.find(id))
                .set(invitations::status.eq(InvitationStatus::Revoked))
                .returning(Invitation::as_returning())
                .prepared()
                .get_result(&mut **transaction)
                .await?;
            let event = NewEvent::by(actor, invitation.organization_id, AuditAction::InvitationRevoked, id)
                .summary("took an invitation back");
            audit::record(transaction, [event]).await?;
            Ok(invitation)
        })
        .await
}
