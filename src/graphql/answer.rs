//! The form of an answer: the order of the selection, and null where the specification says so.
//!
//! async-graphql puts fields into an answer as they become ready, leaves out those that fail, and answers null for an object of which
//! nothing is selected. The specification wants the order of the selection (§ 6.3.1), null for a field that failed, or else for the
//! nearest parent that may be null (§ 6.4.4), and an empty object. Here the answer is brought into that form, by the document
//! as it was before the execution.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, Directive, ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet, Type,
    TypeKind, TypeSystemDefinition,
};
use async_graphql::{Name, PathSegment, Positioned, Request, Response, ServerError, Value, Variables};
use async_graphql_value::Value as Literal;

/// Under which an object tells its type, where that decides what is selected of it. No document can choose that name.
const HIDDEN_TYPENAME: &str = " typename";

/// The types of a schema.
#[derive(Debug)]
pub struct Types {
    objects: HashMap<Name, HashMap<Name, Type>>,
    /// The objects of each interface and union.
    possible: HashMap<Name, HashSet<Name>>,
    query: Name,
    mutation: Name,
}

impl Types {
    /// The types of a schema, by its SDL.
    ///
    /// # Errors
    /// The SDL can't be parsed.
    pub fn new(sdl: &str) -> Result<Self, async_graphql::parser::Error> {
        let mut types = Self {
            objects: HashMap::new(),
            possible: HashMap::new(),
            query: Name::new("Query"),
            mutation: Name::new("Mutation"),
        };
        for definition in parse_schema(sdl)?.definitions {
            match definition {
                TypeSystemDefinition::Type(definition) => types.add(definition.node.name.node, definition.node.kind),
                TypeSystemDefinition::Schema(schema) => {
                    types.query = schema.node.query.map_or(types.query, |name| name.node);
                    types.mutation = schema.node.mutation.map_or(types.mutation, |name| name.node);
                }
                TypeSystemDefinition::Directive(_) => {}
            }
        }
        Ok(types)
    }

    fn add(&mut self, name: Name, kind: TypeKind) {
        let fields = match kind {
            TypeKind::Object(object) => {
                for interface in object.implements {
                    self.possible.entry(interface.node).or_default().insert(name.clone());
                }
                object.fields
            }
            TypeKind::Interface(interface) => {
                self.possible.entry(name.clone()).or_default();
                interface.fields
            }
            TypeKind::Union(union) => {
                let members = union.members.into_iter().map(|member| member.node);
                self.possible.entry(name.clone()).or_default().extend(members);
                Vec::new()
            }
            TypeKind::Scalar | TypeKind::Enum(_) | TypeKind::InputObject(_) => return,
        };
        let fields = fields.into_iter().map(|field| (field.node.name.node, field.node.ty.node)).collect();
        self.objects.insert(name, fields);
    }

    /// The type of a field; none for those of introspection, which are in no SDL and never fail.
    fn of_field(&self, on: &str, field: &str) -> Option<&Type> {
        self.objects.get(on)?.get(field)
    }

    fn is_abstract(&self, name: &str) -> bool {
        self.possible.contains_key(name)
    }

    /// Whether what is selected on `condition` is selected of a `concrete` object.
    fn applies(&self, condition: Option<&Name>, concrete: &str) -> bool {
        condition.is_none_or(|condition| {
            condition == concrete || self.possible.get(condition).is_some_and(|possible| possible.contains(concrete))
        })
    }
}

/// What a request selects.
#[derive(Debug)]
pub struct AnswerForm<'t> {
    types: &'t Types,
    root: Name,
    sets: Vec<Vec<Selected>>,
    root_set: SetId,
}

type SetId = usize;
type GroupId = usize;

/// A selection that isn't skipped.
#[derive(Debug)]
enum Selected {
    Field { key: Name, name: Name, below: Option<SetId> },
    Fragment { on: Option<Name>, set: SetId },
}

