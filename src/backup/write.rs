use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256 as Hasher};

use super::{ABOUT, About, BackupError, Contents, DATABASE, FORMAT, SUMS, parent};
use crate::gallery::{Gallery, GalleryError, photos_of, segments_of, stored_name};
use crate::index::current_line;
use crate::memory::segment_name;
use crate::photo::Sha256;

/// Prefix of unfinished files; a killed backup leaves one behind.
const PART: &str = ".touchstone-backup-";

/// How often the database is copied again because a photo of the last copy was deleted meanwhile.
const TRIES: usize = 5;

/// Writes a backup of a gallery, which may be in use, and of its serving generations.
///
/// # Errors
/// [`BackupError`]; then `to` does not exist, or is the former backup.
pub fn back_up(gallery: &Gallery, index_dir: &Path, to: &Path) -> Result<Contents, BackupError> {
    let other = fs::symlink_metadata(to).is_ok_and(|there| !there.is_file());
    if other {
        return Err(BackupError::NotAFile(to.to_owned()));
    }
    let folder = parent(to);
    let part = tempfile::Builder::new().prefix(PART).tempfile_in(folder).map_err(BackupError::file(folder))?;
    let mut backup = Backup {
        tar: tar::Builder::new(BufWriter::with_capacity(
            1 << 20,
            part.as_file().try_clone().map_err(BackupError::file(to))?,
        )),
        to: to.to_owned(),
        sums: String::new(),
        contents: Contents::default(),
    };
    backup.about(gallery)?;
    // Generations first: one may be older than the database, never newer.
    backup.generations(index_dir)?;
    backup.gallery(gallery, folder)?;
    let contents = backup.finish()?;
    part.as_file().sync_all().map_err(BackupError::file(to))?;
    part.persist(to).map_err(|error| BackupError::file(to)(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(BackupError::file(folder))?;
    Ok(contents)
}

struct Backup {
    tar: tar::Builder<BufWriter<File>>,
    to: PathBuf,
    sums: String,
    contents: Contents,
}

impl Backup {
    fn about(&mut self, gallery: &Gallery) -> Result<(), BackupError> {
        let about = About {
            format: FORMAT,
            touchstone: env!("CARGO_PKG_VERSION").to_owned(),
            created_at: jiff::Timestamp::now(),
            gallery: gallery.id().to_owned(),
        };
        let text = serde_json::to_vec_pretty(&about).map_err(|error| BackupError::file(&self.to)(error.into()))?;
        self.add(ABOUT, &mut &text[..], text.len() as u64)
    }

    /// Adds each model's serving generation. If one is replaced while it is copied, a restored service rebuilds it, so
    /// a missing file is no fault.
    fn generations(&mut self, index_dir: &Path) -> Result<(), BackupError> {
        let Ok(models) = fs::read_dir(index_dir) else { return Ok(()) };
        for model in models.filter_map(Result::ok) {
            let (root, model) = (model.path(), model.file_name().to_string_lossy().into_owned());
            let Some(line) = current_line(&root).ok().flatten() else { continue };
            let current = line.split_whitespace().next().filter(|name| is_plain(name)).unwrap_or_default().to_owned();
            let Ok(files) = fs::read_dir(root.join(&current)) else { continue };
            for file in files.filter_map(Result::ok).filter(|file| file.file_type().is_ok_and(|kind| kind.is_file())) {
                self.add_file(
                    &format!("index/{model}/{current}/{}", file.file_name().to_string_lossy()),
                    &file.path(),
                )?;
            }
            let line = format!("{line}\n");
            self.add(&format!("index/{model}/CURRENT"), &mut line.as_bytes(), line.len() as u64)?;
            self.contents.generations += 1;
        }
        Ok(())
    }

    /// Adds the database, then the photos that it names. If a photo was deleted in between, the database is copied
    /// again; photos already added stay valid.
    fn gallery(&mut self, gallery: &Gallery, folder: &Path) -> Result<(), BackupError> {
        let work = tempfile::Builder::new().prefix(PART).tempdir_in(folder).map_err(BackupError::file(folder))?;
        let mut added = std::collections::HashSet::new();
        let mut remembered = std::collections::HashMap::new();
        for number in 0..TRIES {
            let copy = work.path().join(format!("{number}.db"));
            gallery.copy_database(&copy)?;
            let wanted = photos_of(&copy)?;
            if self.photos(gallery, &wanted, &mut added)? && self.memory(gallery, &copy, &mut remembered)? {
                self.add_file(DATABASE, &copy)?;
                for sha256 in gallery.kept_uploads().map_err(GalleryError::Photos)? {
                    // One may have been erased since.
                    let photo = match gallery.kept_upload(sha256) {
                        Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                        read => read.map_err(|source| BackupError::Photo { sha256, source })?,
                    };
                    self.add(&format!("uploads/{}", stored_name(sha256)), &mut &photo[..], photo.len() as u64)?;
                    self.contents.uploads += 1;
                }
                return Ok(());
            }
            fs::remove_file(&copy).map_err(BackupError::file(&copy))?;
        }
        Err(BackupError::Unsteady)
    }

    /// Adds the photos; `false` if one is missing.
    fn photos(
        &mut self,
        gallery: &Gallery,
        wanted: &[Sha256],
        added: &mut std::collections::HashSet<Sha256>,
    ) -> Result<bool, BackupError> {
        for sha256 in wanted {
            if added.contains(sha256) {
                continue;
            }
            // A photo that could not be restored must fail the backup now.
            let photo = match gallery.kept_photo(*sha256) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                read => read.map_err(|source| BackupError::Photo { sha256: *sha256, source })?,
            };
            let name = format!("photos/{}", stored_name(*sha256));
            self.add(&name, &mut &photo[..], photo.len() as u64)?;
            added.insert(*sha256);
            self.contents.photos += 1;
        }
        Ok(true)
    }

    /// Adds the memory's segments, as far as the copied database counts them; `false` if one was replaced meanwhile.
    fn memory(
        &mut self,
        gallery: &Gallery,
        database: &Path,
        added: &mut std::collections::HashMap<u64, u64>,
    ) -> Result<bool, BackupError> {
        for (id, bytes) in segments_of(database)? {
            if added.get(&id) == Some(&bytes) {
                continue;
            }
            // A tar cannot replace a file that it has: a segment that has grown since is too much for this backup.
            if added.contains_key(&id) {
                return Err(BackupError::Unsteady);
            }
            let name = segment_name(id);
            let path = gallery.memory_folder().join(&name);
            let file = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                opened => opened.map_err(BackupError::file(&path))?,
            };
            self.add(&format!("memory/{name}"), &mut file.take(bytes), bytes)?;
            added.insert(id, bytes);
        }
        Ok(true)
    }

    /// Adds a file; `false` if it does not exist.
    fn add_file(&mut self, name: &str, path: &Path) -> Result<bool, BackupError> {
        let mut file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened.map_err(BackupError::file(path))?,
        };
        let size = file.metadata().map_err(BackupError::file(path))?.len();
        self.add(name, &mut file, size)?;
        Ok(true)
    }

    fn add(&mut self, name: &str, from: &mut dyn Read, size: u64) -> Result<(), BackupError> {
        let mut summed = Summed { from, hasher: Hasher::new() };
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o600);
        header.set_entry_type(tar::EntryType::Regular);
        self.tar.append_data(&mut header, name, &mut summed).map_err(BackupError::file(&self.to))?;
        let sum = Sha256(summed.hasher.finalize().into());
        self.sums.extend([&sum.to_string(), "  ", name, "\n"]);
        self.contents.bytes += size;
        Ok(())
    }

    fn finish(mut self) -> Result<Contents, BackupError> {
        let sums = std::mem::take(&mut self.sums);
        self.add(SUMS, &mut sums.as_bytes(), sums.len() as u64)?;
        let written = self.tar.into_inner().and_then(|mut out| out.flush());
        written.map_err(BackupError::file(&self.to))?;
        Ok(self.contents)
    }
}

struct Summed<'a> {
    from: &'a mut dyn Read,
    hasher: Hasher,
}

impl Read for Summed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\'])
}
