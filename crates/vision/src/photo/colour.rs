//! Colours as browsers show them: converts embedded profiles and PNG's colour chunks to sRGB, and blends with white.

use std::sync::Arc;

use image::{DynamicImage, ImageBuffer, RgbImage, Rgba, RgbaImage};
use moxcms::{
    Chromaticity, CicpColorPrimaries, CicpProfile, ColorPrimaries, ColorProfile, DataColorSpace, Layout,
    MatrixCoefficients, ToneReprCurve, TransferCharacteristics, Transform8BitExecutor, TransformOptions, XyY,
};

use super::Pixels;
use super::png::first_chunk;

/// Largest ICC profile read, in bytes. Larger ones are printing profiles or padding; the photo is then read as sRGB.
const MAX_ICC_BYTES: usize = 4 << 20;
/// A profile that changes no sampled colour by more than this, of 255, counts as sRGB, whatever its name.
const SAME_AS_SRGB: u8 = 2;
/// sRGB's gamma as in gAMA: 1/2.2 in hundred-thousandths. Values within a twentieth of it count as sRGB's.
const SRGB_GAMMA: u32 = 45_455;

/// Converts the samples of a file to sRGB on white, the ground on which shops show photos.
pub(super) struct ToSrgb {
    opaque: Option<Arc<Transform8BitExecutor>>,
    transparent: Option<Arc<Transform8BitExecutor>>,
}

impl ToSrgb {
    /// Converts from colours in `profile`; `None` is sRGB.
    pub(super) fn from(profile: Option<&ColorProfile>) -> Self {
        let transform = |layout| {
            let (profile, srgb) = (profile?, ColorProfile::new_srgb());
            profile.create_transform_8bit(layout, &srgb, layout, TransformOptions::default()).ok()
        };
        let opaque = transform(Layout::Rgb).filter(|opaque| {
            let samples = samples();
            let mut moved = samples.clone();
            opaque.transform(&samples, &mut moved).is_ok()
                && samples.iter().zip(&moved).any(|(from, to)| from.abs_diff(*to) > SAME_AS_SRGB)
        });
        let transparent = opaque.as_ref().and_then(|_| transform(Layout::Rgba));
        Self { opaque, transparent }
    }

    /// The photo on white, and also on black if a part of it is visible only there. Colours are converted first,
    /// because browsers blend in sRGB. `premultiplied`: the colours are already multiplied by their alpha.
    pub(super) fn picture(&self, image: DynamicImage, premultiplied: bool) -> Pixels {
        if !image.color().has_alpha() {
            let mut rgb = image.into_rgb8();
            convert(self.opaque.as_deref(), &mut rgb);
            return Pixels::still(rgb);
        }
        let mut rgba = image.into_rgba8();
        // Dividing by a small alpha leaves only noise, so colours are divided only where it is needed.
        let multiplied = (premultiplied && self.transparent.is_none()).then(|| rgba.clone());
        if premultiplied {
            divide_by_alpha(&mut rgba);
        }
        convert(self.transparent.as_deref(), &mut rgba);
        let on = |ground| match &multiplied {
            Some(multiplied) => added_to(multiplied, ground),
            None => over(&rgba, ground),
        };
        let Hidden { all, part } = Hidden::of(&rgba);
        Pixels { on_black: (all || part).then(|| on(0)), invisible_on_white: all, ..Pixels::still(on(255)) }
    }
}

fn convert<P: image::Pixel<Subpixel = u8>>(
    transform: Option<&Transform8BitExecutor>,
    image: &mut ImageBuffer<P, Vec<u8>>,
) {
    if let Some(transform) = transform {
        let source = image.clone();
        if transform.transform(source.as_raw(), image).is_err() {
            *image = source;
        }
    }
}

fn over(rgba: &RgbaImage, ground: u32) -> RgbImage {
    RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let Rgba([r, g, b, a]) = *rgba.get_pixel(x, y);
        let blend = |channel: u8| {
            let (channel, alpha) = (u32::from(channel), u32::from(a));
            let sum = channel * alpha + ground * (255 - alpha);
            u8::try_from((sum + 127) / 255).unwrap_or(u8::MAX)
        };
        image::Rgb([r, g, b].map(blend))
    })
}

/// As [`over`], for colours already multiplied by their alpha.
fn added_to(rgba: &RgbaImage, ground: u32) -> RgbImage {
    RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let Rgba([r, g, b, a]) = *rgba.get_pixel(x, y);
        let behind = u8::try_from((ground * u32::from(255 - a) + 127) / 255).unwrap_or(u8::MAX);
        image::Rgb([r, g, b].map(|channel| channel.saturating_add(behind)))
    })
}

