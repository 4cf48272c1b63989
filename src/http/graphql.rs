//! GraphQL over HTTP, according to <https://graphql.github.io/graphql-over-http/draft/>.
//!
//! The handler of async-graphql-axum executes mutations sent by GET, accepts a POST without a content type (which a
//! form on any website can send), and answers with one media type and status whatever was requested. This handler does
//! none of that.

use async_graphql::{
    ErrorExtensionValues, Executor, Extensions, Request, Response as Answer, ServerError, Value, Variables,
    parser::types::{OperationType, Selection},
};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apalis_diesel::correlation;
use axum::{
    body::to_bytes,
    extract::Query,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode, Uri,
        header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS},
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use futures_util::StreamExt as _;
use rollcall_domain::base::client::ClientNetwork;
use rollcall_domain::base::id::new_name;
use rollcall_domain::base::limits;
use serde::{Deserialize, Serialize};

use super::admission::HeldBody;
use super::persisted::{PersistedDocuments, Sha256};
use super::{log, metrics};
use crate::graphql::{AnswerForm, Batches, Budget, Line, Types, in_turn, in_turns, noting_refusals, whole_seconds};

/// How deep the brackets of a document may nest. The parser recurses for each of them before it applies its own limits,
/// so a document of nothing but brackets would overflow the thread's stack and end the whole process.
const NESTING_LIMIT: usize = 64;
/// How many values the JSON of a request may contain: more than twice the limit for its variables, which leaves room
/// for the rest.
const VALUES_LIMIT: usize = 25_000;

/// How many characters a name in a document may have. Errors repeat names, and one name may occur in the errors of many
/// fields.
const WORD_LIMIT: usize = 200;

/// The limits for requests to a schema, and the documents that clients have persisted.
#[derive(Debug)]
pub struct RequestLimits {
    budget: Budget,
    types: Arc<Types>,
    persisted: PersistedDocuments,
}

impl RequestLimits {
    /// The limits for requests to the schema with this SDL.
    ///
    /// # Errors
    /// Fails if the SDL can't be parsed.
    pub fn new(sdl: &str) -> anyhow::Result<Self> {
        let types = Arc::new(Types::new(sdl)?);
        Ok(Self { budget: Budget::new(types.clone()), types, persisted: PersistedDocuments::new()? })
    }
}

/// Executes the GraphQL request in an HTTP request and answers it. `prepare` completes the GraphQL request, for example
/// with its actor, whom the caller has already authenticated. `subscribe` answers a subscription whose client accepts
/// an event stream.
///
/// Route every method to it (`axum::routing::any`), so that the answer with status 405 is a GraphQL answer as well.
pub async fn execute<E: Executor>(
    executor: &E,
    request_limits: &RequestLimits,
    client: ClientNetwork,
    request: axum::extract::Request,
    prepare: impl FnOnce(Request) -> (Request, Arc<Batches>),
    subscribe: impl FnOnce(CheckedSubscription) -> Response,
) -> Response {
    let accepts_events = accepts_events(request.headers());
    let negotiated = MediaType::negotiate(request.headers());
    let media_type = match negotiated {
        Some(media_type) => media_type,
        // A refused subscription has a status that says so.
        None if accepts_events => MediaType::GraphqlResponse,
        None => {
            return Refusal::new(
                StatusCode::NOT_ACCEPTABLE,
                "Answers are application/graphql-response+json or application/json, those of subscriptions \
                 text/event-stream; the Accept header allows none of them.",
            )
            .into_response(MediaType::Json);
        }
    };
    let (mut head, body) = request.into_parts();
    let held = head.extensions.remove::<HeldBody>();
    let body = match to_bytes(body, limits::BODY).await {
        Ok(body) => body,
        Err(_) => return Refusal::bad_request("The body could not be read to its end.").into_response(media_type),
    };
    let length = head.uri.query().map_or(0, str::len) + body.len();
    let line = request_limits.budget.line(client, length);
    let (mut request, to_persist) = match in_turn(&line, || read(&head, &body, &request_limits.persisted)).await {
        Ok(read) => read,
        Err(refusal) => return refusal.into_response(media_type),
    };
    drop((body, held));
    let started = Instant::now();
    let checked = request_limits.budget.check(&mut request, client, line.clone()).await;
    // A request that is refused as too large isn't even parsed.
    let operation = if checked.is_ok() { Operation::of(&mut request) } else { Operation::INVALID };
    let (mut answer, refused, form, line) = match checked {
        Ok(_) if operation.is_subscription() && !accepts_events => {
            let refusal = Refusal::bad_request(SUBSCRIPTIONS_ELSEWHERE).into_error();
            (Answer::from_errors(vec![refusal]), false, None, line)
        }
        Ok(line) if operation.is_subscription() => {
            if let Some(hash) = to_persist {
                request_limits.persisted.insert(hash, &request.query);
            }
            return subscribe(CheckedSubscription { request, line });
        }
        Ok(_) if negotiated.is_none() && operation.is_valid() => {
            let message = "Only subscriptions are answered with text/event-stream; accept application/json as well.";
            return Refusal::new(StatusCode::NOT_ACCEPTABLE, message).into_response(MediaType::Json);
        }
        Ok(line) => {
            if let Some(hash) = to_persist.filter(|_| operation.is_valid()) {
                request_limits.persisted.insert(hash, &request.query);
            }
            let form = in_turn(&line, || AnswerForm::of(&request_limits.types, &mut request)).await;
            let (request, batches) = prepare(request);
            let executing = in_turns(&line, batches.run(executor.execute(request)));
            let (answer, refused) = noting_refusals(executing).await;
            (answer, refused, form, line)
        }
        Err(error) => (Answer::from_errors(vec![error]), false, None, line),
    };
    in_turn(&line, || {
        if let Some(form) = form {
            form.complete(&mut answer);
        }
        finish_errors(&mut answer.errors);
        metrics::count_operation(operation.kind, refused, answer.errors.iter().filter_map(code), started.elapsed());
        respond(media_type, operation, answer)
    })
    .await
}

