//! Screens photos: photos in, verdict out. HTTP and the command line both call this module.

mod answer;
mod brands;
mod look;
mod outcomes;
mod settled;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::align::Vocabulary;
use crate::decoder::Decoder;
use crate::domain::{Action, Decision, Kind, Polarity};
use crate::embed::{EmbedError, Embedder, Embedding, Pending, ScoreThresholds};
use crate::gallery::{FloodLimits, Gallery, GalleryError, Hit, IdempotencyKey, NewCase, Pair, StoredCheck, new_id};
use crate::library::{Filter, Found, Library};
use crate::photo::{Photo, PhotoError, Sha256};
use crate::scoring::{Scoring, logo_probability};
use crate::telemetry;
use crate::verdict::{Candidate, Facts, Judgement, LOGO_SEEN, Logo, Reason, Verdict, judge, undecidable, worst};

pub use answer::{
    CheckAnswer, Listing, Match, OtherColour, Overlay, PhotoAnswer, PhotoFault, ReasonText, Settled, Versions,
};
use brands::Brands;
pub use look::{Examination, Held, Inside, LOOK_BELOW};
pub use outcomes::{Finding, OutcomeError};

/// Longer side, in pixels, of the copy of a photo stored while its embedding is computed.
const KEPT_SIDE: u32 = 1600;
/// Least probability of a copy that an answer names.
const WORTH_NAMING: f32 = 0.05;

/// Why a check or a look-up failed.
#[derive(Debug, Error)]
pub enum ScreenError {
    /// A photo that its sender must replace.
    #[error("photo {index}: {source}")]
    Photo {
        /// Number of the photo, from 0.
        index: usize,
        /// Why the photo was rejected.
        source: PhotoError,
    },
    /// The model is busy or failed.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The database returned an error.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// The idempotency key belongs to a request with other content.
    #[error("this Idempotency-Key was used for another request; use a new key for new content")]
    KeyReused,
    /// The answer cannot be serialised as JSON.
    #[error("the answer cannot be serialised: {0}")]
    Answer(#[from] serde_json::Error),
}

/// A photo as the caller sent or named it.
#[derive(Debug, Clone)]
pub struct Upload {
    /// File name, repeated in the answer.
    pub name: Option<String>,
    /// The photo's bytes; empty until a photo named by URL is fetched.
    pub bytes: Bytes,
    /// URL of the photo, if it was named instead of sent.
    pub url: Option<String>,
}

impl Upload {
    /// A photo sent as bytes.
    #[must_use]
    pub fn sent(name: Option<String>, bytes: Bytes) -> Self {
        Self { name, bytes, url: None }
    }

    /// A photo to fetch. Answers name it by the last part of the path, because a query may contain a secret.
    #[must_use]
    pub fn at(url: String) -> Self {
        let path = url.split(['?', '#']).next().unwrap_or_default();
        let name = path.rsplit('/').next().filter(|name| !name.is_empty());
        Self { name: name.map(|name| name.chars().take(255).collect()), bytes: Bytes::new(), url: Some(url) }
    }
}

/// Lets background work wait for requests.
pub trait Pace {
    /// Blocks until the next photo may start.
    fn begin(&self);
    /// The photo that started is done, or has failed.
    fn end(&self);
}

/// Calls [`Pace::end`] when dropped.
struct Begun<'a>(&'a dyn Pace);

impl<'a> Begun<'a> {
    fn by(pace: &'a dyn Pace) -> Self {
        pace.begin();
        Self(pace)
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The stored answer to a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// JSON of a [`CheckAnswer`], the same bytes on every replay.
    pub json: String,
    /// Whether this is the stored answer to an earlier request with the same idempotency key.
    pub replayed: bool,
}

/// A search for similar references.
#[derive(Debug)]
pub struct Lookup<'a> {
    /// The photo's embedding on each ground that it is judged on: one, or two where a part of it vanishes on white. A
    /// reference counts by its highest similarity to any of them.
    pub embeddings: &'a [Embedding],
    /// The most references to return.
    pub k: usize,
    /// The references to search.
    pub filter: &'a Filter,
}

/// The parts that screening uses.
#[derive(Clone)]
pub struct Screener {
    /// References, policies, outcomes and checks.
    pub gallery: Arc<Gallery>,
    /// Finds a photo's neighbours among the embeddings.
    pub library: Arc<Library>,
    /// Embeds photos with the model.
    pub embedder: Arc<Embedder>,
    /// Computes the probability of a copy.
    pub scoring: Arc<Scoring>,
    /// Turns descriptors into visual words.
    pub vocabulary: Arc<Vocabulary>,
    /// Decodes photos under limits, in separate processes unless the settings say otherwise.
    pub decoder: Arc<Decoder>,
    /// Most matches that an answer names for each photo.
    pub matches: usize,
    /// Which photos of checks are stored, and when a reference counts as flooded.
    pub checks: CheckOptions,
}

