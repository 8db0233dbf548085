//! The own log of signals: which references are shared, in the order in which they were shared and withdrawn.

use jiff::{SignedDuration, Timestamp};

use super::rules;
use crate::domain::{Reference, SharingRule};
use crate::gallery::rows::{PLAIN, find_key};
use crate::gallery::store::{Gallery, GalleryError, parsed, second, signed, unsigned};
use crate::photo::Sha256;
use crate::signals::{Chain, Position, SignalId};
use crate::storage::{self, Connection, OptionalExtension, Writing, params};

/// Most lines that one transaction appends, so that checks need not wait.
const AT_ONCE: usize = 500;
/// Seconds after which the log is followed again although no reference has changed: delays end.
const FOLLOW: i64 = 60;

/// A line of the own log.
#[derive(Debug, Clone)]
pub struct SharedLine {
    /// Its place, from 1.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// The signal's id.
    pub id: SignalId,
    /// Whether this line withdraws the signal.
    pub withdraws: bool,
    /// The reference as it is now, if this line shares it and no later one has withdrawn it.
    pub reference: Option<Reference>,
}

impl Gallery {
    /// Appends to the log what has to be shared and withdrawn since the last call, under the serving model. Looks only at
    /// references that have changed, unless a rule or the model has. Cheap if nothing has changed.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn follow_sharing(&self, alliance: &str, model: &str, now: Timestamp) -> Result<(), GalleryError> {
        let Some(mut state) = self.read(|db| state(db, alliance, model))? else { return Ok(()) };
        let is_new = state.revision != state.followed || state.followed_at <= now.as_second() - FOLLOW;
        if !is_new {
            return Ok(());
        }
        state.now = now;
        let changes = self.read(|db| changes(db, alliance, &state))?;
        for some in changes.chunks(AT_ONCE) {
            self.write(|transaction| append_some(transaction, alliance, (model, now), some))?;
        }
        self.write(|transaction| {
            transaction
                .execute(
                    "UPDATE alliance SET followed = ?1, followed_at = ?2, model = ?3 WHERE id = ?4",
                    params![state.revision, now.as_second(), model, alliance],
                )
                .map(drop)
        })
    }

    /// The position of the own log after a line; `None` if the log is not that long.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn log_position(&self, alliance: &str, seq: u64) -> Result<Option<Position>, GalleryError> {
        if seq == 0 {
            return Ok(Some(Position::start()));
        }
        self.read(|db| {
            db.prepare_cached("SELECT sum FROM alliance_log WHERE alliance = ?1 AND seq = ?2")?
                .query_row(params![alliance, signed(seq)], |row| Ok(Position { seq, sum: Sha256(row.get(0)?) }))
                .optional()
        })
    }

    /// Lines of the own log after a place.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn log_lines(&self, alliance: &str, after: u64, most: usize) -> Result<Vec<SharedLine>, GalleryError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT seq, at, signal, withdrawn, current, key FROM alliance_log WHERE alliance = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
            )?;
            let mut rows =
                statement.query(params![alliance, signed(after), i64::try_from(most).unwrap_or(i64::MAX)])?;
            let mut lines = Vec::new();
            while let Some(row) = &rows.next()? {
                let (withdraws, current): (bool, bool) = (row.get(3)?, row.get(4)?);
                let reference = if current && !withdraws { find_key(db, unsigned(row, 5)?)? } else { None };
                let (seq, at) = (unsigned(row, 0)?, second(row, 1)?);
                lines.push(SharedLine { seq, at, id: parsed(row, 2)?, withdraws, reference });
            }
            Ok(lines)
        })
    }

    /// Notes that a member has applied the own log up to a line, and how signals fared at the member.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn note_acknowledged(
        &self,
        member: u64,
        seq: u64,
        feedback: &[super::SignalFeedback],
        now: Timestamp,
    ) -> Result<(), GalleryError> {
        self.write(|transaction| {
            transaction.execute(
                "UPDATE alliance_member SET given_seq = CASE WHEN given_seq > ?1 THEN given_seq ELSE ?1 END, given_at = ?2 WHERE number = ?3",
                params![signed(seq), now.as_second(), signed(member)],
            )?;
            let mut statement = transaction.prepare_cached(
                "INSERT INTO alliance_feedback (member, signal, confirmed, overturned)
                 SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (
                   SELECT 1 FROM alliance_log l JOIN alliance_member m ON m.alliance = l.alliance
                   WHERE m.number = ?1 AND l.signal = ?2 AND l.seq <= m.given_seq)
                 ON CONFLICT (member, signal) DO UPDATE SET confirmed = excluded.confirmed, overturned = excluded.overturned",
            )?;
            feedback.iter().try_for_each(|one| {
                let (confirmed, overturned) = (signed(one.confirmed), signed(one.overturned));
                statement.execute(params![signed(member), one.id.as_str(), confirmed, overturned]).map(drop)
            })
        })
    }
}