fn divide_by_alpha(rgba: &mut RgbaImage) {
    for Rgba([r, g, b, a]) in rgba.pixels_mut().filter(|pixel| pixel.0[3] > 0) {
        for channel in [r, g, b] {
            let straight = (u32::from(*channel) * 255 + u32::from(*a) / 2) / u32::from(*a);
            *channel = u8::try_from(straight).unwrap_or(u8::MAX);
        }
    }
}

/// A pixel that differs from its ground by more levels than this, of 255, in a channel is faintly visible,
const FAINT: u32 = 16;
/// and by more than this, clearly visible.
const CLEAR: u32 = 64;

/// Whether content is invisible on white and clearly visible on black.
struct Hidden {
    /// Less than half a percent of the content is visible on white, and two percent or more is clearly visible on
    /// black.
    all: bool,
    /// A hundredth of the area or more is clearly visible on black, but not on white.
    part: bool,
}

impl Hidden {
    /// Pixels are weighted by their alpha. Nothing is hidden in a photo of which less than a percent is transparent.
    fn of(rgba: &RgbaImage) -> Self {
        let (mut all, mut on_white, mut on_black, mut hidden, mut transparent) = (0_u64, 0_u64, 0_u64, 0_u64, 0_u64);
        for Rgba([r, g, b, alpha]) in rgba.pixels() {
            let alpha = u32::from(*alpha);
            let (dark, light) = (u32::from(*r.min(g).min(b)), u32::from(*r.max(g).max(b)));
            let (from_white, from_black) = ((255 - dark) * alpha, light * alpha);
            let weight = u64::from(alpha);
            let count = |counts: bool| if counts { weight } else { 0 };
            all += weight;
            on_white += count(from_white > FAINT * 255);
            on_black += count(from_black > CLEAR * 255);
            hidden += count(from_black > CLEAR * 255 && from_white <= CLEAR * 255);
            transparent += u64::from(alpha < 128);
        }
        let pixels = u64::from(rgba.width()) * u64::from(rgba.height());
        let has_holes = transparent * 100 >= pixels;
        Self {
            all: has_holes && on_white * 200 < all && on_black * 50 >= all,
            part: has_holes && hidden * 100 >= pixels * 255,
        }
    }
}

/// Parses an embedded ICC profile. A broken one, or one not for RGB (CMYK and grey are already RGB here), is ignored,
/// as in browsers.
pub(super) fn icc_profile(icc: &[u8]) -> Option<ColorProfile> {
    let profile =
        Some(icc).filter(|icc| icc.len() <= MAX_ICC_BYTES).and_then(|icc| ColorProfile::new_from_slice(icc).ok())?;
    (profile.color_space == DataColorSpace::Rgb).then_some(profile)
}

/// The profile of a PNG's chunks: cICP, else iCCP (already uncompressed), else sRGB, else gAMA with cHRM, as ordered in
/// the PNG specification, third edition, section 4.3. `None` is sRGB.
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

/// The profile of a cICP chunk: primaries, transfer, matrix (RGB's) and range.
fn coded(data: &[u8]) -> Option<ColorProfile> {
    let [primaries, transfer, 0, full_range] = *data else { return None };
    CodePoints { primaries, transfer, matrix: 0, full_range: full_range != 0 }.profile()
}

/// Coding-independent code points (ITU-T H.273), which define the colours of a file's samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CodePoints {
    pub(super) primaries: u8,
    pub(super) transfer: u8,
    pub(super) matrix: u8,
    pub(super) full_range: bool,
}

impl CodePoints {
    pub(super) const UNSPECIFIED: u8 = 2;

    /// From the numbers of an ISO base media file; undefined numbers count as unspecified.
    pub(super) fn of(primaries: u16, transfer: u16, matrix: u16, full_range: bool) -> Self {
        let [primaries, transfer, matrix] =
            [primaries, transfer, matrix].map(|number| u8::try_from(number).unwrap_or(Self::UNSPECIFIED));
        Self { primaries, transfer, matrix, full_range }
    }

