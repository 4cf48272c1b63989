//! Who asks: read from the database for every request, by one indexed query.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::account::api_key::{self, ApiKeyScope};
use crate::account::session;
use crate::base::error::{Code, Error, Reader, Refusal, Result};
use crate::base::id::{ApiKeyId, OrganizationId, SessionId, UserId};
use crate::base::limits;
use crate::base::secret::Token;
use crate::base::text_enum::text_enum;
use crate::database::schema::{api_keys, members, organizations, sessions, users};
use crate::database::{Database, rollcall_now};
use crate::membership::member::MemberStatus;
use crate::resource::grant;

text_enum! {
    /// What kind of actor did something.
    ActorKind {
        /// A person with a session.
        User = "user",
        /// A person's API key.
        ApiKey = "api_key",
        /// A key that belongs to the organization.
        Service = "service",
        /// The platform's staff.
        Staff = "staff",
        /// Rollcall itself, such as at an expiry.
        System = "system",
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A person with a session.
    User {
        /// The person.
        user_id: UserId,
        /// The session.
        session_id: SessionId,
        /// A suspended account may take an open invitation, and nothing else (D6).
        suspended: bool,
    },
    /// A person's API key: that person, in one organization only.
    ApiKey {
        /// The key.
        api_key_id: ApiKeyId,
        /// Its person.
        user_id: UserId,
        /// The only organization it reaches.
        organization_id: OrganizationId,
        /// Whether it may change anything.
        scope: ApiKeyScope,
    },
    /// A service key: an organization's own programs. It belongs to no person, and reaches nothing but what says so.
    Service {
        /// The key.
        api_key_id: ApiKeyId,
        /// Whose it is.
        organization_id: OrganizationId,
        /// Whether it may change anything.
        scope: ApiKeyScope,
    },
    /// The platform's staff, by a token of ROLLCALL_STAFF_TOKENS or the command line.
    Staff {
        /// As the audit log names them.
        name: String,
    },
}

/// As whom an actor reaches memberships and resources, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reach {
    user_id: UserId,
    only: Option<OrganizationId>,
}

impl Reach {
    /// What a person reaches who is signed in.
    pub(crate) fn of(user_id: UserId) -> Self {
        Self { user_id, only: None }
    }

    /// The person whose memberships and grants count.
    pub fn user_id(self) -> UserId {
        self.user_id
    }

    /// The only organization in which they count, where a key limits them.
    pub fn only(self) -> Option<OrganizationId> {
        self.only
    }

    /// Whether they count in the organization.
    pub fn includes(self, organization_id: OrganizationId) -> bool {
        self.only.is_none_or(|only| only == organization_id)
    }
}

/// What an actor is to others. Each of these is an exhaustive match, and nothing outside of it looks at one kind of actor and takes
/// all others for one: a new kind doesn't compile until each has said what it may.
impl Actor {
    /// As whom, and where, the actor reaches memberships and resources: with none, no organization has it as a member and nothing
    /// is shared with it. Suspended accounts reach nothing (D6).
    pub fn reach(&self) -> Option<Reach> {
        match self {
            Self::User { suspended: true, .. } => None,
            Self::User { user_id, suspended: false, .. } => Some(Reach::of(*user_id)),
            Self::ApiKey { user_id, organization_id, .. } => {
                Some(Reach { user_id: *user_id, only: Some(*organization_id) })
            }
            Self::Service { .. } | Self::Staff { .. } => None,
        }
    }

    /// The person's account, suspended or not, for what is theirs wherever they belong; a key is its person's.
    pub fn account(&self) -> Option<UserId> {
        match self {
            Self::User { user_id, .. } | Self::ApiKey { user_id, .. } => Some(*user_id),
            Self::Service { .. } | Self::Staff { .. } => None,
        }
    }

    /// Whether the actor is this person, by session or key.
    pub fn is(&self, user_id: UserId) -> bool {
        self.account() == Some(user_id)
    }

    /// Whether the actor is this person as far as an organization is concerned, even one that they have left: a key of theirs for
    /// another organization isn't.
    pub fn is_in(&self, organization_id: OrganizationId, user_id: UserId) -> bool {
        match self {
            Self::User { user_id: own, .. } => *own == user_id,
            Self::ApiKey { user_id: own, organization_id: only, .. } => *own == user_id && *only == organization_id,
            Self::Service { .. } | Self::Staff { .. } => false,
        }
    }

    /// The person and their session, suspended or not, for what no key may have: it concerns them in all their organizations.
    pub fn session(&self) -> Option<(UserId, SessionId)> {
        match self {
            Self::User { user_id, session_id, .. } => Some((*user_id, *session_id)),
            Self::ApiKey { .. } | Self::Service { .. } | Self::Staff { .. } => None,
        }
    }

    /// The person, for what takes someone who is signed in themselves: keys and staff may not.
    pub fn signed_in(&self, field: &str) -> Result<(UserId, SessionId)> {
        match self {
            Self::User { suspended: true, .. } => Err(suspended(field).into()),
            Self::User { user_id, session_id, suspended: false } => Ok((*user_id, *session_id)),
            Self::ApiKey { .. } | Self::Service { .. } => {
                Err(Error::refused(Code::Forbidden, field, "requires a signed-in person, not an API key"))
            }
            Self::Staff { .. } => {
                Err(Error::refused(Code::Forbidden, field, "requires a signed-in person, not a staff token"))
            }
        }
    }

