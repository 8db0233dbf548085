//! Small versions of photos, made once.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::auth::{Moderator, Path, Refusal};
use crate::gallery::THUMBNAIL_SIDES;
use crate::http::App;
use crate::photo::Sha256;

pub(super) async fn get(
    State(app): State<Arc<App>>,
    _: Moderator,
    Path((kind, sum, side)): Path<(String, String, u32)>,
) -> Result<Response, Refusal> {
    let missing = || Refusal::Wrong(StatusCode::NOT_FOUND, "There is no such photo.".to_owned());
    let sum: Sha256 = sum.parse().map_err(|_| missing())?;
    if !THUMBNAIL_SIDES.contains(&side) {
        return Err(missing());
    }
    app.page(move |app| {
        let screener = app.screener();
        let gallery = &screener.gallery;
        let sent = match kind.as_str() {
            "photo" => true,
            "reference" => false,
            _ => return Err(missing()),
        };
        let made = match gallery.thumbnail(sum, side).filter(|_| gallery.has_photo(sum, sent)) {
            Some(made) => made,
            None => {
                let bytes = gallery.photo(sum).or_else(|none| if sent { gallery.upload(sum) } else { Err(none) });
                let bytes = bytes.map_err(|_| missing())?;
                let photo = screener.decoder.decode(&bytes).map_err(|_| missing())?;
                let made = photo.as_seen().shrunk(side).to_jpeg(82).map_err(|_| missing())?;
                gallery.keep_thumbnail(sum, side, &made)?;
                made
            }
        };
        // The small version for a checksum never changes; who may see it does.
        let headers =
            [(header::CONTENT_TYPE, "image/jpeg"), (header::CACHE_CONTROL, "private, max-age=86400, immutable")];
        Ok((headers, made).into_response())
    })
    .await
}
