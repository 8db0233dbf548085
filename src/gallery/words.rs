//! The visual words of references, by photo and vocabulary. Derived: computed again from the photo where they are
//! missing.

use super::rows::{COLUMNS, doubts, reference};
use super::store::{Gallery, GalleryError, signed, unsigned};
use crate::domain::Reference;
use crate::photo::{Doubt, Sha256};
use crate::storage::{self, OptionalExtension, Writing, params};

/// A reference whose words may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordsRow {
    /// The reference's key.
    pub key: u64,
    /// Whether photos that share keypoints with it can find it.
    pub is_searched: bool,
    /// Its visual words, eight bytes each; `None` if they are not computed yet.
    pub words: Option<Vec<u8>>,
}

impl Gallery {
    /// Visits references that changed after the revision `since`, oldest change first, and returns the newest revision.
    /// If `since` is 0, it visits only active references.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn visit_words(
        &self,
        vocabulary: &str,
        since: u64,
        mut visit: impl FnMut(WordsRow),
    ) -> Result<u64, GalleryError> {
        self.read(|db| {
            let snapshot = db.snapshot()?;
            let newest = snapshot.query_row("SELECT revision FROM gallery", [], |row| unsigned(row, 0))?;
            if newest == since {
                return Ok(newest);
            }
            let changed = if since == 0 { "r.state = 'active' AND r.revision > ?2" } else { "r.revision > ?2" };
            let sql = format!(
                "SELECT r.key, r.state = 'active', r.doubts, w.words FROM reference r
                 LEFT JOIN words w ON w.sha256 = r.sha256 AND w.vocabulary = ?1 AND r.state = 'active'
                 WHERE {changed} ORDER BY r.revision"
            );
            snapshot.visit(&sql, params![vocabulary, signed(since)], |row| {
                let active: bool = row.get(1)?;
                let is_searched = active && !Doubt::leave_identity_only(&doubts(row, 2)?);
                visit(WordsRow { key: unsigned(row, 0)?, is_searched, words: row.get(3)? });
                Ok(())
            })?;
            Ok(newest)
        })
    }

    /// References after the key `after` without words of this vocabulary, in any state but deleted.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn without_words(&self, vocabulary: &str, after: u64, limit: usize) -> Result<Vec<Reference>, GalleryError> {
        self.read(|db| {
            let sql = format!(
                "SELECT {COLUMNS} FROM reference r WHERE state NOT IN ('deleted', 'staged') AND key > ?2
                 AND NOT EXISTS (SELECT 1 FROM words w WHERE w.vocabulary = ?1 AND w.sha256 = r.sha256) ORDER BY key LIMIT ?3"
            );
            let mut statement = db.prepare_cached(&sql)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement.query_map(params![vocabulary, signed(after), limit], reference)?;
            rows.collect()
        })
    }

    /// The words of a photo, if they were made.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn words(&self, sha256: Sha256, vocabulary: &str) -> Result<Option<Vec<u8>>, GalleryError> {
        self.read(|db| {
            db.prepare_cached("SELECT words FROM words WHERE sha256 = ?1 AND vocabulary = ?2")?
                .query_row(params![&sha256.0[..], vocabulary], |row| row.get(0))
                .optional()
        })
    }

    /// The keys and words of active references, `most` of them or a few more, spread over all.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn sample_words(&self, vocabulary: &str, most: u64) -> Result<Vec<(u64, Vec<u8>)>, GalleryError> {
        self.read(|db| {
            let newest = db.query_row("SELECT coalesce(max(key), 0) FROM reference", [], |row| unsigned(row, 0))?;
            let step = newest.div_ceil(most.max(1)).max(1);
            let mut statement = db.prepare_cached(
                "SELECT r.key, w.words FROM reference r JOIN words w ON w.sha256 = r.sha256 AND w.vocabulary = ?1
                 WHERE r.state = 'active' AND r.key % ?2 = 0",
            )?;
            let rows =
                statement.query_map(params![vocabulary, signed(step)], |row| Ok((unsigned(row, 0)?, row.get(1)?)))?;
            rows.collect()
        })
    }

    /// Stores words of references that had none. Readers learn of it by the references' new revision.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn add_words(&self, vocabulary: &str, words: &[(&Reference, Vec<u8>)]) -> Result<(), GalleryError> {
        self.add_derived(words, |transaction, sha256, words| insert_words(transaction, sha256, vocabulary, words))
    }
}

pub(super) fn insert_words(
    transaction: &Writing<'_>,
    sha256: Sha256,
    vocabulary: &str,
    words: &[u8],
) -> storage::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO words (sha256, vocabulary, words) VALUES (?1, ?2, ?3)
             ON CONFLICT (sha256, vocabulary) DO UPDATE SET words = excluded.words",
        )?
        .execute(params![&sha256.0[..], vocabulary, words])
        .map(drop)
}
