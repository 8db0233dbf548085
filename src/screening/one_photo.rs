//! One photo, from its bytes to its answer: decode, examine, apply earlier decisions, judge, answer.

use std::time::Instant;

use super::brands::Brands;
use super::look::{Examination, Held, Trace};
use super::{KEPT_SIDE, Listing, Match, PhotoAnswer, PhotoFault, ScreenError, Screener, Upload, WORTH_NAMING};
use crate::domain::{Action, Decision, Kind, Polarity};
use crate::embed::{EmbedError, Pending, ScoreThresholds};
use crate::gallery::Pair;
use crate::library::Found;
use crate::photo::{Photo, PhotoError, Sha256};
use crate::scoring::logo_probability;
use crate::telemetry;
use crate::verdict::{Candidate, Facts, Judgement, LOGO_SEEN, Logo, Reason, Verdict, judge, undecidable};

/// Key of the reference that decided about a photo, and the photo's perceptual hash.
pub(super) type Decisive = (u64, [u8; 32]);

/// A photo whose embedding is being computed, or that cannot be decoded.
pub(super) enum Started {
    Decoded(Box<Decoded>),
    Broken(PhotoFault),
}

pub(super) struct Decoded {
    ground: Ground,
    /// The photo on black, if a part of it vanishes on white.
    on_black: Option<Ground>,
    quality: u8,
    size: (u32, u32),
    /// References in doubt that are identical to the photo.
    same: Vec<Found>,
}

/// A photo on one ground, and its future embedding.
struct Ground {
    photo: Photo,
    pending: Pending,
}

/// The answer for one photo, and what follows from it.
pub(super) struct Finished {
    pub(super) judgement: Judgement,
    pub(super) answer: PhotoAnswer,
    /// The decisive reference, if a photo of it is not allowed: floods of matches are counted.
    pub(super) hit: Option<Decisive>,
    /// The signal on which the verdict rests, and the photo's SHA-256.
    pub(super) signal: Option<(u64, Sha256)>,
    /// An earlier check in which a person decided that the same photo and reference show counterfeit goods.
    pub(super) precedent: Option<String>,
    /// What to remember of the photo, unless it could not be examined.
    pub(super) trace: Option<Trace>,
}

impl Finished {
    fn new(judgement: Judgement, answer: PhotoAnswer) -> Self {
        telemetry::judged(judgement.verdict.as_str());
        Self { answer: answer.judged(&judgement), judgement, hit: None, signal: None, precedent: None, trace: None }
    }

    fn undecidable(answer: PhotoAnswer, reason: Reason) -> Self {
        Self::new(undecidable(reason), answer)
    }
}

impl Screener {
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<Photo, PhotoError> {
        let started = Instant::now();
        let photo = self.decoder.decode(bytes);
        telemetry::decoded(started.elapsed());
        photo
    }

    /// Decodes a photo and queues its embedding.
    pub(super) fn start(&self, index: usize, upload: &Upload, patient: bool) -> Result<Started, ScreenError> {
        let photo = match self.decode(&upload.bytes) {
            Ok(photo) => photo,
            Err(broken @ PhotoError::Broken { .. }) => return Ok(Started::Broken(PhotoFault::from(&broken))),
            Err(source) => return Err(ScreenError::Photo { index, source }),
        };
        let same = self.same(&photo);
        // A photo that is invisible on white is judged on black, where its references are compared. A photo of
        // which a part vanishes on white is judged on both: on white alone, a dark edge would hide a picture in
        // white.
        let (photo, on_black) = photo.on_each_ground();
        let quality = photo.quality().max(on_black.as_ref().map_or(0, Photo::quality));
        let size = (photo.width(), photo.height());
        let ground = self.submit(photo, patient)?;
        let on_black = on_black.map(|photo| self.submit(photo, patient)).transpose()?;
        Ok(Started::Decoded(Box::new(Decoded { ground, on_black, quality, size, same })))
    }

    fn submit(&self, photo: Photo, patient: bool) -> Result<Ground, ScreenError> {
        let pending = if patient { self.embedder.submit_patiently(&photo)? } else { self.embedder.submit(&photo)? };
        // Twenty photos of a request may wait here: each is stored at the size that verification uses.
        Ok(Ground { photo: photo.shrunk(KEPT_SIDE), pending })
    }

