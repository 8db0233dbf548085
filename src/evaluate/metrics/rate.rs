//! Shares with their uncertainty.

use serde::Serialize;
use statrs::distribution::{Beta, ContinuousCDF};

/// `count` of `of`, with the exact 95 % two-sided interval for the share behind it.
///
/// The interval takes the trials to be independent. Queries made from one source are not, so that it is too narrow
/// for sets with many edits of few sources.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// How many did.
    pub count: usize,
    /// Of how many.
    pub of: usize,
    /// `count / of`, 0 to 1; nothing where `of` is 0.
    pub share: Option<f64>,
    /// Lower end of the interval, 0 to 1.
    pub low: f64,
    /// Upper end of the interval, 0 to 1.
    pub high: f64,
}

impl Rate {
    /// The rate of `count` in `of`.
    pub fn new(count: usize, of: usize) -> Self {
        let (low, high) = clopper_pearson(count, of, 0.95);
        Self { count, of, share: (of > 0).then(|| real(count) / real(of)), low, high }
    }

    /// The rate of those among `items` that `did`.
    pub fn among<T>(items: impl IntoIterator<Item = T>, did: impl Fn(&T) -> bool) -> Self {
        let (mut count, mut of) = (0, 0);
        for item in items {
            of += 1;
            count += usize::from(did(&item));
        }
        Self::new(count, of)
    }
}

/// The two-sided interval of Clopper and Pearson (Biometrika 26, 1934) for the share behind `count` of `of`, as its
/// ends, 0 to 1; `confidence` lies between 0 and 1. The ends are quantiles of Beta(k, n - k + 1) and
/// Beta(k + 1, n - k); at k = 0 and k = n these have the closed forms used here. (0, 1) where `of` is 0. The probability
/// left beyond an end is right to 1e-6 for `of` up to 100,000, and to 2e-4 up to a million.
pub fn clopper_pearson(count: usize, of: usize, confidence: f64) -> (f64, f64) {
    let (k, n, tail) = (real(count.min(of)), real(of), (1.0 - confidence) / 2.0);
    if of == 0 {
        return (0.0, 1.0);
    }
    // A distribution that cannot be made leaves the end where it says nothing.
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

/// A count as a real number.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub(super) fn real(count: usize) -> f64 {
    count as f64
}

/// At most `limit` of the points, spread evenly over their order, the first and the last among them.
pub(super) fn thin<T: Clone>(points: &[T], limit: usize) -> Vec<T> {
    if points.len() <= limit || limit < 2 {
        return points.iter().take(limit).cloned().collect();
    }
    (0..limit).map(|i| points[i * (points.len() - 1) / (limit - 1)].clone()).collect()
}
