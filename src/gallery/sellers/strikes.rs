//! The infringements of a seller that count as strikes.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};

use crate::domain::{Decision, Strike, StrikeGround, StrikeOptions, counted};
use crate::gallery::store::{parsed, second};

/// Most infringements of each kind that are read.
const MOST: u32 = 1000;

/// The infringements of a seller that count at `now`, the oldest first.
///
/// A case counts while its decision stands: not during an appeal, and not if the listing was restored, or its seller's
/// counter-notice waits. A removal counts if a moderator reviewed the brand's notice.
pub(super) fn strikes_of(
    db: &Connection,
    seller_id: &str,
    options: &StrikeOptions,
    now: Timestamp,
) -> rusqlite::Result<Vec<Strike>> {
    let since = (now - SignedDuration::from_hours(24 * i64::from(options.days))).as_second();
    let mut all = decided(db, seller_id, options, since)?;
    all.extend(removed(db, seller_id, options, since)?);
    // Stable: of a case and a removal at one moment, the case counts.
    all.sort_by_key(|strike| strike.at);
    Ok(counted(all))
}

fn decided(db: &Connection, seller_id: &str, options: &StrikeOptions, since: i64) -> rusqlite::Result<Vec<Strike>> {
    db.prepare_cached(
        "SELECT c.decision, c.check_id, c.listing_id, c.brand, c.photo, c.decided_at FROM moderation_case c
         WHERE c.seller_id = ?1 AND c.status = 'decided' AND c.decision IN ('fake', 'photo_misuse')
           AND unixepoch(c.decided_at) >= ?2
           AND NOT EXISTS (SELECT 1 FROM notice_listing l JOIN notice n ON n.id = l.notice
                           WHERE l.check_id = c.check_id AND n.source = 'moderation' AND l.state IN ('countered', 'restored'))
         ORDER BY c.decided_at LIMIT ?3",
    )?
    .query_map(params![seller_id, since, MOST], |row| {
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

fn removed(db: &Connection, seller_id: &str, options: &StrikeOptions, since: i64) -> rusqlite::Result<Vec<Strike>> {
    db.prepare_cached(
        "SELECT l.notice, l.check_id, l.listing_id, n.brand, l.updated_at FROM notice_listing l JOIN notice n ON n.id = l.notice
         WHERE l.seller_id = ?1 AND n.source = 'brand' AND l.state = 'removed' AND l.reviewed = 1 AND l.restore_asked = 0
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
