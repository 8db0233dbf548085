//! Embeddings and `u64` keys in, nearest neighbours out. Independent of photos, brands and labels.
//!
//! A [`Generation`] is one built, verified, immutable set; [`LiveIndex`] serves it together with later changes.
//! Identical embeddings are one node with many keys. Every answer is re-ranked with the exact cosine.

mod exact;
mod generations;
mod hnsw;
mod keypoints;
mod live;
mod nodes;
mod proof;
mod snapshot;
mod vectors;

use serde::{Deserialize, Serialize};

use crate::embed::Embedding;

pub use exact::ExactIndex;
pub use generations::{GenerationInfo, Held, current_line, generations, names, serving};
pub use hnsw::HnswIndex;
pub use keypoints::{KeypointIndex, KeypointOrigin, KeypointProof, KeypointStats, Vote};
pub use live::{Change, LiveIndex, Scope, Stats};
pub use nodes::Nodes;
pub use proof::{LEAST_RECALL, Neighborhoods, Proof, prove};
pub use snapshot::{Generation, Origin, SnapshotError};
pub use vectors::VectorSet;

/// Most distinct neighbours of one query.
pub const DEEPEST_SEARCH: usize = 4096;

/// Parameters of building and searching the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IndexOptions {
    /// Sets with fewer distinct embeddings are scanned exactly, without a graph. By default, the size from which on the
    /// graph is faster: docs/decisions/005-exact-scan.md.
    pub exact_below: usize,
    /// HNSW: links per node, at most 255.
    pub m: usize,
    /// HNSW: candidates considered while building.
    pub ef_construction: usize,
    /// HNSW: candidates considered while searching.
    pub ef_search: usize,
    /// A new generation is built when more than this many embeddings were added since the last one.
    pub rebuild_after: usize,
    /// Generations stored on disk.
    pub keep: usize,
}

impl Default for IndexOptions {
    fn default() -> Self {
        Self { exact_below: 2_000_000, m: 16, ef_construction: 200, ef_search: 128, rebuild_after: 20_000, keep: 3 }
    }
}

/// A key and its distance from the query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbor {
    /// The key that the embedding was added with.
    pub key: u64,
    /// 1 - cosine, in [0, 2].
    pub distance: f32,
}

impl Neighbor {
    /// Cosine similarity, -1 to 1.
    #[must_use]
    pub fn similarity(&self) -> f32 {
        1.0 - self.distance
    }
}

/// A row of a [`VectorSet`] and its cosine with the query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Number of the row, from 0.
    pub row: u32,
    /// Exact cosine, -1 to 1.
    pub similarity: f32,
}

/// Finds the rows nearest to a query among those for which `alive` is true.
pub trait VectorIndex {
    /// At most `k` rows, nearest first, ties by row number.
    fn nearest(&self, vectors: &VectorSet, query: &Embedding, k: usize, alive: &dyn Fn(u32) -> bool) -> Vec<Hit>;
}

/// Sorts nearest first; equal similarities in row order, so that answers are repeatable.
fn sort_hits(hits: &mut [Hit]) {
    hits.sort_unstable_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.row.cmp(&b.row)));
}
