//! Figures over checks and cases.

use jiff::Timestamp;
use serde::Serialize;

#[cfg(doc)]
use super::Decision;
use super::store::{Gallery, GalleryError, optional, unsigned};

/// How the console's work goes, by day and brand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DayCount {
    /// The day, UTC, `2026-11-24`.
    pub day: String,
    /// The brand that was matched; `None` for cases without a match.
    pub brand: Option<String>,
    /// Checks that were to be reviewed.
    pub reviews: u64,
    /// Checks that were to be blocked.
    pub blocks: u64,
    /// Cases of that day that are decided.
    pub decided: u64,
    /// Of these, by what was found, in the order of [`Decision::ALL`].
    pub found: [u64; 4],
    /// Of these, the ones whose match was wrong: no match, or a fake's photo of goods that were in order.
    pub overturned: u64,
}

impl Gallery {
    /// Cases by day and brand from `since` on, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn case_counts(&self, since: Timestamp) -> Result<Vec<DayCount>, GalleryError> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT substr(created_at, 1, 10) AS day, brand, sum(action = 'review'), sum(action = 'block'),
                        count(decision), count(iif(decision = 'no_match' OR (decision = 'authorised' AND polarity = 'fake'), 1, NULL)),
                        count(iif(decision = 'fake', 1, NULL)), count(iif(decision = 'photo_misuse', 1, NULL)),
                        count(iif(decision = 'authorised', 1, NULL)), count(iif(decision = 'no_match', 1, NULL))
                 FROM moderation_case WHERE created_at >= ?1 GROUP BY day, brand ORDER BY day, brand",
            )?
            .query_map([since.to_string()], |row| {
                Ok(DayCount {
                    day: row.get(0)?,
                    brand: row.get(1)?,
                    reviews: unsigned(row, 2)?,
                    blocks: unsigned(row, 3)?,
                    decided: unsigned(row, 4)?,
                    overturned: unsigned(row, 5)?,
                    found: [unsigned(row, 6)?, unsigned(row, 7)?, unsigned(row, 8)?, unsigned(row, 9)?],
                })
            })?
            .collect()
        })
    }

    /// Checks by day from `since` on, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn check_counts(&self, since: Timestamp) -> Result<Vec<(String, u64)>, GalleryError> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT substr(created_at, 1, 10) AS day, count(*) FROM listing_check WHERE created_at >= ?1 GROUP BY day ORDER BY day",
            )?
            .query_map([since.to_string()], |row| Ok((row.get(0)?, unsigned(row, 1)?)))?
            .collect()
        })
    }

    /// Sellers with the most cases that were decided as fake, and when the last one came.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn worst_sellers(&self, limit: usize) -> Result<Vec<(String, u64, Option<Timestamp>)>, GalleryError> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT seller_id, count(*), max(created_at) FROM moderation_case
                 WHERE decision = 'fake' AND seller_id IS NOT NULL GROUP BY seller_id ORDER BY count(*) DESC, seller_id LIMIT ?1",
            )?
            .query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                Ok((row.get(0)?, unsigned(row, 1)?, optional(row, 2)?))
            })?
            .collect()
        })
    }
}
