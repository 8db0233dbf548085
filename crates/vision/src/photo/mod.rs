//! Decodes bytes to a [`Photo`]: detects the type, checks limits, decodes, turns upright, converts to sRGB without
//! alpha.
//!
//! Works in memory only: no files, no network, no async.

mod animation;
mod artwork;
mod avif;
mod bmp;
mod boxes;
mod colour;
mod decode;
mod doubt;
mod error;
mod fingerprint;
mod gif;
mod heic;
mod jpeg;
mod jxl;
mod look;
mod panels;
mod pdq;
mod png;
mod resize;
mod sniff;
mod tiff;

use std::fmt;
use std::io;

use image::RgbImage;
use serde::{Deserialize, Serialize};
use sha2::Digest;

pub use artwork::is_artwork;
pub use doubt::{Doubt, NoDoubt, doubts};
pub use error::PhotoError;
pub use fingerprint::Fingerprint;
pub use look::Look;
pub use panels::Panel;
pub use pdq::{NotAPdq, Pdq};
pub(crate) use resize::{Filter, resized, within};
pub use sniff::Format;

/// Limits for one photo. Each is checked before memory for pixels is allocated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Size of the file in bytes.
    pub max_bytes: usize,
    /// Width in pixels, as stored (before the EXIF turn).
    pub max_width: u32,
    /// Height in pixels, as stored.
    pub max_height: u32,
    /// Width times height.
    pub max_pixels: u64,
    /// Bytes of memory that a decoder may allocate for one photo.
    pub max_memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 20 << 20,
            max_width: 16_384,
            max_height: 16_384,
            max_pixels: 40_000_000,
            max_memory: 512 << 20,
        }
    }
}

/// The SHA-256 of a file's bytes, shown as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// The SHA-256 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The SHA-256 of everything that `reader` yields, and its length in bytes.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn of_all(mut reader: impl io::Read) -> io::Result<(Self, u64)> {
        let mut hasher = sha2::Sha256::new();
        let bytes = io::copy(&mut reader, &mut hasher)?;
        Ok((Self(hasher.finalize().into()), bytes))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

fn write_hex(bytes: &[u8; 32], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// The bytes that 64 lower-case hex digits mean; `None` for any other text.
fn hex_digits(text: &str) -> Option<[u8; 32]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != 32 || !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = digit(pair[0])? * 16 + digit(pair[1])?;
    }
    Some(bytes)
}

/// A text that is not 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a SHA-256 of 64 lower-case hex digits")]
pub struct NotASum;

impl std::str::FromStr for Sha256 {
    type Err = NotASum;

    fn from_str(text: &str) -> Result<Self, NotASum> {
        hex_digits(text).map(Self).ok_or(NotASum)
    }
}

impl Serialize for Sha256 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The decoded pixels of a file, with findings about the file.
#[derive(Debug)]
pub struct Pixels {
    /// Upright, in sRGB, blended with white.
    pub rgb: RgbImage,
    /// Number of frames compared; 1 for a still image.
    pub frames: u32,
    /// Whether other frames of an animation look different.
    pub more_frames: bool,
    /// Whether a part of the file was damaged, so that a part of the photo may be missing.
    pub damaged: bool,
    /// The same photo on black, if a part of its content nearly vanishes on white.
    pub on_black: Option<RgbImage>,
    /// Whether all content nearly vanishes on white.
    pub invisible_on_white: bool,
}

impl Pixels {
    fn still(rgb: RgbImage) -> Self {
        Self { rgb, frames: 1, more_frames: false, damaged: false, on_black: None, invisible_on_white: false }
    }
}

/// Decodes the pixels of a file, for a process that does nothing else.
///
/// # Errors
/// [`PhotoError`] says what was wrong, what is accepted and what to do.
pub fn pixels(bytes: &[u8], limits: &Limits) -> Result<Pixels, PhotoError> {
    Ok(decode::decode(bytes, limits)?.1)
}

/// SHA-256 of width and height (little-endian, 4 bytes each) and the pixels.
fn pixel_sum(rgb: &RgbImage) -> Sha256 {
    let mut sum = sha2::Sha256::new();
    sum.update(rgb.width().to_le_bytes());
    sum.update(rgb.height().to_le_bytes());
    sum.update(rgb.as_raw());
    Sha256(sum.finalize().into())
}

/// The stored pixels of a JPEG, neither turned nor converted, and whether a part is damaged.
#[cfg(fuzzing)]
#[must_use]
pub fn stored_jpeg(bytes: &[u8], limits: &Limits) -> Option<(RgbImage, bool)> {
    let jpeg = jpeg::Jpeg::open(bytes).ok()?;
    let pixels = u64::from(jpeg.width) * u64::from(jpeg.height);
    if bytes.len() > limits.max_bytes || pixels > limits.max_pixels { None } else { jpeg.pixels().ok() }
}

/// A decoded photo, upright, in sRGB, blended with white.
#[derive(Debug, Clone)]
pub struct Photo {
    rgb: RgbImage,
    sha256: Sha256,
    format: Format,
    frames: u32,
    more_frames: bool,
    damaged: bool,
    on_black: Option<RgbImage>,
    invisible_on_white: bool,
}

