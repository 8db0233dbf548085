//! What people found out about checks, and what it proves.

use jiff::Timestamp;
use thiserror::Error;

use super::{CheckAnswer, Match, PhotoAnswer, Screener};
use crate::gallery::{BrandId, GalleryError, Outcome, Polarity};
use crate::library::LibraryError;
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
    /// the check's answer names. The next check counts it. `by`: id of the API key.
    ///
    /// # Errors
    /// [`OutcomeError`]; nothing is kept then, unless only the library could not follow.
    pub fn keep_outcome(
        &self,
        by: &str,
        check_id: String,
        brand: BrandId,
        finding: Finding,
    ) -> Result<Outcome, OutcomeError> {
        let saved = self.gallery.check(&check_id)?.ok_or_else(|| OutcomeError::Unknown(check_id.clone()))?;
        let answer: CheckAnswer = serde_json::from_str(&saved.answer)?;
        let polarity = finding.polarity;
        let Some(outcome) = answer.outcome(&brand, finding) else {
            return Err(OutcomeError::NoMatch { id: check_id, scoring: answer.versions.scoring, polarity, brand });
        };
        self.gallery.put_outcome(by, &outcome)?;
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
    pub fn outcome(&self, brand: &BrandId, finding: Finding) -> Option<Outcome> {
        let matches = self.photos.iter().flat_map(|photo| photo.matches.iter().map(move |near| (photo, near)));
        let own = matches.filter(|(_, near)| near.brand == brand.as_str() && near.polarity == finding.polarity);
        let scored = own.filter_map(|(photo, near)| Some((photo, near, near.score?)));
        let (photo, near, _) = scored.max_by(|a, b| a.2.total_cmp(&b.2))?;
        self.outcome_of(photo, near, finding)
    }

    /// What a finding says about one match of this check; `None` where it has no score.
    #[must_use]
    pub fn outcome_of(&self, photo: &PhotoAnswer, near: &Match, finding: Finding) -> Option<Outcome> {
        Some(Outcome {
            check_id: self.id.clone(),
            brand: near.brand.parse().ok()?,
            polarity: near.polarity,
            photo: photo.sha256.parse().ok()?,
            confirmed: finding.confirmed,
            score: f64::from(near.score?),
            scoring: self.versions.scoring.clone(),
            decided_by: finding.decided_by,
            note: finding.note,
            decided_at: Timestamp::now(),
        })
    }
}
