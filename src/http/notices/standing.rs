//! The standing of a brand: how its notices were answered, and whether they go to the marketplace at once.

use std::sync::Arc;

use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{BrandId, Lacking, Lane, STANDING_DAYS, TakedownOptions, TakedownRecord};
use crate::http::form::{Json, Path};
use crate::http::{App, Problem};

/// A brand's standing.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct StandingBody {
    brand: BrandId,
    /// Whether the brand's next notice goes to the marketplace before a moderator has seen it.
    fast_lane: bool,
    /// The days over which listings count, by the last change of their state.
    days: i64,
    /// The counts of listings.
    record: TakedownRecord,
    /// The share of successful takedowns, 0 to 1; absent before the first answer.
    success: Option<f64>,
    /// The share of successful counter-notices, 0 to 1; absent before the first answer.
    counter: Option<f64>,
    /// What the fast lane asks for.
    required: RequiredBody,
    /// What the brand lacks for the fast lane; empty in the fast lane.
    missing: Vec<Lacking>,
    /// Until when the brand waits, because bad figures ended its place; absent if it does not wait.
    #[schema(value_type = Option<String>, format = DateTime)]
    waits_until: Option<Timestamp>,
}

/// What the fast lane asks for.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct RequiredBody {
    /// Fewest answered listings.
    answered: u32,
    /// Least share of successful takedowns, 0 to 1.
    success: f64,
    /// Greatest share of successful counter-notices, 0 to 1.
    counter: f64,
}

/// A brand's standing: the shares of its successful takedowns and of successful counter-notices, and what it lacks for the
/// fast lane.
#[utoipa::path(
    get, path = "/v1/brands/{brand}/standing", operation_id = "get_standing", tag = "notices",
    params(("brand" = BrandId, Path)),
    responses(
        (status = 200, body = StandingBody),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn standing(
    State(app): State<Arc<App>>,
    Path(brand): Path<String>,
) -> Result<Json<StandingBody>, Problem> {
    let brand: BrandId = brand.parse()?;
    app.work_beside(move |app| {
        let now = Timestamp::now();
        let gallery = &app.screener().gallery;
        let (record, lane) = gallery.brand_standing(brand.as_str(), now)?;
        Ok(Json(body(brand, record, lane, &gallery.takedown(), now.as_second())))
    })
    .await
}

fn body(brand: BrandId, record: TakedownRecord, lane: Lane, options: &TakedownOptions, now: i64) -> StandingBody {
    // The next notice looks at the figures first, too.
    let lane = lane.after(&record, options, now);
    let waits = lane.waits(now);
    let mut missing = record.lacking(options);
    missing.extend(waits.then_some(Lacking::Wait));
    let until = lane.waits_until().filter(|_| waits);
    StandingBody {
        brand,
        fast_lane: lane.fast,
        days: STANDING_DAYS,
        record,
        success: record.success(),
        counter: record.counter(),
        required: RequiredBody {
            answered: options.fast_lane_least,
            success: options.fast_lane_success,
            counter: options.fast_lane_counter,
        },
        missing,
        waits_until: until.and_then(|end| Timestamp::from_second(end).ok()),
    }
}
