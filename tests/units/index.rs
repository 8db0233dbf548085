use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use touchstone::embed::Embedding;
use touchstone::index::{
    Change, ExactIndex, Generation, Hit, HnswIndex, IndexOptions, LiveIndex, Nodes, Origin, Scope, SnapshotError,
    VectorIndex, VectorSet,
};

const DIMENSION: usize = 32;

fn random(random: &mut StdRng) -> Embedding {
    Embedding::normalize((0..DIMENSION).map(|_| random.random::<f32>() - 0.5).collect()).unwrap()
}

fn near(base: &Embedding, noise: f32, random: &mut StdRng) -> Embedding {
    let values = base.as_slice().iter().map(|value| value + noise * (random.random::<f32>() - 0.5));
    Embedding::normalize(values.collect()).unwrap()
}

fn options(exact_below: usize) -> IndexOptions {
    IndexOptions { exact_below, ..IndexOptions::default() }
}

fn origin() -> Origin {
    Origin { model: "test@0".to_owned(), dimension: DIMENSION, gallery: "gal".to_owned() }
}

fn nodes(vectors: &[Embedding]) -> Nodes {
    let mut nodes = Nodes::new(DIMENSION);
    for (key, vector) in (1..).zip(vectors) {
        nodes.insert(key, vector);
    }
    nodes
}

fn live(vectors: &[Embedding]) -> LiveIndex {
    LiveIndex::new(Arc::new(Generation::build(nodes(vectors), 1, &options(usize::MAX))))
}

fn keys(index: &LiveIndex, query: &Embedding, k: usize) -> Vec<u64> {
    index.search(query, k, Scope::All).iter().map(|near| near.key).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_exact_scan_finds_what_sorting_everything_finds(seed in any::<u64>(), size in 1_usize..400, k in 1_usize..20) {
        let mut rng = StdRng::seed_from_u64(seed);
        let vectors: Vec<Embedding> = (0..size).map(|_| random(&mut rng)).collect();
        let query = random(&mut rng);
        let nodes = nodes(&vectors);
        let mut expected: Vec<f32> = vectors.iter().map(|vector| query.similarity(vector)).collect();
        expected.sort_by(|a, b| b.total_cmp(a));
        expected.truncate(k);
        let got: Vec<f32> = ExactIndex.nearest(nodes.vectors(), &query, k, &|_| true).iter().map(|hit| hit.similarity).collect();
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn a_live_index_answers_like_one_built_anew(seed in any::<u64>(), operations in prop::collection::vec((0_u64..40, any::<bool>()), 0..80)) {
        let mut rng = StdRng::seed_from_u64(seed);
        let vectors: Vec<Embedding> = (0..40).map(|_| random(&mut rng)).collect();
        let index = live(&vectors[..20]);
        let mut served: std::collections::BTreeSet<u64> = (1..=20).collect();
        for (number, put) in operations {
            let key = number + 1;
            if put {
                index.apply([Change::Put(key, vectors[number as usize].clone())]);
                served.insert(key);
            } else {
                index.apply([Change::Remove(key)]);
                served.remove(&key);
            }
        }
        let query = random(&mut rng);
        let mut expected: Vec<(u64, f32)> = served.iter().map(|&key| (key, query.similarity(&vectors[key as usize - 1]))).collect();
        expected.sort_by(|a, b| b.1.total_cmp(&a.1));
        let expected: Vec<u64> = expected.into_iter().take(5).map(|(key, _)| key).collect();
        prop_assert_eq!(keys(&index, &query, 5), expected);
        prop_assert_eq!(index.stats().keys, served.len());
    }
}

/// Enough rows that signs exclude most of them.
#[test]
fn a_scan_of_many_finds_all_that_is_near_and_is_served() {
    let mut random = StdRng::seed_from_u64(11);
    let products: Vec<Embedding> = (0..600).map(|_| wide(&mut random)).collect();
    let mut vectors = VectorSet::new(products[0].dimension());
    for row in 0..24_000 {
        vectors.push(&near(&products[row % products.len()], 0.1, &mut random));
    }
    for product in &products[..20] {
        let query = near(product, 0.05, &mut random);
        // Half of the nearest rows are no longer served: they must not displace the rest.
        for alive in [&(|_: u32| true) as &dyn Fn(u32) -> bool, &|row| row % 1200 >= 600] {
            let mut wanted: Vec<Hit> =
                vectors.rows().filter(|&row| alive(row)).map(|row| vectors.hit(row, &query)).collect();
            wanted.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.row.cmp(&b.row)));
            wanted.truncate(16);
            let found = ExactIndex.nearest(&vectors, &query, 16, alive);
            assert!(wanted[15].similarity > 0.46, "{wanted:?}");
            assert_eq!(found, wanted);
        }
    }
}

