//! Finds references similar to a photo, among all references of a brand, including inactive ones.

use std::collections::HashSet;

use super::{Desk, DeskError};
use crate::domain::{Reference, ReferenceState};
use crate::embed::{Embedding, cosine};
use crate::gallery::VectorQuery;
use crate::library::Filter;
use crate::photo::Sha256;

/// The subject of a look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// SHA-256 of a photo that a check or a look-up sent.
    Photo(Sha256),
    /// Id of a reference, which is not among the results itself.
    Reference(String),
}

/// A reference and its similarity to the subject.
#[derive(Debug, Clone)]
pub struct Near {
    /// The reference.
    pub reference: Reference,
    /// Cosine similarity in [-1, 1].
    pub similarity: f32,
}

/// Looks references up for the console.
pub struct Finder<'a>(pub &'a Desk);

impl Finder<'_> {
    /// Stores a photo to look up, and returns its SHA-256.
    ///
    /// # Errors
    /// When the bytes are not a photo that decodes, or cannot be stored.
    pub fn take(&self, bytes: &[u8]) -> Result<Sha256, DeskError> {
        let screener = &self.0.parts().screener;
        let embeddings = screener.embed(bytes)?;
        let sum = Sha256::of(bytes);
        screener.gallery.keep_upload(sum, bytes)?;
        self.keep(sum, &embeddings)?;
        Ok(sum)
    }

    /// The `k` references most similar to the subject, nearest first.
    ///
    /// # Errors
    /// When the photo or the reference does not exist, or cannot be read or embedded.
    pub fn find(&self, subject: &Subject, query: &VectorQuery, k: usize) -> Result<Vec<Near>, DeskError> {
        let (embeddings, itself) = self.embeddings(subject)?;
        let screener = &self.0.parts().screener;
        let served = query.state == ReferenceState::Active && query.since.is_none() && query.until.is_none();
        let mut near: Vec<(u64, f32)> = if served {
            let filter =
                Filter { brand: query.brand.clone(), polarity: query.polarity, product: query.product.clone() };
            let found = screener.library.nearest(&embeddings, k + 1, &filter);
            // References in doubt are not in the index.
            let in_doubt = self.scan(&embeddings, &VectorQuery { in_doubt: true, ..query.clone() }, k + 1)?;
            found.into_iter().map(|found| (found.key, found.similarity)).chain(in_doubt).collect()
        } else {
            self.scan(&embeddings, query, k + 1)?
        };
        near.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let mut seen = HashSet::new();
        near.retain(|(key, _)| Some(*key) != itself && seen.insert(*key));
        near.truncate(k);
        let mut references = screener.gallery.by_keys(near.iter().map(|(key, _)| *key))?;
        let joined = near
            .into_iter()
            .filter_map(|(key, similarity)| Some(Near { reference: references.remove(&key)?, similarity }));
        Ok(joined.collect())
    }

    /// Compares the subject one by one with references that the index does not contain.
    fn scan(&self, embeddings: &[Embedding], query: &VectorQuery, k: usize) -> Result<Vec<(u64, f32)>, DeskError> {
        let screener = &self.0.parts().screener;
        let mut near: Vec<(u64, f32)> = Vec::new();
        screener.gallery.visit_vectors(screener.library.model(), query, |key, bytes| {
            let similarities = embeddings.iter().filter_map(|embedding| {
                let vector = Embedding::from_bytes(&bytes, embedding.dimension()).ok()?;
                Some(cosine(embedding.as_slice(), vector.as_slice()))
            });
            near.extend(similarities.max_by(f32::total_cmp).map(|similarity| (key, similarity)));
        })?;
        near.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        near.truncate(k);
        Ok(near)
    }

    /// The subject's embedding on each ground that it is judged on, and its key if it is a reference.
    fn embeddings(&self, subject: &Subject) -> Result<(Vec<Embedding>, Option<u64>), DeskError> {
        let screener = &self.0.parts().screener;
        let (gallery, model) = (&screener.gallery, screener.library.model());
        let (sum, key) = match subject {
            Subject::Photo(sum) => (*sum, None),
            Subject::Reference(id) => {
                let reference = gallery.find(id)?.ok_or_else(|| DeskError::NoSuchReference(id.clone()))?;
                (reference.photo.sha256, Some(reference.key))
            }
        };
        let dimension = screener.embedder.manifest().output.dimension;
        if let Some(known) = gallery.embedding(sum, model, dimension)? {
            return Ok((vec![known], key));
        }
        let bytes = gallery.upload(sum).or_else(|_| gallery.photo(sum));
        let bytes = bytes.map_err(|_| DeskError::NoSuchUpload(sum))?;
        let embeddings = screener.embed(&bytes)?;
        self.keep(sum, &embeddings)?;
        Ok((embeddings, key))
    }

    /// Keeps the embedding of a photo that has one; a photo with two grounds is embedded again for each search.
    fn keep(&self, sum: Sha256, embeddings: &[Embedding]) -> Result<(), DeskError> {
        let screener = &self.0.parts().screener;
        if let [embedding] = embeddings {
            screener.gallery.keep_vector(sum, screener.library.model(), embedding)?;
        }
        Ok(())
    }
}
