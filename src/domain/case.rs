//! Cases: what moderators decide, and what people found out.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantNames};
use utoipa::ToSchema;

use super::{BrandId, InvalidName, Polarity};
use crate::photo::Sha256;

/// What a moderator decided about a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[derive(EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case", parse_err_ty = InvalidName, parse_err_fn = not_decision)]
pub enum Decision {
    /// The goods are counterfeit.
    Fake,
    /// The photo is the brand's and the seller may not use it; the goods are not judged.
    PhotoMisuse,
    /// The photo is what the match says, and the seller may use it; the goods are in order.
    Authorised,
    /// The photo does not show what the reference shows.
    NoMatch,
}

impl Decision {
    /// All decisions, in the order in which the console shows them.
    pub const ALL: [Self; 4] = [Self::Fake, Self::PhotoMisuse, Self::Authorised, Self::NoMatch];

    /// Whether the decision restricts the listing, so that it needs a statement of reasons and the seller can appeal.
    #[must_use]
    pub fn restricts(self) -> bool {
        matches!(self, Self::Fake | Self::PhotoMisuse)
    }
}

named!(Decision, "decision", not_decision);

/// The state of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase", parse_err_ty = InvalidName, parse_err_fn = not_status)]
pub enum CaseStatus {
    /// Nobody has decided yet.
    Open,
    /// A moderator, or a precedent, has decided.
    Decided,
    /// The seller has appealed; somebody else decides again.
    Appealed,
}

named!(CaseStatus, "status", not_status);

/// What people found out about a check's match to a brand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Id of the check.
    pub check_id: String,
    /// The brand whose reference was matched.
    pub brand: BrandId,
    /// The reference's polarity.
    pub polarity: Polarity,
    /// SHA-256 of the photo that matched.
    pub photo: Sha256,
    /// Whether the match was right: for a fake reference, that the goods are counterfeit; for an authentic one, that
    /// the photo is the brand's.
    pub confirmed: bool,
    /// The calibrated score that the check gave, 0 to 1, before the brand's outcomes shifted it.
    pub score: f64,
    /// Id of the scoring artefact that computed the score.
    pub scoring: String,
    /// Who decided, by the caller's name for that person.
    pub decided_by: Option<String>,
    /// Free text.
    pub note: Option<String>,
    /// When the outcome was decided.
    pub decided_at: Timestamp,
}
