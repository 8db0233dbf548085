//! Retention and erasure: deletes photos and checks that are old enough, and a seller's data on request. The audit log
//! records the erasure and keeps its chain; see [`super::audit`].

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::audit::{AuditEvent, append, erase_details, erase_policies};
use super::notices::{erase_closed_notices, erase_notices_of};
use super::sellers::{erase_closures, erase_seller};
use super::store::{Gallery, GalleryError, conversion, io_error, next_revision, signed};
use crate::domain::Policy;
use crate::photo::Sha256;
use crate::storage::{self, OptionalExtension, Writing, params};

/// The greatest number of rows that one transaction deletes, so that checks need not wait.
const AT_ONCE: u32 = 500;

/// The least age at which a sweep takes a photo without a row for one that a crash left.
const LEFT: Duration = Duration::from_hours(1);

/// How long photos and checks are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Days that photos sent to checks are stored, counted from the decision if there is one; those of waiting cases
    /// stay. 0 stores them without end.
    pub photos_days: u32,
    /// Days after which an allowed check is deleted, and a decided one, like a listing in a notice on which nobody has
    /// to act any more, loses seller, listing, texts and file names. 0 stores them without end.
    pub checks_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        // A seller may complain for six months: Article 20(1) of Regulation (EU) 2022/2065.
        Self { photos_days: 200, checks_days: 0 }
    }
}

/// Counts of erased data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// Checks that were deleted, or lost the data that names the seller.
    pub checks: u64,
    /// Photos that were deleted.
    pub photos: u64,
    /// Policies that authorised the seller and no longer do.
    pub policies: u64,
    /// Listings in takedown notices that were erased.
    pub notices: u64,
    /// Proposals to close an account that were erased.
    pub closures: u64,
    /// Audit events of the first form, whose states cannot be erased.
    pub entries_kept: u64,
}

impl Erased {
    /// Whether nothing was erased.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Gallery {
    /// Erases photos, checks and sessions that are past their retention.
    ///
    /// # Errors
    /// When the database or a file cannot be written; what was erased until then stays erased.
    pub fn sweep(&self, retention: &Retention, now: Timestamp) -> Result<Erased, GalleryError> {
        let mut erased = Erased::default();
        self.write(|transaction| {
            transaction.execute("DELETE FROM session WHERE expires_at < ?1", [now.as_second()]).map(drop)
        })?;
        if retention.photos_days > 0 {
            let before = now - days(retention.photos_days);
            while self.sweep_photos(before, &mut erased)? {}
        }
        erased.photos += self.remove_left_uploads(LEFT)? + self.drop_left_photos(LEFT)?;
        if retention.checks_days > 0 {
            let before = now - days(retention.checks_days);
            while self.sweep_checks(before, &mut erased)? {}
            while self.sweep_notices(before, &mut erased)? {}
            while self.sweep_closures(before, &mut erased)? {}
        }
        if !erased.is_nothing() {
            self.note(("touchstone", None), "sweep", "retention", &erased)?;
        }
        Ok(erased)
    }

