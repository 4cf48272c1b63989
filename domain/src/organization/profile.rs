//! An organization's profile, such as its name, slug and logo.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;

use crate::account::reserved_name::{self, Holder};
use crate::authority::access::{self, Lock};
use crate::authority::actor::Actor;
use crate::authority::attempt;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::rights::Action;
use crate::base::client::ClientNetwork;
use crate::base::error::{Code, Error, Refusal, Result, on_violation};
use crate::base::id::OrganizationId;
use crate::base::limits;
use crate::base::text::{self, Slug};
use crate::database::Database;
use crate::database::schema::organizations;
use crate::membership::organization;

/// The profile as it was sent. In an update, `None` leaves a field as it is, and `Some(None)` clears it.
#[derive(Debug, Clone, Default)]
pub struct ProfileInput {
    /// The name that is shown everywhere.
    pub name: Option<String>,
    /// The short name in URLs.
    pub slug: Option<Option<String>>,
    /// The full name.
    pub full_name: Option<Option<String>>,
    /// A description.
    pub description: Option<Option<String>>,
    /// The URL of the website.
    pub website: Option<Option<String>>,
    /// The place where the organization is located.
    pub location: Option<Option<String>>,
    /// The sector in which it works.
    pub sector: Option<Option<String>>,
    /// The name of the university that it belongs to.
    pub university_name: Option<Option<String>>,
    /// The URL of the logo.
    pub logo_url: Option<Option<String>>,
}

#[derive(Debug, Clone, Default, AsChangeset, Insertable)]
#[diesel(table_name = organizations)]
pub(super) struct Profile {
    pub(super) name: Option<String>,
    pub(super) slug: Option<Option<Slug>>,
    pub(super) full_name: Option<Option<String>>,
    pub(super) description: Option<Option<String>>,
    pub(super) website: Option<Option<String>>,
    pub(super) location: Option<Option<String>>,
    pub(super) sector: Option<Option<String>>,
    pub(super) university_name: Option<Option<String>>,
    pub(super) logo_url: Option<Option<String>>,
}

impl ProfileInput {
    /// Parses every field, so that all problems are reported at once.
    pub(super) fn parse(&self) -> Result<Profile> {
        let mut refusals = Vec::new();
        let mut line = |field: &str, value: &Option<Option<String>>| -> Option<Option<String>> {
            let parsed =
                value.as_ref().map(|value| text::optional_name(field, value.as_deref(), limits::LINE)).transpose();
            parsed.unwrap_or_else(|refusal| {
                refusals.push(refusal);
                None
            })
        };
        let full_name = line("fullName", &self.full_name);
        let location = line("location", &self.location);
        let sector = line("sector", &self.sector);
        let university_name = line("universityName", &self.university_name);
        let mut keep = |refusal: Refusal| refusals.push(refusal);
        let name = self.name.as_deref().and_then(|name| text::name("name", name, limits::NAME).map_err(&mut keep).ok());
        let slug = match &self.slug {
            None => None,
            Some(None) => Some(None),
            Some(Some(slug)) => Slug::parse("slug", slug).map_err(&mut keep).ok().map(Some),
        };
        let description = self.description.as_ref().and_then(|value| {
            text::optional_text("description", value.as_deref(), limits::DESCRIPTION).map_err(&mut keep).ok()
        });
        let mut link = |field: &str, value: &Option<Option<String>>| {
            value.as_ref().and_then(|value| text::optional_link(field, value.as_deref()).map_err(&mut keep).ok())
        };
        let website = link("website", &self.website);
        let logo_url = link("logoUrl", &self.logo_url);
        if !refusals.is_empty() {
            return Err(Error::Refused(refusals));
        }
        Ok(Profile { name, slug, full_name, description, website, location, sector, university_name, logo_url })
    }

    fn changed_fields(&self) -> Vec<&'static str> {
        [
            ("name", self.name.is_some()),
            ("slug", self.slug.is_some()),
            ("fullName", self.full_name.is_some()),
            ("description", self.description.is_some()),
            ("website", self.website.is_some()),
            ("location", self.location.is_some()),
            ("sector", self.sector.is_some()),
            ("universityName", self.university_name.is_some()),
            ("logoUrl", self.logo_url.is_some()),
        ]
        .into_iter()
        .filter_map(|(field, changed)| changed.then_some(field))
        .collect()
    }
}

pub(super) fn not_found() -> Error {
    Error::refused(Code::NotFound, "organizationId", "there is no such organization")
}

/// Changes the profile (R49). This has no effect on anyone's rights (R50).
pub async fn update(
    database: &Database,
    actor: &Actor,
    id: OrganizationId,
    profile: &ProfileInput,
    client: ClientNetwork,
) -> Result<OrganizationId> {
    let parsed = profile.parse()?;
    let changed = profile.changed_fields();
    let guess = attempt::count_guesses(database, actor, client, profile.slug.iter().flatten().count()).await?;
    let updated = database
        .transaction(async |transaction| {
            access::authorize(transaction, actor, id, Lock::Organization, Action::EditProfile, "id").await?;
            guess.mark_made();
            if changed.is_empty() {
                return Ok(id);
            }
            let holder = Holder::Organization(id);
            if let Some(slug) = &parsed.slug {
                let before = organization::by_id(transaction, id).await?.slug;
                let [from, to] = [&before, slug].map(|slug| slug.as_ref().map(Slug::as_str));
                reserved_name::change(transaction, holder, from, to).await?;
            }
            let updated =
                diesel::update(organizations::table.find(id)).set(parsed.clone()).execute(&mut **transaction).await;
            on_violation(updated, "organizations_slug_key", || holder.taken())?;
            let event = NewEvent::by(actor, id, AuditAction::OrganizationUpdated, id)
                .summary(format!("changed {}", changed.join(", ")))
                .with(json!({ "fields": changed }));
            audit::record(transaction, [event]).await?;
            Ok(id)
        })
        .await;
    guess.refund_if_right(updated).await
}
