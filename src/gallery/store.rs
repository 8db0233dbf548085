//! The only user of the database.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use parking_lot::Mutex;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, named_params, params};
use thiserror::Error;
use uuid::Uuid;

use super::{BrandId, PhotoStore, Polarity, Policy, Reference, ReferenceState, StoredPolicy, schema};
use crate::embed::Embedding;
use crate::photo::{Fingerprint, Photo, Sha256};

/// Why the gallery could not answer.
#[derive(Debug, Error)]
pub enum GalleryError {
    /// SQLite said no.
    #[error("database {path}: {source}")]
    Database {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        source: rusqlite::Error,
    },
    /// A newer touchstone wrote it.
    #[error("database {path} has version {got}, expected at most {newest}; run a newer touchstone")]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Version found.
        got: i64,
        /// Newest version known here.
        newest: usize,
    },
    /// A photo could not be kept or read.
    #[error("photo store: {0}")]
    Photos(#[from] io::Error),
}

/// A reference to add.
#[derive(Debug)]
pub struct NewReference<'a> {
    /// Whose it is.
    pub brand: &'a BrandId,
    /// Authentic or fake.
    pub polarity: Polarity,
    /// The brand's product id.
    pub product: Option<&'a str>,
    /// Where the brand has it from.
    pub source: Option<&'a str>,
    /// Free text.
    pub notes: Option<&'a str>,
    /// The decoded photo.
    pub photo: &'a Photo,
    /// Its fingerprint.
    pub fingerprint: &'a Fingerprint,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Its embedding by the model in use.
    pub embedding: &'a Embedding,
}

/// What became of a [`NewReference`].
#[derive(Debug)]
pub enum Added {
    /// It is new.
    New(Reference),
    /// The brand has this very photo with this polarity already; nothing was changed.
    Existing(Reference),
    /// The brand has this very photo with the other polarity; nothing was changed.
    Contradicts(Reference),
}

/// What to change on a reference. `Some(None)` clears a field.
#[derive(Debug, Default)]
pub struct ReferenceUpdate {
    /// The brand's product id.
    pub product: Option<Option<String>>,
    /// Where the brand has it from.
    pub source: Option<Option<String>>,
    /// Free text.
    pub notes: Option<Option<String>>,
    /// Whether it takes part.
    pub state: Option<ReferenceState>,
}

/// Which references to list, in the order they were added.
#[derive(Debug, Default)]
pub struct ListQuery {
    /// Only of this polarity.
    pub polarity: Option<Polarity>,
    /// Only of this product.
    pub product: Option<String>,
    /// Only in this state.
    pub state: Option<ReferenceState>,
    /// Only after this key.
    pub after: u64,
    /// How many at most.
    pub limit: usize,
}

/// A reference that changed.
#[derive(Debug)]
pub struct ChangedRow {
    /// Its key.
    pub key: u64,
    /// Whose it is.
    pub brand: BrandId,
    /// Authentic or fake.
    pub polarity: Polarity,
    /// The brand's product id.
    pub product: Option<String>,
    /// Whether it takes part now.
    pub active: bool,
    /// The revision that its last change made.
    pub revision: u64,
    /// Its vector, if the model has embedded it.
    pub vector: Option<Vec<u8>>,
}

/// A check to keep.
#[derive(Debug)]
pub struct StoredCheck<'a> {
    /// Its id.
    pub id: &'a str,
    /// The caller's key for repeats.
    pub idempotency_key: Option<&'a str>,
    /// Sum over everything that the caller sent.
    pub request_sha256: Sha256,
    /// The caller's listing.
    pub listing_id: Option<&'a str>,
    /// The caller's seller.
    pub seller_id: Option<&'a str>,
    /// The policy's answer.
    pub action: &'a str,
    /// When.
    pub created_at: Timestamp,
    /// The whole answer, JSON.
    pub answer: &'a str,
}

