use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};
use std::sync::Arc;

use sha2::{Digest, Sha256 as Hasher};
use tempfile::TempDir;

use super::{ABOUT, About, BackupError, Contents, DATABASE, FORMAT, SUMS, parent};
use crate::gallery::{Gallery, Vault};
use crate::memory::Memory;
use crate::photo::Sha256;

/// Verifies a backup and unpacks it into `data` and `index_dir`, which must be empty or missing; with `dry`, only
/// verifies it. Encrypted photos are verified with the vault.
///
/// # Errors
/// [`BackupError`]; then nothing is restored.
pub fn restore(
    from: &Path,
    data: &Path,
    index_dir: &Path,
    vault: Option<Vault>,
    dry: bool,
) -> Result<(About, Contents), BackupError> {
    // The target of a link, because a rename would replace the link.
    let real = |folder: &Path| fs::canonicalize(folder).or_else(|_| std::path::absolute(folder));
    let data = &real(data).map_err(BackupError::file(data))?;
    let index_dir = &real(index_dir).map_err(BackupError::file(index_dir))?;
    if data.starts_with(index_dir) || index_dir.starts_with(data) {
        return Err(BackupError::Nested(data.clone(), index_dir.clone()));
    }
    if !dry {
        for folder in [data, index_dir] {
            if !is_vacant(folder).map_err(BackupError::file(folder))? {
                return Err(BackupError::Occupied(folder.to_owned()));
            }
        }
    }
    // Parent folders that the restore creates are removed again if it fails.
    let new: Vec<&Path> = [data.parent(), index_dir.parent()].into_iter().flatten().filter(|it| !it.exists()).collect();
    let done = proven(from, data, index_dir, vault, dry);
    if dry || done.is_err() {
        for folder in new {
            let _ = fs::remove_dir(folder);
        }
    }
    done
}

fn proven(
    from: &Path,
    data: &Path,
    index_dir: &Path,
    vault: Option<Vault>,
    dry: bool,
) -> Result<(About, Contents), BackupError> {
    // Unpacked beside the target folders, so that only a rename remains.
    let (data_work, index_work) = (beside(data)?, beside(index_dir)?);
    let damaged = |reason: String| BackupError::Damaged { path: from.to_owned(), reason };
    let mut sums = unpack(from, data_work.path(), index_work.path())?;
    let Some(listed) = sums.remove(SUMS).and_then(|_| fs::read_to_string(data_work.path().join(SUMS)).ok()) else {
        return Err(damaged(format!("it ends before {SUMS}")));
    };
    compare(&listed, &sums).map_err(damaged)?;
    let about = about(data_work.path()).map_err(damaged)?;
    for name in [SUMS, ABOUT] {
        let path = data_work.path().join(name);
        fs::remove_file(&path).map_err(BackupError::file(&path))?;
    }
    let contents = prove(data_work.path(), vault, &sums, &about).map_err(|error| match error {
        Proof::Wrong(reason) => damaged(reason),
        Proof::Gallery(error) => BackupError::Gallery(error),
    })?;
    if !dry {
        // The database last: without it nothing is restored.
        put(index_work, index_dir)?;
        put(data_work, data)?;
    }
    Ok((about, contents))
}

fn is_vacant(folder: &Path) -> io::Result<bool> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

fn beside(folder: &Path) -> Result<TempDir, BackupError> {
    let parent = parent(folder);
    fs::create_dir_all(parent).map_err(BackupError::file(parent))?;
    let private = fs::Permissions::from_mode(0o700);
    tempfile::Builder::new()
        .prefix(".restoring-")
        .permissions(private)
        .tempdir_in(parent)
        .map_err(BackupError::file(parent))
}

fn put(work: TempDir, folder: &Path) -> Result<(), BackupError> {
    sync_all(work.path()).map_err(BackupError::file(folder))?;
    let work = work.keep();
    // On Linux a rename replaces an empty folder.
    fs::rename(&work, folder).map_err(BackupError::file(folder))?;
    let parent = parent(folder);
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(BackupError::file(parent))
}

#[cfg(target_os = "linux")]
fn sync_all(folder: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(folder)?)?)
}

#[cfg(not(target_os = "linux"))]
fn sync_all(folder: &Path) -> io::Result<()> {
    walkdir::WalkDir::new(folder).into_iter().try_for_each(|entry| File::open(entry?.path())?.sync_all())
}

/// Unpacks every file, and returns SHA-256 and length by name.
fn unpack(from: &Path, data: &Path, index: &Path) -> Result<BTreeMap<String, (Sha256, u64)>, BackupError> {
    let damaged = |reason: String| BackupError::Damaged { path: from.to_owned(), reason };
    let broken = |error: io::Error| damaged(error.to_string());
    let file = File::open(from).map_err(BackupError::file(from))?;
    let mut archive = tar::Archive::new(BufReader::with_capacity(1 << 20, file));
    let mut sums = BTreeMap::new();
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.into_owned();
        let name = path.to_string_lossy().into_owned();
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        if !plain || entry.header().entry_type() != tar::EntryType::Regular {
            return Err(damaged(format!("it contains {name:?}, which no backup contains")));
        }
        let to = match path.strip_prefix("index") {
            Ok(below) if (2..=3).contains(&below.components().count()) => index.join(below),
            Err(_) if is_known(&name) => data.join(&path),
            Ok(_) | Err(_) => return Err(damaged(format!("it contains {name:?}, which no backup contains"))),
        };
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(BackupError::file(folder))?;
        }
        let summed = write_summed(&mut entry, &to).map_err(|error| match error {
            Either::Read(error) => broken(error),
            Either::Write(error) => BackupError::file(&to)(error),
        })?;
        if sums.insert(name.clone(), summed).is_some() {
            return Err(damaged(format!("it contains {name} twice")));
        }
    }
    Ok(sums)
}

