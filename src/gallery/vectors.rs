use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, named_params, params};

use super::rows::{COLUMNS, KIND, doubts, is_needed, mark, reference, sums};
use super::store::{Gallery, GalleryError, io_error, next_revision, parsed, signed, unsigned};
use super::writer::Writing;
use super::{BrandId, Kind, Mark, Polarity, Reference, ReferenceState};
use crate::embed::Embedding;
use crate::photo::{Doubt, Sha256};

/// Bytes of a photo's features at most; they are about 100 kB.
const MOST_FEATURES: u64 = 1 << 20;

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
    /// What kind of picture it is.
    pub kind: Kind,
    /// Whether it takes part now.
    pub active: bool,
    /// Why it never leads to a block by itself, if it does not.
    pub mark: Option<Mark>,
    /// How it is recognised, if there is a doubt about it.
    pub identity: Option<Identity>,
    /// The revision that its last change made.
    pub revision: u64,
    /// Its vector, if the model has embedded it.
    pub vector: Option<Vec<u8>>,
}

/// How a reference in doubt is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// SHA-256 of the file.
    pub sha256: Sha256,
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// SHA-256 values of the pixels.
    pub pixels: Vec<Sha256>,
    /// Whether it is recognised in no other way. It is then not indexed.
    pub only: bool,
}

impl ChangedRow {
    /// Whether similar photos can find it.
    #[must_use]
    pub fn is_searched(&self) -> bool {
        self.active && self.identity.as_ref().is_none_or(|identity| !identity.only)
    }
}

/// Longer sides of the small pictures that are kept: in a grid, and to look at closely.
pub const THUMBNAIL_SIDES: [u32; 2] = [320, 1200];
/// Bytes of one at most.
const MOST_THUMBNAIL: u64 = 8 << 20;

fn thumbnail_name(sha256: Sha256, side: u32) -> Sha256 {
    Sha256::of(format!("{side} {sha256}").as_bytes())
}

/// Which references' vectors to visit.
#[derive(Debug, Clone)]
pub struct VectorQuery {
    /// In this state.
    pub state: ReferenceState,
    /// Only of this brand.
    pub brand: Option<BrandId>,
    /// Only of this polarity.
    pub polarity: Option<Polarity>,
    /// Only of this product.
    pub product: Option<String>,
    /// Only those that were added then or later.
    pub since: Option<Timestamp>,
    /// Only those that were added before.
    pub until: Option<Timestamp>,
    /// Only those in doubt.
    pub in_doubt: bool,
}

const ROW: &str =
    "r.key, r.brand, r.polarity, r.product, r.mark, r.revision, r.doubts, r.sha256, r.pixels, r.width, r.height";

