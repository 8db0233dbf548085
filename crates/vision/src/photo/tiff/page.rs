//! The tags of a TIFF's first page (TIFF 6.0; `BigTIFF` has the same tags).

use std::io::Cursor;

use image::metadata::Orientation;
use tiff::TiffResult;
use tiff::decoder::Decoder;
use tiff::decoder::ifd::Value;
use tiff::tags::{ByteOrder, CompressionMethod, ExtraSamples, PhotometricInterpretation, Predictor, SampleFormat, Tag};

/// Tags 292, 532 and 529, which the crate `tiff` does not name.
const T4_OPTIONS: Tag = Tag::Unknown(292);
const REFERENCE_BLACK_WHITE: Tag = Tag::Unknown(532);
const YCBCR_COEFFICIENTS: Tag = Tag::Unknown(529);

/// Value of tag 266 for bytes that begin with their least significant bit.
const LOW_BIT_FIRST: u16 = 2;
/// Value of tag 284 for one plane per sample.
const PLANES: u16 = 2;

/// The first page of a TIFF. Absent tags have their default.
pub(super) struct Page {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Bits of each sample; the crate `tiff` rejects pages whose samples differ in depth.
    pub(super) bits: u16,
    /// Samples of each pixel.
    pub(super) samples: u16,
    pub(super) format: SampleFormat,
    pub(super) photometric: PhotometricInterpretation,
    pub(super) compression: CompressionMethod,
    pub(super) predictor: Predictor,
    /// Whether each sample has its own plane.
    pub(super) planar: bool,
    /// Whether each byte begins with its least significant bit.
    pub(super) reversed: bool,
    pub(super) big_endian: bool,
    /// Meaning of the first of the samples that follow the colours.
    pub(super) extra: Option<ExtraSamples>,
    /// All reds, all greens, all blues.
    pub(super) colour_map: Vec<u16>,
    pub(super) jpeg_tables: Option<Vec<u8>>,
    pub(super) t4_options: u32,
    /// Pixels across and down that share their chroma.
    pub(super) subsampling: (u32, u32),
    /// Weights of red, green and blue in luma.
    pub(super) coefficients: [f32; 3],
    /// Codes of black and white of luma and both chromas.
    pub(super) black_white: [f32; 6],
    pub(super) chunks: Chunks,
    pub(super) orientation: Orientation,
    pub(super) icc: Option<Vec<u8>>,
}

