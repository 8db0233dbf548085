use std::fmt::Display;

use thiserror::Error;

use super::sniff::{ACCEPTED, Format};

/// Why bytes did not become a photo.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PhotoError {
    /// No bytes at all.
    #[error("the photo is empty (0 bytes); send the file's bytes")]
    Empty,
    /// A known type that is not accepted.
    #[error("{found} is not accepted; convert the photo to one of {ACCEPTED}")]
    UnsupportedType {
        /// The type's name, such as "HEIC".
        found: &'static str,
    },
    /// Bytes that begin like no photo.
    #[error("these bytes begin like no known photo type; send one of {ACCEPTED}")]
    UnknownType,
    /// The file is over the cap on bytes.
    #[error("the photo has {got} bytes, the most accepted is {max}; send a smaller file")]
    TooManyBytes {
        /// Bytes received.
        got: usize,
        /// The cap.
        max: usize,
    },
    /// The picture is over a cap on width, height, pixels or memory.
    #[error("the photo is {width} x {height} pixels, the most accepted is {limit}; scale it down")]
    TooManyPixels {
        /// Width that the header states.
        width: u32,
        /// Height that the header states.
        height: u32,
        /// The cap that was hit, in words.
        limit: String,
    },
    /// The decoder gave up.
    #[error("the {format} photo cannot be decoded ({reason}); open it in an image editor and save it again")]
    Broken {
        /// What the bytes claim to be.
        format: &'static str,
        /// The decoder's own words.
        reason: String,
    },
    /// A part of the file is damaged. Only new references are refused for this.
    #[error(
        "the {format} photo is partly damaged, so a part of the picture is missing or wrong; send an undamaged copy of the file as the reference"
    )]
    PartlyDecoded {
        /// What the bytes are.
        format: &'static str,
    },
    /// Nothing is wrong with the photo: there is no process that could decode it.
    #[error("no process to decode photos can be started now; try again")]
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
