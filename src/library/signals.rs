use std::collections::HashMap;

use parking_lot::{Mutex, RwLock};

use crate::align::{VisualWord, Vocabulary};
use crate::domain::{BrandId, Polarity};
use crate::embed::Embedding;
use crate::gallery::{Gallery, GalleryError, SignalRow, differing_bits};
use crate::index::{ExactIndex, KeypointIndex, VectorIndex, VectorSet};
use crate::photo::Pdq;

/// Nearest signals that a search by embedding returns.
const NEAREST: usize = 16;
/// Least votes of keypoints that make a signal a candidate.
const LEAST_VOTES: f32 = 3.0;
/// Most signals that keypoints find.
const MOST_VOTED: usize = 64;
/// Fingerprints of the same photo differ in at most this many of 256 bits.
const NEAR_FINGERPRINT: u32 = 32;
/// Hashes of flatter photos are not compared.
const LEAST_QUALITY: u8 = Pdq::LEAST_QUALITY;

/// Rows of former signals that may stay in memory.
const SPARE_ROWS: usize = 1_000;

/// A perceptual hash of 256 bits, and its quality.
pub type HashOfPhoto = ([u8; 32], u8);

/// A signal that may be about a photo.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalFound {
    /// The signal's key.
    pub key: u64,
    /// The brand.
    pub brand: BrandId,
    /// Authentic or fake.
    pub polarity: Polarity,
    /// Cosine similarity; `None` if the signal is of another model.
    pub similarity: Option<f32>,
    /// Votes of keypoints.
    pub votes: f32,
    /// Differing bits of the fingerprints, if they are near enough to count.
    pub fingerprint_bits: Option<u32>,
    /// Differing bits of the PDQ hashes, if they are near enough to count.
    pub pdq_bits: Option<u32>,
}

/// The signals of other members in memory, kept in step with the database.
pub(super) struct Signals {
    state: RwLock<State>,
    words: KeypointIndex,
    /// The gallery's revision that has been applied.
    applied: Mutex<u64>,
    model: String,
    vocabulary: String,
}

struct State {
    entries: HashMap<u64, Entry>,
    vectors: VectorSet,
    /// Number of entries that are compared by their fingerprint, and by their PDQ hash.
    by_hash: [usize; 2],
    /// The key of each row of `vectors`; a key that is no longer in `entries` is not found.
    rows: Vec<u64>,
}

struct Entry {
    brand: BrandId,
    polarity: Polarity,
    row: Option<u32>,
    fingerprint: Option<HashOfPhoto>,
    pdq: Option<HashOfPhoto>,
}

impl Entry {
    /// Whether the entry is compared by its hashes: it has no embedding by this model.
    fn by(&self, hash: Option<HashOfPhoto>) -> Option<[u8; 32]> {
        hash.filter(|(_, quality)| self.row.is_none() && *quality >= LEAST_QUALITY).map(|(hash, _)| hash)
    }
}

impl Signals {
    pub(super) fn new(model: &str, dimension: usize, vocabulary: &Vocabulary) -> Self {
        let state =
            State { entries: HashMap::new(), vectors: VectorSet::new(dimension), by_hash: [0; 2], rows: Vec::new() };
        Self {
            state: RwLock::new(state),
            words: KeypointIndex::new(vocabulary.len()),
            applied: Mutex::new(0),
            model: model.to_owned(),
            vocabulary: vocabulary.id().to_owned(),
        }
    }

    /// Applies what changed in the database up to its revision `newest`.
    pub(super) fn follow(&self, gallery: &Gallery, vocabulary: &Vocabulary, newest: u64) -> Result<(), GalleryError> {
        let mut applied = self.applied.lock();
        if *applied == newest {
            return Ok(());
        }
        let mut changed = Vec::new();
        gallery.visit_signals(*applied, |row| changed.push(row))?;
        for row in changed {
            self.apply(row, vocabulary);
        }
        *applied = newest;
        Ok(())
    }

    fn apply(&self, row: SignalRow, vocabulary: &Vocabulary) {
        let mut state = self.state.write();
        state.compact();
        let old = state.entries.remove(&row.key);
        if let Some(old) = old {
            state.count(&old, |count, one| *count -= one);
        }
        self.words.remove(row.key);
        let Some(signal) = row.signal else { return };
        let embedding = signal.embedding.as_ref().filter(|one| one.model == self.model);
        let embedding = embedding.and_then(|one| one.embedding().restored().ok());
        let place = embedding.and_then(|embedding| state.vectors.push(&embedding));
        if place.is_some() {
            state.rows.push(row.key);
        }
        if let Some(keypoints) = signal.keypoints.as_ref().filter(|one| one.vocabulary == self.vocabulary)
            && let Some(words) = vocabulary.from_bytes(&keypoints.words)
        {
            self.words.insert(row.key, &words);
        }
        let [fingerprint, pdq] =
            [signal.fingerprint, signal.pdq].map(|hash| hash.map(|hash| (hash.hash.0, hash.quality)));
        let (brand, polarity) = (signal.brand, signal.polarity);
        let entry = Entry { brand, polarity, row: place, fingerprint, pdq };
        state.count(&entry, |count, one| *count += one);
        state.entries.insert(row.key, entry);
    }

