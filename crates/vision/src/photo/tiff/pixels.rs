//! Converts samples to pixels of 8 bits per channel.

use std::io::Cursor;

use image::{DynamicImage, RgbImage, RgbaImage};
use tiff::decoder::{Decoder, DecodingResult};
use tiff::tags::{CompressionMethod, PhotometricInterpretation, Predictor};

use super::chunks;
use super::page::Page;
use crate::photo::Limits;

/// How far floating-point samples may lie outside 0 to 1, because filters overshoot.
const OVERSHOOT: f32 = 0.01;
/// Most samples of a pixel; pages with more are not photos.
const MOST_SAMPLES: u16 = 16;

/// Decodes integer samples, and tells whether a part is damaged.
pub(super) fn decode(bytes: &[u8], page: &Page, limits: &Limits) -> Result<(DynamicImage, bool), String> {
    let jpeg = page.compression == CompressionMethod::ModernJPEG;
    if !(1..=16).contains(&page.bits) || jpeg && page.bits != 8 {
        return Err(format!("samples of {} bits are not supported", page.bits));
    }
    if jpeg && !page.planar && !matches!(page.samples, 1 | 3) {
        return Err("JPEG in TIFF is supported only for grey, RGB and YCbCr".to_owned());
    }
    if page.chunks.width > limits.max_width || page.chunks.width == 0 || page.chunks.height == 0 {
        return Err("the size of its strips or tiles is out of range".to_owned());
    }
    // The JPEG decoder has already converted YCbCr to RGB.
    let rgb = jpeg && !page.planar && page.photometric == PhotometricInterpretation::YCbCr;
    let colour = if rgb { of_rgb() } else { colour(page)? };
    let mut samples = Samples::of(page)?;
    let mut damaged = false;
    for at in 0..page.chunks.places.len() {
        let part = Part::of(page, at)?;
        let packed = part.packed(bytes).ok_or("it ends before its last row")?;
        damaged |=
            if jpeg { samples.draw_jpeg(page, &part, packed)? } else { samples.draw(page, &part, packed, limits)? };
    }
    Ok((samples.image(page.has_alpha(), &colour)?, damaged))
}

/// Decodes floating-point samples.
pub(super) fn from_floating_point(mut file: Decoder<Cursor<&[u8]>>, page: &Page) -> Result<DynamicImage, String> {
    let mut stored = DecodingResult::F32(Vec::new());
    let layout = file.read_image_to_buffer(&mut stored).map_err(|error| error.to_string())?;
    if stored.as_buffer(0).as_bytes().len() < layout.complete_len {
        return Err("it needs more memory than the limit for one photo".to_owned());
    }
    #[expect(clippy::cast_possible_truncation, reason = "levels need no more than seven digits")]
    let levels: Option<Vec<u8>> = match stored {
        DecodingResult::F16(values) => values.into_iter().map(|value| level(value.to_f32())).collect(),
        DecodingResult::F32(values) => values.into_iter().map(level).collect(),
        DecodingResult::F64(values) => values.into_iter().map(|value| level(value as f32)).collect(),
        _ => return Err("its samples are of another type than its tags state".to_owned()),
    };
    let levels = levels.ok_or("its floating-point samples are not all from 0 (black) to 1 (white)")?;
    let mut samples = Samples::of(page)?;
    // Extra samples that are not alpha have been dropped.
    samples.per_pixel = levels.len() / (samples.width as usize * samples.height as usize);
    samples.levels = if page.planar { interleaved(&levels, samples.per_pixel) } else { levels };
    let colour = if page.photometric == PhotometricInterpretation::RGB { of_rgb() } else { of_grey(false) };
    samples.image(page.has_alpha(), &colour)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
fn level(value: f32) -> Option<u8> {
    (-OVERSHOOT..=1.0 + OVERSHOOT).contains(&value).then(|| (value.clamp(0.0, 1.0) * 255.0).round() as u8)
}

fn interleaved(planes: &[u8], count: usize) -> Vec<u8> {
    let plane = planes.len() / count.max(1);
    (0..plane).flat_map(|at| (0..count).map(move |sample| planes[sample * plane + at])).collect()
}

/// A strip or tile: its position in the file, its plane, and the pixels that it covers.
struct Part {
    offset: u64,
    length: u64,
    plane: usize,
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

impl Part {
    fn of(page: &Page, at: usize) -> Result<Self, String> {
        let (chunks, number) = (&page.chunks, u32::try_from(at).map_err(|error| error.to_string())?);
        let across = page.width.div_ceil(chunks.width);
        let in_plane = u64::from(across) * u64::from(page.height.div_ceil(chunks.height));
        let place = u32::try_from(u64::from(number) % in_plane).map_err(|error| error.to_string())?;
        let (left, top) = (place % across * chunks.width, place / across * chunks.height);
        let (offset, length) = chunks.places[at];
        Ok(Self {
            offset,
            length,
            plane: usize::try_from(u64::from(number) / in_plane).map_err(|error| error.to_string())?,
            left,
            top,
            width: chunks.width.min(page.width - left),
            height: chunks.height.min(page.height - top),
        })
    }

    fn packed<'a>(&self, file: &'a [u8]) -> Option<&'a [u8]> {
        let (start, length) = (usize::try_from(self.offset).ok()?, usize::try_from(self.length).ok()?);
        file.get(start..start.checked_add(length)?)
    }
}

