//! Takedown notices: filing and reading them, and every change of a listing's state.

mod cases;
mod changes;
mod erasing;
mod filing;
mod lanes;
mod rows;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::store::{Gallery, GalleryError, unsigned};
use crate::domain::{Ground, NoticeSource, NoticeState};

pub(super) use cases::follow_case;
pub use changes::{Change, Moved, NoticeActor};
pub(super) use erasing::{erase_closed_notices, erase_notices_of};
pub use filing::{Filed, NewListing, NewNotice};
use rows::{about, filters, find_notice, list, listings_of, summary};

/// A request to the marketplace to take listings down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// Position in lists, from 1, with gaps.
    #[serde(skip)]
    pub number: u64,
    /// Public id, `ntc_` and a UUID.
    pub id: String,
    /// The brand; absent if the case that led to the notice names none.
    pub brand: Option<String>,
    /// Who asks.
    pub source: NoticeSource,
    /// When the notice was filed.
    pub created_at: Timestamp,
    /// Who filed it: the id of an API key, or the name of a moderator.
    pub filed_by: String,
}

/// A listing in a notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NoticeListing {
    /// Id of the notice.
    #[serde(skip)]
    pub notice: String,
    /// Position in the notice, from 0.
    #[serde(skip)]
    pub place: u64,
    /// The marketplace's id of the listing; absent once it was erased.
    pub listing_id: Option<String>,
    /// The marketplace's id of the seller.
    pub seller_id: Option<String>,
    /// The newest check of the listing.
    pub check_id: Option<String>,
    /// The seller whom that check names, which may not be the one that the brand names. Brands do not see it.
    #[serde(skip)]
    pub checked_seller: Option<String>,
    /// Why it should be taken down.
    pub ground: Ground,
    /// Id of the brand's reference that the notice rests on.
    pub reference_id: Option<String>,
    /// What the brand says, free text.
    pub evidence: Option<String>,
    /// The state now.
    pub state: NoticeState,
    /// The reason for the state: of a rejection, a refusal, or the seller's counter-notice.
    pub reason: Option<String>,
    /// The moderator whose decision the request rests on; absent for a request that nobody has reviewed.
    pub decided_by: Option<String>,
    /// Whether a moderator has seen it.
    pub reviewed: bool,
    /// Whether the marketplace was asked to show the removed listing again.
    pub restore_asked: bool,
    /// Until when the marketplace should answer the request.
    pub deadline_at: Option<Timestamp>,
    /// When the marketplace was reminded of the request.
    pub reminded_at: Option<Timestamp>,
    /// When the state last changed.
    pub updated_at: Timestamp,
}

impl NoticeListing {
    /// Whether the marketplace should have answered before `now`.
    #[must_use]
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.state.is_due() && self.deadline_at.is_some_and(|deadline| deadline < now)
    }

    /// Whether the request went out before any moderator saw it, and none has since.
    #[must_use]
    pub fn is_unreviewed(&self) -> bool {
        !self.reviewed && !matches!(self.state, NoticeState::Waiting | NoticeState::Withdrawn)
    }
}

/// A notice with the numbers of its listings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeSummary {
    /// The notice.
    pub notice: Notice,
    /// Number of its listings in each state that occurs.
    pub states: BTreeMap<NoticeState, u64>,
    /// Number of its listings that the marketplace should have answered.
    pub overdue: u64,
    /// Number of its listings whose request no moderator has seen.
    pub unreviewed: u64,
}

/// Which notices to list. Filters that are `None` accept every notice.
#[derive(Debug, Clone, Default)]
pub struct NoticeQuery {
    /// Only this brand's.
    pub brand: Option<String>,
    /// Only those with a listing in this state.
    pub state: Option<NoticeState>,
    /// Only those after this number.
    pub after: u64,
    /// The greatest number of notices to return.
    pub limit: usize,
    /// The number of notices to skip first.
    pub offset: usize,
    /// Whether those come first that wait for a moderator, then those that are overdue, then those not yet reviewed, and
    /// then the newest; otherwise the oldest come first.
    pub urgent_first: bool,
}

impl Gallery {
    /// A notice and its listings in their order. `None` when there is no such notice.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn notice(&self, id: &str) -> Result<Option<(Notice, Vec<NoticeListing>)>, GalleryError> {
        self.read(|db| match find_notice(db, id)? {
            Some(notice) => {
                let listings = listings_of(db, id)?;
                Ok(Some((notice, listings)))
            }
            None => Ok(None),
        })
    }

    /// Notices with the numbers of their listings.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn notices(&self, query: &NoticeQuery) -> Result<Vec<NoticeSummary>, GalleryError> {
        self.read(|db| {
            let found = list(db, query)?;
            let now = Timestamp::now();
            found.into_iter().map(|notice| summary(db, notice, now)).collect()
        })
    }

    /// The number of notices that the same filters accept.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn count_notices(&self, query: &NoticeQuery) -> Result<u64, GalleryError> {
        self.read(|db| {
            let (conditions, values) = filters(query);
            let sql = format!("SELECT count(*) FROM notice n WHERE {conditions}");
            db.prepare_cached(&sql)?.query_row(&values[..], |row| unsigned(row, 0))
        })
    }

    /// The brands that have notices, in alphabetical order.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn notice_brands(&self) -> Result<Vec<String>, GalleryError> {
        self.read(|db| {
            db.prepare_cached("SELECT DISTINCT brand FROM notice WHERE brand IS NOT NULL ORDER BY brand")?
                .query_map([], |row| row.get(0))?
                .collect()
        })
    }

    /// The notices about a check or its listing, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn notices_about(
        &self,
        check_id: &str,
        listing_id: Option<&str>,
    ) -> Result<Vec<(Notice, NoticeListing)>, GalleryError> {
        self.read(|db| about(db, check_id, listing_id))
    }
}
