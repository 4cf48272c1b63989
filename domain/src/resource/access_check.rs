//! Checks of access for a platform's services: what many people may do with many resources, and why (R89).

use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::account::user_ref::UserRef;
use crate::authority::actor::{AccessQuestions, Actor};
use crate::authority::platform::Within;
use crate::authority::resource_access::{Explanation, NO_WAY_COLUMNS, WAY_COLUMNS, WayRow, access, of_rank, ways};
use crate::authority::rights::AccessLevel;
use crate::base::error::{Error, Result};
use crate::base::id::{OrganizationId, ResourceId, UserId};
use crate::base::limits;
use crate::base::sql::{Statements, parameters};
use crate::base::text::{self, EmailAddress, Username};
use crate::resource::kind::ResourceKind;
use crate::resource::resource_ref::ResourceRef;

/// A question whether somebody may do something with a resource.
#[derive(Debug, Clone)]
pub struct AccessCheck {
    /// The person.
    pub user: UserRef,
    /// The resource.
    pub resource: ResourceRef,
    /// The level that it takes, VIEW or more.
    pub at_least: AccessLevel,
}

/// The answer to an [`AccessCheck`].
#[derive(Debug, Clone)]
pub struct AccessDecision {
    /// Whether the level is at least the one that was asked for.
    pub allowed: bool,
    /// The level.
    pub level: AccessLevel,
    /// The resource; `None` if there is none, or none that the actor may ask about.
    pub resource_id: Option<ResourceId>,
    /// The sequence of the last event of the organization that holds the resource.
    pub revision: Option<i64>,
    /// Why; empty unless it was asked for.
    pub explanation: Explanation,
}

impl AccessDecision {
    /// The answer about what isn't there, or what the actor may not ask about.
    const NONE: Self = Self {
        allowed: false,
        level: AccessLevel::None,
        resource_id: None,
        revision: None,
        explanation: Explanation { reasons: Vec::new(), limited_by: Vec::new() },
    };
}

/// Whether somebody asks for reasons, which cost as much again as the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// Only the level.
    Unasked,
    /// The reasons as well.
    Asked,
}

impl Why {
    /// The columns of the ways in a statement, as [`WayRow`] reads them.
    pub(super) fn columns(self) -> &'static str {
        match self {
            Self::Unasked => NO_WAY_COLUMNS,
            Self::Asked => WAY_COLUMNS,
        }
    }

    /// The join of the ways by which the user reaches a resource `r`.
    pub(super) fn join(self, user: &str) -> String {
        match self {
            Self::Unasked => String::new(),
            Self::Asked => format!(" LEFT JOIN {} ON true", ways(user)),
        }
    }
}

parameters! {
    /// What checks name, each in the list of its sort.
    struct CheckParameters {
        user_ids: Array<Nullable<SqlUuid>> = Vec<Option<UserId>>,
        user_external_ids: Array<Nullable<Text>> = Vec<Option<String>>,
        emails: Array<Nullable<Text>> = Vec<Option<EmailAddress>>,
        usernames: Array<Nullable<Text>> = Vec<Option<Username>>,
        resource_ids: Array<Nullable<SqlUuid>> = Vec<Option<ResourceId>>,
        kinds: Array<Nullable<Text>> = Vec<Option<ResourceKind>>,
        external_ids: Array<Nullable<Text>> = Vec<Option<String>>,
    }
}

impl CheckParameters {
    /// The names of these checks. A text that can't be a name finds nothing.
    fn of(checks: &[AccessCheck]) -> Self {
        fn names<T>(checks: &[AccessCheck], name: impl Fn(&AccessCheck) -> Option<T>) -> Vec<Option<T>> {
            checks.iter().map(name).collect()
        }
        Self {
            user_ids: names(checks, |check| match &check.user {
                UserRef::Id(id) => Some(*id),
                UserRef::ExternalId(_) | UserRef::Email(_) | UserRef::Username(_) => None,
            }),
            user_external_ids: names(checks, |check| match &check.user {
                UserRef::ExternalId(id) => Some(text::storable(id)),
                UserRef::Id(_) | UserRef::Email(_) | UserRef::Username(_) => None,
            }),
            emails: names(checks, |check| match &check.user {
                UserRef::Email(email) => EmailAddress::parse("email", email).ok(),
                UserRef::Id(_) | UserRef::ExternalId(_) | UserRef::Username(_) => None,
            }),
            usernames: names(checks, |check| match &check.user {
                UserRef::Username(username) => Username::parse("username", username).ok(),
                UserRef::Id(_) | UserRef::ExternalId(_) | UserRef::Email(_) => None,
            }),
            resource_ids: names(checks, |check| match &check.resource {
                ResourceRef::Id(id) => Some(*id),
                ResourceRef::External(..) => None,
            }),
            kinds: names(checks, |check| match &check.resource {
                ResourceRef::External(kind, _) => Some(*kind),
                ResourceRef::Id(_) => None,
            }),
            external_ids: names(checks, |check| match &check.resource {
                ResourceRef::External(_, id) => Some(text::storable(id)),
                ResourceRef::Id(_) => None,
            }),
        }
    }
}

