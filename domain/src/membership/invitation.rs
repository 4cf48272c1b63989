//! Invitations: by address or username, with a role, for some days; the mail is a pre-registration (R16–R25).

use std::collections::{HashMap, HashSet};

use apalis_diesel::Job;
use chrono::{DateTime, Utc};
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;

use crate::account::new_account::{self, NewUser};
use crate::account::session::{self, NewSession};
use crate::account::suspension;
use crate::account::user::{self, User};
use crate::authority::access::{self, Lock, Permit};
use crate::authority::actor::Actor;
use crate::authority::attempt::{self, Tries};
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::issued::Issued;
use crate::authority::mail_limit::{self, CausedMail};
use crate::authority::membership::{JoinMethod, MemberStatus};
use crate::authority::permissions::{Permissions, PermissionsInput};
use crate::authority::policy::{AccessLevel, Action, MemberDirectory, Role};
use crate::base::client::ClientNetwork;
use crate::base::delivery::DeliveryStatus;
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{InvitationId, MemberId, OrganizationId, SessionId, TeamId, TypedId, UserId};
use crate::base::job::{ExpireInvitation, Hold, MailInvitation, MailInvitationAccepted, MailInvitationReminder};
use crate::base::limits;
use crate::base::page::{Page, PageRequest, by_id};
use crate::base::secret::{Purpose, Token};
use crate::base::text::{self, EmailAddress, Username};
use crate::base::text_enum::text_enum;
use crate::database::schema::{invitations, members, organizations, users};
use crate::database::{Database, Transaction, now, rollcall_now};
use crate::membership::member::{self, Join, Member};
use crate::membership::{organization, team};
use crate::organization::billing::{self, Seats};

text_enum! {
    /// Where an invitation stands.
    InvitationStatus {
        /// It waits for an answer.
        Pending = "pending",
        /// It made a membership.
        Accepted = "accepted",
        /// The invited person declined.
        Declined = "declined",
        /// It was taken back.
        Revoked = "revoked",
        /// Its time ran out.
        Expired = "expired",
    }
}

/// An invitation.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = invitations)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// To which organization.
    pub organization_id: OrganizationId,
    /// The address, unless the person was invited by username.
    pub email: Option<EmailAddress>,
    /// The account, where the person was invited by username.
    pub user_id: Option<UserId>,
    /// What the inviter called the person.
    pub name: Option<String>,
    /// The role that it gives.
    pub role: Role,
    /// Bill to the organization.
    pub billable_activities: bool,
    /// Use apps shared with it.
    pub shared_apps: bool,
    /// What one gets at most from projects shared with it.
    pub shared_projects: AccessLevel,
    /// Who invited.
    pub invited_by_id: UserId,
    /// Where it stands, which may have ended with who invited before anybody wrote that down.
    #[diesel(select_expression = status_now(), select_expression_type = SqlLiteral<Text>)]
    pub status: InvitationStatus,
    /// Which token is alive.
    pub token_version: i32,
    /// What became of the mail.
    pub delivery: DeliveryStatus,
    /// The mail server's words where it refused.
    pub delivery_error: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was made or last sent again.
    pub sent_at: DateTime<Utc>,
    /// Until when it can be accepted.
    pub expires_at: DateTime<Utc>,
}

fn status_now() -> SqlLiteral<Text> {
    Issued::Invitation.status("pending", "revoked")
}

impl Invitation {
    /// The permissions that it gives.
    pub fn permissions(&self) -> Permissions {
        Permissions {
            billable_activities: self.billable_activities,
            shared_apps: self.shared_apps,
            shared_projects: self.shared_projects,
        }
    }

    /// Its status at a time: one that is past its time is expired, whether or not the worker has marked it.
    pub fn status_at(&self, at: DateTime<Utc>) -> InvitationStatus {
        if self.status == InvitationStatus::Pending && self.expires_at <= at {
            InvitationStatus::Expired
        } else {
            self.status
        }
    }

    fn is_for(&self, user: &User) -> bool {
        self.user_id == Some(user.id) || self.email.is_some() && self.email == user.email
    }
}

/// One person to invite: exactly one of address and username.
#[derive(Debug, Clone)]
pub struct Invite {
    /// The address.
    pub email: Option<String>,
    /// The username of an account.
    pub username: Option<String>,
    /// What to call the person.
    pub name: Option<String>,
    /// The role.
    pub role: Role,
    /// The permissions.
    pub permissions: PermissionsInput,
    /// The teams that it leads into.
    pub team_ids: Vec<TeamId>,
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
}

impl Invite {
    fn parse(&self) -> Result<Parsed, Refusal> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        let invitee = match (given(&self.email), given(&self.username)) {
            (Some(email), None) => Invitee::Email(EmailAddress::parse("email", &email)?),
            (None, Some(username)) => Invitee::Username(Username::parse("username", &username)?),
            (Some(_), Some(_)) => {
                return Err(Refusal::new(Code::Invalid, "email", "name an e-mail address or a username, not both"));
            }
            (None, None) => return Err(Refusal::new(Code::Blank, "email", "name an e-mail address or a username")),
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
        Ok(Parsed { invitee, name, role: self.role, permissions: self.permissions, team_ids: self.team_ids.clone() })
    }
}

/// Puts a refusal at its place in the list of invitations.
fn at(position: usize) -> impl Fn(Refusal) -> Refusal {
    move |refusal| refusal.within(["invitations", &position.to_string()])
}