/// A check that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedCheck {
    /// Sum over what the caller sent.
    pub request_sha256: Sha256,
    /// The whole answer, JSON.
    pub answer: String,
}

/// The database and the photos beside it. Many threads may share one; several processes may open the
/// same folder.
pub struct Gallery {
    path: PathBuf,
    id: String,
    photos: PhotoStore,
    writer: Mutex<Connection>,
    /// Idle connections for reading; one is opened when all are busy.
    readers: Mutex<Vec<Connection>>,
}

impl Gallery {
    /// Opens `<folder>/touchstone.db` and `<folder>/photos`, making them when missing.
    ///
    /// # Errors
    /// When the folder cannot be used or a newer touchstone wrote the database.
    pub fn open(folder: &Path) -> Result<Self, GalleryError> {
        let photos = PhotoStore::open(&folder.join("photos"))?;
        let path = folder.join("touchstone.db");
        let failed = |source| GalleryError::Database { path: path.clone(), source };
        let mut writer = Connection::open(&path).map_err(failed)?;
        schema::prepare(&writer).map_err(failed)?;
        schema::migrate(&mut writer, &new_id("gal")).map_err(failed)?.map_err(|got| GalleryError::TooNew {
            path: path.clone(),
            got,
            newest: schema::newest(),
        })?;
        let id = writer.query_row("SELECT id FROM gallery", [], |row| row.get(0)).map_err(failed)?;
        Ok(Self { path, id, photos, writer: Mutex::new(writer), readers: Mutex::default() })
    }

