use fast_image_resize::{FilterType, IntoImageView, IntoImageViewMut, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

/// How pixels are combined when a photo is scaled down; both average over all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filter {
    /// Plain mean: cheapest.
    Box,
    /// Bilinear with antialiasing: the same convolution as Pillow's `Image.resize(..., BILINEAR)`.
    Bilinear,
}

/// The photo at another size; both sides at least 1.
pub(crate) fn resized(rgb: &RgbImage, (width, height): (u32, u32), filter: Filter) -> RgbImage {
    let mut scaled = RgbImage::new(width.max(1), height.max(1));
    resize(rgb, &mut scaled, filter);
    scaled
}

fn resize(from: &impl IntoImageView, to: &mut impl IntoImageViewMut, filter: Filter) {
    let filter = match filter {
        Filter::Box => FilterType::Box,
        Filter::Bilinear => FilterType::Bilinear,
    };
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
    // Both images have one type and are not empty, which are the only causes of a failure.
    let resized = Resizer::new().resize(from, to, Some(&options));
    debug_assert!(resized.is_ok());
}

/// The size scaled so that the longer side is at most `side`; never larger than before.
pub(crate) fn within((width, height): (u32, u32), side: u32) -> (u32, u32) {
    let longer = u64::from(width.max(height).max(1));
    let scaled = |length: u32| {
        let scaled = (u64::from(length) * u64::from(side)).div_ceil(longer).max(1);
        u32::try_from(scaled).unwrap_or(side)
    };
    if longer <= u64::from(side) { (width.max(1), height.max(1)) } else { (scaled(width), scaled(height)) }
}