/// Invites one to fifty people, all or none, and has a mail sent to each.
pub async fn invite(
    database: &Database,
    actor: &Actor,
    organization_id: OrganizationId,
    invites: &[Invite],
    client: ClientNetwork,
) -> Result<Vec<Invitation>> {
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
    // The answer tells which usernames nobody has.
    let guesses = attempt::count_guesses(database, actor, client, usernames_of(&parsed).len()).await?;
    let mails = mails_to(&mut *database.connection().await?, &parsed).await?;
    let mails = mail_limit::count(database, actor, client, &mails, "invitations").await?;
    let made = database
        .transaction(async |transaction| {
            // Nobody who is just deleting their account is invited by its username. Users come before organizations in the
            // order of locks.
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
            guesses.make();
            let accounts = accounts_of(transaction, &parsed).await?;
            let mut events = make_room(transaction, organization_id, &accounts, &parsed).await?;
            let refusals = refuse(transaction, &permit, &parsed, &accounts).await?;
            if !refusals.is_empty() {
                return Err(Error::Refused(refusals));
            }
            require_few_open(transaction, organization_id, parsed.len()).await?;
            billing::require_seats(transaction, organization_id, Seats::More(parsed.len()), "invitations").await?;
            mails.require(transaction).await?;
            let organization = organization::by_id(transaction, organization_id).await?;
            let created_at = now(transaction).await?;
            let expires_at = created_at + chrono::Duration::days(i64::from(organization.invitation_days));
            let rows: Vec<_> = parsed
                .iter()
                .map(|invite| {
                    let permissions = invite.permissions.or(organization.default_permissions.into());
                    let (email, user_id) = match &invite.invitee {
                        Invitee::Email(email) => (Some(email), None),
                        Invitee::Username(username) => {
                            (None, accounts.iter().find(|user| user.username == *username).map(|user| user.id))
                        }
                    };
                    (
                        invitations::id.eq(InvitationId::new()),
                        invitations::organization_id.eq(organization_id),
                        invitations::email.eq(email),
                        invitations::user_id.eq(user_id),
                        invitations::name.eq(invite.name.as_deref()),
                        invitations::role.eq(invite.role),
                        invitations::billable_activities.eq(permissions.billable_activities),
                        invitations::shared_apps.eq(permissions.shared_apps),
                        invitations::shared_projects.eq(permissions.shared_projects),
                        invitations::invited_by_id.eq(permit.user_id()),
                        invitations::created_at.eq(created_at),
                        invitations::sent_at.eq(created_at),
                        invitations::expires_at.eq(expires_at),
                    )
                })
                .collect();
            let mut made: Vec<Invitation> = diesel::insert_into(invitations::table)
                .values(rows)
                .returning(Invitation::as_returning())
                .get_results(&mut **transaction)
                .await?;
            // As they were asked for: ids are made in that order.
            made.sort_by_key(|invitation| invitation.id);
            let pairs: Vec<(InvitationId, TeamId)> = made
                .iter()
                .zip(&parsed)
                .flat_map(|(invitation, invite)| invite.team_ids.iter().map(|team_id| (invitation.id, *team_id)))
                .collect();
            team::invite_into(transaction, organization_id, &pairs).await?;
            let mails: Vec<_> = made
                .iter()
                .map(|invitation| MailInvitation {
                    invitation_id: invitation.id,
                    token_version: invitation.token_version,
                })
                .collect();
            transaction.enqueue_all(&mails).await?;
            let expiries: Vec<_> =
                made.iter().map(|invitation| ExpireInvitation { invitation_id: invitation.id }).collect();
            transaction.enqueue_all_at(&expiries, expires_at).await?;
            remind(transaction, &made, created_at, expires_at).await?;
            events.extend(made.iter().map(|invitation| {
                NewEvent::by(actor, organization_id, AuditAction::MemberInvited, invitation.id)
                    .summary(format!("invited someone as {}", invitation.role))
                    .with(json!({ "role": invitation.role.as_str() }))
            }));
            audit::record(transaction, events).await?;
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
    guesses.keep(unknown).await;
    // Who of them is sent much was asked without a mail to anybody: one who was invited by username could be found so.
    let asked = if tells_of_recipients { parsed.len() } else { 0 };
    attempt::count_refusal(database, actor, client, asked, made).await
}

/// The mails that the invitations bring; who is invited by a username that nobody has gets none.
async fn mails_to(connection: &mut AsyncPgConnection, parsed: &[Parsed]) -> Result<Vec<CausedMail>> {
    let usernames = usernames_of(parsed);
    let addresses: HashMap<Username, Option<EmailAddress>> = users::table
        .filter(users::username.eq_any(usernames))
        .select((users::username, users::email))
        .load(connection)
        .await?
        .into_iter()
        .collect();
    let mail = |(position, invite): (usize, &Parsed)| {
        let to = match &invite.invitee {
            Invitee::Email(email) => Some(email),
            Invitee::Username(username) => addresses.get(username).and_then(Option::as_ref),
        };
        Some(CausedMail::new(to?.clone(), ["invitations", &position.to_string(), field_of(&invite.invitee)]))
    };
    Ok(parsed.iter().enumerate().filter_map(mail).collect())
}

/// Has the invited people reminded before the invitations expire; not where that would be with the invitation itself.
async fn remind(
    transaction: &mut Transaction,
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

/// The usernames by which accounts are invited.
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

/// The accounts that are invited by their usernames.
async fn named_accounts(transaction: &mut Transaction, parsed: &[Parsed]) -> Result<Vec<UserId>> {
    let usernames = usernames_of(parsed);
    if usernames.is_empty() {
        return Ok(Vec::new());
    }
    Ok(users::table.filter(users::username.eq_any(usernames)).select(users::id).load(&mut **transaction).await?)
}

/// The accounts of those who are invited.
async fn accounts_of(transaction: &mut Transaction, parsed: &[Parsed]) -> Result<Vec<User>> {
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
        .load(&mut **transaction)
        .await?)
}

fn account_of<'a>(accounts: &'a [User], invitee: &Invitee) -> Option<&'a User> {
    accounts.iter().find(|user| match invitee {
        Invitee::Email(email) => user.email.as_ref() == Some(email),
        Invitee::Username(username) => user.username == *username,
    })
}

