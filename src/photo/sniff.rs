use image::ImageFormat;

use super::PhotoError;

/// The accepted types, for messages.
pub(super) const ACCEPTED: &str = "JPEG, PNG, WebP, GIF, BMP, TIFF";

/// A photo type that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// JPEG
    Jpeg,
    /// PNG
    Png,
    /// WebP
    WebP,
    /// GIF
    Gif,
    /// BMP
    Bmp,
    /// TIFF, of which the first page counts
    Tiff,
}

impl Format {
    /// Finds the type from the first bytes.
    ///
    /// # Errors
    /// When it is none that is accepted.
    pub fn sniff(bytes: &[u8]) -> Result<Self, PhotoError> {
        if bytes.is_empty() {
            return Err(PhotoError::Empty);
        }
        if let Some(found) = unsupported(bytes) {
            return Err(PhotoError::UnsupportedType { found });
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

    pub(super) fn image_format(self) -> ImageFormat {
        match self {
            Self::Jpeg => ImageFormat::Jpeg,
            Self::Png => ImageFormat::Png,
            Self::WebP => ImageFormat::WebP,
            Self::Gif => ImageFormat::Gif,
            Self::Bmp => ImageFormat::Bmp,
            Self::Tiff => ImageFormat::Tiff,
        }
    }

    /// The type's usual name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
        }
    }

    /// The usual end of a file's name, without the dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        self.image_format().extensions_str().first().copied().unwrap_or_default()
    }

    /// The registered media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        self.image_format().to_mime_type()
    }
}

/// Types that people do send and that are refused by name.
///
/// HEIC, HEIF and AVIF are ISO base media files: `ftyp` at byte 4, then the major brand
/// (ISO/IEC 23008-12, AV1 Image File Format). There is no decoder for them in Rust alone.
fn unsupported(bytes: &[u8]) -> Option<&'static str> {
    if bytes.get(4..8) == Some(b"ftyp") {
        return match bytes.get(8..12) {
            Some(b"avif" | b"avis") => Some("AVIF"),
            Some(b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx") => Some("HEIC"),
            Some(b"mif1" | b"msf1") => Some("HEIF"),
            _ => Some("a video or other ISO media file"),
        };
    }
    let text = bytes.trim_ascii_start();
    if text.starts_with(b"%PDF-") {
        Some("PDF")
    } else if text.starts_with(b"<svg") || text.starts_with(b"<?xml") {
        Some("SVG or other XML")
    } else if bytes.starts_with(b"\0\0\0\x0cJXL ") || bytes.starts_with(b"\xff\x0a") {
        Some("JPEG XL")
    } else {
        None
    }
}
