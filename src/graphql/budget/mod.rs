//! The budget of a request. It is counted on the parsed document, before anything else walks it.
//!
//! async-graphql follows each spread of a fragment again, before it checks its own limits. A document of a few hundred
//! bytes can thus keep a core busy for minutes, and no timeout can interrupt that. Here, each fragment is counted
//! once, and its count is added wherever it is spread.

mod counter;
mod fragments;
mod introspection;
mod refusal;
mod size;
mod typename;
mod values;

use std::sync::Arc;

use async_graphql::parser::types::{ExecutableDocument, OperationDefinition, OperationType, Selection};
use async_graphql::{Name, Request, ServerError, Variables};
use rollcall_domain::base::client::ClientNetwork;

use super::turn::{Line, Turns, in_turn};
use super::types::Types;
use counter::Counter;
use fragments::in_order;
use introspection::{MAX_THINGS, Shape};
use refusal::{afford, limit, refusal};
use size::{const_size, head, size, variable_sizes};
use typename::spell_out_directives;
use values::Values;

/// The maximum number of selections, arguments with the values in them, directives and variables of a document. A
/// fragment counts as often as it is spread.
const MAX_SELECTIONS: u64 = 25_000;
/// The maximum number of comparisons of selections with each other. All selections beside a field, including those in
/// fragments, count for each selection that they are in.
const MAX_COMPARISONS: u64 = 100_000;
/// The maximum number of operations and fragments in a document.
const MAX_DEFINITIONS: usize = 500;
/// The maximum depth of selections, including those in fragments.
const MAX_NESTING: u64 = 30;
/// The maximum depth of fields. Introspection needs 13.
const MAX_DEPTH: u64 = 16;
/// The maximum number of fields at the root of an operation, each of which is like a request of its own.
const MAX_ROOT_FIELDS: u64 = 30;
/// The maximum number of fields with an alias.
const MAX_ALIASES: u64 = 200;
/// The maximum cost of an operation.
const MAX_COST: u64 = 25_000;
/// The maximum cost of a subscription, which arises for each of its events.
const MAX_COST_OF_EVENT: u64 = 2_500;
/// The maximum size of a document in bytes.
const MAX_DOCUMENT: usize = 256 * 1024;
/// The maximum number of values in a request's variables. Long texts count as several.
const MAX_VALUES: u64 = 20_000;
/// From this size in bytes, or this number of selections, comparisons, introspection items or units of cost, a request
/// counts as expensive. A client has only one expensive request processed at a time.
const LARGE_REQUEST: usize = 16 * 1024;
const MUCH_WORK: u64 = 2_000;

const SELECTIONS: &str = "selections, those of its fragments included";
const COMPARISONS: &str = "fields and arguments beside each other, counted for each selection that they lie in";

/// The budget for requests to a schema.
#[derive(Debug)]
pub struct Budget {
    turns: Turns,
    types: Arc<Types>,
    shape: Shape,
}

/// The counts of a document that are still needed after the limits were checked.
#[derive(Default)]
struct DocumentCounts {
    /// The work that validating and executing the document takes.
    work: u64,
    /// Whether a `__typename` has directives.
    directives_on_typename: bool,
}

impl Budget {
    /// Makes the budget for a schema with these types.
    pub fn new(types: Arc<Types>) -> Self {
        Self { turns: Turns::new(), shape: Shape::of(&types), types }
    }

    /// The queue in which a client's request waits for its turns, depending on its size in bytes.
    pub fn line(&self, client: ClientNetwork, bytes: usize) -> Line {
        self.turns.line(client, bytes > LARGE_REQUEST)
    }

    /// Refuses a request that asks for too much. Documents that can't be parsed are left for the executor to report.
    /// Up to now, the request has waited for its turns in `line`; from now on, it waits in the line that is returned.
    ///
    /// # Errors
    /// If a limit is exceeded. The error says what the limit is, and how much of it the document uses.
    pub async fn check(&self, request: &mut Request, client: ClientNetwork, line: Line) -> Result<Line, ServerError> {
        limit("bytes", request.query.len() as u64, MAX_DOCUMENT as u64)?;
        let counted = in_turn(&line, || {
            let operation_name = request.operation_name.clone();
            let variables = std::mem::take(&mut request.variables);
            let outcome = match request.parsed_query() {
                Ok(document) => self.count(document, operation_name.as_deref(), &variables),
                Err(_) => Ok(DocumentCounts::default()),
            };
            request.variables = variables;
            let counted = outcome?;
            if counted.directives_on_typename {
                spell_out_directives(request);
            }
            Ok::<_, ServerError>(counted)
        })
        .await?;
        Ok(if counted.work > MUCH_WORK { self.turns.line(client, true) } else { line })
    }

