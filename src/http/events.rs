//! The feed of events for the marketplace.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::form::{Json, Query, page};
use super::{App, Problem};
use crate::domain::EventType;
use crate::gallery::{self, Event};

/// Which events to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventQuery {
    /// `next` of the page before; 0 for the first.
    #[param(minimum = 0, maximum = 9_223_372_036_854_775_807_u64)]
    after: Option<u64>,
    /// Most events to return, 1 to 1000; 100 if absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// Only these types, separated by commas: `check.decided,appeal.decided`; all if absent.
    #[serde(rename = "type")]
    #[param(example = "check.decided,appeal.decided")]
    types: Option<String>,
}

/// A page of events, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventPage {
    /// The events.
    events: Vec<Event>,
    /// Pass it as `after` to get later events.
    next: u64,
}

/// List what happened, in the order in which it happened.
///
/// Every event that was committed is listed, and none is lost. Ask again with `next` as `after`; an empty page means
/// that nothing has happened since. Events about a seller whose data were erased are left out.
#[utoipa::path(
    get, path = "/v1/events", operation_id = "list_events", tag = "events",
    params(EventQuery),
    responses(
        (status = 200, body = EventPage),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<EventQuery>,
) -> Result<Json<EventPage>, Problem> {
    let (after, limit) = page(query.after, query.limit)?;
    let types = query.types.as_deref().map(event_types).transpose()?.unwrap_or_default();
    app.work_beside(move |app| {
        let (events, next) = app.screener().gallery.events(&gallery::EventQuery { after, types: &types, limit })?;
        Ok(Json(EventPage { events, next }))
    })
    .await
}

fn event_types(text: &str) -> Result<Vec<EventType>, Problem> {
    text.split(',').map(|name| Ok(name.trim().parse::<EventType>()?)).collect()
}
