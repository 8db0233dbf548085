//! Strikes of sellers, and proposals to close their accounts. The program proposes; a moderator decides.

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
    /// From this many strikes on, the program proposes a closure; 0 proposes none.
    pub closure: u32,
    /// A photo that more sellers than this used links none of them.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Strike {
    /// Why it counts.
    pub ground: StrikeGround,
    /// For how many strikes it counts.
    pub strikes: u32,
    /// Id of the case's check, or of the removed listing's newest check when the notice was filed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_id: Option<String>,
    /// Id of the notice after which the marketplace removed the listing; absent for a case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice_id: Option<String>,
    /// The marketplace's id of the listing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing_id: Option<String>,
    /// The brand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
    /// SHA-256 of the photo of the case's leading match, in lower-case hex; absent for a removal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub photo: Option<String>,
    /// When the case was decided, or the listing removed.
    #[schema(value_type = String, format = DateTime)]
    pub at: jiff::Timestamp,
}

impl Strike {
    /// Whether both are about the same case, or about the same listing of the same notice.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.notice_id, &other.notice_id) {
            (None, None) => self.check_id == other.check_id,
            (Some(one), Some(two)) => one == two && self.listing_id == other.listing_id,
            _ => false,
        }
    }
}

/// The infringements that count, in the given order: several about one photo or one listing count once, by the first of
/// them.
#[must_use]
pub fn counted(infringements: Vec<Strike>) -> Vec<Strike> {
    let mut seen: HashSet<(&str, String)> = HashSet::new();
    let mut is_new = |strike: &Strike| {
        let photo = strike.photo.clone().map(|photo| ("photo", photo));
        let listing = strike.listing_id.clone().map(|listing| ("listing", listing));
        let subjects: Vec<_> = photo.into_iter().chain(listing).collect();
        let new = !subjects.iter().any(|subject| seen.contains(subject));
        // One that does not count must not keep others from counting.
        if new {
            seen.extend(subjects);
        }
        new
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
    /// A moderator had confirmed it, and too many of its strikes were overturned; a moderator decides again.
    Doubted,
    /// A moderator dismissed the proposal, or took the confirmed closure back.
    Dismissed,
    /// Too few strikes counted before a moderator decided.
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

/// A seller's newest proposal, and what became of its strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewestClosure {
    /// Its state.
    pub state: ClosureState,
    /// The strikes with which it was proposed or last decided.
    pub held: u32,
    /// Those of them that were not overturned, however old they are, and those that came since.
    pub standing: u32,
    /// Whether a strike counts that did not count then.
    pub has_news: bool,
}

/// The state that the strikes give a seller's newest proposal, or a new one; `None` if nothing changes.
///
/// `strikes`: the sum of those that count now. After a dismissal, only a strike that did not count then leads to a new
/// proposal. A closure that was confirmed with fewer strikes than the options ask for is not doubted for that.
#[must_use]
pub fn closure_after(newest: Option<NewestClosure>, strikes: u32, options: &StrikeOptions) -> Option<ClosureState> {
    let due = options.closure > 0 && strikes >= options.closure;
    let Some(NewestClosure { state, held, standing, has_news }) = newest else { return due.then_some(Proposed) };
    let least = if options.closure == 0 { held } else { options.closure.min(held) };
    match state {
        Withdrawn => due.then_some(Proposed),
        Dismissed => (due && has_news).then_some(Proposed),
        Proposed => (!due).then_some(Withdrawn),
        Confirmed => (standing < least).then_some(Doubted),
        Doubted => None,
    }
}
