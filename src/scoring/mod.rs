//! From similarities and alignments to a probability that one photo is a copy of another.
//!
//! Everything fitted to data stands in one artefact a model, `models/scoring/<model>.json`, which
//! `touchstone evaluate --fit` writes: the background set, the weights and the calibration.

mod background;
mod interval;
mod logistic;
mod standing;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::align::{Alignment, VERSION};
use crate::embed::{Embedding, ModelManifest};
use crate::gallery::Polarity;
use crate::photo::Sha256;

pub use background::Background;
pub use interval::clopper_pearson;
pub use logistic::{Logistic, Observation, log_odds, shift, sigmoid};
pub use standing::{CONFIDENCE, REQUIRED_PRECISION, STEPS, Standing, Step, precision_bound};

/// The artefact's format that this program reads and writes.
const FORMAT: u32 = 2;

/// What was seen when a photo was held against a reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sighting {
    /// Cosine similarity of the embeddings, -1 to 1.
    pub similarity: f32,
    /// The same less [`Background::level`] of the photo.
    pub normalised: f32,
    /// Where the reference lies in the photo; `None` where it was looked for and not found.
    pub alignment: Option<Alignment>,
    /// Whether it was looked for.
    pub looked: bool,
}

impl Sighting {
    /// Whether the photo shows the reference's photograph in another colour.
    #[must_use]
    pub fn is_recoloured(&self) -> bool {
        self.alignment.is_some_and(|found| found.is_recoloured())
    }
}

/// Weights of a sum that gives the log-odds of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// Added always.
    pub bias: f64,
    /// Times the normalised similarity.
    pub normalised: f64,
    /// Times the natural logarithm of one more than the inliers.
    pub inliers: f64,
    /// Times the square of the agreement of structure, with its sign.
    pub structure: f64,
    /// Times the natural logarithm of one more than the difference of colour.
    pub colour: f64,
    /// Times the natural logarithm of the reprojection error in pixels plus 0.3.
    pub residual: f64,
}

/// Log-odds to probability: `1 / (1 + exp(-(offset + slope * log-odds)))` (Platt, "Probabilistic
/// Outputs for Support Vector Machines", 1999).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platt {
    /// Added.
    pub offset: f64,
    /// Times the log-odds; more than 0.
    pub slope: f64,
    /// The cap of every probability, above 0.5 and below 1: the highest one that the copies among the fitting photos
    /// support.
    pub most: f64,
}

/// A calibration for each polarity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Against authentic references.
    pub authentic: Platt,
    /// Against fake references.
    pub fake: Platt,
}

/// A reference that reaches one of these is worth a second look: what is pasted on a common ground is like the
/// background too, and has little normalised similarity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookFrom {
    /// Cosine similarity.
    pub similarity: f32,
    /// Normalised similarity.
    pub normalised: f32,
}

impl LookFrom {
    /// Whether what was seen reaches one of them less `slack`.
    #[must_use]
    pub fn reached(&self, sighting: &Sighting, slack: f32) -> bool {
        sighting.similarity >= self.similarity - slack || sighting.normalised >= self.normalised - slack
    }
}

/// Everything fitted for one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scoring {
    format: u32,
    /// Version of the points and pixels that it was fitted to: see [`VERSION`].
    alignment: u8,
    /// Identity of the model that it was fitted for.
    pub model: String,
    /// On what, for people to read.
    pub fitted_on: String,
    /// What photos in general look like.
    pub background: Background,
    /// From where on a reference is looked for in the photo.
    pub look_from: LookFrom,
    /// For references that were looked for.
    pub looked: Weights,
    /// For the others: bias and normalised similarity only.
    pub unlooked: Weights,
    /// From log-odds to probability.
    pub calibration: Calibration,
    #[serde(skip)]
    id: String,
}

/// An artefact that cannot be used.
#[derive(Debug, Error)]
pub enum ScoringError {
    /// There is none.
    #[error("no scoring artefact at {path} ({source}); `touchstone evaluate DATASET --fit` makes one")]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// Not JSON, or not these fields.
    #[error("the scoring artefact {path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Place and reason.
        source: serde_json::Error,
    },
    /// Values that cannot be.
    #[error("the scoring artefact {path} is wrong: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Got and expected.
        reason: String,
    },
}

impl Scoring {
    /// Where a model's artefact lies.
    #[must_use]
    pub fn path(models: &Path, model: &str) -> PathBuf {
        models.join("scoring").join(format!("{model}.json"))
    }

