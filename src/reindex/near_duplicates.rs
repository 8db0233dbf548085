//! Finds near-duplicates of new photos: of the other polarity, they contradict; of the same polarity, they form a
//! group.

use std::collections::{BTreeMap, HashMap, HashSet};

use rayon::prelude::*;

use super::ReindexError;
use crate::domain::{Mark, Polarity, Quarantine, Reference};
use crate::embed::{Embedding, ScoreThresholds};
use crate::gallery::{Gallery, RunChanges};
use crate::hygiene::{HELD_AGAINST, conflict_with, is_near_copy, opposite};
use crate::index::{ExactIndex, Generation, Neighborhoods, VectorIndex};

/// Two references that may be near-duplicates.
struct Pair {
    new: u64,
    other: u64,
    similarity: f32,
}

/// Facts about the keys of a generation.
pub(super) struct Keys {
    /// Polarity of each key.
    pub(super) polarities: HashMap<u64, Polarity>,
    /// Keys that this run adds.
    pub(super) staged: HashSet<u64>,
}

/// Compares new references with all of the other polarity. A new reference that contradicts an older one is
/// quarantined; the older one is marked as disputed and stays active. Two new references that contradict are both
/// quarantined.
pub(super) fn contradictions(
    generation: &Generation,
    keys: &Keys,
    gallery: &Gallery,
    thresholds: &ScoreThresholds,
    changes: &mut RunChanges,
) -> Result<Vec<(u64, Quarantine)>, ReindexError> {
    let pairs = opposite_pairs(generation, keys, thresholds.near_copy);
    let references = gallery.by_keys(pairs.iter().flat_map(|pair| [pair.new, pair.other]))?;
    let mut held_back = Vec::new();
    for (new, other) in same_image(&pairs, &references, thresholds) {
        let mut hold = |one: &Reference, other: &Reference| {
            let quarantine = conflict_with(&one.claim, other);
            changes.quarantined.insert(one.key, quarantine.clone());
            held_back.push((one.key, quarantine));
        };
        hold(new, other);
        if keys.staged.contains(&other.key) {
            hold(other, new);
        } else if other.mark != Some(Mark::Disputed) {
            changes.marks.insert(other.key, Mark::Disputed);
        }
    }
    Ok(held_back)
}

/// One scan for each new embedding, and one pair for each key: where many keys share an embedding, each new key is
/// paired with the first key of the other embedding, and each other key with the first new key.
fn opposite_pairs(generation: &Generation, keys: &Keys, least: f32) -> Vec<Pair> {
    let nodes = generation.nodes();
    let vectors = nodes.vectors();
    let of = |row: u32, polarity: Polarity| {
        nodes.keys(row).iter().copied().filter(move |key| keys.polarities.get(key) == Some(&polarity))
    };
    let has = |polarity| vectors.rows().map(|row| of(row, polarity).next().is_some()).collect::<Vec<bool>>();
    let sides = [has(Polarity::Authentic), has(Polarity::Fake)];
    let rows: HashSet<u32> = keys.staged.iter().filter_map(|&key| nodes.row(key)).collect();
    let pairs = rows.par_iter().flat_map_iter(|&row| {
        let Ok(query) = Embedding::normalize(vectors.floats(row).into_owned()) else { return Vec::new() };
        let mut pairs = Vec::new();
        for polarity in [Polarity::Authentic, Polarity::Fake] {
            let new: Vec<u64> = of(row, polarity).filter(|key| keys.staged.contains(key)).collect();
            let Some(&first) = new.first() else { continue };
            let wanted = opposite(polarity);
            let side = &sides[usize::from(wanted == Polarity::Fake)];
            let hits = ExactIndex.nearest(vectors, &query, HELD_AGAINST, &|row| side[row as usize]);
            for hit in hits.into_iter().filter(|hit| hit.similarity >= least) {
                let pair = |new, other| Pair { new, other, similarity: hit.similarity };
                let Some(other) = of(hit.row, wanted).next() else { continue };
                pairs.extend(new.iter().map(|&new| pair(new, other)));
                pairs.extend(of(hit.row, wanted).skip(1).map(|other| pair(first, other)));
            }
        }
        pairs
    });
    pairs.collect()
}

fn same_image<'r>(
    pairs: &'r [Pair],
    references: &'r HashMap<u64, Reference>,
    thresholds: &'r ScoreThresholds,
) -> impl Iterator<Item = (&'r Reference, &'r Reference)> {
    pairs.iter().filter_map(|pair| {
        let (new, other) = (references.get(&pair.new)?, references.get(&pair.other)?);
        let hashes = (&new.photo.perceptual_hash, &other.photo.perceptual_hash);
        is_near_copy(pair.similarity, hashes.0, hashes.1, thresholds).then_some((new, other))
    })
}

/// Groups near-duplicates within a brand: each group has the key of its oldest reference. Returns the number of groups
/// with new references.
pub(super) fn groups(
    neighborhoods: &Neighborhoods,
    generation: &Generation,
    gallery: &Gallery,
    thresholds: &ScoreThresholds,
    changes: &mut RunChanges,
) -> Result<usize, ReindexError> {
    let nodes = generation.nodes();
    let mut pairs: Vec<Pair> = Vec::new();
    for (new, neighbors) in neighborhoods {
        let own = nodes.row(*new);
        let mut rows = HashSet::new();
        // Where many references share another embedding, one stands for all.
        let near = neighbors.iter().filter(|near| {
            let row = nodes.row(near.key);
            near.key != *new && near.similarity() >= thresholds.near_copy && (row == own || rows.insert(row))
        });
        pairs.extend(near.map(|near| Pair { new: *new, other: near.key, similarity: near.similarity() }));
    }
    let references = gallery.by_keys(pairs.iter().flat_map(|pair| [pair.new, pair.other]))?;
    let mut union = Union::default();
    for reference in references.values() {
        if let Some(group) = reference.group {
            union.join(reference.key, group);
        }
    }
    for (new, other) in same_image(&pairs, &references, thresholds) {
        if new.claim.brand == other.claim.brand {
            union.join(new.key, other.key);
        }
    }
    let members: Vec<u64> = union.parents.keys().copied().collect();
    let mut sizes: BTreeMap<u64, usize> = BTreeMap::new();
    for reference in references.values() {
        if let Some(old) = reference.group {
            let into = union.root(old);
            if into != old {
                changes.joined_groups.insert(old, into);
            }
        }
    }
    for key in members {
        let group = union.root(key);
        *sizes.entry(group).or_default() += 1;
        if references.get(&key).is_some_and(|reference| reference.group != Some(group)) {
            changes.groups.insert(key, group);
        }
    }
    Ok(sizes.len())
}

/// Sets of joined keys, each named by its smallest key.
#[derive(Default)]
struct Union {
    parents: HashMap<u64, u64>,
}

impl Union {
    fn root(&mut self, key: u64) -> u64 {
        let mut root = key;
        while let Some(&parent) = self.parents.get(&root)
            && parent != root
        {
            root = parent;
        }
        let mut step = key;
        while step != root {
            step = self.parents.insert(step, root).unwrap_or(root);
        }
        root
    }

    fn join(&mut self, a: u64, b: u64) {
        let (a, b) = (self.root(a), self.root(b));
        let (low, high) = (a.min(b), a.max(b));
        self.parents.insert(low, low);
        self.parents.insert(high, low);
    }
}