const SUBSCRIPTIONS_ELSEWHERE: &str = "A subscription has no single answer: send it with `Accept: text/event-stream`, or \
     over a WebSocket with the subprotocol graphql-transport-ws.";

/// A subscription within the limits, whose document may be invalid.
pub struct CheckedSubscription {
    request: Request,
    line: Line,
}

impl CheckedSubscription {
    /// Checks a request that came over a WebSocket, in a message of this many bytes. Nothing but subscriptions is served
    /// there.
    ///
    /// # Errors
    /// If it exceeds a limit or isn't a subscription.
    pub async fn check(
        request_limits: &RequestLimits,
        client: ClientNetwork,
        bytes: usize,
        parameters: Parameters,
    ) -> Result<Self, ServerError> {
        let line = request_limits.budget.line(client, bytes);
        let (mut request, to_persist) =
            in_turn(&line, || to_request(parameters, &request_limits.persisted)).await.map_err(Refusal::into_error)?;
        let line = request_limits.budget.check(&mut request, client, line).await?;
        let operation = Operation::of(&mut request);
        if operation.is_valid() && !operation.is_subscription() {
            let message = "Only subscriptions are served over a WebSocket; send queries and mutations by POST.";
            return Err(Refusal::bad_request(message).into_error());
        }
        if let Some(hash) = to_persist.filter(|_| operation.is_valid()) {
            request_limits.persisted.insert(hash, &request.query);
        }
        Ok(Self { request, line })
    }

    /// Runs the subscription to its end, and gives each of its parts to `send`, which returns whether to go on.
    /// `prepare` completes the GraphQL request, for example with its actor.
    pub async fn run<E: Executor>(
        self,
        executor: &E,
        request_limits: &RequestLimits,
        prepare: impl FnOnce(Request) -> (Request, Arc<Batches>),
        send: &impl AsyncFn(Part) -> bool,
    ) {
        let Self { mut request, line } = self;
        let form = in_turn(&line, || AnswerForm::of(&request_limits.types, &mut request)).await;
        let (request, batches) = prepare(request);
        let mut answers = executor.execute_stream(request, None);
        loop {
            let answer = in_turns(&line, batches.run(answers.next())).await;
            let Some(mut answer) = answer else {
                metrics::count_subscription(std::iter::empty());
                send(Part::Complete).await;
                return;
            };
            let part = in_turn(&line, || {
                if let Some(form) = &form {
                    form.complete(&mut answer);
                }
                finish_errors(&mut answer.errors);
                Part::of(&answer)
            })
            .await;
            if let Part::Failed(errors) = &part {
                metrics::count_subscription(errors.iter().filter_map(code));
                send(part).await;
                return;
            }
            if !send(part).await {
                return;
            }
        }
    }
}

/// A part of a subscription's answer.
pub enum Part {
    /// The answer for one event, in JSON.
    Next(Vec<u8>),
    /// The subscription has failed or may not go on. Nothing follows.
    Failed(Vec<ServerError>),
    /// The subscription is complete. Nothing follows.
    Complete,
}

impl Part {
    fn of(answer: &Answer) -> Self {
        // An error of the subscription itself, rather than of a field of one of its events.
        let is_its_own = |error: &ServerError| error.path.len() <= 1;
        if answer.data == Value::Null && answer.errors.iter().any(is_its_own) {
            return Self::Failed(answer.errors.clone());
        }
        match write(answer, Some(&answer.data), false) {
            Ok(body) => Self::Next(body),
            Err(refusal) => Self::Failed(vec![refusal.into_error()]),
        }
    }

    /// A failure that isn't one of the executor's.
    pub fn failed(code: &'static str, message: &str, retry_after: Option<Duration>) -> Self {
        let refusal = Refusal { code, retry_after, ..Refusal::bad_request(message) };
        Self::Failed(vec![refusal.into_error()])
    }
}

/// Errors as JSON: an array of them.
pub fn error_list(errors: &[ServerError]) -> String {
    // Errors consist of texts and numbers, which always can be written.
    serde_json::to_string(errors).unwrap_or_default()
}

/// An answer that consists of errors alone, as JSON.
pub fn error_body(errors: &[ServerError]) -> String {
    format!(r#"{{"errors":{}}}"#, error_list(errors))
}

/// Answers a request that isn't executed, for example because of its credentials, in GraphQL's format.
pub fn refuse(
    media_type: MediaType,
    status: StatusCode,
    code: &'static str,
    message: impl Into<String>,
    retry_after: Option<Duration>,
) -> Response {
    let refusal = Refusal { code, retry_after, ..Refusal::new(status, message) };
    refusal.into_response(media_type)
}

/// The media types of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// The newer media type. The status says whether there is data.
    GraphqlResponse,
    /// For clients that don't know the newer media type: every well-formed request is answered with 200, whatever its
    /// outcome.
    Json,
}

impl MediaType {
    /// The media type to answer in, even if the client accepts none of them.
    pub fn of(headers: &HeaderMap) -> Self {
        Self::negotiate(headers).unwrap_or(Self::Json)
    }

