use std::path::PathBuf;
use std::process::{ExitCode, Termination};

use thiserror::Error;

use crate::alliance::{AllianceError, ExchangeError};
use crate::assembly::AssemblyError;
use crate::backfill::BackfillError;
use crate::backup::BackupError;
use crate::config::ConfigError;
use crate::domain::Action;
use crate::embed::{ManifestError, ModelError};
use crate::enrolment::EnrolError;
use crate::evaluate::EvaluateError;
use crate::gallery::{GalleryError, TransferError};
use crate::hygiene::HygieneError;
use crate::index::SnapshotError;
use crate::keys::KeyError;
use crate::library::LibraryError;
use crate::lookback::LookbackError;
use crate::memory::MemoryError;
use crate::moderation::AccountError;
use crate::photo::PhotoError;
use crate::provision::ProvisionError;
use crate::reindex::ReindexError;
use crate::scoring::ScoringError;
use crate::screening::ScreenError;
use crate::storage::UrlError;

/// Exit codes of the commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The command succeeded; for `check`, the action is `allow`.
    Done = 0,
    /// An error without a code of its own.
    Failed = 1,
    /// Wrong flags or arguments.
    Usage = 2,
    /// The run finished, but refused some files; the report names them.
    SomeRefused = 3,
    /// The configuration is invalid.
    Config = 4,
    /// The model or the runtime cannot be used.
    Model = 5,
    /// The database, the photos or the index cannot be used.
    Storage = 6,
    /// A photo or a source cannot be used.
    Photo = 7,
    /// Not done on purpose: because of a limit, a missing confirmation or another run.
    Declined = 8,
    /// `doctor` found something wrong.
    Unwell = 9,
    /// `check`: the action is `review`.
    Review = 10,
    /// `check`: the action is `block`.
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

/// Why a command failed, in one line.
#[derive(Debug, Error)]
pub enum Failure {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A model's manifest is invalid.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The model or the runtime cannot be loaded.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A part cannot be opened.
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
    /// The database or the photo store cannot be used.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// A text names no database.
    #[error(transparent)]
    Place(#[from] UrlError),
    /// Records were not copied.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// A generation of the index cannot be used.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The command declined to act.
    #[error("{0}")]
    Declined(String),
    /// The library cannot follow the gallery.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// A photo or a listing cannot be screened.
    #[error(transparent)]
    Screen(#[from] ScreenError),
    /// A reindex stopped.
    #[error(transparent)]
    Reindex(#[from] ReindexError),
    /// A lookback stopped.
    #[error(transparent)]
    Lookback(#[from] LookbackError),
    /// The memory of checked photos cannot be read or written.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// References cannot be embedded.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// The scoring artefact cannot be used.
    #[error(transparent)]
    Scoring(#[from] ScoringError),
    /// An evaluation stopped.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// A file is not a usable photo.
    #[error("{path}: {source}")]
    Photo {
        /// Path of the file.
        path: PathBuf,
        /// Why it cannot be decoded.
        source: PhotoError,
    },
    /// Several files cannot be used.
    #[error("{} photos cannot be used: {}", .0.len(), .0.join("; "))]
    Photos(Vec<String>),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Path of the file, or what stands for it.
        path: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// A backfill stopped.
    #[error(transparent)]
    Backfill(#[from] BackfillError),
    /// A model or the runtime was not fetched.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// An answer cannot be written.
    #[error("the answer cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    /// An account cannot be created.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// A key cannot be created.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// An alliance's command failed.
    #[error(transparent)]
    Alliance(#[from] AllianceError),
    /// Nothing can be exchanged with a member.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// A backup or a restore failed.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// Data on disk is damaged or altered.
    #[error("{0}")]
    Damaged(String),
    /// The command did its work, but could not print all of its answer.
    #[error("the answer could not be written to standard output: {0}")]
    Output(std::io::Error),
    /// The service cannot start, or stopped.
    #[error("{0}")]
    Serve(String),
}

impl Failure {
    /// Names the photo's file instead of its number.
    pub(super) fn screen(error: ScreenError, files: &[PathBuf]) -> Self {
        match error {
            ScreenError::Photo { index, source } if index < files.len() => {
                Self::Photo { path: files[index].clone(), source }
            }
            other => Self::Screen(other),
        }
    }

    /// The exit code of this failure.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Config(_) | Self::Assembly(AssemblyError::PhotoKeys { .. }) => Exit::Config,
            Self::Declined(_)
            | Self::Alliance(
                AllianceError::UnknownAlliance(_)
                | AllianceError::UnknownMember(_)
                | AllianceError::Left(_)
                | AllianceError::NotAllowed { .. }
                | AllianceError::InvitationUsed
                | AllianceError::Known(_)
                | AllianceError::NotQuarantined(_)
                | AllianceError::NameTaken(_)
                | AllianceError::AllianceNameTaken(_)
                | AllianceError::Ambiguous { .. }
                | AllianceError::Named(_)
                | AllianceError::OnlyBanks(_)
                | AllianceError::Overtaken(_)
                | AllianceError::Itself(_)
                | AllianceError::TooMany { .. },
            )
            | Self::Backfill(BackfillError::Busy(_))
            | Self::Transfer(TransferError::NotEmpty { .. })
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
            Self::Place(_)
            | Self::Key(KeyError::Invalid(_))
            | Self::Account(AccountError::Name(_) | AccountError::Password { .. })
            | Self::Alliance(AllianceError::Invalid(_))
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
            | Self::Transfer(_)
            | Self::Library(_)
            | Self::Snapshot(_)
            | Self::Memory(_)
            | Self::Lookback(LookbackError::Memory(_) | LookbackError::Gallery(_) | LookbackError::Library(_))
            | Self::Damaged(_)
            | Self::Alliance(AllianceError::Gallery(_) | AllianceError::Library(_))
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
            | Self::Alliance(AllianceError::Pack(_) | AllianceError::BeyondLog { .. })
            | Self::Evaluate(EvaluateError::Dataset(_) | EvaluateError::File { .. })
            | Self::Backfill(BackfillError::Source(_))
            | Self::Reindex(ReindexError::Source { .. }) => Exit::Photo,
            _ => Exit::Failed,
        }
    }
}