/// How far an alliance's log follows the references.
struct Follow {
    /// The gallery's revision now.
    revision: i64,
    /// The revision that the log has followed; below 0 if all references must be looked at.
    followed: i64,
    /// When that was, in seconds since 1970.
    followed_at: i64,
    now: Timestamp,
    model: String,
}

fn state(db: &Connection, alliance: &str, model: &str) -> storage::Result<Option<Follow>> {
    db.prepare_cached(
        "SELECT g.revision, CASE WHEN a.model = ?2 THEN a.followed ELSE -1 END, a.followed_at FROM alliance a, gallery g
         WHERE a.id = ?1 AND a.left_at IS NULL",
    )?
    .query_row([alliance, model], |row| {
        let (revision, followed, followed_at) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Follow { revision, followed, followed_at, now: Timestamp::UNIX_EPOCH, model: model.to_owned() })
    })
    .optional()
}

/// SQL: the reference `r` may be shared with the alliance ?1 under the model ?2.
fn is_shared() -> String {
    format!(
        "{PLAIN} AND doubts = '' AND EXISTS (SELECT 1 FROM vector v WHERE v.sha256 = r.sha256 AND v.model = ?2)
         AND EXISTS (SELECT 1 FROM alliance_sharing s WHERE s.alliance = ?1 AND s.brand = r.brand AND s.polarity = r.polarity)"
    )
}

/// A reference to share or withdraw.
struct ToLog {
    key: u64,
    id: SignalId,
    withdrawn: bool,
}

/// What has to be appended: withdrawals, then references that are old enough.
fn changes(db: &Connection, alliance: &str, state: &Follow) -> storage::Result<Vec<ToLog>> {
    let plain = is_shared();
    let mut changes: Vec<ToLog> = db
        .prepare_cached(&format!(
            "SELECT l.key, l.signal FROM alliance_log l JOIN reference r ON r.key = l.key
             WHERE l.alliance = ?1 AND l.current = 1 AND l.withdrawn = 0 AND r.revision > ?3 AND NOT ({plain})"
        ))?
        .query_map(params![alliance, state.model, state.followed], |row| {
            Ok(ToLog { key: unsigned(row, 0)?, id: parsed(row, 1)?, withdrawn: true })
        })?
        .collect::<storage::Result<_>>()?;
    let at = |second: i64, days: u32| {
        let when = Timestamp::from_second(second).unwrap_or(Timestamp::MIN);
        (when - SignedDuration::from_hours(24 * i64::from(days))).to_string()
    };
    for SharingRule { brand, polarity, delay_days } in rules(db, alliance)? {
        let (before, until) = (at(state.followed_at, delay_days), at(state.now.as_second(), delay_days));
        // Those that changed, and those that have become old enough since. Keypoints may come later than the embedding: a
        // signal without them would find fewer copies.
        let new: Vec<ToLog> = db
            .prepare_cached(&format!(
                "SELECT r.key, r.id FROM reference r WHERE r.brand = ?3 AND r.polarity = ?4 AND {plain}
                 AND EXISTS (SELECT 1 FROM words w WHERE w.sha256 = r.sha256)
                 AND r.created_at <= ?5 AND (r.revision > ?6 OR (?7 > 0 AND r.created_at > ?8))
                 AND NOT EXISTS (SELECT 1 FROM alliance_log l
                   WHERE l.alliance = ?1 AND l.key = r.key AND l.current = 1 AND l.withdrawn = 0 AND l.model = ?2)
                 ORDER BY r.key"
            ))?
            .query_map(
                params![
                    alliance,
                    state.model,
                    brand.as_str(),
                    polarity.as_str(),
                    until,
                    state.followed,
                    delay_days,
                    before
                ],
                |row| {
                    let reference: String = row.get(1)?;
                    Ok(ToLog { key: unsigned(row, 0)?, id: SignalId::of(alliance, &reference), withdrawn: false })
                },
            )?
            .collect::<storage::Result<_>>()?;
        changes.extend(new);
    }
    Ok(changes)
}

