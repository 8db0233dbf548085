//! Erasure of listings in takedown notices: the ids of seller and listing, texts, and the details of their audit events.

use jiff::Timestamp;

use super::rows::ERASED;
use crate::gallery::audit::erase_listing;
use crate::gallery::store::{signed, unsigned};
use crate::storage::{self, Writing, params};

/// A listing's notice, its place in it, and its id.
type Place = (String, u64, String);

/// Erases a seller's listings from all notices: those that name the seller, or whose check named the seller, and those whose
/// listing or check is the seller's. Returns how many.
pub(in crate::gallery) fn erase_notices_of(transaction: &Writing<'_>, seller_id: &str) -> storage::Result<u64> {
    let listings: Vec<Place> = transaction
        .prepare_cached(
            "SELECT notice, place, listing_id FROM notice_listing l
             WHERE substr(listing_id, 1, 1) <> ?2
               AND (seller_id = ?1 OR checked_seller = ?1 OR check_id IN (SELECT id FROM listing_check WHERE seller_id = ?1)
                    OR listing_id IN (SELECT c.listing_id FROM listing_check c WHERE c.seller_id = ?1 AND c.listing_id IS NOT NULL))",
        )?
        .query_map(params![seller_id, ERASED.to_string()], |row| Ok((row.get(0)?, unsigned(row, 1)?, row.get(2)?)))?
        .collect::<storage::Result<_>>()?;
    listings.iter().try_for_each(|place| erase(transaction, place))?;
    Ok(listings.len() as u64)
}

/// Erases at most `limit` listings on which nobody has to act, and whose state last changed before `before`. Returns how
/// many.
pub(in crate::gallery) fn erase_closed_notices(
    transaction: &Writing<'_>,
    before: Timestamp,
    limit: u32,
) -> storage::Result<u64> {
    let listings: Vec<Place> = transaction
        .prepare_cached(
            "SELECT notice, place, listing_id FROM notice_listing
             WHERE state IN ('rejected', 'removed', 'refused', 'restored', 'withdrawn') AND updated_at < ?1
               AND substr(listing_id, 1, 1) <> ?2 LIMIT ?3",
        )?
        .query_map(params![before.as_second(), ERASED.to_string(), limit], |row| {
            Ok((row.get(0)?, unsigned(row, 1)?, row.get(2)?))
        })?
        .collect::<storage::Result<_>>()?;
    listings.iter().try_for_each(|place| erase(transaction, place))?;
    Ok(listings.len() as u64)
}

/// Nobody can answer a request about a listing that has no id any more: it ends.
fn erase(transaction: &Writing<'_>, (notice, place, listing_id): &Place) -> storage::Result<()> {
    erase_listing(transaction, notice, listing_id)?;
    transaction
        .prepare_cached(
            "UPDATE notice_listing SET listing_id = ?3, seller_id = NULL, checked_seller = NULL, evidence = NULL, reason = NULL,
                    state = CASE WHEN state IN ('waiting', 'requested', 'acknowledged') THEN 'withdrawn'
                                 WHEN state = 'countered' THEN 'removed' ELSE state END
             WHERE notice = ?1 AND place = ?2",
        )?
        .execute(params![notice, signed(*place), format!("{ERASED}{place}")])
        .map(drop)
}
