use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::domain::{BrandId, Fared, InvalidName, Polarity, check_field};
use crate::embed::RoundedEmbedding;
use crate::photo::Sha256;

/// Greatest numbers of an embedding.
const MOST_NUMBERS: usize = 4096;
/// Greatest bytes of visual words: 250 of them.
const MOST_WORDS: usize = 2_000;
/// Greatest bytes of the names of models and vocabularies.
const MOST_NAME: usize = 128;
/// Greatest bytes of the texts of a signal.
const MOST_TEXT: usize = 256;

/// The id of a signal: `sig_` and 32 hex digits. It is the same in every pack of its alliance, and does not tell the
/// reference's id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SignalId(String);

impl SignalId {
    const PREFIX: &'static str = "sig_";
    const DIGITS: usize = 32;

    /// The id of a reference's signal in an alliance.
    #[must_use]
    pub fn of(alliance: &str, reference: &str) -> Self {
        let sum = Sha256::of(format!("{alliance} {reference}").as_bytes()).to_string();
        Self(format!("{}{}", Self::PREFIX, &sum[..Self::DIGITS]))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SignalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SignalId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let digits = text.strip_prefix(Self::PREFIX).filter(|digits| digits.len() == Self::DIGITS);
        if digits
            .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase()))
        {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidName(format!("the signal is {text:?}, expected sig_ and {} hex digits", Self::DIGITS)))
    }
}

impl TryFrom<String> for SignalId {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<SignalId> for String {
    fn from(id: SignalId) -> Self {
        id.0
    }
}

/// A line of a pack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
pub enum Line {
    /// A reference is shared.
    Share {
        /// Its place in the alliance's log of the member who shares, from 1 on without gaps.
        seq: u64,
        /// When it was shared.
        at: Timestamp,
        /// The signal's id.
        id: SignalId,
        /// What is shared; absent if it has been withdrawn since.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<Box<Signal>>,
    },
    /// A signal is withdrawn: whoever has it deletes it.
    Withdraw {
        /// As in `share`.
        seq: u64,
        /// When it was withdrawn.
        at: Timestamp,
        /// The signal's id.
        id: SignalId,
    },
}

/// What a member says about a reference of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signal {
    /// The reference's brand.
    pub brand: BrandId,
    /// Authentic or fake.
    pub polarity: Polarity,
    /// The brand's product id, at most 256 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// Why the brand may use the photo, at most 256 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rights_basis: Option<String>,
    /// When the member added the reference.
    pub vouched_at: Timestamp,
    /// How the reference has fared at the member.
    #[serde(default)]
    pub fared: Fared,
    /// touchstone's own fingerprint of 256 bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Perceptual>,
    /// Meta's PDQ hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pdq: Option<Perceptual>,
    /// The embedding by one model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<RoundedNumbers>,
    /// The visual words of the strongest keypoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keypoints: Option<Keypoints>,
}

/// A perceptual hash and how far it can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Perceptual {
    /// 256 bits, as 64 hex digits.
    pub hash: Sha256,
    /// 0 (flat) to 100 (full of detail).
    pub quality: u8,
}

/// An embedding, one signed byte per dimension.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundedNumbers {
    /// Name and checksum of the model.
    pub model: String,
    /// The numbers are the signed bytes, times this.
    pub scale: f32,
    /// The signed bytes, in Base64.
    #[serde(serialize_with = "write_bytes", deserialize_with = "read_bytes")]
    pub bytes: Vec<u8>,
}

impl RoundedNumbers {
    /// The embedding.
    #[must_use]
    pub fn embedding(&self) -> RoundedEmbedding {
        RoundedEmbedding::from_parts(self.scale, &self.bytes)
    }
}

/// Visual words of one vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keypoints {
    /// Id of the vocabulary.
    pub vocabulary: String,
    /// Eight bytes a keypoint, the strongest first, in Base64.
    #[serde(serialize_with = "write_bytes", deserialize_with = "read_bytes")]
    pub words: Vec<u8>,
}

fn write_bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
}

