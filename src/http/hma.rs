//! Routes with the paths and answers of Meta's Hasher-Matcher-Actioner, for tools that speak to one: hash a photo, match a
//! hash, list the banks. Errors are problems, as everywhere. Parameters that HMA knows and this service does not need pass.

use std::sync::Arc;

use axum::extract::{Query as Free, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, extract::FromRequest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};

use super::access::Called;
use super::fetched;
use super::form::{Form, Parts, Query, Rules};
use super::{App, Problem};
use crate::library::HashMatch;
use crate::photo::Pdq;
use crate::screening::Upload;

/// The only type of signals.
const PDQ: &str = "pdq";

/// Which photo to hash or match.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UrlQuery {
    /// URL of the photo, where the settings allow it (`fetch.photo_url`).
    url: Option<String>,
}

/// The hash to match.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct HashQuery {
    /// The type of the hash: `pdq`.
    signal_type: Option<String>,
    /// The hash: 64 lower-case hex digits.
    signal: Option<String>,
    /// Whether to add the number of differing bits.
    include_distance: Option<String>,
}

/// What `GET /m/lookup` is asked.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LookupQuery {
    /// URL of a photo, where the settings allow it; in place of `signal`.
    url: Option<String>,
    /// The type of the hash: `pdq`.
    signal_type: Option<String>,
    /// The hash: 64 lower-case hex digits.
    signal: Option<String>,
}

/// A photo as a form.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only describes the form")]
pub(super) struct PhotoForm {
    /// The photo.
    #[schema(content_media_type = "application/octet-stream")]
    photo: Vec<u8>,
}

/// A bank: the active references of a brand with one polarity.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Bank {
    /// Brand and polarity in capitals, such as `ACME_FAKE`.
    name: String,
    /// The share of look-ups that search the bank: always 1.
    matching_enabled_ratio: f32,
}

/// The matches of a hash.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RawMatches {
    /// Nearest first.
    matches: Vec<RawMatch>,
}

/// A reference that a hash matches.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum RawMatch {
    /// The reference's key.
    Key(u64),
    /// With `include_distance`.
    Near(NearHash),
}

/// A reference and how near its hash is.
#[derive(Debug, Serialize, ToSchema)]
struct NearHash {
    /// The reference's key.
    content_id: u64,
    /// The differing bits, 0 to 31, as text.
    distance: String,
}

