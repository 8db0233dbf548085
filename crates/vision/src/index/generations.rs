//! The folder of a model's generations: listing them, and selecting the one that serves.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::TempDir;

use super::snapshot::{HEADER, Header, SnapshotError, at, sync_folder};
use crate::photo::Sha256;

const CURRENT: &str = "CURRENT";
const LOCK: &str = ".publishing";
const STAGING: &str = ".building-";

/// A generation's folder and its header.
pub(super) struct Place {
    pub(super) folder: PathBuf,
    pub(super) header: Header,
}

/// The header of a published generation, with its size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GenerationInfo {
    /// Name of its folder.
    pub name: String,
    /// Number of the generation; later ones have higher numbers.
    pub number: u64,
    /// Name and checksum of the model.
    pub model: String,
    /// Dimension of its embeddings.
    pub dimension: usize,
    /// Revision of the gallery that it was built from.
    pub revision: u64,
    /// Id of the run that it was built for, if any.
    pub run: Option<String>,
    /// Number of distinct embeddings.
    pub vectors: usize,
    /// Number of references.
    pub references: usize,
    /// Size on disk, in bytes.
    pub bytes: u64,
    /// Whether the file `CURRENT` names it.
    pub current: bool,
}

/// The generations in a model's folder, oldest first; generations with an unreadable header are left out.
///
/// # Errors
/// When the folder cannot be read. A missing folder has no generations.
pub fn generations(root: &Path) -> Result<Vec<GenerationInfo>, SnapshotError> {
    if !root.is_dir() {
        return Ok(Vec::new());
    }
    let current = current_line(root)?.and_then(|line| line.split_once(' ').map(|(name, _)| name.to_owned()));
    let readable = folders(root)?.into_iter().filter_map(|(_, folder)| {
        let name = folder.file_name()?.to_str()?.to_owned();
        let header = named(root, &name)
            .map_err(|error| tracing::warn!(%error, "a generation with an unreadable header is skipped"))
            .ok()?
            .header;
        Some(GenerationInfo {
            current: current.as_ref() == Some(&name),
            name,
            number: header.number,
            model: header.origin.model,
            dimension: header.origin.dimension,
            revision: header.revision,
            run: header.run,
            vectors: header.vectors,
            references: header.keys,
            bytes: header.files.values().map(|file| file.bytes).sum(),
        })
    });
    Ok(readable.collect())
}

/// The names of the generations in a model's folder, oldest first, readable or not.
///
/// # Errors
/// When the folder cannot be read. A missing folder has no generations.
pub fn names(root: &Path) -> Result<Vec<String>, SnapshotError> {
    let folders = if root.is_dir() { folders(root)? } else { Vec::new() };
    let name = |folder: PathBuf| folder.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(folders.into_iter().filter_map(|(_, folder)| name(folder)).collect())
}

/// The name of the generation that serves, after comparing its header with `CURRENT`.
///
/// # Errors
/// When there is none, or `CURRENT` or the generation's header is invalid or they differ.
pub fn serving(root: &Path) -> Result<String, SnapshotError> {
    Ok(current(root)?.folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
}

/// The locked folder of a model, in which another generation can be selected.
pub struct Held<'a>(Folder<'a>);

impl<'a> Held<'a> {
    /// Waits for publishers to finish, locks the folder, and tests that it is writable.
    ///
    /// # Errors
    /// When the folder cannot be locked or written.
    pub fn hold(root: &'a Path) -> Result<Self, SnapshotError> {
        let folder = Folder::lock(root)?;
        drop(folder.staging()?);
        Ok(Self(folder))
    }

    /// Makes an existing generation the one that serves.
    ///
    /// # Errors
    /// When there is no such generation, or the file system returns an error.
    pub fn point_to(&self, name: &str) -> Result<(), SnapshotError> {
        self.0.point_to(name)
    }
}

/// The line of `CURRENT`, which names the generation that serves; `None` before the first publication.
///
/// # Errors
/// When the file exists and cannot be read.
pub fn current_line(root: &Path) -> Result<Option<String>, SnapshotError> {
    let path = root.join(CURRENT);
    match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(|line| Some(line.trim().to_owned())).map_err(at(&path)),
    }
}

/// The generation that `CURRENT` names.
pub(super) fn current(root: &Path) -> Result<Place, SnapshotError> {
    let line = current_line(root)?.ok_or_else(|| SnapshotError::None(root.to_owned()))?;
    let (name, sum) = line.split_once(' ').unwrap_or_default();
    let (folder, bytes) = read(root, name, &|| format!("CURRENT says {line:?}"))?;
    let got = Sha256::of(&bytes).to_string();
    if got == sum {
        return place(folder, &bytes);
    }
    Err(SnapshotError::Mismatch { file: folder.join(HEADER), what: "sha256", got, expected: sum.to_owned() })
}