/// Which photos of checks are stored, and when a reference counts as flooded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckOptions {
    /// Store the photos of checks that are not allowed, for moderators and replays.
    pub keep_photos: bool,
    /// Store the photos of one in this many allowed checks too, for replays; 0 stores none.
    pub keep_allowed_every: u32,
    /// When a reference matches suspiciously many unrelated photos.
    pub flood: FloodLimits,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self { keep_photos: true, keep_allowed_every: 100, flood: FloodLimits::default() }
    }
}

impl Screener {
    /// Screens a listing's photos and stores the answer. Blocks: do not call it on async threads.
    ///
    /// # Errors
    /// When a photo's type or size is not accepted (the caller can replace it), the idempotency key belongs to other
    /// content, the model is busy or the database returns an error. A photo whose data are damaged is answered as
    /// `undecidable`.
    pub fn check(
        &self,
        listing: &Listing,
        uploads: &[Upload],
        idempotency_key: Option<IdempotencyKey<'_>>,
    ) -> Result<Answered, ScreenError> {
        self.answer(listing, uploads, idempotency_key, None)
    }

    /// As [`Screener::check`], for background work: one photo after the other, each when `pace` lets it start. Waits
    /// where the model is busy.
    ///
    /// # Errors
    /// As [`Screener::check`].
    pub fn check_patiently(
        &self,
        listing: &Listing,
        uploads: &[Upload],
        idempotency_key: Option<IdempotencyKey<'_>>,
        pace: &dyn Pace,
    ) -> Result<Answered, ScreenError> {
        self.answer(listing, uploads, idempotency_key, Some(pace))
    }

    /// The stored answer to an earlier request with this idempotency key. Photos named by URL need not be fetched.
    ///
    /// # Errors
    /// When the key belongs to a request with other content, or the database returns an error.
    pub fn answered_before(
        &self,
        listing: &Listing,
        uploads: &[Upload],
        idempotency_key: IdempotencyKey<'_>,
    ) -> Result<Option<Answered>, ScreenError> {
        let request = request_sum(listing, uploads);
        let saved = self.gallery.repeated_check(idempotency_key, request)?;
        saved.map(|saved| replay(saved.request_sha256, request, saved.answer)).transpose()
    }

    fn answer(
        &self,
        listing: &Listing,
        uploads: &[Upload],
        idempotency_key: Option<IdempotencyKey<'_>>,
        pace: Option<&dyn Pace>,
    ) -> Result<Answered, ScreenError> {
        let request = request_sum(listing, uploads);
        if let Some(key) = idempotency_key
            && let Some(answered) = self.answered_before(listing, uploads, key)?
        {
            return Ok(answered);
        }
        let Screened { answer, decisive, precedent } = match pace {
            None => self.screen_all(listing, uploads)?,
            Some(pace) => self.screen_in_turn(listing, uploads, pace)?,
        };
        let json = serde_json::to_string(&answer)?;
        let hits: Vec<Hit<'_>> = decisive
            .iter()
            .map(|&(key, perceptual_hash)| Hit {
                key,
                perceptual_hash,
                listing: listing.listing_id.as_deref().unwrap_or(&answer.id),
            })
            .collect();
        let kept = if self.keeps_photos(answer.action, request) { photos(uploads, &answer) } else { Vec::new() };
        let check = StoredCheck {
            id: &answer.id,
            idempotency_key,
            request_sha256: request,
            listing_id: listing.listing_id.as_deref(),
            seller_id: listing.seller_id.as_deref(),
            action: answer.action.as_str(),
            created_at: answer.created_at,
            answer: &json,
            photos: &kept,
            hits: &hits,
            case: (answer.action != Action::Allow).then(|| NewCase {
                verdict: answer.verdict.as_str(),
                lead: answer.lead().map(|(_, near)| {
                    let probability = near.probability.map_or(0.5, f64::from);
                    (near.brand.as_str(), near.polarity, near.reference_id.as_str(), probability)
                }),
                photo: answer.leading_photo().map(|photo| photo.sha256.as_str()),
                precedent: precedent.as_deref(),
            }),
        };
        let saved = self.gallery.save_check(&check, &self.checks.flood)?;
        match saved {
            // Another request with the same key finished first: both get its answer.
            Some(saved) => replay(saved.request_sha256, request, saved.answer),
            None => {
                telemetry::checked(answer.action.as_str());
                Ok(Answered { json, replayed: false })
            }
        }
    }

