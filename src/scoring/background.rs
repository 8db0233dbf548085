use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::embed::{Embedding, EmbeddingError};

/// Embeddings of photos that match nothing. A photo that is similar to many of these, such as a plain pack on white, is
/// similar to many references by chance, so its similarities count for less (Pizzi et al., "A Self-Supervised
/// Descriptor for Image Copy Detection", CVPR 2022, section 4.4: s' = s - beta * mean of the top background
/// similarities).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Background {
    /// Number of nearest background embeddings that are averaged.
    pub neighbors: usize,
    /// Factor of the average before it is subtracted, 0 to 2.
    pub beta: f32,
    /// Unit vectors of the model's dimension; stored as base64 of signed bytes, each row scaled to 127.
    #[serde(serialize_with = "write", deserialize_with = "read")]
    vectors: Vec<Embedding>,
}

impl Background {
    /// A background of these photos, rounded as a stored one is.
    #[must_use]
    pub fn new(neighbors: usize, beta: f32, photos: &[Embedding]) -> Self {
        let vectors = photos.iter().filter_map(|photo| unit(&bytes(photo)).ok()).collect();
        Self { neighbors, beta, vectors }
    }

    /// The amount to subtract from each similarity of a photo: `beta` times the mean of its greatest similarities to
    /// the background; 0 where the background is empty.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a few neighbours")]
    pub fn level(&self, photo: &Embedding) -> f32 {
        let mut similarities: Vec<f32> = self.vectors.iter().map(|known| known.similarity(photo)).collect();
        let count = self.neighbors.min(similarities.len());
        if count == 0 {
            return 0.0;
        }
        similarities.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
        self.beta * similarities[..count].iter().sum::<f32>() / count as f32
    }

    /// Number of photos in the background set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.vectors.len()
    }

    /// Whether the background has no photos.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vectors.is_empty()
    }

    pub(super) fn fault(&self, dimension: usize) -> Option<String> {
        if let Some(row) = self.vectors.iter().find(|row| row.dimension() != dimension) {
            return Some(format!("the background's vectors have {} numbers, expected {dimension}", row.dimension()));
        }
        if !(1..=self.vectors.len()).contains(&self.neighbors) {
            let most = self.vectors.len();
            return Some(format!(
                "neighbors is {}, expected 1 to the {most} vectors of the background",
                self.neighbors
            ));
        }
        if !(0.0..=2.0).contains(&self.beta) {
            return Some(format!("beta is {}, expected 0 to 2", self.beta));
        }
        None
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounded to -127 to 127")]
fn bytes(photo: &Embedding) -> Vec<i8> {
    let values = photo.as_slice();
    let greatest = values.iter().fold(f32::MIN_POSITIVE, |most, value| most.max(value.abs()));
    values.iter().map(|value| (value / greatest * 127.0).round() as i8).collect()
}

fn unit(bytes: &[i8]) -> Result<Embedding, EmbeddingError> {
    Embedding::normalize(bytes.iter().map(|&value| f32::from(value)).collect())
}

fn write<S: Serializer>(rows: &[Embedding], serializer: S) -> Result<S::Ok, S::Error> {
    let unsigned = |row| bytes(row).into_iter().map(i8::cast_unsigned).collect::<Vec<u8>>();
    serializer.collect_seq(rows.iter().map(|row| STANDARD.encode(unsigned(row))))
}

fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Embedding>, D::Error> {
    let row = |text: String| {
        let bytes = STANDARD.decode(text).map_err(serde::de::Error::custom)?;
        unit(&bytes.into_iter().map(u8::cast_signed).collect::<Vec<i8>>()).map_err(serde::de::Error::custom)
    };
    Vec::<String>::deserialize(deserializer)?.into_iter().map(row).collect()
}
