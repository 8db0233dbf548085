//! Backup and restore: the database, photos and serving generations in one file, with a SHA-256 of each.
//!
//! A backup is a tar archive: `about.json`, the index, `touchstone.db`, `photos/`, `uploads/`, `memory/`, and last
//! `SHA256SUMS`, in the format of `sha256sum -c`. It leaves out what can be computed again (keypoints, thumbnails, journals) and the
//! photos' keys.

mod restore;
mod write;

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::gallery::GalleryError;
use crate::photo::Sha256;

pub use restore::restore;
pub use write::back_up;

const FORMAT: u32 = 1;
const ABOUT: &str = "about.json";
const DATABASE: &str = "touchstone.db";
const SUMS: &str = "SHA256SUMS";

/// The file `about.json` of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Version of the archive's layout.
    pub format: u32,
    /// Version of the touchstone that wrote it.
    pub touchstone: String,
    /// When the backup started.
    pub created_at: jiff::Timestamp,
    /// The database's id: a restored database must have it.
    pub gallery: String,
}

/// Counts of a backup's contents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// Photos of references.
    pub photos: u64,
    /// Photos that were sent to checks.
    pub uploads: u64,
    /// Generations of the index.
    pub generations: u64,
    /// Events of the audit log; 0 while writing, counted by a restore.
    pub audit_entries: u64,
    /// Size of all files in bytes.
    pub bytes: u64,
}

/// Why a backup or a restore failed.
#[derive(Debug, Error)]
pub enum BackupError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The database returned an error, or cannot be opened.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// The path of the new backup is a folder, link or device.
    #[error("{0} exists and is not a plain file; name a new file, or a backup to replace")]
    NotAFile(PathBuf),
    /// A reference's photo is missing or damaged.
    #[error("the photo {sha256} cannot be backed up ({source}); delete its reference and add it again")]
    Photo {
        /// SHA-256 of the photo.
        sha256: Sha256,
        /// The error when it was read.
        source: io::Error,
    },
    /// The folders are the same, or one contains the other.
    #[error("data and index_dir must be folders beside each other to restore into: {0} and {1}")]
    Nested(PathBuf, PathBuf),
    /// Photos were deleted faster than they could be copied.
    #[error("references kept being deleted while their photos were copied; try again")]
    Unsteady,
    /// The file is not a backup, or is not complete.
    #[error("{path} is not a complete backup: {reason}; nothing was restored")]
    Damaged {
        /// Path of the backup.
        path: PathBuf,
        /// The first fault that was found.
        reason: String,
    },
    /// A folder to restore into is not empty.
    #[error("{0} is not empty; a backup is restored into new folders only (data and index_dir)")]
    Occupied(PathBuf),
}

impl BackupError {
    fn file(path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path: path.clone(), source }
    }
}

/// The folder that contains a path.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
