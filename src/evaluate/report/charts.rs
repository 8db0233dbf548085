//! The charts of a report.

use maud::Markup;

use super::plots::{Axis, Line, figure, ticks};
use super::{class_name, percent};
use crate::evaluate::metrics::calibration::Reliability;
use crate::evaluate::metrics::{Figures, Ranking, Signal};
use crate::evaluate::record::{Class, Record};

/// Bins of a histogram.
const COLUMNS: usize = 40;

fn share(label: &str, low: f64, high: f64) -> Axis<'_> {
    Axis { label, ticks: ticks(low, high), format: |value| format!("{:.0}\u{a0}%", value * 100.0) }
}

/// Precision over recall of every signal and baseline.
pub(super) fn precision_recall(figures: &Figures) -> Markup {
    let line = |ranking: &Ranking| {
        Line::plain(&ranking.name, ranking.curve.iter().map(|point| (point.recall, point.precision)).collect())
    };
    let lines: Vec<_> = figures.rankings.iter().map(line).collect();
    let areas: Vec<_> =
        figures.rankings.iter().map(|r| format!("{} {}", r.name, percent(r.average_precision))).collect();
    let text = format!("Pooled pairs on Test. Average precision: {}.", areas.join(", "));
    figure("Precision and recall", &text, &share("Recall", 0.0, 1.0), &share("Precision", 0.0, 1.0), &lines)
}

/// Share of copies at each probability given.
pub(super) fn reliability(figures: &Figures) -> Markup {
    let marks = |name: &str, part: &Reliability| {
        let points = part.bins.iter().filter(|bin| bin.count > 0).map(|bin| (bin.probability, bin.copies)).collect();
        Line { name: name.to_owned(), points, marks: true, filled: false }
    };
    let calibration = &figures.calibration;
    let mut lines = vec![marks("all pairings", &calibration.pooled), marks("highest pairings", &calibration.highest)];
    let polarities = figures.by_polarity.iter();
    lines.extend(polarities.map(|(name, part)| marks(&format!("highest, {name} references"), &part.highest)));
    lines.push(Line::plain("perfect", vec![(0.0, 0.0), (1.0, 1.0)]));
    let text = format!(
        "Share of copies over mean probability in 15 bins on Test. Expected calibration error: all pairings {}, \
         highest pairings {}.",
        percent(calibration.pooled.error),
        percent(calibration.highest.error)
    );
    figure("Reliability", &text, &share("Probability given", 0.0, 1.0), &share("Copies", 0.0, 1.0), &lines)
}

/// Share of wrong answers over share of queries answered.
pub(super) fn risk_coverage(figures: &Figures) -> Markup {
    let curve = &figures.risk.curve;
    let most = curve.iter().map(|point| point.risk).fold(0.001, f64::max);
    let line = Line::plain("by probability", curve.iter().map(|point| (point.coverage, point.risk)).collect());
    let whole = curve.last().map_or(0.0, |point| point.risk);
    let text = format!(
        "Queries answered from the most certain down, on Test. Wrong answers when all are answered: {}; area under \
         the curve: {}.",
        percent(whole),
        percent(figures.risk.area)
    );
    let risk = Axis { label: "Wrong answers", ticks: ticks(0.0, most), format: percent };
    figure("Risk and coverage", &text, &share("Queries answered", 0.0, 1.0), &risk, &[line])
}

/// A query's score: of the true pairing for a copy, of the highest pairing otherwise; `None` without such a pairing.
fn score(record: &Record, signal: Signal) -> Option<f64> {
    let wanted = record.pairings.iter().filter(|pairing| record.class != Class::Copy || pairing.copy);
    wanted.map(|pairing| signal.of(pairing)).filter(|score| score.is_finite()).max_by(f64::total_cmp)
}

/// Queries by score, one outline per class, counts on a logarithmic axis.
pub(super) fn histogram(records: &[Record], signal: Signal, title: &str, unit: &str) -> Markup {
    let classes = [Class::Copy, Class::SameKind, Class::Unrelated];
    let of = |class| -> Vec<f64> {
        records.iter().filter(|record| record.class == class).filter_map(|record| score(record, signal)).collect()
    };
    let scores = classes.map(of);
    let (low, high) = range(&scores);
    let x = Axis {
        label: unit,
        ticks: ticks(low, high),
        format: |value| format!("{value:.4}").trim_end_matches('0').trim_end_matches('.').to_owned(),
    };
    let ends = (x.ticks[0], x.ticks[x.ticks.len() - 1]);
    let counts = scores.each_ref().map(|scores| count(scores, ends));
    let most = counts.iter().flatten().fold(10.0_f64, |most, &n| most.max(n));
    let name = |place: usize| format!("{} ({})", class_name(classes[place]), scores[place].len());
    let line =
        |place: usize| Line { name: name(place), points: outline(&counts[place], ends), marks: false, filled: true };
    let middles: Vec<_> = (0..3).map(|i| format!("{} {}", class_name(classes[i]), median(&scores[i]))).collect();
    let text = format!(
        "All queries. A copy has the score of its true reference, other queries that of their highest pairing. Medians: {}.",
        middles.join(", ")
    );
    figure(title, &text, &x, &powers(most), &[line(0), line(1), line(2)])
}

fn range(scores: &[Vec<f64>]) -> (f64, f64) {
    let all = || scores.iter().flatten().copied();
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    match high - low {
        0.0 => (low - 0.5, high + 0.5),
        span if span.is_finite() && span > 0.0 => (low, high),
        _ => (0.0, 1.0),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "0 to 40")]
fn count(scores: &[f64], (low, high): (f64, f64)) -> [f64; COLUMNS] {
    let mut counts = [0.0; COLUMNS];
    for score in scores {
        let place = ((score - low) / (high - low) * COLUMNS as f64) as usize;
        counts[place.min(COLUMNS - 1)] += 1.0;
    }
    counts
}

#[expect(clippy::cast_precision_loss, reason = "0 to 40")]
fn outline(counts: &[f64], (low, high): (f64, f64)) -> Vec<(f64, f64)> {
    let edge = |place: usize| low + (high - low) * place as f64 / counts.len() as f64;
    // An empty column has no logarithm; the axis begins below 1, and values beyond it are drawn at its end.
    let height = |n: f64| n.max(1e-3).log10();
    let column = |(place, &n): (usize, &f64)| [(edge(place), height(n)), (edge(place + 1), height(n))];
    counts.iter().enumerate().flat_map(column).collect()
}

/// An axis of powers of ten up to `most`, for values that are already logarithms.
fn powers(most: f64) -> Axis<'static> {
    let mut all = vec![-0.5];
    let mut power = 0.0;
    while all.last().is_some_and(|last| *last < most.log10()) || power < 2.0 {
        all.push(power);
        power += 1.0;
    }
    let format = |power: f64| if power < 0.0 { String::new() } else { format!("{:.0}", 10_f64.powf(power)) };
    Axis { label: "Queries", ticks: all, format }
}

fn median(scores: &[f64]) -> String {
    let mut sorted = scores.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).map_or_else(|| "–".to_owned(), |median| format!("{median:.2}"))
}
