//! Routes for takedown notices and for the standing of the brands that file them.

mod bodies;
mod standing;

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::access::{Called, Caller};
use super::form::{Json, Path, Query, page};
use super::{App, Problem};
use crate::domain::{BrandId, NoticeState, Party, check_text};
use crate::gallery::{Change, Moved, NewListing, Notice, NoticeActor, NoticeListing, NoticeQuery};
use crate::moderation::{FilingError, file_notice, transition_not_allowed};

use bodies::{ListingForm, NoticeBody, NoticeForm, NoticeListingBody, NoticePage, NoticesQuery, StateForm};
pub(super) use standing::{__path_standing, standing};

/// Most bytes of a notice: 300 listings with evidence.
pub(super) const MAX_NOTICE_BYTES: usize = 4 << 20;
/// Most characters of a reason.
const MAX_REASON: usize = 4000;

/// File a notice: ask the marketplace to take down listings of a brand's counterfeits or misused photos.
///
/// A brand in the fast lane (`GET /v1/brands/{brand}/standing`) asks the marketplace directly; for others a moderator sees
/// the notice first. Filing the same listings again while the notice is open changes nothing and answers 200.
#[utoipa::path(
    post, path = "/v1/notices", operation_id = "create_notice", tag = "notices",
    request_body = NoticeForm,
    responses(
        (status = 201, body = NoticeBody),
        (status = 200, body = NoticeBody, description = "The same listings are in this open notice; nothing was changed"),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "A listing is in another open notice of the brand (`notice-open`)"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "`detail` names the invalid listing, counted from 0"),
    )
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Called,
    Json(form): Json<NoticeForm>,
) -> Result<Response, Problem> {
    caller.held_to(Some(form.brand.clone()))?;
    let parsed = form.listings.into_iter().enumerate().map(|(index, listing)| listing_of(index, listing));
    let listings = parsed.collect::<Result<Vec<_>, _>>()?;
    app.work(move |app| {
        let gallery = &app.screener().gallery;
        let (notice, new) = file_notice(gallery, caller.id(), &form.brand, &listings)?;
        let body = found(app, &caller, &notice.id)?;
        Ok(if new {
            let location = [(header::LOCATION, format!("/v1/notices/{}", notice.id))];
            (StatusCode::CREATED, location, Json(body)).into_response()
        } else {
            Json(body).into_response()
        })
    })
    .await
}

fn listing_of(index: usize, listing: serde_json::Value) -> Result<NewListing, Problem> {
    let form: ListingForm = serde_json::from_value(listing)
        .map_err(|error| Problem::invalid("notice-listing-invalid", format!("listings[{index}]: {error}")))?;
    Ok(NewListing {
        listing_id: form.listing_id,
        seller_id: form.seller_id,
        ground: form.ground,
        reference_id: form.reference_id,
        evidence: form.evidence,
    })
}

/// The notice with this id, if the caller may see it.
fn seen(app: &App, caller: &Caller, id: &str) -> Result<(Notice, Vec<NoticeListing>), Problem> {
    let found = app.screener().gallery.notice(id)?;
    let own = |notice: &Notice| caller.brand().is_none_or(|own| notice.brand.as_deref() == Some(own.as_str()));
    found.filter(|(notice, _)| own(notice)).ok_or_else(|| Problem::not_found("notice", id))
}

fn found(app: &App, caller: &Caller, id: &str) -> Result<NoticeBody, Problem> {
    let (notice, listings) = seen(app, caller, id)?;
    Ok(NoticeBody::seen_by(caller, notice, listings))
}

/// List notices, the oldest first, with the numbers of their listings by state.
#[utoipa::path(
    get, path = "/v1/notices", operation_id = "list_notices", tag = "notices",
    params(NoticesQuery),
    responses(
        (status = 200, body = NoticePage),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Called,
    Query(query): Query<NoticesQuery>,
) -> Result<Json<NoticePage>, Problem> {
    let asked = query.brand.map(|brand| brand.parse::<BrandId>()).transpose()?;
    let brand = caller.held_to(asked)?.map(|brand| brand.to_string());
    let (after, limit) = page(query.after, query.limit)?;
    let query = NoticeQuery { brand, state: query.state, after, limit, ..NoticeQuery::default() };
    app.work_beside(move |app| {
        let notices = app.screener().gallery.notices(&query)?;
        let last = notices.last().map(|last| last.notice.number);
        let next = last.filter(|_| notices.len() == limit);
        Ok(Json(NoticePage { notices: notices.into_iter().map(Into::into).collect(), next }))
    })
    .await
}

