//! Decides whether two whole photos are the same except for compression, size and a slight change of tone.

use super::compare::{self, Colour, STEPS};
use super::features::{LocalFeatures, QueryFeatures};
use super::geometry::Homography;

/// Greatest factor between the aspect ratios, because sizes are rounded to whole pixels.
const SAME_SHAPE: f64 = 1.02;
/// Limits of an edit's gain and offset, per channel.
const GAIN: (f64, f64) = (0.75, 1.33);
const OFFSET: f64 = 30.0;
/// Samples per side of the squares over which differences are averaged.
const SQUARE: usize = 4;
/// Greatest mean difference, of 255, that compression and scaling leave: in one square, and over all squares.
const SQUARE_DIFFERS: f64 = 14.0;
const DIFFERS: f64 = 5.0;
/// Least number of squares with visible detail: two blank photos prove nothing.
const SQUARES_TO_SEE: usize = 6;
/// A square has visible detail if its grey values have at least this standard deviation.
const TO_SEE: f64 = 4.0;

/// Whether the query is the whole reference: compressed or scaled again, or slightly lighter or warmer. Every part is
/// compared, so two drawings that differ in one part are not the same.
#[must_use]
pub fn is_same_picture(query: &QueryFeatures, reference: &LocalFeatures) -> bool {
    let ((width, height), (wide, high)) = (reference.frame, query.features.frame);
    let shapes = f64::from(width) * f64::from(high) / (f64::from(height) * f64::from(wide));
    if !reference.is_coloured() || !(1.0 / SAME_SHAPE..=SAME_SHAPE).contains(&shapes) {
        return false;
    }
    let map = Homography::new_nonuniform_scaling(&nalgebra::Vector2::new(
        f64::from(wide) / f64::from(width),
        f64::from(high) / f64::from(height),
    ));
    let face = compare::Face { frame: reference.frame, thumbnail: &reference.thumbnail, coloured: true };
    let (_, samples) = compare::compare(query, face, &map);
    let pairs: Vec<(Colour, Colour)> = samples.0.into_iter().flatten().collect();
    pairs.len() == STEPS * STEPS && agrees(&pairs)
}

fn agrees(pairs: &[(Colour, Colour)]) -> bool {
    let tones: [(f64, f64); 3] = std::array::from_fn(|channel| tone(pairs, channel));
    let difference = |(known, seen): &(Colour, Colour)| {
        (0..3).fold(0.0, |most, channel| {
            let (gain, offset) = tones[channel];
            let expected = (gain * f64::from(known[channel]) + offset).clamp(0.0, 255.0);
            f64::max(most, (f64::from(seen[channel]) - expected).abs())
        })
    };
    let squares = STEPS / SQUARE;
    let (mut total, mut to_see) = (0.0, 0);
    for square in 0..squares * squares {
        let (top, left) = (square / squares * SQUARE, square % squares * SQUARE);
        let places = (0..SQUARE * SQUARE).map(|at| (top + at / SQUARE) * STEPS + left + at % SQUARE);
        let inside: Vec<&(Colour, Colour)> = places.map(|place| &pairs[place]).collect();
        let count = inside.len() as f64;
        let mean = inside.iter().map(|pair| difference(pair)).sum::<f64>() / count;
        if mean > SQUARE_DIFFERS {
            return false;
        }
        total += mean;
        let greys: Vec<f64> = inside.iter().map(|(known, _)| compare::grey(*known)).collect();
        let middle = greys.iter().sum::<f64>() / count;
        let spread = (greys.iter().map(|grey| (grey - middle).powi(2)).sum::<f64>() / count).sqrt();
        to_see += usize::from(spread >= TO_SEE);
    }
    to_see >= SQUARES_TO_SEE && total / ((squares * squares) as f64) <= DIFFERS
}

/// Gain and offset of one channel by least squares, within limits.
fn tone(pairs: &[(Colour, Colour)], channel: usize) -> (f64, f64) {
    let count = pairs.len() as f64;
    let values = || pairs.iter().map(|(known, seen)| (f64::from(known[channel]), f64::from(seen[channel])));
    let (r, q) = values().fold((0.0, 0.0), |sum, (r, q)| (sum.0 + r, sum.1 + q));
    let (r, q) = (r / count, q / count);
    let (covariance, variance) =
        values().fold((0.0, 0.0), |sum, (x, y)| (sum.0 + (x - r) * (y - q), sum.1 + (x - r).powi(2)));
    let gain = (covariance / f64::max(variance, 1.0)).clamp(GAIN.0, GAIN.1);
    (gain, (q - gain * r).clamp(-OFFSET, OFFSET))
}
