//! Compares the colours of two aligned photos: whether their structure agrees, and whether one is the same photograph
//! in another colour.
//!
//! An edit changes the whole photo: it becomes lighter, warmer, more or less saturated, and white areas are clipped or
//! tinted with the rest. Recolouring changes only the goods and leaves background, skin and other parts alone.

use std::f64::consts::FRAC_1_SQRT_2;
use std::ops::Range;

use nalgebra::Complex;

use super::compare::{Colour, STEPS, Samples, grey};

/// Cells per side of the grid over which colours are averaged; the next constant is the samples per side of a cell.
const CELLS: usize = 16;
const SAMPLES: usize = STEPS / CELLS;
/// A grey gradient below this, in levels per sample, is noise. The excess counts up to [`STRONG`].
const NOISE: f64 = 1.5;
const STRONG: f64 = 12.0;
/// Added to the sum of gradients, so that agreement on few gradients counts less: a strip of a reference proves little.
/// Half of all copies have a sum of more than ten times this.
const FEW_GRADIENTS: f64 = 500.0;
/// A sample of the photo is clipped if all its channels are beyond one of these.
const WHITE: f32 = 253.0;
const BLACK: f32 = 2.0;
/// A cell has structure if its gradients sum to more than the first. It agrees if their mean cosine exceeds the second.
const STRUCTURED: f64 = 8.0;
const AGREES: f64 = 0.6;
/// A cell is unchanged if no channel differs by this or more, of 255.
const UNCHANGED: f64 = 8.0;
/// Iterations of a fit that gives cells less weight the more they differ.
const ROUNDS: usize = 6;

/// Limits of what an edit does to all colours alike.
struct Bounds {
    /// Rotation of the hue, in radians.
    turn: f64,
    /// Factor of the saturation.
    saturation: (f64, f64),
    /// Shift towards one colour, of 255.
    tint: f64,
}

/// An edit of lightness only, with the change of saturation that a gain causes.
const LIGHTNESS: Bounds = Bounds { turn: 0.02, saturation: (0.6, 1.7), tint: 1.0 };
/// The range of colour filters.
const FILTERS: Bounds = Bounds { turn: 0.61, saturation: (0.45, 1.9), tint: 25.0 };
/// Range of the lightness's gain; the next constant is that of its offset.
const GAIN: (f64, f64) = (0.5, 1.7);
const OFFSET: f64 = 110.0;
/// Weight of a lightness difference relative to one of hue and saturation.
const LIGHTNESS_COUNTS: f64 = 0.6;

/// Two cases count as another colour. First: a tenth of the agreeing cells differ by more than this, and a fifth of all cells
/// are unchanged.
const DIFFERS: f64 = 18.0;
const SHARE_DIFFERS: f64 = 0.1;
const SHARE_UNCHANGED: f64 = 0.2;
/// Second: a fifth of the agreeing cells differ by more than this even after the best filter is fitted.
const DIFFERS_GREATLY: f64 = 30.0;
const SHARE_DIFFERS_GREATLY: f64 = 0.2;
/// A photo whose colours are all nearer to grey than this has no evidence about hue and saturation.
const GREYISH: f64 = 6.0;
/// With fewer agreeing cells there is no decision about colour.
const FEWEST: usize = 8;

/// The same photograph in another colour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recolour {
    /// Mean colour of the reference in the differing parts: red, green, blue.
    pub reference: [u8; 3],
    /// Mean colour of the photo in these parts.
    pub photo: [u8; 3],
}

/// The result of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Comparison {
    /// Mean cosine between the gradients of both, weighted by the reference's; -1 to 1, near 0 with little structure.
    pub(super) structure: f64,
    /// The part whose structure agrees.
    pub(super) part: CopiedPart,
    /// Mean colour difference where structure agrees, after a fit of lightness; 0 to about 255.
    pub(super) difference: f64,
    /// Present if the photo shows another colour.
    pub(super) recolour: Option<Recolour>,
}

/// The part of a reference that a photo shows, whatever surrounds it: the cells between those that agree in structure.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CopiedPart {
    /// Mean cosine between the gradients of both within the part, weighted by the reference's; -1 to 1, near 0 with
    /// little structure.
    pub agreement: f64,
    /// Share of the reference's structure that is within the part, 0 to 1.
    pub share: f64,
    /// Share of the structure of either photo that is outside the part, 0 to 1. Structure that both have counts once.
    pub around: f64,
}

