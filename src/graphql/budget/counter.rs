//! Counts the size and the cost of a document. Each of its fragments is counted once.

use std::collections::HashMap;

use async_graphql::parser::types::{Directive, ExecutableDocument, Field, Selection, SelectionSet};
use async_graphql::{Name, Positioned, ServerError, Value as ConstValue};
use async_graphql_value::Value;
use rollcall_domain::base::limits;

use super::introspection::Shape;
use super::refusal::limit;
use super::size::{Sizes, arguments_size, directives_size};
use super::typename::require_bare;
use super::values::{ArgumentValue, Values};
use crate::graphql::types::{FieldInfo, Types};

/// A single object that is loaded from the database together with others like it.
const LOAD: u64 = 2;
/// A list, or a field of the root type: one or two statements of its own.
const STATEMENT: u64 = 10;
/// A mutation: one transaction.
const TRANSACTION: u64 = 250;

/// The number of items for which a list without pagination is counted.
fn unpaged(field: &str) -> u64 {
    match field {
        "apiKeys" | "billableOrganizations" | "leadership" => 100,
        // More than most people have on one resource.
        "reasons" => 3,
        // Up to 1,000, but few fields each, and most series are shorter.
        "usageSeries" => 300,
        _ => 20,
    }
}

/// The additional cost of fields that are much more expensive than others of their kind.
fn surcharge(field: &str) -> u64 {
    match field {
        // It counts everything that the departure would affect.
        "departurePlan" => 1_000,
        // It recomputes up to 10,000 hashes.
        "verifyAuditLog" => 5_000,
        // Several statements, some of which count.
        "usage" | "usageSeries" => 200,
        // Up to 1,000 entries in one transaction.
        "reportUsage" => 500,
        // It sends an email to whoever has the address, and nobody signs in many times at once.
        "requestSignIn" => 1_700,
        // Thousands of bytes, which stay in memory until the answer is complete.
        "description" | "message" | "reason" | "metadata" | "avatarUrl" | "logoUrl" | "website" | "url" => 10,
        _ => 0,
    }
}

/// The cost that `totalCount` adds to a list of an organization or of the viewer: a statement that counts all items.
const TOTAL: u64 = 200;
/// The cost that `totalCount` adds to other lists. They are counted together, and few of them are long.
const TOTAL_OF_MANY: u64 = 20;

/// The cost that a search adds to a list.
const SEARCH: u64 = 300;

/// The number of events of the feed that cost as much as one item of another list.
const EVENTS_PER_ITEM: u64 = 10;

/// The maximum length of a search text in characters, and of other texts in a query's arguments.
const MAX_SEARCH: usize = 200;
const MAX_TEXT: usize = 5_000;

/// The size and cost of a selection set, including everything below it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Count {
    pub selections: u64,
    pub aliases: u64,
    /// The number of its own fields, including those in fragments.
    pub fields: u64,
    /// The number of selections that are compared with each other for these fields.
    width: u64,
    /// How often `__schema` is among these fields.
    pub schemas: u64,
    pub depth: u64,
    pub nesting: u64,
    /// The cost that arises once.
    pub cost: u64,
    /// The cost that arises for each item, if this is the selection set of a connection.
    pub cost_per_item: u64,
    /// How often the connection's `totalCount` is selected.
    totals: u64,
    pub introspection: u64,
}

impl Count {
    /// Adds the count of a sibling.
    fn add(&mut self, other: Self) {
        self.selections = self.selections.saturating_add(other.selections);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.fields = self.fields.saturating_add(other.fields);
        self.width = self.width.saturating_add(other.width);
        self.schemas = self.schemas.saturating_add(other.schemas);
        self.depth = self.depth.max(other.depth);
        self.nesting = self.nesting.max(other.nesting);
        self.cost = self.cost.saturating_add(other.cost);
        self.cost_per_item = self.cost_per_item.saturating_add(other.cost_per_item);
        self.totals = self.totals.saturating_add(other.totals);
        self.introspection = self.introspection.saturating_add(other.introspection);
    }
}

/// Counts the selection sets of a document.
pub struct Counter<'d> {
    types: &'d Types,
    shape: &'d Shape,
    document: &'d ExecutableDocument,
    values: Values<'d>,
    /// The sizes of the variables. Each use of a variable is validated again.
    sizes: Sizes,
    fragments: HashMap<&'d str, Count>,
    /// Whether a `__typename` has directives.
    pub directives_on_typename: bool,
    /// The sum of the widths of all selection sets.
    pub comparisons: u64,
}

