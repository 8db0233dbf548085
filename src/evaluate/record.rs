use serde::{Deserialize, Serialize};

/// What a query is, as the dataset says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A copy, edited or not, of a reference.
    Copy,
    /// Another photo of a product of the gallery, or of its kind: no copy.
    SameKind,
    /// Neither.
    Unrelated,
}

/// Which side of the split by group a query is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Thresholds, weights and calibration may be chosen on it.
    Fit,
    /// Figures are reported on it.
    Test,
}

/// A reference that was held against a query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pairing {
    /// Path of the reference in the dataset.
    pub reference: String,
    /// Whether the query is a copy of this very picture.
    pub copy: bool,
    /// Whether the reference shows the query's product.
    pub same_product: bool,
    /// `authentic` or `fake`.
    pub polarity: String,
    /// Cosine similarity of the whole photos, or of the picture inside the query in which it was seen, -1 to 1.
    pub similarity: f32,
    /// The same less what the query has in common with the background set.
    pub normalised: f32,
    /// Pairs of points that agree with one transform; 0 where none was looked for or found.
    pub inliers: u32,
    /// Mean correlation of the cells with something to see, -1 to 1.
    pub detail: f32,
    /// Agreement of structure, -1 to 1.
    #[serde(default)]
    pub structure: f32,
    /// Mean difference of colour, of 255.
    #[serde(default)]
    pub difference: f32,
    /// Whether the photo shows it in another colour.
    #[serde(default)]
    pub other_colour: bool,
    /// Log-odds that the query is a copy, before calibration.
    pub evidence: f32,
    /// Calibrated probability that the query is a copy, 0 to 1.
    pub probability: f32,
}

/// One query, as it was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Path of the query, relative to its dataset.
    pub query: String,
    /// What it is.
    pub class: Class,
    /// Its category in the dataset, such as `sneakers`; may be empty.
    pub category: String,
    /// The kind of query, such as `variant-recolour`.
    #[serde(default)]
    pub kind: String,
    /// What was done to it, where it is an edit: such as `collage`.
    pub transform: Option<String>,
    /// `light`, `medium` or `heavy`, where it is an edit.
    pub strength: Option<String>,
    /// Pictures of one source share it, and stand on one side of the split.
    pub group: String,
    /// Its side.
    pub split: Split,
    /// The verdict that the dataset asks for, where it does.
    pub expected: Option<String>,
    /// The verdict given.
    pub verdict: String,
    /// The action given.
    pub action: String,
    /// The codes of the verdict's reasons.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// Views of the photo that were embedded, 1 or more.
    pub views: u32,
    /// Seconds that decoding, the embedding and the first look took.
    pub first_look_s: f64,
    /// Seconds that everything took: pictures inside the photo and points too.
    pub whole_s: f64,
    /// References held against it, in no particular order.
    pub pairings: Vec<Pairing>,
}

impl Record {
    /// Whether it is an unrelated photo as it was taken, unedited: what most uploads are.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.class == Class::Unrelated && self.transform.is_none()
    }

    /// Whether it is counted apart, under its kind only. A recoloured photograph is a copy in one sense but not in another,
    /// and a brand's logo is everywhere. They count neither as copies nor as wrongs, and neither the fit nor the calibration
    /// error uses them.
    #[must_use]
    pub fn is_apart(&self) -> bool {
        self.kind == "variant-recolour" || self.kind.starts_with("logo")
    }
}
