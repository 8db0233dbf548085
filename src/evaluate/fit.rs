use std::collections::BTreeSet;

use super::EvaluateError;
use super::record::Split;
use super::run::{Observed, Seen};
use crate::embed::{Embedding, ModelManifest};
use crate::gallery::Polarity;
use crate::photo::Sha256;
use crate::scoring::{Background, Logistic, LookFrom, Observation, Platt, Scoring, Sighting, Weights, features};

/// Photos of the background set.
const BACKGROUND: usize = 512;
/// Neighbours in the background whose similarity is averaged, and how much of it is taken off.
const NEIGHBORS: usize = 10;
const BETA: f32 = 1.0;
/// Share of clean photos that a second look is spent on because of their similarity, and again because of their
/// normalised similarity.
const LOOK_SHARE: f64 = 0.03;
/// Penalty of the weights: little, against infinite ones.
const RIDGE: f64 = 0.05;
/// Parts of the fit side for cross-fitting.
const FOLDS: u8 = 5;

/// Fits an artefact to the fit side of an evaluation that was run with [`Scoring::unfitted`].
///
/// Weights are fitted to all of it; the calibration to log-odds that each fifth of it, by group, gets
/// from weights fitted to the other four, so that it does not trust the fit too much.
///
/// # Errors
/// When it holds no copies of one polarity, or no others.
pub fn fit(observed: &[Observed], manifest: &ModelManifest, described: &str) -> Result<Scoring, EvaluateError> {
    let fit: Vec<&Observed> = observed.iter().filter(|one| one.record.split == Split::Fit).collect();
    let (background, members) = background(&fit);
    let rest: Vec<&Observed> = fit.into_iter().filter(|one| !members.contains(one.record.query.as_str())).collect();
    let examples: Vec<Example> = rest.iter().flat_map(|one| examples(one, &background)).collect();
    let weights = weights(&examples, |_| true)?;
    let mut scoring = Scoring::unfitted(manifest);
    described.clone_into(&mut scoring.fitted_on);
    scoring.look_from = look_from(&rest, &background);
    scoring.background = background;
    (scoring.looked, scoring.unlooked) = weights;
    let mut held_out = Vec::with_capacity(examples.len());
    for fold in 0..FOLDS {
        let (looked, unlooked) = self::weights(&examples, |example| example.fold != fold)?;
        let mut trial = scoring.clone();
        (trial.looked, trial.unlooked) = (looked, unlooked);
        let own = examples.iter().filter(|example| example.fold == fold);
        held_out.extend(own.map(|example| (example.polarity, trial.evidence(&example.sighting), example.copy)));
    }
    scoring.calibration.authentic = platt(&held_out, Polarity::Authentic)?;
    scoring.calibration.fake = platt(&held_out, Polarity::Fake)?;
    Ok(scoring)
}

struct Example {
    polarity: Polarity,
    sighting: Sighting,
    copy: bool,
    fold: u8,
}

/// The unrelated photos of the fit side that come first by the sum of their name.
fn background<'a>(fit: &[&'a Observed]) -> (Background, BTreeSet<&'a str>) {
    let mut clean: Vec<&Observed> = fit.iter().copied().filter(|one| one.record.is_clean()).collect();
    clean.sort_by_key(|one| Sha256::of(one.record.query.as_bytes()));
    // At least half of them stay, to measure on.
    clean.truncate(BACKGROUND.min(clean.len() / 2));
    let embeddings: Vec<Embedding> = clean.iter().map(|one| one.embedding.clone()).collect();
    (Background::new(NEIGHBORS, BETA, &embeddings), clean.iter().map(|one| one.record.query.as_str()).collect())
}

fn examples(one: &Observed, background: &Background) -> Vec<Example> {
    // Another byte of the sum than the one that decides the side.
    let fold = Sha256::of(one.record.group.as_bytes()).0[1] % FOLDS;
    let pairs = one.sightings.iter().zip(&one.record.pairings);
    let examples = pairs.map(|(seen, pairing)| Example {
        polarity: seen.polarity,
        sighting: Sighting { normalised: normalised(seen, background), ..seen.sighting },
        copy: pairing.copy,
        fold,
    });
    examples.collect()
}

fn normalised(seen: &Seen, background: &Background) -> f32 {
    seen.sighting.similarity - background.level(&seen.view)
}

fn look_from(rest: &[&Observed], background: &Background) -> LookFrom {
    let clean = rest.iter().filter(|one| one.record.is_clean());
    let nearest = clean.map(|one| {
        let most = |value: &dyn Fn(&Seen) -> f32| one.sightings.iter().map(value).fold(-2.0, f32::max);
        (most(&|seen| seen.sighting.similarity), most(&|seen| normalised(seen, background)))
    });
    let (similarities, normalised): (Vec<f32>, Vec<f32>) = nearest.unzip();
    LookFrom { similarity: reached_by_few(similarities), normalised: reached_by_few(normalised) }
}

/// The value that [`LOOK_SHARE`] of them reach.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a place in a list"
)]
fn reached_by_few(mut values: Vec<f32>) -> f32 {
    values.sort_by(|a, b| b.total_cmp(a));
    let place = (values.len() as f64 * LOOK_SHARE) as usize;
    values.get(place).copied().unwrap_or(-2.0)
}

/// For references that were looked for, and for those judged by similarity alone.
fn weights(examples: &[Example], among: impl Fn(&Example) -> bool) -> Result<(Weights, Weights), EvaluateError> {
    let chosen: Vec<&Example> = examples.iter().filter(|example| among(example)).collect();
    let observation =
        |example: &Example, features: Vec<f64>| Observation { features, positive: example.copy, weight: 1.0 };
    let looked: Vec<Observation> = chosen
        .iter()
        .filter(|example| example.sighting.looked)
        .map(|example| observation(example, features(&example.sighting).to_vec()))
        .collect();
    let plain: Vec<Observation> =
        chosen.iter().map(|example| observation(example, vec![f64::from(example.sighting.normalised)])).collect();
    let (looked, plain) = (Logistic::fit(&looked, RIDGE), Logistic::fit(&plain, RIDGE));
    let (Some(looked), Some(plain)) = (looked, plain) else {
        return Err(EvaluateError::Fit("the fit side needs copies and others".to_owned()));
    };
    let terms: [f64; 5] = std::array::from_fn(|place| looked.weights[place]);
    let unlooked = Weights::fitted(plain.bias, [plain.weights[0], 0.0, 0.0, 0.0, 0.0]);
    Ok((Weights::fitted(looked.bias, terms), unlooked))
}

fn platt(held_out: &[(Polarity, f64, bool)], polarity: Polarity) -> Result<Platt, EvaluateError> {
    let own = held_out.iter().filter(|(of, _, _)| *of == polarity);
    let observations: Vec<Observation> =
        own.map(|&(_, evidence, copy)| Observation { features: vec![evidence], positive: copy, weight: 1.0 }).collect();
    match Logistic::fit(&observations, RIDGE) {
        Some(fitted) if fitted.weights[0] > 0.0 => Ok(Platt { offset: fitted.bias, slope: fitted.weights[0] }),
        _ => Err(EvaluateError::Fit(format!("the fit side needs copies of {polarity} references and others"))),
    }
}