    /// The media type that the client prefers: JSON if it has no preference, `None` if it accepts neither.
    fn negotiate(headers: &HeaderMap) -> Option<Self> {
        let ranges: Vec<&str> = headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|range| !range.is_empty())
            .collect();
        if ranges.is_empty() {
            return Some(Self::Json);
        }
        let graphql_response = Preference::among(&ranges, "application/graphql-response+json");
        let json = Preference::among(&ranges, "application/json");
        match (graphql_response, json) {
            (None, None) => None,
            (None, Some(_)) => Some(Self::Json),
            (Some(_), None) => Some(Self::GraphqlResponse),
            (Some(new), Some(old)) if new.quality > old.quality => Some(Self::GraphqlResponse),
            // Clients that accept anything get JSON. Clients that name the newer type know it.
            (Some(new), Some(old)) if new.quality == old.quality && new.named => Some(Self::GraphqlResponse),
            _ => Some(Self::Json),
        }
    }

    fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        })
    }
}

/// Whether a client names event streams among what it accepts. Clients that accept anything mean one answer.
fn accepts_events(headers: &HeaderMap) -> bool {
    let ranges = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<&str> = ranges.flat_map(|value| value.split(',')).map(str::trim).collect();
    Preference::among(&ranges, "text/event-stream").is_some_and(|preference| preference.named)
}

/// How much a client prefers a media type.
struct Preference {
    quality: f32,
    named: bool,
}

impl Preference {
    /// Determined by the most specific matching range of the Accept header, even if that excludes the type (q=0).
    fn among(ranges: &[&str], media_type: &str) -> Option<Self> {
        let matching = ranges.iter().filter_map(|range| {
            let range = range.to_ascii_lowercase();
            let mut parts = range.split(';').map(str::trim);
            let specificity = match parts.next()? {
                name if name == media_type => 2,
                "application/*" => 1,
                "*/*" => 0,
                _ => return None,
            };
            let quality = parts.find_map(|parameter| parameter.strip_prefix("q="));
            Some((specificity, quality.map_or(1.0, |quality| quality.parse().unwrap_or(0.0))))
        });
        let (specificity, quality) = matching.max_by_key(|(specificity, _)| *specificity)?;
        (quality > 0.0).then_some(Self { quality, named: specificity == 2 })
    }
}

/// The parameters of a POST, or of a message. Optional ones may also be null.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parameters {
    query: Option<String>,
    operation_name: Option<String>,
    #[serde(default)]
    variables: Variables,
    extensions: Option<Extensions>,
}

/// The parameters of a GET as they are in the URL, where maps are JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UrlParameters {
    query: Option<String>,
    operation_name: Option<String>,
    #[serde(default)]
    variables: String,
    #[serde(default)]
    extensions: String,
}

/// Reads the GraphQL request, and the hash under which its document is to be persisted, if any.
fn read(head: &Parts, body: &[u8], persisted: &PersistedDocuments) -> Result<(Request, Option<Sha256>), Refusal> {
    match head.method {
        Method::GET | Method::HEAD => read_url(&head.uri, persisted),
        Method::POST => {
            require_json(&head.headers)?;
            // An array is refused even where serde could read a struct from it, since nobody means that.
            if body.trim_ascii_start().starts_with(b"[") {
                return Err(Refusal::bad_request("Batches are not accepted: send one operation per request."));
            }
            limit_values(body)?;
            let parameters = serde_json::from_slice(body)
                .map_err(|error| Refusal::bad_request(format!("The body is not a GraphQL request: {error}.")))?;
            to_request(parameters, persisted)
        }
        _ => Err(Refusal::method_not_allowed("GraphQL is asked by GET or POST.", "GET, POST")),
    }
}

fn read_url(uri: &Uri, persisted: &PersistedDocuments) -> Result<(Request, Option<Sha256>), Refusal> {
    fn map<T: Default + for<'de> Deserialize<'de>>(name: &str, json: &str) -> Result<T, Refusal> {
        if json.is_empty() {
            return Ok(T::default());
        }
        limit_values(json.as_bytes())?;
        serde_json::from_str(json)
            .map_err(|error| Refusal::bad_request(format!("`{name}` is not a JSON object: {error}.")))
    }
    let Query(parameters) = Query::<UrlParameters>::try_from_uri(uri)
        .map_err(|_| Refusal::bad_request("The URL's parameters are not those of a GraphQL request, once each."))?;
    let parameters = Parameters {
        query: parameters.query,
        operation_name: parameters.operation_name,
        variables: map("variables", &parameters.variables)?,
        extensions: map("extensions", &parameters.extensions)?,
    };
    let (mut request, to_persist) = to_request(parameters, persisted)?;

    // A link or an image on any website can send a GET. A document that can't be parsed is left to the executor, which
    // reports the error.
    let name = request.operation_name.clone();
    if let Ok(document) = request.parsed_query() {
        let selected = |candidate: Option<&str>| name.is_none() || candidate == name.as_deref();
        let mutates = document.operations.iter().any(|(candidate, operation)| {
            operation.node.ty == OperationType::Mutation && selected(candidate.map(|name| name.as_str()))
        });
        if mutates {
            return Err(Refusal::method_not_allowed("Mutations are sent by POST.", "POST"));
        }
    }
    Ok((request, to_persist))
}

/// Refuses JSON with more values than a request needs. This is checked before the JSON is parsed, since each value
/// takes many times as much memory as its text.
fn limit_values(json: &[u8]) -> Result<(), Refusal> {
    let values = count_values(json);
    if values > VALUES_LIMIT {
        let message = format!("The request has {values} values in its JSON; {VALUES_LIMIT} are allowed.");
        return Err(Refusal::bad_request(message));
    }
    Ok(())
}

