use std::collections::{BTreeMap, BTreeSet};

use super::EvaluateError;
use super::record::Split;
use super::run::{Observed, Seen};
use crate::domain::Polarity;
use crate::embed::{Embedding, ModelManifest};
use crate::photo::Sha256;
use crate::scoring::{Background, Logistic, LookFrom, Observation, Platt, Scoring, Sighting, Weights, features};
use crate::screening::LOOK_BELOW;

/// Number of photos in the background set.
const BACKGROUND: usize = 512;
/// Number of background neighbours whose similarity is averaged; the average is subtracted whole.
const NEIGHBORS: usize = 10;
const BETA: f32 = 1.0;
/// Share of clean photos that undergo geometric verification because of their similarity, and the same share because of
/// their normalised similarity.
const LOOK_SHARE: f64 = 0.03;
/// Penalty of the weights: small, to keep them finite.
const RIDGE: f64 = 0.05;
/// Least value of the upper bound of probabilities, however few the data.
const LEAST_MOST: f64 = 2.0 / 3.0;
/// Number of folds of the fit side in cross-fitting.
const FOLDS: u8 = 5;

/// Photos that belong to no source: the background set, and clean photos that predict how often verification runs.
#[derive(Debug, Clone, Default)]
pub struct Outside {
    /// The background set.
    pub background: Vec<Embedding>,
    /// Other, unedited photos.
    pub clean: Vec<Embedding>,
}

/// One source's data for a fit.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Its queries, run with [`unfitted`].
    pub observed: &'a [Observed],
    /// For each photo of [`Outside::clean`], the similarity to its nearest reference, -1 to 1. Empty without such photos.
    pub nearest: &'a [f32],
}

/// The artefact to run sources with before a fit. With photos from outside, a run verifies every reference that a fit
/// to any subset of the sources would verify; without them, all references. `nearest` is [`Part::nearest`] of each
/// source.
#[must_use]
pub fn unfitted(outside: Option<&Outside>, nearest: &[Vec<f32>], manifest: &ModelManifest) -> Scoring {
    let mut scoring = Scoring::unfitted(manifest);
    if let Some(outside) = outside {
        scoring.background = Background::new(NEIGHBORS, BETA, &outside.background);
        let of = |nearest: &Vec<f32>| look_from(outside.seen(nearest, &scoring.background));
        // A threshold for several sources is never below the lowest one of a single source.
        let least = nearest.iter().map(of).reduce(|a, b| LookFrom {
            similarity: a.similarity.min(b.similarity),
            normalised: a.normalised.min(b.normalised),
        });
        scoring.look_from = least.unwrap_or(scoring.look_from);
    }
    scoring
}

impl Outside {
    /// Similarity and normalised similarity of each clean photo to its nearest reference.
    fn seen<'a>(&'a self, nearest: &'a [f32], background: &'a Background) -> impl Iterator<Item = (f32, f32)> + 'a {
        let pairs = nearest.iter().zip(&self.clean);
        pairs.map(|(&similarity, photo)| (similarity, similarity - background.level(photo)))
    }
}

/// Fits an artefact to the fit sides of sources that were run with [`unfitted`].
///
/// The weights are fitted to all of it. The calibration uses log-odds that each fifth (by group) gets from weights
/// fitted to the other four, so that it is not overconfident. Queries that are counted apart are ignored. Without
/// photos from outside, the background set and the thresholds of verification come from the unrelated photos of the fit
/// sides.
///
/// # Errors
/// When the fit side lacks copies or lacks other photos.
pub fn fit(
    parts: &[Part<'_>],
    outside: Option<&Outside>,
    manifest: &ModelManifest,
    described: &str,
) -> Result<Scoring, EvaluateError> {
    let all = parts.iter().flat_map(|part| part.observed);
    let fit: Vec<&Observed> = all.filter(|one| one.record.split == Split::Fit && !one.record.is_apart()).collect();
    let (background, members) = match outside {
        Some(outside) => (Background::new(NEIGHBORS, BETA, &outside.background), BTreeSet::new()),
        None => background(&fit),
    };
    let rest: Vec<&Observed> = fit.into_iter().filter(|one| !members.contains(one.record.query.as_str())).collect();
    let examples: Vec<Example> =
        rest.iter().enumerate().flat_map(|(query, one)| examples(query, one, &background)).collect();
    let mut scoring = Scoring::unfitted(manifest);
    described.clone_into(&mut scoring.fitted_on);
    scoring.look_from = match outside {
        Some(outside) => look_from(parts.iter().flat_map(|part| outside.seen(part.nearest, &background))),
        None => look_from(rest.iter().filter(|one| one.record.is_clean()).map(|one| nearest(one, &background))),
    };
    scoring.background = background;
    let examples: Vec<Example> = examples
        .into_iter()
        .map(|example| Example { near: scoring.look_from.reached(&example.sighting, LOOK_BELOW), ..example })
        .collect();
    (scoring.looked, scoring.unlooked) = weights(&examples, |_| true)?;
    let mut held_out = Vec::with_capacity(examples.len());
    for fold in 0..FOLDS {
        let (looked, unlooked) = self::weights(&examples, |example| example.fold != fold)?;
        let mut trial = scoring.clone();
        (trial.looked, trial.unlooked) = (looked, unlooked);
        let own = examples.iter().filter(|example| example.fold == fold).map(Example::as_served);
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
    /// Whether the service would verify the pair. An unfitted run verifies everything.
    near: bool,
}

impl Example {
    /// The pair as the service judges it: by similarity alone if it is not near.
    fn as_served(&self) -> Self {
        let looked = self.sighting.looked && self.near;
        let alignment = self.sighting.alignment.filter(|_| looked);
        Self { sighting: Sighting { alignment, looked, ..self.sighting }, ..*self }
    }
}

/// The unrelated photos of the fit side that come first by the checksum of their name.
fn background<'a>(fit: &[&'a Observed]) -> (Background, BTreeSet<&'a str>) {
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
        near: false,
        sighting: Sighting { normalised: normalised(seen, background), ..seen.sighting },
        copy: pairing.copy,
        fold,
    });
    examples.collect()
}

fn normalised(seen: &Seen, background: &Background) -> f32 {
    seen.sighting.similarity - background.level(&seen.view)
}

/// The similarity and the normalised similarity of the references nearest to a photo by each measure.
fn nearest(one: &Observed, background: &Background) -> (f32, f32) {
    let most = |value: &dyn Fn(&Seen) -> f32| one.sightings.iter().map(value).fold(-2.0, f32::max);
    (most(&|seen| seen.sighting.similarity), most(&|seen| normalised(seen, background)))
}

fn look_from(clean: impl Iterator<Item = (f32, f32)>) -> LookFrom {
    let (similarities, normalised): (Vec<f32>, Vec<f32>) = clean.unzip();
    LookFrom { similarity: reached_by_few(similarities), normalised: reached_by_few(normalised) }
}

/// The value that a share of [`LOOK_SHARE`] of them reaches.
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

/// Weights for references that were verified, and for those judged by similarity alone.
fn weights(examples: &[Example], among: impl Fn(&Example) -> bool) -> Result<(Weights, Weights), EvaluateError> {
    let chosen: Vec<&Example> = examples.iter().filter(|example| among(example)).collect();
    let observation =
        |example: &Example, features: Vec<f64>| Observation { features, positive: example.copy, weight: 1.0 };
    let looked: Vec<Observation> = chosen
        .iter()
        .filter(|example| example.sighting.looked && example.near)
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
