//! What a request may ask for: counted on the parsed document, before anything else walks it.
//!
//! async-graphql follows each spread of a fragment anew, before it looks at limits of its own. A document of some hundred bytes can so
//! keep a core busy for minutes, where no timeout can interrupt it. Here each fragment is counted once, and what it counts is
//! added wherever it is spread.

use std::collections::{HashMap, HashSet};

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, Directive, DocumentOperations, ExecutableDocument, Field, InlineFragment, OperationDefinition,
    OperationType, Selection, SelectionSet, Type, TypeKind, TypeSystemDefinition,
};
use async_graphql::{
    ErrorExtensionValues, Name, Pos, Positioned, Request, ServerError, Value as ConstValue, Variables,
};
use async_graphql_value::Value;
use rollcall_domain::base::client::ClientNetwork;
use rollcall_domain::base::limits;

use super::introspection::{MAX_THINGS, Shape};
use super::turn::{Line, Turns, in_turn};

/// Selections, arguments with the values in them, directives and variables of a document, each as often as its fragment is spread.
const MAX_SELECTIONS: u64 = 25_000;
/// What of that is compared with each other: what stands beside a field, through fragments, counts for each selection that it lies in.
const MAX_COMPARISONS: u64 = 100_000;
/// Arguments of a field or a directive, which are searched one by one.
const MAX_ARGUMENTS: usize = 30;
/// Variables of an operation, which are searched one by one.
const MAX_VARIABLES: usize = 200;
/// Operations and fragments of a document.
const MAX_DEFINITIONS: usize = 500;
/// How deep selections nest, through fragments.
const MAX_NESTING: u64 = 30;
/// How deep fields nest; introspection needs 13.
const MAX_DEPTH: u64 = 16;
/// Fields at the root of an operation: each is a request of its own.
const MAX_ROOT_FIELDS: u64 = 30;
/// Fields that are given another name.
const MAX_ALIASES: u64 = 200;
/// What an operation may cost.
const MAX_COST: u64 = 25_000;

/// A single thing that is read from the database, with others like it.
const LOAD: u64 = 2;
/// A list, or a field at the root: a statement or two of its own.
const STATEMENT: u64 = 10;
/// A mutation: a transaction.
const TRANSACTION: u64 = 250;

/// How many things of a list without pages are counted.
fn unpaged(field: &str) -> u64 {
    match field {
        "apiKeys" | "billableOrganizations" | "leadership" => 100,
        _ => 20,
    }
}

/// Fields that cost much more than others of their kind.
fn surcharge(field: &str) -> u64 {
    match field {
        // It counts all that would happen.
        "departurePlan" => 1_000,
        // It recomputes up to 10,000 hashes.
        "verifyAuditLog" => 5_000,
        // Thousands of bytes, which lie in memory until the answer is complete.
        "description" | "message" | "reason" | "metadata" | "avatarUrl" | "logoUrl" | "website" | "url" => 10,
        _ => 0,
    }
}

const SELECTIONS: &str = "selections, with those of its fragments,";
const COMPARISONS: &str = "fields and arguments beside each other, counted for each selection that they lie in,";

/// What `totalCount` adds to a list of an organization or of the viewer: a statement that counts all that it has.
const TOTAL: u64 = 200;
/// What it adds to a list of anything else: such lists are counted together, and few of them are long.
const TOTAL_OF_MANY: u64 = 20;

/// What a search adds to a list's cost.
const SEARCH: u64 = 300;

/// The types of introspection, which no schema exports.
const INTROSPECTION: &str = "
    type __Schema { types: [__Type] queryType: __Type mutationType: __Type subscriptionType: __Type directives: [__Directive] }
    type __Type { fields: [__Field] interfaces: [__Type] possibleTypes: [__Type] enumValues: [__EnumValue]
      inputFields: [__InputValue] ofType: __Type }
    type __Field { args: [__InputValue] type: __Type }
    type __InputValue { type: __Type }
    type __EnumValue { name: String }
    type __Directive { args: [__InputValue] }";

/// Bytes of a document.
const MAX_DOCUMENT: usize = 256 * 1024;
/// Values in a request's variables, long texts as several.
const MAX_VALUES: u64 = 10_000;
/// Characters of a search, and of other texts that a query asks by.
const MAX_SEARCH: usize = 200;
const MAX_TEXT: usize = 5_000;
/// Bytes of a request, and selections, comparisons, things of introspection or cost, from which on it takes its turn.
const LARGE_REQUEST: usize = 16 * 1024;
const MUCH_WORK: u64 = 2_000;

