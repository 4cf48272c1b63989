//! What a file brings in, in the form of the mutations that bring in the same.

use async_graphql::registry::{MetaType, MetaTypeName, Registry};
use async_graphql::{InputType, Value};
use rollcall_domain::upkeep::import::Batch;
use serde_json::Map;

use super::member_upsert::MemberUpsertInput;
use super::organization::OrganizationBy;
use super::organization_upsert::OrganizationUpsertInput;
use super::resource_upsert::ResourceUpsertInput;
use super::team_upsert::TeamUpsertInput;
use super::user_upsert::UserUpsertInput;

/// The key that says what kind of object a line brings in.
const TYPE: &str = "type";
/// The key that names the organization of what belongs to one.
const ORGANIZATION: &str = "organization";

/// Why a line can't be read.
#[derive(Debug)]
pub struct Unreadable {
    /// The path to the field at fault, with dots. Empty if it is the whole line.
    pub field: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Unreadable {
    fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// The forms of the lines of a file: those of the mutations' inputs.
pub struct Forms(Registry);

impl Forms {
    /// Learns the forms.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        UserUpsertInput::create_type_info(&mut registry);
        OrganizationUpsertInput::create_type_info(&mut registry);
        MemberUpsertInput::create_type_info(&mut registry);
        TeamUpsertInput::create_type_info(&mut registry);
        ResourceUpsertInput::create_type_info(&mut registry);
        OrganizationBy::create_type_info(&mut registry);
        Self(registry)
    }

    /// Reads a line, which brings in one object: `type` says what kind of object it is, `organization` names the
    /// organization where it belongs to one, and the other keys are those of the mutation's input.
    ///
    /// # Errors
    /// If the line doesn't have this form.
    pub fn read(&self, line: &str) -> Result<Batch, Unreadable> {
        let mut object: Map<String, serde_json::Value> = serde_json::from_str(line)
            .map_err(|error| Unreadable::new("", format!("must be a JSON object on one line: {error}")))?;
        let kind = object.remove(TYPE).unwrap_or_default();
        Ok(match kind.as_str().unwrap_or_default() {
            "user" => Batch::Users(vec![self.item::<UserUpsertInput>(object)?.into()]),
            "organization" => Batch::Organizations(vec![self.item::<OrganizationUpsertInput>(object)?.into()]),
            "member" => {
                let organization = self.organization(&mut object)?;
                Batch::Members(organization, vec![self.item::<MemberUpsertInput>(object)?.into()])
            }
            "team" => {
                let organization = self.organization(&mut object)?;
                Batch::Teams(organization, vec![self.item::<TeamUpsertInput>(object)?.into()])
            }
            "resource" => {
                let organization = self.organization(&mut object)?;
                Batch::Resources(organization, vec![self.item::<ResourceUpsertInput>(object)?.into()])
            }
            _ => {
                return Err(Unreadable::new(
                    TYPE,
                    "must be \"user\", \"organization\", \"member\", \"team\" or \"resource\"",
                ));
            }
        })
    }

    fn organization<T: From<OrganizationBy>>(
        &self,
        object: &mut Map<String, serde_json::Value>,
    ) -> Result<T, Unreadable> {
        let named = object.remove(ORGANIZATION).unwrap_or_default();
        Ok(self.parse::<OrganizationBy>(ORGANIZATION, named)?.into())
    }

    fn item<T: InputType>(&self, object: Map<String, serde_json::Value>) -> Result<T, Unreadable> {
        self.parse("", object.into())
    }

    fn parse<T: InputType>(&self, path: &str, value: serde_json::Value) -> Result<T, Unreadable> {
        let value = Value::from_json(value).map_err(|error| Unreadable::new(path, error.to_string()))?;
        self.check(&T::qualified_type_name(), &value, path)?;
        // What remains is what a scalar says only when it is parsed.
        T::parse(Some(value)).map_err(|error| {
            let message = error.into_server_error(async_graphql::Pos::default()).message;
            Unreadable::new(path, message)
        })
    }

    /// Checks a value against its type, as GraphQL does for the mutations' variables, to name the field at fault.
    fn check(&self, of: &str, value: &Value, path: &str) -> Result<(), Unreadable> {
        let expected = |what: &str| Err(Unreadable::new(path, format!("must be of the type {what}")));
        match (MetaTypeName::create(of), value) {
            (MetaTypeName::NonNull(_), Value::Null) => Err(Unreadable::new(path, "is needed")),
            (MetaTypeName::NonNull(of), value) => self.check(of, value, path),
            (MetaTypeName::List(_) | MetaTypeName::Named(_), Value::Null) => Ok(()),
            (MetaTypeName::List(of), Value::List(items)) => items
                .iter()
                .enumerate()
                .try_for_each(|(position, item)| self.check(of, item, &within(path, &position.to_string()))),
            (MetaTypeName::List(of), value) => self.check(of, value, path),
            (MetaTypeName::Named(name), value) => match (self.0.types.get(name), value) {
                (Some(MetaType::Scalar { is_valid: Some(is_valid), .. }), value) if !is_valid(value) => expected(name),
                (Some(MetaType::Enum { enum_values, .. }), value) => match value {
                    Value::String(value) if enum_values.contains_key(value.as_str()) => Ok(()),
                    _ => {
                        let values: Vec<&str> = enum_values.keys().map(String::as_str).collect();
                        Err(Unreadable::new(path, format!("must be one of {}", values.join(", "))))
                    }
                },
                (Some(MetaType::InputObject { input_fields, oneof, .. }), Value::Object(fields)) => {
                    if let Some(unknown) = fields.keys().find(|field| !input_fields.contains_key(field.as_str())) {
                        let known: Vec<&str> = input_fields.keys().map(String::as_str).collect();
                        let message = format!("is not known; there are {}", known.join(", "));
                        return Err(Unreadable::new(within(path, unknown), message));
                    }
                    if *oneof && (fields.len() != 1 || fields.values().any(|value| *value == Value::Null)) {
                        let known: Vec<&str> = input_fields.keys().map(String::as_str).collect();
                        return Err(Unreadable::new(path, format!("must have exactly one of {}", known.join(", "))));
                    }
                    input_fields.values().try_for_each(|field| match fields.get(field.name.as_str()) {
                        None if field.default_value.is_some() => Ok(()),
                        None => self.check(&field.ty, &Value::Null, &within(path, &field.name)),
                        Some(value) => self.check(&field.ty, value, &within(path, &field.name)),
                    })
                }
                (Some(MetaType::InputObject { .. }), _) => expected(name),
                (Some(_) | None, _) => Ok(()),
            },
        }
    }
}

fn within(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

#[cfg(test)]
mod tests {
    use super::Forms;

    #[test]
    fn lines_have_the_form_of_the_inputs() {
        let forms = Forms::new();
        let read = |line: &str| match forms.read(line) {
            Ok(batch) => Ok(format!("{batch:?}")),
            Err(error) => Err((error.field, error.message)),
        };
        let user = r#"{"type":"user","externalId":"p-1","email":"a@example.org","metadata":{"a":[1,null]},"createdAt":"2020-01-01T00:00:00Z"}"#;
        assert!(read(user).unwrap().starts_with("Users(["));
        let resource = r#"{"type":"resource","organization":{"slug":"acme"},"kind":"SAMPLE","externalId":"1","name":"x","sizeBytes":5,
            "container":{"external":{"kind":"PROJECT","externalId":"1"}},"owner":{"email":"a@example.org"}}"#;
        assert!(read(resource).unwrap().starts_with("Resources(Slug(\"acme\")"));
        // A field that is left out, and one that is cleared.
        assert!(read(r#"{"type":"organization","externalId":"1"}"#).unwrap().contains("website: None"));
        assert!(
            read(r#"{"type":"organization","externalId":"1","website":null}"#).unwrap().contains("website: Some(None)")
        );
        for (line, field) in [
            ("", ""),
            ("[]", ""),
            ("{", ""),
            (r#"{"externalId":"1"}"#, "type"),
            (r#"{"type":"User","externalId":"1"}"#, "type"),
            (r#"{"type":7}"#, "type"),
            (r#"{"type":"user"}"#, "externalId"),
            (r#"{"type":"user","externalId":null}"#, "externalId"),
            (r#"{"type":"user","externalId":7}"#, "externalId"),
            (r#"{"type":"user","externalId":"1","mail":"x"}"#, "mail"),
            (r#"{"type":"user","externalId":"1","createdAt":"yesterday"}"#, "createdAt"),
            (r#"{"type":"organization","externalId":"1","owner":{}}"#, "owner"),
            // What an id looks like is known only to its parser.
            (r#"{"type":"organization","externalId":"1","owner":{"id":"usr_x"}}"#, ""),
            (r#"{"type":"organization","externalId":"1","owner":{"id":null}}"#, "owner"),
            (r#"{"type":"organization","externalId":"1","owner":{"name":"x"}}"#, "owner.name"),
            (r#"{"type":"organization","externalId":"1","owner":"ada"}"#, "owner"),
            (r#"{"type":"resource","externalId":"1","kind":"VOLUME"}"#, "organization"),
            (r#"{"type":"resource","organization":"acme","externalId":"1","kind":"VOLUME"}"#, "organization"),
            (r#"{"type":"resource","organization":{"slug":"a"},"externalId":"1","kind":"FOLDER"}"#, "kind"),
            (
                r#"{"type":"resource","organization":{"slug":"a"},"externalId":"1","kind":"VOLUME","sizeBytes":"x"}"#,
                "sizeBytes",
            ),
        ] {
            let (at, message) = read(line).unwrap_err();
            assert_eq!(at, field, "{line}: {message}");
            assert!(!message.is_empty());
        }
    }
}
