//! Builds a generation, verifies it, and publishes it together with the run's changes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use super::near_duplicates::{self, Keys};
use super::{Phases, Progress, PublishedRun, ReindexError, Tools};
use crate::gallery::{Journal, Publication, RunChanges};
use crate::index::{Change, Generation, LiveIndex, Neighborhoods, Nodes, Proof, prove};
use crate::library::change;

/// Builds a generation with the run's changes, verifies it, and publishes both.
pub(super) fn publish(
    tools: &Tools,
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
    let built = Generation::build(nodes, revision, &tools.options).of_run(journal.run());
    phases.build_s = started.elapsed().as_secs_f64();

    let started = Instant::now();
    progress.phase("proving");
    let (built, proof, near) = proven(built, thresholds.lookalike, |key| staged.contains(&key))?;
    for (key, quarantine) in near_duplicates::contradictions(&built, &keys, gallery, thresholds, changes)? {
        journal.contradict(key, &quarantine.code, &quarantine.detail)?;
    }
    let groups = near_duplicates::groups(&near, &built, gallery, thresholds, changes)?;
    phases.prove_s = started.elapsed().as_secs_f64();

    let started = Instant::now();
    progress.phase("publishing");
    let built = Arc::into_inner(built).ok_or_else(|| ReindexError::source("index", &"it is in use"))?;
    let graph = built.graph().is_some();
    let mut publication: Option<Publication> = None;
    let published = built.publish(&tools.root, &tools.origin, tools.options.keep, || {
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

/// The embeddings of the new generation: of active references and those the run has staged, without those it removes.
fn nodes(
    tools: &Tools,
    run: &str,
    staged: &HashSet<u64>,
    removed: &HashSet<u64>,
) -> Result<(Nodes, Keys, u64), ReindexError> {
    let mut nodes = Nodes::new(tools.origin.dimension);
    let mut keys = Keys { polarities: HashMap::new(), staged: staged.clone() };
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

/// A verified generation, with its graph if that passes, else without.
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
            "the graph failed its test: the exact scan serves"
        );
        let bare = Arc::into_inner(built).ok_or(ReindexError::Unproven(proof))?;
        built = Arc::new(bare.without_graph());
    }
}

/// Builds a generation of the active references, verifies it and publishes it.
///
/// # Errors
/// When the gallery cannot be read or the generation not written, or its test fails.
pub fn build_proven(tools: &Tools) -> Result<Proof, ReindexError> {
    let (nodes, _, revision) = nodes(tools, "", &HashSet::new(), &HashSet::new())?;
    let threshold = tools.enrolment.embedder.manifest().thresholds.lookalike;
    let (built, proof, _) = proven(Generation::build(nodes, revision, &tools.options), threshold, |_| false)?;
    let built = Arc::into_inner(built).ok_or_else(|| ReindexError::source("index", &"it is in use"))?;
    built.publish(&tools.root, &tools.origin, tools.options.keep, || Ok::<(), ReindexError>(()))?;
    Ok(proof)
}