#[test]
fn identical_vectors_are_one_node_with_many_keys() {
    let mut rng = StdRng::seed_from_u64(1);
    let (same, other) = (random(&mut rng), random(&mut rng));
    let mut vectors = vec![same.clone(); 1000];
    vectors.push(other);
    let nodes = nodes(&vectors);
    assert_eq!((nodes.vectors().len(), nodes.len()), (2, 1001));
    let index = LiveIndex::new(Arc::new(Generation::build(nodes, 1, &options(usize::MAX))));
    let found = keys(&index, &same, 1);
    assert_eq!(found.len(), 1000, "every key of the nearest vector is told");
    index.apply([Change::Remove(found[0])]);
    assert_eq!(keys(&index, &same, 1).len(), 999);
}

#[test]
fn a_scope_of_keys_is_searched_and_nothing_else() {
    let mut rng = StdRng::seed_from_u64(2);
    let vectors: Vec<Embedding> = (0..50).map(|_| random(&mut rng)).collect();
    let index = live(&vectors);
    let found = index.search(&vectors[0], 10, Scope::Keys(&[7, 9, 999]));
    let mut found: Vec<u64> = found.iter().map(|near| near.key).collect();
    found.sort_unstable();
    assert_eq!(found, [7, 9]);
}

#[test]
fn the_graph_finds_every_vector_of_products_photographed_many_times() {
    // Product by product, fifty near-identical photos each, as archives are ordered.
    let mut rng = StdRng::seed_from_u64(3);
    let vectors: Vec<Embedding> = (0..80)
        .flat_map(|_| {
            let product = random(&mut rng);
            (0..50).map(|_| near(&product, 0.05, &mut rng)).collect::<Vec<_>>()
        })
        .collect();
    let nodes = nodes(&vectors);
    let graph = HnswIndex::build(nodes.vectors(), &options(0));
    assert!(graph.prove(nodes.vectors()).is_some());
    let found = vectors.iter().enumerate().filter(|(row, vector)| {
        let hits = graph.nearest(nodes.vectors(), vector, 1, &|_| true);
        hits.first().is_some_and(|hit| hit.row as usize == *row)
    });
    let found = found.count();
    assert!(found * 1000 >= vectors.len() * 999, "{found} of {}", vectors.len());
}

#[test]
fn through_the_graph_removed_keys_are_gone_and_new_ones_there() {
    let mut rng = StdRng::seed_from_u64(4);
    let vectors: Vec<Embedding> = (0..500).map(|_| random(&mut rng)).collect();
    let index = LiveIndex::new(Arc::new(Generation::build(nodes(&vectors), 1, &options(100))));
    assert!(index.stats().graph);
    assert_eq!(keys(&index, &vectors[41], 1), [42]);
    index.apply([Change::Remove(42)]);
    assert_ne!(keys(&index, &vectors[41], 1), [42]);
    index.apply((1..=490).map(Change::Remove));
    assert_eq!(keys(&index, &vectors[0], 50).len(), 10, "where the graph brings too few, the scan brings all");
    index.apply([Change::Put(1000, vectors[41].clone())]);
    assert_eq!(keys(&index, &vectors[41], 1), [1000]);
}

fn published(folder: &Path, size: usize, options: &IndexOptions) -> Vec<Embedding> {
    let mut rng = StdRng::seed_from_u64(5);
    let vectors: Vec<Embedding> = (0..size).map(|_| random(&mut rng)).collect();
    Generation::build(nodes(&vectors), 7, options)
        .publish(folder, &origin(), 2, || Ok::<(), SnapshotError>(()))
        .unwrap();
    vectors
}

#[test]
fn a_published_generation_comes_back_as_it_was() {
    for exact_below in [usize::MAX, 10] {
        let folder = tempfile::TempDir::new().unwrap();
        let options = options(exact_below);
        let vectors = published(folder.path(), 300, &options);
        let opened = Generation::open(folder.path(), &origin(), &options).unwrap();
        assert_eq!((opened.number(), opened.revision(), opened.graph().is_some()), (1, 7, exact_below == 10));
        let index = LiveIndex::new(Arc::new(opened));
        for (key, vector) in (1..).zip(&vectors) {
            assert_eq!(keys(&index, vector, 1), [key]);
            assert_eq!(index.vector(key).as_ref(), Some(vector));
        }
    }
}

#[test]
fn a_file_of_vectors_that_is_damaged_while_it_serves_costs_precision_and_no_match() {
    let damages: [fn(&Path); 3] = [
        |file| std::fs::File::options().write(true).open(file).unwrap().set_len(100).unwrap(),
        |file| {
            let length = std::fs::metadata(file).unwrap().len();
            let mut open = std::fs::File::options().write(true).open(file).unwrap();
            open.write_all(&vec![0x3d; usize::try_from(length).unwrap()]).unwrap();
        },
        // Each row has another row's numbers.
        |file| {
            let mut bytes = std::fs::read(file).unwrap();
            bytes.rotate_left(DIMENSION * 4);
            std::fs::write(file, bytes).unwrap();
        },
    ];
    for damage in damages {
        let folder = tempfile::TempDir::new().unwrap();
        let options = options(usize::MAX);
        let vectors = published(folder.path(), 300, &options);
        let index = LiveIndex::new(Arc::new(Generation::open(folder.path(), &origin(), &options).unwrap()));
        damage(&folder.path().join("test-00000001").join("vectors.f32"));
        for (key, vector) in (1..).zip(&vectors) {
            let found = index.search(vector, 1, Scope::All);
            assert_eq!(found[0].key, key);
            assert!((found[0].similarity() - 1.0).abs() < 0.02, "{found:?}");
            assert!(index.vector(key).unwrap().similarity(vector) > 0.99);
        }
    }
}

