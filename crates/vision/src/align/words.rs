//! Visual words: a keypoint as a number for an inverted file, with a few bits that distinguish keypoints of one word.
//!
//! The rows of a descriptor above and below the keypoint are two halves. The lower one is mirrored, so that both are
//! compared with the same centres, and the mirror image of a descriptor has the same two words in the other order.
//! Ordered words make a descriptor and its mirror image one entry, with a bit that distinguishes them, so a mirrored
//! query costs nothing. Products of two small codebooks: Babenko and Lempitsky, "The Inverted Multi-Index", CVPR 2012.
//! Signatures: Jegou, Douze and Schmid, "Hamming Embedding and Weak Geometric Consistency", ECCV 2008.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nalgebra::{DMatrix, SymmetricEigen};
use ndarray::{Array2, ArrayView1, ArrayView2, Axis, Slice};
use rand::rngs::StdRng;
use rand::seq::index::sample;
use rand::{Rng, SeedableRng};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::features::{Keypoint, LocalFeatures, StrongestKeypoints, VERSION};
use super::keypoints::DESCRIPTOR;
use super::matching::Descriptors;
use crate::photo::Sha256;

/// Entries of half a descriptor.
const HALF: usize = DESCRIPTOR / 2;
/// Bits of a signature.
pub const SIGNATURE_BITS: u32 = 27;
/// Number of distinct directions of a keypoint.
pub const ANGLES: u32 = 64;
/// Number of scales, half an octave each.
pub const SCALES: u32 = 16;
/// Most indexed keypoints of a reference, those with most contrast.
const INDEXED: usize = 100;
/// Most keypoints of a photo that are looked up.
const LOOKED_UP: usize = 250;
/// Words under which each keypoint of a photo is looked up.
const PROBES: usize = 4;
/// Nearest centres of a half that are combined to these words.
const NEAR: usize = 4;

const FORMAT: u32 = 1;
const SCALE_SHIFT: u32 = SIGNATURE_BITS;
const ANGLE_SHIFT: u32 = SCALE_SHIFT + 4;
const MIRROR_SHIFT: u32 = ANGLE_SHIFT + 6;
const WORD_SHIFT: u32 = MIRROR_SHIFT + 1;

/// An indexed keypoint: its word, signature, direction, scale, and whether the descriptor was mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VisualWord(u64);

impl VisualWord {
    /// Bits below the word: signature, scale, direction, mirrored.
    pub const PAYLOAD_BITS: u32 = WORD_SHIFT;

    fn new(word: u32, signature: u32, mirrored: bool, point: Keypoint) -> Self {
        let turns = point.angle / std::f32::consts::TAU;
        let angle = (turns * ANGLES as f32).round() as i64;
        let angle = angle.rem_euclid(i64::from(ANGLES)).cast_unsigned();
        let scale = (2.0 * (point.scale / 1.6).log2()).round().clamp(0.0, (SCALES - 1) as f32) as u64;
        Self(
            u64::from(word) << WORD_SHIFT
                | u64::from(mirrored) << MIRROR_SHIFT
                | angle << ANGLE_SHIFT
                | scale << SCALE_SHIFT
                | u64::from(signature),
        )
    }

    /// From stored bits; `None` for a word that is not below `words`.
    #[must_use]
    pub fn from_bits(bits: u64, words: usize) -> Option<Self> {
        (bits >> WORD_SHIFT < words as u64).then_some(Self(bits))
    }

    /// The bits for [`VisualWord::from_bits`].
    #[must_use]
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// Index of the word, below [`Vocabulary::len`].
    #[must_use]
    pub fn word(self) -> usize {
        (self.0 >> WORD_SHIFT) as usize
    }

    /// Everything but the word.
    #[must_use]
    pub fn payload(self) -> Payload {
        Payload(self.0 & ((1 << WORD_SHIFT) - 1))
    }
}

/// A visual word without the index of the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload(pub u64);

impl Payload {
    /// Bits in which the signatures differ.
    #[inline]
    #[must_use]
    pub fn differing(self, other: Self) -> u32 {
        ((self.0 ^ other.0) & ((1 << SIGNATURE_BITS) - 1)).count_ones()
    }

    /// Whether the descriptor was mirrored.
    #[inline]
    #[must_use]
    pub fn is_mirrored(self) -> bool {
        self.0 >> MIRROR_SHIFT & 1 == 1
    }

