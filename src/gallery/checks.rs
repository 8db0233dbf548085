use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::NewCase;
use super::alliances::{SignalCase, note_signal_cases};
use super::audit::log_quarantine;
use super::cases::{CheckOfCase, insert_case};
use super::memory::{NewRemembered, remember};
use super::rows::{change, find_key};
use super::sellers::note_photos;
use super::store::{Gallery, GalleryError, io_error, signed};
use crate::domain::{Quarantine, Reference, ReferenceState};
use crate::photo::Sha256;
use crate::storage::{self, Connection, OptionalExtension, Row, Writing, params};

/// A check to store.
#[derive(Debug)]
pub struct StoredCheck<'a> {
    /// Public id, `chk_` and a UUID.
    pub id: &'a str,
    /// The caller's idempotency key, if one was sent.
    pub idempotency_key: Option<IdempotencyKey<'a>>,
    /// SHA-256 over everything that the caller sent.
    pub request_sha256: Sha256,
    /// The caller's id of the listing.
    pub listing_id: Option<&'a str>,
    /// The caller's id of the seller.
    pub seller_id: Option<&'a str>,
    /// The action that the policy decided: `allow`, `review` or `block`.
    pub action: &'a str,
    /// When the check was answered.
    pub created_at: Timestamp,
    /// The whole answer as JSON.
    pub answer: &'a str,
    /// The photos to store for moderators and replays; empty where none are stored.
    pub photos: &'a [(Sha256, Bytes)],
    /// References that decided about photos, for the flood limits.
    pub hits: &'a [Hit<'a>],
    /// The case for moderators; `None` if the check was allowed.
    pub case: Option<NewCase<'a>>,
    /// What is remembered of the photos.
    pub remembered: &'a NewRemembered,
    /// The photos whose verdicts rest on signals.
    pub signals: &'a [SignalCase],
}

/// An idempotency key that a caller chose. Keys of two callers never collide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotencyKey<'a> {
    /// Id of the caller's API key.
    pub api_key: &'a str,
    /// The text that the caller chose.
    pub key: &'a str,
}

/// A reference that decided about a photo.
#[derive(Debug, Clone, Copy)]
pub struct Hit<'a> {
    /// The reference's key.
    pub key: u64,
    /// The photo's fingerprint.
    pub perceptual_hash: [u8; 32],
    /// The listing's id, or the check's id if the listing has none.
    pub listing: &'a str,
}

/// When a reference matches suspiciously many unrelated photos.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FloodLimits {
    /// A reference that decides about more unlike photos of different listings than this is quarantined.
    pub listings: usize,
    /// The hours within which those photos are counted.
    pub hours: u32,
    /// Photos are unlike when their fingerprints differ in at least this many of 256 bits.
    pub unlike_bits: u32,
}

impl Default for FloodLimits {
    fn default() -> Self {
        Self { listings: 50, hours: 24, unlike_bits: 64 }
    }
}

/// A stored check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedCheck {
    /// SHA-256 over everything that the caller sent.
    pub request_sha256: Sha256,
    /// The whole answer as JSON.
    pub answer: String,
}

impl Gallery {
    /// Stores a check, or returns the one that the same idempotency key made before.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn save_check(
        &self,
        check: &StoredCheck<'_>,
        limits: &FloodLimits,
    ) -> Result<Option<SavedCheck>, GalleryError> {
        for (sha256, bytes) in check.photos {
            self.uploads.put(*sha256, bytes).map_err(|error| self.failed(io_error(error)))?;
        }
        let strikes = self.takedown().strikes;
        let saved = self.write(|transaction| {
            if let Some(key) = check.idempotency_key
                && let Some(saved) = repeated(transaction, key, check.request_sha256)?
            {
                return Ok(Some(saved));
            }
            transaction.execute(
                "INSERT INTO listing_check (id, request_sha256, listing_id, seller_id, action, created_at, answer, photos_kept)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    check.id,
                    &check.request_sha256.0[..],
                    check.listing_id,
                    check.seller_id,
                    check.action,
                    check.created_at.to_string(),
                    check.answer,
                    !check.photos.is_empty(),
                ],
            )?;
            if let Some(IdempotencyKey { api_key, key }) = check.idempotency_key {
                transaction
                    .prepare_cached("INSERT INTO idempotency (api_key, key, check_id) VALUES (?1, ?2, ?3)")?
                    .execute([api_key, key, check.id])?;
            }
            for (sha256, bytes) in check.photos {
                note_upload(transaction, *sha256, check.id, check.created_at)?;
                // A sweep may have removed it since it was written.
                if !self.uploads.is_remote() && self.uploads.check(*sha256).is_err() {
                    self.uploads.put(*sha256, bytes).map_err(io_error)?;
                }
            }
            if let Some(case) = &check.case {
                let of = CheckOfCase {
                    id: check.id,
                    listing_id: check.listing_id,
                    seller_id: check.seller_id,
                    action: check.action,
                    opened_at: check.created_at,
                };
                insert_case(transaction, &strikes, &of, case)?;
            }
            remember(transaction, check)?;
            note_signal_cases(transaction, check.id, check.signals)?;
            note_photos(transaction, (check.seller_id, check.id), &check.remembered.photos, check.created_at)?;
            for hit in check.hits {
                count_hit(transaction, hit, check.created_at, limits)?;
            }
            Ok(None)
        })?;
        if saved.is_none() {
            self.uploads.put_again(check.photos.iter().map(|(sha256, bytes)| (*sha256, &bytes[..])))?;
        }
        Ok(saved)
    }

    /// Answers of checks whose photos are stored, at most `most`, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn replayable_checks(&self, most: usize) -> Result<Vec<String>, GalleryError> {
        self.read(|db| {
            db.prepare_cached("SELECT answer FROM listing_check WHERE photos_kept = 1 ORDER BY id DESC LIMIT ?1")?
                .query_map([i64::try_from(most).unwrap_or(i64::MAX)], |row| row.get(0))?
                .collect()
        })
    }

    /// Stores a photo that belongs to no check.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn keep_upload(&self, sha256: Sha256, bytes: &[u8]) -> Result<(), GalleryError> {
        if self.uploads.is_remote() {
            self.uploads.put(sha256, bytes)?;
            self.write(|transaction| note_upload(transaction, sha256, "", Timestamp::now()))?;
            return Ok(self.uploads.put_again([(sha256, bytes)])?);
        }
        self.write(|transaction| {
            note_upload(transaction, sha256, "", Timestamp::now())?;
            self.uploads.put(sha256, bytes).map_err(io_error)
        })
    }

    /// The bytes of a check's photo.
    ///
    /// # Errors
    /// When the photo is not stored or cannot be read.
    pub fn upload(&self, sha256: Sha256) -> Result<Vec<u8>, GalleryError> {
        Ok(self.uploads.get_photo(sha256)?)
    }

    /// Whether the bytes of a check's photo are stored.
    #[must_use]
    pub fn has_upload(&self, sha256: Sha256) -> bool {
        self.uploads.check(sha256).is_ok()
    }

    /// The check that an idempotency key made. `request`: SHA-256 of the request that repeats it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn repeated_check(&self, key: IdempotencyKey<'_>, request: Sha256) -> Result<Option<SavedCheck>, GalleryError> {
        self.read(|db| repeated(db, key, request))
    }

    /// Finds a check by its id.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn check(&self, id: &str) -> Result<Option<SavedCheck>, GalleryError> {
        self.read(|db| saved_check(db, id))
    }
}

