//! Routes for a brand's references.

mod bodies;

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::access::{Called, Caller};
use super::form::{Form, Json, Parts, Path, Query, Rules, page};
use super::{App, Problem, fetched};
use crate::domain::{BrandId, Claim, DETAIL_CAPS, Details, Reference, check_name};
use crate::enrolment::Hygiene;
use crate::gallery::{Added, ListQuery};

use bodies::{PageQuery, ReferenceBody, ReferenceForm, ReferencePage, ReferencePatch};

const TEXTS: &[(&str, usize)] =
    &[("polarity", 16), ("kind", 16), DETAIL_CAPS[0], DETAIL_CAPS[1], DETAIL_CAPS[2], DETAIL_CAPS[3]];

/// Add a reference. The next check uses it.
#[utoipa::path(
    post, path = "/v1/brands/{brand}/references", operation_id = "create_reference", tag = "references",
    params(("brand" = BrandId, Path)),
    request_body(content = inline(ReferenceForm), content_type = "multipart/form-data"),
    responses(
        (status = 201, body = ReferenceBody, description = "Added and durably stored; `doubts` says why it may be a poor reference"),
        (status = 200, body = ReferenceBody, description = "The brand already has this photo; nothing was changed"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "The brand has this photo with the other polarity"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "Not a photo, or a damaged one (`photo-partly-decoded`)"),
        (status = 429, body = Problem, content_type = "application/problem+json"),
        (status = 502, body = Problem, content_type = "application/problem+json", description = "The photo could not be fetched; try again"),
    )
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Called,
    Path(brand): Path<String>,
    Parts(body): Parts,
) -> Result<Response, Problem> {
    let brand: BrandId = brand.parse()?;
    let _place = app.admit(&caller)?;
    let max_photo_bytes = app.screener().decoder.limits().max_bytes;
    let mut form = Form::read(body, &Rules { texts: TEXTS, max_photos: 1, max_photo_bytes, urls: true }).await?;
    fetched::fetch(&app, &mut form.photos).await?;
    let polarity = form
        .text("polarity")
        .ok_or_else(|| Problem::invalid("polarity-missing", "the form has no polarity, expected authentic or fake"))?;
    let claim = Claim {
        brand,
        polarity: polarity.parse()?,
        details: Details {
            product: form.text("product"),
            source: form.text("source"),
            notes: form.text("notes"),
            rights_basis: form.text("rights_basis"),
            kind: form.text("kind").map(|kind| kind.parse()).transpose()?,
        },
    };
    app.work(move |app| {
        let parts = app.parts();
        let library = &parts.screener.library;
        let hygiene = Hygiene { bank: &parts.screener.generic, library, disputes_others: caller.brand().is_none() };
        let added = parts.enrolment().enrol(&form.photo(), &claim, Some(hygiene), Some((caller.id(), None)))?;
        library.refresh()?;
        added_response(added, &caller)
    })
    .await
}

fn added_response(added: Added, caller: &Caller) -> Result<Response, Problem> {
    match added {
        Added::New(reference) => {
            let location = format!("/v1/brands/{}/references/{}", reference.claim.brand, reference.id);
            Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(ReferenceBody::seen_by(caller, reference)))
                .into_response())
        }
        Added::Existing(reference) => Ok(Json(ReferenceBody::seen_by(caller, reference)).into_response()),
        Added::Contradicts(known) => Err(Problem::new(
            StatusCode::CONFLICT,
            "reference-contradicts",
            format!(
                "this photo is already the {} reference {}; if that is wrong, delete that reference first",
                known.claim.polarity, known.id
            ),
        )),
    }
}

/// List a brand's references, in the order in which they were added.
#[utoipa::path(
    get, path = "/v1/brands/{brand}/references", operation_id = "list_references", tag = "references",
    params(("brand" = BrandId, Path), PageQuery),
    responses(
        (status = 200, body = ReferencePage),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Called,
    Path(brand): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Json<ReferencePage>, Problem> {
    let brand: BrandId = brand.parse()?;
    query.product.as_deref().map_or(Ok(()), |product| check_name("product", product))?;
    let (after, limit) = page(query.after, query.limit)?;
    let query = ListQuery {
        polarity: query.polarity,
        product: query.product,
        kind: query.kind,
        state: query.state,
        after,
        limit,
    };
    app.work_beside(move |app| {
        let references = app.screener().gallery.list(&brand, &query)?;
        let next = (references.len() == limit).then(|| references.last().map(|last| last.key)).flatten();
        Ok(Json(ReferencePage {
            references: references.into_iter().map(|one| ReferenceBody::seen_by(&caller, one)).collect(),
            next,
        }))
    })
    .await
}

/// One reference.
#[utoipa::path(
    get, path = "/v1/brands/{brand}/references/{id}", operation_id = "get_reference", tag = "references",
    params(("brand" = BrandId, Path), ("id" = String, Path)),
    responses(
        (status = 200, body = ReferenceBody),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Extension(caller): Called,
    Path((brand, id)): Path<(String, String)>,
) -> Result<Json<ReferenceBody>, Problem> {
    let brand: BrandId = brand.parse()?;
    app.work_beside(move |app| found(app.screener().gallery.get(&brand, &id)?, &id, &caller)).await
}

/// Change a reference: disable it, enable it, correct its texts. The next check uses the changed one.
#[utoipa::path(
    patch, path = "/v1/brands/{brand}/references/{id}", operation_id = "update_reference", tag = "references",
    params(("brand" = BrandId, Path), ("id" = String, Path)),
    request_body = ReferencePatch,
    responses(
        (status = 200, body = ReferenceBody),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn patch(
    State(app): State<Arc<App>>,
    Extension(caller): Called,
    Path((brand, id)): Path<(String, String)>,
    Json(patch): Json<ReferencePatch>,
) -> Result<Json<ReferenceBody>, Problem> {
    let brand: BrandId = brand.parse()?;
    let update = patch.checked()?;
    app.work(move |app| {
        let changed = app.screener().gallery.update(caller.id(), &brand, &id, &update)?;
        app.screener().library.refresh()?;
        found(changed, &id, &caller)
    })
    .await
}

/// Delete a reference and, if no other reference needs it, its photo. The next check no longer finds it.
#[utoipa::path(
    delete, path = "/v1/brands/{brand}/references/{id}", operation_id = "delete_reference", tag = "references",
    params(("brand" = BrandId, Path), ("id" = String, Path)),
    responses(
        (status = 204),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Extension(caller): Called,
    Path((brand, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let brand: BrandId = brand.parse()?;
    app.work(move |app| {
        let deleted = app.screener().gallery.delete(caller.id(), &brand, &id)?;
        app.screener().library.refresh()?;
        if deleted { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("reference", &id)) }
    })
    .await
}

fn found(reference: Option<Reference>, id: &str, caller: &Caller) -> Result<Json<ReferenceBody>, Problem> {
    reference
        .map(|reference| Json(ReferenceBody::seen_by(caller, reference)))
        .ok_or_else(|| Problem::not_found("reference", id))
}
