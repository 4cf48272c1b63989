//! The GraphQL API, with one file per feature, named as in the domain.

mod access_check;
mod account_management;
mod answer;
mod api_key;
mod audit;
mod billing;
mod budget;
mod collaborator;
mod connection;
mod context;
mod departure;
mod error;
#[cfg(debug_assertions)]
mod field_task;
mod grant;
mod id;
mod idempotency;
mod identity;
mod import;
mod invitation;
mod join_code;
mod loading;
mod member;
mod member_upsert;
mod node;
mod organization;
mod organization_upsert;
mod platform_key;
mod resource;
mod resource_upsert;
mod rights;
mod run;
mod session;
mod share_link;
mod subscription;
mod team;
mod team_upsert;
mod transfer;
mod turn;
mod types;
mod usage;
mod user;
mod user_upsert;
mod viewer;
mod webhook;

use std::sync::Arc;

use async_graphql::{Context, ID, MaybeUndefined, MergedObject, Object, SDLExportOptions};
use rollcall_domain::base::id::{OrganizationId, ResourceId, UserId};
use rollcall_domain::base::link::PublicUrl;

use access_check::{AccessCheckInput, AccessDecision, AudienceConnection, ReachableConnection};
pub use answer::AnswerForm;
use audit::{AuditVerification, EventConnection};
pub use budget::Budget;
pub use context::{Request, asked_by};
pub use error::{UNAVAILABLE, code_name, noting_refusals, whole_seconds};
use id::{BigInt, Id};
use idempotency::Mutation;
pub use import::{Forms, Unreadable};
use invitation::InvitationPreview;
pub use loading::Batches;
use member::Member;
use node::Node;
use organization::{Organization, OrganizationBy};
use platform_key::PlatformKeyConnection;
use resource::{Resource, ResourceKind, ResourceRef};
use rights::AccessLevel;
pub use subscription::Hub;
use subscription::Subscription;
pub use turn::{Line, in_turn, in_turns, turns};
pub use types::Types;
use user::{User, UserRef};
use viewer::Viewer;
use webhook::WebhookConnection;

/// Rollcall's schema.
pub type Schema = async_graphql::Schema<Query, Mutation, Subscription>;

/// All changes. Each mutation takes one `input` and returns its own payload.
#[derive(MergedObject, Default)]
#[graphql(name = "Mutation")]
pub struct Mutations(
    session::SessionMutation,
    identity::IdentityMutation,
    viewer::ViewerMutation,
    user_upsert::UserUpsertMutation,
    account_management::AccountManagementMutation,
    api_key::ApiKeyMutation,
    platform_key::PlatformKeyMutation,
    organization::mutations::OrganizationMutation,
    organization_upsert::OrganizationUpsertMutation,
    invitation::InvitationMutation,
    join_code::JoinCodeMutation,
    member::MemberMutation,
    member_upsert::MemberUpsertMutation,
    departure::DepartureMutation,
    resource::ResourceMutation,
    resource_upsert::ResourceUpsertMutation,
    run::RunMutation,
    webhook::WebhookMutation,
    team::TeamMutation,
    team_upsert::TeamUpsertMutation,
    collaborator::CollaboratorMutation,
    billing::BillingMutation,
    usage::UsageMutation,
    transfer::TransferMutation,
    grant::GrantMutation,
    share_link::ShareLinkMutation,
);

#[derive(Default)]
pub struct Query;

/// Everything that can be queried.
#[Object]
impl Query {
    /// The person who makes the request, by session or API key. Null without credentials, and for staff, service keys
    /// and platform keys.
    async fn viewer(&self, context: &Context<'_>) -> async_graphql::Result<Option<Viewer>> {
        match context::request(context).actor() {
            Some(actor) => Viewer::load(&mut *context::connection(context).await?, actor).await,
            None => Ok(None),
        }
    }

