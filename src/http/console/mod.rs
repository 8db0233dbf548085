//! The console's routes. Every route but the sign-in and the assets needs a session. Every change is a POST whose form
//! carries the session's token.

mod alliances;
mod auth;
mod cases;
mod events;
mod flash;
mod lookbacks;
mod lookup;
mod notices;
mod pictures;
mod queue;
mod sellers;
mod views;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};

use super::App;
use crate::console::{ASSETS, POLICY};
pub(super) use auth::Refusal;

/// Most bytes of a form; only photos need more.
const MAX_FORM_BYTES: usize = 64 << 10;

pub(super) fn routes(app: Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/console/login", get(auth::page).post(auth::login))
        .route("/console/logout", post(auth::logout))
        .route("/console", get(queue::home))
        .route("/console/", get(queue::home))
        .route("/console/queue", get(queue::queue))
        .route("/console/queue/next", post(queue::next))
        .route("/console/cases/{id}", get(cases::case))
        .route("/console/cases/{id}/near", get(cases::near))
        .route("/console/cases/{id}/claim", post(cases::claim))
        .route("/console/cases/{id}/release", post(cases::release))
        .route("/console/cases/{id}/apart", post(cases::apart))
        .route("/console/cases/{id}/decide", post(cases::decide))
        .route("/console/cases/{id}/reference", post(cases::add_reference))
        .route("/console/cases/{id}/appeal", post(cases::appeal))
        .route("/console/cases/{id}/statement", get(views::statement))
        .route("/console/cases/{id}/evidence", post(views::evidence))
        .route("/console/undo", post(cases::undo))
        .route("/console/notices", get(notices::list))
        .route("/console/notices/{id}", get(notices::notice))
        .route("/console/notices/{id}/act", post(notices::act))
        .route("/console/sellers", get(sellers::page))
        .route("/console/sellers/links.csv", get(sellers::links))
        .route("/console/closures/{id}/decide", post(sellers::decide))
        .route("/console/references/{id}", get(lookup::reference))
        .route("/console/references/{id}/quarantine", post(cases::quarantine))
        .route("/console/lookbacks", get(lookbacks::lookbacks))
        .route("/console/alliances", get(alliances::alliances))
        .route("/console/signals/{key}/release", post(alliances::release))
        .route("/console/overview", get(views::overview))
        .route("/console/events", get(events::events))
        .route("/console/webhooks/{id}/deliveries/{delivery}/resend", post(events::resend))
        .route("/console/audit", get(views::audit))
        .route("/console/assets/{name}", get(asset))
        .route("/console/pictures/{kind}/{sum}/{side}", get(pictures::get))
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
        // Photos need a larger body.
        .route("/console/lookup", get(lookup::page).post(lookup::take))
        .route("/console/{*rest}", get(nowhere))
        .layer(middleware::from_fn_with_state(app, auth::refusals_as_pages))
        .layer(middleware::map_response(guarded))
}

async fn nowhere(_: auth::Moderator) -> auth::Refusal {
    Refusal::Wrong(StatusCode::NOT_FOUND, "There is no such page.".to_owned())
}

async fn asset(Path(name): Path<String>) -> Response {
    match ASSETS.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, bytes)) => {
            ([(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, "public, max-age=300")], *bytes).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Adds the security headers that every answer of the console has.
async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Only small photos, which set their own header, may be cached; pages about cases may not.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
