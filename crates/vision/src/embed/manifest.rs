use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Everything that is particular to one ONNX image encoder, read from `models/<name>.toml`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelManifest {
    /// Name in configuration and answers; the file's name without `.toml`.
    pub name: String,
    /// The ONNX file, relative to the manifest's folder.
    pub file: PathBuf,
    /// Sum of the ONNX file, 64 hex digits.
    pub sha256: String,
    /// Licence of the weights, for people to read.
    pub licence: String,
    /// Where set-up gets the file; read by `scripts/setup`.
    pub source: toml::Table,
    /// What the network takes.
    pub input: Input,
    /// What it gives.
    pub output: Output,
    /// At which similarity a match means what, measured for this model.
    pub thresholds: ScoreThresholds,
}

/// The network's input.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Name of the input in the graph.
    pub name: String,
    /// Order of the axes.
    pub layout: Layout,
    /// Type of the numbers.
    pub dtype: DType,
    /// To what size a photo is scaled.
    pub size: Size,
    /// Subtracted from each channel (0 to 255) of an f32 input.
    #[serde(default)]
    pub mean: [f32; 3],
    /// Each channel of an f32 input is divided by this after the subtraction.
    #[serde(default = "ones")]
    pub std: [f32; 3],
}

fn ones() -> [f32; 3] {
    [1.0; 3]
}

/// Order of the axes of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Layout {
    /// batch, channel, row, column
    Nchw,
    /// batch, row, column, channel
    Nhwc,
}

/// Type of an input's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// Bytes 0 to 255; the graph normalises.
    U8,
    /// Floats, normalised by mean and std.
    F32,
}

/// To what size a photo is scaled (bilinear with antialiasing, as Pillow does it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Size {
    /// Both sides to this many pixels; the aspect ratio is given up.
    Square(u32),
    /// The shorter side to `pixels`, the aspect ratio kept, the longer side never over `longest`.
    ShorterSide {
        /// Pixels of the shorter side.
        pixels: u32,
        /// Cap of the longer side, so that a thin strip of a photo stays cheap.
        longest: u32,
    },
}

impl Size {
    /// The same for a part of a photo: with a shorter side of its own `width` x `height`, from half of the asked
    /// one to all of it. A fixed square stays.
    #[must_use]
    pub fn without_enlarging(self, width: u32, height: u32) -> Self {
        match self {
            Self::Square(_) => self,
            Self::ShorterSide { pixels, longest } => {
                Self::ShorterSide { pixels: width.min(height).clamp(pixels.div_ceil(2), pixels), longest }
            }
        }
    }

    /// Width and height that a photo of `width` x `height` is scaled to.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded, positive, capped")]
    pub fn target(self, width: u32, height: u32) -> (u32, u32) {
        match self {
            Self::Square(side) => (side, side),
            Self::ShorterSide { pixels, longest } => {
                let (w, h) = (f64::from(width), f64::from(height));
                let scale = (f64::from(pixels) / w.min(h)).min(f64::from(longest) / w.max(h));
                let side = |length: f64| ((length * scale).round() as u32).max(1);
                (side(w), side(h))
            }
        }
    }
}

/// The network's output.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Name of the output in the graph.
    pub name: String,
    /// Length of the vector.
    pub dimension: usize,
}

/// From where on a match means what.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreThresholds {
    /// Probability of a copy of a fake reference from which on it is `known_fake_match`.
    pub fake_match: f32,
    /// Probability of a copy of a fake reference from which on it is `known_fake_likely`.
    pub fake_likely: f32,
    /// Probability of a copy of an authentic reference from which on it is `authentic_photo_reuse`.
    pub authentic_reuse: f32,
    /// Cosine similarity from which on any reference is `same_product_lookalike`.
    pub lookalike: f32,
    /// Agreeing points from which on any reference is `same_product_lookalike`: the same print or
    /// surface is seen.
    pub lookalike_inliers: u32,
    /// A relevant reference, and one of the other polarity whose evidence (log-odds before calibration) is this
    /// close: `conflict`.
    pub conflict_margin: f32,
    /// Cosine similarity from which on two references whose perceptual hashes agree too are nearly the same image.
    pub near_copy: f32,
    /// Cosine similarity with a generic image from which on a reference is generic too.
    pub generic: f32,
    /// Photos of less quality (0 to 100, see the photo's fingerprint) say too little to match.
    pub min_quality: u8,
}

