#![expect(
    clippy::inline_always,
    reason = "what is not inlined into `Arch::dispatch` is compiled for no processor in particular"
)]

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pulp::{Arch, NullaryFnOnce};

use super::Hit;
use crate::embed::{Embedding, cosine, quantise, rough_dot};

/// Rows of unit vectors in three forms: signs, one bit per number, to exclude most rows; int8 with one scale per row,
/// to order the others; and f32 for the exact answer. The f32 of a published generation stay in its file: they are four
/// fifths of all bytes, and a search reads only a few rows of them.
#[derive(Debug, Clone)]
pub struct VectorSet {
    dimension: usize,
    signs: Vec<u64>,
    filed: Option<Filed>,
    /// The f32 of the rows after those in the file.
    floats: Vec<f32>,
    bytes: Vec<i8>,
    scales: Vec<f32>,
}

/// A file with the first rows as little-endian f32, one after another.
#[derive(Debug, Clone)]
struct Filed {
    file: Arc<File>,
    rows: usize,
    /// Whether damage of the file has been logged.
    told: Arc<AtomicBool>,
}

impl VectorSet {
    /// An empty set for embeddings of this dimension.
    #[must_use]
    pub fn new(dimension: usize) -> Self {
        let (signs, floats, bytes, scales) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { dimension, signs, filed: None, floats, bytes, scales }
    }

    /// Numbers per row.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.scales.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scales.is_empty()
    }

    /// Row numbers, from 0.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = u32> + use<> {
        0..u32::try_from(self.len()).unwrap_or(u32::MAX)
    }

    /// Adds a row and returns its number. `None` if the dimension differs, or there are 2^32 rows.
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

    /// Reads the f32 of all rows so far from `file` from now on, which has exactly these as little-endian bytes.
    pub(super) fn rest_on(&mut self, file: &Arc<File>) {
        self.filed = Some(Filed { file: Arc::clone(file), rows: self.len(), told: Arc::default() });
        self.floats = Vec::new();
    }

    /// Logs once that the file of embeddings is damaged.
    fn damaged(&self, row: u32, what: &io::Error) {
        if self.filed.as_ref().is_none_or(|filed| !filed.told.swap(true, Ordering::Relaxed)) {
            tracing::error!(
                row,
                error = %what,
                "the index's file of embeddings is damaged; approximations replace unreadable ones; restart the service to \
                 rebuild the file"
            );
        }
    }

    /// The row's numbers. If they cannot be read from the file, which is logged, an approximation from int8: within
    /// 0.01 of a cosine.
    #[must_use]
    pub fn floats(&self, row: u32) -> Cow<'_, [f32]> {
        let filed = self.filed.as_ref().map_or(0, |filed| filed.rows);
        if let Some(place) = (row as usize).checked_sub(filed) {
            return Cow::Borrowed(&self.floats[place * self.dimension..][..self.dimension]);
        }
        Cow::Owned(self.read(row).unwrap_or_else(|error| {
            self.damaged(row, &error);
            let (bytes, scale) = self.quantised(row);
            bytes.iter().map(|&byte| f32::from(byte) * scale).collect()
        }))
    }

    fn read(&self, row: u32) -> io::Result<Vec<f32>> {
        let filed = self.filed.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let mut bytes = vec![0; self.dimension * 4];
        filed.file.read_exact_at(&mut bytes, u64::from(row) * (self.dimension * 4) as u64)?;
        let values: Vec<f32> = bytes.as_chunks().0.iter().copied().map(f32::from_le_bytes).collect();
        // The int8 values were rounded from these numbers. If they differ by more, or are not numbers, the file was
        // changed.
        let (bytes, scale) = self.quantised(row);
        let own =
            values.iter().zip(bytes).all(|(value, &byte)| (value - f32::from(byte) * scale).abs() <= 0.51 * scale);
        if own { Ok(values) } else { Err(io::Error::other("the vector is not the one that was opened")) }
    }

    /// The row as int8, and the scale to multiply it by.
    #[must_use]
    pub fn quantised(&self, row: u32) -> (&[i8], f32) {
        let start = row as usize * self.dimension;
        (&self.bytes[start..start + self.dimension], self.scales[row as usize])
    }

    /// Exact cosine of a row with the query.
    #[must_use]
    pub fn hit(&self, row: u32, query: &Embedding) -> Hit {
        Hit { row, similarity: cosine(&self.floats(row), query.as_slice()) }
    }

    /// The number of signs in which each of `rows`, or each of all rows, differs from a query.
    pub(super) fn differing_signs(&self, query: &[u64], rows: Option<&[u32]>) -> Vec<u16> {
        Arch::new().dispatch(Differing { signs: &self.signs, query, rows })
    }

    /// Approximate cosine of a row with a quantised query.
    pub(super) fn rough(&self, row: u32, query: &[i8], query_scale: f32) -> f32 {
        let (bytes, scale) = self.quantised(row);
        rough_dot(bytes, query) * scale * query_scale
    }
}

/// Appends one bit per number: whether it is positive.
///
/// The signs of a random direction differ for two vectors at an angle with probability angle / pi (Charikar,
/// "Similarity Estimation Techniques from Rounding Algorithms", 2002); an embedding's own directions are about as good.
pub(super) fn push_signs(values: &[f32], signs: &mut Vec<u64>) {
    let word =
        |chunk: &[f32]| chunk.iter().enumerate().fold(0, |word, (bit, value)| word | u64::from(*value > 0.0) << bit);
    signs.extend(values.chunks(64).map(word));
}

struct Differing<'a> {
    signs: &'a [u64],
    query: &'a [u64],
    rows: Option<&'a [u32]>,
}

impl NullaryFnOnce for Differing<'_> {
    type Output = Vec<u16>;

    #[inline(always)]
    fn call(self) -> Vec<u16> {
        let words = self.query.len().max(1);
        let mut counts = vec![0; self.rows.map_or(self.signs.len() / words, <[u32]>::len)];
        // Plain loops, because iterators' own loops are compiled separately, for no particular processor. The usual
        // length of a row is a constant, so that its loop is unrolled.
        match (self.query.as_chunks::<8>(), self.rows) {
            (([query], []), Some(rows)) => {
                let signs = self.signs.as_chunks::<8>().0;
                for (count, &row) in counts.iter_mut().zip(rows) {
                    *count = differing(&signs[row as usize], query);
                }
            }
            (([query], []), None) => {
                for (count, row) in counts.iter_mut().zip(self.signs.as_chunks::<8>().0) {
                    *count = differing(row, query);
                }
            }
            (_, Some(rows)) => {
                for (count, &row) in counts.iter_mut().zip(rows) {
                    *count = differing(&self.signs[row as usize * words..][..words], self.query);
                }
            }
            (_, None) => {
                for (count, row) in counts.iter_mut().zip(self.signs.chunks_exact(words)) {
                    *count = differing(row, self.query);
                }
            }
        }
        counts
    }
}

#[inline(always)]
fn differing(a: &[u64], b: &[u64]) -> u16 {
    let mut count = 0;
    for (a, b) in a.iter().zip(b) {
        count += (a ^ b).count_ones();
    }
    #[expect(clippy::cast_possible_truncation, reason = "a count of bits of one vector")]
    let count = count as u16;
    count
}
