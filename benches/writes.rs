//! How many checks a second can be stored, which bounds a cluster, because its writes are one after the other:
//! `cargo bench --bench writes -- [SECONDS]`, and behind `scripts/with-postgres` on PostgreSQL, too.
//!
//! Threads store checks of one photo each, with what is remembered of it, and nothing else. `nodes`: galleries that are opened on
//! one database, as nodes do. Prints one JSON object a line.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use touchstone::gallery::{FloodLimits, Gallery, NewRemembered, StoredCheck};
use touchstone::photo::Sha256;
use touchstone::storage::{PostgresUrl, StorageOptions};

/// About what the answer for one photo with a match takes.
const ANSWER: usize = 2_000;

/// About what is remembered of a photo.
const RECORD: usize = 1_300;

fn main() {
    let seconds = std::env::args().skip(1).find_map(|text| text.parse().ok()).unwrap_or(3);
    let server: Option<PostgresUrl> = std::env::var("POSTGRES_FOR_TESTS").ok().map(|url| url.parse().unwrap());
    for (nodes, threads) in [(1, 1), (1, 4), (1, 16), (2, 16)] {
        for database in [None, server.as_ref()].into_iter().take(1 + usize::from(server.is_some())) {
            let work = tempfile::tempdir().unwrap();
            let rate = stored(work.path(), database, (nodes, threads), Duration::from_secs(seconds));
            let engine = if database.is_some() { "postgres" } else { "sqlite" };
            println!(
                "{}",
                serde_json::json!({ "engine": engine, "nodes": nodes, "threads": threads, "checks_per_s": rate.round() })
            );
        }
    }
}

fn stored(folder: &Path, database: Option<&PostgresUrl>, (nodes, threads): (usize, usize), time: Duration) -> f64 {
    let options = StorageOptions { database: database.cloned(), ..StorageOptions::default() };
    let galleries: Vec<Gallery> = (0..nodes).map(|_| Gallery::open_on(folder, &options, None).unwrap()).collect();
    let (count, done) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (gallery, count, done) = (&galleries[thread % nodes], &count, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Acquire) {
                    store(gallery);
                    count.fetch_add(1, Ordering::AcqRel);
                }
            });
        }
        std::thread::sleep(time);
        done.store(true, Ordering::Release);
    });
    let stored = u32::try_from(count.into_inner()).unwrap();
    f64::from(stored) / time.as_secs_f64()
}

fn store(gallery: &Gallery) {
    let number = rand::random::<u128>();
    let id = format!("chk_{number:032x}");
    let answer = "x".repeat(ANSWER);
    let remembered = NewRemembered {
        model: "sscd-distilled".to_owned(),
        vocabulary: "keypoints".to_owned(),
        records: vec![vec![7; RECORD]],
        photos: vec![Sha256::of(id.as_bytes())],
    };
    let check = StoredCheck {
        id: &id,
        idempotency_key: None,
        request_sha256: Sha256::of(id.as_bytes()),
        listing_id: Some(&id),
        seller_id: Some(&id[..12]),
        action: "allow",
        created_at: jiff::Timestamp::now(),
        answer: &answer,
        photos: &[],
        hits: &[],
        case: None,
        remembered: &remembered,
        signals: &[],
    };
    gallery.save_check(&check, &FloodLimits::default()).unwrap();
}
