use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::keypoints::{DESCRIPTOR, Keypoints};
use super::matching::Descriptors;
use crate::photo::{Filter, resized, within};

/// Longer side, in pixels, at which photos are analysed: a copy that fills a quarter of the frame still has keypoints
/// there, and twice the side would take four times as long.
pub(super) const FRAME: u32 = 480;
/// Longer side, in pixels, of a reference's thumbnail for the comparison of pixels.
const THUMBNAIL: u32 = 128;
/// Most keypoints, the strongest first, because matching costs their square.
const MOST_POINTS: usize = 450;

/// A keypoint: position and size in pixels of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Keypoint {
    pub(super) x: f32,
    pub(super) y: f32,
    /// Gaussian scale in pixels.
    pub(super) scale: f32,
    /// Dominant gradient direction in radians.
    pub(super) angle: f32,
}

/// A photo's keypoints with RootSIFT descriptors, and a thumbnail in colour.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalFeatures {
    /// Width and height of the frame in pixels, the longer side at most 480.
    pub(super) frame: (u32, u32),
    pub(super) points: Vec<Keypoint>,
    pub(super) descriptors: Descriptors,
    pub(super) thumbnail: RgbImage,
    version: u8,
}

/// The features of a query, with the frame that references are compared with.
#[derive(Debug, Clone)]
pub struct QueryFeatures {
    pub(super) features: LocalFeatures,
    /// The descriptors of the query's mirror image.
    pub(super) mirrored: Descriptors,
    /// The frame and its halvings in colour, finest first.
    pub(super) levels: Vec<RgbImage>,
}

impl QueryFeatures {
    /// Computes the features of a photo that references are searched in.
    #[must_use]
    pub fn of(picture: &RgbImage) -> Self {
        StrongestKeypoints::of(picture).into_features()
    }
}

/// The strongest keypoints of a photo, which find candidates. Alignment with a candidate needs all of them.
#[derive(Debug)]
pub struct StrongestKeypoints {
    frame: RgbImage,
    keypoints: Keypoints,
}

impl StrongestKeypoints {
    /// Finds a photo's keypoints.
    #[must_use]
    pub fn of(picture: &RgbImage) -> Self {
        let frame = framed(picture);
        let keypoints = Keypoints::of(&frame, MOST_POINTS);
        Self { frame, keypoints }
    }

    /// The strongest keypoints, `most` of them, and their descriptors.
    pub(super) fn first(&mut self, most: usize) -> (&[Keypoint], Descriptors) {
        let (points, descriptors) = self.keypoints.describe(most);
        let count = points.len().min(most);
        (&points[..count], Descriptors::new(descriptors[..count * DESCRIPTOR].to_vec()))
    }

    /// All features of the photo.
    #[must_use]
    pub fn into_features(self) -> QueryFeatures {
        let features = described(&self.frame, self.keypoints);
        let mut levels = vec![self.frame];
        while let Some(last) = levels.last()
            && last.width().min(last.height()) >= 32
        {
            let halved = resized(last, (last.width() / 2, last.height() / 2), Filter::Box);
            levels.push(halved);
        }
        let mirrored = features.descriptors.mirrored();
        QueryFeatures { features, mirrored, levels }
    }
}

/// Version of the keypoints, pairing and comparison. Scoring artefacts and vocabularies of another version are not used.
pub const VERSION: u8 = 4;

/// Earlier versions, whose features are read only if the reference's photo is lost: 3 with the keypoints of the photo's
/// own contrast, and 2 with a grey thumbnail besides, so that colours are not compared.
const OWN_CONTRAST: u8 = 3;
const GREY: u8 = 2;

/// Features as stored on disk.
#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    version: u8,
    frame: (u32, u32),
    points: Vec<Keypoint>,
    descriptors: &'a [u8],
    thumbnail: (u32, u32),
    pixels: &'a [u8],
}

impl QueryFeatures {
    /// Number of keypoints.
    #[must_use]
    pub fn len(&self) -> usize {
        self.features.points.len()
    }

    /// Whether there are no keypoints, as on a blank photo.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.features.points.is_empty()
    }
}

impl LocalFeatures {
    /// Computes the features of a reference.
    #[must_use]
    pub fn of(picture: &RgbImage) -> Self {
        let frame = framed(picture);
        described(&frame, Keypoints::of(&frame, MOST_POINTS))
    }

    /// Serialises the features to about 100 kB, for [`LocalFeatures::from_bytes`].
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
        // Plain numbers in memory: serialising them cannot fail.
        postcard::to_stdvec(&kept).unwrap_or_default()
    }

    /// Reads bytes of [`LocalFeatures::to_bytes`]. `None` for bytes of another version, and for truncated or
    /// contradictory ones: the features are then computed from the photo again.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let kept: Kept<'_> = postcard::from_bytes(bytes).ok()?;
        let grey = kept.version == GREY;
        let whole = [VERSION, OWN_CONTRAST, GREY].contains(&kept.version)
            && kept.points.len() <= MOST_POINTS
            && kept.descriptors.len() == kept.points.len() * DESCRIPTOR
            && (1..=FRAME).contains(&kept.frame.0)
            && (1..=FRAME).contains(&kept.frame.1)
            && (1..=THUMBNAIL).contains(&kept.thumbnail.0)
            && (1..=THUMBNAIL).contains(&kept.thumbnail.1)
            && kept.points.iter().all(Keypoint::is_sound);
        let (width, height) = kept.thumbnail;
        let pixels = if grey { kept.pixels.iter().flat_map(|grey| [*grey; 3]).collect() } else { kept.pixels.to_vec() };
        let thumbnail = whole.then(|| RgbImage::from_raw(width, height, pixels)).flatten()?;
        let descriptors = Descriptors::new(kept.descriptors.iter().copied().map(u8::cast_signed).collect());
        Some(Self { version: kept.version, frame: kept.frame, points: kept.points, descriptors, thumbnail })
    }

    /// Whether the features are of [`VERSION`]; others should be computed again from the photo.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.version == VERSION
    }

    /// Whether the thumbnail is in colour.
    pub(super) fn is_coloured(&self) -> bool {
        self.version != GREY
    }

    /// Number of keypoints.
    #[must_use]
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there are no keypoints, as on a blank photo.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }
}

impl Keypoint {
    fn is_sound(&self) -> bool {
        self.x.is_finite() && self.y.is_finite() && self.angle.is_finite() && self.scale.is_finite() && self.scale > 0.0
    }
}

/// The photo at the size at which it is analysed.
fn framed(picture: &RgbImage) -> RgbImage {
    resized(picture, within(picture.dimensions(), FRAME), Filter::Bilinear)
}

fn described(frame: &RgbImage, keypoints: Keypoints) -> LocalFeatures {
    let thumbnail = resized(frame, within(frame.dimensions(), THUMBNAIL), Filter::Box);
    let (points, descriptors) = keypoints.into_described();
    let descriptors = Descriptors::new(descriptors);
    LocalFeatures { frame: frame.dimensions(), points, descriptors, thumbnail, version: VERSION }
}
