use std::path::PathBuf;
use std::process::{ExitCode, Termination};

use thiserror::Error;

use crate::assembly::AssemblyError;
use crate::backfill::BackfillError;
use crate::backup::BackupError;
use crate::config::ConfigError;
use crate::embed::{ManifestError, ModelError};
use crate::enrolment::EnrolError;
use crate::evaluate::EvaluateError;
use crate::gallery::{Action, GalleryError};
use crate::hygiene::HygieneError;
use crate::index::SnapshotError;
use crate::keys::KeyError;
use crate::library::LibraryError;
use crate::moderation::AccountError;
use crate::photo::PhotoError;
use crate::provision::ProvisionError;
use crate::reindex::ReindexError;
use crate::scoring::ScoringError;
use crate::screening::ScreenError;

/// How a command ends, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done; for `check`: allow.
    Done = 0,
    /// Something failed that has no code of its own.
    Failed = 1,
    /// Wrong usage: of flags, as clap says it, or of what they say.
    Usage = 2,
    /// Done, but some files were refused; the report names them.
    SomeRefused = 3,
    /// The configuration is wrong.
    Config = 4,
    /// The model or the runtime cannot be used.
    Model = 5,
    /// The database, the photos or the index cannot be used.
    Storage = 6,
    /// A photo cannot be used.
    Photo = 7,
    /// Not done, on purpose: a guard, a missing confirmation, another run going on.
    Declined = 8,
    /// `doctor`: something is wrong.
    Unwell = 9,
    /// `check`: a person should look.
    Review = 10,
    /// `check`: block.
    Block = 11,
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

impl From<Action> for Exit {
    fn from(action: Action) -> Self {
        match action {
            Action::Allow => Self::Done,
            Action::Review => Self::Review,
            Action::Block => Self::Block,
        }
    }
}

/// What ends a command early, in one line.
#[derive(Debug, Error)]
pub enum Failure {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The manifest is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The model cannot run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The parts cannot be opened.
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
    /// The gallery cannot be used.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// The index cannot be used.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// What was asked for was not done, on purpose.
    #[error("{0}")]
    Declined(String),
    /// The index cannot be used.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// A photo cannot be screened.
    #[error(transparent)]
    Screen(#[from] ScreenError),
    /// A reindex stopped.
    #[error(transparent)]
    Reindex(#[from] ReindexError),
    /// References cannot be embedded.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// Probabilities cannot be had.
    #[error(transparent)]
    Scoring(#[from] ScoringError),
    /// An evaluation stopped.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// A file is no photo that can be used.
    #[error("{path}: {source}")]
    Photo {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: PhotoError,
    },
    /// Several files cannot be used.
    #[error("{} photos cannot be used: {}", .0.len(), .0.join("; "))]
    Photos(Vec<String>),
    /// A file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// A run over many listings stopped.
    #[error(transparent)]
    Backfill(#[from] BackfillError),
    /// A model or the runtime was not fetched.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// An answer cannot be written.
    #[error("the answer cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    /// An account cannot be made.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// A key cannot be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// There is no backup, or nothing was restored.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// Something on disk is not what it should be.
    #[error("{0}")]
    Damaged(String),
    /// What the command did is done; not all of what it said got out.
    #[error("the answer could not be written to standard output: {0}")]
    Output(std::io::Error),
    /// The service cannot start or stopped.
    #[error("{0}")]
    Serve(String),
}

impl Failure {
    /// Names the file in place of its number.
    pub(super) fn screen(error: ScreenError, files: &[PathBuf]) -> Self {
        match error {
            ScreenError::Photo { index, source } if index < files.len() => {
                Self::Photo { path: files[index].clone(), source }
            }
            other => Self::Screen(other),
        }
    }

    /// The exit code that belongs to it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Config(_) | Self::Assembly(AssemblyError::PhotoKeys { .. }) => Exit::Config,
            Self::Declined(_)
            | Self::Backfill(BackfillError::Busy(_))
            | Self::Backup(BackupError::Occupied(_))
            | Self::Reindex(
                ReindexError::Busy(_)
                | ReindexError::TooManyRemoved { .. }
                | ReindexError::UnknownRow { .. }
                | ReindexError::NotConfirmed,
            ) => Exit::Declined,
            Self::Assembly(AssemblyError::Hygiene(HygieneError::Gallery(_) | HygieneError::Library(_))) => {
                Exit::Storage
            }
            Self::Key(KeyError::Invalid(_))
            | Self::Account(AccountError::Name(_) | AccountError::Password { .. })
            | Self::Evaluate(EvaluateError::Usage(_)) => Exit::Usage,
            Self::Manifest(_)
            | Self::Provision(_)
            | Self::Model(_)
            | Self::Scoring(_)
            | Self::Assembly(
                AssemblyError::Manifest(_)
                | AssemblyError::Model(_)
                | AssemblyError::Scoring(_)
                | AssemblyError::Hygiene(_),
            ) => Exit::Model,
            Self::Assembly(_)
            | Self::Gallery(_)
            | Self::Library(_)
            | Self::Snapshot(_)
            | Self::Damaged(_)
            | Self::Backup(_)
            | Self::Account(AccountError::Gallery(_))
            | Self::Key(KeyError::Gallery(_))
            | Self::Screen(ScreenError::Gallery(_))
            | Self::Backfill(BackfillError::Screen(ScreenError::Gallery(_)))
            | Self::Reindex(
                ReindexError::Gallery(_)
                | ReindexError::Library(_)
                | ReindexError::Snapshot(_)
                | ReindexError::Unproven(_),
            ) => Exit::Storage,
            Self::Screen(ScreenError::Photo { .. })
            | Self::Photo { .. }
            | Self::Photos(_)
            | Self::File { .. }
            | Self::Evaluate(EvaluateError::Dataset(_) | EvaluateError::File { .. })
            | Self::Backfill(BackfillError::Source(_))
            | Self::Reindex(ReindexError::Source { .. }) => Exit::Photo,
            _ => Exit::Failed,
        }
    }
}