/// Records that a photo was sent, with a check or without one; sending it again renews the time.
fn note_upload(transaction: &Writing<'_>, sha256: Sha256, check_id: &str, at: Timestamp) -> storage::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO upload (sha256, check_id, kept_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (sha256, check_id) DO UPDATE SET kept_at = excluded.kept_at",
        )?
        .execute(params![&sha256.0[..], check_id, at.as_second()])
        .map(drop)
}

fn saved_check(db: &Connection, id: &str) -> storage::Result<Option<SavedCheck>> {
    db.prepare_cached("SELECT request_sha256, answer FROM listing_check WHERE id = ?1")?
        .query_row([id], saved)
        .optional()
}

fn saved(row: &Row<'_>) -> storage::Result<SavedCheck> {
    Ok(SavedCheck { request_sha256: Sha256(row.get(0)?), answer: row.get(1)? })
}

/// The check of this key. Keys from before schema 8 have no API key: only the same request repeats them.
fn repeated(
    db: &Connection,
    IdempotencyKey { api_key, key }: IdempotencyKey<'_>,
    request: Sha256,
) -> storage::Result<Option<SavedCheck>> {
    db.prepare_cached(
        "SELECT l.request_sha256, l.answer FROM idempotency i JOIN listing_check l ON l.id = i.check_id
         WHERE i.key = ?2 AND (i.api_key = ?1 OR (i.api_key = '' AND l.request_sha256 = ?3))
         ORDER BY i.api_key DESC LIMIT 1",
    )?
    .query_row(params![api_key, key, &request.0[..]], saved)
    .optional()
}

/// Counts photos that are unlike all photos that the reference decided about before, and quarantines the reference when
/// they are too many: copies of one photo look alike, and a reference that matches everything proves nothing.
fn count_hit(transaction: &Writing<'_>, hit: &Hit<'_>, now: Timestamp, limits: &FloodLimits) -> storage::Result<()> {
    let since = now.as_second() - i64::from(limits.hours) * 3600;
    transaction
        .prepare_cached("DELETE FROM hit WHERE key = ?1 AND seen_at < ?2")?
        .execute(params![signed(hit.key), since])?;
    let seen: Vec<([u8; 32], String)> = transaction
        .prepare_cached("SELECT perceptual_hash, listing FROM hit WHERE key = ?1")?
        .query_map([signed(hit.key)], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<storage::Result<_>>()?;
    let known = seen.iter().any(|(hash, listing)| {
        listing == hit.listing || differing_bits(hash, &hit.perceptual_hash) < limits.unlike_bits
    });
    if known {
        return Ok(());
    }
    transaction
        .prepare_cached("INSERT INTO hit (key, perceptual_hash, listing, seen_at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![signed(hit.key), &hit.perceptual_hash[..], hit.listing, now.as_second()])?;
    if seen.len() < limits.listings {
        return Ok(());
    }
    let Some(found) = find_key(transaction, hit.key)?.filter(|found| found.state == ReferenceState::Active) else {
        return Ok(());
    };
    let detail = format!(
        "it decided about {} unlike photos of different listings within {} hours, expected at most {}",
        seen.len() + 1,
        limits.hours,
        limits.listings
    );
    tracing::warn!(reference = found.id, detail, "a reference is quarantined");
    let held = Reference {
        state: ReferenceState::Quarantined,
        quarantine: Some(Quarantine { code: "flood".to_owned(), detail, private: false }),
        publication: None,
        updated_at: now,
        ..found.clone()
    };
    change(transaction, &held)?;
    log_quarantine(transaction, Some(&found), &held)?;
    transaction.execute("DELETE FROM hit WHERE key = ?1", [signed(hit.key)]).map(drop)
}

/// How many of the 256 bits of two fingerprints differ.
#[must_use]
pub fn differing_bits(a: &[u8; 32], b: &[u8; 32]) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}
