use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::store::{Gallery, GalleryError};
use crate::photo::Sha256;

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

impl Gallery {
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
}

fn saved_check(db: &Connection, column: &str, value: &str) -> rusqlite::Result<Option<SavedCheck>> {
    db.prepare_cached(&format!("SELECT request_sha256, answer FROM listing_check WHERE {column} = ?1"))?
        .query_row([value], |row| Ok(SavedCheck { request_sha256: Sha256(row.get(0)?), answer: row.get(1)? }))
        .optional()
}
