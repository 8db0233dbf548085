//! Geometric verification, the local signal: does a photo contain a reference, as a whole, under one transform?
//!
//! Keypoints of both (SIFT) are paired, and a projective map is fitted to the pairs. Many agreeing pairs mean that both
//! show the same printed pack or the same surface. That alone is no copy: a pack on a shelf has agreeing pairs, too,
//! and so has a seller's backdrop. So the map lays the reference's pixels over the query and compares them: only a copy
//! agrees in structure, as a whole or in a part that was cut out. Plain background is no evidence. Colours are compared after fitting the changes that
//! edits make to a whole photo. If only a part differs in colour, the result says so.
//!
//! Asymmetric: the whole reference is searched for inside the query. A reference that contains the query has a small
//! [`Alignment::reference_overlap`].

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "coordinates and counts below 1000, rounded on purpose"
)]

mod colour;
mod compare;
mod features;
mod geometry;
mod keypoints;
mod logo;
mod matching;
mod same;
mod words;

use image::{RgbImage, imageops};

use compare::Face;
use geometry::Homography;

pub use colour::{CopiedPart, Recolour};
pub use features::{LocalFeatures, QueryFeatures, StrongestKeypoints, VERSION};
pub use logo::{FoundLogo, LogoChange, find_logo};
pub use same::is_same_picture;
pub use words::{ANGLES, Payload, SCALES, SIGNATURE_BITS, VisualWord, Vocabulary, VocabularyError};

/// Least share of the smaller of two areas that both must cover to be the same place.
const SAME_PLACE: f64 = 0.5;
/// Fewer agreeing keypoints than this can occur by chance; then the reference is also compared at the position that
/// fills the frame, as in a blurred copy or a photo of things that repeat.
const FEW_INLIERS: usize = 12;
/// Fewer agreeing keypoints than this do not locate the reference.
const FEWEST_INLIERS: usize = 4;
/// Least mean correlation, or structure, at which pixels agree.
const PIXELS_AGREE: f64 = 0.6;
/// From this mean correlation on, a reference that fills the frame needs no agreeing keypoints.
const FILLS_FRAME: f64 = 0.8;
/// Below this mean correlation, the position that fills the frame is not considered.
const MAY_FILL_FRAME: f64 = 0.3;
/// Least number of cells, of 64, with detail for that position.
const CELLS_TO_SEE: usize = 6;

/// The alignment of a reference with a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alignment {
    /// Number of keypoint pairs that agree with the transform; where the reference fills the frame, the number of 64
    /// cells that agree, if that is more.
    pub inliers: usize,
    /// Root mean square of the pairs' reprojection error, in pixels of a frame with a longer side of 480.
    pub residual: f64,
    /// Whether the query shows the reference's mirror image.
    pub flipped: bool,
    /// The reference's corners in the query: top left, top right, bottom right and bottom left of the reference, as
    /// fractions of the query's width and height; outside 0 to 1 where the query cuts them off.
    pub corners: [(f64, f64); 4],
    /// Share of the query's area that the reference covers, 0 to 1.
    pub query_overlap: f64,
    /// Share of the reference's area that is inside the query, 0 to 1.
    pub reference_overlap: f64,
    /// Mean correlation of the grid's cells with detail, -1 to 1.
    pub detail: f64,
    /// Mean cosine between the gradients of both, weighted by the reference's. Clipped samples of the query are
    /// ignored. -1 to 1; near 0 with little structure.
    pub structure: f64,
    /// The part of the reference whose structure agrees.
    pub part: CopiedPart,
    /// Mean colour difference where structure agrees, 0 to about 255, after a fit of lightness.
    pub difference: f64,
    /// Present if the query is the same photograph in another colour.
    pub recolour: Option<Recolour>,
}

impl Alignment {
    /// Whether the alignment is more than chance: many keypoints agree, or some keypoints and the pixels.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.inliers >= FEW_INLIERS
            || (self.inliers >= FEW_INLIERS / 2 && self.detail.max(self.structure) >= PIXELS_AGREE)
    }

    /// How much of the reference is found in the query. Of two maps, the one that explains more is right.
    fn explained(&self) -> f64 {
        self.structure * self.reference_overlap.sqrt()
    }

    /// Share of the smaller alignment's area in the query that both cover, 0 to 1, by the upright boxes around them.
    #[must_use]
    pub fn shared(&self, other: &Self) -> f64 {
        let ((left, top, right, bottom), (l, t, r, b)) = (self.bounds(), other.bounds());
        let width = (right.min(r) - left.max(l)).max(0.0);
        let height = (bottom.min(b) - top.max(t)).max(0.0);
        let smaller = ((right - left) * (bottom - top)).min((r - l) * (b - t));
        if smaller > 0.0 { width * height / smaller } else { 0.0 }
    }

    /// Whether both may be about the same part of the query: they share half of the smaller one's area.
    #[must_use]
    pub fn is_same_place(&self, other: &Self) -> bool {
        self.shared(other) >= SAME_PLACE
    }

    /// Whether the query shows the reference's photograph in another colour.
    #[must_use]
    pub fn is_recoloured(&self) -> bool {
        self.recolour.is_some()
    }

    /// Whether answers report the alignment. A recoloured photograph is reported even if few keypoints agree.
    #[must_use]
    pub fn is_reported(&self) -> bool {
        self.holds() || self.is_recoloured()
    }

    /// Left, top, right and bottom of the box around the alignment, inside the query.
    fn bounds(&self) -> (f64, f64, f64, f64) {
        let start = (1.0, 1.0, 0.0, 0.0);
        self.corners.iter().map(|(x, y)| (x.clamp(0.0, 1.0), y.clamp(0.0, 1.0))).fold(start, |box_, (x, y)| {
            (f64::min(box_.0, x), f64::min(box_.1, y), f64::max(box_.2, x), f64::max(box_.3, y))
        })
    }
}