/// Appends lines, as far as they still hold: somebody else may have followed the references meanwhile.
fn append_some(
    transaction: &Writing<'_>,
    alliance: &str,
    (model, now): (&str, Timestamp),
    some: &[ToLog],
) -> storage::Result<()> {
    let mut log = Log::open(transaction, alliance, now)?;
    let plain = is_shared();
    let mut holds = transaction.prepare_cached(&format!(
        "SELECT EXISTS (SELECT 1 FROM reference r WHERE r.key = ?3 AND {plain}),
                (SELECT l.model FROM alliance_log l WHERE l.alliance = ?1 AND l.key = ?3 AND l.current = 1 AND l.withdrawn = 0)"
    ))?;
    for ToLog { key, id, withdrawn } in some {
        let (is_shared, current): (bool, Option<String>) =
            holds.query_row(params![alliance, model, signed(*key)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let still = match withdrawn {
            true => !is_shared && current.is_some(),
            false => is_shared && current.as_deref() != Some(model),
        };
        if still {
            log.append(*key, id, *withdrawn, model)?;
        }
    }
    log.close()
}

/// The end of the own log, in a transaction.
struct Log<'a> {
    transaction: &'a Writing<'a>,
    alliance: &'a str,
    now: Timestamp,
    seq: u64,
    chain: Chain,
}

impl<'a> Log<'a> {
    fn open(transaction: &'a Writing<'_>, alliance: &'a str, now: Timestamp) -> storage::Result<Self> {
        let (seq, sum) = transaction
            .prepare_cached("SELECT log_seq, log_sum FROM alliance WHERE id = ?1")?
            .query_row([alliance], |row| Ok((unsigned(row, 0)?, Sha256(row.get(1)?))))?;
        Ok(Self { transaction, alliance, now, seq, chain: Chain(sum) })
    }

    fn append(&mut self, key: u64, signal: &SignalId, withdrawn: bool, model: &str) -> storage::Result<()> {
        // Whole seconds, as they are stored and as the chain has them.
        let at = Timestamp::from_second(self.now.as_second()).unwrap_or(self.now);
        self.seq += 1;
        self.chain = self.chain.then(self.seq, withdrawn, signal, at);
        self.transaction
            .prepare_cached("UPDATE alliance_log SET current = 0 WHERE alliance = ?1 AND key = ?2 AND current = 1")?
            .execute(params![self.alliance, signed(key)])?;
        self.transaction
            .prepare_cached(
                "INSERT INTO alliance_log (alliance, seq, key, signal, withdrawn, current, at, sum, model) VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?7, ?8)",
            )?
            .execute(params![
                self.alliance,
                signed(self.seq),
                signed(key),
                signal.as_str(),
                withdrawn,
                at.as_second(),
                &self.chain.0.0[..],
                model
            ])
            .map(drop)
    }

    fn close(self) -> storage::Result<()> {
        self.transaction
            .prepare_cached("UPDATE alliance SET log_seq = ?1, log_sum = ?2 WHERE id = ?3")?
            .execute(params![signed(self.seq), &self.chain.0.0[..], self.alliance])
            .map(drop)
    }
}