/// Sums over the samples of a cell.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    count: f64,
    known: [f64; 3],
    seen: [f64; 3],
    /// Gradients of the reference and of the photo, up to [`STRONG`].
    weight: f64,
    seen_weight: f64,
    /// The reference's gradients, times the cosine between both.
    agreement: f64,
}

/// Compares aligned samples, and their colours only if the reference has colours.
pub(super) fn compare(samples: &Samples, coloured: bool) -> Comparison {
    let mut cells = vec![Cell::default(); CELLS * CELLS];
    let (mut weight, mut agreement) = (0.0, 0.0);
    for row in 0..STEPS {
        for column in 0..STEPS {
            let Some((known, seen)) = samples.0[row * STEPS + column] else { continue };
            let cell = &mut cells[row / SAMPLES * CELLS + column / SAMPLES];
            cell.count += 1.0;
            add(&mut cell.known, known.map(f64::from));
            add(&mut cell.seen, seen.map(f64::from));
            let Some((r, q)) = gradients(samples, row, column) else { continue };
            let (length, seen_length) = (r.0.hypot(r.1), q.0.hypot(q.1));
            let counts = (length - NOISE).clamp(0.0, STRONG);
            // The constant keeps noise from agreeing or disagreeing by chance.
            let cosine = (r.0 * q.0 + r.1 * q.1) / (length * seen_length + 1.0);
            cell.weight += counts;
            cell.seen_weight += (seen_length - NOISE).clamp(0.0, STRONG);
            cell.agreement += counts * cosine;
            if !is_clipped(seen) {
                weight += counts;
                agreement += counts * cosine;
            }
        }
    }
    let structure = agreement / (weight + FEW_GRADIENTS);
    let part = copied_part(&cells);
    let cells: Vec<Cell> = cells.into_iter().filter(|cell| cell.count >= (SAMPLES * SAMPLES / 2) as f64).collect();
    let (difference, recolour) = if coloured { colours(&cells) } else { (0.0, None) };
    Comparison { structure, part, difference, recolour }
}

/// The part of a grid of cells that agrees. Cells between agreeing ones, in their row or column, belong to it: in a
/// cut-out they agree too, while goods before the backdrop of a reference do not.
fn copied_part(cells: &[Cell]) -> CopiedPart {
    let agrees = |row: usize, column: usize| cells[row * CELLS + column].agrees();
    let rows: Vec<_> = (0..CELLS).map(|row| span(|column| agrees(row, column))).collect();
    let columns: Vec<_> = (0..CELLS).map(|column| span(|row| agrees(row, column))).collect();
    let (mut agreement, mut inside, mut all) = (0.0, 0.0, 0.0);
    let (mut either_inside, mut either) = (0.0, 0.0);
    for (place, cell) in cells.iter().enumerate() {
        let (row, column) = (place / CELLS, place % CELLS);
        let stronger = cell.weight.max(cell.seen_weight);
        all += cell.weight;
        either += stronger;
        if rows[row].contains(&column) || columns[column].contains(&row) {
            agreement += cell.agreement;
            inside += cell.weight;
            either_inside += stronger;
        }
    }
    CopiedPart {
        agreement: agreement / (inside + FEW_GRADIENTS),
        share: inside / f64::max(all, 1.0),
        around: 1.0 - either_inside / f64::max(either, 1.0),
    }
}

/// From the first agreeing cell of a line to the last; empty if none agrees.
fn span(agrees: impl Fn(usize) -> bool) -> Range<usize> {
    let last = (0..CELLS).rfind(|&place| agrees(place));
    last.map_or(0..0, |last| (0..CELLS).find(|&place| agrees(place)).unwrap_or(last)..last + 1)
}

/// Grey gradients of both photos at a sample; `None` where a neighbour is outside the comparison.
fn gradients(samples: &Samples, row: usize, column: usize) -> Option<((f64, f64), (f64, f64))> {
    if !(1..STEPS - 1).contains(&row) || !(1..STEPS - 1).contains(&column) {
        return None;
    }
    let at = |row: usize, column: usize| samples.0[row * STEPS + column].map(|(r, q)| (grey(r), grey(q)));
    let (left, right) = (at(row, column - 1)?, at(row, column + 1)?);
    let (above, below) = (at(row - 1, column)?, at(row + 1, column)?);
    let half = |one: f64, other: f64| (one - other) / 2.0;
    Some(((half(right.0, left.0), half(below.0, above.0)), (half(right.1, left.1), half(below.1, above.1))))
}

