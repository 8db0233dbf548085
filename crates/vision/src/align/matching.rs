#![expect(
    clippy::inline_always,
    reason = "what is not inlined into `Arch::dispatch` is compiled for no processor in particular"
)]

use pulp::{Arch, NullaryFnOnce};
use simsimd::SpatialSimilarity;

use super::features::{Keypoint, LocalFeatures, QueryFeatures};
use super::keypoints::{BINS, CELLS, DESCRIPTOR};

/// Lowe's ratio: the distance to the best counterpart must be below this share of the distance to the second.
const RATIO: f64 = 0.85;
/// An entry above this, about the median, is a set bit in a descriptor's sketch.
const HIGH: i8 = 24;
/// Counterparts whose sketches differ in more bits than the nearest one's by more than this are not compared further.
const SLACK: u8 = 8;

/// Descriptors one after another, each with a sketch of one bit per entry, by which most are excluded.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Descriptors {
    bytes: Vec<i8>,
    sketches: Vec<[u64; 2]>,
}

impl Descriptors {
    pub(super) fn new(bytes: Vec<i8>) -> Self {
        let word = |half: &[i8]| half.iter().fold(0, |word, &entry| word << 1 | u64::from(entry > HIGH));
        let halves = bytes.chunks_exact(DESCRIPTOR).map(|descriptor| descriptor.split_at(DESCRIPTOR / 2));
        let sketches = halves.map(|(first, second)| [word(first), word(second)]).collect();
        Self { bytes, sketches }
    }

    pub(super) fn as_bytes(&self) -> &[i8] {
        &self.bytes
    }

    /// The descriptors of the mirror image, without computing them again: rows across the keypoint's direction swap
    /// places, and directions change sign.
    pub(super) fn mirrored(&self) -> Self {
        let row = CELLS * BINS;
        let from = |place: usize| {
            let (down, across, bin) = (place / row, place % row / BINS, place % BINS);
            ((CELLS - 1 - down) * CELLS + across) * BINS + (BINS - bin) % BINS
        };
        let order: [usize; DESCRIPTOR] = std::array::from_fn(from);
        Self::new(self.all().flat_map(|descriptor| order.map(|place| descriptor[place])).collect())
    }

    /// The descriptors of the negative: all directions are opposite, and the patch is turned with them.
    pub(super) fn inverted(&self) -> Self {
        let from = |place: usize| (CELLS * CELLS - 1 - place / BINS) * BINS + place % BINS;
        let order: [usize; DESCRIPTOR] = std::array::from_fn(from);
        Self::new(self.all().flat_map(|descriptor| order.map(|place| descriptor[place])).collect())
    }

    fn one(&self, place: usize) -> &[i8] {
        &self.bytes[place * DESCRIPTOR..][..DESCRIPTOR]
    }

    fn all(&self) -> impl Iterator<Item = &[i8]> {
        self.bytes.chunks_exact(DESCRIPTOR)
    }
}

/// Number of bits by which each sketch differs from a given one, and the least number of each block of sketches.
#[derive(Default)]
struct Differences {
    bits: Vec<u8>,
    fewest: Vec<u8>,
}

/// Sketches in a block.
const BLOCK: usize = 32;

impl Differences {
    /// Indices of the sketches that differ in at most [`SLACK`] bits more than the nearest. They are few, so whole
    /// blocks are skipped.
    fn nearest(&self) -> impl Iterator<Item = usize> {
        let most = self.fewest.iter().min().map_or(0, |fewest| fewest + SLACK);
        let blocks = self.bits.chunks(BLOCK).zip(&self.fewest).enumerate();
        let near = blocks.filter(move |(_, (_, fewest))| **fewest <= most);
        near.flat_map(move |(place, (block, _))| {
            let within = block.iter().enumerate().filter(move |(_, bits)| **bits <= most);
            within.map(move |(offset, _)| place * BLOCK + offset)
        })
    }
}

/// Computes the differences from one sketch.
struct Differ<'a> {
    from: [u64; 2],
    sketches: &'a [[u64; 2]],
    into: &'a mut Differences,
}

