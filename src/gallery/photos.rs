use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Vault;
use super::cache::Cache;
use super::vault::{MORE, is_sealed, opened};
use crate::photo::Sha256;
use crate::storage::{Objects, StorageOptions};

/// The kind of keypoints.
pub(super) const FEATURES: &str = "features";

/// An object that is written and removed to see whether that works.
const PROBE: &str = "probe";

/// A store of photos' bytes, or of data derived from them, each under the photo's SHA-256: files `<root>/ab/abcd…`, or objects
/// `<folder>/ab/abcd…`. With a vault, they are sealed.
#[derive(Debug)]
pub(super) struct PhotoStore {
    place: Shelf,
    /// Kind of the files, such as `photos`: sealed ones cannot be moved to another kind.
    kind: &'static str,
    vault: Option<Arc<Vault>>,
}

#[derive(Debug)]
enum Shelf {
    Folder(PathBuf),
    /// With a cache on this machine, for what is read often and never changes.
    Objects(Objects, Option<Cache>),
}

impl PhotoStore {
    /// Opens the store of a kind: below `folder`, and makes the folder if it is missing, or in the object store of the settings.
    ///
    /// # Errors
    /// When the folder cannot be created, or the object store's settings are wrong.
    pub(super) fn open(
        folder: &Path,
        options: &StorageOptions,
        kind: &'static str,
        vault: Option<&Arc<Vault>>,
    ) -> io::Result<Self> {
        let place = match &options.photos {
            None => {
                let root = folder.join(kind);
                // Readable by the owner alone: brands' photos are confidential.
                fs::DirBuilder::new().recursive(true).mode(0o700).create(&root)?;
                Shelf::Folder(root)
            }
            Some(url) => {
                // Checks read keypoints again and again; photos and thumbnails are for people.
                let cached = (kind == FEATURES && options.cache_mb > 0)
                    .then(|| Cache::open(&folder.join("cache").join(kind), options.cache_mb << 20));
                Shelf::Objects(Objects::open(url)?.within(kind), cached.transpose()?)
            }
        };
        Ok(Self { place, kind, vault: vault.cloned() })
    }

    /// Whether it is an object store, whose calls take too long for a transaction.
    pub(super) fn is_remote(&self) -> bool {
        matches!(self.place, Shelf::Objects(..))
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
        let (root, path) = match &self.place {
            Shelf::Folder(root) => (root, path_in(root, sha256)),
            // Again, also where it exists, so that it is too young for a sweep.
            Shelf::Objects(objects, _) => return objects.put(&stored_name(sha256), self.sealed(sha256, bytes)?),
        };
        let folder = path.parent().unwrap_or(root);
        // An existing file may have been written unsynced, a moment ago or before a crash, and its folder with it.
        let synced = || File::open(&path).and_then(|file| file.sync_all());
        if !self.is_whole(sha256, bytes) || synced().is_err() {
            let file = self.written(root, sha256, bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
        }
        File::open(folder)?.sync_all()?;
        File::open(root)?.sync_all()
    }

    /// Stores photos again that a sweep removed from the object store between [`PhotoStore::put`] and the commit of their rows, after
    /// which no sweep does. Does nothing for files, which sweeps and writes handle one after the other.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(super) fn put_again<'b>(&self, photos: impl IntoIterator<Item = (Sha256, &'b [u8])>) -> io::Result<()> {
        let Shelf::Objects(objects, _) = &self.place else { return Ok(()) };
        for (sha256, bytes) in photos {
            match objects.modified(&stored_name(sha256)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.put(sha256, bytes)?,
                other => drop(other?),
            }
        }
        Ok(())
    }