fn is_known(name: &str) -> bool {
    let photo = |rest: &str| {
        rest.split_once('/')
            .is_some_and(|(folder, sum)| sum.parse::<Sha256>().is_ok() && sum.starts_with(folder) && folder.len() == 2)
    };
    let segment = |rest: &str| rest.strip_suffix(".segment").is_some_and(|id| id.parse::<u64>().is_ok());
    [ABOUT, DATABASE, SUMS].contains(&name)
        || name.strip_prefix("memory/").is_some_and(segment)
        || ["photos/", "uploads/"].iter().any(|kind| name.strip_prefix(kind).is_some_and(photo))
}

enum Either {
    Read(io::Error),
    Write(io::Error),
}

fn write_summed(from: &mut impl Read, to: &Path) -> Result<(Sha256, u64), Either> {
    let mut file = File::options().write(true).create_new(true).open(to).map_err(Either::Write)?;
    let (mut hasher, mut length, mut buffer) = (Hasher::new(), 0, vec![0; 1 << 16]);
    loop {
        let read = from.read(&mut buffer).map_err(Either::Read)?;
        if read == 0 {
            return Ok((Sha256(hasher.finalize().into()), length));
        }
        hasher.update(&buffer[..read]);
        length += read as u64;
        file.write_all(&buffer[..read]).map_err(Either::Write)?;
    }
}

/// Compares the unpacked files with the listed SHA-256 values.
fn compare(listed: &str, sums: &BTreeMap<String, (Sha256, u64)>) -> Result<(), String> {
    let mut left = sums.clone();
    for line in listed.lines() {
        let (sum, name) = line.split_once("  ").ok_or_else(|| format!("{SUMS} has a line {line:?}"))?;
        let (got, _) = left.remove(name).ok_or_else(|| format!("{name} is missing"))?;
        if got.to_string() != sum {
            return Err(format!("{name} has SHA-256 {got}, expected {sum}"));
        }
    }
    match left.keys().next() {
        Some(name) => Err(format!("{name} is not listed in {SUMS}")),
        None => Ok(()),
    }
}

fn about(data: &Path) -> Result<About, String> {
    let text = fs::read(data.join(ABOUT)).map_err(|_| format!("{ABOUT} is missing"))?;
    let about: About = serde_json::from_slice(&text).map_err(|error| format!("{ABOUT}: {error}"))?;
    if about.format == FORMAT { Ok(about) } else { Err(format!("its format is {}, expected {FORMAT}", about.format)) }
}

enum Proof {
    Wrong(String),
    Gallery(crate::gallery::GalleryError),
}

impl From<crate::gallery::GalleryError> for Proof {
    fn from(error: crate::gallery::GalleryError) -> Self {
        Self::Gallery(error)
    }
}

/// Opens the unpacked database and verifies it, its photos and its audit log.
fn prove(
    data: &Path,
    vault: Option<Vault>,
    sums: &BTreeMap<String, (Sha256, u64)>,
    about: &About,
) -> Result<Contents, Proof> {
    let counted = |prefix: &str| sums.keys().filter(|name| name.starts_with(prefix)).count() as u64;
    let mut contents = Contents {
        photos: counted("photos/"),
        uploads: counted("uploads/"),
        generations: sums.keys().filter(|name| name.ends_with("/CURRENT")).count() as u64,
        audit_entries: 0,
        bytes: sums.values().map(|(_, length)| length).sum(),
    };
    if !data.join(DATABASE).exists() {
        return Err(Proof::Wrong(format!("{DATABASE} is missing")));
    }
    let gallery = Gallery::open_sealed(data, vault)?;
    if gallery.id() != about.gallery {
        let got = gallery.id();
        return Err(Proof::Wrong(format!("{DATABASE} has the id {got}, but {ABOUT} has {}", about.gallery)));
    }
    if let Some(fault) = gallery.schema_fault()? {
        return Err(Proof::Wrong(format!("{DATABASE} does not have this version's schema: {fault}")));
    }
    if let Some(fault) = gallery.fault()? {
        return Err(Proof::Wrong(format!("the database is damaged: {fault}")));
    }
    if let Some(lost) = gallery.lost_photo()? {
        return Err(Proof::Wrong(lost));
    }
    let gallery = Arc::new(gallery);
    Memory::of(&gallery).verify().map_err(|error| Proof::Wrong(error.to_string()))?;
    let audit = gallery.verify_audit()?;
    if let Some(seq) = audit.wrong {
        return Err(Proof::Wrong(format!("event {seq} of the audit log is wrong")));
    }
    contents.audit_entries = audit.entries;
    Ok(contents)
}
