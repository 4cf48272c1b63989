//! Signing in without a password, with a link or six digits, which are sent in the same email.

pub mod by_issuer;
pub mod email_change;
pub mod user_upsert;

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::account::grant_invitation;
use crate::account::new_account::{self, NewUser};
use crate::account::session::{self, NewSession, Session};
use crate::account::user::{self, User};
use crate::authority::access;
use crate::authority::actor::Actor;
use crate::authority::attempt::{self, Count, PendingAttempts};
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::issued::Issued;
use crate::authority::suspension::Suspension;
use crate::base::client::ClientNetwork;
use crate::base::error::{Code, Error, Reader, Refusal, Result};
use crate::base::id::{InvitationId, SignInRequestId, TypedId, UserId};
use crate::base::job::{JobClaim, MailSignIn};
use crate::base::secret::{Purpose, Token};
use crate::base::sql::Prepare as _;
use crate::base::text::{self, EmailAddress};
use crate::base::{limits, random};
use crate::database::schema::{invitations, sign_in_requests, users};
use crate::database::{Database, Transaction, now, rollcall_now};
use crate::membership::invitation::InvitationStatus;

/// A request to sign in, with what its email needs.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = sign_in_requests)]
pub struct SignInRequest {
    /// The request's id.
    pub id: SignInRequestId,
    /// The address that the email goes to.
    pub email: EmailAddress,
    /// The `User-Agent` of the client that made the request.
    pub user_agent: Option<String>,
    /// The invitation that is accepted by the sign-in (R20).
    pub invitation_id: Option<InvitationId>,
    /// When the request was used to sign in.
    pub used_at: Option<DateTime<Utc>>,
    /// When the request was made.
    pub created_at: DateTime<Utc>,
    /// The client's network. `None` for requests from before this was recorded.
    client: Option<String>,
}

impl SignInRequest {
    /// When the link expires.
    pub fn link_expires_at(&self) -> DateTime<Utc> {
        self.created_at + limits::SIGN_IN_LINK_LIFETIME
    }
}

/// The client that requests an email.
#[derive(Debug, Clone, Copy, Default)]
pub struct SignInRequester<'a> {
    /// The client's `User-Agent` header.
    pub user_agent: Option<&'a str>,
    /// The digest of the form, if a page made the request. A form that is sent twice requests one email.
    pub form_digest: Option<&'a [u8]>,
}

/// Emails a link and digits to the address. The response is the same whether or not the address has an account.
///
/// If the client or the deployment has had as many emails requested as it may, only people with an account are still
/// sent one. Nobody is refused because of what others have requested.
pub async fn request(
    database: &Database,
    email: &str,
    requester: SignInRequester<'_>,
    client: ClientNetwork,
) -> Result<()> {
    let email = EmailAddress::parse("email", email)?;
    if is_sent_again(database, requester).await? {
        return Ok(());
    }
    match count_request(database, &email, client).await? {
        Served::Everybody => ask(database, &email, requester, None, client).await.map(drop),
        Served::Accounts => {
            ask_later(database, email, requester, client);
            Ok(())
        }
    }
}

/// Emails a link to the invited address that signs in and accepts the invitation (R20). Only the address's own limit
/// applies, since whoever holds the invitation's link can't request emails to other addresses.
pub async fn request_for_invitation(
    database: &Database,
    email: &EmailAddress,
    invitation_id: InvitationId,
    requester: SignInRequester<'_>,
    client: ClientNetwork,
) -> Result<()> {
    if is_sent_again(database, requester).await? {
        return Ok(());
    }
    count_for_address(database, email, client).await?;
    ask(database, email, requester, Some(invitation_id), client).await.map(drop)
}

/// Whether the same form has requested its email before. That request counts, and this one doesn't: what counts without
/// an email would keep people out.
async fn is_sent_again(database: &Database, requester: SignInRequester<'_>) -> Result<bool> {
    let Some(digest) = requester.form_digest else { return Ok(false) };
    let before = sign_in_requests::table.filter(sign_in_requests::form_digest.eq(digest));
    let mut connection = database.connection().await?;
    Ok(diesel::select(diesel::dsl::exists(before)).get_result(&mut *connection).await?)
}