/// Which invitations are to the same people, by the same name: which address is whose, nobody learns who invites by username (R25).
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

/// Fails with TOO_MANY where so many invitations would be open that nobody answers them all. The organization is locked.
async fn require_few_open(transaction: &mut Transaction, organization_id: OrganizationId, more: usize) -> Result<()> {
    let open: i64 = open_of(organization_id).select(diesel::dsl::count_star()).first(&mut **transaction).await?;
    if open.saturating_add(i64::try_from(more).unwrap_or(i64::MAX)) <= limits::MAX_OPEN_INVITATIONS {
        return Ok(());
    }
    let message = format!(
        "{open} invitations are open, and at most {} may be; revoke those that nobody answers, or wait until they expire",
        limits::MAX_OPEN_INVITATIONS
    );
    Err(Error::refused(Code::TooMany, "invitations", message))
}

/// Invitations of the same people that are past their time, or have ended, leave room for new ones, whether or not the worker has run;
/// with the events to record.
async fn make_room(
    transaction: &mut Transaction,
    organization_id: OrganizationId,
    accounts: &[User],
    parsed: &[Parsed],
) -> Result<Vec<NewEvent>> {
    let (emails, user_ids) = to_same(parsed, accounts);
    let overdue: Vec<InvitationId> = invitations::table
        .filter(invitations::organization_id.eq(organization_id))
        .filter(invitations::status.eq(InvitationStatus::Pending))
        .filter(invitations::expires_at.le(rollcall_now()).or(Issued::Invitation.has_ended()))
        .filter(invitations::email.eq_any(emails).or(invitations::user_id.eq_any(user_ids)))
        .select(invitations::id)
        .load(&mut **transaction)
        .await?;
    mark_over(transaction, &overdue).await
}

/// Everything that speaks against the invitations.
async fn refuse(
    transaction: &mut Transaction,
    permit: &Permit,
    parsed: &[Parsed],
    accounts: &[User],
) -> Result<Vec<Refusal>> {
    let user_ids: Vec<UserId> = accounts.iter().map(|user| user.id).collect();
    let active: HashSet<UserId> = members::table
        .filter(members::organization_id.eq(permit.organization_id()))
        .filter(members::user_id.eq_any(&user_ids))
        .filter(members::status.eq(MemberStatus::Active))
        .select(members::user_id)
        .load(&mut **transaction)
        .await?
        .into_iter()
        .collect();
    let (emails, invited_ids) = to_same(parsed, accounts);
    let pending: Vec<(Option<EmailAddress>, Option<UserId>)> = invitations::table
        .filter(invitations::organization_id.eq(permit.organization_id()))
        .filter(invitations::status.eq(InvitationStatus::Pending))
        .filter(invitations::email.eq_any(emails).or(invitations::user_id.eq_any(invited_ids)))
        .select((invitations::email, invitations::user_id))
        .load(&mut **transaction)
        .await?;
    let team_ids: Vec<TeamId> = parsed.iter().flat_map(|invite| invite.team_ids.iter().copied()).collect();
    let teams = team::in_organization(transaction, permit.organization_id(), &team_ids).await?;
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
        // By the same name only: nobody tries out addresses until one is that of a username that they have invited (R25). Who is invited by
        // both holds one seat all the same.
        let is_pending = pending.iter().any(|(email, user_id)| match &invite.invitee {
            Invitee::Email(named) => email.as_ref() == Some(named),
            Invitee::Username(_) => user_id.is_some() && *user_id == account.map(|user| user.id),
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
    Ok(refusals)
}

/// The token of an invitation's link, for its mail.
pub fn link_token(database: &Database, invitation: &Invitation) -> Result<Token> {
    database.keyring().link_token(Purpose::Invitation, invitation.id.uuid(), invitation.token_version)
}

/// The invitation of an id, whoever asks: for its mail and its expiry.
pub async fn by_id(connection: &mut AsyncPgConnection, id: InvitationId) -> Result<Option<Invitation>> {
    Ok(invitations::table.find(id).select(Invitation::as_select()).first(connection).await.optional()?)
}

/// What the holder of a mailed token may know before signing in.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The invitation.
    pub invitation: Invitation,
    /// The organization's name.
    pub organization_name: String,
    /// The inviter's name, where the organization shows who acts for it (R77).
    pub invited_by: Option<String>,
    /// The address that it went to, while the invitation is open: a dead link may be in anybody's hands.
    pub email: Option<EmailAddress>,
    /// Whether the token is the newest one.
    pub is_newest: bool,
    /// Its status at this moment.
    pub status: InvitationStatus,
    /// Whether the address has an account, to sign in with, while the invitation is open.
    pub account_exists: bool,
}

/// What a token leads to; `None` where it isn't genuine. Changes nothing (R24).
pub async fn preview(database: &Database, token: &str) -> Result<Option<Preview>> {
    let Some((id, version)) = database.keyring().read_link_token(Purpose::Invitation, token)? else { return Ok(None) };
    let mut connection = database.connection().await?;
    let Some(invitation) = by_id(&mut connection, InvitationId::from_uuid(id)).await? else { return Ok(None) };
    type Row = (String, Option<DateTime<Utc>>, MemberDirectory, String, DateTime<Utc>);
    let (organization_name, deleted_at, directory, invited_by, at): Row = organizations::table
        .inner_join(users::table.on(users::id.eq(invitation.invited_by_id)))
        .filter(organizations::id.eq(invitation.organization_id))
        .select((
            organizations::name,
            organizations::deleted_at,
            organizations::member_directory,
            users::name,
            rollcall_now(),
        ))
        .first(&mut *connection)
        .await?;
    let account = account(&mut connection, &invitation).await?;
    let email = invitation.email.clone().or_else(|| account.as_ref().and_then(|user| user.email.clone()));
    if email.is_none() {
        return Ok(None);
    }
    let is_newest = version == invitation.token_version;
    let stands = is_newest && deleted_at.is_none();
    let status = if stands { invitation.status_at(at) } else { InvitationStatus::Revoked };
    Ok(Some(Preview {
        organization_name,
        invited_by: directory.shows_structure().then_some(invited_by),
        email: email.filter(|_| status == InvitationStatus::Pending),
        is_newest,
        status,
        account_exists: account.is_some() && status == InvitationStatus::Pending,
        invitation,
    }))
}

/// The account that an invitation is for, where it has one.
async fn account(connection: &mut AsyncPgConnection, invitation: &Invitation) -> Result<Option<User>> {
    match (&invitation.email, invitation.user_id) {
        (Some(email), _) => user::by_email(connection, email).await,
        (None, Some(user_id)) => Ok(Some(user::by_id(connection, user_id).await?)),
        (None, None) => Ok(None),
    }
}

/// By what an invitation is named.
#[derive(Debug, Clone)]
pub enum Named {
    /// By the token of its mail.
    Token(String),
    /// By its id, for whom it is addressed to.
    Id(InvitationId),
}

impl Named {
    fn field(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Id(_) => "id",
        }
    }
}

