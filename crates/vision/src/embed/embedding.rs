use simsimd::SpatialSimilarity;
use thiserror::Error;

/// A finite, unit-norm vector. No other can be constructed, so a cosine is a dot product and never NaN.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding(Box<[f32]>);

/// Why numbers are not an [`Embedding`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EmbeddingError {
    /// A number is NaN or infinite.
    #[error("the vector has a number that is not finite")]
    NotFinite,
    /// All numbers are zero, or there are none.
    #[error("the vector is zero or empty")]
    Zero,
    /// The stored bytes have another length.
    #[error("the stored vector has {got} bytes, expected {expected}")]
    WrongLength {
        /// Number of stored bytes.
        got: usize,
        /// Bytes expected: four per dimension.
        expected: usize,
    },
}

impl Embedding {
    /// Scales `values` to norm 1.
    ///
    /// # Errors
    /// When a value is not finite, or all are zero.
    pub fn normalize(mut values: Vec<f32>) -> Result<Self, EmbeddingError> {
        if values.iter().any(|value| !value.is_finite()) {
            return Err(EmbeddingError::NotFinite);
        }
        let norm = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        if norm < 1e-12 {
            return Err(EmbeddingError::Zero);
        }
        #[expect(clippy::cast_possible_truncation, reason = "a quotient of at most 1 back to f32")]
        for value in &mut values {
            *value = (f64::from(*value) / norm) as f32;
        }
        Ok(Self(values.into()))
    }

    /// The numbers, [`Self::dimension`] of them.
    #[must_use]
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// Number of dimensions, as the model's manifest states it.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.0.len()
    }

    /// Cosine similarity in [-1, 1]; 0 for embeddings of different dimensions.
    #[must_use]
    pub fn similarity(&self, other: &Self) -> f32 {
        cosine(&self.0, &other.0)
    }

    /// Serialises the numbers as little-endian f32.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    /// Reads bytes of [`Embedding::to_bytes`], and normalises them again if their norm is not 1.
    ///
    /// # Errors
    /// When the length is not that of `dimension` numbers, or the numbers are not an embedding.
    pub fn from_bytes(bytes: &[u8], dimension: usize) -> Result<Self, EmbeddingError> {
        let (chunks, rest) = bytes.as_chunks::<4>();
        if chunks.len() != dimension || !rest.is_empty() {
            return Err(EmbeddingError::WrongLength { got: bytes.len(), expected: dimension * 4 });
        }
        let values: Vec<f32> = chunks.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect();
        let norm: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum();
        // Stored embeddings already have norm 1: dividing again would change last bits, and identical photos must stay
        // identical.
        if (norm - 1.0).abs() < 1e-5 && values.iter().all(|value| value.is_finite()) {
            return Ok(Self(values.into()));
        }
        Self::normalize(values)
    }
}

/// Dot product of two unit vectors, clamped to [-1, 1].
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "a cosine fits f32")]
    let dot = f32::dot(a, b).unwrap_or(0.0) as f32;
    dot.clamp(-1.0, 1.0)
}
