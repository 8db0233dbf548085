//! Alliances: marketplaces and brands that share what they know about photos, without the photos.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantNames};
use utoipa::ToSchema;

use super::{BrandId, InvalidName, Polarity};
use crate::photo::Sha256;

/// Digits of a member's id.
const ID_DIGITS: usize = 32;
const PREFIX: &str = "mbr_";

/// A member of alliances: `mbr_` and the first 32 hex digits of its public key's SHA-256. Nobody can choose another
/// member's id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "mbr_0f3a5c7e9b1d2f4a6c8e0b2d4f6a8c0e")]
pub struct MemberId(String);

impl MemberId {
    /// The id of whoever has this public key.
    #[must_use]
    pub fn of(public_key: &[u8]) -> Self {
        let sum = Sha256::of(public_key).to_string();
        Self(format!("{PREFIX}{}", &sum[..ID_DIGITS]))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for MemberId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let digits = text.strip_prefix(PREFIX).filter(|digits| digits.len() == ID_DIGITS);
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if digits.is_some_and(|digits| digits.bytes().all(hex)) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidName(format!("the member is {text:?}, expected mbr_ and {ID_DIGITS} hex digits")))
    }
}

impl TryFrom<String> for MemberId {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<MemberId> for String {
    fn from(id: MemberId) -> Self {
        id.0
    }
}

/// In which directions a member takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase", parse_err_ty = InvalidName, parse_err_fn = not_role)]
pub enum MemberRole {
    /// It shares signals and receives none
    Shares,
    /// It receives signals and shares none
    Receives,
    /// It shares and receives signals
    Both,
}

named!(MemberRole, "role", not_role);

impl MemberRole {
    /// All roles, in the order of the help.
    pub const ALL: [Self; 3] = [Self::Shares, Self::Receives, Self::Both];

    /// The role that the other side of the exchange has: who only gets signals deals with somebody who gives them.
    #[must_use]
    pub fn mirrored(self) -> Self {
        match self {
            Self::Shares => Self::Receives,
            Self::Receives => Self::Shares,
            Self::Both => Self::Both,
        }
    }

    /// Whether the member gives signals.
    #[must_use]
    pub fn shares(self) -> bool {
        self != Self::Receives
    }

    /// Whether the member gets signals.
    #[must_use]
    pub fn receives(self) -> bool {
        self != Self::Shares
    }
}

/// Whether a member takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase", parse_err_ty = InvalidName, parse_err_fn = not_state)]
pub enum MemberState {
    /// It was invited, and has not joined yet.
    Invited,
    /// It takes part.
    Active,
    /// This touchstone has ended the exchange with it: its signals are deleted, and it gets none.
    Expelled,
}

named!(MemberState, "member's state", not_state);

/// What of a brand is shared with an alliance. Without a rule, nothing is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharingRule {
    /// The brand.
    pub brand: BrandId,
    /// Which of its references.
    pub polarity: Polarity,
    /// Days that a reference must be old before it is shared.
    pub delay_days: u32,
}

/// The settings of alliances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AllianceOptions {
    /// Seconds between two pulls of members' signals; 0 pulls on command only.
    pub pull_s: u64,
    /// Hosts of members: names, or `*.example.com` for all names below one.
    pub hosts: Vec<String>,
    /// Whether private addresses and plain HTTP are allowed too, for members on one's own network.
    pub private_addresses: bool,
    /// PEM file of certificates that are accepted from members beside those of the usual authorities.
    pub certificates: Option<PathBuf>,
    /// The longest time for one request to a member in seconds.
    pub timeout_s: u64,
    /// The greatest number of signals that are taken from one member.
    pub max_signals: u64,
    /// The least share of a member's decided signals that was confirmed, 0 to 1; below it, its signals only inform.
    pub least_trust: f64,
    /// Decided cases from which on that share counts.
    pub trust_from: u32,
    /// The greatest number of different photos in 24 hours that a signal may match; more quarantine it.
    pub flood: u32,
}

impl Default for AllianceOptions {
    fn default() -> Self {
        Self {
            pull_s: 300,
            hosts: Vec::new(),
            private_addresses: false,
            certificates: None,
            timeout_s: 60,
            max_signals: 100_000,
            least_trust: 0.5,
            trust_from: 5,
            flood: 200,
        }
    }
}

/// How signals or references have fared: decided cases that rest on them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fared {
    /// Cases decided as counterfeit or misused.
    pub confirmed: u64,
    /// Cases decided as no match.
    pub overturned: u64,
}

impl Fared {
    /// The share that was confirmed; `None` while nothing is decided.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of cases")]
    pub fn share(self) -> Option<f64> {
        let all = self.confirmed + self.overturned;
        (all > 0).then(|| self.confirmed as f64 / all as f64)
    }

    /// Whether signals of such a member only inform.
    #[must_use]
    pub fn only_informs(self, options: &AllianceOptions) -> bool {
        let enough = self.confirmed + self.overturned >= u64::from(options.trust_from);
        enough && self.share().is_some_and(|share| share < options.least_trust)
    }
}
