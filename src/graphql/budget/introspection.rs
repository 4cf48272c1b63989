//! The size of an introspection query: the number of items that the answer would contain, counted in the schema
//! itself.
//!
//! Types refer to types, so that a few words can ask for millions of items. What a selection set asks of a type is
//! counted once, however often the query reaches that type.

use std::collections::HashMap;

use async_graphql::ServerError;
use async_graphql::parser::types::{
    ExecutableDocument, Field, InterfaceType, ObjectType, Selection, SelectionSet, Type, TypeKind,
};
use async_graphql::{Name, Positioned};

use super::refusal::afford;
use crate::graphql::types::{Types, named};

/// The number of items that introspection may return: about three times as many as tools ask for.
pub(super) const MAX_THINGS: u64 = 300_000;
/// The number of pairs of a selection set and an item that the counter visits.
const MAX_STEPS: u64 = 300_000;

/// The shape of a schema as introspection shows it. Types, fields and arguments are identified by their index in the
/// lists.
#[derive(Debug, Default)]
pub(super) struct Shape {
    types: Vec<TypeShape>,
    places: HashMap<Name, usize>,
    /// The number of arguments of each directive.
    directives: Vec<usize>,
}

/// The shape of a type.
#[derive(Debug, Default)]
struct TypeShape {
    /// The fields: the index of each field's type, and the indexes of its arguments' types.
    fields: Vec<(usize, Vec<usize>)>,
    inputs: Vec<usize>,
    values: usize,
    interfaces: Vec<usize>,
    possible: Vec<usize>,
}

/// An item of the schema to which a selection set can apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum SchemaItem {
    Schema,
    Type(usize),
    Field {
        of: usize,
        number: usize,
    },
    /// An argument or an input field, with the index of its type.
    Input(usize),
    Value,
    Directive(usize),
}

impl Shape {
    /// The shape of a schema with these types.
    pub(super) fn of(types: &Types) -> Self {
        let definitions = types.definitions();
        let mut shape = Self { directives: types.directives().to_vec(), ..Self::default() };
        for definition in definitions {
            shape.place(&definition.name.node);
        }
        for definition in definitions {
            let place = shape.place(&definition.name.node);
            let shown = shape.show(place, &definition.kind);
            if let Some(slot) = shape.types.get_mut(place) {
                slot.fields = shown.fields;
                slot.inputs = shown.inputs;
                slot.values = shown.values;
                slot.interfaces = shown.interfaces;
                slot.possible.extend(shown.possible);
            }
        }
        shape
    }

