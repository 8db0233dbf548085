//! The audit log: appended to, never changed. Each event contains the SHA-256 of the event before it, and of the one
//! before it about the same subject, so that the events of one subject can be verified by themselves. The states before
//! and after can be erased, because they may contain a seller's data: only their salted SHA-256 values are part of the
//! chain.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::effects::Effects;
use super::store::{Gallery, GalleryError, parsed, unsigned};
use crate::domain::{Reference, ReferenceState};
use crate::photo::Sha256;
use crate::storage::{self, Connection, OptionalExtension, Row, Writing, params};

/// One recorded act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditEntry {
    /// Position in the log, from 1.
    pub seq: u64,
    /// When the act happened.
    pub at: Timestamp,
    /// Who acted: the name of an account, the id of an API key, or a name for the program.
    pub actor: String,
    /// Id of the console session in which the act happened.
    pub session: Option<String>,
    /// The act, as a stable kebab-case code.
    pub action: String,
    /// What the act concerned: the id of a check, a reference or an account.
    pub subject: String,
    /// The state before the act, as JSON; empty if it was erased.
    pub before: String,
    /// The state after the act, as JSON; empty if it was erased.
    pub after: String,
    /// Hashed before both states, so that nobody can guess them from their SHA-256; erased with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// SHA-256 of the salt and `before`; absent in events of the first form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_sha256: Option<String>,
    /// SHA-256 of the salt and `after`; absent in events of the first form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_sha256: Option<String>,
    /// SHA-256 of the event before it; empty in the first event.
    pub prev: String,
    /// SHA-256 of the event before it about the same subject; empty in the first one.
    pub prev_of_subject: String,
    /// SHA-256 of the fields above. Where `before_sha256` and `after_sha256` exist, they stand in for the states.
    pub sha256: String,
}

/// An act to record.
#[derive(Debug, Clone, Copy)]
pub(super) struct AuditEvent<'a> {
    pub(super) actor: &'a str,
    pub(super) session: Option<&'a str>,
    pub(super) action: &'a str,
    pub(super) subject: &'a str,
}

impl AuditEntry {
    /// The SHA-256 that the event must have: over its fields as a JSON array, in the order of their declaration.
    #[must_use]
    pub fn expected_sha256(&self) -> String {
        let (before, after) = match (&self.before_sha256, &self.after_sha256) {
            (Some(before), Some(after)) => (before, after),
            _ => (&self.before, &self.after),
        };
        let fields = serde_json::json!([
            self.seq,
            self.at.to_string(),
            self.actor,
            self.session,
            self.action,
            self.subject,
            before,
            after,
            self.prev,
            self.prev_of_subject
        ]);
        Sha256::of(fields.to_string().as_bytes()).to_string()
    }

    /// Whether the event's SHA-256 is right, and those of `before` and `after`, unless they were erased.
    #[must_use]
    pub fn holds(&self) -> bool {
        let details = match (&self.before_sha256, &self.after_sha256) {
            (Some(before), Some(after)) => match &self.salt {
                Some(salt) => (before, after) == (&salted(salt, &self.before), &salted(salt, &self.after)),
                None => self.is_erased(),
            },
            (None, None) => self.salt.is_none(),
            _ => false,
        };
        details && self.sha256 == self.expected_sha256()
    }

    /// Whether the states before and after were erased.
    #[must_use]
    pub fn is_erased(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}

impl Gallery {
    /// Records an act that changes nothing else in the database.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn note(
        &self,
        (actor, session): (&str, Option<&str>),
        action: &str,
        subject: &str,
        after: &impl Serialize,
    ) -> Result<AuditEntry, GalleryError> {
        self.write(|transaction| append(transaction, AuditEvent { actor, session, action, subject }, &(), after))
    }

    /// The newest events, newest first, at most `limit`; with `subject`, only events about it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn audit(&self, subject: Option<&str>, limit: usize) -> Result<Vec<AuditEntry>, GalleryError> {
        self.read(|db| entries(db, subject, limit))
    }

    /// Verifies the SHA-256 values of each event, and that it follows the one before it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn verify_audit(&self) -> Result<AuditProof, GalleryError> {
        let mut proof = AuditProof::default();
        self.visit_audit(|entry| {
            proof.entries += 1;
            proof.erased += u64::from(entry.is_erased());
            let holds = entry.prev == proof.last && entry.holds() && entry.seq == proof.entries;
            if !holds && proof.wrong.is_none() {
                proof.wrong = Some(entry.seq);
            }
            proof.last = entry.sha256;
        })?;
        Ok(proof)
    }

    /// Visits every event, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn visit_audit(&self, mut visit: impl FnMut(AuditEntry)) -> Result<(), GalleryError> {
        self.read(|db| {
            db.visit(&format!("SELECT {COLUMNS} FROM audit ORDER BY seq"), [], |row| {
                visit(entry(row)?);
                Ok(())
            })
        })
    }
}

