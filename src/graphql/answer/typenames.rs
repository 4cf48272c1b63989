//! Objects that tell their type, where that decides what the answer holds of them.

use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, Field, OperationDefinition, Selection, SelectionSet,
};
use async_graphql::{Name, Positioned};

use crate::graphql::types::{Types, named};

/// Under which an object tells its type. No document can choose that name.
pub(super) const HIDDEN_TYPENAME: &str = " typename";

/// Whether what a field gives must tell its type: where several are possible, or where nothing may be selected of it,
/// so that the executor would answer null for something that is there.
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

/// Whether something is selected of every such object, whatever the variables are.
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

/// The document, in which objects tell their type where [`tells_typename`] says so.
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