    /// The index of a type. Types without a definition, such as the built-in scalars, get one too.
    fn place(&mut self, name: &Name) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = self.types.len();
        self.types.push(TypeShape::default());
        self.places.insert(name.clone(), place);
        place
    }

    fn show(&mut self, place: usize, kind: &TypeKind) -> TypeShape {
        let mut shown = TypeShape::default();
        let of_type = |shape: &mut Self, of: &Positioned<Type>| shape.place(named(&of.node));
        match kind {
            TypeKind::Object(ObjectType { implements, fields })
            | TypeKind::Interface(InterfaceType { implements, fields }) => {
                for field in fields {
                    let arguments = field.node.arguments.iter();
                    let arguments = arguments.map(|argument| of_type(self, &argument.node.ty)).collect();
                    shown.fields.push((of_type(self, &field.node.ty), arguments));
                }
                for interface in implements {
                    let interface = self.place(&interface.node);
                    shown.interfaces.push(interface);
                    if let Some(interface) = self.types.get_mut(interface) {
                        interface.possible.push(place);
                    }
                }
            }
            TypeKind::Union(union) => {
                shown.possible = union.members.iter().map(|member| self.place(&member.node)).collect();
            }
            TypeKind::Enum(values) => shown.values = values.values.len(),
            TypeKind::InputObject(input) => {
                shown.inputs = input.fields.iter().map(|field| of_type(self, &field.node.ty)).collect();
            }
            TypeKind::Scalar => {}
        }
        shown
    }

    /// The items that a field of introspection returns. `None` for fields with a scalar value.
    fn given(&self, item: SchemaItem, field: &str) -> Option<Vec<SchemaItem>> {
        let shown = |place: usize| self.types.get(place);
        let types = |places: &[usize]| places.iter().copied().map(SchemaItem::Type).collect();
        let inputs = |places: &[usize]| places.iter().copied().map(SchemaItem::Input).collect();
        Some(match (item, field) {
            (SchemaItem::Schema, "types") => (0..self.types.len()).map(SchemaItem::Type).collect(),
            (SchemaItem::Schema, "directives") => (0..self.directives.len()).map(SchemaItem::Directive).collect(),
            (SchemaItem::Schema, "queryType" | "mutationType" | "subscriptionType") => {
                let name = format!("{}{}", field.get(..1)?.to_uppercase(), field.get(1..)?.strip_suffix("Type")?);
                self.places.get(name.as_str()).copied().map(SchemaItem::Type).into_iter().collect()
            }
            (SchemaItem::Type(of), "fields") => {
                (0..shown(of)?.fields.len()).map(|number| SchemaItem::Field { of, number }).collect()
            }
            (SchemaItem::Type(of), "inputFields") => inputs(&shown(of)?.inputs),
            (SchemaItem::Type(of), "enumValues") => vec![SchemaItem::Value; shown(of)?.values],
            (SchemaItem::Type(of), "interfaces") => types(&shown(of)?.interfaces),
            (SchemaItem::Type(of), "possibleTypes") => types(&shown(of)?.possible),
            // Not null only for list and non-null types; counted as if it always were.
            (SchemaItem::Type(_), "ofType") => vec![item],
            (SchemaItem::Field { of, number }, "args") => inputs(&shown(of)?.fields.get(number)?.1),
            (SchemaItem::Field { of, number }, "type") => vec![SchemaItem::Type(shown(of)?.fields.get(number)?.0)],
            (SchemaItem::Input(of), "type") => vec![SchemaItem::Type(of)],
            (SchemaItem::Directive(number), "args") => vec![SchemaItem::Value; *self.directives.get(number)?],
            _ => return None,
        })
    }

    /// Counts the items that `__schema`, or `__type` for the given name, would return. If the name isn't known, the
    /// result is the largest count for any type.
    ///
    /// # Errors
    /// If the count exceeds the limit.
    pub(super) fn count(
        &self,
        document: &ExecutableDocument,
        field: &Field,
        name: Option<&str>,
    ) -> Result<u64, ServerError> {
        let set = &field.selection_set.node;
        let mut counting = Counting { shape: self, document, counts: HashMap::new(), steps: 0 };
        if field.name.node == "__schema" {
            return counting.set(set, SchemaItem::Schema);
        }
        match name.and_then(|name| self.places.get(name)) {
            Some(place) => counting.set(set, SchemaItem::Type(*place)),
            None => {
                let mut most = 0;
                for place in 0..self.types.len() {
                    most = most.max(counting.set(set, SchemaItem::Type(place))?);
                }
                Ok(most)
            }
        }
    }
}

struct Counting<'d> {
    shape: &'d Shape,
    document: &'d ExecutableDocument,
    counts: HashMap<(*const SelectionSet, SchemaItem), u64>,
    steps: u64,
}

impl<'d> Counting<'d> {
    fn set(&mut self, set: &'d SelectionSet, item: SchemaItem) -> Result<u64, ServerError> {
        let key = (std::ptr::from_ref(set), item);
        if let Some(count) = self.counts.get(&key) {
            return Ok(*count);
        }
        self.steps += 1;
        afford("introspection", self.steps, MAX_STEPS)?;
        let mut count = 0_u64;
        for selection in &set.items {
            let more = match &selection.node {
                Selection::Field(field) => self.field(&field.node, item)?,
                Selection::InlineFragment(fragment) => self.set(&fragment.node.selection_set.node, item)?,
                Selection::FragmentSpread(spread) => {
                    match self.document.fragments.get(&spread.node.fragment_name.node) {
                        Some(fragment) => self.set(&fragment.node.selection_set.node, item)?,
                        // Validation reports a fragment that doesn't exist.
                        None => 0,
                    }
                }
            };
            count = count.saturating_add(more);
            afford("introspection", count, MAX_THINGS)?;
        }
        self.counts.insert(key, count);
        Ok(count)
    }

    fn field(&mut self, field: &'d Field, item: SchemaItem) -> Result<u64, ServerError> {
        let Some(given) = self.shape.given(item, field.name.node.as_str()) else { return Ok(1) };
        self.steps = self.steps.saturating_add(given.len() as u64);
        let mut count = 1_u64;
        for item in given {
            count = count.saturating_add(1).saturating_add(self.set(&field.selection_set.node, item)?);
            afford("introspection", count, MAX_THINGS)?;
        }
        Ok(count)
    }
}
