//! Meta's perceptual hash, in which platforms exchange what they look for.
//!
//! The formulas are those of "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm" (Facebook,
//! 2019) and of its reference implementation, `pdq/cpp` in Meta's repository `ThreatExchange`. Sums are of the same
//! numbers in the same order as there: `f32` rounds each sum, and a bit compares numbers that may be nearly equal.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "levels of at most 255 and their means, rounded as the reference does; sides of pictures"
)]

use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use image::{Rgb, RgbImage};

use super::{hex_digits, write_hex};

/// Side of the grey thumbnail, in pixels.
const SIDE: usize = 64;

/// Frequencies kept along each side of the thumbnail, from the first above the mean.
const FREQUENCIES: usize = 16;

/// Photos with a shorter side have no hash.
const LEAST_SIDE: usize = 5;

type Thumbnail = [[f32; SIDE]; SIDE];

/// A photo's PDQ hash and PDQ quality, as Meta's Hasher-Matcher-Actioner and `ThreatExchange` exchange them.
///
/// For the same pixels it has the bits that the PyPI packages `pdqhash` 0.2.8 and `threatexchange` give. Like them it
/// takes the photo at its full size. Meta's command-line tool scales photos with a side above 512 pixels to
/// 512 x 512 first, to the nearest pixel and without averaging: its hashes of those differ in a few bits (docs/decisions,
/// 018).
///
/// Meta recommends to take photos whose hashes differ in at most 31 bits for the same, and not to use hashes of a
/// quality below 50.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pdq {
    /// 256 bits, the last first: bit `16 * i + j` of the reference is bit `7 - k % 8` of byte `k / 8`, where
    /// `k = 255 - (16 * i + j)`. It is set if the DCT coefficient of the frequency `i + 1` down and `j + 1` across is
    /// above the median of all. All are zero if a side of the photo is shorter than 5 pixels.
    pub hash: [u8; 32],
    /// 0 (blank) to 100 (full of detail): the sum of quantised gradients of the 64 x 64 thumbnail, divided by 90. The
    /// text of a hash has none: 100 if it was read from there.
    pub quality: u8,
}

impl Pdq {
    /// Photos whose hashes differ in at most this many of 256 bits count as the same, as Meta recommends.
    pub const NEAR_BITS: u32 = 31;
    /// Hashes of a lower quality match nothing, as Meta recommends.
    pub const LEAST_QUALITY: u8 = 50;

    /// Whether the photo has enough detail for its hash to match others.
    #[must_use]
    pub fn can_match(&self) -> bool {
        self.quality >= Self::LEAST_QUALITY
    }

    /// Hashes the photo. Needs about a sixteenth of a byte of memory for each of its pixels.
    #[must_use]
    pub fn of(rgb: &RgbImage) -> Self {
        let (width, height) = (rgb.width() as usize, rgb.height() as usize);
        if width.min(height) < LEAST_SIDE {
            return Self { hash: [0; 32], quality: 0 };
        }
        let small = if (width, height) == (SIDE, SIDE) { unscaled(rgb) } else { shrunk(rgb) };
        Self { hash: hash(&small), quality: quality(&small) }
    }

    /// How many bits differ, 0 (the same hash) to 256.
    #[must_use]
    pub fn distance(&self, other: &Self) -> u32 {
        self.hash.iter().zip(other.hash).map(|(one, other)| (one ^ other).count_ones()).sum()
    }
}

/// The hash as 64 lower-case hex digits, in the order of `pdqhash`, `threatexchange` and the reference.
impl fmt::Display for Pdq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.hash, f)
    }
}

/// A text that is not 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a PDQ hash of 64 lower-case hex digits")]
pub struct NotAPdq;

impl FromStr for Pdq {
    type Err = NotAPdq;

    fn from_str(text: &str) -> Result<Self, NotAPdq> {
        Ok(Self { hash: hex_digits(text).ok_or(NotAPdq)?, quality: 100 })
    }
}

/// Luma of BT.601, 0 to 255.
fn luma(Rgb([red, green, blue]): Rgb<u8>) -> f32 {
    (f64::from(red) * 0.299 + f64::from(green) * 0.587 + f64::from(blue) * 0.114) as f32
}

fn unscaled(rgb: &RgbImage) -> Thumbnail {
    let mut small = [[0.0; SIDE]; SIDE];
    for (level, pixel) in small.as_flattened_mut().iter_mut().zip(rgb.pixels()) {
        *level = luma(*pixel);
    }
    small
}

