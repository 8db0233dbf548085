use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

use crate::photo::Sha256;

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

/// Whether a reference takes part in checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReferenceState {
    /// Takes part.
    Active,
    /// Kept, but takes no part.
    Disabled,
}

impl ReferenceState {
    /// As stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }
}

impl FromStr for ReferenceState {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "active" => Ok(Self::Active),
            "disabled" => Ok(Self::Disabled),
            other => Err(InvalidName(format!("state is {other:?}, expected active or disabled"))),
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

/// A brand's image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Key in the index; never used again after a deletion.
    pub key: u64,
    /// Public id.
    pub id: String,
    /// Whose it is.
    pub brand: BrandId,
    /// Authentic or fake.
    pub polarity: Polarity,
    /// The brand's own product id, if it gave one.
    pub product: Option<String>,
    /// Where the brand has it from.
    pub source: Option<String>,
    /// Free text.
    pub notes: Option<String>,
    /// Whether it takes part.
    pub state: ReferenceState,
    /// Sum of the photo's bytes, under which the photo is kept.
    pub sha256: Sha256,
    /// Perceptual hash of 256 bits.
    pub perceptual_hash: [u8; 32],
    /// How much there is to see, 0 to 100.
    pub quality: u8,
    /// Width in pixels, upright.
    pub width: u32,
    /// Height in pixels, upright.
    pub height: u32,
    /// Media type of the photo's bytes.
    pub media_type: String,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}
