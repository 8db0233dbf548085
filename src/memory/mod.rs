//! The memory of checked photos: what each check leaves behind, so that a reference that comes later is found in listings
//! that were let through. A photo leaves its embedding and the visual words of its strongest keypoints, not its pixels.
//!
//! A check writes its photos into the database, in its own transaction. [`Memory::flush`] moves them from there into
//! append-only segments, one file for some of a day's photos under one model. The database says how many bytes of
//! which files count, so a crash loses nothing and repeats nothing. The format: docs/FORMATS.md.

mod record;
mod scan;
mod segment;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::gallery::{Gallery, GalleryError, MemorySegment, RememberedRow, WorkLock};

pub use record::Remembered;
use segment::SegmentFile;
pub use segment::name as segment_name;

/// The most photos of one block: about 700 kB, which a scan reads, checks and searches as one.
const BLOCK: usize = 512;
/// The most rows that one transaction deletes, so that checks need not wait.
const AT_ONCE: u32 = 500;
/// A segment of this many bytes is not appended to any more, so that erasing a seller rewrites no more than needed.
const FULL: u64 = 256 << 20;

/// What is remembered of checked photos, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryOptions {
    /// Whether checked photos are remembered, so that references added later are looked for in them.
    pub keep: bool,
    /// Days that a photo is remembered; 0 without end. Never longer than `retention.checks_days`, if that is set.
    pub days: u32,
    /// Most keypoints remembered of a photo, 8 bytes each; 0 remembers the embedding alone.
    pub keypoints: usize,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self { keep: true, days: 30, keypoints: 100 }
    }
}

impl MemoryOptions {
    /// The time of the oldest photos that are remembered, in seconds since 1970.
    #[must_use]
    pub fn since(self, now: Timestamp) -> i64 {
        if self.days == 0 { 0 } else { (now - SignedDuration::from_hours(24 * i64::from(self.days))).as_second() }
    }

    /// The days that photos are remembered, given the retention of checks; 0 without end.
    #[must_use]
    pub fn days_within(self, checks_days: u32) -> u32 {
        match (self.days, checks_days) {
            (0, other) | (other, 0) => other,
            (days, checks) => days.min(checks),
        }
    }
}

/// Why the memory cannot be read or written.
#[derive(Debug, Error)]
pub enum MemoryError {
    /// The database returned an error.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// A segment cannot be read or written.
    #[error("memory {path}: {source}")]
    File {
        /// Path of the segment, or the memory's folder.
        path: PathBuf,
        /// The system's error, or what is wrong with the file.
        source: io::Error,
    },
}

/// The photos remembered, and their size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct MemoryStats {
    /// Number of segments.
    pub segments: u64,
    /// Number of photos in them.
    pub photos: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The memory of one gallery.
pub struct Memory {
    gallery: Arc<Gallery>,
    folder: PathBuf,
}

impl Memory {
    /// The memory beside the gallery's database.
    #[must_use]
    pub fn of(gallery: &Arc<Gallery>) -> Self {
        Self { gallery: Arc::clone(gallery), folder: gallery.memory_folder() }
    }

    /// Moves remembered photos from the database into segments. Returns how many.
    ///
    /// # Errors
    /// When the database or a file cannot be read or written; then nothing is lost.
    pub fn flush(&self) -> Result<u64, MemoryError> {
        if self.gallery.remembered(1)?.is_empty() {
            return Ok(0);
        }
        let _alone = self.lock()?;
        self.move_rows()
    }

    /// As [`Memory::flush`], but returns at once if somebody else writes segments.
    ///
    /// # Errors
    /// As [`Memory::flush`].
    pub fn try_flush(&self) -> Result<u64, MemoryError> {
        if self.gallery.remembered(1)?.is_empty() {
            return Ok(0);
        }
        let Some(_alone) = self.gallery.try_lock(&self.folder, "LOCK")? else { return Ok(0) };
        self.move_rows()
    }

    /// The caller has the lock.
    fn move_rows(&self) -> Result<u64, MemoryError> {
        // A rewrite that was killed left them; photos must not go there.
        self.gallery.drop_empty_segments()?;
        let mut moved = 0;
        loop {
            let rows = self.gallery.remembered(BLOCK)?;
            let Some(first) = rows.first() else { return Ok(moved) };
            let kind = (first.day, first.model.clone(), first.vocabulary.clone());
            let of_kind = |row: &&RememberedRow| (&row.day, &row.model, &row.vocabulary) == (&kind.0, &kind.1, &kind.2);
            let block: Vec<RememberedRow> = rows.iter().take_while(of_kind).cloned().collect();
            let segment = match self.gallery.newest_segment(kind.0, &kind.1, &kind.2)? {
                Some(segment) if segment.bytes < FULL && self.file(&segment).is_long_enough(&segment) => segment,
                _ => self.gallery.new_segment(kind.0, &kind.1, &kind.2)?,
            };
            let records: Vec<&[u8]> = block.iter().map(|row| &row.record[..]).collect();
            let bytes = self.file(&segment).append(&segment, &records)?;
            self.gallery.note_appended(&block, &segment, bytes)?;
            moved += block.len() as u64;
        }
    }

    /// Erases what is remembered of a seller's photos. Returns how many.
    ///
    /// # Errors
    /// When the database or a file cannot be read or written. All other segments are done.
    pub fn forget_seller(&self, seller_id: &str) -> Result<u64, MemoryError> {
        let mut erased = self.gallery.drop_remembered_of(seller_id)?;
        let mut failed = Ok(());
        for segment in self.gallery.memory_segments()? {
            match self.rewrite(segment.id, |photo| photo.seller_id != Some(seller_id)) {
                Ok(photos) => erased += photos,
                Err(error) => failed = Err(error),
            }
        }
        failed.map(|()| erased)
    }

