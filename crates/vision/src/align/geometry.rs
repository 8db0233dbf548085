use std::collections::HashMap;

use nalgebra::{DMatrix, DVector, Matrix3, Point2, SMatrix, SVector};

use super::features::Keypoint;
use super::matching::Pair;

/// Greatest reprojection error, in pixels of the query's frame, of a pair that agrees with a first, four-parameter
/// guess.
const ROUGH: f64 = 13.0;
/// The same after each refinement.
const FINE: [f64; 3] = [7.5, 5.0, 4.0];
/// Greatest factor between the scales of a pair's keypoints and of the transform; the next constant is the greatest
/// angle.
const SCALE_FACTOR: f32 = 1.7;
const ANGLE: f32 = 0.6;
/// Greatest reprojection error of a pair that agrees with a map that was not fitted to it.
pub(super) const TOLERANCE: f64 = 7.5;
/// Least number of pairs to fit a homography, which has eight parameters; with fewer, an affine map is fitted.
const PAIRS_FOR_HOMOGRAPHY: usize = 12;
const PAIRS_FOR_AFFINE: usize = 4;

/// A projective map from the reference's frame to the query's.
pub(super) type Homography = Matrix3<f64>;

/// A map and the pairs that agree with it.
#[derive(Debug, Clone)]
pub(super) struct Fit {
    pub(super) map: Homography,
    /// Indices of the agreeing pairs, one for each keypoint of either side.
    pub(super) inliers: Vec<usize>,
    /// Root mean square of the inliers' reprojection error, in pixels of the query's frame.
    pub(super) residual: f64,
}

/// Finds the map that most pairs agree with. Each pair of oriented keypoints proposes a similarity transform by itself,
/// so all proposals are tried and the result does not depend on chance. The best one is refined to an affine map and,
/// with enough pairs, to a homography.
pub(super) fn fit(pairs: &[Pair]) -> Option<Fit> {
    let support = |map: &Homography| pairs.iter().filter(|pair| agrees(map, pair, ROUGH).is_some()).count();
    let mut map = pairs.iter().map(similarity).max_by_key(support)?;
    let mut inliers = agreeing(&map, pairs, ROUGH);
    for tolerance in FINE {
        if inliers.len() < PAIRS_FOR_AFFINE {
            break;
        }
        let refined =
            if inliers.len() >= PAIRS_FOR_HOMOGRAPHY { homography(pairs, &inliers) } else { affine(pairs, &inliers) };
        let Some(refined) = refined.filter(sane) else { break };
        let agreeing = agreeing(&refined, pairs, tolerance);
        // A refinement that loses most of its pairs was fitted to noise.
        if agreeing.len() * 2 < inliers.len() {
            break;
        }
        (map, inliers) = (refined, agreeing);
    }
    let residual = residual(&map, pairs, &inliers)?;
    Some(Fit { map, inliers, residual })
}

/// Root mean square of the inliers' reprojection error; `None` without inliers.
pub(super) fn residual(map: &Homography, pairs: &[Pair], inliers: &[usize]) -> Option<f64> {
    let squares: f64 = inliers.iter().map(|&place| error(map, &pairs[place]).powi(2)).sum();
    (!inliers.is_empty()).then(|| (squares / inliers.len() as f64).sqrt())
}

/// The image of a point under `map`; `None` on or behind the horizon.
pub(super) fn project(map: &Homography, x: f64, y: f64) -> Option<Point2<f64>> {
    let point = map * nalgebra::Vector3::new(x, y, 1.0);
    (point.z > 1e-6).then(|| Point2::new(point.x / point.z, point.y / point.z))
}

pub(super) fn similarity(pair: &Pair) -> Homography {
    let (reference, query) = (&pair.reference, &pair.query);
    let scale = f64::from(query.scale / reference.scale);
    let (sin, cos) = f64::from(query.angle - reference.angle).sin_cos();
    let (a, b) = (scale * cos, scale * sin);
    let (x, y) = (f64::from(reference.x), f64::from(reference.y));
    Homography::new(
        a,
        -b,
        f64::from(query.x) - a * x + b * y, //
        b,
        a,
        f64::from(query.y) - b * x - a * y, //
        0.0,
        0.0,
        1.0,
    )
}

fn error(map: &Homography, pair: &Pair) -> f64 {
    project(map, f64::from(pair.reference.x), f64::from(pair.reference.y)).map_or(f64::INFINITY, |at| {
        ((at.x - f64::from(pair.query.x)).powi(2) + (at.y - f64::from(pair.query.y)).powi(2)).sqrt()
    })
}

/// The pair's reprojection error, if it is within `tolerance` and the keypoints have the scale and direction that the
/// map has at their position.
fn agrees(map: &Homography, pair: &Pair, tolerance: f64) -> Option<f64> {
    Some(error(map, pair)).filter(|&error| error <= tolerance && oriented(map, pair))
}

