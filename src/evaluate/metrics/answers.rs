//! One form for the answers of every compared system: per query, scored answers that are right or wrong.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::evaluate::record::{Pairing, Record};

/// A measure of a [`Pairing`] that ranks it: higher means more likely a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// [`Pairing::similarity`], -1 to 1.
    Similarity,
    /// [`Pairing::normalised`].
    Normalised,
    /// [`Pairing::evidence`], log-odds.
    Evidence,
    /// [`Pairing::inliers`], 0 or more.
    Inliers,
}

impl Signal {
    /// Every signal, in the order of reports.
    pub const ALL: [Self; 4] = [Self::Similarity, Self::Normalised, Self::Evidence, Self::Inliers];

    /// Name in reports; no [`Baseline`] should share it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Similarity => "similarity",
            Self::Normalised => "normalised",
            Self::Evidence => "evidence",
            Self::Inliers => "inliers",
        }
    }

    /// The value of this measure; negative infinity for NaN, so that NaN never ranks high.
    pub fn of(self, pairing: &Pairing) -> f64 {
        lowest_if_nan(match self {
            Self::Similarity => f64::from(pairing.similarity),
            Self::Normalised => f64::from(pairing.normalised),
            Self::Evidence => f64::from(pairing.evidence),
            Self::Inliers => f64::from(pairing.inliers),
        })
    }
}

/// The best answers of another system, such as PDQ, to the same queries.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Baseline {
    /// Name in reports.
    pub name: String,
    /// Path of each answered query, with the path of the reference answered and its score, higher for more similar
    /// photos.
    pub answers: BTreeMap<String, (String, f64)>,
    /// Path of each copy, with the path of its true reference. Needed for copies whose [`Record`] lacks the pairing
    /// with the true reference: without it, a right answer of the baseline to such a copy would count as wrong.
    pub truths: BTreeMap<String, String>,
}

/// One scored answer to a query.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Answer {
    /// Any range; never NaN.
    pub score: f64,
    /// Whether the query is a copy of the reference answered.
    pub copy: bool,
    /// Whether the reference answered shows the query's product.
    pub same_product: bool,
}

/// A query with one system's answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered<'a> {
    /// The query.
    pub record: &'a Record,
    /// The answers, in no particular order; may be empty.
    pub answers: Vec<Answer>,
}

impl Answered<'_> {
    /// The highest score; negative infinity without answers.
    pub fn top(&self) -> f64 {
        self.best(|_| true)
    }

    /// The highest score of the answers wanted; negative infinity without one.
    pub fn best(&self, wanted: impl Fn(&Answer) -> bool) -> f64 {
        self.answers.iter().filter(|answer| wanted(answer)).map(|answer| answer.score).fold(f64::NEG_INFINITY, f64::max)
    }

    /// The score of the best right answer if it beats every wrong one. A tie with a wrong answer is a miss, because the
    /// order of the answers must not decide.
    pub fn right_first(&self, right: impl Fn(&Answer) -> bool) -> Option<f64> {
        let best = self.best(&right);
        (best > self.best(|answer| !right(answer))).then_some(best)
    }
}

/// One system's answers to a set of queries.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers<'a> {
    /// Name of the system.
    pub name: String,
    /// One entry per record, in the order of the records.
    pub queries: Vec<Answered<'a>>,
}

impl<'a> Answers<'a> {
    /// The answers when pairings are ranked by `signal`.
    pub fn by_signal(signal: Signal, records: &[&'a Record]) -> Self {
        let answer = |pairing: &Pairing| Answer {
            score: signal.of(pairing),
            copy: pairing.copy,
            same_product: pairing.same_product,
        };
        let answered =
            |&record: &&'a Record| Answered { record, answers: record.pairings.iter().map(answer).collect() };
        Self { name: signal.name().to_owned(), queries: records.iter().map(answered).collect() }
    }

    /// The answers of another system.
    pub fn by_baseline(baseline: &Baseline, records: &[&'a Record]) -> Self {
        let answered =
            |&record: &&'a Record| Answered { record, answers: outside(baseline, record).into_iter().collect() };
        Self { name: baseline.name.clone(), queries: records.iter().map(answered).collect() }
    }
}

fn outside(baseline: &Baseline, record: &Record) -> Option<Answer> {
    let (reference, score) = baseline.answers.get(&record.query)?;
    let pairing = record.pairings.iter().find(|pairing| pairing.reference == *reference);
    Some(Answer {
        score: lowest_if_nan(*score),
        copy: pairing.is_some_and(|pairing| pairing.copy) || baseline.truths.get(&record.query) == Some(reference),
        same_product: pairing.is_some_and(|pairing| pairing.same_product),
    })
}

/// `value`; negative infinity for NaN.
pub(super) fn lowest_if_nan(value: f64) -> f64 {
    if value.is_nan() { f64::NEG_INFINITY } else { value }
}
