use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use super::VectorSet;
use crate::embed::Embedding;
use crate::photo::Sha256;

/// Distinct embeddings, each with the keys that share it.
#[derive(Debug, Clone)]
pub struct Nodes {
    vectors: VectorSet,
    keys: Vec<Vec<u64>>,
    row_of_key: HashMap<u64, u32>,
    row_of_vector: HashMap<Sha256, u32>,
}

impl Nodes {
    /// An empty set for embeddings of this dimension.
    #[must_use]
    pub fn new(dimension: usize) -> Self {
        Self {
            vectors: VectorSet::new(dimension),
            keys: Vec::new(),
            row_of_key: HashMap::new(),
            row_of_vector: HashMap::new(),
        }
    }

    /// Adds `key`, and returns whether it is new. An existing key keeps its first embedding; an embedding of another
    /// dimension is ignored.
    pub fn insert(&mut self, key: u64, embedding: &Embedding) -> bool {
        if self.row_of_key.contains_key(&key) {
            return false;
        }
        let vector = Sha256::of(&embedding.to_bytes());
        let row = match self.row_of_vector.get(&vector) {
            Some(&row) => row,
            None => {
                let Some(row) = self.vectors.push(embedding) else {
                    return false;
                };
                self.row_of_vector.insert(vector, row);
                self.keys.push(Vec::new());
                row
            }
        };
        self.keys[row as usize].push(key);
        self.row_of_key.insert(key, row);
        true
    }

    /// Replaces the f32 in memory by those in `file`, which has exactly the embeddings so far.
    pub(super) fn rest_on(&mut self, file: &Arc<File>) {
        self.vectors.rest_on(file);
    }

    /// The distinct embeddings.
    #[must_use]
    pub fn vectors(&self) -> &VectorSet {
        &self.vectors
    }

    /// The keys that share a row.
    #[must_use]
    pub fn keys(&self, row: u32) -> &[u64] {
        &self.keys[row as usize]
    }

    /// The row of a key.
    #[must_use]
    pub fn row(&self, key: u64) -> Option<u32> {
        self.row_of_key.get(&key).copied()
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.row_of_key.len()
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.row_of_key.is_empty()
    }
}