fn is_clipped(colour: Colour) -> bool {
    colour.iter().all(|value| *value >= WHITE) || colour.iter().all(|value| *value <= BLACK)
}

impl Cell {
    fn agrees(&self) -> bool {
        self.weight > STRUCTURED && self.agreement > AGREES * self.weight
    }

    fn is_plain(&self) -> bool {
        self.weight <= STRUCTURED && self.seen_weight <= STRUCTURED
    }

    /// Weight in a fit. Plain background gets little weight, because there is much of it.
    fn counts(&self) -> f64 {
        if self.agrees() {
            1.0
        } else if self.is_plain() {
            0.25
        } else {
            0.0
        }
    }

    fn known(&self) -> [f64; 3] {
        self.known.map(|sum| sum / self.count)
    }

    fn seen(&self) -> [f64; 3] {
        self.seen.map(|sum| sum / self.count)
    }

    fn is_unchanged(&self) -> bool {
        self.known().iter().zip(self.seen()).all(|(known, seen)| (known - seen).abs() < UNCHANGED)
    }

    /// Whether the cell's lightness may be clipped.
    fn is_cut_off(&self) -> bool {
        let (known, seen) = (self.known(), self.seen());
        seen.iter().all(|value| *value >= 251.0)
            || seen.iter().all(|value| *value <= 4.0)
            || known.iter().all(|value| *value >= 253.0)
    }
}

/// A complex number whose direction is the hue and whose length, 0 to about 200, is the saturation.
pub(super) fn chroma([red, green, blue]: [f64; 3]) -> Complex<f64> {
    Complex::new((red - green) * FRAC_1_SQRT_2, (f64::midpoint(red, green) - blue) * 0.8165)
}

