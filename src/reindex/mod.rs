//! A brand's archive becomes references, and a new generation that serves once it has proven itself.
//!
//! take in (read, decode, embed, stage) -> decide what goes -> build -> prove -> publish: until the last step nothing
//! that is served changes, and a run that was stopped goes on where it was.

mod intake;
mod kin;
mod ledger;
mod report;
mod shadow;
mod source;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Instant;

use parking_lot::Mutex;
use rayon::prelude::*;
use thiserror::Error;

use crate::enrolment::{EnrolError, Enrolment};
use crate::gallery::{
    BrandId, Fate, Gallery, GalleryError, Journal, JournalEntry, ListQuery, Polarity, Publication, Reference,
    RunChanges,
};
use crate::hygiene::GenericBank;
use crate::index::{
    Change, Generation, IndexOptions, LiveIndex, Neighborhoods, Nodes, Origin, Proof, SnapshotError, prove,
};
use crate::library::{LibraryError, change};

use intake::Intake;
use kin::Keys;
use ledger::Ledger;
pub use report::{Phases, PublishedRun, Report, write as write_report};
pub use shadow::{Flip, Replay, ShadowReport, shadow};
pub use source::{Sources, Stores};

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
pub struct Tools<'a> {
    /// Decodes, embeds, keeps.
    pub enrolment: &'a Enrolment,
    /// Images that many goods share.
    pub bank: &'a GenericBank,
    /// What generations are built from.
    pub origin: &'a Origin,
    /// Where the model's generations are.
    pub root: &'a Path,
    /// How they are built.
    pub options: &'a IndexOptions,
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
}

