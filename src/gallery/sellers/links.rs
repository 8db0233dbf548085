//! Links between sellers whose listings used the same photo.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde::Serialize;
use utoipa::ToSchema;

use super::closures::newest;
use super::strikes::strikes_of;
use crate::domain::{ClosureState, StrikeOptions, total};
use crate::gallery::memory::DAY;
use crate::gallery::store::{Gallery, GalleryError};
use crate::gallery::writer::Writing;
use crate::photo::Sha256;

/// Most sellers of a graph.
pub const LINKED_MOST: usize = 40;
/// Most shared photos of a seller that are read, the newest first.
const PHOTOS_MOST: u32 = 5000;
/// Shared photos that a link shows.
const SHOWN: usize = 3;

/// A seller in a graph of links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LinkedSeller {
    /// The marketplace's id of the seller.
    pub seller_id: String,
    /// The fewest links from the seller that the graph is about.
    pub distance: u32,
    /// The sum of strikes.
    pub strikes: u32,
    /// The state of the newest proposal to close the account; absent if there was none.
    pub closure: Option<ClosureState>,
}

/// Two sellers whose listings used the same photos.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Link {
    /// The two sellers' ids, in alphabetical order.
    pub sellers: [String; 2],
    /// Number of photos that both used.
    pub photos: u64,
    /// The newest of these photos, at most three.
    pub examples: Vec<SharedPhoto>,
}

/// A photo that two sellers used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SharedPhoto {
    /// SHA-256 of the photo, in lower-case hex.
    #[schema(value_type = String)]
    pub photo: Sha256,
    /// The newest check of the photo for each of the two sellers, in their order.
    pub checks: [String; 2],
}

/// The sellers that are linked with one, directly or by others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct LinkGraph {
    /// The sellers, the one asked about first, then by distance.
    pub sellers: Vec<LinkedSeller>,
    /// Every link between two of them.
    pub links: Vec<Link>,
    /// Whether sellers or photos were left out because there are too many.
    pub truncated: bool,
}

/// A photo that a seller shares with another one.
struct Shared {
    photo: Sha256,
    own_check: String,
    other: String,
    other_check: String,
}

impl Gallery {
    /// The sellers that share photos with one, over at most `distance` links; not counting brands' own photos, photos
    /// that many goods share, and photos that many sellers share.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn linked_sellers(&self, seller_id: &str, distance: u32, now: Timestamp) -> Result<LinkGraph, GalleryError> {
        let options = self.takedown().strikes;
        self.read(|db| {
            let snapshot = db.unchecked_transaction()?;
            graph(&snapshot, seller_id, distance, (&options, now))
        })
    }

    /// Erases at most `limit` rows about photos that were last used before a day. Returns how many.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn drop_listing_photos(&self, before: Timestamp, limit: u32) -> Result<u64, GalleryError> {
        let day = before.as_second() / DAY;
        self.write(|transaction| {
            let dropped = transaction.execute(
                "DELETE FROM listing_photo WHERE (sha256, seller_id) IN (SELECT sha256, seller_id FROM listing_photo WHERE day < ?1 LIMIT ?2)",
                params![day, limit],
            )?;
            Ok(dropped as u64)
        })
    }
}