/// Reads a named invitation and checks that it can still be answered.
async fn open(transaction: &mut Transaction, named: &Named) -> Result<Invitation> {
    let field = named.field();
    let not_found = || match named {
        Named::Token(_) => {
            let message = "there is no such invitation; copy the link whole, or ask for a new one";
            Refusal::new(Code::NotFound, field, message)
        }
        Named::Id(_) => not_to_you(),
    };
    let (id, version) = match named {
        Named::Id(id) => (*id, None),
        Named::Token(token) => {
            let (id, version) =
                transaction.keyring().read_link_token(Purpose::Invitation, token)?.ok_or_else(not_found)?;
            (InvitationId::from_uuid(id), Some(version))
        }
    };
    let invitation = by_id(transaction, id).await?.ok_or_else(not_found)?;
    // By id only those learn anything whom it is addressed to; they are checked by the caller.
    if version.is_some_and(|version| version != invitation.token_version) {
        return Err(link_replaced(field).into());
    }
    // Invitations pause with a deleted organization, of which nothing is told by id (R48).
    if organization::by_id(transaction, invitation.organization_id).await?.deleted_at.is_some() {
        return Err(match named {
            Named::Token(_) => organization_gone(field),
            Named::Id(_) => not_found(),
        }
        .into());
    }
    Ok(invitation)
}

fn organization_gone(field: &str) -> Refusal {
    Refusal::new(Code::Revoked, field, "the organization doesn't exist any more")
}

fn not_to_you() -> Refusal {
    Refusal::new(Code::NotFound, "id", "there is no such invitation to you")
}

fn link_replaced(field: &str) -> Refusal {
    Refusal::new(Code::Revoked, field, "a newer mail has replaced this link; use that one")
}

/// Why an invitation can't be answered any more.
fn why_closed(invitation: &Invitation, at: DateTime<Utc>, field: &str) -> Option<Refusal> {
    let (code, message) = match invitation.status_at(at) {
        InvitationStatus::Pending => return None,
        InvitationStatus::Accepted => (Code::AlreadyUsed, "this invitation was accepted before"),
        InvitationStatus::Declined => (Code::AlreadyUsed, "this invitation was declined; ask for a new one"),
        InvitationStatus::Revoked => (Code::Revoked, "this invitation was taken back; ask for a new one"),
        InvitationStatus::Expired => (Code::Expired, "this invitation has expired; ask for a new one"),
    };
    Some(Refusal::new(code, field, message))
}

/// By id only the person themselves may answer, signed in; said before anything is looked up.
fn require_person(actor: Option<&Actor>, named: &Named) -> Result<()> {
    match (actor, named) {
        (None, Named::Id(_)) => Err(Error::Unauthenticated),
        (Some(Actor::ApiKey { .. } | Actor::Service { .. } | Actor::Staff { .. }), _) => {
            Err(Error::refused(Code::Forbidden, named.field(), "requires the invited person, signed in"))
        }
        (Some(Actor::User { .. }) | None, _) => Ok(()),
    }
}

