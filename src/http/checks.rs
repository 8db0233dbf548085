use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use utoipa::ToSchema;

use super::access::{Called, Caller};
use super::form::{Form, Parts, Path, Rules};
use super::{App, Problem, fetched};
use crate::gallery::IdempotencyKey;
use crate::screening::{Answered, CheckAnswer, Listing, Upload};

const TEXTS: &[(&str, usize)] = &[("listing_id", 256), ("seller_id", 256), ("brand", 256), ("category", 256)];
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The form of a check. Leave texts out instead of sending empty ones. Control characters are rejected.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form for OpenAPI; Form reads it")]
pub(super) struct CheckForm {
    /// 1 to 20 files, together with those of `photo_url`: JPEG, PNG, WebP, AVIF, HEIC, JPEG XL, GIF, BMP or TIFF, at
    /// most 20 MiB each.
    #[schema(value_type = Vec<String>, format = Binary, required = false, min_items = 1, max_items = 20)]
    photo: Vec<String>,
    /// Photos at `https://` URLs or in object stores (`s3://`), which the service fetches where its settings allow it.
    #[schema(required = false, max_items = 20)]
    photo_url: Vec<String>,
    /// The marketplace's id of the listing.
    #[schema(required = false, min_length = 1, max_length = 256)]
    listing_id: String,
    /// The marketplace's id of the seller.
    #[schema(required = false, min_length = 1, max_length = 256)]
    seller_id: String,
    /// The brand that the listing claims.
    #[schema(required = false, min_length = 1, max_length = 256)]
    brand: String,
    /// The marketplace's category.
    #[schema(required = false, min_length = 1, max_length = 256)]
    category: String,
}

/// Check a listing's photos before it goes live.
///
/// With an `Idempotency-Key`, a repeat with the same API key gets the first answer. A photo whose data are damaged is
/// `undecidable`; a photo of an unsupported type or size fails the request.
#[utoipa::path(
    post, path = "/v1/checks", operation_id = "create_check", tag = "checks",
    params(("Idempotency-Key" = String, Header, nullable = false, min_length = 1, max_length = 255, description = "1 to 255 visible characters")),
    request_body(content = inline(CheckForm), content_type = "multipart/form-data"),
    responses(
        (status = 200, body = CheckAnswer),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem, content_type = "application/problem+json"),
        (status = 502, body = Problem, content_type = "application/problem+json", description = "A photo could not be fetched; try again"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Called,
    headers: HeaderMap,
    Parts(body): Parts,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    let _place = app.admit(&caller)?;
    app.work_beside(|app| app.not_ready().map_or(Ok(()), |reason| Err(super::system::not_ready(reason)))).await?;
    let mut form = Form::read(body, &rules(&app)).await?;
    let listing = Listing {
        listing_id: form.text("listing_id"),
        seller_id: form.text("seller_id"),
        brand: form.text("brand"),
        category: form.text("category"),
    };
    if form.photos.iter().any(|photo| photo.url.is_some()) {
        if let Some(answer) = answered_before(&app, &caller, &listing, &form.photos, key.as_deref()).await? {
            return Ok(to_response(answer));
        }
        fetched::fetch(&app, &mut form.photos).await?;
    }
    let _turn = app.take_turn()?;
    let answer = app
        .work(move |app| {
            let repeats = key.as_deref().map(|key| IdempotencyKey { api_key: caller.id(), key });
            Ok(app.screener().check(&listing, &form.photos, repeats)?)
        })
        .await?;
    Ok(to_response(answer))
}

/// The stored answer to an earlier request with the same key, whose photos are not fetched again.
pub(super) async fn answered_before(
    app: &Arc<App>,
    caller: &Caller,
    listing: &Listing,
    photos: &[Upload],
    key: Option<&str>,
) -> Result<Option<Answered>, Problem> {
    let Some(key) = key.map(str::to_owned) else { return Ok(None) };
    let (listing, photos, caller) = (listing.clone(), photos.to_vec(), caller.clone());
    app.work_beside(move |app| {
        let repeats = IdempotencyKey { api_key: caller.id(), key: &key };
        Ok(app.screener().answered_before(&listing, &photos, repeats)?)
    })
    .await
}

fn to_response(answer: Answered) -> Response {
    let mut response = json(answer.json);
    if answer.replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// The stored answer to a check.
#[utoipa::path(
    get, path = "/v1/checks/{id}", operation_id = "get_check", tag = "checks",
    params(("id" = String, Path, description = "The check's id")),
    responses(
        (status = 200, body = CheckAnswer),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, Problem> {
    app.work_beside(move |app| match app.screener().gallery.check(&id)? {
        Some(saved) => Ok(json(saved.answer)),
        None => Err(Problem::not_found("check", &id)),
    })
    .await
}

fn rules(app: &App) -> Rules<'static> {
    Rules {
        texts: TEXTS,
        max_photos: app.server.max_photos,
        max_photo_bytes: app.screener().decoder.limits().max_bytes,
        urls: true,
    }
}

pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if (1..=255).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => {
            Err(Problem::invalid("idempotency-key-invalid", "Idempotency-Key is not 1 to 255 visible ASCII characters"))
        }
    }
}

fn json(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
