//! Turns similarities and alignments into the probability that one photo is a copy of another.
//!
//! All fitted numbers of a model are in one artefact, `models/scoring/<model>.json`, which `touchstone evaluate --fit`
//! writes: the background set, the weights and the calibration.

mod background;
mod interval;
mod logistic;
mod models;
mod standing;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::align::{Alignment, VERSION};
use crate::domain::Polarity;
use crate::embed::{Embedding, ModelManifest};
use crate::photo::Sha256;

pub use background::Background;
pub use interval::clopper_pearson;
pub use logistic::{Logistic, Observation, log_odds, shift, sigmoid};
pub use models::Scorings;
pub use standing::{CONFIDENCE, REQUIRED_PRECISION, STEPS, Standing, Step, precision_bound};

/// Version of the artefact's format that this program reads and writes.
const FORMAT: u32 = 3;
/// A reference without votes of keypoints is verified if its similarity alone makes it a copy with this probability.
const WORTH_VERIFYING: f64 = 0.001;

/// The measurements of comparing a photo with a reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sighting {
    /// Cosine similarity of the embeddings, -1 to 1.
    pub similarity: f32,
    /// The similarity minus [`Background::level`] of the photo.
    pub normalised: f32,
    /// Alignment of the reference with the photo; `None` where verification did not find one, or did not run.
    pub alignment: Option<Alignment>,
    /// Whether geometric verification ran.
    pub looked: bool,
}

impl Sighting {
    /// Whether the photo shows the reference's photograph in another colour.
    #[must_use]
    pub fn is_recoloured(&self) -> bool {
        self.alignment.is_some_and(|found| found.is_recoloured())
    }
}

/// Weights of the sum that gives the log-odds of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// The intercept.
    pub bias: f64,
    /// Factor of the normalised similarity.
    pub normalised: f64,
    /// Factor of the natural logarithm of one more than the number of inliers.
    pub inliers: f64,
    /// Factor of the structural agreement within the copied part, times the fourth root of the part's share.
    pub structure: f64,
    /// Factor of the natural logarithm of one more than the colour difference.
    pub colour: f64,
    /// Factor of the natural logarithm of the reprojection error in pixels plus 0.3.
    pub residual: f64,
}

/// Log-odds to probability: `1 / (1 + exp(-(offset + slope * log-odds)))` (Platt, "Probabilistic
/// Outputs for Support Vector Machines", 1999).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platt {
    /// Added to the product.
    pub offset: f64,
    /// Factor of the log-odds; above 0.
    pub slope: f64,
    /// Upper bound of every probability, above 0.5 and below 1: the highest that the copies among the fitting photos
    /// support.
    pub most: f64,
}

/// One calibration for each polarity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// For matches to authentic references.
    pub authentic: Platt,
    /// For matches to fake references.
    pub fake: Platt,
}

/// Everything fitted for one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scoring {
    format: u32,
    /// Version of the alignment code that the artefact was fitted to: see [`VERSION`].
    alignment: u8,
    /// Name and checksum of the model that the artefact was fitted for.
    pub model: String,
    /// The data of the fit, as text for people.
    pub fitted_on: String,
    /// Embeddings of photos that match nothing.
    pub background: Background,
    /// Weights for references that were verified.
    pub looked: Weights,
    /// Weights for the others: only the intercept and the normalised similarity are not 0.
    pub unlooked: Weights,
    /// From log-odds to probability.
    pub calibration: Calibration,
    #[serde(skip)]
    id: String,
}

/// The field that says whether the others can be read.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

/// Why an artefact cannot be used.
#[derive(Debug, Error)]
pub enum ScoringError {
    /// The artefact's file cannot be opened.
    #[error("no scoring artefact at {path} ({source}); `touchstone evaluate DATASET --fit` makes one")]
    Missing {
        /// Path of the expected file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file is not JSON with the expected fields.
    #[error("the scoring artefact {path} cannot be read: {source}")]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// Position and reason of the parser's error.
        source: serde_json::Error,
    },
    /// A value is out of range, or the artefact is for another model or version.
    #[error("the scoring artefact {path} is wrong: {reason}")]
    Invalid {
        /// Path of the file.
        path: PathBuf,
        /// What the file has, and what was expected.
        reason: String,
    },
}

