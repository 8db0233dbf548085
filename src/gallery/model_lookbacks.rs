//! Lookbacks after a change of the model: how far the stored photos of earlier checks are judged again.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::lookbacks::SETTLED;
use super::store::{Gallery, GalleryError, optional_second, second, signed, unsigned};
use crate::storage::{self, OptionalExtension, Row, params};

/// Checks whose stored photos are to be judged again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelLookbackWork {
    number: u64,
    /// Id of the last check that is done; `None` at the start. The newest check comes first.
    pub after: Option<String>,
    /// Earliest time of the checks, in seconds since 1970.
    pub since: i64,
}

/// A search of stored photos by another model than the one that checked them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ModelLookback {
    /// Name and checksum of the model.
    pub model: String,
    /// Number of photos judged again so far.
    pub photos: u64,
    /// Number of photos so far in which a fake was found that the check had not found.
    pub found: u64,
    /// When the model began to serve.
    #[schema(value_type = String, format = DateTime)]
    pub asked_at: Timestamp,
    /// When the search ended; absent while it waits or runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub done_at: Option<Timestamp>,
}

/// A check of which at least one photo may be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptCheck {
    /// Id of the check.
    pub id: String,
    /// The stored answer, as JSON.
    pub answer: String,
}

impl Gallery {
    /// Notes which model serves. If it is another one than before, the photos of checks since a time are due two minutes
    /// later, when checks under the former model have ended. Returns whether this model's search is due now.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn follow_model(&self, model: &str, since: i64, now: Timestamp) -> Result<bool, GalleryError> {
        let newest: Option<(String, bool, i64)> = self.read(|db| {
            db.prepare_cached(
                "SELECT model, done_at IS NULL AND due_at <= ?1, asked_at FROM model_lookback ORDER BY number DESC LIMIT 1",
            )?
            .query_row([now.as_second()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()
        })?;
        if let Some((served, due, asked_at)) = newest {
            if served == model {
                return Ok(due);
            }
            // Two services with different models over one gallery would write without end.
            if (0..SETTLED).contains(&(now.as_second() - asked_at)) {
                return Ok(false);
            }
        }
        self.write(|transaction| {
            transaction.execute("UPDATE model_lookback SET done_at = ?1 WHERE done_at IS NULL", [now.as_second()])?;
            transaction
                .execute(
                    "INSERT INTO model_lookback (model, since, asked_at, due_at) VALUES (?1, ?2, ?3, ?4)",
                    params![model, since, now.as_second(), now.as_second() + SETTLED],
                )
                .map(drop)
        })?;
        Ok(false)
    }

    /// The search that is due for this model; `None` if none is, or another model serves meanwhile.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn due_model_lookback(&self, model: &str, now: Timestamp) -> Result<Option<ModelLookbackWork>, GalleryError> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT number, after_check, since FROM model_lookback WHERE done_at IS NULL AND model = ?1 AND due_at <= ?2",
            )?
            .query_row(params![model, now.as_second()], |row| {
                Ok(ModelLookbackWork { number: unsigned(row, 0)?, after: row.get(1)?, since: row.get(2)? })
            })
            .optional()
        })
    }

    /// The next checks with stored photos, newest first, after a search's last one.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn kept_checks(&self, work: &ModelLookbackWork, most: usize) -> Result<Vec<KeptCheck>, GalleryError> {
        let since = Timestamp::from_second(work.since).unwrap_or(Timestamp::MIN).to_string();
        self.read(|db| {
            db.prepare_cached(
                "SELECT id, answer FROM listing_check WHERE photos_kept = 1 AND (?1 IS NULL OR id < ?1) AND created_at >= ?2
                 ORDER BY id DESC LIMIT ?3",
            )?
            .query_map(params![work.after, since, i64::try_from(most).unwrap_or(i64::MAX)], |row| {
                Ok(KeptCheck { id: row.get(0)?, answer: row.get(1)? })
            })?
            .collect()
        })
    }

    /// Notes that the photos of a check, and of all newer ones, were judged again.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn note_judged_again(
        &self,
        work: &ModelLookbackWork,
        last: &str,
        photos: u64,
        found: u64,
    ) -> Result<(), GalleryError> {
        self.write(|transaction| {
            transaction
                .prepare_cached(
                    "UPDATE model_lookback SET after_check = ?1, photos = photos + ?2, found = found + ?3 WHERE number = ?4",
                )?
                .execute(params![last, signed(photos), signed(found), signed(work.number)])
                .map(drop)
        })
    }

    /// Notes that a search has ended.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn end_model_lookback(&self, work: &ModelLookbackWork, now: Timestamp) -> Result<(), GalleryError> {
        self.write(|transaction| {
            transaction
                .execute(
                    "UPDATE model_lookback SET done_at = ?1 WHERE number = ?2 AND done_at IS NULL",
                    params![now.as_second(), signed(work.number)],
                )
                .map(drop)
        })
    }

    /// Searches after changes of the model, the newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn model_lookbacks(&self, limit: usize) -> Result<Vec<ModelLookback>, GalleryError> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT model, photos, found, asked_at, done_at FROM model_lookback ORDER BY number DESC LIMIT ?1",
            )?
            .query_map([i64::try_from(limit).unwrap_or(i64::MAX)], model_lookback)?
            .collect()
        })
    }
}

fn model_lookback(row: &Row<'_>) -> storage::Result<ModelLookback> {
    Ok(ModelLookback {
        model: row.get(0)?,
        photos: unsigned(row, 1)?,
        found: unsigned(row, 2)?,
        asked_at: second(row, 3)?,
        done_at: optional_second(row, 4)?,
    })
}