    /// Looks up an object by its id. Null if it doesn't exist or the viewer may not see it.
    async fn node(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "A global id.")] id: ID,
    ) -> async_graphql::Result<Option<Node>> {
        Ok(node::find(context, &[id]).await?.pop().flatten())
    }

    /// Looks up at most 100 objects by their ids, in the same order. Null for each that doesn't exist or that the
    /// viewer may not see.
    async fn nodes(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Global ids, at most 100.")] ids: Vec<ID>,
    ) -> async_graphql::Result<Vec<Option<Node>>> {
        node::find(context, &ids).await
    }

    /// An organization of the viewer. Null for anyone else, as if it didn't exist.
    async fn organization(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How the organization is named.")] by: OrganizationBy,
    ) -> async_graphql::Result<Option<Organization>> {
        by.find(context).await
    }

    /// Looks up an account, for platform keys with READ and for staff. Null if there is none.
    async fn user(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How the account is named.")] by: UserRef,
    ) -> async_graphql::Result<Option<User>> {
        user::find(context, by).await
    }

    /// Looks up a resource, also by the platform's own id of it. Null if it doesn't exist or the viewer can't reach it.
    async fn resource(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How the resource is named.")] by: ResourceRef,
    ) -> async_graphql::Result<Option<Resource>> {
        resource::find(context, by).await
    }

    /// Previews the invitation to which an emailed token leads, without changing anything. Null if the token isn't
    /// genuine.
    async fn invitation(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The token of the emailed link.")] token: String,
    ) -> async_graphql::Result<Option<InvitationPreview>> {
        InvitationPreview::find(context, &token).await
    }

    /// What a user may do with resources, in the order of `resourceIds`. For a platform's own services: staff and
    /// platform keys with ACCESS_CHECK may ask about everything that they reach, service keys about what their
    /// organization holds, and users about themselves. NONE for everything else.
    async fn access(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The user.")] user_id: Id<UserId>,
        #[graphql(desc = "The resources, 1 to 100.")] resource_ids: Vec<Id<ResourceId>>,
    ) -> async_graphql::Result<Vec<AccessLevel>> {
        let ids: Vec<ResourceId> = resource_ids.into_iter().map(|id| id.0).collect();
        let mut connection = context::connection(context).await?;
        let levels =
            rollcall_domain::resource::access_for(&mut connection, context::actor(context)?, user_id.0, &ids).await;
        Ok(levels.map_err(error::top_level)?.into_iter().map(Into::into).collect())
    }

    /// Somebody's membership in an organization, whatever its status. For staff, platform keys with READ, service keys
    /// of the organization, and whoever may see the member: people name others by their id or username, owner and
    /// admins by email address too. Null otherwise.
    async fn membership(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The person.")] user: UserRef,
        #[graphql(desc = "The organization.")] organization: OrganizationBy,
    ) -> async_graphql::Result<Option<Member>> {
        Member::find(context, user, organization).await
    }

    /// What people may do with resources, 1 to 1,000 checks, answered in their order and by one state of the database.
    /// Staff and platform keys with ACCESS_CHECK ask about anybody and everything that they reach, service keys about
    /// what their organization holds, and people about themselves. What may not be asked, or isn't there, is NONE;
    /// platform keys without ACCESS_CHECK are FORBIDDEN to ask.
    async fn check_access(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The checks, 1 to 1,000.")] checks: Vec<AccessCheckInput>,
    ) -> async_graphql::Result<Vec<AccessDecision>> {
        access_check::check(context, checks).await
    }

    /// What somebody reaches, oldest first. For staff and platform keys with ACCESS_CHECK, service keys within their
    /// organization, and people about themselves; empty if it may not be asked.
    #[expect(clippy::too_many_arguments, reason = "the arguments of the field")]
    async fn reachable(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The person.")] user: UserRef,
        #[graphql(desc = "Only resources of this organization.")] organization_id: Option<Id<OrganizationId>>,
        #[graphql(desc = "Only resources of this kind.")] kind: Option<ResourceKind>,
        #[graphql(
            desc = "Only resources that the person reaches at this level or a higher one: VIEW or more.",
            default_with = "Some(AccessLevel::View)"
        )]
        at_least: Option<AccessLevel>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<ReachableConnection> {
        let organization_id = organization_id.map(|id| id.0);
        access_check::reachable(context, user, organization_id, kind, at_least, (first, after)).await
    }

    /// Who reaches a resource, each person once. For staff and platform keys with ACCESS_CHECK, service keys within
    /// their organization, and whoever administers the resource; null if it may not be asked.
    ///
    /// Staff and keys that aren't limited to organizations are told of everybody. Everybody else is told of the members
    /// whom they may see, and of people with whom the resource is shared, who are placeholders if the viewer doesn't
    /// know them; members of other organizations with which it is shared are left out.
    async fn audience(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The resource.")] resource: ResourceRef,
        #[graphql(
            desc = "Only people who reach the resource at this level or a higher one: VIEW or more.",
            default_with = "Some(AccessLevel::View)"
        )]
        at_least: Option<AccessLevel>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<Option<AudienceConnection>> {
        access_check::audience(context, resource, at_least, (first, after)).await
    }

    /// What happened in all organizations, or in one, in one order in which nothing appears later before something that
    /// was shown. Whoever goes on after the cursor of the last event that they have misses nothing and gets nothing
    /// twice. For platform keys with EVENTS_READ, which see the events of the organizations that they reach, and staff;
    /// FORBIDDEN for everybody else.
    async fn events(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
        #[graphql(desc = "How many, at most 1,000; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "Only events with these actions, such as `organization.member_joined`. If omitted, all.")]
        actions: Option<Vec<String>>,
        #[graphql(desc = "Only events of this organization.")] organization_id: Option<Id<OrganizationId>>,
    ) -> async_graphql::Result<EventConnection> {
        let filter = audit::feed_filter(context, actions, organization_id.map(|id| id.0))?;
        audit::feed(context, after, first, filter).await
    }

    /// The platform keys, oldest first. Null for everybody but staff.
    async fn platform_keys(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<Option<PlatformKeyConnection>> {
        platform_key::list(context, first, after).await
    }

    /// The webhooks of the platform, oldest first: all of them for staff, and for platform keys with EVENTS_READ those
    /// that they made. Null for everybody else.
    async fn platform_webhooks(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<Option<WebhookConnection>> {
        webhook::platform_webhooks(context, first, after).await
    }

    /// Verifies an organization's audit log, up to 10,000 events per call. Null if the viewer may not read it.
    async fn verify_audit_log(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The organization.")] organization_id: Id<OrganizationId>,
        #[graphql(desc = "The sequence number to begin at. 1 if omitted.")] from_sequence: Option<BigInt>,
    ) -> async_graphql::Result<Option<AuditVerification>> {
        audit::verify(context, organization_id.0, from_sequence.map(|sequence| sequence.0)).await
    }
}

/// An optional text. Omitted, null and empty mean the same.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}

/// A field of an update: omitted, cleared (null), or set.
fn undefined_or<T>(value: MaybeUndefined<T>) -> Option<Option<T>> {
    match value {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(None),
        MaybeUndefined::Value(value) => Some(Some(value)),
    }
}

/// A field of an update that can't be cleared: null is treated like an empty value, and refused as such.
fn required<T: Default>(value: MaybeUndefined<T>) -> Option<T> {
    match value {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(T::default()),
        MaybeUndefined::Value(value) => Some(value),
    }
}

/// The schema of a service with this public URL, whose subscriptions `hub` serves. Each request must be completed with
/// [`asked_by`], which adds its database.
pub fn schema(public_url: Arc<PublicUrl>, hub: Hub) -> Schema {
    builder().data(public_url).data(hub).finish()
}

/// The schema as SDL.
pub fn sdl() -> String {
    builder()
        .finish()
        .sdl_with_options(SDLExportOptions::new().include_specified_by().prefer_single_line_descriptions())
}

fn builder() -> async_graphql::SchemaBuilder<Query, Mutation, Subscription> {
    let builder = Schema::build(Query, Mutation::default(), Subscription).disable_suggestions();
    #[cfg(debug_assertions)]
    let builder = builder.extension(field_task::FieldTask);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt as _;
    use rollcall_domain::base::client::ClientNetwork;
    use rollcall_domain::base::secret::Keyring;
    use rollcall_domain::database::{Database, Endpoint, Purpose};

    /// The playground's tabs are executed as they are, without a database: errors in a document are detected before the
    /// database is needed.
    #[tokio::test]
    async fn the_playgrounds_tabs_fit_the_schema() {
        let keyring = Keyring::new("a secret of more than thirty-two characters".into(), None);
        let nowhere = Endpoint::parse("DATABASE_URL", "postgres://nowhere@127.0.0.1:1/none", None).unwrap();
        let database = Database::new(nowhere, keyring, Arc::default(), Purpose::Requests).unwrap();
        let schema = schema(Arc::new("http://127.0.0.1:8080".parse().unwrap()), Hub::default());
        for (document, variables) in crate::http::TABS {
            let variables: serde_json::Value = serde_json::from_str(variables).unwrap();
            let request =
                async_graphql::Request::new(*document).variables(async_graphql::Variables::from_json(variables));
            let nobody = Request::new(None, None, ClientNetwork::of([127, 0, 0, 1].into()));
            let (request, batches) = asked_by(nobody, &database, request);
            let answer = batches.run(schema.execute_stream(request).next()).await;
            let errors = answer.map(|answer| answer.errors).unwrap_or_default();
            let invalid: Vec<_> = errors.iter().filter(|error| error.path.is_empty()).collect();
            assert!(invalid.is_empty(), "{document}\n{invalid:?}");
        }
    }
}
