use simsimd::SpatialSimilarity;

use super::{Embedding, EmbeddingError};

/// An embedding in one byte a dimension. Cosines differ from the exact ones by about 0.001.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundedEmbedding {
    scale: f32,
    numbers: Vec<i8>,
}

impl RoundedEmbedding {
    /// Rounds an embedding.
    #[must_use]
    pub fn of(embedding: &Embedding) -> Self {
        let mut numbers = Vec::with_capacity(embedding.dimension());
        let scale = quantise(embedding.as_slice(), &mut numbers);
        Self { scale, numbers }
    }

    /// From its parts: [`RoundedEmbedding::scale`] and [`RoundedEmbedding::to_bytes`].
    #[must_use]
    pub fn from_parts(scale: f32, bytes: &[u8]) -> Self {
        Self { scale, numbers: bytes.iter().map(|byte| byte.cast_signed()).collect() }
    }

    /// The embedding's numbers are those of [`RoundedEmbedding::to_bytes`], as signed bytes, times this.
    #[must_use]
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// One byte a dimension.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.numbers.iter().copied().map(i8::cast_unsigned).collect()
    }

    /// Cosine similarity in [-1, 1]; 0 for embeddings of different dimensions.
    #[must_use]
    pub fn similarity(&self, other: &Self) -> f32 {
        (rough_dot(&self.numbers, &other.numbers) * self.scale * other.scale).clamp(-1.0, 1.0)
    }

    /// The embedding, scaled to norm 1.
    ///
    /// # Errors
    /// When the numbers are all zero, or the scale is not finite.
    pub fn restored(&self) -> Result<Embedding, EmbeddingError> {
        Embedding::normalize(self.numbers.iter().map(|&number| f32::from(number) * self.scale).collect())
    }
}

/// Dot product of int8 vectors.
pub(crate) fn rough_dot(a: &[i8], b: &[i8]) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "an approximation")]
    let dot = i8::dot(a, b).unwrap_or(0.0) as f32;
    dot
}

/// Appends `values` as int8 to `bytes`; value = int8 * returned scale.
pub(crate) fn quantise(values: &[f32], bytes: &mut Vec<i8>) -> f32 {
    let largest = values.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
    let scale = largest.max(f32::MIN_POSITIVE) / 127.0;
    #[expect(clippy::cast_possible_truncation, reason = "rounded and within [-127, 127]")]
    bytes.extend(values.iter().map(|value| (value / scale).round() as i8));
    scale
}