/// Whether JSON has more values than a request needs. This is checked before it is parsed.
pub fn has_too_many_values(json: &[u8]) -> bool {
    count_values(json) > VALUES_LIMIT
}

fn count_values(json: &[u8]) -> usize {
    let (mut values, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            // Each value except the very first follows one of these characters.
            b',' | b':' | b'[' | b'{' if !in_string => values += 1,
            _ => {}
        }
    }
    values
}

/// Requires a content type that no HTML form can send. Browsers send it from another website only after asking the
/// server.
fn require_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = content_type.split(';').map(|part| part.trim().to_ascii_lowercase());
    let is_json = parts.next().as_deref() == Some("application/json");
    let is_utf8 = parts
        .filter_map(|parameter| parameter.strip_prefix("charset=").map(|charset| charset.trim_matches('"').to_owned()))
        .all(|charset| charset == "utf-8" || charset == "utf8");
    if is_json && is_utf8 {
        Ok(())
    } else {
        Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "The Content-Type must be application/json, in UTF-8."))
    }
}

fn to_request(parameters: Parameters, persisted: &PersistedDocuments) -> Result<(Request, Option<Sha256>), Refusal> {
    let extensions = parameters.extensions.unwrap_or_default();
    let hash = Sha256::named_by(&extensions).map_err(Refusal::bad_request)?;
    let (query, to_persist) = match (parameters.query, hash) {
        (Some(query), None) => (query, None),
        (Some(query), Some(hash)) if !query.is_empty() => {
            if hash != Sha256::of(&query) {
                return Err(Refusal::bad_request(
                    "`extensions.persistedQuery.sha256Hash` is not the SHA-256 of `query`.",
                ));
            }
            (query, Some(hash))
        }
        (_, Some(hash)) => (persisted.get(&hash).ok_or_else(Refusal::persisted_query_not_found)?, None),
        (None, None) => {
            return Err(Refusal::bad_request(
                "A request has a `query`, with a GraphQL document, or names one by `extensions.persistedQuery`.",
            ));
        }
    };
    let Some(written) = DocumentText::of(&query) else {
        return Err(Refusal::bad_request("The document has a string without an end."));
    };
    if written.nesting > NESTING_LIMIT {
        return Err(Refusal::bad_request(format!("The document nests deeper than {NESTING_LIMIT} levels.")));
    }
    if written.longest_word > WORD_LIMIT {
        return Err(Refusal::bad_request(format!(
            "The document has a name or number of more than {WORD_LIMIT} characters."
        )));
    }
    let mut request = Request::new(query).variables(parameters.variables);
    request.operation_name = parameters.operation_name.filter(|name| !name.is_empty());
    request.extensions = extensions;
    Ok((request, to_persist))
}

/// Properties of a document's text, not counting strings and comments.
struct DocumentText {
    /// How deep its brackets nest.
    nesting: usize,
    /// The length of its longest name or number, in bytes.
    longest_word: usize,
}

impl DocumentText {
    /// Returns `None` if a string isn't terminated.
    fn of(document: &str) -> Option<Self> {
        let mut written = Self { nesting: 0, longest_word: 0 };
        let (mut depth, mut word) = (0_usize, 0_usize);
        let mut rest = document;
        loop {
            let mut characters = rest.chars();
            let Some(character) = characters.next() else {
                return Some(written);
            };
            word = if character.is_ascii_alphanumeric() || character == '_' { word + 1 } else { 0 };
            written.longest_word = written.longest_word.max(word);
            let after = characters.as_str();
            rest = match character {
                '{' | '[' | '(' => {
                    depth += 1;
                    written.nesting = written.nesting.max(depth);
                    after
                }
                '}' | ']' | ')' => {
                    depth = depth.saturating_sub(1);
                    after
                }
                '#' => after.trim_start_matches(|character| character != '\n' && character != '\r'),
                '"' => match after.strip_prefix(r#""""#) {
                    Some(block) => after_block_string(block)?,
                    None => after_string(after)?,
                },
                _ => after,
            };
        }
    }
}

/// The text after a string whose opening quote has been read.
fn after_string(text: &str) -> Option<&str> {
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '\\' => characters.next()?,
            '"' => return Some(characters.as_str()),
            _ => continue,
        };
    }
}

/// The text after a block string whose opening quotes have been read.
fn after_block_string(text: &str) -> Option<&str> {
    let mut rest = text;
    loop {
        let (content, after) = rest.split_once(r#"""""#)?;
        if !content.ends_with('\\') {
            return Some(after);
        }
        rest = after;
    }
}

/// The executor's answer in the form in which it is sent.
#[derive(Serialize)]
struct AnswerBody<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [ServerError],
    /// Omitted if the request wasn't executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extensions: &'a BTreeMap<String, Value>,
}

