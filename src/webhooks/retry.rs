use super::WebhookOptions;

/// The longest wait between two attempts in seconds: 12 hours.
const LONGEST: u64 = 12 * 3600;

/// Seconds to wait after an attempt that failed, counted from 1; `None` after the last one. Waits double up to 12 hours.
/// `chance`, from 0 to 1, spreads them by a quarter up and down, so that receivers that come back are not called by all
/// deliveries at once.
#[must_use]
pub fn next_attempt(options: &WebhookOptions, attempt: u32, chance: f64) -> Option<i64> {
    if attempt >= options.max_attempts {
        return None;
    }
    let doubled = options.first_retry_s.saturating_mul(1 << attempt.saturating_sub(1).min(32)).min(LONGEST);
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "at most 54,000 seconds")]
    let spread = (doubled as f64 * (0.75 + chance.clamp(0.0, 1.0) / 2.0)).ceil() as i64;
    Some(spread.max(1))
}