/// Whom a client's request may still reach.
enum Served {
    /// Every address.
    Everybody,
    /// Addresses with an account.
    Accounts,
}

/// Counts a request. Unlike other attempts, it is never taken back, since a request can't be wrong.
async fn count_request(database: &Database, email: &EmailAddress, client: ClientNetwork) -> Result<Served> {
    let limits::TryLimits { account, client: of_client, deployment } = limits::SIGN_IN_REQUESTS;
    let counts = [(account, by(email, client)), (of_client, client.to_string()), (deployment, String::new())];
    let counts = counts.map(|(limit, subject)| Count { limit, subject, number: 1 });
    if attempt::count_all_or_none(database, &counts).await?.is_ok() {
        return Ok(Served::Everybody);
    }
    count_for_address(database, email, client).await?;
    Ok(Served::Accounts)
}

/// What is counted for an address and a client together. Nobody can use up what others may do at the same address, or
/// learn from their own count what others did.
fn by(email: &EmailAddress, client: ClientNetwork) -> String {
    format!("{email} {client}")
}

async fn count_for_address(database: &Database, email: &EmailAddress, client: ClientNetwork) -> Result<()> {
    let own = Count { limit: limits::SIGN_IN_REQUESTS.account, subject: by(email, client), number: 1 };
    match attempt::count_all_or_none(database, &[own]).await? {
        Ok(_) => Ok(()),
        Err(full) => {
            Err(Error::RateLimited { retry_after: full.iter().map(|full| full.wait).max().unwrap_or_default() })
        }
    }
}

/// A request beyond the limits, which is looked at later.
struct LateRequest {
    email: EmailAddress,
    user_agent: Option<String>,
    form_digest: Option<Vec<u8>>,
    client: ClientNetwork,
}

/// The requests that wait. It is bounded by what arrives within [`WAIT`].
static LATE: Mutex<Vec<LateRequest>> = Mutex::new(Vec::new());
/// After how many milliseconds they are looked at.
const WAIT: Range<u32> = 1_000..3_000;
/// How many may wait. No process receives that many in so short a time.
const MOST_LATE: usize = 100_000;

/// Sends an email if the address has an account. The requests of a few seconds are looked at together, some time after
/// their responses, with one statement. Thus neither a response nor the requests after it tell by their time whether
/// there is an account, and requests for addresses without one cost next to nothing, however many there are.
///
/// What waits is lost if the process ends. Whoever gets no email asks again.
fn ask_later(database: &Database, email: EmailAddress, requester: SignInRequester<'_>, client: ClientNetwork) {
    // What waits in memory is cut first.
    let user_agent = session::kept_user_agent(requester.user_agent);
    let form_digest = requester.form_digest.map(ToOwned::to_owned);
    let late = LateRequest { email, user_agent, form_digest, client };
    let is_first = {
        let mut waiting = LATE.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MOST_LATE {
            waiting.push(late);
        }
        waiting.len() == 1
    };
    if is_first {
        let database = database.for_everybody();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(random::number(WAIT).into())).await;
            let waiting = std::mem::take(&mut *LATE.lock().unwrap_or_else(PoisonError::into_inner));
            ask_for_accounts(&database, waiting).await;
        });
    }
}

/// Sends emails to those of the addresses that have an account, one to each. If the database fails, it is asked a few
/// times more.
async fn ask_for_accounts(database: &Database, mut waiting: Vec<LateRequest>) {
    for pause in LATER_TRIES {
        match ask_for_some(database, &mut waiting).await {
            Ok(()) => return,
            Err(error) => warn_unsent(&error, waiting.len()),
        }
        tokio::time::sleep(pause).await;
    }
    if let Err(error) = ask_for_some(database, &mut waiting).await {
        warn_unsent(&error, waiting.len());
    }
}

fn warn_unsent(error: &Error, number: usize) {
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, number, "sign-in mails that were asked for beyond the limits aren't sent");
}

/// How long to wait for the database before it is asked again.
const LATER_TRIES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(60)];

