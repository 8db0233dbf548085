//! Filing a brand's notice.

use jiff::Timestamp;

use super::changes::{NoticeActor, change, record, with_deadline};
use super::lanes::look_at;
use super::rows::{find_notice, insert_listing, insert_notice, listings_of};
use super::{Notice, NoticeListing};
use crate::domain::{BrandId, Ground, NoticeSource, NoticeState, Party};
use crate::gallery::store::{Gallery, GalleryError, parsed};
use crate::storage::{self, OptionalExtension, Writing};

/// A brand's notice to file.
#[derive(Debug, Clone)]
pub struct NewNotice<'a> {
    /// The brand.
    pub brand: &'a BrandId,
    /// Id of the API key that files it.
    pub filed_by: &'a str,
    /// Its listings, each with an id of its own.
    pub listings: &'a [NewListing],
}

/// A listing of a new notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewListing {
    /// The marketplace's id of the listing.
    pub listing_id: String,
    /// The marketplace's id of the seller.
    pub seller_id: Option<String>,
    /// Why it should be taken down.
    pub ground: Ground,
    /// Id of the brand's reference that the notice rests on.
    pub reference_id: Option<String>,
    /// What the brand says, free text.
    pub evidence: Option<String>,
}

/// The result of [`Gallery::file_notice`].
#[derive(Debug, Clone, PartialEq)]
pub enum Filed {
    /// The notice is stored.
    New(Box<Notice>),
    /// The brand has filed the same listings before, and that notice is still open.
    Before(Box<Notice>),
    /// A listing is in an open notice of the brand; nothing is stored.
    Open {
        /// The marketplace's id of the listing.
        listing_id: String,
        /// Id of the notice.
        notice: String,
    },
}

impl Gallery {
    /// Files a brand's notice. In the fast lane its listings are requested at once, else a moderator sees them first.
    ///
    /// # Errors
    /// When the database cannot be written; then nothing is stored.
    pub fn file_notice(&self, new: &NewNotice<'_>) -> Result<Filed, GalleryError> {
        let options = self.takedown();
        self.write(|transaction| {
            if let Some(open) = open_before(transaction, new)? {
                return Ok(open);
            }
            let now = Timestamp::now();
            let fast = look_at(transaction, &options, new.brand.as_str(), now)?.fast;
            let notice = insert_notice(transaction, Some(new.brand.as_str()), NoticeSource::Brand, new.filed_by, now)?;
            let actor = NoticeActor { who: new.filed_by, session: None, party: Party::Brand };
            for (place, listing) in new.listings.iter().enumerate() {
                let mut row = drawn(&notice, listing, place as u64);
                if let Some((check, seller)) = newest_check(transaction, &listing.listing_id)? {
                    (row.check_id, row.checked_seller) = (Some(check), seller);
                }
                insert_listing(transaction, &row)?;
                record(transaction, actor, &notice, NoticeState::Waiting.action(), None, &row)?;
                if fast {
                    let requested =
                        NoticeListing { state: NoticeState::Requested, ..with_deadline(row.clone(), &options, now) };
                    change(transaction, actor, &notice, &row, &requested)?;
                }
            }
            Ok(Filed::New(Box::new(notice)))
        })
    }
}

/// The answer if a listing of `new` is in an open notice of the brand.
fn open_before(transaction: &Writing<'_>, new: &NewNotice<'_>) -> storage::Result<Option<Filed>> {
    let mut first: Option<(String, String)> = None;
    let mut all = true;
    for listing in new.listings {
        let open = open_notice(transaction, new.brand.as_str(), &listing.listing_id)?;
        match (open, &first) {
            (None, _) => all = false,
            (Some(notice), None) => first = Some((listing.listing_id.clone(), notice)),
            (Some(notice), Some((_, known))) => all &= notice == *known,
        }
    }
    let Some((listing_id, id)) = first else { return Ok(None) };
    let same = find_notice(transaction, &id)?.filter(|notice| all && notice.source == NoticeSource::Brand);
    let count = listings_of(transaction, &id)?.len();
    Ok(Some(match same.filter(|_| count == new.listings.len()) {
        Some(notice) => Filed::Before(Box::new(notice)),
        None => Filed::Open { listing_id, notice: id },
    }))
}

fn open_notice(transaction: &Writing<'_>, brand: &str, listing: &str) -> storage::Result<Option<String>> {
    let mut statement = transaction.prepare_cached(
        "SELECT l.state, l.notice FROM notice_listing l JOIN notice n ON n.id = l.notice WHERE l.listing_id = ?1 AND n.brand = ?2",
    )?;
    let mut rows = statement.query([listing, brand])?;
    while let Some(row) = &rows.next()? {
        if parsed::<NoticeState>(row, 0)?.is_open() {
            return row.get(1).map(Some);
        }
    }
    Ok(None)
}

/// The listing's newest check, and its seller.
fn newest_check(transaction: &Writing<'_>, listing: &str) -> storage::Result<Option<(String, Option<String>)>> {
    transaction
        .prepare_cached(
            "SELECT id, seller_id FROM listing_check WHERE listing_id = ?1 ORDER BY created_at DESC LIMIT 1",
        )?
        .query_row([listing], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

/// A waiting row for a new listing.
pub(super) fn drawn(notice: &Notice, listing: &NewListing, place: u64) -> NoticeListing {
    NoticeListing {
        notice: notice.id.clone(),
        place,
        listing_id: Some(listing.listing_id.clone()),
        seller_id: listing.seller_id.clone(),
        check_id: None,
        checked_seller: None,
        ground: listing.ground,
        reference_id: listing.reference_id.clone(),
        evidence: listing.evidence.clone(),
        state: NoticeState::Waiting,
        reason: None,
        decided_by: None,
        reviewed: false,
        restore_asked: false,
        deadline_at: None,
        reminded_at: None,
        updated_at: notice.created_at,
    }
}
