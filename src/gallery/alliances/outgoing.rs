//! The own log of signals: which references are shared, in the order in which they were shared and withdrawn.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension, params};

use super::rules;
use crate::domain::{Reference, SharingRule};
use crate::gallery::rows::{PLAIN, find_key};
use crate::gallery::store::{Gallery, GalleryError, parsed, second, signed, unsigned};
use crate::gallery::writer::Writing;
use crate::photo::Sha256;
use crate::signals::{Chain, Position, SignalId};

/// Most lines that one transaction appends, so that checks need not wait.
const AT_ONCE: u64 = 500;
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
    /// Appends to the log what has to be shared and withdrawn since the last call. Cheap if nothing has changed.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn follow_sharing(&self, alliance: &str, now: Timestamp) -> Result<(), GalleryError> {
        let due = self.read(|db| {
            db.prepare_cached(
                "SELECT a.followed <> g.revision OR a.followed_at <= ?2 FROM alliance a, gallery g WHERE a.id = ?1 AND a.left_at IS NULL",
            )?
            .query_row(params![alliance, now.as_second() - FOLLOW], |row| row.get(0))
            .optional()
        })?;
        if due != Some(true) {
            return Ok(());
        }
        let revision = self.revision()?;
        while self.write(|transaction| follow(transaction, alliance, now))? == AT_ONCE {}
        self.write(|transaction| {
            transaction
                .execute(
                    "UPDATE alliance SET followed = ?1, followed_at = ?2 WHERE id = ?3",
                    params![signed(revision), now.as_second(), alliance],
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
            while let Some(row) = rows.next()? {
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
                "UPDATE alliance_member SET given_seq = max(given_seq, ?1), given_at = ?2 WHERE number = ?3",
                params![signed(seq), now.as_second(), signed(member)],
            )?;
            let mut statement = transaction.prepare_cached(
                "INSERT OR REPLACE INTO alliance_feedback (member, signal, confirmed, overturned)
                 SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (
                   SELECT 1 FROM alliance_log l JOIN alliance_member m ON m.alliance = l.alliance
                   WHERE m.number = ?1 AND l.signal = ?2)",
            )?;
            feedback.iter().try_for_each(|one| {
                let (confirmed, overturned) = (signed(one.confirmed), signed(one.overturned));
                statement.execute(params![signed(member), one.id.as_str(), confirmed, overturned]).map(drop)
            })
        })
    }
}

/// Appends at most [`AT_ONCE`] lines; returns how many.
fn follow(transaction: &Writing<'_>, alliance: &str, now: Timestamp) -> rusqlite::Result<u64> {
    let mut log = Log::open(transaction, alliance, now)?;
    let gone: Vec<(u64, SignalId)> = transaction
        .prepare_cached(&format!(
            "SELECT l.key, l.signal FROM alliance_log l LEFT JOIN reference r ON r.key = l.key
             WHERE l.alliance = ?1 AND l.current = 1 AND l.withdrawn = 0 AND (r.key IS NULL OR NOT ({PLAIN} AND doubts = '')
               OR NOT EXISTS (SELECT 1 FROM alliance_sharing s WHERE s.alliance = ?1 AND s.brand = r.brand AND s.polarity = r.polarity))
             LIMIT ?2"
        ))?
        .query_map(params![alliance, signed(AT_ONCE)], |row| Ok((unsigned(row, 0)?, parsed(row, 1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (key, signal) in &gone {
        log.append(*key, signal, true)?;
    }
    let mut written = gone.len() as u64;
    for SharingRule { brand, polarity, delay_days } in rules(transaction, alliance)? {
        let newest = now - SignedDuration::from_hours(24 * i64::from(delay_days));
        let new: Vec<(u64, String)> = transaction
            .prepare_cached(&format!(
                "SELECT r.key, r.id FROM reference r WHERE r.brand = ?2 AND r.polarity = ?3 AND r.created_at <= ?4 AND {PLAIN} AND doubts = ''
                 AND NOT EXISTS (SELECT 1 FROM alliance_log l WHERE l.alliance = ?1 AND l.key = r.key AND l.current = 1 AND l.withdrawn = 0)
                 ORDER BY r.key LIMIT ?5"
            ))?
            .query_map(
                params![alliance, brand.as_str(), polarity.as_str(), newest.to_string(), signed(AT_ONCE - written)],
                |row| Ok((unsigned(row, 0)?, row.get(1)?)),
            )?
            .collect::<rusqlite::Result<_>>()?;
        for (key, reference) in &new {
            log.append(*key, &SignalId::of(alliance, reference), false)?;
        }
        written += new.len() as u64;
    }
    log.close()?;
    Ok(written)
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
    fn open(transaction: &'a Writing<'_>, alliance: &'a str, now: Timestamp) -> rusqlite::Result<Self> {
        let (seq, sum) = transaction
            .prepare_cached("SELECT log_seq, log_sum FROM alliance WHERE id = ?1")?
            .query_row([alliance], |row| Ok((unsigned(row, 0)?, Sha256(row.get(1)?))))?;
        Ok(Self { transaction, alliance, now, seq, chain: Chain(sum) })
    }

    fn append(&mut self, key: u64, signal: &SignalId, withdrawn: bool) -> rusqlite::Result<()> {
        // Whole seconds, as they are stored and as the chain has them.
        let at = Timestamp::from_second(self.now.as_second()).unwrap_or(self.now);
        self.seq += 1;
        self.chain = self.chain.then(self.seq, withdrawn, signal, at);
        self.transaction
            .prepare_cached("UPDATE alliance_log SET current = 0 WHERE alliance = ?1 AND key = ?2 AND current = 1")?
            .execute(params![self.alliance, signed(key)])?;
        self.transaction
            .prepare_cached(
                "INSERT INTO alliance_log (alliance, seq, key, signal, withdrawn, current, at, sum) VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?7)",
            )?
            .execute(params![
                self.alliance,
                signed(self.seq),
                signed(key),
                signal.as_str(),
                withdrawn,
                at.as_second(),
                &self.chain.0.0[..]
            ])
            .map(drop)
    }

    fn close(self) -> rusqlite::Result<()> {
        self.transaction
            .prepare_cached("UPDATE alliance SET log_seq = ?1, log_sum = ?2 WHERE id = ?3")?
            .execute(params![signed(self.seq), &self.chain.0.0[..], self.alliance])
            .map(drop)
    }
}
