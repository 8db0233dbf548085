//! Stored API keys: who may call, with which scope, until when.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::audit::{AuditEvent, append};
use super::store::{Gallery, GalleryError, conversion, optional, parsed};
use crate::domain::{BrandId, Scope};
use crate::photo::Sha256;
use crate::storage::{self, Connection, OptionalExtension, Row, Writing, params};

/// An API key, without its secret: the secret was shown once, and only its SHA-256 is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ApiKey {
    /// Id of the key, which is also part of the key itself.
    pub id: String,
    /// The scope: what the key may do.
    #[serde(flatten)]
    pub scope: Scope,
    /// Purpose of the key, in the words of its creator.
    pub label: String,
    /// Requests per second at most; if absent, the service's own limit applies.
    pub rate: Option<u32>,
    /// Who created it: the id of a key, or `command-line`, or `first-start`.
    pub created_by: String,
    /// When the key was created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// The service rejects the key from this time on.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When the key was revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
}

impl Gallery {
    /// Stores a new key. `secret`: SHA-256 of its secret.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn add_key(&self, key: &ApiKey, secret: Sha256) -> Result<(), GalleryError> {
        self.write(|transaction| insert(transaction, key, secret))
    }

    /// Stores a key if there has never been any; `false` if there has.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn add_first_key(&self, key: &ApiKey, secret: Sha256) -> Result<bool, GalleryError> {
        self.write(|transaction| {
            let none = transaction.query_row("SELECT NOT EXISTS (SELECT 1 FROM api_key)", [], |row| row.get(0))?;
            if none {
                insert(transaction, key, secret)?;
            }
            Ok(none)
        })
    }

    /// The key with this id, and the SHA-256 of its secret; also one that has expired or was revoked.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn key(&self, id: &str) -> Result<Option<(ApiKey, Sha256)>, GalleryError> {
        self.read(|db| {
            db.prepare_cached(&format!("SELECT {COLUMNS}, secret_sha256 FROM api_key WHERE id = ?1"))?
                .query_row([id], |row| Ok((row_key(row)?, Sha256(row.get(9)?))))
                .optional()
        })
    }

    /// All keys, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn keys(&self) -> Result<Vec<ApiKey>, GalleryError> {
        self.read(all)
    }

    /// Revokes a key. `None` when there is no such key, or it is already revoked.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn revoke_key(&self, actor: &str, id: &str) -> Result<Option<ApiKey>, GalleryError> {
        self.write(|transaction| {
            let revoked = transaction
                .prepare_cached(&format!(
                    "UPDATE api_key SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL RETURNING {COLUMNS}"
                ))?
                .query_row(params![id, Timestamp::now().to_string()], row_key)
                .optional()?;
            if let Some(key) = &revoked {
                append(transaction, AuditEvent { actor, session: None, action: "revoke-key", subject: id }, &(), key)?;
                return Ok(revoked);
            }
            transaction
                .prepare_cached(&format!("SELECT {COLUMNS} FROM api_key WHERE id = ?1"))?
                .query_row([id], row_key)
                .optional()
        })
    }
}

const COLUMNS: &str = "id, scope, brand, label, rate, created_by, created_at, expires_at, revoked_at";

fn insert(transaction: &Writing<'_>, key: &ApiKey, secret: Sha256) -> storage::Result<()> {
    transaction
        .prepare_cached(&format!(
            "INSERT INTO api_key ({COLUMNS}, secret_sha256) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
        ))?
        .execute(params![
            key.id,
            key.scope.name().as_str(),
            key.scope.brand().map(BrandId::as_str),
            key.label,
            key.rate,
            key.created_by,
            key.created_at.to_string(),
            key.expires_at.map(|at| at.to_string()),
            key.revoked_at.map(|at| at.to_string()),
            &secret.0[..],
        ])?;
    let event = AuditEvent { actor: &key.created_by, session: None, action: "add-key", subject: &key.id };
    append(transaction, event, &(), key).map(drop)
}

fn all(db: &Connection) -> storage::Result<Vec<ApiKey>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM api_key ORDER BY created_at, id"))?
        .query_map([], row_key)?
        .collect()
}

fn row_key(row: &Row<'_>) -> storage::Result<ApiKey> {
    let brand: Option<BrandId> = optional(row, 2)?;
    let scope = Scope::named(parsed(row, 1)?, brand).map_err(|error| conversion(1, error))?;
    Ok(ApiKey {
        id: row.get(0)?,
        scope,
        label: row.get(3)?,
        rate: row.get(4)?,
        created_by: row.get(5)?,
        created_at: parsed(row, 6)?,
        expires_at: optional(row, 7)?,
        revoked_at: optional(row, 8)?,
    })
}
