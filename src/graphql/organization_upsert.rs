//! Bringing in a platform's organizations, many at once.

use async_graphql::{Context, InputObject, Json, MaybeUndefined, Object, SimpleObject};
use rollcall_domain::base::id::OrganizationId;
use rollcall_domain::base::upsert;
use rollcall_domain::organization::organization_upsert;
use rollcall_domain::organization::profile::ProfileInput;

use super::context::{actor, database, loaders, request};
use super::error::{Payload, UserError, payload};
use super::id::Time;
use super::organization::Organization;
use super::resource_upsert::UpsertOutcome;
use super::user::UserRef;
use super::{given, undefined_or};

/// The organizations to bring in.
#[derive(InputObject)]
pub struct UpsertOrganizationsInput {
    /// The organizations, 1 to 100, each named once.
    organizations: Vec<OrganizationUpsertInput>,
}

/// An organization, found by the platform's own id, else by its slug. An omitted field stays as it is, and null clears
/// it.
#[derive(InputObject)]
pub struct OrganizationUpsertInput {
    /// The platform's own id of the organization, up to 255 characters.
    external_id: String,
    /// The name that is shown everywhere, including in emails: 1 to 100 characters, without links. Needed for a new
    /// organization.
    name: Option<String>,
    /// The short name: 2 to 39 characters out of a–z, 0–9 and single hyphens. If a new organization's is omitted, it is
    /// derived from the name. An organization that has the slug already, and no id of the platform's, is linked to
    /// `externalId`.
    slug: MaybeUndefined<String>,
    /// The full name, up to 200 characters.
    full_name: MaybeUndefined<String>,
    /// A description, up to 2000 characters.
    description: MaybeUndefined<String>,
    /// The URL of the website.
    website: MaybeUndefined<String>,
    /// The place where the organization is located, up to 200 characters.
    location: MaybeUndefined<String>,
    /// The sector in which the organization works, up to 200 characters.
    sector: MaybeUndefined<String>,
    /// The name of the university that the organization belongs to, up to 200 characters.
    university_name: MaybeUndefined<String>,
    /// The URL of the logo.
    logo_url: MaybeUndefined<String>,
    /// The owner. Needed for a new organization, and only looked at there: `setOrganizationOwner` gives organizations
    /// to others.
    owner: Option<UserRef>,
    /// What the platform attaches to it, an object of at most 8 kB.
    metadata: MaybeUndefined<Json<serde_json::Value>>,
    /// When it was founded, for a new organization: from 1970 to now. Now if omitted. Its owner is a member from then
    /// on.
    created_at: Option<Time>,
}

impl From<OrganizationUpsertInput> for organization_upsert::OrganizationUpsert {
    fn from(input: OrganizationUpsertInput) -> Self {
        let profile = ProfileInput {
            name: input.name,
            slug: undefined_or(input.slug).map(given),
            full_name: undefined_or(input.full_name),
            description: undefined_or(input.description),
            website: undefined_or(input.website),
            location: undefined_or(input.location),
            sector: undefined_or(input.sector),
            university_name: undefined_or(input.university_name),
            logo_url: undefined_or(input.logo_url),
        };
        Self {
            external_id: input.external_id,
            profile,
            owner: input.owner.map(Into::into),
            metadata: undefined_or(input.metadata).map(|data| data.map(|data| data.0)),
            created_at: input.created_at.map(|time| time.0),
        }
    }
}

/// An organization that was brought in.
#[derive(SimpleObject)]
pub struct OrganizationUpsert {
    /// The organization.
    organization: Organization,
    /// What became of it.
    outcome: UpsertOutcome,
}

/// The result of bringing in organizations.
#[derive(SimpleObject, Default)]
pub struct UpsertOrganizationsPayload {
    /// Each organization with what became of it, in the order of the input.
    results: Option<Vec<OrganizationUpsert>>,
    /// Why nothing was changed.
    user_errors: Vec<UserError>,
}
payload!(UpsertOrganizationsPayload);

/// The mutations that bring in organizations.
#[derive(Default)]
pub struct OrganizationUpsertMutation;

#[Object]
impl OrganizationUpsertMutation {
    /// Founds and changes organizations, 1 to 100, all or none. They are found by `externalId`, else by slug, and the
    /// same call again changes nothing. No email is sent. For platform keys with ORGANIZATIONS_WRITE; those that are
    /// limited to some organizations found none.
    async fn upsert_organizations(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The organizations to bring in.")] input: UpsertOrganizationsInput,
    ) -> async_graphql::Result<UpsertOrganizationsPayload> {
        let items: Vec<organization_upsert::OrganizationUpsert> =
            input.organizations.into_iter().map(Into::into).collect();
        let actor = actor(context)?;
        let outcome = organization_upsert::upsert(database(context), actor, &items, request(context).client).await;
        let brought_in = outcome.as_ref().map_or(&[][..], Vec::as_slice);
        let found = loaders(context).load_many(brought_in.iter().map(|(id, _)| (actor.clone(), *id))).await?;
        let shown = |(id, outcome): (OrganizationId, upsert::UpsertOutcome)| {
            let (organization, permit) = found.get(&(actor.clone(), id))?.clone();
            let organization = Organization::seen_by(actor, organization, permit);
            Some(OrganizationUpsert { organization, outcome: outcome.into() })
        };
        Payload::of(outcome, |results| UpsertOrganizationsPayload {
            results: Some(results.into_iter().filter_map(shown).collect()),
            user_errors: Vec::new(),
        })
    }
}