    /// The database's own id: an index of another database is refused.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Counts up with each change of a reference or policy.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn revision(&self) -> Result<u64, GalleryError> {
        self.read(|db| db.query_row("SELECT revision FROM gallery", [], |row| unsigned(row, 0)))
    }

    /// Keeps a photo and its reference. Once this returns they survive a crash.
    ///
    /// # Errors
    /// When database or file system refuse; nothing is kept then.
    pub fn add(&self, new: &NewReference<'_>, model: &str) -> Result<Added, GalleryError> {
        // The photo is written inside the transaction: SQLite's write lock then also keeps another
        // process from removing the same photo in between.
        self.write(|transaction| {
            if let Some(existing) = find_photo(transaction, new.brand, new.photo.sha256())? {
                return Ok(if existing.polarity == new.polarity {
                    Added::Existing(existing)
                } else {
                    Added::Contradicts(existing)
                });
            }
            self.photos.put(new.photo.sha256(), new.bytes).map_err(io_error)?;
            insert(transaction, new, model).map(Added::New)
        })
    }

    /// One reference of a brand.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn get(&self, brand: &BrandId, id: &str) -> Result<Option<Reference>, GalleryError> {
        self.read(|db| find(db, brand, id))
    }

    /// A reference of any brand.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn find(&self, id: &str) -> Result<Option<Reference>, GalleryError> {
        self.read(|db| {
            let sql = format!("SELECT {COLUMNS} FROM reference WHERE id = ?1 AND state <> 'deleted'");
            db.prepare_cached(&sql)?.query_row([id], reference).optional()
        })
    }

    /// The references of these keys, in their order; deleted ones are left out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn by_keys(&self, keys: &[u64]) -> Result<Vec<Reference>, GalleryError> {
        self.read(|db| {
            let sql = format!("SELECT {COLUMNS} FROM reference WHERE key = ?1 AND state <> 'deleted'");
            let mut statement = db.prepare_cached(&sql)?;
            let rows = keys.iter().map(|&key| statement.query_row([signed(key)], reference).optional());
            rows.filter_map(Result::transpose).collect()
        })
    }

    /// A brand's references, in the order they were added.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn list(&self, brand: &BrandId, query: &ListQuery) -> Result<Vec<Reference>, GalleryError> {
        self.read(|db| {
            let sql = format!(
                "SELECT {COLUMNS} FROM reference WHERE brand = :brand AND state <> 'deleted' AND key > :after
                 AND (:polarity IS NULL OR polarity = :polarity) AND (:product IS NULL OR product = :product)
                 AND (:state IS NULL OR state = :state) ORDER BY key LIMIT :limit"
            );
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map(
                named_params! {
                    ":brand": brand.as_str(),
                    ":after": signed(query.after),
                    ":polarity": query.polarity.map(Polarity::as_str),
                    ":product": query.product,
                    ":state": query.state.map(ReferenceState::as_str),
                    ":limit": i64::try_from(query.limit).unwrap_or(i64::MAX),
                },
                reference,
            )?;
            rows.collect()
        })
    }

    /// Changes a reference; `None` when the brand has no such.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn update(
        &self,
        brand: &BrandId,
        id: &str,
        update: &ReferenceUpdate,
    ) -> Result<Option<Reference>, GalleryError> {
        self.write(|transaction| {
            let Some(mut changed) = find(transaction, brand, id)? else {
                return Ok(None);
            };
            let take = |field: &mut Option<String>, new: &Option<Option<String>>| {
                if let Some(new) = new {
                    field.clone_from(new);
                }
            };
            take(&mut changed.product, &update.product);
            take(&mut changed.source, &update.source);
            take(&mut changed.notes, &update.notes);
            changed.state = update.state.unwrap_or(changed.state);
            changed.updated_at = Timestamp::now();
            let revision = next_revision(transaction)?;
            transaction.execute(
                "UPDATE reference SET product = ?1, source = ?2, notes = ?3, state = ?4, updated_at = ?5, revision = ?6 WHERE key = ?7",
                params![
                    changed.product,
                    changed.source,
                    changed.notes,
                    changed.state.as_str(),
                    changed.updated_at.to_string(),
                    signed(revision),
                    signed(changed.key),
                ],
            )?;
            Ok(Some(changed))
        })
    }

    /// Deletes a reference, its vectors and, where no other reference needs it, its photo. `false`
    /// when the brand has no such.
    ///
    /// # Errors
    /// When database or file system refuse.
    pub fn delete(&self, brand: &BrandId, id: &str) -> Result<bool, GalleryError> {
        let deleted = self.write(|transaction| {
            let Some(reference) = find(transaction, brand, id)? else {
                return Ok(None);
            };
            let revision = next_revision(transaction)?;
            transaction.execute(
                "UPDATE reference SET state = 'deleted', product = NULL, source = NULL, notes = NULL, updated_at = ?1, revision = ?2 WHERE key = ?3",
                params![Timestamp::now().to_string(), signed(revision), signed(reference.key)],
            )?;
            transaction.execute("DELETE FROM embedding WHERE key = ?1", [signed(reference.key)])?;
            Ok(Some(reference.sha256))
        })?;
        let Some(sha256) = deleted else {
            return Ok(false);
        };
        // In a second transaction: a crash in between leaves a photo that nobody needs, never a
        // reference without its photo.
        self.write(|transaction| {
            let sql = "SELECT EXISTS (SELECT 1 FROM reference WHERE sha256 = ?1 AND state <> 'deleted')";
            let needed: bool = transaction.query_row(sql, [&sha256.0[..]], |row| row.get(0))?;
            if needed { Ok(()) } else { self.photos.remove(sha256).map_err(io_error) }
        })?;
        Ok(true)
    }

    /// Visits what changed after `since`, oldest change first, and returns the newest revision. Rows
    /// carry their vector by `model` only when they changed after `vectors_since`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn visit_changes(
        &self,
        model: &str,
        since: u64,
        vectors_since: u64,
        mut visit: impl FnMut(ChangedRow),
    ) -> Result<u64, GalleryError> {
        self.read(|db| {
            // One read transaction, so that rows and revision belong together.
            let snapshot = db.unchecked_transaction()?;
            let newest = snapshot.query_row("SELECT revision FROM gallery", [], |row| unsigned(row, 0))?;
            if newest == since {
                return Ok(newest);
            }
            let mut statement = snapshot.prepare_cached(
                "SELECT r.key, r.brand, r.polarity, r.product, r.state = 'active', r.revision, e.vector
                 FROM reference r LEFT JOIN embedding e
                   ON e.model = ?1 AND e.key = r.key AND r.state = 'active' AND r.revision > ?3
                 WHERE r.revision > ?2 ORDER BY r.revision",
            )?;
            let mut rows = statement.query(params![model, signed(since), signed(vectors_since)])?;
            while let Some(row) = rows.next()? {
                visit(ChangedRow {
                    key: unsigned(row, 0)?,
                    brand: parsed(row, 1)?,
                    polarity: parsed(row, 2)?,
                    product: row.get(3)?,
                    active: row.get(4)?,
                    revision: unsigned(row, 5)?,
                    vector: row.get(6)?,
                });
            }
            Ok(newest)
        })
    }

    /// Policies that changed after `since`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn policies_since(&self, since: u64) -> Result<Vec<(BrandId, StoredPolicy)>, GalleryError> {
        self.read(|db| {
            let mut statement =
                db.prepare_cached("SELECT version, policy, model, brand FROM policy WHERE revision > ?1")?;
            let rows = statement.query_map([signed(since)], |row| Ok((parsed(row, 3)?, stored_policy(row)?)))?;
            rows.collect()
        })
    }

    /// The brand's reference that has this very photo, if any.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn find_photo(&self, brand: &BrandId, sha256: Sha256) -> Result<Option<Reference>, GalleryError> {
        self.read(|db| find_photo(db, brand, sha256))
    }

    /// References after the key `after` without a vector by `model`, in any state but deleted.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn without_embedding(&self, model: &str, after: u64, limit: usize) -> Result<Vec<Reference>, GalleryError> {
        self.read(|db| {
            let sql = format!(
                "SELECT {COLUMNS} FROM reference r WHERE state <> 'deleted' AND key > ?2
                 AND NOT EXISTS (SELECT 1 FROM embedding e WHERE e.model = ?1 AND e.key = r.key) ORDER BY key LIMIT ?3"
            );
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement
                .query_map(params![model, signed(after), i64::try_from(limit).unwrap_or(i64::MAX)], reference)?;
            rows.collect()
        })
    }

    /// Keeps vectors of references that had none by `model`.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn add_embeddings(&self, model: &str, vectors: &[(u64, Embedding)]) -> Result<(), GalleryError> {
        self.write(|transaction| {
            for (key, embedding) in vectors {
                // A reference that was deleted meanwhile needs none.
                transaction.execute(
                    "INSERT OR IGNORE INTO embedding (model, key, vector) SELECT ?1, key, ?3 FROM reference WHERE key = ?2 AND state <> 'deleted'",
                    params![model, signed(*key), embedding.to_bytes()],
                )?;
                let revision = next_revision(transaction)?;
                transaction.execute("UPDATE reference SET revision = ?1 WHERE key = ?2", params![signed(revision), signed(*key)])?;
            }
            Ok(())
        })
    }

    /// The bytes of a reference's photo.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn photo(&self, sha256: Sha256) -> Result<Vec<u8>, GalleryError> {
        Ok(self.photos.get(sha256)?)
    }

    /// A brand's policy; version 0 and the defaults when it has none.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn policy(&self, brand: &BrandId) -> Result<StoredPolicy, GalleryError> {
        self.read(|db| {
            let found = db
                .prepare_cached("SELECT version, policy, model FROM policy WHERE brand = ?1")?
                .query_row([brand.as_str()], stored_policy)
                .optional()?;
            Ok(found.unwrap_or_default())
        })
    }

    /// Puts a policy in place of the brand's and counts its version up. With `expected`, only when
    /// the stored version is that one; `None` says that it was not.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn set_policy(
        &self,
        brand: &BrandId,
        policy: &Policy,
        model: &str,
        expected: Option<u64>,
    ) -> Result<Option<StoredPolicy>, GalleryError> {
        let text = serde_json::to_string(policy).map_err(|error| self.failed(conversion(1, error)))?;
        self.write(|transaction| {
            let stored = transaction
                .query_row("SELECT version FROM policy WHERE brand = ?1", [brand.as_str()], |row| unsigned(row, 0))
                .optional()?
                .unwrap_or(0);
            if expected.is_some_and(|expected| expected != stored) {
                return Ok(None);
            }
            let revision = next_revision(transaction)?;
            transaction.execute(
                "INSERT INTO policy (brand, version, policy, revision, model) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (brand) DO UPDATE SET version = excluded.version, policy = excluded.policy, revision = excluded.revision, model = excluded.model",
                params![brand.as_str(), signed(stored + 1), text, signed(revision), model],
            )?;
            Ok(Some(StoredPolicy {
                version: stored + 1,
                model: model.to_owned(),
                policy: policy.clone(),
            }))
        })
    }

    /// Keeps a check, or returns the one that the same idempotency key has made before.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn save_check(&self, check: &StoredCheck<'_>) -> Result<Option<SavedCheck>, GalleryError> {
        self.write(|transaction| {
            if let Some(key) = check.idempotency_key
                && let Some(saved) = saved_check(transaction, "idempotency_key", key)?
            {
                return Ok(Some(saved));
            }
            transaction.execute(
                "INSERT INTO listing_check (id, idempotency_key, request_sha256, listing_id, seller_id, action, created_at, answer)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    check.id,
                    check.idempotency_key,
                    &check.request_sha256.0[..],
                    check.listing_id,
                    check.seller_id,
                    check.action,
                    check.created_at.to_string(),
                    check.answer,
                ],
            )?;
            Ok(None)
        })
    }

    /// The check that an idempotency key has made.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn check_by_idempotency_key(&self, key: &str) -> Result<Option<SavedCheck>, GalleryError> {
        self.read(|db| saved_check(db, "idempotency_key", key))
    }

    /// A check by its id.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn check(&self, id: &str) -> Result<Option<SavedCheck>, GalleryError> {
        self.read(|db| saved_check(db, "id", id))
    }

    fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, GalleryError> {
        let idle = self.readers.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.open_reader().map_err(|source| self.failed(source))?,
        };
        let answer = query(&connection).map_err(|source| self.failed(source));
        self.readers.lock().push(connection);
        answer
    }

    fn open_reader(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open(&self.path)?;
        schema::prepare(&connection)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    }

    fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T, GalleryError> {
        let mut writer = self.writer.lock();
        let failed = |source| self.failed(source);
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let answer = work(&transaction).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(answer)
    }

    fn failed(&self, source: rusqlite::Error) -> GalleryError {
        GalleryError::Database { path: self.path.clone(), source }
    }
}

