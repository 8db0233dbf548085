//! Copies of the database for backups, and the proof of one that was restored.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::store::{Gallery, GalleryError};
use crate::photo::Sha256;

impl Gallery {
    /// Writes a consistent copy of the database to a new file, while others read and write.
    ///
    /// # Errors
    /// When it cannot be read, or the file not written.
    pub fn copy_database(&self, to: &Path) -> Result<(), GalleryError> {
        // A connection of its own: those for reading refuse whatever writes a file.
        self.own_connection(|db| db.execute("VACUUM INTO ?1", [&*to.to_string_lossy()]).map(drop))
    }

    /// The file of a reference's photo, sealed where it is.
    #[must_use]
    pub fn photo_file(&self, sha256: Sha256) -> PathBuf {
        self.photos.path(sha256)
    }

    /// The files of all photos that were sent.
    pub fn upload_files(&self) -> impl Iterator<Item = PathBuf> + use<'_> {
        self.uploads.files().map(|(_, path)| path)
    }

    /// The first fault of the database's pages and indexes; `None` when it has none.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub fn fault(&self) -> Result<Option<String>, GalleryError> {
        let said: String = self.read(|db| db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)))?;
        Ok((said != "ok").then_some(said))
    }

    /// The first reference whose photo is missing or damaged, with why.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn lost_photo(&self) -> Result<Option<String>, GalleryError> {
        let lost = self.read(sums)?.into_iter().find_map(|sha256| {
            let read = self.photos.get_photo(sha256);
            read.err().map(|error| format!("photo {sha256}: {error}"))
        });
        Ok(lost)
    }
}

/// The photos of all references in a copy of a database.
///
/// # Errors
/// When it cannot be read.
pub fn photos_of(database: &Path) -> Result<Vec<Sha256>, GalleryError> {
    let read = Connection::open(database).and_then(|db| sums(&db));
    read.map_err(|source| GalleryError::Database { path: database.to_owned(), source })
}

fn sums(db: &Connection) -> rusqlite::Result<Vec<Sha256>> {
    db.prepare("SELECT DISTINCT sha256 FROM reference WHERE state <> 'deleted' ORDER BY sha256")?
        .query_map([], |row| row.get(0).map(Sha256))?
        .collect()
}
