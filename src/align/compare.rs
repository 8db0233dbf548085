use image::GrayImage;

use super::features::{LocalFeatures, QueryFeatures};
use super::geometry::{Map, project};

/// Cells on a side of the grid that is laid over the reference.
pub(super) const CELLS: usize = 8;
/// Samples on a side of a cell.
const SAMPLES: usize = 8;
/// From this correlation on a cell shows the same on both sides.
const AGREES: f64 = 0.8;
/// A cell whose grey values deviate by less than this has nothing to see.
const FLAT: f64 = 5.0;

/// How well the reference's pixels agree with the query's under the map.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Agreement {
    /// Share of the reference's area that lies inside the query, 0 to 1.
    pub(super) inside: f64,
    /// Normalised cross-correlation of all samples inside, -1 to 1.
    pub(super) correlation: f64,
    /// Mean correlation of the cells with something to see on either side, -1 to 1.
    pub(super) detail: f64,
    /// How many cells of 64 that are.
    pub(super) textured: usize,
    /// How many of them correlate by more than [`AGREES`].
    pub(super) agreeing: usize,
}

pub(super) fn compare(query: &QueryFeatures, reference: &LocalFeatures, map: &Map) -> Agreement {
    let cells = sample(query, reference, map);
    let all: Vec<(f64, f64)> = cells.iter().flatten().copied().collect();
    let inside = all.len() as f64 / (CELLS * SAMPLES).pow(2) as f64;
    if all.len() < SAMPLES * SAMPLES {
        return Agreement { inside, ..Agreement::default() };
    }
    let total = Moments::of(&all);
    let gain = if total.deviation_r() > 1.0 { (total.covariance / total.variance_r).clamp(0.2, 4.0) } else { 1.0 };
    let mut answer = Agreement { inside, correlation: total.correlation(), ..Agreement::default() };
    let mut correlations = 0.0;
    for cell in cells.iter().filter(|cell| cell.len() >= SAMPLES * SAMPLES / 2) {
        let own = Moments::of(cell);
        if own.deviation_r() >= FLAT || own.deviation_q() >= FLAT.max(FLAT * gain) {
            answer.textured += 1;
            correlations += own.correlation();
            answer.agreeing += usize::from(own.correlation() > AGREES);
        }
    }
    answer.detail = correlations / answer.textured.max(1) as f64;
    answer
}

/// Pairs of grey values (reference, query) for each cell, where the query has any.
fn sample(query: &QueryFeatures, reference: &LocalFeatures, map: &Map) -> Vec<Vec<(f64, f64)>> {
    let (width, height) = (f64::from(reference.frame.0), f64::from(reference.frame.1));
    let steps = CELLS * SAMPLES;
    let thumb = &reference.thumbnail;
    // The query is read at the halving whose pixels are nearest to the thumbnail's in size: both are then blurred
    // alike.
    let pixel = width / f64::from(thumb.width()) * scale_at_centre(map, width, height);
    let level = (pixel.log2().round().max(0.0) as usize).min(query.levels.len() - 1);
    let frame = &query.levels[level];
    let (query_width, query_height) = (f64::from(query.features.frame.0), f64::from(query.features.frame.1));
    let (fx, fy) = (f64::from(frame.width()) / query_width, f64::from(frame.height()) / query_height);
    let (tx, ty) = (f64::from(thumb.width()) / width, f64::from(thumb.height()) / height);
    let mut cells = vec![Vec::new(); CELLS * CELLS];
    for row in 0..steps {
        for column in 0..steps {
            let x = (column as f64 + 0.5) / steps as f64 * width;
            let y = (row as f64 + 0.5) / steps as f64 * height;
            let Some(at) = project(map, x - 0.5, y - 0.5) else { continue };
            let (qx, qy) = (at.x + 0.5, at.y + 0.5);
            if qx < 0.0 || qy < 0.0 || qx >= query_width || qy >= query_height {
                continue;
            }
            let seen = bilinear(frame, qx * fx - 0.5, qy * fy - 0.5);
            let known = bilinear(thumb, x * tx - 0.5, y * ty - 0.5);
            cells[row / SAMPLES * CELLS + column / SAMPLES].push((known, seen));
        }
    }
    cells
}

fn scale_at_centre(map: &Map, width: f64, height: f64) -> f64 {
    let (x, y) = (width / 2.0, height / 2.0);
    match (project(map, x, y), project(map, x + 1.0, y), project(map, x, y + 1.0)) {
        (Some(at), Some(right), Some(down)) => {
            let (a, b) = (right - at, down - at);
            (a.x * b.y - a.y * b.x).abs().sqrt()
        }
        _ => 1.0,
    }
}

fn bilinear(image: &GrayImage, x: f64, y: f64) -> f64 {
    let (width, height) = (image.width(), image.height());
    let x = x.clamp(0.0, f64::from(width - 1));
    let y = y.clamp(0.0, f64::from(height - 1));
    let (left, top) = (x.floor() as u32, y.floor() as u32);
    let (right, bottom) = ((left + 1).min(width - 1), (top + 1).min(height - 1));
    let (fx, fy) = (x - f64::from(left), y - f64::from(top));
    let at = |x, y| f64::from(image.get_pixel(x, y).0[0]);
    (at(left, top) * (1.0 - fx) + at(right, top) * fx) * (1.0 - fy)
        + (at(left, bottom) * (1.0 - fx) + at(right, bottom) * fx) * fy
}

struct Moments {
    variance_r: f64,
    variance_q: f64,
    covariance: f64,
}

impl Moments {
    fn of(samples: &[(f64, f64)]) -> Self {
        let n = samples.len().max(1) as f64;
        let mean_r = samples.iter().map(|s| s.0).sum::<f64>() / n;
        let mean_q = samples.iter().map(|s| s.1).sum::<f64>() / n;
        let sum = |f: &dyn Fn(&(f64, f64)) -> f64| samples.iter().map(f).sum::<f64>() / n;
        Self {
            variance_r: sum(&|s| (s.0 - mean_r).powi(2)),
            variance_q: sum(&|s| (s.1 - mean_q).powi(2)),
            covariance: sum(&|s| (s.0 - mean_r) * (s.1 - mean_q)),
        }
    }

    fn deviation_r(&self) -> f64 {
        self.variance_r.sqrt()
    }

    fn deviation_q(&self) -> f64 {
        self.variance_q.sqrt()
    }

    fn correlation(&self) -> f64 {
        // The constant keeps cells of noise from agreeing or disagreeing by chance.
        self.covariance / ((self.variance_r + 4.0) * (self.variance_q + 4.0)).sqrt()
    }
}
