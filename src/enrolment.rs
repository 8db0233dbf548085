//! Enrolment: decodes and embeds a photo, and stores it as a reference.

use std::sync::Arc;

use thiserror::Error;

use crate::align::{LocalFeatures, Vocabulary};
use crate::decoder::Decoder;
use crate::domain::{Claim, Kind, PhotoRecord, Reference};
use crate::embed::{EmbedError, Embedder, Embedding};
use crate::gallery::{Added, Gallery, GalleryError, NewReference};
use crate::hygiene::{GenericBank, HygieneError, conflict_with, contradicting, contradicting_itself};
use crate::library::{Library, LibraryError};
use crate::photo::{Pdq, Photo, PhotoError, Sha256, doubts, is_artwork};

/// Number of stored photos that one step embeds for a new model.
const BATCH: usize = 64;

/// Why a photo did not become a reference.
#[derive(Debug, Error)]
pub enum EnrolError {
    /// The bytes are not a usable photo.
    #[error(transparent)]
    Photo(#[from] PhotoError),
    /// The model is busy or failed.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The gallery could not store it.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// It is stored, but the library could not follow.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// It could not be compared with other references.
    #[error(transparent)]
    Hygiene(#[from] HygieneError),
}

/// The parts that enrolment works with.
#[derive(Clone)]
pub struct Enrolment {
    /// Stores references.
    pub gallery: Arc<Gallery>,
    /// Embeds photos.
    pub embedder: Arc<Embedder>,
    /// Decodes photos.
    pub decoder: Arc<Decoder>,
    /// Turns keypoints into visual words.
    pub vocabulary: Arc<Vocabulary>,
}

/// What a new reference is compared with.
#[derive(Clone, Copy)]
pub struct Hygiene<'a> {
    /// Photos that many goods share.
    pub bank: &'a GenericBank,
    /// The active references.
    pub library: &'a Library,
    /// Whether references of other brands that it contradicts become disputed. A caller with one brand's key must not
    /// take another brand's references out of blocking: then only the new one is quarantined.
    pub disputes_others: bool,
}

impl Enrolment {
    /// Stores `bytes` as a reference, which the library serves after its next refresh. With `hygiene`, a reference that
    /// contradicts another one is quarantined, and the other one becomes disputed. `by` names the actor for the audit
    /// log, and the session if the addition can be undone there.
    ///
    /// # Errors
    /// [`EnrolError`]; then nothing is stored.
    pub fn enrol(
        &self,
        bytes: &[u8],
        claim: &Claim,
        hygiene: Option<Hygiene<'_>>,
        by: Option<(&str, Option<&str>)>,
    ) -> Result<Added, EnrolError> {
        let (photo, record) = self.take_in(bytes)?;
        let embedding = self.embedder.submit_patiently(&photo)?;
        let embedding = embedding.wait()?;
        let thresholds = &self.embedder.manifest().thresholds;
        let contradicted = match hygiene {
            Some(Hygiene { library, .. }) if record.is_by_identity_only() => {
                contradicting_itself(claim, &record, (&self.gallery, library))?
            }
            Some(Hygiene { library, .. }) => {
                contradicting(claim, &record.perceptual_hash, &embedding, (&self.gallery, library, thresholds))?
            }
            None => Vec::new(),
        };
        let others = hygiene.is_some_and(|hygiene| hygiene.disputes_others);
        let disputed = contradicted.iter().filter(|other| others || other.claim.brand == claim.brand);
        let quarantine = contradicted.first().map(|other| conflict_with(claim, other));
        let features = LocalFeatures::of(photo.rgb());
        let words = Vocabulary::to_bytes(&self.vocabulary.words(&features));
        let new = NewReference {
            claim,
            photo: &record,
            bytes: Some(bytes),
            embedding: &embedding,
            words: Some((self.vocabulary.id(), &words)),
            mark: hygiene.and_then(|hygiene| hygiene.bank.mark(record.quality, &embedding, thresholds)),
            quarantine: quarantine.as_ref(),
            disputes: &disputed.map(|other| other.key).collect::<Vec<_>>(),
            run: None,
            by,
        };
        let added = self.gallery.add_one(&new, &self.embedder.manifest().id())?;
        if let Added::New(reference) = &added {
            // If this fails, the first check that needs the keypoints computes them.
            keep_features(&self.gallery, reference.photo.sha256, &features);
        }
        Ok(added)
    }

    /// Decodes a new reference. Returns the photo as it is compared, and its record.
    ///
    /// # Errors
    /// When the bytes are not a photo, or a part of it is damaged.
    pub fn take_in(&self, bytes: &[u8]) -> Result<(Photo, PhotoRecord), PhotoError> {
        let photo = self.decoder.decode(bytes)?;
        if photo.is_damaged() {
            return Err(PhotoError::PartlyDecoded { format: photo.format().name() });
        }
        let doubts = doubts(&photo, |rgb| LocalFeatures::of(rgb).len());
        let pixels = if doubts.is_empty() { Vec::new() } else { photo.pixel_sums() };
        let photo = photo.as_seen();
        let kind = if is_artwork(photo.rgb()) { Kind::Logo } else { Kind::Photo };
        let record = PhotoRecord { doubts, pixels, kind, ..PhotoRecord::from(&photo) };
        Ok((photo, record))
    }

