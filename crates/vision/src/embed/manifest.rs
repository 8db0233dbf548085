use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The description of one ONNX image encoder, read from `models/<name>.toml`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelManifest {
    /// Name in configuration and answers; the manifest's file name without `.toml`.
    pub name: String,
    /// Path of the ONNX file, relative to the manifest's folder.
    pub file: PathBuf,
    /// SHA-256 of the ONNX file, 64 hex digits.
    pub sha256: String,
    /// Licence of the weights, as text for people.
    pub licence: String,
    /// Source of the ONNX file; `scripts/setup` reads it.
    pub source: toml::Table,
    /// Input of the network.
    pub input: Input,
    /// Output of the network.
    pub output: Output,
    /// Thresholds of verdicts, measured for this model.
    pub thresholds: ScoreThresholds,
}

/// Name, shape and scaling of the network's input.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Name of the input in the graph.
    pub name: String,
    /// Order of the axes.
    pub layout: Layout,
    /// Type of the numbers.
    pub dtype: DType,
    /// Size that a photo is scaled to.
    pub size: Size,
    /// Subtracted from each channel (0 to 255) of an f32 input.
    #[serde(default)]
    pub mean: [f32; 3],
    /// Divisor of each channel of an f32 input, after the subtraction.
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

/// Size that a photo is scaled to (bilinear with antialiasing, as Pillow does it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Size {
    /// Both sides to this many pixels; the aspect ratio is not preserved.
    Square(u32),
    /// The shorter side to `pixels`, with the aspect ratio preserved and the longer side at most `longest`.
    ShorterSide {
        /// Pixels of the shorter side.
        pixels: u32,
        /// Most pixels of the longer side, so that a thin strip of a photo stays cheap.
        longest: u32,
    },
}

impl Size {
    /// The size for a part of a photo: with a shorter side of the part's own `width` x `height`, but at least half of
    /// the full size and at most all of it. A fixed square is unchanged.
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

/// Name and length of the network's output.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Name of the output in the graph.
    pub name: String,
    /// Length of the embedding.
    pub dimension: usize,
}

/// Thresholds of verdicts: probabilities, unless a field says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreThresholds {
    /// Least probability of a copy of a fake reference for `known_fake_match`.
    pub fake_match: f32,
    /// Least probability of a copy of a fake reference for `known_fake_likely`.
    pub fake_likely: f32,
    /// Least probability of a copy of an authentic reference for `authentic_photo_reuse`.
    pub authentic_reuse: f32,
    /// Least cosine similarity to any reference for `same_product_lookalike`.
    pub lookalike: f32,
    /// Least number of agreeing keypoints with any reference for `same_product_lookalike`: the same print or surface is
    /// in both photos.
    pub lookalike_inliers: u32,
    /// Greatest difference of evidence (log-odds before calibration) between a relevant reference and one of the other
    /// polarity for `conflict`.
    pub conflict_margin: f32,
    /// Cosine similarity from which on two references whose perceptual hashes also agree are near-duplicates.
    pub near_copy: f32,
    /// Least cosine similarity with a generic image that makes a reference generic, too.
    pub generic: f32,
    /// Least quality (0 to 100, see the photo's fingerprint) of a photo whose matches mean anything.
    pub min_quality: u8,
}

/// Why a manifest cannot be used.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// No manifest has this name.
    #[error("no model manifest at {path} ({source}); manifests there: {known}")]
    Missing {
        /// Path of the expected file.
        path: PathBuf,
        /// Names of the manifests there.
        known: String,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file is not TOML with the expected fields.
    #[error("the model manifest {path} cannot be read: {source}")]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// Line and reason of the parser's error.
        source: Box<toml::de::Error>,
    },
    /// A value is out of range or contradicts another.
    #[error("the model manifest {path} is wrong: {reason}")]
    Invalid {
        /// Path of the file.
        path: PathBuf,
        /// What the file has, and what was expected.
        reason: String,
    },
}

impl ModelManifest {
    /// Reads `<models>/<name>.toml`.
    ///
    /// # Errors
    /// When the file is missing, unreadable or invalid.
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

    /// Name and checksum: the identity of embeddings. Embeddings of different models are not comparable.
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
            return Some("input.std has a zero or a number that is not finite".to_owned());
        }
        let (w, h) = self.input.size.target(1000, 1000);
        if !(8..=4096).contains(&w) || !(8..=4096).contains(&h) {
            return Some(format!("input.size scales a photo to {w} x {h}, expected 8 to 4096 a side"));
        }
        self.thresholds.fault()
    }
}

impl ScoreThresholds {
    /// What is wrong with these thresholds; `None` if nothing is.
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

    /// The probability from which on a reference of this polarity means more than "looks alike".
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