impl<'t> AnswerForm<'t> {
    /// What a request that is within its budget selects. Some objects of its answer will tell their type besides. None for what
    /// isn't executed, which the executor reports.
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
            let root = match operation.ty {
                OperationType::Mutation => &types.mutation,
                OperationType::Query | OperationType::Subscription => &types.query,
            };
            let root_set = reader.set(&operation.selection_set.node, Some(root));
            let with_typenames = reader.hides_typenames.then(|| with_typenames(types, document));
            Some((Self { types, root: root.clone(), sets: reader.sets, root_set }, with_typenames))
        });
        request.variables = variables;
        let (form, with_typenames) = read?;
        if let Some(document) = with_typenames {
            request.set_parsed_query(document);
        }
        Some(form)
    }

    /// Brings an answer into its form.
    pub fn complete(&self, response: &mut Response) {
        // What isn't executed has no data.
        if !response.errors.is_empty() && response.errors.iter().all(|error| error.path.is_empty()) {
            return;
        }
        let failures = (!response.errors.is_empty()).then(|| Failures::of(&response.errors));
        let mut completion =
            Completion { form: self, groups: Vec::new(), group_ids: HashMap::new(), objects: HashMap::new() };
        let root = completion.group(vec![self.root_set]);
        if response.data == Value::Null {
            response.data = Value::Object(IndexMap::new());
        }
        let Value::Object(fields) = &mut response.data else { return };
        let fits = match self.root == self.types.mutation {
            true => completion.steps(fields, root, &self.root, failures.as_ref()),
            false => completion.object(fields, root, &self.root, failures.as_ref()),
        };
        if !fits {
            response.data = Value::Null;
        }
    }
}

/// Reads the selected operation of a document, each fragment once.
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

/// The type without its lists and exclamation marks.
fn named(of: &Type) -> &Name {
    match &of.base {
        BaseType::Named(name) => name,
        BaseType::List(inner) => named(inner),
    }
}

