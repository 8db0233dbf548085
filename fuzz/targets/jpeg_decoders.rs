//! Compares two JPEG decoders: if libjpeg-turbo and `jpeg_decoder` both accept a file, they must decode the same photo.
#![no_main]

use jpeg_decoder::{Decoder, PixelFormat};

/// The greatest mean difference in lightness of cells of 8 x 8 pixels, 0 to 255. Decoders smooth colours and round
/// differently; a wrong photo differs by tens.
const MOST: f64 = 12.0;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((width, height, rgb)) = touchstone::fuzzing::clean_jpeg(bytes) else { return };
    let mut other = Decoder::new(bytes);
    other.set_max_decoding_buffer_size(16 << 20);
    let Ok(theirs) = other.decode() else { return };
    let Some(info) = other.info() else { return };
    let theirs: Vec<u8> = match info.pixel_format {
        PixelFormat::RGB24 => theirs,
        PixelFormat::L8 => theirs.into_iter().flat_map(|level| [level; 3]).collect(),
        PixelFormat::L16 | PixelFormat::CMYK32 => return,
    };
    assert_eq!((width, height), (info.width.into(), info.height.into()), "sizes");
    let difference = difference(&cells(&rgb, width as usize), &cells(&theirs, width as usize));
    assert!(difference <= MOST, "the pictures differ by {difference:.1} levels");
});

/// The mean lightness of each cell.
fn cells(rgb: &[u8], width: usize) -> Vec<f64> {
    let across = width.div_ceil(8);
    let mut sums = vec![(0.0, 0.0); across * (rgb.len() / 3).div_ceil(width).div_ceil(8)];
    for (place, pixel) in rgb.chunks_exact(3).enumerate() {
        let (sum, count) = &mut sums[place / width / 8 * across + place % width / 8];
        *sum += pixel.iter().map(|&level| f64::from(level)).sum::<f64>() / 3.0;
        *count += 1.0;
    }
    sums.into_iter().map(|(sum, count)| sum / count).collect()
}

fn difference(ours: &[f64], theirs: &[f64]) -> f64 {
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).sum::<f64>() / ours.len() as f64
}
