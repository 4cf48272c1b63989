//! Answering an invitation: previewing it, accepting it, and declining it.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;

use crate::account::new_account::{self, NewUser};
use crate::account::session::{self, NewSession};
use crate::account::suspension;
use crate::account::user::{self, User};
use crate::authority::access;
use crate::authority::actor::Actor;
use crate::authority::attempt::{self, PendingAttempts};
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::rights::MemberDirectory;
use crate::base::client::ClientNetwork;
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{InvitationId, MemberId, SessionId, TypedId, UserId};
use crate::base::job::MailInvitationAccepted;
use crate::base::limits;
use crate::base::secret::Purpose;
use crate::base::text::{self, EmailAddress, Username};
use crate::database::schema::{organizations, users};
use crate::database::{Database, Transaction, now, rollcall_now};
use crate::membership::cause::Admission;
use crate::membership::invitation::{self, Invitation, InvitationStatus};
use crate::membership::invitation_grants::{self, GrantInWords};
use crate::membership::joining;
use crate::membership::member::{self, Member};
use crate::membership::{organization, team};

/// What the holder of an emailed token may know before signing in.
#[derive(Debug, Clone)]
pub struct InvitationPreview {
    /// The invitation.
    pub invitation: Invitation,
    /// The organization's name.
    pub organization_name: String,
    /// The inviter's name, if a person invited and the organization's settings show who acts for it (R77).
    pub invited_by: Option<String>,
    /// The address to which the invitation was sent, while it is open. Once it is closed, anybody may have got hold of
    /// the link.
    pub email: Option<EmailAddress>,
    /// Whether the token is the invitation's newest one.
    pub is_newest: bool,
    /// The invitation's current status.
    pub status: InvitationStatus,
    /// Whether the address has an account to sign in with. Only set while the invitation is open.
    pub account_exists: bool,
    /// What is granted with the membership. Empty unless the invitation is open.
    pub grants: Vec<GrantInWords>,
}