/// The signed-in person, whom the invitation must be for; suspended accounts may answer too (D6).
async fn invited_person(
    transaction: &mut Transaction,
    actor: &Actor,
    invitation: &Invitation,
    field: &str,
) -> Result<User> {
    let (user_id, _) = actor.session().ok_or(Error::Unauthenticated)?;
    let user = user::by_id(transaction, user_id).await?;
    if invitation.is_for(&user) {
        return Ok(user);
    }
    Err(match field {
        // An id alone doesn't tell of the invitation.
        "id" => not_to_you().into(),
        _ => Error::refused(Code::WrongEmail, field, "this invitation is for another address; sign in with that one"),
    })
}

/// An answer by which a new account may be made.
#[derive(Debug, Clone)]
pub struct Accept {
    /// Which invitation.
    pub invitation: Named,
    /// The person's name, for a new account.
    pub name: Option<String>,
    /// The username, for a new account.
    pub username: Option<String>,
}

/// An accepted invitation. All of it is read before the commit: what is shown once must not be lost by a read that fails afterwards.
#[derive(Debug)]
pub struct Accepted {
    /// The membership.
    pub member: Member,
    /// To what.
    pub organization_name: String,
    /// The session that began, where the account was made by this.
    pub session: Option<SessionId>,
}

/// Accepts an invitation. Without a session only where no account has the address: it is made, and signed in by a new one (R17, R25).
pub async fn accept(
    database: &Database,
    actor: Option<&Actor>,
    command: &Accept,
    new_session: &NewSession,
    client: ClientNetwork,
) -> Result<Accepted> {
    let name = text::optional_name("name", command.name.as_deref(), limits::NAME)?;
    let username = command.username.as_deref().filter(|username| !username.trim().is_empty());
    let username = username.map(|username| Username::parse("username", username)).transpose()?;
    // For a new account; the answer tells whether somebody has the username. Whoever asks has an invitation, by which they are counted.
    let guess = match (&username, actor, &command.invitation) {
        (Some(_), None, Named::Token(token)) => match preview(database, token).await? {
            Some(Preview { status: InvitationStatus::Pending, account_exists: false, invitation, .. }) => {
                attempt::count_guess_of(database, &invitation.id.to_string(), client).await?
            }
            Some(_) | None => Tries::none(),
        },
        _ => Tries::none(),
    };
    let run = || {
        database.transaction(async |transaction| {
            let field = command.invitation.field();
            require_person(actor, &command.invitation)?;
            let invitation = open(transaction, &command.invitation).await?;
            let person = match actor {
                Some(actor) => Some(invited_person(transaction, actor, &invitation, field).await?),
                None => None,
            };
            let at = now(transaction).await?;
            if let Some(refusal) = why_closed(&invitation, at, field) {
                return Err(refusal.into());
            }
            let mut events = Vec::new();
            let (user_id, session) = match (person, &invitation.email) {
                (Some(person), _) => (person.id, None),
                (None, Some(email)) if user::by_email(transaction, email).await?.is_none() => {
                    guess.make();
                    let new = NewUser {
                        email,
                        name: name.as_deref().or(invitation.name.as_deref()),
                        username: username.as_ref(),
                        origin_organization_id: Some(invitation.organization_id),
                    };
                    let created = new_account::create(transaction, new).await?;
                    let session = session::create(transaction, created.user_id, new_session).await?;
                    events.extend(created.events);
                    events.push(
                        NewEvent::by_user(
                            created.user_id,
                            created.personal_organization_id,
                            AuditAction::UserSignedIn,
                            session.id,
                        )
                        .summary("signed in by accepting an invitation"),
                    );
                    (created.user_id, Some(session.id))
                }
                // A forwarded mail gives nobody's account away (R25).
                (None, _) => return Err(Error::Unauthenticated),
            };
            let (member_id, joined) = take(transaction, &invitation, user_id, field).await?;
            events.extend(joined);
            let member = member::by_ids(transaction, &[member_id]).await?.pop();
            let member = member.ok_or(Error::Bug("a new member is there"))?;
            let organization_name = organization::by_id(transaction, member.organization_id).await?.name;
            audit::record(transaction, events).await?;
            Ok(Accepted { member, organization_name, session })
        })
    };
    let accepted = match run().await {
        // Someone else accepted at this very moment: now it says so.
        Err(error) if refuses_email(&error) => run().await,
        outcome => outcome,
    };
    guess.settle(accepted).await
}

fn refuses_email(error: &Error) -> bool {
    matches!(error, Error::Refused(refusals) if refusals.iter().any(|refusal| refusal.code == Code::Conflict && refusal.field == ["email"]))
}

/// Uses the invitation up and makes the membership: one guarded update decides who comes first.
async fn take(
    transaction: &mut Transaction,
    invitation: &Invitation,
    user_id: UserId,
    field: &str,
) -> Result<(MemberId, Vec<NewEvent>)> {
    let organization_id = invitation.organization_id;
    access::lock_users(transaction, &[user_id]).await?;
    if !access::lock_organization(transaction, organization_id).await? {
        return Err(organization_gone(field).into());
    }
    let taken = diesel::update(
        invitations::table
            .find(invitation.id)
            .filter(invitations::status.eq(InvitationStatus::Pending))
            .filter(invitations::token_version.eq(invitation.token_version))
            .filter(invitations::expires_at.gt(rollcall_now()))
            .filter(Issued::Invitation.stands()),
    )
    .set(invitations::status.eq(InvitationStatus::Accepted))
    .execute(&mut **transaction)
    .await?;
    if taken == 0 {
        let current = by_id(transaction, invitation.id).await?;
        let at = now(transaction).await?;
        let refusal = current.and_then(|invitation| why_closed(&invitation, at, field));
        return Err(refusal.unwrap_or_else(|| link_replaced(field)).into());
    }
    let join = Join {
        user_id,
        organization_id,
        role: invitation.role,
        permissions: invitation.permissions(),
        via: JoinMethod::Invitation,
    };
    let (member_id, mut events) = member::join(transaction, &join, field).await?;
    events.push(
        NewEvent::by_user(user_id, organization_id, AuditAction::MemberJoined, member_id)
            .summary(format!("{user_id} accepted an invitation as {}", invitation.role))
            .with(json!({ "via": "invitation", "invitation": invitation.id.to_string(), "role": invitation.role.as_str() })),
    );
    events.extend(team::join_by(transaction, invitation.id, user_id).await?);
    transaction.enqueue(&MailInvitationAccepted { invitation_id: invitation.id, member_id }).await?;
    events.extend(
        suspension::lift_suspension(transaction, user_id, "an accepted invitation lifted the suspension").await?,
    );
    Ok((member_id, events))
}

