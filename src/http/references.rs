use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::{Called, Caller};
use super::form::{Form, Json, Parts, Path, Query, Rules, too_long};
use super::{App, Problem};
use crate::enrolment::Hygiene;
use crate::gallery::{
    Added, BrandId, Claim, DETAIL_CAPS, Details, ListQuery, Mark, Polarity, Quarantine, Reference, ReferenceState,
    ReferenceUpdate,
};

const TEXTS: &[(&str, usize)] = &[("polarity", 16), DETAIL_CAPS[0], DETAIL_CAPS[1], DETAIL_CAPS[2], DETAIL_CAPS[3]];
const MAX_PAGE: usize = 1000;

/// A reference.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReferenceBody {
    /// Its id.
    id: String,
    /// Whose it is.
    brand: BrandId,
    /// Authentic or fake.
    polarity: Polarity,
    /// The brand's product id.
    product: Option<String>,
    /// Where the brand has it from.
    source: Option<String>,
    /// Free text.
    notes: Option<String>,
    /// Why the brand may use the photo.
    rights_basis: Option<String>,
    /// Whether it takes part in checks.
    state: ReferenceState,
    /// Why it is held back, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantine: Option<Quarantine>,
    /// Why it never leads to a block by itself, if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    mark: Option<Mark>,
    /// Near-copies of one another within the brand have the same number; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<u64>,
    /// Sum of the photo's bytes, 64 hex digits.
    sha256: String,
    /// Perceptual hash, 64 hex digits.
    perceptual_hash: String,
    /// How much there is to see, 0 to 100.
    quality: u8,
    /// Width in pixels, upright.
    width: u32,
    /// Height in pixels, upright.
    height: u32,
    /// Media type of the photo.
    media_type: String,
    /// When it was added.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl ReferenceBody {
    /// As this caller may see it: a brand hears that its image contradicts another's, not whose, nor which.
    fn seen_by(caller: &Caller, reference: Reference) -> Self {
        let mut body = Self::from(reference);
        if let Some(quarantine) =
            body.quarantine.as_mut().filter(|held| caller.brand().is_some() && held.names_another())
        {
            "nearly the same image was supplied otherwise; the marketplace decides which is right"
                .clone_into(&mut quarantine.detail);
        }
        body
    }
}

impl From<Reference> for ReferenceBody {
    fn from(reference: Reference) -> Self {
        let (claim, photo) = (reference.claim, reference.photo);
        Self {
            id: reference.id,
            brand: claim.brand,
            polarity: claim.polarity,
            product: claim.details.product,
            source: claim.details.source,
            notes: claim.details.notes,
            rights_basis: claim.details.rights_basis,
            state: reference.state,
            quarantine: reference.quarantine,
            mark: reference.mark,
            group: reference.group,
            sha256: photo.sha256.to_string(),
            perceptual_hash: crate::photo::Sha256(photo.perceptual_hash).to_string(),
            quality: photo.quality,
            width: photo.width,
            height: photo.height,
            media_type: photo.media_type,
            created_at: reference.created_at,
            updated_at: reference.updated_at,
        }
    }
}

/// The form of a new reference.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form for OpenAPI; Form reads it")]
pub(super) struct ReferenceForm {
    /// One file.
    #[schema(value_type = String, format = Binary)]
    photo: String,
    /// Authentic or fake.
    polarity: Polarity,
    /// The brand's product id, at most 256 bytes.
    #[schema(required = false)]
    product: String,
    /// Where the brand has it from, at most 1024 bytes.
    #[schema(required = false)]
    source: String,
    /// Free text, at most 4096 bytes.
    #[schema(required = false)]
    notes: String,
    /// Why the brand may use the photo, at most 256 bytes.
    #[schema(required = false)]
    rights_basis: String,
}

/// One page of references.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReferencePage {
    /// In the order they were added.
    references: Vec<ReferenceBody>,
    /// `after` of the next page; absent on the last.
    next: Option<u64>,
}

