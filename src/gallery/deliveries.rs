//! Which events were sent to which webhooks. A delivery names an event's position in the audit log; the event is read
//! when it is sent, so that erased data are never sent.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::audit::{AuditEvent, append};
use super::events::{Event, EventQuery, event_at, events};
use super::store::{Gallery, GalleryError, new_id, parsed, second, signed, unsigned};
use super::webhooks::{disable, find_webhook};
use crate::domain::{DeliveryState, EventType};
use crate::storage::{self, Connection, OptionalExtension, Row, Writing, params};

/// One event for one webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Delivery {
    /// Its id, `msg_` and a UUID: the header `webhook-id` of every attempt.
    pub id: String,
    /// Id of the webhook.
    pub webhook_id: String,
    /// The event's position, as in the list of events.
    pub seq: u64,
    /// The event's type.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// Whether it waits, was delivered, or is dead.
    pub state: DeliveryState,
    /// Number of attempts since it was made or was asked for again.
    pub attempts: u32,
    /// When the next attempt is due; absent unless it waits, and before the first attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_at: Option<Timestamp>,
    /// The HTTP status of the last answer, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// A delivery that is due, with everything that an attempt needs.
#[derive(Debug, Clone)]
pub struct Due {
    /// The delivery, with this attempt counted.
    pub delivery: Delivery,
    /// The event as it is now.
    pub event: Event,
    /// The receiver's address.
    pub url: String,
    /// The bytes that sign.
    pub secret: Vec<u8>,
}

/// The result of an attempt.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The state after it.
    pub state: DeliveryState,
    /// The HTTP status of the answer, if there was one.
    pub status: Option<u16>,
    /// Why it failed; `None` if it did not.
    pub error: Option<String>,
    /// When the next attempt is due, in seconds since 1970; of no meaning unless the delivery waits.
    pub next_at: i64,
    /// Why nothing more may be sent to this receiver, if so.
    pub disables: Option<&'static str>,
}

/// Which deliveries to list, newest event first.
#[derive(Debug, Clone, Default)]
pub struct DeliveryQuery {
    /// Only those of this webhook.
    pub webhook: Option<String>,
    /// Only those in this state.
    pub state: Option<DeliveryState>,
    /// Only events before this position.
    pub before: Option<u64>,
    /// The greatest number of deliveries.
    pub limit: usize,
}

/// Events that one transaction plans, so that others need not wait.
const AT_ONCE: usize = 100;

/// If a webhook is this many audit events behind, and none of them is an event for it, its cursor is moved all the same.
const FAR: u64 = 200;

/// Days after which deliveries that succeeded are forgotten.
const DELIVERED_DAYS: i64 = 30;

const COLUMNS: &str = "id, webhook, seq, type, state, attempts, next_at, status, error, updated_at";

impl Gallery {
    /// Makes deliveries of all events that have none yet. A delivery exists once the cursor is past its event, in one
    /// transaction, so that a crash loses none.
    ///
    /// # Errors
    /// When the database cannot be read or written.
    pub fn plan_deliveries(&self, now: Timestamp) -> Result<(), GalleryError> {
        let behind: Vec<String> = self.read(|db| {
            db.prepare_cached(
                "SELECT id FROM webhook WHERE disabled IS NULL AND cursor < (SELECT coalesce(max(seq), 0) FROM audit)",
            )?
            .query_map([], |row| row.get(0))?
            .collect()
        })?;
        for webhook in behind {
            while self.plan_some(&webhook, now)? {}
        }
        Ok(())
    }

    /// Returns whether more events may be left.
    fn plan_some(&self, webhook: &str, now: Timestamp) -> Result<bool, GalleryError> {
        let Some(plan) = self.read(|db| Plan::read(db, webhook))? else { return Ok(false) };
        if plan.events.is_empty() && plan.to < plan.from + FAR {
            return Ok(false);
        }
        self.write(|transaction| plan.keep(transaction, webhook, now))?;
        Ok(plan.events.len() == AT_ONCE)
    }

