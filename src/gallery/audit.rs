//! The log of what people did: appended to, never changed. Each entry holds the sum of the one before it, and of the
//! one before it about the same subject, so that a part about one subject can be checked by itself. What was before and
//! after can be erased, for it may hold what a seller wants forgotten: only its salted sums are chained.

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
    /// What was there before, JSON; empty where it was erased.
    pub before: String,
    /// What was there after, JSON; empty where it was erased.
    pub after: String,
    /// Put before both when their sums are made, so that nobody can guess them from these; erased with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// Sum of the salt and `before`; absent in entries of the first form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_sha256: Option<String>,
    /// Sum of the salt and `after`; absent in entries of the first form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_sha256: Option<String>,
    /// Sum of the entry before it; empty in the first.
    pub prev: String,
    /// Sum of the entry before it about the same subject; empty in the first.
    pub prev_of_subject: String,
    /// Sum of the fields above; where there are sums of before and after, of these in their place.
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

    /// Whether it has the sum that it must have, and before and after theirs, unless they were erased.
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

    /// Whether before and after were erased.
    #[must_use]
    pub fn is_erased(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}

impl Gallery {
    /// Writes something down that changes nothing else.
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
        self.write(|transaction| append(transaction, Deed { actor, session, action, subject }, &(), after))
    }

    /// The newest entries, newest first; only of one subject, where it is named.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn audit(&self, subject: Option<&str>, limit: usize) -> Result<Vec<AuditEntry>, GalleryError> {
        self.read(|db| entries(db, subject, limit))
    }

    /// Checks that each entry has its sums and follows the one before it.
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

/// What became of checking the whole log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditProof {
    /// Entries.
    pub entries: u64,
    /// Entries whose details were erased.
    pub erased: u64,
    /// Sum of the last one; empty where there is none.
    pub last: String,
    /// The first that does not hold or does not follow the one before it.
    pub wrong: Option<u64>,
}

const COLUMNS: &str = "seq, at, actor, session, action, subject, before, after, prev, prev_of_subject, sha256, salt, before_sha256, after_sha256";

fn salted(salt: &str, text: &str) -> String {
    Sha256::of([salt, text].concat().as_bytes()).to_string()
}

/// Erases what was before and after in every entry about a subject; how many entries are of the first form, whose
/// details are part of their sum and stay.
pub(super) fn erase_details(transaction: &Writing<'_>, subject: &str) -> rusqlite::Result<u64> {
    transaction
        .prepare_cached(
            "UPDATE audit SET before = '', after = '', salt = NULL WHERE subject = ?1 AND before_sha256 IS NOT NULL AND salt IS NOT NULL",
        )?
        .execute([subject])?;
    transaction
        .prepare_cached("SELECT count(*) FROM audit WHERE subject = ?1 AND before_sha256 IS NULL")?
        .query_row([subject], |row| unsigned(row, 0))
}

/// Erases what was before and after in every entry about a policy that names a seller.
pub(super) fn erase_policies(transaction: &Writing<'_>, seller_id: &str) -> rusqlite::Result<()> {
    let named = serde_json::Value::from(seller_id).to_string();
    transaction
        .prepare_cached(
            "UPDATE audit SET before = '', after = '', salt = NULL WHERE action = 'set-policy'
             AND before_sha256 IS NOT NULL AND salt IS NOT NULL AND (instr(before, ?1) > 0 OR instr(after, ?1) > 0)",
        )?
        .execute([named])
        .map(drop)
}

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
    let (before, after) = (json(serde_json::to_string(before))?, json(serde_json::to_string(after))?);
    let salt = format!("{:032x}", rand::random::<u128>());
    let mut entry = AuditEntry {
        seq: newest.as_ref().map_or(1, |(seq, _)| seq + 1),
        at: Timestamp::now(),
        actor: deed.actor.to_owned(),
        session: deed.session.map(str::to_owned),
        action: deed.action.to_owned(),
        subject: deed.subject.to_owned(),
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
        "SELECT {COLUMNS} FROM audit a WHERE session = ?1 AND action IN ('decide', 'quarantine', 'add-reference') AND before <> ''
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
        salt: row.get(11)?,
        before_sha256: row.get(12)?,
        after_sha256: row.get(13)?,
    })
}
