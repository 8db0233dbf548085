use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::auth::{Moderator, Refusal, Signed, form};
use crate::console::{self, QueuePage};
use crate::gallery::{CaseStatus, QueueQuery};
use crate::http::App;
use crate::moderation::{Desk, DeskError};
use crate::screening::CheckAnswer;

/// Cases on a page.
const SHOWN: usize = 60;
/// What the queue is filtered by. Empty fields are absent ones.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct QueueFilter {
    brand: Option<String>,
    verdict: Option<String>,
    action: Option<String>,
    status: Option<String>,
    seller: Option<String>,
}

impl QueueFilter {
    /// From an address; one that cannot be read filters nothing.
    pub(super) fn of(address: &str) -> Self {
        form(address.as_bytes()).unwrap_or_default()
    }

    fn address(&self) -> String {
        let mut address = url::form_urlencoded::Serializer::new(String::new());
        let fields = [
            ("brand", &self.brand),
            ("verdict", &self.verdict),
            ("action", &self.action),
            ("status", &self.status),
            ("seller", &self.seller),
        ];
        for (name, value) in fields {
            if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
                address.append_pair(name, value);
            }
        }
        address.finish()
    }

    pub(super) fn query(&self) -> Result<QueueQuery, DeskError> {
        let some = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
        Ok(QueueQuery {
            brand: some(&self.brand),
            verdict: some(&self.verdict),
            action: some(&self.action),
            seller: some(&self.seller),
            status: some(&self.status).map(|text| text.parse::<CaseStatus>()).transpose()?,
            free_for: None,
            not_released_in: None,
            limit: SHOWN,
        })
    }
}

pub(super) async fn home(_: Moderator) -> Redirect {
    Redirect::to("/console/queue")
}

pub(super) async fn queue(
    State(app): State<Arc<App>>,
    moderator: Moderator,
    Query(filter): Query<QueueFilter>,
) -> Result<Html<String>, Refusal> {
    app.page(move |app| {
        let desk = app.desk();
        let (query, address) = (filter.query()?, filter.address());
        let gallery = &desk.parts().screener.gallery;
        let mut cases = Vec::new();
        for queued in gallery.queue(&query)? {
            let photo = lead_photo(&desk, &queued.case.check_id)?;
            cases.push((queued, photo));
        }
        let show = QueuePage {
            session: &moderator.session,
            query: &query,
            address: &address,
            cases: &cases,
            waiting: gallery.waiting()?.0,
            brands: &desk.parts().screener.library.brand_ids(),
        };
        let page = if moderator.htmx { console::queue_rows(&show) } else { console::queue(&show) };
        Ok(Html(page.into_string()))
    })
    .await
}

/// The photo that decides in a case, where its bytes are kept.
fn lead_photo(desk: &Desk, check_id: &str) -> Result<Option<String>, DeskError> {
    let Some(saved) = desk.parts().screener.gallery.check(check_id)? else {
        return Ok(None);
    };
    let answer: CheckAnswer = serde_json::from_str(&saved.answer)?;
    let photo = answer.lead().map(|(photo, _)| photo).or(answer.photos.first());
    Ok(photo.map(|photo| photo.sha256.clone()))
}

#[derive(Deserialize)]
pub(super) struct FromQueue {
    pub(super) queue: Option<String>,
    /// The case that is skipped: it goes back.
    skipped: Option<String>,
}

pub(super) async fn next(
    State(app): State<Arc<App>>,
    Signed(moderator, FromQueue { queue, skipped }): Signed<FromQueue>,
) -> Result<Response, Refusal> {
    app.page(move |app| {
        let queue = queue.unwrap_or_default();
        let filter = QueueFilter::of(&queue).query()?;
        if let Some(skipped) = skipped {
            app.desk().release(&moderator.worker(), &skipped)?;
        }
        let found = app.desk().claim_next(&moderator.worker(), &filter)?;
        Ok(to_case_or_queue(found.map(|case| case.check_id).as_deref(), &queue))
    })
    .await
}

pub(super) fn to_case_or_queue(id: Option<&str>, queue: &str) -> Response {
    Redirect::to(&address(id, queue)).into_response()
}

pub(super) fn address(id: Option<&str>, queue: &str) -> String {
    let encoded: String = url::form_urlencoded::byte_serialize(queue.as_bytes()).collect();
    match id {
        Some(id) if queue.is_empty() => format!("/console/cases/{id}"),
        Some(id) => format!("/console/cases/{id}?queue={encoded}"),
        None if queue.is_empty() => "/console/queue".to_owned(),
        None => format!("/console/queue?{queue}"),
    }
}
