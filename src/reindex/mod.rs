//! Reindex: turns a brand's archive into references, and publishes them with a verified index.
//!
//! The steps are: take in (read, decode, embed, stage), decide removals, build, prove, publish. Until the last step
//! nothing that is served changes, and a stopped run resumes where it was.

mod intake;
mod ledger;
mod near_duplicates;
mod prune;
mod publish;
mod report;
mod shadow;
mod source;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Instant;

use parking_lot::Mutex;
use thiserror::Error;

use crate::assembly::Model;
use crate::config::Config;
use crate::decoder::Decoder;
use crate::domain::{BrandId, Polarity, Reference};
use crate::enrolment::{EnrolError, Enrolment};
use crate::fetch::FetchOptions;
use crate::gallery::{Gallery, GalleryError, Journal, JournalEntry, RunChanges};
use crate::hygiene::GenericBank;
use crate::index::{IndexOptions, Origin, Proof, SnapshotError};
use crate::library::{LibraryError, folder, origin};

use intake::Intake;
use ledger::Ledger;
use prune::{Shares, guard, mark_removed};
pub use publish::build_proven;
use publish::publish;
pub use report::{Phases, Photos, PublishedRun, Report, prepare as prepare_report, write as write_report};
pub use shadow::{Flip, Replay, ShadowReport, shadow};
pub(crate) use source::{Bounds, Columns, Location, Shape, rows};
pub use source::{Sources, Stores};

/// Lists a manifest, for the fuzz targets.
#[cfg(fuzzing)]
pub(crate) fn fuzz_manifest(path: &str) {
    let sources = Sources { manifest: Some(path.to_owned()), ..Sources::default() };
    if let Ok(stores) = Stores::new(&FetchOptions::default()) {
        let _ = sources.list(&stores, 1 << 20, &mut |_| true);
    }
}

/// Number of references that one query lists.
const PAGE: usize = 1000;

/// The settings of a run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The brand whose photos are taken in.
    pub brand: BrandId,
    /// Folders, archives or a manifest to read.
    pub sources: Sources,
    /// Whether to remove references that the sources no longer name.
    pub prune: bool,
    /// The greatest share of the brand's references that a run may remove, 0 to 1.
    pub max_removed: f64,
    /// Whether to report the changes without making them.
    pub dry_run: bool,
    /// Whether to compute keypoints after publishing; otherwise the first checks that need them do.
    pub points: bool,
}

/// Everything a run works with, for one gallery and model.
pub struct Tools {
    /// Decodes, embeds and stores photos.
    pub enrolment: Enrolment,
    /// Photos that many goods share, such as size charts.
    bank: Arc<GenericBank>,
    /// Gallery and model that the generations belong to.
    origin: Origin,
    /// Folder of the model's generations.
    root: PathBuf,
    /// Settings of the index.
    options: IndexOptions,
    /// Rules for fetching photos from URLs.
    fetch: FetchOptions,
}

impl Tools {
    /// Tools for a gallery under a model, with the generations below `index_dir`.
    #[must_use]
    pub fn new(gallery: &Arc<Gallery>, model: &Model, index_dir: &Path, config: &Config) -> Self {
        let manifest = model.embedder.manifest();
        Self {
            enrolment: Enrolment {
                gallery: Arc::clone(gallery),
                embedder: Arc::clone(&model.embedder),
                decoder: Arc::new(Decoder::new(&config.photo, &config.decoder)),
                vocabulary: Arc::clone(&model.vocabulary),
            },
            bank: Arc::clone(&model.bank),
            origin: origin(gallery, manifest),
            root: folder(index_dir, manifest),
            options: config.index.clone(),
            fetch: config.fetch.clone(),
        }
    }
}

