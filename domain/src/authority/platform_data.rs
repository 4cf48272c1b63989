//! What a platform attaches to objects: its own ids, its own nouns, and its own data (R87). Only platform keys write
//! it, for themselves or on behalf of people.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Number, Value};

use crate::authority::actor::Actor;
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{MemberId, OrganizationId, ResourceId, TeamId, UserId};
use crate::base::{limits, text};
use crate::database::schema::{members, organizations, resources, teams, users};

/// Parses a platform's own id of an object. It is compared as it is.
pub(crate) fn external_id(field: &str, external_id: &str) -> Result<String, Refusal> {
    let parsed = text::line(field, external_id, limits::EXTERNAL_ID)?;
    match parsed == external_id {
        true => Ok(parsed),
        // Two ids that differ in spaces only, or in how a letter is composed, would be the same.
        false => Err(Refusal::new(
            Code::Invalid,
            field,
            "must neither begin nor end with a space, and must be in Unicode's composed form (NFC)",
        )),
    }
}

/// Parses a platform's own noun for a resource. An empty one counts as none.
pub(crate) fn subtype(field: &str, subtype: Option<&str>) -> Result<Option<String>, Refusal> {
    text::optional_line(field, subtype, limits::SUBTYPE)
}

/// Checks a platform's own data: an object of at most 8 kB. `None` clears it.
pub(crate) fn metadata(field: &str, metadata: Option<&Value>) -> Result<Option<Value>, Refusal> {
    let Some(metadata) = metadata.filter(|metadata| !metadata.is_null()) else { return Ok(None) };
    let Value::Object(_) = metadata else {
        return Err(Refusal::new(Code::Invalid, field, "must be a JSON object, such as {\"plan\": \"pro\"}"));
    };
    let bytes = metadata.to_string();
    if bytes.len() > limits::METADATA_BYTES {
        let message = format!("must be at most {} bytes of JSON; these are {}", limits::METADATA_BYTES, bytes.len());
        return Err(Refusal::new(Code::TooLong, field, message));
    }
    if holds_nul(metadata) {
        return Err(Refusal::new(Code::Invalid, field, "must not hold the character U+0000"));
    }
    if depth(metadata) > limits::METADATA_DEPTH {
        let message =
            format!("objects and lists in it must lie at most {} deep in one another", limits::METADATA_DEPTH);
        return Err(Refusal::new(Code::Invalid, field, message));
    }
    Ok(Some(as_stored(metadata)))
}

/// How deep objects and lists lie in one another.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// The value in the form in which PostgreSQL returns it: it writes all digits of large numbers, so that whole ones are
/// read as integers.
fn as_stored(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(whole(number).unwrap_or_else(|| number.clone())),
        Value::Array(values) => values.iter().map(as_stored).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), as_stored(value))).collect(),
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

/// The integer that a float is written as with all its digits, if its JSON has an exponent instead.
fn whole(number: &Number) -> Option<Number> {
    let float = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0)?;
    if !number.to_string().contains('e') {
        return None;
    }
    let digits = format!("{float:.0}");
    digits.parse::<u64>().map(Number::from).or_else(|_| digits.parse::<i64>().map(Number::from)).ok()
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(holds_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Fails with FORBIDDEN on `field` for everybody but platform keys, which act for themselves or on behalf of people.
pub(crate) fn require_platform(actor: &Actor, field: &str) -> Result<()> {
    match actor.platform_key() {
        Some(_) => Ok(()),
        None => Err(Error::refused(Code::Forbidden, field, "only platform keys set this; leave it out")),
    }
}

/// An object to which a platform can attach data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WithMetadata {
    /// An account.
    User(UserId),
    /// An organization.
    Organization(OrganizationId),
    /// A membership.
    Member(MemberId),
    /// A team.
    Team(TeamId),
    /// A resource.
    Resource(ResourceId),
}

/// Returns what the platform attached to the objects, without checking who asks. There is one statement for each kind
/// of object.
pub async fn metadata_of(
    connection: &mut AsyncPgConnection,
    objects: &[WithMetadata],
) -> Result<HashMap<WithMetadata, Value>> {
    let mut found = HashMap::new();
    macro_rules! read {
        ($table:ident, $variant:ident) => {
            let ids: Vec<_> = objects
                .iter()
                .filter_map(|object| match object {
                    WithMetadata::$variant(id) => Some(*id),
                    _ => None,
                })
                .collect();
            if !ids.is_empty() {
                let rows: Vec<(_, Option<Value>)> = $table::table
                    .filter($table::id.eq_any(ids))
                    .filter($table::metadata.is_not_null())
                    .select(($table::id, $table::metadata))
                    .load(connection)
                    .await?;
                found.extend(rows.into_iter().filter_map(|(id, data)| Some((WithMetadata::$variant(id), data?))));
            }
        };
    }
    read!(users, User);
    read!(organizations, Organization);
    read!(members, Member);
    read!(teams, Team);
    read!(resources, Resource);
    Ok(found)
}
