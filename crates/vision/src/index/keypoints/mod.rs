//! An inverted file over visual words: which references share keypoints with a photo, turned and scaled alike? Works
//! with keys and words, not with photos. Votes by signature, direction and scale: Jegou, Douze and Schmid, "Hamming
//! Embedding and Weak Geometric Consistency", ECCV 2008. A "picture" here is the set of words of one or more
//! references.

mod file;
mod votes;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use parking_lot::RwLock;
use serde::Serialize;

use super::SnapshotError;
use crate::align::{Payload, VisualWord};

pub use file::KeypointOrigin;
pub use votes::Vote;

/// Bits of a posting above its payload: the picture's slot.
const SLOT_BITS: u32 = u64::BITS - VisualWord::PAYLOAD_BITS;

/// A keypoint of a picture, in the list of its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Posting(u64);

impl Posting {
    fn new(slot: u32, payload: Payload) -> Self {
        Self(u64::from(slot) << VisualWord::PAYLOAD_BITS | payload.0)
    }

    #[inline]
    fn slot(self) -> u32 {
        (self.0 >> VisualWord::PAYLOAD_BITS) as u32
    }

    #[inline]
    fn payload(self) -> Payload {
        Payload(self.0 & ((1 << VisualWord::PAYLOAD_BITS) - 1))
    }
}

/// Figures of a [`KeypointIndex`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeypointStats {
    /// Number of keys served.
    pub keys: usize,
    /// Number of distinct pictures.
    pub pictures: usize,
    /// Number of postings.
    pub postings: usize,
    /// Approximate bytes in memory.
    pub bytes: usize,
}

/// Result of letting pictures look themselves up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct KeypointProof {
    /// Number of pictures that looked themselves up.
    pub pictures: usize,
    /// Number of these that found themselves.
    pub found_themselves: usize,
}

impl KeypointProof {
    /// Whether every picture found itself.
    #[must_use]
    pub fn holds(self) -> bool {
        self.found_themselves == self.pictures
    }
}

/// Least number of keypoints of a picture that must find itself.
const ENOUGH_WORDS: usize = 16;
/// Least votes that a picture must give itself.
const OWN_VOTES: f32 = 2.0;

/// The index; many threads may search it while references are added and removed.
#[derive(Debug)]
pub struct KeypointIndex {
    state: RwLock<State>,
}

#[derive(Debug, Clone, Default)]
struct State {
    words: Vec<Vec<Posting>>,
    /// The keys of each picture. A picture without keys is no longer served.
    slots: Vec<Keys>,
    slot_of_key: HashMap<u64, u32>,
    /// Slots of pictures by a hash of their words.
    slot_of_words: HashMap<u64, u32>,
    postings: usize,
}

/// The keys of one picture: nearly always one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Keys {
    #[default]
    None,
    One(u64),
    Many(Vec<u64>),
}

impl Keys {
    fn as_slice(&self) -> &[u64] {
        match self {
            Self::None => &[],
            Self::One(key) => std::slice::from_ref(key),
            Self::Many(keys) => keys,
        }
    }

    fn push(&mut self, key: u64) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(key),
            Self::One(first) => Self::Many(vec![first, key]),
            Self::Many(mut keys) => {
                keys.push(key);
                Self::Many(keys)
            }
        };
    }

    fn remove(&mut self, key: u64) {
        let left: Vec<u64> = self.as_slice().iter().copied().filter(|&other| other != key).collect();
        *self = match *left {
            [] => Self::None,
            [one] => Self::One(one),
            _ => Self::Many(left),
        };
    }
}

impl KeypointIndex {
    /// An empty index for a vocabulary of `words` words.
    #[must_use]
    pub fn new(words: usize) -> Self {
        Self { state: RwLock::new(State::new(words)) }
    }

    /// Reads a file of [`KeypointIndex::save`], with the revision that it was built from.
    ///
    /// # Errors
    /// When the file is missing, damaged, or for another gallery or vocabulary.
    pub fn open(path: &Path, origin: &KeypointOrigin, words: usize) -> Result<(Self, u64), SnapshotError> {
        let (state, revision) = file::read(path, origin, words)?;
        Ok((Self { state: RwLock::new(state) }, revision))
    }

    /// Writes the current state, without pictures that are no longer served, as of the gallery's `revision`. After a
    /// crash, either the old or the new file is there, complete.
    ///
    /// # Errors
    /// When the file system returns an error.
    pub fn save(&self, path: &Path, origin: &KeypointOrigin, revision: u64) -> Result<(), SnapshotError> {
        file::write(&self.state.read(), path, origin, revision)
    }

