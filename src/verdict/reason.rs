use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a verdict or an action is what it is: stable codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// A copy of a fake reference is as probable as `fake_match`.
    FakeAboveMatchThreshold,
    /// A copy of a fake reference is as probable as `fake_likely`.
    FakeAboveLikelyThreshold,
    /// A copy of an authentic reference is as probable as `authentic_reuse`.
    AuthenticAboveReuseThreshold,
    /// A reference's similarity is at or above `lookalike`, and no copy is probable.
    ReferenceAboveLookalikeThreshold,
    /// At least `lookalike_inliers` points of a reference are seen again, and no copy is probable.
    SamePrintSeen,
    /// The reference was found in the photo under one transform.
    ReferenceLiesInPhoto,
    /// It is seen in the mirror.
    Mirrored,
    /// The photo is the reference's photograph, with the goods in another colour.
    OtherColour,
    /// A logo is in the photo.
    LogoSeen,
    /// Something near a logo is in the photo, and it is not the same.
    LogoImitated,
    /// What the brand has shown to be an imitation of its logo is in the photo.
    KnownImitationSeen,
    /// The logo is mirrored.
    LogoMirrored,
    /// The logo is wider or narrower than it should be.
    LogoStretched,
    /// The logo has a colour that is neither its own, nor black, white or grey.
    LogoInOtherColour,
    /// Parts of the logo are missing, moved, turned or other ones.
    LogoPartsDiffer,
    /// It covers less than half of the photo.
    PartOfPhoto,
    /// Less than three fifths of it are seen.
    PartOfReference,
    /// The evidence for a fake and for an authentic reference is within `conflict_margin` of each other.
    WithinConflictMargin,
    /// A fake reference is relevant too, but an authentic one is clearly nearer.
    FakeAlsoNear,
    /// An authentic reference is relevant too, but a fake one is clearly nearer.
    AuthenticAlsoNear,
    /// The brand has authorised this seller.
    SellerAuthorised,
    /// The brand has not authorised this seller.
    SellerNotAuthorised,
    /// The brand's certificate covers blocks at this score.
    BlockCertified,
    /// The brand's policy does not ask for blocks; a person decides.
    BlockNotAskedFor,
    /// The brand has no certificate to block; a person decides.
    NoBlockCertificate,
    /// The score is below the certified threshold; a person decides.
    BelowBlockThreshold,
    /// Nearly the same image was supplied with the other polarity too; a person decides.
    ReferenceDisputed,
    /// The reference is generic or overturned; a person decides.
    ReferenceNeverBlocks,
    /// The photo shows the fake reference's photograph in another colour; a person decides.
    RecolouredNeverBlocks,
    /// The photo's quality is below `min_quality`.
    LowInformation,
    /// No reference reaches a threshold.
    BelowEveryThreshold,
    /// The listing claims another brand than the matched one.
    ClaimedBrandDiffers,
    /// A person has decided about this photo and a reference before; that reference was left out.
    SettledByPerson,
    /// The animation also shows pictures that were not judged.
    FramesNotJudged,
    /// The bytes could not be decoded.
    PhotoBroken,
    /// The model failed on this photo.
    ModelFailed,
}

impl Reason {
    /// The stable code.
    #[must_use]
    pub fn code(self) -> String {
        let quoted = serde_json::to_string(&self).unwrap_or_default();
        quoted.trim_matches('"').to_owned()
    }

    /// The reason in words for people.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::FakeAboveMatchThreshold => "The photo matches a known fake.",
            Self::FakeAboveLikelyThreshold => "The photo probably matches a known fake.",
            Self::AuthenticAboveReuseThreshold => "The photo reuses a picture of the brand's own.",
            Self::ReferenceAboveLookalikeThreshold => "The photo looks like a reference, but is not a copy of it.",
            Self::SamePrintSeen => "The print or surface of a reference is seen again, in another photo.",
            Self::ReferenceLiesInPhoto => "The reference was found in the photo, and both agree point by point.",
            Self::Mirrored => "It is mirrored.",
            Self::OtherColour => "The photo is the reference's photograph with the goods in another colour.",
            Self::LogoSeen => "The brand's logo is in the photo.",
            Self::LogoImitated => "Something like the brand's logo is in the photo, but it is not the same.",
            Self::KnownImitationSeen => "A known imitation of the brand's logo is in the photo.",
            Self::LogoMirrored => "The logo is mirrored.",
            Self::LogoStretched => "The logo is stretched.",
            Self::LogoInOtherColour => "The logo has another colour.",
            Self::LogoPartsDiffer => "Parts of the logo differ.",
            Self::PartOfPhoto => "It fills only a part of the photo.",
            Self::PartOfReference => "Only a part of the reference is seen.",
            Self::WithinConflictMargin => "A fake and an authentic reference are about equally probable.",
            Self::FakeAlsoNear => "A known fake is near as well, but clearly less so.",
            Self::AuthenticAlsoNear => "An authentic reference is near as well, but clearly less so.",
            Self::SellerAuthorised => "The brand has authorised this seller.",
            Self::SellerNotAuthorised => "The brand has not authorised this seller.",
            Self::BlockCertified => "The brand's certificate covers blocking at this score.",
            Self::BlockNotAskedFor => "The brand's policy leaves known fakes to a person.",
            Self::NoBlockCertificate => "The brand has no certificate to block, so a person decides.",
            Self::BelowBlockThreshold => "The score is below the certified threshold, so a person decides.",
            Self::ReferenceDisputed => "The reference was supplied as authentic and as fake, so a person decides.",
            Self::ReferenceNeverBlocks => {
                "The reference shows what many goods share, or people have overturned its matches, so a person decides."
            }
            Self::RecolouredNeverBlocks => {
                "A known fake in another colour does not prove that these goods are fake, so a person decides."
            }
            Self::LowInformation => "There is too little to see on the photo for a match to mean anything.",
            Self::BelowEveryThreshold => "No reference is near.",
            Self::ClaimedBrandDiffers => "The listing names another brand than the matched one.",
            Self::SettledByPerson => {
                "A person has decided about this photo and a reference before; that reference was left out."
            }
            Self::FramesNotJudged => {
                "The animation also shows other pictures, which were not judged; a person decides."
            }
            Self::PhotoBroken => "The photo could not be decoded.",
            Self::ModelFailed => "The photo could not be judged because the model failed.",
        }
    }
}