fn graph(
    db: &Connection,
    seller_id: &str,
    distance: u32,
    (options, now): (&StrikeOptions, Timestamp),
) -> rusqlite::Result<LinkGraph> {
    let mut found = vec![(seller_id.to_owned(), 0)];
    let mut links: BTreeMap<[String; 2], (u64, Vec<SharedPhoto>)> = BTreeMap::new();
    let mut truncated = false;
    let mut next = 0;
    while let Some((seller, depth)) = found.get(next).cloned() {
        let done: HashSet<String> = found[..next].iter().map(|(seller, _)| seller.clone()).collect();
        next += 1;
        let shared = shared_by(db, &seller, options.shared_most)?;
        truncated |= shared.len() >= PHOTOS_MOST as usize;
        for Shared { photo, own_check, other, other_check } in shared {
            // Already linked from the other side.
            if done.contains(&other) {
                continue;
            }
            if !found.iter().any(|(known, _)| *known == other) {
                if depth >= distance {
                    continue;
                }
                if found.len() >= LINKED_MOST {
                    truncated = true;
                    continue;
                }
                found.push((other.clone(), depth + 1));
            }
            let in_order = seller < other;
            let checks = if in_order { [own_check, other_check] } else { [other_check, own_check] };
            let pair = if in_order { [seller.clone(), other] } else { [other, seller.clone()] };
            let (photos, examples) = links.entry(pair).or_default();
            *photos += 1;
            if examples.len() < SHOWN {
                examples.push(SharedPhoto { photo, checks });
            }
        }
    }
    let links = links.into_iter().map(|(sellers, (photos, examples))| Link { sellers, photos, examples }).collect();
    let sellers = found.into_iter().map(|(seller, distance)| linked(db, seller, distance, (options, now)));
    Ok(LinkGraph { sellers: sellers.collect::<rusqlite::Result<_>>()?, links, truncated })
}

fn linked(
    db: &Connection,
    seller_id: String,
    distance: u32,
    (options, now): (&StrikeOptions, Timestamp),
) -> rusqlite::Result<LinkedSeller> {
    let strikes = total(&strikes_of(db, &seller_id, options, now)?);
    let closure = newest(db, &seller_id)?.map(|closure| closure.state);
    Ok(LinkedSeller { seller_id, distance, strikes, closure })
}

/// The photos that a seller shares with others, the newest first. A brand may have added a photo since it was checked.
fn shared_by(db: &Connection, seller: &str, shared_most: u32) -> rusqlite::Result<Vec<Shared>> {
    db.prepare_cached(
        "SELECT p.sha256, p.check_id, o.seller_id, o.check_id FROM listing_photo p
         JOIN listing_photo o ON o.sha256 = p.sha256 AND o.seller_id <> p.seller_id
         WHERE p.seller_id = ?1
           AND (SELECT count(*) FROM (SELECT 1 FROM listing_photo x WHERE x.sha256 = p.sha256 LIMIT ?2 + 1)) <= ?2
           AND NOT EXISTS (SELECT 1 FROM reference r WHERE r.sha256 = p.sha256 AND r.state <> 'deleted'
                           AND (r.polarity = 'authentic' OR r.mark = 'generic'))
         ORDER BY p.day DESC, p.sha256, o.seller_id LIMIT ?3",
    )?
    .query_map(params![seller, shared_most, PHOTOS_MOST], |row| {
        Ok(Shared { photo: Sha256(row.get(0)?), own_check: row.get(1)?, other: row.get(2)?, other_check: row.get(3)? })
    })?
    .collect()
}

/// Notes which photos a seller's check showed.
pub(in crate::gallery) fn note_photos(
    transaction: &Writing<'_>,
    (seller, check_id): (Option<&str>, &str),
    photos: &[Sha256],
    at: Timestamp,
) -> rusqlite::Result<()> {
    let Some(seller) = seller else { return Ok(()) };
    let mut statement = transaction.prepare_cached(
        "INSERT INTO listing_photo (sha256, seller_id, check_id, day) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (sha256, seller_id) DO UPDATE SET check_id = excluded.check_id, day = excluded.day",
    )?;
    photos.iter().try_for_each(|photo| {
        statement.execute(params![&photo.0[..], seller, check_id, at.as_second() / DAY]).map(drop)
    })
}

/// Erases a seller's photos and proposals. Returns the ids of the proposals.
pub(in crate::gallery) fn erase_seller(transaction: &Writing<'_>, seller: &str) -> rusqlite::Result<Vec<String>> {
    transaction.execute("DELETE FROM listing_photo WHERE seller_id = ?1", [seller])?;
    transaction
        .prepare("DELETE FROM closure WHERE seller_id = ?1 RETURNING id")?
        .query_map([seller], |row| row.get(0))?
        .collect()
}