    /// Ids of the webhooks with a delivery that is due.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn due_webhooks(&self, now: Timestamp) -> Result<Vec<String>, GalleryError> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT DISTINCT d.webhook FROM webhook_delivery d JOIN webhook w ON w.id = d.webhook
                 WHERE d.state = 'waiting' AND d.next_at <= ?1 AND w.disabled IS NULL",
            )?
            .query_map([now.as_second()], |row| row.get(0))?
            .collect()
        })
    }

    /// Begins an attempt at a webhook's oldest delivery that is due. Nobody else begins one within `lease_s` seconds;
    /// if this process ends before [`Gallery::settle`], the delivery is due again after them. Deliveries of erased
    /// events are dropped.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn begin_delivery(&self, webhook: &str, now: Timestamp, lease_s: i64) -> Result<Option<Due>, GalleryError> {
        self.write(|transaction| {
            let enabled = find_webhook(transaction, webhook)?.filter(|(found, _)| found.disabled.is_none());
            let Some((found, secret)) = enabled else { return Ok(None) };
            while let Some(delivery) = begin(transaction, webhook, now, lease_s)? {
                if let Some(event) = event_at(transaction, delivery.seq)? {
                    return Ok(Some(Due { delivery, event, url: found.url, secret }));
                }
                transaction.execute("DELETE FROM webhook_delivery WHERE id = ?1", [&delivery.id])?;
            }
            Ok(None)
        })
    }

    /// Stores the result of an attempt.
    ///
    /// # Errors
    /// When the database cannot be written; then the delivery is due again after its lease.
    pub fn settle(&self, delivery: &Delivery, attempt: &Attempt, now: Timestamp) -> Result<(), GalleryError> {
        self.write(|transaction| {
            transaction
                .prepare_cached(
                    "UPDATE webhook_delivery SET state = ?2, status = ?3, error = ?4, next_at = ?5, updated_at = ?6
                     WHERE id = ?1",
                )?
                .execute(params![
                    delivery.id,
                    attempt.state.as_str(),
                    attempt.status,
                    attempt.error,
                    attempt.next_at,
                    now.as_second(),
                ])?;
            attempt.disables.map_or(Ok(()), |why| disable(transaction, &delivery.webhook_id, why))
        })
    }

    /// Deliveries, newest event first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn deliveries(&self, query: &DeliveryQuery) -> Result<Vec<Delivery>, GalleryError> {
        self.read(|db| {
            let sql = format!(
                "SELECT {COLUMNS} FROM webhook_delivery WHERE (?1 IS NULL OR webhook = ?1)
                 AND (?2 IS NULL OR state = ?2) AND (?3 IS NULL OR seq < ?3) ORDER BY seq DESC, id LIMIT ?4"
            );
            db.prepare_cached(&sql)?
                .query_map(
                    params![
                        query.webhook,
                        query.state.map(DeliveryState::as_str),
                        query.before.map(signed),
                        i64::try_from(query.limit).unwrap_or(i64::MAX),
                    ],
                    delivery,
                )?
                .collect()
        })
    }

    /// Numbers of deliveries that wait and that are dead.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn delivery_counts(&self) -> Result<[u64; 2], GalleryError> {
        self.read(|db| {
            let mut count = db.prepare_cached("SELECT count(*) FROM webhook_delivery WHERE state = ?1")?;
            let mut of = |state: DeliveryState| count.query_row([state.as_str()], |row| unsigned(row, 0));
            Ok([of(DeliveryState::Waiting)?, of(DeliveryState::Dead)?])
        })
    }

    /// Makes a delivery due now, with all its attempts before it, and logs it. `None` if the webhook has no such
    /// delivery.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn resend(
        &self,
        (actor, session): (&str, Option<&str>),
        (webhook, id): (&str, &str),
        now: Timestamp,
    ) -> Result<Option<Delivery>, GalleryError> {
        self.write(|transaction| {
            let sql = format!(
                "UPDATE webhook_delivery SET state = 'waiting', attempts = 0, next_at = 0, updated_at = ?3
                 WHERE id = ?1 AND webhook = ?2 RETURNING {COLUMNS}"
            );
            let again = transaction
                .prepare_cached(&sql)?
                .query_row(params![id, webhook, now.as_second()], delivery)
                .optional()?;
            if let Some(again) = &again {
                append(transaction, AuditEvent { actor, session, action: "resend-event", subject: id }, &(), again)?;
            }
            Ok(again)
        })
    }

    /// Forgets deliveries that succeeded long ago.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn sweep_deliveries(&self, now: Timestamp) -> Result<(), GalleryError> {
        self.write(|transaction| {
            transaction
                .execute(
                    "DELETE FROM webhook_delivery WHERE state = 'delivered' AND updated_at < ?1",
                    [now.as_second() - DELIVERED_DAYS * 86_400],
                )
                .map(drop)
        })
    }
}

