//! Proposals to close a seller's account. They follow from strikes, in the transaction that changes the strikes; only a
//! moderator confirms or dismisses one.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::strikes::{stands, strikes_of};
use crate::domain::{ClosureState, NewestClosure, Strike, StrikeOptions, closure_after, counted, total};
use crate::gallery::audit::{AuditEvent, append, erase_details};
use crate::gallery::queue::rank_seller;
use crate::gallery::store::{Gallery, GalleryError, conversion, new_id, parsed, second, signed, unsigned};
use crate::storage::{self, Connection, OptionalExtension, Row, ToSql, Writing, params};

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
    /// Number of strikes when it was proposed, or when a moderator last decided.
    pub strikes: u64,
    /// When it was proposed.
    #[schema(value_type = String, format = DateTime)]
    pub proposed_at: Timestamp,
    /// When the state last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// The moderator who last confirmed or dismissed it; absent before that.
    pub decided_by: Option<String>,
    /// The reason that the moderator gave; absent before that.
    pub reason: Option<String>,
    /// The infringements that the strikes are for, the oldest first.
    #[serde(skip)]
    #[schema(ignore)]
    pub infringements: Vec<Strike>,
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
    /// It is in the requested state.
    Done(Box<Closure>),
    /// Its present state, which does not allow the change, or is not the one that the moderator saw.
    NotAllowed(ClosureState),
}

const COLUMNS: &str = "number, id, seller_id, state, strikes, proposed_at, updated_at, decided_by, reason, basis";

impl Gallery {
    /// The proposal with this id.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn closure(&self, id: &str) -> Result<Option<Closure>, GalleryError> {
        self.read(|db| find(db, id))
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

    /// The proposals that wait for a moderator, those in doubt first, then the oldest, at most `limit`.
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

    /// Stores that a moderator who saw a proposal in the state `seen` confirmed or dismissed it. `None` when there is none
    /// with this id.
    ///
    /// # Errors
    /// When the database cannot be written; then nothing is changed.
    pub fn decide_closure(
        &self,
        (who, session): (&str, &str),
        (id, seen): (&str, ClosureState),
        (to, reason): (ClosureState, &str),
    ) -> Result<Option<ClosureResult>, GalleryError> {
        let options = self.takedown().strikes;
        self.write(|transaction| {
            let Some(closure) = find(transaction, id)? else { return Ok(None) };
            if closure.state != seen || !seen.may_become(to) {
                return Ok(Some(ClosureResult::NotAllowed(closure.state)));
            }
            let now = Timestamp::now();
            let infringements = strikes_of(transaction, &closure.seller_id, &options, now)?;
            let decided = Closure {
                state: to,
                strikes: u64::from(total(&infringements)),
                infringements,
                updated_at: now,
                decided_by: Some(who.to_owned()),
                reason: Some(reason.to_owned()),
                ..closure.clone()
            };
            store(transaction, (who, Some(session)), Some(&closure), &decided)?;
            Ok(Some(ClosureResult::Done(Box::new(decided))))
        })
    }

