//! Checks of `__typename`, which async-graphql doesn't validate.

use async_graphql::parser::types::{DocumentOperations, Field, InlineFragment, Selection, SelectionSet};
use async_graphql::{Name, Pos, Positioned, Request, ServerError};

use super::refusal::refusal;

/// Refuses a `__typename` with arguments or selections.
///
/// # Errors
/// If it has any. The error is worded like those of the validation.
pub fn require_bare(field: &Field, on: &Name, pos: Pos) -> Result<(), ServerError> {
    if let Some((argument, _)) = field.arguments.first() {
        let message = format!("Unknown argument \"{}\" on field \"__typename\" of type \"{on}\".", argument.node);
        return Err(refusal(message, Some(pos)));
    }
    if !field.selection_set.node.items.is_empty() {
        let message = "Field \"__typename\" must not have a selection since type \"String!\" has no subfields.";
        return Err(refusal(message.to_owned(), Some(pos)));
    }
    Ok(())
}

/// Moves the directives of each `__typename` to a fragment around it. That has the same meaning, and is validated.
pub fn spell_out_directives(request: &mut Request) {
    let Ok(document) = request.parsed_query() else { return };
    let mut document = document.clone();
    for fragment in document.fragments.values_mut() {
        wrap(&mut fragment.node.selection_set.node);
    }
    match &mut document.operations {
        DocumentOperations::Single(operation) => {
            wrap(&mut operation.node.selection_set.node);
        }
        DocumentOperations::Multiple(operations) => {
            operations.values_mut().for_each(|operation| wrap(&mut operation.node.selection_set.node));
        }
    }
    request.set_parsed_query(document);
}

fn wrap(set: &mut SelectionSet) {
    for selection in &mut set.items {
        match &mut selection.node {
            Selection::Field(field) if field.node.name.node == "__typename" && !field.node.directives.is_empty() => {
                let pos = field.pos;
                let directives = std::mem::take(&mut field.node.directives);
                let items = vec![Positioned::new(Selection::Field(field.clone()), pos)];
                let selection_set = Positioned::new(SelectionSet { items }, pos);
                let fragment = InlineFragment { type_condition: None, directives, selection_set };
                selection.node = Selection::InlineFragment(Positioned::new(fragment, pos));
            }
            Selection::Field(field) => wrap(&mut field.node.selection_set.node),
            Selection::InlineFragment(fragment) => wrap(&mut fragment.node.selection_set.node),
            Selection::FragmentSpread(_) => {}
        }
    }
}
