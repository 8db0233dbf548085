use image::RgbImage;
use nalgebra::{Complex, Matrix3, Vector3};

use super::Place;
use crate::align::colour::chroma;
use crate::align::features::LocalFeatures;

/// A colour that differs from the ground by more than this, of 255, belongs to the drawing.
const INK: f32 = 40.0;
/// Least number of such pixels in the thumbnail that make a drawing.
const FEWEST_PIXELS: usize = 8;
/// A pixel belongs to the drawing's box if at least this share of it is drawn.
const DRAWN: f32 = 0.3;
/// Inks have one hue if the length of their mean chroma is at least this share of their mean length, or if they are
/// nearly grey.
const ONE_HUE: f64 = 0.95;
const GREYISH: f64 = 25.0;
/// Margin around the drawing that is compared, as shares of the box's shorter and longer side; other things may be
/// beyond it.
const MARGIN: (f64, f64) = (0.2, 0.03);

/// A logo's drawing, separated from its ground.
#[derive(Debug, Clone)]
pub(super) struct Drawing {
    /// How much of each pixel is drawn, 0 to 1, and its halvings.
    levels: Vec<Coverage>,
    /// The box around the drawing: left, top, right and bottom in pixels of the reference's frame.
    bounds: [f64; 4],
    frame: (u32, u32),
    /// The drawing's colour; `None` if it has several hues.
    pub(super) ink: Option<[f64; 3]>,
}

#[derive(Debug, Clone)]
struct Coverage {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

impl Drawing {
    /// Separates the drawing from its ground; `None` if nothing stands out from the ground.
    pub(super) fn of(reference: &LocalFeatures) -> Option<Self> {
        let picture = &reference.thumbnail;
        let ground = border_colour(picture);
        let distances: Vec<f32> = picture.pixels().map(|pixel| away(*pixel, ground)).collect();
        let mut drawn: Vec<f32> = distances.iter().copied().filter(|distance| *distance > INK).collect();
        if drawn.len() < FEWEST_PIXELS {
            return None;
        }
        drawn.sort_by(f32::total_cmp);
        // The median of the drawn pixels counts fully, so that a lighter ink counts like a darker one.
        let full = drawn[drawn.len() / 2];
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let values: Vec<f32> = distances.iter().map(|distance| (distance / full).min(1.0)).collect();
        let bounds = bounds((width, height), |place| values[place] > DRAWN)?;
        let (fx, fy) = (f64::from(reference.frame.0) / width as f64, f64::from(reference.frame.1) / height as f64);
        let bounds = [bounds[0] * fx, bounds[1] * fy, bounds[2] * fx, bounds[3] * fy];
        let ink = ink(picture, &values);
        let mut levels = vec![Coverage { width, height, values }];
        while let Some(last) = levels.last()
            && last.width.min(last.height) >= 8
        {
            let half = last.halved();
            levels.push(half);
        }
        Some(Self { levels, bounds, frame: reference.frame, ink })
    }

    /// Width and height of the box in pixels of the reference's frame.
    pub(super) fn size(&self) -> (f64, f64) {
        let [left, top, right, bottom] = self.bounds;
        (right - left, bottom - top)
    }

    /// Maps the box to the reference's frame.
    pub(super) fn to_frame(&self) -> Matrix3<f64> {
        let [left, top, right, bottom] = self.bounds;
        let (x, y) = (f64::midpoint(left, right), f64::midpoint(top, bottom));
        Matrix3::new((right - left) / 2.0, 0.0, x, 0.0, (bottom - top) / 2.0, y, 0.0, 0.0, 1.0)
    }
}

impl Coverage {
    fn halved(&self) -> Self {
        let (width, height) = (self.width / 2, self.height / 2);
        let mean = |place: usize| {
            let (x, y) = (place % width * 2, place / width * 2);
            let at = |x: usize, y: usize| self.values[y * self.width + x];
            (at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1)) / 4.0
        };
        Self { width, height, values: (0..width * height).map(mean).collect() }
    }

