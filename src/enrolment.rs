//! A photo becomes a reference: decode, embed, keep, serve.

use std::sync::Arc;

use thiserror::Error;

use crate::align::LocalFeatures;
use crate::embed::{EmbedError, Embedder, Embedding};
use crate::gallery::{Added, Claim, Gallery, GalleryError, NewReference, PhotoRecord, Reference};
use crate::hygiene::{GenericBank, HygieneError, conflict_with, contradicting};
use crate::library::{Library, LibraryError};
use crate::photo::{Limits, Photo, PhotoError, Sha256};

/// Photos that are embedded in one go when a model has not seen them.
const BATCH: usize = 64;

/// Why a photo did not become a reference.
#[derive(Debug, Error)]
pub enum EnrolError {
    /// The bytes are no photo.
    #[error(transparent)]
    Photo(#[from] PhotoError),
    /// The model was busy or failed.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The gallery could not keep it.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// It is kept, but could not be served yet.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// It could not be held against other references.
    #[error(transparent)]
    Hygiene(#[from] HygieneError),
}

/// The parts that enrolment works with.
#[derive(Clone)]
pub struct Enrolment {
    /// Keeps references.
    pub gallery: Arc<Gallery>,
    /// Embeds photos.
    pub embedder: Arc<Embedder>,
    /// Caps on photos.
    pub limits: Limits,
}

impl Enrolment {
    /// Keeps `bytes` as a reference. The library serves it from its next refresh on. With `hygiene`, one that
    /// contradicts another reference is kept, but quarantined, and the other one is disputed from then on.
    ///
    /// # Errors
    /// [`EnrolError`]; nothing is kept then.
    pub fn enrol(
        &self,
        bytes: &[u8],
        claim: &Claim,
        hygiene: Option<(&GenericBank, &Library)>,
    ) -> Result<Added, EnrolError> {
        let photo = Photo::decode(bytes, &self.limits)?;
        let embedding = self.embedder.submit_patiently(&photo)?;
        let record = PhotoRecord::from(&photo);
        let embedding = embedding.wait()?;
        let thresholds = &self.embedder.manifest().thresholds;
        let contradicted = match hygiene {
            Some((_, library)) => {
                contradicting(claim, &record.perceptual_hash, &embedding, (&self.gallery, library, thresholds))?
            }
            None => Vec::new(),
        };
        let quarantine = contradicted.first().map(|other| conflict_with(claim, other));
        let new = NewReference {
            claim,
            photo: &record,
            bytes: Some(bytes),
            embedding: &embedding,
            mark: hygiene.and_then(|(bank, _)| bank.mark(record.quality, &embedding, thresholds)),
            quarantine: quarantine.as_ref(),
            disputes: &contradicted.iter().map(|other| other.key).collect::<Vec<_>>(),
            run: None,
        };
        let added = self.gallery.add_one(&new, &self.embedder.manifest().id())?;
        if let Added::New(reference) = &added {
            // Beside the answer's way: when it fails, the first check that needs them makes them.
            self.keep_features(reference.photo.sha256, &photo);
        }
        Ok(added)
    }

    /// Keeps a reference's points, where they are not kept yet. A failure is logged: the first check that needs them
    /// makes them.
    pub fn make_features(&self, sha256: Sha256) {
        let known = self.gallery.features(sha256).is_some_and(|bytes| LocalFeatures::from_bytes(&bytes).is_some());
        if known {
            return;
        }
        match self.kept_photo(sha256) {
            Ok(photo) => self.keep_features(sha256, &photo),
            Err(error) => tracing::warn!(%sha256, %error, "the photo of a reference cannot be used"),
        }
    }

    fn keep_features(&self, sha256: Sha256, photo: &Photo) {
        if let Err(error) = self.gallery.keep_features(sha256, &LocalFeatures::of(photo.rgb()).to_bytes()) {
            tracing::warn!(%sha256, %error, "the local features of a reference cannot be kept");
        }
    }

    /// Embeds every reference that this model has not seen, from the kept photos, and tells `told` how many are done.
    /// Returns how many. A photo that cannot be embedded is logged and left.
    ///
    /// # Errors
    /// When the gallery cannot be read or written.
    pub fn embed_missing(&self, told: &dyn Fn(usize)) -> Result<usize, EnrolError> {
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
            told(done);
        }
    }

    /// Two or more threads decode while the model works.
    fn embed_kept<'r>(&self, references: &'r [Reference]) -> Vec<(&'r Reference, Embedding)> {
        use rayon::prelude::*;
        let embed = |reference: &'r Reference| {
            let photo = self.kept_photo(reference.photo.sha256)?;
            Ok((reference, self.embedder.submit_patiently(&photo)?.wait()?))
        };
        let told = |reference: &Reference, error: &EnrolError| {
            tracing::error!(reference = reference.id, %error, "this reference cannot be embedded and is not served");
        };
        let embedded = references
            .par_iter()
            .filter_map(|reference| embed(reference).map_err(|error: EnrolError| told(reference, &error)).ok());
        embedded.collect()
    }

    fn kept_photo(&self, sha256: Sha256) -> Result<Photo, EnrolError> {
        Ok(Photo::decode(&self.gallery.photo(sha256)?, &self.limits)?)
    }
}