/// A notice with its listings.
#[utoipa::path(
    get, path = "/v1/notices/{id}", operation_id = "get_notice", tag = "notices",
    params(("id" = String, Path, description = "The notice's id")),
    responses(
        (status = 200, body = NoticeBody),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Extension(caller): Called,
    Path(id): Path<String>,
) -> Result<Json<NoticeBody>, Problem> {
    app.work_beside(move |app| found(app, &caller, &id).map(Json)).await
}

/// Say what became of a listing in a notice.
///
/// The marketplace acknowledges the request, removes the listing or refuses, hands in the seller's counter-notice, and
/// restores the listing. The brand that filed the notice may take it back (`withdrawn`). Sending the present state again
/// changes nothing.
#[utoipa::path(
    put, path = "/v1/notices/{id}/listings/{listing_id}", operation_id = "put_notice_listing", tag = "notices",
    params(("id" = String, Path, description = "The notice's id"), ("listing_id" = String, Path, description = "The marketplace's id of the listing")),
    request_body = StateForm,
    responses(
        (status = 200, body = NoticeListingBody),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "`transition` has the present state, the requested one and those allowed"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(
    State(app): State<Arc<App>>,
    Extension(caller): Called,
    Path((id, listing)): Path<(String, String)>,
    Json(form): Json<StateForm>,
) -> Result<Json<NoticeListingBody>, Problem> {
    let to = form.state;
    let reason = reason(to, form.reason)?;
    app.work(move |app| {
        let (notice, _) = seen(app, &caller, &id)?;
        let party = if caller.brand().is_some() { Party::Brand } else { Party::Marketplace };
        let actor = NoticeActor { who: caller.id(), session: None, party };
        let to = Change { to, reason: reason.as_deref() };
        let moved = app.screener().gallery.move_listing(actor, (&id, &listing), to)?;
        match moved.ok_or_else(|| Problem::not_found("listing", &listing))? {
            Moved::Done(listing) => Ok(Json(NoticeListingBody::seen_by(&caller, &notice, *listing))),
            Moved::NotAllowed { from, allowed } => Err(not_allowed(from, to.to, &allowed)),
            // Only moderators decide about counter-notices in their own cases.
            Moved::OwnDecision => Err(Problem::internal()),
        }
    })
    .await
}

fn reason(state: NoticeState, reason: Option<String>) -> Result<Option<String>, Problem> {
    let reason = reason.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let Some(text) = &reason else {
        return if state.needs_reason() {
            let detail = format!("reason is missing or blank; the state {} needs one", state.as_str());
            Err(Problem::invalid("reason-missing", detail))
        } else {
            Ok(None)
        };
    };
    check_text("reason", text)?;
    match text.chars().count() {
        long if long > MAX_REASON => Err(Problem::invalid(
            "field-too-long",
            format!("reason has {long} characters, expected at most {MAX_REASON}"),
        )),
        _ => Ok(reason),
    }
}

fn not_allowed(from: NoticeState, to: NoticeState, allowed: &[NoticeState]) -> Problem {
    let detail = transition_not_allowed(from, to, allowed);
    let mut problem = Problem::new(StatusCode::CONFLICT, "transition-not-allowed", detail);
    problem.transition(from, to, allowed);
    problem
}

impl From<FilingError> for Problem {
    fn from(error: FilingError) -> Self {
        match error {
            FilingError::Gallery(error) => error.into(),
            FilingError::Size(_) => Self::invalid("notice-size-invalid", error.to_string()),
            FilingError::Listing { code, ref detail } => Self::invalid(code, detail),
            FilingError::Open { .. } => Self::new(StatusCode::CONFLICT, "notice-open", error.to_string()),
        }
    }
}
