//! The one use case: photos in, verdict out. HTTP and the command line both call this.

mod answer;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;
use thiserror::Error;

use crate::embed::{EmbedError, Embedder, Embedding, Pending};
use crate::gallery::{BrandId, Gallery, GalleryError, Policy, Reference, StoredCheck, StoredPolicy, new_id};
use crate::library::{Filter, Found, Library};
use crate::photo::{Limits, Photo, PhotoError, Sha256};
use crate::telemetry;
use crate::verdict::{Candidate, Facts, Judgement, Reason, judge, undecidable, worst};

pub use answer::{CheckAnswer, Listing, Match, PhotoAnswer, PhotoFault, ReasonText, Versions};

/// Neighbours looked at for a verdict, at least.
const NEIGHBORS: usize = 16;

/// Why a check or a look-up has no answer.
#[derive(Debug, Error)]
pub enum ScreenError {
    /// A photo that its sender should mend; the number says which, from 0.
    #[error("photo {index}: {source}")]
    Photo {
        /// Which photo.
        index: usize,
        /// What is wrong with it.
        source: PhotoError,
    },
    /// The model is busy or failed.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The database said no.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// The idempotency key was used for something else.
    #[error("this Idempotency-Key was used for another request; use a new key for new content")]
    KeyReused,
    /// An answer that cannot be written as JSON.
    #[error("the answer cannot be written: {0}")]
    Answer(#[from] serde_json::Error),
}

/// A photo as it was sent.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Its name at the sender, for the answer only.
    pub name: Option<String>,
    /// Its bytes.
    pub bytes: Bytes,
}

/// A check's stored answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// JSON of a [`CheckAnswer`], the same bytes on every replay.
    pub json: String,
    /// Whether an earlier request with the same idempotency key made it.
    pub replayed: bool,
}

/// What to look up.
#[derive(Debug)]
pub struct Lookup<'a> {
    /// The query's vector.
    pub embedding: &'a Embedding,
    /// How many references at most.
    pub k: usize,
    /// Among which.
    pub filter: &'a Filter,
}

/// Everything that screening needs, each part behind its own door.
#[derive(Clone)]
pub struct Screener {
    /// Joins matches and keeps checks.
    pub gallery: Arc<Gallery>,
    /// Finds neighbours.
    pub library: Arc<Library>,
    /// Embeds photos.
    pub embedder: Arc<Embedder>,
    /// Caps on photos.
    pub limits: Limits,
    /// Matches named in an answer, at most, for each photo.
    pub matches: usize,
}

impl Screener {
    /// Screens a listing's photos and keeps the answer. Blocks: not for async threads.
    ///
    /// # Errors
    /// A photo of a type or size that is not accepted fails the whole check, so that the caller can
    /// mend it; one that is broken inside is answered as `undecidable`.
    pub fn check(
        &self,
        listing: &Listing,
        uploads: &[Upload],
        idempotency_key: Option<&str>,
    ) -> Result<Answered, ScreenError> {
        let request = request_sum(listing, uploads);
        if let Some(key) = idempotency_key
            && let Some(saved) = self.gallery.check_by_idempotency_key(key)?
        {
            return replay(saved.request_sha256, request, saved.answer);
        }
        let answer = self.screen(listing, uploads)?;
        let json = serde_json::to_string(&answer)?;
        let saved = self.gallery.save_check(&StoredCheck {
            id: &answer.id,
            idempotency_key,
            request_sha256: request,
            listing_id: listing.listing_id.as_deref(),
            seller_id: listing.seller_id.as_deref(),
            action: answer.action.as_str(),
            created_at: answer.created_at,
            answer: &json,
        })?;
        match saved {
            // Another request with the same key was faster: both get its answer.
            Some(saved) => replay(saved.request_sha256, request, saved.answer),
            None => {
                telemetry::checked(answer.action.as_str());
                Ok(Answered { json, replayed: false })
            }
        }
    }

