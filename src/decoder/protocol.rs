//! The protocol of the socket: messages prefixed by their length, both ways. Numbers are little-endian.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::photo::PhotoError;

/// The first message to a decoding process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Terms {
    pub(super) limits: crate::photo::Limits,
    /// Seconds after which the process ends itself if nobody has killed it.
    pub(super) seconds: u64,
}

/// Messages of a decoding process: first that it is ready, then one for each file; pixels follow for a photo.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    Ready,
    /// The photo's pixels follow, and then, if `on_black` is set, those of the same photo on black.
    Photo {
        width: u32,
        height: u32,
        frames: u32,
        more_frames: bool,
        damaged: bool,
        on_black: bool,
        invisible_on_white: bool,
    },
    TooManyPixels {
        width: u32,
        height: u32,
        limit: String,
    },
    Broken(String),
}

/// Most bytes of a message; files and pixels are sent outside messages.
const MOST: usize = 1 << 20;

pub(super) fn write_message(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let bytes = postcard::to_stdvec(message).map_err(io::Error::other)?;
    write_bytes(to, &bytes)
}

pub(super) fn read_message<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    postcard::from_bytes(&read_bytes(from, MOST)?).map_err(io::Error::other)
}

pub(super) fn write_bytes(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(&(bytes.len() as u64).to_le_bytes())?;
    to.write_all(bytes)
}

pub(super) fn read_bytes(from: &mut impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 8];
    from.read_exact(&mut length)?;
    let length = usize::try_from(u64::from_le_bytes(length)).ok().filter(|length| *length <= most);
    let length = length.ok_or_else(|| io::Error::other("the message is longer than any of the protocol"))?;
    read_exactly(from, length)
}

pub(super) fn read_exactly(from: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

impl Said {
    pub(super) fn of(error: PhotoError) -> Self {
        match error {
            PhotoError::TooManyPixels { width, height, limit } => Self::TooManyPixels { width, height, limit },
            PhotoError::Broken { reason, .. } => Self::Broken(reason),
            other => Self::Broken(other.to_string()),
        }
    }
}
