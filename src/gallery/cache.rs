//! A cache of an object store's objects on this machine's disk.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::photo::Sha256;

/// Files that never change, under the photo's SHA-256; those that were read least recently go first. What cannot be written or read
/// is as if it were not there.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    most_bytes: u64,
    bytes: AtomicU64,
    /// One thread makes room at a time.
    making_room: Mutex<()>,
}

impl Cache {
    /// Opens the cache, with what an earlier process left in it.
    ///
    /// # Errors
    /// When the folder cannot be created.
    pub(super) fn open(folder: &Path, most_bytes: u64) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let cache =
            Self { folder: folder.to_owned(), most_bytes, bytes: AtomicU64::new(0), making_room: Mutex::new(()) };
        cache.bytes.store(cache.files().iter().map(|(_, _, bytes)| bytes).sum(), Ordering::Release);
        Ok(cache)
    }

    pub(super) fn get(&self, sha256: Sha256) -> Option<Vec<u8>> {
        let path = self.path(sha256);
        let bytes = fs::read(&path).ok()?;
        // The time of the last use, for `make_room`.
        let _ = fs::File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
        Some(bytes)
    }

    pub(super) fn put(&self, sha256: Sha256, bytes: &[u8]) {
        let path = self.path(sha256);
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            file.write_all(bytes)?;
            file.persist(&path).map(drop).map_err(|error| error.error)
        };
        let before = fs::metadata(&path).map_or(0, |file| file.len());
        if write().is_ok() {
            let added = (bytes.len() as u64).saturating_sub(before);
            if self.bytes.fetch_add(added, Ordering::AcqRel) + added > self.most_bytes {
                self.make_room();
            }
        }
    }

    pub(super) fn remove(&self, sha256: Sha256) {
        let _ = fs::remove_file(self.path(sha256));
    }

    /// Removes the files that were read least recently, until a tenth is free.
    fn make_room(&self) {
        let Some(_alone) = self.making_room.try_lock() else { return };
        let mut files = self.files();
        files.sort_by_key(|(used, _, _)| *used);
        let mut bytes: u64 = files.iter().map(|(_, _, bytes)| bytes).sum();
        for (_, path, size) in files {
            if bytes <= self.most_bytes / 10 * 9 {
                break;
            }
            if fs::remove_file(path).is_ok() {
                bytes -= size;
            }
        }
        self.bytes.store(bytes, Ordering::Release);
    }

    /// Last use, path and size of each file.
    fn files(&self) -> Vec<(SystemTime, PathBuf, u64)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().filter_map(Result::ok);
        let read = |entry: fs::DirEntry| {
            let about = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((about.modified().ok()?, entry.path(), about.len()))
        };
        entries.filter_map(read).collect()
    }

    fn path(&self, sha256: Sha256) -> PathBuf {
        self.folder.join(sha256.to_string())
    }
}
