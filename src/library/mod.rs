//! The gallery in memory: a catalogue and the live index, kept in step with the database.
//!
//! Every change, by this process or another, becomes visible through [`Library::refresh`], which reads the rows with
//! newer revisions.

mod catalog;
mod hashes;
mod keypoints;
mod signals;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};
use thiserror::Error;

use crate::align::{VisualWord, Vocabulary};
use crate::domain::{BrandId, Polarity, StoredPolicy};
use crate::embed::{Embedding, ModelManifest};
use crate::gallery::{ChangedRow, Gallery, GalleryError};
use crate::index::{
    Change, Generation, IndexOptions, KeypointProof, LiveIndex, Neighbor, Nodes, Origin, Scope, SnapshotError, Stats,
    current_line,
};
use crate::photo::Sha256;
use crate::scoring::{Scoring, Standing};
use crate::telemetry;

use catalog::Catalog;
pub use catalog::{Entry, Filter};
pub use hashes::{HashBanks, HashMatch, bank_name};
use keypoints::Keypoints;
pub use keypoints::{keypoint_file, prove_keypoints};
use signals::Signals;
pub use signals::{HashOfPhoto, SignalFound};

/// Why the library cannot follow the gallery.
#[derive(Debug, Error)]
pub enum LibraryError {
    /// The database returned an error.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// The keypoint index does not find some of its own references.
    #[error(
        "keypoint index: {} of {} references found themselves, expected all; it is not written, and the next start rebuilds it",
        .0.found_themselves, .0.pictures
    )]
    KeypointsUnproven(KeypointProof),
    /// A generation or the keypoint index could not be written.
    #[error("index: {0}")]
    Snapshot(#[from] SnapshotError),
}

/// A neighbour with its catalogue entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Key of the reference.
    pub key: u64,
    /// Cosine similarity, -1 to 1.
    pub similarity: f32,
    /// The reference's catalogue entry.
    pub entry: Entry,
}

/// Catalogue and index of one gallery under one model.
pub struct Library {
    gallery: Arc<Gallery>,
    root: PathBuf,
    origin: Origin,
    options: IndexOptions,
    /// The scoring artefact whose outcomes count.
    scoring: Arc<Scoring>,
    index: LiveIndex,
    keypoints: Keypoints,
    signals: Signals,
    vocabulary: Arc<Vocabulary>,
    catalog: RwLock<Catalog>,
    /// The gallery revision that catalogue and index have reached.
    applied: Mutex<u64>,
    /// A copy of `applied` for answers, which must not wait while a change is applied.
    revision: AtomicU64,
    /// Locked while a generation is built, so that only one is.
    building: Mutex<()>,
    /// Whether an active reference has no embedding by this model.
    lacking: AtomicBool,
    /// The content of `CURRENT` when it was last read.
    seen: Mutex<Option<String>>,
}

impl Library {
    /// Opens the published generation and brings it up to date, or rebuilds it from the gallery when it is missing,
    /// damaged or of another model.
    ///
    /// # Errors
    /// When the database cannot be read, or a rebuilt generation not written.
    pub fn open(
        gallery: Arc<Gallery>,
        root: &Path,
        manifest: &ModelManifest,
        (scoring, vocabulary): (Arc<Scoring>, Arc<Vocabulary>),
        options: &IndexOptions,
    ) -> Result<Self, LibraryError> {
        let origin = origin(&gallery, manifest);
        let index_dir = root;
        let root = &folder(root, manifest);
        let newest = gallery.revision()?;
        let base = match Generation::open(root, &origin, options) {
            Ok(generation) if generation.revision() <= newest => generation,
            Ok(generation) => {
                tracing::warn!(
                    index = generation.revision(),
                    gallery = newest,
                    "the index is ahead of the gallery: rebuilding it"
                );
                build(&gallery, root, &origin, options)?
            }
            Err(SnapshotError::None(_)) => build(&gallery, root, &origin, options)?,
            Err(error) => {
                tracing::warn!(%error, "the index cannot be used: rebuilding it from the gallery");
                build(&gallery, root, &origin, options)?
            }
        };
        let built_at = base.revision();
        let base = Arc::new(base);
        let signals = Signals::new(&origin.model, origin.dimension, &vocabulary);
        let keypoints = Keypoints::open(index_dir, &gallery, Arc::clone(&vocabulary), newest);
        let library = Self {
            gallery,
            root: root.to_owned(),
            origin,
            options: options.clone(),
            scoring,
            index: LiveIndex::new(Arc::clone(&base)),
            keypoints,
            signals,
            vocabulary,
            catalog: RwLock::default(),
            applied: Mutex::new(0),
            revision: AtomicU64::new(0),
            building: Mutex::new(()),
            lacking: AtomicBool::new(false),
            seen: Mutex::new(current_line(root)?),
        };
        library.catch_up(built_at, Some(&base))?;
        drop(base);
        let stats = library.stats();
        tracing::info!(generation = stats.generation, references = stats.keys, graph = stats.graph, "index ready");
        Ok(library)
    }