/// Whether what a field gives must tell its type: where several are possible, or where nothing may be selected of it, so that the executor
/// would answer null for something that is there.
fn tells_typename(types: &Types, document: &ExecutableDocument, field: &Field, gives: Option<&Name>) -> bool {
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
fn with_typenames(types: &Types, document: &ExecutableDocument) -> ExecutableDocument {
    let mut told = document.clone();
    for fragment in told.fragments.values_mut() {
        let condition = fragment.node.type_condition.node.on.node.clone();
        add_typenames(types, document, &mut fragment.node.selection_set.node, Some(&condition));
    }
    for operation in operations_mut(&mut told) {
        let root = match operation.ty {
            OperationType::Mutation => &types.mutation,
            OperationType::Query | OperationType::Subscription => &types.query,
        };
        add_typenames(types, document, &mut operation.selection_set.node, Some(root));
    }
    told
}

fn operations_mut(document: &mut ExecutableDocument) -> Vec<&mut OperationDefinition> {
    use async_graphql::parser::types::DocumentOperations;
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

/// The fields that failed, by their paths.
#[derive(Default)]
struct Failures {
    fields: HashMap<String, Failures>,
    items: HashMap<usize, Failures>,
}

impl Failures {
    fn of(errors: &[ServerError]) -> Self {
        let mut failures = Self::default();
        for error in errors {
            let mut place = &mut failures;
            for segment in &error.path {
                place = match segment {
                    PathSegment::Field(key) => place.fields.entry(key.clone()).or_default(),
                    PathSegment::Index(index) => place.items.entry(*index).or_default(),
                };
            }
        }
        failures
    }
}

/// A field that is selected of an object, as often as it is.
struct Merged<'f> {
    key: &'f Name,
    ty: Option<&'f Type>,
    /// What is selected of what it gives.
    below: Option<GroupId>,
}

/// Completes one answer. What is selected of objects is put together once for all that are of one type at one place.
struct Completion<'f> {
    form: &'f AnswerForm<'f>,
    groups: Vec<Vec<SetId>>,
    group_ids: HashMap<Vec<SetId>, GroupId>,
    objects: HashMap<(GroupId, Name), Rc<[Merged<'f>]>>,
}

impl<'f> Completion<'f> {
    /// The selection sets of fields that are one field of the answer.
    fn group(&mut self, sets: Vec<SetId>) -> GroupId {
        if let Some(id) = self.group_ids.get(&sets) {
            return *id;
        }
        self.groups.push(sets.clone());
        self.group_ids.insert(sets, self.groups.len() - 1);
        self.groups.len() - 1
    }

    /// What is selected of a concrete object, in order.
    fn merged(&mut self, group: GroupId, concrete: &Name) -> Rc<[Merged<'f>]> {
        if let Some(merged) = self.objects.get(&(group, concrete.clone())) {
            return merged.clone();
        }
        let form = self.form;
        let mut collected = IndexMap::new();
        let mut visited = HashSet::new();
        for set in self.groups.get(group).cloned().unwrap_or_default() {
            form.collect(set, concrete, &mut visited, &mut collected);
        }
        let merged: Rc<[Merged<'f>]> = collected
            .into_iter()
            .map(|(key, (name, sets))| Merged {
                key,
                ty: form.types.of_field(concrete, name),
                below: (!sets.is_empty()).then(|| self.group(sets)),
            })
            .collect();
        self.objects.insert((group, concrete.clone()), merged.clone());
        merged
    }

    /// Completes an object; false where a field that can't be null failed, so that the object is null.
    fn object(
        &mut self,
        fields: &mut IndexMap<Name, Value>,
        group: GroupId,
        concrete: &Name,
        failures: Option<&Failures>,
    ) -> bool {
        let merged = self.merged(group, concrete);
        arrange(fields, &merged, failures);
        merged.iter().all(|field| self.field(fields, field, failures))
    }

    /// Completes what the steps of a mutation gave; false where all of them failed. What was done is in the answer whatever became of
    /// the others, since some of it is shown once: there alone a field is null that can't be.
    fn steps(
        &mut self,
        fields: &mut IndexMap<Name, Value>,
        group: GroupId,
        concrete: &Name,
        failures: Option<&Failures>,
    ) -> bool {
        let merged = self.merged(group, concrete);
        arrange(fields, &merged, failures);
        let failed = merged.iter().filter(|field| !self.field(fields, field, failures)).count();
        failed == 0 || failed < merged.len()
    }

    fn field(&mut self, fields: &mut IndexMap<Name, Value>, field: &Merged<'f>, failures: Option<&Failures>) -> bool {
        let Some(value) = fields.get_mut(field.key) else { return true };
        let failures = failures.and_then(|failures| failures.fields.get(field.key.as_str()));
        self.value(value, field.ty, field.below, failures)
    }

    /// Completes what a field or a list's item gives; false where it is null and can't be.
    fn value(
        &mut self,
        value: &mut Value,
        ty: Option<&'f Type>,
        below: Option<GroupId>,
        failures: Option<&Failures>,
    ) -> bool {
        // Of an object that is there, all may have failed.
        if let (Value::Null, Some(BaseType::Named(_)), Some(_), Some(failures)) =
            (&*value, ty.map(|ty| &ty.base), below, failures)
            && !failures.fields.is_empty()
        {
            *value = Value::Object(IndexMap::new());
        }
        let fits = match value {
            // Only what failed is ours to pass on.
            Value::Null => return failures.is_none() || ty.is_none_or(|ty| ty.nullable),
            Value::Object(fields) => match below {
                None => true,
                Some(group) => {
                    let told = match fields.get(HIDDEN_TYPENAME) {
                        Some(Value::String(told)) => Some(Name::new(told)),
                        _ => None,
                    };
                    let concrete = told.or_else(|| ty.map(|ty| named(ty).clone())).unwrap_or_else(|| Name::new(""));
                    self.object(fields, group, &concrete, failures)
                }
            },
            Value::List(items) if below.is_some() => {
                let of_items = match ty.map(|ty| &ty.base) {
                    Some(BaseType::List(inner)) => Some(&**inner),
                    _ => None,
                };
                items.iter_mut().enumerate().all(|(index, item)| {
                    let failures = failures.and_then(|failures| failures.items.get(&index));
                    self.value(item, of_items, below, failures)
                })
            }
            _ => true,
        };
        if !fits {
            *value = Value::Null;
        }
        fits || ty.is_none_or(|ty| ty.nullable)
    }
}

/// Brings the fields of an object into the order of the selection, with null for those that failed.
fn arrange(fields: &mut IndexMap<Name, Value>, merged: &[Merged<'_>], failures: Option<&Failures>) {
    fields.shift_remove(HIDDEN_TYPENAME);
    if fields.len() == merged.len() && fields.keys().zip(merged).all(|(key, field)| key == field.key) {
        return;
    }
    let mut ready = std::mem::take(fields);
    fields.reserve(merged.len());
    for field in merged {
        if let Some(value) = ready.swap_remove(field.key) {
            fields.insert(field.key.clone(), value);
        } else if failures.is_some_and(|failures| failures.fields.contains_key(field.key.as_str())) {
            fields.insert(field.key.clone(), Value::Null);
        }
    }
    fields.extend(ready);
}

impl AnswerForm<'_> {
    /// What a selection set selects of a concrete object, each key where it appears first.
    fn collect<'f>(
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
                // Objects of introspection have one type each.
                Selected::Fragment { on, set } => {
                    if concrete.is_empty() || self.types.applies(on.as_ref(), concrete) {
                        self.collect(*set, concrete, visited, collected);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{EmptySubscription, Interface, Object, Schema, Union};
    use serde_json::json;

    use super::*;

    /// Lets others be ready first.
    async fn wait() {
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }

    struct Cat;

    #[Object]
    impl Cat {
        async fn name(&self) -> &str {
            wait().await;
            "Tom"
        }

        async fn lives(&self) -> i32 {
            9
        }

        async fn friend(&self) -> Option<Dog> {
            wait().await;
            Some(Dog)
        }
    }

    struct Dog;

    #[Object]
    impl Dog {
        async fn name(&self) -> &str {
            "Rex"
        }

        async fn bark(&self) -> &str {
            wait().await;
            "woof"
        }

        async fn broken(&self) -> async_graphql::Result<i32> {
            Err("broken".into())
        }

        async fn broken_if_any(&self) -> async_graphql::Result<Option<i32>> {
            wait().await;
            Err("broken".into())
        }
    }

    #[derive(Interface)]
    #[graphql(field(name = "name", ty = "&str"))]
    enum Animal {
        Cat(Cat),
        Dog(Dog),
    }

    #[derive(Union)]
    enum Pet {
        Cat(Cat),
        Dog(Dog),
    }

    struct Query;

    #[Object]
    impl Query {
        async fn slow(&self) -> &str {
            wait().await;
            wait().await;
            "slow"
        }

        async fn quick(&self) -> &str {
            "quick"
        }

        async fn cat(&self) -> Option<Cat> {
            wait().await;
            Some(Cat)
        }

        async fn dog(&self) -> Option<Dog> {
            Some(Dog)
        }

        async fn sure_dog(&self) -> Dog {
            Dog
        }

        async fn nobody(&self) -> Option<Dog> {
            None
        }

        async fn animal(&self, cat: bool) -> Option<Animal> {
            wait().await;
            Some(if cat { Animal::Cat(Cat) } else { Animal::Dog(Dog) })
        }

        async fn animals(&self) -> Vec<Option<Animal>> {
            vec![Some(Animal::Dog(Dog)), None, Some(Animal::Cat(Cat))]
        }

        async fn pets(&self) -> Option<Vec<Pet>> {
            Some(vec![Pet::Cat(Cat), Pet::Dog(Dog)])
        }

        async fn failing(&self) -> async_graphql::Result<Option<i32>> {
            Err("failing".into())
        }

        async fn failing_always(&self) -> async_graphql::Result<i32> {
            Err("failing".into())
        }
    }

    struct Mutation;

    #[Object]
    impl Mutation {
        async fn count(&self, to: i32) -> i32 {
            to
        }

        async fn fail(&self) -> async_graphql::Result<i32> {
            Err("failing".into())
        }
    }

    /// The data of an answer as JSON, and its errors' paths.
    async fn ask_with(query: &str, variables: serde_json::Value) -> (String, Vec<serde_json::Value>) {
        let schema = Schema::new(Query, Mutation, EmptySubscription);
        let types = Types::new(&schema.sdl()).unwrap();
        let mut request = Request::new(query).variables(Variables::from_json(variables));
        let form = AnswerForm::of(&types, &mut request);
        let mut response = schema.execute(request).await;
        form.unwrap().complete(&mut response);
        let paths = response.errors.iter().map(|error| serde_json::to_value(&error.path).unwrap()).collect();
        (serde_json::to_string(&response.data).unwrap(), paths)
    }

    async fn ask(query: &str) -> String {
        let (data, errors) = ask_with(query, json!({})).await;
        assert!(errors.is_empty(), "{query}: {errors:?}");
        data
    }

    #[tokio::test]
    async fn fields_stand_in_the_order_of_the_selection() {
        for (query, expected) in [
            ("{ slow quick }", r#"{"slow":"slow","quick":"quick"}"#),
            ("{ quick slow again: quick }", r#"{"quick":"quick","slow":"slow","again":"quick"}"#),
            ("{ cat { name lives } quick }", r#"{"cat":{"name":"Tom","lives":9},"quick":"quick"}"#),
            ("{ z: slow __typename a: quick }", r#"{"z":"slow","__typename":"Query","a":"quick"}"#),
            // Fields of fragments stand where the fragment is spread first, and what is selected twice is there once.
            ("{ ...F quick ...F } fragment F on Query { slow }", r#"{"slow":"slow","quick":"quick"}"#),
            (
                "{ quick ... { slow ... on Query { quick x: quick } } }",
                r#"{"quick":"quick","slow":"slow","x":"quick"}"#,
            ),
            (
                "{ cat { lives } quick cat { name friend { bark } } cat { friend { name bark } lives } }",
                r#"{"cat":{"lives":9,"name":"Tom","friend":{"bark":"woof","name":"Rex"}},"quick":"quick"}"#,
            ),
            (
                "{ animals { __typename ... on Cat { name lives } ... on Dog { bark name } } }",
                r#"{"animals":[{"__typename":"Dog","bark":"woof","name":"Rex"},null,{"__typename":"Cat","name":"Tom","lives":9}]}"#,
            ),
            (
                "{ animals { ...A name ...D } } fragment A on Animal { ...C } fragment C on Cat { friend { bark name } lives } \
                 fragment D on Dog { bark n: name }",
                r#"{"animals":[{"name":"Rex","bark":"woof","n":"Rex"},null,{"friend":{"bark":"woof","name":"Rex"},"lives":9,"name":"Tom"}]}"#,
            ),
            (
                "{ pets { ... on Animal { name } ... on Cat { lives } ... on Dog { bark name } } }",
                r#"{"pets":[{"name":"Tom","lives":9},{"name":"Rex","bark":"woof"}]}"#,
            ),
            ("mutation { b: count(to: 1) a: count(to: 2) }", r#"{"b":1,"a":2}"#),
            (
                "{ slow __type(name: \"Cat\") { kind ...T } } fragment T on __Type { name fields { type { name } name } }",
                r#"{"slow":"slow","__type":{"kind":"OBJECT","name":"Cat","fields":[{"type":{"name":null},"name":"name"},{"type":{"name":null},"name":"lives"},{"type":{"name":"Dog"},"name":"friend"}]}}"#,
            ),
        ] {
            assert_eq!(ask(query).await, expected, "{query}");
        }
    }

    #[tokio::test]
    async fn what_is_skipped_is_not_in_the_answer() {
        let query = "query($yes: Boolean!, $no: Boolean = false) { slow @skip(if: $yes) quick @include(if: $yes) \
                     ... @include(if: $no) { cat { name } } dog { name @skip(if: $no) bark @include(if: $no) } }";
        let (data, errors) = ask_with(query, json!({ "yes": true })).await;
        assert_eq!((data.as_str(), errors.len()), (r#"{"quick":"quick","dog":{"name":"Rex"}}"#, 0));
        let (data, _) = ask_with(query, json!({ "yes": false, "no": true })).await;
        assert_eq!(data, r#"{"slow":"slow","cat":{"name":"Tom"},"dog":{"bark":"woof"}}"#);
    }

    // What is there and of which nothing is selected is empty, not null: null says that there is no such thing.
    #[tokio::test]
    async fn an_object_of_which_nothing_is_selected_is_empty() {
        for (query, expected) in [
            ("{ animal(cat: true) { ... on Dog { bark } } }", r#"{"animal":{}}"#),
            ("{ animals { ... on Cat { lives } } }", r#"{"animals":[{},null,{"lives":9}]}"#),
            ("{ dog { name @skip(if: true) } nobody { name @skip(if: true) } }", r#"{"dog":{},"nobody":null}"#),
            ("{ sureDog { ...N @include(if: false) } } fragment N on Dog { name }", r#"{"sureDog":{}}"#),
            ("{ dog { ... on Animal { ... on Cat { lives } } } }", r#"{"dog":{}}"#),
            ("{ slow @skip(if: true) }", "{}"),
        ] {
            assert_eq!(ask(query).await, expected, "{query}");
        }
    }

    #[tokio::test]
    async fn a_field_that_fails_is_null_or_else_what_holds_it() {
        for (query, expected, errors) in [
            ("{ slow failing quick }", r#"{"slow":"slow","failing":null,"quick":"quick"}"#, json!([["failing"]])),
            ("{ failing }", r#"{"failing":null}"#, json!([["failing"]])),
            ("{ slow failingAlways }", "null", json!([["failingAlways"]])),
            ("{ dog { name broken } quick }", r#"{"dog":null,"quick":"quick"}"#, json!([["dog", "broken"]])),
            ("{ dog { broken } quick }", r#"{"dog":null,"quick":"quick"}"#, json!([["dog", "broken"]])),
            ("{ dog { brokenIfAny } }", r#"{"dog":{"brokenIfAny":null}}"#, json!([["dog", "brokenIfAny"]])),
            (
                "{ dog { brokenIfAny name } }",
                r#"{"dog":{"brokenIfAny":null,"name":"Rex"}}"#,
                json!([["dog", "brokenIfAny"]]),
            ),
            ("{ quick sureDog { name broken } }", "null", json!([["sureDog", "broken"]])),
            (
                "{ cat { name friend { b: broken } } }",
                r#"{"cat":{"name":"Tom","friend":null}}"#,
                json!([["cat", "friend", "b"]]),
            ),
            (
                "{ animals { name ... on Dog { broken } } }",
                r#"{"animals":[null,null,{"name":"Tom"}]}"#,
                json!([["animals", 0, "broken"]]),
            ),
            // Items that can't be null take their list along.
            (
                "{ quick pets { ... on Dog { broken } } }",
                r#"{"quick":"quick","pets":null}"#,
                json!([["pets", 1, "broken"]]),
            ),
            // What was done is told.
            ("mutation { a: count(to: 1) fail b: count(to: 2) }", r#"{"a":1,"fail":null,"b":2}"#, json!([["fail"]])),
            ("mutation { fail }", "null", json!([["fail"]])),
            ("{ failing nobody { broken } }", r#"{"failing":null,"nobody":null}"#, json!([["failing"]])),
        ] {
            let (data, paths) = ask_with(query, json!({})).await;
            assert_eq!((data.as_str(), json!(paths)), (expected, errors), "{query}");
        }
    }

    #[tokio::test]
    async fn what_is_not_executed_has_no_data() {
        for query in ["{ unknown }", "{ cat }", "{ cat { unknown } }", "{ ...Missing }"] {
            let (data, errors) = ask_with(query, json!({})).await;
            assert_eq!((data.as_str(), errors.is_empty()), ("null", false), "{query}");
        }
        let schema = Schema::new(Query, Mutation, EmptySubscription);
        let types = Types::new(&schema.sdl()).unwrap();
        for query in ["{", "query A { quick } query B { slow }"] {
            let mut request = Request::new(query).operation_name("C");
            assert!(AnswerForm::of(&types, &mut request).is_none(), "{query}");
        }
    }
}