/// The samples of all pixels, pixel by pixel. Those of a palette are as stored, others have 8 bits.
struct Samples {
    width: u32,
    height: u32,
    per_pixel: usize,
    levels: Vec<u8>,
}

impl Samples {
    fn of(page: &Page) -> Result<Self, String> {
        if page.samples > MOST_SAMPLES {
            return Err(format!("{} samples for each pixel are not supported", page.samples));
        }
        let per_pixel = usize::from(page.samples);
        let levels = vec![0; page.width as usize * page.height as usize * per_pixel];
        Ok(Self { width: page.width, height: page.height, per_pixel, levels })
    }

    fn pixel(&mut self, x: u32, y: u32) -> &mut [u8] {
        let start = (y as usize * self.width as usize + x as usize) * self.per_pixel;
        &mut self.levels[start..start + self.per_pixel]
    }

    fn draw(&mut self, page: &Page, part: &Part, packed: &[u8], limits: &Limits) -> Result<bool, String> {
        let shares_chroma = page.photometric == PhotometricInterpretation::YCbCr && page.subsampling != (1, 1);
        if shares_chroma {
            return self.draw_blocks(page, part, packed, limits);
        }
        let stored = if page.planar { 1 } else { self.per_pixel };
        let row = (page.chunks.width as usize * stored * usize::from(page.bits)).div_ceil(8);
        let mut rows = vec![0; size(row, part.height, limits)?];
        let damaged = chunks::unpack(page, packed, &mut rows, row)?;
        for (row, y) in rows.chunks_exact_mut(row).zip(part.top..) {
            undo_prediction(page, row, stored)?;
            for x in 0..part.width {
                let pixel = self.pixel(part.left + x, y);
                let pixel = if page.planar { &mut pixel[part.plane..=part.plane] } else { pixel };
                for (level, at) in pixel.iter_mut().zip(x as usize * stored..) {
                    *level = sample(page, row, at);
                }
            }
        }
        Ok(damaged)
    }

    /// YCbCr with fewer chromas than lumas: blocks of some lumas, one Cb and one Cr (TIFF 6.0, section 21).
    fn draw_blocks(&mut self, page: &Page, part: &Part, packed: &[u8], limits: &Limits) -> Result<bool, String> {
        let (across, down) = page.subsampling;
        let known = [1, 2, 4].contains(&across) && [1, 2, 4].contains(&down);
        if !known || page.bits != 8 || page.samples != 3 || page.planar || page.predictor != Predictor::None {
            return Err("this variant of YCbCr is not supported".to_owned());
        }
        let block = (across * down + 2) as usize;
        let row = page.chunks.width.div_ceil(across) as usize * block;
        let mut rows = vec![0; size(row, part.height.div_ceil(down), limits)?];
        let damaged = chunks::unpack(page, packed, &mut rows, row)?;
        for y in 0..part.height {
            let row = &rows[(y / down) as usize * row..][..row];
            for x in 0..part.width {
                let block = &row[(x / across) as usize * block..][..block];
                let (luma, chroma) = block.split_at((across * down) as usize);
                let luma = luma[(y % down * across + x % across) as usize];
                self.pixel(part.left + x, part.top + y).copy_from_slice(&[luma, chroma[0], chroma[1]]);
            }
        }
        Ok(damaged)
    }

