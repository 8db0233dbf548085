//! Why a picture is a poor reference: it can be taken in, but what resembles it proves nothing.

use std::fmt;
use std::str::FromStr;

use image::RgbImage;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::resize::{Filter, resized, within};
use super::{Photo, fingerprint};

/// Pixels that the shorter side of a reference should have.
const SMALLEST_SIDE: u32 = 32;
/// Longer side at which colours are counted.
const COUNTED_SIDE: u32 = 256;
/// Levels of a channel, of 255, by which pixels of one colour may differ: what JPEG and scaling do.
const ONE_COLOUR: u8 = 12;
/// Of 1,000 pixels, so many of one colour are nearly all. Of 1,668 real references (packshots on white, logos on white,
/// street photos) none has more than 968.
const NEARLY_ALL: usize = 990;
/// Below this quality (0 to 100, see [`super::Fingerprint::quality`]) a picture without any keypoint is flat. Gradients
/// have 20 to 45. Of the same references one has no keypoint, a curtain whose quality is 100.
const FLAT: u8 = 50;
/// The same with one or two keypoints, which cannot place one picture in another. Of the same references two have so few,
/// with qualities of 29 and 100.
const VERY_FLAT: u8 = 25;

/// Why a reference is served by identity only: it matches the same file and the same pixels, and nothing that merely
/// resembles it. One that is invisible on white, and nothing else, is served by identity on white and by similarity on
/// black.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Doubt {
    /// The shorter side has fewer than 32 pixels.
    TooSmall,
    /// Nearly all pixels have one colour.
    MostlyOneColour,
    /// The picture has transparent parts, and what it shows nearly vanishes on white.
    InvisibleOnWhite,
    /// The picture is flat and has hardly any keypoints.
    NothingToFind,
}

impl Doubt {
    /// Every doubt.
    pub const ALL: [Self; 4] = [Self::TooSmall, Self::MostlyOneColour, Self::InvisibleOnWhite, Self::NothingToFind];

    /// As stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooSmall => "too-small",
            Self::MostlyOneColour => "mostly-one-colour",
            Self::InvisibleOnWhite => "invisible-on-white",
            Self::NothingToFind => "nothing-to-find",
        }
    }

    /// The doubt in words for people.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::TooSmall => "The shorter side has fewer than 32 pixels. Send a larger picture.",
            Self::MostlyOneColour => {
                "Nearly all of the picture has one colour. Send a picture that shows the goods larger."
            }
            Self::InvisibleOnWhite => {
                "The picture has transparent parts and is invisible on white. It is compared on black; on white only the identical picture matches."
            }
            Self::NothingToFind => "The picture is flat and has hardly any keypoints. Send a picture with more detail.",
        }
    }

    /// Whether references with these doubts match by identity only.
    #[must_use]
    pub fn leave_identity_only(doubts: &[Self]) -> bool {
        doubts.iter().any(|doubt| *doubt != Self::InvisibleOnWhite)
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Doubt {
    type Err = NoDoubt;

    fn from_str(text: &str) -> Result<Self, NoDoubt> {
        Self::ALL.into_iter().find(|doubt| doubt.as_str() == text).ok_or_else(|| NoDoubt(text.to_owned()))
    }
}

/// A name of no doubt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no doubt about a reference")]
pub struct NoDoubt(String);

/// The doubts about a picture as a reference, in the order of [`Doubt::ALL`]. One that is invisible on white is looked
/// at on black. `keypoints` counts keypoints and is asked only about a flat picture.
#[must_use]
pub fn doubts(photo: &Photo, keypoints: impl FnOnce(&RgbImage) -> usize) -> Vec<Doubt> {
    let rgb = photo.on_black().filter(|_| photo.is_invisible_on_white()).unwrap_or(photo.rgb());
    let mut doubts = Vec::new();
    if rgb.width().min(rgb.height()) < SMALLEST_SIDE {
        doubts.push(Doubt::TooSmall);
    }
    if commonest(rgb) >= NEARLY_ALL {
        doubts.push(Doubt::MostlyOneColour);
    }
    if photo.is_invisible_on_white() {
        doubts.push(Doubt::InvisibleOnWhite);
    }
    let quality = fingerprint::quality_of(rgb);
    let nothing_to_find = quality < FLAT
        && match keypoints(rgb) {
            0 => true,
            1 | 2 => quality < VERY_FLAT,
            _ => false,
        };
    if nothing_to_find {
        doubts.push(Doubt::NothingToFind);
    }
    doubts
}

/// How many of 1,000 pixels have the commonest colour, or nearly that colour.
fn commonest(rgb: &RgbImage) -> usize {
    const LEVELS: usize = 16;
    let small = resized(rgb, within(rgb.dimensions(), COUNTED_SIDE), Filter::Box);
    let cell = |pixel: &image::Rgb<u8>| {
        pixel.0.iter().fold(0, |cell, level| cell * LEVELS + usize::from(*level) / (256 / LEVELS))
    };
    let mut counts = vec![(0_u64, [0_u64; 3]); LEVELS.pow(3)];
    for pixel in small.pixels() {
        let (count, sums) = &mut counts[cell(pixel)];
        *count += 1;
        sums.iter_mut().zip(pixel.0).for_each(|(sum, level)| *sum += u64::from(level));
    }
    let Some((count, sums)) = counts.into_iter().max_by_key(|(count, _)| *count) else { return 0 };
    let mean = sums.map(|sum| u8::try_from(sum / count.max(1)).unwrap_or(u8::MAX));
    let near = |pixel: &&image::Rgb<u8>| pixel.0.iter().zip(mean).all(|(a, b)| a.abs_diff(b) <= ONE_COLOUR);
    small.pixels().filter(near).count() * 1000 / small.pixels().len().max(1)
}
