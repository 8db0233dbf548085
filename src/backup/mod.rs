//! Everything in one file, and back: the database, photos and the serving generations, with a sum of each file.
//!
//! A backup is a tar archive: `about.json`, the index, `touchstone.db`, `photos/`, `uploads/`, and last `SHA256SUMS`, as
//! `sha256sum -c` reads it. What can be made again (points, small pictures, journals) and the photos' keys are not in it.

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

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Version of the layout.
    pub format: u32,
    /// The touchstone that wrote it.
    pub touchstone: String,
    /// When it was begun.
    pub created_at: jiff::Timestamp,
    /// The database's id.
    pub gallery: String,
}

/// What a backup holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// Photos of references.
    pub photos: u64,
    /// Photos that were sent.
    pub uploads: u64,
    /// Generations of the index.
    pub generations: u64,
    /// Entries of the audit log; counted when it is restored.
    pub audit_entries: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Why there is no backup, or nothing was restored from one.
#[derive(Debug, Error)]
pub enum BackupError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The database cannot be used.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// Something else is there.
    #[error("{0} is there and is no plain file; name a new file, or a backup to replace")]
    NotAFile(PathBuf),
    /// A reference's photo is not what it was.
    #[error("the photo {sha256} cannot be backed up ({source}); delete its reference and add it again")]
    Photo {
        /// Which.
        sha256: Sha256,
        /// What is wrong.
        source: io::Error,
    },
    /// The folders are one, or one is in the other.
    #[error("data and index_dir must be folders beside each other to restore into: {0} and {1}")]
    Nested(PathBuf, PathBuf),
    /// Photos went faster than they could be copied.
    #[error("references kept being deleted while their photos were copied; try again")]
    Unsteady,
    /// It is no backup, or not whole.
    #[error("{path} is no whole backup: {reason}; nothing was restored")]
    Damaged {
        /// The backup.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// There is something already.
    #[error("{0} is not empty; a backup is restored into new folders only (data and index_dir)")]
    Occupied(PathBuf),
}

impl BackupError {
    fn file(path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path: path.clone(), source }
    }
}

/// The folder that a path lies in.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
