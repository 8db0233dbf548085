use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, named_params, params};

use super::store::{Gallery, GalleryError, io_error, new_id, next_revision, parsed, signed, unsigned};
use super::{BrandId, Polarity, Reference, ReferenceState};
use crate::embed::Embedding;
use crate::photo::{Fingerprint, Photo, Sha256};

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

/// Bytes of a photo's features at most; they are about 70 kB.
const MOST_FEATURES: u64 = 1 << 20;

impl Gallery {
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
            if is_needed(transaction, sha256)? {
                return Ok(());
            }
            self.photos.remove(sha256).and_then(|()| self.features.remove(sha256)).map_err(io_error)
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

    /// What was kept with [`Gallery::keep_features`], if anything.
    #[must_use]
    pub fn features(&self, sha256: Sha256) -> Option<Vec<u8>> {
        self.features.get_derived(sha256, MOST_FEATURES)
    }

    /// Keeps what was derived from a photo, to be made again when it is lost. Nothing is kept of a photo that no
    /// reference needs any more.
    ///
    /// # Errors
    /// When database or file system refuse.
    pub fn keep_features(&self, sha256: Sha256, bytes: &[u8]) -> Result<(), GalleryError> {
        // Inside a transaction, as the deletion of a photo is.
        self.write(|transaction| {
            if is_needed(transaction, sha256)? {
                self.features.put_derived(sha256, bytes).map_err(io_error)
            } else {
                Ok(())
            }
        })
    }

    /// The bytes of a reference's photo.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn photo(&self, sha256: Sha256) -> Result<Vec<u8>, GalleryError> {
        Ok(self.photos.get(sha256)?)
    }
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

fn find(db: &Connection, brand: &BrandId, id: &str) -> rusqlite::Result<Option<Reference>> {
    let sql = format!("SELECT {COLUMNS} FROM reference WHERE id = ?1 AND brand = ?2 AND state <> 'deleted'");
    db.prepare_cached(&sql)?.query_row([id, brand.as_str()], reference).optional()
}

fn find_photo(db: &Connection, brand: &BrandId, sha256: Sha256) -> rusqlite::Result<Option<Reference>> {
    let sql = format!("SELECT {COLUMNS} FROM reference WHERE brand = ?1 AND sha256 = ?2 AND state <> 'deleted'");
    db.prepare_cached(&sql)?.query_row(params![brand.as_str(), &sha256.0[..]], reference).optional()
}

/// Whether a reference that is not deleted has this photo.
fn is_needed(transaction: &Transaction<'_>, sha256: Sha256) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM reference WHERE sha256 = ?1 AND state <> 'deleted')";
    transaction.query_row(sql, [&sha256.0[..]], |row| row.get(0))
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