    /// Stores `bytes`; once [`PhotoStore::sync`] returns they survive a crash.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub(super) fn put_unsynced(&self, sha256: Sha256, bytes: &[u8]) -> io::Result<()> {
        let Shelf::Folder(root) = &self.place else { return self.put(sha256, bytes) };
        if cfg!(not(target_os = "linux")) {
            return self.put(sha256, bytes);
        }
        if self.is_whole(sha256, bytes) {
            // As new as a file just written, so that no sweep takes it for a left-over.
            return File::open(path_in(root, sha256))?.set_modified(SystemTime::now());
        }
        self.put_derived(sha256, bytes)
    }

    /// Syncs all that was put: many photos for the price of a few.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    #[cfg(target_os = "linux")]
    pub(super) fn sync(&self) -> io::Result<()> {
        match &self.place {
            Shelf::Folder(root) => Ok(rustix::fs::syncfs(File::open(root)?)?),
            Shelf::Objects(..) => Ok(()),
        }
    }

    /// Stores bytes that can be computed again: all or nothing, but not synced.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub(super) fn put_derived(&self, sha256: Sha256, bytes: &[u8]) -> io::Result<()> {
        match &self.place {
            Shelf::Folder(root) => {
                self.written(root, sha256, bytes)?.persist(path_in(root, sha256)).map(drop).map_err(|error| error.error)
            }
            Shelf::Objects(objects, cache) => {
                let sealed = self.sealed(sha256, bytes)?;
                if let Some(cache) = cache {
                    cache.put(sha256, &sealed);
                }
                objects.put(&stored_name(sha256), sealed)
            }
        }
    }

    /// The bytes that [`PhotoStore::put_derived`] stored, if the file has at most `most` bytes.
    #[must_use]
    pub(super) fn get_derived(&self, sha256: Sha256, most: u64) -> Option<Vec<u8>> {
        let bytes = match &self.place {
            Shelf::Folder(root) => {
                let path = path_in(root, sha256);
                let kind = fs::symlink_metadata(&path).ok()?;
                (kind.is_file() && kind.len() <= most + MORE).then(|| fs::read(path).ok()).flatten()?
            }
            Shelf::Objects(objects, cache) => cache.as_ref().and_then(|cache| cache.get(sha256)).or_else(|| {
                let bytes = objects.get(&stored_name(sha256)).ok().filter(|bytes| bytes.len() as u64 <= most + MORE)?;
                if let Some(cache) = cache {
                    cache.put(sha256, &bytes);
                }
                Some(bytes)
            })?,
        };
        opened(self.vault.as_deref(), self.kind, sha256, bytes).ok()
    }

    /// Checks that a file is stored under `sha256`.
    ///
    /// # Errors
    /// When there is no such file.
    pub(super) fn check(&self, sha256: Sha256) -> io::Result<()> {
        match &self.place {
            Shelf::Folder(root) => fs::metadata(path_in(root, sha256)).map(drop),
            Shelf::Objects(objects, _) => objects.modified(&stored_name(sha256)).map(drop),
        }
    }

    /// The photo with this SHA-256, if its bytes still have it.
    ///
    /// # Errors
    /// When there is none, it cannot be read, or it is damaged.
    pub(super) fn get_photo(&self, sha256: Sha256) -> io::Result<Vec<u8>> {
        self.whole(sha256, self.read(sha256)?)
    }

    /// The stored bytes, sealed or not.
    pub(super) fn read(&self, sha256: Sha256) -> io::Result<Vec<u8>> {
        match &self.place {
            Shelf::Folder(root) => fs::read(path_in(root, sha256)),
            Shelf::Objects(objects, _) => objects.get(&stored_name(sha256)),
        }
    }

    /// The stored file of this photo, sealed or not, if the photo in it still has its SHA-256.
    ///
    /// # Errors
    /// As [`PhotoStore::get_photo`].
    pub(super) fn get_file(&self, sha256: Sha256) -> io::Result<Vec<u8>> {
        let file = self.read(sha256)?;
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
        let bytes = match self.read(sha256) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            bytes => bytes?,
        };
        if is_sealed(&bytes) && vault.sealed_newest(&bytes) {
            return Ok(false);
        }
        let plain = opened(Some(vault), self.kind, sha256, bytes)?;
        let Shelf::Folder(root) = &self.place else { return self.put(sha256, &plain).map(|()| true) };
        let file = self.written(root, sha256, &plain)?;
        file.as_file().sync_all()?;
        file.persist(path_in(root, sha256)).map(|_| true).map_err(|error| error.error)
    }

    /// Writes a file and removes it, to see whether the store can be written.
    pub(super) fn try_to_write(&self) -> io::Result<()> {
        match &self.place {
            Shelf::Folder(root) => {
                let mut file = tempfile::tempfile_in(root)?;
                file.write_all(&vec![0; 1 << 16])?;
                file.sync_all()
            }
            Shelf::Objects(objects, _) => objects.put(PROBE, Vec::new()).and_then(|()| objects.remove(PROBE)),
        }
    }

    /// The bytes as they are stored.
    fn sealed(&self, sha256: Sha256, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match &self.vault {
            None => Ok(bytes.to_vec()),
            Some(vault) => vault.seal(self.kind, sha256, bytes),
        }
    }

    /// A new file with these bytes, sealed if there is a vault, in its folder and without a name yet.
    fn written(&self, root: &Path, sha256: Sha256, bytes: &[u8]) -> io::Result<tempfile::NamedTempFile> {
        let path = path_in(root, sha256);
        let folder = path.parent().unwrap_or(root);
        // Does not create the parent folders: if the data folder was renamed, it must not reappear.
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&self.sealed(sha256, bytes)?)?;
        Ok(file)
    }

    /// Whether these bytes are stored undamaged, and sealed as they should be.
    fn is_whole(&self, sha256: Sha256, bytes: &[u8]) -> bool {
        let more = if self.vault.is_some() { MORE } else { 0 };
        let Shelf::Folder(root) = &self.place else { return false };
        let file = fs::metadata(path_in(root, sha256));
        file.is_ok_and(|file| file.len() == bytes.len() as u64 + more) && self.get_photo(sha256).is_ok()
    }

    /// Whether the file exists and is at least `age` old: if no row names it then, a crash left it; a younger one may
    /// still get its row.
    pub(super) fn is_older(&self, sha256: Sha256, age: Duration) -> bool {
        let modified = match &self.place {
            Shelf::Folder(root) => fs::metadata(path_in(root, sha256)).and_then(|file| file.modified()),
            Shelf::Objects(objects, _) => objects.modified(&stored_name(sha256)),
        };
        modified.is_ok_and(|when| SystemTime::now().duration_since(when).is_ok_and(|is| is >= age))
    }

    /// Everything that is stored.
    ///
    /// # Errors
    /// When an object store cannot be listed.
    pub(super) fn files(&self) -> io::Result<Vec<Sha256>> {
        match &self.place {
            Shelf::Folder(root) => {
                let entries = walkdir::WalkDir::new(root).min_depth(2).max_depth(2).into_iter();
                let files = entries.filter_map(|entry| entry.ok().filter(|entry| entry.file_type().is_file()));
                Ok(files.filter_map(|file| file.file_name().to_str()?.parse().ok()).collect())
            }
            Shelf::Objects(objects, _) => Ok(objects.names()?.iter().filter_map(|name| name.parse().ok()).collect()),
        }
    }

    /// Removes a file. A missing file is no error.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub(super) fn remove(&self, sha256: Sha256) -> io::Result<()> {
        let root = match &self.place {
            Shelf::Folder(root) => root,
            Shelf::Objects(objects, cache) => {
                if let Some(cache) = cache {
                    cache.remove(sha256);
                }
                return objects.remove(&stored_name(sha256));
            }
        };
        match fs::remove_file(path_in(root, sha256)) {
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
        let Shelf::Folder(root) = &self.place else { return Ok(()) };
        match path_in(root, sha256).parent().map(File::open) {
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
}

/// A photo's path below a store's root, in folders and object stores alike: `ab/abcd…`.
#[must_use]
pub fn stored_name(sha256: Sha256) -> String {
    let name = sha256.to_string();
    format!("{}/{name}", &name[..2])
}

fn path_in(root: &Path, sha256: Sha256) -> PathBuf {
    root.join(stored_name(sha256))
}
