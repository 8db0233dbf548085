use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a verdict or an action is what it is: stable codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// A fake reference is at or above `fake_match`.
    FakeAboveMatchThreshold,
    /// A fake reference is at or above `fake_likely`.
    FakeAboveLikelyThreshold,
    /// An authentic reference is at or above `authentic_reuse`.
    AuthenticAboveReuseThreshold,
    /// A reference is at or above `lookalike`, and none above a higher threshold.
    ReferenceAboveLookalikeThreshold,
    /// A fake and an authentic reference are within `conflict_margin` of each other.
    WithinConflictMargin,
    /// A fake reference is relevant too, but an authentic one is clearly nearer.
    FakeAlsoNear,
    /// An authentic reference is relevant too, but a fake one is clearly nearer.
    AuthenticAlsoNear,
    /// The brand has authorised this seller.
    SellerAuthorised,
    /// The brand has not authorised this seller.
    SellerNotAuthorised,
    /// The brand's certificate covers blocks at this similarity.
    BlockCertified,
    /// The brand has no certificate to block; a person decides.
    NoBlockCertificate,
    /// The similarity is below the certified threshold; a person decides.
    BelowBlockThreshold,
    /// The photo's quality is below `min_quality`.
    LowInformation,
    /// No reference is at or above any threshold.
    BelowEveryThreshold,
    /// The listing claims another brand than the matched one.
    ClaimedBrandDiffers,
    /// The bytes could not be decoded.
    PhotoBroken,
    /// The model failed on this photo.
    ModelFailed,
}

impl Reason {
    /// The reason in words for people.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::FakeAboveMatchThreshold => "The photo matches a known fake.",
            Self::FakeAboveLikelyThreshold => "The photo probably matches a known fake.",
            Self::AuthenticAboveReuseThreshold => "The photo reuses a picture of the brand's own.",
            Self::ReferenceAboveLookalikeThreshold => "The photo looks like a reference, but is not a copy of it.",
            Self::WithinConflictMargin => "A fake and an authentic reference are about equally near.",
            Self::FakeAlsoNear => "A known fake is near as well, but clearly less so.",
            Self::AuthenticAlsoNear => "An authentic reference is near as well, but clearly less so.",
            Self::SellerAuthorised => "The brand has authorised this seller.",
            Self::SellerNotAuthorised => "The brand has not authorised this seller.",
            Self::BlockCertified => "The brand's certificate covers blocking at this similarity.",
            Self::NoBlockCertificate => "The brand has no certificate to block, so a person decides.",
            Self::BelowBlockThreshold => "The similarity is below the certified threshold, so a person decides.",
            Self::LowInformation => "There is too little to see on the photo for a match to mean anything.",
            Self::BelowEveryThreshold => "No reference is near.",
            Self::ClaimedBrandDiffers => "The listing names another brand than the matched one.",
            Self::PhotoBroken => "The photo could not be decoded.",
            Self::ModelFailed => "The photo could not be judged because the model failed.",
        }
    }
}
