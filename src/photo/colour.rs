//! Colours as browsers show them: embedded profiles and PNG's colour chunks become sRGB, transparency becomes white.

use image::{DynamicImage, RgbImage, Rgba, RgbaImage};
use moxcms::{
    Chromaticity, CicpColorPrimaries, CicpProfile, ColorPrimaries, ColorProfile, DataColorSpace, Layout,
    MatrixCoefficients, ToneReprCurve, TransferCharacteristics, TransformOptions, XyY,
};

use super::png::first_chunk;

/// Larger ICC profiles than this are printing profiles or padding; the photo is then read as sRGB.
const MAX_ICC_BYTES: usize = 4 << 20;
/// A profile that moves no sampled colour by more than this, of 255, is sRGB, whatever it is called.
const SAME_AS_SRGB: u8 = 2;
/// sRGB's gamma, as gAMA states it: 1/2.2 in hundred-thousandths. Values within a twentieth of it are that.
const SRGB_GAMMA: u32 = 45_455;

/// Lays transparent pixels over white, the ground that shops show pictures on.
pub(super) fn over_white(image: DynamicImage) -> RgbImage {
    if image.color().has_alpha() { over(&image.into_rgba8(), 255) } else { image.into_rgb8() }
}

/// As [`over_white`]; and over black, where the picture can be seen on black but not on white.
pub(super) fn over_grounds(image: DynamicImage) -> (RgbImage, Option<RgbImage>) {
    if !image.color().has_alpha() {
        return (image.into_rgb8(), None);
    }
    let rgba = image.into_rgba8();
    (over(&rgba, 255), is_seen_on_black_only(&rgba).then(|| over(&rgba, 0)))
}

fn over(rgba: &RgbaImage, ground: u32) -> RgbImage {
    let (width, height) = rgba.dimensions();
    RgbImage::from_fn(width, height, |x, y| {
        let Rgba([r, g, b, a]) = *rgba.get_pixel(x, y);
        let blend = |channel: u8| {
            let (channel, alpha) = (u32::from(channel), u32::from(a));
            let sum = channel * alpha + ground * (255 - alpha);
            u8::try_from((sum + 127) / 255).unwrap_or(u8::MAX)
        };
        image::Rgb([blend(r), blend(g), blend(b)])
    })
}

/// A pixel that differs from its ground by more levels than this, of 255, in a channel can be seen on it faintly,
const FAINT: u32 = 16;
/// and by more than this, well.
const CLEAR: u32 = 64;

/// Whether less than half a percent of what a picture shows can be seen on white, and two percent or more can be seen
/// well on black. Pixels count by their alpha; pictures of which less than a percent is transparent are not meant.
fn is_seen_on_black_only(rgba: &RgbaImage) -> bool {
    let (mut all, mut on_white, mut on_black, mut transparent) = (0_u64, 0_u64, 0_u64, 0_u64);
    for Rgba([r, g, b, alpha]) in rgba.pixels() {
        let alpha = u32::from(*alpha);
        let (dark, light) = (u32::from(*r.min(g).min(b)), u32::from(*r.max(g).max(b)));
        let weight = u64::from(alpha);
        all += weight;
        on_white += if (255 - dark) * alpha > FAINT * 255 { weight } else { 0 };
        on_black += if light * alpha > CLEAR * 255 { weight } else { 0 };
        transparent += u64::from(alpha < 128);
    }
    let pixels = u64::from(rgba.width()) * u64::from(rgba.height());
    on_white * 200 < all && on_black * 50 >= all && transparent * 100 >= pixels
}

/// An embedded ICC profile. One that is broken, or not for RGB (CMYK and grey are RGB by now), is passed over, as
/// browsers do.
pub(super) fn icc_profile(icc: &[u8]) -> Option<ColorProfile> {
    let profile =
        Some(icc).filter(|icc| icc.len() <= MAX_ICC_BYTES).and_then(|icc| ColorProfile::new_from_slice(icc).ok())?;
    (profile.color_space == DataColorSpace::Rgb).then_some(profile)
}