    /// Waits for a photo's embedding, and judges it.
    pub(super) fn finish(
        &self,
        index: usize,
        started: Started,
        upload: &Upload,
        listing: &Listing,
        brands: &mut Brands,
    ) -> Result<Finished, ScreenError> {
        let unseen = |sha256| PhotoAnswer::unseen(index, upload.name.clone(), sha256);
        let decoded = match started {
            Started::Broken(fault) => {
                let answer = PhotoAnswer { fault: Some(fault), ..unseen(Sha256::of(&upload.bytes)) };
                return Ok(Finished::undecidable(answer, Reason::PhotoBroken));
            }
            Started::Decoded(decoded) => *decoded,
        };
        let Decoded { ground: Ground { photo, pending }, on_black, quality, size, same } = decoded;
        let answer = unseen(photo.sha256()).decoded(size, quality, photo.frames());
        let by_look = on_black.is_none();
        match self.examine_grounds(&photo, pending, on_black, same) {
            Ok(examination) => {
                let trace = examination.trace.clone();
                let finished = self.conclude((&photo, by_look), examination, answer, listing, brands)?;
                Ok(Finished { trace: Some(trace), ..finished })
            }
            Err(ScreenError::Embed(EmbedError::Failed(reason))) => {
                tracing::error!(%reason, "a photo is undecidable because the model failed");
                Ok(Finished::undecidable(answer, Reason::ModelFailed))
            }
            Err(other) => Err(other),
        }
    }

    /// Examines a photo on one ground, or on both.
    fn examine_grounds(
        &self,
        photo: &Photo,
        pending: Pending,
        on_black: Option<Ground>,
        same: Vec<Found>,
    ) -> Result<Examination, ScreenError> {
        let mut examination = self.examine_beside(photo, &pending.wait()?, same)?;
        if let Some(Ground { photo, pending }) = on_black {
            examination.add(self.examine_beside(&photo, &pending.wait()?, Vec::new())?);
        }
        Ok(examination)
    }

    /// Applies earlier decisions to what was seen, judges the rest, and answers. `by_look`: see
    /// [`Screener::decided_before`].
    fn conclude(
        &self,
        (photo, by_look): (&Photo, bool),
        mut examination: Examination,
        answer: PhotoAnswer,
        listing: &Listing,
        brands: &mut Brands,
    ) -> Result<Finished, ScreenError> {
        let decided = self.decided_before(&examination, (photo, by_look), listing)?;
        let settled = self.leave_out_settled(&mut examination, &decided)?;
        let (mut judgement, matches) = self.judge(&examination, answer.quality.unwrap_or_default(), listing, brands)?;
        if !settled.is_empty() {
            judgement.reasons.push(Reason::SettledByPerson);
        }
        let mut shared = self.shared_with(&examination, answer.sha256, listing, brands)?;
        let signal = self.judge_by_signals(&mut judgement, &mut shared, listing, brands);
        if judgement.action == Action::Allow && photo.has_more_frames() {
            judgement = undecidable(Reason::FramesNotJudged);
        }
        let sha256 = answer.sha256;
        let answer = PhotoAnswer { views: examination.views, settled, matches, shared: shared.matches, ..answer };
        if judgement.action == Action::Allow {
            return Ok(Finished::new(judgement, answer));
        }
        if let Some(key) = signal {
            return Ok(Finished { signal: Some((key, sha256)), ..Finished::new(judgement, answer) });
        }
        let hash = photo.fingerprint().hash;
        let decisive = judgement.decisive.map(|place| &examination.held[place]);
        // A logo is on many unlike photos; that is not suspicious.
        let hit = decisive.filter(|held| held.kind() == Kind::Photo).map(|held| (held.found.key, hash));
        let precedent = decisive.and_then(|held| precedent(judgement.verdict, held, &decided));
        let answer = PhotoAnswer { perceptual_hash: Some(Sha256(hash).to_string()), ..answer };
        Ok(Finished { hit, precedent, ..Finished::new(judgement, answer) })
    }

