//! What changes an organization: its founding, profile, policy, ownership and end.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::base::id::{MemberId, OrganizationId, UserId};
use rollcall_domain::departure::organization_deletion;
use rollcall_domain::organization::profile::{self, ProfileInput};
use rollcall_domain::organization::{founding, ownership, policy};

use super::Organization;
use crate::graphql::context::{actor, database, request};
use crate::graphql::error::{Payload, UserError, payload};
use crate::graphql::id::Id;
use crate::graphql::member::MemberPermissionsInput;
use crate::graphql::rights::{AdminPowers, ExternalSharing, MemberDirectory};
use crate::graphql::{given, required, undefined_or};

/// An organization to create.
#[derive(InputObject)]
pub struct CreateOrganizationInput {
    /// The name as people see it everywhere, including in emails; 1 to 100 characters without a link.
    name: String,
    /// 2 to 39 of a–z, 0–9 and single hyphens; made from the name if left out. SLUG_TAKEN where another organization
    /// has it, gave it up within 90 days, or had it when it was removed for good.
    slug: Option<String>,
    /// Its name in full, up to 200 characters.
    full_name: Option<String>,
    /// What it is, up to 2000 characters.
    description: Option<String>,
    /// A link to its website.
    website: Option<String>,
    /// Where it is, up to 200 characters.
    location: Option<String>,
    /// In which sector it works, up to 200 characters.
    sector: Option<String>,
    /// The university that it belongs to, up to 200 characters.
    university_name: Option<String>,
    /// A link to its logo.
    logo_url: Option<String>,
    /// For staff: the owner's email address. If it has no account, one is created when someone signs in with it.
    owner_email: Option<String>,
}

/// A new organization.
#[derive(SimpleObject, Default)]
pub struct CreateOrganizationPayload {
    /// The organization.
    organization: Option<Organization>,
    /// Why none was created.
    user_errors: Vec<UserError>,
}
payload!(CreateOrganizationPayload);

/// What to change of a profile; a field left out stays as it is, and null clears it.
#[derive(InputObject)]
pub struct UpdateOrganizationInput {
    /// The organization.
    id: Id<OrganizationId>,
    /// The name as people see it everywhere, including in emails; 1 to 100 characters without a link.
    name: MaybeUndefined<String>,
    /// 2 to 39 of a–z, 0–9 and single hyphens. The old one finds nothing from now on: whoever uses it must learn the
    /// new one. It is kept for this organization, which may take it back, for 90 days, and nobody else has it
    /// meanwhile; at most 10 are kept at a time.
    slug: MaybeUndefined<String>,
    /// Its name in full, up to 200 characters.
    full_name: MaybeUndefined<String>,
    /// What it is, up to 2000 characters.
    description: MaybeUndefined<String>,
    /// A link to its website.
    website: MaybeUndefined<String>,
    /// Where it is, up to 200 characters.
    location: MaybeUndefined<String>,
    /// In which sector it works, up to 200 characters.
    sector: MaybeUndefined<String>,
    /// The university that it belongs to, up to 200 characters.
    university_name: MaybeUndefined<String>,
    /// A link to its logo.
    logo_url: MaybeUndefined<String>,
}

/// An organization with its profile as it is now.
#[derive(SimpleObject, Default)]
pub struct UpdateOrganizationPayload {
    /// The organization.
    organization: Option<Organization>,
    /// Why nothing was changed.
    user_errors: Vec<UserError>,
}
payload!(UpdateOrganizationPayload);

/// Whom to give an organization to.
#[derive(InputObject)]
pub struct SetOrganizationOwnerInput {
    /// The organization.
    organization_id: Id<OrganizationId>,
    /// Its new owner; joins where they are no member.
    user_id: Id<UserId>,
}

/// An organization with its new owner.
#[derive(SimpleObject, Default)]
pub struct SetOrganizationOwnerPayload {
    /// The organization.
    organization: Option<Organization>,
    /// Why the owner is the same.
    user_errors: Vec<UserError>,
}
payload!(SetOrganizationOwnerPayload);

