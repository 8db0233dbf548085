use std::sync::Arc;

use axum::extract::State;
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::auth::{Moderator, Query, Refusal, Signed, form};
use super::flash::{Flash, flash_text};
use crate::console::{self, QueuePage};
use crate::domain::CaseStatus;
use crate::gallery::QueueQuery;
use crate::http::App;
use crate::moderation::DeskError;

/// Cases per page.
const SHOWN: usize = 60;
/// The highest page number.
const MOST_PAGES: usize = 10_000;

/// Filters of the queue. An empty field filters nothing.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct QueueFilter {
    brand: Option<String>,
    verdict: Option<String>,
    action: Option<String>,
    status: Option<String>,
    seller: Option<String>,
    id: Option<String>,
    page: Option<String>,
    told: Option<String>,
}

impl QueueFilter {
    /// Parses a query string; an invalid one filters nothing.
    pub(super) fn of(address: Option<&str>) -> Self {
        form(address.unwrap_or_default().as_bytes()).unwrap_or_default()
    }

    /// The filters as a query string, percent-encoded.
    pub(super) fn address(&self) -> String {
        let mut address = url::form_urlencoded::Serializer::new(String::new());
        let fields = [
            ("brand", &self.brand),
            ("verdict", &self.verdict),
            ("action", &self.action),
            ("status", &self.status),
            ("seller", &self.seller),
            ("id", &self.id),
        ];
        for (name, value) in fields {
            if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
                address.append_pair(name, value);
            }
        }
        address.finish()
    }

    /// Number of the page to show, from 1.
    fn page(&self) -> usize {
        self.page.as_deref().and_then(|text| text.parse().ok()).unwrap_or(1).clamp(1, MOST_PAGES)
    }

    pub(super) fn query(&self) -> Result<QueueQuery, DeskError> {
        let some = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
        Ok(QueueQuery {
            brand: some(&self.brand),
            verdict: some(&self.verdict),
            action: some(&self.action),
            seller: some(&self.seller),
            status: some(&self.status).map(|text| text.parse::<CaseStatus>()).transpose()?,
            id: some(&self.id),
            free_for: None,
            not_released_in: None,
            limit: SHOWN,
            offset: (self.page() - 1) * SHOWN,
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
        let show = QueuePage {
            session: &moderator.session,
            query: &query,
            address: &address,
            cases: &gallery.queue(&query)?,
            all: gallery.queue_length(&query)?,
            page: filter.page(),
            brands: &desk.parts().screener.library.brand_ids(),
            notice: flash_text(filter.told.as_deref()),
        };
        let page = if moderator.htmx { console::queue_rows(&show) } else { console::queue(&show) };
        Ok(Html(page.into_string()))
    })
    .await
}

#[derive(Deserialize)]
pub(super) struct FromQueue {
    pub(super) queue: Option<String>,
    /// The case to skip: it is released.
    skipped: Option<String>,
}

pub(super) async fn next(
    State(app): State<Arc<App>>,
    Signed(moderator, FromQueue { queue, skipped }): Signed<FromQueue>,
) -> Result<Response, Refusal> {
    app.page(move |app| {
        let filter = QueueFilter::of(queue.as_deref());
        let (queue, query) = (filter.address(), filter.query()?);
        if let Some(skipped) = skipped {
            app.desk().release(&moderator.worker(), &skipped)?;
        }
        let found = app.desk().claim_next(&moderator.worker(), &query)?;
        Ok(to_case(found.map(|case| case.check_id).as_deref(), &queue, Flash::NothingFree))
    })
    .await
}

/// Redirects to a case, or, where there is none, to the queue with `otherwise` as the notice.
pub(super) fn to_case(id: Option<&str>, queue: &str, otherwise: Flash) -> Response {
    match id {
        Some(id) => Redirect::to(&case_address(id, queue)).into_response(),
        None => otherwise.redirect(&queue_address(queue)),
    }
}

pub(super) fn case_address(id: &str, queue: &str) -> String {
    let case = format!("/console/cases/{}", console::encoded(id));
    if queue.is_empty() { case } else { format!("{case}?queue={}", console::encoded(queue)) }
}

pub(super) fn queue_address(queue: &str) -> String {
    if queue.is_empty() { "/console/queue".to_owned() } else { format!("/console/queue?{queue}") }
}