#[test]
fn a_generation_that_has_lost_its_header_is_in_nobodys_way() {
    let folder = tempfile::TempDir::new().unwrap();
    published(folder.path(), 5, &options(usize::MAX));
    std::fs::remove_file(folder.path().join("test-00000001").join("header.json")).unwrap();
    published(folder.path(), 5, &options(usize::MAX));
    assert_eq!(Generation::open(folder.path(), &origin(), &options(usize::MAX)).unwrap().number(), 2);
}

/// Enough rows that signs exclude some, with few or many keys admitted.
#[test]
fn a_narrowed_search_finds_what_a_scan_of_just_that_finds() {
    let mut random = StdRng::seed_from_u64(12);
    let products: Vec<Embedding> = (0..300).map(|_| wide(&mut random)).collect();
    let vectors: Vec<Embedding> =
        (0..24_000).map(|row| near(&products[row % products.len()], 0.1, &mut random)).collect();
    let mut all = Nodes::new(512);
    for (key, vector) in (1..).zip(&vectors) {
        all.insert(key, vector);
    }
    let index = LiveIndex::new(Arc::new(Generation::build(all, 1, &options(usize::MAX))));
    index.apply((1..=6_000).map(Change::Remove));
    // Half of all keys, a twentieth, none near the query, none at all.
    let narrow: [&dyn Fn(u64) -> bool; 4] =
        [&|key| key % 2 == 1, &|key| key % 20 == 7, &|key| key % 300 == 150, &|_| false];
    for admits in narrow {
        let keys: Vec<u64> = (1..=24_000).filter(|&key| admits(key)).collect();
        let query = near(&products[6], 0.05, &mut random);
        let served = keys.iter().copied().filter(|&key| key > 6_000);
        let mut expected: Vec<(u64, f32)> =
            served.map(|key| (key, query.similarity(&vectors[usize::try_from(key).unwrap() - 1]))).collect();
        expected.sort_by(|a, b| b.1.total_cmp(&a.1));
        let expected: Vec<u64> = expected.into_iter().take(10).map(|(key, _)| key).collect();
        for scope in [Scope::Where(admits), Scope::Keys(&keys)] {
            let found: Vec<u64> = index.search(&query, 10, scope).iter().map(|near| near.key).collect();
            assert_eq!(found, expected);
        }
    }
}

fn wide(random: &mut StdRng) -> Embedding {
    Embedding::normalize((0..512).map(|_| random.random::<f32>() - 0.5).collect()).unwrap()
}

#[test]
fn old_generations_are_discarded_but_the_last_few() {
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("backup-0")).unwrap();
    for _ in 0..4 {
        published(folder.path(), 5, &options(usize::MAX));
    }
    let mut names: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    assert_eq!(names, ["CURRENT", "backup-0", "test-00000003", "test-00000004"]);
    assert_eq!(Generation::open(folder.path(), &origin(), &options(usize::MAX)).unwrap().number(), 4);
}

#[test]
fn a_snapshot_of_another_origin_is_refused_with_got_and_expected() {
    let folder = tempfile::TempDir::new().unwrap();
    published(folder.path(), 5, &options(usize::MAX));
    let refused =
        |origin: &Origin| Generation::open(folder.path(), origin, &options(usize::MAX)).err().unwrap().to_string();
    let error = refused(&Origin { model: "other@1".to_owned(), ..origin() });
    assert!(error.ends_with("model is test@0, expected other@1"), "{error}");
    assert!(refused(&Origin { dimension: 64, ..origin() }).ends_with("dimension is 32, expected 64"));
    assert!(
        refused(&Origin { gallery: "another".to_owned(), ..origin() }).ends_with("gallery is gal, expected another")
    );
    let empty = tempfile::TempDir::new().unwrap();
    assert!(matches!(Generation::open(empty.path(), &origin(), &options(0)), Err(SnapshotError::None(_))));
}

#[test]
fn a_damaged_snapshot_is_refused_before_the_graph_library_sees_it() {
    let folder = tempfile::TempDir::new().unwrap();
    let options = options(10);
    published(folder.path(), 200, &options);
    let generation = folder.path().join("test-00000001");
    for entry in std::fs::read_dir(&generation).unwrap() {
        let path = entry.unwrap().path();
        let whole = std::fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 0x10;
        for damaged in [&flipped[..], &whole[..whole.len() / 2], b""] {
            std::fs::write(&path, damaged).unwrap();
            let error = Generation::open(folder.path(), &origin(), &options).err().unwrap();
            assert!(matches!(error, SnapshotError::Mismatch { .. }), "{}: {error}", path.display());
        }
        std::fs::remove_file(&path).unwrap();
        assert!(Generation::open(folder.path(), &origin(), &options).is_err());
        std::fs::write(&path, &whole).unwrap();
    }
    Generation::open(folder.path(), &origin(), &options).unwrap();
}
