use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::align::{Alignment, LogoChange, Recolour};
use crate::domain::{Action, Decision, Kind, Polarity, Reference};
use crate::photo::{PhotoError, Sha256};
use crate::verdict::{Candidate, Judgement, LOGO_SEEN, Reason, Verdict};

/// The marketplace's data about a listing. Every field is optional, at most 256 bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Listing {
    /// The marketplace's id of the listing.
    pub listing_id: Option<String>,
    /// The marketplace's id of the seller; compared with a brand's authorised sellers.
    pub seller_id: Option<String>,
    /// The brand that the listing claims.
    pub brand: Option<String>,
    /// The marketplace's category.
    pub category: Option<String>,
}

/// The answer to a check: stored, and the same on every replay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CheckAnswer {
    /// The check's id, for `GET /v1/checks/{id}`.
    #[schema(example = "chk_019a1b2c3d4e7f008192a3b4c5d6e7f8")]
    pub id: String,
    /// When the check was answered.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// The listing as sent.
    pub listing: Listing,
    /// Verdict on the photo that decides the action.
    pub verdict: Verdict,
    /// What to do with the listing: the severest action of its photos.
    pub action: Action,
    /// Reasons of the verdict and the action.
    pub reasons: Vec<ReasonText>,
    /// One answer per photo, in the order sent.
    pub photos: Vec<PhotoAnswer>,
    /// Versions of everything that produced the answer.
    pub versions: Versions,
}

/// The answer for one photo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PhotoAnswer {
    /// Number of the photo in the request, from 0.
    pub index: usize,
    /// The file's name as sent.
    pub name: Option<String>,
    /// SHA-256 of the bytes, 64 hex digits.
    #[schema(value_type = String)]
    pub sha256: Sha256,
    /// Width in pixels, upright; absent when it could not be decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Height in pixels, upright; absent when it could not be decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// How much detail the photo has, 0 to 100 (PDQ's quality metric); absent when it could not be decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<u8>,
    /// Number of an animation's frames that were compared, at most 200; absent for a still photo. The frame that is
    /// shown longest is judged. If other frames differ from it, the action is never `allow` (`frames-not-judged`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<u32>,
    /// Perceptual hash, 64 hex digits; absent when the photo was allowed or could not be decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perceptual_hash: Option<String>,
    /// Verdict on this photo.
    pub verdict: Verdict,
    /// Action that the policy decides for this photo.
    pub action: Action,
    /// Reasons of the verdict and the action.
    pub reasons: Vec<ReasonText>,
    /// Number of views embedded: 1 for the whole photo, more where photos inside it were embedded; 0 when it could not
    /// be decoded.
    #[serde(default)]
    pub views: u32,
    /// Why the photo could not be decoded; absent when it could.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<PhotoFault>,
    /// The references that reach or nearly reach a threshold, highest probability first.
    pub matches: Vec<Match>,
    /// References left out, because a person has already decided about them and this photo, or one that looks the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settled: Vec<Settled>,
    /// Signals of other members of an alliance that may be about this photo, highest probability first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<SharedMatch>,
    /// Present where a reference was found that is newer than the check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_back: Option<LookedBack>,
}

/// A signal of another member of an alliance: what the member says about a reference of its own, without the picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SharedMatch {
    /// The signal's id.
    #[schema(example = "sig_0f3a5c7e9b1d2f4a6c8e0b2d4f6a8c0e")]
    pub signal_id: String,
    /// The alliance's name.
    pub alliance: String,
    /// The name of the member that vouches for it.
    pub member: String,
    /// The brand that the member names.
    pub brand: String,
    /// Authentic or fake.
    pub polarity: Polarity,
    /// Probability that the photo is a copy of the member's reference, 0 to 1, from embedding, keypoints and fingerprint
    /// alone.
    pub probability: f32,
    /// Cosine similarity of the embeddings in [-1, 1]; absent if the signal is of another model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarity: Option<f32>,
    /// Votes of the photo's keypoints; 0 where there are too few.
    pub votes: f32,
    /// Differing bits of the fingerprints, 0 to 32; absent if they were not compared or differ more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint_bits: Option<u32>,
    /// Differing bits of the PDQ hashes, 0 to 31; absent if they were not compared or differ more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pdq_bits: Option<u32>,
    /// Cases here that signals of this member led to and that were confirmed.
    pub member_confirmed: u64,
    /// Those that were overturned.
    pub member_overturned: u64,
    /// Whether signals of this member only inform, because too many were overturned.
    pub only_informs: bool,
    /// Whether the verdict on the photo rests on this signal.
    pub decides: bool,
}