/// Declines an invitation: by its token, or by its id with a session of whom it is for.
pub async fn decline(database: &Database, actor: Option<&Actor>, named: &Named) -> Result<()> {
    database
        .transaction(async |transaction| {
            let field = named.field();
            require_person(actor, named)?;
            let invitation = open(transaction, named).await?;
            let by = match actor {
                Some(actor) => Some(invited_person(transaction, actor, &invitation, field).await?.id),
                None => None,
            };
            let declined = diesel::update(
                invitations::table
                    .find(invitation.id)
                    .filter(invitations::status.eq(InvitationStatus::Pending))
                    .filter(invitations::token_version.eq(invitation.token_version))
                    .filter(invitations::expires_at.gt(rollcall_now()))
                    .filter(Issued::Invitation.stands()),
            )
            .set(invitations::status.eq(InvitationStatus::Declined))
            .execute(&mut **transaction)
            .await?;
            if declined == 0 {
                let at = now(transaction).await?;
                let current = by_id(transaction, invitation.id).await?.unwrap_or(invitation);
                return Err(why_closed(&current, at, field).unwrap_or_else(|| link_replaced(field)).into());
            }
            let event = match by {
                Some(user_id) => NewEvent::by_user(
                    user_id,
                    invitation.organization_id,
                    AuditAction::InvitationDeclined,
                    invitation.id,
                ),
                None => NewEvent::by_system(invitation.organization_id, AuditAction::InvitationDeclined, invitation.id),
            };
            audit::record(transaction, [event.summary("the invited person declined")]).await
        })
        .await
}

