//! Measures what the memory of checked photos finds again: checks photos against an empty gallery, adds references, and
//! prints each pair of a remembered photo and a reference with its similarity and votes.
//!
//!     cargo bench --bench lookback -- pairs REFERENCES PHOTOS > pairs.jsonl
//!     cargo bench --bench lookback -- fill DATA PHOTOS COUNT
//!
//! REFERENCES and PHOTOS are files with a path on each line. `fill` writes a data folder whose memory has COUNT photos:
//! the given ones, and noisy variants of them, which belong to no check.

#![expect(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, clippy::panic, reason = "a benchmark")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use touchstone::align::{LocalFeatures, VisualWord, Vocabulary};
use touchstone::assembly::Parts;
use touchstone::config::Config;
use touchstone::embed::{Embedding, RoundedEmbedding};
use touchstone::gallery::{FloodLimits, NewRemembered, StoredCheck};
use touchstone::index::KeypointIndex;
use touchstone::memory::{Memory, Remembered};
use touchstone::photo::{Limits, Photo, Sha256};
use touchstone::screening::{CheckAnswer, Listing, Screener, Upload};

/// Pairs that are less similar and have fewer votes are not printed.
const SIMILAR: f32 = 0.25;
const VOTED: f32 = 2.0;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    match args[0].as_str() {
        "pairs" => pairs(&lines(&args[1]), &lines(&args[2])),
        "fill" => fill(Path::new(&args[1]), &lines(&args[2]), args[3].parse().unwrap()),
        other => panic!("{other:?}, expected pairs or fill"),
    }
}

fn lines(path: &str) -> Vec<PathBuf> {
    std::fs::read_to_string(path).unwrap().lines().map(PathBuf::from).collect()
}

fn open(data: &Path) -> Parts {
    let mut config = Config { data: data.join("data"), index_dir: data.join("index"), ..Config::default() };
    // A benchmark cannot decode in processes of its own.
    config.decoder.apart = false;
    Parts::open(&config).unwrap()
}

/// Checks each photo as a listing of its own. Returns the path of each check's photo.
fn check_all(screener: &Screener, photos: &[PathBuf]) -> HashMap<String, PathBuf> {
    let (next, checked) = (AtomicUsize::new(0), Mutex::new(HashMap::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(path) = photos.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let upload = Upload::sent(None, std::fs::read(path).unwrap().into());
                    let seller = Some(format!("seller-{}", next.load(Ordering::Relaxed) % 97));
                    let listing = Listing {
                        seller_id: seller,
                        listing_id: Some(path.display().to_string()),
                        ..Listing::default()
                    };
                    match screener.check(&listing, &[upload], None) {
                        Ok(answered) => {
                            let answer: CheckAnswer = serde_json::from_str(&answered.json).unwrap();
                            checked.lock().unwrap().insert(answer.id, path.clone());
                        }
                        Err(error) => eprintln!("{}: {error}", path.display()),
                    }
                }
            });
        }
    });
    checked.into_inner().unwrap()
}

