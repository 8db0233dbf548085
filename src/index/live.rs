use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::RwLock;

use super::{DEEPEST_SEARCH, ExactIndex, Generation, Hit, Neighbor, Nodes, VectorIndex};
use crate::embed::Embedding;

/// One change to what is served.
#[derive(Debug, Clone)]
pub enum Change {
    /// The key is served with this vector.
    Put(u64, Embedding),
    /// The key is served no more.
    Remove(u64),
}

/// Where to look.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    /// Everything that is served.
    All,
    /// Only these keys; those not served are passed over.
    Keys(&'a [u64]),
}

/// Figures of a [`LiveIndex`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Number of the generation that serves.
    pub generation: u64,
    /// Keys served.
    pub keys: usize,
    /// Distinct vectors in the generation.
    pub vectors: usize,
    /// Keys that came since the generation was built.
    pub added: usize,
    /// Keys of the generation that are served no more.
    pub removed: usize,
    /// Whether unfiltered searches go through the graph.
    pub graph: bool,
}

/// A generation and what came since; searched by many threads while changes come in.
pub struct LiveIndex {
    state: RwLock<State>,
}

struct State {
    base: Arc<Generation>,
    /// Keys that came since, scanned exactly.
    delta: Nodes,
    /// Keys of base or delta that are served no more.
    removed: HashSet<u64>,
}

impl LiveIndex {
    /// Serves `base`.
    #[must_use]
    pub fn new(base: Arc<Generation>) -> Self {
        let delta = Nodes::new(base.nodes().vectors().dimension());
        Self { state: RwLock::new(State { base, delta, removed: HashSet::new() }) }
    }

    /// Takes changes in; every search that starts after this returns sees them.
    pub fn apply(&self, changes: impl IntoIterator<Item = Change>) {
        let mut state = self.state.write();
        for change in changes {
            state.apply(change);
        }
    }

    /// Serves another generation and the changes since it, in one step.
    pub fn swap(&self, base: Arc<Generation>, since: impl IntoIterator<Item = Change>) {
        let next = Self::new(base);
        next.apply(since);
        *self.state.write() = next.state.into_inner();
    }

    /// The keys of the `k` nearest distinct vectors, nearest first. A vector that many references
    /// share brings all its keys, so there can be more than `k` neighbours.
    #[must_use]
    pub fn search(&self, query: &Embedding, k: usize, scope: Scope<'_>) -> Vec<Neighbor> {
        let state = self.state.read();
        let mut found = match scope {
            Scope::All => state.search_all(query, k),
            Scope::Keys(keys) => state.search_among(query, keys),
        };
        found.sort_unstable_by(|a, b| a.distance.total_cmp(&b.distance).then(a.key.cmp(&b.key)));
        truncate_to_distinct(&mut found, k);
        found
    }

    /// Everything at or above `floor`, and at least the `k` nearest; nearest first.
    ///
    /// The search goes deeper until the floor is passed: a thousand near-identical fakes must not hide
    /// the authentic photo behind them.
    #[must_use]
    pub fn search_down_to(&self, query: &Embedding, k: usize, floor: f32, scope: Scope<'_>) -> Vec<Neighbor> {
        let mut depth = k.max(1);
        loop {
            let neighbors = self.search(query, depth, scope);
            let passed = neighbors.last().is_none_or(|last| last.similarity() < floor);
            if passed || neighbors.len() < depth || depth >= DEEPEST_SEARCH {
                return neighbors;
            }
            depth = (depth * 4).min(DEEPEST_SEARCH);
        }
    }

    /// The vector that a served key has.
    #[must_use]
    pub fn vector(&self, key: u64) -> Option<Embedding> {
        let state = self.state.read();
        if state.removed.contains(&key) {
            return None;
        }
        let nodes = [&state.delta, state.base.nodes()];
        let (nodes, row) = nodes.into_iter().find_map(|nodes| Some((nodes, nodes.row(key)?)))?;
        Embedding::normalize(nodes.vectors().floats(row).to_vec()).ok()
    }

    /// Current figures.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let state = self.state.read();
        let base = state.base.nodes();
        Stats {
            generation: state.base.number(),
            keys: base.len() + state.delta.len() - state.removed.len(),
            vectors: base.vectors().len(),
            added: state.delta.len(),
            removed: state.removed.len(),
            graph: state.base.graph().is_some(),
        }
    }
}

impl State {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Put(key, embedding) => {
                self.removed.remove(&key);
                if self.base.nodes().row(key).is_none() {
                    self.delta.insert(key, &embedding);
                }
            }
            Change::Remove(key) => {
                if self.base.nodes().row(key).is_some() || self.delta.row(key).is_some() {
                    self.removed.insert(key);
                }
            }
        }
    }

    fn search_all(&self, query: &Embedding, k: usize) -> Vec<Neighbor> {
        let mut found = self.search_base(query, k);
        let alive = |row| self.alive(&self.delta, row);
        let hits = ExactIndex.nearest(self.delta.vectors(), query, k, &alive);
        found.extend(self.neighbors(&self.delta, &hits));
        found
    }

    /// Through the graph where there is one; by a scan where there is none, or where so much was
    /// removed that the graph alone does not bring `k`.
    fn search_base(&self, query: &Embedding, k: usize) -> Vec<Neighbor> {
        let nodes = self.base.nodes();
        let alive = |row| self.alive(nodes, row);
        let graph_hits = self.base.graph().map(|graph| graph.nearest(nodes.vectors(), query, k, &alive));
        let hits = match graph_hits {
            Some(hits) if hits.len() >= k.min(nodes.vectors().len()) => hits,
            _ => ExactIndex.nearest(nodes.vectors(), query, k, &alive),
        };
        self.neighbors(nodes, &hits).collect()
    }

    fn search_among(&self, query: &Embedding, keys: &[u64]) -> Vec<Neighbor> {
        let place = |key| {
            let nodes = [&self.delta, self.base.nodes()];
            nodes.into_iter().find_map(|nodes| Some((nodes, nodes.row(key)?)))
        };
        keys.iter()
            .filter(|key| !self.removed.contains(key))
            .filter_map(|&key| {
                let (nodes, row) = place(key)?;
                Some(neighbor(key, nodes.vectors().hit(row, query)))
            })
            .collect()
    }

    fn alive(&self, nodes: &Nodes, row: u32) -> bool {
        self.removed.is_empty() || nodes.keys(row).iter().any(|key| !self.removed.contains(key))
    }

    fn neighbors<'a>(&'a self, nodes: &'a Nodes, hits: &'a [Hit]) -> impl Iterator<Item = Neighbor> + 'a {
        hits.iter().flat_map(|&hit| {
            let served = nodes.keys(hit.row).iter().filter(|key| !self.removed.contains(key));
            served.map(move |&key| neighbor(key, hit))
        })
    }
}

fn neighbor(key: u64, hit: Hit) -> Neighbor {
    Neighbor { key, distance: 1.0 - hit.similarity }
}

/// Cuts after the k-th distinct distance. Distinct vectors at the very same distance count once:
/// more is returned rather than less.
fn truncate_to_distinct(sorted: &mut Vec<Neighbor>, k: usize) {
    let mut distinct = 0;
    let mut last = f32::NAN;
    let cut = sorted.iter().position(|neighbor| {
        if neighbor.distance.total_cmp(&last).is_ne() {
            distinct += 1;
            last = neighbor.distance;
        }
        distinct > k
    });
    if let Some(cut) = cut {
        sorted.truncate(cut);
    }
}
