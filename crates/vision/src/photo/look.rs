use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::{DynamicImage, RgbImage};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::resize::{Filter, resized};

/// Cells per side whose colours are stored.
const COLOURED: u32 = 16;
/// Cells per side of which only the lightness is stored. Text or a photo laid over another one changes these, even if
/// the larger cells were made to come out the same.
const GREY: u32 = 32;
/// Bytes for red, green and blue of each coloured cell.
const COLOURS: usize = (COLOURED * COLOURED * 3) as usize;
const BYTES: usize = COLOURS + (GREY * GREY) as usize;

/// Two looks are the same if no coloured cell differs by more than this in any colour, of 255,
const COLOUR_TOLERANCE: u8 = 16;
/// no colour of the whole photo by more than this,
const TINT_TOLERANCE: i64 = 4;
/// and no grey cell by more than this. Of 200 real photos, compressed again at quality 40 to 80 or scaled to 1.4 of their
/// size, 98 of 100 stay within 7, 1 and 12; scaled to 0.6, within 11, 1 and 20. Text in letters of a ninth of the
/// height and another photo blended in by 55 %, both with the coloured cells made the same, differ by 42 and 41 in 95
/// of 100.
const GREY_TOLERANCE: u8 = 24;

/// The appearance of a photo, cell by cell and in colour. Two files have the same look if one is the other compressed
/// or scaled again. Unlike the perceptual hash, it detects changes of colour and small changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look([u8; BYTES]);

impl Look {
    pub(super) fn of(rgb: &RgbImage) -> Self {
        let mut cells = [0; BYTES];
        let (colours, grey) = cells.split_at_mut(COLOURS);
        colours.copy_from_slice(resized(rgb, (COLOURED, COLOURED), Filter::Box).as_raw());
        grey.copy_from_slice(DynamicImage::ImageRgb8(resized(rgb, (GREY, GREY), Filter::Box)).into_luma8().as_raw());
        Self(cells)
    }

    /// From [`Look::as_bytes`]; `None` if the length differs.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The cells, row by row.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether both photos look the same to a person.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let ((colours, grey), (others, other_grey)) = (self.0.split_at(COLOURS), other.0.split_at(COLOURS));
        let within = |one: &[u8], two: &[u8], most| one.iter().zip(two).all(|(one, two)| one.abs_diff(*two) <= most);
        within(colours, others, COLOUR_TOLERANCE)
            && within(grey, other_grey, GREY_TOLERANCE)
            && !is_tinted(colours, others)
    }
}

/// Whether a colour of the whole photo differs.
fn is_tinted(one: &[u8], two: &[u8]) -> bool {
    (0..3).any(|channel| {
        let sum = |cells: &[u8]| cells.iter().skip(channel).step_by(3).map(|value| i64::from(*value)).sum::<i64>();
        (sum(one) - sum(two)).abs() > TINT_TOLERANCE * i64::from(COLOURED * COLOURED)
    })
}

impl Serialize for Look {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Look {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64_STANDARD.decode(text).map_err(serde::de::Error::custom)?;
        Self::from_bytes(&bytes).ok_or_else(|| serde::de::Error::custom(format!("a look has {BYTES} bytes")))
    }
}
