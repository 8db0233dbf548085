//! Sellers: a seller's record, strikes, proposals to close an account, and links by shared photos.

mod closures;
mod links;
mod strikes;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::store::{Gallery, GalleryError, parsed, unsigned};
use crate::domain::{Decision, NoticeState, Strike, total};
use crate::storage::{self, Connection, params};

pub use closures::{Closure, ClosureQuery, ClosureResult};
pub(super) use closures::{cases_changed, erase_closures, look_at_seller, look_at_sellers};
pub use links::{Link, LinkGraph, LinkedSeller, SharedPhoto};
pub(super) use links::{erase_seller, note_photos};
use strikes::strikes_of;

/// A seller's record.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SellerRecord {
    /// The marketplace's id of the seller.
    pub seller_id: String,
    /// When the first check that is still stored was answered; absent if there is none.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub first_check_at: Option<Timestamp>,
    /// When the last check that is still stored was answered; absent if there is none.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_check_at: Option<Timestamp>,
    /// Number of checks by action: `allow`, `review`, `block`.
    pub checks: BTreeMap<String, u64>,
    /// Number of cases by verdict and brand.
    pub matches: Vec<SellerMatches>,
    /// Number of cases that wait for a moderator.
    pub waiting: u64,
    /// Number of decided cases by decision.
    pub decisions: BTreeMap<Decision, u64>,
    /// The seller's appeals.
    pub appeals: Appeals,
    /// Number of the seller's listings in takedown notices, by state. Only listings that were checked count.
    pub notices: BTreeMap<NoticeState, u64>,
    /// Number of strikes that count now.
    pub strikes: u32,
    /// The infringements that count now, the oldest first.
    pub infringements: Vec<Strike>,
    /// The newest proposal to close the account; absent if there was none.
    pub closure: Option<Closure>,
}

/// Cases of a seller with the same verdict and brand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SellerMatches {
    /// The verdict.
    pub verdict: String,
    /// Brand of the leading match; absent if nothing matched.
    pub brand: Option<String>,
    /// Number of cases.
    pub cases: u64,
}

/// How a seller's appeals ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Appeals {
    /// Appeals that wait for a moderator.
    pub waiting: u64,
    /// Appeals after which the listing is no longer restricted.
    pub granted: u64,
    /// Appeals after which it still is.
    pub dismissed: u64,
}

impl SellerRecord {
    /// Whether nothing is stored about the seller.
    #[must_use]
    fn is_empty(&self) -> bool {
        self.checks.is_empty() && self.matches.is_empty() && self.notices.is_empty() && self.closure.is_none()
    }
}

impl Gallery {
    /// A seller's record, in one snapshot. `None` when nothing is stored about the seller.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn seller(&self, seller_id: &str, now: Timestamp) -> Result<Option<SellerRecord>, GalleryError> {
        let options = self.takedown().strikes;
        self.read(|db| {
            let snapshot = db.snapshot()?;
            let (checks, first_check_at, last_check_at) = checks(&snapshot, seller_id)?;
            let infringements = strikes_of(&snapshot, seller_id, &options, now)?;
            let record = SellerRecord {
                seller_id: seller_id.to_owned(),
                first_check_at,
                last_check_at,
                checks,
                matches: matches(&snapshot, seller_id)?,
                waiting: waiting(&snapshot, seller_id)?,
                decisions: decisions(&snapshot, seller_id)?,
                appeals: appeals(&snapshot, seller_id)?,
                notices: notices(&snapshot, seller_id)?,
                strikes: total(&infringements),
                infringements,
                closure: closures::newest(&snapshot, seller_id)?,
            };
            Ok(Some(record).filter(|record| !record.is_empty()))
        })
    }
}

/// Counts of checks by action, and the times of the first and the last one.
type Checks = (BTreeMap<String, u64>, Option<Timestamp>, Option<Timestamp>);

fn checks(db: &Connection, seller_id: &str) -> storage::Result<Checks> {
    let (mut counts, mut first, mut last) = (BTreeMap::new(), None::<Timestamp>, None);
    let mut statement = db.prepare_cached(
        "SELECT action, count(*), min(created_at), max(created_at) FROM listing_check WHERE seller_id = ?1 GROUP BY action",
    )?;
    let mut rows = statement.query([seller_id])?;
    while let Some(row) = &rows.next()? {
        counts.insert(row.get(0)?, unsigned(row, 1)?);
        let (earliest, latest): (Timestamp, Timestamp) = (parsed(row, 2)?, parsed(row, 3)?);
        first = Some(first.map_or(earliest, |first| first.min(earliest)));
        last = last.max(Some(latest));
    }
    Ok((counts, first, last))
}

fn matches(db: &Connection, seller_id: &str) -> storage::Result<Vec<SellerMatches>> {
    db.prepare_cached(
        "SELECT verdict, brand, count(*) AS cases FROM moderation_case WHERE seller_id = ?1
         GROUP BY verdict, brand ORDER BY cases DESC, verdict, brand NULLS FIRST",
    )?
    .query_map([seller_id], |row| {
        Ok(SellerMatches { verdict: row.get(0)?, brand: row.get(1)?, cases: unsigned(row, 2)? })
    })?
    .collect()
}

fn waiting(db: &Connection, seller_id: &str) -> storage::Result<u64> {
    db.prepare_cached("SELECT count(*) FROM moderation_case WHERE seller_id = ?1 AND status <> 'decided'")?
        .query_row([seller_id], |row| unsigned(row, 0))
}

fn decisions(db: &Connection, seller_id: &str) -> storage::Result<BTreeMap<Decision, u64>> {
    db.prepare_cached(
        "SELECT decision, count(*) FROM moderation_case WHERE seller_id = ?1 AND status = 'decided' GROUP BY decision",
    )?
    .query_map([seller_id], |row| Ok((parsed(row, 0)?, unsigned(row, 1)?)))?
    .collect()
}

fn appeals(db: &Connection, seller_id: &str) -> storage::Result<Appeals> {
    db.prepare_cached(
        "SELECT count(*) FILTER (WHERE status = 'appealed'),
                count(*) FILTER (WHERE status = 'decided' AND decision NOT IN ('fake', 'photo_misuse')),
                count(*) FILTER (WHERE status = 'decided' AND decision IN ('fake', 'photo_misuse'))
         FROM moderation_case WHERE seller_id = ?1 AND appeal IS NOT NULL",
    )?
    .query_row([seller_id], |row| {
        Ok(Appeals { waiting: unsigned(row, 0)?, granted: unsigned(row, 1)?, dismissed: unsigned(row, 2)? })
    })
}

fn notices(db: &Connection, seller_id: &str) -> storage::Result<BTreeMap<NoticeState, u64>> {
    db.prepare_cached("SELECT state, count(*) FROM notice_listing WHERE checked_seller = ?1 GROUP BY state")?
        .query_map(params![seller_id], |row| Ok((parsed(row, 0)?, unsigned(row, 1)?)))?
        .collect()
}
