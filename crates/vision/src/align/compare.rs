use image::RgbImage;

use super::features::QueryFeatures;
use super::geometry::{Homography, project};

/// Cells per side of the grid over the reference.
pub(super) const CELLS: usize = 8;
/// Samples per side of a cell.
const SAMPLES: usize = 8;
/// Least number of a cell's samples that must be inside the query.
const HALF_A_CELL: f64 = (SAMPLES * SAMPLES / 2) as f64;
/// A cell with a higher correlation shows the same on both sides.
const AGREES: f64 = 0.8;
/// A cell whose grey values have a smaller standard deviation has no detail.
const FLAT: f64 = 5.0;

/// The compared data of a reference: width and height of its frame, and a thumbnail.
#[derive(Clone, Copy)]
pub(super) struct Face<'a> {
    pub(super) frame: (u32, u32),
    pub(super) thumbnail: &'a RgbImage,
    pub(super) coloured: bool,
}

/// How well the reference's pixels agree with the query's under the map.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Agreement {
    /// Share of the reference's area that is inside the query, 0 to 1.
    pub(super) inside: f64,
    /// Mean correlation of the cells with detail on either side, -1 to 1.
    pub(super) detail: f64,
    /// Number of these cells, of 64.
    pub(super) textured: usize,
    /// Number of these cells that correlate by more than [`AGREES`].
    pub(super) agreeing: usize,
}

pub(super) fn compare(query: &QueryFeatures, reference: Face<'_>, map: &Homography) -> (Agreement, Samples) {
    let (cells, samples) = sample(query, reference, map, |_| false);
    (agreement(&cells), samples)
}

/// As [`compare`], but `None` where [`Agreement::detail`] is below `detail`, which mostly ends the comparison early.
pub(super) fn compare_from(
    query: &QueryFeatures,
    reference: Face<'_>,
    map: &Homography,
    detail: f64,
) -> Option<(Agreement, Samples)> {
    let (cells, samples) = sample(query, reference, map, |cells| {
        // Cells that count for certain; even if all others counted and agreed fully, it would not be enough.
        let counted = cells.iter().filter(|cell| cell.count >= HALF_A_CELL && cell.deviation_r() >= FLAT);
        let (count, sum) = counted.fold((0.0, 0.0), |(count, sum), cell| (count + 1.0, sum + cell.correlation()));
        let all = (CELLS * CELLS) as f64;
        sum + (all - count) < detail * all
    });
    Some((agreement(&cells), samples)).filter(|(agreement, _)| agreement.detail >= detail)
}

fn agreement(cells: &[Moments; CELLS * CELLS]) -> Agreement {
    let total = cells.iter().fold(Moments::default(), Moments::and);
    let inside = total.count / (CELLS * SAMPLES).pow(2) as f64;
    if total.count < 2.0 * HALF_A_CELL {
        return Agreement { inside, ..Agreement::default() };
    }
    let gain = if total.deviation_r() > 1.0 { (total.covariance() / total.variance_r()).clamp(0.2, 4.0) } else { 1.0 };
    let mut answer = Agreement { inside, ..Agreement::default() };
    let mut correlations = 0.0;
    for cell in cells.iter().filter(|cell| cell.count >= HALF_A_CELL) {
        if cell.deviation_r() >= FLAT || cell.deviation_q() >= FLAT.max(FLAT * gain) {
            answer.textured += 1;
            correlations += cell.correlation();
            answer.agreeing += usize::from(cell.correlation() > AGREES);
        }
    }
    answer.detail = correlations / answer.textured.max(1) as f64;
    answer
}

/// Samples per side of the grid over the reference.
pub(super) const STEPS: usize = CELLS * SAMPLES;

/// The colours of both photos at the points of the grid, row by row; `None` outside the query.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Samples(pub(super) Vec<Option<(Colour, Colour)>>);

/// Red, green and blue, 0 to 255.
pub(super) type Colour = [f32; 3];

/// Luma, as the crate `image` computes it.
pub(super) fn grey(colour: Colour) -> f64 {
    f64::from(0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2])
}

