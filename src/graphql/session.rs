//! Signing in and out, and the viewer's sessions.

use async_graphql::{Context, ID, InputObject, Object, OneofObject, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::account::session::{self, NewSession};
use rollcall_domain::authority::actor::Actor;
use rollcall_domain::base::id::{OrganizationId, SessionId};
use rollcall_domain::sign_in::{self, SignInRequester};

use super::connection::connection;
use super::context::{actor, connection as connect, database, request};
use super::error::{Payload, UserError, payload, top_level};
use super::id::Id;
use super::viewer::Viewer;

#[derive(Debug, Clone)]
pub struct Session {
    /// The session.
    pub session: session::Session,
    /// Whether the request was made with this session.
    pub current: bool,
}

/// A session of the viewer, which began when they signed in.
#[Object]
impl Session {
    /// The session's id. It begins with `ses_`.
    pub async fn id(&self) -> ID {
        self.session.id.to_string().into()
    }

    /// When the session began.
    async fn created_at(&self) -> DateTime<Utc> {
        self.session.created_at
    }

    /// When the session was last used, with a precision of five minutes.
    async fn last_seen_at(&self) -> DateTime<Utc> {
        self.session.last_seen_at
    }

    /// When the session expires: 30 days after it began.
    async fn expires_at(&self) -> DateTime<Utc> {
        self.session.expires_at
    }

    /// Whether this request was made with the session.
    async fn current(&self) -> bool {
        self.current
    }

    /// The `User-Agent` header of the client that began the session.
    async fn user_agent(&self) -> Option<&str> {
        self.session.user_agent.as_deref()
    }
}

impl Session {
    /// A session as the actor sees it.
    pub fn of(actor: &Actor, session: session::Session) -> Self {
        let current = actor.session().is_some_and(|(_, current)| current == session.id);
        Self { session, current }
    }
}

connection!(SessionConnection, SessionEdge, Session, "sessions", total_count);

/// The email address to send a sign-in link and digits to.
#[derive(InputObject)]
pub struct RequestSignInInput {
    /// The email address. If it has no account, one is created at the first sign-in.
    email: String,
}

/// The result of requesting a sign-in email. It is the same whether or not the address has an account.
#[derive(SimpleObject, Default)]
pub struct RequestSignInPayload {
    /// Why no email was sent.
    user_errors: Vec<UserError>,
}

impl Payload for RequestSignInPayload {
    fn refused(user_errors: Vec<UserError>) -> Self {
        Self { user_errors }
    }
}

/// The proof that the person controls the email address. Exactly one field must be set.
#[derive(OneofObject)]
pub enum SignInInput {
    /// The token from the emailed link. It works once, within an hour.
    Token(String),
    /// The email address, with the digits from the newest email to it. The digits work once, for 10 minutes and 5
    /// attempts.
    Digits(SignInDigits),
}

/// The digits from a sign-in email.
#[derive(InputObject)]
pub struct SignInDigits {
    /// The address that the email was sent to.
    email: String,
    /// The 6 digits.
    code: String,
}

/// The result of signing in.
#[derive(SimpleObject, Default)]
pub struct SignInPayload {
    /// The user who signed in.
    viewer: Option<Viewer>,
    /// The new session.
    session: Option<Session>,
    /// The session token, to be sent as `Authorization: Bearer …`. It is shown only this once.
    session_token: Option<String>,
    /// Why nobody was signed in.
    user_errors: Vec<UserError>,
}
payload!(SignInPayload);

/// Identifies the session to end.
#[derive(InputObject)]
pub struct SignOutInput {
    /// One of the viewer's sessions. If omitted, it is the session with which the request is made.
    session_id: Option<Id<SessionId>>,
}

/// The result of signing out.
#[derive(SimpleObject, Default)]
pub struct SignOutPayload {
    /// The id of the session, which has ended.
    signed_out_session_id: Option<ID>,
    /// Why no session was ended.
    user_errors: Vec<UserError>,
}
payload!(SignOutPayload);

/// Identifies the organization to switch to.
#[derive(InputObject)]
pub struct SwitchOrganizationInput {
    /// One of the viewer's organizations, which may be the personal one.
    organization_id: Id<OrganizationId>,
}

/// The result of switching to another organization.
#[derive(SimpleObject, Default)]
pub struct SwitchOrganizationPayload {
    /// The viewer, with the organization that is now active.
    viewer: Option<Viewer>,
    /// Why the organization wasn't switched.
    user_errors: Vec<UserError>,
}
payload!(SwitchOrganizationPayload);

/// The mutations of sessions.
#[derive(Default)]
pub struct SessionMutation;

#[Object]
impl SessionMutation {
    /// Sends an email with a link and six digits for signing in. The response is the same whether or not the address
    /// has an account.
    async fn request_sign_in(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The email address.")] input: RequestSignInInput,
    ) -> async_graphql::Result<RequestSignInPayload> {
        let request = request(context);
        let asking = SignInRequester { user_agent: request.user_agent.as_deref(), ..SignInRequester::default() };
        let outcome = sign_in::request(database(context), &input.email, asking, request.client).await;
        Payload::of(outcome, |()| RequestSignInPayload::default())
    }

    /// Signs in with the link or the digits from an email. If the address has no account, one is created.
    async fn sign_in(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The token, or the address and digits.")] input: SignInInput,
    ) -> async_graphql::Result<SignInPayload> {
        let proof = match input {
            SignInInput::Token(token) => sign_in::Proof::Token(token),
            SignInInput::Digits(SignInDigits { email, code }) => sign_in::Proof::Digits { email, code },
        };
        let request = request(context);
        let new = NewSession::random(request.user_agent.as_deref()).map_err(top_level)?;
        let outcome = sign_in::sign_in(database(context), &proof, &new, request.client).await;
        let signed_in = match outcome {
            Ok(signed_in) => signed_in,
            Err(error) => return Payload::of(Err::<(), _>(error), |()| SignInPayload::default()),
        };
        let actor = signed_in.actor();
        request.becomes(actor.clone());
        Ok(SignInPayload {
            session: Some(Session::of(&actor, signed_in.session)),
            // Somebody who has just signed in always has an address, so this is never `None`; and at this point
            // nothing may fail any more.
            viewer: Viewer::of(signed_in.user, actor).ok(),
            session_token: Some(new.token().reveal().to_owned()),
            user_errors: Vec::new(),
        })
    }

    /// Ends a session. It stops working at once.
    async fn sign_out(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The session to end.")] input: SignOutInput,
    ) -> async_graphql::Result<SignOutPayload> {
        let outcome = session::sign_out(database(context), actor(context)?, input.session_id.map(|id| id.0)).await;
        Payload::of(outcome, |id| SignOutPayload {
            signed_out_session_id: Some(id.to_string().into()),
            ..Default::default()
        })
    }

    /// Makes an organization the active one of the session with which the request is made. Other sessions aren't
    /// affected.
    async fn switch_organization(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The organization to switch to.")] input: SwitchOrganizationInput,
    ) -> async_graphql::Result<SwitchOrganizationPayload> {
        let outcome = session::switch_organization(database(context), actor(context)?, input.organization_id.0).await;
        let viewer = Viewer::load(&mut *connect(context).await?, actor(context)?).await?;
        Payload::of(outcome, |()| SwitchOrganizationPayload { viewer, user_errors: Vec::new() })
    }
}
