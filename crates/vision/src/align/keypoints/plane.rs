use image::RgbImage;
use parking_lot::Mutex;
use pulp::{Arch, NullaryFnOnce};

/// Columns computed together: rows are padded to a multiple of it, so that loops have no remainder.
const LANES: usize = 32;
/// Standard deviations at which a Gaussian is cut off.
const REACH: f32 = 3.0;

/// Buffers of planes that were dropped, smallest first. A photo needs about sixty, up to a megabyte each; to get and zero
/// them anew takes a tenth of the time that computing their values takes.
static UNUSED: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());
/// Most values in all unused buffers: enough for two photos at once.
const MOST_UNUSED: usize = 8 << 20;

/// A buffer of at least `length` arbitrary values, and not of more than twice as many.
fn buffer(length: usize) -> Vec<f32> {
    let mut unused = UNUSED.lock();
    let place = unused.partition_point(|buffer| buffer.capacity() < length);
    let fits = unused.get(place).is_some_and(|buffer| buffer.capacity() <= 2 * length);
    let mut values = if fits { unused.remove(place) } else { Vec::new() };
    drop(unused);
    values.resize(length, 0.0);
    values
}

/// Grey values as f32, row by row.
#[derive(Debug)]
pub(super) struct Plane {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Distance between rows. Values from `width` on are padding.
    pub(super) stride: usize,
    pub(super) values: Vec<f32>,
}

impl Drop for Plane {
    fn drop(&mut self) {
        let mut unused = UNUSED.lock();
        if unused.iter().map(Vec::capacity).sum::<usize>() + self.values.capacity() <= MOST_UNUSED {
            let place = unused.partition_point(|buffer| buffer.capacity() < self.values.capacity());
            unused.insert(place, std::mem::take(&mut self.values));
        }
    }
}

/// Share of the pixels, at either end, that do not count for the range of a photo.
const OUTLIERS: f32 = 0.005;
/// A photo with a smaller range of grey values, 0 to 1, has its contrast raised to it, by at most [`MOST_GAIN`].
const RANGE: f32 = 0.6;
const MOST_GAIN: f32 = 8.0;

/// The factor by which the contrast of a faint photo is raised: a dark, foggy or pale copy has as many keypoints as its
/// reference. `counts` is the histogram of grey values.
fn gain(counts: &[u32; 256]) -> f32 {
    let few = counts.iter().sum::<u32>() as f32 * OUTLIERS;
    let (low, high) = (end(counts, 0..256, few), end(counts, (0..256).rev(), few));
    (RANGE * 255.0 / high.saturating_sub(low).max(1) as f32).clamp(1.0, MOST_GAIN)
}

/// The first of the values, in the given order, that more than `few` pixels have or come before.
fn end(counts: &[u32; 256], mut values: impl Iterator<Item = usize>, few: f32) -> usize {
    let mut passed = 0;
    let found = values.find(|&value| {
        passed += counts[value];
        passed as f32 > few
    });
    found.unwrap_or(0)
}

impl Plane {
    /// A plane of arbitrary values.
    fn new(width: usize, height: usize) -> Self {
        let stride = width.next_multiple_of(LANES);
        Self { width, height, stride, values: buffer(stride * height) }
    }

    /// The luma of each pixel (ITU-R BT.709), 0 to 1, with the contrast of a faint photo raised: see [`gain`].
    pub(super) fn of(picture: &RgbImage) -> Self {
        let mut plane = Self::new(picture.width() as usize, picture.height() as usize);
        let stride = plane.stride;
        let mut counts = [0_u32; 256];
        let rows = picture.as_raw().chunks_exact(3 * plane.width.max(1));
        for (row, pixels) in plane.values.chunks_exact_mut(stride.max(1)).zip(rows) {
            for (value, &[red, green, blue]) in row.iter_mut().zip(pixels.as_chunks().0) {
                let luma = 2126 * u32::from(red) + 7152 * u32::from(green) + 722 * u32::from(blue);
                counts[(luma / 10_000) as usize & 255] += 1;
                *value = luma as f32 / 2_550_000.0;
            }
        }
        let gain = gain(&counts);
        if gain > 1.0 {
            plane.values.iter_mut().for_each(|value| *value *= gain);
        }
        plane
    }

    pub(super) fn row(&self, y: usize) -> &[f32] {
        &self.values[y * self.stride..][..self.stride]
    }

    /// Every second pixel of every second row.
    pub(super) fn halved(&self) -> Self {
        let mut half = Self::new(self.width / 2, self.height / 2);
        for y in 0..half.height {
            let row = &mut half.values[y * half.stride..][..half.width];
            row.iter_mut().zip(self.row(2 * y).iter().step_by(2)).for_each(|(to, from)| *to = *from);
        }
        half
    }