    /// Applies what changed in the database since the last call.
    ///
    /// # Errors
    /// When the database cannot be read; then answers stay as they were.
    pub fn refresh(&self) -> Result<(), LibraryError> {
        self.catch_up(0, None)
    }

    /// Builds a generation from the gallery, publishes it and serves it.
    ///
    /// # Errors
    /// When the gallery cannot be read or the generation not written; then the old one stays in use.
    pub fn rebuild(&self) -> Result<Stats, LibraryError> {
        let _one_at_a_time = self.building.lock();
        self.serve(build(&self.gallery, &self.root, &self.origin, &self.options)?)?;
        *self.seen.lock() = current_line(&self.root)?;
        self.save_keypoints()?;
        Ok(self.stats())
    }

    /// Verifies and writes the keypoint index, so that the next start need not read all words from the database.
    fn save_keypoints(&self) -> Result<(), LibraryError> {
        self.keypoints.prove()?;
        // Locked to the end: later changes belong to a later revision.
        let _applied = self.applied.lock();
        self.keypoints.save()
    }

    fn serve(&self, generation: Generation) -> Result<(), LibraryError> {
        let revision = generation.revision();
        // The generation may be ahead of what was applied, or behind it: the catalogue applies rows newer than its own,
        // the index rows newer than the generation.
        let mut applied = self.applied.lock();
        let news = self.read_news(revision.min(*applied), revision, Some(&generation))?;
        self.take(news.policies, news.standings);
        self.index.swap(Arc::new(generation), news.changes);
        self.keypoints.follow()?;
        self.set_applied(&mut applied, news.revision);
        Ok(())
    }