    /// The profile of RGB with these primaries and this transfer; `None` for sRGB and for unknown values.
    pub(super) fn profile(self) -> Option<ColorProfile> {
        let profile = ColorProfile::new_from_cicp(CicpProfile {
            color_primaries: CicpColorPrimaries::try_from(if self.primaries == Self::UNSPECIFIED {
                1
            } else {
                self.primaries
            })
            .ok()?,
            transfer_characteristics: TransferCharacteristics::try_from(match self.transfer {
                // Browsers show television's curves, and unspecified ones, as sRGB's.
                1 | 6 | 14 | 15 | Self::UNSPECIFIED => 13,
                other => other,
            })
            .ok()?,
            matrix_coefficients: MatrixCoefficients::Identity,
            full_range: self.full_range,
        });
        let shown = match self.transfer {
            PQ => Some(pq_on_a_screen as fn(f32) -> f32),
            HLG => Some(hlg_on_a_screen as fn(f32) -> f32),
            _ => None,
        };
        let mut profile = Some(profile).filter(|profile| profile.red_trc.is_some())?;
        if let Some(shown) = shown {
            let curve = ToneReprCurve::Lut(
                (0..=STEPS).map(|step| sixteen_bits(shown(f32::from(step) / f32::from(STEPS)))).collect(),
            );
            set_curve(&mut profile, curve);
        }
        Some(profile)
    }
}

/// Transfer characteristics of high dynamic range.
const PQ: u8 = 16;
const HLG: u8 = 18;
/// Number of entries of these curves, minus one.
const STEPS: u16 = 4095;
/// Luminance of diffuse white and of the brightest displayable light, in candela per square metre (ITU-R BT.2408).
const DIFFUSE_WHITE: f32 = 203.0;
const BRIGHTEST: f32 = 1000.0;

/// Maps light, where 1 is diffuse white, to a screen that shows nothing brighter than white: the reference white tone
/// mapping of SMPTE ST 2094-50, as in Chromium. Light up to diffuse white is halved; from there a parabola leads to the
/// brightest.
fn on_a_screen(light: f32) -> f32 {
    const BEND: (f32, f32) = (1.65, 0.825);
    let brightest = BRIGHTEST / DIFFUSE_WHITE;
    if light <= 1.0 {
        return light / 2.0;
    }
    let (square, linear) = (1.0 - 2.0 * BEND.0 + brightest, 2.0 * (BEND.0 - 1.0));
    let above = light.min(brightest) - 1.0;
    let along = ((linear * linear + 4.0 * square * above).sqrt() - linear) / (2.0 * square);
    let rest = 1.0 - along;
    (rest * rest * 0.5 + 2.0 * rest * along * BEND.1 + along * along).min(1.0)
}

/// SMPTE ST 2084, 5.1.
fn pq_on_a_screen(signal: f32) -> f32 {
    let (m1, m2) = (2610.0 / 16384.0, 2523.0 / 4096.0 * 128.0);
    let (c1, c2, c3) = (3424.0 / 4096.0, 2413.0 / 4096.0 * 32.0, 2392.0 / 4096.0 * 32.0);
    let root = signal.powf(1.0 / m2);
    let light: f32 = ((root - c1).max(0.0) / (c2 - c3 * root)).powf(1.0 / m1);
    on_a_screen(light * 10_000.0 / DIFFUSE_WHITE)
}

/// The inverse of ITU-R BT.2100's HLG curve, and its system gamma for a screen of [`BRIGHTEST`].
fn hlg_on_a_screen(signal: f32) -> f32 {
    let (a, b, c) = (0.178_832_77, 0.284_668_92, 0.559_910_7);
    let scene: f32 = if signal <= 0.5 { signal * signal / 3.0 } else { (((signal - c) / a).exp() + b) / 12.0 };
    on_a_screen(scene.powf(1.2) * BRIGHTEST / DIFFUSE_WHITE)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1")]
fn sixteen_bits(value: f32) -> u16 {
    (value * 65_535.0).round() as u16
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
    set_curve(&mut profile, curve);
    Some(profile)
}

/// Sets this curve for all channels, in place of the curve of the code points.
fn set_curve(profile: &mut ColorProfile, curve: ToneReprCurve) {
    profile.cicp = None;
    profile.red_trc = Some(curve.clone());
    profile.green_trc = Some(curve.clone());
    profile.blue_trc = Some(curve);
}

/// Converts from the unit of gAMA and cHRM.
#[expect(clippy::cast_precision_loss, reason = "seven digits are more than the files hold")]
fn hundred_thousandths(number: u32) -> f32 {
    number as f32 / 1e5
}

/// White point, red, green and blue of cHRM, x and y each, in hundred-thousandths. `None` for colours outside human
/// vision.
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

/// All combinations of six levels of each channel, and 52 greys.
fn samples() -> Vec<u8> {
    let levels = || (0..=255_u8).step_by(51);
    let colours = levels().flat_map(move |r| levels().flat_map(move |g| levels().flat_map(move |b| [r, g, b])));
    colours.chain((0..=255).step_by(5).flat_map(|grey| [grey; 3])).collect()
}
