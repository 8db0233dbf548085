//! Outcomes of checks, and what they prove.

use jiff::Timestamp;
use thiserror::Error;

use super::{CheckAnswer, Match, PhotoAnswer, Screener};
use crate::domain::{BrandId, Outcome, Polarity};
use crate::gallery::{Certifier, GalleryError};
use crate::library::LibraryError;
use crate::scoring::Standing;

/// What a person found out about a match.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Whether the match was right: for a fake reference, that the goods are counterfeit; for an authentic one, that
    /// the photo is the brand's.
    pub confirmed: bool,
    /// Polarity of the matched references.
    pub polarity: Polarity,
    /// Name of the person or team that decided.
    pub decided_by: Option<String>,
    /// Free text.
    pub note: Option<String>,
}

/// Why an outcome was not stored.
#[derive(Debug, Error)]
pub enum OutcomeError {
    /// No check has this id.
    #[error("there is no check {0}")]
    Unknown(String),
    /// The check's answer names no scored match to a reference of this brand and polarity.
    #[error("check {id} (scoring {scoring:?}) names no match with a score to a {polarity} reference of {brand}")]
    NoMatch {
        /// Id of the check.
        id: String,
        /// Id of the scoring artefact that answered the check.
        scoring: String,
        /// The requested polarity.
        polarity: Polarity,
        /// The requested brand.
        brand: BrandId,
    },
    /// The stored answer cannot be parsed.
    #[error("the stored answer cannot be read: {0}")]
    Answer(#[from] serde_json::Error),
    /// The database returned an error.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// The outcome is stored, but the library could not apply it yet.
    #[error(transparent)]
    Library(#[from] LibraryError),
}

impl Screener {
    /// Stores the outcome of a check's most probable match to a brand, with the score and the artefact that the check's
    /// answer names. The next check counts it. `by` is the id of the API key.
    ///
    /// # Errors
    /// When there is no such check or match, or the database returns an error; nothing is stored then, except after
    /// [`OutcomeError::Library`].
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
        self.gallery.put_outcome(by, &outcome, &self.certifier())?;
        self.library.refresh()?;
        Ok(outcome)
    }

    /// The rule by which outcomes under the artefact in use certify blocks.
    #[must_use]
    pub fn certifier(&self) -> Certifier<'_> {
        Certifier { scoring: self.scoring.id(), threshold: |outcomes| Standing::of(outcomes).threshold() }
    }

    /// A brand's outcomes under the artefact in use, and its standing.
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
    /// The outcome of this check's most probable match to a brand's references of one polarity; `None` where no such
    /// match has a score.
    #[must_use]
    pub fn outcome(&self, brand: &BrandId, finding: Finding) -> Option<Outcome> {
        let matches = self.photos.iter().flat_map(|photo| photo.matches.iter().map(move |near| (photo, near)));
        let own = matches.filter(|(_, near)| near.brand == brand.as_str() && near.polarity == finding.polarity);
        let scored = own.filter_map(|(photo, near)| Some((photo, near, near.score?)));
        let (photo, near, _) = scored.max_by(|a, b| a.2.total_cmp(&b.2))?;
        self.outcome_of(photo, near, finding)
    }

    /// The outcome of one match of this check; `None` where the match has no score.
    #[must_use]
    pub fn outcome_of(&self, photo: &PhotoAnswer, near: &Match, finding: Finding) -> Option<Outcome> {
        Some(Outcome {
            check_id: self.id.clone(),
            brand: near.brand.parse().ok()?,
            polarity: near.polarity,
            photo: photo.sha256,
            confirmed: finding.confirmed,
            score: f64::from(near.score?),
            scoring: photo.looked_back.as_ref().map_or(&self.versions.scoring, |later| &later.scoring).clone(),
            decided_by: finding.decided_by,
            note: finding.note,
            decided_at: Timestamp::now(),
        })
    }
}
