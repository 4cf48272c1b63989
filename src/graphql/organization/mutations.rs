//! The mutations that create and delete organizations, and change their profile, policy and owner.

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

/// The organization to create.
#[derive(InputObject)]
pub struct CreateOrganizationInput {
    /// The name that is shown everywhere, including in emails: 1 to 100 characters, without links.
    name: String,
    /// The short name: 2 to 39 characters out of a–z, 0–9 and single hyphens. If omitted, it is derived from the name.
    /// SLUG_TAKEN if another organization has it, gave it up within the last 90 days, or had it when it was removed
    /// for good.
    slug: Option<String>,
    /// The full name, up to 200 characters.
    full_name: Option<String>,
    /// A description, up to 2000 characters.
    description: Option<String>,
    /// The URL of the website.
    website: Option<String>,
    /// The place where the organization is located, up to 200 characters.
    location: Option<String>,
    /// The sector in which the organization works, up to 200 characters.
    sector: Option<String>,
    /// The name of the university that the organization belongs to, up to 200 characters.
    university_name: Option<String>,
    /// The URL of the logo.
    logo_url: Option<String>,
    /// For the platform's staff only: the owner's email address. If it has no account, one is created when somebody
    /// signs in with it.
    owner_email: Option<String>,
}

/// The result of creating an organization.
#[derive(SimpleObject, Default)]
pub struct CreateOrganizationPayload {
    /// The new organization.
    organization: Option<Organization>,
    /// Why no organization was created.
    user_errors: Vec<UserError>,
}
payload!(CreateOrganizationPayload);

/// The changes to an organization's profile. An omitted field stays as it is; null clears it.
#[derive(InputObject)]
pub struct UpdateOrganizationInput {
    /// The organization.
    id: Id<OrganizationId>,
    /// The name that is shown everywhere, including in emails: 1 to 100 characters, without links.
    name: MaybeUndefined<String>,
    /// The short name: 2 to 39 characters out of a–z, 0–9 and single hyphens. The old slug stops working at once, so
    /// everybody who uses it needs the new one. For 90 days it is reserved for this organization, which may take it
    /// back. At most 10 old slugs are reserved at a time.
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
}

/// The result of changing an organization's profile.
#[derive(SimpleObject, Default)]
pub struct UpdateOrganizationPayload {
    /// The organization with the new profile.
    organization: Option<Organization>,
    /// Why nothing was changed.
    user_errors: Vec<UserError>,
}
payload!(UpdateOrganizationPayload);

/// The organization and its new owner.
#[derive(InputObject)]
pub struct SetOrganizationOwnerInput {
    /// The organization.
    organization_id: Id<OrganizationId>,
    /// The new owner. They become a member if they aren't one.
    user_id: Id<UserId>,
}

/// The result of replacing an organization's owner.
#[derive(SimpleObject, Default)]
pub struct SetOrganizationOwnerPayload {
    /// The organization with the new owner.
    organization: Option<Organization>,
    /// Why the owner wasn't replaced.
    user_errors: Vec<UserError>,
}
payload!(SetOrganizationOwnerPayload);

/// The changes to an organization's policy. Omitted fields stay as they are.
#[derive(InputObject)]
pub struct UpdateOrganizationPolicyInput {
    /// The organization.
    organization_id: Id<OrganizationId>,
    /// Which other members plain members can see.
    member_directory: Option<MemberDirectory>,
    /// Whether admins have the owner's powers. Only the owner can change this. If admins lose the owner's powers, what
    /// they issued and could no longer issue is revoked.
    admin_powers: Option<AdminPowers>,
    /// Whether resources may be shared outside the organization.
    external_sharing: Option<ExternalSharing>,
    /// The permissions of people who join from now on, unless their invitation specifies others.
    default_permissions: Option<MemberPermissionsInput>,
    /// How many days invitations created from now on are valid: 1 to 30.
    invitation_days: Option<i32>,
}

/// The result of changing an organization's policy.
#[derive(SimpleObject, Default)]
pub struct UpdateOrganizationPolicyPayload {
    /// The organization with the new policy.
    organization: Option<Organization>,
    /// Why nothing was changed.
    user_errors: Vec<UserError>,
}
payload!(UpdateOrganizationPolicyPayload);