    /// Whether the actor is the platform's staff.
    pub fn is_staff(&self) -> bool {
        match self {
            Self::Staff { .. } => true,
            Self::User { .. } | Self::ApiKey { .. } | Self::Service { .. } => false,
        }
    }

    /// Fails with FORBIDDEN for everybody but the platform's staff; `remedy` says who does it otherwise, or that staff are to be asked.
    pub(crate) fn require_staff(&self, field: &str, remedy: &str) -> Result<()> {
        match self.is_staff() {
            true => Ok(()),
            false => {
                Err(Error::refused(Code::Forbidden, field, format!("only the platform's staff do this; {remedy}")))
            }
        }
    }
}

pub(crate) fn suspended(field: &str) -> Refusal {
    suspended_to(Reader::Themselves, field)
}

/// Why nothing is done with a suspended account, to whoever reads it.
pub(crate) fn suspended_to(reader: Reader, field: &str) -> Refusal {
    let message = match reader {
        Reader::Themselves => "this account is suspended; accept an organization's invitation to lift that",
        Reader::Another => "their account is suspended, which lasts until they accept an organization's invitation",
    };
    Refusal::new(Code::Suspended, field, message)
}

/// The actor of a bearer token; UNAUTHENTICATED where it is unknown, expired or revoked.
pub async fn authenticate(database: &Database, token: &str) -> Result<Actor> {
    let mut connection = database.connection().await?;
    if token.starts_with(session::TOKEN_PREFIX) {
        let (actor, is_seen_again) = by_session(&mut connection, token).await?;
        drop(connection);
        if let (true, Some(reach)) = (is_seen_again, actor.reach()) {
            // Nobody is kept from what they came for by what is shared with them just now.
            if let Err(error) = grant::take_up_meanwhile(database, reach.user_id()).await {
                tracing::warn!(%error, "what was shared with an address could not be taken up; the next request in some minutes tries again");
            }
        }
        Ok(actor)
    } else if token.starts_with(api_key::TOKEN_PREFIX) {
        by_api_key(&mut connection, token).await
    } else {
        Err(Error::Unauthenticated)
    }
}

/// Whether the last use was written down so long ago that it is time again.
fn is_stale(last: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    last.is_none_or(|last| (now - last).to_std().is_ok_and(|age| age > limits::LAST_SEEN_GRAIN))
}

/// The actor of a session, and whether that was last seen so long ago that it was written down again.
async fn by_session(connection: &mut AsyncPgConnection, token: &str) -> Result<(Actor, bool)> {
    type Row = (SessionId, UserId, DateTime<Utc>, Option<DateTime<Utc>>, DateTime<Utc>);
    let found: Option<Row> = sessions::table
        .inner_join(users::table.on(users::id.eq(sessions::user_id)))
        .filter(sessions::token_digest.eq(Token::digest(token)))
        .filter(sessions::expires_at.gt(rollcall_now()))
        .select((sessions::id, sessions::user_id, sessions::last_seen_at, users::suspended_at, rollcall_now()))
        .first(connection)
        .await
        .optional()?;
    let (session_id, user_id, last_seen_at, suspended_at, now) = found.ok_or(Error::Unauthenticated)?;
    let is_seen_again = is_stale(Some(last_seen_at), now);
    if is_seen_again {
        diesel::update(sessions::table.find(session_id))
            .set(sessions::last_seen_at.eq(now))
            .execute(connection)
            .await?;
    }
    Ok((Actor::User { user_id, session_id, suspended: suspended_at.is_some() }, is_seen_again))
}

async fn by_api_key(connection: &mut AsyncPgConnection, token: &str) -> Result<Actor> {
    type Row = (ApiKeyId, UserId, bool, OrganizationId, ApiKeyScope, Option<DateTime<Utc>>, DateTime<Utc>);
    let found: Option<Row> = api_keys::table
        .inner_join(
            members::table
                .on(members::organization_id.eq(api_keys::organization_id).and(members::user_id.eq(api_keys::user_id))),
        )
        .inner_join(users::table.on(users::id.eq(api_keys::user_id)))
        .inner_join(organizations::table.on(organizations::id.eq(api_keys::organization_id)))
        .filter(api_keys::secret_digest.eq(Token::digest(token)))
        .filter(api_keys::revoked_at.is_null())
        .filter(api_keys::expires_at.is_null().or(api_keys::expires_at.gt(rollcall_now().nullable())))
        // Whoever made a service key may be gone.
        .filter(api_keys::service.or(members::status.eq(MemberStatus::Active).and(users::suspended_at.is_null())))
        .filter(organizations::deleted_at.is_null())
        .select((
            api_keys::id,
            api_keys::user_id,
            api_keys::service,
            api_keys::organization_id,
            api_keys::scope,
            api_keys::last_used_at,
            rollcall_now(),
        ))
        .first(connection)
        .await
        .optional()?;
    let (api_key_id, user_id, service, organization_id, scope, last_used_at, now) =
        found.ok_or(Error::Unauthenticated)?;
    if is_stale(last_used_at, now) {
        diesel::update(api_keys::table.find(api_key_id))
            .set(api_keys::last_used_at.eq(now))
            .execute(connection)
            .await?;
    }
    Ok(match service {
        true => Actor::Service { api_key_id, organization_id, scope },
        false => Actor::ApiKey { api_key_id, user_id, organization_id, scope },
    })
}
