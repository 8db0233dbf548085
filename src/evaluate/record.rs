use serde::{Deserialize, Serialize};

/// Ground truth of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A copy of a reference, edited or not.
    Copy,
    /// Another photo of a product of the gallery, or of its kind; not a copy.
    SameKind,
    /// A photo of something else.
    Unrelated,
}

/// The side of the split by group that a query is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Thresholds, weights and calibration may be chosen on this side.
    Fit,
    /// Figures are reported on this side.
    Test,
}

/// A reference that was compared with a query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pairing {
    /// Path of the reference in the dataset.
    pub reference: String,
    /// Whether the query is a copy of this reference.
    pub copy: bool,
    /// Whether the reference shows the query's product.
    pub same_product: bool,
    /// `authentic` or `fake`.
    pub polarity: String,
    /// Cosine similarity of the whole photos, or of the photo inside the query that shows the reference, -1 to 1.
    pub similarity: f32,
    /// The similarity minus what the query has in common with the background set.
    pub normalised: f32,
    /// Number of keypoint pairs that agree with one transform; 0 where verification did not run or found none.
    pub inliers: u32,
    /// Mean correlation of the cells with detail, -1 to 1.
    pub detail: f32,
    /// Agreement of structure, -1 to 1.
    #[serde(default)]
    pub structure: f32,
    /// Mean difference of colour, in units of 1/255.
    #[serde(default)]
    pub difference: f32,
    /// Whether the photo shows the reference in another colour.
    #[serde(default)]
    pub other_colour: bool,
    /// Log-odds that the query is a copy, before calibration.
    pub evidence: f32,
    /// Calibrated probability that the query is a copy, 0 to 1.
    pub probability: f32,
}

/// One query and the answer to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Path of the query, relative to its dataset.
    pub query: String,
    /// Class of the query.
    pub class: Class,
    /// Category in the dataset, such as `sneakers`; may be empty.
    pub category: String,
    /// The kind of query, such as `variant-recolour`.
    #[serde(default)]
    pub kind: String,
    /// The edit that made it, such as `collage`; `None` for an unedited photo.
    pub transform: Option<String>,
    /// `light`, `medium` or `heavy`; `None` for an unedited photo.
    pub strength: Option<String>,
    /// Group of photos of one source, which are on one side of the split.
    pub group: String,
    /// Side of the split.
    pub split: Split,
    /// The verdict that the dataset expects, if it names one.
    pub expected: Option<String>,
    /// The verdict given.
    pub verdict: String,
    /// The action given.
    pub action: String,
    /// Codes of the verdict's reasons.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// Number of views of the photo that were embedded, 1 or more.
    pub views: u32,
    /// Seconds for decoding, embedding and the search by embedding.
    pub first_look_s: f64,
    /// Seconds for the whole check, including photos inside the photo and keypoints.
    pub whole_s: f64,
    /// References compared with the query, in no particular order.
    pub pairings: Vec<Pairing>,
}

impl Record {
    /// Whether the query is an unedited unrelated photo, as most uploads are.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.class == Class::Unrelated && self.transform.is_none()
    }

    /// Whether the query is counted apart, under its kind only. A recoloured photograph is a copy in one sense but not
    /// in another, and a brand's logo is everywhere. They count neither as copies nor as wrongs, and neither the fit
    /// nor the calibration error uses them.
    #[must_use]
    pub fn is_apart(&self) -> bool {
        self.kind == "variant-recolour" || self.kind.starts_with("logo")
    }
}
