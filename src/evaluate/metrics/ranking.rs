//! Ranking: how well a system's scores put copies above everything else.

use std::collections::BTreeMap;

use serde::Serialize;

use super::answers::{Answered, Answers};
use super::rate::{Rate, real, thin};
use crate::evaluate::record::Class;

/// Precisions at which recall is reported.
pub const PRECISIONS: [f64; 3] = [0.90, 0.99, 0.999];

/// Share of the queries that are no copies that may lie above the threshold of [`RecallAtWrongs`].
pub const WRONGS: f64 = 0.001;

/// Share of the queries that may be given a wrong product in [`Naming`].
pub const WRONG_PRODUCTS: f64 = 0.01;

/// Most points of a curve.
pub(super) const POINTS: usize = 400;

/// One threshold of the precision-recall curve over pooled pairs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Share of the copies whose pair scores at least `score`, 0 to 1.
    pub recall: f64,
    /// Share of the pairs that score at least `score` that are right, 0 to 1.
    pub precision: f64,
    /// The threshold.
    pub score: f64,
}

/// The highest recall at a given precision.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Operating {
    /// The required precision, 0 to 1.
    pub precision: f64,
    /// The recall reached, 0 to 1; 0 where no threshold reaches the precision.
    pub recall: f64,
    /// The threshold that reaches it; `None` where none does.
    pub threshold: Option<f64>,
}

/// Copies whose true reference ranks first, above the threshold that at most [`WRONGS`] of the wrongs pass.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecallAtWrongs {
    /// A copy counts when its true pairing scores strictly more; `None` where no threshold is needed.
    pub threshold: Option<f64>,
    /// Number of wrongs: queries that are no copies.
    pub wrongs: usize,
    /// Rate among all copies.
    pub overall: Rate,
    /// Rate among the unedited copies, which have neither transform nor strength.
    pub near_copies: Rate,
    /// Rates among the copies of each strength.
    pub by_strength: BTreeMap<String, Rate>,
    /// Rates among the copies of each transform.
    pub by_transform: BTreeMap<String, Rate>,
    /// Rates among the copies of each transform (outer key) and strength (inner key).
    pub by_both: BTreeMap<String, BTreeMap<String, Rate>>,
}

/// How well one system ranks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranking {
    /// Name of the signal or the baseline.
    pub name: String,
    /// Micro average precision, 0 to 1: see [`average_precision`].
    pub average_precision: f64,
    /// Recall at each of [`PRECISIONS`], over pooled pairs.
    pub at_precision: Vec<Operating>,
    /// Copies whose true pairing scores more than every other one.
    pub recall_at_1: Rate,
    /// The same for the edits of each strength, and for `near-copies`, which are not edited.
    pub first_by_strength: BTreeMap<String, Rate>,
    /// Recall at the wrongs' threshold.
    pub at_wrongs: RecallAtWrongs,
    /// At most 400 points, by rising recall.
    pub curve: Vec<CurvePoint>,
}

/// How often the product is named correctly for photos that are no copies, at a threshold that limits wrong names.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Naming {
    /// Name of the signal.
    pub name: String,
    /// A name is given where the highest score is strictly more; `None` where no threshold is needed.
    pub threshold: Option<f64>,
    /// Queries whose highest-scored pairing shows the product, above the threshold.
    pub right: Rate,
    /// Queries given a wrong product: at most [`WRONG_PRODUCTS`] of them.
    pub wrong: Rate,
}

/// All ranking figures of one system.
pub fn ranking(answers: &Answers<'_>) -> Ranking {
    let steps = steps(answers);
    let copies = || answers.queries.iter().filter(|query| query.record.class == Class::Copy);
    Ranking {
        name: answers.name.clone(),
        average_precision: area(&steps, copies().count()),
        at_precision: PRECISIONS.iter().map(|&precision| operating(&steps, copies().count(), precision)).collect(),
        recall_at_1: Rate::among(copies(), |query| query.right_first(|answer| answer.copy).is_some()),
        first_by_strength: first_by_strength(&copies().collect::<Vec<_>>()),
        at_wrongs: recall_at_wrongs(answers),
        curve: curve(&steps, copies().count()),
    }
}

/// Micro average precision over the pooled (query, reference) pairs, 0 to 1, as ISC21 defines it (Douze et al.,
/// "The 2021 Image Similarity Dataset and Challenge", arXiv 2106.09672): the sum, over pairs that are copies, of
/// precision at their rank, divided by the number of copies, found or not. Equal scores are one step with the
/// precision at its end, so that the order of input cannot matter. 0 without copies.
pub fn average_precision(answers: &Answers<'_>) -> f64 {
    let copies = answers.queries.iter().filter(|query| query.record.class == Class::Copy).count();
    area(&steps(answers), copies)
}

fn first_by_strength(copies: &[&Answered<'_>]) -> BTreeMap<String, Rate> {
    let mut parts: BTreeMap<&str, Vec<bool>> = BTreeMap::new();
    for query in copies {
        let strength = query.record.strength.as_deref().unwrap_or("near-copies");
        parts.entry(strength).or_default().push(query.right_first(|answer| answer.copy).is_some());
    }
    parts.into_iter().map(|(name, firsts)| (name.to_owned(), Rate::among(firsts, |first| *first))).collect()
}

/// Number of pairs that score at least `score`, and how many of them are right.
struct Step {
    score: f64,
    seen: usize,
    right: usize,
}

impl Step {
    fn precision(&self) -> f64 {
        real(self.right) / real(self.seen)
    }
}

fn steps(answers: &Answers<'_>) -> Vec<Step> {
    let mut pairs: Vec<_> =
        answers.queries.iter().flat_map(|query| &query.answers).map(|answer| (answer.score, answer.copy)).collect();
    pairs.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let mut right = 0;
    let ends = pairs.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()).scan(0, |seen, tied| {
        *seen += tied.len();
        right += tied.iter().filter(|pair| pair.1).count();
        Some(Step { score: tied[0].0, seen: *seen, right })
    });
    ends.collect()
}