/// Aligns `reference` with `query`, straight or mirrored, whichever agrees better. `None` if nothing suggests a
/// transform.
#[must_use]
pub fn align(query: &QueryFeatures, reference: &LocalFeatures) -> Option<Alignment> {
    let mirrored = imageops::flip_horizontal(&reference.thumbnail);
    let attempts = [attempt(query, reference, None), attempt(query, reference, Some(&mirrored))];
    // Pixels are compared only for the better orientation, because that costs as much as pairing the keypoints.
    let best = attempts.iter().filter(|attempt| attempt.fit.is_some()).max_by_key(|attempt| attempt.inliers());
    let points = best.and_then(|attempt| attempt.by_points(query));
    if points.is_some_and(|points| points.inliers >= FEW_INLIERS && points.structure >= PIXELS_AGREE) {
        return points;
    }
    let filling = attempts.iter().filter_map(|attempt| attempt.filling(query));
    filling.chain(points).max_by(|a, b| a.explained().total_cmp(&b.explained()))
}

/// The result of one orientation of the reference.
struct Attempt<'a> {
    reference: Face<'a>,
    pairs: Vec<matching::Pair>,
    flipped: bool,
    fit: Option<geometry::Fit>,
}

/// Pairs the query with the reference, or with its mirror image.
fn attempt<'a>(query: &QueryFeatures, reference: &'a LocalFeatures, mirrored: Option<&'a RgbImage>) -> Attempt<'a> {
    let flipped = mirrored.is_some();
    let pairs = matching::pairs(query, reference, flipped);
    let fit = geometry::fit(&pairs);
    let face = Face {
        frame: reference.frame,
        thumbnail: mirrored.unwrap_or(&reference.thumbnail),
        coloured: reference.is_coloured(),
    };
    Attempt { reference: face, pairs, flipped, fit }
}

impl Attempt<'_> {
    fn inliers(&self) -> usize {
        self.fit.as_ref().map_or(0, |fit| fit.inliers.len())
    }

    /// The alignment from keypoints.
    fn by_points(&self, query: &QueryFeatures) -> Option<Alignment> {
        let fit = self.fit.as_ref().filter(|fit| fit.inliers.len() >= FEWEST_INLIERS)?;
        let (agreement, samples) = compare::compare(query, self.reference, &fit.map);
        self.alignment(query, &fit.map, (fit.inliers.len(), fit.residual), &agreement, &samples)
    }

    /// The reference stretched over the whole query, if the pixels agree.
    fn filling(&self, query: &QueryFeatures) -> Option<Alignment> {
        let ((width, height), (wide, high)) = (self.reference.frame, query.features.frame);
        let map = Homography::new_nonuniform_scaling(&nalgebra::Vector2::new(
            f64::from(wide) / f64::from(width),
            f64::from(high) / f64::from(height),
        ));
        let (agreement, samples) = compare::compare_from(query, self.reference, &map, MAY_FILL_FRAME)?;
        if agreement.textured < CELLS_TO_SEE {
            return None;
        }
        let inliers = geometry::agreeing(&map, &self.pairs, geometry::TOLERANCE);
        let residual = geometry::residual(&map, &self.pairs, &inliers).unwrap_or(geometry::TOLERANCE);
        let cells = if agreement.detail >= FILLS_FRAME { agreement.agreeing } else { 0 };
        let seen = inliers.len().max(cells);
        self.alignment(query, &map, (seen, residual), &agreement, &samples)
    }

    fn alignment(
        &self,
        query: &QueryFeatures,
        map: &Homography,
        (inliers, residual): (usize, f64),
        agreement: &compare::Agreement,
        samples: &compare::Samples,
    ) -> Option<Alignment> {
        let seen = colour::compare(samples, self.reference.coloured);
        let (width, height) = (f64::from(self.reference.frame.0), f64::from(self.reference.frame.1));
        let (wide, high) = (f64::from(query.features.frame.0), f64::from(query.features.frame.1));
        let corner = |x, y| geometry::project(map, x, y).map(|at| (at.x / wide, at.y / high));
        let mut corners = [corner(0.0, 0.0)?, corner(width, 0.0)?, corner(width, height)?, corner(0.0, height)?];
        if self.flipped {
            // The map is that of the mirrored reference, whose corners are in the opposite order.
            corners = [corners[1], corners[0], corners[3], corners[2]];
        }
        Some(Alignment {
            inliers,
            residual,
            flipped: self.flipped,
            corners,
            query_overlap: (area(&corners) * agreement.inside).min(1.0),
            reference_overlap: agreement.inside,
            detail: agreement.detail,
            structure: seen.structure,
            part: seen.part,
            difference: seen.difference,
            recolour: seen.recolour,
        })
    }
}

/// The area of a polygon (shoelace formula).
fn area(corners: &[(f64, f64); 4]) -> f64 {
    let next = corners.iter().cycle().skip(1);
    corners.iter().zip(next).map(|(a, b)| a.0 * b.1 - a.1 * b.0).sum::<f64>().abs() / 2.0
}
