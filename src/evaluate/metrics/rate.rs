//! Shares with their uncertainty.

use serde::Serialize;

pub use crate::scoring::clopper_pearson;

/// `count` of `of`, with the exact 95 % two-sided interval (Clopper-Pearson) for the share behind it.
///
/// The interval assumes independent trials. Queries made from one source are not independent, so the interval is too
/// narrow for sets with many edits of few sources.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// Number of items with the property.
    pub count: usize,
    /// Number of all items.
    pub of: usize,
    /// `count / of`, 0 to 1; `None` where `of` is 0.
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

    /// The rate of the `items` for which `did` is true.
    pub fn among<T>(items: impl IntoIterator<Item = T>, did: impl Fn(&T) -> bool) -> Self {
        let (mut count, mut of) = (0, 0);
        for item in items {
            of += 1;
            count += usize::from(did(&item));
        }
        Self::new(count, of)
    }
}

/// A count as a floating-point number.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub(super) fn real(count: usize) -> f64 {
    count as f64
}

/// At most `limit` of the points, spread evenly, including the first and the last.
pub(super) fn thin<T: Clone>(points: &[T], limit: usize) -> Vec<T> {
    if points.len() <= limit || limit < 2 {
        return points.iter().take(limit).cloned().collect();
    }
    (0..limit).map(|i| points[i * (points.len() - 1) / (limit - 1)].clone()).collect()
}