    fn at(&self, x: f64, y: f64) -> f64 {
        let x = x.clamp(0.0, (self.width - 1) as f64);
        let y = y.clamp(0.0, (self.height - 1) as f64);
        let (left, top) = (x as usize, y as usize);
        let (fx, fy) = (x - left as f64, y - top as f64);
        let (right, below) = ((left + 1).min(self.width - 1), (top + 1).min(self.height - 1));
        let value = |x: usize, y: usize| f64::from(self.values[y * self.width + x]);
        (value(left, top) * (1.0 - fx) + value(right, top) * fx) * (1.0 - fy)
            + (value(left, below) * (1.0 - fx) + value(right, below) * fx) * fy
    }
}

/// A grid over the drawing's box and a margin around it.
pub(super) struct Grid {
    pub(super) columns: usize,
    pub(super) rows: usize,
    /// Positions of the points: -1 to 1 on both axes of the box.
    pub(super) points: Vec<(f64, f64)>,
    /// How much is drawn at each point, 0 to 1.
    pub(super) drawn: Vec<f64>,
    /// Distance between columns, and between rows.
    pub(super) step: (f64, f64),
}

impl Grid {
    /// A grid with `longer` points along the longer side.
    pub(super) fn over(drawing: &Drawing, longer: usize) -> Self {
        let (width, height) = drawing.size();
        let margin = MARGIN.0 * width.min(height) + MARGIN.1 * width.max(height);
        let (wide, high) = (width + 2.0 * margin, height + 2.0 * margin);
        let side = wide.max(high) / longer as f64;
        let (columns, rows) = (((wide / side).round() as usize).max(6), ((high / side).round() as usize).max(6));
        let (reach_x, reach_y) = (wide / width, high / height);
        let step = (2.0 * reach_x / columns as f64, 2.0 * reach_y / rows as f64);
        // Read from the halving whose pixels are about as large as a step; the photo is read alike.
        let pixel = f64::from(drawing.frame.0) / drawing.levels[0].width as f64;
        let level = ((side / pixel).log2().round().max(0.0) as usize).min(drawing.levels.len() - 1);
        let coverage = &drawing.levels[level];
        let to_frame = drawing.to_frame();
        let fx = coverage.width as f64 / f64::from(drawing.frame.0);
        let fy = coverage.height as f64 / f64::from(drawing.frame.1);
        let point = |place: usize| {
            let (row, column) = (place / columns, place % columns);
            (-reach_x + (column as f64 + 0.5) * step.0, -reach_y + (row as f64 + 0.5) * step.1)
        };
        let points: Vec<(f64, f64)> = (0..rows * columns).map(point).collect();
        let drawn = points.iter().map(|(u, v)| {
            let at = to_frame * Vector3::new(*u, *v, 1.0);
            coverage.at(at.x * fx - 0.5, at.y * fy - 0.5)
        });
        let drawn = drawn.collect();
        Self { columns, rows, points, drawn, step }
    }

    /// How much of the drawing four squares along the longer side explain, 0 to 1: a blot resembles many things.
    pub(super) fn simplicity(&self) -> f64 {
        let scale = 4.0 / self.columns.max(self.rows) as f64;
        let across = (self.columns as f64 * scale).ceil() as usize;
        let down = (self.rows as f64 * scale).ceil() as usize;
        let mut squares = vec![(0.0, 0.0); across * down];
        for (place, drawn) in self.drawn.iter().enumerate() {
            let (row, column) = (place / self.columns, place % self.columns);
            let square = &mut squares[row * down / self.rows * across + column * across / self.columns];
            *square = (square.0 + 1.0, square.1 + drawn);
        }
        let mean = self.drawn.iter().sum::<f64>() / self.drawn.len().max(1) as f64;
        let all: f64 = self.drawn.iter().map(|drawn| (drawn - mean).powi(2)).sum();
        let told: f64 = squares.iter().map(|(count, sum)| count * (sum / f64::max(*count, 1.0) - mean).powi(2)).sum();
        told / all.max(1e-9)
    }
}

