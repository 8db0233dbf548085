//! Many listings in one request, one a line. Each is answered when it is done, gives way to single checks, and fails by itself.

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

/// What lines of a batch, in and out, are called.
const NDJSON: &str = "application/x-ndjson";

/// Characters of a batch's key at most: the keys of its lines are longer.
const MAX_KEY: usize = 240;

/// One line of the answer: a listing's, or the last one, which counts.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the lines for OpenAPI; line.rs writes them")]
struct BatchAnswer {
    /// Number of the line in the request, from 1; absent on the last.
    line: Option<u64>,
    /// The line's `id`, where it has one.
    id: Option<String>,
    /// The status that a request for this listing alone would have had.
    status: Option<u16>,
    /// Whether an earlier request with the same key got this answer.
    replayed: Option<bool>,
    /// The answer, where there is one.
    check: Option<CheckAnswer>,
    /// Why there is none; on the last line, why not all lines were read.
    problem: Option<Problem>,
    /// Only on the last line.
    end: Option<BatchEnd>,
}

/// What became of a batch. Without this line the answer is not whole: send the batch again with the same key.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the last line for OpenAPI; run.rs writes it")]
struct BatchEnd {
    /// Lines that were read, blank ones left out.
    lines: u64,
    /// Lines with an answer.
    answered: u64,
    /// Lines with a problem.
    failed: u64,
}

/// Check many listings at once, at lower priority than single checks.
///
/// One JSON object a line in, one a line out as each is done, in any order; the last line counts them. Lines wait while the service has
/// single checks to answer. A line that is wrong fails alone. With an `Idempotency-Key`, the line numbered n has the key `KEY#n` unless
/// it has one of its own: a batch that was cut off is sent again, and what was answered before is not done again.
#[utoipa::path(
    post, path = "/v1/checks:batch", tag = "checks",
    params(("Idempotency-Key" = String, Header, nullable = false, min_length = 1, max_length = 240, description = "1 to 240 visible characters")),
    request_body(content = BatchLine, content_type = "application/x-ndjson", description = "One object a line, at most `server.max_batch_lines` lines"),
    responses(
        (status = 200, body = BatchAnswer, content_type = "application/x-ndjson", description = "One object a line"),
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
            format!("Idempotency-Key is longer than {MAX_KEY} characters, the most for a batch"),
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
        // Proxies would hold answers back until there are many.
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
        format!("the body's Content-Type is {given:?}, expected {NDJSON}: one JSON object a line"),
    ))
}
