use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::HeaderName;
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::auth::{Moderator, Nothing, Refusal, Signed};
use super::queue::{FromQueue, QueueFilter, address, to_case_or_queue};
use crate::console::{self, CasePage};
use crate::gallery::{Added, BrandId, CaseStatus, Claimed, Decision, Polarity, ReferenceState, VectorQuery};
use crate::http::App;
use crate::moderation::{Desk, DeskError, Finder, Judgement, Subject};

/// Near references of each polarity beside a case.
const NEAR: usize = 6;
/// Entries of the log beside a case.
const LOGGED: usize = 50;

const HX_PUSH_URL: HeaderName = HeaderName::from_static("hx-push-url");

/// Which part of a case is looked at.
#[derive(Debug, Default, Deserialize)]
pub(super) struct CaseQuery {
    photo: Option<usize>,
    reference: Option<String>,
    queue: Option<String>,
}

pub(super) async fn case(
    State(app): State<Arc<App>>,
    moderator: Moderator,
    Path(id): Path<String>,
    Query(query): Query<CaseQuery>,
) -> Result<Html<String>, Refusal> {
    app.page(move |app| Ok(Html(render(&app.desk(), &moderator, &id, &query, None)?))).await
}

fn render(
    desk: &Desk,
    moderator: &Moderator,
    id: &str,
    query: &CaseQuery,
    notice: Option<&str>,
) -> Result<String, DeskError> {
    let view = desk.view(id, query.photo.map(|photo| (photo, query.reference.as_deref())))?;
    let me = moderator.session.account.as_str();
    let show = CasePage {
        session: &moderator.session,
        may_decide: view.case.status != CaseStatus::Decided && view.case.holder() == Some(me),
        log: &desk.parts().screener.gallery.audit(Some(id), LOGGED)?,
        brands: &desk.parts().screener.library.brand_ids(),
        view: &view,
        queue: query.queue.as_deref().unwrap_or_default(),
        notice,
        fragment: moderator.htmx,
    };
    Ok(console::case(&show).into_string())
}

pub(super) async fn near(
    State(app): State<Arc<App>>,
    _: Moderator,
    Path(id): Path<String>,
    Query(query): Query<CaseQuery>,
) -> Result<Html<String>, Refusal> {
    app.page(move |app| {
        let desk = app.desk();
        let photo = desk.view(&id, query.photo.map(|photo| (photo, None)))?.pair.photo;
        let none = || DeskError::NoSuchPhoto { id: id.clone(), index: photo.index };
        let subject = Subject::Photo(photo.sha256.parse().map_err(|_| none())?);
        let mut groups = Vec::new();
        for (name, polarity) in [("Known fakes", Polarity::Fake), ("Authentic", Polarity::Authentic)] {
            let query = VectorQuery {
                state: ReferenceState::Active,
                brand: None,
                polarity: Some(polarity),
                product: None,
                since: None,
                until: None,
            };
            groups.push((name, Finder(&desk).find(&subject, &query, NEAR)?));
        }
        Ok(Html(console::near(&groups).into_string()))
    })
    .await
}

pub(super) async fn claim(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Signed(moderator, FromQueue { queue, .. }): Signed<FromQueue>,
) -> Result<Response, Refusal> {
    app.page(move |app| match app.desk().claim(&moderator.worker(), &id)? {
        Claimed::Yours(_) => Ok(to_case_or_queue(Some(&id), &queue.unwrap_or_default())),
        Claimed::Taken(case) | Claimed::OwnDecision(case) | Claimed::Decided(case) => {
            Err(DeskError::NotTheirs(case).into())
        }
    })
    .await
}

pub(super) async fn release(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Signed(moderator, FromQueue { queue, .. }): Signed<FromQueue>,
) -> Result<Response, Refusal> {
    app.page(move |app| {
        app.desk().release(&moderator.worker(), &id)?;
        Ok(to_case_or_queue(None, &queue.unwrap_or_default()))
    })
    .await
}

#[derive(Deserialize)]
pub(super) struct DecideForm {
    decision: String,
    note: Option<String>,
    photo: Option<String>,
    reference: Option<String>,
    queue: Option<String>,
}