    /// Screens a listing's photos without keeping anything.
    ///
    /// # Errors
    /// As [`Screener::check`].
    pub fn screen(&self, listing: &Listing, uploads: &[Upload]) -> Result<CheckAnswer, ScreenError> {
        // All photos are decoded and queued before the first embedding is waited for.
        let started = uploads.iter().enumerate().map(|(index, upload)| self.start(index, upload));
        let started = started.collect::<Result<Vec<_>, _>>()?;
        let mut policies = Vec::new();
        let mut judged = Vec::with_capacity(started.len());
        for (index, (look, upload)) in started.into_iter().zip(uploads).enumerate() {
            judged.push(self.finish(index, look, upload, listing, &mut policies)?);
        }
        let judgements: Vec<Judgement> = judged.iter().map(|(judgement, _)| judgement.clone()).collect();
        let overall = worst(&judgements).cloned().unwrap_or_else(|| undecidable(Reason::PhotoBroken));
        Ok(CheckAnswer {
            id: new_id("chk"),
            created_at: Timestamp::now(),
            listing: listing.clone(),
            verdict: overall.verdict,
            action: overall.action,
            reasons: overall.reasons.into_iter().map(ReasonText::from).collect(),
            photos: judged.into_iter().map(|(_, photo)| photo).collect(),
            versions: self.versions(policies),
        })
    }

    /// Decodes and embeds one photo, for a look-up.
    ///
    /// # Errors
    /// When it is no photo, or the model is busy.
    pub fn embed(&self, bytes: &[u8]) -> Result<Embedding, ScreenError> {
        let photo = self.decode(bytes).map_err(|source| ScreenError::Photo { index: 0, source })?;
        Ok(self.embedder.submit(&photo)?.wait()?)
    }

