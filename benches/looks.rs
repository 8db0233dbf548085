//! Measures each part of a check, as a multiple of one run of the default model on one thread:
//! `cargo bench --bench looks -- PHOTO ...` (without arguments, the demo's photos).

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use touchstone::align::{LocalFeatures, QueryFeatures, StrongestKeypoints, Vocabulary, align};
use touchstone::config::Config;
use touchstone::embed::{EmbedOptions, Embedder, ModelManifest, load_runtime};
use touchstone::photo::{Limits, Photo};

fn main() {
    let named: Vec<PathBuf> =
        std::env::args().skip(1).filter(|name| !name.starts_with("--")).map(PathBuf::from).collect();
    let paths = if named.is_empty() { demo() } else { named };
    let files: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let config = Config::default();
    load_runtime(&config.runtime).unwrap();
    let manifest = ModelManifest::load(&config.models, &config.model).unwrap();
    let options = EmbedOptions { workers: 1, ..EmbedOptions::default() };
    let embedder = Embedder::start(&config.models, manifest, &options).unwrap();
    let photos: Vec<Photo> = files.iter().map(|bytes| Photo::decode(bytes, &Limits::default()).unwrap()).collect();
    let queries: Vec<QueryFeatures> = photos.iter().map(|photo| QueryFeatures::of(photo.rgb())).collect();
    let references: Vec<LocalFeatures> = photos.iter().map(|photo| LocalFeatures::of(photo.rgb())).collect();
    let kept: Vec<Vec<u8>> = references.iter().map(LocalFeatures::to_bytes).collect();
    let embed = |place: usize| drop(black_box(embedder.submit_patiently(&photos[place]).unwrap().wait().unwrap()));
    let other = |place: usize| (place + 1) % photos.len();
    let run = time(photos.len(), &embed);
    println!("{:<44}{:>9}{:>9}", "", "ms", "runs");
    let show = |name: &str, seconds: f64| println!("{name:<44}{:>9.2}{:>9.2}", seconds * 1e3, seconds / run);
    show("one run of the model, with preprocessing", run);
    show(
        "decode",
        time(photos.len(), &|place| drop(black_box(Photo::decode(&files[place], &Limits::default()).unwrap()))),
    );
    show("panels", time(photos.len(), &|place| drop(black_box(photos[place].panels()))));
    let vocabulary = Vocabulary::load(&config.models).unwrap();
    show(
        "strongest keypoints of a photo, as words",
        time(photos.len(), &|place| {
            drop(black_box(vocabulary.probes(&mut StrongestKeypoints::of(photos[place].rgb()))));
        }),
    );
    show(
        "all keypoints of a photo",
        time(photos.len(), &|place| drop(black_box(QueryFeatures::of(photos[place].rgb())))),
    );
    show(
        "read a reference's keypoints",
        time(photos.len(), &|place| drop(black_box(LocalFeatures::from_bytes(&kept[place])))),
    );
    show("align with itself", time(photos.len(), &|place| _ = black_box(align(&queries[place], &references[place]))));
    show(
        "align with another",
        time(photos.len(), &|place| _ = black_box(align(&queries[place], &references[other(place)]))),
    );
}

/// Mean seconds over all photos, after one round to warm up.
fn time(places: usize, work: &dyn Fn(usize)) -> f64 {
    (0..places).for_each(work);
    let rounds = 3;
    let started = Instant::now();
    (0..rounds).for_each(|_| (0..places).for_each(work));
    #[expect(clippy::cast_precision_loss, reason = "a few photos")]
    let count = (rounds * places) as f64;
    started.elapsed().as_secs_f64() / count
}

fn demo() -> Vec<PathBuf> {
    let folder = Path::new("demo/photos");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
