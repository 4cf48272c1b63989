//! The size of a document as it is written.

use std::collections::HashMap;

use async_graphql::parser::types::{Directive, ExecutableDocument, OperationDefinition, Selection, SelectionSet};
use async_graphql::{Name, Positioned, ServerError, Value as ConstValue, Variables};
use async_graphql_value::Value;

use super::refusal::limit;

/// The maximum number of arguments of a field or a directive. They are searched one by one.
const MAX_ARGUMENTS: usize = 30;
/// The maximum number of variables of an operation. They are searched one by one.
const MAX_VARIABLES: usize = 200;
/// The number of bytes of text that take as long as any other value.
const TEXT: usize = 256;

/// The work of validating the value of each variable, which is done wherever the variable is used.
pub type Sizes = HashMap<Name, u64>;

/// The sizes of the variables' values and default values.
pub fn variable_sizes(document: &ExecutableDocument, variables: &Variables) -> Sizes {
    let mut sizes: Sizes = variables.iter().map(|(name, value)| (name.clone(), const_size(value))).collect();
    for (_, operation) in document.operations.iter() {
        for variable in &operation.node.variable_definitions {
            if let Some(default) = &variable.node.default_value {
                let size = sizes.entry(variable.node.name.node.clone()).or_default();
                *size = (*size).max(const_size(&default.node));
            }
        }
    }
    sizes
}

/// The number of selections in a set, as it is written.
///
/// # Errors
/// If a field or a directive has too many arguments.
pub fn size(set: &SelectionSet, sizes: &Sizes) -> Result<u64, ServerError> {
    let mut written = 0_u64;
    for selection in &set.items {
        let (below, directives) = match &selection.node {
            Selection::Field(field) => {
                let field = &field.node;
                limit("arguments of a field", field.arguments.len() as u64, MAX_ARGUMENTS as u64)?;
                let below = size(&field.selection_set.node, sizes)?;
                (below.saturating_add(arguments_size(&field.arguments, sizes)), &field.directives)
            }
            Selection::InlineFragment(fragment) => {
                (size(&fragment.node.selection_set.node, sizes)?, &fragment.node.directives)
            }
            Selection::FragmentSpread(spread) => (0, &spread.node.directives),
        };
        require_few_arguments(directives)?;
        written = written.saturating_add(1).saturating_add(below).saturating_add(directives_size(directives, sizes));
    }
    Ok(written)
}

/// The size of an operation's head, before its selections.
///
/// # Errors
/// If the operation has too many variables, or a directive has too many arguments.
pub fn head(operation: &OperationDefinition, sizes: &Sizes) -> Result<u64, ServerError> {
    let variables = &operation.variable_definitions;
    limit("variables of an operation", variables.len() as u64, MAX_VARIABLES as u64)?;
    require_few_arguments(&operation.directives)?;
    let defaults = variables.iter().filter_map(|variable| variable.node.default_value.as_ref());
    let defaults: u64 = defaults.map(|default| const_size(&default.node)).sum();
    Ok(defaults.saturating_add(variables.len() as u64).saturating_add(directives_size(&operation.directives, sizes)))
}

fn require_few_arguments(directives: &[Positioned<Directive>]) -> Result<(), ServerError> {
    for directive in directives {
        limit("arguments of a directive", directive.node.arguments.len() as u64, MAX_ARGUMENTS as u64)?;
    }
    Ok(())
}

/// The size of directives and their arguments.
pub fn directives_size(directives: &[Positioned<Directive>], sizes: &Sizes) -> u64 {
    let sizes = directives.iter().map(|directive| arguments_size(&directive.node.arguments, sizes).saturating_add(1));
    sizes.fold(0, u64::saturating_add)
}

/// The size of the arguments' values.
pub fn arguments_size(arguments: &[(Positioned<Name>, Positioned<Value>)], sizes: &Sizes) -> u64 {
    arguments.iter().map(|(_, value)| value_size(&value.node, sizes)).fold(0, u64::saturating_add)
}

fn value_size(value: &Value, sizes: &Sizes) -> u64 {
    let within = match value {
        Value::Variable(name) => sizes.get(name).copied().unwrap_or_default(),
        Value::List(items) => items.iter().map(|item| value_size(item, sizes)).fold(0, u64::saturating_add),
        Value::Object(fields) => fields.values().map(|field| value_size(field, sizes)).fold(0, u64::saturating_add),
        Value::String(text) => (text.len() / TEXT) as u64,
        Value::Binary(bytes) => (bytes.len() / TEXT) as u64,
        Value::Null | Value::Number(_) | Value::Boolean(_) | Value::Enum(_) => 0,
    };
    within.saturating_add(1)
}

/// The size of a value without variables.
pub fn const_size(value: &ConstValue) -> u64 {
    let within = match value {
        ConstValue::List(items) => items.iter().map(const_size).sum(),
        ConstValue::Object(fields) => fields.values().map(const_size).sum(),
        ConstValue::String(text) => (text.len() / TEXT) as u64,
        ConstValue::Binary(bytes) => (bytes.len() / TEXT) as u64,
        ConstValue::Null | ConstValue::Number(_) | ConstValue::Boolean(_) | ConstValue::Enum(_) => 0,
    };
    within + 1
}
