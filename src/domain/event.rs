//! Events: what a marketplace is told.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantNames};
use utoipa::ToSchema;

use super::InvalidName;

/// What happened.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    ToSchema,
    EnumString,
    IntoStaticStr,
    VariantNames,
)]
#[strum(parse_err_ty = InvalidName, parse_err_fn = not_event_type)]
pub enum EventType {
    /// A moderator, or a precedent, decided the case.
    #[serde(rename = "check.decided")]
    #[strum(serialize = "check.decided")]
    CheckDecided,
    /// A moderator decided the seller's appeal.
    #[serde(rename = "appeal.decided")]
    #[strum(serialize = "appeal.decided")]
    AppealDecided,
    /// The decision no longer holds: it was undone, or the decision that it followed no longer holds.
    #[serde(rename = "check.reopened")]
    #[strum(serialize = "check.reopened")]
    CheckReopened,
    /// A fake that was added later was found in a listing whose check had let it through, or had not known it.
    #[serde(rename = "listing.found_by_lookback")]
    #[strum(serialize = "listing.found_by_lookback")]
    FoundByLookback,
    /// The marketplace is asked to take a listing down.
    #[serde(rename = "listing.takedown_requested")]
    #[strum(serialize = "listing.takedown_requested")]
    TakedownRequested,
    /// The marketplace has not answered a request whose deadline is near.
    #[serde(rename = "listing.takedown_reminded")]
    #[strum(serialize = "listing.takedown_reminded")]
    TakedownReminded,
    /// A request to take a listing down no longer holds.
    #[serde(rename = "listing.takedown_withdrawn")]
    #[strum(serialize = "listing.takedown_withdrawn")]
    TakedownWithdrawn,
    /// The reason for a removal no longer holds: the marketplace is asked to show the listing again.
    #[serde(rename = "listing.restore_requested")]
    #[strum(serialize = "listing.restore_requested")]
    RestoreRequested,
    /// A listing that was taken down may be shown again: the marketplace said so, or a moderator granted a counter-notice.
    #[serde(rename = "listing.restored")]
    #[strum(serialize = "listing.restored")]
    ListingRestored,
    /// A reference takes no part in checks until somebody enables it again.
    #[serde(rename = "reference.quarantined")]
    #[strum(serialize = "reference.quarantined")]
    ReferenceQuarantined,
    /// A seller has enough strikes, and touchstone proposes to close the account; a moderator decides.
    #[serde(rename = "seller.closure_proposed")]
    #[strum(serialize = "seller.closure_proposed")]
    ClosureProposed,
    /// A moderator confirmed the proposal: the marketplace is asked to close the account.
    #[serde(rename = "seller.closure_confirmed")]
    #[strum(serialize = "seller.closure_confirmed")]
    ClosureConfirmed,
    /// A moderator dismissed the proposal or took the closure back, or too few strikes counted before a moderator
    /// decided.
    #[serde(rename = "seller.closure_withdrawn")]
    #[strum(serialize = "seller.closure_withdrawn")]
    ClosureWithdrawn,
    /// A brand's outcomes no longer certify blocks: its matches go to review.
    #[serde(rename = "certificate.ended")]
    #[strum(serialize = "certificate.ended")]
    CertificateEnded,
}

named!(EventType, "type", not_event_type);

/// The state of one event's delivery to one webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase", parse_err_ty = InvalidName, parse_err_fn = not_delivery_state)]
pub enum DeliveryState {
    /// The service sends it at once, or again after a while.
    Waiting,
    /// The receiver has answered with success.
    Delivered,
    /// The receiver has not taken it after the last attempt, or is gone. Nobody sends it again unless asked.
    Dead,
}

named!(DeliveryState, "state", not_delivery_state);
