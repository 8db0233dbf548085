//! The feed of events for the marketplace.

use std::sync::Arc;

use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::form::{Json, Query};
use super::{App, Problem};
use crate::domain::CaseEvent;
use crate::gallery::Case;

/// Most events of a page.
const MAX_PAGE: usize = 1000;

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
}

/// A page of events, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventPage {
    /// The events.
    events: Vec<Event>,
    /// Pass it as `after` to get later events.
    next: u64,
}

/// Something that happened to a case.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Event {
    /// Position, unique and ascending, with gaps. A reader that stores it notices events that it has already had.
    seq: u64,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// What happened.
    #[serde(rename = "type")]
    kind: CaseEvent,
    /// Id of the check.
    check_id: String,
    /// The case as it is now, which may be later than the event; absent if it was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    case: Option<Case>,
}

/// List what moderators decided, in the order in which it happened.
///
/// Every event that was committed is listed, and none is lost. Ask again with `next` as `after`; an empty page means
/// that nothing has happened since. Events about a seller whose data were erased are left out.
#[utoipa::path(
    get, path = "/v1/events", operation_id = "list_events", tag = "checks",
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
    let limit = query.limit.unwrap_or(100);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::invalid("limit-invalid", format!("limit is {limit}, expected 1 to {MAX_PAGE}")));
    }
    let after = query.after.unwrap_or(0);
    if i64::try_from(after).is_err() {
        return Err(Problem::invalid(
            "after-invalid",
            format!("after is {after}, expected `next` of the previous page"),
        ));
    }
    app.work_beside(move |app| {
        let gallery = &app.screener().gallery;
        let recorded = gallery.case_events(after, limit)?;
        let next = recorded.last().map_or(after, |last| last.seq);
        let events = recorded.into_iter().map(|event| {
            let case = gallery.case(&event.check_id)?;
            Ok(Event { seq: event.seq, at: event.at, kind: event.kind, check_id: event.check_id, case })
        });
        Ok(Json(EventPage { events: events.collect::<Result<_, Problem>>()?, next }))
    })
    .await
}
