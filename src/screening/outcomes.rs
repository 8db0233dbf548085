//! What people found out about checks, and what it proves.

use jiff::Timestamp;
use thiserror::Error;

use super::{CheckAnswer, Screener};
use crate::gallery::{BrandId, GalleryError, Outcome, Polarity};
use crate::library::LibraryError;
use crate::photo::Sha256;
use crate::scoring::Standing;

/// What somebody found out.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Whether the match was right: for a fake reference, that the goods are counterfeit; for an authentic one, that
    /// the photo is the brand's.
    pub confirmed: bool,
    /// Polarity of the references that were matched.
    pub polarity: Polarity,
    /// Who decided.
    pub decided_by: Option<String>,
    /// Free text.
    pub note: Option<String>,
}

/// Why an outcome is not kept.
#[derive(Debug, Error)]
pub enum OutcomeError {
    /// No such check.
    #[error("there is no check {0}")]
    Unknown(String),
    /// The check matched no such reference of the brand.
    #[error("check {id} (scoring {scoring:?}) names no match with a score to a {polarity} reference of {brand}")]
    NoMatch {
        /// The check.
        id: String,
        /// The artefact that answered it.
        scoring: String,
        /// What was asked for.
        polarity: Polarity,
        /// Whose.
        brand: BrandId,
    },
    /// The stored answer cannot be read.
    #[error("the stored answer cannot be read: {0}")]
    Answer(#[from] serde_json::Error),
    /// The database said no.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// It is kept, but does not count yet.
    #[error(transparent)]
    Library(#[from] LibraryError),
}

impl Screener {
    /// Keeps what was found out about a check's most probable match to a brand, with the score and the artefact that
    /// the check's answer names. The next check counts it.
    ///
    /// # Errors
    /// [`OutcomeError`]; nothing is kept then, unless only the library could not follow.
    pub fn keep_outcome(&self, check_id: String, brand: BrandId, finding: Finding) -> Result<Outcome, OutcomeError> {
        let saved = self.gallery.check(&check_id)?.ok_or_else(|| OutcomeError::Unknown(check_id.clone()))?;
        let answer: CheckAnswer = serde_json::from_str(&saved.answer)?;
        let polarity = finding.polarity;
        let Some(outcome) = answer.outcome(brand.clone(), finding) else {
            return Err(OutcomeError::NoMatch { id: check_id, scoring: answer.versions.scoring, polarity, brand });
        };
        self.gallery.put_outcome(&outcome)?;
        self.library.refresh()?;
        Ok(outcome)
    }

    /// A brand's outcomes under the artefact in use, and what they prove.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn standing(&self, brand: &BrandId) -> Result<(Vec<Outcome>, Standing), GalleryError> {
        let outcomes = self.gallery.outcomes(brand, self.scoring.id())?;
        let standing = Standing::of(&outcomes);
        Ok((outcomes, standing))
    }
}

impl CheckAnswer {
    /// What a finding says about this check's most probable match to a brand's references of one polarity; `None` where
    /// there is no such match with a score.
    #[must_use]
    pub fn outcome(&self, brand: BrandId, finding: Finding) -> Option<Outcome> {
        let (photo, score) = best_match(self, &brand, finding.polarity)?;
        Some(Outcome {
            check_id: self.id.clone(),
            brand,
            polarity: finding.polarity,
            photo,
            confirmed: finding.confirmed,
            score,
            scoring: self.versions.scoring.clone(),
            decided_by: finding.decided_by,
            note: finding.note,
            decided_at: Timestamp::now(),
        })
    }
}

/// The photo and the score of the most probable match to a brand's references of one polarity.
fn best_match(answer: &CheckAnswer, brand: &BrandId, polarity: Polarity) -> Option<(Sha256, f64)> {
    let matches = answer.photos.iter().flat_map(|photo| photo.matches.iter().map(move |near| (photo, near)));
    let own = matches.filter(|(_, near)| near.brand == brand.as_str() && near.polarity == polarity);
    let scored = own.filter_map(|(photo, near)| Some((photo.sha256.parse().ok()?, f64::from(near.score?))));
    scored.max_by(|a: &(Sha256, f64), b| a.1.total_cmp(&b.1))
}