/// The budget of requests to a schema.
#[derive(Debug)]
pub struct Budget {
    turns: Turns,
    types: HashMap<Name, TypeInfo>,
    shape: Shape,
    query: Name,
    mutation: Name,
}

#[derive(Debug, Default)]
struct TypeInfo {
    fields: HashMap<Name, FieldInfo>,
    is_node: bool,
}

#[derive(Debug)]
struct FieldInfo {
    /// The type of what it gives, or of the list's items.
    gives: Name,
    is_list: bool,
    has_pages: bool,
}

/// What of a document's counts matters once they are within the limits.
#[derive(Default)]
struct Counted {
    /// What validating and executing it takes.
    work: u64,
    /// Whether a `__typename` has directives.
    directives_on_typename: bool,
}

/// What a selection set counts, with all that lies below it.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    selections: u64,
    aliases: u64,
    /// Of its own fields, through fragments.
    fields: u64,
    /// What is compared for them.
    width: u64,
    /// How often `__schema` is among them.
    schemas: u64,
    depth: u64,
    nesting: u64,
    /// What it costs once.
    cost: u64,
    /// What it costs for each item of the page that it is a connection of.
    cost_per_item: u64,
    /// How often it asks how many items the connection has in all.
    totals: u64,
    introspection: u64,
}

impl Count {
    /// Adds what stands beside it.
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

impl Budget {
    /// The budget for a schema, by its SDL.
    pub fn new(sdl: &str) -> Result<Self, async_graphql::parser::Error> {
        let mut budget = Self {
            turns: Turns::new(),
            types: HashMap::new(),
            shape: Shape::default(),
            query: Name::new("Query"),
            mutation: Name::new("Mutation"),
        };
        let (mut types, mut directives) = (Vec::new(), Vec::new());
        for sdl in [INTROSPECTION, sdl] {
            for definition in parse_schema(sdl)?.definitions {
                match definition {
                    TypeSystemDefinition::Type(definition) => {
                        let definition = definition.node;
                        types.push(definition.clone());
                        budget.types.insert(definition.name.node, TypeInfo::of(definition.kind));
                    }
                    TypeSystemDefinition::Schema(schema) => {
                        budget.query = schema.node.query.map_or(budget.query, |name| name.node);
                        budget.mutation = schema.node.mutation.map_or(budget.mutation, |name| name.node);
                    }
                    TypeSystemDefinition::Directive(directive) => directives.push(directive.node.arguments.len()),
                }
            }
        }
        budget.shape = Shape::of(&types, directives);
        Ok(budget)
    }

    /// The line in which the client's requests of so many bytes wait for their turns; none where they are small, and need none.
    pub fn line(&self, client: ClientNetwork, bytes: usize) -> Option<Line> {
        (bytes > LARGE_REQUEST).then(|| self.turns.line(client))
    }

    /// Refuses a request that asks for too much. What can't be parsed is left for the executor to report. Returns the line in which it waits
    /// for its turns, where it needs them; it has been in `line` so far.
    ///
    /// # Errors
    /// What the limit is, and how much the document has of it.
    pub async fn check(
        &self,
        request: &mut Request,
        client: ClientNetwork,
        line: Option<Line>,
    ) -> Result<Option<Line>, ServerError> {
        limit("bytes", request.query.len() as u64, MAX_DOCUMENT as u64)?;
        let counted = in_turn(line.as_ref(), || {
            let operation_name = request.operation_name.clone();
            let variables = std::mem::take(&mut request.variables);
            let outcome = match request.parsed_query() {
                Ok(document) => self.count(document, operation_name.as_deref(), &variables),
                Err(_) => Ok(Counted::default()),
            };
            request.variables = variables;
            let counted = outcome?;
            if counted.directives_on_typename {
                spell_out_directives(request);
            }
            Ok::<_, ServerError>(counted)
        })
        .await?;
        match line {
            None if counted.work > MUCH_WORK => Ok(Some(self.turns.line(client))),
            line => Ok(line),
        }
    }

