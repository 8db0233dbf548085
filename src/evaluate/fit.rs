use std::collections::{BTreeMap, BTreeSet};

use super::EvaluateError;
use super::record::Split;
use super::run::{Observed, Seen};
use crate::domain::Polarity;
use crate::embed::{Embedding, ModelManifest};
use crate::photo::Sha256;
use crate::scoring::{Background, Logistic, Observation, Platt, Scoring, Sighting, Weights, features};

/// Number of photos in the background set.
pub(super) const BACKGROUND: usize = 512;
/// Number of background neighbours whose similarity is averaged; the average is subtracted whole.
const NEIGHBORS: usize = 10;
const BETA: f32 = 1.0;
/// Penalty of the weights: small, to keep them finite.
const RIDGE: f64 = 0.05;
/// Least value of the upper bound of probabilities, however few the data.
const LEAST_MOST: f64 = 2.0 / 3.0;
/// Number of folds of the fit side in cross-fitting.
const FOLDS: u8 = 5;

/// The artefact to run sources with before a fit. `background` is the background set of the fit, if it is known.
#[must_use]
pub fn unfitted(background: Option<&[Embedding]>, manifest: &ModelManifest) -> Scoring {
    let mut scoring = Scoring::unfitted(manifest);
    if let Some(background) = background {
        scoring.background = Background::new(NEIGHBORS, BETA, background);
    }
    scoring
}

/// Fits an artefact to the fit sides of sources that were run with [`unfitted`].
///
/// The weights are fitted to all of it. The calibration uses log-odds that each fifth (by group) gets from weights
/// fitted to the other four, so that it is not overconfident. Queries that are counted apart are ignored. If
/// `background` is `None`, the background set comes from the unrelated photos of the fit sides.
///
/// # Errors
/// When the fit side lacks copies or lacks other photos.
pub fn fit(
    sources: &[&[Observed]],
    background: Option<&[Embedding]>,
    manifest: &ModelManifest,
    described: &str,
) -> Result<Scoring, EvaluateError> {
    let all = sources.iter().copied().flatten();
    let fit: Vec<&Observed> = all.filter(|one| one.record.split == Split::Fit && !one.record.is_apart()).collect();
    let (background, members) = match background {
        Some(photos) => (Background::new(NEIGHBORS, BETA, photos), BTreeSet::new()),
        None => unrelated(&fit),
    };
    let rest: Vec<&Observed> = fit.into_iter().filter(|one| !members.contains(one.record.query.as_str())).collect();
    let examples: Vec<Example> =
        rest.iter().enumerate().flat_map(|(query, one)| examples(query, one, &background)).collect();
    let mut scoring = Scoring::unfitted(manifest);
    described.clone_into(&mut scoring.fitted_on);
    scoring.background = background;
    (scoring.looked, scoring.unlooked) = weights(&examples, |_| true)?;
    let mut held_out = Vec::with_capacity(examples.len());
    for fold in 0..FOLDS {
        let (looked, unlooked) = self::weights(&examples, |example| example.fold != fold)?;
        let mut trial = scoring.clone();
        (trial.looked, trial.unlooked) = (looked, unlooked);
        let own = examples.iter().filter(|example| example.fold == fold);
        held_out.extend(own.map(|example| HeldOut {
            polarity: example.polarity,
            query: example.query,
            evidence: trial.evidence(&example.sighting),
            copy: example.copy,
        }));
    }
    scoring.calibration.authentic = platt(&held_out, Polarity::Authentic)?;
    scoring.calibration.fake = platt(&held_out, Polarity::Fake)?;
    Ok(scoring)
}

struct Example {
    polarity: Polarity,
    /// Index of the pair's query.
    query: usize,
    sighting: Sighting,
    copy: bool,
    fold: u8,
}

