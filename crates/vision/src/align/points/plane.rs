use pulp::{Arch, NullaryFnOnce};

/// Columns computed together: rows are padded to a multiple of it, so that loops have no remainder.
const LANES: usize = 32;
/// Standard deviations at which a Gaussian is cut off.
const REACH: f32 = 3.0;

/// Grey values as f32, row by row.
#[derive(Debug, Clone)]
pub(super) struct Plane {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Distance between rows; values beyond `width` are padding.
    pub(super) stride: usize,
    pub(super) values: Vec<f32>,
}

impl Plane {
    pub(super) fn new(width: usize, height: usize) -> Self {
        let stride = width.next_multiple_of(LANES);
        Self { width, height, stride, values: vec![0.0; stride * height] }
    }

    /// Scales grey values from 0 to 255 to 0 to 1.
    pub(super) fn of(width: usize, height: usize, grey: &[u8]) -> Self {
        let mut plane = Self::new(width, height);
        for (row, grey) in plane.values.chunks_exact_mut(plane.stride).zip(grey.chunks_exact(width)) {
            row.iter_mut().zip(grey).for_each(|(value, &grey)| *value = f32::from(grey) / 255.0);
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

    /// `self - other`, both of one size.
    pub(super) fn less(&self, other: &Self) -> Self {
        let mut values = vec![0.0; self.values.len()];
        Arch::new().dispatch(Difference { of: &self.values, and: &other.values, into: &mut values });
        Self { values, ..*self }
    }

    /// Blurs with a Gaussian of `sigma` pixels; the border's values continue beyond the border.
    pub(super) fn blurred(&self, sigma: f32, scratch: &mut Vec<f32>) -> Self {
        let taps = gaussian(sigma);
        let mut blurred = Self::new(self.width, self.height);
        scratch.resize(self.values.len(), 0.0);
        Arch::new().dispatch(BlurRows { of: self, taps: &taps, into: scratch });
        Arch::new().dispatch(BlurColumns { of: scratch, taps: &taps, into: &mut blurred });
        blurred
    }
}

struct Difference<'a> {
    of: &'a [f32],
    and: &'a [f32],
    into: &'a mut [f32],
}

impl NullaryFnOnce for Difference<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.into.iter_mut().zip(self.of.iter().zip(self.and)).for_each(|(value, (a, b))| *value = a - b);
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
    taps: &'a [f32],
    into: &'a mut Plane,
}

impl NullaryFnOnce for BlurColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (stride, last) = (self.into.stride, self.into.height - 1);
        for (y, out) in self.into.values.chunks_exact_mut(stride).enumerate() {
            for (block, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
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

/// One half of a Gaussian kernel whose whole sums to 1, the middle first.
fn gaussian(sigma: f32) -> Vec<f32> {
    let reach = (REACH * sigma).ceil().max(1.0) as usize;
    let half: Vec<f32> = (0..=reach).map(|x| (-(x as f32).powi(2) / (2.0 * sigma * sigma)).exp()).collect();
    let sum = half[0] + 2.0 * half[1..].iter().sum::<f32>();
    half.into_iter().map(|tap| tap / sum).collect()
}
