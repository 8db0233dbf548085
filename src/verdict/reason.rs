use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a verdict or an action was decided: stable codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The probability of a copy of a fake reference reaches `fake_match`.
    FakeAboveMatchThreshold,
    /// The probability of a copy of a fake reference reaches `fake_likely`.
    FakeAboveLikelyThreshold,
    /// The probability of a copy of an authentic reference reaches `authentic_reuse`.
    AuthenticAboveReuseThreshold,
    /// A reference's similarity reaches `lookalike`, and no copy is probable.
    ReferenceAboveLookalikeThreshold,
    /// At least `lookalike_inliers` keypoints of a reference are found again, and no copy is probable.
    SamePrintSeen,
    /// The reference aligns with the photo under one transform.
    ReferenceLiesInPhoto,
    /// The photo shows the reference's mirror image.
    Mirrored,
    /// The photo is the reference's photograph, with the goods in another colour.
    OtherColour,
    /// A logo is in the photo.
    LogoSeen,
    /// Something similar to a logo but not the same is in the photo.
    LogoImitated,
    /// A known imitation of the brand's logo is in the photo.
    KnownImitationSeen,
    /// The logo is mirrored.
    LogoMirrored,
    /// The logo is wider or narrower than it should be.
    LogoStretched,
    /// The logo has a colour that is neither its own, nor black, white or grey.
    LogoInOtherColour,
    /// Parts of the logo are missing, moved, turned or replaced.
    LogoPartsDiffer,
    /// The copy covers less than half of the photo.
    PartOfPhoto,
    /// Less than three fifths of the reference are visible.
    PartOfReference,
    /// A part of the reference was copied, and what surrounds it in the photo differs from the reference.
    SubjectCopiedOnOtherGround,
    /// The evidence for a fake and for an authentic reference is within `conflict_margin` of each other.
    WithinConflictMargin,
    /// A fake reference is relevant too, but an authentic one is clearly more probable.
    FakeAlsoNear,
    /// An authentic reference is relevant too, but a fake one is clearly more probable.
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
    /// Nearly the same photo was supplied with the other polarity too; a person decides.
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
    /// A person has already decided about this photo and a reference; that reference was left out.
    SettledByPerson,
    /// The animation also has frames that differ and were not judged.
    FramesNotJudged,
    /// The reference is newer than the check: a lookback found it.
    FoundByLookback,
    /// The photo is not stored: only its embedding and some of its keypoints were compared.
    PhotoNotStored,
    /// A member of an alliance vouches for the reference; its picture is not here, so a person decides.
    SharedSignal,
    /// The bytes could not be decoded.
    PhotoBroken,
    /// The model failed on this photo.
    ModelFailed,
}

impl Reason {
    /// The stable code, in kebab-case.
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
            Self::AuthenticAboveReuseThreshold => "The photo reuses one of the brand's own photos.",
            Self::ReferenceAboveLookalikeThreshold => "The photo looks like a reference, but is not a copy of it.",
            Self::SamePrintSeen => "The photo shows the print or surface of a reference in another photograph.",
            Self::ReferenceLiesInPhoto => "The reference was found in the photo, and their keypoints agree.",
            Self::Mirrored => "It is mirrored.",
            Self::OtherColour => "The photo is the reference's photograph with the goods in another colour.",
            Self::LogoSeen => "The brand's logo is in the photo.",
            Self::LogoImitated => "Something similar to the brand's logo is in the photo, but it is not the same.",
            Self::KnownImitationSeen => "A known imitation of the brand's logo is in the photo.",
            Self::LogoMirrored => "The logo is mirrored.",
            Self::LogoStretched => "The logo is stretched.",
            Self::LogoInOtherColour => "The logo has another colour.",
            Self::LogoPartsDiffer => "Parts of the logo differ.",
            Self::PartOfPhoto => "It covers less than half of the photo.",
            Self::PartOfReference => "The photo shows only a part of the reference.",
            Self::SubjectCopiedOnOtherGround => "A part of the reference was copied onto another background.",
            Self::WithinConflictMargin => "A fake and an authentic reference are about equally probable.",
            Self::FakeAlsoNear => "A known fake is similar too, but clearly less so.",
            Self::AuthenticAlsoNear => "An authentic reference is similar too, but clearly less so.",
            Self::SellerAuthorised => "The brand has authorised this seller.",
            Self::SellerNotAuthorised => "The brand has not authorised this seller.",
            Self::BlockCertified => "The brand's certificate covers blocking at this score.",
            Self::BlockNotAskedFor => "The brand's policy asks for no blocks, so a person decides.",
            Self::NoBlockCertificate => "The brand has no certificate to block, so a person decides.",
            Self::BelowBlockThreshold => "The score is below the certified threshold, so a person decides.",
            Self::ReferenceDisputed => "The reference was supplied as authentic and as fake, so a person decides.",
            Self::ReferenceNeverBlocks => {
                "The reference shows what many goods share, or people have overturned its matches, so a person decides."
            }
            Self::RecolouredNeverBlocks => {
                "A known fake in another colour does not prove that these goods are fake, so a person decides."
            }
            Self::LowInformation => "The photo has too little detail for a match to mean anything.",
            Self::BelowEveryThreshold => "No reference is similar enough.",
            Self::ClaimedBrandDiffers => "The listing names another brand than the matched one.",
            Self::SettledByPerson => {
                "A person has already decided about this photo and a reference, which was left out."
            }
            Self::FramesNotJudged => "Other frames of the animation differ and were not judged, so a person decides.",
            Self::FoundByLookback => "The reference was added after the check; a lookback found it in the photo.",
            Self::PhotoNotStored => {
                "The photo is not stored, so only its embedding and some of its keypoints were compared. Send the photo again to have it verified."
            }
            Self::SharedSignal => {
                "Another member of an alliance vouches for the reference. Its photo is not here, so a person decides."
            }
            Self::PhotoBroken => "The photo could not be decoded.",
            Self::ModelFailed => "The photo could not be judged because the model failed.",
        }
    }
}