fn respond(media_type: MediaType, operation: Operation, answer: Answer) -> Response {
    let no_data = answer.data == Value::Null;
    // Only execution errors have a path, since they belong to a field.
    let not_executed = no_data && !answer.errors.is_empty() && answer.errors.iter().all(|error| error.path.is_empty());
    let is_carried_out = operation.kind == "mutation" && !not_executed;
    let body = match write(&answer, Some(&answer.data).filter(|_| !not_executed), is_carried_out) {
        Ok(body) => body,
        Err(refusal) => return refusal.into_response(media_type),
    };
    let status = match media_type {
        // Proxies and clients retry because of the status, whatever the media type.
        _ if answer.errors.iter().any(|error| operation.can_be_repeated(error)) => StatusCode::SERVICE_UNAVAILABLE,
        MediaType::GraphqlResponse if no_data => match status_of(&answer.errors) {
            // A part of the operation was executed. Retrying the operation would execute that part twice.
            StatusCode::SERVICE_UNAVAILABLE => StatusCode::INTERNAL_SERVER_ERROR,
            status => status,
        },
        _ => StatusCode::OK,
    };
    let mut response = (status, answer.http_headers, body).into_response();
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
        && let Some(seconds) = answer.errors.iter().find_map(retry_after)
    {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    complete_headers(&mut response, media_type);
    if operation.kind == "mutation" {
        response.extensions_mut().insert(OfMutation);
    }
    response
}

/// Writes an answer with this data as JSON. `is_carried_out` says whether it is that of a mutation that was executed.
fn write(answer: &Answer, data: Option<&Value>, is_carried_out: bool) -> Result<Vec<u8>, Refusal> {
    let mut body = Bounded(Vec::new());
    let content = AnswerBody { errors: &answer.errors, data, extensions: &answer.extensions };
    match serde_json::to_writer(&mut body, &content) {
        Ok(()) => Ok(body.0),
        Err(error) if error.is_io() => {
            let megabytes = limits::ANSWER / (1024 * 1024);
            Err(Refusal::bad_request(match is_carried_out {
                true => format!(
                    "This was carried out, but its answer is larger than {megabytes} MB. Don't send it again: query what it changed."
                ),
                false => {
                    format!("The answer is larger than {megabytes} MB: ask for fewer fields or smaller pages.")
                }
            }))
        }
        Err(_) => {
            Err(Refusal { code: "INTERNAL", ..Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal error.") })
        }
    }
}

/// Marks the answer of a mutation that was executed, which must not be sent again.
#[derive(Clone, Copy)]
pub struct OfMutation;

/// A buffer for an answer that refuses to grow beyond the limit.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > limits::ANSWER {
            return Err(io::Error::other("the answer is too large"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Completes the errors, and truncates them to as many as an answer may have.
fn finish_errors(errors: &mut Vec<ServerError>) {
    let id = correlation::current().unwrap_or_else(|| new_name().to_string());
    log_causes(errors, &id);
    errors.iter_mut().for_each(|error| finish_error(error, &id));
    let others = errors.len().saturating_sub(limits::ANSWER_ERRORS);
    if others > 0 {
        // Errors that are cut off don't count for the status either, so the most severe ones come first.
        errors.sort_by_key(|error| std::cmp::Reverse(graveness(error).0));
        errors.truncate(limits::ANSWER_ERRORS);
        let mut more = ServerError::new(format!("there are {others} more errors"), None);
        more.extensions.get_or_insert_with(ErrorExtensionValues::default).set("code", "BAD_REQUEST");
        errors.push(more);
    }
    for error in errors {
        if let Some((end, _)) = error.message.char_indices().nth(limits::ERROR_MESSAGE) {
            error.message.truncate(end);
            error.message.push('…');
        }
    }
}

/// Logs the causes of errors, which aren't for clients: one line for each kind, however many fields fail because of it.
fn log_causes(errors: &[ServerError], id: &str) {
    let mut unavailable = Vec::new();
    let mut internal: BTreeMap<&str, Vec<&ServerError>> = BTreeMap::new();
    for error in errors {
        match (code(error), error.source::<rollcall_domain::Error>()) {
            (Some("UNAVAILABLE"), Some(cause)) => unavailable.push(cause),
            (None, _) if error.source.is_some() => internal.entry(&error.message).or_default().push(error),
            _ => {}
        }
    }
    if let Some(cause) = unavailable.first() {
        log::unavailable(cause, unavailable.len());
    }
    for (message, errors) in internal {
        let Some(error) = errors.first() else { continue };
        let causes = error.source::<rollcall_domain::Error>().map(|error| error as &dyn std::error::Error);
        let fields = errors.len();
        tracing::error!(error_id = id, path = ?error.path, fields, error = message, causes, "internal error");
    }
}

/// Completes an error that has no code. Either it comes from the executor, which refused a document, a variable or an
/// argument; or it has a cause that isn't for clients, for example in the database, which the log shows under the
/// request's id.
fn finish_error(error: &mut ServerError, id: &str) {
    if code(error).is_some() {
        return;
    }
    let extensions = error.extensions.get_or_insert_default();
    if error.source.is_none() {
        extensions.set("code", "BAD_REQUEST");
        return;
    }
    error.message = format!("something went wrong here; quote {id}");
    extensions.set("code", "INTERNAL");
    extensions.set("id", id);
}

/// The properties of an operation that matter for its answer.
#[derive(Clone, Copy)]
struct Operation {
    /// Its type, as the metrics name it.
    kind: &'static str,
    /// Whether it is a single step, so that nothing was changed if it fails.
    is_one_step: bool,
}

impl Operation {
    const INVALID: Self = Self { kind: "invalid", is_one_step: true };

    fn of(request: &mut Request) -> Self {
        let name = request.operation_name.clone();
        // A document that can't be parsed is left to the executor, which reports the error.
        let Ok(document) = request.parsed_query() else { return Self::INVALID };
        let mut selected = document
            .operations
            .iter()
            .filter(|(candidate, _)| name.is_none() || candidate.map(|name| name.as_str()) == name.as_deref());
        let Some((_, operation)) = selected.next() else { return Self::INVALID };
        match operation.node.ty {
            OperationType::Query => Self { kind: "query", is_one_step: true },
            OperationType::Subscription => Self { kind: "subscription", is_one_step: true },
            OperationType::Mutation => {
                let roots = &operation.node.selection_set.node.items;
                let is_one_step = matches!(roots.as_slice(), [root] if matches!(root.node, Selection::Field(_)));
                Self { kind: "mutation", is_one_step }
            }
        }
    }

    fn is_valid(self) -> bool {
        self.kind != Self::INVALID.kind
    }

    fn is_subscription(self) -> bool {
        self.kind == "subscription"
    }

    /// Whether the operation can be sent again after this error, because it changed nothing.
    fn can_be_repeated(self, error: &ServerError) -> bool {
        code(error) == Some("UNAVAILABLE") && self.is_one_step && (self.kind != "mutation" || error.path.len() <= 1)
    }
}

fn code(error: &ServerError) -> Option<&str> {
    match error.extensions.as_ref()?.get("code")? {
        Value::String(code) => Some(code),
        Value::Enum(code) => Some(code),
        _ => None,
    }
}

fn retry_after(error: &ServerError) -> Option<u64> {
    match error.extensions.as_ref()?.get("retryAfter")? {
        Value::Number(seconds) => seconds.as_f64().map(|seconds| seconds.ceil() as u64),
        _ => None,
    }
}

/// The status of an answer without data: that of its most severe error.
fn status_of(errors: &[ServerError]) -> StatusCode {
    errors.iter().map(graveness).max().map_or(StatusCode::OK, |(_, status)| status)
}

fn graveness(error: &ServerError) -> (u8, StatusCode) {
    match code(error) {
        Some("UNAVAILABLE") => (4, StatusCode::SERVICE_UNAVAILABLE),
        Some("INTERNAL") => (3, StatusCode::INTERNAL_SERVER_ERROR),
        Some("UNAUTHENTICATED") => (2, StatusCode::UNAUTHORIZED),
        Some("RATE_LIMITED") => (1, StatusCode::TOO_MANY_REQUESTS),
        _ => (0, StatusCode::BAD_REQUEST),
    }
}

fn complete_headers(response: &mut Response, media_type: MediaType) {
    let unauthorized = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, media_type.header());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Answers depend on the credentials.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if unauthorized {
        headers.entry(WWW_AUTHENTICATE).or_insert(HeaderValue::from_static("Bearer"));
    }
}

/// The reason why a request isn't executed.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    allow: Option<&'static str>,
    retry_after: Option<Duration>,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, code: "BAD_REQUEST", message: message.into(), allow: None, retry_after: None }
    }

    fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Clients recognize this message, and some of them also the status. They then send the whole document.
    fn persisted_query_not_found() -> Self {
        Self { code: "PERSISTED_QUERY_NOT_FOUND", ..Self::new(StatusCode::OK, "PersistedQueryNotFound") }
    }

    fn method_not_allowed(message: &str, allow: &'static str) -> Self {
        Self { allow: Some(allow), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, message) }
    }

    /// The same as an error of an answer.
    fn into_error(self) -> ServerError {
        let mut error = ServerError::new(self.message, None);
        let extensions = error.extensions.get_or_insert_default();
        extensions.set("code", self.code);
        if let Some(wait) = self.retry_after {
            extensions.set("retryAfter", whole_seconds(wait));
        }
        error
    }

    fn into_response(self, media_type: MediaType) -> Response {
        let mut extensions = serde_json::json!({ "code": self.code });
        if let (Some(wait), Some(extensions)) = (self.retry_after, extensions.as_object_mut()) {
            extensions.insert("retryAfter".to_owned(), whole_seconds(wait).into());
        }
        let error = serde_json::json!({ "message": self.message, "extensions": extensions });
        let body = serde_json::json!({ "errors": [error] }).to_string();
        let mut response = (self.status, body).into_response();
        if let Some(methods) = self.allow {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
        }
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, whole_seconds(wait).into());
        }
        complete_headers(&mut response, media_type);
        response
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{Context, EmptySubscription, ErrorExtensions, Object, Schema};
    use axum::body::Body;

    use super::*;

    struct Query;

    #[Object]
    impl Query {
        async fn hello(&self, context: &Context<'_>) -> &'static str {
            context.insert_http_header("x-resolver", "seen");
            "world"
        }

        async fn doubled(&self, number: i32) -> i32 {
            number * 2
        }

        async fn failing(&self, code: String) -> async_graphql::Result<i32> {
            Err(async_graphql::Error::new("No.").extend_with(|_, extensions| {
                extensions.set("code", code);
                extensions.set("retryAfter", 7);
            }))
        }

        async fn broken(&self) -> async_graphql::Result<i32> {
            Err(std::io::Error::other("password of the database"))?
        }

        async fn nullable(&self) -> async_graphql::Result<Option<i32>> {
            Err(async_graphql::Error::new("No."))
        }
    }

    struct Mutation;

    #[Object]
    impl Mutation {
        async fn change(&self) -> bool {
            true
        }
    }

    const NEW: &str = "application/graphql-response+json";

    struct TestAnswer {
        status: u16,
        headers: HeaderMap,
        body: String,
        json: serde_json::Value,
    }

    impl TestAnswer {
        fn code(&self) -> &str {
            self.json["errors"][0]["extensions"]["code"].as_str().unwrap_or_default()
        }
    }

    async fn send(request: axum::http::request::Builder, body: impl Into<Body>) -> TestAnswer {
        let schema = Schema::new(Query, Mutation, EmptySubscription);
        let request_limits = RequestLimits::new(&schema.sdl()).unwrap();
        let client = ClientNetwork::of(std::net::Ipv4Addr::LOCALHOST.into());
        let request = request.body(body.into()).unwrap();
        let prepare = |request| (request, Arc::default());
        let subscribe = |_| StatusCode::IM_A_TEAPOT.into_response();
        let response = execute(&schema, &request_limits, client, request, prepare, subscribe).await;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body = String::from_utf8(bytes.to_vec()).unwrap();
        let json = serde_json::from_str(&body).unwrap();
        TestAnswer { status, headers, body, json }
    }

    fn post() -> axum::http::request::Builder {
        axum::http::Request::post("/graphql").header(CONTENT_TYPE, "application/json")
    }

    async fn ask(accept: &str, query: &str) -> TestAnswer {
        send(post().header(ACCEPT, accept), serde_json::json!({ "query": query }).to_string()).await
    }

    async fn get(query: &str) -> TestAnswer {
        send(axum::http::Request::get(format!("/graphql?{query}")), Body::empty()).await
    }

    #[test]
    fn the_accept_header_chooses_the_media_type() {
        use MediaType::{GraphqlResponse, Json};
        for (accept, expected) in [
            ("", Some(Json)),
            ("*/*", Some(Json)),
            ("application/*", Some(Json)),
            ("application/json", Some(Json)),
            ("APPLICATION/JSON; charset=utf-8", Some(Json)),
            ("application/graphql-response+json", Some(GraphqlResponse)),
            ("application/graphql-response+json, application/json;q=0.9", Some(GraphqlResponse)),
            ("application/json;q=0.9, application/graphql-response+json", Some(GraphqlResponse)),
            ("application/json, application/graphql-response+json", Some(GraphqlResponse)),
            ("application/json, application/graphql-response+json; q=0.5", Some(Json)),
            ("application/graphql-response+json;q=0.5, */*", Some(Json)),
            ("application/json;q=0, */*", Some(GraphqlResponse)),
            ("application/json;q=0", None),
            ("application/json;q=nonsense", None),
            ("text/html, application/xhtml+xml, */*;q=0.8", Some(Json)),
            ("text/html", None),
            ("multipart/mixed, application/json", Some(Json)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            assert_eq!(MediaType::negotiate(&headers), expected, "{accept}");
        }
        assert_eq!(MediaType::negotiate(&HeaderMap::new()), Some(Json));
        let mut two_headers = HeaderMap::new();
        two_headers.append(ACCEPT, HeaderValue::from_static("text/html"));
        two_headers.append(ACCEPT, HeaderValue::from_static(NEW));
        assert_eq!(MediaType::negotiate(&two_headers), Some(GraphqlResponse));
    }

    #[tokio::test]
    async fn data_is_answered_with_200_and_the_headers_of_resolvers() {
        for accept in [NEW, "application/json"] {
            let got = ask(accept, "{ hello }").await;
            assert_eq!((got.status, got.body.as_str()), (200, r#"{"data":{"hello":"world"}}"#));
            assert_eq!(got.headers["x-resolver"], "seen");
            assert_eq!(got.headers[CACHE_CONTROL], "no-store");
            assert!(got.headers[CONTENT_TYPE].to_str().unwrap().starts_with(accept));
        }
    }

    #[tokio::test]
    async fn what_is_not_executed_has_no_data_and_a_code() {
        for query in ["{", "", "{ unknown }", "query A { hello } query B { hello }", "subscription { hello }"] {
            let got = ask(NEW, query).await;
            assert_eq!((got.status, got.code()), (400, "BAD_REQUEST"), "{query}");
            assert!(got.json.get("data").is_none(), "{query}");
            let legacy = ask("application/json", query).await;
            assert_eq!((legacy.status, legacy.code()), (200, "BAD_REQUEST"), "{query}");
        }
        let variables =
            serde_json::json!({ "query": "query ($n: Int!) { doubled(number: $n) }", "variables": { "n": "x" } });
        assert_eq!(send(post().header(ACCEPT, NEW), variables.to_string()).await.code(), "BAD_REQUEST");
    }

    #[tokio::test]
    async fn the_status_tells_why_there_is_no_data() {
        for (code, status) in
            [("BAD_REQUEST", 400), ("UNAUTHENTICATED", 401), ("RATE_LIMITED", 429), ("INTERNAL", 500), ("OTHER", 400)]
        {
            let query = format!("{{ failing(code: {code:?}) }}");
            let got = ask(NEW, &query).await;
            assert_eq!((got.status, got.code()), (status, code));
            assert_eq!(got.json["data"], serde_json::Value::Null);
            assert!(got.json.get("data").is_some(), "it was executed");
            assert_eq!(got.headers.get(RETRY_AFTER).is_some_and(|value| value == "7"), status == 429);
            assert_eq!(got.headers.contains_key(WWW_AUTHENTICATE), status == 401);
            assert_eq!(ask("application/json", &query).await.status, 200);
        }
        let gravest = ask(NEW, r#"{ a: failing(code: "RATE_LIMITED") b: failing(code: "INTERNAL") }"#).await;
        assert!([429, 500].contains(&gravest.status));
        let partial = ask(NEW, "{ hello nullable }").await;
        assert_eq!((partial.status, &partial.json["data"]["hello"]), (200, &"world".into()));
    }

    #[tokio::test]
    async fn errors_that_nobody_meant_for_clients_are_not_shown() {
        let got = ask(NEW, "{ broken }").await;
        assert_eq!((got.status, got.code()), (500, "INTERNAL"));
        assert!(!got.body.contains("password"), "{}", got.body);
        assert!(got.json["errors"][0]["extensions"]["id"].is_string());
    }

    #[tokio::test]
    async fn get_is_for_queries_only() {
        let got = get("query=%7Bhello%7D&variables=&operationName=").await;
        assert_eq!((got.status, got.body.as_str()), (200, r#"{"data":{"hello":"world"}}"#));
        for query in [
            "query=mutation%7Bchange%7D",
            "query=mutation%20M%7Bchange%7D&operationName=M",
            "query=query%20Q%7Bhello%7D%20mutation%20M%7Bchange%7D&operationName=M",
        ] {
            let got = get(query).await;
            assert_eq!((got.status, got.code()), (405, "BAD_REQUEST"), "{query}");
            assert_eq!(got.headers[ALLOW], "POST");
        }
        let other = get("query=query%20Q%7Bhello%7D%20mutation%20M%7Bchange%7D&operationName=Q").await;
        assert_eq!(other.json["data"]["hello"], "world");
        // The executor doesn't find an operation with that name, so nothing is changed.
        assert_eq!(get("query=mutation%7Bchange%7D&operationName=M").await.code(), "BAD_REQUEST");
        for query in
            ["", "variables=%7B%7D", "query=%7Bhello%7D&variables=%5B%5D", "query=%7Bhello%7D&query=%7Bhello%7D"]
        {
            assert_eq!(get(query).await.status, 400, "{query}");
        }
    }

    #[tokio::test]
    async fn other_methods_are_refused() {
        let got = send(axum::http::Request::put("/graphql"), Body::empty()).await;
        assert_eq!((got.status, got.code()), (405, "BAD_REQUEST"));
        assert_eq!(got.headers[ALLOW], "GET, POST");
    }

    #[tokio::test]
    async fn only_json_is_read() {
        let body = r#"{"query":"{ hello }"}"#;
        for (content_type, status) in [
            ("application/json", 200),
            ("Application/JSON; charset=\"UTF-8\"", 200),
            ("application/json; charset=utf-16", 415),
            ("text/plain", 415),
            ("application/x-www-form-urlencoded", 415),
            ("multipart/form-data; boundary=x", 415),
            ("application/jsonx", 415),
        ] {
            let request = axum::http::Request::post("/graphql").header(CONTENT_TYPE, content_type);
            assert_eq!(send(request, body).await.status, status, "{content_type}");
        }
        assert_eq!(send(axum::http::Request::post("/graphql"), body).await.status, 415);
    }

    #[tokio::test]
    async fn malformed_bodies_are_refused() {
        for body in [
            "",
            "{",
            "null",
            "0",
            "[]",
            r#" [{"query":"{ hello }"}]"#,
            r#"["{ hello }"]"#,
            r#"{"query":"{ hello }","query":"{ hello }"}"#,
            r#"{"query":null}"#,
            r#"{"query":"{ hello }","variables":[]}"#,
            r#"{"query":"{ hello }","operationName":1}"#,
            r#"{"query":"{ hello }","extensions":"x"}"#,
            "{\"query\":\"\u{0}\"}",
        ] {
            let got = send(post(), body).await;
            assert_eq!((got.status, got.code()), (400, "BAD_REQUEST"), "{body}");
        }
        assert_eq!(send(post(), vec![b'{', 0xff, b'}']).await.status, 400);
        let nested = format!(r#"{{"query":"{{ hello }}","variables":{{"a":{}}}}}"#, "[".repeat(100_000));
        assert_eq!(send(post(), nested).await.status, 400);
    }

    #[tokio::test]
    async fn deep_documents_do_not_exhaust_the_stack() {
        for depth in [65, 400, 1000, 100_000] {
            for query in [
                format!("{{ doubled(number: {}{}) }}", "[".repeat(depth), "]".repeat(depth)),
                format!("{{ doubled(number: {}1{}) }}", "{a:".repeat(depth), "}".repeat(depth)),
                format!("{}{}", "{a".repeat(depth), "}".repeat(depth)),
            ] {
                let got = ask(NEW, &query).await;
                assert_eq!((got.status, got.code()), (400, "BAD_REQUEST"), "{depth}");
            }
        }
    }

    #[test]
    fn nesting_is_counted_outside_of_strings_and_comments() {
        for (document, expected) in [
            ("", Some(0)),
            ("{ a(b: [1]) { c } }", Some(3)),
            ("{ a } { a }", Some(1)),
            (r#"{ a(b: "[[[[") }"#, Some(2)),
            (r#"{ a(b: "\"[[[[") }"#, Some(2)),
            (r#"{ a(b: "\\", c: [1]) }"#, Some(3)),
            (r#"{ a(b: """[[ " \""" [[""", c: [""]) }"#, Some(3)),
            ("# [[[[[\n{ a }", Some(1)),
            ("# [[[[[\r{ a(b: 1) }", Some(2)),
            (r#"{ a(b: ["""" [[["#, None),
            (r#"{ a(b: "[[["#, None),
            (r#"{ a(b: "\"#, None),
            ("}}}]])){", Some(1)),
        ] {
            assert_eq!(DocumentText::of(document).map(|written| written.nesting), expected, "{document}");
        }
    }

    #[tokio::test]
    async fn nothing_acceptable_is_406() {
        let got = ask("text/html", "{ hello }").await;
        assert_eq!((got.status, got.code()), (406, "BAD_REQUEST"));
    }

    #[tokio::test]
    async fn refusals_of_the_caller_have_the_same_shape() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(NEW));
        let media_type = MediaType::of(&headers);
        let response = refuse(media_type, StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", "Sign in again.", None);
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
        assert!(response.headers()[CONTENT_TYPE].to_str().unwrap().starts_with(NEW));
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert_eq!(body, r#"{"errors":[{"extensions":{"code":"UNAUTHENTICATED"},"message":"Sign in again."}]}"#);
    }
}
