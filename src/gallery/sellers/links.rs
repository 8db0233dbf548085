//! Links between sellers whose listings used the same photo.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::closures::newest;
use super::strikes::strikes_of;
use crate::domain::{ClosureState, StrikeOptions, total};
use crate::gallery::memory::DAY;
use crate::gallery::store::{Gallery, GalleryError, unsigned};
use crate::photo::Sha256;
use crate::storage::{self, Connection, Writing, params};

/// Most sellers of a graph.
const LINKED_MOST: usize = 40;
/// Most photos of a seller that are compared, the newest first.
const PHOTOS_MOST: u32 = 5000;

/// A seller in a graph of links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LinkedSeller {
    /// The marketplace's id of the seller.
    pub seller_id: String,
    /// How many links away the seller is from the one asked about, at least; 0 for that one.
    pub distance: u32,
    /// Number of strikes that count now.
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
    /// The newest of these photos.
    pub newest: SharedPhoto,
}

/// A photo that two sellers used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SharedPhoto {
    /// SHA-256 of the photo, in lower-case hex.
    #[schema(value_type = String)]
    pub photo: Sha256,
    /// Ids of the newest check of the photo for each of the two sellers, in the order of `sellers`.
    pub checks: [String; 2],
    /// Whether the photo's bytes are stored, so that somebody can see it.
    #[serde(skip)]
    #[schema(ignore)]
    pub stored: bool,
}

/// The sellers that are linked with one, directly or through others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct LinkGraph {
    /// The sellers, the one asked about first, then by distance.
    pub sellers: Vec<LinkedSeller>,
    /// The links between them. Of each seller, the 41 links with most photos count.
    pub links: Vec<Link>,
    /// Whether sellers or photos were left out because there are too many.
    pub truncated: bool,
}

/// Another seller who used some of a seller's photos.
struct Linked {
    seller: String,
    photos: u64,
    newest: Sha256,
    stored: bool,
    own_check: String,
    other_check: String,
}

