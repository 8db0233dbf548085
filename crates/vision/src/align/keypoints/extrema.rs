use nalgebra::{Matrix3, Vector3};
use pulp::{Arch, NullaryFnOnce};

use super::plane::Plane;
use super::{BORDER, INTERVALS, SIGMA};

/// Least contrast of a keypoint, of grey values 0 to 1. Lowe's 0.03 leaves too few keypoints on plain goods.
const CONTRAST: f32 = 0.012;
/// Greatest ratio of principal curvatures; beyond it is an edge, along which a keypoint has no definite position.
const EDGE: f32 = 10.0;
/// Most moves of a candidate to a neighbour while its position is refined.
const MOVES: usize = 5;

/// Pixels that are passed over together.
const BLOCK: usize = 32;

/// An extremum of the differences of Gaussians, in pixels of its octave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extremum {
    pub(super) octave: usize,
    /// Index of the difference, and of the Gaussian, in which it was found.
    pub(super) layer: usize,
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) scale: f32,
    /// Contrast: the absolute value of the difference at the refined position.
    pub(super) response: f32,
}

/// Adds the extrema of an octave's differences of Gaussians (Lowe, "Distinctive Image Features from Scale-Invariant
/// Keypoints", IJCV 2004, sections 3 and 4).
pub(super) fn find(octave: usize, differences: &[Plane], found: &mut Vec<Extremum>) {
    let (width, height) = (differences[0].width, differences[0].height);
    if width <= 2 * BORDER || height <= 2 * BORDER {
        return;
    }
    let mut candidates = vec![0_u32; differences[0].stride];
    for layer in 1..=INTERVALS {
        let three = [&differences[layer - 1], &differences[layer], &differences[layer + 1]];
        for y in BORDER..height - BORDER {
            Arch::new().dispatch(Peaks { three, y, candidates: &mut candidates });
            for (block, marks) in candidates.chunks(BLOCK).enumerate() {
                // Nearly all blocks have no candidate.
                if marks.iter().fold(0, |any, mark| any | mark) == 0 {
                    continue;
                }
                for (column, _) in marks.iter().enumerate().filter(|(_, mark)| **mark != 0) {
                    let x = block * BLOCK + column;
                    if (BORDER..width - BORDER).contains(&x) && is_extremum(three, x, y) {
                        found.extend(refined(octave, differences, (layer, x, y)));
                    }
                }
            }
        }
    }
}

/// Marks pixels above or below their six nearest neighbours. They are few, so the other twenty are seldom compared.
struct Peaks<'a> {
    three: [&'a Plane; 3],
    y: usize,
    candidates: &'a mut [u32],
}

impl NullaryFnOnce for Peaks<'_> {
    type Output = ();

    #[inline(always)]
    #[expect(clippy::needless_bitwise_bool, reason = "branches would keep the loop from being vectorised")]
    fn call(self) {
        const FAINT: f32 = CONTRAST * 0.5 / INTERVALS as f32;
        let ([before, here, after], y) = (self.three, self.y);
        let count = here.width - 2;
        let from = |plane: &Plane, y: usize, x: usize| {
            let start = y * plane.stride + x;
            start..start + count
        };
        let (left, centre, right) =
            (&here.values[from(here, y, 0)], &here.values[from(here, y, 1)], &here.values[from(here, y, 2)]);
        let (above, below) = (&here.values[from(here, y - 1, 1)], &here.values[from(here, y + 1, 1)]);
        let (finer, coarser) = (&before.values[from(before, y, 1)], &after.values[from(after, y, 1)]);
        let candidates = &mut self.candidates[1..][..count];
        for x in 0..count {
            let value = centre[x];
            let most = left[x].max(right[x]).max(above[x].max(below[x])).max(finer[x].max(coarser[x]));
            let least = left[x].min(right[x]).min(above[x].min(below[x])).min(finer[x].min(coarser[x]));
            let peak = (value > most) & (value >= FAINT) | (value < least) & (value <= -FAINT);
            candidates[x] = u32::from(peak);
        }
    }
}

