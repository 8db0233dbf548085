use image::{GrayImage, RgbImage, imageops};
use lowe_sift::{GrayImage as SiftImage, Sift, SiftConfig};
use serde::{Deserialize, Serialize};

use crate::photo::{Filter, resized, within};

/// Long side, in pixels, at which photos are looked at: a copy that fills a quarter of the frame still shows
/// points there, and twice the side would take four times as long.
pub(super) const FRAME: u32 = 480;
/// Long side of the picture that the photometric comparison reads from a reference.
const THUMBNAIL: u32 = 128;
/// Points kept, the strongest: matching costs their square.
const MOST_POINTS: usize = 450;
/// Contrast that a point must have, of grey values 0 to 1. Lowe's 0.03 leaves too few points on plain goods.
const CONTRAST: f32 = 0.012;
/// Bytes of a descriptor.
pub(super) const DESCRIPTOR: usize = 128;

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

/// What local matching knows of a picture: points with RootSIFT descriptors, and a small grey picture.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalFeatures {
    /// Width and height of the frame in pixels, the longer side at most 480.
    pub(super) frame: (u32, u32),
    pub(super) points: Vec<Point>,
    /// One after another, 128 signed bytes each.
    pub(super) descriptors: Vec<i8>,
    pub(super) thumbnail: GrayImage,
}

/// The features of a query, with the grey frame that its counterpart is compared with.
#[derive(Debug, Clone)]
pub struct QueryFeatures {
    pub(super) features: LocalFeatures,
    /// The grey frame and its halvings, finest first.
    pub(super) levels: Vec<GrayImage>,
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
            let halved = imageops::thumbnail(last, last.width() / 2, last.height() / 2);
            levels.push(halved);
        }
        Self { features, levels }
    }
}

/// Counts up when points are found, paired or compared otherwise: kept features and scoring artefacts of another
/// version are not used.
pub const VERSION: u8 = 1;

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

    /// The features as bytes, about 70 kB, for [`LocalFeatures::from_bytes`].
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let descriptors: Vec<u8> = self.descriptors.iter().copied().map(i8::cast_unsigned).collect();
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
        let whole = kept.version == VERSION
            && kept.points.len() <= MOST_POINTS
            && kept.descriptors.len() == kept.points.len() * DESCRIPTOR
            && (1..=FRAME).contains(&kept.frame.0)
            && (1..=FRAME).contains(&kept.frame.1)
            && (1..=THUMBNAIL).contains(&kept.thumbnail.0)
            && (1..=THUMBNAIL).contains(&kept.thumbnail.1)
            && kept.points.iter().all(Point::is_sound);
        let (width, height) = kept.thumbnail;
        let thumbnail = whole.then(|| GrayImage::from_raw(width, height, kept.pixels.to_vec())).flatten()?;
        let descriptors = kept.descriptors.iter().copied().map(u8::cast_signed).collect();
        Some(Self { frame: kept.frame, points: kept.points, descriptors, thumbnail })
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

fn look(picture: &RgbImage) -> (LocalFeatures, GrayImage) {
    let (width, height) = within(picture.dimensions(), FRAME);
    let frame = imageops::grayscale(&resized(picture, (width, height), Filter::Bilinear));
    let (small_width, small_height) = within((width, height), THUMBNAIL);
    let thumbnail = imageops::thumbnail(&frame, small_width, small_height);
    let (points, descriptors) = points(&frame);
    (LocalFeatures { frame: (width, height), points, descriptors, thumbnail }, frame)
}

fn points(frame: &GrayImage) -> (Vec<Point>, Vec<i8>) {
    let pixels = frame.as_raw().iter().map(|&value| f32::from(value) / 255.0).collect();
    let Ok(image) = SiftImage::new(frame.width() as usize, frame.height() as usize, pixels) else {
        return (Vec::new(), Vec::new());
    };
    let config = SiftConfig { double_image: false, contrast_threshold: CONTRAST, ..SiftConfig::default() };
    let Ok(sift) = Sift::new(config) else {
        return (Vec::new(), Vec::new());
    };
    let mut found = sift.detect_and_compute(&image);
    found.sort_by(|a, b| b.keypoint.response.total_cmp(&a.keypoint.response));
    found.truncate(MOST_POINTS);
    let points = found.iter().map(|f| Point {
        x: f.keypoint.x,
        y: f.keypoint.y,
        scale: f.keypoint.scale,
        angle: f.keypoint.angle,
    });
    let descriptors = found.iter().flat_map(|f| root_sift(f.descriptor.as_slice()));
    (points.collect(), descriptors.collect())
}

/// RootSIFT (Arandjelovic and Zisserman, CVPR 2012): the square root of the L1-normalised descriptor,
/// of unit L2 norm; as signed bytes, 1.0 being 400: the few entries above 0.3175 are cut.
fn root_sift(values: &[f32; DESCRIPTOR]) -> impl Iterator<Item = i8> + '_ {
    let sum: f32 = values.iter().map(|v| v.abs()).sum::<f32>().max(f32::MIN_POSITIVE);
    values.iter().map(move |v| ((v.abs() / sum).sqrt() * 400.0).round().min(127.0) as i8)
}
