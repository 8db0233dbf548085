//! Receivers of events. What was sent to them: [`super::deliveries`].

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::audit::{AuditEvent, append};
use super::store::{Gallery, GalleryError, conversion, second, signed, unsigned};
use crate::domain::EventType;
use crate::storage::{self, Connection, OptionalExtension, Row, Writing, params};

/// A receiver of events, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Webhook {
    /// Its id, `whk_` and a UUID.
    pub id: String,
    /// The address to which events are sent.
    pub url: String,
    /// The types that are sent; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub types: Option<Vec<EventType>>,
    /// Id of the key that made it.
    pub created_by: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Why nothing is sent any more; absent while events are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<String>,
}

/// A webhook with the numbers of its deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Counted {
    /// The webhook.
    #[serde(flatten)]
    pub webhook: Webhook,
    /// Events that wait for an attempt.
    pub waiting: u64,
    /// Events that were delivered in the last 30 days.
    pub delivered: u64,
    /// Events that nobody sends again unless asked.
    pub dead: u64,
}

const COLUMNS: &str = "id, url, types, created_by, created_at, disabled";

impl Gallery {
    /// Stores a webhook. It receives events after the position `after`; `None` for those from now on. `secret`: the
    /// bytes that sign.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn add_webhook(&self, new: &Webhook, secret: &[u8], after: Option<u64>) -> Result<(), GalleryError> {
        self.write(|transaction| {
            let event = AuditEvent { actor: &new.created_by, session: None, action: "add-webhook", subject: &new.id };
            let entry = append(transaction, event, &(), new)?;
            transaction
                .prepare_cached(&format!(
                    "INSERT INTO webhook ({COLUMNS}, secret, cursor) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
                ))?
                .execute(params![
                    new.id,
                    new.url,
                    new.types.as_ref().map(|types| serde_json::json!(types).to_string()),
                    new.created_by,
                    new.created_at.as_second(),
                    new.disabled,
                    secret,
                    signed(after.unwrap_or(entry.seq)),
                ])
                .map(drop)
        })
    }

    /// All webhooks, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn webhooks(&self) -> Result<Vec<Counted>, GalleryError> {
        self.read(|db| {
            let count = "SELECT count(*) FROM webhook_delivery d WHERE d.webhook = webhook.id AND d.state";
            let sql = format!(
                "SELECT {COLUMNS}, ({count} = 'waiting'), ({count} = 'delivered'), ({count} = 'dead')
                 FROM webhook ORDER BY created_at, id"
            );
            let counted = |row: &Row<'_>| {
                let (waiting, delivered, dead) = (unsigned(row, 6)?, unsigned(row, 7)?, unsigned(row, 8)?);
                Ok(Counted { webhook: webhook(row)?, waiting, delivered, dead })
            };
            db.prepare_cached(&sql)?.query_map([], counted)?.collect()
        })
    }

    /// A webhook and the bytes that sign.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn webhook(&self, id: &str) -> Result<Option<(Webhook, Vec<u8>)>, GalleryError> {
        self.read(|db| find_webhook(db, id))
    }

    /// Sends to a webhook again after it was disabled, all events since then included. Returns it; `None` if there is none.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn enable_webhook(&self, actor: &str, id: &str) -> Result<Option<Webhook>, GalleryError> {
        self.write(|transaction| {
            let Some((found, _)) = find_webhook(transaction, id)? else { return Ok(None) };
            if found.disabled.is_none() {
                return Ok(Some(found));
            }
            transaction.execute("UPDATE webhook SET disabled = NULL WHERE id = ?1", [id])?;
            let enabled = Webhook { disabled: None, ..found.clone() };
            let event = AuditEvent { actor, session: None, action: "enable-webhook", subject: id };
            append(transaction, event, &found, &enabled)?;
            Ok(Some(enabled))
        })
    }

    /// Deletes a webhook with its deliveries; `false` if there is none.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn delete_webhook(&self, actor: &str, id: &str) -> Result<bool, GalleryError> {
        self.write(|transaction| {
            let Some((gone, _)) = find_webhook(transaction, id)? else { return Ok(false) };
            transaction.execute("DELETE FROM webhook WHERE id = ?1", [id])?;
            let event = AuditEvent { actor, session: None, action: "delete-webhook", subject: id };
            append(transaction, event, &gone, &())?;
            Ok(true)
        })
    }
}

pub(super) fn find_webhook(db: &Connection, id: &str) -> storage::Result<Option<(Webhook, Vec<u8>)>> {
    db.prepare_cached(&format!("SELECT {COLUMNS}, secret FROM webhook WHERE id = ?1"))?
        .query_row([id], |row| Ok((webhook(row)?, row.get(6)?)))
        .optional()
}

/// Stops sending to a receiver that no longer wants events.
pub(super) fn disable(transaction: &Writing<'_>, id: &str, why: &str) -> storage::Result<()> {
    let Some((found, _)) = find_webhook(transaction, id)?.filter(|(found, _)| found.disabled.is_none()) else {
        return Ok(());
    };
    transaction.execute("UPDATE webhook SET disabled = ?2 WHERE id = ?1", [id, why])?;
    let event = AuditEvent { actor: "touchstone", session: None, action: "disable-webhook", subject: id };
    let disabled = Webhook { disabled: Some(why.to_owned()), ..found.clone() };
    append(transaction, event, &found, &disabled).map(drop)
}

fn webhook(row: &Row<'_>) -> storage::Result<Webhook> {
    let types: Option<String> = row.get(2)?;
    let types = types.map(|text| serde_json::from_str(&text)).transpose();
    Ok(Webhook {
        id: row.get(0)?,
        url: row.get(1)?,
        types: types.map_err(|error| conversion(2, error))?,
        created_by: row.get(3)?,
        created_at: second(row, 4)?,
        disabled: row.get(5)?,
    })
}