/// Takes requests from those that wait until there are none, or until the database fails.
async fn ask_for_some(database: &Database, waiting: &mut Vec<LateRequest>) -> Result<()> {
    let addresses: Vec<EmailAddress> = waiting.iter().map(|late| late.email.clone()).collect();
    let found: Vec<Option<EmailAddress>> = {
        let mut connection = database.connection().await?;
        users::table.filter(users::email.eq_any(addresses)).select(users::email).load(&mut *connection).await?
    };
    let mut found: HashSet<EmailAddress> = found.into_iter().flatten().collect();
    waiting.retain(|late| found.contains(&late.email));
    while let Some(late) = waiting.last() {
        let LateRequest { email, user_agent, form_digest, client } = late;
        let requester = SignInRequester { user_agent: user_agent.as_deref(), form_digest: form_digest.as_deref() };
        // A form that was sent twice doesn't use up what somebody else has asked for.
        if found.contains(email) && ask(database, email, requester, None, *client).await? {
            found.remove(email);
        }
        waiting.pop();
    }
    Ok(())
}

/// Makes a link that signs the address in. It is for the banner of a service that runs on one machine for the first
/// time.
pub async fn first_link(database: &Database, email: &EmailAddress) -> Result<Token> {
    let id = database
        .transaction(async |transaction| {
            let id = insert(transaction, email, SignInRequester::default(), None, None).await?;
            id.ok_or(Error::Bug("only a form asks twice"))
        })
        .await?;
    database.keyring().link_token(Purpose::SignInLink, id.uuid(), 1)
}

/// Inserts a request and enqueues its email. `false` if the same form was sent before.
async fn ask(
    database: &Database,
    email: &EmailAddress,
    requester: SignInRequester<'_>,
    invitation_id: Option<InvitationId>,
    client: ClientNetwork,
) -> Result<bool> {
    database
        .transaction(async |transaction| {
            // This doesn't look up whose address it is, since that would take longer for an address with an account.
            let inserted = insert(transaction, email, requester, invitation_id, Some(client)).await?;
            if let Some(id) = inserted {
                transaction.enqueue(&MailSignIn { sign_in_request_id: id }).await?;
            }
            Ok(inserted.is_some())
        })
        .await
}

/// Records in the account's log that a sign-in email was requested, if the address has an account. This happens once,
/// in the email's job, so that nobody waits for it.
pub async fn record_request(database: &Database, id: SignInRequestId, claim: JobClaim<'_>) -> Result<()> {
    database
        .transaction(async |transaction| {
            claim(transaction).await?;
            let email: Option<EmailAddress> =
                diesel::update(sign_in_requests::table.find(id).filter(sign_in_requests::recorded.eq(false)))
                    .set(sign_in_requests::recorded.eq(true))
                    .returning(sign_in_requests::email)
                    .prepared()
                    .get_result(&mut **transaction)
                    .await
                    .optional()?;
            let Some(email) = email else { return Ok(()) };
            let Some(user) = user::by_email(transaction, &email).await? else { return Ok(()) };
            let personal = user::personal_organization_id(transaction, user.id).await?;
            let event = NewEvent::by_system(personal, AuditAction::UserSignInRequested, user.id)
                .summary("a sign-in mail was asked for")
                .about(user.id);
            audit::record(transaction, [event]).await
        })
        .await
}

