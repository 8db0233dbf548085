//! Finds a logo in a photo: the drawing itself, on any ground, in any colour, dark on light or light on dark.
//!
//! A logo has few keypoints, and fewer of them are found again in a small print, so each pair of keypoints proposes a
//! place by itself. The drawing is laid over the photo at that place and moved to the best agreement. The agreement
//! decides whether it is this logo; its shape and colour in the photo decide whether it was changed.

mod drawing;
mod fit;

use nalgebra::{Matrix2, Matrix2x3, Matrix3, Vector2, Vector3};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::colour::{CopiedPart, Recolour};
use super::features::{LocalFeatures, QueryFeatures};
use super::matching::{Pair, loose_pairs};
use super::{Alignment, area, geometry};
use drawing::{Drawing, Grid, filling, is_other_colour};
use fit::{Reading, edges, read, refine, worst_part};

/// Points along the grid's longer side: for comparing all proposals, and the most for comparing the best ones.
const COARSE: usize = 20;
const FINE: usize = 56;
/// Proposals that are moved on the coarse grid, and on the fine one, in each orientation.
const TRIED: usize = 32;
const KEPT: usize = 3;
/// Steps on the coarse grid, and on the fine one.
const COARSE_STEPS: usize = 8;
const FINE_STEPS: usize = 12;
/// A print whose longer or shorter side is below this, in pixels of the frame, shows too little.
const SHORTEST: (f64, f64) = (16.0, 8.0);
/// Longer side, in pixels, of the copy of a photo in which a print on a plain ground is searched for.
const PLAIN: u32 = 160;

/// Intercept of the log-odds that a photo shows the logo, changed or not: a logistic regression on prints, drawings and
/// imitations of 60 logos, and on other logos and goods (docs/ACCURACY.md).
const BIAS: f64 = -17.3;
/// Factors of the negative logarithm of what the drawing leaves unexplained, and of what the edges do.
const UNEXPLAINED: f64 = 2.1;
const UNEXPLAINED_EDGES: f64 = 2.9;
/// Factor of the logarithm of the print's shorter side in pixels.
const SIDE: f64 = 1.2;
/// Factor of the logarithm of the stretch.
const STRETCH: f64 = -3.5;
/// Factor of the drawing's simplicity, 0 to 1.
const SIMPLICITY: f64 = -0.6;
/// Factor of the logarithm of one more than the number of inliers.
const INLIERS: f64 = 3.6;

/// Most that a mirror image may leave unexplained, as a share of what the drawing leaves: many logos are symmetric.
const MIRRORED: f64 = 0.55;
/// A logo stretched by more than this factor along its own axes was changed. A slanted view also shears it.
const STRETCHED: f64 = 1.25;
const SHEARED: f64 = 0.15;

/// A part with a lower correlation differs.
const PART_DIFFERS: f64 = 0.6;

/// A place in a photo: maps the drawing's box, -1 to 1 on both axes, to pixels of the query's frame.
type Place = Matrix2x3<f64>;

/// A difference between a logo and its print in a photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogoChange {
    /// The print is mirrored.
    Mirrored,
    /// The print is wider or narrower.
    Stretched,
    /// The print has a colour that is neither the logo's own, nor black, white or grey.
    OtherColour,
    /// Some parts are missing, moved, turned or replaced.
    OtherParts,
}

/// A logo found in a photo.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FoundLogo {
    /// Alignment of the reference; its overlap with the photo is that of the drawing alone. `detail` is the correlation
    /// with the drawing, `structure` that of the edges.
    pub alignment: Alignment,
    /// Log-odds that it is this logo, changed or not.
    pub evidence: f64,
    /// Whether the print is stretched along its own axes.
    pub stretched: bool,
    /// Whether some parts are missing or replaced.
    pub parts_differ: bool,
}

impl FoundLogo {
    /// The differences from the logo; empty if it is the same.
    #[must_use]
    pub fn changes(&self) -> Vec<LogoChange> {
        let differs = [
            (self.alignment.flipped, LogoChange::Mirrored),
            (self.stretched, LogoChange::Stretched),
            (self.alignment.is_recoloured(), LogoChange::OtherColour),
            (self.parts_differ, LogoChange::OtherParts),
        ];
        differs.into_iter().filter(|(differs, _)| *differs).map(|(_, change)| change).collect()
    }
}

