use std::path::PathBuf;

use serde::Serialize;

use crate::gallery::Reference;
use crate::index::Stats;

/// What became of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// It is a reference now.
    Added,
    /// It was one already.
    Unchanged,
    /// It is none, for this reason.
    Refused {
        /// Stable kebab-case code.
        code: String,
        /// What was wrong and what to do.
        detail: String,
    },
}

impl Outcome {
    pub(super) fn refused(code: &str, detail: String) -> Self {
        Self::Refused { code: code.to_owned(), detail }
    }

    pub(super) fn contradicts(known: &Reference) -> Self {
        let (id, polarity) = (&known.id, known.polarity);
        Self::refused(
            "reference-contradicts",
            format!("this very photo is {polarity} already as {id}; delete that reference first if it is wrong"),
        )
    }
}

/// What became of a whole run.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Files that became references.
    pub added: usize,
    /// Files that were references already.
    pub unchanged: usize,
    /// Files refused, each with its reason.
    pub refused: Vec<RefusedFile>,
    /// The generation that was published.
    pub generation: u64,
    /// References that it serves, of all brands.
    pub references: usize,
}

/// A file that did not become a reference.
#[derive(Debug, Serialize)]
pub struct RefusedFile {
    /// The file.
    pub path: PathBuf,
    /// Stable kebab-case code.
    pub code: String,
    /// What was wrong and what to do.
    pub detail: String,
}

impl Report {
    pub(super) fn extend(&mut self, outcomes: Vec<(PathBuf, Outcome)>) {
        for (path, outcome) in outcomes {
            match outcome {
                Outcome::Added => self.added += 1,
                Outcome::Unchanged => self.unchanged += 1,
                Outcome::Refused { code, detail } => self.refused.push(RefusedFile { path, code, detail }),
            }
        }
        self.refused.sort_by(|a, b| a.path.cmp(&b.path));
    }

    pub(super) fn finish(&mut self, stats: Stats) {
        self.generation = stats.generation;
        self.references = stats.keys;
    }
}