    fn draw_jpeg(&mut self, page: &Page, part: &Part, packed: &[u8]) -> Result<bool, String> {
        let (rgb, damaged) = chunks::jpeg(page, packed)?;
        if rgb.width() < part.width || rgb.height() < part.height {
            return Err("it has a strip or tile that is smaller than its tags state".to_owned());
        }
        for y in 0..part.height {
            for x in 0..part.width {
                let stored = rgb.get_pixel(x, y).0;
                let pixel = self.pixel(part.left + x, part.top + y);
                let pixel = if page.planar { &mut pixel[part.plane..=part.plane] } else { pixel };
                pixel.iter_mut().zip(stored).for_each(|(level, stored)| *level = stored);
            }
        }
        Ok(damaged)
    }

    fn image(self, has_alpha: bool, colour: &Colour<'_>) -> Result<DynamicImage, String> {
        let Self { width, height, per_pixel, levels } = self;
        let few = || "it has fewer samples than its colours need".to_owned();
        if per_pixel < colour.samples + usize::from(has_alpha) {
            return Err(few());
        }
        let pixels = levels.chunks_exact(per_pixel);
        let image = if has_alpha {
            let rgba = pixels.flat_map(|pixel| {
                let [r, g, b] = (colour.rgb)(pixel);
                [r, g, b, pixel[colour.samples]]
            });
            RgbaImage::from_raw(width, height, rgba.collect()).map(DynamicImage::ImageRgba8)
        } else {
            RgbImage::from_raw(width, height, pixels.flat_map(|pixel| (colour.rgb)(pixel)).collect())
                .map(DynamicImage::ImageRgb8)
        };
        image.ok_or_else(few)
    }
}

/// Bytes of rows, if they are within the limit for one photo.
fn size(row: usize, rows: u32, limits: &Limits) -> Result<usize, String> {
    let size = row.checked_mul(rows as usize).filter(|size| *size as u64 <= limits.max_memory);
    size.ok_or_else(|| "the size of its strips or tiles is out of range".to_owned())
}

/// Sample number `at` of a row: a palette's index as stored, else its highest 8 bits.
fn sample(page: &Page, row: &[u8], at: usize) -> u8 {
    let bits = usize::from(page.bits);
    let byte = |at: usize| u32::from(row.get(at).copied().unwrap_or(0));
    let value = match bits {
        8 => byte(at),
        16 if page.big_endian => byte(2 * at) << 8 | byte(2 * at + 1),
        16 => byte(2 * at + 1) << 8 | byte(2 * at),
        _ => {
            // Samples follow each other bit by bit, whatever the byte order.
            let first = at * bits;
            let three = byte(first / 8) << 16 | byte(first / 8 + 1) << 8 | byte(first / 8 + 2);
            three >> (24 - bits - first % 8) & ((1 << bits) - 1)
        }
    };
    if page.photometric == PhotometricInterpretation::RGBPalette || bits == 8 {
        return u8::try_from(value).unwrap_or(u8::MAX);
    }
    let most = (1 << bits) - 1;
    u8::try_from((value * 255 + most / 2) / most).unwrap_or(u8::MAX)
}

/// Undoes prediction: each sample was stored as its difference from the previous pixel (TIFF 6.0, section 14).
fn undo_prediction(page: &Page, row: &mut [u8], samples: usize) -> Result<(), String> {
    match (page.predictor, page.bits) {
        (Predictor::None, _) => {}
        (Predictor::Horizontal, 8) => {
            for at in samples..row.len() {
                row[at] = row[at].wrapping_add(row[at - samples]);
            }
        }
        (Predictor::Horizontal, 16) => {
            let read =
                |bytes: [u8; 2]| if page.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
            let (words, _) = row.as_chunks_mut::<2>();
            for at in samples..words.len() {
                let sum = read(words[at]).wrapping_add(read(words[at - samples]));
                words[at] = if page.big_endian { sum.to_be_bytes() } else { sum.to_le_bytes() };
            }
        }
        _ => return Err(format!("a predictor for samples of {} bits is not supported", page.bits)),
    }
    Ok(())
}