/// Counts the email of a request. Returns `false` if the address has already had enough of them, or the client has
/// caused enough of them to strangers. Whether the address has an account is looked up only here, where nobody waits
/// for a response.
pub async fn take_mail_turn(database: &Database, request: &SignInRequest) -> Result<bool> {
    let mut connection = database.connection().await?;
    let has_account = user::by_email(&mut connection, &request.email).await?.is_some();
    drop(connection);
    for of_address in [limits::SIGN_IN_MAILS, limits::LATER_SIGN_IN_MAILS] {
        let mut counts = vec![Count { limit: of_address, subject: request.email.to_string(), number: 1 }];
        // Whoever is invited isn't a stranger.
        if !has_account && request.invitation_id.is_none() {
            let subject = request.client.clone().unwrap_or_default();
            counts.push(Count { limit: limits::STRANGERS_SIGN_IN_MAILS, subject, number: 1 });
        }
        if attempt::count_all_or_none(database, &counts).await?.is_ok() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Records that the email of a request is about to be sent. From then on, its digits are those of the newest email.
pub async fn mark_mailed(database: &Database, id: SignInRequestId) -> Result<()> {
    let unmarked = sign_in_requests::table.find(id).filter(sign_in_requests::mailed_at.is_null());
    diesel::update(unmarked)
        .set(sign_in_requests::mailed_at.eq(rollcall_now().nullable()))
        .prepared()
        .execute(&mut *database.connection().await?)
        .await?;
    Ok(())
}

/// Inserts a request. `None` if the same form was sent before.
async fn insert(
    transaction: &mut Transaction,
    email: &EmailAddress,
    requester: SignInRequester<'_>,
    invitation_id: Option<InvitationId>,
    client: Option<ClientNetwork>,
) -> Result<Option<SignInRequestId>> {
    let id = SignInRequestId::new();
    let inserted = diesel::insert_into(sign_in_requests::table)
        .values((
            sign_in_requests::id.eq(id),
            sign_in_requests::email.eq(email),
            sign_in_requests::user_agent.eq(session::kept_user_agent(requester.user_agent)),
            sign_in_requests::form_digest.eq(requester.form_digest),
            sign_in_requests::invitation_id.eq(invitation_id),
            sign_in_requests::created_at.eq(rollcall_now()),
            sign_in_requests::client.eq(client.map(|client| client.to_string())),
        ))
        .on_conflict(sign_in_requests::form_digest)
        .do_nothing()
        .execute(&mut **transaction)
        .await?;
    Ok((inserted > 0).then_some(id))
}

/// Loads the request for its email.
pub async fn by_id(connection: &mut AsyncPgConnection, id: SignInRequestId) -> Result<Option<SignInRequest>> {
    Ok(sign_in_requests::table.find(id).select(SignInRequest::as_select()).first(connection).await.optional()?)
}

/// Finds the request of a link's token, if it can still be used. For the page that asks for confirmation.
pub async fn by_token(database: &Database, token: &str) -> Result<SignInRequest> {
    let Some((id, _)) = database.keyring().read_link_token(Purpose::SignInLink, token)? else {
        return Err(link_is_wrong().into());
    };
    let mut connection = database.connection().await?;
    let at = now(&connection).await?;
    let request = by_id(&mut connection, SignInRequestId::from_uuid(id)).await?.ok_or_else(link_is_wrong)?;
    if let Some(refusal) = why_unusable(&request, at) {
        return Err(refusal.into());
    }
    Ok(request)
}

fn link_is_wrong() -> Refusal {
    Refusal::new(
        Code::Invalid,
        "token",
        "this sign-in link is incomplete or isn't genuine; copy all of it, or ask for a new one",
    )
}

fn why_unusable(request: &SignInRequest, at: DateTime<Utc>) -> Option<Refusal> {
    if request.used_at.is_some() {
        Some(Refusal::new(Code::AlreadyUsed, "token", "this sign-in link was already used; ask for a new one"))
    } else if request.link_expires_at() <= at {
        Some(Refusal::new(Code::Expired, "token", "this sign-in link has expired; ask for a new one"))
    } else {
        None
    }
}

/// Deletes up to `limit` requests older than [`limits::SIGN_IN_REQUEST_RETENTION`], and returns how many.
pub(crate) async fn prune(transaction: &mut Transaction, limit: u32) -> Result<usize> {
    let until = now(transaction).await? - limits::SIGN_IN_REQUEST_RETENTION;
    let old: Vec<SignInRequestId> = sign_in_requests::table
        .filter(sign_in_requests::created_at.lt(until))
        .order(sign_in_requests::created_at)
        .limit(limit.into())
        .select(sign_in_requests::id)
        .for_update()
        .skip_locked()
        .load(&mut **transaction)
        .await?;
    let old = sign_in_requests::table.filter(sign_in_requests::id.eq_any(old));
    Ok(diesel::delete(old).execute(&mut **transaction).await?)
}

/// The proof that somebody controls an email address.
#[derive(Debug, Clone)]
pub enum Proof {
    /// The token from the link.
    Token(String),
    /// The address, with the six digits from the newest email to it.
    Digits {
        /// The email address.
        email: String,
        /// The six digits.
        code: String,
    },
}

/// The result of signing in. It is read completely before the commit, so that what is shown only once can't be lost
/// because a later read fails.
#[derive(Debug)]
pub struct SignedIn {
    /// The user who signed in.
    pub user: User,
    /// The new session.
    pub session: Session,
    /// Whether an organization has suspended the account, which could sign in only because of a pending invitation
    /// (D6).
    pub suspended: bool,
    /// The invitation for which the sign-in was requested (R20).
    pub invitation_id: Option<InvitationId>,
}

impl SignedIn {
    /// The actor for the rest of this request.
    pub fn actor(&self) -> Actor {
        Actor::User { user_id: self.user.id, session_id: self.session.id, until: None, suspended: self.suspended }
    }
}

/// Signs in. If the address has no account, one is created.
pub async fn sign_in(database: &Database, proof: &Proof, new: &NewSession, client: ClientNetwork) -> Result<SignedIn> {
    let (id, field, tried) = match proof {
        Proof::Token(token) => (by_token(database, token).await?.id, "token", PendingAttempts::none()),
        Proof::Digits { email, code } => {
            let (id, tried) = try_digits(database, email, code, client).await?;
            (id, "digits", tried)
        }
    };
    let signed_in = database
        .transaction(async |transaction| {
            let used: Option<(EmailAddress, Option<InvitationId>)> =
                diesel::update(sign_in_requests::table.find(id).filter(sign_in_requests::used_at.is_null()))
                    .set(sign_in_requests::used_at.eq(rollcall_now().nullable()))
                    .returning((sign_in_requests::email, sign_in_requests::invitation_id))
                    .prepared()
                    .get_result(&mut **transaction)
                    .await
                    .optional()?;
            let (email, invitation_id) = used.ok_or_else(|| {
                Refusal::new(Code::AlreadyUsed, field, "this email was already used to sign in; ask for a new one")
            })?;
            let mut events = Vec::new();
            let (user, personal, is_suspended) = match user::by_email(transaction, &email).await? {
                Some(user) => {
                    access::lock_users(transaction, &[user.id]).await?;
                    // The account is read again under the lock, since it may have been suspended or deleted, or have
                    // got another address.
                    let user = user::by_id(transaction, user.id).await?;
                    if user.email.as_ref() != Some(&email) {
                        let message = "the account of this address has just changed; try again";
                        return Err(Error::refused(Code::Conflict, field, message));
                    }
                    let is_suspended = require_unsuspended(transaction, &user, &email, field).await?;
                    events.extend(grant_invitation::take_up(transaction, user.id, &email).await?);
                    let personal = user::personal_organization_id(transaction, user.id).await?;
                    (user, personal, is_suspended)
                }
                None => {
                    let new = NewUser { email: &email, name: None, username: None, origin_organization_id: None };
                    let created = new_account::create(transaction, new).await?;
                    events.extend(created.events);
                    let user = user::by_id(transaction, created.user_id).await?;
                    (user, created.personal_organization_id, false)
                }
            };
            let session = session::create(transaction, user.id, new).await?;
            events.push(
                NewEvent::by_user(user.id, personal, AuditAction::UserSignedIn, session.id)
                    .summary("signed in by mail")
                    .about(user.id),
            );
            attempt::forget(transaction, &[limits::SIGN_IN_MAILS, limits::LATER_SIGN_IN_MAILS], email.as_str()).await?;
            audit::record(transaction, events).await?;
            Ok(SignedIn { user, session, suspended: is_suspended, invitation_id })
        })
        .await;
    tried.refund_if_right(signed_in).await
}

/// Ends the requests to sign in with an address, whose links and digits no longer sign anybody in. The caller locks the
/// address's account afterwards, as signing in does.
async fn end_requests_to(transaction: &mut Transaction, email: &EmailAddress) -> Result<()> {
    diesel::update(
        sign_in_requests::table.filter(sign_in_requests::email.eq(email)).filter(sign_in_requests::used_at.is_null()),
    )
    .set(sign_in_requests::used_at.eq(rollcall_now().nullable()))
    .prepared()
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Whether an organization has suspended the account, which may then sign in only to answer an invitation (D6).
///
/// # Errors
///
/// SUSPENDED on `field` if it may not. Whoever reads the address's emails may know what became of its account.
async fn require_unsuspended(
    transaction: &mut Transaction,
    user: &User,
    email: &EmailAddress,
    field: &str,
) -> Result<bool> {
    match user.suspension() {
        None => Ok(false),
        Some(Suspension::ByOrganization) if has_open_invitation(transaction, user.id, email).await? => Ok(true),
        Some(suspension @ (Suspension::ByOrganization | Suspension::ByPlatform)) => {
            let support = transaction.deployment().support_email.as_ref();
            Err(suspension.refusal(Reader::Themselves, support, field).into())
        }
    }
}

async fn has_open_invitation(transaction: &mut Transaction, user_id: UserId, email: &EmailAddress) -> Result<bool> {
    let open = invitations::table
        .filter(invitations::email.eq(email).or(invitations::user_id.eq(user_id)))
        .filter(invitations::status.eq(InvitationStatus::Pending))
        .filter(invitations::expires_at.gt(rollcall_now()))
        .filter(Issued::Invitation.stands());
    Ok(diesel::select(diesel::dsl::exists(open)).get_result(&mut **transaction).await?)
}

/// Checks the digits, after counting the attempt and committing the counts. The digits of one email become invalid
/// after five attempts, across all processes.
async fn try_digits(
    database: &Database,
    email: &str,
    code: &str,
    client: ClientNetwork,
) -> Result<(SignInRequestId, PendingAttempts)> {
    let wrong = || {
        Refusal::new(
            Code::Invalid,
            "code",
            "these are not the digits of the newest mail, or they have expired; ask for a new mail after five tries or ten minutes",
        )
        .within(["digits"])
    };
    let email = EmailAddress::parse("email", email).map_err(|refusal| refusal.within(["digits"]))?;
    let code = text::digits(code).filter(|digits| digits.len() == 6).ok_or_else(|| {
        let message = "must be the six digits from the email; nothing was tried";
        Refusal::new(Code::Invalid, "code", message).within(["digits"])
    })?;
    // Addresses without an account, and without an email, are counted too, so that the response doesn't tell them
    // apart.
    let tried = attempt::count_attempt(database, &limits::SIGN_IN_DIGITS, email.as_str(), client).await?;
    let mut connection = database.connection().await?;
    let lifetime =
        chrono::Duration::from_std(limits::SIGN_IN_DIGITS_LIFETIME).map_err(|_| Error::Bug("ten minutes are short"))?;
    let since = now(&connection).await? - lifetime;
    let newest: Option<SignInRequestId> = sign_in_requests::table
        .filter(sign_in_requests::email.eq(&email))
        .filter(sign_in_requests::mailed_at.is_not_null())
        .order((sign_in_requests::created_at.desc(), sign_in_requests::id.desc()))
        .select(sign_in_requests::id)
        .first(&mut *connection)
        .await
        .optional()?;
    // Without an email, there is nothing to compare the digits with. The statement is executed nevertheless, so that
    // the response takes as long.
    let newest = newest.unwrap_or_else(SignInRequestId::new);
    let counted = diesel::update(
        sign_in_requests::table
            .find(newest)
            .filter(sign_in_requests::used_at.is_null())
            .filter(sign_in_requests::created_at.gt(since))
            .filter(sign_in_requests::digit_tries.lt(limits::SIGN_IN_DIGIT_TRIES)),
    )
    .set(sign_in_requests::digit_tries.eq(sign_in_requests::digit_tries + 1))
    .prepared()
    .execute(&mut *connection)
    .await?;
    let is_right = database.keyring().verify_digits(newest.uuid(), &code)?;
    if counted == 0 || !is_right {
        return Err(wrong().into());
    }
    Ok((newest, tried))
}