/// Which references to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    /// Only of this polarity.
    polarity: Option<Polarity>,
    /// Only of this product.
    product: Option<String>,
    /// Only in this state.
    state: Option<ReferenceState>,
    /// `next` of the page before.
    after: Option<u64>,
    /// 1 to 1000; 100 when absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// What to change: absent fields stay, null clears.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReferencePatch {
    /// The brand's product id, at most 256 bytes.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    product: Option<Option<String>>,
    /// Where the brand has it from, at most 1024 bytes.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    source: Option<Option<String>>,
    /// Free text, at most 4096 bytes.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    notes: Option<Option<String>>,
    /// Why the brand may use the photo, at most 256 bytes.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    rights_basis: Option<Option<String>>,
    /// Whether it takes part in checks.
    #[schema(value_type = Option<SettableState>)]
    state: Option<ReferenceState>,
}

/// The states that a brand may put a reference into.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes a field for OpenAPI")]
enum SettableState {
    /// Takes part.
    Active,
    /// Kept, but takes no part.
    Disabled,
}

/// Tells null from absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Add a brand's image. The next check sees it.
#[utoipa::path(
    post, path = "/v1/brands/{brand}/references", tag = "references",
    params(("brand" = BrandId, Path)),
    request_body(content = inline(ReferenceForm), content_type = "multipart/form-data"),
    responses(
        (status = 201, body = ReferenceBody, description = "Added, and stored so that it survives a crash"),
        (status = 200, body = ReferenceBody, description = "The brand has this very photo already; nothing was changed"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "The brand has this very photo with the other polarity"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem, content_type = "application/problem+json"),
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
    let rules = Rules { texts: TEXTS, max_photos: 1, max_photo_bytes: app.screener().decoder.limits().max_bytes };
    let mut form = Form::read(body, &rules).await?;
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
        },
    };
    app.work(move |app| {
        let parts = app.parts();
        let library = &parts.screener.library;
        let hygiene = Hygiene { bank: &parts.bank, library, disputes_others: caller.brand().is_none() };
        let added = parts.enrolment().enrol(&form.photo(), &claim, Some(hygiene), None)?;
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
                "this very photo is {} already as {}; delete that reference first if it is wrong",
                known.claim.polarity, known.id
            ),
        )),
    }
}

/// List a brand's references, in the order they were added.
#[utoipa::path(
    get, path = "/v1/brands/{brand}/references", tag = "references",
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
    let limit = query.limit.unwrap_or(100);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::invalid("limit-invalid", format!("limit is {limit}, expected 1 to {MAX_PAGE}")));
    }
    let after = query.after.unwrap_or(0);
    if i64::try_from(after).is_err() {
        return Err(Problem::invalid("after-invalid", format!("after is {after}, expected `next` of the page before")));
    }
    let query = ListQuery { polarity: query.polarity, product: query.product, state: query.state, after, limit };
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
    get, path = "/v1/brands/{brand}/references/{id}", tag = "references",
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

/// Change a reference: disable it, enable it, mend its texts. The next check sees it.
#[utoipa::path(
    patch, path = "/v1/brands/{brand}/references/{id}", tag = "references",
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
        let changed = app.screener().gallery.update(&brand, &id, &update)?;
        app.screener().library.refresh()?;
        found(changed, &id, &caller)
    })
    .await
}

/// Delete a reference and, where no other needs it, its photo. The next check sees it.
#[utoipa::path(
    delete, path = "/v1/brands/{brand}/references/{id}", tag = "references",
    params(("brand" = BrandId, Path), ("id" = String, Path)),
    responses(
        (status = 204),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Path((brand, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let brand: BrandId = brand.parse()?;
    app.work(move |app| {
        let deleted = app.screener().gallery.delete(&brand, &id)?;
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

impl ReferencePatch {
    fn checked(self) -> Result<ReferenceUpdate, Problem> {
        let fields = [&self.product, &self.source, &self.notes, &self.rights_basis];
        for ((name, cap), field) in DETAIL_CAPS.into_iter().zip(fields) {
            if field.as_ref().and_then(Option::as_ref).is_some_and(|text| text.len() > cap) {
                return Err(too_long(name, cap));
            }
        }
        if let Some(state) =
            self.state.filter(|state| !matches!(state, ReferenceState::Active | ReferenceState::Disabled))
        {
            return Err(Problem::invalid(
                "state-invalid",
                format!("state is {}, expected active or disabled", state.as_str()),
            ));
        }
        Ok(ReferenceUpdate {
            product: self.product,
            source: self.source,
            notes: self.notes,
            rights_basis: self.rights_basis,
            state: self.state,
        })
    }
}