    /// Serves `key` with these words from now on. A key that is already served keeps its first words.
    pub fn insert(&self, key: u64, words: &[VisualWord]) {
        self.state.write().insert(key, words);
    }

    /// Stops serving `key`.
    pub fn remove(&self, key: u64) {
        self.state.write().remove(key);
    }

    /// Number of keys served, and number of their keypoints.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let state = self.state.read();
        (state.slot_of_key.len(), state.postings)
    }

    /// Whether more than a quarter of the pictures are no longer served. Their keypoints take memory and time until the
    /// index is written and read again.
    #[must_use]
    pub fn is_sparse(&self) -> bool {
        let state = self.state.read();
        let unserved = state.slots.iter().filter(|keys| **keys == Keys::None).count();
        unserved * 4 > state.slots.len()
    }

    /// Replaces the contents by those of `other`.
    pub fn adopt(&self, other: Self) {
        *self.state.write() = other.state.into_inner();
    }

    /// Whether a key is served.
    #[must_use]
    pub fn contains(&self, key: u64) -> bool {
        self.state.read().slot_of_key.contains_key(&key)
    }

    /// The pictures with at least `least` votes from a photo's keypoints, most votes first, at most `most` of them.
    /// Only keys for which `admits` is true.
    #[must_use]
    pub fn search(
        &self,
        probes: &[Vec<VisualWord>],
        least: f32,
        most: usize,
        admits: Option<&dyn Fn(u64) -> bool>,
    ) -> Vec<Vote> {
        self.state.read().search(probes, least, most, admits)
    }

    /// Lets pictures look themselves up by their own words. Pictures with fewer than 16 keypoints, and keys that are
    /// not served, are skipped.
    #[must_use]
    pub fn prove(&self, pictures: &[(u64, Vec<VisualWord>)]) -> KeypointProof {
        let asked = pictures.iter().filter(|(key, words)| words.len() >= ENOUGH_WORDS && self.contains(*key));
        let mut proof = KeypointProof::default();
        for (key, words) in asked {
            let probes: Vec<Vec<VisualWord>> = words.iter().map(|word| vec![*word]).collect();
            let found = self.search(&probes, OWN_VOTES, usize::MAX, Some(&|other| other == *key));
            proof.pictures += 1;
            proof.found_themselves += usize::from(!found.is_empty());
        }
        proof
    }

    /// Current figures.
    #[must_use]
    pub fn stats(&self) -> KeypointStats {
        let state = self.state.read();
        let lists = state.words.len() * size_of::<Vec<Posting>>();
        let kept: usize = state.words.iter().map(|list| list.capacity() * size_of::<Posting>()).sum();
        let maps = (state.slot_of_key.capacity() + state.slot_of_words.capacity()) * 17;
        let slots = state.slots.capacity() * size_of::<Keys>();
        KeypointStats {
            keys: state.slot_of_key.len(),
            pictures: state.slots.iter().filter(|keys| !keys.as_slice().is_empty()).count(),
            postings: state.postings,
            bytes: lists + kept + maps + slots,
        }
    }
}

impl State {
    fn new(words: usize) -> Self {
        Self { words: vec![Vec::new(); words], ..Self::default() }
    }

    fn insert(&mut self, key: u64, words: &[VisualWord]) {
        if self.slot_of_key.contains_key(&key) || words.iter().any(|word| word.word() >= self.words.len()) {
            return;
        }
        let mut hasher = DefaultHasher::new();
        words.hash(&mut hasher);
        let hash = hasher.finish();
        let slot = match self.slot_of_words.get(&hash) {
            Some(&slot) => slot,
            None => {
                let Some(slot) = u32::try_from(self.slots.len()).ok().filter(|slot| slot >> SLOT_BITS == 0) else {
                    return;
                };
                self.slots.push(Keys::None);
                self.slot_of_words.insert(hash, slot);
                for word in words {
                    let list = &mut self.words[word.word()];
                    if list.len() == list.capacity() {
                        // Doubling would leave half of the memory unused.
                        list.reserve_exact(list.len() / 8 + 1);
                    }
                    list.push(Posting::new(slot, word.payload()));
                }
                self.postings += words.len();
                slot
            }
        };
        self.slots[slot as usize].push(key);
        self.slot_of_key.insert(key, slot);
    }

    fn remove(&mut self, key: u64) {
        if let Some(slot) = self.slot_of_key.remove(&key) {
            self.slots[slot as usize].remove(key);
        }
    }
}
