//! What a generation must show before it serves, against a scan that reads every f32.

use rayon::prelude::*;
use serde::Serialize;

use super::{Generation, LiveIndex, Neighbor, Scope, VectorSet};
use crate::embed::Embedding;

/// Rows that are held against the scan of everything.
const SCANNED: usize = 400;
/// A row's own answer is looked for among so many, and then as deep as a search goes.
const NEAR: usize = 16;
/// Vectors of at least this similarity are as good as each other.
pub(super) const EQUAL: f32 = 0.999;
/// Least recall at the threshold.
pub const LEAST_RECALL: f64 = 0.999;

/// What a generation has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// Distinct vectors looked up by themselves.
    pub rows: usize,
    /// Those that were found with all their keys, and those before which nothing but equals came: as many vectors as a
    /// search may bring, all of cosine 0.999 or more with the asked one.
    pub found_themselves: usize,
    /// Vectors held against the scan of everything.
    pub scanned: usize,
    /// Keys at or above the threshold that the scan found for them.
    pub expected: usize,
    /// Those of them that the index found.
    pub found: usize,
}

/// The neighbours of the vectors that were asked for, by key.
pub type Neighborhoods = Vec<(u64, Vec<Neighbor>)>;

impl Proof {
    /// Share of what the scan finds at the threshold that the index finds.
    #[must_use]
    pub fn recall(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share = self.found as f64 / self.expected.max(1) as f64;
        if self.expected == 0 { 1.0 } else { share }
    }

    /// Whether every vector found itself and recall at the threshold is high enough.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.found_themselves == self.rows && self.recall() >= LEAST_RECALL
    }
}

/// Looks every vector up, and holds samples against an f32 scan at `threshold`. The neighbours of rows whose first
/// key `wanted` admits are returned, 16 or a few more for each.
#[must_use]
pub fn prove(
    generation: &LiveIndex,
    base: &Generation,
    threshold: f32,
    wanted: impl Fn(u64) -> bool + Sync,
) -> (Proof, Neighborhoods) {
    let vectors = base.nodes().vectors();
    // An exact scan finds what it holds; there a sample shows that the answer is put together right.
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

/// Whether a row found itself, and its neighbours where they were asked for.
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
            // The search stops at its greatest depth too.
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