    /// Screens a listing's photos without storing anything.
    ///
    /// # Errors
    /// As [`Screener::check`].
    pub fn screen(&self, listing: &Listing, uploads: &[Upload]) -> Result<CheckAnswer, ScreenError> {
        self.screen_all(listing, uploads).map(|screened| screened.answer)
    }

    /// As [`Screener::screen`], in the manner of [`Screener::check_patiently`].
    ///
    /// # Errors
    /// As [`Screener::check_patiently`].
    pub fn screen_patiently(
        &self,
        listing: &Listing,
        uploads: &[Upload],
        pace: &dyn Pace,
    ) -> Result<CheckAnswer, ScreenError> {
        self.screen_in_turn(listing, uploads, pace).map(|screened| screened.answer)
    }

    /// As [`Screener::screen`], but a rejected photo does not fail the others: it is answered as `undecidable` with its
    /// fault, and its number is returned beside the answer.
    ///
    /// # Errors
    /// When the model is busy, or the gallery cannot be read.
    pub fn screen_each(
        &self,
        listing: &Listing,
        uploads: &[Upload],
    ) -> Result<(CheckAnswer, Vec<(usize, PhotoError)>), ScreenError> {
        let mut refused = Vec::new();
        let started = uploads.iter().enumerate().map(|(index, upload)| match self.start(index, upload, false) {
            Err(ScreenError::Photo { source, .. }) => {
                let fault = Started::Broken(PhotoFault::from(&source));
                refused.push((index, source));
                Ok(fault)
            }
            other => other,
        });
        let started = started.collect::<Result<Vec<_>, _>>()?;
        Ok((self.finish_all(listing, uploads, started.into_iter().map(Ok))?.answer, refused))
    }

    /// Whether to store the photos of a check. The request's checksum samples the allowed ones.
    fn keeps_photos(&self, action: Action, request: Sha256) -> bool {
        let [a, b, c, d, ..] = request.0;
        let lot = u32::from_be_bytes([a, b, c, d]);
        match action {
            Action::Allow => self.checks.keep_allowed_every > 0 && lot.is_multiple_of(self.checks.keep_allowed_every),
            Action::Review | Action::Block => self.checks.keep_photos,
        }
    }

    fn screen_all(&self, listing: &Listing, uploads: &[Upload]) -> Result<Screened, ScreenError> {
        // All photos are decoded and queued before waiting for the first embedding.
        let started = uploads.iter().enumerate().map(|(index, upload)| self.start(index, upload, false));
        let started = started.collect::<Result<Vec<_>, _>>()?;
        self.finish_all(listing, uploads, started.into_iter().map(Ok))
    }

    /// Finishes each photo before the next one starts.
    fn screen_in_turn(&self, listing: &Listing, uploads: &[Upload], pace: &dyn Pace) -> Result<Screened, ScreenError> {
        let mut turn = None;
        let started = uploads.iter().enumerate().map(|(index, upload)| {
            drop(turn.take());
            turn = Some(Begun::by(pace));
            self.start(index, upload, true)
        });
        self.finish_all(listing, uploads, started)
    }

    fn finish_all(
        &self,
        listing: &Listing,
        uploads: &[Upload],
        started: impl Iterator<Item = Result<Started, ScreenError>>,
    ) -> Result<Screened, ScreenError> {
        let mut brands = Brands::new();
        let mut judged = Vec::with_capacity(uploads.len());
        let mut decisive = Vec::new();
        let mut precedent = None;
        for (index, (look, upload)) in started.zip(uploads).enumerate() {
            let finished = self.finish(index, look?, upload, listing, &mut brands)?;
            judged.push((finished.judgement, finished.answer));
            decisive.extend(finished.hit);
            precedent = precedent.or(finished.precedent);
        }
        let judgements: Vec<Judgement> = judged.iter().map(|(judgement, _)| judgement.clone()).collect();
        let overall = worst(&judgements).cloned().unwrap_or_else(|| undecidable(Reason::PhotoBroken));
        let answer = CheckAnswer {
            id: new_id("chk"),
            created_at: Timestamp::now(),
            listing: listing.clone(),
            verdict: overall.verdict,
            action: overall.action,
            reasons: overall.reasons.into_iter().map(ReasonText::from).collect(),
            photos: judged.into_iter().map(|(_, photo)| photo).collect(),
            versions: self.versions(&brands),
        };
        Ok(Screened { answer, decisive, precedent })
    }

