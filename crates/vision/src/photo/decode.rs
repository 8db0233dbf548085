use std::io::Cursor;

use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, ImageResult, RgbImage};

use super::animation::rest_of_decoded;
use super::colour::{ToSrgb, icc_profile, png_profile};
use super::jpeg::{EXIF, Jpeg};
use super::png::first_chunk;
use super::{Format, Limits, PhotoError, Pixels, avif, bmp, gif, heic, jxl, tiff};

/// Most bytes that a PNG's compressed profile and texts may unpack to. The memory of pixels is checked separately, from
/// the header.
const MAX_PNG_METADATA_BYTES: u64 = 8 << 20;

/// The type of a file, if the file is within the limit on bytes.
pub(super) fn sniffed(bytes: &[u8], limits: &Limits) -> Result<Format, PhotoError> {
    if bytes.len() > limits.max_bytes {
        return Err(PhotoError::TooManyBytes { got: bytes.len(), max: limits.max_bytes });
    }
    Format::sniff(bytes)
}

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<(Format, Pixels), PhotoError> {
    let format = sniffed(bytes, limits)?;
    let decoded = match format {
        Format::Jpeg => jpeg(bytes, limits)?,
        Format::Avif => avif::decode(bytes, limits)?,
        Format::Heic => heic::decode(bytes, limits)?,
        Format::JpegXl => jxl::decode(bytes, limits)?,
        Format::Png => other(bytes, format, ImageFormat::Png, limits)?,
        Format::WebP => other(bytes, format, ImageFormat::WebP, limits)?,
        Format::Gif => other(bytes, format, ImageFormat::Gif, limits)?,
        Format::Bmp => other(bytes, format, ImageFormat::Bmp, limits)?,
        Format::Tiff => tiff::decode(bytes, limits)?,
    };
    let Decoded { stored, orientation } = decoded;
    let upright = |rgb: RgbImage| {
        let mut upright = DynamicImage::ImageRgb8(rgb);
        upright.apply_orientation(orientation);
        upright.into_rgb8()
    };
    Ok((format, Pixels { rgb: upright(stored.rgb), on_black: stored.on_black.map(upright), ..stored }))
}

/// A photo as stored, in sRGB on white, and the turn that makes it upright.
pub(super) struct Decoded {
    pub(super) stored: Pixels,
    pub(super) orientation: Orientation,
}

fn jpeg(bytes: &[u8], limits: &Limits) -> Result<Decoded, PhotoError> {
    let broken = |reason: String| PhotoError::broken(Format::Jpeg, reason);
    let mut jpeg = Jpeg::open(bytes).map_err(broken)?;
    check_size(jpeg.width, jpeg.height, u64::from(jpeg.width) * u64::from(jpeg.height) * 3, limits)?;
    let orientation = jpeg.orientation;
    let profile = jpeg.icc.take().and_then(|icc| icc_profile(&icc));
    let (rgb, damaged) = jpeg.pixels().map_err(broken)?;
    let stored = ToSrgb::from(profile.as_ref()).picture(DynamicImage::ImageRgb8(rgb), false);
    Ok(Decoded { stored: Pixels { damaged, ..stored }, orientation })
}

