//! TIFF: the crate `image` decodes whole bytes of grey, RGB and CMYK. This module decodes the other variants that
//! scanners, fax programs and image editors write: palettes, YCbCr, any depth up to 16 bits, reversed bits, CCITT, JPEG
//! and floating-point samples. The crate `tiff` reads the tags of all of them.

mod chunks;
mod page;
mod pixels;

use std::fmt::Display;
use std::io::Cursor;

use image::codecs::tiff::TiffDecoder;
use image::{DynamicImage, ImageDecoder};
use tiff::decoder::{Decoder, Limits as TiffLimits};
use tiff::tags::{CompressionMethod, PhotometricInterpretation, SampleFormat};

use super::colour::{ToSrgb, icc_profile};
use super::decode::{Decoded, check_size};
use super::{Format, Limits, PhotoError, Pixels};
use page::Page;

/// Bytes of memory per pixel besides its samples: as stored, and in RGB with alpha.
const BYTES_PER_PIXEL: u64 = 8;

/// Decodes the first page.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded, PhotoError> {
    let mut file = Decoder::new(Cursor::new(bytes)).map_err(broken)?;
    let page = Page::of(&mut file).map_err(broken)?;
    let samples = u64::from(page.samples) * u64::from(page.bits.div_ceil(8));
    let pixels = u64::from(page.width) * u64::from(page.height);
    let memory = pixels.saturating_mul(samples + BYTES_PER_PIXEL);
    check_size(page.width, page.height, memory, limits)?;
    let (image, damaged) = match page.format {
        SampleFormat::IEEEFP => (floating_point(file, &page, limits)?, false),
        SampleFormat::Int => {
            return Err(broken("its samples are signed numbers, of which none is white by definition"));
        }
        _ if is_plain(&page) => (plain(bytes, limits)?, false),
        _ => pixels::decode(bytes, &page, limits).map_err(broken)?,
    };
    let profile = page.icc.as_deref().and_then(icc_profile);
    let stored = ToSrgb::from(profile.as_ref()).picture(image, page.is_premultiplied());
    Ok(Decoded { stored: Pixels { damaged, ..stored }, orientation: page.orientation })
}

fn broken(reason: impl Display) -> PhotoError {
    PhotoError::broken(Format::Tiff, reason)
}

/// Whether the crate `image` decodes the page correctly.
fn is_plain(page: &Page) -> bool {
    let colours = match page.photometric {
        PhotometricInterpretation::WhiteIsZero | PhotometricInterpretation::BlackIsZero => page.samples == 1,
        PhotometricInterpretation::RGB | PhotometricInterpretation::CMYK => true,
        _ => false,
    };
    let compression = match page.compression {
        CompressionMethod::Huffman | CompressionMethod::Fax3 | CompressionMethod::Fax4 => false,
        CompressionMethod::ModernJPEG => page.photometric == PhotometricInterpretation::CMYK,
        _ => true,
    };
    // The crate `tiff` 0.11.3 panics at tiles in planes.
    colours && compression && matches!(page.bits, 8 | 16) && !page.planar && !page.reversed
}

fn plain(bytes: &[u8], limits: &Limits) -> Result<DynamicImage, PhotoError> {
    let mut decoder = TiffDecoder::new(Cursor::new(bytes)).map_err(broken)?;
    let mut image_limits = image::Limits::no_limits();
    image_limits.max_alloc = Some(limits.max_memory);
    decoder.set_limits(image_limits).map_err(broken)?;
    DynamicImage::from_decoder(decoder).map_err(broken)
}

/// Grey or RGB from 0 for black to 1 for white, as image editors write them.
fn floating_point(file: Decoder<Cursor<&[u8]>>, page: &Page, limits: &Limits) -> Result<DynamicImage, PhotoError> {
    let colours = [
        PhotometricInterpretation::WhiteIsZero,
        PhotometricInterpretation::BlackIsZero,
        PhotometricInterpretation::RGB,
    ];
    if page.reversed || !colours.contains(&page.photometric) {
        return Err(broken("floating-point samples of this kind are not supported"));
    }
    let mut tiff_limits = TiffLimits::default();
    tiff_limits.decoding_buffer_size = usize::try_from(limits.max_memory).unwrap_or(usize::MAX);
    pixels::from_floating_point(file.with_limits(tiff_limits), page).map_err(broken)
}
