//! Backfill: checks the listings of a table at the machine's full rate, in a process that yields to the service's, and
//! resumes where an earlier run stopped.

mod done;
mod listings;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crossbeam_channel::bounded;
use parking_lot::Mutex;
use serde::Serialize;
use thiserror::Error;

use crate::decoder::Decoder;
use crate::domain::Action;
use crate::gallery::IdempotencyKey;
use crate::photo::{PhotoError, Sha256};
use crate::reindex::{ReindexError, Stores};
use crate::screening::{AtOnce, CheckAnswer, ScreenError, Screener, Upload};

pub use done::Done;
use listings::{Listed, count, list};

/// Stands for an API key in a backfill's idempotency keys; nobody sends it over HTTP.
const BY_COMMAND: &str = "backfill";

/// The settings of a run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The table: `.csv`, `.jsonl` or `.parquet`.
    pub manifest: String,
    /// Where the table may point to, besides its own folder.
    pub allowed: Vec<String>,
    /// Whether to store each check, and open a case for each that is not allowed.
    pub keep: bool,
    /// The greatest number of photos in a listing.
    pub max_photos: usize,
    /// Number of listings that are checked at once.
    pub workers: usize,
}

/// Why a run stops.
#[derive(Debug, Error)]
pub enum BackfillError {
    /// The table cannot be read.
    #[error(transparent)]
    Source(#[from] ReindexError),
    /// The answers file cannot be read or written.
    #[error("{path}: {source}")]
    Out {
        /// Path of the answers file.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// Another run writes to the answers file.
    #[error("another run writes to {0}; wait until it ends, or name another file")]
    Busy(String),
    /// The model, the database or the disk fails for every listing.
    #[error(transparent)]
    Screen(ScreenError),
}

/// The answer to a listing: a line of the answers file.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// Number of the listing's first row.
    pub line: usize,
    /// Identifies the listing by its rows; changes with them.
    pub row: String,
    /// The marketplace's id of the listing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listing_id: Option<String>,
    /// The answer that a single check would have given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckAnswer>,
    /// Why there is no check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Fault>,
}

/// Why a listing has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Stable kebab-case code.
    pub code: String,
    /// What was wrong, and what to do.
    pub detail: String,
    /// The photo at fault, counted from 0; absent if the row is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub photo: Option<usize>,
}

/// Number of listings by result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Listings with the action `allow`.
    pub allow: u64,
    /// Listings with the action `review`.
    pub review: u64,
    /// Listings with the action `block`.
    pub block: u64,
    /// Listings without an answer.
    pub refused: u64,
    /// Listings that an earlier run answered.
    pub done_before: u64,
}

/// Receives a run's progress.
pub trait Watch: Sync {
    /// The number of listings, once it is known.
    fn total(&self, listings: u64);
    /// One more listing is done, now or by an earlier run.
    fn step(&self);
}

/// Receives answers, from several threads.
pub type Tell<'a> = &'a (dyn Fn(&Answer) -> Result<(), BackfillError> + Sync);