    /// Erases a seller's data, keeping a record of the erasure: ids in checks, cases, notices, decisions and policies,
    /// texts of cases and notices, photos that no other check has. Verdicts and outcomes stay.
    ///
    /// # Errors
    /// When the database cannot be written; then nothing is erased.
    pub fn forget_seller(&self, actor: &str, seller_id: &str) -> Result<Erased, GalleryError> {
        let (mut erased, gone) = self.write(|transaction| {
            let ids: Vec<String> = transaction
                .prepare_cached("SELECT id FROM listing_check WHERE seller_id = ?1")?
                .query_map([seller_id], |row| row.get(0))?
                .collect::<storage::Result<_>>()?;
            let mut erased = Erased { checks: ids.len() as u64, ..Erased::default() };
            // Before the checks lose the ids by which the listings are found.
            erased.notices = erase_notices_of(transaction, seller_id)?;
            let mut gone = Vec::new();
            for id in &ids {
                strip_check(transaction, id)?;
                erased.entries_kept += erase_details(transaction, id)?;
                gone.extend(release_uploads(transaction, id)?);
                transaction.execute("UPDATE outcome SET note = NULL WHERE check_id = ?1", [id])?;
            }
            transaction
                .execute("DELETE FROM decided_pair WHERE seller_id = ?1 AND decision = 'authorised'", [seller_id])?;
            transaction.execute("UPDATE decided_pair SET seller_id = NULL WHERE seller_id = ?1", [seller_id])?;
            erased.policies = drop_authorisations(transaction, seller_id)?;
            erase_policies(transaction, seller_id)?;
            for closure in erase_seller(transaction, seller_id)? {
                erased.entries_kept += erase_details(transaction, &closure)?;
                erased.closures += 1;
            }
            erased.photos = gone.len() as u64;
            let event = AuditEvent { actor, session: None, action: "forget-seller", subject: "seller" };
            append(transaction, event, &(), &erased)?;
            Ok((erased, gone))
        })?;
        self.remove_uploads(&gone)?;
        // An earlier call may have stopped before it removed them.
        erased.photos += self.remove_left_uploads(Duration::ZERO)?;
        Ok(erased)
    }

