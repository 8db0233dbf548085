//! Drawn pictures: a seed gives a scene that no model takes for that of another seed.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage, imageops};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A scene of coloured bars, boxes and discs.
pub fn scene(seed: u64) -> RgbImage {
    let mut random = StdRng::seed_from_u64(seed);
    let (width, height) = (320, 240);
    let colour = |random: &mut StdRng| Rgb([random.random::<u8>(), random.random(), random.random()]);
    let (sky, ground) = (colour(&mut random), colour(&mut random));
    let mut image = RgbImage::from_fn(width, height, |_, y| if y < height / 2 { sky } else { ground });
    for _ in 0..14 {
        let (cx, cy) = (random.random_range(0..width as i32), random.random_range(0..height as i32));
        let (rx, ry) = (random.random_range(8..70), random.random_range(8..70));
        let (fill, round) = (colour(&mut random), random.random::<bool>());
        for y in (cy - ry).max(0)..(cy + ry).min(height as i32) {
            for x in (cx - rx).max(0)..(cx + rx).min(width as i32) {
                let (dx, dy) = ((x - cx) as f32 / rx as f32, (y - cy) as f32 / ry as f32);
                if !round || dx * dx + dy * dy <= 1.0 {
                    image.put_pixel(x as u32, y as u32, fill);
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

/// What a seller does to a stolen photo: cut the rim off, compress it hard.
pub fn stolen(bytes: &[u8]) -> Vec<u8> {
    let image = image::load_from_memory(bytes).unwrap().to_rgb8();
    let (width, height) = image.dimensions();
    let cut = imageops::crop_imm(&image, width / 20, height / 20, width * 9 / 10, height * 9 / 10).to_image();
    jpeg(&cut, 55)
}

pub fn blank() -> Vec<u8> {
    encode(&RgbImage::from_pixel(200, 200, Rgb([255, 255, 255])), ImageFormat::Png)
}

pub fn decoded(bytes: &[u8]) -> DynamicImage {
    image::load_from_memory(bytes).unwrap()
}
