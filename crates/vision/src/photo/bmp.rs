//! BMP: the cases in which the crate `image` and browsers decode different pixels.

use image::DynamicImage;

/// Length of the file header, and of the smallest info header with a compression and a number of colours.
const FILE_HEADER: usize = 14;
const INFO_HEADER: usize = 40;
/// Length of the info header that may state primaries and gamma, and the value that says so.
const V4_HEADER: usize = 108;
const CALIBRATED: u32 = 0;
/// Run-length encodings of 8 and 4 bits.
const RUN_LENGTHS: [u32; 2] = [1, 2];

/// Why browsers show the file differently; `None` if they do not.
pub(super) fn unlike_browsers(bmp: &[u8]) -> Option<&'static str> {
    let header = bmp.get(FILE_HEADER..)?;
    let number = |at: usize| header.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    let pixels = bmp.get(10..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))?;
    let length = number(0)?;
    if (length as usize) < INFO_HEADER {
        return None;
    }
    if RUN_LENGTHS.contains(&number(16)?) {
        // Skipped pixels are transparent in browsers and black in the decoder.
        return Some("run-length encoded BMPs are not supported");
    }
    if length as usize >= V4_HEADER && number(56)? == CALIBRATED && number(96)? > 0 {
        return Some("BMPs with calibrated colours are not supported");
    }
    let bits = u16::from_le_bytes(*header.get(14..)?.first_chunk()?);
    let colours = match number(32)? {
        _ if bits > 8 => 0,
        0 => 1 << bits,
        count => count,
    };
    // Browsers follow the offset, the decoder does not.
    let palette_end = u64::from(length) + FILE_HEADER as u64 + u64::from(colours) * 4;
    (u64::from(pixels) < palette_end).then_some("its pixels begin within its palette")
}

/// Makes a photo opaque whose alpha is 0 everywhere, as browsers do: many programs write such files.
pub(super) fn opaque_if_invisible(image: DynamicImage) -> DynamicImage {
    if !image.color().has_alpha() {
        return image;
    }
    let rgba = image.into_rgba8();
    if rgba.pixels().all(|pixel| pixel.0[3] == 0) {
        DynamicImage::ImageRgb8(DynamicImage::ImageRgba8(rgba).into_rgb8())
    } else {
        DynamicImage::ImageRgba8(rgba)
    }
}
