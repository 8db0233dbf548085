//! Many listings out of a table, checked at the machine's full rate in a process that gives way to the service's, and gone on
//! with where it was stopped.

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
use crate::gallery::{Action, IdempotencyKey};
use crate::photo::{PhotoError, Sha256};
use crate::reindex::{ReindexError, Stores};
use crate::screening::{CheckAnswer, Pace, ScreenError, Screener, Upload};

pub use done::Done;
use listings::{Listed, count, list};

/// Stands for an API key in the idempotency keys of a backfill, which nobody sends over HTTP.
const BY_COMMAND: &str = "backfill";

/// What is to be checked.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The table: `.csv`, `.jsonl` or `.parquet`.
    pub manifest: String,
    /// Where it may point to, beside its own folder.
    pub allowed: Vec<String>,
    /// Keep each check, and make a case of each that is not allowed.
    pub keep: bool,
    /// Photos of one listing at most.
    pub max_photos: usize,
    /// Listings worked on at once.
    pub workers: usize,
}

/// Why a run stops.
#[derive(Debug, Error)]
pub enum BackfillError {
    /// The table cannot be read.
    #[error(transparent)]
    Source(#[from] ReindexError),
    /// The file of answers cannot be read or written.
    #[error("{path}: {source}")]
    Out {
        /// The file.
        path: String,
        /// The system's words.
        source: io::Error,
    },
    /// Another run writes there.
    #[error("another run writes to {0}; wait for it, or name another file")]
    Busy(String),
    /// The model, the database or the disk fails for every listing.
    #[error(transparent)]
    Screen(ScreenError),
}

/// The answer to a listing: a line of the file of answers.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// Number of its first row.
    pub line: usize,
    /// Tells the listing from others, and from itself when its row has changed.
    pub row: String,
    /// The marketplace's id of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listing_id: Option<String>,
    /// What a single check would have answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckAnswer>,
    /// Why there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Fault>,
}

/// Why a listing has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Stable kebab-case code.
    pub code: String,
    /// What was wrong and what to do.
    pub detail: String,
    /// Which photo, from 0, where one is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub photo: Option<usize>,
}

/// What became of all listings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Allowed.
    pub allow: u64,
    /// For a person.
    pub review: u64,
    /// Blocked.
    pub block: u64,
    /// Without an answer.
    pub refused: u64,
    /// Answered by an earlier run.
    pub done_before: u64,
}

/// Told how far a run is.
pub trait Watch: Sync {
    /// How many listings there are.
    fn total(&self, listings: u64);
    /// One is done, now or before.
    fn step(&self);
}

/// Takes answers, from several threads.
pub type Tell<'a> = &'a (dyn Fn(&Answer) -> Result<(), BackfillError> + Sync);

/// Checks every listing of a table that is not done yet.
///
/// # Errors
/// When the table cannot be read, an answer not be written, or nothing can be checked at all. What was answered until then was told.
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

/// The outer error is of what fails for every listing.
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

/// The same photos of the same row have the same key, so that a run that is made again keeps nothing twice.
fn key(row: &str, uploads: &[Upload]) -> String {
    let sums: Vec<String> = uploads.iter().map(|upload| Sha256::of(&upload.bytes).to_string()).collect();
    format!("backfill:{row}:{}", Sha256::of(sums.concat().as_bytes()))
}

/// This process has the lowest priority as a whole.
struct AtOnce;

impl Pace for AtOnce {
    fn begin(&self) {}

    fn end(&self) {}
}