/// Finds the place where the logo's drawing agrees best with the photo. `None` if the reference has no drawing, or the
/// photo has no place for it.
#[must_use]
pub fn find_logo(query: &QueryFeatures, reference: &LocalFeatures) -> Option<FoundLogo> {
    let drawing = Drawing::of(reference)?;
    let coarse = Grid::over(&drawing, COARSE);
    let pairs = pairs(query, reference);
    let mut places: Vec<Place> = pairs.iter().map(|(pair, mirror)| proposed(pair, mirror, &drawing)).collect();
    let plain = query.levels.iter().find(|level| level.width().max(level.height()) <= PLAIN);
    places.extend(plain.into_iter().flat_map(|plain| filling(plain, query.features.frame)));
    let possible = |place: &Place| is_possible(query, place);
    let scored = places.into_iter().filter(possible);
    let mut scored: Vec<(Place, f64)> =
        scored.filter_map(|place| Some((place, read(query, &coarse, &place)?.agreement))).collect();
    scored.sort_by(|a, b| b.1.total_cmp(&a.1));
    scored.truncate(TRIED);
    let moved = scored.iter().filter_map(|(place, _)| refine(query, &coarse, place, COARSE_STEPS));
    let mut moved: Vec<(Place, Reading)> = moved.filter(|(place, _)| possible(place)).collect();
    moved.sort_by(|a, b| b.1.agreement.total_cmp(&a.1.agreement));
    let best = |mirrored: bool| {
        let of = moved.iter().filter(|(place, _)| is_mirrored(place) == mirrored).take(KEPT);
        let fine = of.filter_map(|(place, _)| {
            let grid = Grid::over(&drawing, points_along(place));
            let (place, reading) = refine(query, &grid, place, FINE_STEPS)?;
            Some(Laid { place, reading, grid })
        });
        fine.max_by(|a, b| a.reading.agreement.total_cmp(&b.reading.agreement))
    };
    let laid = match (best(false), best(true)) {
        (Some(straight), Some(mirrored)) => {
            if mirrored.unexplained() < MIRRORED * straight.unexplained() {
                mirrored
            } else {
                straight
            }
        }
        (straight, mirrored) => straight.or(mirrored)?,
    };
    Some(laid.found(query, reference, &drawing, &pairs))
}

/// A drawing laid over a photo.
struct Laid {
    place: Place,
    reading: Reading,
    grid: Grid,
}

impl Laid {
    fn unexplained(&self) -> f64 {
        (1.0 - self.reading.agreement.powi(2)).max(1e-4)
    }

    fn found(
        &self,
        query: &QueryFeatures,
        reference: &LocalFeatures,
        drawing: &Drawing,
        pairs: &[(Pair, Matrix3<f64>)],
    ) -> FoundLogo {
        let (width, height) = drawing.size();
        let linear = self.place.fixed_view::<2, 2>(0, 0) * Matrix2::new(1.0 / width, 0.0, 0.0, 1.0 / height);
        let sizes = linear.singular_values();
        let stretch = sizes.max() / sizes.min().max(1e-9);
        let (across, down) = (linear.column(0).norm(), linear.column(1).norm());
        let shear = (linear.column(0).dot(&linear.column(1)) / (across * down).max(1e-9)).abs();
        let ratio = (across / down.max(1e-9)).max(down / across.max(1e-9));
        let edges = edges(&self.grid, &self.reading);
        let side = (2.0 * self.place.column(0).norm()).min(2.0 * self.place.column(1).norm());
        let (inliers, residual) = self.agreeing(drawing, pairs, side);
        let evidence = BIAS - UNEXPLAINED * self.unexplained().ln() - UNEXPLAINED_EDGES * (1.0 - edges).max(1e-4).ln()
            + SIDE * side.max(1.0).ln()
            + STRETCH * stretch.ln()
            + SIMPLICITY * self.grid.simplicity()
            + INLIERS * (inliers as f64).ln_1p();
        let photo = self.reading.ink.map(|value| value.round().clamp(0.0, 255.0) as u8);
        let known = drawing.ink.filter(|known| is_other_colour(*known, photo.map(f64::from)));
        let recolour = known.map(|known| Recolour { reference: known.map(|value| value.round() as u8), photo });
        let (wide, high) = (f64::from(query.features.frame.0), f64::from(query.features.frame.1));
        let fraction = |at: Vector2<f64>| ((at.x + 0.5) / wide, (at.y + 0.5) / high);
        let in_box = |u: f64, v: f64| fraction(self.place * Vector3::new(u, v, 1.0));
        let drawn = [in_box(-1.0, -1.0), in_box(1.0, -1.0), in_box(1.0, 1.0), in_box(-1.0, 1.0)];
        let map = self.map(drawing);
        let (left, top) = (-0.5, -0.5);
        let (right, bottom) = (f64::from(reference.frame.0) - 0.5, f64::from(reference.frame.1) - 0.5);
        let corner = |x: f64, y: f64| fraction((map * Vector3::new(x, y, 1.0)).xy());
        let corners = [corner(left, top), corner(right, top), corner(right, bottom), corner(left, bottom)];
        let alignment = Alignment {
            inliers,
            residual,
            flipped: is_mirrored(&self.place),
            corners,
            query_overlap: (area(&drawn) * self.reading.inside).min(1.0),
            reference_overlap: self.reading.inside,
            detail: self.reading.agreement,
            structure: edges,
            part: CopiedPart::default(),
            difference: 0.0,
            recolour,
        };
        FoundLogo {
            alignment,
            evidence,
            stretched: ratio > STRETCHED && shear < SHEARED,
            parts_differ: worst_part(&self.grid, &self.reading) < PART_DIFFERS,
        }
    }

