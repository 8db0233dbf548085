//! Bodies of the routes for notices.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::domain::{BrandId, Ground, NoticeSource, NoticeState};
use crate::gallery::{Notice, NoticeListing, NoticeSummary};
use crate::http::access::Caller;

/// A notice to file.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NoticeForm {
    /// The brand's id.
    pub(super) brand: BrandId,
    /// The listings, 1 to 300.
    #[schema(value_type = Vec<ListingForm>, min_items = 1, max_items = 300)]
    pub(super) listings: Vec<Value>,
}

/// A listing to take down. It needs a reference of the brand, evidence, or both.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ListingForm {
    /// The marketplace's id of the listing.
    #[schema(min_length = 1, max_length = 256)]
    pub(super) listing_id: String,
    /// The marketplace's id of the seller.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256)]
    pub(super) seller_id: Option<String>,
    /// Why it should be taken down.
    pub(super) ground: Ground,
    /// Id of a reference of the brand that the listing's photos show.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256)]
    pub(super) reference_id: Option<String>,
    /// What proves it, at most 4000 characters.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 4000)]
    pub(super) evidence: Option<String>,
}

/// The new state of a listing.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct StateForm {
    /// From the marketplace `acknowledged`, `removed`, `refused`, `countered` or `restored`; from the brand `withdrawn`.
    pub(super) state: NoticeState,
    /// The reason, at most 4000 characters: required for `refused`, and, as the seller's counter-notice, for `countered`.
    #[serde(default)]
    #[schema(max_length = 4000)]
    pub(super) reason: Option<String>,
}

/// Which notices to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct NoticesQuery {
    /// Only notices of this brand. A brand's key sees its own only.
    pub(super) brand: Option<String>,
    /// Only notices with a listing in this state.
    pub(super) state: Option<NoticeState>,
    /// `next` of the page before; 0 for the first.
    #[param(minimum = 0, maximum = 9_223_372_036_854_775_807_u64)]
    pub(super) after: Option<u64>,
    /// Most notices to return, 1 to 1000; 100 if absent.
    #[param(minimum = 1, maximum = 1000)]
    pub(super) limit: Option<usize>,
}

/// A page of notices.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct NoticePage {
    /// The notices.
    pub(super) notices: Vec<NoticeSummaryBody>,
    /// Pass it as `after` to get the next page; absent on the last page.
    pub(super) next: Option<u64>,
}

/// A notice without its listings.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct NoticeSummaryBody {
    id: String,
    /// The brand; absent if the case that led to the notice names none.
    brand: Option<String>,
    source: NoticeSource,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// The number of its listings in each state that occurs.
    states: BTreeMap<String, u64>,
    /// The number of its listings whose deadline has passed without an answer.
    overdue: u64,
}

impl From<NoticeSummary> for NoticeSummaryBody {
    fn from(summary: NoticeSummary) -> Self {
        let NoticeSummary { notice, states, overdue, .. } = summary;
        Self {
            id: notice.id,
            brand: notice.brand,
            source: notice.source,
            created_at: notice.created_at,
            states: states.into_iter().map(|(state, count)| (state.as_str().to_owned(), count)).collect(),
            overdue,
        }
    }
}

/// A notice with its listings.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct NoticeBody {
    id: String,
    /// The brand; absent if the case that led to the notice names none.
    brand: Option<String>,
    source: NoticeSource,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    listings: Vec<NoticeListingBody>,
}

impl NoticeBody {
    pub(super) fn seen_by(caller: &Caller, notice: Notice, listings: Vec<NoticeListing>) -> Self {
        let listings = listings.into_iter().map(|one| NoticeListingBody::seen_by(caller, &notice, one)).collect();
        Self { id: notice.id, brand: notice.brand, source: notice.source, created_at: notice.created_at, listings }
    }
}

/// A listing in a notice.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct NoticeListingBody {
    /// The marketplace's id of the listing; absent once it was erased.
    listing_id: Option<String>,
    /// The marketplace's id of the seller. A brand reads only what it sent.
    seller_id: Option<String>,
    /// The newest check of the listing when the notice was filed; absent for a brand.
    check_id: Option<String>,
    ground: Ground,
    reference_id: Option<String>,
    evidence: Option<String>,
    state: NoticeState,
    /// The reason for the state: of a rejection, a refusal, or the seller's counter-notice.
    reason: Option<String>,
    /// Until when the marketplace should answer; absent while the notice waits.
    #[schema(value_type = Option<String>, format = DateTime)]
    deadline_at: Option<Timestamp>,
    /// When the service reminded the marketplace of the request.
    #[schema(value_type = Option<String>, format = DateTime)]
    reminded_at: Option<Timestamp>,
    /// Whether a moderator has seen it.
    reviewed: bool,
    /// Whether the removed listing should be shown again: the reason for the removal no longer holds.
    restore_asked: bool,
    /// When the state last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl NoticeListingBody {
    /// A brand reads neither the marketplace's checks nor a seller that it has not named itself.
    pub(super) fn seen_by(caller: &Caller, notice: &Notice, listing: NoticeListing) -> Self {
        let brand = caller.brand().is_some();
        let told = !brand || notice.source == NoticeSource::Brand;
        Self {
            listing_id: listing.listing_id,
            seller_id: listing.seller_id.filter(|_| told),
            check_id: listing.check_id.filter(|_| !brand),
            ground: listing.ground,
            reference_id: listing.reference_id,
            evidence: listing.evidence,
            state: listing.state,
            reason: listing.reason,
            deadline_at: listing.deadline_at,
            reminded_at: listing.reminded_at,
            reviewed: listing.reviewed,
            restore_asked: listing.restore_asked,
            updated_at: listing.updated_at,
        }
    }
}