fn is_extremum(three: [&Plane; 3], x: usize, y: usize) -> bool {
    let value = three[1].row(y)[x];
    let sign = value.signum();
    three.iter().enumerate().all(|(layer, plane)| {
        (y - 1..=y + 1).all(|row| {
            plane.row(row)[x - 1..=x + 1].iter().enumerate().all(|(column, other)| {
                let itself = layer == 1 && row == y && column == 1;
                itself || sign * other < sign * value
            })
        })
    })
}

/// The extremum of a parabola through the neighbours; `None` if it diverges, is faint or is on an edge.
fn refined(octave: usize, differences: &[Plane], (mut layer, mut x, mut y): (usize, usize, usize)) -> Option<Extremum> {
    let (width, height) = (differences[0].width, differences[0].height);
    let mut offset = Vector3::zeros();
    let mut here = None;
    for _ in 0..MOVES {
        let local = Local::of(differences, layer, x, y);
        offset = local.hessian.lu().solve(&-local.gradient)?;
        here = Some(local);
        if offset.amax() < 0.5 {
            break;
        }
        x = moved(x, offset.x, BORDER..width - BORDER)?;
        y = moved(y, offset.y, BORDER..height - BORDER)?;
        layer = moved(layer, offset.z, 1..INTERVALS + 1)?;
        here = None;
    }
    let here = here.filter(|_| offset.amax() < 1.5)?;
    let response = (here.value + 0.5 * here.gradient.dot(&offset)).abs();
    if response < CONTRAST || here.is_edge() {
        return None;
    }
    let scale = SIGMA * 2.0_f32.powf((layer as f32 + offset.z) / INTERVALS as f32);
    Some(Extremum { octave, layer, x: x as f32 + offset.x, y: y as f32 + offset.y, scale, response })
}

fn moved(place: usize, offset: f32, inside: std::ops::Range<usize>) -> Option<usize> {
    let offset = offset.round();
    let to = if offset.abs() < 100.0 { place.checked_add_signed(offset as isize)? } else { return None };
    inside.contains(&to).then_some(to)
}

/// Value and derivatives at a pixel: x, y, layer.
struct Local {
    value: f32,
    gradient: Vector3<f32>,
    hessian: Matrix3<f32>,
}

impl Local {
    fn of(differences: &[Plane], layer: usize, x: usize, y: usize) -> Self {
        let around = |z: usize| {
            let plane = &differences[z];
            [y - 1, y, y + 1].map(|row| [0, 1, 2].map(|column| plane.row(row)[x - 1 + column]))
        };
        let (finer, here, coarser) = (around(layer - 1), around(layer), around(layer + 1));
        let value = here[1][1];
        let cross = |a: [[f32; 3]; 3]| 0.25 * (a[2][2] - a[2][0] - a[0][2] + a[0][0]);
        let (dx, dy) = (0.5 * (here[1][2] - here[1][0]), 0.5 * (here[2][1] - here[0][1]));
        let dz = 0.5 * (coarser[1][1] - finer[1][1]);
        let dxx = here[1][2] + here[1][0] - 2.0 * value;
        let dyy = here[2][1] + here[0][1] - 2.0 * value;
        let dzz = coarser[1][1] + finer[1][1] - 2.0 * value;
        let dxy = cross(here);
        let dxz = 0.25 * (coarser[1][2] - coarser[1][0] - finer[1][2] + finer[1][0]);
        let dyz = 0.25 * (coarser[2][1] - coarser[0][1] - finer[2][1] + finer[0][1]);
        let hessian = Matrix3::new(dxx, dxy, dxz, dxy, dyy, dyz, dxz, dyz, dzz);
        Self { value, gradient: Vector3::new(dx, dy, dz), hessian }
    }

    fn is_edge(&self) -> bool {
        let (dxx, dyy, dxy) = (self.hessian[(0, 0)], self.hessian[(1, 1)], self.hessian[(0, 1)]);
        let (trace, determinant) = (dxx + dyy, dxx * dyy - dxy * dxy);
        determinant <= 0.0 || trace * trace * EDGE >= (EDGE + 1.0).powi(2) * determinant
    }
}