/// A new public id: a prefix that says what it names, and a UUID of version 7.
pub(crate) fn new_id(prefix: &str) -> String {
    format!("{prefix}_{}", Uuid::now_v7().simple())
}

const COLUMNS: &str = "key, id, brand, polarity, product, source, notes, state, sha256, perceptual_hash, quality, width, height, media_type, created_at, updated_at";

fn reference(row: &Row<'_>) -> rusqlite::Result<Reference> {
    Ok(Reference {
        key: unsigned(row, 0)?,
        id: row.get(1)?,
        brand: parsed(row, 2)?,
        polarity: parsed(row, 3)?,
        product: row.get(4)?,
        source: row.get(5)?,
        notes: row.get(6)?,
        state: parsed(row, 7)?,
        sha256: Sha256(row.get(8)?),
        perceptual_hash: row.get(9)?,
        quality: row.get(10)?,
        width: row.get(11)?,
        height: row.get(12)?,
        media_type: row.get(13)?,
        created_at: parsed(row, 14)?,
        updated_at: parsed(row, 15)?,
    })
}

fn stored_policy(row: &Row<'_>) -> rusqlite::Result<StoredPolicy> {
    Ok(StoredPolicy {
        version: unsigned(row, 0)?,
        model: row.get(2)?,
        policy: serde_json::from_str(row.get_ref(1)?.as_str()?).map_err(|error| conversion(1, error))?,
    })
}