impl Scoring {
    /// Path of a model's artefact in the models directory.
    #[must_use]
    pub fn path(models: &Path, model: &str) -> PathBuf {
        models.join("scoring").join(format!("{model}.json"))
    }

    /// Reads a model's artefact.
    ///
    /// # Errors
    /// When the file is missing or unreadable, has values out of range, or was fitted for another model or alignment
    /// version.
    pub fn load(models: &Path, manifest: &ModelManifest) -> Result<Self, ScoringError> {
        let path = Self::path(models, &manifest.name);
        let bytes = std::fs::read(&path).map_err(|source| ScoringError::Missing { path: path.clone(), source })?;
        let unreadable = |source| ScoringError::Unreadable { path: path.clone(), source };
        let Head { format } = serde_json::from_slice(&bytes).map_err(unreadable)?;
        if format != FORMAT {
            let reason =
                format!("format is {format}, expected {FORMAT}; `touchstone evaluate DATASET --fit` makes a new one");
            return Err(ScoringError::Invalid { path, reason });
        }
        let mut scoring: Self = serde_json::from_slice(&bytes).map_err(unreadable)?;
        if let Some(reason) = scoring.fault(manifest) {
            return Err(ScoringError::Invalid { path, reason });
        }
        scoring.id = identity(&manifest.name, &bytes);
        Ok(scoring)
    }

    /// An unfitted artefact, to collect the data for a fit: no reference is too unlike the photo to be verified, and the
    /// log-odds are a guess.
    #[must_use]
    pub fn unfitted(manifest: &ModelManifest) -> Self {
        let platt = Platt { offset: 0.0, slope: 1.0, most: 0.999 };
        Self {
            format: FORMAT,
            alignment: VERSION,
            model: manifest.id(),
            fitted_on: "nothing".to_owned(),
            background: Background::default(),
            looked: Weights { bias: -10.0, normalised: 10.0, inliers: 1.0, structure: 5.0, ..Weights::default() },
            // The bias makes every reference worth verifying.
            unlooked: Weights { bias: -6.0, normalised: 15.0, ..Weights::default() },
            calibration: Calibration { authentic: platt, fake: platt },
            id: format!("{}-unfitted", manifest.name),
        }
    }

