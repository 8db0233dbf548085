//! Checks that nobody waits for give way to those that somebody does.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Problem;
use crate::screening::Pace;

/// Between two looks for a free core.
const STEP: Duration = Duration::from_millis(2);

/// A photo waits no longer than this, so that a batch ends at last, however busy the service is.
const LONGEST: Duration = Duration::from_secs(1);

/// Listings of all batches share these places. A photo is begun only while a core is free of requests.
pub(super) struct Background {
    cores: usize,
    places: Arc<Semaphore>,
    /// Places of requests, and how many there are in all.
    requests: (Arc<Semaphore>, usize),
    /// Photos of batches that are worked on.
    running: Mutex<usize>,
}

impl Background {
    /// `requests` has `all` places when nobody is working.
    pub(super) fn new(cores: usize, requests: Arc<Semaphore>, all: usize) -> Self {
        let places = Arc::new(Semaphore::new(cores));
        Self { cores, places, requests: (requests, all), running: Mutex::new(0) }
    }

    /// A place for a listing; whoever came first has it first.
    pub(super) async fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.places).acquire_owned().await.map_err(|_| Problem::busy())
    }

    fn may_begin(&self, since: Instant) -> bool {
        let mut running = self.running.lock();
        let (requests, all) = &self.requests;
        let busy = all.saturating_sub(requests.available_permits()) + *running;
        let begins = busy < self.cores || (*running == 0 && since.elapsed() >= LONGEST);
        *running += usize::from(begins);
        begins
    }
}

impl Pace for Background {
    fn begin(&self) {
        let since = Instant::now();
        while !self.may_begin(since) {
            thread::sleep(STEP);
        }
    }

    fn end(&self) {
        *self.running.lock() -= 1;
    }
}
