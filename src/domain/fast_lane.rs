//! The standing of brands: whose notices go to the marketplace at once, and whose a moderator sees first.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::StrikeOptions;

/// Days over which a brand's notices count.
pub const STANDING_DAYS: i64 = 90;
/// Days that a brand waits after bad figures ended its place in the fast lane: three months.
const WAIT_DAYS: i64 = 90;
const DAY_SECONDS: i64 = 24 * 3600;

/// Settings of takedowns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TakedownOptions {
    /// Hours within which the marketplace answers a request.
    pub deadline_hours: u32,
    /// Hours before the deadline at which the marketplace is reminded of a request without an answer, once.
    pub reminder_hours: u32,
    /// Least share of successful takedowns in the fast lane, 0 to 1.
    pub fast_lane_success: f64,
    /// Greatest share of successful counter-notices in the fast lane, 0 to 1.
    pub fast_lane_counter: f64,
    /// Fewest answered listings from which these shares count.
    pub fast_lane_least: u32,
    /// Strikes of sellers.
    pub strikes: StrikeOptions,
}

impl Default for TakedownOptions {
    fn default() -> Self {
        // A day is the time that large marketplaces give themselves; the shares are those of Alibaba's good-faith
        // mechanism.
        Self {
            deadline_hours: 24,
            reminder_hours: 12,
            fast_lane_success: 0.9,
            fast_lane_counter: 0.05,
            fast_lane_least: 20,
            strikes: StrikeOptions::default(),
        }
    }
}

/// How a brand's notices were answered within [`STANDING_DAYS`], counted in listings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct TakedownRecord {
    /// Listings that were answered: removed, countered, restored, refused by the marketplace, or rejected by a moderator.
    pub answered: u64,
    /// Listings that were removed and not restored: successful takedowns.
    pub removed: u64,
    /// Listings that were restored: successful counter-notices.
    pub restored: u64,
}

impl TakedownRecord {
    /// The share of successful takedowns, 0 to 1; `None` before the first answer.
    #[must_use]
    pub fn success(&self) -> Option<f64> {
        share(self.removed, self.answered)
    }

    /// The share of successful counter-notices, 0 to 1; `None` before the first answer.
    #[must_use]
    pub fn counter(&self) -> Option<f64> {
        share(self.restored, self.answered)
    }

    /// What these figures lack for the fast lane.
    #[must_use]
    pub fn lacking(&self, options: &TakedownOptions) -> Vec<Lacking> {
        let mut lacking = Vec::new();
        if self.answered < u64::from(options.fast_lane_least) || self.answered == 0 {
            lacking.push(Lacking::Answers);
        }
        if self.success().is_none_or(|share| share < options.fast_lane_success) {
            lacking.push(Lacking::Success);
        }
        if self.counter().is_some_and(|share| share > options.fast_lane_counter) {
            lacking.push(Lacking::Counter);
        }
        lacking
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of listings stay far below 2^53")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// What a brand lacks for the fast lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Lacking {
    /// Too few listings were answered.
    Answers,
    /// Too small a share was removed and not restored.
    Success,
    /// Too large a share was restored.
    Counter,
    /// Bad figures ended the brand's place less than three months ago.
    Wait,
}

/// A brand's place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lane {
    /// Whether the brand's notices go to the marketplace at once.
    pub fast: bool,
    /// When bad figures last ended that, in seconds since 1970.
    pub left_at: Option<i64>,
}

impl Lane {
    /// The place after a look at the figures at `now`, in seconds since 1970. Figures below the least number of answers
    /// end the place without a wait: they are not bad, only few.
    #[must_use]
    pub fn after(self, record: &TakedownRecord, options: &TakedownOptions, now: i64) -> Self {
        let lacking = record.lacking(options);
        match self {
            Self { fast: true, .. } if lacking.is_empty() => self,
            Self { fast: true, left_at } if lacking.contains(&Lacking::Answers) => Self { fast: false, left_at },
            Self { fast: true, .. } => Self { fast: false, left_at: Some(now) },
            _ => Self { fast: lacking.is_empty() && !self.waits(now), ..self },
        }
    }

    /// When the wait ends, in seconds since 1970.
    #[must_use]
    pub fn waits_until(self) -> Option<i64> {
        self.left_at.map(|left| left + WAIT_DAYS * DAY_SECONDS)
    }

    /// Whether the brand waits at `now`.
    #[must_use]
    pub fn waits(self, now: i64) -> bool {
        !self.fast && self.waits_until().is_some_and(|end| now < end)
    }
}

/// Start of the period that counts at `now`, both in seconds since 1970.
#[must_use]
pub fn standing_since(now: i64) -> i64 {
    now - STANDING_DAYS * DAY_SECONDS
}
