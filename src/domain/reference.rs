//! References: what brands say about photos, and what intake found in them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantNames};
use utoipa::ToSchema;

use super::{BrandId, InvalidName};
use crate::photo::{Doubt, Photo, Sha256};

/// What a reference proves about a photo that matches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(Display, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase", parse_err_ty = InvalidName, parse_err_fn = not_polarity)]
pub enum Polarity {
    /// The brand's own photo.
    Authentic,
    /// A photo of known counterfeit goods, or from a known counterfeit listing.
    Fake,
}

named!(Polarity, "polarity", not_polarity);

/// Whether a reference is a photo or a logo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase", parse_err_ty = InvalidName, parse_err_fn = not_kind)]
pub enum Kind {
    /// A photo, or a drawing like one: a copy of it reuses the brand's work.
    #[default]
    Photo,
    /// Artwork, such as a logo. It is drawn and printed everywhere, so a photo that shows it copies no other photo.
    Logo,
}

impl Kind {
    /// The kind that the brand gave, else the kind that intake found. A fake without a kind from its brand is a photo:
    /// otherwise copies of it would no longer count as known fakes.
    #[must_use]
    pub fn of(polarity: Polarity, said: Option<Self>, found: Self) -> Self {
        let found = match polarity {
            Polarity::Authentic => found,
            Polarity::Fake => Self::Photo,
        };
        said.unwrap_or(found)
    }
}

named!(Kind, "kind", not_kind);

/// Whether a reference takes part in checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase", parse_err_ty = InvalidName, parse_err_fn = not_state)]
pub enum ReferenceState {
    /// Takes part in checks.
    Active,
    /// Stored, but takes no part in checks. The brand can activate it again.
    Disabled,
    /// Held back because it contradicts other references or matched too much; a moderator or the brand decides.
    Quarantined,
    /// Added by a reindex run that is not published yet.
    Staged,
    /// Removed by a reindex run or its rollback; stored for as long as that can be undone.
    Retired,
}

impl ReferenceState {
    /// Whether the brand has the reference now: active, disabled or quarantined, neither staged nor retired.
    #[must_use]
    pub fn is_present(self) -> bool {
        !matches!(self, Self::Staged | Self::Retired)
    }
}

named!(ReferenceState, "state", not_state);

/// Why an active reference never leads to a block by itself. A match to a disputed one gets the verdict `conflict`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase", parse_err_ty = InvalidName, parse_err_fn = not_mark)]
pub enum Mark {
    /// It shows too little, or what many goods share: blank, a size chart, a plain box, a logo on white.
    Generic,
    /// Moderators overturned its matches in at least three cases, and confirmed them in fewer.
    Overturned,
    /// Another reference with the other polarity is a near-duplicate of it.
    Disputed,
}

named!(Mark, "mark", not_mark);

/// Why a reference is quarantined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredQuarantine")]
pub struct Quarantine {
    /// Stable kebab-case code: `conflict`, `flood` or `moderator`.
    pub code: String,
    /// What contradicts it, or the moderator's note.
    pub detail: String,
    /// Whether the detail may name another brand's reference, so that this brand must not read it.
    pub private: bool,
}

impl Quarantine {
    /// Code of a quarantine by a moderator.
    pub const MODERATOR: &'static str = "moderator";
}

/// The form stored in audit events and publications. Before schema 8 it had no `private`.
#[derive(Deserialize)]
struct StoredQuarantine {
    code: String,
    detail: String,
    private: Option<bool>,
}

impl From<StoredQuarantine> for Quarantine {
    fn from(stored: StoredQuarantine) -> Self {
        let StoredQuarantine { code, detail, private } = stored;
        let private = private.unwrap_or_else(|| code == Self::MODERATOR || detail.contains("another brand's"));
        Self { code, detail, private }
    }
}

/// What a brand says about a photo, besides its polarity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// The brand's own product id, at most 256 bytes.
    pub product: Option<String>,
    /// Where the brand got the photo: a path, URL or free text, at most 1024 bytes.
    pub source: Option<String>,
    /// Free text, at most 4096 bytes.
    pub notes: Option<String>,
    /// Why the brand may use the photo: its own work, a licence, evidence of an infringement. At most 256 bytes.
    pub rights_basis: Option<String>,
    /// The kind that the brand gave; `None` uses the kind that intake found.
    #[serde(default)]
    pub kind: Option<Kind>,
}