/// The unrelated photos of the fit side that come first by the checksum of their name.
fn unrelated<'a>(fit: &[&'a Observed]) -> (Background, BTreeSet<&'a str>) {
    let mut clean: Vec<&Observed> = fit.iter().copied().filter(|one| one.record.is_clean()).collect();
    clean.sort_by_key(|one| Sha256::of(one.record.query.as_bytes()));
    // At least half of them remain for measuring.
    clean.truncate(BACKGROUND.min(clean.len() / 2));
    let embeddings: Vec<Embedding> = clean.iter().map(|one| one.embedding.clone()).collect();
    (Background::new(NEIGHBORS, BETA, &embeddings), clean.iter().map(|one| one.record.query.as_str()).collect())
}

/// Leaves out pairs that show the same photograph in another colour: a dataset labels them as no copies, which is true
/// of the goods but not of the photograph.
fn examples(query: usize, one: &Observed, background: &Background) -> Vec<Example> {
    // Another byte of the checksum than the one that decides the side.
    let fold = Sha256::of(one.record.group.as_bytes()).0[1] % FOLDS;
    let pairs = one.sightings.iter().zip(&one.record.pairings);
    let pairs = pairs.filter(|(seen, pairing)| pairing.copy || !seen.sighting.is_recoloured());
    let examples = pairs.map(|(seen, pairing)| Example {
        polarity: seen.polarity,
        query,
        sighting: Sighting { normalised: normalised(seen, background), ..seen.sighting },
        copy: pairing.copy,
        fold,
    });
    examples.collect()
}

fn normalised(seen: &Seen, background: &Background) -> f32 {
    seen.sighting.similarity - background.level(&seen.view)
}

/// Weights for references that were verified, and for those judged by similarity alone.
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
        return Err(EvaluateError::Fit("the fit side needs both copies and photos that are no copies".to_owned()));
    };
    let terms: [f64; 5] = std::array::from_fn(|place| looked.weights[place]);
    let unlooked = Weights::fitted(plain.bias, [plain.weights[0], 0.0, 0.0, 0.0, 0.0]);
    Ok((Weights::fitted(looked.bias, terms), unlooked))
}

/// A pair whose log-odds come from weights fitted to other pairs.
struct HeldOut {
    polarity: Polarity,
    query: usize,
    evidence: f64,
    copy: bool,
}

/// Fits the calibration of one polarity. If the fit sides have no copies of it, both polarities are used: copies look
/// alike whatever the photo shows.
fn platt(held_out: &[HeldOut], polarity: Polarity) -> Result<Platt, EvaluateError> {
    let has_own = held_out.iter().any(|one| one.polarity == polarity && one.copy);
    let own: Vec<&HeldOut> = held_out.iter().filter(|one| !has_own || one.polarity == polarity).collect();
    let observations: Vec<Observation> =
        own.iter().map(|one| Observation { features: vec![one.evidence], positive: one.copy, weight: 1.0 }).collect();
    match Logistic::fit(&observations, RIDGE) {
        Some(fitted) if fitted.weights[0] > 0.0 => {
            Ok(Platt { offset: fitted.bias, slope: fitted.weights[0], most: most(&own) })
        }
        _ => Err(EvaluateError::Fit("the fit side needs both copies and photos that are no copies".to_owned())),
    }
}

/// The highest probability that the held-out photos support. For each level of evidence, `n` photos have a nearest reference at
/// that level or above, and `k` of them are copies of it. The result is the greatest `(k + 1) / (n + 2)` (rule of succession).
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn most(own: &[&HeldOut]) -> f64 {
    let mut nearest: BTreeMap<usize, (f64, bool)> = BTreeMap::new();
    for one in own {
        let known = nearest.entry(one.query).or_insert((one.evidence, one.copy));
        if one.evidence > known.0 {
            *known = (one.evidence, one.copy);
        }
    }
    let mut nearest: Vec<(f64, bool)> = nearest.into_values().collect();
    nearest.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut copies, mut most) = (0, LEAST_MOST);
    for (place, (_, copy)) in nearest.iter().enumerate() {
        copies += usize::from(*copy);
        most = f64::max(most, (copies + 1) as f64 / (place + 3) as f64);
    }
    most
}
