//! Evaluates verdicts on datasets with ground truth, and fits scoring artefacts to them.

mod dataset;
mod fit;
pub mod metrics;
mod record;
pub mod report;
mod run;

use thiserror::Error;

pub use dataset::{Dataset, DatasetError, QueryRow, ReferenceRow, Source, SplitBy, baseline};
pub use fit::{fit, unfitted};
pub use metrics::{Baseline, Figures, figures};
pub use record::{Class, Pairing, Record, Split};
pub use run::{Observed, Seen, background, enrol, observe};

/// Why an evaluation stopped.
#[derive(Debug, Error)]
pub enum EvaluateError {
    /// The dataset cannot be read, or contradicts itself.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A photo cannot be read, decoded or embedded.
    #[error("{path}: {reason}")]
    File {
        /// Path of the photo.
        path: String,
        /// The reason.
        reason: String,
    },
    /// The arguments are ambiguous.
    #[error("{0}")]
    Usage(String),
    /// The data are too few for a fit.
    #[error("nothing was fitted: {0}")]
    Fit(String),
}

impl EvaluateError {
    fn file(path: &str, reason: &dyn std::fmt::Display) -> Self {
        Self::File { path: path.to_owned(), reason: reason.to_string() }
    }
}
