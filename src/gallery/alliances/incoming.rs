//! Signals of other members: taken from packs, followed by the index, and how they fared here.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{Fared, MemberState, Polarity};
use crate::gallery::store::{Gallery, GalleryError, conversion, next_revision, parsed, signed, unsigned};
use crate::photo::Sha256;
use crate::signals::{Line, Position, Signal, SignalId};
use crate::storage::{self, OptionalExtension, Row, Writing, params};

/// Lines of a member's log to take.
#[derive(Debug)]
pub struct Taken<'a> {
    /// The member's number.
    pub member: u64,
    /// The lines, in order.
    pub lines: &'a [TakenLine],
    /// The position before the first line.
    pub after: Position,
    /// The position after the last line.
    pub last: Position,
}

/// A line to take.
#[derive(Debug)]
pub struct TakenLine {
    /// The line.
    pub line: Line,
    /// Why its signal is quarantined; `None` takes part in checks.
    pub held_back: Option<String>,
}

/// A signal whose state may have changed.
#[derive(Debug, Clone)]
pub struct SignalRow {
    /// Its key.
    pub key: u64,
    /// What it says; `None` if it takes no part in checks.
    pub signal: Option<Box<Signal>>,
}

/// Who vouches for a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalInfo {
    /// The signal's id.
    pub id: String,
    /// The alliance's name.
    pub alliance: String,
    /// The member's name.
    pub member: String,
    /// The member's number.
    pub number: u64,
}

/// How a signal fared, told to the member that shared it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignalFeedback {
    /// The signal's id.
    #[schema(value_type = String)]
    pub id: SignalId,
    /// Cases that confirmed it.
    pub confirmed: u64,
    /// Cases that overturned it.
    pub overturned: u64,
}

/// SQL: photos that rest on signals, with the decisions of moderators who looked at them and at no reference.
const CASES: &str = "signal_case c LEFT JOIN moderation_case m ON m.check_id = c.check_id AND m.status = 'decided'
    AND m.decided_photo = c.place AND m.decided_reference IS NULL";
const CONFIRMED: &str = "m.decision IN ('fake', 'photo_misuse')";
const OVERTURNED: &str = "(c.denied = 1 OR m.decision = 'no_match')";

