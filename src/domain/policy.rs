//! Policies: how a brand wants its matches answered.

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr};
use thiserror::Error;
use utoipa::ToSchema;

use super::check_name;
use crate::embed::ScoreThresholds;

/// What the marketplace should do with a listing, ordered by severity.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema, Display, IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Action {
    /// Let the listing go live.
    Allow,
    /// Have a person check the listing first.
    Review,
    /// Keep the listing from going live.
    Block,
}

impl Action {
    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How a brand wants its matches answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Thresholds that differ from the model's own, for the model that was in use when they were set.
    pub thresholds: ThresholdOverrides,
    /// Whether a match to a known fake may be blocked without a person, from the brand's certified threshold on.
    /// Without a certificate such a match goes to review all the same.
    pub block: bool,
    /// Action for an authentic photo that a seller reuses without authorisation: `allow` or `review`.
    pub authentic_reuse: Action,
    /// Action for a look-alike: `allow` or `review`.
    pub lookalike: Action,
    /// Action for the brand's logo in a photo: `allow` or `review`.
    pub brand_mark_seen: Action,
    /// Action for a sign near the brand's logo that is not the same: `allow` or `review`. A known imitation is always
    /// reviewed.
    pub brand_mark_imitated: Action,
    /// Ids of sellers who may use the brand's photos.
    pub authorised_sellers: Vec<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            thresholds: ThresholdOverrides::default(),
            block: false,
            authentic_reuse: Action::Review,
            lookalike: Action::Allow,
            brand_mark_seen: Action::Allow,
            brand_mark_imitated: Action::Review,
            authorised_sellers: Vec::new(),
        }
    }
}

/// A stored policy. A brand without one has version 0 and the defaults.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct StoredPolicy {
    /// Counts up with each change; 0 means that none is stored.
    pub version: u64,
    /// Identity of the model for which its thresholds were set.
    pub model: String,
    /// The brand's settings.
    pub policy: Policy,
}

impl StoredPolicy {
    /// The part that applies under `model`: similarities of one model mean nothing under another, so the threshold for
    /// look-alikes is left out there. Probabilities mean the same under every model.
    #[must_use]
    pub fn under(mut self, model: &str) -> Self {
        if self.model != model {
            self.policy.thresholds.lookalike = None;
        }
        self
    }
}

/// Thresholds in place of the model's defaults: probabilities of a copy, 0 to 1, and for `lookalike` a
/// cosine similarity, -1 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ThresholdOverrides {
    /// Threshold of the verdict `known_fake_match`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fake_match: Option<f32>,
    /// Threshold of the verdict `known_fake_likely`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fake_likely: Option<f32>,
    /// Threshold of the verdict `authentic_photo_reuse`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentic_reuse: Option<f32>,
    /// Threshold of the verdict `same_product_lookalike`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookalike: Option<f32>,
}

/// Why a policy is rejected.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum PolicyError {
    /// A threshold is out of range or order.
    #[error("{0}")]
    Thresholds(String),
    /// `block` where only `allow` or `review` is possible.
    #[error("{field} is block, expected allow or review: only a certified match to a known fake blocks")]
    NeverBlocks {
        /// Name of the field.
        field: &'static str,
    },
    /// A list of sellers is too long, or contains an empty or over-long id.
    #[error("{0}")]
    Sellers(String),
}

impl PolicyError {
    /// Stable kebab-case code of the error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Thresholds(_) => "policy-thresholds-invalid",
            Self::NeverBlocks { .. } => "policy-action-invalid",
            Self::Sellers(_) => "policy-sellers-invalid",
        }
    }
}

impl Policy {
    /// The thresholds in effect: the brand's own, else the model's.
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

    /// Checks whether this policy may be stored under this model.
    ///
    /// # Errors
    /// [`PolicyError`] with the value and what was expected.
    pub fn validate(&self, model: &ScoreThresholds) -> Result<(), PolicyError> {
        if let Some(fault) = self.thresholds(model).fault() {
            return Err(PolicyError::Thresholds(fault));
        }
        // Searches stop at the model's own threshold: below it, photos match by chance.
        if self.thresholds.lookalike.is_some_and(|own| own < model.lookalike) {
            let (least, got) = (model.lookalike, self.thresholds.lookalike.unwrap_or_default());
            return Err(PolicyError::Thresholds(format!("lookalike is {got}, expected the model's {least} to 1")));
        }
        let answers = [
            ("authentic_reuse", self.authentic_reuse),
            ("lookalike", self.lookalike),
            ("brand_mark_seen", self.brand_mark_seen),
            ("brand_mark_imitated", self.brand_mark_imitated),
        ];
        for (field, action) in answers {
            if action == Action::Block {
                return Err(PolicyError::NeverBlocks { field });
            }
        }
        if self.authorised_sellers.len() > 10_000
            || self.authorised_sellers.iter().any(|id| id.is_empty() || id.len() > 256)
        {
            return Err(PolicyError::Sellers(
                "authorised_sellers has an empty or over-long id or too many ids, expected at most 10000 ids of 1 to 256 bytes".to_owned(),
            ));
        }
        for id in &self.authorised_sellers {
            check_name("authorised_sellers", id).map_err(|fault| PolicyError::Sellers(fault.to_string()))?;
        }
        Ok(())
    }
}
