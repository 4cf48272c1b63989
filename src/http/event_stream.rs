//! Subscriptions as server-sent events, in the distinct connections mode of *GraphQL over Server-Sent Events*:
//! events `next` with an answer each, and at the end an event `complete`. See
//! <https://github.com/graphql/graphql-over-http/blob/main/rfcs/GraphQLOverSSE.md>.

use std::convert::Infallible;
use std::future::ready;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use rollcall_domain::base::limits;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::App;
use super::graphql::{self, CheckedSubscription, MediaType, Part, error_body};
use super::server::{Answering, ConnectionInUse};
use super::subscriptions::{self, ConnectionPlace, HeldPart, STOPPING, Transport};
use super::unsent::HeldBytes;
use crate::graphql::Request as GraphqlRequest;

/// A comment, which clients ignore.
const COMMENT: &[u8] = b":\n\n";
/// The end. Browsers ignore events without data.
const COMPLETE: &[u8] = b"event: complete\ndata:\n\n";
/// Tells nginx to pass each event on at once.
const NO_BUFFERING: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));

/// Answers a subscription with a stream of events.
pub fn answer(
    app: App,
    connection: Option<&ConnectionInUse>,
    who: GraphqlRequest,
    subscription: CheckedSubscription,
) -> Response {
    let (client, transport) = (who.client, Transport::EventStream);
    let open = app.subscriptions.connect(transport, client);
    let open = open.and_then(|open| Ok((open, app.subscriptions.subscribe(transport, client, who.actor())?)));
    let (connection_place, place) = match open {
        Ok(places) => places,
        Err(refusal) => {
            let (status, wait) = (refusal.status(), refusal.retry_after());
            return graphql::refuse(MediaType::Json, status, refusal.code, refusal.message, wait);
        }
    };
    let stopping = app.subscriptions.shutdown.clone();
    let (sender, parts) = mpsc::channel(1);
    let run = subscriptions::run(app, place, ready(Ok((who, subscription))), (), sender);
    let open = OpenStream {
        parts,
        state: StreamState::Beginning,
        _run: run,
        _place: connection_place,
        _answering: connection.map(ConnectionInUse::answering),
    };
    let events = stream::unfold(open, move |open| {
        let stopping = stopping.clone();
        async move { open.next(stopping.cancelled()).await }
    });
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        NO_BUFFERING,
    ];
    (StatusCode::OK, headers, Body::from_stream(events)).into_response()
}

/// An event stream that is being sent.
struct OpenStream {
    parts: mpsc::Receiver<((), HeldPart)>,
    state: StreamState,
    _run: AbortOnDropHandle<()>,
    _place: ConnectionPlace,
    /// Keeps the connection from being closed for new ones.
    _answering: Option<Answering>,
}

#[derive(PartialEq, Eq)]
enum StreamState {
    /// Nothing has been sent. A comment comes first, so that the client learns at once that it was accepted.
    Beginning,
    GoingOn,
    Complete,
}

impl OpenStream {
    /// The next bytes of the body, or `None` at its end.
    async fn next(mut self, stopping: impl Future<Output = ()>) -> Option<(Result<Bytes, Infallible>, Self)> {
        let bytes = match self.state {
            StreamState::Complete => return None,
            StreamState::Beginning => {
                self.state = StreamState::GoingOn;
                Bytes::from_static(COMMENT)
            }
            StreamState::GoingOn => {
                tokio::select! {
                    biased;
                    () = stopping => self.event(Part::failed("UNAVAILABLE", STOPPING, Some(limits::RETRY_AFTER)).into()),
                    part = self.parts.recv() => match part {
                        Some((_, part)) => self.event(part),
                        None => self.event(Part::Complete.into()),
                    },
                    () = sleep(limits::EVENT_STREAM_COMMENT) => Bytes::from_static(COMMENT),
                }
            }
        };
        Some((Ok(bytes), self))
    }

    fn event(&mut self, HeldPart { part, held }: HeldPart) -> Bytes {
        let next = |json: &[u8]| [b"event: next\ndata: ", json, b"\n\n"].concat();
        match part {
            Part::Next(json) => Bytes::from_owner(HeldEvent { bytes: next(&json), _held: held }),
            Part::Failed(errors) => {
                self.state = StreamState::Complete;
                [next(error_body(&errors).as_bytes()).as_slice(), COMPLETE].concat().into()
            }
            Part::Complete => {
                self.state = StreamState::Complete;
                Bytes::from_static(COMPLETE)
            }
        }
    }
}

/// An event, which counts as unsent until it has been sent.
struct HeldEvent {
    bytes: Vec<u8>,
    _held: Option<HeldBytes>,
}

impl AsRef<[u8]> for HeldEvent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
