//! Checked photos on their way into the memory, and the files that the memory consists of.

use std::io;

use super::store::{Gallery, GalleryError, signed, unsigned};
use super::vault::opened;
use crate::photo::Sha256;
use crate::storage::{self, OptionalExtension, Row, Writing, params};

/// What a check leaves in the memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRemembered {
    /// The model that computed the embeddings.
    pub model: String,
    /// The vocabulary of the visual words.
    pub vocabulary: String,
    /// One record for each photo.
    pub records: Vec<Vec<u8>>,
    /// The photos by which sellers are linked.
    pub photos: Vec<Sha256>,
}

/// A checked photo that is not in a segment yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RememberedRow {
    /// Order of the rows.
    pub seq: u64,
    /// Day of the check, counted from 1970-01-01 in UTC.
    pub day: i64,
    /// The model that computed the embedding.
    pub model: String,
    /// The vocabulary of the visual words.
    pub vocabulary: String,
    /// The record's bytes.
    pub record: Vec<u8>,
}

/// A file of the memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemorySegment {
    /// Id, which names the file.
    pub id: u64,
    /// Order among the segments of a day.
    pub place: u64,
    /// Day of its checks, counted from 1970-01-01 in UTC.
    pub day: i64,
    /// The model that computed its embeddings.
    pub model: String,
    /// The vocabulary of its visual words.
    pub vocabulary: String,
    /// Number of its photos.
    pub photos: u64,
    /// Number of its bytes that count.
    pub bytes: u64,
}

impl MemorySegment {
    /// Start of its day, in seconds since 1970.
    #[must_use]
    pub fn starts_at(&self) -> i64 {
        self.day.saturating_mul(DAY)
    }

    /// End of its day, in seconds since 1970.
    #[must_use]
    pub fn ends_at(&self) -> i64 {
        self.starts_at().saturating_add(DAY)
    }
}

const SEGMENT: &str = "id, place, day, model, vocabulary, photos, bytes";

/// Seconds of a day.
pub(super) const DAY: i64 = 86_400;

