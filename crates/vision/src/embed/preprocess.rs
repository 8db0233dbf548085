use ndarray::Array3;

use super::manifest::{DType, Input, Layout, Size};
use crate::photo::{Filter, Photo, resized};

/// One photo as a network's input, without the batch axis.
#[derive(Debug, Clone, PartialEq)]
pub enum Tensor {
    /// Bytes 0 to 255.
    U8(Array3<u8>),
    /// Normalised floats.
    F32(Array3<f32>),
}

impl Tensor {
    /// Lengths of the three axes; photos of equal shape can share a batch.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::U8(array) => array.shape(),
            Self::F32(array) => array.shape(),
        }
    }
}

/// Scales `photo` and arranges its pixels as `input` says.
#[must_use]
pub fn preprocess(photo: &Photo, input: &Input) -> Tensor {
    laid_out(photo, input, input.size)
}

/// As [`preprocess`], but for a part of a photo: a small part is not enlarged to a whole photo's size, which would only
/// cost time.
#[must_use]
pub fn preprocess_view(view: &Photo, input: &Input) -> Tensor {
    laid_out(view, input, input.size.without_enlarging(view.width(), view.height()))
}

fn laid_out(photo: &Photo, input: &Input, size: Size) -> Tensor {
    let (width, height) = size.target(photo.width(), photo.height());
    let scaled = resized(photo.rgb(), (width, height), Filter::Bilinear);
    let (rows, columns) = (height as usize, width as usize);
    if (input.dtype, input.layout) == (DType::U8, Layout::Nhwc) {
        // The pixels already have this order.
        return Tensor::U8(Array3::from_shape_vec((rows, columns, 3), scaled.into_raw()).unwrap_or_default());
    }
    let pixels = scaled.as_raw();
    let at = |row: usize, column: usize, channel: usize| pixels[(row * columns + column) * 3 + channel];
    match (input.dtype, input.layout) {
        (DType::U8, _) => Tensor::U8(Array3::from_shape_fn((3, rows, columns), |(c, y, x)| at(y, x, c))),
        (DType::F32, layout) => {
            let normal = |value: u8, c: usize| (f32::from(value) - input.mean[c]) / input.std[c];
            Tensor::F32(match layout {
                Layout::Nhwc => Array3::from_shape_fn((rows, columns, 3), |(y, x, c)| normal(at(y, x, c), c)),
                Layout::Nchw => Array3::from_shape_fn((3, rows, columns), |(c, y, x)| normal(at(y, x, c), c)),
            })
        }
    }
}
