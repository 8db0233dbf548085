use std::f32::consts::{FRAC_PI_2, PI, TAU};
use std::sync::LazyLock;

use pulp::{Arch, NullaryFnOnce};

use super::extrema::Extremum;
use super::plane::Plane;
use super::{BINS, CELLS, DESCRIPTOR};

/// Bins of the histogram of directions; the next constant is the share of the highest peak that makes another peak a
/// direction.
const DIRECTIONS: usize = 36;
const PEAK: f32 = 0.8;
/// Standard deviation of the window in which directions are counted, in scales of the keypoint.
const WINDOW: f32 = 1.5;
/// About the most samples per side of that window: of larger windows every second or third pixel is read.
const SIDE: usize = 18;

/// Side of a cell in scales of the keypoint.
const CELL: f32 = 3.0;
/// Samples per side of a cell. Samples up to half a cell beyond the outer cells count too.
const SAMPLES: usize = 4;
const ACROSS: usize = (CELLS + 1) * SAMPLES;
/// The patch has one more sample on each side, for the gradients.
const PATCH: usize = ACROSS + 2;
/// Greatest entry of a descriptor of unit length, so that one strong edge does not dominate.
const CLIP: f32 = 0.2;

/// The directions of the gradients around a keypoint: the strongest, and others almost as strong, in radians.
pub(super) fn directions(image: &Plane, point: &Extremum) -> Vec<f32> {
    let sigma = WINDOW * point.scale;
    let radius = (3.0 * sigma).round() as isize;
    let step = (2 * radius.unsigned_abs() + 1).div_ceil(SIDE);
    let (x, y) = (point.x.round() as isize, point.y.round() as isize);
    let columns = inside(x, radius, image.width, step);
    let rows = inside(y, radius, image.height, step);
    let weight = |place: usize, centre: f32| (-(place as f32 - centre).powi(2) / (2.0 * sigma * sigma)).exp();
    let across: Vec<f32> = columns.clone().map(|x| weight(x, point.x)).collect();
    let mut gradients = Gradients::default();
    for y in rows {
        let down = weight(y, point.y);
        let (above, here, below) = (image.row(y - 1), image.row(y), image.row(y + 1));
        for (x, across) in columns.clone().zip(&across) {
            gradients.push(here[x + 1] - here[x - 1], below[x] - above[x], across * down);
        }
    }
    Arch::new().dispatch(&mut gradients);
    let mut histogram = [0.0_f32; DIRECTIONS];
    for (angle, strength) in gradients.polar() {
        let (bin, share) = binned(angle, DIRECTIONS);
        histogram[bin] += strength * (1.0 - share);
        histogram[(bin + 1) % DIRECTIONS] += strength * share;
    }
    let around = |values: &[f32; DIRECTIONS], bin: usize| {
        [values[(bin + DIRECTIONS - 1) % DIRECTIONS], values[bin], values[(bin + 1) % DIRECTIONS]]
    };
    for _ in 0..2 {
        let rough = histogram;
        for (bin, value) in histogram.iter_mut().enumerate() {
            *value = around(&rough, bin).iter().sum::<f32>() / 3.0;
        }
    }
    let highest = histogram.iter().copied().fold(0.0, f32::max);
    let peaks = (0..DIRECTIONS).filter_map(|bin| {
        let [left, centre, right] = around(&histogram, bin);
        let is_peak = highest > 0.0 && centre >= PEAK * highest && centre > left && centre > right;
        let offset = 0.5 * (left - right) / (left - 2.0 * centre + right);
        is_peak.then(|| ((bin as f32 + offset) * TAU / DIRECTIONS as f32).rem_euclid(TAU))
    });
    peaks.collect()
}

/// Every `step`th position of `centre ± radius` that has neighbours on both sides.
fn inside(centre: isize, radius: isize, size: usize, step: usize) -> std::iter::StepBy<std::ops::Range<usize>> {
    let first = (centre - radius).max(1).unsigned_abs();
    let past = (centre + radius + 1).min(size as isize - 1).max(1).unsigned_abs();
    (first..past.max(first)).step_by(step)
}

/// Gradients as x and y; after the call, x is the direction and y the weighted strength.
#[derive(Default)]
struct Gradients {
    x: Vec<f32>,
    y: Vec<f32>,
    weights: Vec<f32>,
}

impl Gradients {
    fn push(&mut self, x: f32, y: f32, weight: f32) {
        self.x.push(x);
        self.y.push(y);
        self.weights.push(weight);
    }

    fn polar(&self) -> impl Iterator<Item = (f32, f32)> + '_ {
        self.x.iter().copied().zip(self.y.iter().copied())
    }
}