/// The result of [`Gallery::verify_audit`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditProof {
    /// Number of events.
    pub entries: u64,
    /// Number of events whose states were erased.
    pub erased: u64,
    /// SHA-256 of the last event; empty in an empty log.
    pub last: String,
    /// Position of the first event that is wrong or does not follow the one before it.
    pub wrong: Option<u64>,
}

const COLUMNS: &str = "seq, at, actor, session, action, subject, before, after, prev, prev_of_subject, sha256, salt, before_sha256, after_sha256";

fn salted(salt: &str, text: &str) -> String {
    Sha256::of([salt, text].concat().as_bytes()).to_string()
}

/// Erases the states of every event about a subject. Returns the number of events of the first form, whose states are
/// part of their SHA-256 and stay.
pub(super) fn erase_details(transaction: &Writing<'_>, subject: &str) -> storage::Result<u64> {
    transaction
        .prepare_cached(
            "UPDATE audit SET before = '', after = '', salt = NULL WHERE subject = ?1 AND before_sha256 IS NOT NULL AND salt IS NOT NULL",
        )?
        .execute([subject])?;
    transaction
        .prepare_cached("SELECT count(*) FROM audit WHERE subject = ?1 AND before_sha256 IS NULL")?
        .query_row([subject], |row| unsigned(row, 0))
}

/// Erases the states of every event about a policy that names a seller.
pub(super) fn erase_policies(transaction: &Writing<'_>, seller_id: &str) -> storage::Result<()> {
    let named = serde_json::Value::from(seller_id).to_string();
    transaction
        .prepare_cached(
            "UPDATE audit SET before = '', after = '', salt = NULL WHERE action = 'set-policy'
             AND before_sha256 IS NOT NULL AND salt IS NOT NULL AND (instr(before, ?1) > 0 OR instr(after, ?1) > 0)",
        )?
        .execute([named])
        .map(drop)
}

/// Erases the states of every event about a subject that names a listing.
pub(super) fn erase_listing(transaction: &Writing<'_>, subject: &str, listing_id: &str) -> storage::Result<()> {
    let named = format!("\"listing_id\":{}", serde_json::Value::from(listing_id));
    transaction
        .prepare_cached(
            "UPDATE audit SET before = '', after = '', salt = NULL WHERE subject = ?1
             AND before_sha256 IS NOT NULL AND salt IS NOT NULL AND (instr(before, ?2) > 0 OR instr(after, ?2) > 0)",
        )?
        .execute([subject, &named])
        .map(drop)
}

pub(super) fn append(
    transaction: &Writing<'_>,
    event: AuditEvent<'_>,
    before: &impl Serialize,
    after: &impl Serialize,
) -> storage::Result<AuditEntry> {
    let json = |value: serde_json::Result<String>| value.map_err(|error| storage::Error::Conversion(error.into()));
    let last = |sql: &str, subject: Option<&str>| -> storage::Result<Option<(u64, String)>> {
        let mut statement = transaction.prepare_cached(sql)?;
        let read = |row: &Row<'_>| Ok((unsigned(row, 0)?, row.get(1)?));
        match subject {
            Some(subject) => statement.query_row([subject], read).optional(),
            None => statement.query_row([], read).optional(),
        }
    };
    let newest = last("SELECT seq, sha256 FROM audit ORDER BY seq DESC LIMIT 1", None)?;
    let of_subject =
        last("SELECT seq, sha256 FROM audit WHERE subject = ?1 ORDER BY seq DESC LIMIT 1", Some(event.subject))?;
    let (before, after) = (json(serde_json::to_string(before))?, json(serde_json::to_string(after))?);
    let salt = format!("{:032x}", rand::random::<u128>());
    let mut entry = AuditEntry {
        seq: newest.as_ref().map_or(1, |(seq, _)| seq + 1),
        at: Timestamp::now(),
        actor: event.actor.to_owned(),
        session: event.session.map(str::to_owned),
        action: event.action.to_owned(),
        subject: event.subject.to_owned(),
        before_sha256: Some(salted(&salt, &before)),
        after_sha256: Some(salted(&salt, &after)),
        before,
        after,
        salt: Some(salt),
        prev: newest.map(|(_, sum)| sum).unwrap_or_default(),
        prev_of_subject: of_subject.map(|(_, sum)| sum).unwrap_or_default(),
        sha256: String::new(),
    };
    entry.sha256 = entry.expected_sha256();
    transaction
        .prepare_cached(&format!(
            "INSERT INTO audit ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
        ))?
        .execute(params![
            super::store::signed(entry.seq),
            entry.at.to_string(),
            entry.actor,
            entry.session,
            entry.action,
            entry.subject,
            entry.before,
            entry.after,
            entry.prev,
            entry.prev_of_subject,
            entry.sha256,
            entry.salt,
            entry.before_sha256,
            entry.after_sha256,
        ])?;
    Ok(entry)
}

