use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Called;
use super::form::{Json, Path};
use super::{App, Problem};
use crate::domain::{BrandId, Policy, StoredPolicy};

/// A brand's policy and its version.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PolicyBody {
    /// The brand's id.
    brand: BrandId,
    /// Grows by one with each change; 0 when the brand has no policy of its own. Also the `ETag`.
    version: u64,
    /// The model that the policy's thresholds were set for; under another model its `lookalike` does not apply.
    model: String,
    /// The policy.
    policy: Policy,
    /// The thresholds in force: the brand's own, else the model's.
    effective: EffectiveThresholds,
}

/// Thresholds in force: probabilities, except `lookalike` (a cosine similarity) and `conflict_margin` (evidence:
/// log-odds before calibration).
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EffectiveThresholds {
    fake_match: f32,
    fake_likely: f32,
    authentic_reuse: f32,
    lookalike: f32,
    conflict_margin: f32,
}

/// A brand's policy; the defaults when it has none of its own.
#[utoipa::path(
    get, path = "/v1/brands/{brand}/policy", operation_id = "get_policy", tag = "policies",
    params(("brand" = BrandId, Path)),
    responses(
        (status = 200, body = PolicyBody),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(State(app): State<Arc<App>>, Path(brand): Path<String>) -> Result<Response, Problem> {
    let brand: BrandId = brand.parse()?;
    app.work_beside(move |app| {
        let stored = app.screener().gallery.policy(&brand)?;
        Ok(body(app, brand, stored))
    })
    .await
}

/// Replace the brand's policy. The next check follows it.
///
/// Send `If-Match` with the version's `ETag`, so that two people do not overwrite each other's changes.
#[utoipa::path(
    put, path = "/v1/brands/{brand}/policy", operation_id = "put_policy", tag = "policies",
    params(("brand" = BrandId, Path), ("If-Match" = String, Header, nullable = false, pattern = r#"^(\*|"[0-9]{1,18}")$"#, description = "ETag of the version to replace")),
    request_body = Policy,
    responses(
        (status = 200, body = PolicyBody),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 412, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(
    State(app): State<Arc<App>>,
    Extension(caller): Called,
    Path(brand): Path<String>,
    headers: HeaderMap,
    Json(policy): Json<Policy>,
) -> Result<Response, Problem> {
    let brand: BrandId = brand.parse()?;
    let expected = expected_version(&headers)?;
    app.work(move |app| {
        policy.validate(&app.screener().embedder.manifest().thresholds)?;
        let screener = app.screener();
        let stored = screener.gallery.set_policy(caller.id(), &brand, &policy, screener.library.model(), expected)?;
        let stored = stored.ok_or_else(|| {
            Problem::new(
                StatusCode::PRECONDITION_FAILED,
                "policy-version-differs",
                "the policy has changed since you read it; read it again and repeat the change",
            )
        })?;
        app.screener().library.refresh()?;
        Ok(body(app, brand, stored))
    })
    .await
}

fn body(app: &App, brand: BrandId, stored: StoredPolicy) -> Response {
    let in_force = stored.clone().under(app.screener().library.model());
    let thresholds = in_force.policy.thresholds(&app.screener().embedder.manifest().thresholds);
    let etag = format!("\"{}\"", stored.version);
    let body = PolicyBody {
        brand,
        version: stored.version,
        model: stored.model,
        policy: stored.policy,
        effective: EffectiveThresholds {
            fake_match: thresholds.fake_match,
            fake_likely: thresholds.fake_likely,
            authentic_reuse: thresholds.authentic_reuse,
            lookalike: thresholds.lookalike,
            conflict_margin: thresholds.conflict_margin,
        },
    };
    ([(header::ETAG, etag)], Json(body)).into_response()
}

fn expected_version(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let version = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).and_then(|text| text.parse().ok());
    version.map(Some).ok_or_else(|| {
        Problem::invalid(
            "if-match-invalid",
            format!("If-Match is {text:?}, expected the ETag of a policy such as \"3\""),
        )
    })
}
