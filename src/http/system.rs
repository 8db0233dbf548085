use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::form::Json;
use super::{App, Problem};
use crate::domain::BrandId;
use crate::embed::ScoreThresholds;
use crate::telemetry;

/// State of the index.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IndexBody {
    /// Name and checksum of the model whose embeddings the index has.
    model: String,
    /// Number of the generation that serves.
    generation: u64,
    /// References served.
    references: usize,
    /// Distinct embeddings in the generation.
    vectors: usize,
    /// References added since the generation was built.
    added: usize,
    /// References of the generation that are no longer served.
    removed: usize,
    /// Signals of other members of alliances that take part in checks.
    signals: usize,
    /// `hnsw` or `exact`: how the service answers a search without filters.
    search: &'static str,
    /// Brands with active references.
    brands: Vec<BrandCount>,
    /// The model's default thresholds.
    #[schema(value_type = Object)]
    thresholds: ScoreThresholds,
}

/// Number of a brand's active references.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BrandCount {
    brand: BrandId,
    authentic: usize,
    fake: usize,
}

/// State and size of the index.
#[utoipa::path(get, path = "/v1/index", operation_id = "get_index", tag = "system", responses((status = 200, body = IndexBody)))]
pub(super) async fn index(State(app): State<Arc<App>>) -> Result<Json<IndexBody>, Problem> {
    app.work_beside(|app| {
        let library = &app.screener().library;
        let stats = library.stats();
        let brands =
            library.brands().into_iter().map(|(brand, [authentic, fake])| BrandCount { brand, authentic, fake });
        Ok(Json(IndexBody {
            model: library.model().to_owned(),
            generation: stats.generation,
            references: stats.keys,
            vectors: stats.vectors,
            added: stats.added,
            removed: stats.removed,
            signals: library.signal_count(),
            search: if stats.graph { "hnsw" } else { "exact" },
            brands: brands.collect(),
            thresholds: app.screener().embedder.manifest().thresholds,
        }))
    })
    .await
}

/// Liveness: the process runs.
#[utoipa::path(get, path = "/healthz", tag = "system", responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Readiness: checks can be trusted.
#[utoipa::path(
    get, path = "/readyz", tag = "system",
    responses(
        (status = 200, body = String, content_type = "text/plain"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Result<&'static str, Problem> {
    app.work_beside(|app| app.not_ready().map_or(Ok("ready\n"), |reason| Err(not_ready(reason)))).await
}

pub(super) fn not_ready(reason: String) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", reason)
}

/// Metrics in the Prometheus text format.
#[utoipa::path(get, path = "/metrics", tag = "system", responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let told = app.work_beside(|app| {
        telemetry::state(app.not_ready().is_none(), app.screener().library.model());
        // The other metrics matter most while the database cannot be read.
        if let Ok(counts) = app.screener().gallery.delivery_counts() {
            telemetry::deliveries(counts);
        }
        Ok(())
    });
    if let Err(problem) = told.await {
        return problem.into_response();
    }
    let text = app.metrics.as_ref().map(metrics_exporter_prometheus::PrometheusHandle::render).unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}
