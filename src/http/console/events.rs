use std::sync::Arc;

use axum::extract::State;
use axum::response::{Html, Response};
use serde::Deserialize;

use super::auth::{Moderator, Nothing, Path, Query, Refusal, Signed};
use super::flash::{Flash, flash_text};
use crate::console::{self, EventsPage};
use crate::domain::DeliveryState;
use crate::gallery::DeliveryQuery;
use crate::http::App;
use crate::http::webhooks::send_again;

/// Dead deliveries, and events, that the page shows.
const SHOWN: usize = 50;

#[derive(Deserialize)]
pub(super) struct EventsQuery {
    told: Option<String>,
}

pub(super) async fn events(
    State(app): State<Arc<App>>,
    Moderator { session, .. }: Moderator,
    Query(EventsQuery { told }): Query<EventsQuery>,
) -> Result<Html<String>, Refusal> {
    app.page(move |app| {
        let screener = app.screener();
        let gallery = &screener.gallery;
        let dead = DeliveryQuery { state: Some(DeliveryState::Dead), limit: SHOWN + 1, ..DeliveryQuery::default() };
        let dead = gallery.deliveries(&dead)?;
        let page = console::events(&EventsPage {
            session: &session,
            enabled: app.webhooks.options().enabled,
            webhooks: &gallery.webhooks()?,
            dead: (&dead[..dead.len().min(SHOWN)], dead.len() > SHOWN),
            events: &gallery.newest_events(SHOWN)?,
            notice: flash_text(told.as_deref()),
        });
        Ok(Html(page.into_string()))
    })
    .await
}

pub(super) async fn resend(
    State(app): State<Arc<App>>,
    Path((webhook, delivery)): Path<(String, String)>,
    Signed(moderator, Nothing {}): Signed<Nothing>,
) -> Result<Response, Refusal> {
    app.page(move |app| {
        let worker = moderator.worker();
        send_again(app, (&worker.name, Some(&worker.session)), (&webhook, &delivery))?;
        Ok(Flash::SentAgain.redirect("/console/events"))
    })
    .await
}
