//! Hygiene of the gallery: keeps out references that are near-duplicates of one with the other polarity, and marks
//! those that many goods share.

use std::path::{Path, PathBuf};

use thiserror::Error;
use walkdir::WalkDir;

use crate::domain::{Claim, Mark, PhotoRecord, Polarity, Quarantine, Reference};
use crate::embed::{EmbedError, Embedder, Embedding, ScoreThresholds, cosine};
use crate::gallery::{Gallery, GalleryError, differing_bits};
use crate::library::{Filter, Library, LibraryError};
use crate::photo::{Limits, Photo, PhotoError, Sha256};

/// Fingerprints of near-duplicates differ in at most this many of 256 bits.
pub const NEAR_BITS: u32 = 32;
/// The number of references of the other polarity that a new one is compared with.
pub const HELD_AGAINST: usize = 16;

/// Why a new reference cannot be compared with others.
#[derive(Debug, Error)]
pub enum HygieneError {
    /// The folder of generic photos cannot be read.
    #[error("generic photos: {0}")]
    Folder(#[from] walkdir::Error),
    /// A generic photo cannot be read.
    #[error("generic photo {path}: {source}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file in the folder is not a usable photo.
    #[error("generic photo {path}: {source}")]
    Photo {
        /// Path of the file.
        path: PathBuf,
        /// Why it cannot be decoded.
        source: PhotoError,
    },
    /// The model failed on a generic photo.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The database returned an error.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// The library cannot follow the gallery.
    #[error(transparent)]
    Library(#[from] LibraryError),
}

/// Photos that many goods share: blank, size charts, plain boxes, logos on white. A reference near one of them never
/// leads to a block by itself.
#[derive(Debug, Default)]
pub struct GenericBank {
    vectors: Vec<Embedding>,
}

impl GenericBank {
    /// Embeds every file below `folder`, unless the gallery has its embedding. A missing folder makes an empty bank.
    ///
    /// # Errors
    /// When a file is not a photo, or the model or the database fails.
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

    /// The highest cosine similarity with a generic photo; -1 if there is none.
    #[must_use]
    pub fn nearest(&self, embedding: &Embedding) -> f32 {
        let same = |generic: &&Embedding| generic.dimension() == embedding.dimension();
        let similar = |generic: &Embedding| cosine(generic.as_slice(), embedding.as_slice());
        self.vectors.iter().filter(same).map(similar).fold(-1.0, f32::max)
    }

    /// [`Mark::Generic`] for a reference that shows too little, or what many goods share.
    #[must_use]
    pub fn mark(&self, quality: u8, embedding: &Embedding, thresholds: &ScoreThresholds) -> Option<Mark> {
        let generic = quality < thresholds.min_quality || self.nearest(embedding) >= thresholds.generic;
        generic.then_some(Mark::Generic)
    }
}

/// Whether fingerprints are as near as those of near-duplicates.
#[must_use]
pub fn is_same_group(a: &[u8; 32], b: &[u8; 32]) -> bool {
    differing_bits(a, b) <= NEAR_BITS
}

/// Whether two photos are near-duplicates, by their embeddings and by their fingerprints.
#[must_use]
pub fn is_near_copy(similarity: f32, a: &[u8; 32], b: &[u8; 32], thresholds: &ScoreThresholds) -> bool {
    similarity >= thresholds.near_copy && is_same_group(a, b)
}

/// The quarantine of a reference that is a near-duplicate of `other`, which has the other polarity.
#[must_use]
pub fn conflict_with(claim: &Claim, other: &Reference) -> Quarantine {
    let private = claim.brand != other.claim.brand;
    let whose = if private { "another brand" } else { "this brand" };
    let detail = format!(
        "supplied as {}, but it is a near-duplicate of {whose}'s {} {}; decide which is right",
        claim.polarity, other.claim.polarity, other.id
    );
    Quarantine { code: "conflict".to_owned(), detail, private }
}

/// Active references of the other polarity that are near-duplicates of a new photo.
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

/// Active references of the other polarity that are identical to a photo. A new photo that matches by file and pixels
/// only is compared with these.
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

/// The other polarity.
#[must_use]
pub fn opposite(polarity: Polarity) -> Polarity {
    match polarity {
        Polarity::Authentic => Polarity::Fake,
        Polarity::Fake => Polarity::Authentic,
    }
}
