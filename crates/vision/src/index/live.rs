use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::RwLock;

use super::{DEEPEST_SEARCH, ExactIndex, Generation, Hit, Neighbor, Nodes, VectorIndex};
use crate::embed::Embedding;

/// One change to the served keys.
#[derive(Debug, Clone)]
pub enum Change {
    /// Serve the key with this embedding.
    Put(u64, Embedding),
    /// Stop serving the key.
    Remove(u64),
}

/// The keys that a search covers.
#[derive(Clone, Copy)]
pub enum Scope<'a> {
    /// All served keys.
    All,
    /// Only these keys, which should be few of all; keys that are not served are skipped.
    Keys(&'a [u64]),
    /// Only keys for which the function is true, which should be many of all.
    Where(&'a dyn Fn(u64) -> bool),
}

/// Figures of a [`LiveIndex`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Number of the generation that serves.
    pub generation: u64,
    /// Number of keys served.
    pub keys: usize,
    /// Number of distinct embeddings in the generation.
    pub vectors: usize,
    /// Number of keys added since the generation was built.
    pub added: usize,
    /// Number of the generation's keys that are no longer served.
    pub removed: usize,
    /// Whether unfiltered searches use the graph.
    pub graph: bool,
}

/// A generation with the changes since; many threads may search it while changes are applied.
pub struct LiveIndex {
    state: RwLock<State>,
}

struct State {
    base: Arc<Generation>,
    /// Keys added since, scanned exactly.
    delta: Nodes,
    /// Keys of base or delta that are no longer served.
    removed: HashSet<u64>,
}

impl LiveIndex {
    /// Serves `base` without changes.
    #[must_use]
    pub fn new(base: Arc<Generation>) -> Self {
        let delta = Nodes::new(base.nodes().vectors().dimension());
        Self { state: RwLock::new(State { base, delta, removed: HashSet::new() }) }
    }

    /// Applies changes; every search that starts after this returns sees them.
    pub fn apply(&self, changes: impl IntoIterator<Item = Change>) {
        let mut state = self.state.write();
        for change in changes {
            state.apply(change);
        }
    }

    /// Serves another generation with the changes since it was built, in one step.
    pub fn swap(&self, base: Arc<Generation>, since: impl IntoIterator<Item = Change>) {
        let next = Self::new(base);
        next.apply(since);
        *self.state.write() = next.state.into_inner();
    }

    /// The keys of the `k` nearest distinct embeddings, nearest first. An embedding that many references share brings
    /// all its keys, so there can be more than `k` neighbours.
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

    /// All neighbours at or above `floor`, and at least the `k` nearest; nearest first.
    ///
    /// The search goes deeper until it passes the floor: a thousand near-identical fakes must not hide the authentic
    /// photo behind them.
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

    /// The embedding of a served key.
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

    /// Figures of the moment, for `GET /v1/index`, metrics and the console.
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

    /// Searches the graph if there is one; scans if there is none, or if so many keys are excluded that the graph alone
    /// does not find `k`.
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

/// The served keys of the rows found.
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

/// Cuts after the k-th distinct distance. Distinct embeddings at the same distance count once, so that more is returned
/// rather than less.
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
