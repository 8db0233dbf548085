use jiff::Timestamp;
use jiff::fmt::rfc2822;

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

/// Seconds that a receiver asks to wait, from the header `Retry-After` (RFC 9110, section 10.2.3): a number of seconds or a
/// date. At most 12 hours; `None` if it is neither, or the date is past.
#[must_use]
pub fn asked_to_wait(header: &str, now: Timestamp) -> Option<i64> {
    let digits = header.trim().bytes().all(|byte| byte.is_ascii_digit()) && !header.trim().is_empty();
    // More digits than a number holds are a long time.
    let seconds = digits.then(|| header.trim().parse().unwrap_or(i64::MAX));
    let until =
        || Some(rfc2822::DateTimeParser::new().parse_timestamp(header.trim()).ok()?.as_second() - now.as_second());
    let longest = i64::try_from(LONGEST).unwrap_or(i64::MAX);
    seconds.or_else(until).filter(|seconds| *seconds > 0).map(|seconds| seconds.min(longest))
}