/// The generation with this name.
pub(super) fn named(root: &Path, name: &str) -> Result<Place, SnapshotError> {
    let (folder, bytes) = read(root, name, &|| format!("{name:?}"))?;
    place(folder, &bytes)
}

fn place(folder: PathBuf, header: &[u8]) -> Result<Place, SnapshotError> {
    let header = serde_json::from_slice(header).map_err(|error| at(&folder.join(HEADER))(error.into()))?;
    Ok(Place { folder, header })
}

fn read(root: &Path, name: &str, got: &dyn Fn() -> String) -> Result<(PathBuf, Vec<u8>), SnapshotError> {
    // A name with a separator could lead out of the folder.
    if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') {
        return Err(SnapshotError::Mismatch {
            file: root.to_owned(),
            what: "content",
            got: got(),
            expected: "a generation's name and its header's sha256".to_owned(),
        });
    }
    let folder = root.join(name);
    let file = folder.join(HEADER);
    let bytes = fs::read(&file).map_err(at(&file))?;
    Ok((folder, bytes))
}

/// Published generations in order of their number.
fn folders(root: &Path) -> Result<Vec<(u64, PathBuf)>, SnapshotError> {
    let mut found = numbered(root)?;
    found.retain(|(_, path)| path.join(HEADER).is_file());
    Ok(found)
}

/// As [`folders`], with folders that have a generation's name but no header any more, whose numbers are not reused.
fn numbered(root: &Path) -> Result<Vec<(u64, PathBuf)>, SnapshotError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).map_err(at(root))? {
        let entry = entry.map_err(at(root))?;
        let name = entry.file_name().into_string().unwrap_or_default();
        // Only folders that this module made: others are neither counted nor ever deleted.
        let digits = name.rsplit_once('-').map(|(_, digits)| digits).filter(|digits| digits.len() == 8);
        let number = digits.and_then(|digits| digits.parse::<u32>().ok()).map(u64::from);
        if let Some(number) = number.filter(|_| entry.path().is_dir()) {
            found.push((number, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// The folder, locked against other publishers. Closing the file releases the lock, also when the process dies.
pub(super) struct Folder<'a> {
    root: &'a Path,
    _lock: File,
}

impl<'a> Folder<'a> {
    /// Creates the folder if it is missing, waits for its lock and removes leftovers of interrupted publishers.
    pub(super) fn lock(root: &'a Path) -> Result<Self, SnapshotError> {
        fs::create_dir_all(root).map_err(at(root))?;
        let lock = File::create(root.join(LOCK)).map_err(at(root))?;
        lock.lock().map_err(at(root))?;
        for entry in fs::read_dir(root).map_err(at(root))? {
            let entry = entry.map_err(at(root))?;
            if entry.file_name().to_string_lossy().starts_with(STAGING) {
                fs::remove_dir_all(entry.path()).map_err(at(&entry.path()))?;
            }
        }
        Ok(Self { root, _lock: lock })
    }

    pub(super) fn staging(&self) -> Result<TempDir, SnapshotError> {
        tempfile::Builder::new().prefix(STAGING).tempdir_in(self.root).map_err(at(self.root))
    }

    pub(super) fn next_number(&self) -> Result<u64, SnapshotError> {
        Ok(numbered(self.root)?.last().map_or(0, |(number, _)| *number) + 1)
    }

    pub(super) fn take_in(&self, staging: &TempDir, name: &str) -> Result<(), SnapshotError> {
        let folder = self.root.join(name);
        fs::rename(staging.path(), &folder).map_err(at(&folder))?;
        sync_folder(self.root)
    }

    pub(super) fn point_to(&self, name: &str) -> Result<(), SnapshotError> {
        let (_, header) = read(self.root, name, &|| format!("{name:?}"))?;
        let sum = Sha256::of(&header);
        let mut current = tempfile::NamedTempFile::new_in(self.root).map_err(at(self.root))?;
        current.write_all(format!("{name} {sum}\n").as_bytes()).map_err(at(self.root))?;
        current.as_file().sync_all().map_err(at(self.root))?;
        current.persist(self.root.join(CURRENT)).map_err(|error| at(self.root)(error.error))?;
        sync_folder(self.root)
    }

    pub(super) fn discard_old(&self, current: &str, keep: usize) -> Result<(), SnapshotError> {
        let all = folders(self.root)?;
        let surplus = all.len().saturating_sub(keep.max(1));
        let current = self.root.join(current);
        for (_, path) in all.iter().take(surplus).filter(|(_, path)| *path != current) {
            fs::remove_dir_all(path).map_err(at(path))?;
        }
        Ok(())
    }
}