    fn count(
        &self,
        document: &ExecutableDocument,
        operation_name: Option<&str>,
        variables: &Variables,
    ) -> Result<DocumentCounts, ServerError> {
        let definitions = document.operations.iter().count() + document.fragments.len();
        limit("operations and fragments", definitions as u64, MAX_DEFINITIONS as u64)?;
        let operations = document.operations.iter().map(|(_, operation)| &operation.node);
        let given: u64 = variables.values().map(const_size).sum();
        limit("values in its variables", given, MAX_VALUES)?;
        let sizes = variable_sizes(document, variables);
        let mut heads = 0_u64;
        for operation in operations.clone() {
            heads = heads.saturating_add(head(operation, &sizes)?);
        }
        let sets = document.fragments.values().map(|fragment| &fragment.node.selection_set.node);
        let mut written = 0_u64;
        for set in sets.chain(operations.map(|operation| &operation.selection_set.node)) {
            written = written.saturating_add(size(set, &sizes)?);
        }
        limit(SELECTIONS, heads.saturating_add(written), MAX_SELECTIONS)?;

        let is_selected =
            |name: Option<&Name>| operation_name.is_none_or(|selected| name.is_some_and(|name| name == selected));
        // Without this check, the executor would validate the whole document before it looks for the operation.
        let Some((_, selected)) = document.operations.iter().find(|(name, _)| is_selected(*name)) else {
            let wanted = operation_name.unwrap_or_default();
            return Err(refusal(format!("the document has no operation named {wanted:?}"), None));
        };
        for definition in &selected.node.variable_definitions {
            let definition = &definition.node;
            let (name, of) = (&definition.name.node, &definition.var_type.node);
            if !of.nullable && definition.default_value.is_none() && !variables.contains_key(name) {
                let message = format!("the variable ${name} of type {of} is required and was not given");
                return Err(refusal(message, Some(definition.name.pos)));
            }
        }
        let values = Values { operation: &selected.node, variables };
        let mut counter = Counter::new(&self.types, &self.shape, document, values, sizes);
        for name in in_order(document)? {
            counter.fragment(name)?;
        }
        // Operations that aren't executed are counted too, since they are validated nevertheless.
        let (mut selections, mut selected_work) = (heads, 0);
        for (name, operation) in document.operations.iter() {
            let root = self.types.root(operation.node.ty);
            let count = counter.selection_set(&operation.node.selection_set.node, root)?;
            selections = selections.saturating_add(count.selections);
            limit(SELECTIONS, selections, MAX_SELECTIONS)?;
            limit("levels of selections", count.nesting, MAX_NESTING)?;
            limit("levels of fields", count.depth, MAX_DEPTH)?;
            if is_selected(name) {
                limit("aliases", count.aliases, MAX_ALIASES)?;
                limit("fields at its root", count.fields, MAX_ROOT_FIELDS)?;
                limit("times `__schema`", count.schemas, 1)?;
                afford("introspection", count.introspection, MAX_THINGS)?;
                let cost = count.cost.saturating_add(count.cost_per_item);
                if operation.node.ty == OperationType::Subscription {
                    require_one_field(&operation.node)?;
                    afford("subscription, for each of its events,", cost, MAX_COST_OF_EVENT)?;
                }
                afford("query", cost, MAX_COST)?;
                selected_work = selected_work.max(count.introspection).max(cost);
            }
        }
        limit(COMPARISONS, counter.comparisons, MAX_COMPARISONS)?;
        let work = selections.max(counter.comparisons).max(selected_work);
        Ok(DocumentCounts { work, directives_on_typename: counter.directives_on_typename })
    }
}

/// Refuses a subscription that doesn't consist of one field. The executor would follow several at once, and ignore
/// those in fragments.
fn require_one_field(operation: &OperationDefinition) -> Result<(), ServerError> {
    match operation.selection_set.node.items.as_slice() {
        [selection] if matches!(selection.node, Selection::Field(_)) => Ok(()),
        _ => {
            let message = "a subscription selects one field, directly rather than in a fragment";
            Err(refusal(message.to_owned(), Some(operation.selection_set.pos)))
        }
    }
}
