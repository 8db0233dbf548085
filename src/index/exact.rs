use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::vectors::quantise;
use super::{Hit, VectorIndex, VectorSet, sort_hits};
use crate::embed::Embedding;

/// Scans every row: int8 first, then the best `4 k + 64` with f32.
///
/// The int8 error on unit vectors is below 0.01 (512 dimensions), so a true neighbour is lost only
/// where more than `3 k + 64` others lie within that of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExactIndex;

/// Orders f32 by `total_cmp` for the heap.
#[derive(PartialEq)]
struct Score(f32, u32);

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0).then(other.1.cmp(&self.1))
    }
}

impl VectorIndex for ExactIndex {
    fn nearest(&self, vectors: &VectorSet, query: &Embedding, k: usize, alive: &dyn Fn(u32) -> bool) -> Vec<Hit> {
        if query.dimension() != vectors.dimension() || k == 0 {
            return Vec::new();
        }
        let wanted = k.saturating_mul(4).saturating_add(64);
        let mut bytes = Vec::with_capacity(query.dimension());
        let scale = quantise(query.as_slice(), &mut bytes);
        let mut best = BinaryHeap::with_capacity(wanted.min(vectors.len()) + 1);
        for row in vectors.rows().filter(|&row| alive(row)) {
            let score = Score(vectors.rough(row, &bytes, scale), row);
            if best.len() < wanted {
                best.push(Reverse(score));
            } else if best.peek().is_some_and(|worst: &Reverse<Score>| score > worst.0) {
                best.pop();
                best.push(Reverse(score));
            }
        }
        let mut hits: Vec<Hit> = best.into_iter().map(|Reverse(Score(_, row))| vectors.hit(row, query)).collect();
        sort_hits(&mut hits);
        hits.truncate(k);
        hits
    }
}
