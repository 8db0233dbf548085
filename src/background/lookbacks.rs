//! Moves remembered photos into the memory, searches it for references that were added, and has stored photos judged again
//! after another model began to serve.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::gallery::GalleryError;
use crate::lookback::{LookbackError, Searcher, Tally};
use crate::memory::Memory;
use crate::screening::{Pace, Screener};

/// Time between two flushes of the memory.
const FLUSH: Duration = Duration::from_secs(5);
/// Wait after a run that found nothing to do.
const IDLE: Duration = Duration::from_secs(1);
/// Wait after a lookback has failed.
const PAUSE: Duration = Duration::from_mins(1);

/// Keeps the memory flushed and runs lookbacks that are due, beside the checks of a service.
#[derive(Debug, Default)]
pub struct LookbackWatch {
    busy: AtomicBool,
    stop: AtomicBool,
    flushed: Mutex<Option<Instant>>,
    failed: Mutex<Option<Instant>>,
    /// When a run last found nothing to do.
    idle: Mutex<Option<Instant>>,
}

impl LookbackWatch {
    /// Starts what is due. Returns at once; call it repeatedly.
    pub fn tick(self: &Arc<Self>, screener: &Screener, pace: &Arc<dyn Pace + Send + Sync>) {
        if let Err(error) = self.flush(screener) {
            tracing::error!(%error, "remembered photos stay in the database: they cannot be moved into the memory");
        }
        match follow(screener, Timestamp::now()) {
            Ok(false) => {}
            Ok(true) => self.start(screener, pace),
            Err(error) => tracing::error!(%error, "new references cannot be recorded for lookbacks"),
        }
    }

    /// Ends the running lookback after the current segment; the next start resumes it.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    fn flush(&self, screener: &Screener) -> Result<(), LookbackError> {
        let mut flushed = self.flushed.lock();
        if flushed.is_none_or(|last| last.elapsed() >= FLUSH) {
            *flushed = Some(Instant::now());
            Memory::of(&screener.gallery).try_flush()?;
        }
        Ok(())
    }

    fn start(self: &Arc<Self>, screener: &Screener, pace: &Arc<dyn Pace + Send + Sync>) {
        let resting = self.failed.lock().is_some_and(|when| when.elapsed() < PAUSE)
            || self.idle.lock().is_some_and(|when| when.elapsed() < IDLE);
        if resting || self.busy.swap(true, Ordering::AcqRel) {
            return;
        }
        let (watch, screener, pace) = (Arc::clone(self), screener.clone(), Arc::clone(pace));
        thread::spawn(move || {
            let done = Searcher::new(&screener, &*pace, &watch.stop).run_due(&mut |_| {});
            match done {
                // Another process works on it.
                Ok(tally) if tally == Tally::default() => *watch.idle.lock() = Some(Instant::now()),
                Ok(tally) => tracing::info!(photos = tally.photos, found = tally.found, "a lookback ended"),
                Err(error) => {
                    tracing::error!(%error, "a lookback stopped; it resumes in a minute");
                    *watch.failed.lock() = Some(Instant::now());
                }
            }
            watch.busy.store(false, Ordering::Release);
        });
    }
}

/// Notes new references and a change of the model. Returns whether any search is due.
fn follow(screener: &Screener, now: Timestamp) -> Result<bool, GalleryError> {
    let gallery = &screener.gallery;
    let references = gallery.follow_lookbacks(now)?;
    if !screener.memory.keep {
        return Ok(references);
    }
    let since = screener.memory.since(now);
    Ok(gallery.follow_model(screener.library.model(), since, now)? || references)
}
