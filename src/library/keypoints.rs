//! The keypoint index of a gallery, kept in step with the database. It is the same for every model.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::LibraryError;
use crate::align::{VisualWord, Vocabulary};
use crate::gallery::{Gallery, GalleryError};
use crate::index::{KeypointIndex, KeypointOrigin, KeypointProof, SnapshotError, Vote};

/// The file in the folder of generations.
const FILE: &str = "keypoints.bin";
/// References that look themselves up in a proof.
const PROVEN: u64 = 200;

/// The keypoint index, its file, and how far both have followed the gallery.
pub(super) struct Keypoints {
    gallery: Arc<Gallery>,
    vocabulary: Arc<Vocabulary>,
    index: KeypointIndex,
    file: PathBuf,
    origin: KeypointOrigin,
    /// The gallery's revision that the index has reached.
    revision: AtomicU64,
    /// Changes since the file was written.
    unsaved: AtomicUsize,
    /// Whether an active reference has no visual words yet.
    wordless: AtomicBool,
}

impl Keypoints {
    /// Reads the file, or starts with an empty index where the file is missing, damaged or ahead of the gallery.
    pub(super) fn open(index_dir: &Path, gallery: &Arc<Gallery>, vocabulary: Arc<Vocabulary>, newest: u64) -> Self {
        let (file, origin) = keypoint_file(index_dir, gallery, &vocabulary);
        let (index, revision) = match KeypointIndex::open(&file, &origin, vocabulary.len()) {
            Ok((index, revision)) if revision <= newest => (index, revision),
            Ok((_, revision)) => {
                tracing::warn!(
                    index = revision,
                    gallery = newest,
                    "the keypoint index is ahead of the gallery: rebuilding it"
                );
                (KeypointIndex::new(vocabulary.len()), 0)
            }
            Err(error) => {
                if !matches!(error, SnapshotError::None(_)) {
                    tracing::warn!(%error, "the keypoint index cannot be used: rebuilding it");
                }
                (KeypointIndex::new(vocabulary.len()), 0)
            }
        };
        Self {
            gallery: Arc::clone(gallery),
            vocabulary,
            index,
            file,
            origin,
            revision: AtomicU64::new(revision),
            unsaved: AtomicUsize::new(0),
            wordless: AtomicBool::new(false),
        }
    }

    /// Takes in the words of references that changed since the last call. The caller serialises calls.
    pub(super) fn follow(&self) -> Result<(), GalleryError> {
        let since = self.revision.load(Ordering::Acquire);
        let newest = self.gallery.visit_words(self.vocabulary.id(), since, |row| {
            self.unsaved.fetch_add(1, Ordering::AcqRel);
            let words = row.words.as_deref().map(|words| self.vocabulary.from_bytes(words));
            match words {
                Some(Some(words)) if row.is_searched => self.index.insert(row.key, &words),
                Some(None) => {
                    tracing::error!(key = row.key, "stored words cannot be read: keypoints do not find the reference");
                }
                _ if row.is_searched => self.wordless.store(true, Ordering::Release),
                _ => self.index.remove(row.key),
            }
        })?;
        self.revision.store(newest, Ordering::Release);
        Ok(())
    }

    /// Lets references look themselves up.
    ///
    /// # Errors
    /// [`LibraryError::KeypointsUnproven`] when one does not find itself.
    pub(super) fn prove(&self) -> Result<(), LibraryError> {
        let proof = prove_keypoints(&self.gallery, &self.vocabulary, &self.index)?;
        if proof.holds() { Ok(()) } else { Err(LibraryError::KeypointsUnproven(proof)) }
    }

    /// Writes the file, so that the next start need not read all words from the database. The caller keeps
    /// [`Keypoints::follow`] from running meanwhile.
    pub(super) fn save(&self) -> Result<(), LibraryError> {
        let revision = self.revision.load(Ordering::Acquire);
        self.unsaved.store(0, Ordering::Release);
        self.index.save(&self.file, &self.origin, revision)?;
        if self.index.is_sparse() {
            let (compact, _) = KeypointIndex::open(&self.file, &self.origin, self.vocabulary.len())?;
            self.index.adopt(compact);
        }
        Ok(())
    }

    /// The pictures with at least `least` votes, those with most votes first.
    pub(super) fn search(&self, probes: &[Vec<VisualWord>], least: f32, most: usize) -> Vec<Vote> {
        self.index.search(probes, least, most, None)
    }

    /// Keys and postings served.
    pub(super) fn size(&self) -> (usize, usize) {
        self.index.size()
    }

    /// Changes since the file was written.
    pub(super) fn unsaved(&self) -> usize {
        self.unsaved.load(Ordering::Acquire)
    }

    /// Whether a reference without visual words was seen since the last call.
    pub(super) fn takes_wordless(&self) -> bool {
        self.wordless.swap(false, Ordering::AcqRel)
    }
}

/// Lets references look themselves up by their words.
///
/// # Errors
/// When the database cannot be read.
pub fn prove_keypoints(
    gallery: &Gallery,
    vocabulary: &Vocabulary,
    index: &KeypointIndex,
) -> Result<KeypointProof, GalleryError> {
    let sample = gallery.sample_words(vocabulary.id(), PROVEN)?;
    let words = sample.into_iter().filter_map(|(key, words)| Some((key, vocabulary.from_bytes(&words)?)));
    Ok(index.prove(&words.collect::<Vec<_>>()))
}

/// Path of a gallery's keypoint index, and what it is built from.
#[must_use]
pub fn keypoint_file(index_dir: &Path, gallery: &Gallery, vocabulary: &Vocabulary) -> (PathBuf, KeypointOrigin) {
    let origin = KeypointOrigin { gallery: gallery.id().to_owned(), vocabulary: vocabulary.id().to_owned() };
    (index_dir.join(FILE), origin)
}