impl Photo {
    /// Decodes `bytes` under `limits`.
    ///
    /// The bytes, never a name, determine the type. An animation is represented by the frame shown longest, a document
    /// by its first page.
    ///
    /// # Errors
    /// When the type is not accepted, a limit is exceeded, or the data are too damaged to decode.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, PhotoError> {
        let (format, pixels) = decode::decode(bytes, limits)?;
        Ok(Self::of_pixels(pixels, bytes, format))
    }

    /// The type that `bytes` claim to have.
    ///
    /// # Errors
    /// When they exceed [`Limits::max_bytes`], or do not begin like a photo.
    pub fn sniff(bytes: &[u8], limits: &Limits) -> Result<Format, PhotoError> {
        decode::sniffed(bytes, limits)
    }

    /// The photo of pixels that [`pixels`] decoded from `bytes`.
    #[must_use]
    pub fn of_pixels(pixels: Pixels, bytes: &[u8], format: Format) -> Self {
        let Pixels { rgb, frames, more_frames, damaged, on_black, invisible_on_white } = pixels;
        Self { rgb, sha256: Sha256::of(bytes), format, frames, more_frames, damaged, on_black, invisible_on_white }
    }

    /// The pixels, 8 bits per channel, row by row.
    #[must_use]
    pub fn rgb(&self) -> &RgbImage {
        &self.rgb
    }

    /// The SHA-256 of the bytes that the photo was decoded from.
    #[must_use]
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// The type of the bytes.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Number of frames compared: 1 for a still image, at most 200.
    #[must_use]
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Whether an animation has other frames that look different from this one, or more frames than were compared.
    #[must_use]
    pub fn has_more_frames(&self) -> bool {
        self.more_frames
    }

    /// Whether a part of the file was damaged: the pixels are those that browsers show, but a part may be missing or
    /// wrong.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// The same photo on black; `None` unless a part of its content nearly vanishes on white.
    #[must_use]
    pub fn on_black(&self) -> Option<&RgbImage> {
        self.on_black.as_ref()
    }

    /// Whether all content nearly vanishes on white. Then [`Photo::on_black`] is present.
    #[must_use]
    pub fn is_invisible_on_white(&self) -> bool {
        self.invisible_on_white
    }

    /// The photo on the ground on which it is visible: black if it is invisible on white, else white.
    #[must_use]
    pub fn as_seen(self) -> Self {
        self.on_each_ground().0
    }

    /// The photo [as it is seen](Photo::as_seen), and the same on black if only a part of it vanishes on white.
    #[must_use]
    pub fn on_each_ground(mut self) -> (Self, Option<Self>) {
        let Some(on_black) = self.on_black.take() else { return (self, None) };
        if self.invisible_on_white {
            return (Self { rgb: on_black, ..self }, None);
        }
        let other = Self { rgb: on_black, on_black: None, ..self };
        (self, Some(other))
    }

    /// The SHA-256 of size and pixels, independent of the file format.
    #[must_use]
    pub fn pixel_sum(&self) -> Sha256 {
        pixel_sum(&self.rgb)
    }

    /// The checksums of the pixels on every ground: [`Photo::pixel_sum`], and that on black if present.
    #[must_use]
    pub fn pixel_sums(&self) -> Vec<Sha256> {
        [&self.rgb].into_iter().chain(&self.on_black).map(pixel_sum).collect()
    }

    /// Width in pixels, upright.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.rgb.width()
    }

    /// Height in pixels, upright.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.rgb.height()
    }

    /// The perceptual hash and the quality.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.rgb)
    }

    /// The appearance, cell by cell and in colour.
    #[must_use]
    pub fn look(&self) -> Look {
        Look::of(&self.rgb)
    }

    /// How much detail the photo has, 0 to 100; see [`Fingerprint::quality`].
    #[must_use]
    pub fn quality(&self) -> u8 {
        fingerprint::quality_of(&self.rgb)
    }

    /// The photo scaled down so that its longer side has at most `side` pixels; never enlarged. The checksum and type
    /// remain those of the original bytes.
    #[must_use]
    pub fn shrunk(self, side: u32) -> Self {
        let size = within(self.rgb.dimensions(), side);
        if size == self.rgb.dimensions() {
            return self;
        }
        Self { rgb: resized(&self.rgb, size, Filter::Bilinear), on_black: None, ..self }
    }

    /// Encodes the photo as a JPEG with a quality from 1 to 100.
    ///
    /// # Errors
    /// When a side exceeds what JPEG can store.
    pub fn to_jpeg(&self, quality: u8) -> Result<Vec<u8>, image::ImageError> {
        let mut bytes = Vec::new();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(&self.rgb)?;
        Ok(bytes)
    }

    /// Photos inside this one, largest first: cells of a collage, a photo on a screenshot.
    #[must_use]
    pub fn panels(&self) -> Vec<Panel> {
        panels::panels(&self.rgb)
    }

    /// The part of the photo inside `panel`. Checksum and type remain those of the whole photo's bytes.
    #[must_use]
    pub fn crop(&self, panel: &Panel) -> Self {
        let (width, height) = self.rgb.dimensions();
        let (left, right) = panels::pixels(panel.left, panel.right, width);
        let (top, bottom) = panels::pixels(panel.top, panel.bottom, height);
        let rgb = image::imageops::crop_imm(&self.rgb, left, top, right - left, bottom - top).to_image();
        Self { rgb, on_black: None, ..*self }
    }
}
