//! An inverted file over visual words: which pictures share keypoints with this one, turned and scaled alike? Knows keys and
//! words, no picture. Votes by signature, direction and scale: Jegou, Douze and Schmid, "Hamming Embedding and Weak Geometric
//! Consistency", ECCV 2008.

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

/// Bits of a posting above its payload: the picture.
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
    /// Keys served.
    pub keys: usize,
    /// Distinct pictures.
    pub pictures: usize,
    /// Postings.
    pub postings: usize,
    /// Bytes in memory, about.
    pub bytes: usize,
}

/// What a keypoint index has shown when pictures looked themselves up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct KeypointProof {
    /// Pictures that looked themselves up.
    pub pictures: usize,
    /// Those that were found.
    pub found_themselves: usize,
}

impl KeypointProof {
    /// Whether every picture found itself.
    #[must_use]
    pub fn holds(self) -> bool {
        self.found_themselves == self.pictures
    }
}

/// Pictures with fewer keypoints need not find themselves.
const ENOUGH_WORDS: usize = 16;
/// Votes that a picture must give itself.
const OWN_VOTES: f32 = 2.0;

/// Searched by many threads while references come and go.
#[derive(Debug)]
pub struct KeypointIndex {
    state: RwLock<State>,
}

#[derive(Debug, Clone, Default)]
struct State {
    words: Vec<Vec<Posting>>,
    /// The keys of each picture. One without keys is served no more.
    slots: Vec<Keys>,
    slot_of_key: HashMap<u64, u32>,
    /// Pictures by a hash of their words.
    slot_of_words: HashMap<u64, u32>,
    postings: usize,
}

/// Nearly every picture has one key.
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
    /// An empty one for so many words.
    #[must_use]
    pub fn new(words: usize) -> Self {
        Self { state: RwLock::new(State::new(words)) }
    }

    /// Reads what [`KeypointIndex::save`] wrote, and the revision that it was built from.
    ///
    /// # Errors
    /// When there is none, or it is damaged or of another origin.
    pub fn open(path: &Path, origin: &KeypointOrigin, words: usize) -> Result<(Self, u64), SnapshotError> {
        let (state, revision) = file::read(path, origin, words)?;
        Ok((Self { state: RwLock::new(state) }, revision))
    }

    /// Writes it as it is now, without pictures that are served no more, as of the gallery's `revision`. A crash leaves the
    /// file that was there, or the new one, whole.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn save(&self, path: &Path, origin: &KeypointOrigin, revision: u64) -> Result<(), SnapshotError> {
        file::write(&self.state.read(), path, origin, revision)
    }

    /// Serves `key` with these words from now on. A key keeps the words it came with first.
    pub fn insert(&self, key: u64, words: &[VisualWord]) {
        self.state.write().insert(key, words);
    }

    /// Serves `key` no more.
    pub fn remove(&self, key: u64) {
        self.state.write().remove(key);
    }

    /// How many keys are served, and how many keypoints they have.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let state = self.state.read();
        (state.slot_of_key.len(), state.postings)
    }

    /// Whether a quarter of the pictures are served no more. Their keypoints take memory and time until the index is written and
    /// read again.
    #[must_use]
    pub fn is_sparse(&self) -> bool {
        let state = self.state.read();
        let unserved = state.slots.iter().filter(|keys| **keys == Keys::None).count();
        unserved * 4 > state.slots.len()
    }

    /// Serves what `other` holds in place of its own.
    pub fn adopt(&self, other: Self) {
        *self.state.write() = other.state.into_inner();
    }

    /// Whether a key is served.
    #[must_use]
    pub fn contains(&self, key: u64) -> bool {
        self.state.read().slot_of_key.contains_key(&key)
    }

    /// The pictures that share at least `least` votes with a photo, those with most first, at most `most` of them. Only keys
    /// that `admits` lets through.
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

    /// Lets pictures look themselves up by their own words. Those with fewer than 16 keypoints, and keys that are not served,
    /// are passed over.
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
