//! A photo becomes a reference: decode, embed, keep, serve.

use std::sync::Arc;

use thiserror::Error;

use crate::align::LocalFeatures;
use crate::embed::{EmbedError, Embedder, Embedding};
use crate::gallery::{Added, BrandId, Gallery, GalleryError, NewReference, Polarity};
use crate::library::{Library, LibraryError};
use crate::photo::{Limits, Photo, PhotoError};

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
}

/// What a brand says of a photo.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Whose it is.
    pub brand: BrandId,
    /// Authentic or fake.
    pub polarity: Polarity,
    /// The brand's product id.
    pub product: Option<String>,
    /// Where the brand has it from.
    pub source: Option<String>,
    /// Free text.
    pub notes: Option<String>,
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
    /// Keeps `bytes` as a reference. The library serves it from its next refresh on.
    ///
    /// # Errors
    /// [`EnrolError`]; nothing is kept then.
    pub fn enrol(&self, bytes: &[u8], claim: &Claim) -> Result<Added, EnrolError> {
        let photo = Photo::decode(bytes, &self.limits)?;
        let embedding = self.embedder.submit_patiently(&photo)?;
        let fingerprint = photo.fingerprint();
        let new = NewReference {
            brand: &claim.brand,
            polarity: claim.polarity,
            product: claim.product.as_deref(),
            source: claim.source.as_deref(),
            notes: claim.notes.as_deref(),
            photo: &photo,
            fingerprint: &fingerprint,
            bytes,
            embedding: &embedding.wait()?,
        };
        let added = self.gallery.add(&new, &self.embedder.manifest().id())?;
        if let Added::New(reference) = &added {
            // Beside the answer's way: when it fails, the first check that needs them makes them.
            if let Err(error) = self.gallery.keep_features(reference.sha256, &LocalFeatures::of(photo.rgb()).to_bytes())
            {
                tracing::warn!(reference = reference.id, %error, "its local features cannot be kept");
            }
        }
        Ok(added)
    }

    /// Embeds every reference that this model has not seen, from the kept photos. Returns how many.
    /// A photo that cannot be embedded is logged and left.
    ///
    /// # Errors
    /// When the gallery cannot be read or written.
    pub fn embed_missing(&self, library: &Library) -> Result<usize, EnrolError> {
        let model = self.embedder.manifest().id();
        let (mut done, mut after) = (0, 0);
        loop {
            let missing = self.gallery.without_embedding(&model, after, BATCH)?;
            let Some(last) = missing.last() else {
                return Ok(done);
            };
            if after == 0 {
                tracing::info!(%model, "embedding references that this model has not seen");
            }
            let vectors: Vec<(u64, Embedding)> = missing
                .iter()
                .filter_map(|reference| match self.embed_kept(reference.sha256) {
                    Ok(embedding) => Some((reference.key, embedding)),
                    Err(error) => {
                        tracing::error!(reference = reference.id, %error, "this reference cannot be embedded and is not served");
                        None
                    }
                })
                .collect();
            self.gallery.add_embeddings(&model, &vectors)?;
            library.refresh()?;
            done += vectors.len();
            after = last.key;
        }
    }

    fn embed_kept(&self, sha256: crate::photo::Sha256) -> Result<Embedding, EnrolError> {
        let bytes = self.gallery.photo(sha256)?;
        let photo = Photo::decode(&bytes, &self.limits)?;
        Ok(self.embedder.submit_patiently(&photo)?.wait()?)
    }
}