fn find(db: &Connection, brand: &BrandId, id: &str) -> rusqlite::Result<Option<Reference>> {
    let sql = format!("SELECT {COLUMNS} FROM reference WHERE id = ?1 AND brand = ?2 AND state <> 'deleted'");
    db.prepare_cached(&sql)?.query_row([id, brand.as_str()], reference).optional()
}

fn find_photo(db: &Connection, brand: &BrandId, sha256: Sha256) -> rusqlite::Result<Option<Reference>> {
    let sql = format!("SELECT {COLUMNS} FROM reference WHERE brand = ?1 AND sha256 = ?2 AND state <> 'deleted'");
    db.prepare_cached(&sql)?.query_row(params![brand.as_str(), &sha256.0[..]], reference).optional()
}

fn insert(transaction: &Transaction<'_>, new: &NewReference<'_>, model: &str) -> rusqlite::Result<Reference> {
    let revision = next_revision(transaction)?;
    let now = Timestamp::now();
    let mut reference = Reference {
        key: 0,
        id: new_id("ref"),
        brand: new.brand.clone(),
        polarity: new.polarity,
        product: new.product.map(str::to_owned),
        source: new.source.map(str::to_owned),
        notes: new.notes.map(str::to_owned),
        state: ReferenceState::Active,
        sha256: new.photo.sha256(),
        perceptual_hash: new.fingerprint.hash,
        quality: new.fingerprint.quality,
        width: new.photo.width(),
        height: new.photo.height(),
        media_type: new.photo.format().media_type().to_owned(),
        created_at: now,
        updated_at: now,
    };
    transaction.execute(
        "INSERT INTO reference (id, brand, polarity, product, source, notes, state, sha256, perceptual_hash, quality, width, height, media_type, created_at, updated_at, revision)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?14, ?15)",
        params![
            reference.id,
            reference.brand.as_str(),
            reference.polarity.as_str(),
            reference.product,
            reference.source,
            reference.notes,
            reference.state.as_str(),
            &reference.sha256.0[..],
            &reference.perceptual_hash[..],
            reference.quality,
            reference.width,
            reference.height,
            reference.media_type,
            now.to_string(),
            signed(revision),
        ],
    )?;
    let key = transaction.last_insert_rowid();
    reference.key = key.unsigned_abs();
    transaction.execute(
        "INSERT INTO embedding (model, key, vector) VALUES (?1, ?2, ?3)",
        params![model, key, new.embedding.to_bytes()],
    )?;
    Ok(reference)
}

fn next_revision(transaction: &Transaction<'_>) -> rusqlite::Result<u64> {
    transaction.query_row("UPDATE gallery SET revision = revision + 1 RETURNING revision", [], |row| unsigned(row, 0))
}

fn saved_check(db: &Connection, column: &str, value: &str) -> rusqlite::Result<Option<SavedCheck>> {
    db.prepare_cached(&format!("SELECT request_sha256, answer FROM listing_check WHERE {column} = ?1"))?
        .query_row([value], |row| Ok(SavedCheck { request_sha256: Sha256(row.get(0)?), answer: row.get(1)? }))
        .optional()
}

/// SQLite's integers are signed; keys and revisions count up from 1 and stay far below the border.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(index)?.unsigned_abs())
}

fn parsed<T: std::str::FromStr>(row: &Row<'_>, index: usize) -> rusqlite::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    row.get_ref(index)?.as_str()?.parse().map_err(|error| conversion(index, error))
}

fn conversion(index: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, Value::Null.data_type(), Box::new(error))
}

fn io_error(error: io::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}
