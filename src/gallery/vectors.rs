use jiff::Timestamp;

use super::rows::{COLUMNS, KIND, doubts, is_needed, mark, reference, sums};
use super::store::{Gallery, GalleryError, io_error, next_revision, parsed, signed, unsigned};
use crate::domain::{BrandId, Kind, Mark, Polarity, Reference, ReferenceState};
use crate::embed::Embedding;
use crate::photo::{Doubt, Sha256};
use crate::storage::{self, OptionalExtension, Row, Writing, named_params, params};

/// The greatest size of a photo's keypoints in bytes; they usually take about 100 kB.
const MOST_FEATURES: u64 = 1 << 20;

/// A reference that changed, for the index.
#[derive(Debug)]
pub struct ChangedRow {
    /// The reference's key.
    pub key: u64,
    /// The reference's brand.
    pub brand: BrandId,
    /// Authentic or fake.
    pub polarity: Polarity,
    /// The brand's own product id.
    pub product: Option<String>,
    /// The kind in effect: see [`Kind::of`].
    pub kind: Kind,
    /// Whether it takes part in checks now.
    pub active: bool,
    /// Why it never leads to a block by itself; `None` if it may.
    pub mark: Option<Mark>,
    /// How the file and the pixels identify it, if it is in doubt.
    pub identity: Option<Identity>,
    /// The revision of its last change.
    pub revision: u64,
    /// Its embedding as bytes, if the model has embedded it.
    pub vector: Option<Vec<u8>>,
}

/// What identifies a reference in doubt: its file and its pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// SHA-256 of the file.
    pub sha256: Sha256,
    /// Width and height in pixels, upright.
    pub size: (u32, u32),
    /// SHA-256 of the pixels over white and, where stored, over black.
    pub pixels: Vec<Sha256>,
    /// Whether nothing else identifies it. Then it is not indexed.
    pub only: bool,
}

impl ChangedRow {
    /// Whether neighbour search can find it: active, and not identified by file and pixels only.
    #[must_use]
    pub fn is_searched(&self) -> bool {
        self.active && self.identity.as_ref().is_none_or(|identity| !identity.only)
    }
}

/// Longer sides of the stored thumbnails in pixels: for a grid, and for a close look.
pub const THUMBNAIL_SIDES: [u32; 2] = [320, 1200];
/// The greatest size of a thumbnail in bytes.
const MOST_THUMBNAIL: u64 = 8 << 20;

fn thumbnail_name(sha256: Sha256, side: u32) -> Sha256 {
    Sha256::of(format!("{side} {sha256}").as_bytes())
}

/// Which references' embeddings to visit.
#[derive(Debug, Clone)]
pub struct VectorQuery {
    /// Only this state.
    pub state: ReferenceState,
    /// Only this brand.
    pub brand: Option<BrandId>,
    /// Only this polarity.
    pub polarity: Option<Polarity>,
    /// Only this product.
    pub product: Option<String>,
    /// Only references added at this time or later.
    pub since: Option<Timestamp>,
    /// Only references added before this time.
    pub until: Option<Timestamp>,
    /// Only references in doubt.
    pub in_doubt: bool,
}

const ROW: &str =
    "r.key, r.brand, r.polarity, r.product, r.mark, r.revision, r.doubts, r.sha256, r.pixels, r.width, r.height";

