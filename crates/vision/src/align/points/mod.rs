//! Finds keypoints and their descriptors: SIFT (Lowe, "Distinctive Image Features from Scale-Invariant Keypoints", IJCV
//! 2004), without doubling the photo first.
//!
//! Loops over pixels are compiled for several processors, and the suitable one is chosen at run time; the result is the
//! same on all of them.

#![expect(
    clippy::inline_always,
    reason = "what is not inlined into `Arch::dispatch` is compiled for no processor in particular"
)]

mod descriptor;
mod extrema;
mod plane;

use image::GrayImage;

use super::features::Point;
use plane::Plane;

/// Cells per side of a descriptor; the next constants are the directions per cell and the bytes of the whole.
pub(super) const CELLS: usize = 4;
pub(super) const BINS: usize = 8;
pub(super) const DESCRIPTOR: usize = CELLS * CELLS * BINS;
/// Scales per octave.
const INTERVALS: usize = 3;
/// Blur of an octave's first image; the next constant is the assumed blur of a photo. In pixels.
const SIGMA: f32 = 1.6;
const BLUR_OF_A_PICTURE: f32 = 0.5;
/// Pixels along each edge without keypoints.
const BORDER: usize = 5;
/// Least side of the smallest octave, in pixels.
const SMALLEST: usize = 16;

/// The keypoints of a photo, most contrast first, at most `most`, and their descriptors one after another.
pub(super) fn find(picture: &GrayImage, most: usize) -> (Vec<Point>, Vec<i8>) {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let mut scratch = Vec::new();
    let blur = (SIGMA * SIGMA - BLUR_OF_A_PICTURE * BLUR_OF_A_PICTURE).sqrt();
    let mut base = Plane::of(width, height, picture.as_raw()).blurred(blur, &mut scratch);
    let (mut octaves, mut extrema) = (Vec::new(), Vec::new());
    while base.width.min(base.height) >= SMALLEST {
        let gaussians = gaussians(base, &mut scratch);
        let differences: Vec<Plane> = gaussians.windows(2).map(|two| two[1].less(&two[0])).collect();
        extrema::find(octaves.len(), &differences, &mut extrema);
        base = gaussians[INTERVALS].halved();
        octaves.push(gaussians);
    }
    extrema.sort_by(|a, b| b.response.total_cmp(&a.response));
    let (mut points, mut descriptors) = (Vec::new(), Vec::new());
    for extremum in extrema.iter().take(most) {
        let image = &octaves[extremum.octave][extremum.layer];
        let size = 2.0_f32.powi(extremum.octave as i32);
        for angle in descriptor::directions(image, extremum) {
            if let Some(descriptor) = descriptor::describe(image, extremum, angle)
                && points.len() < most
            {
                let (x, y, scale) = (extremum.x * size, extremum.y * size, extremum.scale * size);
                points.push(Point { x, y, scale, angle });
                descriptors.extend_from_slice(&descriptor);
            }
        }
    }
    (points, descriptors)
}

/// An octave: images blurred from [`SIGMA`] to twice that and two steps more, each by the same factor.
fn gaussians(base: Plane, scratch: &mut Vec<f32>) -> Vec<Plane> {
    let factor = 2.0_f32.powf(1.0 / INTERVALS as f32);
    let mut planes = vec![base];
    for place in 0..INTERVALS + 2 {
        let before = SIGMA * factor.powi(place as i32);
        let more = before * (factor * factor - 1.0).sqrt();
        let next = planes[place].blurred(more, scratch);
        planes.push(next);
    }
    planes
}