/// Converts a pixel's samples to its colour.
type ToRgb<'p> = Box<dyn Fn(&[u8]) -> [u8; 3] + 'p>;

/// How many samples of a pixel are its colour, and how to convert them.
struct Colour<'p> {
    samples: usize,
    rgb: ToRgb<'p>,
}

fn of_grey(white_is_zero: bool) -> Colour<'static> {
    let inverted = if white_is_zero { u8::MAX } else { 0 };
    Colour { samples: 1, rgb: Box::new(move |pixel| [pixel[0] ^ inverted; 3]) }
}

fn of_rgb() -> Colour<'static> {
    Colour { samples: 3, rgb: Box::new(|pixel| [pixel[0], pixel[1], pixel[2]]) }
}

fn colour(page: &Page) -> Result<Colour<'_>, String> {
    Ok(match page.photometric {
        PhotometricInterpretation::WhiteIsZero => of_grey(true),
        PhotometricInterpretation::BlackIsZero => of_grey(false),
        PhotometricInterpretation::RGB => of_rgb(),
        PhotometricInterpretation::RGBPalette => of_palette(&page.colour_map, page.bits)?,
        PhotometricInterpretation::YCbCr => of_ycbcr(page),
        PhotometricInterpretation::CMYK => {
            let light = |ink: u8, black: u8| {
                u8::MAX - ink - u8::try_from(u16::from(u8::MAX - ink) * u16::from(black) / 255).unwrap_or(0)
            };
            Colour { samples: 4, rgb: Box::new(move |pixel| [0, 1, 2].map(|ink| light(pixel[ink], pixel[3]))) }
        }
        other => return Err(format!("TIFF photometric interpretation {} is not supported", other.to_u16())),
    })
}

fn of_palette(map: &[u16], bits: u16) -> Result<Colour<'static>, String> {
    let count = 1_usize << bits;
    if bits > 8 || map.len() < 3 * count {
        return Err("its palette does not fit its samples".to_owned());
    }
    // Some programs write levels of 8 bits; like libtiff, assume that where no level is larger.
    let shift = if map.iter().any(|level| *level > u16::from(u8::MAX)) { 8 } else { 0 };
    let entry = |at: usize| u8::try_from(map[at] >> shift).unwrap_or(u8::MAX);
    let colours: Vec<[u8; 3]> = (0..count).map(|at| [entry(at), entry(count + at), entry(2 * count + at)]).collect();
    Ok(Colour { samples: 1, rgb: Box::new(move |pixel| colours[usize::from(pixel[0])]) })
}

/// TIFF 6.0, sections 20 and 21.
fn of_ycbcr(page: &Page) -> Colour<'static> {
    let [luma_red, luma_green, luma_blue] = page.coefficients;
    let [black, white, blue_zero, blue_most, red_zero, red_most] = page.black_white;
    let scaled = |code: u8, zero: f32, most: f32, range: f32| {
        let span = most - zero;
        if span == 0.0 { 0.0 } else { (f32::from(code) - zero) * range / span }
    };
    let rgb = move |pixel: &[u8]| {
        let luma = scaled(pixel[0], black, white, 255.0);
        let blue = luma + scaled(pixel[1], blue_zero, blue_most, 127.0) * 2.0 * (1.0 - luma_blue);
        let red = luma + scaled(pixel[2], red_zero, red_most, 127.0) * 2.0 * (1.0 - luma_red);
        let green = if luma_green > 0.0 { (luma - luma_red * red - luma_blue * blue) / luma_green } else { luma };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
        [red, green, blue].map(|level| level.round().clamp(0.0, 255.0) as u8)
    };
    Colour { samples: 3, rgb: Box::new(rgb) }
}
