//! Finds photos inside a photo: the cells of a collage, the photo on a screenshot or a page.
//!
//! Composed images have straight borders along the pixel grid. Long runs of sharp change in one column or row count as
//! borders, and every rectangle with a border on each side is a candidate.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "places in pictures of at most 16384 pixels a side"
)]

use image::{GrayImage, RgbImage, imageops};

use super::resize::{Filter, resized, within};

/// Longer side, in pixels, of the grey copy that is searched for borders.
const SIDE: u32 = 256;
/// Least change of grey value across a border.
const STEP: i32 = 20;
/// Least length of a border, as a share of the side along it.
const LENGTH: f32 = 0.2;
/// Least share of a rectangle's side that a border covers.
const COVERED: f32 = 0.85;
/// Most borders considered for each direction, longest first.
const BORDERS: usize = 10;
/// Least and greatest share of the photo that a panel covers.
const AREA: std::ops::Range<f32> = 0.04..0.8;
/// Content on a plain ground is a panel of its own if it covers less than this share of the photo.
const ON_PLAIN_GROUND: f32 = 0.2;
/// Greatest ratio of a panel's sides.
const ASPECT: f32 = 3.5;
/// Most rectangles compared with each other, because a drawn grid has thousands.
const RECTANGLES: usize = 100;
/// Most panels returned.
const PANELS: usize = 9;
/// Borders within this many pixels of each other count as one.
const SAME: usize = 3;

/// A rectangle of a photo, in fractions of its width and height.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Panel {
    /// Left edge, 0 to 1.
    pub left: f32,
    /// Upper edge, 0 to 1.
    pub top: f32,
    /// Right edge, 0 to 1, more than `left`.
    pub right: f32,
    /// Lower edge, 0 to 1, more than `top`.
    pub bottom: f32,
}

impl Panel {
    fn area(&self) -> f32 {
        (self.right - self.left) * (self.bottom - self.top)
    }

    fn intersection(&self, other: &Self) -> f32 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        width.max(0.0) * height.max(0.0)
    }
}

/// A border along one column (or row) at `at`, from `from` to `to`.
#[derive(Debug, Clone, Copy)]
struct Border {
    at: usize,
    from: usize,
    to: usize,
}

/// The panels of a photo, largest first; empty if it is a single photo.
pub(super) fn panels(rgb: &RgbImage) -> Vec<Panel> {
    let grey = shrink(rgb);
    let (width, height) = (grey.width() as usize, grey.height() as usize);
    if let Some(content) = content(&grey) {
        return vec![content];
    }
    if width < 32 || height < 32 {
        return Vec::new();
    }
    let upright = borders(&grey);
    let lying = borders(&imageops::rotate90(&imageops::flip_vertical(&grey)));
    if upright.len() + lying.len() == 0 {
        return Vec::new();
    }
    let mut found = rectangles(&framed(upright, width, height), &framed(lying, height, width), (width, height));
    found.sort_by(|a, b| b.area().total_cmp(&a.area()));
    found.truncate(RECTANGLES);
    atomic(&found)
}

/// The box around everything that differs from the photo's rim, if it is small on a large plain ground.
fn content(grey: &GrayImage) -> Option<Panel> {
    let (width, height) = grey.dimensions();
    let ground = i32::from(grey.get_pixel(0, 0).0[0]);
    let plain = |pixel: &image::Luma<u8>| (i32::from(pixel.0[0]) - ground).abs() < STEP;
    let rim = |x: u32, y: u32| x == 0 || y == 0 || x + 1 == width || y + 1 == height;
    let (mut left, mut top, mut right, mut bottom) = (width, height, 0, 0);
    for (x, y, _) in grey.enumerate_pixels().filter(|(_, _, pixel)| !plain(pixel)) {
        if rim(x, y) {
            return None;
        }
        (left, top, right, bottom) = (left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1));
    }
    let (wide, high) = (width as f32, height as f32);
    let panel = Panel {
        left: left as f32 / wide,
        top: top as f32 / high,
        right: right as f32 / wide,
        bottom: bottom as f32 / high,
    };
    (left < right && panel.area() < ON_PLAIN_GROUND).then_some(panel)
}

fn shrink(rgb: &RgbImage) -> GrayImage {
    imageops::grayscale(&resized(rgb, within(rgb.dimensions(), SIDE), Filter::Box))
}