    pub(super) fn len(&self) -> usize {
        self.state.read().entries.len()
    }

    /// The signals that a photo may be about, in no order. `fingerprint` and `pdq` hash the photo; each is called only if
    /// some signals are compared by it.
    pub(super) fn search(
        &self,
        embedding: &Embedding,
        probes: &[Vec<VisualWord>],
        fingerprint: impl FnOnce() -> HashOfPhoto,
        pdq: impl FnOnce() -> HashOfPhoto,
    ) -> Vec<SignalFound> {
        let state = self.state.read();
        if state.entries.is_empty() {
            return Vec::new();
        }
        let is_served = |row: u32| {
            let key = state.rows[row as usize];
            state.entries.get(&key).is_some_and(|entry| entry.row == Some(row))
        };
        let near = ExactIndex.nearest(&state.vectors, embedding, NEAREST, &is_served);
        let mut found: HashMap<u64, SignalFound> = HashMap::new();
        for hit in near {
            let key = state.rows[hit.row as usize];
            found.extend(state.found(key).map(|one| (key, SignalFound { similarity: Some(hit.similarity), ..one })));
        }
        for vote in self.words.search(probes, LEAST_VOTES, MOST_VOTED, None) {
            for &key in &vote.keys {
                let known = found.remove(&key).or_else(|| state.with_similarity(key, embedding));
                found.extend(known.map(|one| (key, SignalFound { votes: vote.votes, ..one })));
            }
        }
        let [by_fingerprint, by_pdq] = state.by_hash;
        if by_fingerprint > 0 {
            for (key, bits) in state.near(fingerprint(), NEAR_FINGERPRINT, |entry| entry.fingerprint) {
                let known = found.remove(&key).or_else(|| state.found(key));
                found.extend(known.map(|one| (key, SignalFound { fingerprint_bits: Some(bits), ..one })));
            }
        }
        if by_pdq > 0 {
            for (key, bits) in state.near(pdq(), Pdq::NEAR_BITS, |entry| entry.pdq) {
                let known = found.remove(&key).or_else(|| state.found(key));
                found.extend(known.map(|one| (key, SignalFound { pdq_bits: Some(bits), ..one })));
            }
        }
        found.into_values().collect()
    }
}

impl State {
    /// Frees the rows of signals that changed or were withdrawn, once they are more than the others.
    fn compact(&mut self) {
        if self.rows.len() < 2 * self.entries.len() + SPARE_ROWS {
            return;
        }
        let mut vectors = VectorSet::new(self.vectors.dimension());
        let mut rows = Vec::with_capacity(self.entries.len());
        for (&key, entry) in &mut self.entries {
            let embedding = entry.row.and_then(|row| Embedding::normalize(self.vectors.floats(row).into_owned()).ok());
            entry.row = embedding.and_then(|embedding| vectors.push(&embedding));
            rows.extend(entry.row.map(|_| key));
        }
        (self.vectors, self.rows) = (vectors, rows);
    }

    /// Changes the numbers of entries that are compared by each hash.
    fn count(&mut self, entry: &Entry, change: impl Fn(&mut usize, usize)) {
        for (count, hash) in self.by_hash.iter_mut().zip([entry.fingerprint, entry.pdq]) {
            change(count, usize::from(entry.by(hash).is_some()));
        }
    }

    /// The entries whose hash differs from the photo's in at most `most` bits, with the number of bits.
    fn near(
        &self,
        (hash, quality): HashOfPhoto,
        most: u32,
        of: impl Fn(&Entry) -> Option<HashOfPhoto>,
    ) -> Vec<(u64, u32)> {
        if quality < LEAST_QUALITY {
            return Vec::new();
        }
        let near = self.entries.iter().filter_map(|(&key, entry)| {
            let bits = differing_bits(&entry.by(of(entry))?, &hash);
            (bits <= most).then_some((key, bits))
        });
        near.collect()
    }

    fn found(&self, key: u64) -> Option<SignalFound> {
        let entry = self.entries.get(&key)?;
        let (brand, polarity) = (entry.brand.clone(), entry.polarity);
        let (fingerprint_bits, pdq_bits) = (None, None);
        Some(SignalFound { key, brand, polarity, similarity: None, votes: 0.0, fingerprint_bits, pdq_bits })
    }

    fn with_similarity(&self, key: u64, query: &Embedding) -> Option<SignalFound> {
        let row = self.entries.get(&key)?.row;
        let own = row.and_then(|row| Embedding::normalize(self.vectors.floats(row).into_owned()).ok());
        let similarity = own.map(|own| own.similarity(query));
        Some(SignalFound { similarity, ..self.found(key)? })
    }
}
