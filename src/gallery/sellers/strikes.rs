//! The infringements of a seller that count as strikes.

use jiff::{SignedDuration, Timestamp};

use crate::domain::{Decision, Strike, StrikeGround, StrikeOptions, counted};
use crate::gallery::store::{parsed, second};
use crate::storage::{self, Connection, OptionalExtension, params};

/// Most infringements of each kind that are read.
const MOST: u32 = 1000;

/// The infringements of a seller that count at `now`, the oldest first.
///
/// A decided case does not count during an appeal, while a counter-notice against moderation's request waits, or after
/// the listing was restored. A brand's removal counts if a moderator reviewed it, and not after a request to restore the
/// listing.
pub(super) fn strikes_of(
    db: &Connection,
    seller_id: &str,
    options: &StrikeOptions,
    now: Timestamp,
) -> storage::Result<Vec<Strike>> {
    let since = (now - SignedDuration::from_hours(24 * i64::from(options.days))).as_second();
    let mut all = decided(db, seller_id, options, since)?;
    all.extend(removed(db, seller_id, options, since)?);
    // Stable: of a case and a removal at one moment, the case counts.
    all.sort_by_key(|strike| strike.at);
    Ok(counted(all))
}

/// Leaves out cases whose request the seller objects to, or after which the listing was restored. Only the newest request
/// counts: an earlier one belongs to an earlier decision.
const NOT_RESTORED: &str = "NOT EXISTS (
    SELECT 1 FROM notice_listing l JOIN notice n ON n.id = l.notice
    WHERE l.check_id = c.check_id AND n.source = 'moderation' AND l.state IN ('countered', 'restored')
      AND NOT EXISTS (SELECT 1 FROM notice_listing m JOIN notice o ON o.id = m.notice
                      WHERE m.check_id = c.check_id AND o.source = 'moderation' AND o.number > n.number))";

/// The earliest case about each photo in each listing.
fn decided(db: &Connection, seller_id: &str, options: &StrikeOptions, since: i64) -> storage::Result<Vec<Strike>> {
    let sql = format!(
        "SELECT decision, check_id, listing_id, brand, photo, decided_at FROM (
             SELECT c.decision, c.check_id, c.listing_id, c.brand, c.photo, c.decided_at, row_number() OVER (
                 PARTITION BY coalesce(c.photo, c.check_id), coalesce(c.listing_id, c.check_id)
                 ORDER BY c.decided_at, c.check_id) AS nth
             FROM moderation_case c
             WHERE c.seller_id = ?1 AND c.status = 'decided' AND unixepoch(c.decided_at) >= ?2
               AND ((c.decision = 'fake' AND ?4 = 1) OR (c.decision = 'photo_misuse' AND ?5 = 1)) AND {NOT_RESTORED}
         ) AS decided WHERE nth = 1 ORDER BY decided_at, check_id LIMIT ?3"
    );
    db.prepare_cached(&sql)?
        .query_map(params![seller_id, since, MOST, options.fake > 0, options.misuse > 0], |row| {
            let ground = match parsed(row, 0)? {
                Decision::Fake => StrikeGround::Fake,
                _ => StrikeGround::PhotoMisuse,
            };
            Ok(Strike {
                ground,
                strikes: ground.weight(options),
                check_id: row.get(1)?,
                notice_id: None,
                listing_id: row.get(2)?,
                brand: row.get(3)?,
                photo: row.get(4)?,
                at: parsed(row, 5)?,
            })
        })?
        .collect()
}

/// Removals of listings whose check names the seller: what the brand says about the seller is not proven.
fn removed(db: &Connection, seller_id: &str, options: &StrikeOptions, since: i64) -> storage::Result<Vec<Strike>> {
    // The empty text keeps SQLite from reading all removed listings by their state.
    db.prepare_cached(
        "SELECT l.notice, l.check_id, l.listing_id, n.brand, l.updated_at FROM notice_listing l JOIN notice n ON n.id = l.notice
         WHERE l.checked_seller = ?1 AND n.source = 'brand' AND l.state || '' = 'removed' AND l.reviewed = 1 AND l.restore_asked = 0
           AND l.updated_at >= ?2
         ORDER BY l.updated_at LIMIT ?3",
    )?
    .query_map(params![seller_id, since, MOST], |row| {
        Ok(Strike {
            ground: StrikeGround::Removed,
            strikes: options.removed,
            check_id: row.get(1)?,
            notice_id: row.get(0)?,
            listing_id: row.get(2)?,
            brand: row.get(3)?,
            photo: None,
            at: second(row, 4)?,
        })
    })?
    .collect()
}

/// Whether an infringement was not overturned, however old it is. One whose records were erased stands.
pub(super) fn stands(db: &Connection, strike: &Strike) -> storage::Result<bool> {
    let standing: Option<bool> = match (&strike.notice_id, &strike.check_id) {
        (Some(notice), _) => db
            .prepare_cached(
                "SELECT state = 'removed' AND restore_asked = 0 FROM notice_listing WHERE notice = ?1 AND listing_id = ?2",
            )?
            .query_row(params![notice, strike.listing_id], |row| row.get(0))
            .optional()?,
        (None, Some(check)) => {
            let sql = format!(
                "SELECT c.status = 'decided' AND c.decision IN ('fake', 'photo_misuse') AND {NOT_RESTORED}
                 FROM moderation_case c WHERE c.check_id = ?1"
            );
            db.prepare_cached(&sql)?.query_row([check], |row| row.get(0)).optional()?
        }
        (None, None) => None,
    };
    Ok(standing.unwrap_or(true))
}
