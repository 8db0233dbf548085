//! Drawn images: a seed gives a scene. Models find some of them alike; tests that need photos without a match use the
//! demo's real ones.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage, Rgba, RgbaImage, imageops};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A scene: waves of the seed's own direction, length and colours, with boxes and discs on top.
pub fn scene(seed: u64) -> RgbImage {
    let mut random = StdRng::seed_from_u64(seed);
    let (width, height) = (320_i32, 240_i32);
    let colour = |random: &mut StdRng| [random.random::<u8>(), random.random(), random.random()];
    let waves: Vec<_> = (0..4)
        .map(|_| {
            let (angle, length) = (random.random_range(0.0..6.3_f32), random.random_range(6.0..90.0_f32));
            (angle.cos() / length, angle.sin() / length, random.random_range(0.0..6.3_f32), colour(&mut random))
        })
        .collect();
    let mut image = RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let weights = waves
            .iter()
            .map(|(dx, dy, phase, _)| ((x as f32 * dx + y as f32 * dy) * 6.3 + phase).sin().max(0.0) + 0.02);
        let weights: Vec<f32> = weights.collect();
        let total: f32 = weights.iter().sum();
        let mixed = |channel: usize| {
            weights.iter().zip(&waves).map(|(weight, wave)| weight / total * f32::from(wave.3[channel])).sum::<f32>()
                as u8
        };
        Rgb([mixed(0), mixed(1), mixed(2)])
    });
    for _ in 0..random.random_range(4..24) {
        let (cx, cy) = (random.random_range(0..width), random.random_range(0..height));
        let (rx, ry) = (random.random_range(4..60), random.random_range(4..60));
        let (fill, round) = (colour(&mut random), random.random::<bool>());
        for y in (cy - ry).max(0)..(cy + ry).min(height) {
            for x in (cx - rx).max(0)..(cx + rx).min(width) {
                let (dx, dy) = ((x - cx) as f32 / rx as f32, (y - cy) as f32 / ry as f32);
                if !round || dx * dx + dy * dy <= 1.0 {
                    image.put_pixel(x as u32, y as u32, Rgb(fill));
                }
            }
        }
    }
    image
}

pub fn encode(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

pub fn jpeg(image: &RgbImage, quality: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(image).unwrap();
    bytes
}

pub fn photo(seed: u64) -> Vec<u8> {
    jpeg(&scene(seed), 92)
}

/// Edits a stolen photo as sellers do: cuts the rim off and compresses hard.
pub fn stolen(bytes: &[u8]) -> Vec<u8> {
    let image = image::load_from_memory(bytes).unwrap().to_rgb8();
    let (width, height) = image.dimensions();
    let cut = imageops::crop_imm(&image, width / 20, height / 20, width * 9 / 10, height * 9 / 10).to_image();
    jpeg(&cut, 55)
}

pub fn blank() -> Vec<u8> {
    encode(&RgbImage::from_pixel(200, 200, Rgb([255, 255, 255])), ImageFormat::Png)
}

/// Goods on a white ground, as shops show them.
pub fn packshot(seed: u64) -> RgbImage {
    let mut image = RgbImage::from_pixel(400, 400, Rgb([255, 255, 255]));
    imageops::overlay(&mut image, &imageops::thumbnail(&scene(seed), 160, 120), 120, 140);
    image
}

/// A black square of a four-hundredth of a white ground.
pub fn speck(x: i64) -> RgbImage {
    let mut image = RgbImage::from_pixel(400, 400, Rgb([255, 255, 255]));
    imageops::overlay(&mut image, &RgbImage::from_pixel(20, 20, Rgb([0, 0, 0])), x, 190);
    image
}

/// A gradient from dark to light, without an edge.
pub fn gradient() -> RgbImage {
    RgbImage::from_fn(300, 200, |x, _| Rgb([(x * 255 / 299) as u8; 3]))
}

/// The light parts of a scene, in nearly white, on a transparent ground.
pub fn light_on_transparent(seed: u64) -> RgbaImage {
    let light = image::DynamicImage::ImageRgb8(scene(seed)).into_luma8();
    let middle =
        light.pixels().map(|pixel| u64::from(pixel.0[0])).sum::<u64>() / u64::from(light.width() * light.height());
    RgbaImage::from_fn(light.width(), light.height(), |x, y| {
        let seen = u64::from(light.get_pixel(x, y).0[0]) > middle;
        Rgba([250, 250, 250, if seen { 255 } else { 0 }])
    })
}

/// A picture laid over a grey of this level.
pub fn laid_over(picture: &RgbaImage, level: u8) -> RgbImage {
    let mut ground = RgbaImage::from_pixel(picture.width(), picture.height(), Rgba([level, level, level, 255]));
    imageops::overlay(&mut ground, picture, 0, 0);
    image::DynamicImage::ImageRgba8(ground).into_rgb8()
}

/// A JPEG that ends early, with an end marker.
pub fn cut_short(jpeg: &[u8]) -> Vec<u8> {
    [&jpeg[..jpeg.len() * 3 / 5], b"\xff\xd9"].concat()
}

/// A PNG's chunk with its length and checksum.
pub fn png_chunk(kind: &[u8], data: &[u8]) -> Vec<u8> {
    let body = [kind, data].concat();
    [&(data.len() as u32).to_be_bytes(), &body[..], &crc32(&body).to_be_bytes()].concat()
}

/// PNG's checksum (CRC-32).
pub fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    };
    !bytes.iter().fold(!0, step)
}

