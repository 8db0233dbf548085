//! Compares the intake of a reindex with embedding alone, on the same photos in the same run:
//! `cargo bench --bench intake -- FOLDER [PHOTOS]`.
//!
//! Embedding alone: photos decoded beforehand, in memory; preprocessing and the model, on all cores. Bare loop: also
//! reads and decodes them. Intake: everything that `touchstone reindex` does until the photos are staged.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use touchstone::assembly::Model;
use touchstone::config::Config;
use touchstone::embed::Embedder;
use touchstone::gallery::{Gallery, JournalEntry};
use touchstone::photo::{Limits, Photo};
use touchstone::reindex::{Plan, Progress, Sources, Tools, reindex};

const ROUNDS: usize = 3;

struct Quiet;

impl Progress for Quiet {
    fn total(&self, _: u64) {}
    fn step(&self) {}
    fn done(&self, _: &JournalEntry) {}
    fn phase(&self, _: &'static str) {}
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with("--")).collect();
    let source = PathBuf::from(args.first().map_or("demo/brand", String::as_str));
    let most = args.get(1).map_or(1_000, |text| text.parse().unwrap());
    let work = tempfile::tempdir().unwrap();
    // All three read the same files, in one folder.
    let photos = work.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    let files = files(&source, most);
    for (number, file) in files.iter().enumerate() {
        std::fs::copy(file, photos.join(format!("{number}.jpg"))).unwrap();
    }
    let config = Config::default();
    let gallery = Gallery::open(&work.path().join("bank")).unwrap();
    let model = Model::open(&config, &config.model, &gallery).unwrap();
    let decoded: Vec<Photo> = files.iter().map(|file| decode(file)).collect();
    let (mut alone, mut bare, mut intake) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        alone.push(rate(files.len(), || embed(&model.embedder, decoded.len(), |place| decoded[place].clone())));
        bare.push(rate(files.len(), || embed(&model.embedder, files.len(), |place| decode(&files[place]))));
        let mut seconds = 0.0;
        let whole =
            rate(files.len(), || seconds = take_in(&config, &model, &work.path().join(format!("{round}")), &photos));
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        intake.push(files.len() as f64 / seconds);
        println!("round {round}: with build, proof and publication {whole:.1} per second");
    }
    let best = |rates: &[f64]| rates.iter().copied().fold(0.0, f64::max);
    let (alone, bare, intake) = (best(&alone), best(&bare), best(&intake));
    println!("{} photos, best of {ROUNDS}", files.len());
    println!("embedding alone      {alone:8.1} per second   1.000");
    println!("decode and embed     {bare:8.1} per second   {:.3}", bare / alone);
    println!(
        "intake of a reindex  {intake:8.1} per second   {:.3}   {:.3} of decode and embed",
        intake / alone,
        intake / bare
    );
}

fn files(folder: &Path, most: usize) -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().filter_map(Result::ok);
    let files = walk.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path);
    let photos: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|ending| ending == "jpg" || ending == "png")).collect();
    let step = photos.len().div_ceil(most).max(1);
    photos.into_iter().step_by(step).collect()
}

fn decode(path: &Path) -> Photo {
    Photo::decode(&std::fs::read(path).unwrap(), &Limits::default()).unwrap()
}

fn embed(embedder: &Embedder, count: usize, photo: impl Fn(usize) -> Photo + Sync) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from) + 1;
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut pending = std::collections::VecDeque::new();
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    if place >= count {
                        break;
                    }
                    pending.push_back(embedder.submit_patiently(&photo(place)).unwrap());
                    if pending.len() > 32
                        && let Some(first) = pending.pop_front()
                    {
                        first.wait().unwrap();
                    }
                }
                for one in pending {
                    one.wait().unwrap();
                }
            });
        }
    });
}

/// Duration of the intake in seconds.
fn take_in(config: &Config, model: &Model, work: &Path, photos: &Path) -> f64 {
    let gallery = Arc::new(Gallery::open(&work.join("data")).unwrap());
    let plan = Plan {
        brand: "bench".parse().unwrap(),
        sources: Sources { authentic: vec![photos.display().to_string()], ..Sources::default() },
        prune: false,
        max_removed: 0.2,
        dry_run: false,
        points: false,
    };
    let tools = Tools::new(&gallery, model, &work.join("index"), config);
    reindex(&plan, &tools, &Quiet, &|_, _| true).unwrap().report.phases.take_in_s
}

fn rate(count: usize, work: impl FnOnce()) -> f64 {
    let started = Instant::now();
    work();
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = count as f64 / started.elapsed().as_secs_f64();
    rate
}
