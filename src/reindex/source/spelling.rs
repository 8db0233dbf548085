//! The different spellings of a place: relative or absolute, path or `file://`, NFC or NFD.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use icu_normalizer::ComposingNormalizerBorrowed;
use parking_lot::Mutex;
use url::Url;

/// Text in Unicode's composed normal form, NFC.
fn composed(text: &str) -> Cow<'_, str> {
    ComposingNormalizerBorrowed::new_nfc().normalize(text)
}

/// The normalised spelling of a source: paths are absolute, without `.` and `..`. Does not read the disk.
pub(in crate::reindex) fn one_spelling(source: &str) -> String {
    let from_url = || Url::parse(source).ok().filter(|url| url.scheme() == "file")?.to_file_path().ok();
    let path = match from_url() {
        Some(path) => path,
        None if source.contains("://") => return composed(source).into_owned(),
        None => std::path::absolute(source).unwrap_or_else(|_| PathBuf::from(source)),
    };
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => _ = plain.pop(),
            other => plain.push(other),
        }
    }
    composed(&plain.to_string_lossy()).into_owned()
}

/// A source in its normalised spelling, and every folder above it.
pub(in crate::reindex) fn above(source: &str) -> impl Iterator<Item = &str> {
    let longer = |place: &&str| place.rfind('/').filter(|&at| at > 0);
    std::iter::successors(Some(source), move |place| longer(place).map(|at| &place[..at]))
}

/// Entries of folders whose names are not plain ASCII, by the names' NFC form. Only folders in which a name was missing
/// are read.
#[derive(Default)]
pub(super) struct Names(Mutex<HashMap<PathBuf, HashMap<String, Vec<String>>>>);

impl Names {
    /// The path as the disk spells it: unchanged if such a file exists, else the one file whose name is the same in
    /// NFC. If there is no such file either, the path stays unchanged.
    ///
    /// # Errors
    /// When several files have the same name in NFC, so that the path is ambiguous.
    pub(super) fn on_disk(&self, path: &Path) -> Result<PathBuf, String> {
        let missing = |path: &Path| {
            std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        };
        if !missing(path) {
            return Ok(path.to_owned());
        }
        let mut found = PathBuf::new();
        for part in path.components() {
            let exact = found.join(part);
            if !missing(&exact) {
                found = exact;
                continue;
            }
            let Some(name) = part.as_os_str().to_str() else { return Ok(path.to_owned()) };
            let mut same = self.same(&found, name);
            match (same.pop(), same.is_empty()) {
                (Some(one), true) => found.push(one),
                (Some(last), false) => {
                    let names: Vec<String> =
                        same.iter().chain([&last]).map(|name| name.escape_unicode().to_string()).collect();
                    return Err(format!(
                        "no file has exactly this name, and {} have the same name in Unicode NFC: {}; rename all but one, or write the name of the right one byte for byte",
                        names.len(),
                        names.join(", ")
                    ));
                }
                (None, _) => return Ok(path.to_owned()),
            }
        }
        Ok(found)
    }

    fn same(&self, folder: &Path, name: &str) -> Vec<String> {
        let mut folders = self.0.lock();
        let names = folders.entry(folder.to_owned()).or_insert_with(|| {
            let mut names: HashMap<String, Vec<String>> = HashMap::new();
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if let Some(name) = entry.file_name().to_str().filter(|name| !name.is_ascii()) {
                    names.entry(composed(name).into_owned()).or_default().push(name.to_owned());
                }
            }
            names
        });
        let mut same = names.get(&*composed(name)).cloned().unwrap_or_default();
        same.sort();
        same
    }
}