/// Receives a run's progress, from many threads.
pub trait Progress: Sync {
    /// The number of photos, once it is known.
    fn total(&self, images: u64);
    /// The status of one photo is decided.
    fn done(&self, entry: &JournalEntry);
    /// One more step of the current phase is done.
    fn step(&self);
    /// Another phase of the run begins.
    fn phase(&self, name: &'static str);
}

/// Why a run stops.
#[derive(Debug, Error)]
pub enum ReindexError {
    /// A source cannot be listed or read.
    #[error("{path}: {reason}")]
    Source {
        /// Path or URL of the source.
        path: String,
        /// What went wrong, and what to do.
        reason: String,
    },
    /// The report cannot be written.
    #[error("the report cannot be written to {folder}: {reason}; name another folder with --report")]
    Report {
        /// Folder of the report.
        folder: PathBuf,
        /// The file system's error.
        reason: String,
    },
    /// Another process runs a reindex of this brand.
    #[error("another reindex of {0} is running; wait until it ends")]
    Busy(BrandId),
    /// The run would remove more references than its limit.
    #[error(
        "this would remove {removed} of {of} {polarity} references of {brand}, more than {most:.0} %; nothing was published. Check the sources, or allow it with --max-removed"
    )]
    TooManyRemoved {
        /// The brand whose references would be removed.
        brand: BrandId,
        /// Polarity of the references that would be removed.
        polarity: Polarity,
        /// Number of references that would be removed.
        removed: usize,
        /// Number of references that the brand has of this polarity.
        of: usize,
        /// The limit in percent.
        most: f64,
    },
    /// A pruning run met a row that may name any reference.
    #[error("{row} cannot be read ({detail}), so it may name any reference; fix it, or run without --prune")]
    UnknownRow {
        /// The manifest and line of the row.
        row: String,
        /// What is wrong with the row.
        detail: String,
    },
    /// Nobody confirmed the removal.
    #[error("nothing was removed or published; answer yes, or run again with --yes")]
    NotConfirmed,
    /// The new generation does not find its own embeddings.
    #[error(
        "the new index failed its test: {} of {} vectors found themselves, recall {:.4} at the threshold, expected all and at least 0.999; the serving index stays in use",
        .0.found_themselves, .0.rows, .0.recall()
    )]
    Unproven(Proof),
    /// The gallery cannot be read or written.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// The index cannot be read or written.
    #[error("index: {0}")]
    Snapshot(#[from] SnapshotError),
    /// The library cannot follow the gallery.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The model failed.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
}

impl ReindexError {
    fn source(path: &str, reason: &dyn std::fmt::Display) -> Self {
        Self::Source { path: path.to_owned(), reason: reason.to_string() }
    }

    fn report(folder: &Path, reason: &dyn std::fmt::Display) -> Self {
        Self::Report { folder: folder.to_owned(), reason: reason.to_string() }
    }
}