    /// Embeds every reference that has no embedding by this model, from the stored photos, and calls `progress` with the
    /// number done so far. Returns the number. A photo that cannot be embedded is logged and skipped.
    ///
    /// # Errors
    /// When the gallery cannot be read or written.
    pub fn embed_missing(&self, progress: &dyn Fn(usize)) -> Result<usize, EnrolError> {
        let model = self.embedder.manifest().id();
        let (mut done, mut after) = (0, 0);
        loop {
            let missing = self.gallery.without_vector(&model, after, BATCH)?;
            let Some(last) = missing.last() else {
                return Ok(done);
            };
            if after == 0 {
                tracing::info!(%model, "embedding references that this model has not seen");
            }
            after = last.key;
            let vectors = self.embed_kept(&missing);
            self.gallery.add_vectors(&model, &vectors)?;
            done += vectors.len();
            progress(done);
        }
    }

    /// Computes the visual words of every reference that has none, from its keypoints, and calls `progress` with the number
    /// done so far. Returns the number. A photo that cannot be read is logged and gets no words.
    ///
    /// # Errors
    /// When the gallery cannot be read or written.
    pub fn word_missing(&self, progress: &dyn Fn(usize)) -> Result<usize, EnrolError> {
        let (mut done, mut after) = (0, 0);
        loop {
            let missing = self.gallery.without_words(self.vocabulary.id(), after, BATCH)?;
            let Some(last) = missing.last() else {
                return Ok(done);
            };
            after = last.key;
            done += self.word(&missing, &|| {})?;
            progress(done);
        }
    }

    /// Computes the PDQ hash of every active photo that has none. Returns how many. A photo that cannot be read is logged, and
    /// gets a hash of quality 0, which matches nothing.
    ///
    /// # Errors
    /// When the database cannot be read or written.
    pub fn hash_missing(&self) -> Result<usize, EnrolError> {
        let (mut done, mut after) = (0, 0);
        loop {
            let missing = self.gallery.without_pdq(after, BATCH)?;
            let Some(last) = missing.last() else {
                return Ok(done);
            };
            after = last.key;
            let hash = |reference: &Reference| {
                let sum = reference.photo.sha256;
                let bytes = self.gallery.photo(sum).map_err(|error| error.to_string());
                let photo = bytes.and_then(|bytes| self.decoder.decode(&bytes).map_err(|error| error.to_string()));
                let pdq = match photo {
                    Ok(photo) => Pdq::of(photo.rgb()),
                    Err(error) => {
                        tracing::error!(reference = reference.id, error, "a reference cannot be hashed");
                        // Of quality 0, it matches nothing, and is not tried again.
                        Pdq { hash: [0; 32], quality: 0 }
                    }
                };
                (sum, pdq)
            };
            let hashes: Vec<_> = missing.iter().map(hash).collect();
            self.gallery.add_pdq(&hashes)?;
            done += hashes.len();
        }
    }

    /// Computes and stores the keypoints and visual words of references. Returns how many succeeded.
    ///
    /// # Errors
    /// When the gallery cannot be written.
    pub fn word(&self, references: &[Reference], each: &(dyn Fn() + Sync)) -> Result<usize, EnrolError> {
        use rayon::prelude::*;
        let made = references.par_iter().filter_map(|reference| {
            let features = features(&self.gallery, &self.decoder, reference.photo.sha256);
            each();
            Some((reference, Vocabulary::to_bytes(&self.vocabulary.words(&features?))))
        });
        let made: Vec<(&Reference, Vec<u8>)> = made.collect();
        self.gallery.add_words(self.vocabulary.id(), &made)?;
        Ok(made.len())
    }

    /// Two or more threads decode while the model works.
    fn embed_kept<'r>(&self, references: &'r [Reference]) -> Vec<(&'r Reference, Embedding)> {
        use rayon::prelude::*;
        let embed = |reference: &'r Reference| {
            let photo = kept_photo(&self.gallery, &self.decoder, reference.photo.sha256)?;
            Ok((reference, self.embedder.submit_patiently(&photo)?.wait()?))
        };
        let warned = |reference: &Reference, error: &EnrolError| {
            tracing::error!(reference = reference.id, %error, "this reference cannot be embedded and is not served");
        };
        let embedded = references
            .par_iter()
            .filter_map(|reference| embed(reference).map_err(|error: EnrolError| warned(reference, &error)).ok());
        embedded.collect()
    }
}

/// The keypoints of a reference's photo: stored ones, else computed from the photo and stored. `None`, with a line in
/// the log, when the photo cannot be used.
pub fn features(gallery: &Gallery, decoder: &Decoder, sha256: Sha256) -> Option<LocalFeatures> {
    let kept = gallery.features(sha256).and_then(|bytes| LocalFeatures::from_bytes(&bytes));
    if kept.as_ref().is_some_and(LocalFeatures::is_current) {
        return kept;
    }
    match kept_photo(gallery, decoder, sha256) {
        Ok(photo) => {
            let made = LocalFeatures::of(photo.rgb());
            keep_features(gallery, sha256, &made);
            Some(made)
        }
        Err(error) => {
            tracing::error!(%sha256, %error, "a reference's photo cannot be read: only stored keypoints are used");
            kept
        }
    }
}

/// A failure is only logged: whoever needs the keypoints next computes them.
fn keep_features(gallery: &Gallery, sha256: Sha256, features: &LocalFeatures) {
    if let Err(error) = gallery.keep_features(sha256, &features.to_bytes()) {
        tracing::warn!(%sha256, %error, "a reference's keypoints cannot be stored");
    }
}

/// A reference's stored photo, as it is compared.
fn kept_photo(gallery: &Gallery, decoder: &Decoder, sha256: Sha256) -> Result<Photo, EnrolError> {
    Ok(decoder.decode(&gallery.photo(sha256)?)?.as_seen())
}
