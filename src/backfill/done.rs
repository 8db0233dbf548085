//! The answers file: one JSON object per line, including those of earlier runs.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;

use parking_lot::Mutex;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Answer, BackfillError};

/// Listings that are already answered.
#[derive(Debug, Default)]
pub struct Done {
    rows: HashSet<u64>,
    file: Option<(String, Mutex<File>)>,
}

/// The fields of an answer that a later run reads.
#[derive(Deserialize)]
struct Line {
    row: String,
    check: Option<IgnoredAny>,
}

impl Done {
    /// Opens an answers file for appending. A last line that a stop cut off is dropped; listings without an answer are
    /// tried again.
    ///
    /// # Errors
    /// When the file cannot be read or written, or another run writes to it.
    pub fn open(path: &Path) -> Result<Self, BackfillError> {
        let name = path.display().to_string();
        let failed = |source: io::Error| BackfillError::Out { path: name.clone(), source };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BackfillError::Busy(name)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let (mut rows, mut whole) = (HashSet::new(), 0);
        let mut lines = BufReader::with_capacity(1 << 20, &file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = lines.read_until(b'\n', &mut line).map_err(failed)?;
            if length == 0 || line.last() != Some(&b'\n') {
                break;
            }
            whole += length as u64;
            let read: Line = serde_json::from_slice(&line).map_err(|error| {
                let detail = format!("it is not an answers file: {error}; name another file");
                failed(io::Error::new(io::ErrorKind::InvalidData, detail))
            })?;
            if read.check.is_some() {
                rows.extend(number(&read.row));
            }
        }
        file.set_len(whole).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Self { rows, file: Some((name, Mutex::new(file))) })
    }

    /// Whether a listing is already answered.
    pub(super) fn has(&self, row: &str) -> bool {
        number(row).is_some_and(|number| self.rows.contains(&number))
    }

    /// Appends an answer, if there is a file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(&self, answer: &Answer) -> Result<(), BackfillError> {
        let Some((name, file)) = &self.file else { return Ok(()) };
        let failed = |source: io::Error| BackfillError::Out { path: name.clone(), source };
        let mut line = serde_json::to_vec(answer).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        file.lock().write_all(&line).map_err(failed)
    }
}

fn number(row: &str) -> Option<u64> {
    u64::from_str_radix(row, 16).ok()
}