/// How a reference was found in a photo of an earlier check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LookedBack {
    /// When it was found.
    #[schema(value_type = String, format = DateTime)]
    pub found_at: Timestamp,
    /// What the reference was compared with.
    pub seen_in: SeenIn,
    /// Name and checksum of the model.
    pub model: String,
    /// Name of the model and checksum of the scoring artefact.
    pub scoring: String,
}

/// What is left of a photo of an earlier check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SeenIn {
    /// The photo itself, which was stored: the reference was verified in it.
    Photo,
    /// Its embedding and the strongest of its keypoints; nobody can see the photo, unless it is sent again.
    Memory,
}

/// An earlier decision of a person about a photo and a reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Settled {
    /// The reference's id.
    pub reference_id: String,
    /// The decision: `no_match`, or `authorised` for this seller.
    pub decision: Decision,
    /// Id of the check whose case was decided.
    pub check_id: String,
}

/// Why a photo's bytes could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PhotoFault {
    /// Stable kebab-case code.
    pub code: String,
    /// What was wrong, what was expected, what to do.
    pub detail: String,
}

/// A reason, as a stable code and in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReasonText {
    /// Stable code.
    pub code: Reason,
    /// The reason in words.
    pub text: String,
}

/// A reference that a photo matches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Match {
    /// The reference's id.
    pub reference_id: String,
    /// The brand that owns the reference.
    pub brand: String,
    /// Authentic or fake.
    pub polarity: Polarity,
    /// Photo or logo.
    #[serde(default)]
    pub kind: Kind,
    /// The brand's product id.
    pub product: Option<String>,
    /// Cosine similarity in [-1, 1], of the view in which the reference was found.
    pub similarity: f32,
    /// Calibrated probability that the photo is a copy of this reference, 0 to 1, including what the brand's outcomes
    /// contribute; for a logo, the probability that it is in the photo, changed or not. Absent in look-ups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f32>,
    /// The probability without the brand's outcomes; certificates are about this value. Absent in look-ups and for
    /// logos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
    /// The probability from which on a reference of this polarity means more than "looks alike"; absent in look-ups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
    /// Alignment of the reference with the photo; absent where geometric verification did not run or found none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlay: Option<Overlay>,
    /// How the logo in the photo differs from this one; empty where it does not, and for photos.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logo_changes: Vec<LogoChange>,
}

/// The alignment of a reference with the photo. Verification searches the photo for the whole reference: "the photo
/// contains the reference" is not "the reference contains the photo".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Overlay {
    /// The reference's corners in the photo: top left, top right, bottom right and bottom left, as fractions of the
    /// photo's width and height; outside 0 to 1 where the photo cuts them off.
    pub corners: [[f64; 2]; 4],
    /// Share of the photo that the reference covers, 0 to 1.
    pub photo_overlap: f64,
    /// Share of the reference that is visible in the photo, 0 to 1.
    pub reference_overlap: f64,
    /// Number of keypoints that agree with one transform; where the reference fills the photo, the number of 64 regions
    /// that agree, if that is more.
    pub inliers: usize,
    /// Whether the photo shows the reference's mirror image.
    pub flipped: bool,
    /// Mean correlation of the pixels where there is detail, -1 to 1.
    pub agreement: f64,
    /// Share of the reference's structure in the part of it that was copied, 0 to 1: less than 1 where a subject was cut
    /// out. Absent in older answers, and for logos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied_share: Option<f64>,
    /// Present where the photo is the reference's photograph with the goods in another colour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_colour: Option<OtherColour>,
}

/// Mean colours of the differing regions, as `#rrggbb`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OtherColour {
    /// In the reference.
    #[schema(example = "#b02a2e")]
    pub reference: String,
    /// In the photo.
    #[schema(example = "#1f4fa8")]
    pub photo: String,
}

