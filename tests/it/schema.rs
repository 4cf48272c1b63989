//! The schema that clients are promised: the committed file, the contract, and a word on every item.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use async_graphql::Positioned;
use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    FieldDefinition, InputValueDefinition, TypeDefinition, TypeKind, TypeSystemDefinition,
};

use crate::support::process::rollcall;

/// What the contract names and nobody has built yet. It only shrinks: an entry that exists after all fails the test.
///
/// An entry covers what lies below it: a type its fields, connection and edge, a mutation its input and payload.
const PENDING: &[&str] = &[
    // Identity providers, and leading back to the platform.
    "IdentityProvider",
    "InviteMembersInput.returnUrl",
    "JoinMethod.IDENTITY_PROVIDER",
    "Mutation.createIdentityProvider",
    "Mutation.deleteIdentityProvider",
    "Mutation.updateIdentityProvider",
    "Mutation.verifyDomain",
    "Organization.identityProviders",
    "OrganizationPolicy.requireIdentityProvider",
    "RequestSignInInput.returnUrl",
    "UpdateOrganizationPolicyInput.requireIdentityProvider",
    "UserErrorCode.IDENTITY_PROVIDER_REQUIRED",
    "VerifiedDomain",
];

/// What exists in another form than the contract's until somebody builds that, with the form of today. It only shrinks
/// as well.
const PENDING_FORMS: &[(&str, &str)] = &[];

const CONTRACT: &str = include_str!("contract.graphql");

/// The committed schema.
pub fn committed() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.graphql"))
        .expect("schema.graphql is missing")
}

#[test]
fn the_committed_schema_is_the_one_of_the_code() {
    let output = Command::new(rollcall()).arg("schema").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let generated = String::from_utf8(output.stdout).unwrap();
    let committed = committed();
    let differing = generated.lines().zip(committed.lines()).enumerate().find(|(_, (new, old))| new != old);
    assert!(
        generated == committed,
        "schema.graphql is not the code's: run `cargo run -- schema > schema.graphql`. The first difference: {differing:?}"
    );
}