/// The steps that find copies, each with the number found.
fn finds(steps: &[Step]) -> impl Iterator<Item = (&Step, usize)> {
    let mut before = 0;
    steps.iter().filter_map(move |step| {
        let found = step.right - std::mem::replace(&mut before, step.right);
        (found > 0).then_some((step, found))
    })
}

fn area(steps: &[Step], copies: usize) -> f64 {
    let sum: f64 = finds(steps).map(|(step, found)| step.precision() * real(found)).sum();
    if copies == 0 { 0.0 } else { sum / real(copies) }
}

fn operating(steps: &[Step], copies: usize, precision: f64) -> Operating {
    let last = finds(steps).filter(|(step, _)| step.precision() >= precision).last();
    Operating {
        precision,
        recall: last.map_or(0.0, |(step, _)| real(step.right) / real(copies)),
        threshold: last.map(|(step, _)| step.score),
    }
}

fn curve(steps: &[Step], copies: usize) -> Vec<CurvePoint> {
    // Steps without a copy only lower the precision at the same recall; thinning them with the rest would starve the
    // rest.
    let points: Vec<_> = finds(steps)
        .map(|(step, _)| CurvePoint {
            recall: real(step.right) / real(copies),
            precision: step.precision(),
            score: step.score,
        })
        .collect();
    thin(&points, POINTS)
}

/// The score at position floor(`share` x `of`), from 0, of `scores` in descending order: at most `share` of `of` lie
/// strictly above it. `None` where there are no more scores than that, or the score is negative infinity, because then
/// every finite score may pass. `share` is 0 to 1.
pub fn threshold(mut scores: Vec<f64>, of: usize, share: f64) -> Option<f64> {
    scores.sort_unstable_by(|a, b| b.total_cmp(a));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
    let place = (share * real(of)).floor() as usize;
    scores.get(place).copied().filter(|score| *score > f64::NEG_INFINITY)
}

/// Recall with the true reference first, at the threshold above which at most [`WRONGS`] of the wrongs lie. Wrongs are
/// the queries that are no copies; the score of each is that of its highest answer.
pub fn recall_at_wrongs(answers: &Answers<'_>) -> RecallAtWrongs {
    let (copies, wrongs): (Vec<_>, Vec<_>) =
        answers.queries.iter().partition(|query| query.record.class == Class::Copy);
    let threshold = threshold(wrongs.iter().map(|query| query.top()).collect(), wrongs.len(), WRONGS);
    let above = threshold.unwrap_or(f64::NEG_INFINITY);
    let hit = |query: &&&Answered<'_>| query.right_first(|answer| answer.copy).is_some_and(|score| score > above);
    let of = |wanted: &dyn Fn(&Answered<'_>) -> bool| Rate::among(copies.iter().filter(|query| wanted(query)), hit);
    let transforms = values(&copies, |query| query.record.transform.as_deref());
    let strengths = values(&copies, |query| query.record.strength.as_deref());
    let is = |query: &Answered<'_>, transform: &str| query.record.transform.as_deref() == Some(transform);
    let at = |query: &Answered<'_>, strength: &str| query.record.strength.as_deref() == Some(strength);
    let both = |transform: &str| {
        let cells = strengths.iter().map(|s| (s.clone(), of(&|query| is(query, transform) && at(query, s))));
        cells.filter(|(_, rate)| rate.of > 0).collect()
    };
    RecallAtWrongs {
        threshold,
        wrongs: wrongs.len(),
        overall: of(&|_| true),
        near_copies: of(&|query| query.record.transform.is_none() && query.record.strength.is_none()),
        by_strength: strengths.iter().map(|s| (s.clone(), of(&|query| at(query, s)))).collect(),
        by_transform: transforms.iter().map(|t| (t.clone(), of(&|query| is(query, t)))).collect(),
        by_both: transforms.iter().map(|t| (t.clone(), both(t))).collect(),
    }
}

fn values<'a>(queries: &[&'a Answered<'a>], of: impl Fn(&'a Answered<'a>) -> Option<&'a str>) -> Vec<String> {
    let mut all: Vec<_> = queries.iter().filter_map(|&query| of(query)).map(str::to_owned).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// How many of the queries in `answers` get a right product as the first name, at the threshold where at most
/// [`WRONG_PRODUCTS`] of them get a wrong one. Pass only queries for which a right name exists.
pub fn naming(answers: &Answers<'_>) -> Naming {
    let of = answers.queries.len();
    let (right, wrong): (Vec<_>, Vec<_>) =
        answers.queries.iter().partition(|query| query.right_first(|answer| answer.same_product).is_some());
    let threshold = threshold(wrong.iter().map(|query| query.top()).collect(), of, WRONG_PRODUCTS);
    let passed = |queries: &[&Answered<'_>]| {
        let above = threshold.unwrap_or(f64::NEG_INFINITY);
        Rate::new(queries.iter().filter(|query| query.top() > above).count(), of)
    };
    Naming { name: answers.name.clone(), threshold, right: passed(&right), wrong: passed(&wrong) }
}
