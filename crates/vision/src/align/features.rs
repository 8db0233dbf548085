use image::{RgbImage, imageops};
use serde::{Deserialize, Serialize};

use super::matching::Descriptors;
use super::points::{self, DESCRIPTOR};
use crate::photo::{Filter, resized, within};

/// Long side, in pixels, at which photos are looked at: a copy that fills a quarter of the frame still shows
/// points there, and twice the side would take four times as long.
pub(super) const FRAME: u32 = 480;
/// Long side of the picture that the photometric comparison reads from a reference.
const THUMBNAIL: u32 = 128;
/// Points kept, the strongest: matching costs their square.
const MOST_POINTS: usize = 450;

/// A place in a picture that can be found again in another: position and size in pixels of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Point {
    pub(super) x: f32,
    pub(super) y: f32,
    /// Gaussian scale in pixels.
    pub(super) scale: f32,
    /// Dominant gradient direction in radians.
    pub(super) angle: f32,
}

/// What local matching knows of a picture: points with RootSIFT descriptors, and a small picture in colour.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalFeatures {
    /// Width and height of the frame in pixels, the longer side at most 480.
    pub(super) frame: (u32, u32),
    pub(super) points: Vec<Point>,
    pub(super) descriptors: Descriptors,
    pub(super) thumbnail: RgbImage,
    /// Whether the small picture has its colours; those kept by version 2 are grey.
    pub(super) coloured: bool,
}

/// The features of a query, with the frame that its counterpart is compared with.
#[derive(Debug, Clone)]
pub struct QueryFeatures {
    pub(super) features: LocalFeatures,
    /// The descriptors of its mirror image.
    pub(super) mirrored: Descriptors,
    /// The frame and its halvings in colour, finest first.
    pub(super) levels: Vec<RgbImage>,
}

impl QueryFeatures {
    /// Looks at a picture that references are searched in.
    #[must_use]
    pub fn of(picture: &RgbImage) -> Self {
        let (features, frame) = look(picture);
        let mut levels = vec![frame];
        while let Some(last) = levels.last()
            && last.width().min(last.height()) >= 32
        {
            let halved = resized(last, (last.width() / 2, last.height() / 2), Filter::Box);
            levels.push(halved);
        }
        let mirrored = features.descriptors.mirrored();
        Self { features, mirrored, levels }
    }
}

/// Counts up when points are found, paired or compared otherwise: kept features and scoring artefacts of another
/// version are not used.
pub const VERSION: u8 = 3;

/// The version that kept a grey picture. It is read where the photo is lost; nothing is said about colours then.
const GREY_VERSION: u8 = 2;

/// Features as kept on disk.
#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    version: u8,
    frame: (u32, u32),
    points: Vec<Point>,
    descriptors: &'a [u8],
    thumbnail: (u32, u32),
    pixels: &'a [u8],
}

impl QueryFeatures {
    /// How many points there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.features.points.len()
    }

    /// Whether there is no point: a blank picture.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.features.points.is_empty()
    }
}

impl LocalFeatures {
    /// Looks at a reference's picture.
    #[must_use]
    pub fn of(picture: &RgbImage) -> Self {
        look(picture).0
    }

    /// The features as bytes, about 100 kB, for [`LocalFeatures::from_bytes`].
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let descriptors: Vec<u8> = self.descriptors.as_bytes().iter().copied().map(i8::cast_unsigned).collect();
        let kept = Kept {
            version: VERSION,
            frame: self.frame,
            points: self.points.clone(),
            descriptors: &descriptors,
            thumbnail: self.thumbnail.dimensions(),
            pixels: self.thumbnail.as_raw(),
        };
        // Plain numbers in memory: there is nothing that could fail.
        postcard::to_stdvec(&kept).unwrap_or_default()
    }

    /// Reads what [`LocalFeatures::to_bytes`] wrote. `None` for bytes of another version, cut or
    /// contradicting themselves: the features are then taken from the photo again.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let kept: Kept<'_> = postcard::from_bytes(bytes).ok()?;
        let coloured = kept.version == VERSION;
        let whole = (coloured || kept.version == GREY_VERSION)
            && kept.points.len() <= MOST_POINTS
            && kept.descriptors.len() == kept.points.len() * DESCRIPTOR
            && (1..=FRAME).contains(&kept.frame.0)
            && (1..=FRAME).contains(&kept.frame.1)
            && (1..=THUMBNAIL).contains(&kept.thumbnail.0)
            && (1..=THUMBNAIL).contains(&kept.thumbnail.1)
            && kept.points.iter().all(Point::is_sound);
        let (width, height) = kept.thumbnail;
        let pixels =
            if coloured { kept.pixels.to_vec() } else { kept.pixels.iter().flat_map(|grey| [*grey; 3]).collect() };
        let thumbnail = whole.then(|| RgbImage::from_raw(width, height, pixels)).flatten()?;
        let descriptors = Descriptors::new(kept.descriptors.iter().copied().map(u8::cast_signed).collect());
        Some(Self { frame: kept.frame, points: kept.points, descriptors, thumbnail, coloured })
    }

    /// Whether colours can be compared; features of an earlier version are better made again from the photo.
    #[must_use]
    pub fn is_coloured(&self) -> bool {
        self.coloured
    }

    /// How many points there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there is no point: a blank picture.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }
}

impl Point {
    fn is_sound(&self) -> bool {
        self.x.is_finite() && self.y.is_finite() && self.angle.is_finite() && self.scale.is_finite() && self.scale > 0.0
    }
}

fn look(picture: &RgbImage) -> (LocalFeatures, RgbImage) {
    let (width, height) = within(picture.dimensions(), FRAME);
    let frame = resized(picture, (width, height), Filter::Bilinear);
    let thumbnail = resized(&frame, within((width, height), THUMBNAIL), Filter::Box);
    let (points, descriptors) = points::find(&imageops::grayscale(&frame), MOST_POINTS);
    let descriptors = Descriptors::new(descriptors);
    (LocalFeatures { frame: (width, height), points, descriptors, thumbnail, coloured: true }, frame)
}