    /// Erases segments that are older than `days`, and links by photos last used before then; 0 erases none. Returns
    /// the number of photos in the segments.
    ///
    /// # Errors
    /// When the database or a file cannot be written.
    pub fn retain(&self, days: u32, now: Timestamp) -> Result<u64, MemoryError> {
        let _alone = self.lock()?;
        self.gallery.drop_empty_segments()?;
        let before = now - SignedDuration::from_hours(24 * i64::from(days));
        let mut erased = 0;
        if days > 0 {
            for segment in
                self.gallery.memory_segments()?.into_iter().filter(|segment| segment.starts_at() <= before.as_second())
            {
                self.gallery.drop_segment(segment.id)?;
                erased += segment.photos;
            }
            while self.gallery.drop_listing_photos(before, AT_ONCE)? == u64::from(AT_ONCE) {}
        }
        self.remove_unnamed()?;
        Ok(erased)
    }

    /// Encrypts every segment again that is not encrypted with the newest key. Returns how many.
    ///
    /// # Errors
    /// When the database or a file cannot be read or written.
    pub fn reseal(&self) -> Result<u64, MemoryError> {
        let mut sealed = 0;
        for segment in self.gallery.memory_segments()? {
            let _alone = self.lock()?;
            let Some(segment) = self.gallery.memory_segment(segment.id)? else { continue };
            if !self.file(&segment).is_sealed_newest(&segment)? {
                self.replace(&segment, |_| true)?;
                sealed += 1;
            }
        }
        Ok(sealed)
    }

    /// Reads every segment and compares its checksums.
    ///
    /// # Errors
    /// The first file that is missing or damaged.
    pub fn verify(&self) -> Result<(), MemoryError> {
        let segments = self.gallery.memory_segments()?;
        segments.iter().try_for_each(|segment| self.file(segment).visit(segment, i64::MIN, |_| {}))
    }

    /// What is remembered now, without photos that are not in a segment yet.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn stats(&self) -> Result<MemoryStats, MemoryError> {
        let segments = self.gallery.memory_segments()?;
        Ok(MemoryStats {
            segments: segments.len() as u64,
            photos: segments.iter().map(|segment| segment.photos).sum(),
            bytes: segments.iter().map(|segment| segment.bytes).sum(),
        })
    }

    /// Writes a segment without the photos that `keeps` rejects, if there are any. Returns how many it left out.
    fn rewrite(&self, id: u64, keeps: impl Fn(&Remembered<'_>) -> bool) -> Result<u64, MemoryError> {
        // Others may write between two segments.
        let _alone = self.lock()?;
        let Some(segment) = self.gallery.memory_segment(id)? else { return Ok(0) };
        let mut gone = 0;
        self.file(&segment).visit(&segment, i64::MIN, |photos| {
            gone += photos.iter().filter(|photo| !keeps(photo)).count() as u64;
        })?;
        if gone > 0 {
            self.replace(&segment, keeps)?;
        }
        Ok(gone)
    }

    /// Copies a segment under a new id, and drops the old one in the same transaction.
    fn replace(&self, segment: &MemorySegment, keeps: impl Fn(&Remembered<'_>) -> bool) -> Result<(), MemoryError> {
        let mut new = MemorySegment { photos: 0, bytes: 0, ..self.gallery.spare_segment(segment)? };
        let file = self.file(&new);
        let mut failed = Ok(());
        self.file(segment).visit(segment, i64::MIN, |photos| {
            let kept: Vec<Vec<u8>> = photos.iter().filter(|photo| keeps(photo)).map(Remembered::encode).collect();
            if kept.is_empty() || failed.is_err() {
                return;
            }
            match file.append(&new, &kept.iter().map(Vec::as_slice).collect::<Vec<_>>()) {
                Ok(bytes) => (new.bytes, new.photos) = (bytes, new.photos + kept.len() as u64),
                Err(error) => failed = Err(error),
            }
        })?;
        failed?;
        self.gallery.replace_segment(segment.id, &new)?;
        self.remove_unnamed()
    }

    /// Removes files that no row names: left by a crash, replaced or past their days. A scan that still reads one goes
    /// on reading it.
    fn remove_unnamed(&self) -> Result<(), MemoryError> {
        let Ok(files) = fs::read_dir(&self.folder) else { return Ok(()) };
        let named = self.gallery.memory_segments()?;
        for file in files.filter_map(Result::ok).map(|file| file.path()) {
            let id = segment::id_of(&file);
            if id.is_some_and(|id| named.iter().all(|segment| segment.id != id)) {
                fs::remove_file(&file).map_err(|source| MemoryError::File { path: file.clone(), source })?;
            }
        }
        Ok(())
    }

    fn file(&self, segment: &MemorySegment) -> SegmentFile<'_> {
        SegmentFile::new(&self.gallery, self.folder.join(segment::name(segment.id)))
    }

    /// Waits until nobody else searches the memory, so that two processes do not do the same work.
    ///
    /// # Errors
    /// When the memory's folder cannot be written, or the database not reached.
    pub fn lock_search(&self) -> Result<WorkLock, MemoryError> {
        Ok(self.gallery.lock(&self.folder, "SEARCH")?)
    }

    /// Locks judging photos again after a change of the model; `None` if somebody else does it.
    ///
    /// # Errors
    /// As [`Memory::lock_search`].
    pub fn try_lock_again(&self) -> Result<Option<WorkLock>, MemoryError> {
        Ok(self.gallery.try_lock(&self.folder, "AGAIN")?)
    }

    /// Only one process or thread appends or rewrites at a time.
    fn lock(&self) -> Result<WorkLock, MemoryError> {
        Ok(self.gallery.lock(&self.folder, "LOCK")?)
    }
}