impl NullaryFnOnce for Differ<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let ([a, b], Differences { bits, fewest }) = (self.from, self.into);
        bits.resize(self.sketches.len(), 0);
        fewest.resize(self.sketches.len().div_ceil(BLOCK), 0);
        let blocks = self.sketches.chunks(BLOCK).zip(bits.chunks_mut(BLOCK));
        for ((sketches, bits), fewest) in blocks.zip(fewest) {
            // Two loops, because each is vectorised by itself.
            *fewest = u8::MAX;
            for (bits, [c, d]) in bits.iter_mut().zip(sketches) {
                // At most 128.
                *bits = ((a ^ c).count_ones() + (b ^ d).count_ones()) as u8;
            }
            for bits in bits.iter() {
                *fewest = (*fewest).min(*bits);
            }
        }
    }
}

/// A keypoint of the reference and its counterpart in the query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pair {
    pub(super) reference: Keypoint,
    pub(super) query: Keypoint,
}

/// Pairs each keypoint of the query with its clear best in the reference, or in the reference's mirror image. One
/// keypoint of the reference may be the best of several.
pub(super) fn pairs(query: &QueryFeatures, reference: &LocalFeatures, flipped: bool) -> Vec<Pair> {
    if reference.points.len() < 2 {
        return Vec::new();
    }
    let points = &query.features.points;
    // Distances between A and B mirrored equal those between A mirrored and B.
    let descriptors = if flipped { &query.mirrored } else { &query.features.descriptors };
    let mut pairs = Vec::new();
    let mut differences = Differences::default();
    for ((descriptor, &from), &query) in descriptors.all().zip(&descriptors.sketches).zip(points) {
        let sketches = &reference.descriptors.sketches;
        Arch::new().dispatch(Differ { from, sketches, into: &mut differences });
        let (mut best, mut second, mut place) = (f64::INFINITY, f64::INFINITY, 0);
        for candidate in differences.nearest() {
            let distance = i8::sqeuclidean(descriptor, reference.descriptors.one(candidate)).unwrap_or(f64::INFINITY);
            if distance < best {
                (second, best, place) = (best, distance, candidate);
            } else if distance < second {
                second = distance;
            }
        }
        if best < RATIO * RATIO * second {
            let point = reference.points[place];
            let reference = if flipped { mirrored(point, reference.frame.0 as f32) } else { point };
            pairs.push(Pair { reference, query });
        }
    }
    pairs
}

/// The position of a keypoint in the mirror image of its frame.
fn mirrored(point: Keypoint, width: f32) -> Keypoint {
    Keypoint { x: width - 1.0 - point.x, angle: std::f32::consts::PI - point.angle, ..point }
}

/// Counterparts for each keypoint of the reference, nearest first.
const COUNTERPARTS: usize = 3;

/// Pairs each keypoint of the reference with its nearest ones in the query, however near others are; with `inverted`,
/// in the query's negative.
pub(super) fn loose_pairs(
    query: &QueryFeatures,
    reference: &LocalFeatures,
    flipped: bool,
    inverted: bool,
) -> Vec<Pair> {
    let descriptors = if flipped { &query.mirrored } else { &query.features.descriptors };
    // Distances between A and B's negative equal those between A's negative and B.
    let negative = inverted.then(|| reference.descriptors.inverted());
    let known = negative.as_ref().unwrap_or(&reference.descriptors);
    let turn = if inverted { std::f32::consts::PI } else { 0.0 };
    let nearest = known.all().zip(&reference.points).flat_map(|(known, &point)| {
        let point = if flipped { mirrored(point, reference.frame.0 as f32) } else { point };
        let distance = |seen: &[i8]| i8::sqeuclidean(known, seen).unwrap_or(f64::INFINITY);
        let mut nearest = [(f64::INFINITY, None); COUNTERPARTS];
        for (seen, &query) in descriptors.all().zip(&query.features.points) {
            let distance = distance(seen);
            if distance < nearest[COUNTERPARTS - 1].0 {
                nearest[COUNTERPARTS - 1] = (distance, Some(query));
                nearest.sort_by(|a, b| a.0.total_cmp(&b.0));
            }
        }
        nearest.into_iter().filter_map(move |(_, query)| {
            let query = query?;
            Some(Pair { reference: point, query: Keypoint { angle: query.angle + turn, ..query } })
        })
    });
    nearest.collect()
}
