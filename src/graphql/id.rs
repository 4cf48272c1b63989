//! Ids, numbers and times as arguments and results.
//!
//! Values that have the wrong form are refused during validation, and the error names the field.

use std::sync::Arc;

use async_graphql::{ID, InputType, InputValueError, InputValueResult, Scalar, ScalarType, Value, registry};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use rollcall_domain::base::decimal;
use rollcall_domain::base::id::{self, TypedId};

/// A typed id as an argument. In the schema, it is an `ID`.
#[derive(Debug, Clone, Copy)]
pub struct Id<T>(pub T);

impl<T: TypedId> InputType for Id<T> {
    type RawValueType = T;

    fn type_name() -> std::borrow::Cow<'static, str> {
        <ID as InputType>::type_name()
    }

    fn create_type_info(registry: &mut registry::Registry) -> String {
        <ID as InputType>::create_type_info(registry)
    }

    fn parse(value: Option<Value>) -> InputValueResult<Self> {
        let text = <ID as InputType>::parse(value).map_err(InputValueError::propagate)?;
        id::parse(&text).map(Self).map_err(InputValueError::custom)
    }

    fn to_value(&self) -> Value {
        Value::String(id::to_text(self.0))
    }

    fn as_raw_value(&self) -> Option<&T> {
        Some(&self.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BigInt(pub i64);

/// A 64-bit integer. It is written as a string of decimal digits, since JSON numbers are exact only up to 53 bits. As
/// input, both a string and a number are accepted.
#[Scalar]
impl ScalarType for BigInt {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::Number(number) => number.as_i64(),
            Value::String(digits) => digits.parse().ok(),
            _ => None,
        }
        .map(Self)
        .ok_or_else(|| InputValueError::custom("a whole number of at most 64 bits is expected"))
    }

    fn is_valid(value: &Value) -> bool {
        <Self as ScalarType>::parse(value.clone()).is_ok()
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal(pub rust_decimal::Decimal);

/// An exact decimal number, written as a string such as "0.025": digits, with an optional minus sign and decimal point.
/// As input, a number is accepted too if it is whole and has at most 64 bits, or if it has at most 15 significant
/// digits and is below one million, since other JSON numbers may be rounded on the way.
#[Scalar]
impl ScalarType for Decimal {
    fn parse(value: Value) -> InputValueResult<Self> {
        let (read, expected) = match &value {
            Value::Number(number) => (
                decimal::of_number(number),
                "a number with so many digits may be rounded on the way; write it as a string",
            ),
            Value::String(text) => (decimal::parse(text), "a decimal number such as \"12.5\" is expected"),
            _ => (None, "a decimal number such as \"12.5\" is expected"),
        };
        read.map(Self).ok_or_else(|| InputValueError::custom(expected))
    }

    fn is_valid(value: &Value) -> bool {
        // A number that a string could hold, but that has too many digits, is refused later, in words that say what to do
        // instead.
        let is_rounded = |number: f64| rust_decimal::Decimal::from_f64_retain(number).is_some();
        match value {
            Value::Number(number) => number.as_f64().is_some_and(is_rounded),
            _ => <Self as ScalarType>::parse(value.clone()).is_ok(),
        }
    }

    fn to_value(&self) -> Value {
        // Sums keep the digits of their parts, also where these are zeros.
        Value::String(self.0.normalize().to_string())
    }
}

/// A time as an argument. In the schema, it is a `DateTime`.
#[derive(Debug, Clone, Copy)]
pub struct Time(pub DateTime<Utc>);

impl Time {
    /// Reads a time in RFC 3339 format as PostgreSQL will store it, so that it is the same when it is read back: it is
    /// cut to microseconds, and a leap second becomes the second that follows it.
    fn read(value: &Value) -> Option<Self> {
        let Value::String(text) = value else { return None };
        let time = DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc);
        let beyond = time.timestamp_subsec_nanos() / 1_000_000_000;
        let time = match beyond {
            0 => time,
            _ => DateTime::from_timestamp(time.timestamp(), time.timestamp_subsec_nanos() % 1_000_000_000)?
                .checked_add_signed(TimeDelta::seconds(1))?,
        };
        Some(Self(time.trunc_subsecs(6)))
    }
}

impl InputType for Time {
    type RawValueType = DateTime<Utc>;

    fn type_name() -> std::borrow::Cow<'static, str> {
        <DateTime<Utc> as InputType>::type_name()
    }

    fn create_type_info(registry: &mut registry::Registry) -> String {
        let name = <DateTime<Utc> as InputType>::create_type_info(registry);
        if let Some(registry::MetaType::Scalar { is_valid, .. }) = registry.types.get_mut(&*Self::type_name()) {
            *is_valid = Some(Arc::new(|value| Self::read(value).is_some()));
        }
        name
    }

    fn parse(value: Option<Value>) -> InputValueResult<Self> {
        Self::read(&value.unwrap_or_default())
            .ok_or_else(|| InputValueError::custom("a time such as 2026-11-29T14:05:00Z is expected"))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_rfc3339())
    }

    fn as_raw_value(&self) -> Option<&DateTime<Utc>> {
        Some(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_kept() {
        for (text, expected) in [
            ("2026-11-29T14:05:00Z", Some("2026-11-29T14:05:00+00:00")),
            ("2026-11-29T14:05:00.123456789+01:30", Some("2026-11-29T12:35:00.123456+00:00")),
            ("2026-11-29t14:05:00z", Some("2026-11-29T14:05:00+00:00")),
            ("2016-12-31T23:59:60Z", Some("2017-01-01T00:00:00+00:00")),
            ("2016-12-31T23:59:60.25Z", Some("2017-01-01T00:00:00.250+00:00")),
            ("0000-01-01T00:00:00Z", Some("0000-01-01T00:00:00+00:00")),
            ("2026-02-29T00:00:00Z", None),
            ("2026-11-29T14:05:00", None),
            ("2026-11-29", None),
            ("+10000-01-01T00:00:00Z", None),
            ("tomorrow", None),
            ("", None),
        ] {
            let read = Time::read(&Value::String(text.to_owned())).map(|time| time.0.to_rfc3339());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
        assert!(Time::read(&Value::from(1_764_425_100)).is_none());
    }
}
