//! HEIC, decoded by `heic-decoder`: still images, grids and the first image of a sequence.

use heic_decoder::{ColorInfo, RgbOptions};
use image::metadata::Orientation;
use image::{DynamicImage, RgbImage, RgbaImage};

use super::boxes::{Boxes, full, number};
use super::colour::{CodePoints, ToSrgb, icc_profile};
use super::decode::{Decoded, check_size};
use super::{Format, Limits, PhotoError, Pixels};

/// Bytes of memory per pixel during decoding: 4:2:0 planes of 32-bit samples, as tiles and as a whole, and RGBA.
const BYTES_PER_PIXEL: u64 = 16;

/// Decodes the primary image. The decoder crops, rotates and mirrors it as the container states. EXIF orientation only
/// repeats that and is ignored.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded, PhotoError> {
    let failed = |error: heic_decoder::HeifError| PhotoError::broken(Format::Heic, error);
    if shows_a_picture(bytes) == Some(false) {
        return Err(PhotoError::broken(Format::Heic, "its primary item is a part of another image"));
    }
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
    // Only one image of a sequence is decoded; the content of the others is unknown.
    let stored = Pixels { more_frames: Boxes::find(bytes, *b"moov").is_some(), ..stored };
    Ok(Decoded { stored, orientation: Orientation::NoTransforms })
}

/// Whether the primary item is an image of its own: not hidden, and neither the transparency, nor a thumbnail, nor a
/// tile of another one (ISO/IEC 23008-12, 6.4). `None` where the boxes that tell are missing or damaged.
fn shows_a_picture(file: &[u8]) -> Option<bool> {
    let (_, _, meta) = full(Boxes::find(file, *b"meta")?)?;
    let (version, _, mut content) = full(Boxes::find(meta, *b"pitm")?)?;
    let primary = number(&mut content, version > 0)?;
    let (version, _, mut items) = full(Boxes::find(meta, *b"iinf")?)?;
    number(&mut items, version > 0)?;
    let hidden = Boxes::of(items).filter_map(|(_, item)| {
        let (version, flags, mut item) = full(item)?;
        (number(&mut item, version > 2)? == primary).then_some(flags & 1 != 0)
    });
    let hidden = hidden.last()?;
    let part = Boxes::find(meta, *b"iref").and_then(full).is_some_and(|(version, _, references)| {
        Boxes::of(references).any(|(kind, mut content)| {
            let from = number(&mut content, version > 0);
            match &kind {
                b"auxl" | b"thmb" => from == Some(primary),
                b"dimg" => {
                    // After the count, which has 2 bytes, the items follow to the end.
                    content = content.get(2..).unwrap_or_default();
                    std::iter::from_fn(|| number(&mut content, version > 0)).any(|to| to == primary)
                }
                _ => false,
            }
        })
    });
    Some(!hidden && !part)
}
