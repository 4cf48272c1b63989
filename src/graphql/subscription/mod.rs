//! Subscriptions: what happens in an organization, and how a departure progresses.

mod hub;

use async_graphql::{Context, Subscription as SubscriptionObject};
use futures_util::stream::{self, Stream};
use rollcall_domain::base::id::{DepartureId, OrganizationId};
use rollcall_domain::departure::following;
use rollcall_domain::event::{feed, platform_feed};

use super::audit::{self, AuditEvent, EventEdge};
use super::context::{actor, connection};
use super::departure::Departure;
use super::error::without_payload;
use super::id::{BigInt, Id};
pub use hub::Hub;

/// Everything that can be followed.
#[derive(Default)]
pub struct Subscription;

/// Everything that can be followed. A subscription is served over a WebSocket, with the subprotocol
/// `graphql-transport-ws`, or as server-sent events. It ends with an error as soon as the viewer's session or key ends,
/// or their right to see what they follow.
#[SubscriptionObject]
impl Subscription {
    /// The events of an organization's audit log, in their order, for those who may read the log. Nothing is left out
    /// and nothing comes twice: whoever was disconnected goes on after the last `sequence` that they have.
    async fn organization_events(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The organization.")] organization_id: Id<OrganizationId>,
        #[graphql(
            desc = "The sequence number after which to begin: 0 for the whole log, and at most that of the newest \
                          event. If omitted, only what happens from now on."
        )]
        after_sequence: Option<BigInt>,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<AuditEvent>> + use<>> {
        let actor = actor(context)?;
        let after_sequence = after_sequence.map(|sequence| sequence.0);
        let mut connection = connection(context).await?;
        let position = feed::begin(&mut connection, actor, organization_id.0, after_sequence).await;
        drop(connection);
        let follower = hub(context).follow_events(actor, position.map_err(without_payload)?);
        Ok(stream::unfold(Some(follower), async |follower| {
            let mut follower = follower?;
            Some(match follower.next().await {
                Ok(event) => (Ok(AuditEvent(event)), Some(follower)),
                Err(error) => (Err(without_payload(error)), None),
            })
        }))
    }

    /// The events of all organizations, or of one, like the query of that name, on and on: from the first event, or after
    /// the cursor of the last one that the client has. Nothing is left out and nothing comes twice. For platform keys with
    /// EVENTS_READ and staff.
    async fn events(
        &self,
        context: &Context<'_>,
        #[graphql(
            desc = "The cursor of the last event that the client has. If omitted, it begins with the first event."
        )]
        after: Option<String>,
        #[graphql(desc = "Only events with these actions, such as `organization.member_joined`. If omitted, all.")]
        actions: Option<Vec<String>>,
        #[graphql(desc = "Only events of this organization.")] organization_id: Option<Id<OrganizationId>>,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<EventEdge>> + use<>> {
        let filter = audit::feed_filter(context, actions, organization_id.map(|id| id.0))?;
        let mut connection = connection(context).await?;
        let place = platform_feed::begin(&mut connection, &filter, after).await;
        drop(connection);
        let follower = hub(context).follow_feed(actor(context)?, place.map_err(without_payload)?, filter);
        Ok(stream::unfold(Some(follower), async |follower| {
            let mut follower = follower?;
            let next = follower.next().await;
            Some(match next.and_then(EventEdge::of) {
                Ok(edge) => (Ok(edge), Some(follower)),
                Err(error) => (Err(without_payload(error)), None),
            })
        }))
    }

    /// A departure as it is, and again whenever its status or one of its steps has changed, for those who may see it.
    /// Changes in quick succession may come as one. It ends once the departure is COMPLETED, FAILED or REVERTED, or its
    /// revert has failed.
    async fn departure_progress(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The departure.")] departure_id: Id<DepartureId>,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Departure>> + use<>> {
        let actor = actor(context)?;
        let mut connection = connection(context).await?;
        let departure = following::begin(&mut connection, actor, departure_id.0).await;
        drop(connection);
        let follower = hub(context).follow_departure(actor, departure.map_err(without_payload)?);
        Ok(stream::unfold(Some(follower), async |follower| {
            let mut follower = follower?;
            match follower.next().await {
                Ok(departure) => Some((Ok(Departure(departure?)), Some(follower))),
                Err(error) => Some((Err(without_payload(error)), None)),
            }
        }))
    }
}

fn hub<'c>(context: &Context<'c>) -> &'c Hub {
    context.data_unchecked::<Hub>()
}
