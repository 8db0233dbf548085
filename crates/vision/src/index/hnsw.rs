//! The only user of `hnsw_rs`.
//!
//! This module guards against behaviour observed in `hnsw_rs` 0.3.5: near-identical vectors inserted in order cut the
//! graph apart, so rows are inserted in shuffled order and a graph is verified before it serves; and it aborts on NaN,
//! on another dimension and on corrupt files, so it receives only rows of a [`VectorSet`] and files with matching
//! checksums.

#![expect(clippy::disallowed_types, reason = "the one user of hnsw_rs")]

use std::path::Path;

use anndists::dist::distances::Distance;
use hnsw_rs::api::AnnT;
use hnsw_rs::hnsw::Hnsw;
use hnsw_rs::hnswio::HnswIo;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::{Hit, IndexOptions, VectorIndex, VectorSet, sort_hits};
use crate::embed::{Embedding, quantise, rough_dot};

/// Names of the two files that `hnsw_rs` writes.
pub(super) const GRAPH_FILES: [&str; 2] = ["graph.hnsw.graph", "graph.hnsw.data"];
const BASENAME: &str = "graph";
const LAYERS: usize = 16;
/// Rows that are searched for to verify a build; the next constant is the share that must be found.
const PROOF_ROWS: usize = 2_000;
const PROOF_RECALL: f64 = 0.999;
/// Bytes of the f32 scale after each int8 point.
const SCALE_BYTES: usize = 4;

/// 1 - cosine of int8 points that carry their scale in the last four bytes.
#[derive(Debug, Clone, Copy, Default)]
struct QuantisedCosine;

impl Distance<i8> for QuantisedCosine {
    fn eval(&self, a: &[i8], b: &[i8]) -> f32 {
        let ((a, a_scale), (b, b_scale)) = (split(a), split(b));
        // hnsw_rs asserts that no distance is negative.
        (1.0 - rough_dot(a, b) * a_scale * b_scale).max(0.0)
    }
}

fn split(point: &[i8]) -> (&[i8], f32) {
    let (values, scale) = point.split_at(point.len().saturating_sub(SCALE_BYTES));
    let mut bytes = [0; SCALE_BYTES];
    for (byte, &value) in bytes.iter_mut().zip(scale) {
        *byte = value.cast_unsigned();
    }
    (values, f32::from_le_bytes(bytes))
}

fn point(values: &[f32]) -> Vec<i8> {
    let mut point = Vec::with_capacity(values.len() + SCALE_BYTES);
    let scale = quantise(values, &mut point);
    point.extend(scale.to_le_bytes().map(u8::cast_signed));
    point
}

/// A hierarchical navigable small-world graph over the rows of a [`VectorSet`].
pub struct HnswIndex {
    graph: Hnsw<'static, i8, QuantisedCosine>,
    ef_search: usize,
    rows: usize,
}

impl HnswIndex {
    /// Builds a graph over all rows, in an order shuffled by a fixed seed.
    #[must_use]
    pub fn build(vectors: &VectorSet, options: &IndexOptions) -> Self {
        let m = options.m.clamp(2, 255);
        let graph = Hnsw::new(m, vectors.len(), LAYERS, options.ef_construction.max(m), QuantisedCosine);
        let mut order: Vec<u32> = vectors.rows().collect();
        order.shuffle(&mut StdRng::seed_from_u64(0x746f_7563_6873));
        let points: Vec<Vec<i8>> = order.iter().map(|&row| point(&vectors.floats(row))).collect();
        let batch: Vec<(&Vec<i8>, usize)> =
            points.iter().zip(&order).map(|(point, &row)| (point, row as usize)).collect();
        graph.parallel_insert(&batch);
        Self { graph, ef_search: options.ef_search, rows: vectors.len() }
    }

    /// The share of sampled rows that find themselves first; `None` when it is too low to serve.
    #[must_use]
    pub fn prove(&self, vectors: &VectorSet) -> Option<f64> {
        let step = vectors.len().div_ceil(PROOF_ROWS).max(1);
        let sample: Vec<u32> = vectors.rows().step_by(step).collect();
        let found = sample.iter().filter(|&&row| {
            let hits = self.candidates(&vectors.floats(row), 1);
            hits.contains(&row)
        });
        #[expect(clippy::cast_precision_loss, reason = "counts of at most 2,000")]
        let recall = found.count() as f64 / sample.len().max(1) as f64;
        (recall >= PROOF_RECALL && self.graph.get_nb_point() == self.rows).then_some(recall)
    }

    /// Writes the two [`GRAPH_FILES`] into `folder`.
    pub(super) fn dump(&self, folder: &Path) -> Result<(), String> {
        let written = self.graph.file_dump(folder, BASENAME).map_err(|error| error.to_string())?;
        if written == BASENAME { Ok(()) } else { Err(format!("files of the name {BASENAME} already exist")) }
    }

    /// Loads files of [`HnswIndex::dump`] whose checksums the caller has verified.
    pub(super) fn load(folder: &Path, vectors: &VectorSet, options: &IndexOptions) -> Result<Self, String> {
        // The loaded graph borrows its reader. One reader per loaded generation, a few hundred bytes, lives as long as
        // the process.
        let reader = Box::leak(Box::new(HnswIo::new(folder, BASENAME)));
        let graph: Hnsw<'static, i8, QuantisedCosine> = reader.load_hnsw().map_err(|error| error.to_string())?;
        if graph.get_nb_point() != vectors.len() {
            return Err(format!("the graph has {} points, expected {}", graph.get_nb_point(), vectors.len()));
        }
        Ok(Self { graph, ef_search: options.ef_search, rows: vectors.len() })
    }

    fn candidates(&self, query: &[f32], k: usize) -> Vec<u32> {
        let ef = self.ef_search.max(k.saturating_mul(2));
        let found = self.graph.search(&point(query), k.max(32).min(self.rows), ef);
        found
            .into_iter()
            .filter_map(|neighbour| u32::try_from(neighbour.d_id).ok())
            .filter(|&row| (row as usize) < self.rows)
            .collect()
    }
}

impl VectorIndex for HnswIndex {
    fn nearest(&self, vectors: &VectorSet, query: &Embedding, k: usize, alive: &dyn Fn(u32) -> bool) -> Vec<Hit> {
        if query.dimension() != vectors.dimension() || k == 0 {
            return Vec::new();
        }
        let rows = self.candidates(query.as_slice(), k.saturating_mul(2));
        let mut hits: Vec<Hit> =
            rows.into_iter().filter(|&row| alive(row)).map(|row| vectors.hit(row, query)).collect();
        sort_hits(&mut hits);
        hits.truncate(k);
        hits
    }
}
