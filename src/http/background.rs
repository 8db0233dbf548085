//! Batches run in the background: their photos give way to requests that a caller is waiting for.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Problem;
use crate::screening::Pace;

/// Interval between checks for a free core.
const STEP: Duration = Duration::from_millis(2);

/// The longest time that a photo of a batch waits for a free core, so that a batch ends however busy the service is.
const LONGEST: Duration = Duration::from_secs(1);

/// The permits that the listings of all batches share. A photo starts only while requests leave a core free.
pub(super) struct Background {
    cores: usize,
    places: Arc<Semaphore>,
    /// The permits of requests, and their total number.
    requests: (Arc<Semaphore>, usize),
    /// Number of photos of batches in work.
    running: Mutex<usize>,
}

impl Background {
    /// `requests` has `all` permits when no request is running.
    pub(super) fn new(cores: usize, requests: Arc<Semaphore>, all: usize) -> Self {
        let places = Arc::new(Semaphore::new(cores));
        Self { cores, places, requests: (requests, all), running: Mutex::new(0) }
    }

    /// Waits for a permit for one listing; first come, first served.
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
