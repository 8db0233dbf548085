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
#[derive(Clone, Copy)]
pub enum Scope<'a> {
    /// Everything that is served.
    All,
    /// Only these keys, which should be few of all; those not served are passed over.
    Keys(&'a [u64]),
    /// Only keys that this admits, which should be many of all.
    Where(&'a dyn Fn(u64) -> bool),
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
            Scope::All => state.search_where(query, k, None),
            Scope::Where(admits) => state.search_where(query, k, Some(admits)),
            Scope::Keys(keys) => state.search_among(query, k, keys),
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
        Embedding::normalize(nodes.vectors().floats(row).into_owned()).ok()
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

    fn search_where(&self, query: &Embedding, k: usize, admits: Option<&dyn Fn(u64) -> bool>) -> Vec<Neighbor> {
        let served = |key: u64| !self.removed.contains(&key) && admits.is_none_or(|admits| admits(key));
        let everything = self.removed.is_empty() && admits.is_none();
        let (base, delta) = (self.base.nodes(), &self.delta);
        let alive = |nodes: &Nodes, row| everything || nodes.keys(row).iter().any(|&key| served(key));
        let hits = self.search_base(query, k, &|row| alive(base, row));
        let mut found: Vec<Neighbor> = neighbors(base, &hits, &served).collect();
        let hits = ExactIndex.nearest(delta.vectors(), query, k, &|row| alive(delta, row));
        found.extend(neighbors(delta, &hits, &served));
        found
    }

    /// Through the graph where there is one; by a scan where there is none, or where so much is left out that the graph
    /// alone does not bring `k`.
    fn search_base(&self, query: &Embedding, k: usize, alive: &dyn Fn(u32) -> bool) -> Vec<Hit> {
        let vectors = self.base.nodes().vectors();
        let graph_hits = self.base.graph().map(|graph| graph.nearest(vectors, query, k, alive));
        match graph_hits {
            Some(hits) if hits.len() >= k.min(vectors.len()) => hits,
            _ => ExactIndex.nearest(vectors, query, k, alive),
        }
    }

    fn search_among(&self, query: &Embedding, k: usize, keys: &[u64]) -> Vec<Neighbor> {
        let wanted: HashSet<u64> = keys.iter().copied().filter(|key| !self.removed.contains(key)).collect();
        let of = |nodes: &Nodes| {
            let mut rows: Vec<u32> = wanted.iter().filter_map(|&key| nodes.row(key)).collect();
            rows.sort_unstable();
            rows.dedup();
            let hits = ExactIndex.nearest_of(nodes.vectors(), query, k, &rows);
            neighbors(nodes, &hits, &|key| wanted.contains(&key)).collect::<Vec<_>>()
        };
        [of(self.base.nodes()), of(&self.delta)].concat()
    }
}

/// The hits' keys, as far as they are served.
fn neighbors<'a>(
    nodes: &'a Nodes,
    hits: &'a [Hit],
    served: &'a dyn Fn(u64) -> bool,
) -> impl Iterator<Item = Neighbor> + 'a {
    hits.iter().flat_map(move |&hit| {
        let keys = nodes.keys(hit.row).iter().filter(|&&key| served(key));
        keys.map(move |&key| neighbor(key, hit))
    })
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
