use std::collections::BTreeMap;

use serde::Serialize;

use super::{clopper_pearson, log_odds, shift};
use crate::domain::{Outcome, Polarity};
use crate::photo::Sha256;

/// The precision that blocks must have.
pub const REQUIRED_PRECISION: f64 = 0.99;
/// Joint confidence of the proof for all steps.
pub const CONFIDENCE: f64 = 0.95;
/// The scores at which a certificate is tried, fixed in advance: choosing the best score among the outcomes would prove
/// less.
pub const STEPS: [f64; 6] = [0.5, 0.8, 0.9, 0.95, 0.98, 0.99];
/// Standard deviation of a brand's log-odds around those of all brands, before its outcomes are known: a guess.
const SPREAD: f64 = 1.0;

/// What a brand's outcomes prove at one score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Step {
    /// Outcomes with at least this score count.
    pub score: f64,
    /// Confirmed counterfeits among these outcomes.
    pub confirmed: u64,
    /// Legitimate listings among these outcomes.
    pub wrong: u64,
    /// Lower bound of the precision (see [`precision_bound`]).
    pub bound: f64,
}

/// What a brand's outcomes prove, and how they change its probabilities.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// One step for each of [`STEPS`].
    pub steps: Vec<Step>,
    /// Scores of the confirmed matches to fakes, lowest first.
    scores: Vec<f64>,
    /// Number of photos with an outcome of a match to a fake.
    fakes: u64,
    /// Amounts that the outcomes add to the log-odds, for authentic and for fake references.
    authentic_shift: f64,
    fake_shift: f64,
}

impl Default for Standing {
    fn default() -> Self {
        Self::of(&[])
    }
}

impl Standing {
    /// The standing of one brand from its outcomes under one artefact. A photo counts once, and as wrong if any of its
    /// checks was wrong: listing it again proves nothing more.
    #[must_use]
    pub fn of(outcomes: &[Outcome]) -> Self {
        let outcomes = one_of_each_photo(outcomes);
        let with = |polarity| outcomes.iter().filter(move |outcome| outcome.polarity == polarity);
        let shift_of = |polarity| {
            let pairs: Vec<(f64, bool)> = with(polarity).map(|o| (log_odds(o.score), o.confirmed)).collect();
            shift(&pairs, SPREAD)
        };
        let steps = STEPS.map(|score| {
            let above = || with(Polarity::Fake).filter(|outcome| outcome.score >= score);
            let confirmed = above().filter(|outcome| outcome.confirmed).count() as u64;
            let wrong = above().count() as u64 - confirmed;
            Step { score, confirmed, wrong, bound: precision_bound(confirmed, wrong) }
        });
        Self {
            steps: steps.to_vec(),
            scores: confirmed_scores(&outcomes),
            fakes: with(Polarity::Fake).count() as u64,
            authentic_shift: shift_of(Polarity::Authentic),
            fake_shift: shift_of(Polarity::Fake),
        }
    }

    /// The lowest step whose bound reaches [`REQUIRED_PRECISION`].
    #[must_use]
    pub fn certified(&self) -> Option<&Step> {
        self.steps.iter().find(|step| step.bound >= REQUIRED_PRECISION)
    }

    /// The score from which on blocks are certified: the certified step, but never below the score that 95% of the
    /// confirmed matches at or above that step reach, because the outcomes say little about rarer scores.
    #[must_use]
    pub fn threshold(&self) -> Option<f64> {
        let step = self.certified()?;
        let counted: Vec<f64> = self.scores.iter().copied().filter(|&score| score >= step.score).collect();
        counted.get(counted.len() / 20).map(|&common| common.max(step.score))
    }

    /// Number of photos with an outcome of a match to a fake.
    #[must_use]
    pub fn outcomes(&self) -> u64 {
        self.fakes
    }

    /// Amount that the outcomes add to the log-odds of a reference of this polarity.
    #[must_use]
    pub fn shift(&self, polarity: Polarity) -> f64 {
        match polarity {
            Polarity::Authentic => self.authentic_shift,
            Polarity::Fake => self.fake_shift,
        }
    }
}

/// One outcome per photo: a wrong one if there is any.
fn one_of_each_photo(outcomes: &[Outcome]) -> Vec<&Outcome> {
    let mut photos: BTreeMap<(Polarity, Sha256), &Outcome> = BTreeMap::new();
    for outcome in outcomes {
        let known = photos.entry((outcome.polarity, outcome.photo)).or_insert(outcome);
        if !outcome.confirmed {
            *known = outcome;
        }
    }
    photos.into_values().collect()
}

fn confirmed_scores(outcomes: &[&Outcome]) -> Vec<f64> {
    let fakes = outcomes.iter().filter(|outcome| outcome.polarity == Polarity::Fake && outcome.confirmed);
    let mut scores: Vec<f64> = fakes.map(|outcome| outcome.score).collect();
    scores.sort_by(f64::total_cmp);
    scores
}

/// One-sided lower bound of a precision from counts (Clopper and Pearson, Biometrika 26, 1934), at a confidence that
/// leaves 5 % for all of [`STEPS`] together (Bonferroni).
#[must_use]
pub fn precision_bound(confirmed: u64, wrong: u64) -> f64 {
    let count = |outcomes: u64| usize::try_from(outcomes).unwrap_or(usize::MAX);
    #[expect(clippy::cast_precision_loss, reason = "a handful of steps")]
    let error = (1.0 - CONFIDENCE) / STEPS.len() as f64;
    // A two-sided interval leaves half of its error below the lower end.
    clopper_pearson(count(confirmed), count(confirmed.saturating_add(wrong)), 1.0 - 2.0 * error).0
}