/// Returns the invitation to which a token leads, or `None` if the token isn't genuine. Changes nothing (R24).
pub async fn preview(database: &Database, token: &str) -> Result<Option<InvitationPreview>> {
    let Some((id, version)) = database.keyring().read_link_token(Purpose::Invitation, token)? else { return Ok(None) };
    let mut connection = database.connection().await?;
    let Some(invitation) = invitation::by_id(&mut connection, InvitationId::from_uuid(id)).await? else {
        return Ok(None);
    };
    type Row = (String, Option<DateTime<Utc>>, MemberDirectory, Option<String>, DateTime<Utc>);
    let (organization_name, deleted_at, directory, invited_by, at): Row = organizations::table
        .left_join(users::table.on(users::id.nullable().eq(invitation.invited_by_id)))
        .filter(organizations::id.eq(invitation.organization_id))
        .select((
            organizations::name,
            organizations::deleted_at,
            organizations::member_directory,
            users::name.nullable(),
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
    let grants = match status {
        InvitationStatus::Pending => invitation_grants::in_words(&mut connection, &invitation).await?,
        _ => Vec::new(),
    };
    Ok(Some(InvitationPreview {
        organization_name,
        invited_by: invited_by.filter(|_| directory.shows_structure()),
        email: email.filter(|_| status == InvitationStatus::Pending),
        is_newest,
        status,
        account_exists: account.is_some() && status == InvitationStatus::Pending,
        grants,
        invitation,
    }))
}

/// Returns the account for which an invitation is meant, if there is one.
async fn account(connection: &mut AsyncPgConnection, invitation: &Invitation) -> Result<Option<User>> {
    match (&invitation.email, invitation.user_id) {
        (Some(email), _) => user::by_email(connection, email).await,
        (None, Some(user_id)) => Ok(Some(user::by_id(connection, user_id).await?)),
        (None, None) => Ok(None),
    }
}

/// How the caller identifies an invitation.
#[derive(Debug, Clone)]
pub enum InvitationBy {
    /// By the token from its email.
    Token(String),
    /// By its id; only for the person to whom it is addressed.
    Id(InvitationId),
}

impl InvitationBy {
    fn field(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Id(_) => "id",
        }
    }
}

/// Reads the invitation and checks that its link is current and that its organization exists.
async fn open(transaction: &mut Transaction, named: &InvitationBy) -> Result<Invitation> {
    let field = named.field();
    let not_found = || not_found(named);
    let (id, version) = match named {
        InvitationBy::Id(id) => (*id, None),
        InvitationBy::Token(token) => {
            let (id, version) =
                transaction.keyring().read_link_token(Purpose::Invitation, token)?.ok_or_else(not_found)?;
            (InvitationId::from_uuid(id), Some(version))
        }
    };
    let invitation = invitation::by_id(transaction, id).await?.ok_or_else(not_found)?;
    // Somebody who only knows the id learns nothing unless the invitation is addressed to them, which the caller
    // checks.
    if version.is_some_and(|version| version != invitation.token_version) {
        return Err(link_replaced(field).into());
    }
    // The invitations of a deleted organization are paused. Answers by id reveal nothing about it (R48).
    if organization::by_id(transaction, invitation.organization_id).await?.deleted_at.is_some() {
        return Err(match named {
            InvitationBy::Token(_) => organization_gone(field),
            InvitationBy::Id(_) => not_found(),
        }
        .into());
    }
    Ok(invitation)
}

fn organization_gone(field: &str) -> Refusal {
    Refusal::new(Code::Revoked, field, "the organization doesn't exist any more")
}

/// The refusal for whoever may not know of an invitation.
fn not_found(named: &InvitationBy) -> Refusal {
    match named {
        InvitationBy::Token(_) => {
            let message = "there is no such invitation; copy the whole link, or ask for a new one";
            Refusal::new(Code::NotFound, named.field(), message)
        }
        InvitationBy::Id(_) => not_to_you(),
    }
}

fn not_to_you() -> Refusal {
    Refusal::new(Code::NotFound, "id", "there is no such invitation to you")
}

fn link_replaced(field: &str) -> Refusal {
    Refusal::new(Code::Revoked, field, "a newer email has replaced this link; use that one")
}

/// Fails unless the actor can be the invited person. By id, they must be signed in. This is checked before anything is
/// looked up.
fn require_person(actor: Option<&Actor>, named: &InvitationBy) -> Result<()> {
    match (actor, named) {
        (None, InvitationBy::Id(_)) => Err(Error::Unauthenticated),
        (Some(Actor::ApiKey { .. } | Actor::Service { .. } | Actor::Platform(_) | Actor::Staff { .. }), _) => {
            Err(Error::refused(Code::Forbidden, named.field(), "requires the invited person, signed in"))
        }
        (Some(Actor::User { .. } | Actor::OnBehalf { .. }) | None, _) => Ok(()),
    }
}

/// Returns the signed-in person if the invitation is for them. Suspended accounts may answer too (D6).
async fn invited_person(
    transaction: &mut Transaction,
    actor: &Actor,
    invitation: &Invitation,
    named: &InvitationBy,
) -> Result<User> {
    let field = named.field();
    let user_id = match actor.present(invitation.organization_id) {
        Some(user_id) => user_id,
        // The platform acts for them, but not in that organization.
        None => return Err(not_found(named).into()),
    };
    let user = user::by_id(transaction, user_id).await?;
    if invitation.is_for(&user) {
        return Ok(user);
    }
    Err(match field {
        // Knowing an id reveals nothing about the invitation.
        "id" => not_to_you().into(),
        _ => Error::refused(Code::WrongEmail, field, "this invitation is for another address; sign in with that one"),
    })
}

/// An acceptance, with the details of the new account if one is created.
#[derive(Debug, Clone)]
pub struct AcceptInvitation {
    /// The invitation to accept.
    pub invitation: InvitationBy,
    /// The person's name, for a new account.
    pub name: Option<String>,
    /// The username, for a new account.
    pub username: Option<String>,
}

/// An accepted invitation. All of it is read before the commit, so that what is shown only once can't be lost to a read
/// that fails afterwards.
#[derive(Debug)]
pub struct AcceptedMembership {
    /// The new membership.
    pub member: Member,
    /// The name of the organization.
    pub organization_name: String,
    /// The session that began, if the acceptance created the account.
    pub session: Option<SessionId>,
}

/// Accepts an invitation. Without a session, this works only if no account has the address: the account is then created
/// and signed in with a new session (R17, R25).
///
/// # Errors
///
/// On `token` or `id`: NOT_FOUND, REVOKED, EXPIRED, ALREADY_USED and the like if it can't be accepted, WRONG_EMAIL for
/// another person, and whatever prevents them from joining. Unauthenticated if an account has the address.
/// RATE_LIMITED.
pub async fn accept(
    database: &Database,
    actor: Option<&Actor>,
    command: &AcceptInvitation,
    new_session: &NewSession,
    client: ClientNetwork,
) -> Result<AcceptedMembership> {
    let name = text::optional_name("name", command.name.as_deref(), limits::NAME)?;
    let username = command.username.as_deref().filter(|username| !username.trim().is_empty());
    let username = username.map(|username| Username::parse("username", username)).transpose()?;
    // For a new account, the answer reveals whether somebody has the username. The guesses are counted for the
    // invitation, which whoever asks must have.
    let guess = match (&username, actor, &command.invitation) {
        (Some(_), None, InvitationBy::Token(token)) => match preview(database, token).await? {
            Some(InvitationPreview {
                status: InvitationStatus::Pending, account_exists: false, invitation, ..
            }) => attempt::count_guess_of(database, &invitation.id.to_string(), client).await?,
            Some(_) | None => PendingAttempts::none(),
        },
        _ => PendingAttempts::none(),
    };
    let run = || {
        database.transaction(async |transaction| {
            let field = command.invitation.field();
            require_person(actor, &command.invitation)?;
            let invitation = open(transaction, &command.invitation).await?;
            let person = match actor {
                Some(actor) => Some(invited_person(transaction, actor, &invitation, &command.invitation).await?),
                None => None,
            };
            let at = now(transaction).await?;
            if let Some(refusal) = invitation::why_closed(&invitation, at, field) {
                return Err(refusal.into());
            }
            let mut events = Vec::new();
            let (user_id, session) = match (person, &invitation.email) {
                (Some(person), _) => (person.id, None),
                (None, Some(email)) if user::by_email(transaction, email).await?.is_none() => {
                    guess.mark_made();
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
                        .summary("signed in by accepting an invitation")
                        .about(created.user_id),
                    );
                    (created.user_id, Some(session.id))
                }
                // A forwarded email gives nobody access to another person's account (R25).
                (None, _) => return Err(Error::Unauthenticated),
            };
            let (member_id, joined) = take(transaction, &invitation, user_id, field).await?;
            events.extend(joined);
            let member = member::by_ids(transaction, &[member_id]).await?.pop();
            let member = member.ok_or(Error::Bug("a new member is there"))?;
            let organization_name = organization::by_id(transaction, member.organization_id).await?.name;
            audit::record(transaction, events.into_iter().map(|event| through(event, actor))).await?;
            Ok(AcceptedMembership { member, organization_name, session })
        })
    };
    let accepted = match run().await {
        // Somebody else accepted at the same moment. The second run returns the refusal for that.
        Err(error) if refuses_email(&error) => run().await,
        outcome => outcome,
    };
    guess.refund_if_right(accepted).await
}

