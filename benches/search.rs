//! At how many vectors does the graph overtake the exact scan?
//!
//!     cargo bench --bench search
//!
//! Clustered vectors, as products photographed many times give them: a tenth as many products as
//! vectors, each vector its product plus noise (cosine about 0.7 within a product). Queries are
//! vectors of the set plus a little noise. Both answer the same queries on one thread in one run; the
//! ratio is what counts.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints, and ends when it cannot run")]

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use touchstone::embed::Embedding;
use touchstone::index::{ExactIndex, HnswIndex, IndexOptions, VectorIndex, VectorSet};

const DIMENSION: usize = 512;
const QUERIES: usize = 300;
const K: usize = 16;

fn main() {
    println!(
        "{:>9} {:>10} {:>12} {:>12} {:>11} {:>11} {:>8}",
        "vectors", "build s", "exact ms", "hnsw ms", "exact/hnsw", "recall@16", "proof"
    );
    for size in [2_000, 5_000, 10_000, 20_000, 50_000, 100_000] {
        measure(size);
    }
}

fn measure(size: usize) {
    let mut random = StdRng::seed_from_u64(7);
    let (vectors, queries) = draw(size, &mut random);
    let started = Instant::now();
    let graph = HnswIndex::build(&vectors, &IndexOptions::default());
    let built = started.elapsed();
    let proof = graph.prove(&vectors);
    let (exact_time, exact) = time(&ExactIndex, &vectors, &queries);
    let (graph_time, found) = time(&graph, &vectors, &queries);
    let hits: usize = exact.iter().zip(&found).map(|(a, b)| a.iter().filter(|row| b.contains(row)).count()).sum();
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let recall = hits as f64 / (QUERIES * K) as f64;
    let each = |total: Duration| total.as_secs_f64() * 1e3 / f64::from(u32::try_from(QUERIES).unwrap_or(1));
    println!(
        "{size:>9} {:>10.1} {:>12.3} {:>12.3} {:>11.2} {recall:>11.4} {:>8}",
        built.as_secs_f64(),
        each(exact_time),
        each(graph_time),
        exact_time.as_secs_f64() / graph_time.as_secs_f64(),
        proof.map_or("failed".to_owned(), |share| format!("{share:.4}")),
    );
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

fn time(index: &impl VectorIndex, vectors: &VectorSet, queries: &[Embedding]) -> (Duration, Vec<Vec<u32>>) {
    let started = Instant::now();
    let rows = queries.iter().map(|query| index.nearest(vectors, query, K, &|_| true));
    let rows: Vec<Vec<u32>> = rows.map(|hits| hits.into_iter().map(|hit| hit.row).collect()).collect();
    (started.elapsed(), rows)
}