#[test]
fn everything_of_the_contract_is_there() {
    let promised = items(CONTRACT);
    let built = items(&committed());
    let pending: Vec<String> = PENDING.iter().flat_map(|entry| covered(entry)).collect();
    let is_pending = |item: &str| {
        pending.iter().any(|entry| {
            item.strip_prefix(entry.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '(']))
        })
    };
    let mut problems = Vec::new();
    for (item, signature) in &promised {
        match built.get(item) {
            None if !is_pending(item) => problems.push(format!("missing: {item}: {signature}")),
            Some(other) if other != signature && !PENDING_FORMS.contains(&(item.as_str(), other.as_str())) => {
                problems.push(format!("differs: {item}: {signature} is {other}"));
            }
            _ => {}
        }
    }
    for pending in PENDING {
        if covered(pending).iter().any(|item| built.contains_key(item)) {
            problems.push(format!("built, and no longer pending: {pending}"));
        }
        if covered(pending).iter().all(|item| !promised.contains_key(item)) {
            problems.push(format!("not in the contract, and so not pending: {pending}"));
        }
    }
    for (item, today) in PENDING_FORMS {
        if built.get(*item).is_none_or(|built| built != today) {
            problems.push(format!("not of this form any more, and so not pending: {item}: {today}"));
        }
        if promised.get(*item).is_none_or(|promised| promised == today) {
            problems.push(format!("not of another form in the contract, and so not pending: {item}: {today}"));
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// An entry of the list, and what comes with it.
fn covered(entry: &str) -> Vec<String> {
    match entry.split_once("Mutation.") {
        Some((_, mutation)) => {
            let name = format!("{}{}", mutation[..1].to_uppercase(), &mutation[1..]);
            vec![entry.to_owned(), format!("{name}Input"), format!("{name}Payload")]
        }
        None => vec![entry.to_owned(), format!("{entry}Connection"), format!("{entry}Edge")],
    }
}

/// Lists without pages, and what bounds them; errors, and what a connection's page holds, apart.
const UNPAGED: &[(&str, &str)] = &[
    ("AccessDecision.reasons", "the grants on a resource and what it lies in, and the collections that gather it"),
    ("AudienceEdge.reasons", "the grants on a resource and what it lies in, and the collections that gather it"),
    ("CreateJoinCodesPayload.codes", "as many as were asked for, 50 at most"),
    ("Departure.steps", "one of a kind"),
    ("DeparturePlan.apiKeys", "100 of a person in an organization"),
    ("DeparturePlan.blockedBy", "one of a kind"),
    ("DeparturePlan.steps", "one of a kind"),
    ("Billing.runLimits", "one of a kind"),
    ("Invitation.grants", "20 of an invitation"),
    ("Invitation.teams", "20 of an invitation"),
    ("InviteMembersPayload.invitations", "as many as were asked for, 50 at most"),
    ("Organization.leadership", "100, of `members` the longest"),
    ("Organization.usageSeries", "1,000 points"),
    ("Query.checkAccess", "as many as were asked for, 1,000 at most"),
    ("Query.nodes", "as many as were asked for, 100 at most"),
    ("PlatformKey.organizations", "100 of a key"),
    ("TransferResourcesPayload.resources", "as many as were named, 1,000 at most"),
    ("UpsertMembersPayload.results", "as many as were named, 500 at most"),
    ("UpsertOrganizationsPayload.results", "as many as were named, 100 at most"),
    ("UpsertResourcesPayload.results", "as many as were named, 1,000 at most"),
    ("UpsertTeamsPayload.results", "as many as were named, 100 at most"),
    ("UpsertUsersPayload.results", "as many as were named, 500 at most"),
    ("Viewer.billableOrganizations", "100, of `memberships` the first by name"),
    ("Viewer.identities", "one for each issuer of the deployment"),
];

#[test]
fn lists_without_pages_have_an_end() {
    let scalars = ["ID", "String", "Int", "Float", "Boolean"];
    let mut unpaged = BTreeSet::new();
    for definition in types(&committed()) {
        let owner = definition.name.node.to_string();
        for field in fields(&definition) {
            let (name, of) = (field.node.name.to_string(), field.node.ty.to_string());
            let item = of.trim_matches(|c| matches!(c, '[' | ']' | '!'));
            let is_page = owner.ends_with("Connection") && matches!(name.as_str(), "nodes" | "edges");
            if of.starts_with('[') && !is_page && name != "userErrors" && !scalars.contains(&item) && !is_enum(item) {
                unpaged.insert(format!("{owner}.{name}"));
            }
        }
    }
    assert_eq!(unpaged, UNPAGED.iter().map(|(name, _)| (*name).to_owned()).collect());
}

#[test]
fn everything_is_described() {
    let mut silent = Vec::new();
    let mut see = |described: bool, item: String| {
        if !described {
            silent.push(item);
        }
    };
    for definition in types(&committed()) {
        let name = definition.name.node.to_string();
        see(definition.description.is_some(), name.clone());
        let arguments = |field: &FieldDefinition| {
            let arguments = field.arguments.iter();
            arguments
                .map(|argument| {
                    (argument.node.description.is_some(), format!("{name}.{}({})", field.name, argument.node.name))
                })
                .collect::<Vec<_>>()
        };
        match &definition.kind {
            TypeKind::Object(_) | TypeKind::Interface(_) => {
                for field in fields(&definition) {
                    see(field.node.description.is_some(), format!("{name}.{}", field.node.name));
                    arguments(&field.node).into_iter().for_each(|(described, item)| see(described, item));
                }
            }
            TypeKind::Enum(kind) => {
                kind.values
                    .iter()
                    .for_each(|value| see(value.node.description.is_some(), format!("{name}.{}", value.node.value)));
            }
            TypeKind::InputObject(kind) => {
                kind.fields
                    .iter()
                    .for_each(|field| see(field.node.description.is_some(), format!("{name}.{}", field.node.name)));
            }
            TypeKind::Scalar | TypeKind::Union(_) => {}
        }
    }
    assert!(silent.is_empty(), "{} items without a description:\n{}", silent.len(), silent.join("\n"));
}

/// The names of the mutations that exist.
pub fn mutations() -> Vec<String> {
    static MUTATIONS: LazyLock<Vec<String>> = LazyLock::new(|| {
        let types = types(&committed());
        let mutation = types.iter().find(|definition| definition.name.node == "Mutation").unwrap();
        fields(mutation).iter().map(|field| field.node.name.to_string()).collect()
    });
    MUTATIONS.clone()
}

/// The fields of an input type: name, type, and whether it must be given.
pub fn input_fields(input: &str) -> Vec<(String, String, bool)> {
    let types = types(&committed());
    let definition =
        types.iter().find(|definition| definition.name.node == input).unwrap_or_else(|| panic!("no type {input}"));
    let TypeKind::InputObject(kind) = &definition.kind else { panic!("{input} is no input") };
    let fields = kind.fields.iter();
    fields
        .map(|field| {
            let required = !field.node.ty.node.nullable && field.node.default_value.is_none();
            (field.node.name.to_string(), field.node.ty.to_string(), required)
        })
        .collect()
}

/// The values of an enum; none where the type isn't one.
pub fn is_enum(name: &str) -> bool {
    types(&committed())
        .iter()
        .any(|definition| definition.name.node == name && matches!(definition.kind, TypeKind::Enum(_)))
}

/// Whether the contract has an item, such as `Mutation.createTeam`, built or not.
pub fn is_promised(item: &str) -> bool {
    items(CONTRACT).contains_key(item)
}

/// The fields of every type that is answered, with the names of what they give.
pub fn output_fields() -> &'static BTreeMap<String, BTreeMap<String, String>> {
    static FIELDS: LazyLock<BTreeMap<String, BTreeMap<String, String>>> = LazyLock::new(read_output_fields);
    &FIELDS
}

fn read_output_fields() -> BTreeMap<String, BTreeMap<String, String>> {
    let named = |field: &FieldDefinition| {
        let of = field.ty.node.to_string();
        (field.name.to_string(), of.trim_matches(|c| matches!(c, '[' | ']' | '!')).to_owned())
    };
    let objects = types(&committed()).into_iter().filter(|definition| !fields(definition).is_empty());
    objects
        .map(|definition| {
            let fields = fields(&definition).iter().map(|field| named(&field.node)).collect();
            (definition.name.node.to_string(), fields)
        })
        .collect()
}

/// The values of an enum.
pub fn enum_values(name: &str) -> BTreeSet<String> {
    let types = types(&committed());
    let values = types.iter().filter(|definition| definition.name.node == name).flat_map(|definition| {
        let TypeKind::Enum(kind) = &definition.kind else { panic!("{name} is no enum") };
        kind.values.iter().map(|value| value.node.value.node.to_string())
    });
    values.collect()
}

fn types(sdl: &str) -> Vec<TypeDefinition> {
    let definitions = parse_schema(sdl).unwrap().definitions.into_iter();
    definitions
        .filter_map(|definition| match definition {
            TypeSystemDefinition::Type(definition) => Some(definition.node),
            TypeSystemDefinition::Schema(_) | TypeSystemDefinition::Directive(_) => None,
        })
        .collect()
}

fn fields(definition: &TypeDefinition) -> &[Positioned<FieldDefinition>] {
    match &definition.kind {
        TypeKind::Object(kind) => &kind.fields,
        TypeKind::Interface(kind) => &kind.fields,
        _ => &[],
    }
}

/// Every item of a schema by its path, with all that clients rely on.
fn items(sdl: &str) -> BTreeMap<String, String> {
    let mut items = BTreeMap::new();
    for definition in types(sdl) {
        let name = definition.name.node.to_string();
        let is_one_of = definition.directives.iter().any(|directive| directive.node.name.node == "oneOf");
        let kind = match &definition.kind {
            TypeKind::Scalar => "scalar",
            TypeKind::Object(_) => "type",
            TypeKind::Interface(_) => "interface",
            TypeKind::Union(_) => "union",
            TypeKind::Enum(_) => "enum",
            TypeKind::InputObject(_) if is_one_of => "input @oneOf",
            TypeKind::InputObject(_) => "input",
        };
        items.insert(name.clone(), kind.to_owned());
        for field in fields(&definition) {
            let path = format!("{name}.{}", field.node.name);
            for argument in &field.node.arguments {
                items.insert(format!("{path}({})", argument.node.name), signature(&argument.node));
            }
            items.insert(path, field.node.ty.to_string());
        }
        match &definition.kind {
            TypeKind::Object(kind) => {
                for interface in &kind.implements {
                    items.insert(format!("{name}.implements {interface}"), String::new());
                }
            }
            TypeKind::Union(kind) => {
                for member in &kind.members {
                    items.insert(format!("{name}.{member}"), "member".to_owned());
                }
            }
            TypeKind::Enum(kind) => {
                for value in &kind.values {
                    items.insert(format!("{name}.{}", value.node.value), "value".to_owned());
                }
            }
            TypeKind::InputObject(kind) => {
                for field in &kind.fields {
                    items.insert(format!("{name}.{}", field.node.name), signature(&field.node));
                }
            }
            TypeKind::Scalar | TypeKind::Interface(_) => {}
        }
    }
    items
}

fn signature(value: &InputValueDefinition) -> String {
    match &value.default_value {
        Some(default) => format!("{} = {}", value.ty, default),
        None => value.ty.to_string(),
    }
}
