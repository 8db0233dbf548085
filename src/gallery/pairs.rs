//! Decisions of moderators about pairs of a photo and a reference.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::effects::{Standing, set_mark};
use super::rows::find_key;
use super::store::{Gallery, GalleryError, parsed, signed, unsigned};
use crate::domain::{Decision, Mark};
use crate::photo::{Look, Sha256};
use crate::storage::{self, Connection, OptionalExtension, Row, ToSql, Writing, params};

/// A reference whose matches were overturned in at least this many cases, and confirmed in fewer, never blocks by
/// itself.
const OVERTURNED_ENOUGH: u64 = 3;

/// Keys in one statement: as many as a check usually has candidates.
const ASKED_AT_ONCE: usize = 16;

/// A photo and a reference that a moderator decided about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// Key of the reference.
    pub key: u64,
    /// Id of the check that contained the photo.
    pub check_id: String,
    /// SHA-256 of the photo.
    pub photo: Sha256,
    /// The photo's look; `None` where it was not stored: then the pair applies to the very same bytes only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look: Option<Look>,
    /// The seller: an authorisation applies to this seller only.
    pub seller_id: Option<String>,
    /// The moderator's decision.
    pub decision: Decision,
    /// When it was decided: of two contradictory decisions, the later one applies.
    pub decided_at: Timestamp,
}

impl Pair {
    /// Whether a photo is the decided one, perhaps compressed or scaled again.
    #[must_use]
    pub fn is_about(&self, photo: Sha256, look: &Look) -> bool {
        self.photo == photo || self.look.as_ref().is_some_and(|known| known.is_same(look))
    }
}

impl Gallery {
    /// All decided pairs of these references.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn decided_pairs(&self, keys: impl IntoIterator<Item = u64>) -> Result<Vec<Pair>, GalleryError> {
        let keys: Vec<i64> = keys.into_iter().map(signed).collect();
        self.read(|db| {
            let places: Vec<String> = (1..=ASKED_AT_ONCE).map(|place| format!("?{place}")).collect();
            let sql = format!("SELECT {PAIR} FROM decided_pair WHERE key IN ({})", places.join(", "));
            let mut pairs = Vec::new();
            for some in keys.chunks(ASKED_AT_ONCE) {
                // One text for any number of keys: the last one stands for those that are missing.
                let padded = some.iter().chain(some.last().into_iter().cycle()).take(ASKED_AT_ONCE);
                let values: Vec<&dyn ToSql> = padded.map(|key| key as &dyn ToSql).collect();
                for found in db.prepare_cached(&sql)?.query_map(&values[..], pair)? {
                    pairs.push(found?);
                }
            }
            Ok(pairs)
        })
    }

    /// The number of cases that confirmed matches to a reference, and the number that overturned them.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn reference_record(&self, key: u64) -> Result<(u64, u64), GalleryError> {
        self.read(|db| record(db, key))
    }
}

const PAIR: &str = "key, check_id, photo, look, seller_id, decision, decided_at";

fn pair(row: &Row<'_>) -> storage::Result<Pair> {
    Ok(Pair {
        key: unsigned(row, 0)?,
        check_id: row.get(1)?,
        photo: Sha256(row.get(2)?),
        look: row.get::<Option<Vec<u8>>>(3)?.and_then(|bytes| Look::from_bytes(&bytes)),
        seller_id: row.get(4)?,
        decision: parsed(row, 5)?,
        decided_at: parsed(row, 6)?,
    })
}

/// The stored pair of the same reference, check and photo.
pub(super) fn find_pair(db: &Connection, of: &Pair) -> storage::Result<Option<Pair>> {
    let sql = format!("SELECT {PAIR} FROM decided_pair WHERE key = ?1 AND check_id = ?2 AND photo = ?3");
    db.prepare_cached(&sql)?.query_row(params![signed(of.key), of.check_id, &of.photo.0[..]], pair).optional()
}

/// Writes a pair and returns the one that it replaced.
pub(super) fn put_pair(transaction: &Writing<'_>, new: &Pair) -> storage::Result<Option<Pair>> {
    let known = find_pair(transaction, new)?;
    transaction
        .prepare_cached(&format!(
            "INSERT INTO decided_pair ({PAIR}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (key, check_id, photo) DO UPDATE SET look = excluded.look, seller_id = excluded.seller_id,
               decision = excluded.decision, decided_at = excluded.decided_at"
        ))?
        .execute(params![
            signed(new.key),
            new.check_id,
            &new.photo.0[..],
            new.look.as_ref().map(Look::as_bytes),
            new.seller_id,
            new.decision.as_str(),
            new.decided_at.to_string(),
        ])?;
    Ok(known)
}

pub(super) fn drop_pair(transaction: &Writing<'_>, gone: &Pair) -> storage::Result<()> {
    transaction
        .prepare_cached("DELETE FROM decided_pair WHERE key = ?1 AND check_id = ?2 AND photo = ?3")?
        .execute(params![signed(gone.key), gone.check_id, &gone.photo.0[..]])
        .map(drop)
}

/// Deletes the pairs that an appealed decision made; other decisions about single photos of the check stay.
pub(super) fn drop_convictions(transaction: &Writing<'_>, check_id: &str) -> storage::Result<Vec<Pair>> {
    let sql = format!("SELECT {PAIR} FROM decided_pair WHERE check_id = ?1 AND decision = ?2");
    let overruled: Vec<Pair> = transaction
        .prepare_cached(&sql)?
        .query_map([check_id, Decision::Fake.as_str()], pair)?
        .collect::<storage::Result<_>>()?;
    overruled.iter().try_for_each(|gone| drop_pair(transaction, gone))?;
    Ok(overruled)
}

fn record(db: &Connection, key: u64) -> storage::Result<(u64, u64)> {
    db.prepare_cached(
        "SELECT count(DISTINCT CASE WHEN decision = 'fake' THEN check_id END), count(DISTINCT CASE WHEN decision = 'no_match' THEN check_id END)
         FROM decided_pair WHERE key = ?1",
    )?
    .query_row([signed(key)], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?)))
}

/// Marks a reference as overturned, or removes the mark, as moderators' decisions require.
pub(super) fn recompute_mark(transaction: &Writing<'_>, key: u64) -> storage::Result<Option<Standing>> {
    let Some(found) = find_key(transaction, key)? else { return Ok(None) };
    let (confirmed, overturned) = record(transaction, key)?;
    let proves_nothing = overturned >= OVERTURNED_ENOUGH && overturned > confirmed;
    let mark = match found.mark {
        None if proves_nothing => Some(Mark::Overturned),
        Some(Mark::Overturned) if !proves_nothing => None,
        _ => return Ok(None),
    };
    set_mark(transaction, found, mark).map(|(_, is)| Some(is))
}

/// The pair with a time later than every other pair of its reference, so that the last decision applies even if the
/// clock was set back.
pub(super) fn last_word(transaction: &Writing<'_>, pair: &Pair) -> storage::Result<Pair> {
    let known: Vec<Timestamp> = transaction
        .prepare_cached("SELECT decided_at FROM decided_pair WHERE key = ?1")?
        .query_map([signed(pair.key)], |row| parsed(row, 0))?
        .collect::<storage::Result<_>>()?;
    let next = known.into_iter().max().map(|newest| newest + jiff::SignedDuration::from_millis(1));
    let decided_at = next.map_or(pair.decided_at, |next| next.max(pair.decided_at));
    Ok(Pair { decided_at, ..pair.clone() })
}