impl Gallery {
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
            let mut statement = snapshot.prepare_cached(&format!(
                "SELECT {ROW}, {KIND}, r.state = 'active', v.vector
                 FROM reference r LEFT JOIN vector v
                   ON v.sha256 = r.sha256 AND v.model = ?1 AND r.state = 'active' AND r.revision > ?3
                 WHERE r.revision > ?2 ORDER BY r.revision"
            ))?;
            let mut rows = statement.query(params![model, signed(since), signed(vectors_since)])?;
            while let Some(row) = rows.next()? {
                visit(changed(row)?);
            }
            Ok(newest)
        })
    }

    /// Visits everything that takes part, and what `run` has staged, and returns the newest revision.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn visit_active(
        &self,
        model: &str,
        run: Option<&str>,
        mut visit: impl FnMut(ChangedRow),
    ) -> Result<u64, GalleryError> {
        self.read(|db| {
            let snapshot = db.unchecked_transaction()?;
            let newest = snapshot.query_row("SELECT revision FROM gallery", [], |row| unsigned(row, 0))?;
            let mut statement = snapshot.prepare_cached(&format!(
                "SELECT {ROW}, {KIND}, TRUE, v.vector FROM reference r LEFT JOIN vector v ON v.sha256 = r.sha256 AND v.model = ?1
                 WHERE r.state = 'active' OR (r.state = 'staged' AND r.run = ?2) ORDER BY r.key"
            ))?;
            let mut rows = statement.query(params![model, run])?;
            while let Some(row) = rows.next()? {
                visit(changed(row)?);
            }
            Ok(newest)
        })
    }

    /// Visits the vectors of references in one state, also of those that take no part in checks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn visit_vectors(
        &self,
        model: &str,
        query: &VectorQuery,
        mut visit: impl FnMut(u64, Vec<u8>),
    ) -> Result<(), GalleryError> {
        self.read(|db| {
            // Part of the text, not a parameter, so that SQLite can use the partial index.
            let in_doubt = if query.in_doubt { "r.doubts <> '' AND" } else { "" };
            let mut statement = db.prepare_cached(&format!(
                "SELECT r.key, v.vector FROM reference r JOIN vector v ON v.sha256 = r.sha256 AND v.model = :model
                 WHERE {in_doubt} r.state = :state AND (:brand IS NULL OR r.brand = :brand) AND (:polarity IS NULL OR r.polarity = :polarity)
                 AND (:product IS NULL OR r.product = :product)
                 AND (:since IS NULL OR r.created_at >= :since) AND (:until IS NULL OR r.created_at < :until)"
            ))?;
            let mut rows = statement.query(named_params! {
                ":model": model,
                ":state": query.state.as_str(),
                ":brand": query.brand.as_ref().map(BrandId::as_str),
                ":polarity": query.polarity.map(Polarity::as_str),
                ":product": query.product,
                ":since": query.since.map(|when| when.to_string()),
                ":until": query.until.map(|when| when.to_string()),
            })?;
            while let Some(row) = rows.next()? {
                visit(unsigned(row, 0)?, row.get(1)?);
            }
            Ok(())
        })
    }

    /// The vector that `model` has made of a photo's bytes, if any.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn vector(&self, sha256: Sha256, model: &str) -> Result<Option<Vec<u8>>, GalleryError> {
        self.read(|db| {
            db.prepare_cached("SELECT vector FROM vector WHERE sha256 = ?1 AND model = ?2")?
                .query_row(params![&sha256.0[..], model], |row| row.get(0))
                .optional()
        })
    }

    /// The same as an embedding; one that is none counts as missing.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn embedding(&self, sha256: Sha256, model: &str, dimension: usize) -> Result<Option<Embedding>, GalleryError> {
        let kept = self.vector(sha256, model)?;
        Ok(kept.and_then(|bytes| Embedding::from_bytes(&bytes, dimension).ok()))
    }

    /// Keeps a vector of bytes that need be no reference's.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn keep_vector(&self, sha256: Sha256, model: &str, embedding: &Embedding) -> Result<(), GalleryError> {
        self.write(|transaction| insert_vector(transaction, sha256, model, embedding))
    }

    /// References after the key `after` without a vector by `model`, in any state but deleted.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn without_vector(&self, model: &str, after: u64, limit: usize) -> Result<Vec<Reference>, GalleryError> {
        self.read(|db| {
            let sql = format!(
                "SELECT {COLUMNS} FROM reference r WHERE state <> 'deleted' AND key > ?2
                 AND NOT EXISTS (SELECT 1 FROM vector v WHERE v.model = ?1 AND v.sha256 = r.sha256) ORDER BY key LIMIT ?3"
            );
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement
                .query_map(params![model, signed(after), i64::try_from(limit).unwrap_or(i64::MAX)], reference)?;
            rows.collect()
        })
    }

    /// How many references have no vector by `model`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn count_without_vector(&self, model: &str) -> Result<u64, GalleryError> {
        self.read(|db| {
            db.query_row(
                "SELECT count(*) FROM reference r WHERE state <> 'deleted'
                 AND NOT EXISTS (SELECT 1 FROM vector v WHERE v.model = ?1 AND v.sha256 = r.sha256)",
                [model],
                |row| unsigned(row, 0),
            )
        })
    }

    /// Keeps vectors of references that had none by `model`, and lets those who follow the gallery know.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn add_vectors(&self, model: &str, vectors: &[(&Reference, Embedding)]) -> Result<(), GalleryError> {
        self.write(|transaction| {
            for (reference, embedding) in vectors {
                // A reference that was deleted meanwhile needs none.
                if !is_needed(transaction, reference.photo.sha256)? {
                    continue;
                }
                insert_vector(transaction, reference.photo.sha256, model, embedding)?;
                let revision = next_revision(transaction)?;
                transaction
                    .prepare_cached("UPDATE reference SET revision = ?1 WHERE key = ?2 AND state <> 'staged'")?
                    .execute(params![signed(revision), signed(reference.key)])?;
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
    /// When the database or a file cannot be written.
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

    /// A small picture that [`Gallery::keep_thumbnail`] kept, if any.
    #[must_use]
    pub fn thumbnail(&self, sha256: Sha256, side: u32) -> Option<Vec<u8>> {
        self.thumbnails.get_derived(thumbnail_name(sha256, side), MOST_THUMBNAIL)
    }

    /// Whether a reference's photo is kept; or, if asked for, one that was sent.
    #[must_use]
    pub fn has_photo(&self, sha256: Sha256, or_sent: bool) -> bool {
        self.photos.check(sha256).is_ok() || (or_sent && self.uploads.check(sha256).is_ok())
    }

    /// Keeps a small picture of a photo, whose longer side is one of [`THUMBNAIL_SIDES`], for as long as the photo.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn keep_thumbnail(&self, sha256: Sha256, side: u32, bytes: &[u8]) -> Result<(), GalleryError> {
        self.thumbnails.put_derived(thumbnail_name(sha256, side), bytes)?;
        // The photo may have gone while its picture was made.
        if !self.has_photo(sha256, true) {
            self.drop_thumbnails(sha256)?;
        }
        Ok(())
    }

    pub(super) fn drop_thumbnails(&self, sha256: Sha256) -> std::io::Result<()> {
        THUMBNAIL_SIDES.into_iter().try_for_each(|side| self.thumbnails.remove(thumbnail_name(sha256, side)))
    }

    /// The bytes of a reference's photo.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn photo(&self, sha256: Sha256) -> Result<Vec<u8>, GalleryError> {
        Ok(self.photos.get_photo(sha256)?)
    }
}

