//! Takedown notices: requests to the marketplace to take listings down, and how each listing's state may change.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantNames};
use utoipa::ToSchema;

use super::{Decision, InvalidName};

/// The state of a listing in a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase", parse_err_ty = InvalidName, parse_err_fn = not_state)]
pub enum NoticeState {
    /// A moderator must see the brand's notice before the marketplace does.
    Waiting,
    /// A moderator rejected the brand's notice.
    Rejected,
    /// The marketplace is asked to take the listing down.
    Requested,
    /// The marketplace has received the request.
    Acknowledged,
    /// The marketplace took the listing down.
    Removed,
    /// The marketplace refused to take the listing down.
    Refused,
    /// The listing is down, and its seller objects.
    Countered,
    /// The listing was taken down and is shown again.
    Restored,
    /// The request no longer holds: nor does its decision, or the brand took the notice back.
    Withdrawn,
}

named!(NoticeState, "state", not_state);

use NoticeState::{Acknowledged, Countered, Refused, Rejected, Removed, Requested, Restored, Waiting, Withdrawn};

/// Who changes a listing's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Party {
    /// The marketplace, by its key.
    Marketplace,
    /// A moderator, in the console or by a decision about a case.
    Moderator,
    /// The brand that filed the notice.
    Brand,
}

/// Every allowed change of state: from, to, and by whom.
const TRANSITIONS: &[(NoticeState, NoticeState, &[Party])] = &[
    (Waiting, Requested, &[Party::Moderator]),
    (Waiting, Rejected, &[Party::Moderator]),
    (Waiting, Withdrawn, &[Party::Brand]),
    (Rejected, Requested, &[Party::Moderator]),
    (Requested, Acknowledged, &[Party::Marketplace]),
    (Requested, Removed, &[Party::Marketplace]),
    (Requested, Refused, &[Party::Marketplace]),
    // Notices in the fast lane are reviewed after the request.
    (Requested, Rejected, &[Party::Moderator]),
    (Requested, Withdrawn, &[Party::Moderator, Party::Brand]),
    (Acknowledged, Removed, &[Party::Marketplace]),
    (Acknowledged, Refused, &[Party::Marketplace]),
    (Acknowledged, Rejected, &[Party::Moderator]),
    (Acknowledged, Withdrawn, &[Party::Moderator, Party::Brand]),
    (Refused, Removed, &[Party::Marketplace]),
    // A refusal counts against the brand: it cannot take it back.
    (Refused, Withdrawn, &[Party::Moderator]),
    (Removed, Countered, &[Party::Marketplace]),
    (Removed, Restored, &[Party::Marketplace]),
    (Countered, Removed, &[Party::Marketplace, Party::Moderator]),
    (Countered, Restored, &[Party::Marketplace, Party::Moderator]),
];

/// Whether a party may change a listing to a state in notices of this source: requests of moderation stand and fall with their
/// case, and a notice that a brand filed is the brand's to take back.
fn is_theirs(to: NoticeState, source: NoticeSource, party: Party) -> bool {
    match (source, party) {
        (NoticeSource::Moderation, Party::Brand) => false,
        (NoticeSource::Moderation, Party::Moderator) => !matches!(to, Requested | Rejected),
        (NoticeSource::Brand, Party::Moderator) => to != Withdrawn,
        _ => true,
    }
}

impl NoticeState {
    /// All states, in the order of a notice's life.
    pub const ALL: [Self; 9] =
        [Waiting, Rejected, Requested, Acknowledged, Removed, Refused, Countered, Restored, Withdrawn];

    /// The states to which `party` may change this one in notices of `source`, in the order of the table.
    #[must_use]
    pub fn next(self, source: NoticeSource, party: Party) -> Vec<Self> {
        let all = TRANSITIONS
            .iter()
            .filter(|(from, to, parties)| *from == self && parties.contains(&party) && is_theirs(*to, source, party));
        all.map(|(_, to, _)| *to).collect()
    }

    /// Whether this state needs a reason: that of a rejection or refusal, or the seller's counter-notice.
    #[must_use]
    pub fn needs_reason(self) -> bool {
        matches!(self, Rejected | Refused | Countered)
    }

    /// Whether somebody still has to act.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Waiting | Requested | Acknowledged | Countered)
    }

    /// Whether the marketplace has to answer before the deadline.
    #[must_use]
    pub fn is_due(self) -> bool {
        matches!(self, Requested | Acknowledged)
    }

    /// The audit action that records the entry into this state.
    #[must_use]
    pub fn action(self) -> &'static str {
        match self {
            Waiting => "file-notice",
            Rejected => "reject-notice",
            Requested => "request-takedown",
            Acknowledged => "acknowledge-takedown",
            Removed => "remove-listing",
            Refused => "refuse-takedown",
            Countered => "counter-notice",
            Restored => "restore-listing",
            Withdrawn => "withdraw-notice",
        }
    }
}

/// Who asks for a takedown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase", parse_err_ty = InvalidName, parse_err_fn = not_source)]
pub enum NoticeSource {
    /// Moderation decided a case of a listing that is live.
    Moderation,
    /// The brand filed the notice.
    Brand,
}

named!(NoticeSource, "source", not_source);

/// Why a listing should be taken down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[derive(EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case", parse_err_ty = InvalidName, parse_err_fn = not_ground)]
pub enum Ground {
    /// The goods are counterfeit.
    Counterfeit,
    /// The listing uses a photo of the brand without permission.
    PhotoMisuse,
    /// The listing uses the brand's trade mark without permission.
    Trademark,
}

named!(Ground, "ground", not_ground);

impl Ground {
    /// The ground that follows from a decision; `None` if the decision does not restrict the listing.
    #[must_use]
    pub fn of(decision: Decision) -> Option<Self> {
        match decision {
            Decision::Fake => Some(Self::Counterfeit),
            Decision::PhotoMisuse => Some(Self::PhotoMisuse),
            Decision::Authorised | Decision::NoMatch => None,
        }
    }
}