    /// Withdraws proposals that nobody has decided and whose strikes have expired.
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

/// Proposes to close a seller's account, withdraws the proposal, or puts a confirmed closure in doubt, as the strikes
/// require.
pub(in crate::gallery) fn look_at_seller(
    transaction: &Writing<'_>,
    options: &StrikeOptions,
    seller_id: Option<&str>,
) -> storage::Result<()> {
    seller_id.map_or(Ok(()), |seller| look(transaction, options, seller, Timestamp::now()))
}

/// As [`look_at_seller`], for each of several sellers.
pub(in crate::gallery) fn look_at_sellers(
    transaction: &Writing<'_>,
    options: &StrikeOptions,
    sellers: &BTreeSet<String>,
) -> storage::Result<()> {
    sellers.iter().try_for_each(|seller| look(transaction, options, seller, Timestamp::now()))
}

/// Ranks the waiting cases of sellers whose other cases were decided or opened again, and looks at each of them.
pub(in crate::gallery) fn cases_changed(
    transaction: &Writing<'_>,
    options: &StrikeOptions,
    sellers: &BTreeSet<String>,
) -> storage::Result<()> {
    sellers.iter().try_for_each(|seller| rank_seller(transaction, seller))?;
    look_at_sellers(transaction, options, sellers)
}

fn look(transaction: &Writing<'_>, options: &StrikeOptions, seller: &str, now: Timestamp) -> storage::Result<()> {
    let known = newest(transaction, seller)?;
    let strikes = strikes_of(transaction, seller, options, now)?;
    let state = known.as_ref().map(|known| compared(transaction, known, &strikes)).transpose()?;
    let Some(next) = closure_after(state, total(&strikes), options) else { return Ok(()) };
    let (before, after) = match known.filter(|_| next != ClosureState::Proposed) {
        Some(known) => (Some(known.clone()), Closure { state: next, updated_at: now, ..known }),
        None => (None, insert(transaction, seller, strikes, now)?),
    };
    store(transaction, ("touchstone", None), before.as_ref(), &after)
}

/// Compares what a proposal rests on with the strikes that count now.
fn compared(db: &Connection, closure: &Closure, strikes: &[Strike]) -> storage::Result<NewestClosure> {
    let mut standing = Vec::new();
    for strike in &closure.infringements {
        if stands(db, strike)? {
            standing.push(strike.clone());
        }
    }
    let known = |strike: &Strike| closure.infringements.iter().any(|known| known.is_same(strike));
    // Another case about a photo that counted then says nothing new.
    let seen = |strike: &Strike| {
        closure.infringements.iter().any(|known| known.photo.is_some() && known.photo == strike.photo)
    };
    let has_news = strikes.iter().any(|strike| !known(strike) && !seen(strike));
    standing.extend(strikes.iter().filter(|strike| !known(strike)).cloned());
    standing.sort_by_key(|strike| strike.at);
    Ok(NewestClosure {
        state: closure.state,
        held: u32::try_from(closure.strikes).unwrap_or(u32::MAX),
        standing: total(&counted(standing)),
        has_news,
    })
}

fn insert(
    transaction: &Writing<'_>,
    seller: &str,
    infringements: Vec<Strike>,
    now: Timestamp,
) -> storage::Result<Closure> {
    let sql = format!(
        "INSERT INTO closure (id, seller_id, state, strikes, proposed_at, updated_at, basis) VALUES (?1, ?2, 'proposed', ?3, ?4, ?4, '[]')
         RETURNING {COLUMNS}"
    );
    let proposed = transaction
        .prepare_cached(&sql)?
        .query_row(params![new_id("cls"), seller, total(&infringements), now.as_second()], closure)?;
    Ok(Closure { infringements, ..proposed })
}

/// Writes a proposal's new state, with an audit event that lists the infringements.
fn store(
    transaction: &Writing<'_>,
    (actor, session): (&str, Option<&str>),
    before: Option<&Closure>,
    after: &Closure,
) -> storage::Result<()> {
    let basis = serde_json::to_string(&after.infringements).map_err(|error| conversion(0, error))?;
    transaction
        .prepare_cached(
            "UPDATE closure SET state = ?2, updated_at = ?3, decided_by = ?4, reason = ?5, strikes = ?6, basis = ?7 WHERE number = ?1",
        )?
        .execute(params![
            signed(after.number),
            after.state.as_str(),
            after.updated_at.as_second(),
            after.decided_by,
            after.reason,
            signed(after.strikes),
            basis,
        ])?;
    let event = AuditEvent { actor, session, action: after.state.action(), subject: &after.id };
    append(transaction, event, &before.map(recorded), &recorded(after)).map(drop)
}

fn recorded(closure: &Closure) -> Value {
    let Closure { id, seller_id, state, reason, infringements, .. } = closure;
    json!({ "closure_id": id, "seller_id": seller_id, "state": state, "reason": reason, "infringements": infringements })
}

/// Erases at most `limit` proposals that nobody has to decide and that last changed before `before`. Returns how many.
pub(in crate::gallery) fn erase_closures(
    transaction: &Writing<'_>,
    before: Timestamp,
    limit: u32,
) -> storage::Result<u64> {
    let old: Vec<String> = transaction
        .prepare_cached(
            "DELETE FROM closure WHERE number IN (
                 SELECT number FROM closure WHERE state IN ('confirmed', 'dismissed', 'withdrawn') AND updated_at < ?1 LIMIT ?2)
             RETURNING id",
        )?
        .query_map(params![before.as_second(), limit], |row| row.get(0))?
        .collect::<storage::Result<_>>()?;
    for id in &old {
        erase_details(transaction, id)?;
    }
    Ok(old.len() as u64)
}

/// A seller's newest proposal.
pub(super) fn newest(db: &Connection, seller: &str) -> storage::Result<Option<Closure>> {
    let sql = format!("SELECT {COLUMNS} FROM closure WHERE seller_id = ?1 ORDER BY number DESC LIMIT 1");
    db.prepare_cached(&sql)?.query_row([seller], closure).optional()
}

fn find(db: &Connection, id: &str) -> storage::Result<Option<Closure>> {
    let sql = format!("SELECT {COLUMNS} FROM closure WHERE id = ?1");
    db.prepare_cached(&sql)?.query_row([id], closure).optional()
}

fn closure(row: &Row<'_>) -> storage::Result<Closure> {
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
        infringements: serde_json::from_str(row.get_ref(9)?.as_str()?).map_err(|error| conversion(9, error))?,
    })
}
