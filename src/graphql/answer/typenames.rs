//! Adds `__typename` to selections where the type of an object decides how the answer is completed.

use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, Field, OperationDefinition, Selection, SelectionSet,
};
use async_graphql::{Name, Positioned};

use crate::graphql::types::{Types, named};

/// The key under which an object's type is returned. No document can choose this name, since it contains a space.
pub(super) const HIDDEN_TYPENAME: &str = " typename";

/// Whether the value of a field must include its type. That is the case if several types are possible, or if the
/// selection may be empty, for which the executor would return null even though the object exists.
pub(super) fn tells_typename(
    types: &Types,
    document: &ExecutableDocument,
    field: &Field,
    gives: Option<&Name>,
) -> bool {
    let set = &field.selection_set.node;
    gives.is_some_and(|gives| {
        !set.items.is_empty() && (types.is_abstract(gives) || !selects_always(types, document, set, gives))
    })
}

/// Whether something is selected on every object of this type, whatever the variables are.
fn selects_always(types: &Types, document: &ExecutableDocument, set: &SelectionSet, on: &Name) -> bool {
    set.items.iter().any(|selection| {
        let selection = &selection.node;
        selection.directives().is_empty()
            && match selection {
                Selection::Field(_) => true,
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref().map(|condition| &condition.node.on.node);
                    types.applies(condition, on)
                        && selects_always(types, document, &fragment.node.selection_set.node, on)
                }
                Selection::FragmentSpread(spread) => {
                    document.fragments.get(&spread.node.fragment_name.node).is_some_and(|fragment| {
                        types.applies(Some(&fragment.node.type_condition.node.on.node), on)
                            && selects_always(types, document, &fragment.node.selection_set.node, on)
                    })
                }
            }
    })
}

/// Returns the document with `__typename` added wherever [`tells_typename`] requires it.
pub(super) fn with_typenames(types: &Types, document: &ExecutableDocument) -> ExecutableDocument {
    let mut told = document.clone();
    for fragment in told.fragments.values_mut() {
        let condition = fragment.node.type_condition.node.on.node.clone();
        add_typenames(types, document, &mut fragment.node.selection_set.node, Some(&condition));
    }
    for operation in operations_mut(&mut told) {
        let root = types.root(operation.ty);
        add_typenames(types, document, &mut operation.selection_set.node, Some(root));
    }
    told
}

fn operations_mut(document: &mut ExecutableDocument) -> Vec<&mut OperationDefinition> {
    match &mut document.operations {
        DocumentOperations::Single(operation) => vec![&mut operation.node],
        DocumentOperations::Multiple(operations) => {
            operations.values_mut().map(|operation| &mut operation.node).collect()
        }
    }
}

fn add_typenames(types: &Types, document: &ExecutableDocument, set: &mut SelectionSet, on: Option<&Name>) {
    for selection in &mut set.items {
        let pos = selection.pos;
        match &mut selection.node {
            Selection::Field(field) => {
                let gives = on.and_then(|on| types.of_field(on, &field.node.name.node)).map(named);
                let tells = tells_typename(types, document, &field.node, gives);
                add_typenames(types, document, &mut field.node.selection_set.node, gives);
                if tells {
                    let typename = Field {
                        alias: Some(Positioned::new(Name::new(HIDDEN_TYPENAME), pos)),
                        name: Positioned::new(Name::new("__typename"), pos),
                        arguments: Vec::new(),
                        directives: Vec::new(),
                        selection_set: Positioned::default(),
                    };
                    let typename = Selection::Field(Positioned::new(typename, pos));
                    field.node.selection_set.node.items.push(Positioned::new(typename, pos));
                }
            }
            Selection::InlineFragment(fragment) => {
                let condition = fragment.node.type_condition.as_ref().map(|condition| condition.node.on.node.clone());
                add_typenames(types, document, &mut fragment.node.selection_set.node, condition.as_ref().or(on));
            }
            Selection::FragmentSpread(_) => {}
        }
    }
}