/// The longest upright borders, at most one for each position.
fn borders(grey: &GrayImage) -> Vec<Border> {
    let (width, height) = (grey.width() as usize, grey.height() as usize);
    let least = (height as f32 * LENGTH) as usize;
    let pixels = grey.as_raw();
    let mut found: Vec<Border> = Vec::new();
    let mut changes = vec![0_i32; height];
    for x in 2..width - 1 {
        for (y, change) in changes.iter_mut().enumerate() {
            let row = &pixels[y * width..];
            // Two pixels apart, because scaling may have spread a border over both.
            *change = i32::from(row[x + 1]) - i32::from(row[x - 1]);
        }
        if let Some((from, to)) = longest_run(&changes)
            && to - from >= least
        {
            found.push(Border { at: x, from, to });
        }
    }
    found.sort_by_key(|border| std::cmp::Reverse(border.to - border.from));
    let mut kept: Vec<Border> = Vec::new();
    for border in found {
        let new = kept
            .iter()
            .all(|other| other.at.abs_diff(border.at) > SAME || border.to.min(other.to) < border.from.max(other.from));
        if new && kept.len() < BORDERS {
            kept.push(border);
        }
    }
    kept
}

/// The stretch with the most change, with a few gaps allowed (Kadane's algorithm with a reward for each position that
/// changes and six times that as a penalty for each that does not).
fn longest_run(changes: &[i32]) -> Option<(usize, usize)> {
    let (mut sum, mut start, mut best, mut run) = (0, 0, 0, None);
    for (place, change) in changes.iter().enumerate() {
        if sum <= 0 {
            (sum, start) = (0, place);
        }
        sum += if change.abs() >= STEP { 1 } else { -6 };
        if sum > best {
            best = sum;
            run = Some((start, place + 1));
        }
    }
    run
}

/// Adds the photo's own two sides.
fn framed(mut borders: Vec<Border>, across: usize, along: usize) -> Vec<Border> {
    borders.push(Border { at: 0, from: 0, to: along });
    borders.push(Border { at: across, from: 0, to: along });
    borders.sort_by_key(|border| border.at);
    borders
}

fn rectangles(upright: &[Border], lying: &[Border], (width, height): (usize, usize)) -> Vec<Panel> {
    let mut found = Vec::new();
    for (place, left) in upright.iter().enumerate() {
        for right in &upright[place + 1..] {
            for (place, top) in lying.iter().enumerate() {
                for bottom in &lying[place + 1..] {
                    let held = covers(left, top.at, bottom.at)
                        && covers(right, top.at, bottom.at)
                        && covers(top, left.at, right.at)
                        && covers(bottom, left.at, right.at);
                    let panel = Panel {
                        left: left.at as f32 / width as f32,
                        top: top.at as f32 / height as f32,
                        right: right.at as f32 / width as f32,
                        bottom: bottom.at as f32 / height as f32,
                    };
                    let (wide, high) = ((right.at - left.at) as f32, (bottom.at - top.at) as f32);
                    let shapely = wide <= high * ASPECT && high <= wide * ASPECT;
                    if held && shapely && AREA.contains(&panel.area()) {
                        found.push(panel);
                    }
                }
            }
        }
    }
    found
}

fn covers(border: &Border, from: usize, to: usize) -> bool {
    let covered = border.to.min(to).saturating_sub(border.from.max(from));
    to > from && covered as f32 >= (to - from) as f32 * COVERED
}

/// Of nested and overlapping rectangles the largest, unless others fill most of it: the cells of a collage, not its
/// rows.
fn atomic(found: &[Panel]) -> Vec<Panel> {
    let mut kept: Vec<Panel> = Vec::new();
    for panel in found {
        let inner = found
            .iter()
            .filter(|other| other.area() < panel.area() * 0.75 && panel.intersection(other) > other.area() * 0.9);
        let largest = inner.map(Panel::area).fold(0.0, f32::max);
        let divided = largest > panel.area() * 0.3;
        let seen = kept.iter().any(|other| panel.intersection(other) > panel.area() * 0.6);
        if !divided && !seen && kept.len() < PANELS {
            kept.push(*panel);
        }
    }
    kept
}

/// The pixels from the fraction `from` to the fraction `to` of `length`: at least one, all inside.
pub(super) fn pixels(from: f32, to: f32, length: u32) -> (u32, u32) {
    let at = |fraction: f32| (fraction.clamp(0.0, 1.0) * length as f32).round() as u32;
    let from = at(from).min(length.saturating_sub(1));
    (from, at(to).clamp(from + 1, length.max(from + 1)))
}
