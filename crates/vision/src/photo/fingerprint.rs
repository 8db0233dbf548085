use image::{DynamicImage, GrayImage, RgbImage};
use image_hasher::{HashAlg, HasherConfig};

use super::resize::{Filter, resized};

/// Side of the grey thumbnail that quality is measured on.
const SIDE: u32 = 64;

/// A photo's perceptual hash, and how much detail it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// 256 bits: DCT coefficients compared with their mean. Near-duplicates differ in few bits.
    pub hash: [u8; 32],
    /// 0 (blank) to 100: PDQ's image-domain quality metric, the sum of quantised gradients of a
    /// 64 x 64 luma picture divided by 90 (Facebook, "The TMK+PDQF Video-Hashing Algorithm and the
    /// PDQ Image-Hashing Algorithm", 2019).
    pub quality: u8,
}

impl Fingerprint {
    pub(super) fn of(rgb: &RgbImage) -> Self {
        let small = shrink(rgb);
        let hasher = HasherConfig::with_bytes_type::<[u8; 32]>()
            .hash_size(16, 16)
            .preproc_dct()
            .hash_alg(HashAlg::Mean)
            .to_hasher();
        let mut hash = [0; 32];
        let bits = hasher.hash_image(&small);
        hash.copy_from_slice(bits.as_bytes());
        Self { hash, quality: quality(&small) }
    }
}

/// The quality alone, without the hash.
pub(super) fn quality_of(rgb: &RgbImage) -> u8 {
    quality(&shrink(rgb))
}

fn shrink(rgb: &RgbImage) -> GrayImage {
    DynamicImage::ImageRgb8(resized(rgb, (SIDE, SIDE), Filter::Box)).into_luma8()
}

fn quality(luma: &GrayImage) -> u8 {
    let step = |a: u8, b: u8| (i32::from(a) - i32::from(b)) * 100 / 255;
    let at = |x, y| luma.get_pixel(x, y).0[0];
    let mut sum = 0;
    for far in 0..SIDE {
        for near in 0..SIDE - 1 {
            sum += step(at(near, far), at(near + 1, far)).abs();
            sum += step(at(far, near), at(far, near + 1)).abs();
        }
    }
    u8::try_from((sum / 90).min(100)).unwrap_or(100)
}
