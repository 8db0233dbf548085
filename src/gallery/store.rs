//! The connections to the database, and the gallery's errors.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::RwLock;
use thiserror::Error;
use uuid::Uuid;

use super::health::{Health, Identity};
use super::photos::FEATURES;
use super::readers::Readers;
use super::transfer::TransferError;
use super::{PhotoStore, Vault, schema};
use crate::domain::TakedownOptions;
use crate::storage::{self, Connection, Engine, Row, StorageOptions, Value, Writer, Writing};

/// Why the gallery could not answer.
#[derive(Debug, Error)]
pub enum GalleryError {
    /// The database returned an error.
    #[error("database {at}: {source}")]
    Database {
        /// The database: its file, or its URL without the password.
        at: String,
        /// The engine's error.
        source: storage::Error,
    },
    /// A journal of reindex runs cannot be opened, read or written.
    #[error(
        "journal {path}: {source}; delete that file if it is damaged: the next run reads everything anew, and nothing is lost"
    )]
    Journal {
        /// The journal file.
        path: PathBuf,
        /// SQLite's error.
        source: storage::Error,
    },
    /// The records were not copied to a file.
    #[error("copying the records: {0}")]
    Copy(Box<TransferError>),
    /// A copy of records to this database was interrupted.
    #[error(
        "database {0} has a part of a gallery only, because copying its records was interrupted; run the same `touchstone storage copy` again (after `touchstone restore`: from touchstone.db in the data folder)"
    )]
    Unfinished(String),
    /// A newer touchstone wrote the database.
    #[error("database {at} has version {got}, expected at most {newest}; run a newer touchstone")]
    TooNew {
        /// The database: its file, or its URL without the password.
        at: String,
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
    folder: PathBuf,
    engine: Engine,
    /// The database's file, if it is one.
    pub(super) identity: Option<Identity>,
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
    readers: Readers,
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
        Self::open_on(folder, &StorageOptions::default(), vault)
    }

    /// As [`Gallery::open_sealed`], with records in a PostgreSQL database and photos in an object store, if the settings name them.
    ///
    /// # Errors
    /// As [`Gallery::open_sealed`]; also when the database cannot be reached.
    pub fn open_on(folder: &Path, options: &StorageOptions, vault: Option<Vault>) -> Result<Self, GalleryError> {
        let vault = vault.map(Arc::new);
        let store = |kind| PhotoStore::open(folder, options, kind, vault.as_ref());
        let (photos, features) = (store("photos")?, store(FEATURES)?);
        let (uploads, thumbnails) = (store("uploads")?, store("thumbnails")?);
        let file = folder.join("touchstone.db");
        let engine = match &options.database {
            None => Engine::Sqlite(file.clone()),
            Some(url) => Engine::Postgres(Box::new(url.clone())),
        };
        let at = engine.place();
        let failed = |source| GalleryError::Database { at: at.clone(), source };
        let writer = engine.connect(true).map_err(failed)?;
        schema::migrate(&writer, &new_id("gal")).map_err(failed)?.map_err(|got| GalleryError::TooNew {
            at: at.clone(),
            got,
            newest: schema::newest(),
        })?;
        let identity = options.database.is_none().then(|| Identity::of(&file)).transpose()?;
        let id: String = writer.query_row("SELECT id FROM gallery", [], |row| row.get(0)).map_err(failed)?;
        if id == schema::UNFINISHED {
            return Err(GalleryError::Unfinished(at));
        }
        let writer = Writer::new(engine.clone(), schema::newest(), writer);
        let gallery = Self {
            folder: folder.to_owned(),
            readers: Readers::new(engine.clone()),
            engine,
            identity,
            id,
            photos,
            features,
            uploads,
            thumbnails,
            writer,
            takedown: RwLock::default(),
            health: Health::default(),
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
            for sha256 in store.files()? {
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
        self.folder.join("reindex")
    }

    /// The folder of the memory's segments.
    #[must_use]
    pub fn memory_folder(&self) -> PathBuf {
        self.folder.join("memory")
    }

    /// Whether the records are in a database server, which other nodes may share.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.engine, Engine::Postgres(_))
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

    pub(super) fn read<T>(&self, query: impl FnOnce(&Connection) -> storage::Result<T>) -> Result<T, GalleryError> {
        let reader = self.readers.take().map_err(|source| self.failed(source))?;
        let answer = query(&reader).map_err(|source| self.failed(source));
        // If another database has replaced it, the connection may be to that one and must not be reused.
        if let Err(gone) = self.still_there() {
            reader.discard();
            return Err(gone);
        }
        answer
    }

    /// Fails if the path now leads to another file than the open database.
    fn still_there(&self) -> Result<(), GalleryError> {
        if self.is_there() { Ok(()) } else { Err(GalleryError::Gone(self.database_file())) }
    }

    pub(super) fn is_there(&self) -> bool {
        self.identity.is_none_or(|identity| identity.is_there(&self.database_file()))
    }

    fn database_file(&self) -> PathBuf {
        self.folder.join("touchstone.db")
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn own_connection<T>(
        &self,
        work: impl FnOnce(&Connection) -> storage::Result<T>,
    ) -> Result<T, GalleryError> {
        let done = self.engine.connect(false).and_then(|db| work(&db)).map_err(|source| self.failed(source));
        self.still_there()?;
        done
    }

    pub(super) fn write<T>(&self, work: impl FnOnce(&Writing<'_>) -> storage::Result<T>) -> Result<T, GalleryError> {
        self.still_there()?;
        let written = self.writer.write(work).map_err(|source| self.failed(source));
        self.still_there()?;
        let written = written?;
        self.health.wrote();
        Ok(written)
    }

    pub(super) fn failed(&self, source: storage::Error) -> GalleryError {
        if let storage::Error::File(error) = source {
            self.health.note_files(&error);
            return GalleryError::Photos(error);
        }
        self.health.note_database(&source);
        GalleryError::Database { at: self.engine.place(), source }
    }
}

/// A new public id: a prefix that names its type, and a UUID of version 7.
pub(crate) fn new_id(prefix: &str) -> String {
    format!("{prefix}_{}", Uuid::now_v7().simple())
}

/// The engines' integers are signed; keys and revisions count up from 1 and stay far below 2^63.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(row: &Row<'_>, index: usize) -> storage::Result<u64> {
    Ok(row.get::<i64>(index)?.unsigned_abs())
}

pub(super) fn parsed<T: std::str::FromStr>(row: &Row<'_>, index: usize) -> storage::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    row.get_ref(index)?.as_str()?.parse().map_err(|error| conversion(index, error))
}

pub(super) fn optional<T: std::str::FromStr>(row: &Row<'_>, index: usize) -> storage::Result<Option<T>>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    match row.get_ref(index)? {
        Value::Null => Ok(None),
        _ => parsed(row, index).map(Some),
    }
}

/// A time that is stored as whole seconds since 1970.
pub(super) fn second(row: &Row<'_>, index: usize) -> storage::Result<Timestamp> {
    Timestamp::from_second(row.get(index)?).map_err(|error| conversion(index, error))
}

pub(super) fn optional_second(row: &Row<'_>, index: usize) -> storage::Result<Option<Timestamp>> {
    match row.get_ref(index)? {
        Value::Null => Ok(None),
        _ => second(row, index).map(Some),
    }
}

pub(super) fn conversion(index: usize, error: impl std::error::Error + Send + Sync + 'static) -> storage::Error {
    storage::Error::Conversion(format!("column {index}: {error}").into())
}

/// Carries a file error out of a transaction, which it rolls back.
pub(super) fn io_error(error: io::Error) -> storage::Error {
    storage::Error::File(error)
}

pub(super) fn next_revision(transaction: &Writing<'_>) -> storage::Result<u64> {
    transaction.query_row("UPDATE gallery SET revision = revision + 1 RETURNING revision", [], |row| unsigned(row, 0))
}