fn pairs(references: &[PathBuf], photos: &[PathBuf]) {
    let folder = tempfile::tempdir().unwrap();
    let parts = open(folder.path());
    let screener = &parts.screener;
    let checked = check_all(screener, photos);
    let words = KeypointIndex::new(screener.vocabulary.len());
    let known: Vec<(&PathBuf, RoundedEmbedding)> = references
        .iter()
        .enumerate()
        .filter_map(|(key, path)| {
            let bytes = std::fs::read(path).unwrap();
            let photo = Photo::decode(&bytes, &Limits::default()).ok()?.on_each_ground().0;
            let embedding: Embedding = screener.embedder.submit(&photo).unwrap().wait().unwrap();
            let features = LocalFeatures::of(photo.rgb());
            words.insert(key as u64, &screener.vocabulary.probes_of(&features).concat());
            Some((path, RoundedEmbedding::of(&embedding)))
        })
        .collect();
    assert_eq!(known.len(), references.len(), "every reference can be decoded");
    let memory = Memory::of(&screener.gallery);
    memory.flush().unwrap();
    let mut position = None;
    while let Some(segment) = memory.segment_before(position).unwrap() {
        let visit =
            |photos: &[Remembered<'_>]| photos.iter().for_each(|photo| see(photo, screener, &words, &known, &checked));
        memory.visit(&segment, i64::MIN, &visit).unwrap();
        position = Some((segment.day, segment.place));
    }
}

fn see(
    photo: &Remembered<'_>,
    screener: &Screener,
    words: &KeypointIndex,
    known: &[(&PathBuf, RoundedEmbedding)],
    checked: &HashMap<String, PathBuf>,
) {
    let embedding = photo.embedding();
    let level = screener.scoring.level(&embedding.restored().unwrap());
    let seen = screener.vocabulary.from_bytes(photo.words).unwrap();
    let probes: Vec<Vec<VisualWord>> = seen.iter().map(|word| vec![*word]).collect();
    let votes = words.search(&probes, VOTED, usize::MAX, None);
    let votes: HashMap<u64, f32> =
        votes.iter().flat_map(|vote| vote.keys.iter().map(|key| (*key, vote.votes))).collect();
    for (key, (path, own)) in known.iter().enumerate() {
        let (similarity, votes) = (own.similarity(&embedding), votes.get(&(key as u64)).copied().unwrap_or_default());
        if similarity >= SIMILAR || votes >= VOTED {
            let line = json!({
                "photo": checked[photo.check_id], "reference": path, "similarity": similarity, "level": level,
                "votes": votes, "words": seen.len(),
            });
            println!("{line}");
        }
    }
}

fn fill(data: &Path, photos: &[PathBuf], count: usize) {
    let parts = open(data);
    let screener = &parts.screener;
    check_all(screener, photos);
    let memory = Memory::of(&screener.gallery);
    memory.flush().unwrap();
    let originals = Mutex::new(Vec::new());
    let mut position = None;
    while let Some(segment) = memory.segment_before(position).unwrap() {
        let keep = |photos: &[Remembered<'_>]| {
            let own = photos.iter().map(|photo| (photo.scale, photo.embedding.to_vec(), photo.words.to_vec()));
            originals.lock().unwrap().extend(own);
        };
        memory.visit(&segment, i64::MIN, &keep).unwrap();
        position = Some((segment.day, segment.place));
    }
    let originals = originals.into_inner().unwrap();
    let mut random = StdRng::seed_from_u64(1);
    let mut made = originals.len();
    while made < count {
        let records: Vec<Vec<u8>> = (0..500.min(count - made))
            .map(|number| {
                let (scale, embedding, words) = &originals[(made + number) % originals.len()];
                // One number in eight is another one: a cosine of about 0.9.
                let embedding: Vec<u8> = embedding
                    .iter()
                    .map(|number| {
                        if random.random_ratio(1, 8) {
                            embedding[random.random_range(0..embedding.len())]
                        } else {
                            *number
                        }
                    })
                    .collect();
                let record = Remembered {
                    check_id: &format!("chk_filler{:026}", made + number),
                    photo: 0,
                    sha256: Sha256::of(&(made + number).to_le_bytes()).0,
                    listing_id: Some("filler-listing"),
                    seller_id: Some("filler-seller"),
                    at: jiff::Timestamp::now().as_second(),
                    scale: *scale,
                    embedding: &embedding,
                    words: &noisy(words, &mut random),
                };
                record.encode()
            })
            .collect();
        let photos = (made..made + records.len()).map(|number| Sha256::of(&number.to_le_bytes())).collect();
        made += records.len();
        let remembered = NewRemembered {
            model: screener.library.model().to_owned(),
            vocabulary: screener.vocabulary.id().to_owned(),
            records,
            photos,
        };
        let id = format!("chk_filler_batch_{made}");
        let check = StoredCheck {
            id: &id,
            idempotency_key: None,
            request_sha256: Sha256([0; 32]),
            listing_id: None,
            seller_id: Some(&format!("filler-{}", made % 1000)),
            action: "allow",
            created_at: jiff::Timestamp::now(),
            answer: "{}",
            photos: &[],
            hits: &[],
            case: None,
            remembered: &remembered,
            signals: &[],
        };
        screener.gallery.save_check(&check, &FloodLimits::default()).unwrap();
        memory.flush().unwrap();
    }
    println!("{}", json!(memory.stats().unwrap()));
}

/// The words of another photo: each signature differs in a few bits.
fn noisy(words: &[u8], random: &mut StdRng) -> Vec<u8> {
    let (eights, _) = words.as_chunks::<8>();
    let bits = eights
        .iter()
        .map(|bits| u64::from_le_bytes(*bits) ^ (random.random::<u64>() & random.random::<u64>() & 0x7ff_ffff));
    let words: Vec<VisualWord> = bits.filter_map(|bits| VisualWord::from_bits(bits, usize::MAX)).collect();
    Vocabulary::to_bytes(&words)
}