/// Checks every listing of a table that is not done yet.
///
/// # Errors
/// When the table cannot be read, an answer cannot be written, or nothing can be checked at all. `tell` has received
/// all answers until then.
pub fn run(
    plan: &Plan,
    stores: &Stores,
    screener: &Screener,
    done: &Done,
    watch: &dyn Watch,
    tell: Tell<'_>,
) -> Result<Totals, BackfillError> {
    let totals = Mutex::new(Totals::default());
    let failed: Mutex<Option<BackfillError>> = Mutex::new(None);
    let stop = AtomicBool::new(false);
    let fail = |error: BackfillError| {
        stop.store(true, Ordering::Release);
        failed.lock().get_or_insert(error);
    };
    let (listings, waiting) = bounded::<Listed>(plan.workers.max(1));
    thread::scope(|scope| {
        for _ in 0..plan.workers.max(1) {
            let waiting = waiting.clone();
            let (totals, stop, fail) = (&totals, &stop, &fail);
            scope.spawn(move || {
                for listed in waiting {
                    if stop.load(Ordering::Acquire) {
                        continue;
                    }
                    // References that were added since the run began.
                    if let Err(error) = screener.library.refresh() {
                        tracing::warn!(%error, "newer references are not applied yet");
                    }
                    match answer(plan, stores, screener, listed).and_then(|answer| tell(&answer).map(|()| answer)) {
                        Ok(answer) => totals.lock().count(&answer),
                        Err(error) => fail(error),
                    }
                    watch.step();
                }
            });
        }
        drop(waiting);
        scope.spawn(|| {
            if let Some(total) = count(plan, stores, &stop) {
                watch.total(total);
            }
        });
        let mut before = 0;
        let listed = list(plan, stores, &mut |listed| {
            if done.has(&listed.row) {
                before += 1;
                watch.step();
                return !stop.load(Ordering::Acquire);
            }
            listings.send(listed).is_ok() && !stop.load(Ordering::Acquire)
        });
        drop(listings);
        totals.lock().done_before = before;
        if let Err(error) = listed {
            fail(error.into());
        }
    });
    match failed.into_inner() {
        Some(error) => Err(error),
        None => Ok(totals.into_inner()),
    }
}

impl Totals {
    fn count(&mut self, answer: &Answer) {
        let count = match answer.check.as_ref().map(|check| check.action) {
            Some(Action::Allow) => &mut self.allow,
            Some(Action::Review) => &mut self.review,
            Some(Action::Block) => &mut self.block,
            None => &mut self.refused,
        };
        *count += 1;
    }
}

/// The outer error is one that every listing would meet.
fn answer(plan: &Plan, stores: &Stores, screener: &Screener, listed: Listed) -> Result<Answer, BackfillError> {
    let Listed { line, row, listing, photos, fault } = listed;
    let told = |outcome: Result<CheckAnswer, Fault>| {
        let listing_id = listing.listing_id.clone();
        let (check, problem) = match outcome {
            Ok(check) => (Some(check), None),
            Err(fault) => (None, Some(fault)),
        };
        Ok(Answer { line, row: row.clone(), listing_id, check, problem })
    };
    if let Some(fault) = fault {
        return told(Err(fault));
    }
    let mut uploads = Vec::with_capacity(photos.len());
    for (index, (source, place)) in photos.iter().enumerate() {
        match stores.bytes(place, max_bytes(&screener.decoder)) {
            Ok(bytes) => uploads.push(Upload::sent(Some(source.clone()), bytes)),
            Err(refusal) => {
                let detail = format!("{source}: {}", refusal.detail);
                return told(Err(Fault { code: refusal.code.to_owned(), detail, photo: Some(index) }));
            }
        }
    }
    let key = plan.keep.then(|| key(&row, &uploads));
    let checked = match &key {
        Some(key) => screener
            .check_patiently(&listing, &uploads, Some(IdempotencyKey { api_key: BY_COMMAND, key }), &AtOnce)
            .and_then(|answered| Ok(serde_json::from_str(&answered.json)?)),
        None => screener.screen_patiently(&listing, &uploads, &AtOnce),
    };
    match checked {
        Ok(check) => told(Ok(check)),
        Err(ScreenError::Photo { source: PhotoError::DecoderUnavailable, index }) => {
            Err(BackfillError::Screen(ScreenError::Photo { index, source: PhotoError::DecoderUnavailable }))
        }
        Err(ScreenError::Photo { index, source }) => {
            let name = photos.get(index).map(|(source, _)| source.as_str()).unwrap_or_default();
            let detail = format!("{name}: {source}");
            told(Err(Fault { code: source.code().to_owned(), detail, photo: Some(index) }))
        }
        Err(other) => Err(BackfillError::Screen(other)),
    }
}

fn max_bytes(decoder: &Decoder) -> usize {
    decoder.limits().max_bytes
}

/// The same photos in the same row have the same key, so that a repeated run stores no check twice.
fn key(row: &str, uploads: &[Upload]) -> String {
    let sums: Vec<String> = uploads.iter().map(|upload| Sha256::of(&upload.bytes).to_string()).collect();
    format!("backfill:{row}:{}", Sha256::of(sums.concat().as_bytes()))
}