/// Hash a photo by its URL, as HMA does: `{"pdq": HASH}`; the hash is empty if the photo is too flat to match.
#[utoipa::path(
    get, path = "/h/hash", operation_id = "hma_hash_url", tag = "hma", params(UrlQuery),
    responses(
        (status = 200, body = Object),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "The settings switch these routes off"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 502, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn hash_url(
    State(app): State<Arc<App>>,
    Extension(caller): Called,
    Free(query): Free<UrlQuery>,
) -> Result<Response, Problem> {
    on(&app)?;
    let _places = app.admit(&caller)?;
    let url = query.url.ok_or_else(|| missing("url"))?;
    let pdq = hash(&app, Upload::at(url)).await?;
    Ok(axum::Json(json!({ PDQ: text(&pdq) })).into_response())
}

/// Hash a photo that is sent in the field `photo`.
#[utoipa::path(
    post, path = "/h/hash", operation_id = "hma_hash", tag = "hma",
    request_body(content = PhotoForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, body = Object),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn hash_photo(
    State(app): State<Arc<App>>,
    Extension(caller): Called,
    request: Request,
) -> Result<Response, Problem> {
    on(&app)?;
    let _places = app.admit(&caller)?;
    let pdq = hash(&app, sent(&app, request).await?).await?;
    Ok(axum::Json(json!({ PDQ: text(&pdq) })).into_response())
}

/// Match a hash: the references whose hashes differ in at most 31 bits, nearest first.
#[utoipa::path(
    get, path = "/m/raw_lookup", operation_id = "hma_raw_lookup", tag = "hma", params(HashQuery),
    responses(
        (status = 200, body = RawMatches),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn raw_lookup(
    State(app): State<Arc<App>>,
    Free(query): Free<HashQuery>,
) -> Result<axum::Json<RawMatches>, Problem> {
    on(&app)?;
    let pdq = signal(query.signal_type.as_deref(), query.signal.as_deref())?;
    let with_distance = query.include_distance.is_some_and(|text| text.eq_ignore_ascii_case("true") || text == "1");
    app.work_beside(move |app| {
        let found = app.hashes.matches(&app.screener().gallery, &pdq)?;
        let one = |found: HashMatch| {
            if with_distance {
                RawMatch::Near(NearHash { content_id: found.key, distance: found.distance.to_string() })
            } else {
                RawMatch::Key(found.key)
            }
        };
        Ok(axum::Json(RawMatches { matches: found.into_iter().map(one).collect() }))
    })
    .await
}

/// The banks that a hash or a photo by its URL matches.
#[utoipa::path(
    get, path = "/m/lookup", operation_id = "hma_lookup_hash", tag = "hma", params(LookupQuery),
    responses(
        (status = 200, body = Object, description = "A list of banks; for a URL, an object with the list under `pdq`"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 502, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn lookup_hash(
    State(app): State<Arc<App>>,
    Extension(caller): Called,
    Free(query): Free<LookupQuery>,
) -> Result<Response, Problem> {
    on(&app)?;
    let _places = app.admit(&caller)?;
    if let Some(url) = query.url.filter(|url| !url.is_empty()) {
        let pdq = hash(&app, Upload::at(url)).await?;
        return Ok(axum::Json(json!({ PDQ: banks_of(&app, pdq).await? })).into_response());
    }
    let pdq = signal(query.signal_type.as_deref(), query.signal.as_deref())?;
    Ok(axum::Json(banks_of(&app, pdq).await?).into_response())
}

/// The banks that a photo in the field `photo` matches, under `pdq`.
#[utoipa::path(
    post, path = "/m/lookup", operation_id = "hma_lookup", tag = "hma",
    request_body(content = PhotoForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, body = Object),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn lookup_photo(
    State(app): State<Arc<App>>,
    Extension(caller): Called,
    request: Request,
) -> Result<Response, Problem> {
    on(&app)?;
    let _places = app.admit(&caller)?;
    let pdq = hash(&app, sent(&app, request).await?).await?;
    Ok(axum::Json(json!({ PDQ: banks_of(&app, pdq).await? })).into_response())
}

/// The banks: one for each brand and polarity with active references.
#[utoipa::path(
    get, path = "/c/banks", operation_id = "hma_banks", tag = "hma",
    responses(
        (status = 200, body = Vec<Bank>),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn banks(State(app): State<Arc<App>>) -> Result<axum::Json<Vec<Bank>>, Problem> {
    on(&app)?;
    app.work_beside(|app| {
        let names = app.hashes.names(&app.screener().gallery)?;
        Ok(axum::Json(names.into_iter().map(|name| Bank { name, matching_enabled_ratio: 1.0 }).collect()))
    })
    .await
}

/// How many hashes can be matched, by type.
#[utoipa::path(
    get, path = "/m/index/status", operation_id = "hma_index_status", tag = "hma",
    responses(
        (status = 200, body = Object),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn index_status(
    State(app): State<Arc<App>>,
    Query(NoQuery {}): Query<NoQuery>,
) -> Result<axum::Json<Map<String, Value>>, Problem> {
    on(&app)?;
    app.work_beside(|app| {
        let size = app.hashes.count(&app.screener().gallery)?;
        let revision = app.screener().gallery.revision()?;
        let status = json!({ "present": true, "built_to": revision, "size": size });
        Ok(axum::Json(Map::from_iter([(PDQ.to_owned(), status)])))
    })
    .await
}

/// No parameters.
#[derive(Deserialize)]
pub(super) struct NoQuery {}

fn on(app: &App) -> Result<(), Problem> {
    if app.hma.enabled {
        return Ok(());
    }
    Err(Problem::new(
        axum::http::StatusCode::NOT_FOUND,
        "hma-off",
        "the routes of HMA are switched off; set hma.enabled = true",
    ))
}

async fn sent(app: &App, request: Request) -> Result<Upload, Problem> {
    let Parts(body) = Parts::from_request(request, &()).await?;
    let max_photo_bytes = app.screener().decoder.limits().max_bytes;
    let form = Form::read(body, &Rules { texts: &[], max_photos: 1, max_photo_bytes, urls: false }).await?;
    Ok(Upload::sent(None, form.photo()))
}

async fn hash(app: &Arc<App>, photo: Upload) -> Result<Pdq, Problem> {
    let mut photos = [photo];
    fetched::fetch(app, &mut photos).await?;
    let [photo] = photos;
    app.work(move |app| {
        let photo = app.screener().decoder.decode(&photo.bytes).map_err(|error| Problem::photo(0, &error))?;
        Ok(Pdq::of(photo.rgb()))
    })
    .await
}

async fn banks_of(app: &Arc<App>, pdq: Pdq) -> Result<Vec<String>, Problem> {
    app.work_beside(move |app| {
        if !pdq.can_match() {
            return Ok(Vec::new());
        }
        let found = app.hashes.matches(&app.screener().gallery, &pdq)?;
        let mut banks: Vec<String> = found.into_iter().map(|one| one.bank).collect();
        banks.sort();
        banks.dedup();
        Ok(banks)
    })
    .await
}

/// The hash as text; empty if it matches nothing.
fn text(pdq: &Pdq) -> String {
    if pdq.can_match() { pdq.to_string() } else { String::new() }
}

fn signal(kind: Option<&str>, signal: Option<&str>) -> Result<Pdq, Problem> {
    let kind = kind.ok_or_else(|| missing("signal_type"))?;
    if kind != PDQ {
        return Err(Problem::invalid("signal-type-unknown", format!("signal_type is {kind:?}, expected \"pdq\"")));
    }
    let signal = signal.ok_or_else(|| missing("signal"))?;
    signal.parse().map_err(|error| Problem::invalid("signal-invalid", format!("signal is {signal:?}: {error}")))
}

fn missing(name: &str) -> Problem {
    Problem::invalid("parameter-missing", format!("the parameter {name} is missing"))
}
