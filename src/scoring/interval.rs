use statrs::distribution::{Beta, ContinuousCDF};

/// The two-sided interval of Clopper and Pearson (Biometrika 26, 1934) for the share behind `count` of `of`: its lower
/// and upper end, 0 to 1. `confidence` is between 0 and 1. The ends are quantiles of Beta(k, n - k + 1) and
/// Beta(k + 1, n - k); at k = 0 and k = n these have the closed forms used here. (0, 1) where `of` is 0. The probability
/// beyond an end is accurate to 1e-6 for `of` up to 100,000, and to 2e-4 up to a million.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub fn clopper_pearson(count: usize, of: usize, confidence: f64) -> (f64, f64) {
    let (k, n, tail) = (count.min(of) as f64, of as f64, (1.0 - confidence) / 2.0);
    if of == 0 {
        return (0.0, 1.0);
    }
    // If the distribution cannot be built, the end stays at the value that excludes nothing.
    let quantile = |p: f64, a: f64, b: f64, otherwise: f64| {
        Beta::new(a, b).ok().and_then(|beta| beta.try_inverse_cdf(p).ok()).unwrap_or(otherwise)
    };
    let low = match count {
        0 => 0.0,
        _ if count >= of => tail.powf(1.0 / n),
        _ => quantile(tail, k, n - k + 1.0, 0.0),
    };
    let high = match count {
        0 => 1.0 - tail.powf(1.0 / n),
        _ if count >= of => 1.0,
        _ => quantile(1.0 - tail, k + 1.0, n - k, 1.0),
    };
    (low, high)
}