    fn count(
        &self,
        document: &ExecutableDocument,
        operation_name: Option<&str>,
        variables: &Variables,
    ) -> Result<Counted, ServerError> {
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
        // The executor would validate the whole document before it looks for the operation.
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
        let mut counter = Counter {
            budget: self,
            document,
            sizes,
            fragments: HashMap::new(),
            values: Values { operation: &selected.node, variables },
            directives_on_typename: false,
            comparisons: 0,
        };
        for name in in_order(document)? {
            if let Some(fragment) = document.fragments.get(name) {
                let fragment = &fragment.node;
                let count =
                    counter.selection_set(&fragment.selection_set.node, &fragment.type_condition.node.on.node)?;
                counter.fragments.insert(name, count);
            }
        }
        // Operations that aren't executed are validated all the same.
        let (mut selections, mut selected_work) = (heads, 0);
        for (name, operation) in document.operations.iter() {
            let root = match operation.node.ty {
                OperationType::Query | OperationType::Subscription => &self.query,
                OperationType::Mutation => &self.mutation,
            };
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
                afford("query", cost, MAX_COST)?;
                selected_work = selected_work.max(count.introspection).max(cost);
            }
        }
        limit(COMPARISONS, counter.comparisons, MAX_COMPARISONS)?;
        let work = selections.max(counter.comparisons).max(selected_work);
        Ok(Counted { work, directives_on_typename: counter.directives_on_typename })
    }
}

impl TypeInfo {
    fn of(kind: TypeKind) -> Self {
        let (fields, is_node) = match kind {
            TypeKind::Object(object) => {
                let is_node = object.implements.iter().any(|interface| interface.node == "Node");
                (object.fields, is_node)
            }
            TypeKind::Interface(interface) => (interface.fields, true),
            TypeKind::Union(_) => (Vec::new(), true),
            TypeKind::Scalar | TypeKind::Enum(_) | TypeKind::InputObject(_) => (Vec::new(), false),
        };
        let fields = fields.into_iter().map(|field| {
            let (gives, is_list) = named(&field.node.ty.node);
            let has_pages = field.node.arguments.iter().any(|argument| argument.node.name.node == "first");
            (field.node.name.node, FieldInfo { gives: gives.clone(), is_list, has_pages })
        });
        Self { fields: fields.collect(), is_node }
    }

    fn is_composite(&self) -> bool {
        self.is_node || !self.fields.is_empty()
    }
}

/// The type without its lists and exclamation marks, and whether there is a list.
pub(super) fn named(of: &Type) -> (&Name, bool) {
    match &of.base {
        BaseType::Named(name) => (name, false),
        BaseType::List(inner) => (named(inner).0, true),
    }
}

struct Counter<'d> {
    budget: &'d Budget,
    document: &'d ExecutableDocument,
    /// Of the variables: each use of one is validated anew.
    sizes: HashMap<Name, u64>,
    fragments: HashMap<&'d str, Count>,
    values: Values<'d>,
    directives_on_typename: bool,
    /// The widths of all selection sets.
    comparisons: u64,
}

