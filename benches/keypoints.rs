//! Measures the keypoint index on datasets of `touchstone evaluate`: how often the true reference comes first, how many
//! votes unrelated photos get, and how long it takes.
//!
//! `cargo bench --bench keypoints -- [--fit PHOTOS] [--filler PHOTOS N,N,...] DATASET EDITS [DATASET EDITS ...]`
//!
//! `--fit` first learns a vocabulary from a folder of photos and writes it to models/keypoints. `--filler` measures
//! again beside that many made-up references: each has 100 keypoints drawn from all those of the photos, turned and
//! scaled at random, with two bits of the signature changed.

#![expect(clippy::print_stdout, clippy::unwrap_used, clippy::cast_precision_loss, reason = "a benchmark")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rayon::prelude::*;
use touchstone::align::{LocalFeatures, StrongestKeypoints, VisualWord, Vocabulary};
use touchstone::evaluate::{Class, Dataset, QueryRow, SplitBy};
use touchstone::index::KeypointIndex;
use touchstone::photo::{Limits, Photo};

fn main() {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench").peekable();
    let mut folders = Vec::new();
    let mut filler: Option<(PathBuf, Vec<u64>)> = None;
    while let Some(arg) = args.next() {
        if arg == "--fit" {
            fit(Path::new(&args.next().unwrap()));
        } else if arg == "--filler" {
            let folder = PathBuf::from(args.next().unwrap());
            filler = Some((folder, args.next().unwrap().split(',').map(|text| text.parse().unwrap()).collect()));
        } else {
            folders.push(PathBuf::from(arg));
        }
    }
    let vocabulary = Vocabulary::load(Path::new("models")).unwrap();
    println!("vocabulary {}, {} words, {}", vocabulary.id(), vocabulary.len(), vocabulary.fitted_on());
    let index = KeypointIndex::new(vocabulary.len());
    let mut names: Vec<String> = Vec::new();
    let mut queries = Vec::new();
    for two in folders.chunks(2) {
        let dataset = Dataset::read(&two[0], &two[1..], SplitBy::Group).unwrap();
        let root = two[0].file_name().unwrap().to_string_lossy().into_owned();
        let words: Vec<Vec<VisualWord>> = dataset
            .references
            .par_iter()
            .map(|row| {
                let photo = photo(&dataset.root.join(&row.path));
                photo.map_or_else(Vec::new, |photo| vocabulary.words(&LocalFeatures::of(photo.rgb())))
            })
            .collect();
        for (row, words) in dataset.references.iter().zip(&words) {
            index.insert(names.len() as u64, words);
            names.push(format!("{root}/{}", row.path));
        }
        queries.extend(dataset.queries.into_iter().map(|query| (root.clone(), query)));
    }
    let seen: Vec<Seen<'_>> = queries
        .par_iter()
        .filter_map(|(root, query)| {
            let probes = vocabulary.probes(&mut StrongestKeypoints::of(photo(&query.file)?.rgb()));
            Some(Seen { root, query, probes })
        })
        .collect();
    measure(&index, &seen, &names);
    let Some((folder, counts)) = filler else { return };
    let pool: Vec<VisualWord> = pictures(&folder).iter().flat_map(|features| vocabulary.words(features)).collect();
    let mut random = StdRng::seed_from_u64(1);
    for count in counts {
        for key in index.stats().keys as u64..count {
            let turn = random.random_range(0..64_u64) << 31;
            let words: Vec<VisualWord> = (0..100)
                .map(|_| {
                    let bits = pool[random.random_range(0..pool.len())].to_bits();
                    let noise = 1 << random.random_range(0..27_u32) | 1 << random.random_range(0..27_u32);
                    let angle = ((bits & (63 << 31)) + turn) & (63 << 31);
                    VisualWord::from_bits((bits & !(63 << 31) | angle) ^ noise, vocabulary.len()).unwrap()
                })
                .collect();
            index.insert(key + 1_000_000_000, &words);
        }
        measure(&index, &seen, &names);
    }
}

struct Seen<'a> {
    root: &'a str,
    query: &'a QueryRow,
    probes: Vec<Vec<VisualWord>>,
}

fn measure(index: &KeypointIndex, seen: &[Seen<'_>], names: &[String]) {
    let stats = index.stats();
    println!("\n{stats:?}, {:.0} bytes a reference", stats.bytes as f64 / stats.keys as f64);
    let started = Instant::now();
    let mut answers: BTreeMap<(String, String), Vec<Option<usize>>> = BTreeMap::new();
    let mut wrong: BTreeMap<(String, String), Vec<f32>> = BTreeMap::new();
    let mut right: BTreeMap<(String, String), Vec<f32>> = BTreeMap::new();
    for Seen { root, query, probes } in seen {
        let found = index.search(probes, 0.5, 100, None);
        let kind = query.strength.clone().unwrap_or_else(|| query.kind.clone());
        let kind = ((*root).to_owned(), kind);
        if query.class == Class::Copy {
            let truth = format!("{root}/{}", query.copy_of.as_ref().unwrap());
            let is_true = |key: &u64| usize::try_from(*key).ok().and_then(|at| names.get(at)) == Some(&truth);
            let place = found.iter().position(|vote| vote.keys.iter().any(is_true));
            answers.entry(kind.clone()).or_default().push(place);
            right.entry(kind).or_default().push(place.map_or(0.0, |place| found[place].votes));
        } else {
            wrong.entry(kind).or_default().push(found.first().map_or(0.0, |vote| vote.votes));
        }
    }
    println!("search: {:.2} ms a photo, one thread", started.elapsed().as_secs_f64() * 1e3 / seen.len() as f64);
    for ((root, kind), places) in &answers {
        let within = |most: usize| {
            let count = places.iter().filter(|place| place.is_some_and(|place| place < most)).count();
            100.0 * count as f64 / places.len() as f64
        };
        println!(
            "{root:<6} {kind:<22} {:>5}  first {:>5.1}  4 {:>5.1}  12 {:>5.1}",
            places.len(),
            within(1),
            within(4),
            within(12)
        );
    }
    println!("share of photos whose best reference (copies: true reference) has as many votes");
    print!("{:<36}", "");
    let steps = [1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0, 12.0];
    for step in steps {
        print!("{step:>7}");
    }
    println!();
    for (name, all) in [("copy", &right), ("other", &wrong)] {
        for ((root, kind), votes) in all {
            print!("{name:<6}{root:<6} {kind:<18} {:>5}", votes.len());
            for step in steps {
                print!(
                    "{:>7.1}",
                    100.0 * votes.iter().filter(|&&votes| votes >= step).count() as f64 / votes.len() as f64
                );
            }
            println!();
        }
    }
}

fn photo(path: &Path) -> Option<Photo> {
    Some(Photo::decode(&std::fs::read(path).ok()?, &Limits::default()).ok()?.as_seen())
}

fn fit(folder: &Path) {
    let features = pictures(folder);
    let centres = std::env::var("CENTRES").ok().and_then(|text| text.parse().ok()).unwrap_or(512);
    let vocabulary = Vocabulary::fit(&features, centres, &format!("{} photos", features.len()));
    let path = Vocabulary::path(Path::new("models"));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, vocabulary.to_json()).unwrap();
}

fn pictures(folder: &Path) -> Vec<LocalFeatures> {
    let mut paths: Vec<PathBuf> = walkdir::WalkDir::new(folder)
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
        .map(walkdir::DirEntry::into_path)
        .collect();
    paths.sort();
    paths.par_iter().filter_map(|path| Some(LocalFeatures::of(photo(path)?.rgb()))).collect()
}
