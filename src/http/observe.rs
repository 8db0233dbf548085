use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use super::{App, Problem};
use crate::telemetry;

/// Applies the request timeout, and counts, times and logs each request. The log names the route, never ids or bodies.
pub(super) async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().as_str().to_owned();
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let id = request.headers().get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    let limit = Duration::from_secs(app.server.timeout_s.max(1));
    let span = tracing::info_span!("request", id, method, route);
    let mut response = match tokio::time::timeout(limit, next.run(request).instrument(span)).await {
        Ok(response) => response,
        Err(_) => Problem::timed_out().into_response(),
    };
    let took = started.elapsed();
    // For the browser's own tools, and for measurements that exclude the network.
    if let Ok(timing) = HeaderValue::from_str(&format!("app;dur={:.2}", took.as_secs_f64() * 1000.0)) {
        response.headers_mut().insert("server-timing", timing);
    }
    let status = response.status().as_u16();
    telemetry::requested(&route, &method, status, took);
    tracing::debug!(method, route, status, ?took, request = id, "answered");
    if response.status().is_server_error() {
        tracing::warn!(method, route, status, request = id, "a request failed");
    }
    response
}
