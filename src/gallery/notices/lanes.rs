//! The standing of brands: how their notices were answered, and whether new ones go to the marketplace at once.

use jiff::Timestamp;
use serde_json::json;

use crate::domain::{Lane, TakedownOptions, TakedownRecord, standing_since};
use crate::gallery::audit::{AuditEvent, append};
use crate::gallery::store::{Gallery, GalleryError, unsigned};
use crate::storage::{self, Connection, OptionalExtension, Writing, params};

impl Gallery {
    /// The settings of takedowns.
    #[must_use]
    pub fn takedown(&self) -> TakedownOptions {
        *self.takedown.read()
    }

    /// Sets the settings of takedowns, which are the defaults until then.
    pub fn set_takedown(&self, options: TakedownOptions) {
        *self.takedown.write() = options;
    }

    /// How a brand's notices were answered, and its place as stored, which the next notice may change.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn brand_standing(&self, brand: &str, now: Timestamp) -> Result<(TakedownRecord, Lane), GalleryError> {
        self.read(|db| Ok((record_of(db, brand, now)?, lane_of(db, brand)?)))
    }

    /// Looks at every brand in the fast lane: time alone may end its place.
    pub(super) fn look_at_lanes(&self, now: Timestamp) -> Result<(), GalleryError> {
        let options = self.takedown();
        let fast: Vec<String> = self.read(|db| {
            db.prepare_cached("SELECT brand FROM brand_lane WHERE fast = 1")?.query_map([], |row| row.get(0))?.collect()
        })?;
        fast.iter().try_for_each(|brand| self.write(|transaction| look_at(transaction, &options, brand, now).map(drop)))
    }
}

/// Looks at a brand's figures, and stores its place if they change it.
pub(super) fn look_at(
    transaction: &Writing<'_>,
    options: &TakedownOptions,
    brand: &str,
    now: Timestamp,
) -> storage::Result<Lane> {
    let (lane, record) = (lane_of(transaction, brand)?, record_of(transaction, brand, now)?);
    let next = lane.after(&record, options, now.as_second());
    if next == lane {
        return Ok(lane);
    }
    transaction
        .prepare_cached(
            "INSERT INTO brand_lane (brand, fast, left_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (brand) DO UPDATE SET fast = excluded.fast, left_at = excluded.left_at",
        )?
        .execute(params![brand, next.fast, next.left_at])?;
    let action = if next.fast { "enter-fast-lane" } else { "leave-fast-lane" };
    let state = |lane: Lane| json!({ "fast": lane.fast, "left_at": lane.left_at });
    let event = AuditEvent { actor: "touchstone", session: None, action, subject: brand };
    append(transaction, event, &state(lane), &json!({ "lane": state(next), "record": record }))?;
    Ok(next)
}

fn lane_of(db: &Connection, brand: &str) -> storage::Result<Lane> {
    let lane = db
        .prepare_cached("SELECT fast, left_at FROM brand_lane WHERE brand = ?1")?
        .query_row([brand], |row| Ok(Lane { fast: row.get(0)?, left_at: row.get(1)? }))
        .optional()?;
    Ok(lane.unwrap_or_default())
}

fn record_of(db: &Connection, brand: &str, now: Timestamp) -> storage::Result<TakedownRecord> {
    db.prepare_cached(
        "SELECT count(*), count(*) FILTER (WHERE l.state IN ('removed', 'countered')), count(*) FILTER (WHERE l.state = 'restored')
         FROM notice n JOIN notice_listing l ON l.notice = n.id
         WHERE n.brand = ?1 AND n.source = 'brand' AND l.updated_at >= ?2
           AND l.state IN ('rejected', 'removed', 'refused', 'countered', 'restored')",
    )?
    .query_row(params![brand, standing_since(now.as_second())], |row| {
        Ok(TakedownRecord { answered: unsigned(row, 0)?, removed: unsigned(row, 1)?, restored: unsigned(row, 2)? })
    })
}
