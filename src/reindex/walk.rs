use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::ReindexError;
use crate::gallery::Polarity;

/// One file to take in.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) polarity: Polarity,
    /// The folders between the root and the file name the product: `<root>/<product>/photo.jpg`.
    pub(super) product: Option<String>,
}

/// Every file under `roots`, in the order of their names. Hidden files are passed over: they are
/// what operating systems leave behind.
pub(super) fn files(roots: &[PathBuf], polarity: Polarity) -> Result<Vec<Source>, ReindexError> {
    let mut found = Vec::new();
    for root in roots {
        let hidden = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with('.');
        let entries = WalkDir::new(root)
            .follow_links(true)
            .sort_by_file_name()
            .into_iter()
            .filter_entry(|entry| entry.depth() == 0 || !hidden(entry.file_name()));
        for entry in entries {
            let entry = entry.map_err(|error| ReindexError::Source {
                path: error.path().unwrap_or(root).to_owned(),
                reason: error.to_string(),
            })?;
            if entry.file_type().is_file() {
                found.push(Source { product: product(root, entry.path()), path: entry.into_path(), polarity });
            }
        }
    }
    Ok(found)
}

fn product(root: &Path, file: &Path) -> Option<String> {
    let between = file.strip_prefix(root).ok()?.parent()?;
    let parts: Vec<_> = between.iter().map(|part| part.to_string_lossy()).collect();
    (!parts.is_empty()).then(|| parts.join("/"))
}
