//! The types of the schema, parsed once from its SDL. The budget of requests and the form of answers use them.

use std::collections::{HashMap, HashSet};

use async_graphql::Name;
use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, FieldDefinition, OperationType, Type, TypeDefinition, TypeKind, TypeSystemDefinition,
};

/// The types of introspection, which the SDL doesn't contain.
const INTROSPECTION: &str = "
    type __Schema {
      types: [__Type] queryType: __Type mutationType: __Type subscriptionType: __Type directives: [__Directive]
    }
    type __Type { fields: [__Field] interfaces: [__Type] possibleTypes: [__Type] enumValues: [__EnumValue]
      inputFields: [__InputValue] ofType: __Type }
    type __Field { args: [__InputValue] type: __Type }
    type __InputValue { type: __Type }
    type __EnumValue { name: String }
    type __Directive { args: [__InputValue] }";

/// The types of a schema, including those of introspection.
#[derive(Debug)]
pub struct Types {
    fields: HashMap<Name, HashMap<Name, FieldInfo>>,
    /// The object types that each interface and union can be.
    possible: HashMap<Name, HashSet<Name>>,
    query: Name,
    mutation: Name,
    subscription: Name,
    definitions: Vec<TypeDefinition>,
    directives: Vec<usize>,
}

/// A field of an object type or an interface.
#[derive(Debug)]
pub struct FieldInfo {
    /// The field's type.
    pub ty: Type,
    /// Whether the field returns a page of a list, which `first` limits.
    pub has_pages: bool,
}

impl FieldInfo {
    fn of(definition: &FieldDefinition) -> Self {
        let has_pages = definition.arguments.iter().any(|argument| argument.node.name.node == "first");
        Self { ty: definition.ty.node.clone(), has_pages }
    }

    /// The name of the field's type, or of the items' type if it is a list.
    pub fn gives(&self) -> &Name {
        named(&self.ty)
    }

    /// Whether the field's type is a list.
    pub fn is_list(&self) -> bool {
        matches!(self.ty.base, BaseType::List(_))
    }
}

impl Types {
    /// Parses the types of a schema from its SDL.
    ///
    /// # Errors
    /// If the SDL can't be parsed.
    pub fn new(sdl: &str) -> Result<Self, async_graphql::parser::Error> {
        let mut types = Self {
            fields: HashMap::new(),
            possible: HashMap::new(),
            query: Name::new("Query"),
            mutation: Name::new("Mutation"),
            subscription: Name::new("Subscription"),
            definitions: Vec::new(),
            directives: Vec::new(),
        };
        for sdl in [INTROSPECTION, sdl] {
            for definition in parse_schema(sdl)?.definitions {
                match definition {
                    TypeSystemDefinition::Type(definition) => types.add(definition.node),
                    TypeSystemDefinition::Schema(schema) => {
                        types.query = schema.node.query.map_or(types.query, |name| name.node);
                        types.mutation = schema.node.mutation.map_or(types.mutation, |name| name.node);
                        types.subscription = schema.node.subscription.map_or(types.subscription, |name| name.node);
                    }
                    TypeSystemDefinition::Directive(directive) => types.directives.push(directive.node.arguments.len()),
                }
            }
        }
        Ok(types)
    }

    fn add(&mut self, definition: TypeDefinition) {
        let name = &definition.name.node;
        let fields = match &definition.kind {
            TypeKind::Object(object) => {
                for interface in &object.implements {
                    self.possible.entry(interface.node.clone()).or_default().insert(name.clone());
                }
                object.fields.as_slice()
            }
            TypeKind::Interface(interface) => {
                self.possible.entry(name.clone()).or_default();
                interface.fields.as_slice()
            }
            TypeKind::Union(union) => {
                let members = union.members.iter().map(|member| member.node.clone());
                self.possible.entry(name.clone()).or_default().extend(members);
                &[]
            }
            TypeKind::Scalar | TypeKind::Enum(_) | TypeKind::InputObject(_) => &[],
        };
        let fields = fields.iter().map(|field| (field.node.name.node.clone(), FieldInfo::of(&field.node))).collect();
        self.fields.insert(name.clone(), fields);
        self.definitions.push(definition);
    }

    /// The root type of an operation.
    pub fn root(&self, operation: OperationType) -> &Name {
        match operation {
            OperationType::Query => &self.query,
            OperationType::Mutation => &self.mutation,
            OperationType::Subscription => &self.subscription,
        }
    }

    /// Whether this is the root type of queries.
    pub fn is_query(&self, name: &Name) -> bool {
        *name == self.query
    }

    /// Whether this is the root type of mutations.
    pub fn is_mutation(&self, name: &Name) -> bool {
        *name == self.mutation
    }

    /// Whether this is the root type of subscriptions.
    pub fn is_subscription(&self, name: &Name) -> bool {
        *name == self.subscription
    }

    /// Looks up a field of a type.
    pub fn field(&self, on: &str, field: &str) -> Option<&FieldInfo> {
        self.fields.get(on)?.get(field)
    }

    /// The type of a field, or `None` for the fields of introspection, which never fail.
    pub fn of_field(&self, on: &str, field: &str) -> Option<&Type> {
        if on.starts_with("__") { None } else { self.field(on, field).map(|field| &field.ty) }
    }

    /// Whether the type is an interface or a union.
    pub fn is_abstract(&self, name: &str) -> bool {
        self.possible.contains_key(name)
    }

    /// Whether the type is an object with a global id, or an abstract type that can be one.
    pub fn is_node(&self, name: &str) -> bool {
        self.is_abstract(name) || self.possible.get("Node").is_some_and(|nodes| nodes.contains(name))
    }

    /// Whether the type is an object, interface or union, so that it needs a selection set.
    pub fn is_composite(&self, name: &str) -> bool {
        self.is_abstract(name) || self.fields.get(name).is_some_and(|fields| !fields.is_empty())
    }

    /// Whether a fragment with this type condition applies to an object of the `concrete` type.
    pub fn applies(&self, condition: Option<&Name>, concrete: &str) -> bool {
        condition.is_none_or(|condition| {
            condition == concrete || self.possible.get(condition).is_some_and(|possible| possible.contains(concrete))
        })
    }

    /// The definitions of all types, as parsed from the SDL.
    pub fn definitions(&self) -> &[TypeDefinition] {
        &self.definitions
    }

    /// The number of arguments of each directive.
    pub fn directives(&self) -> &[usize] {
        &self.directives
    }
}

/// The name of the type inside all list and non-null wrappers.
pub fn named(of: &Type) -> &Name {
    match &of.base {
        BaseType::Named(name) => name,
        BaseType::List(inner) => named(inner),
    }
}