/// A packshot: the middle of a drawn scene on white, its colours through `dye`.
pub fn dyed(dye: impl Fn([u8; 3]) -> [u8; 3]) -> RgbImage {
    let goods = imageops::blur(&scene(5), 1.0);
    let mut shot = RgbImage::from_pixel(480, 400, Rgb([250, 250, 250]));
    for (x, y, Rgb(colour)) in goods.enumerate_pixels() {
        // Goods of one colour, shaded by their form.
        let light = colour.iter().map(|value| u16::from(*value)).sum::<u16>() / 3;
        let light = |share: u16| u8::try_from(40 + light * share / 400).unwrap();
        shot.put_pixel(x + 80, y + 80, Rgb(dye([light(300), light(80), light(60)])));
    }
    shot
}

/// A drawn logo: four parts in a row, none like its own mirror image.
pub struct Logo {
    pub ink: Rgb<u8>,
    pub ground: Rgb<u8>,
    pub mirrored: bool,
    /// Share of the width.
    pub stretch: f32,
    /// Index of the part at each position.
    pub order: [usize; 4],
}

impl Logo {
    pub fn new() -> Self {
        Self { ink: Rgb([0, 110, 120]), ground: Rgb([255; 3]), mirrored: false, stretch: 1.0, order: [0, 1, 2, 3] }
    }

    /// Whether the logo is drawn at a position, from 0 to 1 on both axes.
    fn is_drawn(&self, x: f32, y: f32) -> bool {
        let x = if self.mirrored { 1.0 - x } else { x };
        if !(0.0..1.0).contains(&x) || !(0.0..1.0).contains(&y) {
            return false;
        }
        let (place, u) = ((x * 4.0) as usize, (x * 4.0).fract() / 0.9);
        let inside =
            |left: f32, top: f32, right: f32, bottom: f32| (left..right).contains(&u) && (top..bottom).contains(&y);
        match self.order[place.min(3)] {
            // A ring with a gap, an F, a flag, steps.
            0 => {
                let away = ((u - 0.5).powi(2) + (y - 0.5).powi(2)).sqrt();
                (0.28..0.5).contains(&away) && !(u > 0.5 && (0.4..0.6).contains(&y))
            }
            1 => inside(0.0, 0.0, 0.25, 1.0) || inside(0.0, 0.0, 1.0, 0.2) || inside(0.0, 0.42, 0.7, 0.6),
            2 => inside(0.0, 0.0, 0.18, 1.0) || (u < 1.0 && y < 0.6 && u < 1.0 - (y - 0.3).abs() * 2.6),
            _ => u < 1.0 && y > 1.0 - (u * 3.0).floor() / 3.0 - 0.3,
        }
    }

    /// As a brand supplies it: large on its ground.
    pub fn picture(&self) -> RgbImage {
        let mut picture = RgbImage::from_pixel(400, 400, self.ground);
        self.print(&mut picture, (0.15, 0.4), 0.7);
        picture
    }

    /// Draws it with its left, top and width as shares of the image's width; a third as high as wide.
    pub fn print(&self, on: &mut RgbImage, (left, top): (f32, f32), width: f32) {
        const FINER: u32 = 4;
        let scale = on.width() as f32;
        let (wide, high) = (width * scale * self.stretch, width * scale / 3.0);
        for (x, y, pixel) in on.enumerate_pixels_mut() {
            let drawn = (0..FINER * FINER).filter(|place| {
                let at = |pixel: u32, finer: u32| pixel as f32 + (finer as f32 + 0.5) / FINER as f32;
                let (x, y) = (at(x, place % FINER), at(y, place / FINER));
                self.is_drawn((x - left * scale) / wide, (y - top * scale) / high)
            });
            let share = drawn.count() as f32 / (FINER * FINER) as f32;
            for (value, ink) in pixel.0.iter_mut().zip(self.ink.0) {
                *value = (f32::from(*value) * (1.0 - share) + f32::from(ink) * share).round() as u8;
            }
        }
    }
}
