//! Picks the frame that represents an animation: the one that is shown longest.

use std::time::Duration;

use image::metadata::LoopCount;
use image::{AnimationDecoder, DynamicImage, ImageError, ImageResult};

use super::colour::ToSrgb;
use super::look::Look;
use super::{Limits, Pixels, fingerprint};

/// Most frames decoded.
const MOST_FRAMES: usize = 200;
/// A frame with at most this display time is shown for [`USUAL`], as in browsers.
const TOO_SHORT: Duration = Duration::from_millis(10);
const USUAL: Duration = Duration::from_millis(100);
/// A frame with a quality (0 to 100) below this is blank.
const BLANK: u8 = 3;

/// As [`rest_of`], for a decoder of the crate `image`.
pub(super) fn rest_of_decoded<'a>(
    animation: impl AnimationDecoder<'a>,
    to_srgb: &ToSrgb,
    limits: &Limits,
) -> ImageResult<Option<Pixels>> {
    let ends = matches!(animation.loop_count(), LoopCount::Finite(_));
    let frames = animation.into_frames().map(|frame| {
        let frame = frame?;
        let shown = Duration::from(frame.delay());
        Ok::<_, ImageError>((to_srgb.picture(DynamicImage::ImageRgba8(frame.into_buffer()), false), shown))
    });
    rest_of(frames, ends, limits)
}

/// Reads frames, each with its display time, until a limit is reached, and picks the one shown longest. Picks a blank
/// frame only if all frames are blank. `ends`: the animation stops at its last frame. `None` if there is no frame.
pub(super) fn rest_of<E>(
    frames: impl Iterator<Item = Result<(Pixels, Duration), E>>,
    ends: bool,
    limits: &Limits,
) -> Result<Option<Pixels>, E> {
    let mut pixels = 0;
    let mut best: Option<((bool, Duration), usize, Pixels)> = None;
    let mut looks = Vec::new();
    let mut more = false;
    let mut frames = frames.peekable();
    while let Some(frame) = frames.next() {
        let (frame, shown) = frame?;
        let rgb = frame.on_black.as_ref().filter(|_| frame.invisible_on_white).unwrap_or(&frame.rgb);
        let last = frames.peek().is_none();
        let shown = if ends && last {
            Duration::MAX
        } else if shown <= TOO_SHORT {
            USUAL
        } else {
            shown
        };
        pixels += u64::from(rgb.width()) * u64::from(rgb.height());
        let shows = fingerprint::quality_of(rgb) >= BLANK;
        looks.push((shows, Look::of(rgb)));
        if best.as_ref().is_none_or(|(longest, ..)| (shows, shown) > *longest) {
            best = Some(((shows, shown), looks.len() - 1, frame));
        }
        if !last && (looks.len() == MOST_FRAMES || pixels >= limits.max_pixels.saturating_mul(2)) {
            more = true;
            break;
        }
    }
    Ok(best.map(|(_, place, picture)| {
        let (_, chosen) = &looks[place];
        let other = looks.iter().any(|(shows, look)| *shows && !look.is_same(chosen));
        let frames = u32::try_from(looks.len()).unwrap_or(u32::MAX);
        Pixels { frames, more_frames: more || other, ..picture }
    }))
}
