//! References that the memory is searched for, how far each search is, and what it found.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::audit::{AuditEvent, append};
use super::cases::{Case, CheckOfCase, NewCase, find_case, insert_case, overwrite_case};
use super::effects::Effects;
use super::notices::follow_case;
use super::questions::ask_together;
use super::sellers::look_at_seller;
use super::store::{Gallery, GalleryError, optional_second, second, signed, unsigned};
use crate::domain::{CaseStatus, Decision};
use crate::storage::{self, Connection, OptionalExtension, Row, Writing, params};

/// Seconds within which a check has ended that started before a reference was added, or another model served.
pub(super) const SETTLED: i64 = 120;
/// The pass of a search that somebody asked for: it covers the memory down to `since`, and no other one follows.
const PASS_ON_COMMAND: u8 = 3;
/// The actor of cases that a lookback opens.
pub(super) const LOOKBACK: &str = "lookback";

/// References to search the memory for, whose searches have the same progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookbackWork {
    /// The references' keys.
    pub keys: Vec<u64>,
    /// 1 for the whole memory, 2 for checks that ran while the references were added, 3 for a search on command.
    pub pass: u8,
    /// Earliest time of the checks to search, in seconds since 1970.
    pub since: i64,
    /// Day and place of the last segment that is done; `None` at the start.
    pub after: Option<(i64, u64)>,
}

/// The search of the memory for one reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Lookback {
    /// Id of the reference.
    pub reference_id: String,
    /// The brand that owns the reference.
    pub brand: String,
    /// Number of remembered photos searched so far.
    pub photos: u64,
    /// Number of listings found so far.
    pub found: u64,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub asked_at: Timestamp,
    /// When it ended; absent while it waits or runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub done_at: Option<Timestamp>,
}

/// A photo of an earlier check in which a lookback found a reference.
#[derive(Debug, Clone)]
pub struct NewFinding<'a> {
    /// Id of the check.
    pub check_id: &'a str,
    /// Number of the photo, from 0.
    pub photo: u32,
    /// The reference's key.
    pub key: u64,
    /// The photo's answer with the reference, as JSON.
    pub answer: &'a str,
    /// The action that the finding asks for: `review` or `block`.
    pub action: &'a str,
    /// The case to open, unless the check has one.
    pub case: NewCase<'a>,
}

/// The result of [`Gallery::add_finding`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundLater {
    /// The check had no case, and has one now.
    Opened,
    /// The check's case shows it now; a decided one is open again, unless its decision restricts the listing.
    Added,
    /// It was found before.
    Known,
    /// The check was deleted.
    Gone,
}

