use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Vault;
use super::vault::{MORE, is_sealed, opened};
use crate::photo::Sha256;

/// A store of photos' bytes, or of data derived from them, each under the photo's SHA-256: `<root>/ab/abcd…`. With a
/// vault, the files are sealed.
#[derive(Debug)]
pub(super) struct PhotoStore {
    root: PathBuf,
    /// Kind of the files, such as `photos`: sealed ones cannot be moved to another kind.
    kind: &'static str,
    vault: Option<Arc<Vault>>,
}

impl PhotoStore {
    /// Opens the store in `<folder>/<kind>`, and creates it if it is missing.
    ///
    /// # Errors
    /// When the folder cannot be created.
    pub(super) fn open(folder: &Path, kind: &'static str, vault: Option<&Arc<Vault>>) -> io::Result<Self> {
        let root = folder.join(kind);
        // Readable by the owner alone: brands' photos are confidential.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&root)?;
        Ok(Self { root, kind, vault: vault.cloned() })
    }

    /// The keys that seal the files, if there are any.
    pub(super) fn vault(&self) -> Option<&Vault> {
        self.vault.as_deref()
    }

    /// Stores `bytes`; once this returns they survive a crash.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub(super) fn put(&self, sha256: Sha256, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(sha256);
        let folder = path.parent().unwrap_or(&self.root);
        // An existing file may have been written unsynced, a moment ago or before a crash, and its folder with it.
        let synced = || File::open(&path).and_then(|file| file.sync_all());
        if !self.is_whole(sha256, bytes) || synced().is_err() {
            let file = self.written(sha256, bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
        }
        File::open(folder)?.sync_all()?;
        File::open(&self.root)?.sync_all()
    }

