//! Judges photos of earlier checks again, with references that are newer than the check: from their bytes where they are
//! stored, otherwise from what is remembered of them. Stored photos can be judged again by another model, too.

use jiff::Timestamp;

use super::brands::Brands;
use super::look::{Examination, Held, Trace, seen};
use super::{CheckAnswer, LookedBack, PhotoAnswer, ReasonText, ScreenError, Screener, SeenIn, Upload};
use crate::domain::{Action, Decision, Kind, Polarity, Reference};
use crate::gallery::Pair;
use crate::library::Found;
use crate::photo::Sha256;
use crate::verdict::{Judgement, Reason, Verdict};

/// A reference that may be in a remembered photo.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recalled {
    /// The reference's key.
    pub key: u64,
    /// Cosine of both embeddings; 0 where they are of different models.
    pub similarity: f32,
    /// How similar the photo is to photos in general, under the same model ([`crate::scoring::Scoring::level`]); 0 where the similarity is
    /// not known.
    pub level: f32,
    /// Votes of the remembered keypoints.
    pub votes: f32,
    /// Whether the photo is the reference's file.
    pub same_file: bool,
    /// The gallery's revision at which the reference last changed.
    pub revision: u64,
}

/// Weights of the log-odds that a remembered photo is a copy: of its normalised similarity, and of the logarithm of one
/// more than its votes. Fitted to edited copies among photos of other goods; the bias is two lower than fitted, for a
/// memory in which nearly every photo is no copy. Figures: docs/LOOKBACK.md.
const BIAS: f64 = -7.2;
const SIMILARITY: f64 = 17.5;
const VOTES: f64 = 3.0;
/// Log-odds of a copy when the bytes are the same.
const SAME_FILE: f64 = 12.0;
/// The least log-odds that are worth judging: lower where the photo itself is stored and can be verified.
const WORTH_JUDGING: f64 = -1.0;
const WORTH_VERIFYING: f64 = -4.0;
/// The quality assumed for a photo that is not stored.
const UNKNOWN_QUALITY: u8 = 100;

/// What another model says about a stored photo of an earlier check.
#[derive(Debug, Clone, PartialEq)]
pub enum JudgedAgain {
    /// The photo is not stored any more.
    NotStored,
    /// It shows no fake but the one that the check found.
    NothingNew,
    /// The answer, with a fake that the check did not find.
    Found(Box<PhotoAnswer>),
}

impl Recalled {
    /// Log-odds that the photo is a copy of the reference.
    #[must_use]
    pub fn log_odds(&self) -> f64 {
        if self.same_file {
            return SAME_FILE;
        }
        let normalised = f64::from(self.similarity - self.level);
        BIAS + SIMILARITY * normalised + VOTES * f64::from(self.votes).ln_1p()
    }
}

impl Screener {
    /// Whether a remembered photo is worth judging: more leniently where its bytes are stored.
    #[must_use]
    pub fn is_worth_recalling(&self, photo: Sha256, recalled: &Recalled) -> bool {
        let log_odds = recalled.log_odds();
        log_odds >= WORTH_JUDGING || (log_odds >= WORTH_VERIFYING && self.gallery.has_upload(photo))
    }

    /// The answer for a photo of an earlier check with these references. `None` if none of them decides it, or it would
    /// be allowed.
    ///
    /// # Errors
    /// When the gallery cannot be read, or the model fails.
    pub fn recall(
        &self,
        answer: &CheckAnswer,
        index: usize,
        trace: &Trace,
        recalled: &[Recalled],
    ) -> Result<Option<PhotoAnswer>, ScreenError> {
        let Some(before) = answer.photos.get(index) else { return Ok(None) };
        let references = self.gallery.by_keys(recalled.iter().map(|one| one.key))?;
        let settled = self.gallery.decided_pairs(recalled.iter().map(|one| one.key))?;
        let open = |key: u64| !settled.iter().any(|pair| is_settled(pair, key, before.sha256));
        let wanted: Vec<(&Recalled, &Reference)> = recalled
            .iter()
            .filter_map(|one| Some((one, references.get(&one.key)?)))
            .filter(|(one, reference)| reference.kind() == Kind::Photo && open(one.key))
            .filter(|(one, reference)| !knew(answer, before, one.revision, &reference.id))
            .collect();
        if wanted.is_empty() {
            return Ok(None);
        }
        let bytes = self.gallery.upload(before.sha256).ok();
        let (after, seen_in) = match bytes.map(|bytes| self.screened_again(answer, index, bytes)) {
            Some(Ok(after)) => (after, SeenIn::Photo),
            // Its photo is not stored, or can no longer be decoded under today's limits.
            None | Some(Err(ScreenError::Photo { .. })) => {
                (self.judged_from(answer, before, trace, &wanted)?, SeenIn::Memory)
            }
            Some(Err(other)) => return Err(other),
        };
        let lead = after.lead().map(|near| near.reference_id.clone());
        let decides = wanted.iter().any(|(_, reference)| Some(&reference.id) == lead.as_ref());
        let found = decides && after.action != Action::Allow;
        Ok(found.then(|| self.noted(after, seen_in)))
    }