impl<'d> Counter<'d> {
    fn selection_set(&mut self, set: &'d SelectionSet, on: &Name) -> Result<Count, ServerError> {
        let mut count = Count::default();
        for selection in &set.items {
            count.add(match &selection.node {
                Selection::Field(field) => self.field(field, on)?,
                Selection::FragmentSpread(spread) => {
                    // The validation reports a fragment that isn't there.
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
        let info = self.budget.types.get(on).and_then(|on| on.fields.get(name));
        let gives = match name {
            "__schema" => Some(Name::new("__Schema")),
            "__type" => Some(Name::new("__Type")),
            _ => info.map(|info| info.gives.clone()),
        };
        // A field that isn't there is for the validation to report; its selections count all the same.
        let gives = gives.unwrap_or_else(|| Name::new(""));
        let below = self.selection_set(&field.selection_set.node, &gives)?;

        if *on != self.budget.mutation {
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
                Some(Given::Literal(Value::String(name)) | Given::Const(ConstValue::String(name))) => {
                    Some(name.as_str())
                }
                _ => None,
            };
            count.introspection = self.budget.shape.count(self.document, field, asked)?;
            return Ok(count);
        }
        let target = self.budget.types.get(&gives);
        let items = match info {
            Some(info) if info.has_pages => self.page(field),
            Some(info) if info.is_list => match (name, target.is_some_and(TypeInfo::is_composite)) {
                ("nodes" | "edges", _) if on.ends_with("Connection") => 1,
                (_, true) => self.listed(field).unwrap_or_else(|| unpaged(name)),
                (_, false) => self.listed(field).unwrap_or(1),
            },
            _ => 1,
        };
        // Of a connection, only the items come as often as the page has them.
        let content = match info {
            Some(info) if info.has_pages => {
                let total = if matches!(on.as_str(), "Organization" | "Viewer") { TOTAL } else { TOTAL_OF_MANY };
                let totals = below.totals.saturating_mul(total);
                below.cost.saturating_add(totals).saturating_add(below.cost_per_item.saturating_mul(items))
            }
            Some(info) if info.is_list => {
                below.cost.saturating_add(below.cost_per_item).saturating_mul(items).max(items)
            }
            _ => below.cost.saturating_add(below.cost_per_item),
        };
        let cost = self.base(field, on, info, target).saturating_add(content);
        let is_connection = on.ends_with("Connection");
        match name {
            "nodes" | "edges" if is_connection => count.cost_per_item = cost,
            "totalCount" if is_connection => (count.totals, count.cost) = (1, cost),
            _ => count.cost = cost,
        }
        Ok(count)
    }

    /// What a fragment's selections count where it is spread.
    fn inside(&self, within: Count, directives: &[Positioned<Directive>]) -> Count {
        let own = 1 + directives_size(directives, &self.sizes);
        Count {
            selections: within.selections.saturating_add(own),
            width: within.width.saturating_add(own),
            nesting: within.nesting.saturating_add(1),
            ..within
        }
    }

    /// Searching for a long text takes long, however little is found.
    fn require_short_texts(&self, field: &Field) -> Result<(), ServerError> {
        for (name, _) in &field.arguments {
            let name = name.node.as_str();
            let characters = match self.values.of(field, name) {
                Some(Given::Literal(Value::String(text)) | Given::Const(ConstValue::String(text))) => {
                    text.chars().count()
                }
                _ => continue,
            };
            let most = if name == "search" { MAX_SEARCH } else { MAX_TEXT };
            limit(&format!("characters in `{name}`"), characters as u64, most as u64)?;
        }
        Ok(())
    }

    /// What a field costs by itself.
    fn base(&self, field: &Field, on: &Name, info: Option<&FieldInfo>, target: Option<&TypeInfo>) -> u64 {
        let name = field.name.node.as_str();
        let asks = if *on == self.budget.mutation {
            TRANSACTION
        } else if *on == self.budget.query && name != "__typename" || info.is_some_and(|info| info.has_pages) {
            STATEMENT
        } else if target.is_some_and(|target| target.is_node) && !matches!(name, "node" | "nodes") {
            LOAD
        } else {
            0
        };
        let search = if self.values.is_given(field, "search") { SEARCH } else { 0 };
        1 + asks + surcharge(name) + search
    }

    /// How many items the page may have.
    fn page(&self, field: &Field) -> u64 {
        let wanted = ["first", "last"].iter().find_map(|argument| match self.values.of(field, argument)? {
            Given::Literal(Value::Number(number)) => number.as_i64(),
            Given::Const(ConstValue::Number(number)) => number.as_i64(),
            _ => None,
        });
        wanted.unwrap_or(limits::DEFAULT_PAGE).clamp(1, limits::MAX_PAGE).unsigned_abs()
    }

    /// How many things are named by their ids.
    fn listed(&self, field: &Field) -> Option<u64> {
        let lists = field.arguments.iter().filter_map(|(name, _)| match self.values.of(field, &name.node)? {
            Given::Literal(Value::List(items)) => Some(items.len()),
            Given::Const(ConstValue::List(items)) => Some(items.len()),
            _ => None,
        });
        lists.max().map(|ids| ids.max(1) as u64)
    }
}

/// The values of arguments in an operation.
struct Values<'d> {
    operation: &'d OperationDefinition,
    variables: &'d Variables,
}

/// The value of an argument: as it stands in the document, or a variable's.
enum Given<'v> {
    Literal(&'v Value),
    Const(&'v ConstValue),
}

impl Values<'_> {
    fn of<'v>(&'v self, field: &'v Field, argument: &str) -> Option<Given<'v>> {
        match &field.get_argument(argument)?.node {
            Value::Variable(name) => match self.variables.get(name) {
                Some(value) => Some(Given::Const(value)),
                None => {
                    let mut definitions = self.operation.variable_definitions.iter();
                    let definition = definitions.find(|definition| definition.node.name.node == *name)?;
                    definition.node.default_value.as_ref().map(|value| Given::Const(&value.node))
                }
            },
            literal => Some(Given::Literal(literal)),
        }
    }

    /// Whether the argument has a value other than null.
    fn is_given(&self, field: &Field, argument: &str) -> bool {
        !matches!(self.of(field, argument), None | Some(Given::Literal(Value::Null) | Given::Const(ConstValue::Null)))
    }
}

/// The fragments, each behind those that it spreads.
fn in_order(document: &ExecutableDocument) -> Result<Vec<&str>, ServerError> {
    enum Step<'d> {
        Enter(&'d str),
        Leave(&'d str),
    }
    let mut order = Vec::with_capacity(document.fragments.len());
    let mut open = HashSet::new();
    let mut done = HashSet::new();
    for start in document.fragments.keys() {
        let mut steps = vec![Step::Enter(start.as_str())];
        while let Some(step) = steps.pop() {
            match step {
                Step::Enter(name) => {
                    let Some(fragment) = document.fragments.get(name).filter(|_| !done.contains(name)) else {
                        continue;
                    };
                    if !open.insert(name) {
                        return Err(refusal(format!("the fragment {name:?} spreads itself"), Some(fragment.pos)));
                    }
                    steps.push(Step::Leave(name));
                    let mut spreads = HashSet::new();
                    collect_spreads(&fragment.node.selection_set.node, &mut spreads);
                    steps.extend(spreads.into_iter().map(Step::Enter));
                }
                Step::Leave(name) => {
                    open.remove(name);
                    done.insert(name);
                    order.push(name);
                }
            }
        }
    }
    Ok(order)
}

fn collect_spreads<'d>(set: &'d SelectionSet, spreads: &mut HashSet<&'d str>) {
    for selection in &set.items {
        match &selection.node {
            Selection::Field(field) => collect_spreads(&field.node.selection_set.node, spreads),
            Selection::InlineFragment(fragment) => collect_spreads(&fragment.node.selection_set.node, spreads),
            Selection::FragmentSpread(spread) => {
                spreads.insert(spread.node.fragment_name.node.as_str());
            }
        }
    }
}

/// How much validating the value of each variable takes, which is done wherever one is used.
type Sizes = HashMap<Name, u64>;

fn variable_sizes(document: &ExecutableDocument, variables: &Variables) -> Sizes {
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

/// How many selections stand in a set, as it is written.
fn size(set: &SelectionSet, sizes: &Sizes) -> Result<u64, ServerError> {
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

/// How much stands in an operation before its selections.
fn head(operation: &OperationDefinition, sizes: &Sizes) -> Result<u64, ServerError> {
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

fn directives_size(directives: &[Positioned<Directive>], sizes: &Sizes) -> u64 {
    let sizes = directives.iter().map(|directive| arguments_size(&directive.node.arguments, sizes).saturating_add(1));
    sizes.fold(0, u64::saturating_add)
}

fn arguments_size(arguments: &[(Positioned<Name>, Positioned<Value>)], sizes: &Sizes) -> u64 {
    arguments.iter().map(|(_, value)| value_size(&value.node, sizes)).fold(0, u64::saturating_add)
}

/// Bytes of a text that take as long as any other value.
const TEXT: usize = 256;

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

fn const_size(value: &ConstValue) -> u64 {
    let within = match value {
        ConstValue::List(items) => items.iter().map(const_size).sum(),
        ConstValue::Object(fields) => fields.values().map(const_size).sum(),
        ConstValue::String(text) => (text.len() / TEXT) as u64,
        ConstValue::Binary(bytes) => (bytes.len() / TEXT) as u64,
        ConstValue::Null | ConstValue::Number(_) | ConstValue::Boolean(_) | ConstValue::Enum(_) => 0,
    };
    within + 1
}

/// async-graphql doesn't look at `__typename`.
fn require_bare(field: &Field, on: &Name, pos: Pos) -> Result<(), ServerError> {
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

/// Puts the directives of each `__typename` on a fragment around it, which means the same and is validated.
fn spell_out_directives(request: &mut Request) {
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

fn limit(what: &str, count: u64, limit: u64) -> Result<(), ServerError> {
    if count <= limit {
        return Ok(());
    }
    let error = refusal(format!("the document has {} {what}; the limit is {limit}", shown(count)), None);
    Err(with_limit(error, limit))
}

pub(super) fn afford(what: &str, cost: u64, limit: u64) -> Result<(), ServerError> {
    if cost <= limit {
        return Ok(());
    }
    let message = format!(
        "the {what} costs {}; the limit is {limit}: ask for fewer fields, smaller pages (`first`) or fewer lists within lists",
        shown(cost)
    );
    let mut error = with_limit(refusal(message, None), limit);
    error.extensions.get_or_insert_default().set("cost", cost);
    Err(error)
}

/// A count for people: beyond a billion nobody cares.
fn shown(count: u64) -> String {
    const MANY: u64 = 1_000_000_000;
    if count > MANY { format!("more than {MANY}") } else { count.to_string() }
}

fn refusal(message: String, pos: Option<Pos>) -> ServerError {
    let mut error = ServerError::new(message, pos);
    let mut extensions = ErrorExtensionValues::default();
    extensions.set("code", "BAD_REQUEST");
    error.extensions = Some(extensions);
    error
}

fn with_limit(mut error: ServerError, limit: u64) -> ServerError {
    error.extensions.get_or_insert_default().set("limit", limit);
    error
}
