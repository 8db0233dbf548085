use simsimd::{BinarySimilarity, SpatialSimilarity};

use super::Hit;
use crate::embed::{Embedding, cosine};

/// Rows of unit vectors, three times: their signs, a bit a number, to pass over most rows; int8 with one scale a row,
/// to order what is left; and f32 for the exact answer.
#[derive(Debug, Clone)]
pub struct VectorSet {
    dimension: usize,
    signs: Vec<u8>,
    floats: Vec<f32>,
    bytes: Vec<i8>,
    scales: Vec<f32>,
}

impl VectorSet {
    /// No rows yet.
    #[must_use]
    pub fn new(dimension: usize) -> Self {
        Self { dimension, signs: Vec::new(), floats: Vec::new(), bytes: Vec::new(), scales: Vec::new() }
    }

    /// Numbers a row.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.scales.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scales.is_empty()
    }

    /// Row numbers.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = u32> + use<> {
        0..u32::try_from(self.len()).unwrap_or(u32::MAX)
    }

    /// Adds a row. `None` when the dimension is another, or 2^32 rows are there.
    pub fn push(&mut self, embedding: &Embedding) -> Option<u32> {
        if embedding.dimension() != self.dimension {
            return None;
        }
        let row = u32::try_from(self.len()).ok()?;
        self.floats.extend_from_slice(embedding.as_slice());
        push_signs(embedding.as_slice(), &mut self.signs);
        let scale = quantise(embedding.as_slice(), &mut self.bytes);
        self.scales.push(scale);
        Some(row)
    }

    /// The row's numbers.
    #[must_use]
    pub fn floats(&self, row: u32) -> &[f32] {
        let start = row as usize * self.dimension;
        &self.floats[start..start + self.dimension]
    }

    /// The row as int8, and what to multiply it by.
    #[must_use]
    pub fn quantised(&self, row: u32) -> (&[i8], f32) {
        let start = row as usize * self.dimension;
        (&self.bytes[start..start + self.dimension], self.scales[row as usize])
    }

    /// Exact cosine of a row with the query.
    #[must_use]
    pub fn hit(&self, row: u32, query: &Embedding) -> Hit {
        Hit { row, similarity: cosine(self.floats(row), query.as_slice()) }
    }

    /// In how many signs each row differs from a query, row by row.
    pub(super) fn differing_signs(&self, query: &[u8]) -> impl Iterator<Item = u16> {
        self.signs.chunks_exact(query.len().max(1)).map(|row| differing(row, query))
    }

    /// Approximate cosine of a row with a quantised query.
    pub(super) fn rough(&self, row: u32, query: &[i8], query_scale: f32) -> f32 {
        let (bytes, scale) = self.quantised(row);
        rough_dot(bytes, query) * scale * query_scale
    }
}

/// Appends one bit a number: whether it is positive.
///
/// Of two vectors at an angle, a random direction's signs differ with probability angle / pi (Charikar, "Similarity
/// Estimation Techniques from Rounding Algorithms", 2002); an embedding's own directions are about as good.
pub(super) fn push_signs(values: &[f32], signs: &mut Vec<u8>) {
    let byte =
        |chunk: &[f32]| chunk.iter().enumerate().fold(0, |byte, (bit, value)| byte | u8::from(*value > 0.0) << bit);
    signs.extend(values.chunks(8).map(byte));
}

fn differing(a: &[u8], b: &[u8]) -> u16 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of bits of one vector")]
    let count = u8::hamming(a, b).unwrap_or(0.0) as u16;
    count
}

/// Dot product of int8 vectors.
pub(super) fn rough_dot(a: &[i8], b: &[i8]) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "an approximation")]
    let dot = i8::dot(a, b).unwrap_or(0.0) as f32;
    dot
}

/// Appends `values` as int8 to `bytes`; value = int8 * returned scale.
pub(super) fn quantise(values: &[f32], bytes: &mut Vec<i8>) -> f32 {
    let largest = values.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
    let scale = largest.max(f32::MIN_POSITIVE) / 127.0;
    #[expect(clippy::cast_possible_truncation, reason = "rounded and within [-127, 127]")]
    bytes.extend(values.iter().map(|value| (value / scale).round() as i8));
    scale
}
