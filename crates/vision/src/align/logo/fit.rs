//! Moves a drawing over a photo to the best agreement, and measures that agreement.

use nalgebra::{Matrix3, Matrix6, Vector3, Vector6};

use super::Place;
use super::drawing::Grid;
use crate::align::compare::bilinear;
use crate::align::features::QueryFeatures;

/// Least share of the grid that must be inside the photo.
const INSIDE: f64 = 0.75;
/// Variance of a channel that is noise and must not count as a drawing.
const NOISE: f64 = 4.0;
/// Greatest change of the place in one step, in units of the drawing's box.
const STRIDE: f64 = 0.15;

/// Parts of a drawing along its longer side; if both sides are about as long, half as many on each.
const PARTS: usize = 6;
/// A part with less than this share of the fullest part's content is ignored.
const FAINT: f64 = 0.2;
/// Variance, of coverage from 0 to 1, that is noise.
const PART_NOISE: f64 = 0.005;

/// What the photo shows on a grid: the apparent coverage at each point, from the channels that predict it best.
pub(super) struct Reading {
    values: Vec<Option<f64>>,
    /// Multiple correlation of the drawing's coverage with the photo's colours, 0 to 1.
    pub(super) agreement: f64,
    /// The photo's colour where the drawing covers fully.
    pub(super) ink: [f64; 3],
    /// Share of the grid inside the photo.
    pub(super) inside: f64,
}

/// Reads the photo at the grid's place; `None` if too much of the grid is outside.
pub(super) fn read(query: &QueryFeatures, grid: &Grid, place: &Place) -> Option<Reading> {
    let colours = colours(query, grid, place);
    let inside = colours.iter().flatten().count();
    let count = inside as f64;
    let share = count / grid.points.len() as f64;
    if share < INSIDE {
        return None;
    }
    let pairs = || grid.drawn.iter().zip(&colours).filter_map(|(drawn, colour)| Some((*drawn, (*colour)?)));
    let (drawn, colour) = pairs().fold((0.0, Vector3::zeros()), |sum, (drawn, colour)| (sum.0 + drawn, sum.1 + colour));
    let (mean, middle) = (drawn / count, colour / count);
    let (mut variance, mut cross, mut spread) = (0.0, Vector3::zeros(), Matrix3::identity() * (NOISE * count));
    for (drawn, colour) in pairs() {
        let (drawn, colour) = (drawn - mean, colour - middle);
        variance += drawn * drawn;
        cross += colour * drawn;
        spread += colour * colour.transpose();
    }
    if variance <= 0.0 {
        return None;
    }
    // Least squares over the channels, so that dark on light and light on dark count alike.
    let weights = spread.cholesky()?.solve(&cross);
    let agreement = (weights.dot(&cross) / variance).max(0.0).sqrt();
    let gain = 1.0 / agreement.max(0.5);
    let value = |colour: &Option<Vector3<f64>>| colour.map(|colour| mean + gain * weights.dot(&(colour - middle)));
    let ink = middle + cross / variance * (1.0 - mean);
    Some(Reading { values: colours.iter().map(value).collect(), agreement, ink: ink.into(), inside: share })
}

fn colours(query: &QueryFeatures, grid: &Grid, place: &Place) -> Vec<Option<Vector3<f64>>> {
    let across = place.column(0).norm() * grid.step.0;
    let down = place.column(1).norm() * grid.step.1;
    // Read from the halving whose pixels are about as large as a step.
    let level = ((across * down).sqrt().log2().round().max(0.0) as usize).min(query.levels.len() - 1);
    let frame = &query.levels[level];
    let (wide, high) = (f64::from(query.features.frame.0), f64::from(query.features.frame.1));
    let (fx, fy) = (f64::from(frame.width()) / wide, f64::from(frame.height()) / high);
    let colour = |(u, v): &(f64, f64)| {
        let at = place * Vector3::new(*u, *v, 1.0);
        let (x, y) = (at.x + 0.5, at.y + 0.5);
        let inside = x >= 0.0 && y >= 0.0 && x < wide && y < high;
        inside.then(|| Vector3::from(bilinear(frame, x * fx - 0.5, y * fy - 0.5).map(f64::from)))
    };
    grid.points.iter().map(colour).collect()
}

/// Improves the place by at most `rounds` affine steps (Baker and Matthews, "Lucas-Kanade 20 Years On", IJCV 2004), and
/// returns the best place of all steps.
pub(super) fn refine(query: &QueryFeatures, grid: &Grid, from: &Place, rounds: usize) -> Option<(Place, Reading)> {
    let mut place = *from;
    let mut best = (place, read(query, grid, &place)?);
    let mut step = step(grid, &best.1);
    for _ in 0..rounds {
        let Some(inner) = step else { break };
        place *= inner;
        let Some(reading) = read(query, grid, &place) else { break };
        if reading.agreement < 0.97 * best.1.agreement {
            break;
        }
        step = self::step(grid, &reading);
        if reading.agreement > best.1.agreement {
            best = (place, reading);
        }
    }
    Some(best)
}

