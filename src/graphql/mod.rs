//! The GraphQL API: one file per feature, named like the domain's.

mod answer;
mod api_key;
mod audit;
mod billing;
mod budget;
mod connection;
mod context;
mod departure;
mod error;
#[cfg(debug_assertions)]
mod field_task;
mod grant;
mod id;
mod invitation;
mod join_code;
mod loading;
mod member;
mod node;
mod organization;
mod resource;
mod rights;
mod run;
mod session;
mod share_link;
mod team;
mod transfer;
mod turn;
mod types;
mod user;
mod viewer;
mod webhook;

use std::sync::Arc;

use async_graphql::{Context, EmptySubscription, ID, MaybeUndefined, MergedObject, Object, SDLExportOptions};
use rollcall_domain::base::id::{OrganizationId, ResourceId, UserId};
use rollcall_domain::base::link::PublicUrl;

pub use answer::AnswerForm;
use audit::AuditVerification;
pub use budget::Budget;
pub use context::{Request, asked_by};
pub use error::{UNAVAILABLE, noting_refusals, whole_seconds};
use id::{BigInt, Id};
use invitation::InvitationPreview;
pub use loading::Batches;
use node::Node;
use organization::{Organization, OrganizationBy};
use rights::AccessLevel;
pub use turn::{in_turn, in_turns, turns};
pub use types::Types;
use viewer::Viewer;

/// Rollcall's schema.
pub type Schema = async_graphql::Schema<Query, Mutation, EmptySubscription>;

/// Everything that changes something. Each takes one `input` and answers with its own payload.
#[derive(MergedObject, Default)]
pub struct Mutation(
    session::SessionMutation,
    viewer::ViewerMutation,
    api_key::ApiKeyMutation,
    organization::mutations::OrganizationMutation,
    invitation::InvitationMutation,
    join_code::JoinCodeMutation,
    member::MemberMutation,
    departure::DepartureMutation,
    resource::ResourceMutation,
    run::RunMutation,
    webhook::WebhookMutation,
    team::TeamMutation,
    billing::BillingMutation,
    transfer::TransferMutation,
    grant::GrantMutation,
    share_link::ShareLinkMutation,
);

#[derive(Default)]
pub struct Query;

/// Everything that can be asked.
#[Object]
impl Query {
    /// The person who asks; null without credentials.
    async fn viewer(&self, context: &Context<'_>) -> async_graphql::Result<Option<Viewer>> {
        match context::request(context).actor() {
            Some(actor) => Viewer::load(&mut *context::connection(context).await?, actor).await,
            None => Ok(None),
        }
    }

    /// Anything by its id; null where there is no such thing or the viewer may not see it.
    async fn node(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "A global id.")] id: ID,
    ) -> async_graphql::Result<Option<Node>> {
        Ok(node::find(context, &[id]).await?.pop().flatten())
    }

    /// Up to 100 things by their ids, in the same order; null where there is no such thing or the viewer may not see
    /// it.
    async fn nodes(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Global ids, at most 100.")] ids: Vec<ID>,
    ) -> async_graphql::Result<Vec<Option<Node>>> {
        node::find(context, &ids).await
    }

    /// An organization of the viewer; for anyone else it is null, as if it did not exist.
    async fn organization(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Its id or its slug.")] by: OrganizationBy,
    ) -> async_graphql::Result<Option<Organization>> {
        by.find(context).await
    }

    /// What an emailed invitation's token leads to; looking changes nothing. Null if the token isn't genuine.
    async fn invitation(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The token of the emailed link.")] token: String,
    ) -> async_graphql::Result<Option<InvitationPreview>> {
        InvitationPreview::find(context, &token).await
    }

    /// What a user may do with resources, in the order asked: for a platform's own services, by staff and by service
    /// keys for what their organization holds, or about oneself. NONE for anything else.
    async fn access(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Whose access.")] user_id: Id<UserId>,
        #[graphql(desc = "To which resources: 1 to 100.")] resource_ids: Vec<Id<ResourceId>>,
    ) -> async_graphql::Result<Vec<AccessLevel>> {
        let ids: Vec<ResourceId> = resource_ids.into_iter().map(|id| id.0).collect();
        let mut connection = context::connection(context).await?;
        let levels =
            rollcall_domain::resource::access_for(&mut connection, context::actor(context)?, user_id.0, &ids).await;
        Ok(levels.map_err(error::top_level)?.into_iter().map(Into::into).collect())
    }

    /// Checks an organization's audit log, up to 10,000 events a call; null for those who may not read it.
    async fn verify_audit_log(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Whose log.")] organization_id: Id<OrganizationId>,
        #[graphql(desc = "Where to begin; 1 where left out.")] from_sequence: Option<BigInt>,
    ) -> async_graphql::Result<Option<AuditVerification>> {
        audit::verify(context, organization_id.0, from_sequence.map(|sequence| sequence.0)).await
    }
}

/// A text that may be left out: who fills in nothing sends nothing, null or an empty text.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}

/// A field of an update: left out, cleared, or given.
fn undefined_or<T>(value: MaybeUndefined<T>) -> Option<Option<T>> {
    match value {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(None),
        MaybeUndefined::Value(value) => Some(Some(value)),
    }
}

/// A field of an update that can't be cleared: null is as wrong as nothing at all.
fn required<T: Default>(value: MaybeUndefined<T>) -> Option<T> {
    match value {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(T::default()),
        MaybeUndefined::Value(value) => Some(value),
    }
}

/// The schema of a service that is reached at this address. Each of its requests goes to a database; see [`asked_by`].
pub fn schema(public_url: Arc<PublicUrl>) -> Schema {
    builder().data(public_url).finish()
}

/// The schema as SDL.
pub fn sdl() -> String {
    builder()
        .finish()
        .sdl_with_options(SDLExportOptions::new().include_specified_by().prefer_single_line_descriptions())
}

fn builder() -> async_graphql::SchemaBuilder<Query, Mutation, EmptySubscription> {
    let builder = Schema::build(Query, Mutation::default(), EmptySubscription).disable_suggestions();
    #[cfg(debug_assertions)]
    let builder = builder.extension(field_task::FieldTask);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_domain::base::client::ClientNetwork;
    use rollcall_domain::base::secret::Keyring;
    use rollcall_domain::database::deployment::Deployment;
    use rollcall_domain::database::{Database, Endpoint, Purpose};

    /// The tabs are run as they stand, without a database: what is wrong with a document is found before that is asked
    /// for.
    #[tokio::test]
    async fn the_playgrounds_tabs_fit_the_schema() {
        let keyring = Keyring::new("a secret of more than thirty-two characters".into(), None);
        let nowhere = Endpoint::parse("DATABASE_URL", "postgres://nowhere@127.0.0.1:1/none", None).unwrap();
        let database = Database::new(nowhere, keyring, Deployment::default(), Purpose::Requests).unwrap();
        let schema = schema(Arc::new("http://127.0.0.1:8080".parse().unwrap()));
        for (document, variables) in crate::http::TABS {
            let variables: serde_json::Value = serde_json::from_str(variables).unwrap();
            let request =
                async_graphql::Request::new(*document).variables(async_graphql::Variables::from_json(variables));
            let nobody = Request::new(None, None, ClientNetwork::of([127, 0, 0, 1].into()));
            let (request, batches) = asked_by(nobody, &database, request);
            let errors = batches.run(schema.execute(request)).await.errors;
            let invalid: Vec<_> = errors.iter().filter(|error| error.path.is_empty()).collect();
            assert!(invalid.is_empty(), "{document}\n{invalid:?}");
        }
    }
}
