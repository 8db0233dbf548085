use simsimd::SpatialSimilarity;

use super::features::{DESCRIPTOR, LocalFeatures, Point};

/// Lowe's ratio: the best counterpart must be this much nearer than the second.
const RATIO: f64 = 0.85;

/// A point of the reference and its counterpart in the query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pair {
    pub(super) reference: Point,
    pub(super) query: Point,
}

/// Pairs each point of the query with its clear best in the reference; one of the reference may be the best of several.
pub(super) fn pairs(query: &LocalFeatures, reference: &LocalFeatures) -> Vec<Pair> {
    if reference.points.len() < 2 {
        return Vec::new();
    }
    let mut pairs = Vec::new();
    for (query_place, descriptor) in query.descriptors.chunks_exact(DESCRIPTOR).enumerate() {
        let (mut best, mut second, mut place) = (f64::INFINITY, f64::INFINITY, 0);
        for (candidate, other) in reference.descriptors.chunks_exact(DESCRIPTOR).enumerate() {
            let distance = i8::sqeuclidean(descriptor, other).unwrap_or(f64::INFINITY);
            if distance < best {
                (second, best, place) = (best, distance, candidate);
            } else if distance < second {
                second = distance;
            }
        }
        if best < RATIO * RATIO * second {
            pairs.push(Pair { reference: reference.points[place], query: query.points[query_place] });
        }
    }
    pairs
}

/// The features as they would be found in the mirror image, without looking again: x and angle are
/// mirrored; in a descriptor the rows across the point's direction change places and the directions
/// their sign.
pub(super) fn mirrored(features: &LocalFeatures) -> LocalFeatures {
    let width = features.frame.0 as f32;
    let points =
        features.points.iter().map(|p| Point { x: width - 1.0 - p.x, angle: std::f32::consts::PI - p.angle, ..*p });
    let mut descriptors = Vec::with_capacity(features.descriptors.len());
    for descriptor in features.descriptors.chunks_exact(DESCRIPTOR) {
        for row in 0..4 {
            for column in 0..4 {
                for bin in 0..8 {
                    descriptors.push(descriptor[((3 - row) * 4 + column) * 8 + (8 - bin) % 8]);
                }
            }
        }
    }
    LocalFeatures {
        frame: features.frame,
        points: points.collect(),
        descriptors,
        thumbnail: image::imageops::flip_horizontal(&features.thumbnail),
    }
}