/// The pairs that agree with the map, one for each position of the reference: several keypoints, one for each
/// direction, may share a position and are one piece of evidence.
pub(super) fn agreeing(map: &Homography, pairs: &[Pair], tolerance: f64) -> Vec<usize> {
    let mut best: HashMap<(i32, i32), (f64, usize)> = HashMap::new();
    for (place, pair) in pairs.iter().enumerate() {
        if let Some(error) = agrees(map, pair, tolerance) {
            let spot = (pair.reference.x.round() as i32, pair.reference.y.round() as i32);
            let known = best.entry(spot).or_insert((error, place));
            if error < known.0 {
                *known = (error, place);
            }
        }
    }
    let mut inliers: Vec<usize> = best.into_values().map(|(_, place)| place).collect();
    inliers.sort_unstable();
    inliers
}

fn oriented(map: &Homography, pair: &Pair) -> bool {
    let Some([a, b, c, d]) = jacobian(map, f64::from(pair.reference.x), f64::from(pair.reference.y)) else {
        return false;
    };
    let area = a * d - b * c;
    if area <= 0.0 {
        return false;
    }
    let scale = (pair.query.scale / pair.reference.scale) / area.sqrt() as f32;
    let (sin, cos) = f64::from(pair.reference.angle).sin_cos();
    let direction = (c * cos + d * sin).atan2(a * cos + b * sin) as f32;
    let turn = (pair.query.angle - direction).rem_euclid(std::f32::consts::TAU);
    let turn = turn.min(std::f32::consts::TAU - turn);
    (1.0 / SCALE_FACTOR..SCALE_FACTOR).contains(&scale) && turn < ANGLE
}

/// The derivative of the map at a point, row by row.
fn jacobian(map: &Homography, x: f64, y: f64) -> Option<[f64; 4]> {
    let at = project(map, x, y)?;
    let w = map[(2, 0)] * x + map[(2, 1)] * y + map[(2, 2)];
    Some([
        (map[(0, 0)] - at.x * map[(2, 0)]) / w,
        (map[(0, 1)] - at.x * map[(2, 1)]) / w,
        (map[(1, 0)] - at.y * map[(2, 0)]) / w,
        (map[(1, 1)] - at.y * map[(2, 1)]) / w,
    ])
}

/// Fits an affine map by least squares over the pairs.
fn affine(pairs: &[Pair], inliers: &[usize]) -> Option<Homography> {
    let rows = inliers.len();
    let a = DMatrix::from_fn(rows, 3, |row, column| {
        let point = &pairs[inliers[row]].reference;
        [f64::from(point.x), f64::from(point.y), 1.0][column]
    });
    let solve = |pick: fn(&Keypoint) -> f32| {
        let b = DVector::from_fn(rows, |row, _| f64::from(pick(&pairs[inliers[row]].query)));
        (a.transpose() * &a).cholesky().map(|c| c.solve(&(a.transpose() * b)))
    };
    let (x, y) = (solve(|p| p.x)?, solve(|p| p.y)?);
    Some(Homography::new(x[0], x[1], x[2], y[0], y[1], y[2], 0.0, 0.0, 1.0))
}

/// Direct linear transform with the last entry fixed at 1, over coordinates scaled to about -1 to 1 (Hartley, In
/// Defense of the Eight-Keypoint Algorithm, PAMI 1997), by normal equations.
fn homography(pairs: &[Pair], inliers: &[usize]) -> Option<Homography> {
    let half = f64::from(super::features::FRAME) / 2.0;
    let unit = |v: f32| f64::from(v) / half - 1.0;
    let mut normal = SMatrix::<f64, 8, 8>::zeros();
    let mut right = SVector::<f64, 8>::zeros();
    for &place in inliers {
        let Pair { reference, query } = &pairs[place];
        let (x, y, u, v) = (unit(reference.x), unit(reference.y), unit(query.x), unit(query.y));
        for (row, value) in [
            (SVector::<f64, 8>::from([x, y, 1.0, 0.0, 0.0, 0.0, -u * x, -u * y]), u),
            (SVector::<f64, 8>::from([0.0, 0.0, 0.0, x, y, 1.0, -v * x, -v * y]), v),
        ] {
            normal += row * row.transpose();
            right += row * value;
        }
    }
    let h = normal.cholesky()?.solve(&right);
    let inner = Homography::new(h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], 1.0);
    let into = Homography::new(1.0 / half, 0.0, -1.0, 0.0, 1.0 / half, -1.0, 0.0, 0.0, 1.0);
    let out = Homography::new(half, 0.0, half, 0.0, half, half, 0.0, 0.0, 1.0);
    let map = out * inner * into;
    (map[(2, 2)].abs() > 1e-9).then(|| map / map[(2, 2)])
}

/// Whether the map leaves the frame's corners in front of the horizon, its sides in order and its size within reason.
fn sane(map: &Homography) -> bool {
    let far = f64::from(super::features::FRAME);
    [(0.0, 0.0), (far, 0.0), (far, far), (0.0, far)]
        .into_iter()
        .all(|(x, y)| jacobian(map, x, y).is_some_and(|[a, b, c, d]| (0.002..50.0).contains(&(a * d - b * c))))
}
