//! Measures how long the parts of a check take on this machine, with a drawn photo.

use std::time::{Duration, Instant};

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::Finding;
use crate::config::Config;
use crate::decoder::Decoder;
use crate::embed::Embedder;

/// Runs of each part; the median counts.
const RUNS: usize = 9;

/// A part that takes longer is slow: several times what an idle core of 2020 needs.
const SLOW_DECODE: Duration = Duration::from_millis(150);
const SLOW_EMBED: Duration = Duration::from_millis(150);

/// Size of the drawn photo in pixels, typical of sellers' photos.
const WIDTH: u32 = 1600;
const HEIGHT: u32 = 1200;

pub(super) fn measure(config: &Config, model: &Embedder) -> Vec<Finding> {
    let decoder = Decoder::new(&config.photo, &config.decoder);
    let Some(file) = drawn() else { return Vec::new() };
    let photo = match decoder.decode(&file) {
        Ok(photo) => photo,
        Err(error) => return vec![Finding::wrong("decoding", format!("a drawn JPEG cannot be decoded: {error}"))],
    };
    let decoding = median(|| decoder.decode(&file).is_ok());
    let embedding = median(|| model.submit_patiently(&photo).and_then(crate::embed::Pending::wait).is_ok());
    let place = if config.decoder.apart { "in a process of its own" } else { "in the service's own process" };
    vec![
        finding("decoding", decoding, SLOW_DECODE, &format!("for a JPEG of {WIDTH} x {HEIGHT}, {place}")),
        finding("embedding", embedding, SLOW_EMBED, "for one photo on one core"),
    ]
}

fn finding(what: &'static str, took: Option<Duration>, slow: Duration, of: &str) -> Finding {
    let Some(took) = took else { return Finding::wrong(what, "it failed; the log has the cause".to_owned()) };
    let detail = format!("{:.1} ms {of}", took.as_secs_f64() * 1e3);
    if took > slow {
        return Finding::doubtful(what, format!("{detail}; that is slow; check what else runs on this machine"));
    }
    Finding::good(what, detail)
}

fn median(mut run: impl FnMut() -> bool) -> Option<Duration> {
    let mut took = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let started = Instant::now();
        if !run() {
            return None;
        }
        took.push(started.elapsed());
    }
    took.sort();
    Some(took[RUNS / 2])
}

/// A drawn photo of waves and edges, as a JPEG.
fn drawn() -> Option<Vec<u8>> {
    let mut pixels = Vec::with_capacity((WIDTH * HEIGHT * 3) as usize);
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let edge = if (x / 97 + y / 61) % 2 == 0 { 60 } else { 0 };
            let wave = x.wrapping_mul(y) / 257 % 128;
            let byte = |value: u32| u8::try_from(value % 256).unwrap_or_default();
            pixels.extend([byte(wave + edge), byte(x / 8 + edge), byte(y / 6 + wave)]);
        }
    }
    let mut file = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut file, 85);
    encoder.write_image(&pixels, WIDTH, HEIGHT, ExtendedColorType::Rgb8).ok()?;
    Some(file)
}