/// The profile that a PNG's chunks describe: cICP, else iCCP (unpacked already), else sRGB, else gAMA with cHRM; the
/// order of the PNG specification, third edition, section 4.3. `None` is sRGB.
pub(super) fn png_profile(png: &[u8], icc: Option<&[u8]>) -> Option<ColorProfile> {
    if let Some(profile) = first_chunk(png, *b"cICP").and_then(coded) {
        return Some(profile);
    }
    if let Some(profile) = icc.and_then(icc_profile) {
        return Some(profile);
    }
    if first_chunk(png, *b"sRGB").is_some() {
        return None;
    }
    let gamma = u32::from_be_bytes(first_chunk(png, *b"gAMA")?.try_into().ok()?);
    with_gamma(gamma, first_chunk(png, *b"cHRM"))
}

/// Coding-independent code points (ITU-T H.273): primaries, transfer, matrix, range.
fn coded(data: &[u8]) -> Option<ColorProfile> {
    let [primaries, transfer, 0, full_range] = data else { return None };
    Some(ColorProfile::new_from_cicp(CicpProfile {
        color_primaries: CicpColorPrimaries::try_from(*primaries).ok()?,
        transfer_characteristics: TransferCharacteristics::try_from(*transfer).ok()?,
        matrix_coefficients: MatrixCoefficients::Identity,
        full_range: *full_range != 0,
    }))
    .filter(|profile| profile.red_trc.is_some())
}

fn with_gamma(gamma: u32, chromaticities: Option<&[u8]>) -> Option<ColorProfile> {
    if gamma == 0 {
        return None;
    }
    let primaries = chromaticities.and_then(primaries);
    if primaries.is_none() && gamma.abs_diff(SRGB_GAMMA) <= SRGB_GAMMA / 20 {
        return None;
    }
    let mut profile = ColorProfile::new_srgb();
    if let Some((white, primaries)) = primaries {
        profile.update_rgb_colorimetry(white, primaries);
    }
    let curve = ToneReprCurve::Parametric(vec![1.0 / hundred_thousandths(gamma)]);
    profile.cicp = None;
    profile.red_trc = Some(curve.clone());
    profile.green_trc = Some(curve.clone());
    profile.blue_trc = Some(curve);
    Some(profile)
}

/// The unit of gAMA and cHRM.
#[expect(clippy::cast_precision_loss, reason = "seven digits are more than the files hold")]
fn hundred_thousandths(number: u32) -> f32 {
    number as f32 / 1e5
}

/// White point, red, green, blue of cHRM: x and y each, in hundred-thousandths. Those that no eye could see are none.
fn primaries(data: &[u8]) -> Option<(XyY, ColorPrimaries)> {
    let numbers: Vec<f32> = data
        .chunks_exact(4)
        .filter_map(|bytes| bytes.try_into().ok())
        .map(|bytes| hundred_thousandths(u32::from_be_bytes(bytes)))
        .collect();
    let [wx, wy, rx, ry, gx, gy, bx, by] = numbers[..] else { return None };
    let possible = numbers.iter().all(|number| *number <= 1.0) && wy > 0.0 && ry > 0.0 && gy > 0.0 && by > 0.0;
    let at = |x, y| Chromaticity { x, y };
    possible.then(|| {
        let white = XyY { x: f64::from(wx), y: f64::from(wy), yb: 1.0 };
        (white, ColorPrimaries { red: at(rx, ry), green: at(gx, gy), blue: at(bx, by) })
    })
}

/// Converts from `profile` to sRGB.
pub(super) fn to_srgb(rgb: &mut RgbImage, profile: &ColorProfile) {
    let srgb = ColorProfile::new_srgb();
    let options = TransformOptions::default();
    let Ok(transform) = profile.create_transform_8bit(Layout::Rgb, &srgb, Layout::Rgb, options) else {
        return;
    };
    let samples = samples();
    let mut moved = samples.clone();
    let is_srgb = transform.transform(&samples, &mut moved).is_ok()
        && samples.iter().zip(&moved).all(|(from, to)| from.abs_diff(*to) <= SAME_AS_SRGB);
    if is_srgb {
        return;
    }
    let source = rgb.clone();
    if transform.transform(source.as_raw(), rgb).is_err() {
        *rgb = source;
    }
}

/// Six levels of each channel, all combined, and 52 greys.
fn samples() -> Vec<u8> {
    let levels = || (0..=255_u8).step_by(51);
    let colours = levels().flat_map(move |r| levels().flat_map(move |g| levels().flat_map(move |b| [r, g, b])));
    colours.chain((0..=255).step_by(5).flat_map(|grey| [grey; 3])).collect()
}
