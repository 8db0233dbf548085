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

use image::RgbImage;

use super::features::Keypoint;
use extrema::Extremum;
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

/// The keypoints of a photo, most contrast first. Most of their cost is the description, which is computed on demand.
#[derive(Debug)]
pub(super) struct Keypoints {
    octaves: Vec<Vec<Plane>>,
    /// Keypoints not described yet.
    extrema: std::vec::IntoIter<Extremum>,
    most: usize,
    points: Vec<Keypoint>,
    descriptors: Vec<i8>,
}

impl Keypoints {
    /// Finds at most `most` keypoints.
    pub(super) fn of(picture: &RgbImage, most: usize) -> Self {
        let blur = (SIGMA * SIGMA - BLUR_OF_A_PICTURE * BLUR_OF_A_PICTURE).sqrt();
        let mut base = Plane::of(picture).blurred(blur);
        let (mut octaves, mut extrema) = (Vec::new(), Vec::new());
        while base.width.min(base.height) >= SMALLEST {
            let (gaussians, differences) = octave(base);
            extrema::find(octaves.len(), &differences, &mut extrema);
            base = gaussians[INTERVALS].halved();
            octaves.push(gaussians);
        }
        extrema.sort_by(|a, b| b.response.total_cmp(&a.response));
        extrema.truncate(most);
        Self { octaves, extrema: extrema.into_iter(), most, points: Vec::new(), descriptors: Vec::new() }
    }

    /// Describes the strongest keypoints, at least `least` if there are as many. Returns all that are described, and
    /// their descriptors one after another.
    pub(super) fn describe(&mut self, least: usize) -> (&[Keypoint], &[i8]) {
        while self.points.len() < least.min(self.most)
            && let Some(extremum) = self.extrema.next()
        {
            let image = &self.octaves[extremum.octave][extremum.layer];
            let size = 2.0_f32.powi(extremum.octave as i32);
            for angle in descriptor::directions(image, &extremum) {
                if let Some(descriptor) = descriptor::describe(image, &extremum, angle)
                    && self.points.len() < self.most
                {
                    let (x, y, scale) = (extremum.x * size, extremum.y * size, extremum.scale * size);
                    self.points.push(Keypoint { x, y, scale, angle });
                    self.descriptors.extend_from_slice(&descriptor);
                }
            }
        }
        (&self.points, &self.descriptors)
    }

    /// Describes all keypoints.
    pub(super) fn into_described(mut self) -> (Vec<Keypoint>, Vec<i8>) {
        self.describe(self.most);
        (self.points, self.descriptors)
    }
}

/// The images of an octave and their differences. Each image is blurred by the same factor more than the one before: from
/// [`SIGMA`] to twice that, and two more.
fn octave(base: Plane) -> (Vec<Plane>, Vec<Plane>) {
    let factor = 2.0_f32.powf(1.0 / INTERVALS as f32);
    let (mut gaussians, mut differences) = (vec![base], Vec::new());
    for place in 0..INTERVALS + 2 {
        let before = SIGMA * factor.powi(place as i32);
        let more = before * (factor * factor - 1.0).sqrt();
        let (next, difference) = gaussians[place].blurred_further(more);
        gaussians.push(next);
        differences.push(difference);
    }
    (gaussians, differences)
}
