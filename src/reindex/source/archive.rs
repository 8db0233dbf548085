use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use tar::EntryType;

use super::{Location, Refusal, Spot, Stores, is_hidden};
use crate::reindex::ReindexError;

/// The greatest number of bytes between two members: a header, with a name and attributes of any sane length.
const MAX_HEADER: u64 = 1 << 20;

/// The number of bytes from the start of a file that suffice to recognise an archive.
pub(super) const TOLD_BY: u64 = 512;

/// The kind of archive that begins with these bytes, if touchstone cannot read that kind.
pub(in crate::reindex) fn unread_kind(first: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 14] = [
        (b"PK\x03\x04", "zip"),
        (b"PK\x05\x06", "zip"),
        (b"PK\x07\x08", "zip"),
        (b"\xfd7zXZ\0", "xz"),
        (b"BZh", "bzip2"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"Rar!\x1a\x07", "rar"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\x04\x22\x4d\x18", "lz4"),
        (b"LZIP", "lzip"),
        (b"\x1f\x9d", "compress (.Z)"),
        (b"MSCF", "cab"),
        (b"07070", "cpio"),
        (b"!<arch>\n", "ar"),
    ];
    KINDS.iter().find(|(magic, _)| first.starts_with(magic)).map(|(_, kind)| *kind)
}

/// The error for an archive of that kind.
pub(in crate::reindex) fn not_read(kind: &str) -> String {
    format!(
        "archive type not read: {kind}; unpack it into a folder, or pack its files as .tar, .tar.gz or .tgz, which are read"
    )
}

/// The error for a single file given as a source, if it is an archive but not named as one.
pub(super) fn misgiven(first: &[u8]) -> Option<String> {
    let read_by_name = |what: &str, ending: &str| {
        Some(format!("it is {what}, but its name does not end in {ending}; rename it so that its files are read"))
    };
    match unread_kind(first) {
        Some(kind) => Some(not_read(kind)),
        None if first.starts_with(b"\x1f\x8b") => read_by_name("gzip-compressed", ".tar.gz or .tgz"),
        None if first.get(257..262) == Some(b"ustar") => read_by_name("a tar archive", ".tar"),
        None => None,
    }
}

/// Whether a file name is that of a tar archive.
pub(super) fn is_archive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".tar", ".tar.gz", ".tgz"].iter().any(|ending| name.ends_with(ending))
}

/// Lists every file of an archive, from front to back, with at most one byte over the size limit. Writes nothing to
/// disk.
pub(super) fn list(
    name: &str,
    spot: &Spot,
    stores: &Stores,
    max_bytes: usize,
    tell: &mut dyn FnMut(String, Location) -> bool,
) -> Result<(), ReindexError> {
    let failed = |error: io::Error| {
        let hint = "is it a tar archive? A gzip-compressed one must be named .tar.gz or .tgz";
        ReindexError::source(name, &format!("{error}; {hint}"))
    };
    if let Some(kind) = unread_kind(&stores.first_bytes(spot, TOLD_BY)) {
        return Err(ReindexError::source(name, &not_read(kind)));
    }
    let file = stores.reader(spot, name)?;
    let packed = !name.to_ascii_lowercase().ends_with(".tar");
    let file: Box<dyn Read + Send> = if packed { Box::new(MultiGzDecoder::new(file)) } else { file };
    let left = Arc::new(AtomicU64::new(MAX_HEADER));
    let mut archive = tar::Archive::new(Bounded { inner: file, left: Arc::clone(&left) });
    let mut names = Names::default();
    let mut entries = archive.entries().map_err(failed)?;
    loop {
        left.store(MAX_HEADER, Ordering::Relaxed);
        let Some(entry) = entries.next() else { return Ok(()) };
        let mut entry = entry.map_err(failed)?;
        left.store(u64::MAX, Ordering::Relaxed);
        let path = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
        let place = place(&mut entry, max_bytes).map_err(failed)?;
        // The rest of the member is read here, so that it does not count as a header.
        io::copy(&mut entry, &mut io::sink()).map_err(failed)?;
        if let Some(place) = place.filter(|_| !is_hidden(&path))
            && !tell(names.own(&path), place)
        {
            return Ok(());
        }
    }
}

fn place(entry: &mut tar::Entry<'_, impl Read>, max_bytes: usize) -> io::Result<Option<Location>> {
    match entry.header().entry_type() {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let mut bytes = Vec::new();
            entry.take(max_bytes as u64 + 1).read_to_end(&mut bytes)?;
            Ok(Some(Location::Bytes(Bytes::from(bytes))))
        }
        EntryType::Directory | EntryType::XGlobalHeader => Ok(None),
        other => {
            let detail = format!("it is a member of type {other:?}, expected a plain file; pack what it points to");
            Ok(Some(Location::Unreadable(Refusal { code: "not-a-file", detail })))
        }
    }
}

/// Gives each member its own name: an archive may contain a name many times, and each member is a photo of its own with
/// the same name on every run.
#[derive(Default)]
struct Names {
    hashes: HashSet<u64>,
    hasher: RandomState,
}

impl Names {
    fn own(&mut self, name: &str) -> String {
        let mut own = name.to_owned();
        for number in 2.. {
            if self.hashes.insert(self.hasher.hash_one(&own)) {
                break;
            }
            own = format!("{name}#{number}");
        }
        own
    }
}

/// A reader that returns at most `left` bytes; its owner resets `left` for each part.
struct Bounded<R> {
    inner: R,
    left: Arc<AtomicU64>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 && !out.is_empty() {
            return Err(io::Error::other(format!("the header of a member is longer than {MAX_HEADER} bytes")));
        }
        let cap = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
        let read = self.inner.read(&mut out[..cap])?;
        self.left.store(left - read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
