use std::sync::Arc;

use axum::extract::State;
use axum::response::{Html, Response};
use serde::Deserialize;

use super::auth::{Moderator, Path, Query, Refusal, Signed};
use super::cases::{MOST_WORDS, limited};
use super::flash::{Flash, flash_text};
use crate::console::{self, NoticePage, NoticesPage};
use crate::domain::NoticeState;
use crate::gallery::NoticeQuery;
use crate::http::App;
use crate::moderation::{DeskError, NoticeAct};

/// Notices per page.
const SHOWN: usize = 60;
/// The highest page number.
const MOST_PAGES: usize = 10_000;
/// Entries of the log shown beside a notice.
const LOGGED: usize = 200;

/// Filters of the list. An empty field filters nothing.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct NoticesFilter {
    brand: Option<String>,
    state: Option<String>,
    page: Option<String>,
}

impl NoticesFilter {
    /// Number of the page to show, from 1.
    fn page(&self) -> usize {
        self.page.as_deref().and_then(|text| text.parse().ok()).unwrap_or(1).clamp(1, MOST_PAGES)
    }

    fn query(&self) -> Result<NoticeQuery, DeskError> {
        let some = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
        Ok(NoticeQuery {
            brand: some(&self.brand),
            state: some(&self.state).map(|text| text.parse::<NoticeState>()).transpose()?,
            after: 0,
            limit: SHOWN,
            offset: (self.page() - 1) * SHOWN,
            urgent_first: true,
        })
    }
}

/// The filters as a query string, percent-encoded.
fn address(query: &NoticeQuery) -> String {
    let mut address = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in [("brand", query.brand.as_deref()), ("state", query.state.map(NoticeState::as_str))] {
        if let Some(value) = value {
            address.append_pair(name, value);
        }
    }
    address.finish()
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    moderator: Moderator,
    Query(filter): Query<NoticesFilter>,
) -> Result<Html<String>, Refusal> {
    app.page(move |app| {
        let query = filter.query()?;
        let screener = app.screener();
        let show = NoticesPage {
            session: &moderator.session,
            query: &query,
            address: &address(&query),
            notices: &screener.gallery.notices(&query)?,
            all: screener.gallery.count_notices(&query)?,
            page: filter.page(),
            brands: &screener.gallery.notice_brands()?,
        };
        Ok(Html(console::notices(&show).into_string()))
    })
    .await
}

#[derive(Deserialize)]
pub(super) struct Told {
    told: Option<String>,
}

pub(super) async fn notice(
    State(app): State<Arc<App>>,
    moderator: Moderator,
    Path(id): Path<String>,
    Query(Told { told }): Query<Told>,
) -> Result<Html<String>, Refusal> {
    app.page(move |app| {
        let screener = app.screener();
        let (about, listings) = screener.gallery.notice(&id)?.ok_or_else(|| DeskError::UnknownNotice(id.clone()))?;
        let show = NoticePage {
            session: &moderator.session,
            about: &about,
            listings: &listings,
            log: &screener.gallery.audit(Some(&id), LOGGED)?,
            notice: flash_text(told.as_deref()),
        };
        Ok(Html(console::notice_page(&show).into_string()))
    })
    .await
}

#[derive(Deserialize)]
pub(super) struct ActForm {
    act: String,
    listing: Option<String>,
    reason: Option<String>,
}

/// Acts on one listing of a notice, or, without one, on all.
pub(super) async fn act(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Signed(moderator, form): Signed<ActForm>,
) -> Result<Response, Refusal> {
    app.page(move |app| {
        let act: NoticeAct = form.act.parse().map_err(DeskError::from)?;
        let reason = limited("The reason", form.reason, MOST_WORDS)?;
        let about = (id.as_str(), form.listing.as_deref());
        app.desk().act_on_notice(&moderator.worker(), about, act, reason.as_deref())?;
        Ok(Flash::NoticeChanged.redirect(&format!("/console/notices/{}", console::encoded(&id))))
    })
    .await
}