impl Details {
    /// These details, with the gaps filled from `before`.
    #[must_use]
    pub fn over(&self, before: &Self) -> Self {
        let or = |new: &Option<String>, old: &Option<String>| new.clone().or_else(|| old.clone());
        Self {
            product: or(&self.product, &before.product),
            source: or(&self.source, &before.source),
            notes: or(&self.notes, &before.notes),
            rights_basis: or(&self.rights_basis, &before.rights_basis),
            kind: self.kind.or(before.kind),
        }
    }

    /// Each text with its field name and its greatest length in bytes.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, usize, Option<&str>)> {
        let texts = [&self.product, &self.source, &self.notes, &self.rights_basis];
        DETAIL_CAPS.into_iter().zip(texts).map(|((name, cap), text)| (name, cap, text.as_deref()))
    }
}

/// Field names and greatest lengths in bytes of the texts of [`Details`].
pub const DETAIL_CAPS: [(&str, usize); 4] =
    [("product", 256), ("source", 1024), ("notes", 4096), ("rights_basis", 256)];

/// A brand's claim about a photo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The brand that makes the claim.
    pub brand: BrandId,
    /// Whether the brand calls the photo its own or a fake.
    pub polarity: Polarity,
    /// Product, source, notes, rights and kind.
    pub details: Details,
}

/// What intake found in a photo's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhotoRecord {
    /// SHA-256 of the bytes; the photo is stored under it.
    pub sha256: Sha256,
    /// The fingerprint: a perceptual hash of 256 bits.
    pub perceptual_hash: [u8; 32],
    /// Quality of the fingerprint, 0 (flat) to 100 (full of detail).
    pub quality: u8,
    /// Width in pixels, upright.
    pub width: u32,
    /// Height in pixels, upright.
    pub height: u32,
    /// Media type of the bytes, such as `image/jpeg`.
    pub media_type: String,
    /// Why the photo is a poor reference; empty for a good one.
    pub doubts: Vec<Doubt>,
    /// SHA-256 of the pixels over white and, for transparent photos where it is stored, over black. They identify the
    /// same photo in another file. Empty if nothing is in doubt.
    pub pixels: Vec<Sha256>,
    /// The kind that intake found.
    pub kind: Kind,
}

impl PhotoRecord {
    /// Whether only the same file or the same pixels match it.
    #[must_use]
    pub fn is_by_identity_only(&self) -> bool {
        Doubt::leave_identity_only(&self.doubts)
    }
}

/// Without doubts, of kind photo.
impl From<&Photo> for PhotoRecord {
    fn from(photo: &Photo) -> Self {
        let fingerprint = photo.fingerprint();
        Self {
            sha256: photo.sha256(),
            perceptual_hash: fingerprint.hash,
            quality: fingerprint.quality,
            width: photo.width(),
            height: photo.height(),
            media_type: photo.format().media_type().to_owned(),
            doubts: Vec::new(),
            pixels: Vec::new(),
            kind: Kind::Photo,
        }
    }
}

/// A brand's photo or logo in the gallery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Its key in the index; never reused after a deletion.
    pub key: u64,
    /// Public id, `ref_` and a UUID.
    pub id: String,
    /// What the brand says about it.
    pub claim: Claim,
    /// What intake found in its bytes.
    pub photo: PhotoRecord,
    /// Whether it takes part in checks.
    pub state: ReferenceState,
    /// Why it is quarantined; `None` in every other state.
    pub quarantine: Option<Quarantine>,
    /// Why it never leads to a block by itself; `None` if it may.
    pub mark: Option<Mark>,
    /// Near-duplicates within a brand share this number.
    pub group: Option<u64>,
    /// The reindex run that added it; `None` if the API or a person did.
    pub run: Option<String>,
    /// The publication that changed it last; `None` if the API or a person has changed it since.
    pub publication: Option<u64>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Reference {
    /// The kind in effect: see [`Kind::of`].
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind::of(self.claim.polarity, self.claim.details.kind, self.photo.kind)
    }
}