/// Runs a plan. Calls `confirm` before anything is removed, with the number of removed references and of all.
///
/// # Errors
/// When a source, the gallery or the index fails, or a limit stops the run. A bad photo never ends a run: the report
/// names it. The next run does not embed staged photos again.
pub fn reindex(
    plan: &Plan,
    tools: &Tools,
    progress: &impl Progress,
    confirm: &dyn Fn(usize, usize) -> bool,
) -> Result<Outcome, ReindexError> {
    let gallery = &tools.enrolment.gallery;
    // A dry run reads the journal of earlier runs, and leaves it unchanged.
    let open = if plan.dry_run { Journal::open_copy } else { Journal::open };
    let journal = open(&gallery.journals(), &plan.brand)?;
    let mut journal = journal.ok_or_else(|| ReindexError::Busy(plan.brand.clone()))?;
    // The journal's own lock holds for this machine; another node may work on the same brand.
    let lock = || gallery.try_lock(&gallery.journals(), &format!("{}.run", plan.brand));
    let alone = if plan.dry_run { None } else { lock()? };
    if alone.is_none() && !plan.dry_run {
        return Err(ReindexError::Busy(plan.brand.clone()));
    }
    // The process stopped between the publication and its record in the journal: that run is done.
    if gallery.publication_of(journal.run())?.is_some() {
        journal.next_run()?;
    }
    if !plan.dry_run {
        gallery.drop_staged(&plan.brand, journal.run())?;
    }
    let started = Instant::now();
    progress.phase("taking in");
    let (mut changes, embedded) = take_in(plan, tools, &journal, progress)?;
    let mut phases = Phases { take_in_s: started.elapsed().as_secs_f64(), ..Phases::default() };
    if !plan.dry_run {
        drop_unnamed(gallery, &journal)?;
    }
    let shares = if plan.prune { mark_removed(plan, gallery, &journal, &mut changes)? } else { Shares::default() };
    let staged = if plan.dry_run { HashSet::new() } else { gallery.staged(journal.run())? };
    let mut published = None;
    if !plan.dry_run {
        guard(plan, &shares, confirm)?;
        if !staged.is_empty() || !changes.is_empty() {
            published = Some(publish(tools, &journal, (&staged, &mut changes), progress, &mut phases)?);
        }
    }
    let mut report = Report::of(plan, &journal, (embedded, published, &changes))?;
    report.not_pruned = shares.unnamed;
    if report.published.is_some() {
        journal.next_run()?;
        if plan.points {
            progress.phase("making points");
            make_features(&tools.enrolment, &staged, progress, &mut phases)?;
        }
    }
    report.phases = phases;
    Ok(Outcome { report, journal, changes })
}

/// A finished run, for its report.
pub struct Outcome {
    /// Counts and times.
    pub report: Report,
    /// The status of each photo.
    pub journal: Journal,
    /// Other changes of references.
    pub changes: RunChanges,
}

fn take_in(
    plan: &Plan,
    tools: &Tools,
    journal: &Journal,
    progress: &impl Progress,
) -> Result<(RunChanges, u64), ReindexError> {
    let stores = Stores::new(&tools.fetch)?;
    let intake = Intake {
        sources: &plan.sources,
        stores: &stores,
        enrolment: &tools.enrolment,
        journal,
        progress,
        embed: !plan.dry_run,
        embedded: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        under_way: Mutex::new(HashSet::new()),
    };
    let (enrolment, bank) = (&tools.enrolment, &*tools.bank);
    let mut ledger = Ledger { enrolment, bank, journal, dry: plan.dry_run, changes: RunChanges::default() };
    let embedded = intake.run(&mut ledger)?;
    Ok((ledger.changes, embedded))
}

/// Deletes references that an earlier pass of this run staged and this pass has not met.
fn drop_unnamed(gallery: &Gallery, journal: &Journal) -> Result<(), ReindexError> {
    for key in gallery.staged(journal.run())? {
        if !journal.has_key(key)? {
            gallery.unstage(key)?;
        }
    }
    Ok(journal.forget_left_behind()?)
}

/// Keypoints and visual words take about as long as the rest of the run, and neighbour search finds references without
/// them. So they come after the publication.
fn make_features(
    enrolment: &Enrolment,
    staged: &HashSet<u64>,
    progress: &impl Progress,
    phases: &mut Phases,
) -> Result<(), ReindexError> {
    let started = Instant::now();
    progress.total(staged.len() as u64);
    let keys: Vec<u64> = staged.iter().copied().collect();
    for page in keys.chunks(PAGE) {
        let references: Vec<Reference> = enrolment.gallery.by_keys(page.iter().copied())?.into_values().collect();
        enrolment.word(&references, &|| progress.step())?;
    }
    phases.points_s = started.elapsed().as_secs_f64();
    Ok(())
}

/// The default folder of a plan's report. A dry run has its own, so that it does not replace the report of a real run.
#[must_use]
pub fn report_folder(gallery: &Gallery, plan: &Plan) -> PathBuf {
    gallery.journals().join(format!("{}-{}", plan.brand, if plan.dry_run { "plan" } else { "report" }))
}