/// The organization and its new owner, with confirmation.
#[derive(InputObject)]
pub struct TransferOwnershipInput {
    /// The organization, which the viewer must own.
    organization_id: Id<OrganizationId>,
    /// The membership of the new owner, who must be an admin.
    member_id: Id<MemberId>,
    /// The organization's name, typed as confirmation.
    confirm_organization_name: String,
    /// The admin's username, typed as confirmation.
    confirm_username: String,
}

/// The result of transferring the ownership.
#[derive(SimpleObject, Default)]
pub struct TransferOwnershipPayload {
    /// The organization. The viewer is now an admin of it.
    organization: Option<Organization>,
    /// Why the ownership wasn't transferred.
    user_errors: Vec<UserError>,
}
payload!(TransferOwnershipPayload);

/// Identifies the organization to delete.
#[derive(InputObject)]
pub struct DeleteOrganizationInput {
    /// The organization, which the viewer must own.
    id: Id<OrganizationId>,
    /// The organization's name, typed as confirmation.
    confirm_organization_name: String,
}

/// The result of deleting an organization.
#[derive(SimpleObject, Default)]
pub struct DeleteOrganizationPayload {
    /// The id of the deleted organization.
    deleted_organization_id: Option<ID>,
    /// When its data will be removed for good. Until then, the platform's staff can restore it.
    purge_at: Option<DateTime<Utc>>,
    /// Why the organization wasn't deleted.
    user_errors: Vec<UserError>,
}
payload!(DeleteOrganizationPayload);

/// Identifies the organization to restore.
#[derive(InputObject)]
pub struct RestoreOrganizationInput {
    /// The organization.
    id: Id<OrganizationId>,
}

/// The result of restoring an organization.
#[derive(SimpleObject, Default)]
pub struct RestoreOrganizationPayload {
    /// The restored organization.
    organization: Option<Organization>,
    /// Why the organization wasn't restored.
    user_errors: Vec<UserError>,
}
payload!(RestoreOrganizationPayload);

/// The mutations of organizations.
#[derive(Default)]
pub struct OrganizationMutation;

#[Object]
impl OrganizationMutation {
    /// Creates an organization. Whoever creates it becomes its owner.
    async fn create_organization(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The organization to create.")] input: CreateOrganizationInput,
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

    /// Changes an organization's profile. This has no effect on anyone's rights.
    async fn update_organization(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The organization and the changes.")] input: UpdateOrganizationInput,
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

    /// Changes an organization's policy.
    async fn update_organization_policy(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The organization and the changes.")] input: UpdateOrganizationPolicyInput,
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

    /// Transfers an organization to one of its admins. The previous owner becomes an admin. Both get an email.
    async fn transfer_ownership(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The organization and its new owner.")] input: TransferOwnershipInput,
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

    /// Deletes an organization. Access ends at once for everyone. For 30 days, the platform's staff can restore it;
    /// after that, its data is removed for good.
    async fn delete_organization(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The organization to delete.")] input: DeleteOrganizationInput,
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

    /// Restores an organization that was deleted within the last 30 days. For the platform's staff only.
    async fn restore_organization(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The organization to restore.")] input: RestoreOrganizationInput,
    ) -> async_graphql::Result<RestoreOrganizationPayload> {
        let outcome = organization_deletion::restore(database(context), actor(context)?, input.id.0).await;
        let organization = loaded(context, &outcome).await?;
        Payload::of(outcome, |_| RestoreOrganizationPayload { organization, user_errors: Vec::new() })
    }

    /// Makes another user the owner of an organization. The previous owner becomes an admin. For the platform's staff
    /// only.
    async fn set_organization_owner(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The organization and its new owner.")] input: SetOrganizationOwnerInput,
    ) -> async_graphql::Result<SetOrganizationOwnerPayload> {
        let (id, user_id) = (input.organization_id.0, input.user_id.0);
        let outcome = ownership::set_owner(database(context), actor(context)?, id, user_id).await;
        let organization = loaded(context, &outcome).await?;
        Payload::of(outcome, |_| SetOrganizationOwnerPayload { organization, user_errors: Vec::new() })
    }
}

/// Loads the organization that a command was about, as the actor now sees it.
///
/// # Errors
/// The same as for [`Organization::load`].
pub async fn loaded(
    context: &Context<'_>,
    outcome: &rollcall_domain::Result<OrganizationId>,
) -> async_graphql::Result<Option<Organization>> {
    match outcome {
        Ok(id) => Ok(Some(Organization::load(context, *id).await?)),
        Err(_) => Ok(None),
    }
}