    /// Reads a model's artefact.
    ///
    /// # Errors
    /// When it is missing, unreadable, of another model or contradicts itself.
    pub fn load(models: &Path, manifest: &ModelManifest) -> Result<Self, ScoringError> {
        let path = Self::path(models, &manifest.name);
        let bytes = std::fs::read(&path).map_err(|source| ScoringError::Missing { path: path.clone(), source })?;
        let mut scoring: Self =
            serde_json::from_slice(&bytes).map_err(|source| ScoringError::Unreadable { path: path.clone(), source })?;
        if let Some(reason) = scoring.fault(manifest) {
            return Err(ScoringError::Invalid { path, reason });
        }
        scoring.id = identity(&manifest.name, &bytes);
        Ok(scoring)
    }

    /// An artefact with nothing fitted: every reference is looked for, and log-odds are a guess. To
    /// gather the data that a fit needs.
    #[must_use]
    pub fn unfitted(manifest: &ModelManifest) -> Self {
        let platt = Platt { offset: 0.0, slope: 1.0, most: 0.999 };
        Self {
            format: FORMAT,
            alignment: VERSION,
            model: manifest.id(),
            fitted_on: "nothing".to_owned(),
            background: Background::default(),
            look_from: LookFrom { similarity: -2.0, normalised: -4.0 },
            looked: Weights { bias: -10.0, normalised: 10.0, inliers: 1.0, structure: 5.0, ..Weights::default() },
            unlooked: Weights { bias: -10.0, normalised: 15.0, ..Weights::default() },
            calibration: Calibration { authentic: platt, fake: platt },
            id: format!("{}-unfitted", manifest.name),
        }
    }

    /// Writes it where [`Scoring::load`] finds it, and gives it its identity.
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

    /// Gives it the identity that it would get from [`Scoring::save`].
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn identified(mut self, model: &str) -> serde_json::Result<Self> {
        self.id = identity(model, self.text()?.as_bytes());
        Ok(self)
    }

    fn text(&self) -> serde_json::Result<String> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }

    /// Name of the model and the first digits of the artefact's sum: probabilities of two artefacts are
    /// not the same thing.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Log-odds that the photo is a copy of the reference, before calibration.
    #[must_use]
    pub fn evidence(&self, sighting: &Sighting) -> f64 {
        let weights = if sighting.looked { &self.looked } else { &self.unlooked };
        let terms = weights.terms();
        features(sighting).iter().zip(terms).map(|(feature, weight)| feature * weight).sum::<f64>() + weights.bias
    }

    /// The probability of a copy, 0 to [`Platt::most`]. `shift` is what the brand's own outcomes add to the log-odds.
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

    /// Calibrated log-odds.
    #[must_use]
    pub fn calibrated(&self, evidence: f64, polarity: Polarity) -> f64 {
        let platt = self.platt(polarity);
        platt.offset + platt.slope * evidence
    }

    /// How alike a photo is to photos in general.
    #[must_use]
    pub fn level(&self, embedding: &Embedding) -> f32 {
        self.background.level(embedding)
    }

    fn fault(&self, manifest: &ModelManifest) -> Option<String> {
        if self.format != FORMAT {
            return Some(format!("format is {}, expected {FORMAT}", self.format));
        }
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
        let sound = numbers.chain(platts.map(|platt| platt.offset)).all(|number| number.abs() <= 1e3)
            && self.look_from.similarity.abs() <= 4.0
            && self.look_from.normalised.abs() <= 4.0;
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
    /// In the order of [`features`].
    fn terms(&self) -> [f64; 5] {
        [self.normalised, self.inliers, self.structure, self.colour, self.residual]
    }

    /// The weights that a fit over [`features`] gave.
    #[must_use]
    pub fn fitted(bias: f64, terms: [f64; 5]) -> Self {
        let [normalised, inliers, structure, colour, residual] = terms;
        Self { bias, normalised, inliers, structure, colour, residual }
    }
}

/// Colour difference of an ordinary copy, of 255.
const SAME_COLOUR: f64 = 5.0;

/// What the log-odds are a weighted sum of.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "at most a few hundred inliers")]
pub fn features(sighting: &Sighting) -> [f64; 5] {
    let normalised = f64::from(sighting.normalised);
    match &sighting.alignment {
        Some(found) => {
            // Another colour is reported separately. It is no evidence against the same photograph.
            let most = if found.is_recoloured() { SAME_COLOUR } else { f64::INFINITY };
            let colour = found.difference.min(most).ln_1p();
            // Different goods photographed alike already agree by half. Squaring lets the rest count.
            let structure = found.structure * found.structure.abs();
            [normalised, (found.inliers as f64).ln_1p(), structure, colour, (found.residual + 0.3).ln()]
        }
        // Looked for and not found: no pair agrees, and no pixel.
        None => [normalised, 0.0, 0.0, 0.0, 0.0],
    }
}

/// The greatest probability that a logo is in a photo: 287 prints and drawings of a logo had log-odds above 0, and a wrong logo
/// had in one photo of 406.
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
