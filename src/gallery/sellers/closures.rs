//! Proposals to close a seller's account. They follow from strikes, in the transaction that changes the strikes; only a
//! moderator confirms or dismisses one.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::strikes::strikes_of;
use crate::domain::{ClosureState, Strike, StrikeOptions, closure_after, total};
use crate::gallery::audit::{AuditEvent, append};
use crate::gallery::store::{Gallery, GalleryError, new_id, parsed, second, signed, unsigned};
use crate::gallery::writer::Writing;

/// A proposal to close a seller's account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Closure {
    /// Position in lists, from 1, with gaps.
    #[serde(skip)]
    #[schema(ignore)]
    pub number: u64,
    /// Public id, `cls_` and a UUID.
    pub id: String,
    /// The marketplace's id of the seller.
    pub seller_id: String,
    /// The state now.
    pub state: ClosureState,
    /// The sum of strikes when it was proposed.
    pub strikes: u64,
    /// When it was proposed.
    #[schema(value_type = String, format = DateTime)]
    pub proposed_at: Timestamp,
    /// When the state last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// The moderator who confirmed or dismissed it.
    pub decided_by: Option<String>,
    /// The moderator's reason.
    pub reason: Option<String>,
}

/// Which proposals to list. Filters that are `None` accept every proposal.
#[derive(Debug, Clone, Default)]
pub struct ClosureQuery {
    /// Only those in this state.
    pub state: Option<ClosureState>,
    /// Only those after this number.
    pub after: u64,
    /// The greatest number of proposals to return.
    pub limit: usize,
}

/// The result of [`Gallery::decide_closure`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClosureResult {
    /// It is in the new state, or was before.
    Done(Box<Closure>),
    /// Its state does not allow that.
    NotAllowed(ClosureState),
}

const COLUMNS: &str = "number, id, seller_id, state, strikes, proposed_at, updated_at, decided_by, reason";

impl Gallery {
    /// A proposal, and the infringements that count now. `None` when there is none with this id.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn closure(&self, id: &str, now: Timestamp) -> Result<Option<(Closure, Vec<Strike>)>, GalleryError> {
        let options = self.takedown().strikes;
        self.read(|db| {
            let Some(closure) = find(db, id)? else { return Ok(None) };
            let strikes = strikes_of(db, &closure.seller_id, &options, now)?;
            Ok(Some((closure, strikes)))
        })
    }

    /// Proposals, the oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn closures(&self, query: &ClosureQuery) -> Result<Vec<Closure>, GalleryError> {
        let state = query.state.map(ClosureState::as_str);
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        let after = signed(query.after);
        let mut values: Vec<&dyn ToSql> = vec![&after, &limit];
        let filter = state.as_ref().map_or("", |state| {
            values.push(state);
            "AND state = ?3"
        });
        self.read(|db| {
            let sql = format!("SELECT {COLUMNS} FROM closure WHERE number > ?1 {filter} ORDER BY number LIMIT ?2");
            db.prepare_cached(&sql)?.query_map(&values[..], closure)?.collect()
        })
    }

    /// The proposals that wait for a moderator, the oldest first, at most `limit`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn open_closures(&self, limit: usize) -> Result<Vec<Closure>, GalleryError> {
        self.read(|db| {
            let sql = format!(
                "SELECT {COLUMNS} FROM closure WHERE state IN ('proposed', 'doubted') ORDER BY state, number LIMIT ?1"
            );
            db.prepare_cached(&sql)?.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], closure)?.collect()
        })
    }

    /// Confirms or dismisses a proposal on a moderator's word. `None` when there is none with this id.
    ///
    /// # Errors
    /// When the database cannot be written; then nothing is changed.
    pub fn decide_closure(
        &self,
        (who, session): (&str, &str),
        id: &str,
        (to, reason): (ClosureState, &str),
    ) -> Result<Option<ClosureResult>, GalleryError> {
        let options = self.takedown().strikes;
        self.write(|transaction| {
            let Some(closure) = find(transaction, id)? else { return Ok(None) };
            if closure.state == to {
                return Ok(Some(ClosureResult::Done(Box::new(closure))));
            }
            if !closure.state.may_become(to) {
                return Ok(Some(ClosureResult::NotAllowed(closure.state)));
            }
            let now = Timestamp::now();
            let decided = Closure {
                state: to,
                updated_at: now,
                decided_by: Some(who.to_owned()),
                reason: Some(reason.to_owned()),
                ..closure.clone()
            };
            let strikes = strikes_of(transaction, &decided.seller_id, &options, now)?;
            store(transaction, (who, Some(session)), Some(&closure), (&decided, &strikes))?;
            Ok(Some(ClosureResult::Done(Box::new(decided))))
        })
    }

    /// Looks at every proposal that nobody has decided: strikes end with time alone.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn follow_up_closures(&self, now: Timestamp) -> Result<(), GalleryError> {
        let options = self.takedown().strikes;
        let sellers: Vec<String> = self.read(|db| {
            db.prepare_cached("SELECT DISTINCT seller_id FROM closure WHERE state = 'proposed'")?
                .query_map([], |row| row.get(0))?
                .collect()
        })?;
        sellers.iter().try_for_each(|seller| self.write(|transaction| look(transaction, &options, seller, now)))
    }
}