/// Moments of the grey values of reference and query in each cell that the query covers. Stops when `enough`, called
/// after each row with the cells so far, is true.
fn sample(
    query: &QueryFeatures,
    reference: Face<'_>,
    map: &Homography,
    enough: impl Fn(&[Moments]) -> bool,
) -> ([Moments; CELLS * CELLS], Samples) {
    let (width, height) = (f64::from(reference.frame.0), f64::from(reference.frame.1));
    let thumb = reference.thumbnail;
    // The query is read from the halving whose pixels are nearest to the thumbnail's in size, so that both are blurred
    // alike.
    let pixel = width / f64::from(thumb.width()) * scale_at_centre(map, width, height);
    let level = (pixel.log2().round().max(0.0) as usize).min(query.levels.len() - 1);
    let frame = &query.levels[level];
    let (query_width, query_height) = (f64::from(query.features.frame.0), f64::from(query.features.frame.1));
    let (fx, fy) = (f64::from(frame.width()) / query_width, f64::from(frame.height()) / query_height);
    let (tx, ty) = (f64::from(thumb.width()) / width, f64::from(thumb.height()) / height);
    let mut cells = [Moments::default(); CELLS * CELLS];
    let mut samples = vec![None; STEPS * STEPS];
    for row in 0..STEPS {
        if row % SAMPLES == 0 && enough(&cells[..row / SAMPLES * CELLS]) {
            break;
        }
        for column in 0..STEPS {
            let x = (column as f64 + 0.5) / STEPS as f64 * width;
            let y = (row as f64 + 0.5) / STEPS as f64 * height;
            let Some(at) = project(map, x - 0.5, y - 0.5) else { continue };
            let (qx, qy) = (at.x + 0.5, at.y + 0.5);
            if qx < 0.0 || qy < 0.0 || qx >= query_width || qy >= query_height {
                continue;
            }
            let seen = bilinear(frame, qx * fx - 0.5, qy * fy - 0.5);
            let known = bilinear(thumb, x * tx - 0.5, y * ty - 0.5);
            samples[row * STEPS + column] = Some((known, seen));
            cells[row / SAMPLES * CELLS + column / SAMPLES].add(grey(known), grey(seen));
        }
    }
    (cells, Samples(samples))
}

fn scale_at_centre(map: &Homography, width: f64, height: f64) -> f64 {
    let (x, y) = (width / 2.0, height / 2.0);
    match (project(map, x, y), project(map, x + 1.0, y), project(map, x, y + 1.0)) {
        (Some(at), Some(right), Some(down)) => {
            let (a, b) = (right - at, down - at);
            (a.x * b.y - a.y * b.x).abs().sqrt()
        }
        _ => 1.0,
    }
}

pub(super) fn bilinear(image: &RgbImage, x: f64, y: f64) -> Colour {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let x = x.clamp(0.0, (width - 1) as f64);
    let y = y.clamp(0.0, (height - 1) as f64);
    // Not below 0, so the cast rounds down.
    let (left, top) = (x as usize, y as usize);
    let (fx, fy) = ((x - left as f64) as f32, (y - top as f64) as f32);
    let (right, down) = (if left + 1 < width { 3 } else { 0 }, if top + 1 < height { 3 * width } else { 0 });
    let (pixels, at) = (image.as_raw(), 3 * (top * width + left));
    std::array::from_fn(|channel| {
        let value = |at: usize| f32::from(pixels[at + channel]);
        (value(at) * (1.0 - fx) + value(at + right) * fx) * (1.0 - fy)
            + (value(at + down) * (1.0 - fx) + value(at + down + right) * fx) * fy
    })
}

/// Sums over pairs of grey values: of a reference, and of a query.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    count: f64,
    r: f64,
    q: f64,
    rr: f64,
    qq: f64,
    rq: f64,
}

impl Moments {
    fn add(&mut self, r: f64, q: f64) {
        *self = self.and(&Self { count: 1.0, r, q, rr: r * r, qq: q * q, rq: r * q });
    }

    fn and(self, other: &Self) -> Self {
        Self {
            count: self.count + other.count,
            r: self.r + other.r,
            q: self.q + other.q,
            rr: self.rr + other.rr,
            qq: self.qq + other.qq,
            rq: self.rq + other.rq,
        }
    }

    fn covariance(&self) -> f64 {
        let n = self.count.max(1.0);
        self.rq / n - self.r / n * (self.q / n)
    }

    // Grey values are small numbers, so differences of their sums lose no relevant digits; below 0 only by rounding.
    fn variance_r(&self) -> f64 {
        let n = self.count.max(1.0);
        (self.rr / n - (self.r / n).powi(2)).max(0.0)
    }

    fn variance_q(&self) -> f64 {
        let n = self.count.max(1.0);
        (self.qq / n - (self.q / n).powi(2)).max(0.0)
    }

    fn deviation_r(&self) -> f64 {
        self.variance_r().sqrt()
    }

    fn deviation_q(&self) -> f64 {
        self.variance_q().sqrt()
    }

    fn correlation(&self) -> f64 {
        // The constant keeps cells of noise from agreeing or disagreeing by chance.
        self.covariance() / ((self.variance_r() + 4.0) * (self.variance_q() + 4.0)).sqrt()
    }
}
