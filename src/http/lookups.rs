use std::sync::Arc;

use axum::Extension;
use axum::extract::{FromRequest, Request, State};
use axum::http::header;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::Called;
use super::form::{Form, Json, Parts, Rules};
use super::{App, Problem, fetched};
use crate::domain::{BrandId, Polarity, check_name};
use crate::library::Filter;
use crate::screening::{Lookup, Match, Screener};

const TEXTS: &[(&str, usize)] = &[("k", 8), ("brand", 64), ("polarity", 16), ("product", 256)];
const DEFAULT_K: usize = 10;
const MAX_K: usize = 1000;

/// A look-up by a reference's id.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LookupRequest {
    /// The reference whose similar references you want; it is not among the answers.
    reference_id: String,
    /// Number of answers, 1 to 1000; 10 when absent.
    #[schema(minimum = 1, maximum = 1000)]
    k: Option<usize>,
    /// Only references of this brand.
    #[schema(value_type = Option<BrandId>)]
    brand: Option<String>,
    /// Only references of this polarity: `authentic` or `fake`.
    #[schema(value_type = Option<Polarity>)]
    polarity: Option<String>,
    /// Only references of this product.
    product: Option<String>,
}

/// The form of a look-up by photo.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form for OpenAPI; Form reads it")]
pub(super) struct LookupForm {
    /// One file; else send `photo_url`.
    #[schema(value_type = String, format = Binary, required = false)]
    photo: String,
    /// A photo at an `https://` URL or in an object store; the service fetches it where its settings allow that.
    #[schema(required = false)]
    photo_url: String,
    /// Number of answers, 1 to 1000; 10 when absent.
    #[schema(minimum = 1, maximum = 1000, required = false)]
    k: usize,
    /// Only references of this brand.
    #[schema(required = false)]
    brand: String,
    /// Only references of this polarity: `authentic` or `fake`.
    #[schema(required = false)]
    polarity: Polarity,
    /// Only references of this product.
    #[schema(required = false)]
    product: String,
}

/// The answer to a look-up.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LookupAnswer {
    /// Nearest first.
    matches: Vec<Match>,
}

/// The photo or reference to look up.
enum Subject {
    Photo(bytes::Bytes),
    Reference(String),
}

/// Find the references most similar to a photo (multipart) or to a reference (JSON).
#[utoipa::path(
    post, path = "/v1/lookups", operation_id = "create_lookup", tag = "lookups",
    request_body(content(
        (inline(LookupForm) = "multipart/form-data"),
        (LookupRequest = "application/json"),
    )),
    responses(
        (status = 200, body = LookupAnswer),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem, content_type = "application/problem+json"),
        (status = 502, body = Problem, content_type = "application/problem+json", description = "The photo could not be fetched; try again"),
    )
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Called,
    request: Request,
) -> Result<Json<LookupAnswer>, Problem> {
    let _place = app.admit(&caller)?;
    let (subject, k, filter) = read(&app, request).await?;
    let filter = Filter { brand: caller.held_to(filter.brand)?, ..filter };
    app.work(move |app| {
        let matches = lookup(&app.screener(), &subject, k, &filter, caller.brand())?;
        Ok(Json(LookupAnswer { matches }))
    })
    .await
}

async fn read(app: &App, request: Request) -> Result<(Subject, usize, Filter), Problem> {
    let content_type =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content_type.to_ascii_lowercase().starts_with("application/json") {
        let Json(body) = Json::<LookupRequest>::from_request(request, &()).await?;
        check_name("reference_id", &body.reference_id)?;
        let filter = filter(body.brand, body.polarity, body.product)?;
        return Ok((Subject::Reference(body.reference_id), check_k(body.k.unwrap_or(DEFAULT_K))?, filter));
    }
    let Parts(body) = Parts::from_request(request, &()).await?;
    let max_photo_bytes = app.screener().decoder.limits().max_bytes;
    let mut form = Form::read(body, &Rules { texts: TEXTS, max_photos: 1, max_photo_bytes, urls: true }).await?;
    let k = match form.text("k") {
        Some(text) => text.parse().map_err(|_| invalid_k(&text))?,
        None => DEFAULT_K,
    };
    let filter = filter(form.text("brand"), form.text("polarity"), form.text("product"))?;
    fetched::fetch(app, &mut form.photos).await?;
    Ok((Subject::Photo(form.photo()), check_k(k)?, filter))
}

fn filter(brand: Option<String>, polarity: Option<String>, product: Option<String>) -> Result<Filter, Problem> {
    product.as_deref().map_or(Ok(()), |product| check_name("product", product))?;
    Ok(Filter {
        brand: brand.map(|text| text.parse()).transpose()?,
        polarity: polarity.map(|text| text.parse()).transpose()?,
        product,
    })
}

fn check_k(k: usize) -> Result<usize, Problem> {
    if (1..=MAX_K).contains(&k) { Ok(k) } else { Err(invalid_k(&k.to_string())) }
}

fn invalid_k(got: &str) -> Problem {
    Problem::invalid("k-invalid", format!("k is {got:?}, expected a number from 1 to {MAX_K}"))
}

/// Runs a look-up. Where `own` is set, a caller's reference must be of that brand.
fn lookup(
    screener: &Screener,
    subject: &Subject,
    k: usize,
    filter: &Filter,
    own: Option<&BrandId>,
) -> Result<Vec<Match>, Problem> {
    let (embeddings, itself) = match subject {
        Subject::Photo(bytes) => (screener.embed(bytes)?, None),
        Subject::Reference(id) => {
            let reference = screener.gallery.find(id)?;
            let reference = reference.filter(|reference| own.is_none_or(|own| *own == reference.claim.brand));
            let reference = reference.ok_or_else(|| Problem::not_found("reference", id))?;
            let vector = screener.library.vector(reference.key);
            let embedding = vector.ok_or_else(|| Problem::not_found("active reference", id))?;
            (vec![embedding], Some(id))
        }
    };
    let mut matches =
        screener.lookup(&Lookup { embeddings: &embeddings, k: k + usize::from(itself.is_some()), filter })?;
    matches.retain(|near| Some(&near.reference_id) != itself);
    matches.truncate(k);
    Ok(matches)
}
