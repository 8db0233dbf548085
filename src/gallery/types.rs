use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

use crate::photo::{Doubt, Photo, Sha256};

/// What a brand has shown its image to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Polarity {
    /// The brand's own picture.
    Authentic,
    /// A picture of known counterfeit goods, or from a known counterfeit listing.
    Fake,
}

impl Polarity {
    /// As stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authentic => "authentic",
            Self::Fake => "fake",
        }
    }
}

impl fmt::Display for Polarity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Polarity {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "authentic" => Ok(Self::Authentic),
            "fake" => Ok(Self::Fake),
            other => Err(InvalidName(format!("polarity is {other:?}, expected authentic or fake"))),
        }
    }
}

/// What kind of picture a reference is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A photograph, or a picture like one: a copy of it is the brand's picture, used again.
    #[default]
    Photo,
    /// Artwork, such as a logo: it is drawn and printed everywhere, so that seeing it is no copy of a picture.
    Logo,
}

impl Kind {
    /// What the brand says, else what was found. A fake of which its brand says nothing is a photo: otherwise copies of it
    /// would no longer be known fakes.
    #[must_use]
    pub fn of(polarity: Polarity, said: Option<Self>, found: Self) -> Self {
        let found = match polarity {
            Polarity::Authentic => found,
            Polarity::Fake => Self::Photo,
        };
        said.unwrap_or(found)
    }

    /// As stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Photo => "photo",
            Self::Logo => "logo",
        }
    }
}

impl FromStr for Kind {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "photo" => Ok(Self::Photo),
            "logo" => Ok(Self::Logo),
            other => Err(InvalidName(format!("kind is {other:?}, expected photo or logo"))),
        }
    }
}

/// Whether a reference takes part in checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReferenceState {
    /// Takes part.
    Active,
    /// Kept, but takes no part.
    Disabled,
    /// Held back because something contradicts it; a person decides.
    Quarantined,
    /// Taken in by a reindex that has not been published yet.
    Staged,
    /// Taken out by a reindex or its rollback; kept as long as that can be undone.
    Retired,
}

impl ReferenceState {
    /// As stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Quarantined => "quarantined",
            Self::Staged => "staged",
            Self::Retired => "retired",
        }
    }

    /// Whether the brand has it, now: neither still to come nor taken out.
    #[must_use]
    pub fn is_present(self) -> bool {
        !matches!(self, Self::Staged | Self::Retired)
    }
}

impl FromStr for ReferenceState {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "active" => Ok(Self::Active),
            "disabled" => Ok(Self::Disabled),
            "quarantined" => Ok(Self::Quarantined),
            "staged" => Ok(Self::Staged),
            "retired" => Ok(Self::Retired),
            other => Err(InvalidName(format!(
                "state is {other:?}, expected active, disabled, quarantined, staged or retired"
            ))),
        }
    }
}

/// A name that does not have the form asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidName(pub String);

/// A brand's short name: 1 to 64 of `a-z`, `0-9`, `-`, `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
#[schema(value_type = String, pattern = "^[a-z0-9_-]{1,64}$", example = "acme")]
pub struct BrandId(String);

impl BrandId {
    /// As stored and shown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BrandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BrandId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        if (1..=64).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName(format!("brand is {text:?}, expected 1 to 64 characters of a-z, 0-9, - and _")))
        }
    }
}

impl<'de> Deserialize<'de> for BrandId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a reference that takes part never leads to a block by itself. A match to a disputed one is a `conflict`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// It shows too little, or what many goods share: blank, a size chart, a plain box, a logo on white.
    Generic,
    /// Its matches were overturned in several cases, and confirmed in fewer.
    Overturned,
    /// Somebody supplied nearly the same image with the other polarity.
    Disputed,
}

impl Mark {
    /// As stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Overturned => "overturned",
            Self::Disputed => "disputed",
        }
    }
}

