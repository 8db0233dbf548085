//! Accounts of the console, and their sessions.

use jiff::Timestamp;

use super::audit::{AuditEvent, append};
use super::store::{Gallery, GalleryError, new_id, parsed};
use crate::domain::Role;
use crate::photo::Sha256;
use crate::storage::{self, Connection, OptionalExtension, Row, params};

/// An account of the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// 1 to 64 of `a-z`, `0-9`, `.`, `-`, `_`.
    pub name: String,
    /// What the account may do.
    pub role: Role,
    /// Hash of the password, as a PHC string.
    pub password: String,
    /// Whether the account may not sign in any more.
    pub disabled: bool,
    /// When the account was created.
    pub created_at: Timestamp,
}

/// A signed-in account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Id of the session for the audit log, `ses_` and a UUID; not secret.
    pub id: String,
    /// Name of the account.
    pub account: String,
    /// What the account may do.
    pub role: Role,
    /// The token that every form must send back, against cross-site requests.
    pub csrf: String,
}

impl Gallery {
    /// Adds an account, or gives an existing one another role and password and enables it again. Ends its sessions.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn put_account(&self, actor: &str, name: &str, role: Role, password: &str) -> Result<(), GalleryError> {
        self.write(|transaction| {
            let before = account(transaction, name)?.map(|known| (known.role, known.disabled));
            transaction.execute(
                "INSERT INTO account (name, role, password, created_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (name) DO UPDATE SET role = excluded.role, password = excluded.password, disabled = 0",
                params![name, role.as_str(), password, Timestamp::now().to_string()],
            )?;
            transaction.execute("DELETE FROM session WHERE account = ?1", [name])?;
            let event = AuditEvent { actor, session: None, action: "put-account", subject: name };
            append(transaction, event, &before, &(role, false)).map(drop)
        })
    }

    /// Disables an account, and ends its sessions and claims. `false` when there is no such account.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn disable_account(&self, actor: &str, name: &str) -> Result<bool, GalleryError> {
        self.write(|transaction| {
            let Some(known) = account(transaction, name)? else {
                return Ok(false);
            };
            transaction.execute("UPDATE account SET disabled = 1 WHERE name = ?1", [name])?;
            transaction.execute("DELETE FROM session WHERE account = ?1", [name])?;
            // Releases the cases that they had claimed.
            transaction.execute(
                "UPDATE moderation_case SET claimed_by = NULL, claimed_until = 0 WHERE claimed_by = ?1",
                [name],
            )?;
            let event = AuditEvent { actor, session: None, action: "disable-account", subject: name };
            append(transaction, event, &(known.role, known.disabled), &(known.role, true)).map(|_| true)
        })
    }

    /// Finds an account by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn account(&self, name: &str) -> Result<Option<Account>, GalleryError> {
        self.read(|db| account(db, name))
    }

    /// All accounts, ordered by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn accounts(&self) -> Result<Vec<Account>, GalleryError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} FROM account ORDER BY name"))?;
            statement.query_map([], row_account)?.collect()
        })
    }

    /// Opens a session after the password was checked. The database stores the SHA-256 of its token.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn open_session(
        &self,
        name: &str,
        token: Sha256,
        csrf: &str,
        expires_at: Timestamp,
    ) -> Result<(), GalleryError> {
        self.write(|transaction| {
            transaction.execute("DELETE FROM session WHERE expires_at < ?1", [Timestamp::now().as_second()])?;
            let id = new_id("ses");
            transaction.execute(
                "INSERT INTO session (token_sha256, id, account, csrf, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![&token.0[..], id, name, csrf, expires_at.as_second()],
            )?;
            let event = AuditEvent { actor: name, session: Some(&id), action: "sign-in", subject: name };
            append(transaction, event, &(), &()).map(drop)
        })
    }

    /// The session of a token, given the token's SHA-256; `None` if it has ended or its account is disabled.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn session(&self, token: Sha256) -> Result<Option<Session>, GalleryError> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT s.id, s.account, a.role, s.csrf FROM session s JOIN account a ON a.name = s.account
                 WHERE s.token_sha256 = ?1 AND s.expires_at >= ?2 AND a.disabled = 0",
            )?
            .query_row(params![&token.0[..], Timestamp::now().as_second()], |row| {
                Ok(Session { id: row.get(0)?, account: row.get(1)?, role: parsed(row, 2)?, csrf: row.get(3)? })
            })
            .optional()
        })
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn close_session(&self, session: &Session, token: Sha256) -> Result<(), GalleryError> {
        self.write(|transaction| {
            transaction.execute("DELETE FROM session WHERE token_sha256 = ?1", [&token.0[..]])?;
            let (actor, id) = (session.account.as_str(), session.id.as_str());
            let event = AuditEvent { actor, session: Some(id), action: "sign-out", subject: actor };
            append(transaction, event, &(), &()).map(drop)
        })
    }
}

const COLUMNS: &str = "name, role, password, disabled, created_at";

fn account(db: &Connection, name: &str) -> storage::Result<Option<Account>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM account WHERE name = ?1"))?
        .query_row([name], row_account)
        .optional()
}

fn row_account(row: &Row<'_>) -> storage::Result<Account> {
    Ok(Account {
        name: row.get(0)?,
        role: parsed(row, 1)?,
        password: row.get(2)?,
        disabled: row.get(3)?,
        created_at: parsed(row, 4)?,
    })
}