    /// The references most similar to a vector, nearest first.
    ///
    /// # Errors
    /// When the gallery cannot be read.
    pub fn lookup(&self, lookup: &Lookup<'_>) -> Result<Vec<Match>, ScreenError> {
        // A floor above every similarity: exactly the nearest are wanted, nothing deeper.
        let mut found = self.library.search(lookup.embedding, lookup.k, f32::INFINITY, lookup.filter);
        found.truncate(lookup.k);
        self.matches(&found, |_| None)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Photo, PhotoError> {
        let started = Instant::now();
        let photo = Photo::decode(bytes, &self.limits);
        telemetry::decoded(started.elapsed());
        photo
    }

    fn start(&self, index: usize, upload: &Upload) -> Result<Look, ScreenError> {
        match self.decode(&upload.bytes) {
            Ok(photo) => {
                let pending = self.embedder.submit(&photo)?;
                Ok(Look::Seen { quality: photo.fingerprint().quality, size: (photo.width(), photo.height()), pending })
            }
            Err(broken @ PhotoError::Broken { .. }) => Ok(Look::Broken(broken)),
            Err(source) => Err(ScreenError::Photo { index, source }),
        }
    }

    fn finish(
        &self,
        index: usize,
        look: Look,
        upload: &Upload,
        listing: &Listing,
        policies: &mut Vec<(BrandId, Arc<StoredPolicy>)>,
    ) -> Result<(Judgement, PhotoAnswer), ScreenError> {
        let mut photo = PhotoAnswer::unseen(index, upload.name.clone(), Sha256::of(&upload.bytes));
        let judgement = match look {
            Look::Broken(error) => {
                photo.fault = Some(PhotoFault::from(&error));
                undecidable(Reason::PhotoBroken)
            }
            Look::Seen { quality, size, pending } => {
                photo.see(size, quality);
                match pending.wait() {
                    Ok(embedding) => {
                        let (judgement, matches) = self.judge(&embedding, quality, listing, policies)?;
                        photo.matches = matches;
                        judgement
                    }
                    Err(EmbedError::Failed(reason)) => {
                        tracing::error!(%reason, "a photo is undecidable because the model failed");
                        undecidable(Reason::ModelFailed)
                    }
                    Err(other) => return Err(other.into()),
                }
            }
        };
        telemetry::judged(judgement.verdict.as_str());
        photo.judged(&judgement);
        Ok((judgement, photo))
    }

    fn judge(
        &self,
        embedding: &Embedding,
        quality: u8,
        listing: &Listing,
        used: &mut Vec<(BrandId, Arc<StoredPolicy>)>,
    ) -> Result<(Judgement, Vec<Match>), ScreenError> {
        let model = self.embedder.manifest().thresholds;
        let floor = model.lookalike;
        let found = self.library.search(embedding, NEIGHBORS, floor, &Filter::default());
        for neighbor in &found {
            if !used.iter().any(|(brand, _)| *brand == *neighbor.entry.brand) {
                used.push(((*neighbor.entry.brand).clone(), self.library.policy(&neighbor.entry.brand)));
            }
        }
        let candidates: Vec<Candidate> = found.iter().map(candidate).collect();
        let fallback = Policy::default();
        let policy_of = |brand: &BrandId| {
            used.iter().find(|(known, _)| known == brand).map_or(&fallback, |(_, stored)| &stored.policy)
        };
        let facts = Facts { quality, seller_id: listing.seller_id.as_deref(), claimed_brand: listing.brand.as_deref() };
        let judgement = judge(&candidates, facts, &model, policy_of);
        let threshold = |neighbor: &Found| {
            let thresholds = policy_of(&neighbor.entry.brand).thresholds(&model);
            Some(match neighbor.polarity() {
                crate::gallery::Polarity::Fake => thresholds.fake_likely,
                crate::gallery::Polarity::Authentic => thresholds.authentic_reuse,
            })
        };
        let matches = self.matches(&shown(&found, &judgement, floor, self.matches), threshold)?;
        Ok((judgement, matches))
    }

    fn matches(&self, found: &[Found], threshold: impl Fn(&Found) -> Option<f32>) -> Result<Vec<Match>, ScreenError> {
        let keys: Vec<u64> = found.iter().map(|neighbor| neighbor.key).collect();
        let references = self.gallery.by_keys(&keys)?;
        let find = |key| references.iter().find(|reference: &&Reference| reference.key == key);
        let joined = found
            .iter()
            .filter_map(|neighbor| Some(Match::new(find(neighbor.key)?, neighbor.similarity, threshold(neighbor))));
        Ok(joined.collect())
    }

    fn versions(&self, policies: Vec<(BrandId, Arc<StoredPolicy>)>) -> Versions {
        Versions {
            touchstone: env!("CARGO_PKG_VERSION").to_owned(),
            model: self.library.model().to_owned(),
            index: self.library.version(),
            policies: policies.into_iter().map(|(brand, stored)| (brand.to_string(), stored.version)).collect(),
        }
    }
}

/// A photo on its way.
enum Look {
    Seen { quality: u8, size: (u32, u32), pending: Pending },
    Broken(PhotoError),
}

fn candidate(found: &Found) -> Candidate {
    Candidate { brand: (*found.entry.brand).clone(), polarity: found.entry.polarity, similarity: found.similarity }
}

/// The matches that an answer names: those at or above the floor, nearest first, and always the one
/// that decided.
fn shown(found: &[Found], judgement: &Judgement, floor: f32, most: usize) -> Vec<Found> {
    let near = found.iter().filter(|neighbor| neighbor.similarity >= floor);
    let mut shown: Vec<Found> = near.take(most).cloned().collect();
    if let Some(decisive) = judgement.decisive.and_then(|place| found.get(place))
        && !shown.iter().any(|neighbor| neighbor.key == decisive.key)
    {
        shown.truncate(most.saturating_sub(1));
        shown.push(decisive.clone());
    }
    shown
}

fn replay(saved: Sha256, request: Sha256, json: String) -> Result<Answered, ScreenError> {
    if saved == request { Ok(Answered { json, replayed: true }) } else { Err(ScreenError::KeyReused) }
}

/// A sum over everything that the caller sent, each part behind its length.
fn request_sum(listing: &Listing, uploads: &[Upload]) -> Sha256 {
    let fields = [&listing.listing_id, &listing.seller_id, &listing.brand, &listing.category];
    let mut text = Vec::new();
    for field in fields {
        let field = field.as_deref();
        text.extend((field.map_or(u64::MAX, |f| f.len() as u64)).to_le_bytes());
        text.extend(field.unwrap_or_default().as_bytes());
    }
    for upload in uploads {
        text.extend(Sha256::of(&upload.bytes).0);
    }
    Sha256::of(&text)
}
