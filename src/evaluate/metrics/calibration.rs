//! Calibration: whether events happen as often as the probabilities say.

use std::cmp::Reverse;

use serde::Serialize;

use super::answers::lowest_if_nan;
use super::ranking::POINTS;
use super::rate::{real, thin};
use crate::evaluate::record::{Class, Pairing, Record};

/// Bins of equal width on 0 to 1.
pub const BINS: usize = 15;

/// Pairings whose probability falls into one bin.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bin {
    /// Lower end, inclusive, 0 to 1.
    pub low: f64,
    /// Upper end, exclusive except for the last bin, 0 to 1.
    pub high: f64,
    /// Number of pairings.
    pub count: usize,
    /// Mean probability of the pairings, 0 to 1; 0 where there are none.
    pub probability: f64,
    /// Share of the pairings that are copies, 0 to 1; 0 where there are none.
    pub copies: f64,
}

/// The bins, and the error over them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reliability {
    /// Number of pairings in all bins.
    pub count: usize,
    /// Expected calibration error, 0 to 1: see [`reliability`].
    pub error: f64,
    /// [`BINS`] bins, by rising probability.
    pub bins: Vec<Bin>,
}

/// Calibration of all pairings, and of the pairing that a user sees first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// Every pairing of every query.
    pub pooled: Reliability,
    /// Each query's highest pairing: see [`highest`].
    pub highest: Reliability,
}

/// One coverage of the risk-coverage curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RiskPoint {
    /// Share of the queries answered, 0 to 1.
    pub coverage: f64,
    /// Share of wrong answers among these, 0 to 1.
    pub risk: f64,
    /// Least confidence among these, 0.5 to 1.
    pub confidence: f64,
}

/// How the risk falls when the least certain queries are left to a person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RiskCoverage {
    /// Area under the curve, 0 to 1; lower is better.
    pub area: f64,
    /// At most 400 points, by rising coverage.
    pub curve: Vec<RiskPoint>,
}

/// The pairing with the highest probability among those `wanted`. Among equals, the one with the highest evidence, then
/// the first by the reference's name, so that the order of pairings does not matter.
pub fn highest(record: &Record, wanted: impl Fn(&Pairing) -> bool) -> Option<&Pairing> {
    record.pairings.iter().filter(|pairing| wanted(pairing)).max_by(|a, b| {
        let evidence = |pairing: &Pairing| lowest_if_nan(f64::from(pairing.evidence));
        let by_probability = probability(a).total_cmp(&probability(b));
        let by_evidence = evidence(a).total_cmp(&evidence(b));
        by_probability.then(by_evidence).then_with(|| Reverse(&a.reference).cmp(&Reverse(&b.reference)))
    })
}

/// Calibration of the pairings `wanted`.
pub fn calibration(records: &[&Record], wanted: impl Fn(&Pairing) -> bool) -> Calibration {
    let pair = |pairing: &Pairing| (probability(pairing), pairing.copy);
    let pooled = records.iter().flat_map(|record| &record.pairings).filter(|pairing| wanted(pairing)).map(pair);
    let first = records.iter().filter_map(|record| highest(record, &wanted)).map(pair);
    Calibration { pooled: reliability(pooled), highest: reliability(first) }
}

/// Reliability of (probability, came true) pairs. The expected calibration error (Naeini, Cooper and Hauskrecht, AAAI
/// 2015) is the mean over bins, weighted by count, of |share that came true - mean probability|. 0 without pairs.
pub fn reliability(pairs: impl IntoIterator<Item = (f64, bool)>) -> Reliability {
    let mut sums = [(0_usize, 0.0, 0_usize); BINS];
    for (probability, copy) in pairs {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 15")]
        let place = (probability.clamp(0.0, 1.0) * real(BINS)) as usize;
        let (count, sum, copies) = &mut sums[place.min(BINS - 1)];
        *count += 1;
        *sum += probability;
        *copies += usize::from(copy);
    }
    let mean = |sum: f64, count: usize| if count == 0 { 0.0 } else { sum / real(count) };
    let bins: Vec<_> = (0..BINS)
        .map(|i| Bin {
            low: real(i) / real(BINS),
            high: real(i + 1) / real(BINS),
            count: sums[i].0,
            probability: mean(sums[i].1, sums[i].0),
            copies: mean(real(sums[i].2), sums[i].0),
        })
        .collect();
    let count = bins.iter().map(|bin| bin.count).sum();
    let gaps = bins.iter().map(|bin| real(bin.count) * (bin.copies - bin.probability).abs()).sum();
    Reliability { count, error: mean(gaps, count), bins }
}

/// The risk-coverage curve over queries and the area under it (Geifman and El-Yaniv, "Selective Classification for
/// Deep Neural Networks", NIPS 2017; the area in Geifman, Uziel and El-Yaniv, ICLR 2019).
///
/// A query's answer is whether the probability p of its highest pairing is 0.5 or more, its confidence max(p, 1 - p).
/// The answer is wrong where it differs from the truth about that pairing, and for a copy whose highest pairing is
/// not the true one. A query without pairings is one with p = 0. The area is the mean, over queries in order of
/// confidence, of the risk when answering down to their confidence; equal confidences are one step.
pub fn risk_coverage(records: &[&Record]) -> RiskCoverage {
    let mut answers: Vec<_> = records.iter().map(|record| judged(record)).collect();
    answers.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let (mut seen, mut wrong, mut area, mut points) = (0, 0, 0.0, Vec::new());
    for tied in answers.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        seen += tied.len();
        wrong += tied.iter().filter(|answer| answer.1).count();
        let risk = real(wrong) / real(seen);
        area += risk * real(tied.len()) / real(answers.len());
        points.push(RiskPoint { coverage: real(seen) / real(answers.len()), risk, confidence: tied[0].0 });
    }
    RiskCoverage { area, curve: thin(&points, POINTS) }
}

/// A query's confidence, and whether its answer is wrong.
fn judged(record: &Record) -> (f64, bool) {
    let first = highest(record, |_| true);
    let p = first.map_or(0.0, probability);
    let copy = first.is_some_and(|pairing| pairing.copy);
    let missed = record.class == Class::Copy && !copy;
    (p.max(1.0 - p), missed || (p >= 0.5) != copy)
}

/// The pairing's probability, clamped to 0 to 1; 0 for NaN.
fn probability(pairing: &Pairing) -> f64 {
    lowest_if_nan(f64::from(pairing.probability)).clamp(0.0, 1.0)
}