impl Gallery {
    /// Visits references that changed after the revision `since`, oldest change first, and returns the newest revision.
    /// Rows include their embedding by `model` only if they changed after `vectors_since`.
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
            // One read transaction, so that rows and revision agree.
            let snapshot = db.snapshot()?;
            let newest = snapshot.query_row("SELECT revision FROM gallery", [], |row| unsigned(row, 0))?;
            if newest == since {
                return Ok(newest);
            }
            let sql = format!(
                "SELECT {ROW}, {KIND}, r.state = 'active', v.vector
                 FROM reference r LEFT JOIN vector v
                   ON v.sha256 = r.sha256 AND v.model = ?1 AND r.state = 'active' AND r.revision > ?3
                 WHERE r.revision > ?2 ORDER BY r.revision"
            );
            snapshot.visit(&sql, params![model, signed(since), signed(vectors_since)], |row| {
                visit(changed(row)?);
                Ok(())
            })?;
            Ok(newest)
        })
    }

    /// Visits all active references, and those that `run` has staged, and returns the newest revision.
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
            let snapshot = db.snapshot()?;
            let newest = snapshot.query_row("SELECT revision FROM gallery", [], |row| unsigned(row, 0))?;
            let sql = format!(
                "SELECT {ROW}, {KIND}, TRUE, v.vector FROM reference r LEFT JOIN vector v ON v.sha256 = r.sha256 AND v.model = ?1
                 WHERE r.state = 'active' OR (r.state = 'staged' AND r.run = ?2) ORDER BY r.key"
            );
            snapshot.visit(&sql, params![model, run], |row| {
                visit(changed(row)?);
                Ok(())
            })?;
            Ok(newest)
        })
    }

    /// Visits the embeddings of references in one state, also of those that take no part in checks.
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
            // Part of the text, not a parameter, so that the engine can use the partial index.
            let in_doubt = if query.in_doubt { "r.doubts <> '' AND" } else { "" };
            let sql = format!(
                "SELECT r.key, v.vector FROM reference r JOIN vector v ON v.sha256 = r.sha256 AND v.model = :model
                 WHERE {in_doubt} r.state = :state AND (:brand IS NULL OR r.brand = :brand) AND (:polarity IS NULL OR r.polarity = :polarity)
                 AND (:product IS NULL OR r.product = :product)
                 AND (:since IS NULL OR r.created_at >= :since) AND (:until IS NULL OR r.created_at < :until)"
            );
            let params = named_params! {
                ":model": model,
                ":state": query.state.as_str(),
                ":brand": query.brand.as_ref().map(BrandId::as_str),
                ":polarity": query.polarity.map(Polarity::as_str),
                ":product": query.product,
                ":since": query.since.map(|when| when.to_string()),
                ":until": query.until.map(|when| when.to_string()),
            };
            db.visit(&sql, params, |row| {
                visit(unsigned(row, 0)?, row.get(1)?);
                Ok(())
            })
        })
    }

    /// The embedding of a photo by `model` as bytes, if it is stored.
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

    /// [`Gallery::vector`] as an embedding; bytes that are not one count as missing.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn embedding(&self, sha256: Sha256, model: &str, dimension: usize) -> Result<Option<Embedding>, GalleryError> {
        let kept = self.vector(sha256, model)?;
        Ok(kept.and_then(|bytes| Embedding::from_bytes(&bytes, dimension).ok()))
    }

    /// Stores the embedding of a photo, which need not belong to a reference.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn keep_vector(&self, sha256: Sha256, model: &str, embedding: &Embedding) -> Result<(), GalleryError> {
        self.write(|transaction| insert_vector(transaction, sha256, model, embedding))
    }

    /// References with keys greater than `after` and without an embedding by `model`, in any state but deleted.
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

    /// The number of references without an embedding by `model`.
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

    /// Stores embeddings of references that had none by `model`, and gives the references a new revision, so that
    /// readers see them.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn add_vectors(&self, model: &str, vectors: &[(&Reference, Embedding)]) -> Result<(), GalleryError> {
        self.add_derived(vectors, |transaction, sha256, embedding| insert_vector(transaction, sha256, model, embedding))
    }

    /// Stores what was derived from references' photos, and gives each reference a new revision, by which readers learn of it.
    pub(super) fn add_derived<T: Sync>(
        &self,
        derived: &[(&Reference, T)],
        insert: impl Fn(&Writing<'_>, Sha256, &T) -> storage::Result<()> + Send + Sync,
    ) -> Result<(), GalleryError> {
        self.write(|transaction| {
            for (reference, one) in derived {
                // A reference that was deleted meanwhile needs none.
                if !is_needed(transaction, reference.photo.sha256)? {
                    continue;
                }
                insert(transaction, reference.photo.sha256, one)?;
                let revision = next_revision(transaction)?;
                transaction
                    .prepare_cached("UPDATE reference SET revision = ?1 WHERE key = ?2 AND state <> 'staged'")?
                    .execute(params![signed(revision), signed(reference.key)])?;
            }
            Ok(())
        })
    }

    /// The bytes that [`Gallery::keep_features`] stored, if any.
    #[must_use]
    pub fn features(&self, sha256: Sha256) -> Option<Vec<u8>> {
        self.features.get_derived(sha256, MOST_FEATURES)
    }

    /// Stores a photo's keypoints, which can be computed again when they are lost. Stores nothing if no reference needs
    /// the photo any more.
    ///
    /// # Errors
    /// When the database or a file cannot be written.
    pub fn keep_features(&self, sha256: Sha256, bytes: &[u8]) -> Result<(), GalleryError> {
        if self.features.is_remote() {
            self.features.put_derived(sha256, bytes)?;
            // The photo may have been deleted meanwhile.
            let needed = self.read(|db| is_needed(db, sha256))?;
            return if needed { Ok(()) } else { Ok(self.features.remove(sha256)?) };
        }
        // Inside a transaction, as the deletion of a photo is.
        self.write(|transaction| {
            if is_needed(transaction, sha256)? {
                self.features.put_derived(sha256, bytes).map_err(io_error)
            } else {
                Ok(())
            }
        })
    }

    /// The thumbnail that [`Gallery::keep_thumbnail`] stored, if any.
    #[must_use]
    pub fn thumbnail(&self, sha256: Sha256, side: u32) -> Option<Vec<u8>> {
        self.thumbnails.get_derived(thumbnail_name(sha256, side), MOST_THUMBNAIL)
    }

    /// Whether a reference's photo is stored or, with `or_sent`, a photo that was sent to a check.
    #[must_use]
    pub fn has_photo(&self, sha256: Sha256, or_sent: bool) -> bool {
        self.photos.check(sha256).is_ok() || (or_sent && self.uploads.check(sha256).is_ok())
    }

    /// Stores a thumbnail of a photo for as long as the photo. `side`: one of [`THUMBNAIL_SIDES`].
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn keep_thumbnail(&self, sha256: Sha256, side: u32, bytes: &[u8]) -> Result<(), GalleryError> {
        self.thumbnails.put_derived(thumbnail_name(sha256, side), bytes)?;
        // The photo may have been deleted while its thumbnail was made.
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
    /// When the photo is missing, damaged or encrypted with an unknown key.
    pub fn photo(&self, sha256: Sha256) -> Result<Vec<u8>, GalleryError> {
        Ok(self.photos.get_photo(sha256)?)
    }
}

pub(super) fn insert_vector(
    transaction: &Writing<'_>,
    sha256: Sha256,
    model: &str,
    embedding: &Embedding,
) -> storage::Result<()> {
    transaction
        .prepare_cached("INSERT INTO vector (sha256, model, vector) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
        .execute(params![&sha256.0[..], model, embedding.to_bytes()])
        .map(drop)
}

fn changed(row: &Row<'_>) -> storage::Result<ChangedRow> {
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

fn identity(row: &Row<'_>) -> storage::Result<Option<Identity>> {
    let doubts = doubts(row, 6)?;
    if doubts.is_empty() {
        return Ok(None);
    }
    let (sha256, size) = (Sha256(row.get(7)?), (row.get(9)?, row.get(10)?));
    let only = Doubt::leave_identity_only(&doubts);
    Ok(Some(Identity { sha256, size, pixels: sums(row, 8)?, only }))
}
