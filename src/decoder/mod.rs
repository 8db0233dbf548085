//! Where photos are decoded: in processes of their own, so that a file that crashes a decoder, fills its memory or never
//! lets it end costs that process and no request but its own.
//!
//! A decoding process is this program again. It reads files from a socket and writes pixels back, may take so much memory
//! and open no file, and is killed when it takes too long. A filter leaves it the system calls that decoding needs. What only needs a look at
//! the first bytes is refused before.

mod apart;
mod child;
mod confine;
mod protocol;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::photo::{Limits, Photo, PhotoError};
use apart::Pool;
pub use child::main as child_main;

/// The first argument of a decoding process.
pub const CHILD_ARGUMENT: &str = "decode-photos";

/// How photos are decoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DecoderOptions {
    /// In processes of their own. Without, a decoder that runs out of memory ends the service.
    pub apart: bool,
    /// Seconds that one photo may take before its process is killed.
    pub max_seconds: u64,
    /// The program to start: this one, but for tests.
    #[serde(skip)]
    pub program: Option<PathBuf>,
}

impl Default for DecoderOptions {
    fn default() -> Self {
        Self { apart: true, max_seconds: 20, program: None }
    }
}

/// Decodes photos under limits.
pub struct Decoder {
    limits: Limits,
    pool: Option<Pool>,
}

impl Decoder {
    /// A decoder by options.
    #[must_use]
    pub fn new(limits: &Limits, options: &DecoderOptions) -> Self {
        Self { limits: limits.clone(), pool: options.apart.then(|| Pool::new(limits, options)) }
    }

    /// One that decodes in this process.
    #[must_use]
    pub fn here(limits: &Limits) -> Self {
        Self { limits: limits.clone(), pool: None }
    }

    /// The caps on photos.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// As [`Photo::decode`].
    ///
    /// # Errors
    /// As there; a file that ended its process is [`PhotoError::Broken`].
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