/// Strips or tiles.
pub(super) struct Chunks {
    /// Offset and length of each in the file.
    pub(super) places: Vec<(u64, u64)>,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Page {
    pub(super) fn of(file: &mut Decoder<Cursor<&[u8]>>) -> TiffResult<Self> {
        let (width, height) = file.dimensions()?;
        let bits = file.find_tag_unsigned_vec::<u16>(Tag::BitsPerSample)?.unwrap_or_else(|| vec![1]);
        let numbers = |tag, file: &mut Decoder<Cursor<&[u8]>>| file.find_tag_unsigned_vec::<u16>(tag);
        let photometric = file.get_tag_unsigned::<u16>(Tag::PhotometricInterpretation)?;
        let compression = file.find_tag_unsigned(Tag::Compression)?.unwrap_or(1);
        let predictor = file.find_tag_unsigned(Tag::Predictor)?.unwrap_or(1);
        let formats = numbers(Tag::SampleFormat, file)?.unwrap_or_default();
        let subsampling = numbers(Tag::ChromaSubsampling, file)?.unwrap_or_default();
        let orientation = file.find_tag_unsigned::<u8>(Tag::Orientation).ok().flatten();
        Ok(Self {
            width,
            height,
            bits: bits.first().copied().unwrap_or(1),
            samples: file.find_tag_unsigned(Tag::SamplesPerPixel)?.unwrap_or(1),
            format: SampleFormat::from_u16_exhaustive(formats.first().copied().unwrap_or(1)),
            photometric: PhotometricInterpretation::from_u16(photometric)
                .ok_or(tiff::TiffUnsupportedError::UnknownInterpretation)?,
            compression: CompressionMethod::from_u16_exhaustive(compression),
            predictor: Predictor::from_u16(predictor).ok_or(tiff::TiffFormatError::UnknownPredictor(predictor))?,
            planar: file.find_tag_unsigned::<u16>(Tag::PlanarConfiguration)? == Some(PLANES),
            reversed: file.find_tag_unsigned::<u16>(Tag::FillOrder)? == Some(LOW_BIT_FIRST),
            big_endian: file.byte_order() == ByteOrder::BigEndian,
            extra: numbers(Tag::ExtraSamples, file)?
                .and_then(|extra| extra.first().copied())
                .map(|first| ExtraSamples::from_u16(first).unwrap_or(ExtraSamples::Unspecified)),
            colour_map: numbers(Tag::ColorMap, file)?.unwrap_or_default(),
            jpeg_tables: file.find_tag(Tag::JPEGTables)?.map(Value::into_u8_vec).transpose()?,
            t4_options: file.find_tag_unsigned(T4_OPTIONS)?.unwrap_or(0),
            subsampling: match subsampling[..] {
                [across, down] => (across.into(), down.into()),
                _ => (2, 2),
            },
            coefficients: fractions(file.find_tag(YCBCR_COEFFICIENTS)?).unwrap_or([0.299, 0.587, 0.114]),
            black_white: fractions(file.find_tag(REFERENCE_BLACK_WHITE)?)
                .unwrap_or([0.0, 255.0, 128.0, 255.0, 128.0, 255.0]),
            chunks: Chunks::of(file)?,
            orientation: orientation.and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms),
            icc: file.get_tag_u8_vec(Tag::IccProfile).ok(),
        })
    }

    /// Whether the first extra sample is the pixel's alpha.
    pub(super) fn has_alpha(&self) -> bool {
        matches!(self.extra, Some(ExtraSamples::AssociatedAlpha | ExtraSamples::UnassociatedAlpha))
    }

    /// Whether the colours are multiplied by their alpha (TIFF 6.0, section 18).
    pub(super) fn is_premultiplied(&self) -> bool {
        self.extra == Some(ExtraSamples::AssociatedAlpha)
    }
}

impl Chunks {
    fn of(file: &mut Decoder<Cursor<&[u8]>>) -> TiffResult<Self> {
        let (width, height) = file.dimensions()?;
        let tiles = file.find_tag(Tag::TileOffsets)?.is_some();
        let (offsets, lengths) =
            if tiles { (Tag::TileOffsets, Tag::TileByteCounts) } else { (Tag::StripOffsets, Tag::StripByteCounts) };
        let offsets = file.get_tag_u64_vec(offsets)?;
        let places = offsets.into_iter().zip(file.get_tag_u64_vec(lengths)?).collect();
        let (width, height) = if tiles {
            (file.get_tag_u32(Tag::TileWidth)?, file.get_tag_u32(Tag::TileLength)?)
        } else {
            (width, file.find_tag_unsigned(Tag::RowsPerStrip)?.unwrap_or(height).min(height))
        };
        Ok(Self { places, width, height })
    }
}

/// `N` fractions whose denominators are not 0.
fn fractions<const N: usize>(value: Option<Value>) -> Option<[f32; N]> {
    let Some(Value::List(values)) = value else { return None };
    #[expect(clippy::cast_precision_loss, reason = "seven digits are more than colours need")]
    let fraction = |value: &Value| match *value {
        Value::Rational(above, below) if below > 0 => Some(above as f32 / below as f32),
        Value::Short(whole) => Some(whole.into()),
        Value::Unsigned(whole) => Some(whole as f32),
        _ => None,
    };
    values.iter().map(fraction).collect::<Option<Vec<_>>>()?.try_into().ok()
}
