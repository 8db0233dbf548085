//! The progress of the searches of earlier checks for a brand's newer references.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::form::{Json, Path, Query, page};
use super::{App, Problem};
use crate::domain::BrandId;
use crate::gallery::Lookback;

/// Which lookbacks to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LookbackQuery {
    /// Most lookbacks to return, 1 to 1000; 100 if absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Lookbacks, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LookbackList {
    /// The lookbacks.
    lookbacks: Vec<Lookback>,
}

/// List the searches of earlier checks for a brand's fake references.
///
/// When a fake reference is added, enabled or released from quarantine, touchstone searches the photos of earlier checks for it
/// and opens a case for each listing that it finds. References that are no longer active are not listed.
#[utoipa::path(
    get, path = "/v1/brands/{brand}/lookbacks", operation_id = "list_lookbacks", tag = "references",
    params(("brand" = BrandId, Path), LookbackQuery),
    responses(
        (status = 200, body = LookbackList),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path(brand): Path<String>,
    Query(query): Query<LookbackQuery>,
) -> Result<Json<LookbackList>, Problem> {
    let brand: BrandId = brand.parse()?;
    let (_, limit) = page(None, query.limit)?;
    app.work_beside(move |app| {
        let lookbacks = app.screener().gallery.lookbacks(Some(brand.as_str()), limit)?;
        Ok(Json(LookbackList { lookbacks }))
    })
    .await
}
