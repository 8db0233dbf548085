use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use super::{Spot, Stores, is_hidden};
use crate::reindex::ReindexError;

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
    tell: &mut dyn FnMut(String, Bytes) -> bool,
) -> Result<(), ReindexError> {
    let failed = |error: std::io::Error| ReindexError::source(name, &error);
    let file = stores.reader(spot, name)?;
    let packed = !name.to_ascii_lowercase().ends_with(".tar");
    let file: Box<dyn Read + Send> = if packed { Box::new(MultiGzDecoder::new(file)) } else { file };
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path().map_err(failed)?.to_string_lossy().trim_start_matches("./").to_owned();
        if is_hidden(&path) {
            continue;
        }
        let mut bytes = Vec::new();
        entry.take(max_bytes as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        if !tell(path, bytes.into()) {
            return Ok(());
        }
    }
    Ok(())
}