/// Two passes of a box filter over rows and columns (Jarosz's approximation of a tent), then one pixel of each of
/// 64 x 64 cells.
fn shrunk(rgb: &RgbImage) -> Thumbnail {
    let (width, height) = (rgb.width() as usize, rgb.height() as usize);
    // Half a cell, rounded up.
    let window = |length: usize| length.div_ceil(2 * SIDE);
    let centre = |cell: usize, length: usize| (2 * cell + 1) * length / (2 * SIDE);

    let mut small = [[0.0; SIDE]; SIDE];
    let mut first = Down::new(width, height, window(height));
    let mut second = first.clone();
    let ahead = first.window.ahead();
    let across = Window { size: window(width), length: width };
    let (mut row, mut means) = (vec![0.0; width], vec![0.0; width]);
    let mut rows = rgb.rows();
    for y in 0..height + 2 * ahead {
        match rows.next() {
            Some(pixels) => {
                row.iter_mut().zip(pixels).for_each(|(level, pixel)| *level = luma(*pixel));
                across.means(&row, &mut means);
            }
            None => means.fill(0.0),
        }
        first.push(&mut means);
        match y.checked_sub(ahead) {
            None => continue,
            Some(y) if y < height => across.means(&means, &mut row),
            Some(_) => row.fill(0.0),
        }
        second.push(&mut row);
        let Some(y) = y.checked_sub(2 * ahead) else { continue };
        for (_, cells) in small.iter_mut().enumerate().filter(|(cell, _)| centre(*cell, height) == y) {
            for (cell, level) in cells.iter_mut().enumerate() {
                *level = row[centre(cell, width)];
            }
        }
    }
    small
}

/// A window that moves over `length` values and reaches over both ends; `size` is at most `length`.
#[derive(Clone, Copy)]
struct Window {
    size: usize,
    length: usize,
}

impl Window {
    /// How many values it contains after the one whose mean it gives.
    fn ahead(self) -> usize {
        self.size / 2
    }

    /// How many values it contains when its last place is `at`.
    fn count(self, at: usize) -> f32 {
        ((at + 1).min(self.length) - (at + 1).saturating_sub(self.size)) as f32
    }

    /// The mean around each value.
    fn means(self, values: &[f32], means: &mut [f32]) {
        let ahead = self.ahead();
        let mut sum = 0.0;
        for at in 0..self.length + ahead {
            if let Some(value) = values.get(at) {
                sum += value;
            }
            if at >= self.size {
                sum -= values[at - self.size];
            }
            if at >= ahead {
                means[at - ahead] = sum / self.count(at);
            }
        }
    }
}

/// [`Window::means`] of every column, from rows that come one after the other.
#[derive(Clone)]
struct Down {
    window: Window,
    pushed: usize,
    sums: Vec<f32>,
    /// The rows in the window; a row replaces the one that leaves.
    held: Vec<Vec<f32>>,
}

impl Down {
    fn new(width: usize, length: usize, size: usize) -> Self {
        let zeros = vec![0.0; width];
        Self { window: Window { size, length }, pushed: 0, held: vec![zeros.clone(); size], sums: zeros }
    }

    /// Takes the next row, of zeros after the last, and gives the means around the row that came `ahead` rows before.
    fn push(&mut self, row: &mut [f32]) {
        let count = self.window.count(self.pushed);
        let held = &mut self.held[self.pushed % self.window.size];
        for ((value, held), sum) in row.iter_mut().zip(held).zip(&mut self.sums) {
            *sum += *value;
            *sum -= *held;
            *held = *value;
            *value = *sum / count;
        }
        self.pushed += 1;
    }
}

fn quality(small: &Thumbnail) -> u8 {
    let down = small.iter().zip(&small[1..]).flat_map(|(row, next)| row.iter().zip(next));
    let across = small.iter().flat_map(|row| row.iter().zip(&row[1..]));
    let sum: i32 = down.chain(across).map(|(one, next)| (((one - next) * 100.0 / 255.0) as i32).abs()).sum();
    u8::try_from((sum / 90).min(100)).unwrap_or(100)
}

/// The rows of the DCT's matrix for the frequencies kept.
static WAVES: LazyLock<[[f32; SIDE]; FREQUENCIES]> = LazyLock::new(|| {
    let scale = f64::from((2.0 / SIDE as f64).sqrt() as f32);
    let wave = |frequency: usize, at: usize| {
        (scale * (PI / 2.0 / SIDE as f64 * (frequency + 1) as f64 * (2 * at + 1) as f64).cos()) as f32
    };
    std::array::from_fn(|frequency| std::array::from_fn(|at| wave(frequency, at)))
});

fn hash(small: &Thumbnail) -> [u8; 32] {
    let waves = &*WAVES;
    let mut coefficients = [[0.0_f32; FREQUENCIES]; FREQUENCIES];
    for (down, coefficients) in waves.iter().zip(&mut coefficients) {
        let mut sums = [0.0_f32; SIDE];
        for (weight, levels) in down.iter().zip(small) {
            sums.iter_mut().zip(levels).for_each(|(sum, level)| *sum += weight * level);
        }
        for (across, coefficient) in waves.iter().zip(coefficients) {
            *coefficient = sums.iter().zip(across).fold(0.0, |sum, (part, weight)| sum + part * weight);
        }
    }
    let coefficients = coefficients.as_flattened();
    let mut sorted = coefficients.to_vec();
    let middle = sorted.len() / 2 - 1;
    let (_, &mut median, _) = sorted.select_nth_unstable_by(middle, f32::total_cmp);

    let mut hash = [0; 32];
    for (bit, _) in coefficients.iter().rev().enumerate().filter(|(_, coefficient)| **coefficient > median) {
        hash[bit / 8] |= 0x80 >> (bit % 8);
    }
    hash
}