impl<'d> Counter<'d> {
    /// Makes a counter for a document, with these argument values and sizes of variables.
    pub fn new(
        types: &'d Types,
        shape: &'d Shape,
        document: &'d ExecutableDocument,
        values: Values<'d>,
        sizes: Sizes,
    ) -> Self {
        let fragments = HashMap::new();
        Self { types, shape, document, values, sizes, fragments, directives_on_typename: false, comparisons: 0 }
    }

    /// Counts a fragment. The fragments that it spreads must have been counted before.
    ///
    /// # Errors
    /// If one of its fields exceeds a limit, or uses `__typename` incorrectly.
    pub fn fragment(&mut self, name: &'d str) -> Result<(), ServerError> {
        if let Some(fragment) = self.document.fragments.get(name) {
            let fragment = &fragment.node;
            let count = self.selection_set(&fragment.selection_set.node, &fragment.type_condition.node.on.node)?;
            self.fragments.insert(name, count);
        }
        Ok(())
    }

    /// Counts a selection set on a type.
    ///
    /// # Errors
    /// If one of its fields exceeds a limit, or uses `__typename` incorrectly.
    pub fn selection_set(&mut self, set: &'d SelectionSet, on: &Name) -> Result<Count, ServerError> {
        let mut count = Count::default();
        for selection in &set.items {
            count.add(match &selection.node {
                Selection::Field(field) => self.field(field, on)?,
                Selection::FragmentSpread(spread) => {
                    // Validation reports a fragment that doesn't exist.
                    let spread_name = spread.node.fragment_name.node.as_str();
                    let within = self.fragments.get(spread_name).copied().unwrap_or_default();
                    self.inside(within, &spread.node.directives)
                }
                Selection::InlineFragment(fragment) => {
                    let on = fragment.node.type_condition.as_ref().map_or(on, |condition| &condition.node.on.node);
                    let within = self.selection_set(&fragment.node.selection_set.node, on)?;
                    self.inside(within, &fragment.node.directives)
                }
            });
        }
        self.comparisons = self.comparisons.saturating_add(count.width);
        Ok(count)
    }

    fn field(&mut self, field: &'d Positioned<Field>, on: &Name) -> Result<Count, ServerError> {
        let pos = field.pos;
        let field = &field.node;
        let name = field.name.node.as_str();
        if name == "__typename" {
            require_bare(field, on, pos)?;
            self.directives_on_typename |= !field.directives.is_empty();
        }
        let info = self.types.field(on, name);
        let gives = match name {
            "__schema" => Some(Name::new("__Schema")),
            "__type" => Some(Name::new("__Type")),
            _ => info.map(|info| info.gives().clone()),
        };
        // Validation reports a field that doesn't exist. Its selections are counted nevertheless.
        let gives = gives.unwrap_or_else(|| Name::new(""));
        let below = self.selection_set(&field.selection_set.node, &gives)?;

        if !self.types.is_mutation(on) {
            self.require_short_texts(field)?;
        }
        let own = 1 + arguments_size(&field.arguments, &self.sizes) + directives_size(&field.directives, &self.sizes);
        let mut count = Count {
            selections: below.selections.saturating_add(own),
            width: own,
            aliases: below.aliases.saturating_add(u64::from(field.alias.is_some())),
            fields: 1,
            schemas: u64::from(name == "__schema"),
            depth: below.depth.saturating_add(1),
            nesting: below.nesting.saturating_add(1),
            ..Count::default()
        };
        if on.starts_with("__") {
            return Ok(count);
        }
        if gives.starts_with("__") {
            let asked = match self.values.of(field, "name") {
                Some(ArgumentValue::Literal(Value::String(name)) | ArgumentValue::Const(ConstValue::String(name))) => {
                    Some(name.as_str())
                }
                _ => None,
            };
            count.introspection = self.shape.count(self.document, field, asked)?;
            return Ok(count);
        }
        let items = match info {
            Some(info) if info.has_pages => self.page(field, on),
            Some(info) if info.is_list() => match (name, self.types.is_composite(&gives)) {
                ("nodes" | "edges", _) if on.ends_with("Connection") => 1,
                (_, true) => self.listed(field).unwrap_or_else(|| unpaged(name)),
                (_, false) => self.listed(field).unwrap_or(1),
            },
            _ => 1,
        };
        // Of a connection's fields, only the items occur as often as the page has items.
        let content = match info {
            Some(info) if info.has_pages => {
                let total = if matches!(on.as_str(), "Organization" | "Viewer") { TOTAL } else { TOTAL_OF_MANY };
                let totals = below.totals.saturating_mul(total);
                below.cost.saturating_add(totals).saturating_add(below.cost_per_item.saturating_mul(items))
            }
            Some(info) if info.is_list() => {
                below.cost.saturating_add(below.cost_per_item).saturating_mul(items).max(items)
            }
            _ => below.cost.saturating_add(below.cost_per_item),
        };
        let cost = self.base(field, on, info).saturating_add(content);
        let is_connection = on.ends_with("Connection");
        match name {
            "nodes" | "edges" if is_connection => count.cost_per_item = cost,
            "totalCount" if is_connection => (count.totals, count.cost) = (1, cost),
            _ => count.cost = cost,
        }
        Ok(count)
    }