    /// Serves the generation that another process has published since the last call, if any. One that cannot be used is
    /// logged once, and the old one stays in use.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn adopt_published(&self) -> Result<(), LibraryError> {
        // While this process builds a generation, those of other processes wait; single changes do not.
        let Some(_one_at_a_time) = self.building.try_lock() else {
            return Ok(());
        };
        let line = current_line(&self.root)?;
        let mut seen = self.seen.lock();
        if *seen == line {
            return Ok(());
        }
        seen.clone_from(&line);
        match Generation::open(&self.root, &self.origin, &self.options) {
            Ok(generation) if generation.number() == self.stats().generation => Ok(()),
            Ok(generation) => self.serve(generation),
            Err(error) => {
                tracing::error!(%error, "the published generation cannot be used: the serving one stays in use");
                Ok(())
            }
        }
    }

    /// Whether references came since the last call that this model has not embedded. Resets the flag.
    #[must_use]
    pub fn takes_lacking(&self) -> bool {
        self.lacking.swap(false, Ordering::AcqRel)
    }

    /// Whether references came since the last call that have no visual words. Resets the flag.
    #[must_use]
    pub fn takes_wordless(&self) -> bool {
        self.keypoints.takes_wordless()
    }

    /// References that share keypoints with a photo, most votes first, each with its votes.
    #[must_use]
    pub fn sharing(&self, probes: &[Vec<VisualWord>], query: &Embedding, least: f32, most: usize) -> Vec<(Found, f32)> {
        let votes = self.keypoints.search(probes, least, most);
        let catalog = self.catalog.read();
        let keys = votes.iter().flat_map(|vote| vote.keys.iter().map(|&key| (key, vote.votes)));
        let found = keys.filter_map(|(key, votes)| {
            let similarity = self.index.vector(key)?.similarity(query);
            Some((Found { key, similarity, entry: catalog.entry(key)? }, votes))
        });
        found.collect()
    }

    /// Signals of other members that may be about a photo, in no order. `fingerprint` and `pdq` hash the photo, if any signal
    /// is compared by them.
    #[must_use]
    pub fn signals(
        &self,
        embedding: &Embedding,
        probes: &[Vec<VisualWord>],
        fingerprint: impl FnOnce() -> HashOfPhoto,
        pdq: impl FnOnce() -> HashOfPhoto,
    ) -> Vec<SignalFound> {
        self.signals.search(embedding, probes, fingerprint, pdq)
    }

    /// Number of signals that take part in checks.
    #[must_use]
    pub fn signal_count(&self) -> usize {
        self.signals.len()
    }

    /// Whether enough has changed since the last generation to build a new one.
    #[must_use]
    pub fn rebuild_is_due(&self) -> bool {
        let stats = self.stats();
        stats.added.max(stats.removed).max(self.keypoints.unsaved()) > self.options.rebuild_after
    }

    /// All neighbours with a similarity of at least `floor`, and at least the `k` nearest; nearest first.
    #[must_use]
    pub fn search(&self, query: &Embedding, k: usize, floor: f32, filter: &Filter) -> Vec<Found> {
        let started = Instant::now();
        let neighbors = self.neighbors(query, k, floor, filter);
        telemetry::searched(started.elapsed());
        self.join(&neighbors)
    }

    /// The `k` references most similar to any of the embeddings, most similar first, each once.
    #[must_use]
    pub fn nearest(&self, queries: &[Embedding], k: usize, filter: &Filter) -> Vec<Found> {
        // No similarity reaches this floor, so that each search returns the k nearest and no more.
        let mut found: Vec<Found> =
            queries.iter().flat_map(|query| self.search(query, k, f32::INFINITY, filter)).collect();
        found.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.key.cmp(&b.key)));
        let mut seen = HashSet::new();
        found.retain(|found| seen.insert(found.key));
        found.truncate(k);
        found
    }

    /// A filter that accepts few keys is scanned key by key; with any other, the search visits the whole index and
    /// skips what the filter rejects. Either way a filtered search costs no more than an unfiltered one.
    fn neighbors(&self, query: &Embedding, k: usize, floor: f32, filter: &Filter) -> Vec<Neighbor> {
        if !filter.is_narrow() {
            return self.index.search_down_to(query, k, floor, Scope::All);
        }
        let catalog = self.catalog.read();
        if let Some(keys) = catalog.few_keys(filter) {
            drop(catalog);
            return self.index.search_down_to(query, k, floor, Scope::Keys(&keys));
        }
        self.index.search_down_to(query, k, floor, Scope::Where(&|key| catalog.admits(filter, key)))
    }

    /// References in doubt that are identical to a photo: the same file, or the same pixels. Calls `pixel_sum` only if
    /// one of them has this size in pixels. Their similarity is 1.
    #[must_use]
    pub fn same(&self, file: Sha256, size: (u32, u32), pixel_sum: impl FnOnce() -> Sha256) -> Vec<Found> {
        let has_size = self.catalog.read().in_doubt().has_size(size);
        let pixels = has_size.then(pixel_sum);
        let catalog = self.catalog.read();
        let keys = catalog.in_doubt().same(file, size, pixels);
        let found = keys.into_iter().filter_map(|key| Some(Found { key, similarity: 1.0, entry: catalog.entry(key)? }));
        found.collect()
    }

    /// The number of active references that match by file and pixels only.
    #[must_use]
    pub fn by_identity_only(&self) -> usize {
        self.catalog.read().in_doubt().count()
    }

    /// The catalogue entry of an active reference.
    #[must_use]
    pub fn entry(&self, key: u64) -> Option<Entry> {
        self.catalog.read().entry(key)
    }

    /// The embedding of an indexed reference.
    #[must_use]
    pub fn vector(&self, key: u64) -> Option<Embedding> {
        self.index.vector(key)
    }

    /// The brand's policy, as of the last refresh.
    #[must_use]
    pub fn policy(&self, brand: &BrandId) -> Arc<StoredPolicy> {
        self.catalog.read().policy(brand)
    }

    /// What the brand's outcomes prove, as of the last refresh.
    #[must_use]
    pub fn standing(&self, brand: &BrandId) -> Arc<Standing> {
        self.catalog.read().standing(brand)
    }

    /// Size, generation and memory of the index.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.index.stats()
    }

    /// The names of the brands that have an active reference.
    #[must_use]
    pub fn brand_ids(&self) -> Vec<BrandId> {
        self.catalog.read().brand_ids()
    }

    /// Brands that have an active reference, with their counts by polarity.
    #[must_use]
    pub fn brands(&self) -> Vec<(BrandId, [usize; 2])> {
        self.catalog.read().brands()
    }

    /// Generation and revision of the index, `generation+revision`, for answers.
    #[must_use]
    pub fn version(&self) -> String {
        format!("{}+{}", self.stats().generation, self.revision.load(Ordering::Acquire))
    }

    /// Identity of the model that computed the embeddings.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.origin.model
    }

    fn catch_up(&self, vectors_since: u64, base: Option<&Generation>) -> Result<(), LibraryError> {
        let mut applied = self.applied.lock();
        let news = self.read_news(*applied, vectors_since.max(*applied), base)?;
        // At the start the keypoint index may be behind although the rest is up to date.
        if news.revision != *applied || base.is_some() {
            self.take(news.policies, news.standings);
            self.index.apply(news.changes);
            self.keypoints.follow()?;
            self.set_applied(&mut applied, news.revision);
        }
        self.signals.follow(&self.gallery, &self.vocabulary, news.revision)?;
        telemetry::signals(self.signals.len());
        Ok(())
    }

    /// Applies references that changed after `since` to the catalogue, and returns the changes of the index after
    /// `vectors_since`. The catalogue comes first: a neighbour from the index must find its entry. The caller has
    /// locked `applied`.
    ///
    /// A row that `base` already contains changes nothing, even if its revision is newer: publishing a run does that.
    fn read_news(&self, since: u64, vectors_since: u64, base: Option<&Generation>) -> Result<News, LibraryError> {
        let mut changes = Vec::new();
        let revision = self.gallery.visit_changes(&self.origin.model, since, vectors_since, |row| {
            self.catalog.write().apply(&row);
            if row.active && row.vector.is_none() && row.revision > vectors_since {
                self.lacking.store(true, Ordering::Release);
            }
            let had = row.is_searched() && base.is_some_and(|base| base.nodes().row(row.key).is_some());
            if row.revision > vectors_since && !had {
                changes.extend(change(&row, self.origin.dimension));
            }
        })?;
        let policies = if revision == since { Vec::new() } else { self.gallery.policies_since(since)? };
        let policies = policies.into_iter().map(|(brand, stored)| (brand, stored.under(&self.origin.model)));
        let standings = if revision == since { Vec::new() } else { self.standings_since(since)? };
        Ok(News { revision, changes, policies: policies.collect(), standings })
    }

    fn standings_since(&self, since: u64) -> Result<Vec<(BrandId, Standing)>, LibraryError> {
        let brands = self.gallery.brands_with_outcomes_since(since)?;
        let standing = |brand: BrandId| {
            let outcomes = self.gallery.outcomes(&brand, self.scoring.id())?;
            Ok((brand, Standing::of(&outcomes)))
        };
        brands.into_iter().map(standing).collect()
    }

    fn take(&self, policies: Vec<(BrandId, StoredPolicy)>, standings: Vec<(BrandId, Standing)>) {
        let mut catalog = self.catalog.write();
        catalog.set_policies(policies);
        catalog.set_standings(standings);
    }

    fn set_applied(&self, applied: &mut u64, revision: u64) {
        *applied = revision;
        self.revision.store(revision, Ordering::Release);
        let stats = self.stats();
        telemetry::index(stats.generation, stats.keys, stats.added, stats.removed);
        let (keys, postings) = self.keypoints.size();
        telemetry::keypoints(keys, postings);
    }

    fn join(&self, neighbors: &[Neighbor]) -> Vec<Found> {
        let catalog = self.catalog.read();
        let found = neighbors.iter().filter_map(|neighbor| {
            Some(Found { key: neighbor.key, similarity: neighbor.similarity(), entry: catalog.entry(neighbor.key)? })
        });
        found.collect()
    }
}

