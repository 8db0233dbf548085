//! Signals that take no part in checks until somebody has looked at them.

use jiff::Timestamp;
use serde::Serialize;

use crate::gallery::audit::{AuditEvent, append};
use crate::gallery::store::{Gallery, GalleryError, next_revision, optional_second, parsed, signed, unsigned};
use crate::signals::SignalId;
use crate::storage::{OptionalExtension, params};

/// Most quarantined signals of a member that are listed.
const MOST_LISTED: u32 = 100;

/// A quarantined signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuarantinedSignal {
    /// Its key here.
    #[serde(skip)]
    pub key: u64,
    /// Its id, which its member chose.
    pub id: SignalId,
    /// The brand that it names.
    pub brand: String,
    /// Authentic or fake.
    pub polarity: String,
    /// Why it is quarantined.
    pub why: String,
}

impl Gallery {
    /// Quarantines an active signal; `false` if it is none.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn quarantine_signal(&self, actor: &str, key: u64, why: &str) -> Result<bool, GalleryError> {
        self.write(|transaction| {
            let revision = next_revision(transaction)?;
            let held: Option<String> = transaction
                .prepare_cached(
                    "UPDATE signal SET state = 'quarantined', why = ?1, revision = ?2 WHERE key = ?3 AND state = 'active' RETURNING id",
                )?
                .query_row(params![why, signed(revision), signed(key)], |row| row.get(0))
                .optional()?;
            let Some(id) = held else { return Ok(false) };
            let event = AuditEvent { actor, session: None, action: "quarantine-signal", subject: &id };
            append(transaction, event, &(), &serde_json::json!({ "why": why })).map(|_| true)
        })
    }

    /// Releases a quarantined signal: it takes part in checks again, and matches are counted from now on. `false` if it is
    /// not quarantined.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn release_signal(
        &self,
        (actor, session): (&str, Option<&str>),
        key: u64,
        now: Timestamp,
    ) -> Result<bool, GalleryError> {
        self.write(|transaction| {
            let held: Option<(String, String)> = transaction
                .prepare_cached("SELECT id, why FROM signal WHERE key = ?1 AND state = 'quarantined'")?
                .query_row([signed(key)], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((id, why)) = held else { return Ok(false) };
            let revision = next_revision(transaction)?;
            transaction.execute(
                "UPDATE signal SET state = 'active', why = NULL, released_at = ?1, revision = ?2 WHERE key = ?3",
                params![now.as_second(), signed(revision), signed(key)],
            )?;
            let event = AuditEvent { actor, session, action: "release-signal", subject: &id };
            append(transaction, event, &serde_json::json!({ "why": why }), &()).map(|_| true)
        })
    }

    /// The first 100 quarantined signals of a member, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn quarantined_signals(&self, member: u64) -> Result<Vec<QuarantinedSignal>, GalleryError> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT key, id, brand, polarity, why FROM signal WHERE member = ?1 AND state = 'quarantined' ORDER BY key LIMIT ?2",
            )?
            .query_map(params![signed(member), MOST_LISTED], |row| {
                Ok(QuarantinedSignal {
                    key: unsigned(row, 0)?,
                    id: parsed(row, 1)?,
                    brand: row.get(2)?,
                    polarity: row.get(3)?,
                    why: row.get(4)?,
                })
            })?
            .collect()
        })
    }

    /// The key of a member's signal; `None` if it is unknown.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn signal_key(&self, member: u64, id: &SignalId) -> Result<Option<u64>, GalleryError> {
        self.read(|db| {
            db.prepare_cached("SELECT key FROM signal WHERE member = ?1 AND id = ?2")?
                .query_row(params![signed(member), id.as_str()], |row| unsigned(row, 0))
                .optional()
        })
    }

    /// The number of different photos that a signal matched in cases since a time, and since it was released.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn photos_matched(&self, signal: u64, since: Timestamp) -> Result<u64, GalleryError> {
        self.read(|db| {
            let released = db
                .prepare_cached("SELECT released_at FROM signal WHERE key = ?1")?
                .query_row([signed(signal)], |row| optional_second(row, 0))
                .optional()?;
            let since = released.flatten().map_or(since, |released| released.max(since));
            db.prepare_cached(
                "SELECT count(DISTINCT c.photo) FROM signal_case c JOIN listing_check l ON l.id = c.check_id
                 WHERE c.signal = ?1 AND l.created_at >= ?2",
            )?
            .query_row(params![signed(signal), since.to_string()], |row| unsigned(row, 0))
        })
    }
}
