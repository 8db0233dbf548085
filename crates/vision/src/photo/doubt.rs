//! Doubts about a reference: it can be enrolled, but a similar photo proves nothing.

use std::fmt;
use std::str::FromStr;

use image::RgbImage;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::resize::{Filter, resized, within};
use super::{Photo, fingerprint};

/// Least shorter side of a good reference, in pixels.
const SMALLEST_SIDE: u32 = 32;
/// Longer side, in pixels, of the copy whose colours are counted.
const COUNTED_SIDE: u32 = 256;
/// Pixels whose channels differ by at most this, of 255, have one colour: JPEG and scaling change colours that much.
const ONE_COLOUR: u8 = 12;
/// This many of 1,000 pixels with one colour are nearly all. Of 1,668 real references (packshots on white, logos on
/// white, street photos) none has more than 968.
const NEARLY_ALL: usize = 990;
/// A photo without keypoints whose quality (0 to 100, see [`super::Fingerprint::quality`]) is below this is flat.
/// Gradients have 20 to 45. One of the 1,668 references has no keypoint: a curtain with a quality of 100.
const FLAT: u8 = 50;
/// The same for photos with one or two keypoints, too few for an alignment. Two of the 1,668 references have so few,
/// with qualities of 29 and 100.
const VERY_FLAT: u8 = 25;

/// Why a reference is matched by identity only: it matches the same file and the same pixels, and no similar photo. A
/// reference whose only doubt is that it is invisible on white is matched by identity on white and by similarity on
/// black.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Doubt {
    /// The shorter side has fewer than 32 pixels.
    TooSmall,
    /// Nearly all pixels have one colour.
    MostlyOneColour,
    /// The photo has transparent parts, and its content nearly vanishes on white.
    InvisibleOnWhite,
    /// The photo is flat and has hardly any keypoints.
    NothingToFind,
}

impl Doubt {
    /// Every doubt.
    pub const ALL: [Self; 4] = [Self::TooSmall, Self::MostlyOneColour, Self::InvisibleOnWhite, Self::NothingToFind];

    /// The stable kebab-case code.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooSmall => "too-small",
            Self::MostlyOneColour => "mostly-one-colour",
            Self::InvisibleOnWhite => "invisible-on-white",
            Self::NothingToFind => "nothing-to-find",
        }
    }

    /// The problem and its remedy in words.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::TooSmall => "The shorter side has fewer than 32 pixels. Send a larger photo.",
            Self::MostlyOneColour => {
                "Nearly all of the photo has one colour. Send a photo that shows the goods larger."
            }
            Self::InvisibleOnWhite => {
                "The photo has transparent parts and is invisible on white. It is compared on black; on white only the identical photo matches."
            }
            Self::NothingToFind => "The photo is flat and has hardly any keypoints. Send a photo with more detail.",
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

/// A text that is not the code of a doubt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the code of a doubt about a reference")]
pub struct NoDoubt(String);

/// The doubts about a photo as a reference, in the order of [`Doubt::ALL`]. A photo that is invisible on white is
/// examined on black. `keypoints` counts keypoints and is called only for a flat photo.
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

/// Number of pixels of 1,000 that have the commonest colour, or nearly that colour.
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