/// What generations of this gallery under this model are built from.
#[must_use]
pub fn origin(gallery: &Gallery, manifest: &ModelManifest) -> Origin {
    Origin { model: manifest.id(), dimension: manifest.output.dimension, gallery: gallery.id().to_owned() }
}

/// The folder of a model's generations. Each model has its own, so that trying another one does not replace the serving
/// one.
#[must_use]
pub fn folder(root: &Path, manifest: &ModelManifest) -> PathBuf {
    root.join(&manifest.name)
}

/// Changes of the database after a revision.
struct News {
    revision: u64,
    changes: Vec<Change>,
    policies: Vec<(BrandId, StoredPolicy)>,
    standings: Vec<(BrandId, Standing)>,
}

/// The index change that a row causes; `None` if its embedding is missing or invalid. References that match by file and
/// pixels only are not indexed.
pub(crate) fn change(row: &ChangedRow, dimension: usize) -> Option<Change> {
    if !row.is_searched() {
        return Some(Change::Remove(row.key));
    }
    let bytes = row.vector.as_deref()?;
    match Embedding::from_bytes(bytes, dimension) {
        Ok(embedding) => Some(Change::Put(row.key, embedding)),
        Err(error) => {
            tracing::error!(key = row.key, %error, "a stored embedding is invalid: the reference is not served");
            None
        }
    }
}

fn build(gallery: &Gallery, root: &Path, origin: &Origin, options: &IndexOptions) -> Result<Generation, LibraryError> {
    let mut nodes = Nodes::new(origin.dimension);
    let revision = gallery.visit_active(&origin.model, None, |row| {
        if let Some(Change::Put(key, embedding)) = change(&row, origin.dimension) {
            nodes.insert(key, &embedding);
        }
    })?;
    tracing::info!(references = nodes.len(), vectors = nodes.vectors().len(), "building the index from the gallery");
    Generation::build(nodes, revision, options).publish(root, origin, options.keep, || Ok(()))
}

impl Found {
    /// Authentic or fake.
    #[must_use]
    pub fn polarity(&self) -> Polarity {
        self.entry.polarity
    }
}