    /// Direction, 0 to 63 for a turn.
    #[inline]
    #[must_use]
    pub fn angle(self) -> u32 {
        (self.0 >> ANGLE_SHIFT) as u32 & (ANGLES - 1)
    }

    /// Scale in half octaves, 0 to 15.
    #[inline]
    #[must_use]
    pub fn scale(self) -> u32 {
        (self.0 >> SCALE_SHIFT) as u32 & (SCALES - 1)
    }
}

/// The codebook that turns descriptors into words. Fitted to photos; see [`Vocabulary::fit`].
#[derive(Debug, Clone)]
pub struct Vocabulary {
    id: String,
    fitted_on: String,
    /// Centres of halves, one per row.
    centres: Array2<f32>,
    /// Squared lengths of the centres.
    lengths: Vec<f32>,
    /// Axes for the first and for the second half, one per column.
    axes: [Array2<f32>; 2],
    /// The centres projected on these axes.
    projected: [Array2<f32>; 2],
}

/// The vocabulary's file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Artefact {
    format: u32,
    /// Version of the keypoints that it was fitted to.
    alignment: u8,
    fitted_on: String,
    /// Signed bytes, base64.
    centres: String,
    axes: String,
}

/// Why a vocabulary cannot be used.
#[derive(Debug, Error)]
pub enum VocabularyError {
    /// The file cannot be read.
    #[error("the vocabulary {path} cannot be read: {source}; it is part of the repository and of releases")]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A value is out of range, or the file is for another version.
    #[error("the vocabulary {path} is invalid: {reason}")]
    Invalid {
        /// Path of the file.
        path: PathBuf,
        /// What the file has, and what was expected.
        reason: String,
    },
}

impl Vocabulary {
    /// Path of the vocabulary in the folder of models.
    #[must_use]
    pub fn path(models: &Path) -> PathBuf {
        models.join("keypoints").join("vocabulary.json")
    }

    /// Reads the vocabulary from the folder of models.
    ///
    /// # Errors
    /// When the file is missing, unreadable or invalid.
    pub fn load(models: &Path) -> Result<Self, VocabularyError> {
        let path = Self::path(models);
        let bytes =
            std::fs::read(&path).map_err(|source| VocabularyError::Unreadable { path: path.clone(), source })?;
        Self::parse(&bytes).map_err(|reason| VocabularyError::Invalid { path, reason })
    }