/// Decodes with the crate `image`.
fn other(bytes: &[u8], format: Format, decoder: ImageFormat, limits: &Limits) -> Result<Decoded, PhotoError> {
    let broken = |error: ImageError| PhotoError::broken(format, error);
    let unlike_browsers = match format {
        Format::Bmp => bmp::unlike_browsers(bytes),
        Format::Gif if !gif::first_frame_fits(bytes) => Some("its first frame extends beyond its canvas"),
        _ => None,
    };
    if let Some(reason) = unlike_browsers {
        return Err(PhotoError::broken(format, reason));
    }
    // The header is read without limits, so that the error can name the size of an oversized photo.
    let mut reader = ImageReader::with_format(Cursor::new(bytes), decoder);
    let mut image_limits = image::Limits::no_limits();
    image_limits.max_alloc = Some(if format == Format::Png { MAX_PNG_METADATA_BYTES } else { limits.max_memory });
    reader.limits(image_limits.clone());
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, decoder.total_bytes(), limits)?;

    let orientation = match format {
        Format::WebP => webp_orientation(bytes),
        _ => decoder.orientation().unwrap_or(Orientation::NoTransforms),
    };
    let icc = match format {
        Format::WebP => webp_chunk(bytes, *b"ICCP").map(<[u8]>::to_vec),
        _ => decoder.icc_profile().ok().flatten(),
    };
    let profile = match format {
        Format::Png => png_profile(bytes, icc.as_deref()),
        _ => icc.as_deref().and_then(icc_profile),
    };
    let to_srgb = ToSrgb::from(profile.as_ref());
    if let Some(stored) = animation(bytes, format, &to_srgb, image_limits, limits).map_err(broken)? {
        return Ok(Decoded { stored, orientation });
    }
    let mut image = DynamicImage::from_decoder(decoder).map_err(broken)?;
    if format == Format::Bmp {
        image = bmp::opaque_if_invisible(image);
    }
    let damaged = format == Format::WebP && webp_chunk(bytes, *b"VP8 ").is_some_and(ends_in_zeros);
    Ok(Decoded { stored: Pixels { damaged, ..to_srgb.picture(image, false) }, orientation })
}

/// The frame that represents an animation; `None` if the file is not one.
fn animation(
    bytes: &[u8],
    format: Format,
    to_srgb: &ToSrgb,
    image_limits: image::Limits,
    limits: &Limits,
) -> ImageResult<Option<Pixels>> {
    let file = Cursor::new(bytes);
    match format {
        Format::Gif => {
            let mut gif = GifDecoder::new(file)?;
            gif.set_limits(image_limits)?;
            rest_of_decoded(gif, to_srgb, limits)
        }
        Format::WebP => {
            let webp = WebPDecoder::new(file)?;
            if webp.has_animation() { rest_of_decoded(webp, to_srgb, limits) } else { Ok(None) }
        }
        // Without acTL it is a still image, whose profile and texts need not be unpacked again.
        Format::Png if first_chunk(bytes, *b"acTL").is_some() => {
            let mut animation = image_limits;
            animation.max_alloc = Some(limits.max_memory);
            let png = PngDecoder::with_limits(file, animation)?;
            if png.is_apng()? { rest_of_decoded(png.apng()?, to_srgb, limits) } else { Ok(None) }
        }
        _ => Ok(None),
    }
}

/// Number of zeros at the end of a coded image that are not part of it.
const ZEROS: usize = 16;

/// Whether an arithmetically coded image ends in zeros. Encoders do not write that many; interrupted downloads have
/// them where space was reserved. VP8 and AV1 have no checksums, and decoders read zeros as pixels.
pub(super) fn ends_in_zeros(coded: &[u8]) -> bool {
    coded.iter().rev().take(ZEROS).filter(|byte| **byte == 0).count() == ZEROS
}

/// The data of a WebP's first chunk of this kind (RFC 9649, section 2.5). The crate `image` reserves the length that a chunk
/// claims, which may be 4 GB in a small file; here a chunk that extends beyond the file is missing.
fn webp_chunk(webp: &[u8], kind: [u8; 4]) -> Option<&[u8]> {
    let mut rest = webp.get(12..)?;
    loop {
        let (found, after) = rest.split_first_chunk::<4>()?;
        let (length, after) = after.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (data, after) = after.split_at_checked(length)?;
        if *found == kind {
            return Some(data);
        }
        // Chunks have an even length.
        rest = after.get(length % 2..)?;
    }
}

/// Some programs write the prefix [`EXIF`] before EXIF in a WebP file.
fn webp_orientation(webp: &[u8]) -> Orientation {
    let exif = webp_chunk(webp, *b"EXIF").map(|exif| exif.strip_prefix(EXIF).unwrap_or(exif));
    exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms)
}

pub(super) fn check_size(width: u32, height: u32, memory: u64, limits: &Limits) -> Result<(), PhotoError> {
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