    /// Maps the reference's frame to the query's.
    fn map(&self, drawing: &Drawing) -> Matrix3<f64> {
        let mut whole = Matrix3::identity();
        whole.fixed_view_mut::<2, 3>(0, 0).copy_from(&self.place);
        // The box has two sides, so the map has an inverse.
        whole * drawing.to_frame().try_inverse().unwrap_or_else(Matrix3::identity)
    }

    /// Number of keypoint pairs that agree with the place, and their reprojection error.
    fn agreeing(&self, drawing: &Drawing, pairs: &[(Pair, Matrix3<f64>)], side: f64) -> (usize, f64) {
        let tolerance = (0.1 * side).clamp(2.0, geometry::TOLERANCE);
        let map = self.map(drawing);
        let mirrored = is_mirrored(&self.place);
        let own = pairs.iter().filter(|(_, mirror)| (mirror[(0, 0)] < 0.0) == mirrored);
        let own: Vec<Pair> = own.map(|(pair, _)| *pair).collect();
        let mirror = pairs.iter().find(|(_, mirror)| (mirror[(0, 0)] < 0.0) == mirrored).map(|(_, mirror)| *mirror);
        let map = mirror.map_or(map, |mirror| map * mirror);
        let inliers = geometry::agreeing(&map, &own, tolerance);
        let residual = geometry::residual(&map, &own, &inliers).unwrap_or(tolerance);
        (inliers.len(), residual)
    }
}

/// Pairs of keypoints, straight and mirrored, in the same tones and in opposite ones; each with the mirror map of the
/// reference.
fn pairs(query: &QueryFeatures, reference: &LocalFeatures) -> Vec<(Pair, Matrix3<f64>)> {
    let width = f64::from(reference.frame.0);
    let mirror = Matrix3::new(-1.0, 0.0, width - 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0);
    let orientations = [(false, Matrix3::identity()), (true, mirror)];
    let all = orientations.into_iter().flat_map(|(flipped, mirror)| {
        let tones = [false, true].into_iter();
        tones.flat_map(move |inverted| {
            loose_pairs(query, reference, flipped, inverted).into_iter().map(move |pair| (pair, mirror))
        })
    });
    all.collect()
}

/// The place of the drawing's box if both keypoints of a pair are the same.
fn proposed(pair: &Pair, mirror: &Matrix3<f64>, drawing: &Drawing) -> Place {
    let map = geometry::similarity(pair) * mirror * drawing.to_frame();
    map.fixed_view::<2, 3>(0, 0).into_owned()
}

fn is_mirrored(place: &Place) -> bool {
    place.fixed_view::<2, 2>(0, 0).determinant() < 0.0
}

/// Whether the place is large enough, not larger than the photo, and has its centre inside.
fn is_possible(query: &QueryFeatures, place: &Place) -> bool {
    let (wide, high) = (f64::from(query.features.frame.0), f64::from(query.features.frame.1));
    let (across, down) = (2.0 * place.column(0).norm(), 2.0 * place.column(1).norm());
    let (x, y) = (place[(0, 2)], place[(1, 2)]);
    let (longer, shorter) = (across.max(down), across.min(down));
    longer >= SHORTEST.0
        && shorter >= SHORTEST.1
        && longer <= 1.3 * wide.max(high)
        && (0.0..wide).contains(&x)
        && (0.0..high).contains(&y)
}

/// Points of the fine grid: about one per pixel of the print.
fn points_along(place: &Place) -> usize {
    let longer = 2.6 * place.column(0).norm().max(place.column(1).norm());
    (longer as usize).clamp(COARSE, FINE)
}
