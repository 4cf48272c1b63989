//! Brings an answer into the form that its request asks for.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{BaseType, Type};
use async_graphql::{Name, PathSegment, Response, ServerError, Value};

use super::form::{AnswerForm, SetId};
use super::typenames::HIDDEN_TYPENAME;
use crate::graphql::types::named;

/// A group of selection sets that are merged, identified by its index.
type GroupId = usize;

impl AnswerForm<'_> {
    /// Brings an answer into its form.
    pub fn complete(&self, response: &mut Response) {
        // A document that wasn't executed has no data.
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
        let fits = match self.types.is_mutation(&self.root) {
            true => completion.steps(fields, root, &self.root, failures.as_ref()),
            false => completion.object(fields, root, &self.root, failures.as_ref()),
        };
        if !fits {
            response.data = Value::Null;
        }
    }
}

/// The fields that failed, as a tree of their paths.
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

/// A field of an object, merged from all places where it is selected.
struct Merged<'f> {
    key: &'f Name,
    ty: Option<&'f Type>,
    /// The merged selection set of the field's value.
    below: Option<GroupId>,
}

/// Completes one answer. The selections of objects are merged once for all objects of the same type at the same place.
struct Completion<'f> {
    form: &'f AnswerForm<'f>,
    groups: Vec<Vec<SetId>>,
    group_ids: HashMap<Vec<SetId>, GroupId>,
    objects: HashMap<(GroupId, Name), Rc<[Merged<'f>]>>,
}

impl<'f> Completion<'f> {
    /// The group of selection sets that belong to one field of the answer.
    fn group(&mut self, sets: Vec<SetId>) -> GroupId {
        if let Some(id) = self.group_ids.get(&sets) {
            return *id;
        }
        self.groups.push(sets.clone());
        self.group_ids.insert(sets, self.groups.len() - 1);
        self.groups.len() - 1
    }

    /// The fields that are selected on a concrete object type, in order.
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

    /// Completes an object. Returns `false` if a non-null field failed, so that the object itself must be null.
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

    /// Completes the results of a mutation's steps. Returns `false` if all of them failed. Results of steps that
    /// succeeded stay in the answer whatever became of the others, since some are shown only once. This is the only
    /// place where a non-null field can be null.
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

    /// Completes the value of a field or of a list's item. Returns `false` if the value is null although its type is
    /// non-null.
    fn value(
        &mut self,
        value: &mut Value,
        ty: Option<&'f Type>,
        below: Option<GroupId>,
        failures: Option<&Failures>,
    ) -> bool {
        // The object exists, but all of its fields may have failed.
        if let (Value::Null, Some(BaseType::Named(_)), Some(_), Some(failures)) =
            (&*value, ty.map(|ty| &ty.base), below, failures)
            && !failures.fields.is_empty()
        {
            *value = Value::Object(IndexMap::new());
        }
        let fits = match value {
            // Nulls that didn't come from a failure aren't ours to propagate.
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

/// Brings the fields of an object into the order of the selection. Fields that failed become null.
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