    /// Decodes a photo and embeds it on each ground that it is judged on, for a look-up.
    ///
    /// # Errors
    /// When the bytes are not a photo, or the model is busy or fails.
    pub fn embed(&self, bytes: &[u8]) -> Result<Vec<Embedding>, ScreenError> {
        let photo = self.decode(bytes).map_err(|source| ScreenError::Photo { index: 0, source })?;
        let (photo, on_black) = photo.on_each_ground();
        let grounds = std::iter::once(&photo).chain(&on_black);
        let pending = grounds.map(|ground| self.embedder.submit(ground)).collect::<Result<Vec<_>, _>>()?;
        Ok(pending.into_iter().map(Pending::wait).collect::<Result<_, _>>()?)
    }

    /// The references most similar to a photo, most similar first.
    ///
    /// # Errors
    /// When the gallery cannot be read.
    pub fn lookup(&self, lookup: &Lookup<'_>) -> Result<Vec<Match>, ScreenError> {
        let found = self.library.nearest(lookup.embeddings, lookup.k, lookup.filter);
        let references = self.gallery.by_keys(found.iter().map(|found| found.key))?;
        let joined = found.iter().filter_map(|found| {
            let reference = references.get(&found.key)?;
            Some(Match::similar(reference, found.similarity))
        });
        Ok(joined.collect())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Photo, PhotoError> {
        let started = Instant::now();
        let photo = self.decoder.decode(bytes);
        telemetry::decoded(started.elapsed());
        photo
    }

    fn start(&self, index: usize, upload: &Upload, patient: bool) -> Result<Started, ScreenError> {
        match self.decode(&upload.bytes) {
            Ok(photo) => {
                let same = self.same(&photo);
                // A photo that is invisible on white is judged on black, where its references are compared. A photo of
                // which a part vanishes on white is judged on both: on white alone, a dark edge would hide a picture in
                // white.
                let (photo, on_black) = photo.on_each_ground();
                let quality = photo.quality().max(on_black.as_ref().map_or(0, Photo::quality));
                let size = (photo.width(), photo.height());
                let ground = self.submit(photo, patient)?;
                let on_black = on_black.map(|photo| self.submit(photo, patient)).transpose()?;
                Ok(Started::Seen { ground, on_black, quality, size, same })
            }
            Err(broken @ PhotoError::Broken { .. }) => Ok(Started::Broken(PhotoFault::from(&broken))),
            Err(source) => Err(ScreenError::Photo { index, source }),
        }
    }

    fn submit(&self, photo: Photo, patient: bool) -> Result<Ground, ScreenError> {
        let pending = if patient { self.embedder.submit_patiently(&photo)? } else { self.embedder.submit(&photo)? };
        // Twenty photos of a request may wait here: each is stored at the size that verification uses.
        Ok(Ground { photo: Box::new(photo.shrunk(KEPT_SIDE)), pending })
    }

    /// Examines a photo on one ground, or on both.
    fn seen(
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

    fn finish(
        &self,
        index: usize,
        look: Started,
        upload: &Upload,
        listing: &Listing,
        brands: &mut Brands,
    ) -> Result<Finished, ScreenError> {
        let (mut hit, mut precedent) = (None, None);
        let mut answer = PhotoAnswer::unseen(index, upload.name.clone(), Sha256::of(&upload.bytes));
        let judgement = match look {
            Started::Broken(fault) => {
                answer.fault = Some(fault);
                undecidable(Reason::PhotoBroken)
            }
            Started::Seen { ground: Ground { photo, pending }, on_black, quality, size, same } => {
                answer.see(size, quality, photo.frames());
                let by_look = on_black.is_none();
                match self.seen(&photo, pending, on_black, same) {
                    Ok(mut examination) => {
                        answer.views = examination.views;
                        let decided = self.decided_before(&examination, (&photo, by_look), listing)?;
                        answer.settled = self.leave_out_settled(&mut examination, &decided)?;
                        let (mut judgement, matches) = self.judge(&examination, &answer, listing, brands)?;
                        answer.matches = matches;
                        if !answer.settled.is_empty() {
                            judgement.reasons.push(Reason::SettledByPerson);
                        }
                        if judgement.action == Action::Allow && photo.has_more_frames() {
                            judgement = undecidable(Reason::FramesNotJudged);
                        }
                        if judgement.action != Action::Allow {
                            let hash = photo.fingerprint().hash;
                            answer.perceptual_hash = Some(Sha256(hash).to_string());
                            let decisive = judgement.decisive.map(|place| &examination.held[place]);
                            let key = decisive.map(|held| held.found.key);
                            // A logo is on many unlike photos; that is not suspicious.
                            hit = key
                                .filter(|_| decisive.is_some_and(|held| held.kind() == Kind::Photo))
                                .map(|key| (key, hash));
                            // Only the photo of a known fake, beyond doubt, follows an earlier decision.
                            let plain = judgement.verdict == Verdict::KnownFakeMatch
                                && judgement.decisive.is_some_and(|at| examination.held[at].found.entry.mark.is_none());
                            let fake = |pair: &&Pair| pair.decision == Decision::Fake && Some(pair.key) == key;
                            let found = decided.iter().find(fake).filter(|_| plain);
                            precedent = found.map(|pair| pair.check_id.clone());
                        }
                        judgement
                    }
                    Err(ScreenError::Embed(EmbedError::Failed(reason))) => {
                        tracing::error!(%reason, "a photo is undecidable because the model failed");
                        undecidable(Reason::ModelFailed)
                    }
                    Err(other) => return Err(other),
                }
            }
        };
        telemetry::judged(judgement.verdict.as_str());
        answer.judged(&judgement);
        Ok(Finished { judgement, answer, hit, precedent })
    }

    fn judge(
        &self,
        examination: &Examination,
        photo: &PhotoAnswer,
        listing: &Listing,
        brands: &mut Brands,
    ) -> Result<(Judgement, Vec<Match>), ScreenError> {
        let model = self.embedder.manifest().thresholds;
        let facts = Facts {
            quality: photo.quality.unwrap_or_default(),
            seller_id: listing.seller_id.as_deref(),
            claimed_brand: listing.brand.as_deref(),
        };
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

    fn versions(&self, brands: &Brands) -> Versions {
        Versions {
            touchstone: env!("CARGO_PKG_VERSION").to_owned(),
            model: self.library.model().to_owned(),
            scoring: self.scoring.id().to_owned(),
            index: self.library.version(),
            policies: brands.versions(),
        }
    }
}

/// Key of the reference that decided a photo's verdict, and the photo's perceptual hash.
type Decisive = (u64, [u8; 32]);

/// The results of screening a listing.
struct Screened {
    answer: CheckAnswer,
    /// The decisive references of the photos that are not allowed, with the photos' hashes.
    decisive: Vec<Decisive>,
    /// An earlier check whose case a person decided as counterfeit, about the same photo and reference.
    precedent: Option<String>,
}

/// The results of screening one photo.
struct Finished {
    judgement: Judgement,
    answer: PhotoAnswer,
    hit: Option<Decisive>,
    precedent: Option<String>,
}

/// A photo in work; `on_black` is present if a part of the photo vanishes on white.
enum Started {
    Seen { ground: Ground, on_black: Option<Ground>, quality: u8, size: (u32, u32), same: Vec<Found> },
    Broken(PhotoFault),
}

/// A photo on one ground, and its pending embedding.
struct Ground {
    photo: Box<Photo>,
    pending: Pending,
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

/// Each photo with its SHA-256.
fn photos(uploads: &[Upload], answer: &CheckAnswer) -> Vec<(Sha256, Bytes)> {
    let sums = answer.photos.iter().filter_map(|photo| photo.sha256.parse().ok());
    sums.zip(uploads).map(|(sum, upload)| (sum, upload.bytes.clone())).collect()
}

fn replay(saved: Sha256, request: Sha256, json: String) -> Result<Answered, ScreenError> {
    if saved == request { Ok(Answered { json, replayed: true }) } else { Err(ScreenError::KeyReused) }
}

/// SHA-256 over everything that the caller sent, each part prefixed by its length. A photo named by URL counts by its
/// URL.
fn request_sum(listing: &Listing, uploads: &[Upload]) -> Sha256 {
    let fields = [&listing.listing_id, &listing.seller_id, &listing.brand, &listing.category];
    let mut text = Vec::new();
    for field in fields {
        let field = field.as_deref();
        text.extend((field.map_or(u64::MAX, |f| f.len() as u64)).to_le_bytes());
        text.extend(field.unwrap_or_default().as_bytes());
    }
    for upload in uploads {
        let sum = match &upload.url {
            Some(url) => Sha256::of(format!("url {url}").as_bytes()),
            None => Sha256::of(&upload.bytes),
        };
        text.extend(sum.0);
    }
    Sha256::of(&text)
}
