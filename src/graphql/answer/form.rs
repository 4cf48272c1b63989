//! The form of an answer: what a request selects, read from its document.

use std::collections::{HashMap, HashSet};

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{Directive, ExecutableDocument, OperationDefinition, Selection, SelectionSet};
use async_graphql::{Name, Positioned, Request, Value, Variables};
use async_graphql_value::Value as Literal;

use super::typenames::{tells_typename, with_typenames};
use crate::graphql::types::{Types, named};

/// The fields that a request selects.
#[derive(Debug)]
pub struct AnswerForm<'t> {
    pub(super) types: &'t Types,
    pub(super) root: Name,
    pub(super) root_set: SetId,
    sets: Vec<Vec<Selected>>,
}

/// A selection set, identified by its index among those of the request.
pub(super) type SetId = usize;

/// A selection that isn't skipped.
#[derive(Debug)]
enum Selected {
    Field { key: Name, name: Name, below: Option<SetId> },
    Fragment { on: Option<Name>, set: SetId },
}

impl<'t> AnswerForm<'t> {
    /// Reads the form of the answer from a request that is within its budget. Also changes the request so that some
    /// objects of its answer include their type. `None` if the request won't be executed; the executor reports why.
    pub fn of(types: &'t Types, request: &mut Request) -> Option<Self> {
        let operation_name = request.operation_name.clone();
        let variables = std::mem::take(&mut request.variables);
        let read = request.parsed_query().ok().and_then(|document| {
            let selected = document.operations.iter().find(|(name, _)| match (&operation_name, name) {
                (Some(wanted), Some(name)) => name.as_str() == wanted,
                (wanted, _) => wanted.is_none(),
            });
            let operation = &selected?.1.node;
            let mut reader = Reader {
                types,
                document,
                operation,
                variables: &variables,
                sets: Vec::new(),
                fragments: HashMap::new(),
                hides_typenames: false,
            };
            let root = types.root(operation.ty);
            let root_set = reader.set(&operation.selection_set.node, Some(root));
            let with_typenames = reader.hides_typenames.then(|| with_typenames(types, document));
            Some((Self { types, root: root.clone(), root_set, sets: reader.sets }, with_typenames))
        });
        request.variables = variables;
        let (form, with_typenames) = read?;
        if let Some(document) = with_typenames {
            request.set_parsed_query(document);
        }
        Some(form)
    }

    /// Collects the fields that a selection set selects on a concrete object type, each key where it first appears.
    pub(super) fn collect<'f>(
        &'f self,
        set: SetId,
        concrete: &Name,
        visited: &mut HashSet<SetId>,
        collected: &mut IndexMap<&'f Name, (&'f Name, Vec<SetId>)>,
    ) {
        if !visited.insert(set) {
            return;
        }
        for selected in self.sets.get(set).into_iter().flatten() {
            match selected {
                Selected::Field { key, name, below } => {
                    let (_, sets) = collected.entry(key).or_insert_with(|| (name, Vec::new()));
                    sets.extend(below);
                }
                // Introspection objects have only one possible type each.
                Selected::Fragment { on, set } => {
                    if concrete.is_empty() || self.types.applies(on.as_ref(), concrete) {
                        self.collect(*set, concrete, visited, collected);
                    }
                }
            }
        }
    }
}

/// Reads the selected operation of a document. Each fragment is read once.
struct Reader<'d> {
    types: &'d Types,
    document: &'d ExecutableDocument,
    operation: &'d OperationDefinition,
    variables: &'d Variables,
    sets: Vec<Vec<Selected>>,
    fragments: HashMap<&'d str, SetId>,
    hides_typenames: bool,
}

impl<'d> Reader<'d> {
    fn set(&mut self, set: &'d SelectionSet, on: Option<&Name>) -> SetId {
        let selected = set.items.iter().filter_map(|selection| self.selection(&selection.node, on)).collect();
        self.sets.push(selected);
        self.sets.len() - 1
    }

    fn selection(&mut self, selection: &'d Selection, on: Option<&Name>) -> Option<Selected> {
        if self.is_skipped(selection.directives()) {
            return None;
        }
        match selection {
            Selection::Field(field) => {
                let field = &field.node;
                let name = field.name.node.clone();
                let gives = on.and_then(|on| self.types.of_field(on, &name)).map(named);
                self.hides_typenames |= tells_typename(self.types, self.document, field, gives);
                let set = &field.selection_set.node;
                let below = (!set.items.is_empty()).then(|| self.set(set, gives));
                Some(Selected::Field { key: field.response_key().node.clone(), name, below })
            }
            Selection::InlineFragment(fragment) => {
                let condition = fragment.node.type_condition.as_ref().map(|condition| &condition.node.on.node);
                let set = self.set(&fragment.node.selection_set.node, condition.or(on));
                Some(Selected::Fragment { on: condition.cloned(), set })
            }
            Selection::FragmentSpread(spread) => {
                let name = spread.node.fragment_name.node.as_str();
                let fragment = &self.document.fragments.get(name)?.node;
                let condition = &fragment.type_condition.node.on.node;
                let set = match self.fragments.get(name) {
                    Some(set) => *set,
                    None => {
                        let set = self.set(&fragment.selection_set.node, Some(condition));
                        self.fragments.insert(name, set);
                        set
                    }
                };
                Some(Selected::Fragment { on: Some(condition.clone()), set })
            }
        }
    }

    fn is_skipped(&self, directives: &[Positioned<Directive>]) -> bool {
        directives.iter().any(|directive| match directive.node.name.node.as_str() {
            "skip" => self.condition(&directive.node) == Some(true),
            "include" => self.condition(&directive.node) == Some(false),
            _ => false,
        })
    }

    fn condition(&self, directive: &Directive) -> Option<bool> {
        let value = match &directive.get_argument("if")?.node {
            Literal::Boolean(value) => return Some(*value),
            Literal::Variable(name) => self.variables.get(name).or_else(|| {
                let mut definitions = self.operation.variable_definitions.iter();
                let definition = definitions.find(|definition| definition.node.name.node == *name)?;
                definition.node.default_value.as_ref().map(|value| &value.node)
            })?,
            _ => return None,
        };
        match value {
            Value::Boolean(value) => Some(*value),
            _ => None,
        }
    }
}
