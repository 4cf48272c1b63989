//! Signing in and out, and the sessions of the viewer.

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
    /// Whether it is the one that asks.
    pub current: bool,
}

/// Someone's session: what signing in began.
#[Object]
impl Session {
    /// Begins with ses_.
    pub async fn id(&self) -> ID {
        self.session.id.to_string().into()
    }

    /// When it began.
    async fn created_at(&self) -> DateTime<Utc> {
        self.session.created_at
    }

    /// When it was last used, to within five minutes.
    async fn last_seen_at(&self) -> DateTime<Utc> {
        self.session.last_seen_at
    }

    /// When it ends by itself, 30 days after it began.
    async fn expires_at(&self) -> DateTime<Utc> {
        self.session.expires_at
    }

    /// Whether it is the session that asks.
    async fn current(&self) -> bool {
        self.current
    }

    /// The client that began it, as it called itself.
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

/// The address to email a link and digits to.
#[derive(InputObject)]
pub struct RequestSignInInput {
    /// The address; an account is made for it at the first sign-in.
    email: String,
}

/// The same answer whether or not the address has an account.
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

/// What proves the address: the link's token, or the address with the digits from its newest email.
#[derive(OneofObject)]
pub enum SignInInput {
    /// The token of the emailed link; it works once, for an hour.
    Token(String),
    /// The digits from the newest email; they work once, for 10 minutes and 5 tries.
    Digits(SignInDigits),
}

/// The digits from a sign-in email.
#[derive(InputObject)]
pub struct SignInDigits {
    /// The address that the email went to.
    email: String,
    /// The 6 digits.
    code: String,
}

/// Someone who signed in.
#[derive(SimpleObject, Default)]
pub struct SignInPayload {
    /// Who signed in.
    viewer: Option<Viewer>,
    /// The session that began.
    session: Option<Session>,
    /// To be sent as `Authorization: Bearer …`; shown this once.
    session_token: Option<String>,
    /// Why nobody was signed in.
    user_errors: Vec<UserError>,
}
payload!(SignInPayload);

/// Which session to end.
#[derive(InputObject)]
pub struct SignOutInput {
    /// One of the viewer's sessions; without it, the one that asks.
    session_id: Option<Id<SessionId>>,
}

/// A session that ended.
#[derive(SimpleObject, Default)]
pub struct SignOutPayload {
    /// Which.
    signed_out_session_id: Option<ID>,
    /// Why none was ended.
    user_errors: Vec<UserError>,
}
payload!(SignOutPayload);

/// Where to switch to.
#[derive(InputObject)]
pub struct SwitchOrganizationInput {
    /// An organization of the viewer, the personal one included.
    organization_id: Id<OrganizationId>,
}

/// The viewer with the organization that is active now.
#[derive(SimpleObject, Default)]
pub struct SwitchOrganizationPayload {
    /// The viewer.
    viewer: Option<Viewer>,
    /// Why nothing was switched.
    user_errors: Vec<UserError>,
}
payload!(SwitchOrganizationPayload);

/// Signing in and out.
#[derive(Default)]
pub struct SessionMutation;

#[Object]
impl SessionMutation {
    /// Emails a link and six digits for signing in. The answer is the same whether or not the address has an account.
    async fn request_sign_in(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The address to email them to.")] input: RequestSignInInput,
    ) -> async_graphql::Result<RequestSignInPayload> {
        let request = request(context);
        let asking = SignInRequester { user_agent: request.user_agent.as_deref(), ..SignInRequester::default() };
        let outcome = sign_in::request(database(context), &input.email, asking, request.client).await;
        Payload::of(outcome, |()| RequestSignInPayload::default())
    }

    /// Signs in with what was emailed; an address without an account gets one.
    async fn sign_in(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "What was emailed.")] input: SignInInput,
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
            // Whoever has just signed in has an address; and nothing may fail any more.
            viewer: Viewer::of(signed_in.user, actor).ok(),
            session_token: Some(new.token().reveal().to_owned()),
            user_errors: Vec::new(),
        })
    }

    /// Ends a session at once.
    async fn sign_out(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which session.")] input: SignOutInput,
    ) -> async_graphql::Result<SignOutPayload> {
        let outcome = session::sign_out(database(context), actor(context)?, input.session_id.map(|id| id.0)).await;
        Payload::of(outcome, |id| SignOutPayload {
            signed_out_session_id: Some(id.to_string().into()),
            ..Default::default()
        })
    }

    /// Makes an organization the active one of the session that asks; other sessions keep theirs.
    async fn switch_organization(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Where to switch to.")] input: SwitchOrganizationInput,
    ) -> async_graphql::Result<SwitchOrganizationPayload> {
        let outcome = session::switch_organization(database(context), actor(context)?, input.organization_id.0).await;
        let viewer = Viewer::load(&mut *connect(context).await?, actor(context)?).await?;
        Payload::of(outcome, |()| SwitchOrganizationPayload { viewer, user_errors: Vec::new() })
    }
}
