//! References similar to a photo, among all that a brand has, also those that take no part in checks.

use std::collections::HashSet;

use super::{Desk, DeskError};
use crate::embed::{Embedding, cosine};
use crate::gallery::{Reference, ReferenceState, VectorQuery};
use crate::library::Filter;
use crate::photo::Sha256;

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A photo that was sent with a check or a look-up.
    Photo(Sha256),
    /// A reference, which is not among the answers itself.
    Reference(String),
}

/// A reference and how similar it is.
#[derive(Debug, Clone)]
pub struct Near {
    /// The reference.
    pub reference: Reference,
    /// Cosine similarity in [-1, 1].
    pub similarity: f32,
}

/// Looks references up.
pub struct Finder<'a>(pub &'a Desk);

impl Finder<'_> {
    /// Keeps a photo to look up, and checks that it is one.
    ///
    /// # Errors
    /// When it is no photo, or cannot be kept.
    pub fn take(&self, bytes: &[u8]) -> Result<Sha256, DeskError> {
        let screener = &self.0.parts().screener;
        let embeddings = screener.embed(bytes)?;
        let sum = Sha256::of(bytes);
        screener.gallery.keep_upload(sum, bytes)?;
        self.keep(sum, &embeddings)?;
        Ok(sum)
    }

    /// The `k` most similar ones, nearest first.
    ///
    /// # Errors
    /// When the subject is not there, or something cannot be read.
    pub fn find(&self, subject: &Subject, query: &VectorQuery, k: usize) -> Result<Vec<Near>, DeskError> {
        let (embeddings, itself) = self.embeddings(subject)?;
        let screener = &self.0.parts().screener;
        let served = query.state == ReferenceState::Active && query.since.is_none() && query.until.is_none();
        let mut near: Vec<(u64, f32)> = if served {
            let filter =
                Filter { brand: query.brand.clone(), polarity: query.polarity, product: query.product.clone() };
            let found = screener.library.nearest(&embeddings, k + 1, &filter);
            // References in doubt are in no index.
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

    /// What the index does not hold is compared one by one.
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
