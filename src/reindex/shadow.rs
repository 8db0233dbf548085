//! Shadow mode: answers stored checks with another model beside the serving one, and reports the differences.

use std::collections::BTreeMap;

use serde::Serialize;

use super::ReindexError;
use crate::domain::Action;
use crate::gallery::Gallery;
use crate::screening::{CheckAnswer, ScreenError, Screener, Upload};
use crate::verdict::Verdict;

/// Number of changed answers in the report.
const EXAMPLES: usize = 20;

/// One model's answer to a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Replay {
    /// The verdict under this model.
    pub verdict: Verdict,
    /// The action that the brand's policy decides.
    pub action: Action,
}

/// A check that the two models answer differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flip {
    /// Id of the check.
    pub check_id: String,
    /// The serving model's answer.
    pub serving: Replay,
    /// The other model's answer.
    pub shadow: Replay,
}

/// The differences between a serving model and another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShadowReport {
    /// Name of the serving model.
    pub serving: String,
    /// Name of the other model.
    pub shadow: String,
    /// Number of checks that both models answered.
    pub replayed: usize,
    /// Checks that could not be answered again, because their photos are missing or damaged.
    pub unreplayable: usize,
    /// Number of checks with another verdict.
    pub verdict_flips: usize,
    /// Number of checks with another action, which sellers and moderators would notice.
    pub action_flips: usize,
    /// Number of checks by change of verdict and action.
    pub by_change: BTreeMap<String, usize>,
    /// Up to 20 changed answers, changed actions first.
    pub examples: Vec<Flip>,
}

/// Answers the newest `most` checks with stored photos under both models.
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
    /// Whether the action differs, so that a seller or moderator would notice.
    #[must_use]
    pub fn changes_action(&self) -> bool {
        self.serving.action != self.shadow.action
    }

    /// The change as text: `verdict (action) -> verdict (action)`.
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

/// A stored check with its photos; `None` when a photo is missing.
fn uploads(stored: &str, gallery: &Gallery) -> Option<(CheckAnswer, Vec<Upload>)> {
    let check: CheckAnswer = serde_json::from_str(stored).ok()?;
    let uploads = check.photos.iter().map(|photo| {
        let bytes = gallery.upload(photo.sha256).ok()?;
        Some(Upload::sent(photo.name.clone(), bytes.into()))
    });
    let uploads = uploads.collect::<Option<Vec<_>>>()?;
    Some((check, uploads))
}