/// What to change of a policy; what is left out stays as it is.
#[derive(InputObject)]
pub struct UpdateOrganizationPolicyInput {
    /// The organization.
    organization_id: Id<OrganizationId>,
    /// Whom a plain member sees.
    member_directory: Option<MemberDirectory>,
    /// Whether admins have the owner's powers; for the owner alone. What admins issued and can no longer issue is
    /// revoked.
    admin_powers: Option<AdminPowers>,
    /// Whether resources here may be shared outside.
    external_sharing: Option<ExternalSharing>,
    /// What people who join from now on may do, unless the invitation says otherwise.
    default_permissions: Option<MemberPermissionsInput>,
    /// How long invitations that are made from now on last: 1 to 30 days.
    invitation_days: Option<i32>,
}

/// An organization with its policy as it is now.
#[derive(SimpleObject, Default)]
pub struct UpdateOrganizationPolicyPayload {
    /// The organization.
    organization: Option<Organization>,
    /// Why nothing was changed.
    user_errors: Vec<UserError>,
}
payload!(UpdateOrganizationPolicyPayload);

/// To whom to hand an organization over.
#[derive(InputObject)]
pub struct TransferOwnershipInput {
    /// The organization; the viewer owns it.
    organization_id: Id<OrganizationId>,
    /// The admin who shall own it.
    member_id: Id<MemberId>,
    /// The organization's name, typed to confirm.
    confirm_organization_name: String,
    /// The admin's username, typed to confirm.
    confirm_username: String,
}

/// An organization with its new owner.
#[derive(SimpleObject, Default)]
pub struct TransferOwnershipPayload {
    /// The organization; the viewer is an admin of it now.
    organization: Option<Organization>,
    /// Why the owner is the same.
    user_errors: Vec<UserError>,
}
payload!(TransferOwnershipPayload);

/// An organization to be deleted.
#[derive(InputObject)]
pub struct DeleteOrganizationInput {
    /// The organization; the viewer owns it.
    id: Id<OrganizationId>,
    /// Its name, typed to confirm.
    confirm_organization_name: String,
}

/// An organization that nobody reaches anymore.
#[derive(SimpleObject, Default)]
pub struct DeleteOrganizationPayload {
    /// Which.
    deleted_organization_id: Option<ID>,
    /// When its data is removed for good; until then the platform's staff can restore it.
    purge_at: Option<DateTime<Utc>>,
    /// Why it is still there.
    user_errors: Vec<UserError>,
}
payload!(DeleteOrganizationPayload);

/// An organization to be restored.
#[derive(InputObject)]
pub struct RestoreOrganizationInput {
    /// The organization.
    id: Id<OrganizationId>,
}

/// An organization that is back.
#[derive(SimpleObject, Default)]
pub struct RestoreOrganizationPayload {
    /// The organization.
    organization: Option<Organization>,
    /// Why it is still deleted.
    user_errors: Vec<UserError>,
}
payload!(RestoreOrganizationPayload);

/// Organizations.
#[derive(Default)]
pub struct OrganizationMutation;

#[Object]
impl OrganizationMutation {
    /// Founds an organization; its creator owns it.
    async fn create_organization(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The organization.")] input: CreateOrganizationInput,
    ) -> async_graphql::Result<CreateOrganizationPayload> {
        let profile = ProfileInput {
            name: Some(input.name),
            slug: given(input.slug).map(Some),
            full_name: input.full_name.map(Some),
            description: input.description.map(Some),
            website: input.website.map(Some),
            location: input.location.map(Some),
            sector: input.sector.map(Some),
            university_name: input.university_name.map(Some),
            logo_url: input.logo_url.map(Some),
        };
        let outcome = founding::create(
            database(context),
            actor(context)?,
            &profile,
            given(input.owner_email).as_deref(),
            request(context).client,
        )
        .await;
        let organization = loaded(context, &outcome).await?;
        Payload::of(outcome, |_| CreateOrganizationPayload { organization, user_errors: Vec::new() })
    }

