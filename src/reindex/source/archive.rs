use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use tar::EntryType;

use super::{Place, Refusal, Spot, Stores, is_hidden};
use crate::reindex::ReindexError;

/// Bytes that lie between two members at most: a member's header, with a name and attributes of any sane length.
const MAX_HEADER: u64 = 1 << 20;

/// Whether a name is that of a tar archive.
pub(super) fn is_archive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".tar", ".tar.gz", ".tgz"].iter().any(|ending| name.ends_with(ending))
}

/// Every file of an archive, from front to back, with at most one byte over the cap. Nothing is written to disk.
pub(super) fn list(
    name: &str,
    spot: &Spot,
    stores: &Stores,
    max_bytes: usize,
    tell: &mut dyn FnMut(String, Place) -> bool,
) -> Result<(), ReindexError> {
    let failed = |error: io::Error| {
        let hint = "is it a tar archive? One that gzip has packed must be named .tar.gz or .tgz";
        ReindexError::source(name, &format!("{error}; {hint}"))
    };
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
        // What is left of it is read here, where it is not taken for a header.
        io::copy(&mut entry, &mut io::sink()).map_err(failed)?;
        if let Some(place) = place.filter(|_| !is_hidden(&path))
            && !tell(names.own(&path), place)
        {
            return Ok(());
        }
    }
}

fn place(entry: &mut tar::Entry<'_, impl Read>, max_bytes: usize) -> io::Result<Option<Place>> {
    match entry.header().entry_type() {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let mut bytes = Vec::new();
            entry.take(max_bytes as u64 + 1).read_to_end(&mut bytes)?;
            Ok(Some(Place::Bytes(Bytes::from(bytes))))
        }
        EntryType::Directory | EntryType::XGlobalHeader => Ok(None),
        other => {
            let detail = format!("it is a member of type {other:?}, expected a plain file; pack what it points to");
            Ok(Some(Place::Nowhere(Refusal { code: "not-a-file", detail })))
        }
    }
}

/// An archive may hold a name many times; each member is an image of its own, under the same name on every run.
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

/// A reader that gives out no more than what is `left`, which its owner sets anew for each part.
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
