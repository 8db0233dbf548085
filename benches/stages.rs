//! Measures the stages of a check, and the bound that the machine sets: photos per second that all cores reach in a
//! bare loop of decoding, resizing and the model, without HTTP, index or database.
//!
//!     cargo bench --bench stages -- PHOTOS [COUNT] [MODEL …]
//!
//! Prints one JSON object: the bound, and milliseconds of each stage on one thread, on the same photos. More models that are
//! named are measured beside the default one.

#![expect(clippy::print_stdout, clippy::unwrap_used, clippy::cast_precision_loss, reason = "a benchmark")]

use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::{Value, json};
use touchstone::align::{LocalFeatures, QueryFeatures, StrongestKeypoints, Vocabulary, align};
use touchstone::config::Config;
use touchstone::domain::{BrandId, Kind, Polarity, Policy};
use touchstone::embed::{EmbedOptions, Embedder, ModelManifest, load_runtime, preprocess};
use touchstone::photo::{Limits, Photo};
use touchstone::verdict::{Candidate, Facts, Terms, judge};

const ROUNDS: usize = 3;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let count = args.get(1).map_or(400, |text| text.parse().unwrap());
    let photos = read(Path::new(&args[0]), count);
    let config = Config::default();
    load_runtime(&config.runtime).unwrap();
    let manifest = ModelManifest::load(&config.models, &config.model).unwrap();
    let one = EmbedOptions { workers: 1, max_batch: 1, ..EmbedOptions::default() };
    let single = Embedder::start(&config.models, manifest.clone(), &one).unwrap();
    let mut report = serde_json::Map::new();
    let decoded: Vec<Photo> = photos.iter().map(|bytes| decode(bytes)).collect();
    let mut stage = |name: &str, work: &mut dyn FnMut(usize)| {
        let best = (0..ROUNDS).map(|_| {
            let started = Instant::now();
            (0..photos.len()).for_each(&mut *work);
            started.elapsed().as_secs_f64() * 1e3 / photos.len() as f64
        });
        let best = best.fold(f64::INFINITY, f64::min);
        report.insert(name.to_owned(), json!((best * 1e5).round() / 1e5));
    };
    stage("sum", &mut |place| {
        black_box(touchstone::photo::Sha256::of(&photos[place]));
    });
    stage("decode", &mut |place| drop(black_box(decode(&photos[place]))));
    stage("resize and lay out", &mut |place| drop(black_box(preprocess(&decoded[place], &manifest.input))));
    stage("resize and model", &mut |place| drop(black_box(single.submit(&decoded[place]).unwrap().wait().unwrap())));
    stage("quality", &mut |place| {
        black_box(decoded[place].quality());
    });
    stage("panels", &mut |place| drop(black_box(decoded[place].panels())));
    for name in args.iter().skip(2) {
        let manifest = ModelManifest::load(&config.models, name).unwrap();
        let other = Embedder::start(&config.models, manifest.clone(), &one).unwrap();
        stage(&format!("resize and lay out, {name}"), &mut |place| {
            drop(black_box(preprocess(&decoded[place], &manifest.input)));
        });
        stage(&format!("resize and model, {name}"), &mut |place| {
            drop(black_box(other.submit(&decoded[place]).unwrap().wait().unwrap()));
        });
        stage(&format!("resize and model, {}, again", single.manifest().name), &mut |place| {
            drop(black_box(single.submit(&decoded[place]).unwrap().wait().unwrap()));
        });
    }
    drop(single);
    let queries: Vec<QueryFeatures> = decoded.iter().map(|photo| QueryFeatures::of(photo.rgb())).collect();
    let references: Vec<LocalFeatures> = decoded.iter().map(|photo| LocalFeatures::of(photo.rgb())).collect();
    let vocabulary = Vocabulary::load(&config.models).unwrap();
    stage("keypoints and visual words", &mut |place| {
        drop(black_box(vocabulary.probes(&mut StrongestKeypoints::of(decoded[place].rgb()))));
    });
    stage("all keypoints", &mut |place| drop(black_box(QueryFeatures::of(decoded[place].rgb()))));
    stage("one reference held against it", &mut |place| {
        black_box(align(&queries[place], &references[(place + 7) % references.len()]));
    });
    let (candidates, policy) = (candidates(), Policy::default());
    let facts = Facts { quality: 80, seller_id: Some("seller"), claimed_brand: None };
    let terms = |_: &BrandId| Terms { policy: &policy, certified: None };
    stage("verdict", &mut |_| drop(black_box(judge(&candidates, facts, &manifest.thresholds, terms))));
    let bounds: Vec<Value> = [1, 2, 4, 8]
        .map(|batch| json!({ "batch": batch, "photos_per_second": bound(&config, &manifest, &photos, batch) }))
        .into();
    let bytes = photos.iter().map(Vec::len).sum::<usize>() / photos.len().max(1);
    println!("{}", json!({ "photos": photos.len(), "mean_bytes": bytes, "stages_ms": report, "bare_loop": bounds }));
}

/// As many candidates as a check examines, of four brands.
fn candidates() -> Vec<Candidate> {
    let one = |place: u8| Candidate {
        brand: format!("brand-{}", place % 4).parse().unwrap(),
        polarity: if place.is_multiple_of(2) { Polarity::Fake } else { Polarity::Authentic },
        similarity: 0.9 - f32::from(place) * 0.04,
        evidence: 2.0 - f64::from(place),
        probability: 0.88 - f32::from(place) * 0.05,
        score: 0.88 - f32::from(place) * 0.05,
        alignment: None,
        mark: None,
        same_file: false,
        kind: Kind::Photo,
        logo: None,
    };
    (0..16).map(one).collect()
}

/// Photos per second of a bare loop on all cores: each thread decodes and waits for its own embedding.
fn bound(config: &Config, manifest: &ModelManifest, photos: &[Vec<u8>], batch: usize) -> f64 {
    let options = EmbedOptions { max_batch: batch, ..EmbedOptions::default() };
    let embedder = Embedder::start(&config.models, manifest.clone(), &options).unwrap();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // One thread more than cores for each that waits in a batch.
    let threads = if batch == 1 { cores * 2 } else { cores * (batch + 1) };
    let rates = (0..ROUNDS).map(|_| {
        let next = AtomicUsize::new(0);
        let started = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(bytes) = photos.get(next.fetch_add(1, Ordering::Relaxed)) {
                        black_box(embedder.submit_patiently(&decode(bytes)).unwrap().wait().unwrap());
                    }
                });
            }
        });
        photos.len() as f64 / started.elapsed().as_secs_f64()
    });
    (rates.fold(0.0, f64::max) * 10.0).round() / 10.0
}

fn decode(bytes: &[u8]) -> Photo {
    Photo::decode(bytes, &Limits::default()).unwrap()
}

fn read(folder: &Path, count: usize) -> Vec<Vec<u8>> {
    let walk = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(|entry| entry.unwrap().into_path());
    let files = walk.filter(|path| path.extension().is_some_and(|ending| ending == "jpg"));
    files.take(count).map(|file| std::fs::read(file).unwrap()).collect()
}