    /// Stores `bytes`; once [`PhotoStore::sync`] returns they survive a crash.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub(super) fn put_unsynced(&self, sha256: Sha256, bytes: &[u8]) -> io::Result<()> {
        if cfg!(not(target_os = "linux")) {
            return self.put(sha256, bytes);
        }
        if self.is_whole(sha256, bytes) {
            // As new as a file just written, so that no sweep takes it for a left-over.
            return File::open(self.path(sha256))?.set_modified(SystemTime::now());
        }
        self.put_derived(sha256, bytes)
    }

    /// Syncs all that was put: many photos for the price of a few.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    #[cfg(target_os = "linux")]
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(File::open(&self.root)?)?)
    }

    /// Stores bytes that can be computed again: all or nothing, but not synced.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub(super) fn put_derived(&self, sha256: Sha256, bytes: &[u8]) -> io::Result<()> {
        self.written(sha256, bytes)?.persist(self.path(sha256)).map(drop).map_err(|error| error.error)
    }

    /// The bytes that [`PhotoStore::put_derived`] stored, if the file has at most `most` bytes.
    #[must_use]
    pub(super) fn get_derived(&self, sha256: Sha256, most: u64) -> Option<Vec<u8>> {
        let path = self.path(sha256);
        let kind = fs::symlink_metadata(&path).ok()?;
        let bytes = (kind.is_file() && kind.len() <= most + MORE).then(|| fs::read(path).ok()).flatten()?;
        opened(self.vault.as_deref(), self.kind, sha256, bytes).ok()
    }

    /// Checks that a file is stored under `sha256`.
    ///
    /// # Errors
    /// When there is no such file.
    pub(super) fn check(&self, sha256: Sha256) -> io::Result<()> {
        fs::metadata(self.path(sha256)).map(drop)
    }

    /// The photo with this SHA-256, if its bytes still have it.
    ///
    /// # Errors
    /// When there is none, it cannot be read, or it is damaged.
    pub(super) fn get_photo(&self, sha256: Sha256) -> io::Result<Vec<u8>> {
        self.whole(sha256, fs::read(self.path(sha256))?)
    }

    /// The stored file of this photo, sealed or not, if the photo in it still has its SHA-256.
    ///
    /// # Errors
    /// As [`PhotoStore::get_photo`].
    pub(super) fn get_file(&self, sha256: Sha256) -> io::Result<Vec<u8>> {
        let file = fs::read(self.path(sha256))?;
        self.whole(sha256, file.clone()).map(|_| file)
    }

    /// The photo in a file's bytes.
    fn whole(&self, sha256: Sha256, file: Vec<u8>) -> io::Result<Vec<u8>> {
        let bytes = opened(self.vault.as_deref(), self.kind, sha256, file)?;
        if Sha256::of(&bytes) == sha256 {
            return Ok(bytes);
        }
        let detail = format!("the photo {sha256} is damaged: its bytes have another SHA-256");
        Err(io::Error::new(io::ErrorKind::InvalidData, detail))
    }

    /// Writes a file again if it exists and is not sealed with the newest key. The caller keeps others from deleting it
    /// meanwhile.
    ///
    /// # Errors
    /// When the file cannot be read or written; then it stays unchanged.
    pub(super) fn reseal(&self, sha256: Sha256) -> io::Result<bool> {
        let Some(vault) = &self.vault else { return Ok(false) };
        let path = self.path(sha256);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            bytes => bytes?,
        };
        if is_sealed(&bytes) && vault.sealed_newest(&bytes) {
            return Ok(false);
        }
        let plain = opened(Some(vault), self.kind, sha256, bytes)?;
        let file = self.written(sha256, &plain)?;
        file.as_file().sync_all()?;
        file.persist(&path).map(|_| true).map_err(|error| error.error)
    }

    /// Writes a file and removes it, to see whether the store can be written.
    pub(super) fn try_to_write(&self) -> io::Result<()> {
        let mut file = tempfile::tempfile_in(&self.root)?;
        file.write_all(&vec![0; 1 << 16])?;
        file.sync_all()
    }

    /// A new file with these bytes, sealed if there is a vault, in its folder and without a name yet.
    fn written(&self, sha256: Sha256, bytes: &[u8]) -> io::Result<tempfile::NamedTempFile> {
        let path = self.path(sha256);
        let folder = path.parent().unwrap_or(&self.root);
        // Does not create the parent folders: if the data folder was renamed, it must not reappear.
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        match &self.vault {
            None => file.write_all(bytes)?,
            Some(vault) => file.write_all(&vault.seal(self.kind, sha256, bytes)?)?,
        }
        Ok(file)
    }

    /// Whether these bytes are stored undamaged, and sealed as they should be.
    fn is_whole(&self, sha256: Sha256, bytes: &[u8]) -> bool {
        let more = if self.vault.is_some() { MORE } else { 0 };
        let file = fs::metadata(self.path(sha256));
        file.is_ok_and(|file| file.len() == bytes.len() as u64 + more) && self.get_photo(sha256).is_ok()
    }

    /// Whether the file exists and is at least `age` old: if no row names it then, a crash left it; a younger one may
    /// still get its row.
    pub(super) fn is_older(&self, sha256: Sha256, age: Duration) -> bool {
        let modified = fs::metadata(self.path(sha256)).and_then(|file| file.modified());
        modified.is_ok_and(|when| SystemTime::now().duration_since(when).is_ok_and(|is| is >= age))
    }

    /// Every stored file.
    pub(super) fn files(&self) -> impl Iterator<Item = (Sha256, PathBuf)> {
        walkdir::WalkDir::new(&self.root).min_depth(2).max_depth(2).into_iter().filter_map(|entry| {
            let entry = entry.ok().filter(|entry| entry.file_type().is_file())?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.into_path()))
        })
    }

    /// Removes a file. A missing file is no error.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub(super) fn remove(&self, sha256: Sha256) -> io::Result<()> {
        match fs::remove_file(self.path(sha256)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// As [`PhotoStore::remove`]; once this returns a crash does not bring the file back.
    ///
    /// # Errors
    /// When the file cannot be removed, or its folder not synced.
    pub(super) fn remove_synced(&self, sha256: Sha256) -> io::Result<()> {
        self.remove(sha256)?;
        match self.path(sha256).parent().map(File::open) {
            Some(Ok(folder)) => folder.sync_all(),
            // Without the folder there is no photo.
            _ => Ok(()),
        }
    }

    /// Does nothing where the system has no such call: `put_unsynced` synced each file.
    ///
    /// # Errors
    /// None.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn path(&self, sha256: Sha256) -> PathBuf {
        let name = sha256.to_string();
        self.root.join(&name[..2]).join(name)
    }
}