impl Gallery {
    /// The sellers at most `distance` links from one. Brands' own photos, photos that many goods share, and photos that
    /// many sellers share link nobody.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn linked_sellers(&self, seller_id: &str, distance: u32, now: Timestamp) -> Result<LinkGraph, GalleryError> {
        let options = self.takedown().strikes;
        self.read(|db| {
            let snapshot = db.snapshot()?;
            graph(&snapshot, seller_id, distance, (&options, now))
        })
    }

    /// Erases at most `limit` rows about photos that were last used on or before a day. Returns how many.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn drop_listing_photos(&self, until: Timestamp, limit: u32) -> Result<u64, GalleryError> {
        let day = until.as_second() / DAY;
        self.write(|transaction| {
            let dropped = transaction.execute(
                "DELETE FROM listing_photo WHERE number IN (SELECT number FROM listing_photo ORDER BY number LIMIT ?2) AND day <= ?1",
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
) -> storage::Result<LinkGraph> {
    let mut found = vec![(seller_id.to_owned(), 0)];
    let mut links = Vec::new();
    let mut truncated = false;
    let mut next = 0;
    while let Some((seller, depth)) = found.get(next).cloned() {
        let (linked, more) = linked_with(db, &seller, options.shared_most)?;
        truncated |= more && depth < distance;
        for Linked { seller: other, photos, newest, stored, own_check, other_check } in linked {
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
            let pair = if seller < other { [&seller, &other] } else { [&other, &seller] };
            // From the other side already.
            if links.iter().any(|link: &Link| link.sellers.each_ref() == pair) {
                continue;
            }
            let in_order = seller < other;
            let checks = if in_order { [own_check, other_check] } else { [other_check, own_check] };
            let sellers = if in_order { [seller.clone(), other] } else { [other, seller.clone()] };
            links.push(Link { sellers, photos, newest: SharedPhoto { photo: newest, checks, stored } });
        }
        next += 1;
    }
    links.sort_by(|a, b| a.sellers.cmp(&b.sellers));
    let sellers = found.into_iter().map(|(seller, distance)| described(db, seller, distance, (options, now)));
    Ok(LinkGraph { sellers: sellers.collect::<storage::Result<_>>()?, links, truncated })
}

fn described(
    db: &Connection,
    seller_id: String,
    distance: u32,
    (options, now): (&StrikeOptions, Timestamp),
) -> storage::Result<LinkedSeller> {
    let strikes = total(&strikes_of(db, &seller_id, options, now)?);
    let closure = newest(db, &seller_id)?.map(|closure| closure.state);
    Ok(LinkedSeller { seller_id, distance, strikes, closure })
}

/// The sellers who used a seller's photos, those who used most of them first, and whether some were left out. A brand may
/// have added a photo since it was checked.
fn linked_with(db: &Connection, seller: &str, shared_most: u32) -> storage::Result<(Vec<Linked>, bool)> {
    let found: Vec<Linked> = db
        .prepare_cached(
            "WITH own AS (SELECT number, sha256, check_id FROM listing_photo WHERE seller_id = ?1 ORDER BY number DESC LIMIT ?3)
             SELECT seller_id, photos, sha256, own_check, other_check, EXISTS (SELECT 1 FROM upload u WHERE u.sha256 = shared.sha256)
             FROM (SELECT o.seller_id, own.sha256, own.check_id AS own_check, o.check_id AS other_check,
                          count(*) OVER (PARTITION BY o.seller_id) AS photos,
                          row_number() OVER (PARTITION BY o.seller_id ORDER BY own.number DESC) AS nth
             FROM own JOIN listing_photo o ON o.sha256 = own.sha256 AND o.seller_id <> ?1
             WHERE (SELECT count(*) FROM (SELECT 1 FROM listing_photo x WHERE x.sha256 = own.sha256 LIMIT ?2 + 1) AS users) <= ?2
               AND NOT EXISTS (SELECT 1 FROM reference r WHERE r.sha256 = own.sha256 AND r.state = 'active'
                               AND (r.polarity = 'authentic' OR r.mark = 'generic'))
             ) AS shared WHERE nth = 1 ORDER BY photos DESC, seller_id LIMIT ?4",
        )?
        .query_map(params![seller, shared_most, PHOTOS_MOST, i64::try_from(LINKED_MOST).unwrap_or(i64::MAX) + 1], |row| {
            Ok(Linked {
                seller: row.get(0)?,
                photos: unsigned(row, 1)?,
                newest: Sha256(row.get(2)?),
                own_check: row.get(3)?,
                other_check: row.get(4)?,
                stored: row.get(5)?,
            })
        })?
        .collect::<storage::Result<_>>()?;
    let photos: u32 = db
        .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM listing_photo WHERE seller_id = ?1 LIMIT ?2 + 1) AS own")?
        .query_row(params![seller, PHOTOS_MOST], |row| row.get(0))?;
    let more = photos > PHOTOS_MOST || found.len() > LINKED_MOST;
    Ok((found, more))
}

/// Stores which photos a seller's check had.
pub(in crate::gallery) fn note_photos(
    transaction: &Writing<'_>,
    (seller, check_id): (Option<&str>, &str),
    photos: &[Sha256],
    at: Timestamp,
) -> storage::Result<()> {
    let Some(seller) = seller else { return Ok(()) };
    let mut former = transaction.prepare_cached("DELETE FROM listing_photo WHERE sha256 = ?1 AND seller_id = ?2")?;
    let mut newest = transaction
        .prepare_cached("INSERT INTO listing_photo (sha256, seller_id, check_id, day) VALUES (?1, ?2, ?3, ?4)")?;
    photos.iter().try_for_each(|photo| {
        former.execute(params![&photo.0[..], seller])?;
        newest.execute(params![&photo.0[..], seller, check_id, at.as_second() / DAY]).map(drop)
    })
}

/// Erases a seller's photos and proposals. Returns the ids of the proposals.
pub(in crate::gallery) fn erase_seller(transaction: &Writing<'_>, seller: &str) -> storage::Result<Vec<String>> {
    transaction.execute("DELETE FROM listing_photo WHERE seller_id = ?1", [seller])?;
    transaction
        .prepare_cached("DELETE FROM closure WHERE seller_id = ?1 RETURNING id")?
        .query_map([seller], |row| row.get(0))?
        .collect()
}
