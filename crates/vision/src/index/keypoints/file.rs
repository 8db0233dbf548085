//! A keypoint index on disk: one file, complete or absent. docs/FORMATS.md describes every field.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::{Keys, Posting, State};
use crate::align::VisualWord;
use crate::index::SnapshotError;

const FORMAT: u32 = 1;
/// Greatest length of a header, in bytes.
const LONGEST_HEADER: u64 = 4096;

/// The sources of a keypoint index. A file with other sources is rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeypointOrigin {
    /// Identity of the gallery's database.
    pub gallery: String,
    /// Identity of the vocabulary.
    pub vocabulary: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: u32,
    #[serde(flatten)]
    origin: KeypointOrigin,
    /// Revision of the gallery that it was built from.
    revision: u64,
    words: u64,
    pictures: u64,
    /// Number of words with postings.
    lists: u64,
    postings: u64,
}

/// A reader or writer that computes a checksum.
struct Summed<W> {
    inner: W,
    sum: Sha256,
}

impl<W: Write> Summed<W> {
    fn put(&mut self, numbers: impl Iterator<Item = u64>) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(1 << 13);
        for number in numbers {
            buffer.extend_from_slice(&number.to_le_bytes());
            if buffer.len() == buffer.capacity() {
                self.all(&buffer)?;
                buffer.clear();
            }
        }
        self.all(&buffer)
    }

    fn all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.inner.write_all(bytes)
    }
}

impl<R: Read> Summed<R> {
    fn exactly(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.read_exact(bytes)?;
        self.sum.update(bytes);
        Ok(())
    }

    fn number(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.exactly(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn numbers(&mut self, count: u64) -> io::Result<Vec<u64>> {
        // A damaged count must not reserve all memory.
        let mut numbers = Vec::with_capacity(usize::try_from(count.min(1 << 16)).unwrap_or_default());
        let mut bytes = [0; 8];
        for _ in 0..count {
            self.exactly(&mut bytes)?;
            numbers.push(u64::from_le_bytes(bytes));
        }
        numbers.shrink_to_fit();
        Ok(numbers)
    }
}

/// Writes a file beside `path`, syncs it and renames it into place. Pictures without keys are left out.
pub(super) fn write(state: &State, path: &Path, origin: &KeypointOrigin, revision: u64) -> Result<(), SnapshotError> {
    let at = |source| SnapshotError::Io { file: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(at)?;
    let file = NamedTempFile::new_in(folder).map_err(at)?;
    let mut pictures = 0;
    let moved: Vec<Option<u32>> = state
        .slots
        .iter()
        .map(|keys| {
            let served = *keys != Keys::None;
            pictures += u32::from(served);
            served.then(|| pictures - 1)
        })
        .collect();
    let left = |list: &[Posting]| -> Vec<u64> {
        let left = list.iter().filter_map(|posting| {
            let slot = moved[posting.slot() as usize]?;
            Some(Posting::new(slot, posting.payload()).0)
        });
        left.collect()
    };
    let (mut lists, mut postings) = (0, 0);
    for list in &state.words {
        let left = list.iter().filter(|posting| moved[posting.slot() as usize].is_some()).count() as u64;
        lists += u64::from(left > 0);
        postings += left;
    }
    let header = Header {
        format: FORMAT,
        origin: origin.clone(),
        revision,
        words: state.words.len() as u64,
        pictures: u64::from(pictures),
        lists,
        postings,
    };
    let header = serde_json::to_string(&header).map_err(|error| at(error.into()))?;
    let mut into = Summed { inner: BufWriter::with_capacity(1 << 20, file), sum: Sha256::new() };
    let written = || -> io::Result<NamedTempFile> {
        into.all(header.as_bytes())?;
        into.all(b"\n")?;
        for keys in state.slots.iter().filter(|keys| **keys != Keys::None) {
            let keys = keys.as_slice();
            into.put(std::iter::once(keys.len() as u64).chain(keys.iter().copied()))?;
        }
        for (word, list) in state.words.iter().enumerate() {
            let list = left(list);
            if !list.is_empty() {
                into.put([word as u64, list.len() as u64].into_iter().chain(list))?;
            }
        }
        let sum = into.sum.finalize();
        into.inner.write_all(&sum)?;
        let file = into.inner.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    let file = written().map_err(at)?;
    file.persist(path).map_err(|error| at(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at)
}

/// Reads a file, with the revision that it was built from.
pub(super) fn read(path: &Path, origin: &KeypointOrigin, words: usize) -> Result<(State, u64), SnapshotError> {
    let at = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => SnapshotError::None(path.to_owned()),
        _ => SnapshotError::Io { file: path.to_owned(), source },
    };
    let mismatch = |what, got: &dyn ToString, expected: &dyn ToString| SnapshotError::Mismatch {
        file: path.to_owned(),
        what,
        got: got.to_string(),
        expected: expected.to_string(),
    };
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path).map_err(at)?);
    let mut line = Vec::new();
    (&mut reader).take(LONGEST_HEADER).read_until(b'\n', &mut line).map_err(at)?;
    let header: Header =
        serde_json::from_slice(&line).map_err(|error| mismatch("header", &error, &"one line of JSON"))?;
    if header.format != FORMAT {
        return Err(mismatch("format", &header.format, &FORMAT));
    }
    if header.origin != *origin {
        let said =
            |origin: &KeypointOrigin| format!("of gallery {} and vocabulary {}", origin.gallery, origin.vocabulary);
        return Err(mismatch("index", &said(&header.origin), &said(origin)));
    }
    if header.words != words as u64 {
        return Err(mismatch("words", &header.words, &words));
    }
    let mut from = Summed { inner: reader, sum: Sha256::new() };
    from.sum.update(&line);
    let mut state = State::new(words);
    let pictures = u32::try_from(header.pictures).map_err(|_| mismatch("pictures", &header.pictures, &"fewer"))?;
    for slot in 0..pictures {
        let count = from.number().map_err(at)?;
        let keys = from.numbers(count).map_err(at)?;
        for &key in &keys {
            state.slot_of_key.insert(key, slot);
        }
        state.slots.push(match *keys {
            [] => Keys::None,
            [one] => Keys::One(one),
            _ => Keys::Many(keys),
        });
    }
    for _ in 0..header.lists {
        let (word, count) = (from.number().map_err(at)?, from.number().map_err(at)?);
        let list: Vec<Posting> = from.numbers(count).map_err(at)?.into_iter().map(Posting).collect();
        state.postings += list.len();
        let place = usize::try_from(word).ok().and_then(|word| state.words.get_mut(word));
        *place.ok_or_else(|| mismatch("word", &word, &format!("below {words}")))? = list;
    }
    let expected = crate::photo::Sha256(from.sum.finalize().into());
    let mut got = crate::photo::Sha256([0; 32]);
    from.inner.read_exact(&mut got.0).map_err(at)?;
    if got != expected {
        return Err(mismatch("SHA-256", &got, &expected));
    }
    if from.inner.read(&mut [0]).map_err(at)? != 0 {
        return Err(mismatch("size", &"more", &"the end after the SHA-256"));
    }
    let slots = state.slots.len() as u64;
    let beyond = state.words.iter().flatten().find(|posting| u64::from(posting.slot()) >= slots);
    if let Some(posting) = beyond {
        return Err(mismatch("picture", &posting.slot(), &format!("below {slots}")));
    }
    if state.postings as u64 != header.postings || slots >> (u64::BITS - VisualWord::PAYLOAD_BITS) != 0 {
        return Err(mismatch("postings", &state.postings, &header.postings));
    }
    Ok((state, header.revision))
}