    /// Blurred by a Gaussian of `sigma` pixels. Beyond the edges, the values at the edges continue.
    pub(super) fn blurred(&self, sigma: f32) -> Self {
        self.blurred_further(sigma).0
    }

    /// As [`Plane::blurred`], with the blurred plane minus this one.
    pub(super) fn blurred_further(&self, sigma: f32) -> (Self, Self) {
        let taps = gaussian(sigma);
        let plane = || Self::new(self.width, self.height);
        let (mut rows, mut blurred, mut difference) = (plane(), plane(), plane());
        Arch::new().dispatch(BlurRows { of: self, taps: &taps, into: &mut rows.values });
        let (into, difference_into) = (&mut blurred, &mut difference);
        let columns = BlurColumns { of: &rows.values, before: self, taps: &taps, into, difference: difference_into };
        Arch::new().dispatch(columns);
        (blurred, difference)
    }
}

struct BlurRows<'a> {
    of: &'a Plane,
    taps: &'a [f32],
    into: &'a mut [f32],
}

impl NullaryFnOnce for BlurRows<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (plane, reach) = (self.of, self.taps.len() - 1);
        let mut padded = vec![0.0; plane.stride + 2 * reach];
        for (row, out) in plane.values.chunks_exact(plane.stride).zip(self.into.chunks_exact_mut(plane.stride)) {
            padded[..reach].fill(row[0]);
            padded[reach..reach + plane.width].copy_from_slice(&row[..plane.width]);
            padded[reach + plane.width..].fill(row[plane.width - 1]);
            for (block, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
                let middle = block * LANES + reach;
                let mut sum = [0.0; LANES];
                add(&mut sum, self.taps[0] / 2.0, lanes(&padded, middle), lanes(&padded, middle));
                for (tap, &weight) in self.taps.iter().enumerate().skip(1) {
                    add(&mut sum, weight, lanes(&padded, middle - tap), lanes(&padded, middle + tap));
                }
                *out = sum;
            }
        }
    }
}

struct BlurColumns<'a> {
    of: &'a [f32],
    before: &'a Plane,
    taps: &'a [f32],
    into: &'a mut Plane,
    difference: &'a mut Plane,
}

impl NullaryFnOnce for BlurColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (stride, last) = (self.into.stride, self.into.height - 1);
        let differences = self.difference.values.chunks_exact_mut(stride).zip(self.before.values.chunks_exact(stride));
        for ((y, out), (difference, before)) in self.into.values.chunks_exact_mut(stride).enumerate().zip(differences) {
            let blocks = out.as_chunks_mut().0.iter_mut().zip(difference.as_chunks_mut().0);
            for (block, (out, difference)) in blocks.enumerate() {
                let column = block * LANES;
                let mut sum = [0.0; LANES];
                let middle = lanes(self.of, y * stride + column);
                add(&mut sum, self.taps[0] / 2.0, middle, middle);
                for (tap, &weight) in self.taps.iter().enumerate().skip(1) {
                    let (above, below) = (y.saturating_sub(tap), (y + tap).min(last));
                    let (above, below) =
                        (lanes(self.of, above * stride + column), lanes(self.of, below * stride + column));
                    add(&mut sum, weight, above, below);
                }
                *out = sum;
                *difference = subtracted(&sum, lanes(before, column));
            }
        }
    }
}

#[inline(always)]
fn lanes(values: &[f32], start: usize) -> &[f32; LANES] {
    values[start..].first_chunk().unwrap_or(&[0.0; LANES])
}

/// Adds the values on both sides of a middle, weighted.
#[inline(always)]
fn add(sum: &mut [f32; LANES], weight: f32, before: &[f32; LANES], after: &[f32; LANES]) {
    for ((sum, before), after) in sum.iter_mut().zip(before).zip(after) {
        *sum += weight * (before + after);
    }
}

#[inline(always)]
fn subtracted(from: &[f32; LANES], values: &[f32; LANES]) -> [f32; LANES] {
    let mut left = *from;
    for (left, value) in left.iter_mut().zip(values) {
        *left -= value;
    }
    left
}

/// One half of a Gaussian kernel whose whole sums to 1, the middle first.
fn gaussian(sigma: f32) -> Vec<f32> {
    let reach = (REACH * sigma).ceil().max(1.0) as usize;
    let half: Vec<f32> = (0..=reach).map(|x| (-(x as f32).powi(2) / (2.0 * sigma * sigma)).exp()).collect();
    let sum = half[0] + 2.0 * half[1..].iter().sum::<f32>();
    half.into_iter().map(|tap| tap / sum).collect()
}
