//! Copies of the database for backups, and the proof of one that was restored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::schema;
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

    /// Where a reference's photo is kept.
    #[must_use]
    pub fn photo_file(&self, sha256: Sha256) -> PathBuf {
        self.photos.path(sha256)
    }

    /// A reference's photo as it is kept, sealed where it is; proven to be whole.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn kept_photo(&self, sha256: Sha256) -> std::io::Result<Vec<u8>> {
        self.photos.get_file(sha256)
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
        self.checked("PRAGMA integrity_check(1)")
    }

    /// What one of SQLite's own checks finds first.
    pub(super) fn checked(&self, pragma: &str) -> Result<Option<String>, GalleryError> {
        let said: String = self.read(|db| db.query_row(pragma, [], |row| row.get(0)))?;
        Ok((said != "ok").then_some(said))
    }

    /// How tables, indexes and triggers differ from those of this version; `None` when they do not.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn schema_fault(&self) -> Result<Option<String>, GalleryError> {
        let fresh = || {
            let mut db = Connection::open_in_memory()?;
            // What it refuses it would have refused when it was written.
            let _ = schema::migrate(&mut db, "gal_none")?;
            shape(&db)
        };
        let expected = fresh().map_err(|source| self.failed(source))?;
        let got = self.read(shape)?;
        let differs = |name: &&String| got.get(*name) != expected.get(*name);
        let name = expected.keys().chain(got.keys()).find(differs);
        Ok(name.map(|name| format!("{name} is missing, or not as expected, or not expected")))
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

/// What the database is made of, by name; how it was spaced does not matter.
fn shape(db: &Connection) -> rusqlite::Result<BTreeMap<String, String>> {
    db.prepare("SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_master WHERE name NOT LIKE 'sqlite_stat%'")?
        .query_map([], |row| {
            let sql: String = row.get(1)?;
            Ok((row.get(0)?, sql.split_whitespace().collect::<Vec<_>>().join(" ")))
        })?
        .collect()
}

fn sums(db: &Connection) -> rusqlite::Result<Vec<Sha256>> {
    db.prepare("SELECT DISTINCT sha256 FROM reference WHERE state <> 'deleted' ORDER BY sha256")?
        .query_map([], |row| row.get(0).map(Sha256))?
        .collect()
}