/// Versions of everything that produced an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Versions {
    /// Version of the program.
    pub touchstone: String,
    /// Name and checksum of the model.
    #[schema(example = "sscd-distilled@240436cc531e")]
    pub model: String,
    /// Name of the model and checksum of the scoring artefact: background set, weights and calibration.
    #[schema(example = "sscd-distilled-scoring@0123456789ab")]
    #[serde(default)]
    pub scoring: String,
    /// Generation of the index, and revision of the gallery applied to it.
    #[schema(example = "3+1204")]
    pub index: String,
    /// Version of the policy of each brand among the candidates; 0 where the brand has none of its own.
    pub policies: BTreeMap<String, u64>,
}

impl CheckAnswer {
    /// The answer with what lookbacks found since: a photo's answer for each finding.
    #[must_use]
    pub fn with_findings(mut self, findings: Vec<PhotoAnswer>) -> Self {
        for later in findings {
            if let Some(photo) = self.photos.iter_mut().find(|photo| photo.index == later.index) {
                photo.found_later(later);
            }
        }
        let severest = self.photos.iter().max_by_key(|photo| (photo.action, photo.verdict));
        if let Some(photo) = severest.filter(|photo| photo.looked_back.is_some()) {
            (self.verdict, self.action) = (photo.verdict, photo.action);
            self.reasons.clone_from(&photo.reasons);
        }
        self
    }

    /// The photo and the match that decide the listing's verdict; `None` if no match does.
    #[must_use]
    pub fn lead(&self) -> Option<(&PhotoAnswer, &Match)> {
        let decides = |photo: &&PhotoAnswer| (photo.verdict, photo.action) == (self.verdict, self.action);
        self.photos.iter().filter(decides).find_map(|photo| Some((photo, photo.lead()?)))
    }

    /// The photo that decides the listing's verdict; the first photo if none does.
    #[must_use]
    pub fn leading_photo(&self) -> Option<&PhotoAnswer> {
        let lead = self.lead().map(|(photo, _)| photo);
        lead.or_else(|| self.leading_signal().map(|(photo, _)| photo)).or(self.photos.first())
    }

    /// The photo and the signal that decide the listing's verdict; `None` if no signal does.
    #[must_use]
    pub fn leading_signal(&self) -> Option<(&PhotoAnswer, &SharedMatch)> {
        let decides = |photo: &&PhotoAnswer| (photo.verdict, photo.action) == (self.verdict, self.action);
        self.photos.iter().filter(decides).find_map(|photo| Some((photo, photo.deciding_signal()?)))
    }
}

impl PhotoAnswer {
    pub(super) fn unseen(index: usize, name: Option<String>, sha256: Sha256) -> Self {
        Self {
            index,
            name,
            sha256,
            width: None,
            height: None,
            quality: None,
            frames: None,
            perceptual_hash: None,
            verdict: Verdict::Undecidable,
            action: Action::Review,
            reasons: Vec::new(),
            views: 0,
            fault: None,
            matches: Vec::new(),
            settled: Vec::new(),
            shared: Vec::new(),
            looked_back: None,
        }
    }

    /// Takes in what a lookback found in this photo: its matches, and its verdict if that is more serious.
    fn found_later(&mut self, mut later: Self) {
        later.matches.retain(|near| self.matches.iter().all(|known| known.reference_id != near.reference_id));
        let more_serious = (later.action, later.verdict) > (self.action, self.verdict);
        if more_serious {
            // The first match of a polarity is the one that decides.
            later.matches.append(&mut self.matches);
            *self = Self { settled: std::mem::take(&mut self.settled), name: self.name.take(), ..later };
        } else {
            self.matches.append(&mut later.matches);
        }
    }

