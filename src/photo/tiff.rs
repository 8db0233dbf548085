//! What the TIFF decoder does not know (TIFF 6.0): palettes (section 5), which are decoded as grey, then coloured, and
//! colours that have been multiplied by their alpha (section 18).

use image::RgbImage;

/// Tag 262, `PhotometricInterpretation`, and its values for grey and palette.
const PHOTOMETRIC: u16 = 262;
const BLACK_IS_ZERO: u16 = 1;
const PALETTE: u16 = 3;
/// Tag 320: all reds, all greens, all blues, 16 bits each.
const COLOR_MAP: u16 = 320;
/// Tag 258.
const BITS_PER_SAMPLE: u16 = 258;
/// Type SHORT.
const SHORT: u16 = 3;
const COLOURS: usize = 256;
/// Tag 338, and its value for associated alpha.
const EXTRA_SAMPLES: u16 = 338;
const ASSOCIATED_ALPHA: u16 = 1;

/// Tag 266, and its value for the least significant bit first.
const FILL_ORDER: u16 = 266;
const LOW_BIT_FIRST: u16 = 2;

/// Whether the bits of a TIFF's first page are stored in reverse, which the decoder does not notice.
pub(super) fn is_reversed(tiff: &[u8]) -> bool {
    first_page_has(tiff, FILL_ORDER, LOW_BIT_FIRST)
}

/// Whether the colours of a TIFF's first page have been multiplied by their alpha.
pub(super) fn is_premultiplied(tiff: &[u8]) -> bool {
    first_page_has(tiff, EXTRA_SAMPLES, ASSOCIATED_ALPHA)
}

fn first_page_has(tiff: &[u8], tag: u16, value: u16) -> bool {
    let file = Fields::of(tiff);
    file.and_then(|file| file.short(file.find(tag)? + 8)) == Some(value)
}

/// A palette TIFF of 8 bits, told apart into what the decoder reads and what colours it.
pub(super) struct PaletteTiff {
    /// The file with its pixels called grey.
    pub(super) grey: Vec<u8>,
    colours: Vec<[u8; 3]>,
}

impl PaletteTiff {
    /// `None` where the first page of a TIFF has no palette of 256 colours.
    pub(super) fn of(tiff: &[u8]) -> Option<Self> {
        let file = Fields::of(tiff)?;
        let photometric = file.find(PHOTOMETRIC)?;
        let is_short = |at: usize, value: u16| file.short(at + 2) == Some(SHORT) && file.short(at + 8) == Some(value);
        if !is_short(photometric, PALETTE) || !is_short(file.find(BITS_PER_SAMPLE)?, 8) {
            return None;
        }
        let map = file.find(COLOR_MAP)?;
        if file.long(map + 4)? as usize != COLOURS * 3 {
            return None;
        }
        let start = file.long(map + 8)? as usize;
        let entry = |at: usize| Some(u8::try_from(file.short(start.checked_add(at * 2)?)? >> 8).unwrap_or(u8::MAX));
        let colours = (0..COLOURS).map(|at| Some([entry(at)?, entry(COLOURS + at)?, entry(2 * COLOURS + at)?]));
        let colours = colours.collect::<Option<Vec<_>>>()?;
        let mut grey = tiff.to_owned();
        let value = if file.little { BLACK_IS_ZERO.to_le_bytes() } else { BLACK_IS_ZERO.to_be_bytes() };
        grey.get_mut(photometric + 8..photometric + 10)?.copy_from_slice(&value);
        Some(Self { grey, colours })
    }

    /// Gives pixels that were decoded as grey their colours.
    pub(super) fn colour(&self, rgb: &mut RgbImage) {
        for pixel in rgb.pixels_mut() {
            pixel.0 = self.colours[usize::from(pixel.0[0])];
        }
    }
}

/// The first directory of a classic TIFF.
struct Fields<'a> {
    bytes: &'a [u8],
    little: bool,
    first: usize,
    count: usize,
}

impl<'a> Fields<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let little = match bytes.get(..4)? {
            b"II*\0" => true,
            b"MM\0*" => false,
            _ => return None,
        };
        let mut fields = Self { bytes, little, first: 0, count: 0 };
        let directory = fields.long(4)? as usize;
        fields.count = usize::from(fields.short(directory)?);
        fields.first = directory.checked_add(2)?;
        Some(fields)
    }

    /// Where a tag's twelve bytes begin: tag, type, count, value.
    fn find(&self, tag: u16) -> Option<usize> {
        (0..self.count).map(|place| self.first + place * 12).find(|&at| self.short(at) == Some(tag))
    }

    fn short(&self, at: usize) -> Option<u16> {
        let bytes = *self.bytes.get(at..)?.first_chunk::<2>()?;
        Some(if self.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn long(&self, at: usize) -> Option<u32> {
        let bytes = *self.bytes.get(at..)?.first_chunk::<4>()?;
        Some(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }
}
