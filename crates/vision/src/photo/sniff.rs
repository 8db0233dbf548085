use image::ImageFormat;

use super::PhotoError;

/// The accepted types, as messages list them.
pub(super) const ACCEPTED: &str = "JPEG, PNG, WebP, AVIF, HEIC, JPEG XL, GIF, BMP, TIFF";

/// Most bytes of a `ftyp` box that are read.
const MOST_BRANDS_BYTES: usize = 256;

/// An accepted photo type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// JPEG, also in CMYK
    Jpeg,
    /// PNG, also animated
    Png,
    /// WebP, also animated
    WebP,
    /// GIF, also animated
    Gif,
    /// BMP, except run-length encoded and calibrated ones
    Bmp,
    /// TIFF; only the first page counts
    Tiff,
    /// AVIF, also sequences
    Avif,
    /// HEIC: HEIF with HEVC
    Heic,
    /// JPEG XL, also animated; not CMYK
    JpegXl,
}

impl Format {
    /// Finds the type from the first bytes.
    ///
    /// # Errors
    /// When the type is unknown or not accepted.
    pub fn sniff(bytes: &[u8]) -> Result<Self, PhotoError> {
        if bytes.is_empty() {
            return Err(PhotoError::Empty);
        }
        if let Some(format) = iso_media(bytes) {
            return Ok(format);
        }
        if let Some(found) = unsupported(bytes) {
            return Err(PhotoError::UnsupportedType { found });
        }
        if bytes.starts_with(b"\0\0\0\x0cJXL ") || bytes.starts_with(b"\xff\x0a") {
            return Ok(Self::JpegXl);
        }
        if matches!(bytes.get(..4), Some(b"II+\0" | b"MM\0+")) {
            return Ok(Self::Tiff);
        }
        match image::guess_format(bytes) {
            Ok(ImageFormat::Jpeg) => Ok(Self::Jpeg),
            Ok(ImageFormat::Png) => Ok(Self::Png),
            Ok(ImageFormat::WebP) => Ok(Self::WebP),
            Ok(ImageFormat::Gif) => Ok(Self::Gif),
            Ok(ImageFormat::Bmp) => Ok(Self::Bmp),
            Ok(ImageFormat::Tiff) => Ok(Self::Tiff),
            _ => Err(PhotoError::UnknownType),
        }
    }

    /// The type's usual name, as messages show it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
            Self::Avif => "AVIF",
            Self::Heic => "HEIC",
            Self::JpegXl => "JPEG XL",
        }
    }

    /// The usual extension of a file's name, without the dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::WebP => "webp",
            Self::Gif => "gif",
            Self::Bmp => "bmp",
            Self::Tiff => "tiff",
            Self::Avif => "avif",
            Self::Heic => "heic",
            Self::JpegXl => "jxl",
        }
    }

    /// The registered media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::WebP => "image/webp",
            Self::Gif => "image/gif",
            Self::Bmp => "image/bmp",
            Self::Tiff => "image/tiff",
            Self::Avif => "image/avif",
            Self::Heic => "image/heic",
            Self::JpegXl => "image/jxl",
        }
    }
}

/// AVIF and HEIC are ISO base media files: in a box `ftyp`, the major brand and the compatible brands name the content
/// (ISO/IEC 14496-12, 4.3; ISO/IEC 23008-12; AV1 Image File Format).
fn iso_media(bytes: &[u8]) -> Option<Format> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let end = usize::try_from(u32::from_be_bytes(*length)).ok()?.min(bytes.len()).min(MOST_BRANDS_BYTES);
    let brands = rest.strip_prefix(b"ftyp")?.get(..end.checked_sub(8)?)?;
    // The second four bytes are a version.
    let (brands, _) = brands.as_chunks::<4>();
    brands.iter().enumerate().filter(|(place, _)| *place != 1).find_map(|(_, brand)| match brand {
        b"avif" | b"avis" => Some(Format::Avif),
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" => Some(Format::Heic),
        _ => None,
    })
}

/// Common types that are rejected by name.
fn unsupported(bytes: &[u8]) -> Option<&'static str> {
    if bytes.get(4..8) == Some(b"ftyp") {
        return match bytes.get(8..12) {
            Some(b"mif1" | b"msf1" | b"miaf") => Some("HEIF with another coding than HEVC or AV1"),
            _ => Some("a video or other ISO media file"),
        };
    }
    let text = bytes.trim_ascii_start();
    if text.starts_with(b"%PDF-") {
        Some("PDF")
    } else if text.starts_with(b"<svg") || text.starts_with(b"<?xml") {
        Some("SVG or other XML")
    } else {
        None
    }
}