    /// The count of a fragment's selections at the place where it is spread.
    fn inside(&self, within: Count, directives: &[Positioned<Directive>]) -> Count {
        let own = 1 + directives_size(directives, &self.sizes);
        Count {
            selections: within.selections.saturating_add(own),
            width: within.width.saturating_add(own),
            nesting: within.nesting.saturating_add(1),
            ..within
        }
    }

    /// Refuses long texts, because searching for them takes long, however little is found.
    fn require_short_texts(&self, field: &Field) -> Result<(), ServerError> {
        for (name, _) in &field.arguments {
            let name = name.node.as_str();
            let characters = match self.values.of(field, name) {
                Some(ArgumentValue::Literal(Value::String(text)) | ArgumentValue::Const(ConstValue::String(text))) => {
                    text.chars().count()
                }
                _ => continue,
            };
            let most = if name == "search" { MAX_SEARCH } else { MAX_TEXT };
            limit(&format!("characters in `{name}`"), characters as u64, most as u64)?;
        }
        Ok(())
    }

    /// The cost of a field itself, without its selections.
    fn base(&self, field: &Field, on: &Name, info: Option<&FieldInfo>) -> u64 {
        let name = field.name.node.as_str();
        let asks = if self.types.is_mutation(on) {
            TRANSACTION
        } else if (self.types.is_query(on) || self.types.is_subscription(on)) && name != "__typename"
            || info.is_some_and(|info| info.has_pages)
        {
            STATEMENT
        } else if info.is_some_and(|info| self.types.is_node(info.gives())) && !matches!(name, "node" | "nodes") {
            LOAD
        } else {
            0
        };
        let search = if self.values.is_given(field, "search") { SEARCH } else { 0 };
        1 + asks + surcharge(name) + search
    }

    /// The number of items that the page can have.
    fn page(&self, field: &Field, on: &Name) -> u64 {
        let wanted = ["first", "last"].iter().find_map(|argument| match self.values.of(field, argument)? {
            ArgumentValue::Literal(Value::Number(number)) => number.as_i64(),
            ArgumentValue::Const(ConstValue::Number(number)) => number.as_i64(),
            _ => None,
        });
        let wanted = wanted.unwrap_or(limits::DEFAULT_PAGE);
        match field.name.node.as_str() {
            // Only the platform's own services get any, and what they select of an event is loaded for all at once.
            "events" if self.types.is_query(on) => {
                wanted.clamp(1, limits::MAX_FEED_PAGE).unsigned_abs().div_ceil(EVENTS_PER_ITEM)
            }
            _ => wanted.clamp(1, limits::MAX_PAGE).unsigned_abs(),
        }
    }

    /// The number of objects that are requested by their ids.
    fn listed(&self, field: &Field) -> Option<u64> {
        let lists = field.arguments.iter().filter_map(|(name, _)| match self.values.of(field, &name.node)? {
            ArgumentValue::Literal(Value::List(items)) => Some(items.len()),
            ArgumentValue::Const(ConstValue::List(items)) => Some(items.len()),
            _ => None,
        });
        lists.max().map(|ids| ids.max(1) as u64)
    }
}