impl Gallery {
    /// The first checked photos that are not in a segment yet, at most `most`, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn remembered(&self, most: usize) -> Result<Vec<RememberedRow>, GalleryError> {
        self.read(|db| {
            db.prepare_cached("SELECT seq, day, model, vocabulary, record FROM remembered ORDER BY seq LIMIT ?1")?
                .query_map([i64::try_from(most).unwrap_or(i64::MAX)], |row| {
                    Ok(RememberedRow {
                        seq: unsigned(row, 0)?,
                        day: row.get(1)?,
                        model: row.get(2)?,
                        vocabulary: row.get(3)?,
                        record: row.get(4)?,
                    })
                })?
                .collect()
        })
    }

    /// The segments, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn memory_segments(&self) -> Result<Vec<MemorySegment>, GalleryError> {
        self.read(|db| {
            let sql = format!("SELECT {SEGMENT} FROM memory_segment WHERE bytes > 0 ORDER BY day DESC, place DESC");
            db.prepare_cached(&sql)?.query_map([], segment)?.collect()
        })
    }

    /// A segment by its id, as it is now.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn memory_segment(&self, id: u64) -> Result<Option<MemorySegment>, GalleryError> {
        self.read(|db| {
            let sql = format!("SELECT {SEGMENT} FROM memory_segment WHERE id = ?1 AND bytes > 0");
            db.prepare_cached(&sql)?.query_row([signed(id)], segment).optional()
        })
    }

    /// Removes segments that have no photos. The caller keeps others from appending meanwhile.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn drop_empty_segments(&self) -> Result<(), GalleryError> {
        let any = "SELECT EXISTS (SELECT 1 FROM memory_segment WHERE bytes = 0)";
        if self.read(|db| db.query_row(any, [], |row| row.get(0)))? {
            self.write(|transaction| transaction.execute("DELETE FROM memory_segment WHERE bytes = 0", []).map(drop))?;
        }
        Ok(())
    }

    /// The newest segment before a day and a place; without one, the newest of all.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn segment_before(&self, position: Option<(i64, u64)>) -> Result<Option<MemorySegment>, GalleryError> {
        let (day, place) = position.unwrap_or((i64::MAX, 0));
        self.read(|db| {
            let sql = format!(
                "SELECT {SEGMENT} FROM memory_segment WHERE bytes > 0 AND (day < ?1 OR (day = ?1 AND place < ?2))
                 ORDER BY day DESC, place DESC LIMIT 1"
            );
            db.prepare_cached(&sql)?.query_row(params![day, signed(place)], segment).optional()
        })
    }

    /// The newest segment of a day under a model and a vocabulary.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn newest_segment(
        &self,
        day: i64,
        model: &str,
        vocabulary: &str,
    ) -> Result<Option<MemorySegment>, GalleryError> {
        self.read(|db| {
            let sql = format!(
                "SELECT {SEGMENT} FROM memory_segment WHERE day = ?1 AND model = ?2 AND vocabulary = ?3 ORDER BY place DESC LIMIT 1"
            );
            db.prepare_cached(&sql)?.query_row(params![day, model, vocabulary], segment).optional()
        })
    }

    /// Adds an empty segment, after the others of its day.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn new_segment(&self, day: i64, model: &str, vocabulary: &str) -> Result<MemorySegment, GalleryError> {
        self.write(|transaction| {
            let place = transaction.query_row(
                "SELECT coalesce(max(place), 0) + 1 FROM memory_segment WHERE day = ?1",
                [day],
                |row| unsigned(row, 0),
            )?;
            insert_segment(transaction, (day, place), model, vocabulary)
        })
    }

    /// Adds an empty segment at the place of another one.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn spare_segment(&self, of: &MemorySegment) -> Result<MemorySegment, GalleryError> {
        self.write(|transaction| insert_segment(transaction, (of.day, of.place), &of.model, &of.vocabulary))
    }

    /// Notes that photos were appended to a segment, which now has `bytes`.
    ///
    /// # Errors
    /// When the database cannot be written; then the photos are not in the segment.
    pub fn note_appended(
        &self,
        rows: &[RememberedRow],
        segment: &MemorySegment,
        bytes: u64,
    ) -> Result<(), GalleryError> {
        self.write(|transaction| {
            let mut delete = transaction.prepare_cached("DELETE FROM remembered WHERE seq = ?1")?;
            let mut moved = 0;
            for row in rows {
                moved += delete.execute([signed(row.seq)])?;
            }
            // A node that lost its lock while it wrote must not cut off what another one has appended since.
            let noted = transaction
                .prepare_cached(
                    "UPDATE memory_segment SET photos = photos + ?1, bytes = ?2 WHERE id = ?3 AND bytes = ?4",
                )?
                .execute(params![
                    i64::try_from(moved).unwrap_or(i64::MAX),
                    signed(bytes),
                    signed(segment.id),
                    signed(segment.bytes)
                ])?;
            match noted {
                1 => Ok(()),
                _ => Err(storage::Error::Conversion("another process has written this segment of the memory".into())),
            }
        })
    }

    /// Replaces a segment by another one; an empty one is only removed.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn replace_segment(&self, old: u64, new: &MemorySegment) -> Result<(), GalleryError> {
        self.write(|transaction| {
            transaction
                .prepare_cached("UPDATE memory_segment SET photos = ?1, bytes = ?2 WHERE id = ?3")?
                .execute(params![signed(new.photos), signed(new.bytes), signed(new.id)])?;
            drop_segment(transaction, old)
        })
    }

    /// Removes a segment from the memory; its file can then be deleted.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn drop_segment(&self, id: u64) -> Result<(), GalleryError> {
        self.write(|transaction| drop_segment(transaction, id))
    }

    /// Deletes a seller's photos that are not in a segment yet. Returns how many.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn drop_remembered_of(&self, seller_id: &str) -> Result<u64, GalleryError> {
        self.write(|transaction| {
            let dropped = transaction.execute("DELETE FROM remembered WHERE seller_id = ?1", [seller_id])?;
            Ok(dropped as u64)
        })
    }

    /// Encrypts bytes if photos are encrypted; `kind` and `sum` are authenticated with them.
    pub(crate) fn sealed(&self, kind: &str, sum: Sha256, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        match self.photos.vault() {
            Some(vault) => vault.seal(kind, sum, &bytes),
            None => Ok(bytes),
        }
    }

    /// The bytes that were passed to [`Gallery::sealed`].
    pub(crate) fn unsealed(&self, kind: &str, sum: Sha256, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        opened(self.photos.vault(), kind, sum, bytes)
    }

    /// Whether bytes that begin like this are as [`Gallery::sealed`] makes them now.
    pub(crate) fn is_sealed_newest(&self, start: &[u8]) -> bool {
        let sealed = super::vault::is_sealed(start);
        self.photos.vault().map_or(!sealed, |vault| sealed && vault.sealed_newest(start))
    }
}

fn insert_segment(
    transaction: &Writing<'_>,
    (day, place): (i64, u64),
    model: &str,
    vocabulary: &str,
) -> storage::Result<MemorySegment> {
    let sql = format!(
        "INSERT INTO memory_segment (day, place, model, vocabulary, photos, bytes) VALUES (?1, ?2, ?3, ?4, 0, 0) RETURNING {SEGMENT}"
    );
    transaction.prepare_cached(&sql)?.query_row(params![day, signed(place), model, vocabulary], segment)
}

fn drop_segment(transaction: &Writing<'_>, id: u64) -> storage::Result<()> {
    transaction.prepare_cached("DELETE FROM memory_segment WHERE id = ?1")?.execute([signed(id)]).map(drop)
}

/// Stores what a check leaves in the memory, with the check.
pub(super) fn remember(transaction: &Writing<'_>, check: &super::StoredCheck<'_>) -> storage::Result<()> {
    let NewRemembered { model, vocabulary, records, .. } = check.remembered;
    let day = check.created_at.as_second() / DAY;
    for record in records {
        transaction
            .prepare_cached(
                "INSERT INTO remembered (day, model, vocabulary, seller_id, record) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![day, model, vocabulary, check.seller_id, record])?;
    }
    Ok(())
}

fn segment(row: &Row<'_>) -> storage::Result<MemorySegment> {
    Ok(MemorySegment {
        id: unsigned(row, 0)?,
        place: unsigned(row, 1)?,
        day: row.get(2)?,
        model: row.get(3)?,
        vocabulary: row.get(4)?,
        photos: unsigned(row, 5)?,
        bytes: unsigned(row, 6)?,
    })
}