fn lightness([red, green, blue]: [f64; 3]) -> f64 {
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/// The mean difference, and the recolouring if there is one.
fn colours(cells: &[Cell]) -> (f64, Option<Recolour>) {
    let agreeing = cells.iter().filter(|cell| cell.agrees()).count();
    if agreeing == 0 {
        return (0.0, None);
    }
    let lightness = lightness_differences(cells);
    let differences = |bounds: &Bounds| -> Vec<f64> {
        let chroma = chroma_differences(cells, bounds);
        chroma.iter().zip(&lightness).map(|(chroma, light)| chroma.hypot(LIGHTNESS_COUNTS * light)).collect()
    };
    let plain = differences(&LIGHTNESS);
    let agreeing_ones = || cells.iter().zip(&plain).filter(|(cell, _)| cell.agrees());
    let difference = agreeing_ones().map(|(_, difference)| difference).sum::<f64>() / agreeing as f64;
    if agreeing < FEWEST {
        return (difference, None);
    }
    let share = |differences: &[f64], least: f64| {
        let more = cells.iter().zip(differences).filter(|(cell, by)| cell.agrees() && **by > least).count();
        more as f64 / agreeing as f64
    };
    let unchanged = cells.iter().filter(|cell| cell.is_unchanged()).count() as f64 / cells.len() as f64;
    let differs = if is_greyish(cells) {
        // The photo may have been made grey, which preserves the lightness.
        let light: Vec<f64> = lightness.iter().map(|light| LIGHTNESS_COUNTS * light).collect();
        share(&light, DIFFERS_GREATLY) >= SHARE_DIFFERS_GREATLY
    } else {
        unchanged >= SHARE_UNCHANGED && share(&plain, DIFFERS) >= SHARE_DIFFERS
            || share(&differences(&FILTERS), DIFFERS_GREATLY) >= SHARE_DIFFERS_GREATLY
    };
    let recolour = differs.then(|| {
        let changed: Vec<&Cell> = agreeing_ones().filter(|(_, by)| **by > DIFFERS).map(|(cell, _)| cell).collect();
        Recolour {
            reference: mean(changed.iter().map(|cell| cell.known())),
            photo: mean(changed.iter().map(|cell| cell.seen())),
        }
    });
    (difference, recolour)
}

fn mean(colours: impl Iterator<Item = [f64; 3]>) -> [u8; 3] {
    let (mut count, mut sum) = (0.0, [0.0; 3]);
    for colour in colours {
        count += 1.0;
        add(&mut sum, colour);
    }
    sum.map(|sum| (sum / f64::max(count, 1.0)).round().clamp(0.0, 255.0) as u8)
}

fn add(sum: &mut [f64; 3], colour: [f64; 3]) {
    sum.iter_mut().zip(colour).for_each(|(sum, value)| *sum += value);
}

fn is_greyish(cells: &[Cell]) -> bool {
    let mut chromas: Vec<f64> =
        cells.iter().filter(|cell| cell.agrees()).map(|cell| chroma(cell.seen()).norm()).collect();
    chromas.sort_by(f64::total_cmp);
    chromas.get((chromas.len().saturating_sub(1) as f64 * 0.95).round() as usize).is_none_or(|most| *most < GREYISH)
}

/// The chroma of a cell in the reference and in the photo.
type Pair = (Complex<f64>, Complex<f64>);

/// How much hue and saturation of each cell differ after the best edit within bounds is applied to the reference.
fn chroma_differences(cells: &[Cell], bounds: &Bounds) -> Vec<f64> {
    let pairs: Vec<Pair> = cells.iter().map(|cell| (chroma(cell.known()), chroma(cell.seen()))).collect();
    let mut differences = vec![0.0; cells.len()];
    for _ in 0..ROUNDS {
        let weights: Vec<f64> =
            cells.iter().zip(&differences).map(|(cell, by)| cell.counts() / f64::max(1.0, by / 12.0)).collect();
        let total = weights.iter().sum::<f64>() + 1e-6;
        let weighed = |value: &dyn Fn(&Pair) -> Complex<f64>| {
            pairs.iter().zip(&weights).fold(Complex::new(0.0, 0.0), |sum, (pair, weight)| sum + value(pair) * *weight)
        };
        let (r, q) = (weighed(&|pair| pair.0) / total, weighed(&|pair| pair.1) / total);
        // Pulled towards no change where there is little evidence.
        let held = 60.0 * total;
        let covariance = weighed(&|pair| (pair.1 - q) * (pair.0 - r).conj()) + held;
        let variance = weighed(&|pair| Complex::new((pair.0 - r).norm_sqr(), 0.0)).re + held;
        let free = covariance / variance;
        let turn = free.arg().clamp(-bounds.turn, bounds.turn);
        let factor = Complex::from_polar(free.norm().clamp(bounds.saturation.0, bounds.saturation.1), turn);
        let tint = weighed(&|pair| pair.1 - factor * pair.0) / total;
        let tint = tint * f64::min(1.0, bounds.tint / (tint.norm() + 1e-6));
        for (difference, pair) in differences.iter_mut().zip(&pairs) {
            *difference = (pair.1 - factor * pair.0 - tint).norm();
        }
    }
    differences
}

/// The same for lightness: gain and offset within bounds, clipped at black and white.
fn lightness_differences(cells: &[Cell]) -> Vec<f64> {
    let pairs: Vec<(f64, f64)> = cells.iter().map(|cell| (lightness(cell.known()), lightness(cell.seen()))).collect();
    let mut differences = vec![0.0; cells.len()];
    for _ in 0..ROUNDS {
        let weights: Vec<f64> = cells
            .iter()
            .zip(&differences)
            .map(|(cell, by)| cell.counts() * if cell.is_cut_off() { 0.05 } else { 1.0 } / f64::max(1.0, by / 15.0))
            .collect();
        let total = weights.iter().sum::<f64>() + 1e-6;
        let weighed = |value: &dyn Fn(&(f64, f64)) -> f64| {
            pairs.iter().zip(&weights).map(|(pair, weight)| value(pair) * weight).sum::<f64>()
        };
        let (r, q) = (weighed(&|pair| pair.0) / total, weighed(&|pair| pair.1) / total);
        let held = 100.0 * total;
        let gain =
            (weighed(&|pair| (pair.1 - q) * (pair.0 - r)) + held) / (weighed(&|pair| (pair.0 - r).powi(2)) + held);
        let gain = gain.clamp(GAIN.0, GAIN.1);
        let offset = (weighed(&|pair| pair.1 - gain * pair.0) / total).clamp(-OFFSET, OFFSET);
        for (difference, pair) in differences.iter_mut().zip(&pairs) {
            *difference = (pair.1 - (gain * pair.0 + offset).clamp(0.0, 255.0)).abs();
        }
    }
    differences
}
