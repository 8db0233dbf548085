//! The log of what people did: appended to, never changed. Each entry holds the sum of the one before it, and of the
//! one before it about the same subject, so that a part about one subject can be checked by itself.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::store::{Gallery, GalleryError, parsed, unsigned};
use super::writer::Writing;
use crate::photo::Sha256;

/// What somebody did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditEntry {
    /// Counts up.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who: the name of an account, or what stands for the marketplace or the program.
    pub actor: String,
    /// The session that it was done in.
    pub session: Option<String>,
    /// What: stable kebab-case code.
    pub action: String,
    /// About what: the id of a check, a reference or an account.
    pub subject: String,
    /// What was there before, JSON.
    pub before: String,
    /// What was there after, JSON.
    pub after: String,
    /// Sum of the entry before it; empty in the first.
    pub prev: String,
    /// Sum of the entry before it about the same subject; empty in the first.
    pub prev_of_subject: String,
    /// Sum of all fields above.
    pub sha256: String,
}

/// What is to be written down.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deed<'a> {
    pub(super) actor: &'a str,
    pub(super) session: Option<&'a str>,
    pub(super) action: &'a str,
    pub(super) subject: &'a str,
}

impl AuditEntry {
    /// The sum that the entry must have: over its fields as a JSON array, in the order of their declaration.
    #[must_use]
    pub fn expected_sha256(&self) -> String {
        let fields = serde_json::json!([
            self.seq,
            self.at.to_string(),
            self.actor,
            self.session,
            self.action,
            self.subject,
            self.before,
            self.after,
            self.prev,
            self.prev_of_subject
        ]);
        Sha256::of(fields.to_string().as_bytes()).to_string()
    }
}

impl Gallery {
    /// Writes something down that changes nothing else.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn note(
        &self,
        (actor, session): (&str, Option<&str>),
        action: &str,
        subject: &str,
        after: &impl Serialize,
    ) -> Result<AuditEntry, GalleryError> {
        self.write(|transaction| append(transaction, Deed { actor, session, action, subject }, &(), after))
    }

    /// The newest entries, newest first; only of one subject, where it is named.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn audit(&self, subject: Option<&str>, limit: usize) -> Result<Vec<AuditEntry>, GalleryError> {
        self.read(|db| entries(db, subject, limit))
    }

    /// Every entry from the first on.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn visit_audit(&self, mut visit: impl FnMut(AuditEntry)) -> Result<(), GalleryError> {
        self.read(|db| {
            let mut statement = db.prepare(&format!("SELECT {COLUMNS} FROM audit ORDER BY seq"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                visit(entry(row)?);
            }
            Ok(())
        })
    }
}

const COLUMNS: &str = "seq, at, actor, session, action, subject, before, after, prev, prev_of_subject, sha256";

pub(super) fn append(
    transaction: &Writing<'_>,
    deed: Deed<'_>,
    before: &impl Serialize,
    after: &impl Serialize,
) -> rusqlite::Result<AuditEntry> {
    let json = |value: serde_json::Result<String>| {
        value.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
    };
    let last = |sql: &str, subject: Option<&str>| -> rusqlite::Result<Option<(u64, String)>> {
        let mut statement = transaction.prepare_cached(sql)?;
        let read = |row: &Row<'_>| Ok((unsigned(row, 0)?, row.get(1)?));
        match subject {
            Some(subject) => statement.query_row([subject], read).optional(),
            None => statement.query_row([], read).optional(),
        }
    };
    let newest = last("SELECT seq, sha256 FROM audit ORDER BY seq DESC LIMIT 1", None)?;
    let of_subject =
        last("SELECT seq, sha256 FROM audit WHERE subject = ?1 ORDER BY seq DESC LIMIT 1", Some(deed.subject))?;
    let mut entry = AuditEntry {
        seq: newest.as_ref().map_or(1, |(seq, _)| seq + 1),
        at: Timestamp::now(),
        actor: deed.actor.to_owned(),
        session: deed.session.map(str::to_owned),
        action: deed.action.to_owned(),
        subject: deed.subject.to_owned(),
        before: json(serde_json::to_string(before))?,
        after: json(serde_json::to_string(after))?,
        prev: newest.map(|(_, sum)| sum).unwrap_or_default(),
        prev_of_subject: of_subject.map(|(_, sum)| sum).unwrap_or_default(),
        sha256: String::new(),
    };
    entry.sha256 = entry.expected_sha256();
    transaction
        .prepare_cached(&format!(
            "INSERT INTO audit ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
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
        ])?;
    Ok(entry)
}

pub(super) fn entries(db: &Connection, subject: Option<&str>, limit: usize) -> rusqlite::Result<Vec<AuditEntry>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    // Two statements, so that one subject's entries are found by their index.
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

/// The newest of a session's entries that can be undone and was not.
pub(super) fn undoable(db: &Connection, session: &str) -> rusqlite::Result<Option<AuditEntry>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM audit a WHERE session = ?1 AND action IN ('decide', 'quarantine', 'add-reference')
         AND NOT EXISTS (SELECT 1 FROM audit u WHERE u.session = ?1 AND u.action IN ('undo', 'undo-refused')
                         AND json_extract(u.after, '$.undoes') = a.seq) ORDER BY seq DESC LIMIT 1"
    );
    db.prepare_cached(&sql)?.query_row([session], entry).optional()
}

fn entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
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
    })
}
