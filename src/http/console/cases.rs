use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::auth::{HX_REDIRECT, Moderator, Nothing, Path, Query, Refusal, Signed};
use super::flash::{Flash, flash_text};
use super::queue::{FromQueue, QueueFilter, case_address, queue_address, to_case};
use crate::console::{self, CasePage};
use crate::domain::{BrandId, CaseStatus, Decision, Polarity, ReferenceState, check_name, check_text};
use crate::gallery::{Added, Claimed, VectorQuery};
use crate::http::App;
use crate::http::cases::MAX_APPEAL;
use crate::moderation::{Desk, DeskError, Finder, Judgement, SharedQuestion, Subject};

/// Similar references of each polarity shown beside a case.
const NEAR: usize = 6;
/// Entries of the log shown beside a case.
const LOGGED: usize = 50;

const HX_PUSH_URL: HeaderName = HeaderName::from_static("hx-push-url");

/// The photo and the match of a case to show.
#[derive(Debug, Default, Deserialize)]
pub(super) struct CaseQuery {
    photo: Option<usize>,
    reference: Option<String>,
    queue: Option<String>,
    told: Option<String>,
}

pub(super) async fn case(
    State(app): State<Arc<App>>,
    moderator: Moderator,
    Path(id): Path<String>,
    Query(query): Query<CaseQuery>,
) -> Result<Html<String>, Refusal> {
    app.page(move |app| Ok(Html(render(&app.desk(), &moderator, &id, &query, flash_text(query.told.as_deref()))?)))
        .await
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
        queue: &QueueFilter::of(query.queue.as_deref()).address(),
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
        let subject = Subject::Photo(photo.sha256);
        let mut groups = Vec::new();
        for (name, polarity) in [("Known fakes", Polarity::Fake), ("Authentic", Polarity::Authentic)] {
            let query = VectorQuery {
                in_doubt: false,
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
) -> Result<Redirect, Refusal> {
    app.page(move |app| match app.desk().claim(&moderator.worker(), &id)? {
        Claimed::Yours(_) => Ok(Redirect::to(&case_address(&id, &QueueFilter::of(queue.as_deref()).address()))),
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
) -> Result<Redirect, Refusal> {
    app.page(move |app| {
        app.desk().release(&moderator.worker(), &id)?;
        Ok(Redirect::to(&queue_address(&QueueFilter::of(queue.as_deref()).address())))
    })
    .await
}

/// Takes a case out of a question that it shares with others.
pub(super) async fn apart(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Signed(moderator, FromQueue { queue, .. }): Signed<FromQueue>,
) -> Result<Redirect, Refusal> {
    app.page(move |app| {
        app.desk().ask_apart(&moderator.worker(), &id)?;
        Ok(Redirect::to(&case_address(&id, &QueueFilter::of(queue.as_deref()).address())))
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
    /// The question that other cases ask, too, and their number, as the page showed them.
    question: Option<String>,
    others: Option<String>,
    together: Option<String>,
}

/// Decides a case, and goes on to its next open photo, else to the next case.
pub(super) async fn decide(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Signed(moderator, form): Signed<DecideForm>,
) -> Result<Response, Refusal> {
    app.page(move |app| {
        let desk = app.desk();
        let worker = moderator.worker();
        // Everything is validated before anything is stored.
        let filter = QueueFilter::of(form.queue.as_deref());
        let (queue, query) = (filter.address(), filter.query()?);
        let decision: Decision = form.decision.parse().map_err(DeskError::from)?;
        let photo = form.photo.map(|text| index(&text)).transpose()?;
        let note = limited("The reason", form.note, MOST_WORDS)?;
        let others = form.others.and_then(|text| text.parse().ok()).unwrap_or(0);
        let together = form.together.is_some();
        let asked = form.question.map(|question| SharedQuestion { question, others, together });
        let reference = form.reference.filter(|id| !id.is_empty());
        let judgement = Judgement { decision, note, photo, reference, asked };
        let decided = desk.decide(&worker, &id, &judgement)?;
        let closed = decided.status == CaseStatus::Decided;
        let next = if closed { desk.claim_next(&worker, &query)?.map(|case| case.check_id) } else { Some(id) };
        if !moderator.htmx {
            return Ok(to_case(next.as_deref(), &queue, Flash::DecidedLast));
        }
        let Some(next) = next else {
            let page = Flash::DecidedLast.at(&queue_address(&queue));
            return Ok(([(HX_REDIRECT, page)], "").into_response());
        };
        let notice = format!("Decided: {}. Press u to undo.", console::decision_words(decision));
        let query = CaseQuery { queue: Some(queue.clone()), ..CaseQuery::default() };
        let content = render(&desk, &moderator, &next, &query, Some(&notice))?;
        Ok(([(HX_PUSH_URL, case_address(&next, &queue))], Html(content)).into_response())
    })
    .await
}

/// Most characters of a reason.
pub(super) const MOST_WORDS: usize = 1000;

/// A text without surrounding blanks; `None` where nothing is left.
pub(super) fn limited(what: &str, text: Option<String>, most: usize) -> Result<Option<String>, Refusal> {
    let Some(text) = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) else { return Ok(None) };
    check_text(what, &text).map_err(|fault| unprocessable(format!("{fault}.")))?;
    match text.chars().count() {
        long if long > most => Err(unprocessable(format!("{what} has {long} characters, expected at most {most}."))),
        _ => Ok(Some(text)),
    }
}

fn needed(what: &str, text: String, most: usize) -> Result<String, Refusal> {
    limited(what, Some(text), most)?.ok_or_else(|| unprocessable(format!("{what} is empty; write it.")))
}

fn unprocessable(detail: String) -> Refusal {
    Refusal::Wrong(StatusCode::UNPROCESSABLE_ENTITY, detail)
}

fn index(text: &str) -> Result<usize, Refusal> {
    text.parse().map_err(|_| unprocessable(format!("photo is {text:?}, expected its number from 0.")))
}

pub(super) async fn undo(
    State(app): State<Arc<App>>,
    Signed(moderator, Nothing {}): Signed<Nothing>,
) -> Result<Response, Refusal> {
    app.page(move |app| {
        let (action, subject) = app.desk().undo(&moderator.worker())?;
        let (back, told) = match action.as_str() {
            "decide" => (format!("/console/cases/{subject}"), Flash::DecisionUndone),
            "quarantine" => (format!("/console/references/{subject}"), Flash::QuarantineUndone),
            _ => ("/console/queue".to_owned(), Flash::AddedUndone),
        };
        Ok(told.redirect(&back))
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
        let why = needed("The reason", form.why, MOST_WORDS)?;
        app.desk().quarantine(&moderator.worker(), &id, &why)?;
        Ok(match form.case.filter(|case| !case.is_empty()) {
            Some(case) => Redirect::to(&case_address(&case, "")),
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
        let product = limited("The product", form.product, 256)?;
        if let Some(product) = &product {
            check_name("The product", product).map_err(|fault| unprocessable(format!("{fault}.")))?;
        }
        let place = (index(&form.photo)?, brand, polarity, product);
        match app.desk().add_reference(&moderator.worker(), &id, place)? {
            Added::New(reference) | Added::Existing(reference) => {
                Ok(Redirect::to(&format!("/console/references/{}", reference.id)))
            }
            Added::Contradicts(known) => Err(Refusal::Wrong(
                StatusCode::CONFLICT,
                format!("This photo is already the {} reference {}.", known.claim.polarity, known.id),
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
        let text = needed("The appeal", form.text, MAX_APPEAL)?;
        app.desk().appeal(&worker.name, Some(&worker.session), &id, &text)?;
        Ok(Redirect::to(&case_address(&id, "")))
    })
    .await
}
