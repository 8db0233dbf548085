//! A brand's archive becomes references, and a new generation that serves once it has proven itself.
//!
//! take in (read, decode, embed, stage) -> decide what goes -> build -> prove -> publish: until the last step nothing
//! that is served changes, and a run that was stopped goes on where it was.

mod intake;
mod kin;
mod ledger;
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
use crate::enrolment::{EnrolError, Enrolment};
use crate::fetch::FetchOptions;
use crate::gallery::{BrandId, Gallery, GalleryError, Journal, JournalEntry, Polarity, Reference, RunChanges};
use crate::hygiene::GenericBank;
use crate::index::{IndexOptions, Origin, Proof, SnapshotError};
use crate::library::{LibraryError, folder, origin};

use intake::Intake;
use ledger::Ledger;
use prune::{Shares, guard, mark_removed};
pub use publish::build_proven;
use publish::publish;
pub use report::{Phases, PublishedRun, Report, prepare as prepare_report, write as write_report};
pub use shadow::{Flip, Replay, ShadowReport, shadow};
pub(crate) use source::{Bounds, Columns, Place, Shape, rows};
pub use source::{Sources, Stores};

/// Lists a manifest, for fuzz targets.
#[cfg(fuzzing)]
pub(crate) fn fuzz_manifest(path: &str) {
    let sources = Sources { manifest: Some(path.to_owned()), ..Sources::default() };
    if let Ok(stores) = Stores::new(&FetchOptions::default()) {
        let _ = sources.list(&stores, 1 << 20, &mut |_| true);
    }
}

/// References listed at once.
const PAGE: usize = 1000;

/// What a run is to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whose images they are.
    pub brand: BrandId,
    /// Where they come from.
    pub sources: Sources,
    /// Take out what the sources no longer name.
    pub prune: bool,
    /// Share of the brand's references that a run may take out, 0 to 1.
    pub max_removed: f64,
    /// Say what would be done and do nothing.
    pub dry_run: bool,
    /// Make the points for second looks at once; otherwise the first checks that need them do.
    pub points: bool,
}

/// What a run works with.
pub struct Tools {
    /// Decodes, embeds, keeps.
    pub enrolment: Enrolment,
    /// Images that many goods share.
    bank: Arc<GenericBank>,
    /// What generations are built from.
    origin: Origin,
    /// Where the model's generations are.
    root: PathBuf,
    /// How they are built.
    options: IndexOptions,
    /// What may be fetched by URL.
    fetch: FetchOptions,
}

impl Tools {
    /// For a gallery under a model, with the generations below `index_dir`.
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

/// Told of what goes on, from many threads.
pub trait Progress: Sync {
    /// How many images there are.
    fn total(&self, images: u64);
    /// One is decided.
    fn done(&self, entry: &JournalEntry);
    /// One more of whatever is counted.
    fn step(&self);
    /// Another part of the work begins.
    fn phase(&self, name: &'static str);
}

/// What ends a whole run.
#[derive(Debug, Error)]
pub enum ReindexError {
    /// A source cannot be listed or read.
    #[error("{path}: {reason}")]
    Source {
        /// The source.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The report cannot be written.
    #[error("the report cannot be written to {folder}: {reason}; name another folder with --report")]
    Report {
        /// Its folder.
        folder: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Another process works on the brand.
    #[error("another reindex of {0} is going on; wait for it")]
    Busy(BrandId),
    /// The guard.
    #[error(
        "this would remove {removed} of {of} {polarity} references of {brand}, more than {most:.0} %; nothing was published. Look at the sources, or allow it with --max-removed"
    )]
    TooManyRemoved {
        /// The brand.
        brand: BrandId,
        /// Authentic or fake.
        polarity: Polarity,
        /// How many would go.
        removed: usize,
        /// Of how many.
        of: usize,
        /// Percent allowed.
        most: f64,
    },
    /// A row that may name anything.
    #[error(
        "{row} cannot be read ({detail}), so that nobody knows which image it names; mend it, or run without --prune"
    )]
    UnknownRow {
        /// The row.
        row: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Nobody said yes.
    #[error("nothing was removed or published; say yes, or run again with --yes")]
    NotConfirmed,
    /// The new generation is not what it should be.
    #[error(
        "the new index did not prove itself: {} of {} vectors found themselves, recall {:.4} at the threshold, expected all and at least 0.999; what serves goes on",
        .0.found_themselves, .0.rows, .0.recall()
    )]
    Unproven(Proof),
    /// The gallery cannot be written.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// The index cannot be written.
    #[error("index: {0}")]
    Snapshot(#[from] SnapshotError),
    /// The library cannot follow.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The model has stopped.
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

/// Runs a plan. `confirm` is asked before anything is removed, with how many of how many.
///
/// # Errors
/// When a source, the gallery or the index fails, or the run stops itself. A bad image never ends a run: the report
/// names it. What was staged before a stop is not embedded again by the next run.
pub fn reindex(
    plan: &Plan,
    tools: &Tools,
    progress: &impl Progress,
    confirm: &dyn Fn(usize, usize) -> bool,
) -> Result<Outcome, ReindexError> {
    let gallery = &tools.enrolment.gallery;
    // A dry run knows what earlier runs have read, and leaves their journal as it is.
    let open = if plan.dry_run { Journal::open_copy } else { Journal::open };
    let journal = open(&gallery.journals(), &plan.brand)?;
    let mut journal = journal.ok_or_else(|| ReindexError::Busy(plan.brand.clone()))?;
    // Stopped between its publication and the word of it: that run is done.
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

/// What a run has left, for its report.
pub struct Outcome {
    /// The figures.
    pub report: Report,
    /// What became of each image.
    pub journal: Journal,
    /// What was changed beside.
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

/// Drops what an earlier go of this run has staged and this one has not met.
fn drop_unnamed(gallery: &Gallery, journal: &Journal) -> Result<(), ReindexError> {
    for key in gallery.staged(journal.run())? {
        if !journal.has_key(key)? {
            gallery.unstage(key)?;
        }
    }
    Ok(journal.forget_left_behind()?)
}

/// Keypoints and visual words take about as long as the rest of the run, and references are found by their embedding without
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

/// Where the report of a plan is put when nothing else is said: a dry run's does not replace a real one's.
#[must_use]
pub fn report_folder(gallery: &Gallery, plan: &Plan) -> PathBuf {
    gallery.journals().join(format!("{}-{}", plan.brand, if plan.dry_run { "plan" } else { "report" }))
}
