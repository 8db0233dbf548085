//! Fetches the photos that a request names by URL, after the rest of the request is known to be valid.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{App, Problem};
use crate::fetch::FetchFault;
use crate::screening::Upload;
use crate::telemetry;

/// Photos of one request fetched at once.
const AT_ONCE: usize = 4;

/// Fetches the photos named by URL, and leaves the others.
pub(super) async fn fetch(app: &App, photos: &mut [Upload]) -> Result<(), Problem> {
    let wanted = wanted(photos);
    if wanted.is_empty() {
        return Ok(());
    }
    let _place = app.fetching()?;
    fetch_all(app, photos, wanted).await
}

/// As [`fetch`], for lines of batches, whose number at once is limited elsewhere.
pub(super) async fn fetch_in_batch(app: &App, photos: &mut [Upload]) -> Result<(), Problem> {
    let wanted = wanted(photos);
    fetch_all(app, photos, wanted).await
}

/// The URLs to fetch, each with its index in `photos`.
fn wanted(photos: &[Upload]) -> Vec<(usize, String)> {
    photos.iter().enumerate().filter_map(|(index, photo)| Some((index, photo.url.clone()?))).collect()
}

async fn fetch_all(app: &App, photos: &mut [Upload], wanted: Vec<(usize, String)>) -> Result<(), Problem> {
    let (each, mut left) = (app.screener().decoder.limits().max_bytes, app.server.max_request_bytes);
    left = left.saturating_sub(photos.iter().map(|photo| photo.bytes.len()).sum());
    let fetches = wanted.into_iter().map(|(index, url)| async move {
        let fetched = app.fetcher.fetch(&url, each).await;
        telemetry::fetched(fetched.as_ref().map_or_else(FetchFault::code, |_| "fetched"));
        fetched.map(|bytes| (index, bytes)).map_err(|fault| Problem::photo_url(index, &fault))
    });
    let mut fetched = stream::iter(fetches).buffer_unordered(AT_ONCE);
    while let Some((index, bytes)) = fetched.try_next().await? {
        left = left.checked_sub(bytes.len()).ok_or_else(Problem::too_much)?;
        photos[index].bytes = bytes;
    }
    Ok(())
}
