use serde::{Deserialize, Serialize};
use statrs::distribution::{Beta, ContinuousCDF};
use thiserror::Error;
use utoipa::ToSchema;

use crate::embed::ScoreThresholds;

/// What the marketplace should do with a listing. Ordered by severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Let it go live.
    Allow,
    /// A person should look first.
    Review,
    /// Keep it from going live.
    Block,
}

impl Action {
    /// As shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Review => "review",
            Self::Block => "block",
        }
    }
}

/// The precision that blocks must have, with 95 % confidence.
pub const CERTIFIED_PRECISION: f64 = 0.99;
const CONFIDENCE: f64 = 0.95;
/// More outcomes than this are no counts of people's work, and the bound's search would not end.
const MOST_OUTCOMES: u64 = 1_000_000;

/// How one brand wants its matches answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Thresholds that differ from the model's own, for the model that was in use when they were set.
    pub thresholds: ThresholdOverrides,
    /// The right to block without a person; absent, a match goes to review.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<BlockCertificate>,
    /// Answer to a reused authentic photo from a seller who is not authorised: `allow` or `review`.
    pub authentic_reuse: Action,
    /// Answer to a look-alike: `allow` or `review`.
    pub lookalike: Action,
    /// Ids of sellers who may use the brand's photos.
    pub authorised_sellers: Vec<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            thresholds: ThresholdOverrides::default(),
            block: None,
            authentic_reuse: Action::Review,
            lookalike: Action::Allow,
            authorised_sellers: Vec::new(),
        }
    }
}

/// A policy as stored: 0 is the version of a brand that has none and follows the defaults.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoredPolicy {
    /// Counts up with each change.
    pub version: u64,
    /// Identity of the model that its thresholds and certificate were set for.
    pub model: String,
    /// The policy.
    pub policy: Policy,
}

impl StoredPolicy {
    /// What of it holds under `model`: similarities of one model say nothing under another, so its
    /// thresholds and certificate are left out there.
    #[must_use]
    pub fn under(mut self, model: &str) -> Self {
        if self.model != model {
            self.policy.thresholds = ThresholdOverrides::default();
            self.policy.block = None;
        }
        self
    }
}

/// Cosine similarities in [-1, 1] in place of the model's defaults.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ThresholdOverrides {
    /// See the verdict `known_fake_match`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fake_match: Option<f32>,
    /// See the verdict `known_fake_likely`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fake_likely: Option<f32>,
    /// See the verdict `authentic_photo_reuse`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentic_reuse: Option<f32>,
    /// See the verdict `same_product_lookalike`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookalike: Option<f32>,
}

/// The outcomes that entitle a brand to block at a threshold: among past listings whose photo matched
/// a fake at or above it, how many a person confirmed and how many were wrong.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockCertificate {
    /// Cosine similarity to a fake reference from which on to block.
    pub threshold: f32,
    /// Confirmed counterfeits.
    pub confirmed: u64,
    /// Listings that turned out to be in order.
    pub wrong: u64,
}

impl BlockCertificate {
    /// The one-sided 95 % lower bound of the precision (Clopper and Pearson, Biometrika 26, 1934).
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub fn precision_bound(&self) -> f64 {
        if self.confirmed == 0 {
            return 0.0;
        }
        let (confirmed, wrong) = (self.confirmed as f64, self.wrong as f64);
        Beta::new(confirmed, wrong + 1.0).map_or(0.0, |beta| beta.inverse_cdf(1.0 - CONFIDENCE))
    }
}

/// A policy that cannot be taken.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum PolicyError {
    /// A threshold out of range or order.
    #[error("{0}")]
    Thresholds(String),
    /// `block` where only `allow` or `review` is possible.
    #[error("{field} is block, expected allow or review: only a certified match to a known fake blocks")]
    NeverBlocks {
        /// The field.
        field: &'static str,
    },
    /// Too few or too bad outcomes for a certificate.
    #[error(
        "the block certificate's outcomes ({confirmed} confirmed, {wrong} wrong) prove a precision of {bound:.6} with 95 % confidence, expected at least 0.99; without a certificate matches go to review"
    )]
    Uncertified {
        /// Confirmed counterfeits.
        confirmed: u64,
        /// Wrong ones.
        wrong: u64,
        /// What they prove.
        bound: f64,
    },
    /// A list too long or an empty id.
    #[error("{0}")]
    Sellers(String),
}

impl PolicyError {
    /// A stable kebab-case code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Thresholds(_) => "policy-thresholds-invalid",
            Self::NeverBlocks { .. } => "policy-action-invalid",
            Self::Uncertified { .. } => "block-certificate-insufficient",
            Self::Sellers(_) => "policy-sellers-invalid",
        }
    }
}

impl Policy {
    /// The thresholds in force: the brand's own, else the model's.
    #[must_use]
    pub fn thresholds(&self, model: &ScoreThresholds) -> ScoreThresholds {
        let own = &self.thresholds;
        ScoreThresholds {
            fake_match: own.fake_match.unwrap_or(model.fake_match),
            fake_likely: own.fake_likely.unwrap_or(model.fake_likely),
            authentic_reuse: own.authentic_reuse.unwrap_or(model.authentic_reuse),
            lookalike: own.lookalike.unwrap_or(model.lookalike),
            ..*model
        }
    }

    /// Whether this policy may be stored for a gallery under this model.
    ///
    /// # Errors
    /// [`PolicyError`] with got and expected.
    pub fn validate(&self, model: &ScoreThresholds) -> Result<(), PolicyError> {
        if let Some(fault) = self.thresholds(model).fault() {
            return Err(PolicyError::Thresholds(fault));
        }
        // Searches stop at the model's own: below it lies what matches by chance.
        if self.thresholds.lookalike.is_some_and(|own| own < model.lookalike) {
            let (least, got) = (model.lookalike, self.thresholds.lookalike.unwrap_or_default());
            return Err(PolicyError::Thresholds(format!("lookalike is {got}, expected the model's {least} to 1")));
        }
        for (field, action) in [("authentic_reuse", self.authentic_reuse), ("lookalike", self.lookalike)] {
            if action == Action::Block {
                return Err(PolicyError::NeverBlocks { field });
            }
        }
        if self.authorised_sellers.len() > 10_000
            || self.authorised_sellers.iter().any(|id| id.is_empty() || id.len() > 256)
        {
            return Err(PolicyError::Sellers(
                "authorised_sellers holds an empty or over-long id or too many, expected at most 10000 ids of 1 to 256 bytes".to_owned(),
            ));
        }
        self.block.map_or(Ok(()), |block| self.validate_block(&block, model))
    }

    fn validate_block(&self, block: &BlockCertificate, model: &ScoreThresholds) -> Result<(), PolicyError> {
        let least = self.thresholds(model).fake_match;
        if !(least..=1.0).contains(&block.threshold) {
            return Err(PolicyError::Thresholds(format!(
                "block.threshold is {}, expected fake_match ({least}) to 1",
                block.threshold
            )));
        }
        if block.confirmed.max(block.wrong) > MOST_OUTCOMES {
            return Err(PolicyError::Thresholds(format!(
                "block counts {} confirmed and {} wrong outcomes, expected at most {MOST_OUTCOMES} each",
                block.confirmed, block.wrong
            )));
        }
        let bound = block.precision_bound();
        if bound < CERTIFIED_PRECISION {
            return Err(PolicyError::Uncertified { confirmed: block.confirmed, wrong: block.wrong, bound });
        }
        Ok(())
    }
}
