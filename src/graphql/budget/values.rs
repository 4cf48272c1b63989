//! The values of arguments, whether they are written in the document or come from variables.

use async_graphql::parser::types::{Field, OperationDefinition};
use async_graphql::{Value as ConstValue, Variables};
use async_graphql_value::Value;

/// Looks up the values of arguments in an operation.
pub struct Values<'d> {
    pub operation: &'d OperationDefinition,
    pub variables: &'d Variables,
}

/// The value of an argument, either a literal in the document or a variable's value.
pub enum ArgumentValue<'v> {
    Literal(&'v Value),
    Const(&'v ConstValue),
}

impl Values<'_> {
    /// The value of a field's argument. `None` if the argument is omitted.
    pub fn of<'v>(&'v self, field: &'v Field, argument: &str) -> Option<ArgumentValue<'v>> {
        match &field.get_argument(argument)?.node {
            Value::Variable(name) => match self.variables.get(name) {
                Some(value) => Some(ArgumentValue::Const(value)),
                None => {
                    let mut definitions = self.operation.variable_definitions.iter();
                    let definition = definitions.find(|definition| definition.node.name.node == *name)?;
                    definition.node.default_value.as_ref().map(|value| ArgumentValue::Const(&value.node))
                }
            },
            literal => Some(ArgumentValue::Literal(literal)),
        }
    }

    /// Whether the argument has a value other than null.
    pub fn is_given(&self, field: &Field, argument: &str) -> bool {
        !matches!(
            self.of(field, argument),
            None | Some(ArgumentValue::Literal(Value::Null) | ArgumentValue::Const(ConstValue::Null))
        )
    }
}