/// Decides and goes on: to the next photo of the case that waits, else to the next case.
pub(super) async fn decide(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Signed(moderator, form): Signed<DecideForm>,
) -> Result<Response, Refusal> {
    app.page(move |app| {
        let desk = app.desk();
        let worker = moderator.worker();
        // Whatever can be wrong is found before anything is kept.
        let queue = form.queue.unwrap_or_default();
        let filter = QueueFilter::of(&queue).query()?;
        let decision: Decision = form.decision.parse().map_err(DeskError::from)?;
        let photo = form.photo.map(|text| index(&text)).transpose()?;
        let judgement =
            Judgement { decision, note: form.note.filter(|note| !note.is_empty()), pair: photo.zip(form.reference) };
        let decided = desk.decide(&worker, &id, &judgement)?;
        let closed = decided.status == CaseStatus::Decided;
        let next = if closed { desk.claim_next(&worker, &filter)?.map(|case| case.check_id) } else { Some(id) };
        if !moderator.htmx {
            return Ok(to_case_or_queue(next.as_deref(), &queue));
        }
        let address = address(next.as_deref(), &queue);
        let Some(next) = next else {
            return Ok(([(HeaderName::from_static("hx-redirect"), address)], "").into_response());
        };
        let notice = match decision {
            Decision::Fake => "Decided as counterfeit; u takes it back.",
            Decision::Authorised => "Decided as authorised; u takes it back.",
            Decision::NoMatch => "Decided as not a match; u takes it back.",
        };
        let query = CaseQuery { queue: Some(queue), ..CaseQuery::default() };
        let content = render(&desk, &moderator, &next, &query, Some(notice))?;
        Ok(([(HX_PUSH_URL, address)], Html(content)).into_response())
    })
    .await
}

fn index(text: &str) -> Result<usize, Refusal> {
    let wrong = || {
        Refusal::Wrong(
            axum::http::StatusCode::UNPROCESSABLE_ENTITY,
            format!("photo is {text:?}, expected its number from 0."),
        )
    };
    text.parse().map_err(|_| wrong())
}

pub(super) async fn undo(
    State(app): State<Arc<App>>,
    Signed(moderator, Nothing {}): Signed<Nothing>,
) -> Result<Response, Refusal> {
    app.page(move |app| {
        let (action, subject) = app.desk().undo(&moderator.worker())?;
        let back = match action.as_str() {
            "decide" => format!("/console/cases/{subject}"),
            "quarantine" => format!("/console/references/{subject}"),
            _ => "/console/queue".to_owned(),
        };
        Ok(Redirect::to(&back).into_response())
    })
    .await
}

#[derive(Deserialize)]
pub(super) struct QuarantineForm {
    why: String,
    case: Option<String>,
}

pub(super) async fn quarantine(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Signed(moderator, form): Signed<QuarantineForm>,
) -> Result<Redirect, Refusal> {
    app.page(move |app| {
        app.desk().quarantine(&moderator.worker(), &id, form.why.trim())?;
        Ok(match form.case.filter(|case| !case.is_empty()) {
            Some(case) => Redirect::to(&address(Some(&case), "")),
            None => Redirect::to(&format!("/console/references/{id}")),
        })
    })
    .await
}

#[derive(Deserialize)]
pub(super) struct ReferenceForm {
    photo: String,
    brand: String,
    polarity: String,
    product: Option<String>,
}

pub(super) async fn add_reference(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Signed(moderator, form): Signed<ReferenceForm>,
) -> Result<Redirect, Refusal> {
    app.page(move |app| {
        let brand: BrandId = form.brand.parse().map_err(DeskError::from)?;
        let polarity: Polarity = form.polarity.parse().map_err(DeskError::from)?;
        let product = form.product.filter(|text| !text.is_empty());
        let place = (index(&form.photo)?, brand, polarity, product);
        match app.desk().add_reference(&moderator.worker(), &id, place)? {
            Added::New(reference) | Added::Existing(reference) => {
                Ok(Redirect::to(&format!("/console/references/{}", reference.id)))
            }
            Added::Contradicts(known) => Err(Refusal::Wrong(
                axum::http::StatusCode::CONFLICT,
                format!("This very photo is {} already as {}.", known.claim.polarity, known.id),
            )),
        }
    })
    .await
}

#[derive(Deserialize)]
pub(super) struct AppealForm {
    text: String,
}

pub(super) async fn appeal(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Signed(moderator, form): Signed<AppealForm>,
) -> Result<Redirect, Refusal> {
    app.page(move |app| {
        let worker = moderator.worker();
        app.desk().appeal(&worker.name, Some(&worker.session), &id, form.text.trim())?;
        Ok(Redirect::to(&address(Some(&id), "")))
    })
    .await
}
