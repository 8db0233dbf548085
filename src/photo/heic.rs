//! HEIC, decoded by `heic-decoder`: still pictures, grids and the first picture of a sequence.

use heic_decoder::{ColorInfo, RgbOptions};
use image::metadata::Orientation;
use image::{DynamicImage, RgbImage, RgbaImage};

use super::colour::{CodePoints, ToSrgb, icc_profile};
use super::decode::{Decoded, check_size};
use super::{Format, Limits, PhotoError, Pixels};

/// Bytes of memory per pixel during decoding: 4:2:0 planes of 32-bit samples, as tiles and as a whole, and RGBA.
const BYTES_PER_PIXEL: u64 = 16;

/// Decodes the primary picture. The decoder crops, rotates and mirrors it as the container says. EXIF orientation only
/// repeats that and is ignored.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded, PhotoError> {
    let failed = |error: heic_decoder::HeifError| PhotoError::broken(Format::Heic, error);
    let stated = heic_decoder::probe(bytes).map_err(failed)?;
    let size = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
    let (width, height) = (size(stated.coded_width), size(stated.coded_height));
    check_size(width, height, u64::from(width) * u64::from(height) * BYTES_PER_PIXEL, limits)?;
    let picture = heic_decoder::decode(bytes).map_err(failed)?;
    let (width, height) = (size(picture.width), size(picture.height));
    // Unspecified is BT.601, as in libheif.
    let labelled = picture.color_info.unwrap_or_default();
    let matrix_coefficients = match picture.color_info {
        Some(ColorInfo { matrix_coefficients, .. }) if matrix_coefficients != u16::from(CodePoints::UNSPECIFIED) => {
            matrix_coefficients
        }
        _ => 6,
    };
    let options = RgbOptions { color: Some(ColorInfo { matrix_coefficients, ..labelled }), ..RgbOptions::default() };
    let (image, premultiplied) = if picture.alpha.is_some() {
        let rgba = picture.to_rgba8_with_options(&options).map_err(failed)?;
        let image = RgbaImage::from_raw(width, height, rgba.data).map(DynamicImage::ImageRgba8);
        (image, rgba.premultiplied)
    } else {
        let rgb = picture.to_rgb8_with_options(&options).map_err(failed)?;
        (RgbImage::from_raw(width, height, rgb.data).map(DynamicImage::ImageRgb8), false)
    };
    let image = image.ok_or_else(|| PhotoError::broken(Format::Heic, "it has fewer pixels than it states"))?;
    let profile = match picture.metadata.icc_profile.as_deref() {
        Some(icc) => icc_profile(icc),
        None => picture.color_info.and_then(|colours| {
            let ColorInfo { color_primaries, transfer_characteristics, matrix_coefficients, full_range } = colours;
            CodePoints::of(color_primaries, transfer_characteristics, matrix_coefficients, full_range).profile()
        }),
    };
    let stored = ToSrgb::from(profile.as_ref()).picture(image, premultiplied);
    // Of a sequence one picture is decoded, and what the others show is not known.
    let stored = Pixels { more_frames: has_box(bytes, *b"moov"), ..stored };
    Ok(Decoded { stored, orientation: Orientation::NoTransforms })
}

/// Whether a box of this kind stands at the top of an ISO base media file (ISO/IEC 14496-12, 4.2).
fn has_box(mut file: &[u8], kind: [u8; 4]) -> bool {
    while let Some((length, rest)) = file.split_first_chunk::<4>() {
        if rest.starts_with(&kind) {
            return true;
        }
        let length = match u32::from_be_bytes(*length) {
            1 => rest.get(4..).and_then(<[u8]>::first_chunk).map(|length| u64::from_be_bytes(*length)),
            length => Some(length.into()),
        };
        // 0 is a last box, that reaches to the end.
        let next = length.and_then(|length| usize::try_from(length).ok()).filter(|length| *length >= 8);
        match next.and_then(|length| file.get(length..)) {
            Some(rest) => file = rest,
            None => return false,
        }
    }
    false
}
