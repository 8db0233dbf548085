//! Screens photos: photos in, verdict out. HTTP and the command line both call this module.

mod answer;
mod brands;
mod clock;
mod look;
mod one_photo;
mod outcomes;
mod recall;
mod settled;
mod shared;

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::align::Vocabulary;
use crate::decoder::Decoder;
use crate::domain::{Action, AllianceOptions};
use crate::embed::{EmbedError, Embedder, Embedding, Pending, RoundedEmbedding};
use crate::gallery::{
    FloodLimits, Gallery, GalleryError, Hit, IdempotencyKey, Lead, NewCase, NewRemembered, SignalCase, StoredCheck,
    new_id,
};
use crate::hygiene::GenericBank;
use crate::library::{Filter, Library};
use crate::memory::{MemoryOptions, Remembered};
use crate::photo::{PhotoError, Sha256};
use crate::scoring::{Scoring, Scorings};
use crate::telemetry;
use crate::verdict::{Judgement, Reason, undecidable, worst};

pub use answer::{
    CheckAnswer, Listing, LookedBack, Match, OtherColour, Overlay, PhotoAnswer, PhotoFault, ReasonText, SeenIn,
    Settled, SharedMatch, Versions,
};
use brands::Brands;
pub use clock::Clock;
pub use look::{Examination, Held, Inside, Trace};
use one_photo::{Decisive, Started};
pub use outcomes::{Finding, OutcomeError};
pub use recall::{JudgedAgain, Recalled};

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

/// Does not wait: for commands, which have the lowest priority as a whole.
#[derive(Debug, Clone, Copy)]
pub struct AtOnce;

impl Pace for AtOnce {
    fn begin(&self) {}

    fn end(&self) {}
}

/// Calls [`Pace::end`] when dropped.
pub struct Begun<'a>(&'a dyn Pace);

