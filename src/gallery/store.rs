//! The connections to the database, and the gallery's errors.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::{Mutex, RwLock};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags, Row};
use thiserror::Error;
use uuid::Uuid;

use super::health::{Health, Identity};
use super::writer::{Writer, Writing};
use super::{PhotoStore, Vault, schema};
use crate::domain::TakedownOptions;

/// Why the gallery could not answer.
#[derive(Debug, Error)]
pub enum GalleryError {
    /// SQLite returned an error.
    #[error("database {path}: {source}")]
    Database {
        /// The database file.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// A journal of reindex runs cannot be opened, read or written.
    #[error(
        "journal {path}: {source}; delete that file if it is damaged: the next run reads everything anew, and nothing is lost"
    )]
    Journal {
        /// The journal file.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// A newer touchstone wrote the database.
    #[error("database {path} has version {got}, expected at most {newest}; run a newer touchstone")]
    TooNew {
        /// The database file.
        path: PathBuf,
        /// Schema version of the database.
        got: i64,
        /// Newest schema version that this program knows.
        newest: usize,
    },
    /// The photos are encrypted with a key that the vault does not have.
    #[error("photos are encrypted with key {0}, which photo_keys does not hold; name the file with that key in it")]
    Sealed(String),
    /// The data folder was removed, renamed or replaced after it was opened.
    #[error(
        "database {0} is not the file that was opened; put the original data folder back, or restart to use the current one"
    )]
    Gone(PathBuf),
    /// A file of the photo store could not be read or written.
    #[error("photo store: {0}")]
    Photos(#[from] io::Error),
}

/// The database and the photo store beside it. Threads may share one; several processes may open the same folder.
pub struct Gallery {
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    id: String,
    pub(super) photos: PhotoStore,
    /// Keypoints of the photos, under the photos' SHA-256: derived, and computed again when missing.
    pub(super) features: PhotoStore,
    /// Photos that were sent to checks.
    pub(super) uploads: PhotoStore,
    /// Thumbnails of both, for people: derived, and made again when missing.
    pub(super) thumbnails: PhotoStore,
    writer: Writer,
    pub(super) takedown: RwLock<TakedownOptions>,
    pub(super) health: Health,
    /// Idle connections for reading; another one is opened when all are busy.
    readers: Mutex<Vec<Connection>>,
}

impl Gallery {
    /// Opens `<folder>/touchstone.db`, `<folder>/photos`, `<folder>/features`, `<folder>/uploads` and
    /// `<folder>/thumbnails`, and creates what is missing.
    ///
    /// # Errors
    /// When the folder cannot be used, a newer touchstone wrote the database, or the photos are encrypted.
    pub fn open(folder: &Path) -> Result<Self, GalleryError> {
        Self::open_sealed(folder, None)
    }

    /// As [`Gallery::open`]. With a vault, photos and everything derived from them are encrypted.
    ///
    /// # Errors
    /// As [`Gallery::open`]; also when photos are encrypted with a key that the vault does not have.
    pub fn open_sealed(folder: &Path, vault: Option<Vault>) -> Result<Self, GalleryError> {
        let vault = vault.map(Arc::new);
        let store = |kind| PhotoStore::open(folder, kind, vault.as_ref());
        let (photos, features) = (store("photos")?, store("features")?);
        let (uploads, thumbnails) = (store("uploads")?, store("thumbnails")?);
        let path = folder.join("touchstone.db");
        let failed = |source| GalleryError::Database { path: path.clone(), source };
        let mut writer = Connection::open(&path).map_err(failed)?;
        schema::prepare(&writer).map_err(failed)?;
        schema::migrate(&mut writer, &new_id("gal")).map_err(failed)?.map_err(|got| GalleryError::TooNew {
            path: path.clone(),
            got,
            newest: schema::newest(),
        })?;
        let identity = Identity::of(&path)?;
        let id = writer.query_row("SELECT id FROM gallery", [], |row| row.get(0)).map_err(failed)?;
        let writer = Writer::new(writer);
        let gallery = Self {
            path,
            identity,
            id,
            photos,
            features,
            uploads,
            thumbnails,
            writer,
            takedown: RwLock::default(),
            health: Health::default(),
            readers: Mutex::default(),
        };
        gallery.note_vault(vault.as_deref())?;
        Ok(gallery)
    }

    /// Once photos have been encrypted, they are never read or written without their key.
    fn note_vault(&self, vault: Option<&Vault>) -> Result<(), GalleryError> {
        let noted: Option<String> =
            self.read(|db| db.query_row("SELECT photo_key FROM gallery", [], |row| row.get(0)))?;
        match (noted, vault) {
            (Some(key), None) => Err(GalleryError::Sealed(key)),
            (Some(key), Some(vault)) if !vault.holds(&key) => Err(GalleryError::Sealed(key)),
            (noted, Some(vault)) if noted.as_deref() != Some(&vault.newest()) => self.write(|transaction| {
                transaction.execute("UPDATE gallery SET photo_key = ?1", [vault.newest()]).map(drop)
            }),
            _ => Ok(()),
        }
    }