impl NullaryFnOnce for &mut Gradients {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for ((x, y), weight) in self.x.iter_mut().zip(&mut self.y).zip(&self.weights) {
            (*x, *y) = (direction(*x, *y), (*x * *x + *y * *y).sqrt() * *weight);
        }
    }
}

/// The angle of (x, y), 0 to 2 pi, within 0.0004: a polynomial that compilers can vectorise, unlike `atan2`.
#[inline(always)]
fn direction(x: f32, y: f32) -> f32 {
    let (wide, high) = (x.abs(), y.abs());
    let ratio = wide.min(high) / wide.max(high).max(f32::MIN_POSITIVE);
    let square = ratio * ratio;
    let angle = ((-0.046_496_475 * square + 0.159_314_22) * square - 0.327_622_76) * square * ratio + ratio;
    let angle = if high > wide { FRAC_PI_2 - angle } else { angle };
    let angle = if x < 0.0 { PI - angle } else { angle };
    if y < 0.0 { TAU - angle } else { angle }
}

/// The bin below an angle of 0 to 2 pi, and the share of the angle's weight for the next bin.
#[inline(always)]
fn binned(angle: f32, bins: usize) -> (usize, f32) {
    let place = angle * (bins as f32 / TAU);
    let below = place as usize;
    (below % bins, place - below as f32)
}

/// The weights of a column or row of samples for its cells.
#[derive(Clone, Copy)]
struct Share {
    cell: usize,
    /// Weight for this cell; the next field is that for the next cell.
    own: f32,
    next: f32,
}

/// The weights of each column, or row, of samples. A cell before the first or after the last does not exist: its weight
/// is 0.
static SHARES: LazyLock<[Share; ACROSS]> = LazyLock::new(|| {
    std::array::from_fn(|place| {
        let middle = (CELLS + 1) as f32 / 2.0;
        let at = (place as f32 + 0.5) / SAMPLES as f32 - middle;
        let weight = (-at * at / (2.0 * (CELLS as f32 / 2.0).powi(2))).exp();
        // In cells, counted from one before the first.
        let from = at + (CELLS as f32 - 1.0) / 2.0 + 1.0;
        let share = from - from.floor();
        let (own, next) = (weight * (1.0 - share), weight * share);
        match from.floor() as usize {
            0 => Share { cell: 0, own: next, next: 0.0 },
            cell if cell == CELLS => Share { cell: CELLS - 1, own, next: 0.0 },
            cell => Share { cell: cell - 1, own, next },
        }
    })
});

/// The descriptor of a keypoint in one direction, as RootSIFT: the square root of the histogram of gradients, whose
/// entries sum to 1 (Arandjelovic and Zisserman, "Three things everyone should know to improve object retrieval", CVPR
/// 2012); as signed bytes, with 1.0 as 400: the few entries above 0.3175 are clipped. `None` on a flat ground.
pub(super) fn describe(image: &Plane, point: &Extremum, angle: f32) -> Option<[i8; DESCRIPTOR]> {
    let patch = patch(image, point, angle);
    let (angles, strengths) = Arch::new().dispatch(PatchGradients(&patch));
    let mut histogram = [0.0_f32; DESCRIPTOR];
    let rows = angles.iter().zip(&strengths).zip(SHARES.iter());
    for ((angles, strengths), down) in rows {
        // One cell more than needed, so that there is always a next one.
        let mut row = [[0.0_f32; BINS]; CELLS + 1];
        for ((&angle, &strength), across) in angles.iter().zip(strengths).zip(SHARES.iter()) {
            let (bin, share) = binned(angle, BINS);
            let next = (bin + 1) % BINS;
            let (far, near) = (strength * share, strength * (1.0 - share));
            row[across.cell][bin] += near * across.own;
            row[across.cell][next] += far * across.own;
            row[across.cell + 1][bin] += near * across.next;
            row[across.cell + 1][next] += far * across.next;
        }
        let row = row[..CELLS].as_flattened();
        let length = CELLS * BINS;
        let start = down.cell * length;
        histogram[start..start + length].iter_mut().zip(row).for_each(|(sum, value)| *sum += value * down.own);
        if down.next > 0.0 {
            let start = start + length;
            histogram[start..start + length].iter_mut().zip(row).for_each(|(sum, value)| *sum += value * down.next);
        }
    }
    root(histogram)
}

/// Computes the gradients of a patch: directions, and strengths.
struct PatchGradients<'a>(&'a [[f32; PATCH]; PATCH]);

