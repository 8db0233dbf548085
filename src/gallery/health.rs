//! Faults of the disk or the database that reading and writing have shown.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use parking_lot::Mutex;

use super::store::{Gallery, GalleryError, io_error};
use crate::storage::{self, Meaning};

/// Why the gallery cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Pages of the database are damaged: a query that finds nothing may be wrong.
    Damaged,
    /// Writing fails: the disk is full, read-only or failing.
    Unwritable,
    /// The database server does not answer.
    Unreachable,
    /// The database file is no longer at its path: the data folder was removed, renamed or replaced. Only open
    /// connections still reach the old file.
    Gone,
}

impl Fault {
    /// What is wrong and what to do, for people; it names no path.
    #[must_use]
    pub fn detail(self) -> &'static str {
        match self {
            Self::Damaged => "the database is damaged; stop the service and restore a backup (touchstone restore)",
            Self::Unwritable => {
                "nothing can be written: make room on the disk of the data folder, and check whether it is read-only"
            }
            Self::Unreachable => {
                "the database server does not answer: start it, or check storage.database and the network"
            }
            Self::Gone => {
                "the data folder is not the one that was opened: put the original folder back, or restart the service with the right one"
            }
        }
    }
}

/// Device and inode of the database file, because its path may later lead to another file, or to none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(u64, u64);

impl Identity {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let file = std::fs::metadata(path)?;
        Ok(Self(file.dev(), file.ino()))
    }

    /// Whether the path still leads to the file.
    pub(super) fn is_there(self, path: &Path) -> bool {
        Self::of(path).is_ok_and(|now| now == self)
    }
}

#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Option<Fault>>);

impl Health {
    /// Damage is permanent; a failure to write may pass.
    fn note(&self, fault: Fault) {
        let mut known = self.0.lock();
        if *known != Some(Fault::Damaged) {
            *known = Some(fault);
        }
    }

    pub(super) fn note_database(&self, error: &storage::Error) {
        match error.meaning() {
            Meaning::Damaged => self.note(Fault::Damaged),
            Meaning::Unwritable => self.note(Fault::Unwritable),
            Meaning::Unreachable => self.note(Fault::Unreachable),
            Meaning::Other => {}
        }
    }

    pub(super) fn note_files(&self, error: &io::Error) {
        let kinds = [
            io::ErrorKind::StorageFull,
            io::ErrorKind::ReadOnlyFilesystem,
            io::ErrorKind::QuotaExceeded,
            io::ErrorKind::FileTooLarge,
            io::ErrorKind::PermissionDenied,
        ];
        if kinds.contains(&error.kind()) {
            self.note(Fault::Unwritable);
        }
    }

    /// A write succeeded.
    pub(super) fn wrote(&self) {
        let mut known = self.0.lock();
        if matches!(*known, Some(Fault::Unwritable | Fault::Unreachable)) {
            *known = None;
        }
    }
}

impl Gallery {
    /// The fault known from the reads and writes so far.
    #[must_use]
    pub fn known_fault(&self) -> Option<Fault> {
        if self.is_there() { *self.health.0.lock() } else { Some(Fault::Gone) }
    }

    /// Tries to write to the photo store and to the database; clears [`Fault::Unwritable`] and [`Fault::Unreachable`] if both succeed.
    ///
    /// # Errors
    /// When either cannot be written.
    pub fn try_to_write(&self) -> Result<(), GalleryError> {
        self.uploads.try_to_write().map_err(|error| self.failed(io_error(error)))?;
        self.write(|transaction| transaction.execute("UPDATE gallery SET revision = revision", []).map(drop))
    }

    /// Checks SQLite's pages and records damage. Returns the first finding; `None` if there is none, or the engine is PostgreSQL.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn look_for_damage(&self) -> Result<Option<String>, GalleryError> {
        let damage = self.checked("PRAGMA quick_check(1)")?;
        if damage.is_some() {
            self.health.note(Fault::Damaged);
        }
        Ok(damage)
    }
}
