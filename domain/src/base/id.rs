//! Typed ids: a UUIDv7 inside, a TypeID (`org_01h…`) outside.

use std::fmt::Debug;
use std::hash::Hash;
use std::str::FromStr;

use type_safe_id::{DynamicType, TypeSafeId};
use uuid::Uuid;

/// A name for what is kept in no table, such as a request; nobody reads its time.
pub fn new_name() -> Uuid {
    crate::base::clock::new_uuid()
}

/// An id of one kind of thing.
pub trait TypedId: Copy + Debug + Eq + Hash + Ord + Send + Sync + 'static {
    /// What its TypeID begins with, without the underscore.
    const PREFIX: &'static str;
    /// Wraps a UUID that is known to be of this kind.
    fn from_uuid(uuid: Uuid) -> Self;
    /// The UUID inside.
    fn uuid(self) -> Uuid;
}

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text isn't a TypeID at all.
    #[error("not an id: {given:?}; something like {expected}_01h455vb4pex5vsknk084sn02q is expected")]
    Malformed {
        /// The text, as much of it as one reads.
        given: String,
        /// The prefix that was wanted.
        expected: &'static str,
    },
    /// The id is well formed and of another kind.
    #[error("{given:?} is an id of another kind; one that begins with {expected}_ is expected here")]
    OtherKind {
        /// The id.
        given: String,
        /// The prefix that was wanted.
        expected: &'static str,
    },
}

/// A text that is no id, as an error shows it.
pub fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

/// A TypeID of any kind, split into prefix and UUID; `None` where the text isn't one.
pub fn parse_any(text: &str) -> Option<(String, Uuid)> {
    let id = TypeSafeId::<DynamicType>::from_str(text).ok()?;
    Some((id.type_prefix().to_owned(), id.uuid()))
}

/// Parses a TypeID of the kind `T`.
pub fn parse<T: TypedId>(text: &str) -> Result<T, IdError> {
    match parse_any(text) {
        Some((prefix, uuid)) if prefix == T::PREFIX => Ok(T::from_uuid(uuid)),
        Some(_) => Err(IdError::OtherKind { given: shown(text), expected: T::PREFIX }),
        None => Err(IdError::Malformed { given: shown(text), expected: T::PREFIX }),
    }
}

/// The TypeID of an id.
pub fn to_text<T: TypedId>(id: T) -> String {
    // The prefixes are constants of this module, and valid.
    DynamicType::new(T::PREFIX)
        .map(|prefix| TypeSafeId::from_type_and_uuid(prefix, id.uuid()).to_string())
        .unwrap_or_default()
}

macro_rules! typed_ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize,
            diesel::expression::AsExpression, diesel::deserialize::FromSqlRow,
        )]
        #[diesel(sql_type = diesel::sql_types::Uuid)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl TypedId for $name {
            const PREFIX: &'static str = $prefix;
            fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }
            fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl $name {
            /// A new id, later than those before it.
            #[expect(clippy::new_without_default, reason = "a default id would be a fresh one each time")]
            pub fn new() -> Self {
                Self(crate::base::clock::new_uuid())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&to_text(*self))
            }
        }

        impl Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                parse(text)
            }
        }

        impl diesel::serialize::ToSql<diesel::sql_types::Uuid, diesel::pg::Pg> for $name {
            fn to_sql<'b>(&'b self, out: &mut diesel::serialize::Output<'b, '_, diesel::pg::Pg>) -> diesel::serialize::Result {
                diesel::serialize::ToSql::<diesel::sql_types::Uuid, diesel::pg::Pg>::to_sql(&self.0, out)
            }
        }

        impl diesel::deserialize::FromSql<diesel::sql_types::Uuid, diesel::pg::Pg> for $name {
            fn from_sql(bytes: diesel::pg::PgValue<'_>) -> diesel::deserialize::Result<Self> {
                <Uuid as diesel::deserialize::FromSql<diesel::sql_types::Uuid, diesel::pg::Pg>>::from_sql(bytes).map(Self)
            }
        }
    )*};
}

typed_ids! {
    /// Of an account.
    UserId = "usr";
    /// Of an organization.
    OrganizationId = "org";
    /// Of a membership.
    MemberId = "mem";
    /// Of a change of an account's address.
    EmailChangeId = "emc";
    /// Of a request to sign in.
    SignInRequestId = "sir";
    /// Of a session.
    SessionId = "ses";
    /// Of an API key.
    ApiKeyId = "key";
    /// Of an invitation.
    InvitationId = "inv";
    /// Of a join code.
    JoinCodeId = "jco";
    /// Of a resource of any kind.
    ResourceId = "res";
    /// Of credits that were bought.
    CreditPurchaseId = "crp";
    /// Of a grant.
    GrantId = "grt";
    /// Of an invitation of an address to a resource.
    GrantInvitationId = "gin";
    /// Of a link to a collection.
    ShareLinkId = "lnk";
    /// Of an offer to move a project.
    TransferId = "trf";
    /// Of a team.
    TeamId = "tea";
    /// Of a departure.
    DepartureId = "dep";
    /// Of a resource's move in a departure.
    ResourceMoveId = "mov";
    /// Of an audit event.
    AuditEventId = "evt";
    /// Of a run.
    RunId = "run";
    /// Of a webhook.
    WebhookId = "whk";
    /// Of a webhook's delivery.
    WebhookDeliveryId = "whd";
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_survive_the_round_trip(bytes in any::<u128>()) {
            let id = OrganizationId::from_uuid(Uuid::from_u128(bytes));
            prop_assert_eq!(id.to_string().parse::<OrganizationId>(), Ok(id));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = parse::<UserId>(&text);
        }
    }

    #[test]
    fn an_id_of_another_kind_is_named() {
        let id = UserId::new().to_string();
        assert_eq!(id.parse::<OrganizationId>(), Err(IdError::OtherKind { given: id.clone(), expected: "org" }));
    }
}
