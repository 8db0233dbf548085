use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use jiff::Timestamp;
use serde::Deserialize;

use super::auth::{Moderator, Path, Query, Refusal, Signed};
use super::cases::{MOST_WORDS, limited};
use super::flash::{Flash, flash_text};
use crate::console::{self, SellerPage, SellersPage};
use crate::domain::ClosureState;
use crate::gallery::LinkGraph;
use crate::http::App;
use crate::moderation::{ClosureAct, DeskError};

/// Proposals that the page shows.
const CLOSURES: usize = 200;
/// Cases of a seller that its page shows.
const CASES: usize = 50;
/// Entries of the log shown beside a proposal.
const LOGGED: usize = 50;
/// Links followed from the seller whose page it is.
const DISTANCE: u32 = 2;

/// Which page to show. A seller's id is no part of a path: browsers leave out `.` and `..` there.
#[derive(Deserialize)]
pub(super) struct SellersQuery {
    seller: Option<String>,
    told: Option<String>,
}

/// The proposals that wait for a moderator, or, with a seller's id, that seller's page.
pub(super) async fn page(
    State(app): State<Arc<App>>,
    moderator: Moderator,
    Query(SellersQuery { seller, told }): Query<SellersQuery>,
) -> Result<Html<String>, Refusal> {
    let Some(id) = seller.filter(|seller| !seller.is_empty()) else { return list(app, moderator).await };
    app.page(move |app| {
        let gallery = &app.screener().gallery;
        let now = Timestamp::now();
        let record = gallery.seller(&id, now)?.ok_or_else(|| DeskError::UnknownSeller(id.clone()))?;
        let log = match &record.closure {
            Some(closure) => gallery.audit(Some(&closure.id), LOGGED)?,
            None => Vec::new(),
        };
        let show = SellerPage {
            session: &moderator.session,
            record: &record,
            options: &gallery.takedown().strikes,
            graph: &gallery.linked_sellers(&id, DISTANCE, now)?,
            cases: &gallery.cases_of_seller(&id, "", CASES)?,
            log: &log,
            notice: flash_text(told.as_deref()),
        };
        Ok(Html(console::seller(&show).into_string()))
    })
    .await
}

async fn list(app: Arc<App>, moderator: Moderator) -> Result<Html<String>, Refusal> {
    app.page(move |app| {
        let closures = app.screener().gallery.open_closures(CLOSURES)?;
        let show = SellersPage { session: &moderator.session, closures: &closures };
        Ok(Html(console::sellers(&show).into_string()))
    })
    .await
}

#[derive(Deserialize)]
pub(super) struct LinksQuery {
    seller: String,
}

/// The links as a table for spreadsheets and network-analysis tools.
pub(super) async fn links(
    State(app): State<Arc<App>>,
    _: Moderator,
    Query(LinksQuery { seller: id }): Query<LinksQuery>,
) -> Result<Response, Refusal> {
    app.page(move |app| {
        let graph = app.screener().gallery.linked_sellers(&id, DISTANCE, Timestamp::now())?;
        let kind = [
            (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
            (header::CONTENT_DISPOSITION, "attachment; filename=\"links.csv\""),
        ];
        Ok((kind, table_of(&graph)).into_response())
    })
    .await
}

fn table_of(graph: &LinkGraph) -> Vec<u8> {
    let mut table = csv::Writer::from_writer(Vec::new());
    // Into memory: writing cannot fail.
    let _ = table.write_record(["Source", "Target", "Weight", "Photo", "Source check", "Target check"]);
    for link in &graph.links {
        let [one, other] = link.sellers.each_ref().map(|seller| harmless(seller));
        let weight = link.photos.to_string();
        let photo = link.newest.photo.to_string();
        let [first, second] = &link.newest.checks;
        let _ = table.write_record([&one, &other, &weight, &photo, first, second]);
    }
    table.into_inner().unwrap_or_default()
}

/// A text that no spreadsheet takes for a formula (OWASP, "CSV Injection").
fn harmless(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

#[derive(Deserialize)]
pub(super) struct ClosureForm {
    act: String,
    /// The state that the page showed.
    seen: String,
    reason: Option<String>,
}

/// Confirms or dismisses a proposal to close an account.
pub(super) async fn decide(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Signed(moderator, form): Signed<ClosureForm>,
) -> Result<Response, Refusal> {
    app.page(move |app| {
        let act: ClosureAct = form.act.parse().map_err(DeskError::from)?;
        let reason = limited("The reason", form.reason, MOST_WORDS)?;
        let seen: ClosureState = form.seen.parse().map_err(DeskError::from)?;
        let closure = app.desk().decide_closure(&moderator.worker(), (&id, seen), act, reason.as_deref())?;
        Ok(Flash::ClosureDecided.redirect(&console::seller_address(&closure.seller_id)))
    })
    .await
}