impl Gallery {
    /// Takes lines of a member's log, all or none. `false` if the log was taken further meanwhile, or the member was
    /// expelled; then nothing is stored.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn take_lines(&self, taken: &Taken<'_>, now: Timestamp) -> Result<bool, GalleryError> {
        self.write(|transaction| {
            let is_next = transaction
                .prepare_cached("SELECT taken_seq = ?1 AND taken_sum = ?2 AND state = ?3 FROM alliance_member WHERE number = ?4")?
                .query_row(
                    params![signed(taken.after.seq), &taken.after.sum.0[..], MemberState::Active.as_str(), signed(taken.member)],
                    |row| row.get::<bool>(0),
                )
                .optional()?;
            if is_next != Some(true) {
                return Ok(false);
            }
            let revision = if taken.lines.is_empty() { 0 } else { next_revision(transaction)? };
            for line in taken.lines {
                take(transaction, taken.member, line, (revision, now))?;
            }
            transaction.prepare_cached(
                "UPDATE alliance_member SET taken_seq = ?1, taken_sum = ?2, taken_at = ?3, fault_code = NULL, fault = NULL WHERE number = ?4",
            )?
            .execute(params![
                signed(taken.last.seq), &taken.last.sum.0[..], now.as_second(), signed(taken.member)
            ])?;
            Ok(true)
        })
    }

    /// Notes why nothing can be taken from a member now.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn note_member_fault(&self, member: u64, code: &str, detail: &str) -> Result<(), GalleryError> {
        self.write(|transaction| {
            transaction
                .execute(
                    "UPDATE alliance_member SET fault_code = ?1, fault = ?2 WHERE number = ?3",
                    params![code, detail, signed(member)],
                )
                .map(drop)
        })
    }

    /// The number of signals of a member, and of those that are quarantined.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn count_signals(&self, member: u64) -> Result<(u64, u64), GalleryError> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT count(*), count(*) FILTER (WHERE state = 'quarantined') FROM signal WHERE member = ?1 AND state <> 'withdrawn'",
            )?
            .query_row([signed(member)], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?)))
        })
    }

    /// The ids of a member's signals that were not withdrawn.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn active_signals(&self, member: u64) -> Result<BTreeSet<SignalId>, GalleryError> {
        self.read(|db| {
            db.prepare_cached("SELECT id FROM signal WHERE member = ?1 AND state <> 'withdrawn'")?
                .query_map([signed(member)], |row| parsed(row, 0))?
                .collect()
        })
    }

    /// Visits signals that changed after a revision.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn visit_signals(&self, since: u64, mut visit: impl FnMut(SignalRow)) -> Result<(), GalleryError> {
        self.read(|db| {
            let sql = "SELECT key, state, content FROM signal WHERE revision > ?1 AND (?1 > 0 OR state = 'active') ORDER BY revision, key";
            db.visit(sql, [signed(since)], |row| {
                let active = row.get_ref(1)?.as_str()? == "active";
                let signal = if active { Some(Box::new(content(row, 2)?)) } else { None };
                visit(SignalRow { key: unsigned(row, 0)?, signal });
                Ok(())
            })
        })
    }

    /// Who vouches for a signal; `None` if it was withdrawn.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn signal_info(&self, key: u64) -> Result<Option<SignalInfo>, GalleryError> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT s.id, a.name, m.name, m.number FROM signal s JOIN alliance_member m ON m.number = s.member
                 JOIN alliance a ON a.id = m.alliance WHERE s.key = ?1 AND s.state = 'active' AND m.state = 'active'",
            )?
            .query_row([signed(key)], |row| {
                Ok(SignalInfo {
                    id: row.get(0)?,
                    alliance: row.get(1)?,
                    member: row.get(2)?,
                    number: unsigned(row, 3)?,
                })
            })
            .optional()
        })
    }

    /// How a member's signals have fared here, those included that were withdrawn since.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn member_fared(&self, member: u64) -> Result<Fared, GalleryError> {
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT count(DISTINCT iif({CONFIRMED}, c.check_id, NULL)), count(DISTINCT iif({OVERTURNED}, c.check_id, NULL))
                 FROM {CASES} WHERE c.member = ?1"
            ))?
            .query_row([signed(member)], |row| Ok(Fared { confirmed: unsigned(row, 0)?, overturned: unsigned(row, 1)? }))
        })
    }

    /// Whether a moderator has decided that these bytes do not show what a signal is about, or that this seller may use
    /// them.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn is_settled(&self, signal: u64, photo: Sha256, seller_id: Option<&str>) -> Result<bool, GalleryError> {
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT EXISTS (SELECT 1 FROM {CASES} WHERE c.signal = ?1 AND c.photo = ?2
                   AND ({OVERTURNED} OR (m.decision = 'authorised' AND m.seller_id = ?3)))"
            ))?
            .query_row(params![signed(signal), &photo.0[..], seller_id], |row| row.get(0))
        })
    }

    /// Numbers of the photos of a check about whose signal a moderator has said "not a match".
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn denied_photos(&self, check_id: &str) -> Result<BTreeSet<u64>, GalleryError> {
        self.read(|db| {
            db.prepare_cached("SELECT place FROM signal_case WHERE check_id = ?1 AND denied = 1")?
                .query_map([check_id], |row| unsigned(row, 0))?
                .collect()
        })
    }

    /// The signals of a member on which verdicts rested, with the counts of decided cases: what it is told.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn feedback_for(&self, member: u64) -> Result<Vec<SignalFeedback>, GalleryError> {
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT s.id, count(DISTINCT iif({CONFIRMED}, c.check_id, NULL)), count(DISTINCT iif({OVERTURNED}, c.check_id, NULL))
                 FROM {CASES} JOIN signal s ON s.key = c.signal WHERE c.member = ?1 GROUP BY s.key ORDER BY s.key"
            ))?
            .query_map([signed(member)], |row| {
                Ok(SignalFeedback { id: parsed(row, 0)?, confirmed: unsigned(row, 1)?, overturned: unsigned(row, 2)? })
            })?
            .collect()
        })
    }

    /// How a signal of a reference here fared at the members that reported on it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn reported_on(&self, signal: &str) -> Result<Fared, GalleryError> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT CAST(coalesce(sum(f.confirmed), 0) AS BIGINT), CAST(coalesce(sum(f.overturned), 0) AS BIGINT) FROM alliance_feedback f
                 JOIN alliance_member m ON m.number = f.member AND m.state = 'active' WHERE f.signal = ?1",
            )?
            .query_row([signal], |row| Ok(Fared { confirmed: unsigned(row, 0)?, overturned: unsigned(row, 1)? }))
        })
    }
}