/// A manifest that cannot be used.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// No such manifest.
    #[error("no model manifest at {path} ({source}); manifests there: {known}")]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
        /// Names that would do.
        known: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// Not TOML, or not these fields.
    #[error("the model manifest {path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Line and reason.
        source: Box<toml::de::Error>,
    },
    /// Values that cannot be.
    #[error("the model manifest {path} is wrong: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong and what was expected.
        reason: String,
    },
}

impl ModelManifest {
    /// Reads `<models>/<name>.toml`.
    ///
    /// # Errors
    /// When it is missing, unreadable or contradicts itself.
    pub fn load(models: &Path, name: &str) -> Result<Self, ManifestError> {
        let path = models.join(format!("{name}.toml"));
        let text = std::fs::read_to_string(&path).map_err(|source| ManifestError::Missing {
            path: path.clone(),
            known: known_manifests(models),
            source,
        })?;
        let manifest: Self = toml::from_str(&text)
            .map_err(|source| ManifestError::Unreadable { path: path.clone(), source: source.into() })?;
        match manifest.fault(name) {
            Some(reason) => Err(ManifestError::Invalid { path, reason }),
            None => Ok(manifest),
        }
    }

    /// Name and sum, the identity of vectors: embeddings of two models never meet.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}@{}", self.name, &self.sha256[..12])
    }

    fn fault(&self, name: &str) -> Option<String> {
        if self.name != name {
            return Some(format!("name is {:?}, expected {name:?} as the file is called", self.name));
        }
        if self.sha256.len() != 64 || !self.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Some("sha256 is not 64 lower-case hex digits".to_owned());
        }
        if self.output.dimension == 0 {
            return Some("output.dimension is 0".to_owned());
        }
        if self.input.std.iter().any(|&std| !std.is_finite() || std == 0.0) {
            return Some("input.std holds a zero or a number that is not finite".to_owned());
        }
        let (w, h) = self.input.size.target(1000, 1000);
        if !(8..=4096).contains(&w) || !(8..=4096).contains(&h) {
            return Some(format!("input.size scales a photo to {w} x {h}, expected 8 to 4096 a side"));
        }
        self.thresholds.fault()
    }
}

impl ScoreThresholds {
    /// What is wrong with these thresholds, if anything.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let probabilities = [
            ("fake_match", self.fake_match),
            ("fake_likely", self.fake_likely),
            ("authentic_reuse", self.authentic_reuse),
        ];
        for (name, probability) in probabilities {
            if !(0.05..=1.0).contains(&probability) {
                return Some(format!("{name} is {probability}, expected a probability from 0.05 to 1"));
            }
        }
        if !(-1.0..=1.0).contains(&self.lookalike) {
            return Some(format!("lookalike is {}, expected a cosine from -1 to 1", self.lookalike));
        }
        if !(0.0..=100.0).contains(&self.conflict_margin) {
            return Some(format!("conflict_margin is {}, expected log-odds from 0 to 100", self.conflict_margin));
        }
        if self.fake_match < self.fake_likely {
            return Some(format!(
                "fake_match is {}, expected at least fake_likely ({})",
                self.fake_match, self.fake_likely
            ));
        }
        None
    }

    /// The probability from which on a reference of this polarity says more than "looks alike".
    #[must_use]
    pub fn relevance(&self, fake: bool) -> f32 {
        if fake { self.fake_likely } else { self.authentic_reuse }
    }
}

fn known_manifests(models: &Path) -> String {
    let mut names: Vec<String> = std::fs::read_dir(models)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_suffix(".toml").map(str::to_owned)
        })
        .collect();
    names.sort();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