/// A webhook's next events, and the positions before and after them.
struct Plan {
    from: u64,
    to: u64,
    events: Vec<(u64, EventType)>,
}

impl Plan {
    fn read(db: &Connection, webhook: &str) -> storage::Result<Option<Self>> {
        let snapshot = db.snapshot()?;
        let Some((found, _)) = find_webhook(&snapshot, webhook)? else { return Ok(None) };
        let from = snapshot.query_row("SELECT cursor FROM webhook WHERE id = ?1", [webhook], |row| unsigned(row, 0))?;
        let newest = snapshot.query_row("SELECT coalesce(max(seq), 0) FROM audit", [], |row| unsigned(row, 0))?;
        let types = found.types.unwrap_or_default();
        let events = events(&snapshot, &EventQuery { after: from, types: &types, limit: AT_ONCE })?;
        let to = events.last().filter(|_| events.len() == AT_ONCE).map_or(newest, |last| last.seq);
        Ok(Some(Self { from, to, events: events.iter().map(|event| (event.seq, event.kind)).collect() }))
    }

    /// Stores the deliveries, unless another process was faster.
    fn keep(&self, transaction: &Writing<'_>, webhook: &str, now: Timestamp) -> storage::Result<()> {
        let moved = transaction
            .prepare_cached("UPDATE webhook SET cursor = ?3 WHERE id = ?1 AND cursor = ?2")?
            .execute(params![webhook, signed(self.from), signed(self.to)])?;
        if moved == 0 {
            return Ok(());
        }
        let mut insert = transaction.prepare_cached(
            "INSERT INTO webhook_delivery (id, webhook, seq, type, state, updated_at)
             VALUES (?1, ?2, ?3, ?4, 'waiting', ?5) ON CONFLICT DO NOTHING",
        )?;
        for (seq, kind) in &self.events {
            insert.execute(params![new_id("msg"), webhook, signed(*seq), kind.as_str(), now.as_second()])?;
        }
        Ok(())
    }
}

/// Counts an attempt at the oldest delivery that is due.
fn begin(transaction: &Writing<'_>, webhook: &str, now: Timestamp, lease_s: i64) -> storage::Result<Option<Delivery>> {
    let sql = format!(
        "UPDATE webhook_delivery SET attempts = attempts + 1, next_at = ?3, updated_at = ?2 WHERE id = (
             SELECT id FROM webhook_delivery WHERE webhook = ?1 AND state = 'waiting' AND next_at <= ?2
             ORDER BY seq LIMIT 1) RETURNING {COLUMNS}"
    );
    let now = now.as_second();
    transaction.prepare_cached(&sql)?.query_row(params![webhook, now, now + lease_s], delivery).optional()
}

fn delivery(row: &Row<'_>) -> storage::Result<Delivery> {
    let state = parsed(row, 4)?;
    let next = row.get::<i64>(6)? > 0 && state == DeliveryState::Waiting;
    Ok(Delivery {
        id: row.get(0)?,
        webhook_id: row.get(1)?,
        seq: unsigned(row, 2)?,
        kind: parsed(row, 3)?,
        state,
        attempts: row.get(5)?,
        next_at: if next { Some(second(row, 6)?) } else { None },
        status: row.get(7)?,
        error: row.get(8)?,
        updated_at: second(row, 9)?,
    })
}