    /// Erases some rows in a transaction, then the photos that no row needs any more. Returns the number of rows.
    fn sweep_some(
        &self,
        erased: &mut Erased,
        sweep: impl FnOnce(&Writing<'_>) -> storage::Result<(usize, Vec<Sha256>)>,
    ) -> Result<usize, GalleryError> {
        let (rows, gone) = self.write(sweep)?;
        erased.photos += gone.len() as u64;
        self.remove_uploads(&gone)?;
        Ok(rows)
    }

    /// Returns whether more rows may be left.
    fn sweep_photos(&self, before: Timestamp, erased: &mut Erased) -> Result<bool, GalleryError> {
        let rows = self.sweep_some(erased, |transaction| {
            // For decided cases, retention counts from the decision.
            let old: Vec<(Vec<u8>, String)> = transaction
                .prepare_cached(
                    "SELECT u.sha256, u.check_id FROM upload u LEFT JOIN moderation_case c ON c.check_id = u.check_id
                     WHERE u.kept_at < ?1 AND (c.status IS NULL OR (c.status = 'decided' AND unixepoch(c.decided_at) < ?1)) LIMIT ?2",
                )?
                .query_map(params![before.as_second(), AT_ONCE], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<storage::Result<_>>()?;
            let mut gone = Vec::new();
            for (sha256, check_id) in &old {
                transaction
                    .prepare_cached("DELETE FROM upload WHERE sha256 = ?1 AND check_id = ?2")?
                    .execute(params![sha256, check_id])?;
                transaction
                    .prepare_cached("UPDATE listing_check SET photos_kept = 0 WHERE id = ?1")?
                    .execute([check_id])?;
                gone.extend(unneeded(transaction, sha256)?);
            }
            Ok((old.len(), gone))
        })?;
        Ok(rows == AT_ONCE as usize)
    }

    /// Returns whether more rows may be left.
    fn sweep_checks(&self, before: Timestamp, erased: &mut Erased) -> Result<bool, GalleryError> {
        let rows = self.sweep_some(erased, |transaction| {
            let old: Vec<(String, bool)> = transaction
                .prepare_cached(
                    "SELECT l.id, c.check_id IS NULL AND NOT EXISTS (SELECT 1 FROM outcome o WHERE o.check_id = l.id)
                     FROM listing_check l LEFT JOIN moderation_case c ON c.check_id = l.id
                     WHERE l.created_at < ?1 AND (c.status IS NULL OR (c.status = 'decided' AND c.decided_at < ?1))
                       AND (c.check_id IS NULL AND NOT EXISTS (SELECT 1 FROM outcome o WHERE o.check_id = l.id)
                            OR EXISTS (SELECT 1 FROM idempotency i WHERE i.check_id = l.id) OR l.seller_id IS NOT NULL OR l.listing_id IS NOT NULL)
                     LIMIT ?2",
                )?
                .query_map(params![before.to_string(), AT_ONCE], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<storage::Result<_>>()?;
            let mut gone = Vec::new();
            for (id, proves_nothing) in &old {
                if *proves_nothing {
                    gone.extend(release_uploads(transaction, id)?);
                    transaction.prepare_cached("DELETE FROM finding WHERE check_id = ?1")?.execute([id])?;
                    transaction.prepare_cached("DELETE FROM listing_check WHERE id = ?1")?.execute([id])?;
                } else {
                    strip_check(transaction, id)?;
                    erase_details(transaction, id)?;
                }
            }
            Ok((old.len(), gone))
        })?;
        erased.checks += rows as u64;
        Ok(rows == AT_ONCE as usize)
    }

    /// Returns whether more rows may be left.
    fn sweep_notices(&self, before: Timestamp, erased: &mut Erased) -> Result<bool, GalleryError> {
        let rows = self.write(|transaction| erase_closed_notices(transaction, before, AT_ONCE))?;
        erased.notices += rows;
        Ok(rows == u64::from(AT_ONCE))
    }

    /// Returns whether more rows may be left.
    fn sweep_closures(&self, before: Timestamp, erased: &mut Erased) -> Result<bool, GalleryError> {
        let rows = self.write(|transaction| erase_closures(transaction, before, AT_ONCE))?;
        erased.closures += rows;
        Ok(rows == u64::from(AT_ONCE))
    }

    /// Removes photos older than `age` that a crash left between a file and its row, or between a row and its file.
    /// Returns how many.
    fn remove_left_uploads(&self, age: Duration) -> Result<u64, GalleryError> {
        let stored = self.uploads.files()?;
        let old = stored.into_iter().filter(|sha256| self.uploads.is_older(*sha256, age));
        let left: Vec<Sha256> = self.read(|db| {
            let mut statement = db.prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM upload WHERE sha256 = ?1)")?;
            let mut is_left = |sha256: &Sha256| statement.query_row([&sha256.0[..]], |row| row.get::<bool>(0));
            old.filter_map(|sha256| is_left(&sha256).map(|left| left.then_some(sha256)).transpose()).collect()
        })?;
        left.chunks(AT_ONCE as usize).try_for_each(|some| self.remove_uploads(some))?;
        Ok(left.len() as u64)
    }

    /// Removes files of photos that no row names, so that a crash does not bring them back. Inside a transaction, so
    /// that nobody sends one of them meanwhile.
    fn remove_uploads(&self, photos: &[Sha256]) -> Result<(), GalleryError> {
        if photos.is_empty() {
            return Ok(());
        }
        // Nobody writes while an object store answers, so one photo at a time.
        let at_once = if self.uploads.is_remote() { 1 } else { photos.len() };
        for some in photos.chunks(at_once) {
            let removed: Vec<Sha256> = self.write(|transaction| {
                let mut removed = Vec::new();
                for sha256 in some {
                    if unneeded(transaction, &sha256.0)?.is_some() {
                        self.uploads.remove(*sha256).map_err(io_error)?;
                        removed.push(*sha256);
                    }
                }
                Ok(removed)
            })?;
            for sha256 in removed {
                if !self.has_photo(sha256, true) {
                    self.drop_thumbnails(sha256)?;
                }
            }
        }
        Ok(self.uploads.sync()?)
    }
}

fn days(days: u32) -> SignedDuration {
    SignedDuration::from_hours(i64::from(days) * 24)
}

/// The photo's SHA-256, if no row needs the photo any more.
fn unneeded(transaction: &Writing<'_>, sha256: &[u8]) -> storage::Result<Option<Sha256>> {
    let mut statement = transaction.prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM upload WHERE sha256 = ?1)")?;
    let gone: bool = statement.query_row([sha256], |row| row.get(0))?;
    Ok(<[u8; 32]>::try_from(sha256).ok().filter(|_| gone).map(Sha256))
}

/// Removes a check's photos from it. Returns those that no other check has.
fn release_uploads(transaction: &Writing<'_>, check_id: &str) -> storage::Result<Vec<Sha256>> {
    let photos: Vec<Vec<u8>> = transaction
        .prepare_cached("DELETE FROM upload WHERE check_id = ?1 RETURNING sha256")?
        .query_map([check_id], |row| row.get(0))?
        .collect::<storage::Result<_>>()?;
    transaction.prepare_cached("UPDATE listing_check SET photos_kept = 0 WHERE id = ?1")?.execute([check_id])?;
    photos.iter().filter_map(|sha256| unneeded(transaction, sha256).transpose()).collect()
}

/// Removes the seller, the listing and the written texts from a check and its case.
fn strip_check(transaction: &Writing<'_>, id: &str) -> storage::Result<()> {
    let row = transaction
        .prepare_cached("SELECT answer, listing_id FROM listing_check WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get::<String>(0)?, row.get::<Option<String>>(1)?)))
        .optional()?;
    let Some((answer, listing_id)) = row else { return Ok(()) };
    transaction
        .prepare_cached("UPDATE listing_check SET seller_id = NULL, listing_id = NULL, answer = ?2 WHERE id = ?1")?
        .execute(params![id, stripped(&answer).map_err(|error| conversion(0, error))?])?;
    transaction.prepare_cached("DELETE FROM idempotency WHERE check_id = ?1")?.execute([id])?;
    transaction
        .prepare_cached(
            "UPDATE moderation_case SET seller_id = NULL, listing_id = NULL, note = NULL,
                    appeal = CASE WHEN appeal IS NOT NULL THEN '(erased)' END WHERE check_id = ?1",
        )?
        .execute([id])?;
    transaction.prepare_cached("DELETE FROM hit WHERE listing IN (?1, ?2)")?.execute(params![id, listing_id])?;
    Ok(())
}

/// An answer without the listing's own ids and the files' names.
fn stripped(answer: &str) -> serde_json::Result<String> {
    let mut answer: Value = serde_json::from_str(answer)?;
    if let Some(Value::Object(listing)) = answer.get_mut("listing") {
        for field in ["listing_id", "seller_id"] {
            listing.insert(field.to_owned(), Value::Null);
        }
    }
    for photo in answer.get_mut("photos").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Value::Object(photo) = photo {
            photo.insert("name".to_owned(), Value::Null);
        }
    }
    serde_json::to_string(&answer)
}

/// Removes a seller from every policy that names it. Returns the number of policies.
fn drop_authorisations(transaction: &Writing<'_>, seller_id: &str) -> storage::Result<u64> {
    let policies: Vec<(String, String)> = transaction
        .prepare_cached("SELECT brand, policy FROM policy")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<storage::Result<_>>()?;
    let mut changed = 0;
    for (brand, text) in &policies {
        let mut policy: Policy = serde_json::from_str(text).map_err(|error| conversion(1, error))?;
        let before = policy.authorised_sellers.len();
        policy.authorised_sellers.retain(|known| known != seller_id);
        if policy.authorised_sellers.len() == before {
            continue;
        }
        changed += 1;
        let text = serde_json::to_string(&policy).map_err(|error| conversion(1, error))?;
        let revision = next_revision(transaction)?;
        transaction.execute(
            "UPDATE policy SET policy = ?2, version = version + 1, revision = ?3 WHERE brand = ?1",
            params![brand, text, signed(revision)],
        )?;
    }
    Ok(changed)
}
