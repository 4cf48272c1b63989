//! Typed ids: UUIDv7 internally, and a TypeID (`org_01h…`) externally.

use std::fmt::Debug;
use std::hash::Hash;
use std::str::FromStr;

use type_safe_id::{DynamicType, TypeSafeId};
use uuid::Uuid;

/// A unique name for something that isn't in any table, such as a request. Nobody reads the time in it.
pub fn new_name() -> Uuid {
    crate::base::clock::new_uuid()
}

/// An id of one type of object.
pub trait TypedId: Copy + Debug + Eq + Hash + Ord + Send + Sync + 'static {
    /// The prefix of the TypeID, without the underscore.
    const PREFIX: &'static str;
    /// Wraps a UUID that is known to belong to this type.
    fn from_uuid(uuid: Uuid) -> Self;
    /// The UUID of the id.
    fn uuid(self) -> Uuid;
}

/// Why a text isn't an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text isn't a TypeID.
    #[error("not an id: {given:?}; something like {expected}_01h455vb4pex5vsknk084sn02q is expected")]
    Malformed {
        /// The text, cut to a readable length.
        given: String,
        /// The expected prefix.
        expected: &'static str,
    },
    /// The id is well formed, but belongs to another type.
    #[error("{given:?} is an id of another kind; one that begins with {expected}_ is expected here")]
    OtherKind {
        /// The id.
        given: String,
        /// The expected prefix.
        expected: &'static str,
    },
}

/// A text that isn't an id, cut for an error message.
pub fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Splits a TypeID of any type into prefix and UUID. `None` if the text isn't a TypeID.
pub fn parse_any(text: &str) -> Option<(String, Uuid)> {
    // The parser cuts long prefixes between bytes, and panics where that is inside a character.
    let text = Some(text).filter(|text| text.is_ascii())?;
    let id = TypeSafeId::<DynamicType>::from_str(text).ok()?;
    Some((id.type_prefix().to_owned(), id.uuid()))
}

/// Parses a TypeID of the type `T`.
pub fn parse<T: TypedId>(text: &str) -> Result<T, IdError> {
    match parse_any(text) {
        Some((prefix, uuid)) if prefix == T::PREFIX => Ok(T::from_uuid(uuid)),
        Some(_) => Err(IdError::OtherKind { given: shown(text), expected: T::PREFIX }),
        None => Err(IdError::Malformed { given: shown(text), expected: T::PREFIX }),
    }
}

/// Formats an id as a TypeID.
pub fn to_text<T: TypedId>(id: T) -> String {
    // The prefixes are constants of this module, and all of them are valid.
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
            /// A new id, which is greater than those before it.
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
    /// The id of an account.
    UserId = "usr";
    /// The id of an organization.
    OrganizationId = "org";
    /// The id of a membership.
    MemberId = "mem";
    /// The id of a change of an account's address.
    EmailChangeId = "emc";
    /// The id of a request to sign in.
    SignInRequestId = "sir";
    /// The id of a session.
    SessionId = "ses";
    /// The id of an identity at an issuer.
    IdentityId = "idn";
    /// The id of an API key.
    ApiKeyId = "key";
    /// The id of a platform key.
    PlatformKeyId = "pky";
    /// The id of an invitation.
    InvitationId = "inv";
    /// The id of a join code.
    JoinCodeId = "jco";
    /// The id of a resource of any kind.
    ResourceId = "res";
    /// The id of a purchase of credits.
    CreditPurchaseId = "crp";
    /// The id of a grant.
    GrantId = "grt";
    /// The id of an invitation of an address to a resource.
    GrantInvitationId = "gin";
    /// The id of a share link.
    ShareLinkId = "lnk";
    /// The id of an offer to transfer a project.
    TransferId = "trf";
    /// The id of a team.
    TeamId = "tea";
    /// The id of a collaborator, made of the ids of the organization and the person.
    CollaboratorId = "col";
    /// The id of a departure.
    DepartureId = "dep";
    /// The id of the move of a resource by a departure.
    ResourceMoveId = "mov";
    /// The id of an audit event.
    AuditEventId = "evt";
    /// The id of a run.
    RunId = "run";
    /// The id of an entry in the ledger of usage.
    UsageEntryId = "use";
    /// The id of an organization's request for more.
    UpgradeRequestId = "upr";
    /// The id of a webhook.
    WebhookId = "whk";
    /// The id of a webhook's delivery.
    WebhookDeliveryId = "whd";
}

impl OrganizationId {
    /// The id that no organization has.
    pub(crate) const NIL: Self = Self(Uuid::nil());
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
    fn letters_of_other_scripts_are_no_id() {
        assert_eq!(parse_any(&format!("{}_", "é".repeat(40))), None);
        assert_eq!(parse_any(&format!("a{}_x", "é".repeat(40))), None);
    }

    #[test]
    fn an_id_of_another_kind_is_named() {
        let id = UserId::new().to_string();
        assert_eq!(id.parse::<OrganizationId>(), Err(IdError::OtherKind { given: id.clone(), expected: "org" }));
    }
}