    /// Judges a stored photo of an earlier check under the model that serves now.
    ///
    /// # Errors
    /// When the gallery cannot be read, or the model fails.
    pub fn judge_again(&self, answer: &CheckAnswer, index: usize) -> Result<JudgedAgain, ScreenError> {
        let Some(before) = answer.photos.get(index) else { return Ok(JudgedAgain::NotStored) };
        let Ok(bytes) = self.gallery.upload(before.sha256) else { return Ok(JudgedAgain::NotStored) };
        let after = match self.screened_again(answer, index, bytes) {
            Ok(after) => after,
            // It can no longer be decoded under today's limits.
            Err(ScreenError::Photo { .. }) => return Ok(JudgedAgain::NothingNew),
            Err(other) => return Err(other),
        };
        let fake = |answer: &PhotoAnswer| {
            let lead = answer.lead().filter(|near| near.kind == Kind::Photo && near.polarity == Polarity::Fake);
            lead.filter(|_| answer.action != Action::Allow).map(|near| near.reference_id.clone())
        };
        let found = fake(&after).is_some_and(|lead| fake(before).as_ref() != Some(&lead));
        Ok(if found { JudgedAgain::Found(Box::new(self.noted(after, SeenIn::Photo))) } else { JudgedAgain::NothingNew })
    }

    fn screened_again(&self, answer: &CheckAnswer, index: usize, bytes: Vec<u8>) -> Result<PhotoAnswer, ScreenError> {
        let upload = Upload::sent(None, bytes.into());
        let started = self.start(index, &upload, true)?;
        Ok(self.finish(index, started, &upload, &answer.listing, &mut Brands::new())?.answer)
    }

    fn judged_from(
        &self,
        answer: &CheckAnswer,
        before: &PhotoAnswer,
        trace: &Trace,
        wanted: &[(&Recalled, &Reference)],
    ) -> Result<PhotoAnswer, ScreenError> {
        let held = wanted.iter().filter_map(|(recalled, _)| {
            let found =
                Found { key: recalled.key, similarity: recalled.similarity, entry: self.library.entry(recalled.key)? };
            let sighting = seen(recalled.similarity, recalled.level);
            let polarity = found.polarity();
            let evidence = self.scoring.evidence_of(recalled.log_odds(), polarity);
            let held = Held { evidence, same_file: recalled.same_file, ..self.hold(found, sighting, None) };
            Some(Held { votes: recalled.votes, ..held })
        });
        let examination = Examination::remembered(trace.clone(), held.collect());
        let quality = before.quality.unwrap_or(UNKNOWN_QUALITY);
        let (judgement, matches) = self.judge(&examination, quality, &answer.listing, &mut Brands::new())?;
        let same_file = judgement.decisive.is_some_and(|place| examination.held[place].same_file);
        let judgement = if same_file { judgement } else { unverified(judgement) };
        let named = before.clone().judged(&judgement);
        Ok(PhotoAnswer { matches, settled: Vec::new(), ..named })
    }

    /// Records when and how the reference was found.
    fn noted(&self, mut after: PhotoAnswer, seen_in: SeenIn) -> PhotoAnswer {
        after.reasons.push(ReasonText::from(Reason::FoundByLookback));
        if seen_in == SeenIn::Memory {
            after.reasons.push(ReasonText::from(Reason::PhotoNotStored));
        }
        for near in &mut after.matches {
            // Certificates count scores of verified photos only.
            near.score = near.score.filter(|_| seen_in == SeenIn::Photo);
        }
        let versions = self.versions(&Brands::new(), self.library.version());
        let looked_back =
            LookedBack { found_at: Timestamp::now(), seen_in, model: versions.model, scoring: versions.scoring };
        // The check's answer has the file's name, and loses it when the seller is forgotten.
        PhotoAnswer { name: None, looked_back: Some(looked_back), ..after }
    }
}

/// Whether a check already knew the reference; if it did, its answer stands.
fn knew(answer: &CheckAnswer, photo: &PhotoAnswer, revision: u64, reference: &str) -> bool {
    let applied = answer.versions.index.split_once('+').and_then(|(_, revision)| revision.parse::<u64>().ok());
    applied.is_some_and(|applied| applied >= revision)
        || photo.matches.iter().any(|near| near.reference_id == reference)
        || photo.settled.iter().any(|settled| settled.reference_id == reference)
}

/// A reference that nobody has verified in the photo is probable at most.
fn unverified(judgement: Judgement) -> Judgement {
    let verdict = judgement.verdict.min(Verdict::KnownFakeLikely);
    let weaker = |reason| match reason {
        Reason::FakeAboveMatchThreshold => Reason::FakeAboveLikelyThreshold,
        other => other,
    };
    let reasons = judgement.reasons.into_iter().map(weaker).collect();
    Judgement { verdict, reasons, action: judgement.action.min(Action::Review), ..judgement }
}

/// Whether somebody has decided that these bytes do not show the reference.
fn is_settled(pair: &Pair, key: u64, photo: Sha256) -> bool {
    pair.key == key && pair.photo == photo && pair.decision == Decision::NoMatch
}
