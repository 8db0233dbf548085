//! Measures the time and recall of searches at several numbers of vectors; with `--graph`, also of a graph of
//! `hnsw_rs`.
//!
//!     cargo bench --bench search -- [--graph] [--published] [--write DIR] [VECTORS ...]
//!
//! Vectors are clustered as those of products photographed many times: a tenth as many products as vectors, each vector
//! its product plus noise (cosine about 0.7 within a product). Queries are vectors of the set plus a little noise. All
//! ways answer the same queries on one thread in one run; the ratio is what counts. Recall is measured against a scan
//! of every f32: of the nearest 16, and of those above the threshold among them. With `--published`, a process of its
//! own opens the same vectors as a published generation, and measures the time, its memory, and searches of everything,
//! of a brand with half of all keys and of one with a hundredth. With `--write`, writes vectors and queries of one size
//! as little-endian f32, for `scripts/bench/indexes`.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints, and ends when it cannot run")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use touchstone::embed::Embedding;
use touchstone::index::{
    ExactIndex, Generation, Hit, HnswIndex, IndexOptions, LiveIndex, Nodes, Origin, Scope, SnapshotError, VectorIndex,
    VectorSet,
};

const DIMENSION: usize = 512;
const QUERIES: usize = 300;
const K: usize = 16;
/// The default model's threshold: `lookalike` in models/sscd-distilled.toml.
const THRESHOLD: f32 = 0.46;

fn main() {
    // cargo adds an argument of its own.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [word, folder, size] = &words[..]
        && word == "--open"
    {
        return opened(Path::new(folder), size.parse().expect("a number of vectors"));
    }
    if let [word, folder, size] = &words[..]
        && word == "--write"
    {
        return write(Path::new(folder), size.parse().expect("a number of vectors"));
    }
    let published = words.iter().any(|word| word == "--published");
    let graph = words.iter().any(|word| word == "--graph");
    let named: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let sizes = if named.is_empty() { vec![2_000, 10_000, 50_000, 100_000] } else { named };
    println!(
        "{:>9} {:>6} {:>8} {:>9} {:>9} {:>9} {:>10} {:>11} {:>9}",
        "vectors", "way", "build s", "median ms", "p99 ms", "scan/this", "recall@16", "at threshold", "rss MB"
    );
    for size in sizes {
        measure(size, graph);
        if published {
            publish(size);
        }
    }
}

fn write(folder: &Path, size: usize) {
    let (vectors, queries) = draw(size, &mut StdRng::seed_from_u64(7));
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let rows: Vec<u8> = vectors.rows().flat_map(|row| bytes(&vectors.floats(row))).collect();
    let asked: Vec<u8> = queries.iter().flat_map(|query| bytes(query.as_slice())).collect();
    std::fs::write(folder.join("vectors.f32"), rows).expect("a file of vectors");
    std::fs::write(folder.join("queries.f32"), asked).expect("a file of queries");
}

fn publish(size: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let (vectors, _) = draw(size, &mut StdRng::seed_from_u64(7));
    let mut nodes = Nodes::new(DIMENSION);
    for row in vectors.rows() {
        nodes.insert(u64::from(row), &unit(vectors.floats(row).into_owned()));
    }
    let started = Instant::now();
    let generation =
        Generation::build(nodes, 1, &exact()).publish(folder.path(), &origin(), 1, || Ok::<_, SnapshotError>(()));
    generation.expect("a generation");
    println!("{size:>9} published in {:.1} s", started.elapsed().as_secs_f64());
    let itself = std::env::current_exe().expect("this program");
    let opened = Command::new(itself).arg("--open").arg(folder.path()).arg(size.to_string()).status();
    assert!(opened.is_ok_and(|status| status.success()), "the published generation was not opened");
}

fn opened(folder: &Path, size: usize) {
    let started = Instant::now();
    let generation = Generation::open(folder, &origin(), &exact()).expect("a generation");
    let index = LiveIndex::new(Arc::new(generation));
    println!("{size:>9} opened in {:.2} s, {} MB resident", started.elapsed().as_secs_f64(), resident());
    let (_, queries) = draw(size, &mut StdRng::seed_from_u64(7));
    let few: Vec<u64> = (0..size as u64).filter(|key| key % 100 == 0).collect();
    let scopes = [
        ("everything", Scope::All),
        ("half of all", Scope::Where(&|key| key % 2 == 0)),
        ("a hundredth", Scope::Keys(&few)),
    ];
    for (name, scope) in scopes {
        let times = sorted(queries.iter().map(|query| {
            let started = Instant::now();
            let found = index.search_down_to(query, K, THRESHOLD, scope);
            assert!(!found.is_empty());
            started.elapsed().as_secs_f64() * 1e3
        }));
        println!(
            "{size:>9} {name:>12}: median {:.3} ms, p99 {:.3} ms",
            times[times.len() / 2],
            times[times.len() * 99 / 100]
        );
    }
}

