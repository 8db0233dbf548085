use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use jiff::{Timestamp, ToSpan};

use serde::Deserialize;

use super::auth::{Moderator, Nothing, Path, Query, Refusal, Signed};
use super::lookup::midnight;
use crate::console::{self, OverviewPage};
use crate::domain::Role;
use crate::http::App;
use crate::moderation::{Statement, bundle};

/// Days that the overview covers.
const DAYS: i64 = 30;
/// Entries of the log per page.
const LOGGED: usize = 500;
/// Sellers that the overview names.
const SELLERS: usize = 10;

#[derive(Deserialize)]
pub(super) struct OverviewQuery {
    brand: Option<String>,
}

pub(super) async fn overview(
    State(app): State<Arc<App>>,
    Moderator { session, .. }: Moderator,
    Query(OverviewQuery { brand }): Query<OverviewQuery>,
) -> Result<Html<String>, Refusal> {
    app.page(move |app| {
        let screener = app.screener();
        let (gallery, library) = (&screener.gallery, &screener.library);
        let now = Timestamp::now();
        let day = |ago: i64| (now - (ago * 24).hours()).strftime("%Y-%m-%d").to_string();
        let days: Vec<String> = (0..DAYS).rev().map(day).collect();
        let since = midnight(&days[0], 0)?;
        let (stats, version) = (library.stats(), library.version());
        let page = console::overview(&OverviewPage {
            session: &session,
            days: &days,
            checks: &gallery.check_counts(since)?,
            cases: &gallery.case_counts(since)?,
            brand: brand.as_deref().filter(|brand| !brand.is_empty()),
            waiting: gallery.waiting()?,
            brands: &library.brands(),
            by_identity_only: library.by_identity_only(),
            index: (&stats, &version),
            revision: gallery.revision()?,
            sellers: &gallery.worst_sellers(SELLERS)?,
        });
        Ok(Html(page.into_string()))
    })
    .await
}

pub(super) async fn audit(
    State(app): State<Arc<App>>,
    Moderator { session, .. }: Moderator,
) -> Result<Html<String>, Refusal> {
    if session.role != Role::Admin {
        return Err(Refusal::NotAllowed);
    }
    app.page(move |app| {
        let entries = app.screener().gallery.audit(None, LOGGED)?;
        Ok(Html(console::audit(&session, &entries).into_string()))
    })
    .await
}

pub(super) async fn statement(
    State(app): State<Arc<App>>,
    Moderator { session, .. }: Moderator,
    Path(id): Path<String>,
) -> Result<Html<String>, Refusal> {
    app.page(move |app| {
        let view = app.desk().view(&id, None)?;
        let platform = &app.console.statement;
        let statement = Statement::of(&view.case, &view.answer, &view.notices, platform)?;
        Ok(Html(console::statement(&session, &statement, platform).into_string()))
    })
    .await
}

/// A POST, because the export is an entry of the log.
pub(super) async fn evidence(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Signed(moderator, Nothing {}): Signed<Nothing>,
) -> Result<Response, Refusal> {
    app.page(move |app| {
        let zip = bundle(&app.desk(), &moderator.worker(), &id, &app.console.statement)?;
        let name = format!("attachment; filename=\"evidence-{id}.zip\"");
        Ok(([(header::CONTENT_TYPE, "application/zip".to_owned()), (header::CONTENT_DISPOSITION, name)], zip)
            .into_response())
    })
    .await
}
