//! The metrics of the API: HTTP requests, GraphQL operations, and their outcomes.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

/// Describes the metrics.
pub fn describe() {
    describe_counter!("rollcall_http_requests_total", "Answered HTTP requests, by method, route and status.");
    describe_gauge!("rollcall_http_requests_in_flight", "HTTP requests that are being answered.");
    describe_histogram!(
        "rollcall_http_request_duration_seconds",
        Unit::Seconds,
        "From a request's headers to its answer's, by method and route."
    );
    describe_counter!(
        "rollcall_graphql_operations_total",
        "GraphQL operations, by type and outcome: ok, user_error (a mutation was refused) or error (a top-level one)."
    );
    describe_histogram!(
        "rollcall_graphql_operation_duration_seconds",
        Unit::Seconds,
        "How long operations took, by type."
    );
    describe_counter!("rollcall_graphql_user_errors_total", "User errors that mutations were refused with, by code.");
    describe_counter!(
        "rollcall_graphql_errors_total",
        "Top-level errors, by code; INTERNAL is a fault of the service."
    );
    // Prometheus doesn't see an increase if a counter didn't exist before. Therefore, counters that alerts watch start
    // at 0.
    counter!("rollcall_graphql_errors_total", "code" => "INTERNAL").increment(0);
}

/// A request that is in progress. Dropping this also covers requests that are aborted.
struct InFlight;

impl InFlight {
    fn begin() -> Self {
        gauge!("rollcall_http_requests_in_flight").increment(1.0);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        gauge!("rollcall_http_requests_in_flight").decrement(1.0);
    }
}

/// Counts a request by its route. The label is one of our routes, whatever the path was.
pub async fn count(request: Request, next: Next) -> Response {
    let _in_flight = InFlight::begin();
    let started = Instant::now();
    let method = method(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let response = next.run(request).await;
    let status = response.status().as_str().to_owned();
    counter!("rollcall_http_requests_total", "method" => method, "route" => route.clone(), "status" => status)
        .increment(1);
    histogram!("rollcall_http_request_duration_seconds", "method" => method, "route" => route)
        .record(started.elapsed());
    response
}

/// The label for a method. Clients can send any method, but the number of labels must stay small.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Counts a subscription that has ended, and the codes of the errors with which it has, if any. How long it lasted says
/// nothing about the service.
pub fn count_subscription<'e>(errors: impl Iterator<Item = &'e str>) {
    count_outcome("subscription", "ok", errors);
}

/// Counts an operation: whether it was `refused` with user errors, and the codes of its top-level errors.
pub fn count_operation<'e>(
    operation: &'static str,
    refused: bool,
    errors: impl Iterator<Item = &'e str>,
    duration: Duration,
) {
    count_outcome(operation, if refused { "user_error" } else { "ok" }, errors);
    histogram!("rollcall_graphql_operation_duration_seconds", "type" => operation).record(duration);
}

/// Counts an operation, whose outcome is `outcome` if it has no top-level errors.
fn count_outcome<'e>(operation: &'static str, mut outcome: &'static str, errors: impl Iterator<Item = &'e str>) {
    for code in errors {
        outcome = "error";
        counter!("rollcall_graphql_errors_total", "code" => code.to_owned()).increment(1);
    }
    counter!("rollcall_graphql_operations_total", "type" => operation, "outcome" => outcome).increment(1);
}
