//! Counts of checks and cases for the console.

use jiff::Timestamp;
use serde::Serialize;

use super::store::{Gallery, GalleryError, optional, unsigned};
#[cfg(doc)]
use crate::domain::Decision;

/// Cases of one day and brand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DayCount {
    /// The day, UTC, `2026-11-24`.
    pub day: String,
    /// The brand of the leading match; `None` for cases without a match.
    pub brand: Option<String>,
    /// Checks with the action `review`.
    pub reviews: u64,
    /// Checks with the action `block`.
    pub blocks: u64,
    /// Cases of that day that are decided now.
    pub decided: u64,
    /// Decided cases by decision, in the order of [`Decision::ALL`].
    pub found: [u64; 4],
    /// Decided cases whose match was wrong: no match, or a match to a fake reference whose goods were in order.
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
                "SELECT substr(created_at, 1, 10) AS day, brand, count(*) FILTER (WHERE action = 'review'), count(*) FILTER (WHERE action = 'block'),
                        count(decision), count(iif(decision = 'no_match' OR (decision = 'authorised' AND polarity = 'fake'), 1, NULL)),
                        count(iif(decision = 'fake', 1, NULL)), count(iif(decision = 'photo_misuse', 1, NULL)),
                        count(iif(decision = 'authorised', 1, NULL)), count(iif(decision = 'no_match', 1, NULL))
                 FROM moderation_case WHERE created_at >= ?1 GROUP BY day, brand ORDER BY day, brand NULLS FIRST",
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

    /// Number of checks by day from `since` on, oldest first.
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

    /// The sellers with the most cases decided as fake: id, number of these cases, and time of the newest.
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
