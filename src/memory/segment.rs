//! A file of remembered photos: a header line, then blocks. Each block is a length and a CRC-32, little-endian, the time
//! of its newest photo, and records one after another, each after its length. With a vault, the records of a block are
//! sealed together.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{MemoryError, Remembered};
use crate::gallery::{Gallery, MemorySegment};
use crate::photo::Sha256;

const FORMAT: u32 = 1;
/// Kind of the sealed blocks, which cannot be moved to other files.
const KIND: &str = "memory";
/// Length of a block's content, its CRC-32, and the time of its newest photo.
const HEAD: usize = 4 + 4 + 8;
/// A longer block is not one that touchstone wrote.
const LONGEST: usize = 64 << 20;

/// The first line of a segment.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u32,
    /// Days since 1970-01-01.
    day: i64,
    model: String,
    vocabulary: String,
}

/// Name of a segment's file in the memory's folder.
#[must_use]
pub fn name(id: u64) -> String {
    format!("{id:010}.segment")
}

/// The id in a file's name; `None` for other files.
pub(super) fn id_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_suffix(".segment")?.parse().ok()
}

/// A segment on disk.
pub(super) struct SegmentFile<'a> {
    gallery: &'a Gallery,
    path: PathBuf,
}

impl<'a> SegmentFile<'a> {
    pub(super) fn new(gallery: &'a Gallery, path: PathBuf) -> Self {
        Self { gallery, path }
    }

    /// Appends a block after the committed bytes and syncs it. Returns the new length. Bytes that a crash left after the
    /// committed ones are overwritten.
    pub(super) fn append(&self, segment: &MemorySegment, records: &[&[u8]]) -> Result<u64, MemoryError> {
        let write = || -> io::Result<u64> {
            let mut options = File::options();
            let mut file = options.create(true).truncate(false).write(true).open(&self.path)?;
            file.set_len(segment.bytes)?;
            file.seek(SeekFrom::Start(segment.bytes))?;
            let mut bytes = if segment.bytes == 0 { header(segment)? } else { Vec::new() };
            bytes.extend(self.block(segment.id, records)?);
            file.write_all(&bytes)?;
            file.sync_all()?;
            if segment.bytes == 0
                && let Some(folder) = self.path.parent()
            {
                File::open(folder)?.sync_all()?;
            }
            Ok(segment.bytes + bytes.len() as u64)
        };
        write().map_err(|source| self.failed(source))
    }

    /// Whether the file has all bytes that count. A file that somebody deleted or cut must not be appended to.
    pub(super) fn is_long_enough(&self, segment: &MemorySegment) -> bool {
        segment.bytes == 0 || std::fs::metadata(&self.path).is_ok_and(|file| file.len() >= segment.bytes)
    }

