//! Strikes of sellers, and proposals to close their accounts. The program proposes; a person decides.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantNames};
use utoipa::ToSchema;

use super::InvalidName;

/// What counts as a strike, for how long, and how many lead to a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StrikeOptions {
    /// Strikes for a case that a moderator decided as counterfeit; 0 counts none.
    pub fake: u32,
    /// Strikes for a case that a moderator decided as a misused photo; 0 counts none.
    pub misuse: u32,
    /// Strikes for a listing that was removed after a brand's notice that a moderator reviewed; 0 counts none.
    pub removed: u32,
    /// Days for which a strike counts.
    pub days: u32,
    /// Strikes from which a closure is proposed; 0 proposes none.
    pub closure: u32,
    /// A photo used by more sellers than this links none of them.
    pub shared_most: u32,
}

impl Default for StrikeOptions {
    fn default() -> Self {
        // Three, as in AliExpress's rules on serious infringements. Half a year is the time within which a seller can
        // complain about a decision (Article 20(1) of Regulation (EU) 2022/2065).
        Self { fake: 1, misuse: 0, removed: 1, days: 180, closure: 3, shared_most: 10 }
    }
}

/// Why a strike counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StrikeGround {
    /// A case was decided as counterfeit.
    Fake,
    /// A case was decided as a misused photo.
    PhotoMisuse,
    /// The marketplace removed the listing after a brand's notice.
    Removed,
}

impl StrikeGround {
    /// The number of strikes that one infringement of this kind counts for.
    #[must_use]
    pub fn weight(self, options: &StrikeOptions) -> u32 {
        match self {
            Self::Fake => options.fake,
            Self::PhotoMisuse => options.misuse,
            Self::Removed => options.removed,
        }
    }
}

/// An infringement that counts against a seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Strike {
    /// Why it counts.
    pub ground: StrikeGround,
    /// For how many strikes it counts.
    pub strikes: u32,
    /// Id of the check that was decided, or of the removed listing's check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_id: Option<String>,
    /// Id of the notice that removed the listing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice_id: Option<String>,
    /// The marketplace's id of the listing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listing_id: Option<String>,
    /// The brand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
    /// SHA-256 of the photo that was decided about, in lower-case hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub photo: Option<String>,
    /// When it was decided or removed.
    #[schema(value_type = String, format = DateTime)]
    pub at: jiff::Timestamp,
}

/// The infringements that count, in the given order: several about one photo or one listing count once, by the first of
/// them.
#[must_use]
pub fn counted(infringements: Vec<Strike>) -> Vec<Strike> {
    let mut seen = HashSet::new();
    let mut is_new = |strike: &Strike| {
        let photo = strike.photo.clone().map(|photo| ("photo", photo));
        let listing = strike.listing_id.clone().map(|listing| ("listing", listing));
        // Both are noted, whether or not the first is known already.
        let news: Vec<bool> = photo.into_iter().chain(listing).map(|subject| seen.insert(subject)).collect();
        news.into_iter().all(|new| new)
    };
    infringements.into_iter().filter(|strike| strike.strikes > 0 && is_new(strike)).collect()
}

/// The sum of strikes.
#[must_use]
pub fn total(strikes: &[Strike]) -> u32 {
    strikes.iter().map(|strike| strike.strikes).fold(0, u32::saturating_add)
}

/// The state of a proposal to close a seller's account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase", parse_err_ty = InvalidName, parse_err_fn = not_closure_state)]
pub enum ClosureState {
    /// The seller has enough strikes; a moderator decides.
    Proposed,
    /// A moderator confirmed it: the marketplace is asked to close the account.
    Confirmed,
    /// It was confirmed, and strikes that it rested on no longer count; a moderator decides again.
    Doubted,
    /// A moderator dismissed it.
    Dismissed,
    /// Strikes that it rested on no longer count, and nobody had confirmed it.
    Withdrawn,
}

named!(ClosureState, "state", not_closure_state);

use ClosureState::{Confirmed, Dismissed, Doubted, Proposed, Withdrawn};

impl ClosureState {
    /// All states.
    pub const ALL: [Self; 5] = [Proposed, Doubted, Confirmed, Dismissed, Withdrawn];

    /// Whether a moderator has to decide.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Proposed | Doubted)
    }

    /// Whether a moderator may change this state to `to`.
    #[must_use]
    pub fn may_become(self, to: Self) -> bool {
        match to {
            Confirmed => self.is_open(),
            Dismissed => self.is_open() || self == Confirmed,
            _ => false,
        }
    }

    /// The audit action that records the entry into this state.
    #[must_use]
    pub fn action(self) -> &'static str {
        match self {
            Proposed => "propose-closure",
            Confirmed => "confirm-closure",
            Doubted => "doubt-closure",
            Dismissed => "dismiss-closure",
            Withdrawn => "withdraw-closure",
        }
    }
}

/// What becomes of a seller's newest proposal once the strikes have changed; `None` if nothing changes.
///
/// `newest`: its state, and when that state began. After a dismissal, only a later strike proposes again.
#[must_use]
pub fn closure_after(
    newest: Option<(ClosureState, jiff::Timestamp)>,
    strikes: &[Strike],
    options: &StrikeOptions,
) -> Option<ClosureState> {
    let due = options.closure > 0 && total(strikes) >= options.closure;
    match newest {
        None | Some((Withdrawn, _)) => due.then_some(Proposed),
        Some((Dismissed, since)) => (due && strikes.iter().any(is_later(since))).then_some(Proposed),
        Some((Proposed, _)) => (!due).then_some(Withdrawn),
        Some((Confirmed, _)) => (!due).then_some(Doubted),
        Some((Doubted, _)) => None,
    }
}

/// States are stored with their second.
fn is_later(since: jiff::Timestamp) -> impl Fn(&Strike) -> bool {
    move |strike| strike.at.as_second() > since.as_second()
}