pub(super) fn insert_vector(
    transaction: &Writing<'_>,
    sha256: Sha256,
    model: &str,
    embedding: &Embedding,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("INSERT OR IGNORE INTO vector (sha256, model, vector) VALUES (?1, ?2, ?3)")?
        .execute(params![&sha256.0[..], model, embedding.to_bytes()])
        .map(drop)
}

fn changed(row: &Row<'_>) -> rusqlite::Result<ChangedRow> {
    Ok(ChangedRow {
        key: unsigned(row, 0)?,
        brand: parsed(row, 1)?,
        polarity: parsed(row, 2)?,
        product: row.get(3)?,
        mark: mark(row, 4)?,
        revision: unsigned(row, 5)?,
        identity: identity(row)?,
        kind: parsed(row, 11)?,
        active: row.get(12)?,
        vector: row.get(13)?,
    })
}

fn identity(row: &Row<'_>) -> rusqlite::Result<Option<Identity>> {
    let doubts = doubts(row, 6)?;
    if doubts.is_empty() {
        return Ok(None);
    }
    let (sha256, size) = (Sha256(row.get(7)?), (row.get(9)?, row.get(10)?));
    let only = Doubt::leave_identity_only(&doubts);
    Ok(Some(Identity { sha256, size, pixels: sums(row, 8)?, only }))
}
