//! Verifies a generation before it serves, against a scan that reads every f32.

use rayon::prelude::*;
use serde::Serialize;

use super::{Generation, LiveIndex, Neighbor, Scope, VectorSet};
use crate::embed::Embedding;

/// Number of rows that are compared with the full scan.
const SCANNED: usize = 400;
/// Number of neighbours among which a row first searches for itself; then it goes as deep as a search can.
const NEAR: usize = 16;
/// Embeddings with at least this similarity count as equal.
pub(super) const EQUAL: f32 = 0.999;
/// Least recall at the threshold.
pub const LEAST_RECALL: f64 = 0.999;

/// Result of verifying a generation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// Number of distinct embeddings that looked themselves up.
    pub rows: usize,
    /// Number of these that were found with all their keys, or before which only equals came: as many embeddings as a
    /// search can return, all with a cosine of at least 0.999 to it.
    pub found_themselves: usize,
    /// Number of embeddings compared with the full scan.
    pub scanned: usize,
    /// Number of keys at or above the threshold that the scan found for them.
    pub expected: usize,
    /// Number of these keys that the index found.
    pub found: usize,
}

/// The neighbours of the requested embeddings, by key.
pub type Neighborhoods = Vec<(u64, Vec<Neighbor>)>;

impl Proof {
    /// Recall: the share of the keys found by the scan at the threshold that the index finds, 0 to 1.
    #[must_use]
    pub fn recall(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share = self.found as f64 / self.expected.max(1) as f64;
        if self.expected == 0 { 1.0 } else { share }
    }

    /// Whether every embedding found itself and recall at the threshold is at least [`LEAST_RECALL`].
    #[must_use]
    pub fn holds(&self) -> bool {
        self.found_themselves == self.rows && self.recall() >= LEAST_RECALL
    }
}

/// Looks every embedding up, and compares samples with an f32 scan at `threshold`. Returns the neighbours, 16 or a few
/// more for each, of rows whose first key `wanted` admits.
#[must_use]
pub fn prove(
    generation: &LiveIndex,
    base: &Generation,
    threshold: f32,
    wanted: impl Fn(u64) -> bool + Sync,
) -> (Proof, Neighborhoods) {
    let vectors = base.nodes().vectors();
    // An exact scan always finds its rows; there a sample tests that answers are assembled correctly.
    let step = if base.graph().is_some() { 1 } else { vectors.len().div_ceil(2_000).max(1) };
    let looked: Vec<Looked> = (0..vectors.len())
        .into_par_iter()
        .filter_map(|row| {
            let row = u32::try_from(row).ok()?;
            let keys = base.nodes().keys(row);
            let wanted = keys.iter().copied().find(|&key| wanted(key));
            let sampled = (row as usize).is_multiple_of(step);
            if wanted.is_none() && !sampled {
                return None;
            }
            let query = embedding(vectors, row)?;
            let found = generation.search(&query, NEAR, Scope::All);
            let itself = brings(&found, keys) || {
                let deep = generation.search_down_to(&query, NEAR, EQUAL, Scope::All);
                brings(&deep, keys) || deep.last().is_some_and(|last| last.similarity() >= EQUAL)
            };
            Some((itself, wanted.map(|key| (key, found))))
        })
        .collect();
    let (scanned, expected, found) = against_scan(generation, base, threshold);
    let proof = Proof {
        rows: looked.len(),
        found_themselves: looked.iter().filter(|(itself, _)| *itself).count(),
        scanned,
        expected,
        found,
    };
    (proof, looked.into_iter().filter_map(|(_, wanted)| wanted).collect())
}

/// Whether a row found itself, and its neighbours if they were requested.
type Looked = (bool, Option<(u64, Vec<Neighbor>)>);

fn brings(found: &[Neighbor], keys: &[u64]) -> bool {
    keys.iter().all(|key| found.iter().any(|near| near.key == *key))
}

fn against_scan(generation: &LiveIndex, base: &Generation, threshold: f32) -> (usize, usize, usize) {
    let vectors = base.nodes().vectors();
    let step = vectors.len().div_ceil(SCANNED).max(1);
    let pairs: Vec<(usize, usize)> = (0..vectors.len())
        .into_par_iter()
        .step_by(step)
        .filter_map(|row| {
            let query = embedding(vectors, u32::try_from(row).ok()?)?;
            let at_least = |similarity: f32| similarity >= threshold;
            let mut hits: Vec<_> =
                vectors.rows().map(|row| vectors.hit(row, &query)).filter(|hit| at_least(hit.similarity)).collect();
            // The search also stops at its greatest depth.
            super::sort_hits(&mut hits);
            hits.truncate(super::DEEPEST_SEARCH);
            let mut got: Vec<u64> = generation
                .search_down_to(&query, NEAR, threshold, Scope::All)
                .into_iter()
                .map(|near| near.key)
                .collect();
            got.sort_unstable();
            let expected = hits.iter().flat_map(|hit| base.nodes().keys(hit.row));
            let (mut wanted, mut found) = (0, 0);
            for key in expected {
                wanted += 1;
                found += usize::from(got.binary_search(key).is_ok());
            }
            Some((wanted, found))
        })
        .collect();
    let sum = |(a, b): (usize, usize), (c, d): (usize, usize)| (a + c, b + d);
    let (expected, found) = pairs.iter().copied().fold((0, 0), sum);
    (pairs.len(), expected, found)
}

fn embedding(vectors: &VectorSet, row: u32) -> Option<Embedding> {
    Embedding::normalize(vectors.floats(row).into_owned()).ok()
}