fn exact() -> IndexOptions {
    IndexOptions { exact_below: usize::MAX, ..IndexOptions::default() }
}

fn origin() -> Origin {
    Origin { model: "bench@0".to_owned(), dimension: DIMENSION, gallery: "bench".to_owned() }
}

fn sorted(times: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut times: Vec<f64> = times.collect();
    times.sort_by(f64::total_cmp);
    times
}

fn measure(size: usize, with_graph: bool) {
    let mut random = StdRng::seed_from_u64(7);
    let (vectors, queries) = draw(size, &mut random);
    let memory = resident();
    let (scan, truth) = time(&Plain, &vectors, &queries);
    let show = |way: &str, built: f64, (times, found): (Vec<f64>, Vec<Vec<Hit>>)| {
        let (all, near) = recall(&truth, &found);
        println!(
            "{size:>9} {way:>6} {built:>8.1} {:>9.3} {:>9.3} {:>9.2} {all:>10.4} {near:>11.4} {memory:>9}",
            times[times.len() / 2],
            times[times.len() * 99 / 100],
            scan[scan.len() / 2] / times[times.len() / 2],
        );
    };
    show("f32", 0.0, (scan.clone(), truth.clone()));
    show("exact", 0.0, time(&ExactIndex, &vectors, &queries));
    if with_graph {
        let started = Instant::now();
        let graph = HnswIndex::build(&vectors, &IndexOptions::default());
        let built = started.elapsed().as_secs_f64();
        show("hnsw", built, time(&graph, &vectors, &queries));
        println!("{size:>9} proof {:?}", graph.prove(&vectors));
    }
}

/// A scan of every f32.
struct Plain;

impl VectorIndex for Plain {
    fn nearest(&self, vectors: &VectorSet, query: &Embedding, k: usize, alive: &dyn Fn(u32) -> bool) -> Vec<Hit> {
        let mut hits: Vec<Hit> = vectors.rows().filter(|&row| alive(row)).map(|row| vectors.hit(row, query)).collect();
        hits.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.row.cmp(&b.row)));
        hits.truncate(k);
        hits
    }
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn recall(truth: &[Vec<Hit>], found: &[Vec<Hit>]) -> (f64, f64) {
    let (mut all, mut got, mut near, mut got_near) = (0_usize, 0, 0_usize, 0_usize);
    for (truth, found) in truth.iter().zip(found) {
        for hit in truth {
            let is_found = usize::from(found.iter().any(|other| other.row == hit.row));
            (all, got) = (all + 1, got + is_found);
            if hit.similarity >= THRESHOLD {
                (near, got_near) = (near + 1, got_near + is_found);
            }
        }
    }
    (got as f64 / all as f64, got_near as f64 / near.max(1) as f64)
}

fn draw(size: usize, random: &mut StdRng) -> (VectorSet, Vec<Embedding>) {
    let products: Vec<Vec<f32>> = (0..size.div_ceil(10)).map(|_| noise(random)).collect();
    let mut vectors = VectorSet::new(DIMENSION);
    let mut queries = Vec::new();
    for row in 0..size {
        let near = mix(&products[row % products.len()], 0.65, random);
        if row % (size / QUERIES) == 0 && queries.len() < QUERIES {
            queries.push(unit(mix(&near, 0.3, random)));
        }
        vectors.push(&unit(near));
    }
    (vectors, queries)
}

fn noise(random: &mut StdRng) -> Vec<f32> {
    (0..DIMENSION).map(|_| (0..6).map(|_| random.random::<f32>() - 0.5).sum()).collect()
}

fn mix(base: &[f32], share: f32, random: &mut StdRng) -> Vec<f32> {
    base.iter().zip(noise(random)).map(|(a, b)| a + share * b).collect()
}

fn unit(values: Vec<f32>) -> Embedding {
    Embedding::normalize(values).expect("noise is never zero")
}

/// Sorted times of the queries in milliseconds, and the answers.
fn time(index: &impl VectorIndex, vectors: &VectorSet, queries: &[Embedding]) -> (Vec<f64>, Vec<Vec<Hit>>) {
    let one = |query| {
        let started = Instant::now();
        let hits = index.nearest(vectors, query, K, &|_| true);
        (started.elapsed().as_secs_f64() * 1e3, hits)
    };
    let (times, found): (Vec<f64>, Vec<Vec<Hit>>) = queries.iter().map(one).unzip();
    (sorted(times.into_iter()), found)
}

/// Resident memory of this process, in MB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or_default() / 1024
}