    /// The match that decides the photo's verdict; `None` if no match does.
    #[must_use]
    pub fn lead(&self) -> Option<&Match> {
        if self.deciding_signal().is_some() {
            return None;
        }
        let decides = |near: &&Match| match self.verdict {
            Verdict::KnownFakeMatch | Verdict::KnownFakeLikely => {
                near.kind == Kind::Photo && near.polarity == Polarity::Fake
            }
            Verdict::AuthenticPhotoReuse | Verdict::AuthorisedUse => {
                near.kind == Kind::Photo && near.polarity == Polarity::Authentic
            }
            Verdict::BrandMarkSeen => near.is_logo_seen() && near.is_logo_itself(),
            Verdict::BrandMarkImitated => near.is_logo_seen() && !near.is_logo_itself(),
            _ => true,
        };
        self.matches.iter().find(decides)
    }

    /// The signal on which the verdict rests, if it rests on one.
    #[must_use]
    pub fn deciding_signal(&self) -> Option<&SharedMatch> {
        self.shared.iter().find(|shared| shared.decides)
    }

    pub(super) fn decoded(self, (width, height): (u32, u32), quality: u8, frames: u32) -> Self {
        let frames = (frames > 1).then_some(frames);
        Self { width: Some(width), height: Some(height), quality: Some(quality), frames, ..self }
    }

    pub(super) fn judged(self, judgement: &Judgement) -> Self {
        let reasons = judgement.reasons.iter().copied().map(ReasonText::from).collect();
        Self { verdict: judgement.verdict, action: judgement.action, reasons, ..self }
    }
}

impl From<Reason> for ReasonText {
    fn from(code: Reason) -> Self {
        Self { code, text: code.text().to_owned() }
    }
}

impl From<&PhotoError> for PhotoFault {
    fn from(error: &PhotoError) -> Self {
        Self { code: error.code().to_owned(), detail: error.to_string() }
    }
}

impl Match {
    /// Whether the match is a logo in the photo, changed or not.
    fn is_logo_seen(&self) -> bool {
        self.kind == Kind::Logo && self.probability.is_some_and(|probability| probability >= LOGO_SEEN)
    }

    /// Whether the match is a brand's own logo, unchanged.
    fn is_logo_itself(&self) -> bool {
        self.polarity == Polarity::Authentic && self.logo_changes.is_empty()
    }

    /// The match for a reference that a look-up found.
    pub(super) fn similar(reference: &Reference, similarity: f32) -> Self {
        Self {
            reference_id: reference.id.clone(),
            brand: reference.claim.brand.to_string(),
            polarity: reference.claim.polarity,
            kind: reference.kind(),
            product: reference.claim.details.product.clone(),
            similarity,
            probability: None,
            score: None,
            threshold: None,
            overlay: None,
            logo_changes: Vec::new(),
        }
    }

    /// The match for a reference that a check compared with a photo.
    pub(super) fn held(reference: &Reference, candidate: &Candidate, threshold: f32) -> Self {
        let is_seen = candidate.probability >= LOGO_SEEN;
        let is_shown = |found: &Alignment| match candidate.kind {
            Kind::Photo => found.is_reported(),
            Kind::Logo => is_seen,
        };
        Self {
            probability: Some(candidate.probability),
            score: (candidate.kind == Kind::Photo).then_some(candidate.score),
            threshold: Some(threshold),
            overlay: candidate.alignment.as_ref().filter(|found| is_shown(found)).map(Overlay::from),
            logo_changes: candidate
                .logo
                .as_ref()
                .filter(|_| is_seen)
                .map(|logo| logo.changes.clone())
                .unwrap_or_default(),
            ..Self::similar(reference, candidate.similarity)
        }
    }
}

impl From<Recolour> for OtherColour {
    fn from(recolour: Recolour) -> Self {
        let hex = |[red, green, blue]: [u8; 3]| format!("#{red:02x}{green:02x}{blue:02x}");
        Self { reference: hex(recolour.reference), photo: hex(recolour.photo) }
    }
}

impl From<&Alignment> for Overlay {
    fn from(alignment: &Alignment) -> Self {
        Self {
            corners: alignment.corners.map(|(x, y)| [x, y]),
            photo_overlap: alignment.query_overlap,
            reference_overlap: alignment.reference_overlap,
            inliers: alignment.inliers,
            flipped: alignment.flipped,
            agreement: alignment.detail,
            copied_share: Some(alignment.part.share).filter(|share| *share > 0.0),
            other_colour: alignment.recolour.map(OtherColour::from),
        }
    }
}
