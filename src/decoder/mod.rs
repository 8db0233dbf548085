//! Decodes photos in separate processes: a file that crashes a decoder, fills its memory or never ends costs that
//! process and its own request, and no other.
//!
//! A decoding process is this program again. It reads files from a socket and writes pixels back. Its memory is
//! limited, it can open no file, and it is killed when a file takes too long. A filter allows only the system calls
//! that decoding needs. Files that their first bytes already rule out are rejected before.

mod child;
mod confine;
mod process;
mod protocol;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::photo::{Limits, Photo, PhotoError};
pub use child::main as child_main;
use process::Pool;

/// The first argument of a decoding process.
pub const CHILD_ARGUMENT: &str = "decode-photos";

/// How photos are decoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DecoderOptions {
    /// Decode in separate processes. Otherwise, a decoder that runs out of memory ends the service.
    pub apart: bool,
    /// Seconds that one photo may take before its process is killed.
    pub max_seconds: u64,
    /// Photos that a process decodes before a new one replaces it: a decoder may lose memory with each.
    pub max_photos: u32,
    /// The program to start; `None` for this program. Tests set another.
    #[serde(skip)]
    pub program: Option<PathBuf>,
}

impl Default for DecoderOptions {
    fn default() -> Self {
        Self { apart: true, max_seconds: 20, max_photos: 10_000, program: None }
    }
}

/// Decodes photos under limits.
pub struct Decoder {
    limits: Limits,
    pool: Option<Pool>,
}

impl Decoder {
    /// A decoder with these limits and options.
    #[must_use]
    pub fn new(limits: &Limits, options: &DecoderOptions) -> Self {
        Self { limits: limits.clone(), pool: options.apart.then(|| Pool::new(limits, options)) }
    }

    /// A decoder that works in this process.
    #[must_use]
    pub fn here(limits: &Limits) -> Self {
        Self { limits: limits.clone(), pool: None }
    }

    /// The limits on photos.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Decodes a photo, as [`Photo::decode`] does.
    ///
    /// # Errors
    /// As [`Photo::decode`]; a file that ended its process is [`PhotoError::Broken`].
    pub fn decode(&self, bytes: &[u8]) -> Result<Photo, PhotoError> {
        match &self.pool {
            None => Photo::decode(bytes, &self.limits),
            Some(pool) => {
                let format = Photo::sniff(bytes, &self.limits)?;
                Ok(Photo::of_pixels(pool.pixels(bytes, format)?, bytes, format))
            }
        }
    }
}