/// The places of a drawing that is the only content on a plain ground, from the box around that content: straight and
/// mirrored.
pub(super) fn filling(picture: &RgbImage, frame: (u32, u32)) -> Vec<Place> {
    let ground = border_colour(picture);
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let pixels: Vec<bool> = picture.pixels().map(|pixel| away(*pixel, ground) > INK).collect();
    let Some([left, top, right, bottom]) = bounds((width, height), |place| pixels[place]) else {
        return Vec::new();
    };
    let (fx, fy) = (f64::from(frame.0) / width as f64, f64::from(frame.1) / height as f64);
    let (x, y) = (f64::midpoint(left, right) * fx - 0.5, f64::midpoint(top, bottom) * fy - 0.5);
    let (wide, high) = ((right - left) / 2.0 * fx, (bottom - top) / 2.0 * fy);
    vec![Place::new(wide, 0.0, x, 0.0, high, y), Place::new(-wide, 0.0, x, 0.0, high, y)]
}

/// Whether `photo` is a colour, and another one than `known`. Black, white and grey do not count as colours: logos are
/// printed in them everywhere.
pub(super) fn is_other_colour(known: [f64; 3], photo: [f64; 3]) -> bool {
    const COLOURED: f64 = 45.0;
    const OTHER_HUE: f64 = 0.7;
    let (known, photo) = (chroma(known), chroma(photo));
    photo.norm() >= COLOURED
        && (known.norm() <= GREYISH || (known.norm() >= COLOURED && (photo * known.conj()).arg().abs() >= OTHER_HUE))
}

fn away(pixel: image::Rgb<u8>, ground: [f32; 3]) -> f32 {
    pixel.0.into_iter().zip(ground).map(|(value, ground)| (f32::from(value) - ground).abs()).fold(0.0, f32::max)
}

/// Left, top, right and bottom of the pixels for which `is_drawn` is true.
fn bounds((width, height): (usize, usize), is_drawn: impl Fn(usize) -> bool) -> Option<[f64; 4]> {
    let drawn = (0..width * height).filter(|place| is_drawn(*place)).map(|place| (place % width, place / width));
    let around = drawn.fold(None, |around, (x, y)| {
        let (left, top, right, bottom) = around.unwrap_or((x, y, x, y));
        Some((left.min(x), top.min(y), right.max(x), bottom.max(y)))
    });
    around.map(|(left, top, right, bottom)| [left as f64, top as f64, right as f64 + 1.0, bottom as f64 + 1.0])
}

/// The colour of the most fully drawn pixels, if all drawn pixels have one hue.
fn ink(picture: &RgbImage, values: &[f32]) -> Option<[f64; 3]> {
    let drawn = |least: f32| {
        let pixels = picture.pixels().zip(values).filter(move |(_, value)| **value > least);
        pixels.map(|(pixel, _)| Vector3::from(pixel.0.map(f64::from)))
    };
    let chromas: Vec<Complex<f64>> = drawn(0.5).map(|colour| chroma(colour.into())).collect();
    let count = chromas.len().max(1) as f64;
    let (mean, length) =
        (chromas.iter().sum::<Complex<f64>>().norm(), chromas.iter().map(|one| one.norm()).sum::<f64>());
    if length / count > GREYISH && mean < ONE_HUE * length {
        return None;
    }
    let (sum, fully) = drawn(0.99).fold((Vector3::zeros(), 0.0), |(sum, count), colour| (sum + colour, count + 1.0));
    (fully > 0.0).then(|| (sum / fully).into())
}

/// The median colour of the border.
fn border_colour(picture: &RgbImage) -> [f32; 3] {
    let (width, height) = picture.dimensions();
    let border: Vec<[u8; 3]> = picture
        .enumerate_pixels()
        .filter(|(x, y, _)| *x == 0 || *y == 0 || x + 1 == width || y + 1 == height)
        .map(|(_, _, pixel)| pixel.0)
        .collect();
    std::array::from_fn(|channel| {
        let mut values: Vec<u8> = border.iter().map(|pixel| pixel[channel]).collect();
        values.sort_unstable();
        values.get(values.len() / 2).map_or(255.0, |value| f32::from(*value))
    })
}