impl Gallery {
    /// Notes which active fake references the memory must be searched for, and forgets those that are no longer active.
    /// Returns whether any search is due.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn follow_lookbacks(&self, now: Timestamp) -> Result<bool, GalleryError> {
        let behind =
            self.read(|db| db.query_row("SELECT revision > lookback_revision FROM gallery", [], |row| row.get(0)))?;
        if behind {
            self.write(|transaction| follow(transaction, now.as_second()))?;
        }
        self.read(|db| {
            db.prepare_cached("SELECT EXISTS (SELECT 1 FROM lookback WHERE done_at IS NULL AND due_at <= ?1)")?
                .query_row([now.as_second()], |row| row.get(0))
        })
    }

    /// Asks for a search for a reference, from the start, in checks since a time.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn ask_lookback(&self, key: u64, since: i64, now: Timestamp) -> Result<(), GalleryError> {
        self.write(|transaction| ask(transaction, key, (PASS_ON_COMMAND, since), now.as_second()))
    }

    /// The references that are due and have the same progress, at most `most`; `None` when nothing is due.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn due_lookback(&self, most: usize, now: Timestamp) -> Result<Option<LookbackWork>, GalleryError> {
        self.read(|db| {
            let due = "done_at IS NULL AND due_at <= ?1";
            let sql = format!(
                "SELECT pass, since, after_day, after_place FROM lookback WHERE {due} ORDER BY due_at, key LIMIT 1"
            );
            let first = db
                .prepare_cached(&sql)?
                .query_row([now.as_second()], |row| Ok((row.get::<u8>(0)?, row.get::<i64>(1)?, position(row)?)))
                .optional()?;
            let Some((pass, since, after)) = first else { return Ok(None) };
            // A brand that adds very many keeps the others waiting for no longer than one walk.
            let sql = format!(
                "SELECT l.key FROM lookback l JOIN reference r ON r.key = l.key
                 WHERE {due} AND pass = ?2 AND since = ?3 AND after_day IS NOT DISTINCT FROM ?4 AND after_place IS NOT DISTINCT FROM ?5
                 ORDER BY row_number() OVER (PARTITION BY r.brand ORDER BY due_at, l.key), due_at, l.key LIMIT ?6"
            );
            let (day, place) = (after.map(|(day, _)| day), after.map(|(_, place)| signed(place)));
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let keys = db
                .prepare_cached(&sql)?
                .query_map(params![now.as_second(), pass, since, day, place, most], |row| unsigned(row, 0))?
                .collect::<storage::Result<_>>()?;
            Ok(Some(LookbackWork { keys, pass, since, after }))
        })
    }

    /// Notes that a segment of `photos` photos was searched for these references.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn note_searched(&self, work: &LookbackWork, done: (i64, u64), photos: u64) -> Result<(), GalleryError> {
        self.write(|transaction| {
            // The second pass sees photos again.
            let photos = if work.pass == 2 { 0 } else { photos };
            // Somebody may have asked for another search meanwhile.
            let mut statement = transaction.prepare_cached(
                "UPDATE lookback SET after_day = ?1, after_place = ?2, photos = photos + ?3
                 WHERE key = ?4 AND pass = ?5 AND done_at IS NULL",
            )?;
            work.keys.iter().try_for_each(|key| {
                statement.execute(params![done.0, signed(done.1), signed(photos), signed(*key), work.pass]).map(drop)
            })
        })
    }

    /// Notes that a pass has ended: after the first one a second one is due.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn end_pass(&self, work: &LookbackWork, now: Timestamp) -> Result<(), GalleryError> {
        self.write(|transaction| {
            let (sql, seconds) = match work.pass {
                1 => (
                    "UPDATE lookback SET pass = 2, due_at = asked_at + ?2, since = asked_at - ?2, after_day = NULL,
                            after_place = NULL WHERE key = ?1 AND pass = ?3",
                    SETTLED,
                ),
                _ => ("UPDATE lookback SET done_at = ?2 WHERE key = ?1 AND pass = ?3", now.as_second()),
            };
            let mut statement = transaction.prepare_cached(sql)?;
            work.keys.iter().try_for_each(|key| statement.execute(params![signed(*key), seconds, work.pass]).map(drop))
        })
    }

    /// The number of findings of these references' newest searches.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn found_for(&self, keys: &[u64]) -> Result<u64, GalleryError> {
        self.read(|db| {
            let mut statement =
                db.prepare_cached("SELECT CAST(coalesce(sum(found), 0) AS BIGINT) FROM lookback WHERE key = ?1")?;
            let found = |key: &u64| statement.query_row([signed(*key)], |row| unsigned(row, 0));
            keys.iter().map(found).sum()
        })
    }

    /// Searches of the memory, the newest first; with `brand`, only those for its references.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn lookbacks(&self, brand: Option<&str>, limit: usize) -> Result<Vec<Lookback>, GalleryError> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT r.id, r.brand, l.photos, l.found, l.asked_at, l.done_at FROM lookback l JOIN reference r ON r.key = l.key
                 WHERE ?1 IS NULL OR r.brand = ?1 ORDER BY l.asked_at DESC, l.key DESC LIMIT ?2",
            )?
            .query_map(params![brand, i64::try_from(limit).unwrap_or(i64::MAX)], lookback)?
            .collect()
        })
    }

    /// Stores a finding, and opens or reopens the check's case.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn add_finding(&self, new: &NewFinding<'_>, now: Timestamp) -> Result<FoundLater, GalleryError> {
        let options = self.takedown();
        self.write(|transaction| {
            let check = transaction
                .prepare_cached("SELECT listing_id, seller_id FROM listing_check WHERE id = ?1")?
                .query_row([new.check_id], |row| Ok((row.get::<Option<String>>(0)?, row.get::<Option<String>>(1)?)))
                .optional()?;
            let Some((listing_id, seller_id)) = check else { return Ok(FoundLater::Gone) };
            let added = transaction
                .prepare_cached(
                    "INSERT INTO finding (check_id, photo, key, found_at, answer) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT DO NOTHING",
                )?
                .execute(params![new.check_id, new.photo, signed(new.key), now.as_second(), new.answer])?;
            if added == 0 {
                return Ok(FoundLater::Known);
            }
            transaction
                .prepare_cached("UPDATE lookback SET found = found + 1 WHERE key = ?1")?
                .execute([signed(new.key)])?;
            let before = find_case(transaction, new.check_id)?;
            let found = match &before {
                Some(case) => {
                    reopen(transaction, case)?;
                    FoundLater::Added
                }
                None => {
                    let of = CheckOfCase {
                        id: new.check_id,
                        listing_id: listing_id.as_deref(),
                        seller_id: seller_id.as_deref(),
                        action: new.action,
                        opened_at: now,
                    };
                    insert_case(transaction, &options.strikes, &of, &new.case)?;
                    FoundLater::Opened
                }
            };
            if let Some(reference) = new.case.lead.and_then(|lead| lead.reference) {
                ask_together(transaction, (new.key, new.check_id), reference)?;
            }
            let event =
                AuditEvent { actor: LOOKBACK, session: None, action: "found-by-lookback", subject: new.check_id };
            let after = find_case(transaction, new.check_id)?;
            append(transaction, event, &effects(before.as_ref()), &effects(after.as_ref()))?;
            // A request that followed from a decision ends with it.
            let reopened = after.filter(|case| case.status == CaseStatus::Open);
            if let Some(case) = reopened {
                follow_case(transaction, &options, (LOOKBACK, None), &case)?;
                look_at_seller(transaction, &options.strikes, case.seller_id.as_deref())?;
            }
            Ok(found)
        })
    }

    /// For each reference, the gallery's revision at which it last changed: checks at that revision or a later one knew it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn reference_revisions(&self, keys: &[u64]) -> Result<HashMap<u64, u64>, GalleryError> {
        self.read(|db| {
            let mut statement = db.prepare_cached("SELECT revision FROM reference WHERE key = ?1")?;
            let mut revisions = HashMap::new();
            for key in keys {
                let revision = statement.query_row([signed(*key)], |row| unsigned(row, 0)).optional()?;
                revisions.extend(revision.map(|revision| (*key, revision)));
            }
            Ok(revisions)
        })
    }

    /// What lookbacks found in a check, oldest first: the photos' answers, as JSON.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn findings(&self, check_id: &str) -> Result<Vec<String>, GalleryError> {
        self.read(|db| {
            db.prepare_cached("SELECT answer FROM finding WHERE check_id = ?1 ORDER BY found_at, photo, key")?
                .query_map([check_id], |row| row.get(0))?
                .collect()
        })
    }

    /// Whether a lookback has already found a reference in a check's photo.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn is_found(&self, check_id: &str, photo: u32, key: u64) -> Result<bool, GalleryError> {
        self.read(|db| {
            db.prepare_cached("SELECT EXISTS (SELECT 1 FROM finding WHERE check_id = ?1 AND photo = ?2 AND key = ?3)")?
                .query_row(params![check_id, photo, signed(key)], |row| row.get(0))
        })
    }
}

