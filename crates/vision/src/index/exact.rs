use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::vectors::push_signs;
use super::{Hit, VectorIndex, VectorSet, sort_hits};
use crate::embed::{Embedding, quantise};

/// Scans every row. In large sets, signs select the nearest `16 k + 4096` rows, int8 the best `4 k + 64` of these, and
/// f32 gives the answer.
///
/// The int8 error on unit vectors is below 0.01 (512 dimensions), so int8 loses a true neighbour only if more than
/// `3 k + 64` others are within that error of it. The loss by signs is measured: docs/PERFORMANCE.md.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExactIndex;

/// A similarity and its row, ordered by `total_cmp` for the heap.
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

/// Number of rows that signs select in a search for `k`. For 20,000 embeddings of real photos, a quarter of it lost
/// none of 29,000 neighbours with a cosine of at least 0.46, and 37 of the 28,800 nearest sixteen, which had lower
/// cosines.
fn sieved(k: usize) -> usize {
    k.saturating_mul(16).saturating_add(4096)
}

/// Number of rows that int8 selects in a search for `k`.
fn ordered(k: usize) -> usize {
    k.saturating_mul(4).saturating_add(64)
}

/// Least number of dimensions for selection by signs.
const ENOUGH_SIGNS: usize = 256;

/// The rows that a scan covers.
#[derive(Clone, Copy)]
enum Rows<'a> {
    /// The rows for which the function is true.
    Alive(&'a dyn Fn(u32) -> bool),
    /// These rows.
    These(&'a [u32]),
}

/// The rows of `rows` whose signs are nearest to the query's; all rows if there are few.
fn sieve(vectors: &VectorSet, query: &Embedding, k: usize, rows: Rows<'_>) -> Vec<u32> {
    let wanted = sieved(k);
    let count = match rows {
        Rows::Alive(_) => vectors.len(),
        Rows::These(rows) => rows.len(),
    };
    if count / 4 <= wanted || query.dimension() < ENOUGH_SIGNS {
        return match rows {
            Rows::Alive(alive) => vectors.rows().filter(|&row| alive(row)).collect(),
            Rows::These(rows) => rows.to_vec(),
        };
    }
    let mut signs = Vec::new();
    push_signs(query.as_slice(), &mut signs);
    match rows {
        Rows::These(rows) => {
            let differing = vectors.differing_signs(&signs, Some(rows));
            let nearest = lowest(&differing, query.dimension(), wanted);
            nearest.into_iter().map(|place| rows[place as usize]).collect()
        }
        Rows::Alive(alive) => {
            let mut differing = vectors.differing_signs(&signs, None);
            let mut nearest = lowest(&differing, query.dimension(), wanted);
            let all = nearest.len();
            nearest.retain(|&row| alive(row));
            // The admitted rows among those that a search of everything would select: they contain the near ones, but
            // not always the nearest of the far ones.
            if nearest.len() == all || nearest.len() >= ordered(k) {
                return nearest;
            }
            // Rows that are no longer served must not displace others.
            for (row, count) in vectors.rows().zip(&mut differing) {
                if !alive(row) {
                    *count = GONE;
                }
            }
            lowest(&differing, query.dimension(), wanted)
        }
    }
}

/// In place of a count: the row is excluded.
const GONE: u16 = u16::MAX;

/// The `wanted` rows with the lowest counts, and all rows that equal the last of them.
fn lowest(differing: &[u16], dimension: usize, wanted: usize) -> Vec<u32> {
    let mut counts = vec![0_usize; dimension + 1];
    for &count in differing {
        if let Some(rows) = counts.get_mut(usize::from(count)) {
            *rows += 1;
        }
    }
    let mut left = wanted;
    // All rows with the count of the last one are included, so that the answer does not depend on their order.
    let last = counts.iter().position(|&rows| {
        let full = rows >= left;
        left = left.saturating_sub(rows);
        full
    });
    let last = last.unwrap_or(dimension);
    let last = u16::try_from(last).unwrap_or(GONE - 1);
    let mut rows = Vec::with_capacity(wanted + wanted / 4);
    for (row, &count) in (0..).zip(differing) {
        if count <= last {
            rows.push(row);
        }
    }
    rows
}

impl ExactIndex {
    /// As [`VectorIndex::nearest`], among `rows` only.
    #[must_use]
    pub fn nearest_of(&self, vectors: &VectorSet, query: &Embedding, k: usize, rows: &[u32]) -> Vec<Hit> {
        scan(vectors, query, k, Rows::These(rows))
    }
}

impl VectorIndex for ExactIndex {
    fn nearest(&self, vectors: &VectorSet, query: &Embedding, k: usize, alive: &dyn Fn(u32) -> bool) -> Vec<Hit> {
        scan(vectors, query, k, Rows::Alive(alive))
    }
}

fn scan(vectors: &VectorSet, query: &Embedding, k: usize, rows: Rows<'_>) -> Vec<Hit> {
    if query.dimension() != vectors.dimension() || k == 0 {
        return Vec::new();
    }
    let wanted = ordered(k);
    let mut bytes = Vec::with_capacity(query.dimension());
    let scale = quantise(query.as_slice(), &mut bytes);
    let mut best = BinaryHeap::with_capacity(wanted.min(vectors.len()) + 1);
    for row in sieve(vectors, query, k, rows) {
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
