//! Judges photos: matches and policy in; verdict, action and reasons out. Pure: no clock, no files, no network.
//!
//! A match to an authentic photo proves that a brand's photo is reused, never anything about the goods.

mod judge;
mod marks;
mod reason;
mod shared;

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;
use utoipa::ToSchema;

pub use judge::{Candidate, Facts, Judgement, Terms, judge, undecidable, worst};
pub use marks::{LOGO_SEEN, Logo};
pub use reason::Reason;
pub use shared::{SharedCandidate, judge_shared};

/// The verdict on a photo or a listing. Ordered from the least to the most serious.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Verdict {
    /// No reference reaches a threshold.
    NoMatch,
    /// The photo has too little detail for a match to mean anything.
    GenericOrLowInformation,
    /// A brand's own photo, used by a seller whom the brand has authorised.
    AuthorisedUse,
    /// A reference shows something similar, but not the same photo.
    SameProductLookalike,
    /// A brand's logo is in the photo.
    BrandMarkSeen,
    /// Something similar to a brand's logo but not the same is in the photo; or a known imitation of the logo.
    BrandMarkImitated,
    /// A brand's own photo, used by a seller whom the brand has not authorised.
    AuthenticPhotoReuse,
    /// The photo could not be judged; the reason says why.
    Undecidable,
    /// A fake and an authentic reference are about equally probable.
    Conflict,
    /// The photo is probably a known fake's.
    KnownFakeLikely,
    /// The photo is a known fake's.
    KnownFakeMatch,
}

impl Verdict {
    /// The stable code, in lower case with underscores.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether a photo with this verdict says something about who took it: two sellers who use it may be one. A brand's
    /// own photo is everywhere, and one that shows nothing says nothing.
    #[must_use]
    pub fn links_sellers(self) -> bool {
        match self {
            Self::GenericOrLowInformation | Self::AuthorisedUse | Self::AuthenticPhotoReuse | Self::Undecidable => {
                false
            }
            Self::NoMatch
            | Self::SameProductLookalike
            | Self::BrandMarkSeen
            | Self::BrandMarkImitated
            | Self::Conflict
            | Self::KnownFakeLikely
            | Self::KnownFakeMatch => true,
        }
    }
}
