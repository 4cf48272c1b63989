//! Ids and numbers as they cross the border.

use async_graphql::{ID, InputType, InputValueError, InputValueResult, Scalar, ScalarType, Value, registry};
use rollcall_domain::id::{self, TypedId};

/// A typed id as an argument; in the schema it is an `ID`.
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

/// A 64-bit integer, as a string of decimal digits since JSON numbers are exact to 53 bits only; read from either.
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

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal(pub rust_decimal::Decimal);

/// An exact decimal number, as a string such as "0.0250"; read from a string or a number.
#[Scalar]
impl ScalarType for Decimal {
    fn parse(value: Value) -> InputValueResult<Self> {
        let digits = match &value {
            Value::Number(number) => number.to_string(),
            Value::String(digits) => digits.clone(),
            _ => String::new(),
        };
        rust_decimal::Decimal::from_str_exact(&digits)
            .map(Self)
            .map_err(|_| InputValueError::custom("a decimal number such as 12.5 is expected"))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}