/// The text of the statement that answers checks.
fn text_of(why: Why) -> String {
    format!(
        include_str!("check_access.sql"),
        columns = why.columns(),
        access = access("named.user_id"),
        ways = why.join("named.user_id"),
    )
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    ordinal: i64,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    user_id: Option<UserId>,
    #[diesel(sql_type = SqlUuid)]
    resource_id: ResourceId,
    #[diesel(sql_type = SqlUuid)]
    organization_id: OrganizationId,
    #[diesel(sql_type = Integer)]
    rank: i32,
    #[diesel(sql_type = BigInt)]
    revision: i64,
    #[diesel(embed)]
    way: WayRow,
}

/// Fails with a bad request if the level isn't one that somebody can have.
pub(super) fn require_level(at_least: AccessLevel) -> Result<()> {
    match at_least {
        AccessLevel::None => Err(Error::BadRequest("`atLeast` must be VIEW or more".to_owned())),
        AccessLevel::View | AccessLevel::Upload | AccessLevel::Contribute | AccessLevel::Administer => Ok(()),
    }
}

/// Answers checks, in their order and by one state of the database: with one statement, however many there are.
///
/// What the actor may not ask about, and what isn't there, is [`AccessLevel::None`] without a revision. To people, who
/// ask about themselves, so is whatever they can't reach.
///
/// # Errors
///
/// A bad request for no checks, for more than [`limits::MAX_CHECKS`], and for the level NONE; FORBIDDEN for platform
/// keys without ACCESS_CHECK.
pub async fn check_access(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    checks: &[AccessCheck],
    why: Why,
) -> Result<Vec<AccessDecision>> {
    static STATEMENTS: Statements<Why> = Statements::new();
    if checks.is_empty() || checks.len() > limits::MAX_CHECKS {
        return Err(Error::BadRequest(format!("`checks` must be 1 to {}", limits::MAX_CHECKS)));
    }
    checks.iter().try_for_each(|check| require_level(check.at_least))?;
    let questions = actor.access_questions("checks")?;
    let is_answered = |row: &Row| match &questions {
        // Whoever may not look everybody up isn't told apart strangers and accounts that aren't there.
        AccessQuestions::OfAnybody(within) => {
            within.includes(row.organization_id) && (row.user_id.is_some() || *within != Within::All)
        }
        AccessQuestions::OfOneself(reach) => {
            row.user_id == Some(reach.user_id()) && reach.includes(row.organization_id) && row.rank > 0
        }
        AccessQuestions::None => false,
    };
    let asked = STATEMENTS.with(why, |why| text_of(*why), CheckParameters::of(checks));
    let rows: Vec<Row> = asked.load(connection).await?;
    let mut rows = rows.into_iter().filter(is_answered).peekable();
    let mut decisions = Vec::with_capacity(checks.len());
    for (ordinal, check) in (1_i64..).zip(checks) {
        let Some(first) = rows.next_if(|row| row.ordinal == ordinal) else {
            decisions.push(AccessDecision::NONE);
            continue;
        };
        let (level, resource_id, revision) = (of_rank(first.rank), first.resource_id, first.revision);
        let others = std::iter::from_fn(|| rows.next_if(|row| row.ordinal == ordinal));
        let ways = std::iter::once(first.way).chain(others.map(|row| row.way));
        decisions.push(AccessDecision {
            allowed: level >= check.at_least,
            level,
            resource_id: Some(resource_id),
            revision: Some(revision),
            explanation: Explanation::of(level, ways),
        });
    }
    Ok(decisions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::sql::require_fit;

    #[test]
    fn the_checks_name_their_parameters() {
        require_fit::<CheckParameters>([Why::Unasked, Why::Asked].map(text_of));
    }
}
