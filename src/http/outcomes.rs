use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::Called;
use super::form::{Json, Path};
use super::{App, Problem};
use crate::domain::{BrandId, Outcome, Polarity, check_field};
use crate::scoring::{CONFIDENCE, REQUIRED_PRECISION, Standing, Step};
use crate::screening::Finding;

/// What people found out about a check's match to a brand.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OutcomeBody {
    /// Whether the match was right: for a fake reference, that the goods are counterfeit; for an authentic
    /// one, that the photo is the brand's.
    confirmed: bool,
    /// Polarity of the matched references.
    #[serde(default = "fake")]
    #[schema(default = "fake")]
    polarity: Polarity,
    /// Who decided, at most 256 bytes.
    #[serde(default)]
    decided_by: Option<String>,
    /// Free text, at most 4096 bytes.
    #[serde(default)]
    note: Option<String>,
}

fn fake() -> Polarity {
    Polarity::Fake
}

/// A stored outcome.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OutcomeAnswer {
    check_id: String,
    brand: BrandId,
    polarity: Polarity,
    confirmed: bool,
    /// The score that the check gave this brand's most probable match, 0 to 1.
    score: f64,
    /// The scoring artefact that gave the score; outcomes count under this artefact only.
    scoring: String,
    decided_by: Option<String>,
    note: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    decided_at: Timestamp,
}

/// Store what people found out about a check's match to a brand.
///
/// Certificates are computed from outcomes. Outcomes prove something only if they cover all checks above a score, or a
/// random sample of them. A second outcome for the same match replaces the first.
#[utoipa::path(
    put, path = "/v1/checks/{id}/outcomes/{brand}", operation_id = "put_outcome", tag = "certificates",
    params(("id" = String, Path, description = "The check's id"), ("brand" = BrandId, Path)),
    request_body = OutcomeBody,
    responses(
        (status = 200, body = OutcomeAnswer),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(
    State(app): State<Arc<App>>,
    Extension(caller): Called,
    Path((id, brand)): Path<(String, String)>,
    Json(body): Json<OutcomeBody>,
) -> Result<Json<OutcomeAnswer>, Problem> {
    let brand: BrandId = brand.parse()?;
    short("decided_by", body.decided_by.as_deref(), 256)?;
    short("note", body.note.as_deref(), 4096)?;
    let finding =
        Finding { confirmed: body.confirmed, polarity: body.polarity, decided_by: body.decided_by, note: body.note };
    app.work(move |app| {
        let kept = app.screener().keep_outcome(caller.id(), id, brand, finding)?;
        Ok(Json(OutcomeAnswer::from(kept)))
    })
    .await
}

/// What a brand's outcomes prove, and the score from which on matches to its known fakes may be blocked.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CertificateBody {
    brand: BrandId,
    /// Whether matches to the brand's known fakes may be blocked.
    certified: bool,
    /// The score from which on they may be blocked, 0 to 1: the lowest proven step, but never below the score that 95%
    /// of the confirmed matches at or above that step reach.
    threshold: Option<f64>,
    /// Lower bound of the precision of blocks at or above the threshold (Clopper-Pearson, one-sided).
    precision_bound: Option<f64>,
    /// The required lower bound.
    required_precision: f64,
    /// Joint confidence of all bounds (Bonferroni over the steps).
    confidence: f64,
    /// Photos with an outcome of a match to the brand's fakes, under this artefact.
    outcomes: u64,
    /// What the outcomes prove at each score tried.
    steps: Vec<StepBody>,
    /// Whether the brand's policy asks for blocks.
    blocks: bool,
    versions: CertificateVersions,
    /// When the newest outcome was decided; absent where there are none.
    #[schema(value_type = Option<String>, format = DateTime)]
    as_of: Option<Timestamp>,
}

/// One score tried.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StepBody {
    /// Outcomes with at least this score count.
    score: f64,
    /// Confirmed counterfeits among these outcomes.
    confirmed: u64,
    /// Legitimate listings among these outcomes.
    wrong: u64,
    /// Lower bound of the precision at this score.
    precision_bound: f64,
}

/// The model and the scoring artefact that a certificate is valid for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CertificateVersions {
    touchstone: String,
    model: String,
    scoring: String,
}

/// A brand's certificate.
///
/// The service computes it from the brand's outcomes for every request: wrong blocks end it at once.
#[utoipa::path(
    get, path = "/v1/brands/{brand}/certificate", operation_id = "get_certificate", tag = "certificates",
    params(("brand" = BrandId, Path)),
    responses(
        (status = 200, body = CertificateBody),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Path(brand): Path<String>,
) -> Result<Json<CertificateBody>, Problem> {
    let brand: BrandId = brand.parse()?;
    app.work_beside(move |app| {
        let blocks = app.screener().gallery.policy(&brand)?.policy.block;
        let (outcomes, standing) = app.screener().standing(&brand)?;
        Ok(Json(certificate(app, brand, blocks, &outcomes, &standing)))
    })
    .await
}

fn certificate(app: &App, brand: BrandId, blocks: bool, outcomes: &[Outcome], standing: &Standing) -> CertificateBody {
    CertificateBody {
        brand,
        certified: standing.threshold().is_some(),
        threshold: standing.threshold(),
        precision_bound: standing.certified().map(|step| step.bound),
        required_precision: REQUIRED_PRECISION,
        confidence: CONFIDENCE,
        outcomes: standing.outcomes(),
        steps: standing.steps.iter().map(StepBody::from).collect(),
        blocks,
        versions: CertificateVersions {
            touchstone: env!("CARGO_PKG_VERSION").to_owned(),
            model: app.screener().library.model().to_owned(),
            scoring: app.screener().scoring.id().to_owned(),
        },
        as_of: outcomes.iter().map(|outcome| outcome.decided_at).max(),
    }
}

fn short(field: &str, text: Option<&str>, most: usize) -> Result<(), Problem> {
    text.map_or(Ok(()), |text| check_field(field, text))?;
    match text {
        Some(text) if text.len() > most => Err(Problem::invalid(
            "field-too-long",
            format!("{field} has {} bytes, expected at most {most}", text.len()),
        )),
        _ => Ok(()),
    }
}

impl From<Outcome> for OutcomeAnswer {
    fn from(outcome: Outcome) -> Self {
        Self {
            check_id: outcome.check_id,
            brand: outcome.brand,
            polarity: outcome.polarity,
            confirmed: outcome.confirmed,
            score: outcome.score,
            scoring: outcome.scoring,
            decided_by: outcome.decided_by,
            note: outcome.note,
            decided_at: outcome.decided_at,
        }
    }
}

impl From<&Step> for StepBody {
    fn from(step: &Step) -> Self {
        Self { score: step.score, confirmed: step.confirmed, wrong: step.wrong, precision_bound: step.bound }
    }
}