impl<'a> Begun<'a> {
    /// Waits until the next photo may start.
    #[must_use]
    pub fn by(pace: &'a dyn Pace) -> Self {
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
    /// As `scoring`, for photos that another model embedded.
    pub scorings: Arc<Scorings>,
    /// Turns descriptors into visual words.
    pub vocabulary: Arc<Vocabulary>,
    /// Decodes photos under limits, in separate processes unless the settings say otherwise.
    pub decoder: Arc<Decoder>,
    /// Most matches that an answer names for each photo.
    pub matches: usize,
    /// Which photos of checks are stored, and when a reference counts as flooded.
    pub checks: CheckOptions,
    /// What is remembered of the photos of checks.
    pub memory: MemoryOptions,
    /// Photos that many goods share: they mark references as generic, and link no sellers.
    pub generic: Arc<GenericBank>,
    /// What members of alliances may decide.
    pub alliance: AllianceOptions,
    /// The time of checks.
    pub clock: Clock,
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
        let Screened { answer, decisive, signals, precedent, traces } = match pace {
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
        let remembered = self.remembered(&answer, &traces);
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
                lead: lead(&answer),
                photo: answer.leading_photo().map(|photo| photo.sha256),
                precedent: precedent.as_deref(),
            }),
            remembered: &remembered,
            signals: &signals,
        };
        let saved = self.gallery.save_check(&check, &self.checks.flood)?;
        self.hold_back_floods(&signals, answer.created_at)?;
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

    /// What a check leaves in the memory.
    fn remembered(&self, answer: &CheckAnswer, traces: &[(usize, Trace)]) -> NewRemembered {
        if !self.memory.keep {
            return NewRemembered::default();
        }
        let record = |(index, trace): &(usize, Trace)| {
            let rounded = RoundedEmbedding::of(&trace.embedding);
            let words = &trace.words[..trace.words.len().min(self.memory.keypoints)];
            let record = Remembered {
                check_id: &answer.id,
                photo: u32::try_from(*index).unwrap_or(u32::MAX),
                sha256: answer.photos[*index].sha256.0,
                listing_id: answer.listing.listing_id.as_deref(),
                seller_id: answer.listing.seller_id.as_deref(),
                at: answer.created_at.as_second(),
                scale: rounded.scale(),
                embedding: &rounded.to_bytes(),
                words: &Vocabulary::to_bytes(words),
            };
            record.encode()
        };
        NewRemembered {
            model: self.library.model().to_owned(),
            vocabulary: self.vocabulary.id().to_owned(),
            records: traces.iter().map(record).collect(),
            photos: self.linking(answer, traces),
        }
    }

    /// The photos that link sellers who both use them: not a brand's own, and none that shows too little or what many
    /// goods share.
    fn linking(&self, answer: &CheckAnswer, traces: &[(usize, Trace)]) -> Vec<Sha256> {
        let thresholds = &self.embedder.manifest().thresholds;
        let links = |(index, trace): &(usize, Trace)| {
            let photo = &answer.photos[*index];
            let quality = photo.quality.unwrap_or_default();
            let counts =
                photo.verdict.links_sellers() && self.generic.mark(quality, &trace.embedding, thresholds).is_none();
            counts.then_some(photo.sha256)
        };
        traces.iter().filter_map(links).collect()
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
        // A reference that is added from here on may be missed by some of the photos: a lookback searches them for it.
        let index = self.library.version();
        let mut brands = Brands::new();
        let mut judged = Vec::with_capacity(uploads.len());
        let mut decisive = Vec::new();
        let mut precedent = None;
        let mut traces = Vec::new();
        let mut signals = Vec::new();
        for (index, (look, upload)) in started.zip(uploads).enumerate() {
            let finished = self.finish(index, look?, upload, listing, &mut brands)?;
            judged.push((finished.judgement, finished.answer));
            decisive.extend(finished.hit);
            let place = u32::try_from(index).unwrap_or(u32::MAX);
            signals.extend(finished.signal.map(|(signal, photo)| SignalCase { signal, photo, place }));
            precedent = precedent.or(finished.precedent);
            traces.extend(finished.trace.map(|trace| (index, trace)));
        }
        let judgements: Vec<Judgement> = judged.iter().map(|(judgement, _)| judgement.clone()).collect();
        let overall = worst(&judgements).cloned().unwrap_or_else(|| undecidable(Reason::PhotoBroken));
        let answer = CheckAnswer {
            id: new_id("chk"),
            created_at: self.clock.now(),
            listing: listing.clone(),
            verdict: overall.verdict,
            action: overall.action,
            reasons: overall.reasons.into_iter().map(ReasonText::from).collect(),
            photos: judged.into_iter().map(|(_, photo)| photo).collect(),
            versions: self.versions(&brands, index),
        };
        Ok(Screened { answer, decisive, signals, precedent, traces })
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

    fn versions(&self, brands: &Brands, index: String) -> Versions {
        Versions {
            touchstone: env!("CARGO_PKG_VERSION").to_owned(),
            model: self.library.model().to_owned(),
            scoring: self.scoring.id().to_owned(),
            index,
            policies: brands.versions(),
        }
    }
}

/// The results of screening a listing.
struct Screened {
    answer: CheckAnswer,
    /// The decisive references of the photos that are not allowed, with the photos' hashes.
    decisive: Vec<Decisive>,
    /// The signals on which verdicts rest, with the photos' SHA-256.
    signals: Vec<SignalCase>,
    /// An earlier check whose case a person decided as counterfeit, about the same photo and reference.
    precedent: Option<String>,
    /// What to remember of each photo, by its number.
    traces: Vec<(usize, Trace)>,
}

/// What decides a check's verdict: a match, or a signal of another member.
fn lead(answer: &CheckAnswer) -> Option<Lead<'_>> {
    let by_match = answer.lead().map(|(_, near)| Lead {
        brand: &near.brand,
        polarity: near.polarity,
        reference: Some(&near.reference_id),
        probability: near.probability.map_or(0.5, f64::from),
    });
    by_match.or_else(|| {
        let (_, signal) = answer.leading_signal()?;
        let probability = f64::from(signal.probability);
        Some(Lead { brand: &signal.brand, polarity: signal.polarity, reference: None, probability })
    })
}

/// Each photo with its SHA-256.
fn photos(uploads: &[Upload], answer: &CheckAnswer) -> Vec<(Sha256, Bytes)> {
    let sums = answer.photos.iter().map(|photo| photo.sha256);
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