impl FromStr for Mark {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "generic" => Ok(Self::Generic),
            "overturned" => Ok(Self::Overturned),
            "disputed" => Ok(Self::Disputed),
            other => Err(InvalidName(format!("mark is {other:?}, expected generic, overturned or disputed"))),
        }
    }
}

/// Why a reference is held back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredQuarantine")]
pub struct Quarantine {
    /// Stable kebab-case code: `conflict`, `flood` or `moderator`.
    pub code: String,
    /// What contradicts it, or what a moderator wrote.
    pub detail: String,
    /// Whether the detail may speak of another brand's reference, so that this brand must not read it.
    pub private: bool,
}

impl Quarantine {
    /// Code of what a moderator has held back.
    pub const MODERATOR: &'static str = "moderator";
}

/// As entries of the log and publications hold it. Before schema 8 they did not say whether it is private.
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

/// What a brand says of a photo, beside its polarity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// The brand's own product id.
    pub product: Option<String>,
    /// Where the brand has it from.
    pub source: Option<String>,
    /// Free text.
    pub notes: Option<String>,
    /// Why the brand may use the photo: its own work, a licence, evidence of an infringement.
    pub rights_basis: Option<String>,
    /// What kind of picture the brand says it is; `None` leaves it to what was found.
    #[serde(default)]
    pub kind: Option<Kind>,
}

impl Details {
    /// What is said here, and where nothing is, what was said before.
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

    /// Each text with its name and greatest length in bytes.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, usize, Option<&str>)> {
        let texts = [&self.product, &self.source, &self.notes, &self.rights_basis];
        DETAIL_CAPS.into_iter().zip(texts).map(|((name, cap), text)| (name, cap, text.as_deref()))
    }
}

/// Names and greatest lengths in bytes of the texts of [`Details`].
pub const DETAIL_CAPS: [(&str, usize); 4] =
    [("product", 256), ("source", 1024), ("notes", 4096), ("rights_basis", 256)];

/// What a brand says of a photo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose it is.
    pub brand: BrandId,
    /// Authentic or fake.
    pub polarity: Polarity,
    /// The rest.
    pub details: Details,
}

/// What a photo's own bytes say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhotoRecord {
    /// Sum of the bytes, under which the photo is kept.
    pub sha256: Sha256,
    /// Perceptual hash of 256 bits.
    pub perceptual_hash: [u8; 32],
    /// How much there is to see, 0 to 100.
    pub quality: u8,
    /// Width in pixels, upright.
    pub width: u32,
    /// Height in pixels, upright.
    pub height: u32,
    /// Media type of the bytes.
    pub media_type: String,
    /// Why it is a poor reference, if it is.
    pub doubts: Vec<Doubt>,
    /// SHA-256 of its pixels over white and, if that picture is kept, over black. They identify the same picture in another
    /// file. Empty if nothing is in doubt.
    pub pixels: Vec<Sha256>,
    /// What kind of picture it seems to be.
    pub kind: Kind,
}

impl PhotoRecord {
    /// Whether it matches only the same file and the same pixels.
    #[must_use]
    pub fn is_by_identity_only(&self) -> bool {
        Doubt::leave_identity_only(&self.doubts)
    }
}

/// Without doubts, and as a photograph.
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

/// A brand's image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Key in the index; never used again after a deletion.
    pub key: u64,
    /// Public id.
    pub id: String,
    /// What its brand says of it.
    pub claim: Claim,
    /// What its bytes say.
    pub photo: PhotoRecord,
    /// Whether it takes part.
    pub state: ReferenceState,
    /// Why it is held back, if it is.
    pub quarantine: Option<Quarantine>,
    /// Why it never leads to a block by itself, if it does not.
    pub mark: Option<Mark>,
    /// Near-copies of one another within a brand have the same number.
    pub group: Option<u64>,
    /// The run that brought it in, if one did.
    pub run: Option<String>,
    /// The publication that changed it last; `None` when somebody has changed it by itself since.
    pub publication: Option<u64>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Reference {
    /// What kind of picture it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind::of(self.claim.polarity, self.claim.details.kind, self.photo.kind)
    }
}