fn effects(case: Option<&Case>) -> Effects {
    case.map(Effects::of_case).unwrap_or_default()
}

/// Opens a decided case again unless its decision restricts the listing: it was made without the new reference.
fn reopen(transaction: &Writing<'_>, case: &Case) -> storage::Result<()> {
    let stands = case.status != CaseStatus::Decided || case.decision.is_some_and(Decision::restricts);
    if stands { Ok(()) } else { overwrite_case(transaction, &case.reopened()) }
}

fn position(row: &Row<'_>) -> storage::Result<Option<(i64, u64)>> {
    let (day, place): (Option<i64>, Option<i64>) = (row.get(2)?, row.get(3)?);
    Ok(day.zip(place.map(i64::unsigned_abs)))
}

fn lookback(row: &Row<'_>) -> storage::Result<Lookback> {
    Ok(Lookback {
        reference_id: row.get(0)?,
        brand: row.get(1)?,
        photos: unsigned(row, 2)?,
        found: unsigned(row, 3)?,
        asked_at: second(row, 4)?,
        done_at: optional_second(row, 5)?,
    })
}

fn ask(transaction: &Writing<'_>, key: u64, (pass, since): (u8, i64), now: i64) -> storage::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO lookback (key, pass, due_at, since, asked_at) VALUES (?1, ?2, ?3, ?4, ?3)
             ON CONFLICT (key) DO UPDATE SET pass = excluded.pass, due_at = excluded.due_at, since = excluded.since,
               asked_at = excluded.asked_at, after_day = NULL, after_place = NULL, photos = 0, found = 0, done_at = NULL",
        )?
        .execute(params![signed(key), pass, now, since])
        .map(drop)
}

/// Takes in the references that changed since the last call.
fn follow(transaction: &Writing<'_>, now: i64) -> storage::Result<()> {
    let changed: Vec<(u64, bool)> = transaction
        .prepare_cached(
            "SELECT key, state = 'active' AND polarity = 'fake' FROM reference
             WHERE revision > (SELECT lookback_revision FROM gallery)",
        )?
        .query_map([], |row| Ok((unsigned(row, 0)?, row.get(1)?)))?
        .collect::<storage::Result<_>>()?;
    for (key, searched) in changed {
        if !searched {
            transaction.prepare_cached("DELETE FROM lookback WHERE key = ?1")?.execute([signed(key)])?;
        } else if !is_known(transaction, key)? {
            ask(transaction, key, (1, 0), now)?;
        }
    }
    transaction.execute("UPDATE gallery SET lookback_revision = revision", []).map(drop)
}

fn is_known(db: &Connection, key: u64) -> storage::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM lookback WHERE key = ?1)")?
        .query_row([signed(key)], |row| row.get(0))
}