fn read_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    BASE64_STANDARD.decode(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// Why a line is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LineFault {
    /// The line cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// A value is out of range.
    #[error("{0}")]
    Invalid(String),
}

impl Line {
    /// Its place in the log.
    #[must_use]
    pub fn seq(&self) -> u64 {
        match self {
            Self::Share { seq, .. } | Self::Withdraw { seq, .. } => *seq,
        }
    }

    /// The signal's id.
    #[must_use]
    pub fn id(&self) -> &SignalId {
        match self {
            Self::Share { id, .. } | Self::Withdraw { id, .. } => id,
        }
    }

    /// When it was written.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Share { at, .. } | Self::Withdraw { at, .. } => *at,
        }
    }

    /// Reads a line, and checks every value that others rely on.
    ///
    /// # Errors
    /// [`LineFault`].
    pub fn parse(text: &str) -> Result<Self, LineFault> {
        let line: Self = serde_json::from_str(text).map_err(|error| LineFault::Unreadable(error.to_string()))?;
        if let Self::Share { signal: Some(signal), .. } = &line {
            signal.check().map_err(LineFault::Invalid)?;
        }
        Ok(line)
    }
}

impl Signal {
    fn check(&self) -> Result<(), String> {
        for (name, text) in [("product", &self.product), ("rights_basis", &self.rights_basis)] {
            let Some(text) = text else { continue };
            check_field(name, text).map_err(|fault| fault.to_string())?;
            if text.len() > MOST_TEXT {
                return Err(format!("{name} has {} bytes, expected at most {MOST_TEXT}", text.len()));
            }
        }
        let names = [self.embedding.as_ref().map(|one| &one.model), self.keypoints.as_ref().map(|one| &one.vocabulary)];
        if let Some(name) = names.into_iter().flatten().find(|name| name.len() > MOST_NAME) {
            return Err(format!(
                "a model or vocabulary has a name of {} bytes, expected at most {MOST_NAME}",
                name.len()
            ));
        }
        for hash in [self.fingerprint.as_ref(), self.pdq.as_ref()].into_iter().flatten() {
            if hash.quality > 100 {
                return Err(format!("a quality is {}, expected 0 to 100", hash.quality));
            }
        }
        if let Some(RoundedNumbers { scale, bytes, .. }) = &self.embedding {
            if !(1..=MOST_NUMBERS).contains(&bytes.len()) {
                return Err(format!("the embedding has {} numbers, expected 1 to {MOST_NUMBERS}", bytes.len()));
            }
            let norm: f32 = bytes.iter().map(|byte| f32::from(byte.cast_signed()) * scale).map(|one| one * one).sum();
            if !(0.9..=1.1).contains(&norm.sqrt()) {
                return Err(format!("the embedding has the norm {}, expected 1", norm.sqrt()));
            }
        }
        if let Some(Keypoints { words, .. }) = &self.keypoints
            && (words.len() > MOST_WORDS || words.len() % 8 != 0)
        {
            return Err(format!(
                "the words have {} bytes, expected a multiple of 8, at most {MOST_WORDS}",
                words.len()
            ));
        }
        Ok(())
    }
}

/// A checksum over a member's whole log up to a line: a member that changes an earlier line changes all later sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain(pub Sha256);

impl Chain {
    /// The sum before the first line.
    #[must_use]
    pub fn start() -> Self {
        Self(Sha256([0; 32]))
    }

    /// The sum after one more line: SHA-256 of the sum before as hex digits, the place, the kind, the id and the time in
    /// seconds since 1970, separated by spaces.
    #[must_use]
    pub fn then(self, seq: u64, withdrawn: bool, id: &SignalId, at: Timestamp) -> Self {
        let op = if withdrawn { "withdraw" } else { "share" };
        Self(Sha256::of(format!("{} {seq} {op} {id} {}", self.0, at.as_second()).as_bytes()))
    }

    /// As [`Chain::then`], for a line.
    #[must_use]
    pub fn after(self, line: &Line) -> Self {
        self.then(line.seq(), matches!(line, Line::Withdraw { .. }), line.id(), line.at())
    }
}