impl NullaryFnOnce for PatchGradients<'_> {
    type Output = ([[f32; ACROSS]; ACROSS], [[f32; ACROSS]; ACROSS]);

    #[inline(always)]
    fn call(self) -> Self::Output {
        let (mut angles, mut strengths) = ([[0.0; ACROSS]; ACROSS], [[0.0; ACROSS]; ACROSS]);
        let rows = angles.iter_mut().zip(&mut strengths).zip(self.0.windows(3));
        for ((angles, strengths), three) in rows {
            for column in 0..ACROSS {
                let dx = three[1][column + 2] - three[1][column];
                let dy = three[2][column + 1] - three[0][column + 1];
                angles[column] = direction(dx, dy);
                strengths[column] = (dx * dx + dy * dy).sqrt();
            }
        }
        (angles, strengths)
    }
}

fn root(mut histogram: [f32; DESCRIPTOR]) -> Option<[i8; DESCRIPTOR]> {
    let length = histogram.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length <= 1e-7 {
        return None;
    }
    for value in &mut histogram {
        *value = value.min(CLIP * length);
    }
    let sum: f32 = histogram.iter().sum();
    Some(histogram.map(|value| ((value / sum).sqrt() * 400.0).round().min(127.0) as i8))
}

/// The surroundings of a keypoint, rotated by its direction and sampled `SAMPLES` times per side of a cell.
fn patch(image: &Plane, point: &Extremum, angle: f32) -> [[f32; PATCH]; PATCH] {
    let step = CELL * point.scale / SAMPLES as f32;
    let (sin, cos) = angle.sin_cos();
    let (right, down) = ((step * cos, step * sin), (-step * sin, step * cos));
    let half = (PATCH as f32 - 1.0) / 2.0;
    let (left, top) = (point.x - half * (right.0 + down.0), point.y - half * (right.1 + down.1));
    let mut patch = [[0.0; PATCH]; PATCH];
    for (row, values) in patch.iter_mut().enumerate() {
        let from = (left + row as f32 * down.0, top + row as f32 * down.1);
        let places = Arch::new().dispatch(Places { from, right, image });
        let mut corners = [[0.0; PATCH]; 4];
        for (sample, &start) in places.starts.iter().enumerate() {
            let start = start as usize;
            let (above, below) = (&image.values[start..start + 2], &image.values[start + image.stride..][..2]);
            corners[0][sample] = above[0];
            corners[1][sample] = above[1];
            corners[2][sample] = below[0];
            corners[3][sample] = below[1];
        }
        *values = Arch::new().dispatch(Between { corners: &corners, places: &places });
    }
    patch
}

/// Where a row of samples lies: the pixels above and to the left, and the rest of the way to the next ones, 0 to 1.
struct RowPlaces {
    starts: [u32; PATCH],
    across: [f32; PATCH],
    down: [f32; PATCH],
}

struct Places<'a> {
    from: (f32, f32),
    right: (f32, f32),
    image: &'a Plane,
}

impl NullaryFnOnce for Places<'_> {
    type Output = RowPlaces;

    #[inline(always)]
    fn call(self) -> RowPlaces {
        let Self { from, right, image } = self;
        let (most_x, most_y) = (image.width as f32 - 1.001, image.height as f32 - 1.001);
        let stride = image.stride as u32;
        let mut places = RowPlaces { starts: [0; PATCH], across: [0.0; PATCH], down: [0.0; PATCH] };
        for column in 0..PATCH {
            let x = (from.0 + column as f32 * right.0).clamp(0.0, most_x);
            let y = (from.1 + column as f32 * right.1).clamp(0.0, most_y);
            // Below 2^31, and conversions to i32 are vectorised.
            let (whole_x, whole_y) = (x as i32, y as i32);
            places.across[column] = x - whole_x as f32;
            places.down[column] = y - whole_y as f32;
            places.starts[column] = whole_y.cast_unsigned() * stride + whole_x.cast_unsigned();
        }
        places
    }
}

/// Bilinear interpolation of a row of samples.
struct Between<'a> {
    corners: &'a [[f32; PATCH]; 4],
    places: &'a RowPlaces,
}

impl NullaryFnOnce for Between<'_> {
    type Output = [f32; PATCH];

    #[inline(always)]
    fn call(self) -> [f32; PATCH] {
        let Self { corners: [a, b, c, d], places } = self;
        let mut values = [0.0; PATCH];
        for sample in 0..PATCH {
            let upper = a[sample] + (b[sample] - a[sample]) * places.across[sample];
            let lower = c[sample] + (d[sample] - c[sample]) * places.across[sample];
            values[sample] = upper + (lower - upper) * places.down[sample];
        }
        values
    }
}
