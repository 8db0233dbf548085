use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, RgbImage, Rgba};
use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

use super::{Format, Limits, PhotoError};

/// Larger ICC profiles than this are printing profiles or padding; the photo is then read as sRGB.
const MAX_ICC_BYTES: usize = 4 << 20;

/// What a PNG's compressed profile and texts may unpack to. The pixels are not counted here: their
/// memory is checked from the header.
const MAX_PNG_METADATA_BYTES: u64 = 8 << 20;

/// The type of a file within the cap.
pub(super) fn sniffed(bytes: &[u8], limits: &Limits) -> Result<Format, PhotoError> {
    if bytes.len() > limits.max_bytes {
        return Err(PhotoError::TooManyBytes { got: bytes.len(), max: limits.max_bytes });
    }
    Format::sniff(bytes)
}

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<(Format, RgbImage), PhotoError> {
    let format = sniffed(bytes, limits)?;
    let broken = |error: ImageError| PhotoError::Broken { format: format.name(), reason: error.to_string() };

    if format == Format::Jpeg && !ends_whole(bytes) {
        return Err(PhotoError::Broken {
            format: format.name(),
            reason: "it ends before its end-of-image marker".to_owned(),
        });
    }
    // The header is read without limits so that an oversized picture is named with its size.
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format.image_format());
    let mut image_limits = image::Limits::no_limits();
    image_limits.max_alloc = Some(if format == Format::Png { MAX_PNG_METADATA_BYTES } else { limits.max_memory });
    reader.limits(image_limits);
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, decoder.total_bytes(), limits)?;

    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let icc = decoder.icc_profile().ok().flatten();
    let image = DynamicImage::from_decoder(decoder).map_err(broken)?;
    let mut rgb = over_white(image);
    if let Some(icc) = icc {
        to_srgb(&mut rgb, &icc);
    }
    let mut upright = DynamicImage::ImageRgb8(rgb);
    upright.apply_orientation(orientation);
    Ok((format, upright.into_rgb8()))
}

/// Whether an end-of-image marker (FF D9) follows the last start of scan (FF DA). The decoder fills what
/// is missing of a cut JPEG with grey, and grey matches nothing.
fn ends_whole(jpeg: &[u8]) -> bool {
    let last = |marker: [u8; 2]| jpeg.windows(2).rposition(|pair| pair == marker);
    last([0xff, 0xda]).is_none_or(|scan| last([0xff, 0xd9]).is_some_and(|end| end > scan))
}

fn check_size(width: u32, height: u32, memory: u64, limits: &Limits) -> Result<(), PhotoError> {
    let limit = if width == 0 || height == 0 {
        "at least 1 x 1".to_owned()
    } else if width > limits.max_width {
        format!("{} pixels wide", limits.max_width)
    } else if height > limits.max_height {
        format!("{} pixels high", limits.max_height)
    } else if u64::from(width) * u64::from(height) > limits.max_pixels {
        format!("{} pixels in all", limits.max_pixels)
    } else if memory > limits.max_memory {
        format!("{} bytes of memory", limits.max_memory)
    } else {
        return Ok(());
    };
    Err(PhotoError::TooManyPixels { width, height, limit })
}

/// Lays transparent pixels over white, the ground that shops show pictures on.
fn over_white(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let rgba = image.into_rgba8();
    let (width, height) = rgba.dimensions();
    RgbImage::from_fn(width, height, |x, y| {
        let Rgba([r, g, b, a]) = *rgba.get_pixel(x, y);
        let blend = |channel: u8| {
            let (channel, alpha) = (u32::from(channel), u32::from(a));
            let sum = channel * alpha + 255 * (255 - alpha);
            u8::try_from((sum + 127) / 255).unwrap_or(u8::MAX)
        };
        image::Rgb([blend(r), blend(g), blend(b)])
    })
}

/// Converts from the embedded RGB profile to sRGB. A profile that is broken, or not for RGB (the
/// decoder has already turned CMYK and grey into RGB), is passed over, as browsers do.
fn to_srgb(rgb: &mut RgbImage, icc: &[u8]) {
    if icc.len() > MAX_ICC_BYTES || names_srgb(icc) {
        return;
    }
    let Ok(profile) = ColorProfile::new_from_slice(icc) else {
        return;
    };
    if profile.color_space != DataColorSpace::Rgb {
        return;
    }
    let srgb = ColorProfile::new_srgb();
    let options = TransformOptions::default();
    let Ok(transform) = profile.create_transform_8bit(Layout::Rgb, &srgb, Layout::Rgb, options) else {
        return;
    };
    let source = rgb.clone();
    if transform.transform(source.as_raw(), rgb).is_err() {
        *rgb = source;
    }
}

/// Whether the profile calls itself sRGB, in ASCII or UTF-16: most do, and need no work.
fn names_srgb(icc: &[u8]) -> bool {
    let contains = |needle: &[u8]| icc.windows(needle.len()).any(|window| window == needle);
    contains(b"sRGB") || contains(b"s\0R\0G\0B")
}