/// Runs a plan. `confirm` is asked before anything is removed, with how many of how many.
///
/// # Errors
/// When a source, the gallery or the index fails, or the run stops itself. A bad image never ends a run: the report
/// names it. What was staged before a stop is not embedded again by the next run.
pub fn reindex(
    plan: &Plan,
    tools: &Tools<'_>,
    progress: &impl Progress,
    confirm: &dyn Fn(usize, usize) -> bool,
) -> Result<Outcome, ReindexError> {
    let gallery = &tools.enrolment.gallery;
    let folder = (!plan.dry_run).then(|| gallery.journals());
    let journal = Journal::open(folder.as_deref(), &plan.brand)?;
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
    let mut report = Report::of(plan, &journal, embedded)?;
    if !plan.dry_run {
        guard(plan, &shares, confirm)?;
        let staged = gallery.staged(journal.run())?;
        if !staged.is_empty() || !changes.is_empty() {
            let published = publish(tools, &journal, (&staged, &mut changes), progress, &mut phases)?;
            report = Report { published: Some(published), ..Report::of(plan, &journal, embedded)? };
            journal.next_run()?;
            if plan.points {
                progress.phase("making points");
                make_features(tools.enrolment, &staged, progress, &mut phases)?;
            }
        }
    }
    report.changes(&changes);
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
    tools: &Tools<'_>,
    journal: &Journal,
    progress: &impl Progress,
) -> Result<(RunChanges, u64), ReindexError> {
    let stores = Stores::new()?;
    let intake = Intake {
        sources: &plan.sources,
        stores: &stores,
        enrolment: tools.enrolment,
        journal,
        progress,
        embed: !plan.dry_run,
        embedded: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        under_way: Mutex::new(HashSet::new()),
    };
    let (enrolment, bank) = (tools.enrolment, tools.bank);
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

/// How many references would be removed, of how many, of each polarity.
#[derive(Default)]
struct Shares(BTreeMap<Polarity, (usize, usize)>);

/// Marks what the sources no longer name. Of a polarity that they do not speak of nothing goes.
fn mark_removed(
    plan: &Plan,
    gallery: &Gallery,
    journal: &Journal,
    changes: &mut RunChanges,
) -> Result<Shares, ReindexError> {
    if let Some(row) = journal.unknown()? {
        return Err(ReindexError::UnknownRow { row: row.source, detail: row.detail.unwrap_or_default() });
    }
    let polarities = journal.polarities()?;
    let mut shares = Shares::default();
    let mut after = 0;
    loop {
        let page = gallery.list(&plan.brand, &ListQuery { after, limit: PAGE, ..ListQuery::default() })?;
        let Some(last) = page.last() else {
            return Ok(shares);
        };
        after = last.key;
        for reference in page.iter().filter(|reference| polarities.contains(&reference.claim.polarity)) {
            let (removed, of) = shares.0.entry(reference.claim.polarity).or_default();
            *of += 1;
            let source = reference.claim.details.source.as_deref();
            if journal.names(reference.photo.sha256, source)? {
                continue;
            }
            *removed += 1;
            changes.removed.insert(reference.key);
            journal.record(&[removal(reference)])?;
        }
    }
}

fn removal(reference: &Reference) -> JournalEntry {
    JournalEntry {
        source: format!("{} [{}]", reference.claim.details.source.as_deref().unwrap_or("no source"), reference.id),
        polarity: reference.claim.polarity,
        version: None,
        about: None,
        sha256: Some(reference.photo.sha256),
        key: Some(reference.key),
        fate: Fate::Removed,
        code: Some("not-named".to_owned()),
        detail: Some("the sources do not name it any more".to_owned()),
    }
}

fn guard(plan: &Plan, shares: &Shares, confirm: &dyn Fn(usize, usize) -> bool) -> Result<(), ReindexError> {
    for (&polarity, &(removed, of)) in &shares.0 {
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share = removed as f64 / of.max(1) as f64;
        if share > plan.max_removed {
            let (brand, most) = (plan.brand.clone(), plan.max_removed * 100.0);
            return Err(ReindexError::TooManyRemoved { brand, polarity, removed, of, most });
        }
    }
    let sum = shares.0.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    if sum.0 == 0 || confirm(sum.0, sum.1) { Ok(()) } else { Err(ReindexError::NotConfirmed) }
}

fn publish(
    tools: &Tools<'_>,
    journal: &Journal,
    (staged, changes): (&HashSet<u64>, &mut RunChanges),
    progress: &impl Progress,
    phases: &mut Phases,
) -> Result<PublishedRun, ReindexError> {
    let gallery = &tools.enrolment.gallery;
    let thresholds = &tools.enrolment.embedder.manifest().thresholds;
    let started = Instant::now();
    progress.phase("building");
    let (nodes, keys, revision) = nodes(tools, journal.run(), staged, &changes.removed)?;
    let built = Generation::build(nodes, revision, tools.options).of_run(journal.run());
    phases.build_s = started.elapsed().as_secs_f64();

    let started = Instant::now();
    progress.phase("proving");
    let (built, proof, near) = proven(built, thresholds.lookalike, |key| staged.contains(&key))?;
    for (key, quarantine) in kin::contradictions(&built, &keys, gallery, thresholds, changes)? {
        journal.contradict(key, &quarantine.code, &quarantine.detail)?;
    }
    let groups = kin::groups(&near, &built, gallery, thresholds, changes)?;
    phases.prove_s = started.elapsed().as_secs_f64();

    let started = Instant::now();
    progress.phase("publishing");
    let built = Arc::into_inner(built).ok_or_else(|| ReindexError::source("index", &"it is in use"))?;
    let graph = built.graph().is_some();
    let mut publication: Option<Publication> = None;
    let published = built.publish(tools.root, tools.origin, tools.options.keep, || {
        publication = Some(gallery.publish_run(journal.brand(), journal.run(), changes)?);
        Ok::<(), ReindexError>(())
    })?;
    gallery.forget_publications(tools.options.keep)?;
    phases.publish_s = started.elapsed().as_secs_f64();
    Ok(PublishedRun {
        generation: published.number(),
        publication: publication.map_or(0, |publication| publication.number),
        references: published.nodes().len() - changes.quarantined.len().min(published.nodes().len()),
        vectors: published.nodes().vectors().len(),
        search: if graph { "hnsw" } else { "exact" },
        groups,
        proof,
    })
}

/// What will take part: what does now and what the run has staged, without what it removes.
fn nodes(
    tools: &Tools<'_>,
    run: &str,
    staged: &HashSet<u64>,
    removed: &HashSet<u64>,
) -> Result<(Nodes, Keys, u64), ReindexError> {
    let mut nodes = Nodes::new(tools.origin.dimension);
    let mut keys = Keys { polarities: std::collections::HashMap::new(), staged: staged.clone() };
    let revision = tools.enrolment.gallery.visit_active(&tools.origin.model, Some(run), |row| {
        if removed.contains(&row.key) {
            return;
        }
        if let Some(Change::Put(key, embedding)) = change(&row, tools.origin.dimension) {
            nodes.insert(key, &embedding);
            keys.polarities.insert(key, row.polarity);
        }
    })?;
    Ok((nodes, keys, revision))
}

/// A generation that has proven itself: with its graph, or else without.
fn proven(
    built: Generation,
    threshold: f32,
    wanted: impl Fn(u64) -> bool + Sync,
) -> Result<(Arc<Generation>, Proof, Neighborhoods), ReindexError> {
    let mut built = Arc::new(built);
    loop {
        let (proof, near) = prove(&LiveIndex::new(Arc::clone(&built)), &built, threshold, &wanted);
        if proof.holds() {
            return Ok((built, proof, near));
        }
        if built.graph().is_none() {
            return Err(ReindexError::Unproven(proof));
        }
        tracing::warn!(
            recall = proof.recall(),
            found = proof.found_themselves,
            of = proof.rows,
            "the graph did not prove itself: the exact scan serves"
        );
        let bare = Arc::into_inner(built).ok_or(ReindexError::Unproven(proof))?;
        built = Arc::new(bare.without_graph());
    }
}

/// Builds a generation of what takes part now, proves it and publishes it.
///
/// # Errors
/// When it cannot be read or written, or does not prove itself.
pub fn build_proven(tools: &Tools<'_>) -> Result<Proof, ReindexError> {
    let (nodes, _, revision) = nodes(tools, "", &HashSet::new(), &HashSet::new())?;
    let threshold = tools.enrolment.embedder.manifest().thresholds.lookalike;
    let (built, proof, _) = proven(Generation::build(nodes, revision, tools.options), threshold, |_| false)?;
    let built = Arc::into_inner(built).ok_or_else(|| ReindexError::source("index", &"it is in use"))?;
    built.publish(tools.root, tools.origin, tools.options.keep, || Ok::<(), ReindexError>(()))?;
    Ok(proof)
}

/// Points are wanted by second looks only, and made there when they are missing: they come after the publication.
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
        let references = enrolment.gallery.by_keys(page.iter().copied())?;
        references.into_par_iter().for_each(|(_, reference)| {
            enrolment.make_features(reference.photo.sha256);
            progress.step();
        });
    }
    phases.points_s = started.elapsed().as_secs_f64();
    Ok(())
}

/// Where the report of a plan is put when nothing else is said: a dry run's does not replace a real one's.
#[must_use]
pub fn report_folder(gallery: &Gallery, plan: &Plan) -> PathBuf {
    gallery.journals().join(format!("{}-{}", plan.brand, if plan.dry_run { "plan" } else { "report" }))
}