    /// Writes the artefact where [`Scoring::load`] reads it, and sets its id.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&mut self, models: &Path, model: &str) -> std::io::Result<PathBuf> {
        let path = Self::path(models, model);
        let text = self.text()?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, &text)?;
        self.id = identity(model, text.as_bytes());
        Ok(path)
    }

    /// Sets the id that [`Scoring::save`] would set, without writing.
    ///
    /// # Errors
    /// When the artefact cannot be serialised.
    pub fn identified(mut self, model: &str) -> serde_json::Result<Self> {
        self.id = identity(model, self.text()?.as_bytes());
        Ok(self)
    }

    fn text(&self) -> serde_json::Result<String> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }

    /// Name of the model and the first digits of the artefact's SHA-256. Probabilities of different artefacts are not
    /// comparable.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether a reference without votes of keypoints, not verified yet, is similar enough to the photo for geometric
    /// verification.
    #[must_use]
    pub fn is_worth_verifying(&self, sighting: &Sighting) -> bool {
        sigmoid(self.evidence(sighting)) >= WORTH_VERIFYING
    }

    /// Log-odds that the photo is a copy of the reference, before calibration.
    #[must_use]
    pub fn evidence(&self, sighting: &Sighting) -> f64 {
        let weights = if sighting.looked { &self.looked } else { &self.unlooked };
        let terms = weights.terms();
        features(sighting).iter().zip(terms).map(|(feature, weight)| feature * weight).sum::<f64>() + weights.bias
    }

    /// The probability of a copy, 0 to [`Platt::most`]. `shift` is added to the log-odds: what the brand's outcomes
    /// contribute.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "a probability")]
    pub fn probability(&self, evidence: f64, polarity: Polarity, shift: f64) -> f32 {
        sigmoid(self.calibrated(evidence, polarity) + shift).min(self.platt(polarity).most) as f32
    }

    fn platt(&self, polarity: Polarity) -> Platt {
        match polarity {
            Polarity::Authentic => self.calibration.authentic,
            Polarity::Fake => self.calibration.fake,
        }
    }

    /// Log-odds after calibration, without the brand's outcomes.
    #[must_use]
    pub fn calibrated(&self, evidence: f64, polarity: Polarity) -> f64 {
        let platt = self.platt(polarity);
        platt.offset + platt.slope * evidence
    }

    /// The evidence that calibration turns into these log-odds.
    #[must_use]
    pub fn evidence_of(&self, log_odds: f64, polarity: Polarity) -> f64 {
        let platt = self.platt(polarity);
        (log_odds - platt.offset) / platt.slope
    }

    /// How similar a photo is to photos in general: see [`Background::level`].
    #[must_use]
    pub fn level(&self, embedding: &Embedding) -> f32 {
        self.background.level(embedding)
    }

    fn fault(&self, manifest: &ModelManifest) -> Option<String> {
        if self.alignment != VERSION {
            return Some(format!("it was fitted to alignments of version {}, expected {VERSION}", self.alignment));
        }
        if self.model != manifest.id() {
            return Some(format!("it was fitted for the model {}, expected {}", self.model, manifest.id()));
        }
        if let Some(reason) = self.background.fault(manifest.output.dimension) {
            return Some(reason);
        }
        let platts = [self.calibration.authentic, self.calibration.fake];
        let numbers = [self.looked, self.unlooked].into_iter().flat_map(|weights| {
            let mut all = weights.terms().to_vec();
            all.push(weights.bias);
            all
        });
        let sound = numbers.chain(platts.map(|platt| platt.offset)).all(|number| number.abs() <= 1e3);
        let sound = sound && platts.iter().all(|platt| platt.most > 0.5 && platt.most < 1.0);
        if !sound || platts.iter().any(|platt| !(platt.slope > 0.0 && platt.slope <= 100.0)) {
            return Some(
                "a number is out of range, expected at most 1000, slopes above 0, and `most` between 0.5 and 1"
                    .to_owned(),
            );
        }
        None
    }
}

impl Weights {
    /// The weights in the order of [`features`].
    fn terms(&self) -> [f64; 5] {
        [self.normalised, self.inliers, self.structure, self.colour, self.residual]
    }

    /// Weights from a fit over [`features`].
    #[must_use]
    pub fn fitted(bias: f64, terms: [f64; 5]) -> Self {
        let [normalised, inliers, structure, colour, residual] = terms;
        Self { bias, normalised, inliers, structure, colour, residual }
    }
}

/// Colour difference of an ordinary copy, in units of 1/255.
const SAME_COLOUR: f64 = 5.0;

/// The terms of the weighted sum that gives the log-odds.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "at most a few hundred inliers")]
pub fn features(sighting: &Sighting) -> [f64; 5] {
    let normalised = f64::from(sighting.normalised);
    match &sighting.alignment {
        Some(found) => {
            // Another colour is reported separately. It is not evidence against the same photograph.
            let most = if found.is_recoloured() { SAME_COLOUR } else { f64::INFINITY };
            let colour = found.difference.min(most).ln_1p();
            // A small part agrees more easily by chance.
            let structure = found.part.agreement * found.part.share.powf(0.25);
            [normalised, (found.inliers as f64).ln_1p(), structure, colour, (found.residual + 0.3).ln()]
        }
        // Verified but not aligned: no keypoints and no pixels agree.
        None => [normalised, 0.0, 0.0, 0.0, 0.0],
    }
}

/// The highest probability that a logo is in a photo: 287 prints and drawings of a logo had log-odds above 0, as did a
/// wrong logo in one photo of 406.
const MOST_FOR_LOGOS: f64 = 0.99;

/// The probability that a logo is in a photo, from its log-odds: see [`crate::align::FoundLogo::evidence`].
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "a probability")]
pub fn logo_probability(evidence: f64) -> f32 {
    sigmoid(evidence).min(MOST_FOR_LOGOS) as f32
}

fn identity(model: &str, bytes: &[u8]) -> String {
    format!("{model}-scoring@{}", &Sha256::of(bytes).to_string()[..12])
}
