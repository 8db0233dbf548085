use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::photo::Sha256;

/// Photos' bytes, or what was derived from them, each under the photo's sum: `<root>/ab/abcd…`.
#[derive(Debug)]
pub struct PhotoStore {
    root: PathBuf,
}

impl PhotoStore {
    /// Keeps photos under `root`, which is made when missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        Ok(Self { root: root.to_owned() })
    }

    /// Keeps `bytes`; once this returns they survive a crash.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn put(&self, sha256: Sha256, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(sha256);
        if is_whole(&path, bytes) {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(&self.root);
        let new_folder = !folder.exists();
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()?;
        if new_folder {
            File::open(&self.root)?.sync_all()?;
        }
        Ok(())
    }

    /// Keeps `bytes`; once [`PhotoStore::sync`] returns they survive a crash.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn put_unsynced(&self, sha256: Sha256, bytes: &[u8]) -> io::Result<()> {
        if cfg!(not(target_os = "linux")) {
            return self.put(sha256, bytes);
        }
        if is_whole(&self.path(sha256), bytes) { Ok(()) } else { self.put_derived(sha256, bytes) }
    }

    /// Syncs whatever was put: many photos for the price of a few.
    ///
    /// # Errors
    /// When the file system refuses.
    #[cfg(target_os = "linux")]
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(File::open(&self.root)?)?)
    }

    /// Keeps bytes that can be made again: whole or not at all, but not synced.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn put_derived(&self, sha256: Sha256, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(sha256);
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.persist(&path).map(drop).map_err(|error| error.error)
    }

    /// What [`PhotoStore::put_derived`] kept, if it is a file of at most `most` bytes.
    #[must_use]
    pub fn get_derived(&self, sha256: Sha256, most: u64) -> Option<Vec<u8>> {
        let path = self.path(sha256);
        let kind = fs::symlink_metadata(&path).ok()?;
        (kind.is_file() && kind.len() <= most).then(|| fs::read(path).ok()).flatten()
    }

    /// Whether something is kept under `sha256`.
    ///
    /// # Errors
    /// When there is nothing.
    pub fn check(&self, sha256: Sha256) -> io::Result<()> {
        fs::metadata(self.path(sha256)).map(drop)
    }

    /// The bytes kept under `sha256`.
    ///
    /// # Errors
    /// When there are none, or they cannot be read.
    pub fn get(&self, sha256: Sha256) -> io::Result<Vec<u8>> {
        fs::read(self.path(sha256))
    }

    /// Forgets them. Nothing to forget is fine.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn remove(&self, sha256: Sha256) -> io::Result<()> {
        match fs::remove_file(self.path(sha256)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Where there is no such call, each was synced by itself.
    ///
    /// # Errors
    /// None.
    #[cfg(not(target_os = "linux"))]
    pub fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn path(&self, sha256: Sha256) -> PathBuf {
        let name = sha256.to_string();
        self.root.join(&name[..2]).join(name)
    }
}

/// Whether these bytes are there: after a power cut a file that was not synced may be shorter than it was.
fn is_whole(path: &Path, bytes: &[u8]) -> bool {
    fs::metadata(path).is_ok_and(|file| file.len() == bytes.len() as u64)
}
