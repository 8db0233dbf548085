use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{LookbackError, MOST_CANDIDATES, PossibleCopy};
use crate::domain::{Kind, Reference};
use crate::embed::{Embedding, RoundedEmbedding};
use crate::enrolment::features;
use crate::gallery::MemorySegment;
use crate::index::KeypointIndex;
use crate::memory::Remembered;
use crate::photo::{Doubt, Sha256};
use crate::scoring::Scoring;
use crate::screening::{Recalled, Screener, Trace};

/// A remembered photo is considered from this similarity on ...
const SIMILAR: f32 = 0.3;
/// ... or from this many votes of its keypoints on.
const VOTED: f32 = 3.0;

/// References, prepared for a walk through the memory.
pub(super) struct Query {
    references: Vec<Reference>,
    /// The gallery's revision at which each last changed.
    revisions: HashMap<u64, u64>,
    /// For each, the number of photos of the current segment that may be copies.
    counts: Vec<AtomicUsize>,
    /// The references' embeddings by the model of the current segment.
    embeddings: Vec<Option<RoundedEmbedding>>,
    /// That model.
    model: String,
    /// Its artefact; `None` if this touchstone no longer has the model, so that its similarities cannot be judged.
    scoring: Option<Arc<Scoring>>,
    /// The references' keypoints: each under all words that a photo's keypoint would be looked up by.
    words: KeypointIndex,
}

impl Query {
    pub(super) fn new(screener: &Screener, keys: &[u64]) -> Result<Self, LookbackError> {
        let found = screener.gallery.by_keys(keys.iter().copied())?;
        let references: Vec<Reference> =
            keys.iter().filter_map(|key| found.get(key)).filter(|one| one.kind() == Kind::Photo).cloned().collect();
        let words = KeypointIndex::new(screener.vocabulary.len());
        for reference in references.iter().filter(|reference| is_searched(reference)) {
            if let Some(known) = features(&screener.gallery, &screener.decoder, reference.photo.sha256) {
                words.insert(reference.key, &screener.vocabulary.probes_of(&known).concat());
            }
        }
        let revisions = screener.gallery.reference_revisions(keys)?;
        let counts = references.iter().map(|_| AtomicUsize::new(0)).collect();
        Ok(Self { references, revisions, counts, embeddings: Vec::new(), model: String::new(), scoring: None, words })
    }

    /// Reads the references' embeddings by the model that embedded a segment's photos.
    pub(super) fn prepare(&mut self, screener: &Screener, segment: &MemorySegment) -> Result<(), LookbackError> {
        self.counts.iter().for_each(|count| count.store(0, Ordering::Release));
        if self.model == segment.model {
            return Ok(());
        }
        self.scoring = screener.scorings.of(&segment.model);
        let known = self.scoring.is_some();
        let rounded = |reference: &Reference| -> Result<Option<RoundedEmbedding>, LookbackError> {
            let bytes = screener.gallery.vector(reference.photo.sha256, &segment.model)?;
            let embedding = bytes.and_then(|bytes| Embedding::from_bytes(&bytes, bytes.len() / 4).ok());
            Ok(embedding.filter(|_| known && is_searched(reference)).map(|embedding| RoundedEmbedding::of(&embedding)))
        };
        self.embeddings = self.references.iter().map(rounded).collect::<Result<_, _>>()?;
        self.model.clone_from(&segment.model);
        Ok(())
    }

    /// The references that a photo may show; `None` if there are none.
    pub(super) fn possible_copy(&self, screener: &Screener, photo: &Remembered<'_>) -> Option<PossibleCopy> {
        let embedding = photo.embedding();
        let words = screener.vocabulary.from_bytes(photo.words).unwrap_or_default();
        let probes: Vec<_> = words.iter().map(|word| vec![*word]).collect();
        let votes = if probes.is_empty() { Vec::new() } else { self.words.search(&probes, VOTED, usize::MAX, None) };
        let votes_for = |key| votes.iter().find(|vote| vote.keys.contains(&key)).map_or(0.0, |vote| vote.votes);
        let sha256 = Sha256(photo.sha256);
        let mut recalled: Vec<(Recalled, &AtomicUsize)> = self
            .references
            .iter()
            .zip(&self.embeddings)
            .zip(&self.counts)
            .filter_map(|((reference, own), count)| {
                let similarity = own.as_ref().map_or(0.0, |own| own.similarity(&embedding));
                let votes = votes_for(reference.key);
                let same_file = reference.photo.sha256 == sha256;
                let considered = same_file || similarity >= SIMILAR || votes > 0.0;
                let revision = self.revisions.get(&reference.key).copied().unwrap_or(u64::MAX);
                let recalled = Recalled { key: reference.key, similarity, level: 0.0, votes, same_file, revision };
                considered.then_some((recalled, count))
            })
            .collect();
        if recalled.is_empty() {
            return None;
        }
        let trace = Trace { embedding: embedding.restored().ok()?, words };
        let level = self.scoring.as_ref().map_or(0.0, |scoring| scoring.level(&trace.embedding));
        for (one, _) in recalled.iter_mut().filter(|(one, _)| one.similarity != 0.0) {
            one.level = level;
        }
        let recalled = recalled.into_iter().filter(|(one, count)| {
            screener.is_worth_recalling(sha256, one) && count.fetch_add(1, Ordering::AcqRel) < MOST_CANDIDATES
        });
        let recalled: Vec<Recalled> = recalled.map(|(one, _)| one).collect();
        (!recalled.is_empty()).then(|| PossibleCopy {
            check_id: photo.check_id.to_owned(),
            photo: photo.photo,
            trace,
            recalled,
        })
    }

    /// Ids of references that may be in too many photos of the current segment.
    pub(super) fn overflowing(&self) -> impl Iterator<Item = &str> {
        let counted = self.references.iter().zip(&self.counts);
        let over = counted.filter(|(_, count)| count.load(Ordering::Acquire) > MOST_CANDIDATES);
        over.map(|(reference, _)| reference.id.as_str())
    }
}

/// Whether more than the reference's own file counts.
fn is_searched(reference: &Reference) -> bool {
    !Doubt::leave_identity_only(&reference.photo.doubts)
}
