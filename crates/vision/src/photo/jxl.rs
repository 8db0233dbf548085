//! JPEG XL, decoded by `jxl` (jxl-rs), which Chromium and Firefox use.

use std::fmt::Display;
use std::time::Duration;

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage, RgbaImage};
use jxl::api::{
    AlphaMode, Event, ExtraChannel, JxlColorProfile, JxlDecoder, JxlDecoderOptions, JxlOutputBuffer, JxlPixelFormat,
    ProfileLevel,
};

use super::animation::rest_of;
use super::colour::{ToSrgb, icc_profile};
use super::decode::{Decoded, check_size};
use super::{Format, Limits, PhotoError};

/// Bytes of memory per pixel during decoding: three channels of 32-bit samples twice, and RGBA.
const BYTES_PER_PIXEL: u64 = 28;

/// Decodes the image, or the frame of an animation that is shown longest. The header states how it is rotated.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded, PhotoError> {
    let mut file = Jxl::open(bytes, limits)?;
    let stored = match file.animation_ends() {
        Some(ends) => {
            let frame = |file: &mut Jxl<'_>| {
                let next = file.next_frame()?;
                Ok(next.map(|(picture, shown)| (file.to_srgb.picture(picture, false), shown)))
            };
            rest_of(std::iter::from_fn(|| frame(&mut file).transpose()), ends, limits)?
        }
        None => file.next_frame()?.map(|(picture, _)| file.to_srgb.picture(picture, false)),
    };
    let stored = stored.ok_or_else(|| broken("it has no frame"))?;
    Ok(Decoded { stored, orientation: Orientation::NoTransforms })
}

fn broken(reason: impl Display) -> PhotoError {
    PhotoError::broken(Format::JpegXl, reason)
}

struct Jxl<'a> {
    decoder: JxlDecoder,
    rest: &'a [u8],
    width: u32,
    height: u32,
    alpha: bool,
    to_srgb: ToSrgb,
    more: bool,
}

impl<'a> Jxl<'a> {
    /// Reads the header.
    fn open(bytes: &'a [u8], limits: &Limits) -> Result<Self, PhotoError> {
        let mut options = JxlDecoderOptions::default();
        options.alpha_mode = AlphaMode::Unpremultiplied;
        options.max_profile_level = ProfileLevel::Main10;
        // Colours, transparency and a few further channels.
        options.sample_limit = usize::try_from(limits.max_pixels.saturating_mul(8)).ok();
        let mut decoder = JxlDecoder::new(options);
        let mut rest = bytes;
        if decoder.process(&mut rest, None, None).map_err(broken)? != Event::BasicInfo {
            return Err(broken("it ends within its header"));
        }
        let info = decoder.basic_info().ok_or_else(|| broken("it has no header"))?;
        let size = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
        let (width, height) = (size(info.size.0), size(info.size.1));
        check_size(width, height, u64::from(width) * u64::from(height) * BYTES_PER_PIXEL, limits)?;
        let channels = &info.extra_channels;
        let alpha = channels.iter().any(|channel| channel.ec_type == ExtraChannel::Alpha);
        let count = channels.len();
        let format = if alpha { JxlPixelFormat::rgba8(count) } else { JxlPixelFormat::rgb8(count) };
        if decoder.embedded_color_profile().is_some_and(JxlColorProfile::is_cmyk) {
            return Err(broken("JPEG XL in CMYK is not supported"));
        }
        decoder.set_pixel_format(format).map_err(broken)?;
        let profile = decoder.output_color_profile().and_then(JxlColorProfile::try_as_icc);
        let to_srgb = ToSrgb::from(profile.and_then(|icc| icc_profile(&icc)).as_ref());
        Ok(Self { decoder, rest, width, height, alpha, to_srgb, more: true })
    }

    /// Whether an animation ends; `None` for a still image.
    fn animation_ends(&self) -> Option<bool> {
        let animation = self.decoder.basic_info()?.animation.as_ref()?;
        Some(animation.num_loops > 0)
    }

    /// The next frame as it is shown, and its display time.
    fn next_frame(&mut self) -> Result<Option<(DynamicImage, Duration)>, PhotoError> {
        if !self.more {
            return Ok(None);
        }
        let cut = || broken("it ends before its last row");
        let row = self.width as usize * if self.alpha { 4 } else { 3 };
        let mut samples = vec![0; row * self.height as usize];
        let mut shown = Duration::ZERO;
        loop {
            let mut buffers = [JxlOutputBuffer::new(&mut samples, self.height as usize, row)];
            match self.decoder.process(&mut self.rest, Some(&mut buffers), None).map_err(broken)? {
                Event::FrameHeader => {
                    let milliseconds = self.decoder.frame_header().and_then(|header| header.duration).unwrap_or(0.0);
                    shown = Duration::try_from_secs_f64(milliseconds / 1e3).unwrap_or(Duration::MAX);
                }
                Event::FrameComplete { has_more_frames } => {
                    self.more = has_more_frames;
                    break;
                }
                Event::NeedMoreInput { .. } => return Err(cut()),
                Event::Complete => return Ok(None),
                Event::BasicInfo => {}
            }
        }
        let image = if self.alpha {
            RgbaImage::from_raw(self.width, self.height, samples).map(DynamicImage::ImageRgba8)
        } else {
            RgbImage::from_raw(self.width, self.height, samples).map(DynamicImage::ImageRgb8)
        };
        Ok(Some((image.ok_or_else(cut)?, shown)))
    }
}
