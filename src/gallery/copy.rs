//! Copies of the database for backups, and the verification of a restored one.

use std::collections::BTreeMap;
use std::path::Path;

use super::schema;
use super::store::{Gallery, GalleryError, unsigned};
use super::transfer::copy_to_file;
use crate::photo::Sha256;
use crate::storage::{self, Connection};

impl Gallery {
    /// Writes a consistent copy of the database to a new file, while others read and write.
    ///
    /// # Errors
    /// When the database cannot be read, or the file not written.
    pub fn copy_database(&self, to: &Path) -> Result<(), GalleryError> {
        if self.is_shared() {
            return copy_to_file(self.engine(), to);
        }
        // A connection of its own: the connections for reading reject a statement that writes a file.
        self.own_connection(|db| db.execute("VACUUM INTO ?1", [&*to.to_string_lossy()]).map(drop))
    }

    /// The stored file of a reference's photo, sealed if it is sealed there, after verifying its SHA-256.
    ///
    /// # Errors
    /// When the photo is missing or damaged.
    pub fn kept_photo(&self, sha256: Sha256) -> std::io::Result<Vec<u8>> {
        self.photos.get_file(sha256)
    }

    /// All photos that were sent to checks.
    ///
    /// # Errors
    /// When an object store cannot be listed.
    pub fn kept_uploads(&self) -> std::io::Result<Vec<Sha256>> {
        self.uploads.files()
    }

    /// The stored file of a photo that was sent to a check, sealed if it is sealed there.
    ///
    /// # Errors
    /// When the photo is missing or cannot be read.
    pub fn kept_upload(&self, sha256: Sha256) -> std::io::Result<Vec<u8>> {
        self.uploads.read(sha256)
    }

    /// SQLite's first finding in the database's pages and indexes; `None` when it has none. PostgreSQL checks its own.
    ///
    /// # Errors
    /// When the database cannot be read at all.
    pub fn fault(&self) -> Result<Option<String>, GalleryError> {
        self.checked("PRAGMA integrity_check(1)")
    }

    /// The first finding of one of SQLite's own checks.
    pub(super) fn checked(&self, pragma: &str) -> Result<Option<String>, GalleryError> {
        if self.is_shared() {
            return Ok(None);
        }
        let said: String = self.read(|db| db.query_row(pragma, [], |row| row.get(0)))?;
        Ok((said != "ok").then_some(said))
    }

    /// The first table, index or trigger that differs from this version's schema; `None` when none does, or the database is
    /// PostgreSQL's.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn schema_fault(&self) -> Result<Option<String>, GalleryError> {
        if self.is_shared() {
            return Ok(None);
        }
        let expected = schema::fresh().and_then(|db| shape(&db)).map_err(|source| self.failed(source))?;
        let got = self.read(shape)?;
        let differs = |name: &&String| got.get(*name) != expected.get(*name);
        let name = expected.keys().chain(got.keys()).find(differs);
        Ok(name.map(|name| format!("{name} is missing, or not as expected, or not expected")))
    }

    /// The first reference photo that is missing or damaged, with the reason.
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

/// SHA-256 of the photos of all references in a copy of a database.
///
/// # Errors
/// When the database cannot be read.
pub fn photos_of(database: &Path) -> Result<Vec<Sha256>, GalleryError> {
    let read = Connection::plain_file(database).and_then(|db| sums(&db));
    read.map_err(|source| GalleryError::Database { at: database.display().to_string(), source })
}

/// Ids of the memory's segments in a copy of a database, and how many bytes of each count.
///
/// # Errors
/// When the database cannot be read.
pub fn segments_of(database: &Path) -> Result<Vec<(u64, u64)>, GalleryError> {
    let segments = |db: Connection| -> storage::Result<Vec<(u64, u64)>> {
        db.prepare_cached("SELECT id, bytes FROM memory_segment WHERE bytes > 0 ORDER BY id")?
            .query_map([], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?)))?
            .collect()
    };
    let read = Connection::plain_file(database).and_then(segments);
    read.map_err(|source| GalleryError::Database { at: database.display().to_string(), source })
}

/// The SQL of tables, indexes and triggers by name, with white space normalised.
fn shape(db: &Connection) -> storage::Result<BTreeMap<String, String>> {
    db.prepare_cached(
        "SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_master WHERE name NOT LIKE 'sqlite_stat%'",
    )?
    .query_map([], |row| {
        let sql: String = row.get(1)?;
        Ok((row.get(0)?, sql.split_whitespace().collect::<Vec<_>>().join(" ")))
    })?
    .collect()
}

fn sums(db: &Connection) -> storage::Result<Vec<Sha256>> {
    db.prepare_cached("SELECT DISTINCT sha256 FROM reference WHERE state <> 'deleted' ORDER BY sha256")?
        .query_map([], |row| row.get(0).map(Sha256))?
        .collect()
}