/// Proposes to close a seller's account, or takes a proposal back, if the strikes now ask for it.
pub(in crate::gallery) fn look_at_seller(
    transaction: &Writing<'_>,
    options: &StrikeOptions,
    seller_id: Option<&str>,
) -> rusqlite::Result<()> {
    seller_id.map_or(Ok(()), |seller| look(transaction, options, seller, Timestamp::now()))
}

/// As [`look_at_seller`], for each of several sellers.
pub(in crate::gallery) fn look_at_sellers(
    transaction: &Writing<'_>,
    options: &StrikeOptions,
    sellers: &BTreeSet<String>,
) -> rusqlite::Result<()> {
    sellers.iter().try_for_each(|seller| look(transaction, options, seller, Timestamp::now()))
}

fn look(transaction: &Writing<'_>, options: &StrikeOptions, seller: &str, now: Timestamp) -> rusqlite::Result<()> {
    let known = newest(transaction, seller)?;
    // What a confirmed closure rests on does not end with time.
    let confirmed = known.as_ref().filter(|closure| closure.state == ClosureState::Confirmed);
    let strikes = strikes_of(transaction, seller, options, confirmed.map_or(now, |closure| closure.updated_at))?;
    let state = known.as_ref().map(|closure| (closure.state, closure.updated_at));
    let Some(next) = closure_after(state, &strikes, options) else { return Ok(()) };
    let (before, after) = match known.filter(|_| next != ClosureState::Proposed) {
        Some(known) => (Some(known.clone()), Closure { state: next, updated_at: now, ..known }),
        None => (None, insert(transaction, seller, &strikes, now)?),
    };
    store(transaction, ("touchstone", None), before.as_ref(), (&after, &strikes))
}

fn insert(transaction: &Writing<'_>, seller: &str, strikes: &[Strike], now: Timestamp) -> rusqlite::Result<Closure> {
    let sql = format!(
        "INSERT INTO closure (id, seller_id, state, strikes, proposed_at, updated_at) VALUES (?1, ?2, 'proposed', ?3, ?4, ?4)
         RETURNING {COLUMNS}"
    );
    transaction
        .prepare_cached(&sql)?
        .query_row(params![new_id("cls"), seller, total(strikes), now.as_second()], closure)
}

/// Writes a proposal's new state, with the audit event that says what it rests on.
fn store(
    transaction: &Writing<'_>,
    (actor, session): (&str, Option<&str>),
    before: Option<&Closure>,
    (after, strikes): (&Closure, &[Strike]),
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "UPDATE closure SET state = ?2, updated_at = ?3, decided_by = ?4, reason = ?5 WHERE number = ?1",
        )?
        .execute(params![
            signed(after.number),
            after.state.as_str(),
            after.updated_at.as_second(),
            after.decided_by,
            after.reason
        ])?;
    let event = AuditEvent { actor, session, action: after.state.action(), subject: &after.id };
    append(transaction, event, &before.map(recorded), &with_strikes(recorded(after), strikes)).map(drop)
}

fn recorded(closure: &Closure) -> Value {
    json!({ "closure_id": closure.id, "seller_id": closure.seller_id, "state": closure.state, "reason": closure.reason })
}

fn with_strikes(mut state: Value, strikes: &[Strike]) -> Value {
    state["infringements"] = json!(strikes);
    state
}

/// A seller's newest proposal.
pub(super) fn newest(db: &Connection, seller: &str) -> rusqlite::Result<Option<Closure>> {
    let sql = format!("SELECT {COLUMNS} FROM closure WHERE seller_id = ?1 ORDER BY number DESC LIMIT 1");
    db.prepare_cached(&sql)?.query_row([seller], closure).optional()
}

fn find(db: &Connection, id: &str) -> rusqlite::Result<Option<Closure>> {
    let sql = format!("SELECT {COLUMNS} FROM closure WHERE id = ?1");
    db.prepare_cached(&sql)?.query_row([id], closure).optional()
}

fn closure(row: &Row<'_>) -> rusqlite::Result<Closure> {
    Ok(Closure {
        number: unsigned(row, 0)?,
        id: row.get(1)?,
        seller_id: row.get(2)?,
        state: parsed(row, 3)?,
        strikes: unsigned(row, 4)?,
        proposed_at: second(row, 5)?,
        updated_at: second(row, 6)?,
        decided_by: row.get(7)?,
        reason: row.get(8)?,
    })
}
