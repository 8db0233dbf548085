//! How good the verdicts are, on datasets that say what they should be; and the fit of a scoring artefact to them.

mod dataset;
mod fit;
pub mod metrics;
mod record;
pub mod report;
mod run;

use thiserror::Error;

pub use dataset::{Dataset, DatasetError, QueryRow, ReferenceRow, Source, SplitBy, baseline};
pub use fit::{Outside, Part, fit, unfitted};
pub use metrics::{Baseline, Figures, figures};
pub use record::{Class, Pairing, Record, Split};
pub use run::{Observed, Seen, enrol, nearest, observe, outside};

/// Why an evaluation stopped.
#[derive(Debug, Error)]
pub enum EvaluateError {
    /// The dataset is wrong.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A picture cannot be used.
    #[error("{path}: {reason}")]
    File {
        /// The picture.
        path: String,
        /// Why.
        reason: String,
    },
    /// The arguments are ambiguous.
    #[error("{0}")]
    Usage(String),
    /// There is too little to fit to.
    #[error("nothing was fitted: {0}")]
    Fit(String),
}

impl EvaluateError {
    fn file(path: &str, reason: &dyn std::fmt::Display) -> Self {
        Self::File { path: path.to_owned(), reason: reason.to_string() }
    }
}