    /// Visits the committed blocks whose newest photo is at `since` or later. A photo in one may still be older.
    pub(super) fn visit(
        &self,
        segment: &MemorySegment,
        since: i64,
        mut visit: impl FnMut(&[Remembered<'_>]),
    ) -> Result<(), MemoryError> {
        self.blocks(segment, since, |block| {
            visit(&photos(&block)?);
            Ok(())
        })
    }

    /// Passes on the plain bytes of those blocks; [`photos`] reads them.
    pub(super) fn blocks(
        &self,
        segment: &MemorySegment,
        since: i64,
        mut take: impl FnMut(Vec<u8>) -> io::Result<()>,
    ) -> Result<(), MemoryError> {
        self.walk(segment, |head, file| {
            if head.newest < since {
                skip(file, head.length)?;
                return Ok(true);
            }
            let mut content = vec![0; head.length];
            file.read_exact(&mut content)?;
            if crc32fast::hash(&content) != head.crc {
                return Err(damaged("a block does not match its checksum"));
            }
            take(self.gallery.unsealed(KIND, sum(segment.id), content)?)?;
            Ok(true)
        })
    }

    /// Whether every block would be written today as it is.
    pub(super) fn is_sealed_newest(&self, segment: &MemorySegment) -> Result<bool, MemoryError> {
        let mut newest = true;
        self.walk(segment, |head, file| {
            let mut start = vec![0; head.length.min(64)];
            file.read_exact(&mut start)?;
            newest = self.gallery.is_sealed_newest(&start);
            skip(file, head.length - start.len())?;
            Ok(newest)
        })?;
        Ok(newest)
    }

    /// Passes on the head of each committed block, with the file at its content: `visit` reads or skips the content, and
    /// says whether to go on.
    fn walk(
        &self,
        segment: &MemorySegment,
        mut visit: impl FnMut(&BlockHead, &mut BufReader<File>) -> io::Result<bool>,
    ) -> Result<(), MemoryError> {
        if segment.bytes == 0 {
            return Ok(());
        }
        let mut walk = || -> io::Result<()> {
            let mut file = BufReader::with_capacity(1 << 16, File::open(&self.path)?);
            let mut at = Self::check_header(&mut file, segment)?;
            while at < segment.bytes {
                let head = BlockHead::read(&mut file)?;
                at += HEAD as u64 + head.length as u64;
                if at > segment.bytes {
                    return Err(damaged("a block is longer than the file"));
                }
                if !visit(&head, &mut file)? {
                    break;
                }
            }
            Ok(())
        };
        walk().map_err(|source| self.failed(source))
    }

    /// Reads the header and returns its length.
    fn check_header(file: &mut impl Read, segment: &MemorySegment) -> io::Result<u64> {
        let expected = header(segment)?;
        let mut got = vec![0; expected.len()];
        file.read_exact(&mut got)?;
        if got == expected { Ok(expected.len() as u64) } else { Err(damaged("its header is not that of the segment")) }
    }

    fn block(&self, id: u64, records: &[&[u8]]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::with_capacity(records.iter().map(|record| record.len() + 4).sum());
        let mut newest = i64::MIN;
        for record in records {
            let photo: Remembered<'_> = postcard::from_bytes(record).map_err(io::Error::other)?;
            newest = newest.max(photo.at);
            plain.extend(u32::try_from(record.len()).unwrap_or(u32::MAX).to_le_bytes());
            plain.extend_from_slice(record);
        }
        let content = self.gallery.sealed(KIND, sum(id), plain)?;
        let mut block = Vec::with_capacity(HEAD + content.len());
        block.extend(u32::try_from(content.len()).map_err(io::Error::other)?.to_le_bytes());
        block.extend(crc32fast::hash(&content).to_le_bytes());
        block.extend(newest.to_le_bytes());
        block.extend(content);
        Ok(block)
    }

    fn failed(&self, source: io::Error) -> MemoryError {
        MemoryError::File { path: self.path.clone(), source }
    }
}

/// The photos of a block.
pub(super) fn photos(block: &[u8]) -> io::Result<Vec<Remembered<'_>>> {
    let mut photos = Vec::new();
    let mut rest = block;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let record = after.split_at_checked(u32::from_le_bytes(*length) as usize);
        let (record, after) = record.ok_or_else(|| damaged("a record is longer than its block"))?;
        photos.push(postcard::from_bytes(record).map_err(|_| damaged("a record cannot be read"))?);
        rest = after;
    }
    if rest.is_empty() { Ok(photos) } else { Err(damaged("a block ends inside a record")) }
}

fn skip(file: &mut BufReader<File>, bytes: usize) -> io::Result<()> {
    file.seek_relative(i64::try_from(bytes).unwrap_or(i64::MAX))
}

struct BlockHead {
    length: usize,
    crc: u32,
    newest: i64,
}

impl BlockHead {
    fn read(file: &mut impl Read) -> io::Result<Self> {
        let (mut length, mut crc, mut newest) = ([0; 4], [0; 4], [0; 8]);
        file.read_exact(&mut length)?;
        file.read_exact(&mut crc)?;
        file.read_exact(&mut newest)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > LONGEST {
            return Err(damaged("a block is too long"));
        }
        Ok(Self { length, crc: u32::from_le_bytes(crc), newest: i64::from_le_bytes(newest) })
    }
}

fn header(segment: &MemorySegment) -> io::Result<Vec<u8>> {
    let header = Header {
        format: FORMAT,
        day: segment.day,
        model: segment.model.clone(),
        vocabulary: segment.vocabulary.clone(),
    };
    let mut line = serde_json::to_vec(&header)?;
    line.push(b'\n');
    Ok(line)
}

/// What sealed blocks are bound to.
fn sum(id: u64) -> Sha256 {
    Sha256::of(name(id).as_bytes())
}

fn damaged(what: &str) -> io::Error {
    let detail = format!("{what}; the file is damaged: restore it from a backup, or delete it to forget its photos");
    io::Error::new(io::ErrorKind::InvalidData, detail)
}