fn refuses_email(error: &Error) -> bool {
    matches!(error, Error::Refused(refusals) if refusals.iter().any(|refusal| refusal.code == Code::Conflict && refusal.field == ["email"]))
}

/// Uses up the invitation and creates the membership. One guarded update decides which of several acceptances wins.
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
    let Some(accepted) = invitation::accept(transaction, invitation, user_id).await? else {
        let current = invitation::by_id(transaction, invitation.id).await?;
        let at = now(transaction).await?;
        let refusal = current.and_then(|invitation| invitation::why_closed(&invitation, at, field));
        return Err(refusal.unwrap_or_else(|| link_replaced(field)).into());
    };
    let admission = Admission::Invitation(&accepted);
    let (member_id, mut events) = joining::join(transaction, admission, field).await?;
    let given = invitation_grants::give(transaction, invitation, user_id).await?;
    let mut joined = admission
        .event(AuditAction::MemberJoined, member_id)
        .summary(format!("{user_id} accepted an invitation as {}", invitation.role))
        .about(user_id)
        .with(json!({
            "via": "invitation", "invitationIds": [invitation.id.to_string()], "role": invitation.role.as_str(),
        }));
    if !given.skipped.is_empty() {
        joined = joined.with(json!({ "skipped": given.skipped }));
    }
    events.push(joined);
    events.extend(given.events);
    events.extend(team::join_by(transaction, invitation.id, user_id).await?);
    transaction.enqueue(&MailInvitationAccepted { invitation_id: invitation.id, member_id }).await?;
    events.extend(
        suspension::lift_by_membership(transaction, &[user_id], "an accepted invitation lifted the suspension").await?,
    );
    Ok((member_id, events))
}

/// Declines an invitation, by its token, or by its id in a session of the invited person.
///
/// # Errors
///
/// On `token` or `id`: NOT_FOUND, REVOKED, EXPIRED, ALREADY_USED and the like if it can't be answered, WRONG_EMAIL for
/// another person.
pub async fn decline(database: &Database, actor: Option<&Actor>, named: &InvitationBy) -> Result<()> {
    database
        .transaction(async |transaction| {
            let field = named.field();
            require_person(actor, named)?;
            let invitation = open(transaction, named).await?;
            let by = match actor {
                Some(actor) => Some(invited_person(transaction, actor, &invitation, named).await?.id),
                None => None,
            };
            if !invitation::answer(transaction, &invitation, InvitationStatus::Declined).await? {
                let at = now(transaction).await?;
                let current = invitation::by_id(transaction, invitation.id).await?.unwrap_or(invitation);
                return Err(invitation::why_closed(&current, at, field).unwrap_or_else(|| link_replaced(field)).into());
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
            let event = match by {
                Some(user_id) => event.about(user_id),
                None => event,
            };
            audit::record(transaction, [through(event.summary("the invited person declined"), actor)]).await
        })
        .await
}

/// The event of an answer, which names the platform key that acts for the person (R86).
fn through(event: NewEvent, actor: Option<&Actor>) -> NewEvent {
    match actor {
        Some(actor) => event.through(actor),
        None => event,
    }
}