/// A photo of a check whose verdict rests on a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalCase {
    /// The signal's key.
    pub signal: u64,
    /// SHA-256 of the photo's bytes.
    pub photo: Sha256,
    /// Number of the photo in the check, from 0.
    pub place: u32,
}

/// Stores which signals a check's verdict rests on, with the check.
pub(in crate::gallery) fn note_signal_cases(
    transaction: &Writing<'_>,
    check_id: &str,
    cases: &[SignalCase],
) -> storage::Result<()> {
    for case in cases {
        // The signal may have been withdrawn meanwhile; its row stays.
        transaction
            .prepare_cached(
                "INSERT INTO signal_case (signal, photo, check_id, member, place)
                 SELECT key, ?2, ?3, member, ?4 FROM signal WHERE key = ?1 ON CONFLICT DO NOTHING",
            )?
            .execute(params![signed(case.signal), &case.photo.0[..], check_id, case.place])?;
    }
    Ok(())
}

/// Notes that a moderator has said "not a match" about a photo's signal, while the case stays open for other photos.
pub(in crate::gallery) fn deny_signal(transaction: &Writing<'_>, check_id: &str, place: u64) -> storage::Result<()> {
    transaction
        .prepare_cached("UPDATE signal_case SET denied = 1 WHERE check_id = ?1 AND place = ?2")?
        .execute(params![check_id, signed(place)])
        .map(drop)
}

/// Withdraws all signals of a member that is expelled. Their content is deleted.
pub(super) fn withdraw_all(transaction: &Writing<'_>, member: u64) -> storage::Result<()> {
    let revision = next_revision(transaction)?;
    transaction
        .execute(
            "UPDATE signal SET state = 'withdrawn', content = '', why = NULL, revision = ?1 WHERE member = ?2 AND state <> 'withdrawn'",
            params![signed(revision), signed(member)],
        )
        .map(drop)
}

fn take(
    transaction: &Writing<'_>,
    member: u64,
    TakenLine { line, held_back }: &TakenLine,
    (revision, now): (u64, Timestamp),
) -> storage::Result<()> {
    match line {
        Line::Share { id, signal: Some(signal), .. } => {
            let text = serde_json::to_string(signal).map_err(|error| conversion(0, error))?;
            let polarity: Polarity = signal.polarity;
            transaction
                .prepare_cached(
                    "INSERT INTO signal (member, id, brand, polarity, state, why, taken_at, revision, content)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                     ON CONFLICT (member, id) DO UPDATE SET brand = excluded.brand, polarity = excluded.polarity,
                       -- Sharing it again does not lift a quarantine, not even after a withdrawal.
                       state = iif(signal.why IS NULL, excluded.state, 'quarantined'),
                       why = coalesce(signal.why, excluded.why),
                       taken_at = excluded.taken_at, revision = excluded.revision, content = excluded.content",
                )?
                .execute(params![
                    signed(member),
                    id.as_str(),
                    signal.brand.as_str(),
                    polarity.as_str(),
                    if held_back.is_some() { "quarantined" } else { "active" },
                    held_back,
                    now.as_second(),
                    signed(revision),
                    text
                ])
                .map(drop)
        }
        // A later line withdraws it.
        Line::Share { signal: None, .. } => Ok(()),
        Line::Withdraw { id, .. } => transaction
            .prepare_cached(
                "UPDATE signal SET state = 'withdrawn', content = '', revision = ?1 WHERE member = ?2 AND id = ?3",
            )?
            .execute(params![signed(revision), signed(member), id.as_str()])
            .map(drop),
    }
}

fn content(row: &Row<'_>, index: usize) -> storage::Result<Signal> {
    let text = row.get_ref(index)?.as_str()?;
    serde_json::from_str(text).map_err(|error| conversion(index, error))
}
