use std::fmt::Display;

use thiserror::Error;

use super::sniff::{ACCEPTED, Format};

/// Why bytes could not be decoded as a photo.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PhotoError {
    /// The file has 0 bytes.
    #[error("the photo is empty (0 bytes); send the file's bytes")]
    Empty,
    /// A known type that is not accepted.
    #[error("{found} is not accepted; convert the photo to one of {ACCEPTED}")]
    UnsupportedType {
        /// Name of the type, such as "PDF".
        found: &'static str,
    },
    /// No known photo type begins with these bytes.
    #[error("these bytes begin like no known photo type; send one of {ACCEPTED}")]
    UnknownType,
    /// The file exceeds the limit on bytes.
    #[error("the photo has {got} bytes, expected at most {max}; send a smaller file")]
    TooManyBytes {
        /// Bytes received.
        got: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// The photo exceeds a limit on width, height, pixels or memory.
    #[error("the photo has {width} x {height} pixels, expected at most {limit}; scale it down")]
    TooManyPixels {
        /// Width that the header states.
        width: u32,
        /// Height that the header states.
        height: u32,
        /// The exceeded limit, in words.
        limit: String,
    },
    /// The data are damaged, or use a feature that is not supported.
    #[error("the {format} photo cannot be decoded ({reason}); open it in an image editor and save it again")]
    Broken {
        /// Name of the type that the bytes claim to be.
        format: &'static str,
        /// The decoder's message, or the feature.
        reason: String,
    },
    /// A part of the file is damaged. Only new references are rejected for this.
    #[error(
        "the {format} photo is partly damaged, so a part of it is missing or wrong; send an undamaged copy of the file as the reference"
    )]
    PartlyDecoded {
        /// Name of the type.
        format: &'static str,
    },
    /// No decoding process is available; nothing is known to be wrong with the photo.
    #[error("the service cannot start a process to decode photos; try again")]
    DecoderUnavailable,
}

impl PhotoError {
    /// A photo of this type that cannot be decoded.
    pub fn broken(format: Format, reason: impl Display) -> Self {
        Self::Broken { format: format.name(), reason: reason.to_string() }
    }

    /// A stable kebab-case code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "photo-empty",
            Self::UnsupportedType { .. } => "photo-type-unsupported",
            Self::UnknownType => "photo-type-unknown",
            Self::TooManyBytes { .. } => "photo-too-many-bytes",
            Self::TooManyPixels { .. } => "photo-too-many-pixels",
            Self::Broken { .. } => "photo-broken",
            Self::PartlyDecoded { .. } => "photo-partly-decoded",
            Self::DecoderUnavailable => "decoder-unavailable",
        }
    }
}
