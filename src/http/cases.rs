//! Cases for the marketplace: reading a decision, and submitting an appeal.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::access::Called;
use super::form::{Json, Path, too_long};
use super::{App, Problem};
use crate::domain::check_text;
use crate::gallery::Case;
use crate::moderation::DeskError;

/// Actor in the audit log for appeals that the marketplace submits.
const PLATFORM: &str = "platform";
pub(super) const MAX_APPEAL: usize = 4000;

/// A seller's appeal.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AppealBody {
    /// The seller's statement, at most 4000 characters.
    #[schema(min_length = 1, max_length = 4000, pattern = "\\S")]
    text: String,
}

/// The case of a check that was not allowed: its status, and the moderators' decision.
#[utoipa::path(
    get, path = "/v1/checks/{id}/case", operation_id = "get_case", tag = "checks",
    params(("id" = String, Path, description = "The check's id")),
    responses(
        (status = 200, body = Case),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json<Case>, Problem> {
    app.work_beside(move |app| {
        let case = app.screener().gallery.case(&id)?;
        case.map(Json).ok_or_else(|| Problem::not_found("case", &id))
    })
    .await
}

/// Submit a seller's appeal: another moderator decides the case again.
#[utoipa::path(
    post, path = "/v1/checks/{id}/appeals", operation_id = "create_appeal", tag = "checks",
    params(("id" = String, Path, description = "The check's id")),
    request_body = AppealBody,
    responses(
        (status = 200, body = Case),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "Not decided yet, or already appealed"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn appeal(
    State(app): State<Arc<App>>,
    Extension(caller): Called,
    Path(id): Path<String>,
    Json(body): Json<AppealBody>,
) -> Result<Json<Case>, Problem> {
    let text = body.text.trim().to_owned();
    if text.is_empty() {
        return Err(Problem::invalid("text-missing", "text is empty; send the seller's statement"));
    }
    check_text("text", &text)?;
    if text.chars().count() > MAX_APPEAL {
        return Err(too_long("text", MAX_APPEAL));
    }
    app.work(move |app| match app.desk().appeal(PLATFORM, Some(caller.id()), &id, &text) {
        Ok(case) => Ok(Json(case)),
        Err(DeskError::Unknown(id)) => Err(Problem::not_found("case", &id)),
        Err(error @ DeskError::CannotAppeal(_)) => {
            Err(Problem::new(axum::http::StatusCode::CONFLICT, "appeal-not-possible", error.to_string()))
        }
        Err(DeskError::Gallery(error)) => Err(error.into()),
        Err(other) => {
            tracing::error!(error = %other, "an appeal could not be stored");
            Err(Problem::internal())
        }
    })
    .await
}
