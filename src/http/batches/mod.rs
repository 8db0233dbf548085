//! Many listings in one request, one per line. Each line is answered when it is done, gives way to single checks, and
//! fails alone.

mod line;
mod lines;
mod run;

use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::access::Called;
use super::checks::idempotency_key;
use super::drain::HandlerReads;
use super::{App, Problem};
use crate::screening::CheckAnswer;

use line::BatchLine;

/// Media type of a batch's request and answer.
const NDJSON: &str = "application/x-ndjson";

/// Most characters of a batch's key; the keys of its lines are longer.
const MAX_KEY: usize = 240;

/// One line of the answer: the answer for a listing, or the last line, which has the counts.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the lines for OpenAPI; line.rs writes them")]
struct BatchAnswer {
    /// Number of the request line, from 1; absent on the last.
    line: Option<u64>,
    /// The request line's `id`; absent where it has none.
    id: Option<String>,
    /// The HTTP status that a request for this listing alone would get.
    status: Option<u16>,
    /// Whether this is the stored answer to an earlier request with the same key.
    replayed: Option<bool>,
    /// The answer, if the listing was checked.
    check: Option<CheckAnswer>,
    /// Why the listing was not checked; on the last line, why the service stopped reading lines.
    problem: Option<Problem>,
    /// The counts; only on the last line.
    end: Option<BatchEnd>,
}

/// The counts of a batch. An answer without this line is incomplete: send the batch again with the same key.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the last line for OpenAPI; run.rs writes it")]
struct BatchEnd {
    /// Lines read, without blank ones.
    lines: u64,
    /// Lines answered with a check.
    answered: u64,
    /// Lines answered with a problem.
    failed: u64,
}

/// Check many listings at once, at lower priority than single checks.
///
/// Send one JSON object per line. The answer has one line for each, in the order in which they are done, and a last
/// line with the counts. Lines wait while the service has single checks to answer. An invalid line fails alone. With an
/// `Idempotency-Key`, line n has the key `KEY#n` unless it names its own: send an interrupted batch again, and lines
/// answered before are not checked again.
#[utoipa::path(
    post, path = "/v1/checks:batch", operation_id = "create_batch", tag = "checks",
    params(("Idempotency-Key" = String, Header, nullable = false, min_length = 1, max_length = 240, description = "1 to 240 visible characters")),
    request_body(content = BatchLine, content_type = "application/x-ndjson", description = "One object per line, at most `server.max_batch_lines` lines"),
    responses(
        (status = 200, body = BatchAnswer, content_type = "application/x-ndjson", description = "One object per line"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Called,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    if key.as_ref().is_some_and(|key| key.len() > MAX_KEY) {
        return Err(Problem::invalid(
            "idempotency-key-invalid",
            format!("Idempotency-Key is longer than {MAX_KEY} characters; send a shorter key with a batch"),
        ));
    }
    expect_lines(&headers)?;
    let batch = app.admit_batch()?;
    if let Some(reason) = app.not_ready() {
        return Err(super::system::not_ready(reason));
    }
    let (answers, written) = mpsc::unbounded_channel();
    let batch = run::Batch { app, caller, key, answers, _place: batch };
    tokio::spawn(batch.run(request.into_body()));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(NDJSON)),
        // Proxies would collect answers before sending any.
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    let body = stream::unfold(written, |mut written: mpsc::UnboundedReceiver<Bytes>| async move {
        written.recv().await.map(|line| (Ok::<_, std::convert::Infallible>(line), written))
    });
    let mut response = (headers, Body::from_stream(body)).into_response();
    response.extensions_mut().insert(HandlerReads);
    Ok(response)
}

fn expect_lines(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = given.split(';').next().unwrap_or_default().trim();
    if [NDJSON, "application/ndjson", "application/jsonl"].iter().any(|known| kind.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "ndjson-expected",
        format!("the body's Content-Type is {given:?}, expected {NDJSON}: one JSON object per line"),
    ))
}