    /// Changes an organization's profile; it is cosmetic and changes no right.
    async fn update_organization(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateOrganizationInput,
    ) -> async_graphql::Result<UpdateOrganizationPayload> {
        let profile = ProfileInput {
            name: required(input.name),
            slug: undefined_or(input.slug).map(given),
            full_name: undefined_or(input.full_name),
            description: undefined_or(input.description),
            website: undefined_or(input.website),
            location: undefined_or(input.location),
            sector: undefined_or(input.sector),
            university_name: undefined_or(input.university_name),
            logo_url: undefined_or(input.logo_url),
        };
        let outcome =
            profile::update(database(context), actor(context)?, input.id.0, &profile, request(context).client).await;
        let organization = loaded(context, &outcome).await?;
        Payload::of(outcome, |_| UpdateOrganizationPayload { organization, user_errors: Vec::new() })
    }

    /// Changes how an organization is run.
    async fn update_organization_policy(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateOrganizationPolicyInput,
    ) -> async_graphql::Result<UpdateOrganizationPolicyPayload> {
        let command = policy::UpdatePolicy {
            member_directory: input.member_directory.map(Into::into),
            admin_powers: input.admin_powers.map(Into::into),
            external_sharing: input.external_sharing.map(Into::into),
            default_permissions: input.default_permissions.map(Into::into).unwrap_or_default(),
            invitation_days: input.invitation_days,
        };
        let id = input.organization_id.0;
        let outcome = policy::update_policy(database(context), actor(context)?, id, &command).await;
        let organization = loaded(context, &outcome).await?;
        Payload::of(outcome, |_| UpdateOrganizationPolicyPayload { organization, user_errors: Vec::new() })
    }

    /// Hands an organization over to one of its admins; the old owner becomes ADMIN. Both get an email.
    async fn transfer_ownership(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which organization, to whom.")] input: TransferOwnershipInput,
    ) -> async_graphql::Result<TransferOwnershipPayload> {
        let command = ownership::TransferOwnership {
            organization_id: input.organization_id.0,
            member_id: input.member_id.0,
            confirm_organization_name: input.confirm_organization_name,
            confirm_username: input.confirm_username,
        };
        let outcome = ownership::transfer_ownership(database(context), actor(context)?, &command).await;
        let organization = loaded(context, &outcome).await?;
        Payload::of(outcome, |_| TransferOwnershipPayload { organization, user_errors: Vec::new() })
    }

    /// Deletes an organization: access ends at once, for everyone. For 30 days the platform's staff can restore it;
    /// then its data is removed for good.
    async fn delete_organization(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which organization.")] input: DeleteOrganizationInput,
    ) -> async_graphql::Result<DeleteOrganizationPayload> {
        let id = input.id.0;
        let outcome =
            organization_deletion::delete(database(context), actor(context)?, id, &input.confirm_organization_name)
                .await;
        Payload::of(outcome, |purge_at| DeleteOrganizationPayload {
            deleted_organization_id: Some(id.to_string().into()),
            purge_at: Some(purge_at),
            user_errors: Vec::new(),
        })
    }

    /// Staff: restores a deleted organization, within 30 days.
    async fn restore_organization(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which organization.")] input: RestoreOrganizationInput,
    ) -> async_graphql::Result<RestoreOrganizationPayload> {
        let outcome = organization_deletion::restore(database(context), actor(context)?, input.id.0).await;
        let organization = loaded(context, &outcome).await?;
        Payload::of(outcome, |_| RestoreOrganizationPayload { organization, user_errors: Vec::new() })
    }

    /// Staff: gives an organization to another owner; the old one becomes ADMIN.
    async fn set_organization_owner(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which organization, to whom.")] input: SetOrganizationOwnerInput,
    ) -> async_graphql::Result<SetOrganizationOwnerPayload> {
        let (id, user_id) = (input.organization_id.0, input.user_id.0);
        let outcome = ownership::set_owner(database(context), actor(context)?, id, user_id).await;
        let organization = loaded(context, &outcome).await?;
        Payload::of(outcome, |_| SetOrganizationOwnerPayload { organization, user_errors: Vec::new() })
    }
}

/// The organization that a command was about, as the actor sees it now.
///
/// # Errors
/// Those of [`Organization::load`].
pub async fn loaded(
    context: &Context<'_>,
    outcome: &rollcall_domain::Result<OrganizationId>,
) -> async_graphql::Result<Option<Organization>> {
    match outcome {
        Ok(id) => Ok(Some(Organization::load(context, *id).await?)),
        Err(_) => Ok(None),
    }
}