/// Locks the organization of an invitation for its inviters, or answers NOT_FOUND.
async fn enter(transaction: &mut Transaction, actor: &Actor, id: InvitationId) -> Result<(Permit, Invitation)> {
    access::require_writing(actor, "id")?;
    let not_found = || Refusal::new(Code::NotFound, "id", "there is no such invitation");
    let found = by_id(transaction, id).await?.ok_or_else(not_found)?;
    let permit = access::enter(transaction, actor, found.organization_id, Lock::Organization, not_found()).await?;
    if !permit.standing().allows(Action::Invite) {
        return Err(not_found().into());
    }
    // Answers and expiries don't take the organization's lock: the row itself keeps them off.
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

/// Sends an open invitation again: under a new token, with its days from now; the old link dies (R23).
pub async fn resend(database: &Database, actor: &Actor, id: InvitationId, client: ClientNetwork) -> Result<Invitation> {
    let recipient = recipient(&mut *database.connection().await?, id).await?;
    let mails: Vec<CausedMail> = recipient.map(|email| CausedMail::new(email, ["id"])).into_iter().collect();
    let mails = mail_limit::count(database, actor, client, &mails, "id").await?;
    let sent = database
        .transaction(async |transaction| {
            let (_, invitation) = enter(transaction, actor, id).await?;
            let at = now(transaction).await?;
            if let Some(refusal) = why_closed(&invitation, at, "id") {
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

/// Where the mails of an invitation go; none where there is no such invitation, or its account is deleted.
async fn recipient(connection: &mut AsyncPgConnection, id: InvitationId) -> Result<Option<EmailAddress>> {
    match by_id(connection, id).await? {
        Some(Invitation { email: Some(email), .. }) => Ok(Some(email)),
        Some(Invitation { user_id: Some(user_id), .. }) => Ok(user::by_id(connection, user_id).await?.email),
        _ => Ok(None),
    }
}

/// Takes an open invitation back.
pub async fn revoke(database: &Database, actor: &Actor, id: InvitationId) -> Result<Invitation> {
    database
        .transaction(async |transaction| {
            let (_, invitation) = enter(transaction, actor, id).await?;
            let at = now(transaction).await?;
            if let Some(refusal) = why_closed(&invitation, at, "id") {
                return Err(refusal.into());
            }
            let invitation: Invitation = diesel::update(invitations::table.find(id))
                .set(invitations::status.eq(InvitationStatus::Revoked))
                .returning(Invitation::as_returning())
                .get_result(&mut **transaction)
                .await?;
            let event = NewEvent::by(actor, invitation.organization_id, AuditAction::InvitationRevoked, id)
                .summary("took an invitation back");
            audit::record(transaction, [event]).await?;
            Ok(invitation)
        })
        .await
}

/// Revokes the organization's open invitations to a person, for the reason that the events give: who departs (R42), or who is in by
/// another way. Without an actor it is a consequence of what the person did.
pub(crate) async fn revoke_to(
    transaction: &mut Transaction,
    actor: Option<&Actor>,
    organization_id: OrganizationId,
    user: &User,
    reason: &str,
) -> Result<Vec<NewEvent>> {
    let revoked: Vec<InvitationId> = diesel::update(
        invitations::table
            .filter(invitations::organization_id.eq(organization_id))
            .filter(invitations::status.eq(InvitationStatus::Pending))
            .filter(invitations::email.eq(user.email.as_ref()).or(invitations::user_id.eq(user.id))),
    )
    .set(invitations::status.eq(InvitationStatus::Revoked))
    .returning(invitations::id)
    .get_results(&mut **transaction)
    .await?;
    Ok(revoked
        .into_iter()
        .map(|id| match actor {
            Some(actor) => NewEvent::by(actor, organization_id, AuditAction::InvitationRevoked, id),
            None => NewEvent::by_system(organization_id, AuditAction::InvitationRevoked, id),
        })
        .map(|event| event.summary(reason))
        .collect())
}

/// Marks an invitation expired, if its time is over; the worker's part of the expiry (R23).
pub async fn expire(database: &Database, id: InvitationId, hold: Hold<'_>) -> Result<()> {
    database
        .transaction(async |transaction| {
            hold(transaction).await?;
            let events = mark_over(transaction, &[id]).await?;
            audit::record(transaction, events).await
        })
        .await
}

/// Marks up to `limit` invitations expired whose job for that was lost, and returns how many; the hourly sweep's part (R23).
pub(crate) async fn sweep_overdue(transaction: &mut Transaction, limit: u32) -> Result<usize> {
    // Read once, so that the index can be used.
    let at = now(transaction).await?;
    // What somebody has locked is being answered, revoked or marked.
    let overdue: Vec<InvitationId> = invitations::table
        .filter(invitations::status.eq(InvitationStatus::Pending))
        .filter(invitations::expires_at.le(at))
        .order(invitations::expires_at)
        .limit(limit.into())
        .select(invitations::id)
        .for_no_key_update()
        .skip_locked()
        .load(&mut **transaction)
        .await?;
    let events = mark_over(transaction, &overdue).await?;
    audit::record(transaction, events).await?;
    Ok(overdue.len())
}

/// Marks those of the invitations whose time is over expired, and those that have ended with who invited revoked; with the events to
/// record.
async fn mark_over(transaction: &mut Transaction, ids: &[InvitationId]) -> Result<Vec<NewEvent>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let over: Vec<(InvitationId, OrganizationId, InvitationStatus)> = diesel::update(
        invitations::table
            .filter(invitations::id.eq_any(ids))
            .filter(invitations::status.eq(InvitationStatus::Pending))
            .filter(invitations::expires_at.le(rollcall_now()).or(Issued::Invitation.has_ended())),
    )
    .set(invitations::status.eq(Issued::Invitation.over("revoked", "expired")))
    .returning((invitations::id, invitations::organization_id, invitations::status))
    .get_results(&mut **transaction)
    .await?;
    let events = over.into_iter().map(|(id, organization_id, status)| match status {
        InvitationStatus::Revoked => NewEvent::by_system(organization_id, AuditAction::InvitationRevoked, id)
            .summary("revoked: its issuer may not issue it any more"),
        _ => NewEvent::by_system(organization_id, AuditAction::InvitationExpired, id)
            .summary("nobody took the invitation in time"),
    });
    Ok(events.collect())
}

/// Marks up to `limit` mails failed that nobody will send any more: their day is over, and their jobs are lost, since a process died
/// with each of their tries. Returns how many.
pub(crate) async fn sweep_unsent(transaction: &mut Transaction, limit: u32) -> Result<usize> {
    Ok(diesel::sql_query(
        "WITH pending AS (SELECT payload ->> 'invitation_id' AS id, (payload ->> 'token_version')::integer AS version \
           FROM jobs WHERE queue = $1 AND kind = $2 AND status IN ('waiting', 'running')), \
         unsent AS (SELECT id FROM invitations i WHERE status = 'pending' AND delivery IN ('queued', 'deferred') \
           AND sent_at < rollcall_now() - make_interval(secs => $3) \
           AND NOT EXISTS (SELECT FROM pending p WHERE p.id = i.id::text AND p.version = i.token_version) \
           LIMIT $4 FOR NO KEY UPDATE SKIP LOCKED) \
         UPDATE invitations SET delivery = 'failed', delivery_error = $5 WHERE id IN (SELECT id FROM unsent)",
    )
    .bind::<diesel::sql_types::Text, _>(MailInvitation::QUEUE)
    .bind::<diesel::sql_types::Text, _>(MailInvitation::KIND)
    .bind::<diesel::sql_types::Double, _>((limits::MAIL_TRIED_FOR + limits::LONGEST_MAIL_PAUSE).as_secs_f64())
    .bind::<diesel::sql_types::BigInt, _>(i64::from(limit))
    .bind::<diesel::sql_types::Text, _>("the mail could not be sent for a day; send the invitation again")
    .execute(&mut **transaction)
    .await?)
}

/// Writes down what became of the mail, unless a resend has overtaken it.
pub async fn set_delivery(
    connection: &mut AsyncPgConnection,
    id: InvitationId,
    token_version: i32,
    delivery: DeliveryStatus,
    error: Option<&str>,
) -> Result<()> {
    diesel::update(invitations::table.find(id).filter(invitations::token_version.eq(token_version)))
        .set((invitations::delivery.eq(delivery), invitations::delivery_error.eq(error)))
        .execute(connection)
        .await?;
    Ok(())
}

/// Those of the ids that the actor may see: as an inviter of their organization, or as whom they are for.
pub async fn visible_to(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    ids: &[InvitationId],
) -> Result<Vec<Invitation>> {
    let person = match actor.session() {
        // A key reaches its one organization, not those that its person is invited to.
        Some((user_id, _)) => Some(user::by_id(connection, user_id).await?),
        None => None,
    };
    let found: Vec<Invitation> =
        invitations::table.filter(invitations::id.eq_any(ids)).select(Invitation::as_select()).load(connection).await?;
    let permits = access::permits(connection, actor, found.iter().map(|invitation| invitation.organization_id)).await?;
    let organizations: Vec<OrganizationId> = found.iter().map(|invitation| invitation.organization_id).collect();
    let living: Vec<OrganizationId> = organizations::table
        .filter(organizations::id.eq_any(organizations))
        .filter(organizations::deleted_at.is_null())
        .select(organizations::id)
        .load(connection)
        .await?;
    let may_see = |invitation: &Invitation| {
        let invites =
            permits.get(&invitation.organization_id).is_some_and(|permit| permit.standing().allows(Action::Invite));
        let is_living = living.contains(&invitation.organization_id);
        invites || is_living && person.as_ref().is_some_and(|person| invitation.is_for(person))
    };
    Ok(found.into_iter().filter(may_see).collect())
}

/// A page of an organization's invitations, oldest first.
pub async fn list(
    connection: &mut AsyncPgConnection,
    permit: &Permit,
    status: Option<InvitationStatus>,
    page: &PageRequest,
) -> Result<Page<Invitation>> {
    permit.require(Action::Invite)?;
    let slice = page.slice()?;
    let mut rows: Vec<Invitation> = Vec::new();
    for range in of_organization(permit.organization_id(), status) {
        rows.extend(by_id!(range.select(Invitation::as_select()), slice, invitations::id).load(connection).await?);
    }
    let rows = slice.merge(rows, |invitation| invitation.id);
    slice.page(rows, |invitation: &Invitation| invitation.id)
}

/// How many invitations [`list`] would give in all.
pub async fn count(
    connection: &mut AsyncPgConnection,
    permit: &Permit,
    status: Option<InvitationStatus>,
) -> Result<i64> {
    permit.require(Action::Invite)?;
    let mut count = 0;
    for range in of_organization(permit.organization_id(), status) {
        count += range.select(diesel::dsl::count_star()).first::<i64>(connection).await?;
    }
    Ok(count)
}

type Query = diesel::helper_types::IntoBoxed<'static, invitations::table, diesel::pg::Pg>;

/// The organization's invitations with a status, as ranges of the index. An overdue invitation counts as expired, and one that has ended
/// as revoked, whether or not the worker has marked it: few of them wait to be marked, and these come first, so that none that is just
/// being marked is missed.
fn of_organization(organization_id: OrganizationId, status: Option<InvitationStatus>) -> Vec<Query> {
    let all = || invitations::table.into_boxed().filter(invitations::organization_id.eq(organization_id));
    let of = |status: InvitationStatus| all().filter(invitations::status.eq(status));
    let pending = || of(InvitationStatus::Pending);
    match status {
        None => vec![all()],
        Some(InvitationStatus::Pending) => vec![open_of(organization_id)],
        Some(status @ InvitationStatus::Expired) => {
            let overdue = pending().filter(invitations::expires_at.le(rollcall_now()));
            vec![overdue.filter(Issued::Invitation.stands()), of(status)]
        }
        Some(status @ InvitationStatus::Revoked) => {
            vec![pending().filter(Issued::Invitation.has_ended()), of(status)]
        }
        Some(status @ (InvitationStatus::Accepted | InvitationStatus::Declined)) => vec![of(status)],
    }
}

fn open_of(organization_id: OrganizationId) -> Query {
    invitations::table
        .into_boxed()
        .filter(invitations::organization_id.eq(organization_id))
        .filter(invitations::status.eq(InvitationStatus::Pending))
        .filter(invitations::expires_at.gt(rollcall_now()))
        .filter(Issued::Invitation.stands())
}

/// A page of the open invitations to an account, oldest first.
pub async fn list_to(connection: &mut AsyncPgConnection, user: &User, page: &PageRequest) -> Result<Page<Invitation>> {
    let slice = page.slice()?;
    let query = to_user(user).select(Invitation::as_select());
    let rows = by_id!(query, slice, invitations::id).load(connection).await?;
    slice.page(rows, |invitation: &Invitation| invitation.id)
}

/// How many open invitations the account has.
pub async fn count_to(connection: &mut AsyncPgConnection, user: &User) -> Result<i64> {
    Ok(to_user(user).select(diesel::dsl::count_star()).first(connection).await?)
}

fn to_user(user: &User) -> Query {
    invitations::table
        .into_boxed()
        .filter(invitations::email.eq(user.email.clone()).or(invitations::user_id.eq(user.id)))
        .filter(invitations::status.eq(InvitationStatus::Pending))
        .filter(invitations::expires_at.gt(rollcall_now()))
        .filter(Issued::Invitation.stands())
        // Those of a deleted organization pause with it (R48).
        .filter(diesel::dsl::exists(
            organizations::table
                .filter(organizations::id.eq(invitations::organization_id))
                .filter(organizations::deleted_at.is_null()),
        ))
}