    /// Encrypts every file again that is not encrypted with the newest key, and returns how many.
    ///
    /// # Errors
    /// At the first file that cannot be read or written.
    pub fn seal_photos(&self) -> Result<u64, GalleryError> {
        let mut sealed = 0;
        for store in [&self.photos, &self.uploads, &self.features, &self.thumbnails] {
            for (sha256, _) in store.files() {
                // Inside a transaction, as deletions are, so that it does not bring back a deleted photo.
                sealed += u64::from(self.write(|_| store.reseal(sha256).map_err(io_error))?);
            }
            store.sync()?;
        }
        Ok(sealed)
    }

    /// The folder of the reindex journals.
    #[must_use]
    pub fn journals(&self) -> PathBuf {
        self.path.with_file_name("reindex")
    }

    /// The database's own id, `gal_` and a UUID. An index that was built for another id is rejected.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A counter that every change of a reference, policy or outcome increments.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn revision(&self) -> Result<u64, GalleryError> {
        self.read(|db| db.query_row("SELECT revision FROM gallery", [], |row| unsigned(row, 0)))
    }

    pub(super) fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, GalleryError> {
        let idle = self.readers.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.open_reader().map_err(|source| self.failed(source))?,
        };
        let answer = query(&connection).map_err(|source| self.failed(source));
        // If another database has replaced it, the connection may be to that one and must not be reused.
        self.still_there()?;
        self.readers.lock().push(connection);
        answer
    }

    /// Fails if the path now leads to another file than the open database.
    fn still_there(&self) -> Result<(), GalleryError> {
        if self.identity.is_there(&self.path) { Ok(()) } else { Err(GalleryError::Gone(self.path.clone())) }
    }

    /// Opens another connection. Does not create a missing file.
    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::default().difference(OpenFlags::SQLITE_OPEN_CREATE);
        let connection = Connection::open_with_flags(&self.path, flags)?;
        schema::prepare(&connection)?;
        Ok(connection)
    }

    pub(super) fn own_connection<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, GalleryError> {
        let done = self.connect().and_then(|db| work(&db)).map_err(|source| self.failed(source));
        self.still_there()?;
        done
    }

    fn open_reader(&self) -> rusqlite::Result<Connection> {
        let connection = self.connect()?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    }

    pub(super) fn write<T>(&self, work: impl FnOnce(&Writing<'_>) -> rusqlite::Result<T>) -> Result<T, GalleryError> {
        self.still_there()?;
        let written = self.writer.write(work).map_err(|source| self.failed(source));
        self.still_there()?;
        let written = written?;
        self.health.wrote();
        Ok(written)
    }

    pub(super) fn failed(&self, source: rusqlite::Error) -> GalleryError {
        match source {
            // Only `io_error` puts an error there.
            rusqlite::Error::ToSqlConversionFailure(inner) => match inner.downcast::<io::Error>() {
                Ok(error) => {
                    self.health.note_files(&error);
                    GalleryError::Photos(*error)
                }
                Err(other) => self.failed_database(rusqlite::Error::ToSqlConversionFailure(other)),
            },
            other => self.failed_database(other),
        }
    }

    fn failed_database(&self, source: rusqlite::Error) -> GalleryError {
        self.health.note_database(&source);
        GalleryError::Database { path: self.path.clone(), source }
    }
}

/// A new public id: a prefix that names its type, and a UUID of version 7.
pub(crate) fn new_id(prefix: &str) -> String {
    format!("{prefix}_{}", Uuid::now_v7().simple())
}

/// SQLite's integers are signed; keys and revisions count up from 1 and stay far below 2^63.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(index)?.unsigned_abs())
}

pub(super) fn parsed<T: std::str::FromStr>(row: &Row<'_>, index: usize) -> rusqlite::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    row.get_ref(index)?.as_str()?.parse().map_err(|error| conversion(index, error))
}

pub(super) fn optional<T: std::str::FromStr>(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<T>>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    match row.get_ref(index)? {
        ValueRef::Null => Ok(None),
        _ => parsed(row, index).map(Some),
    }
}

/// A time that is stored as whole seconds since 1970.
pub(super) fn second(row: &Row<'_>, index: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_second(row.get(index)?).map_err(|error| conversion(index, error))
}

pub(super) fn optional_second(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Timestamp>> {
    match row.get_ref(index)? {
        ValueRef::Null => Ok(None),
        _ => second(row, index).map(Some),
    }
}

pub(super) fn conversion(index: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, Value::Null.data_type(), Box::new(error))
}

/// Carries a file error out of a transaction, which it rolls back.
pub(super) fn io_error(error: io::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}

pub(super) fn next_revision(transaction: &Writing<'_>) -> rusqlite::Result<u64> {
    transaction.query_row("UPDATE gallery SET revision = revision + 1 RETURNING revision", [], |row| unsigned(row, 0))
}