    /// Parses the text of [`Vocabulary::to_json`].
    ///
    /// # Errors
    /// When a field is missing or out of range; the text says what was found and expected.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let artefact: Artefact = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if artefact.format != FORMAT {
            return Err(format!("format is {}, expected {FORMAT}", artefact.format));
        }
        if artefact.alignment != VERSION {
            return Err(format!("it was fitted to keypoints of version {}, expected {VERSION}", artefact.alignment));
        }
        let numbers = |name: &str, text: &str, row: usize| {
            let bytes = STANDARD.decode(text).map_err(|error| format!("{name}: {error}"))?;
            let rows = bytes.len() / row;
            let values = bytes.iter().map(|&byte| f32::from(byte.cast_signed())).collect();
            Array2::from_shape_vec((rows, row), values)
                .map_err(|_| format!("{name} has {} bytes, expected a multiple of {row}", bytes.len()))
        };
        let centres = numbers("centres", &artefact.centres, HALF)?;
        let axes = numbers("axes", &artefact.axes, DESCRIPTOR)?;
        if !(2..=512).contains(&centres.nrows()) {
            return Err(format!("there are {} centres, expected 2 to 512", centres.nrows()));
        }
        if axes.nrows() != SIGNATURE_BITS as usize {
            return Err(format!("there are {} axes, expected {SIGNATURE_BITS}", axes.nrows()));
        }
        let id = Sha256::of(bytes).to_string()[..12].to_owned();
        Ok(Self::of(id, artefact.fitted_on, centres, &axes))
    }

    fn of(id: String, fitted_on: String, centres: Array2<f32>, axes: &Array2<f32>) -> Self {
        let lengths = centres.rows().into_iter().map(|row| row.dot(&row)).collect();
        let half = |from: usize| axes.slice_axis(Axis(1), Slice::from(from..from + HALF)).t().to_owned();
        let axes = [half(0), half(HALF)];
        let projected = [centres.dot(&axes[0]), centres.dot(&axes[1])];
        Self { id, fitted_on, centres, lengths, axes, projected }
    }

    /// Identity of the vocabulary: words of different vocabularies are not comparable.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The data of the fit, as text for people.
    #[must_use]
    pub fn fitted_on(&self) -> &str {
        &self.fitted_on
    }

    /// Number of words.
    #[must_use]
    pub fn len(&self) -> usize {
        let centres = self.centres.nrows();
        centres * (centres + 1) / 2
    }

    /// Always false: a vocabulary has at least two centres.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A reference's visual words, at most 100.
    #[must_use]
    pub fn words(&self, reference: &LocalFeatures) -> Vec<VisualWord> {
        let count = reference.points.len().min(INDEXED);
        let seen = self.see(&reference.descriptors, count, 1);
        let word = |(place, point): (usize, &Keypoint)| self.word(&seen, place, (0, 0), *point).0;
        reference.points[..count].iter().enumerate().map(word).collect()
    }

    /// A photo's visual words: for each keypoint, the words under which references are looked up.
    #[must_use]
    pub fn probes(&self, photo: &mut StrongestKeypoints) -> Vec<Vec<VisualWord>> {
        let (points, descriptors) = photo.first(LOOKED_UP);
        self.probes_at(points, &descriptors)
    }

    /// As [`Vocabulary::probes`], for a reference that is looked up among photos.
    #[must_use]
    pub fn probes_of(&self, reference: &LocalFeatures) -> Vec<Vec<VisualWord>> {
        let count = reference.points.len().min(LOOKED_UP);
        self.probes_at(&reference.points[..count], &reference.descriptors)
    }

    fn probes_at(&self, points: &[Keypoint], descriptors: &Descriptors) -> Vec<Vec<VisualWord>> {
        let seen = self.see(descriptors, points.len(), NEAR);
        let probes = |(place, point): (usize, &Keypoint)| {
            let mut pairs: Vec<(f32, usize, usize)> = Vec::with_capacity(NEAR * NEAR);
            for (i, first) in seen.near(2 * place).iter().enumerate() {
                for (j, second) in seen.near(2 * place + 1).iter().enumerate() {
                    pairs.push((first.1 + second.1, i, j));
                }
            }
            pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
            let mut probes = Vec::with_capacity(PROBES + 1);
            for &(_, i, j) in pairs.iter().take(PROBES) {
                let (word, twin) = self.word(&seen, place, (i, j), *point);
                probes.push(word);
                probes.extend(twin);
            }
            probes
        };
        points.iter().enumerate().map(probes).collect()
    }

    fn see(&self, descriptors: &Descriptors, count: usize, near: usize) -> Seen {
        let halves = halves(descriptors, count);
        let products = halves.dot(&self.centres.t());
        let nearest = products.rows().into_iter().flat_map(|row| {
            let mut best = vec![(0_u16, f32::INFINITY); near];
            for (centre, (product, length)) in row.iter().zip(&self.lengths).enumerate() {
                let distance = length - 2.0 * product;
                if distance < best[near - 1].1 {
                    let place = best.partition_point(|other| other.1 <= distance);
                    best[place..].rotate_right(1);
                    best[place] = (centre as u16, distance);
                }
            }
            best
        });
        let nearest = nearest.collect();
        Seen { near, nearest, projected: [halves.dot(&self.axes[0]), halves.dot(&self.axes[1])] }
    }

    /// The word of a keypoint under the `i`-th and `j`-th nearest centres of its halves. If both centres are the same,
    /// the mirror image has the same word, which is the second result.
    fn word(
        &self,
        seen: &Seen,
        place: usize,
        (i, j): (usize, usize),
        point: Keypoint,
    ) -> (VisualWord, Option<VisualWord>) {
        let (first, second) = (2 * place, 2 * place + 1);
        let (a, b) = (usize::from(seen.near(first)[i].0), usize::from(seen.near(second)[j].0));
        let make = |mirrored: bool| {
            let ((low, low_half), (high, high_half)) =
                if mirrored { ((b, second), (a, first)) } else { ((a, first), (b, second)) };
            let bit = |axis: usize| {
                let value = seen.projected[0][(low_half, axis)] - self.projected[0][(low, axis)]
                    + seen.projected[1][(high_half, axis)]
                    - self.projected[1][(high, axis)];
                u32::from(value > 0.0) << axis
            };
            let signature = (0..SIGNATURE_BITS as usize).map(bit).sum();
            VisualWord::new((high * (high + 1) / 2 + low) as u32, signature, mirrored, point)
        };
        (make(a > b), (a == b).then(|| make(true)))
    }

    /// Serialises words, eight bytes each.
    #[must_use]
    pub fn to_bytes(words: &[VisualWord]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_bits().to_le_bytes()).collect()
    }

    /// Reads bytes of [`Vocabulary::to_bytes`]; `None` for anything else.
    #[must_use]
    pub fn from_bytes(&self, bytes: &[u8]) -> Option<Vec<VisualWord>> {
        let (eights, rest) = bytes.as_chunks::<8>();
        let known = self.len();
        let words = eights.iter().map(|bits| VisualWord::from_bits(u64::from_le_bytes(*bits), known));
        if rest.is_empty() { words.collect() } else { None }
    }

    /// The vocabulary's file as text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let text = |values: ArrayView2<'_, f32>| {
            let bytes: Vec<u8> = values.iter().map(|&value| (value as i8).cast_unsigned()).collect();
            STANDARD.encode(bytes)
        };
        let axes = ndarray::concatenate![Axis(1), self.axes[0].t(), self.axes[1].t()];
        let artefact = Artefact {
            format: FORMAT,
            alignment: VERSION,
            fitted_on: self.fitted_on.clone(),
            centres: text(self.centres.view()),
            axes: text(axes.view()),
        };
        // Strings and two numbers: serialising them cannot fail.
        serde_json::to_string_pretty(&artefact).unwrap_or_default() + "\n"
    }

    /// Fits a vocabulary to photos: centres by k-means (Lloyd), axes by the principal components of the residuals,
    /// turned at random so that each bit carries as much information. The same photos in the same order give the same
    /// vocabulary.
    #[must_use]
    pub fn fit(pictures: &[LocalFeatures], centres: usize, fitted_on: &str) -> Self {
        let mut random = StdRng::seed_from_u64(1);
        let all: Vec<Array2<f32>> =
            pictures.iter().map(|one| halves(&one.descriptors, one.points.len().min(LOOKED_UP))).collect();
        let views: Vec<ArrayView2<'_, f32>> = all.iter().map(|one| one.view()).collect();
        let halves = ndarray::concatenate(Axis(0), &views).unwrap_or_else(|_| Array2::zeros((0, HALF)));
        let centres = k_means(&halves, centres, &mut random).mapv(f32::round);
        let mut fitted = Self::of(
            String::new(),
            fitted_on.to_owned(),
            centres,
            &Array2::zeros((SIGNATURE_BITS as usize, DESCRIPTOR)),
        );
        let axes = fitted.axes_for(&halves, &mut random);
        fitted = Self::of(String::new(), fitted_on.to_owned(), fitted.centres, &axes);
        let text = fitted.to_json();
        Self { id: Sha256::of(text.as_bytes()).to_string()[..12].to_owned(), ..fitted }
    }

    fn axes_for(&self, halves: &Array2<f32>, random: &mut StdRng) -> Array2<f32> {
        let keypoints = halves.nrows() / 2;
        let chosen = sample(random, keypoints, keypoints.min(200_000)).into_vec();
        let nearest = assign(halves, &self.centres, &self.lengths);
        let mut covariance = DMatrix::<f64>::zeros(DESCRIPTOR, DESCRIPTOR);
        for part in chosen.chunks(4096) {
            let mut left = DMatrix::<f64>::zeros(DESCRIPTOR, part.len());
            for (column, &keypoint) in part.iter().enumerate() {
                let (mut low, mut high) = (2 * keypoint, 2 * keypoint + 1);
                if nearest[low] > nearest[high] {
                    (low, high) = (high, low);
                }
                for (from, half) in [(0, low), (HALF, high)] {
                    let rest = &halves.row(half) - &self.centres.row(nearest[half] as usize);
                    rest.iter().enumerate().for_each(|(entry, &value)| left[(from + entry, column)] = f64::from(value));
                }
            }
            covariance += &left * left.transpose();
        }
        let eigen = SymmetricEigen::new(covariance);
        let mut order: Vec<usize> = (0..DESCRIPTOR).collect();
        order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
        let bits = SIGNATURE_BITS as usize;
        let principal = DMatrix::from_fn(DESCRIPTOR, bits, |row, column| eigen.eigenvectors[(row, order[column])]);
        let turn = DMatrix::from_fn(bits, bits, |_, _| gaussian(random)).qr().q();
        let turned = principal * turn;
        let most = turned.iter().fold(f64::MIN_POSITIVE, |most, value| value.abs().max(most));
        Array2::from_shape_fn((bits, DESCRIPTOR), |(axis, entry)| (turned[(entry, axis)] * 127.0 / most).round() as f32)
    }
}

