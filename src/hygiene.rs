//! What a reference must not be: nearly the same image as one of the other polarity, or an image that many goods share.

use std::path::{Path, PathBuf};

use thiserror::Error;
use walkdir::WalkDir;

use crate::embed::{EmbedError, Embedder, Embedding, ScoreThresholds, cosine};
use crate::gallery::{
    Claim, Gallery, GalleryError, Mark, PhotoRecord, Polarity, Quarantine, Reference, differing_bits,
};
use crate::library::{Filter, Library, LibraryError};
use crate::photo::{Limits, Photo, PhotoError, Sha256};

/// Nearly the same images differ in at most so many of the 256 bits of their perceptual hashes.
const NEAR_BITS: u32 = 32;
/// References of the other polarity that a new one is held against.
pub const HELD_AGAINST: usize = 16;

/// Why hygiene cannot be looked after.
#[derive(Debug, Error)]
pub enum HygieneError {
    /// The folder of generic images cannot be read.
    #[error("generic images: {0}")]
    Folder(#[from] walkdir::Error),
    /// A generic image cannot be read.
    #[error("generic image {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// A generic image is no photo.
    #[error("generic image {path}: {source}")]
    Photo {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: PhotoError,
    },
    /// The model failed.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The database said no.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// The library cannot follow.
    #[error(transparent)]
    Library(#[from] LibraryError),
}

/// Images that many goods share: blank, size charts, plain boxes, logos on white. A reference close to one of them
/// never leads to a block by itself.
#[derive(Debug, Default)]
pub struct GenericBank {
    vectors: Vec<Embedding>,
}

impl GenericBank {
    /// Embeds every file below `folder`, unless the gallery knows its vector. A folder that is not there holds none.
    ///
    /// # Errors
    /// When one of them is no photo, or the model fails.
    pub fn open(folder: &Path, embedder: &Embedder, limits: &Limits, gallery: &Gallery) -> Result<Self, HygieneError> {
        let manifest = embedder.manifest();
        let model = manifest.id();
        if !folder.exists() {
            return Ok(Self::default());
        }
        let mut vectors = Vec::new();
        let mut pending = Vec::new();
        for entry in WalkDir::new(folder).sort_by_file_name() {
            let entry = entry?;
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            if hidden || !entry.file_type().is_file() {
                continue;
            }
            let path = entry.into_path();
            let bytes = std::fs::read(&path).map_err(|source| HygieneError::File { path: path.clone(), source })?;
            let sha256 = Sha256::of(&bytes);
            match gallery.embedding(sha256, &model, manifest.output.dimension)? {
                Some(known) => vectors.push(known),
                None => {
                    let photo = Photo::decode(&bytes, limits).map_err(|source| HygieneError::Photo { path, source })?;
                    pending.push((sha256, embedder.submit_patiently(&photo)?));
                }
            }
        }
        for (sha256, pending) in pending {
            let embedding = pending.wait()?;
            gallery.keep_vector(sha256, &model, &embedding)?;
            vectors.push(embedding);
        }
        Ok(Self { vectors })
    }

    /// Similarity with the nearest of them; -1 where there is none.
    #[must_use]
    pub fn nearest(&self, embedding: &Embedding) -> f32 {
        let same = |generic: &&Embedding| generic.dimension() == embedding.dimension();
        let similar = |generic: &Embedding| cosine(generic.as_slice(), embedding.as_slice());
        self.vectors.iter().filter(same).map(similar).fold(-1.0, f32::max)
    }

    /// The mark of a reference that shows too little, or what many goods share.
    #[must_use]
    pub fn mark(&self, quality: u8, embedding: &Embedding, thresholds: &ScoreThresholds) -> Option<Mark> {
        let generic = quality < thresholds.min_quality || self.nearest(embedding) >= thresholds.generic;
        generic.then_some(Mark::Generic)
    }
}

/// Whether perceptual hashes are as near as those of near-copies.
#[must_use]
pub fn is_same_group(a: &[u8; 32], b: &[u8; 32]) -> bool {
    differing_bits(a, b) <= NEAR_BITS
}

/// Whether two images are nearly the same: by their embeddings and by their perceptual hashes.
#[must_use]
pub fn is_near_copy(similarity: f32, a: &[u8; 32], b: &[u8; 32], thresholds: &ScoreThresholds) -> bool {
    similarity >= thresholds.near_copy && is_same_group(a, b)
}

/// Why a reference is held back that nearly is `other`, of the other polarity.
#[must_use]
pub fn conflict_with(claim: &Claim, other: &Reference) -> Quarantine {
    let private = claim.brand != other.claim.brand;
    let whose = if private { "another brand" } else { "this brand" };
    let detail = format!(
        "supplied as {}, but nearly the same image is {whose}'s {} {}; decide which is right",
        claim.polarity, other.claim.polarity, other.id
    );
    Quarantine { code: "conflict".to_owned(), detail, private }
}

/// The references in force that nearly are the new image, with the other polarity.
///
/// # Errors
/// When the gallery cannot be read.
pub fn contradicting(
    claim: &Claim,
    hash: &[u8; 32],
    embedding: &Embedding,
    (gallery, library, thresholds): (&Gallery, &Library, &ScoreThresholds),
) -> Result<Vec<Reference>, HygieneError> {
    library.refresh()?;
    let filter = Filter { polarity: Some(opposite(claim.polarity)), ..Filter::default() };
    let found = library.search(embedding, HELD_AGAINST, f32::INFINITY, &filter);
    let near = found.iter().filter(|found| found.similarity >= thresholds.near_copy);
    let references = gallery.by_keys(near.clone().map(|found| found.key))?;
    let same = near.filter_map(|found| {
        let reference = references.get(&found.key)?;
        is_near_copy(found.similarity, hash, &reference.photo.perceptual_hash, thresholds).then(|| reference.clone())
    });
    Ok(same.collect())
}

/// The active references of the other polarity that are identical to this picture. A new image that matches by identity only
/// is compared with these.
///
/// # Errors
/// When the gallery cannot be read.
pub fn contradicting_itself(
    claim: &Claim,
    photo: &PhotoRecord,
    (gallery, library): (&Gallery, &Library),
) -> Result<Vec<Reference>, HygieneError> {
    library.refresh()?;
    let size = (photo.width, photo.height);
    let mut same = Vec::new();
    for pixels in &photo.pixels {
        same.extend(library.same(photo.sha256, size, || *pixels));
    }
    let wanted = opposite(claim.polarity);
    let keys = same.iter().filter(|found| found.polarity() == wanted).map(|found| found.key);
    Ok(gallery.by_keys(keys)?.into_values().collect())
}

/// The opposite polarity.
#[must_use]
pub fn opposite(polarity: Polarity) -> Polarity {
    match polarity {
        Polarity::Authentic => Polarity::Fake,
        Polarity::Fake => Polarity::Authentic,
    }
}
