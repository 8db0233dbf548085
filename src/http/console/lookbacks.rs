use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;

use super::auth::{Moderator, Refusal};
use crate::console::{self, LookbacksPage};
use crate::http::App;

/// Searches of each kind that the page shows.
const SHOWN: usize = 100;

pub(super) async fn lookbacks(
    State(app): State<Arc<App>>,
    Moderator { session, .. }: Moderator,
) -> Result<Html<String>, Refusal> {
    app.page(move |app| {
        let screener = app.screener();
        let references = screener.gallery.lookbacks(None, SHOWN + 1)?;
        let page = console::lookbacks(&LookbacksPage {
            session: &session,
            remembers: screener.memory.keep,
            references: (&references[..references.len().min(SHOWN)], references.len() > SHOWN),
            models: &screener.gallery.model_lookbacks(SHOWN)?,
        });
        Ok(Html(page.into_string()))
    })
    .await
}
