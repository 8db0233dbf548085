//! Another model beside the one that serves: stored checks are answered by both, and what would change is told.

use std::collections::BTreeMap;

use serde::Serialize;

use super::ReindexError;
use crate::gallery::{Action, Gallery};
use crate::screening::{CheckAnswer, ScreenError, Screener, Upload};
use crate::verdict::Verdict;

/// Changed answers that are named.
const EXAMPLES: usize = 20;

/// One model's answer to a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Replay {
    /// What was found.
    pub verdict: Verdict,
    /// What the policy answers.
    pub action: Action,
}

/// A check that both models answer differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flip {
    /// The check.
    pub check_id: String,
    /// By the model that serves.
    pub serving: Replay,
    /// By the other one.
    pub shadow: Replay,
}

/// What would change if the other model served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShadowReport {
    /// The model that serves.
    pub serving: String,
    /// The other one.
    pub shadow: String,
    /// Checks that both have answered.
    pub replayed: usize,
    /// Checks that could not be answered again, because their photos are gone or broken.
    pub unreplayable: usize,
    /// Verdicts that would change.
    pub verdict_flips: usize,
    /// Actions that would change: the most that a seller or moderator would see.
    pub action_flips: usize,
    /// How often each change of action and verdict comes.
    pub by_change: BTreeMap<String, usize>,
    /// Some of them, changed actions first.
    pub examples: Vec<Flip>,
}

/// Answers the newest `most` checks whose photos are kept with both models.
///
/// # Errors
/// When the gallery cannot be read or a model fails.
pub fn shadow(
    serving: &Screener,
    shadow: &Screener,
    most: usize,
    told: &dyn Fn(usize, usize),
) -> Result<ShadowReport, ReindexError> {
    let answers = serving.gallery.replayable_checks(most)?;
    let mut report = ShadowReport {
        serving: serving.library.model().to_owned(),
        shadow: shadow.library.model().to_owned(),
        replayed: 0,
        unreplayable: 0,
        verdict_flips: 0,
        action_flips: 0,
        by_change: BTreeMap::new(),
        examples: Vec::new(),
    };
    let mut flips = Vec::new();
    for (done, stored) in answers.iter().enumerate() {
        told(done, answers.len());
        let Some((check, uploads)) = uploads(stored, &serving.gallery) else {
            report.unreplayable += 1;
            continue;
        };
        let (before, after) = (answer(serving, &check, &uploads)?, answer(shadow, &check, &uploads)?);
        report.replayed += 1;
        if before != after {
            flips.push(Flip { check_id: check.id, serving: before, shadow: after });
        }
    }
    told(answers.len(), answers.len());
    report.take(flips);
    Ok(report)
}

impl ShadowReport {
    fn take(&mut self, mut flips: Vec<Flip>) {
        self.verdict_flips = flips.iter().filter(|flip| flip.serving.verdict != flip.shadow.verdict).count();
        self.action_flips = flips.iter().filter(|flip| flip.changes_action()).count();
        for flip in &flips {
            *self.by_change.entry(flip.change()).or_default() += 1;
        }
        flips.sort_by_key(|flip| !flip.changes_action());
        flips.truncate(EXAMPLES);
        self.examples = flips;
    }
}

impl Flip {
    /// Whether a seller or moderator would see it.
    #[must_use]
    pub fn changes_action(&self) -> bool {
        self.serving.action != self.shadow.action
    }

    /// In words.
    #[must_use]
    pub fn change(&self) -> String {
        let one = |replay: &Replay| format!("{} ({})", replay.verdict.as_str(), replay.action.as_str());
        format!("{} -> {}", one(&self.serving), one(&self.shadow))
    }
}

fn answer(screener: &Screener, check: &CheckAnswer, uploads: &[Upload]) -> Result<Replay, ReindexError> {
    let failed = |error: ScreenError| ReindexError::source(&check.id, &error);
    let answer = screener.screen(&check.listing, uploads).map_err(failed)?;
    Ok(Replay { verdict: answer.verdict, action: answer.action })
}

/// A stored check with its photos; `None` when one is gone.
fn uploads(stored: &str, gallery: &Gallery) -> Option<(CheckAnswer, Vec<Upload>)> {
    let check: CheckAnswer = serde_json::from_str(stored).ok()?;
    let uploads = check.photos.iter().map(|photo| {
        let bytes = gallery.upload(photo.sha256.parse().ok()?).ok()?;
        Some(Upload::sent(photo.name.clone(), bytes.into()))
    });
    let uploads = uploads.collect::<Option<Vec<_>>>()?;
    Some((check, uploads))
}