/// Records that the service itself quarantined a reference, unless it was quarantined before. `found`: the reference
/// before; `None` if it is new.
pub(super) fn log_quarantine(
    transaction: &Writing<'_>,
    found: Option<&Reference>,
    held: &Reference,
) -> storage::Result<()> {
    let is_held = |reference: &Reference| reference.state == ReferenceState::Quarantined;
    if !is_held(held) || found.is_some_and(is_held) {
        return Ok(());
    }
    let event = AuditEvent { actor: "touchstone", session: None, action: "quarantine", subject: &held.id };
    append(transaction, event, &found.map(Effects::of_reference), &Effects::of_reference(held)).map(drop)
}

pub(super) fn entries(db: &Connection, subject: Option<&str>, limit: usize) -> storage::Result<Vec<AuditEntry>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    // Two statements, so that the engine finds one subject's events by their index.
    match subject {
        Some(subject) => db
            .prepare_cached(&format!("SELECT {COLUMNS} FROM audit WHERE subject = ?1 ORDER BY seq DESC LIMIT ?2"))?
            .query_map(params![subject, limit], entry)?
            .collect(),
        None => db
            .prepare_cached(&format!("SELECT {COLUMNS} FROM audit ORDER BY seq DESC LIMIT ?1"))?
            .query_map([limit], entry)?
            .collect(),
    }
}

/// The session's newest event that can be undone and is not undone yet.
pub(super) fn undoable(db: &Connection, session: &str) -> storage::Result<Option<AuditEntry>> {
    #[derive(Deserialize)]
    struct Undo {
        undoes: u64,
    }
    let undone: Vec<u64> = db
        .prepare_cached("SELECT after FROM audit WHERE session = ?1 AND action IN ('undo', 'undo-refused')")?
        .query_map([session], |row| Ok(serde_json::from_str::<Undo>(row.get_ref(0)?.as_str()?).ok()))?
        .filter_map(|undo| undo.map(|undo| undo.map(|undo| undo.undoes)).transpose())
        .collect::<storage::Result<_>>()?;
    let sql = format!(
        "SELECT {COLUMNS} FROM audit WHERE session = ?1 AND action IN ('decide', 'quarantine', 'add-reference') AND before <> ''
         ORDER BY seq DESC LIMIT ?2"
    );
    // One more than were undone is enough.
    let most = i64::try_from(undone.len()).unwrap_or(i64::MAX).saturating_add(1);
    let mut statement = db.prepare_cached(&sql)?;
    let mut acts = statement.query_map(params![session, most], entry)?;
    acts.find(|act| act.as_ref().map_or(true, |act| !undone.contains(&act.seq))).transpose()
}

fn entry(row: &Row<'_>) -> storage::Result<AuditEntry> {
    Ok(AuditEntry {
        seq: unsigned(row, 0)?,
        at: parsed(row, 1)?,
        actor: row.get(2)?,
        session: row.get(3)?,
        action: row.get(4)?,
        subject: row.get(5)?,
        before: row.get(6)?,
        after: row.get(7)?,
        prev: row.get(8)?,
        prev_of_subject: row.get(9)?,
        sha256: row.get(10)?,
        salt: row.get(11)?,
        before_sha256: row.get(12)?,
        after_sha256: row.get(13)?,
    })
}
