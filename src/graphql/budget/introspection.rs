//! How much an operation asks of introspection: as many things as the answer would hold, counted in the schema itself.
//!
//! Types lead to types, so that a few words can ask for millions of things. What a selection set asks of a type is
//! counted once, however often that type is come to.

use std::collections::HashMap;

use async_graphql::ServerError;
use async_graphql::parser::types::{
    ExecutableDocument, Field, InterfaceType, ObjectType, Selection, SelectionSet, Type, TypeKind,
};
use async_graphql::{Name, Positioned};

use super::refusal::afford;
use crate::graphql::types::{Types, named};

/// What introspection may ask for, in things: some three times what tools do.
pub(super) const MAX_THINGS: u64 = 300_000;
/// How many pairs of a selection set and an item are looked at.
const MAX_STEPS: u64 = 300_000;

/// What introspection shows of a schema. Types, fields and arguments are known by their place in the lists.
#[derive(Debug, Default)]
pub(super) struct Shape {
    types: Vec<TypeShape>,
    places: HashMap<Name, usize>,
    /// How many arguments each directive has.
    directives: Vec<usize>,
}

/// What is shown of a type.
#[derive(Debug, Default)]
struct TypeShape {
    /// The fields, by the places of their types and of those of their arguments.
    fields: Vec<(usize, Vec<usize>)>,
    inputs: Vec<usize>,
    values: usize,
    interfaces: Vec<usize>,
    possible: Vec<usize>,
}

/// An item of the schema that selections are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum SchemaItem {
    Schema,
    Type(usize),
    Field {
        of: usize,
        number: usize,
    },
    /// An argument or an input field, of the type.
    Input(usize),
    Value,
    Directive(usize),
}

impl Shape {
    /// What introspection shows of a schema with these types.
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

    /// A type's place, also of one that isn't defined, as scalars of the language are.
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

    /// The things that a field of introspection gives; `None` where it gives a text or the like.
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
            // Of a list or what is required; of anything else it is null.
            (SchemaItem::Type(_), "ofType") => vec![item],
            (SchemaItem::Field { of, number }, "args") => inputs(&shown(of)?.fields.get(number)?.1),
            (SchemaItem::Field { of, number }, "type") => vec![SchemaItem::Type(shown(of)?.fields.get(number)?.0)],
            (SchemaItem::Input(of), "type") => vec![SchemaItem::Type(of)],
            (SchemaItem::Directive(number), "args") => vec![SchemaItem::Value; *self.directives.get(number)?],
            _ => return None,
        })
    }

    /// How many things `__schema`, or `__type` of the name, would answer with in a document; the most that any type
    /// would where the name isn't known.
    ///
    /// # Errors
    /// Where that is more than may be.
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
                        // The validation reports a fragment that isn't there.
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