/// Halves of keypoints compared with a vocabulary, two for each: as it is, and the other one mirrored.
struct Seen {
    near: usize,
    nearest: Vec<(u16, f32)>,
    projected: [Array2<f32>; 2],
}

impl Seen {
    fn near(&self, half: usize) -> &[(u16, f32)] {
        &self.nearest[half * self.near..][..self.near]
    }
}

fn halves(descriptors: &Descriptors, count: usize) -> Array2<f32> {
    let mirrored = descriptors.mirrored();
    let both = descriptors.as_bytes().chunks_exact(DESCRIPTOR).zip(mirrored.as_bytes().chunks_exact(DESCRIPTOR));
    let values: Vec<f32> = both
        .take(count)
        .flat_map(|(straight, mirrored)| straight[..HALF].iter().chain(&mirrored[..HALF]))
        .map(|&value| f32::from(value))
        .collect();
    let rows = values.len() / HALF;
    Array2::from_shape_vec((rows, HALF), values).unwrap_or_else(|_| Array2::zeros((0, HALF)))
}

/// A random number of the normal distribution (Box and Muller).
fn gaussian(random: &mut StdRng) -> f64 {
    let (a, b): (f64, f64) = (random.random_range(f64::MIN_POSITIVE..1.0), random.random());
    (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}

/// Most halves for k-means; the next constant is its iterations.
const MOST_HALVES: usize = 400_000;
const ROUNDS: usize = 25;

fn k_means(halves: &Array2<f32>, count: usize, random: &mut StdRng) -> Array2<f32> {
    let rows = sample(random, halves.nrows(), halves.nrows().min(MOST_HALVES)).into_vec();
    let halves = halves.select(Axis(0), &rows);
    let first = sample(random, halves.nrows(), count.min(halves.nrows())).into_vec();
    let mut centres = halves.select(Axis(0), &first);
    for _ in 0..ROUNDS {
        let lengths: Vec<f32> = centres.rows().into_iter().map(|row| row.dot(&row)).collect();
        let nearest = assign(&halves, &centres, &lengths);
        let mut sums = Array2::<f32>::zeros(centres.dim());
        let mut counts = vec![0_u32; centres.nrows()];
        for (half, &centre) in halves.rows().into_iter().zip(&nearest) {
            let mut sum = sums.row_mut(centre as usize);
            sum += &half;
            counts[centre as usize] += 1;
        }
        for (place, &count) in counts.iter().enumerate() {
            if count > 0 {
                centres.row_mut(place).assign(&(&sums.row(place) / count as f32));
            } else {
                centres.row_mut(place).assign(&halves.row(random.random_range(0..halves.nrows())));
            }
        }
    }
    centres
}

/// The nearest centre of each row.
fn assign(halves: &Array2<f32>, centres: &Array2<f32>, lengths: &[f32]) -> Vec<u32> {
    let rows: Vec<usize> = (0..halves.nrows()).step_by(4096).collect();
    let part = |&from: &usize| {
        let to = (from + 4096).min(halves.nrows());
        let products = halves.slice_axis(Axis(0), Slice::from(from..to)).dot(&centres.t());
        let nearest = |row: ArrayView1<'_, f32>| {
            let best = row.iter().zip(lengths).map(|(product, length)| length - 2.0 * product).enumerate();
            best.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(place, _)| place as u32)
        };
        products.rows().into_iter().map(nearest).collect::<Vec<_>>()
    };
    rows.par_iter().flat_map_iter(part).collect()
}