    pub(super) fn judge(
        &self,
        examination: &Examination,
        quality: u8,
        listing: &Listing,
        brands: &mut Brands,
    ) -> Result<(Judgement, Vec<Match>), ScreenError> {
        let model = self.embedder.manifest().thresholds;
        let facts = Facts { quality, seller_id: listing.seller_id.as_deref(), claimed_brand: listing.brand.as_deref() };
        let (candidates, judgement) = self.weigh(examination, facts, brands);
        let shown = shown(&candidates, &judgement, &model, self.matches);
        let references = self.gallery.by_keys(shown.iter().map(|&place| examination.held[place].found.key))?;
        let named = shown.into_iter().filter_map(|place| {
            let held = &examination.held[place];
            let reference = references.get(&held.found.key)?;
            let candidate = &candidates[place];
            let thresholds = brands.terms(&candidate.brand).policy.thresholds(&model);
            let threshold = match candidate.kind {
                Kind::Photo => thresholds.relevance(candidate.polarity == Polarity::Fake),
                Kind::Logo => LOGO_SEEN,
            };
            Some(Match::held(reference, candidate, threshold))
        });
        let matches = named.collect();
        Ok((judgement, matches))
    }

    /// The judgement of a photo without data about its listing.
    #[must_use]
    pub fn verdict_on(&self, photo: &Photo, examination: &Examination) -> Judgement {
        let facts = Facts { quality: photo.quality(), ..Facts::default() };
        self.weigh(examination, facts, &mut Brands::new()).1
    }

    /// The candidates of an examination, in its order, and the judgement on them.
    fn weigh(&self, examination: &Examination, facts: Facts<'_>, brands: &mut Brands) -> (Vec<Candidate>, Judgement) {
        for held in &examination.held {
            brands.meet(&held.found.entry.brand, &self.library);
        }
        let candidates: Vec<Candidate> = examination.held.iter().map(|held| self.candidate(held, brands)).collect();
        let model = &self.embedder.manifest().thresholds;
        let judgement = judge(&candidates, facts, model, |brand| brands.terms(brand));
        (candidates, judgement)
    }

    fn candidate(&self, held: &Held, brands: &Brands) -> Candidate {
        let (brand, polarity) = (&held.found.entry.brand, held.found.polarity());
        let shift = brands.shift(brand, polarity);
        let kind = held.kind();
        let (score, probability) = match kind {
            Kind::Photo => (
                self.scoring.probability(held.evidence, polarity, 0.0),
                self.scoring.probability(held.evidence, polarity, shift),
            ),
            // Outcomes and certificates are about copies of photos.
            Kind::Logo => (logo_probability(held.evidence), logo_probability(held.evidence)),
        };
        Candidate {
            brand: (**brand).clone(),
            polarity,
            similarity: held.sighting.similarity,
            evidence: held.evidence,
            score,
            probability,
            alignment: held.sighting.alignment,
            mark: held.found.entry.mark,
            same_file: held.same_file,
            kind,
            logo: (kind == Kind::Logo)
                .then(|| Logo { changes: held.logo.map(|found| found.changes()).unwrap_or_default() }),
        }
    }
}

/// The check whose decision this photo follows. Only the photo of a known fake, beyond doubt, follows one.
fn precedent(verdict: Verdict, decisive: &Held, decided: &[Pair]) -> Option<String> {
    let plain = verdict == Verdict::KnownFakeMatch && decisive.found.entry.mark.is_none();
    let fake = |pair: &&Pair| pair.decision == Decision::Fake && pair.key == decisive.found.key;
    decided.iter().find(fake).filter(|_| plain).map(|pair| pair.check_id.clone())
}

/// Indices of the candidates that an answer names: those that reach or nearly reach a threshold, most probable first,
/// and always the decisive one.
fn shown(candidates: &[Candidate], judgement: &Judgement, model: &ScoreThresholds, most: usize) -> Vec<usize> {
    let worth = |candidate: &Candidate| {
        candidate.probability >= WORTH_NAMING
            || candidate.similarity >= model.lookalike
            || (candidate.kind == Kind::Photo
                && candidate.alignment.is_some_and(|found| found.inliers >= model.lookalike_inliers as usize))
    };
    let mut shown: Vec<usize> = (0..candidates.len()).filter(|&place| worth(&candidates[place])).collect();
    shown.sort_by(|&a, &b| {
        let (a, b) = (&candidates[a], &candidates[b]);
        b.evidence.total_cmp(&a.evidence).then(b.similarity.total_cmp(&a.similarity))
    });
    shown.truncate(most);
    if let Some(decisive) = judgement.decisive
        && !shown.contains(&decisive)
    {
        shown.truncate(most.saturating_sub(1));
        shown.push(decisive);
    }
    shown
}