/// The affine change of the box that brings the reading nearer to the drawing.
fn step(grid: &Grid, reading: &Reading) -> Option<Matrix3<f64>> {
    let (mut normal, mut right) = (Matrix6::zeros(), Vector6::zeros());
    for around in neighbourhoods(grid, &reading.values) {
        let Around { place, value, seen: (across, down), .. } = around;
        let (du, dv) = (across / (2.0 * grid.step.0), down / (2.0 * grid.step.1));
        let (u, v) = grid.points[place];
        let slope = Vector6::new(du * u, du * v, du, dv * u, dv * v, dv);
        normal += slope * slope.transpose();
        right += slope * (grid.drawn[place] - value);
    }
    let damping = normal.trace() * 2e-4 + 1e-9;
    let step = (normal + Matrix6::identity() * damping).cholesky()?.solve(&right);
    let step = step * (STRIDE / step.amax().max(STRIDE));
    Some(Matrix3::new(1.0 + step[0], step[1], step[2], step[3], 1.0 + step[4], step[5], 0.0, 0.0, 1.0))
}

/// Cosine between the gradients of the drawing and of the reading, over all points: -1 to 1.
pub(super) fn edges(grid: &Grid, reading: &Reading) -> f64 {
    let (mut both, mut drawn, mut seen) = (0.0, 0.0, 0.0);
    for around in neighbourhoods(grid, &reading.values) {
        let (a, s) = (around.drawn, around.seen);
        both += a.0 * s.0 + a.1 * s.1;
        drawn += a.0 * a.0 + a.1 * a.1;
        seen += s.0 * s.0 + s.1 * s.1;
    }
    both / (drawn * seen).sqrt().max(1e-9)
}

/// A point of a grid with the differences of its neighbours, across and down.
struct Around {
    place: usize,
    value: f64,
    drawn: (f64, f64),
    seen: (f64, f64),
}

fn neighbourhoods<'a>(grid: &'a Grid, values: &'a [Option<f64>]) -> impl Iterator<Item = Around> + 'a {
    let (rows, columns) = (grid.rows, grid.columns);
    let inner = (1..rows - 1).flat_map(move |row| (1..columns - 1).map(move |column| row * columns + column));
    inner.filter_map(|place| {
        let (west, east, north, south) = (place - 1, place + 1, place - grid.columns, place + grid.columns);
        let drawn = (grid.drawn[east] - grid.drawn[west], grid.drawn[south] - grid.drawn[north]);
        let seen = (values[east]? - values[west]?, values[south]? - values[north]?);
        Some(Around { place, value: values[place]?, drawn, seen })
    })
}

/// The least correlation of a part of the drawing with the reading, -1 to 1.
pub(super) fn worst_part(grid: &Grid, reading: &Reading) -> f64 {
    let ratio = grid.columns as f64 / grid.rows as f64;
    let (across, down) = if ratio > 2.0 {
        (PARTS, 1)
    } else if ratio < 0.5 {
        (1, PARTS)
    } else {
        (PARTS / 2, PARTS / 2)
    };
    let of = |at: f64, count: usize| ((f64::midpoint(at, 1.0) * count as f64) as usize).min(count - 1);
    let mut sums = vec![Sums::default(); across * down];
    for ((u, v), (drawn, seen)) in grid.points.iter().zip(grid.drawn.iter().zip(&reading.values)) {
        if let Some(seen) = seen {
            sums[of(*v, down) * across + of(*u, across)].add(*drawn, *seen);
        }
    }
    let most = sums.iter().map(Sums::drawn).fold(0.0, f64::max);
    let parts = sums.iter().filter(|sums| sums.drawn() >= FAINT * most).map(Sums::correlation);
    parts.fold(1.0, f64::min)
}

/// Sums over pairs of the drawing's coverage and the reading's.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    count: f64,
    a: f64,
    s: f64,
    aa: f64,
    ss: f64,
    both: f64,
}

impl Sums {
    fn add(&mut self, a: f64, s: f64) {
        self.count += 1.0;
        self.a += a;
        self.s += s;
        self.aa += a * a;
        self.ss += s * s;
        self.both += a * s;
    }

    /// How much of the drawing is in the sums.
    fn drawn(&self) -> f64 {
        (self.aa - self.a * self.a / self.count.max(1.0)).max(0.0)
    }

    fn correlation(&self) -> f64 {
        let count = self.count.max(1.0);
        let noise = PART_NOISE * count;
        let seen = (self.ss - self.s * self.s / count).max(0.0) + noise;
        (self.both - self.a * self.s / count) / ((self.drawn() + noise) * seen).sqrt()
    }
}
