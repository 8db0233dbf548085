//! Keeps the parts that answer requests up to date: changed references, published generations, another model.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;

use crate::assembly::{Model, Parts, serving_model};
use crate::background::LookbackWatch;
use crate::config::Config;
use crate::gallery::Fault;
use crate::memory::Memory;
use crate::screening::Pace;

/// Interval between erasures of data older than its retention.
const SWEEP: Duration = Duration::from_hours(1);

/// Wait after a generation or a model could not be loaded.
const PAUSE: Duration = Duration::from_mins(1);

/// The parts that answer requests; replaced as a whole.
pub(super) struct Serving {
    config: Config,
    parts: ArcSwap<Parts>,
    /// Why checks cannot be trusted now; `None` when they can.
    fault: Mutex<Option<String>>,
    /// Whether this model has embedded every reference.
    embedded: AtomicBool,
    rebuilding: AtomicBool,
    /// Whether visual words are being computed.
    wording: AtomicBool,
    opening: AtomicBool,
    lookbacks: Arc<LookbackWatch>,
    /// Lets checks go before background work.
    pace: Arc<dyn Pace + Send + Sync>,
    /// When another model last failed to open.
    refused: Mutex<Option<Instant>>,
}

impl Serving {
    pub(super) fn new(parts: Parts, config: &Config, pace: Arc<dyn Pace + Send + Sync>) -> Self {
        Self {
            config: config.clone(),
            parts: ArcSwap::from_pointee(parts),
            fault: Mutex::new(None),
            embedded: AtomicBool::new(false),
            rebuilding: AtomicBool::new(false),
            wording: AtomicBool::new(false),
            opening: AtomicBool::new(false),
            lookbacks: Arc::default(),
            pace,
            refused: Mutex::new(None),
        }
    }

    pub(super) fn parts(&self) -> Arc<Parts> {
        self.parts.load_full()
    }

    /// `None` when checks can be trusted; otherwise the reason.
    pub(super) fn not_ready(&self) -> Option<String> {
        // Anybody may ask, so causes, which name files, go to the log only.
        if self.parts().screener.gallery.known_fault() == Some(Fault::Gone) {
            return Some(Fault::Gone.detail().to_owned());
        }
        if let Err(error) = self.parts().screener.gallery.revision() {
            tracing::error!(%error, "the database cannot be read");
            return Some("the database cannot be read; the log has the cause".to_owned());
        }
        if let Some(fault) = self.parts().screener.gallery.known_fault() {
            return Some(fault.detail().to_owned());
        }
        let failed = self.fault.lock().is_some();
        failed.then(|| "the index cannot follow the database; the log has the cause".to_owned()).or_else(|| {
            (!self.embedded.load(Ordering::Acquire))
                .then(|| "references are still being embedded by this model".to_owned())
        })
    }

    /// Follows the gallery until the returned guard is dropped.
    pub(super) fn follow(self: &Arc<Self>, pause: Duration) -> Sender<()> {
        let (stop, stopped) = bounded::<()>(0);
        let serving = Arc::clone(self);
        thread::spawn(move || {
            let mut swept: Option<Instant> = None;
            let looking = Arc::clone(&serving);
            thread::spawn(move || looking.look_for_damage());
            loop {
                serving.catch_up();
                serving.try_to_write();
                serving.lookbacks.tick(&serving.parts().screener, &serving.pace);
                if swept.is_none_or(|last| last.elapsed() >= SWEEP) {
                    swept = Some(Instant::now());
                    let sweeping = Arc::clone(&serving);
                    thread::spawn(move || sweeping.sweep());
                }
                if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                    serving.lookbacks.stop();
                    return;
                }
            }
        });
        stop
    }

    fn look_for_damage(&self) {
        match self.parts().screener.gallery.look_for_damage() {
            Ok(None) => {}
            Ok(Some(damage)) => tracing::error!(damage, "the database is damaged: restore a backup"),
            Err(error) => tracing::error!(%error, "the database could not be checked for damage"),
        }
    }

    /// Where writing has failed, tests whether it works again.
    fn try_to_write(&self) {
        let parts = self.parts();
        let gallery = &parts.screener.gallery;
        let broken = matches!(gallery.known_fault(), Some(Fault::Unwritable | Fault::Unreachable));
        if broken && gallery.try_to_write().is_ok() {
            tracing::info!("writing works again");
        }
    }

    fn sweep(&self) {
        let parts = self.parts();
        match parts.screener.gallery.sweep(&self.config.retention, jiff::Timestamp::now()) {
            Ok(erased) if erased.is_nothing() => {}
            Ok(erased) => tracing::info!(
                checks = erased.checks,
                photos = erased.photos,
                "data older than its retention were erased"
            ),
            Err(error) => tracing::error!(%error, "data older than its retention could not be erased"),
        }
        let days = self.config.memory.days_within(self.config.retention.checks_days);
        match Memory::of(&parts.screener.gallery).retain(days, jiff::Timestamp::now()) {
            Ok(0) => {}
            Ok(photos) => tracing::info!(photos, "photos older than their retention were erased from the memory"),
            Err(error) => tracing::error!(%error, "photos could not be erased from the memory"),
        }
        match parts.screener.gallery.follow_up_takedowns(jiff::Timestamp::now()) {
            Ok(0) => {}
            Ok(reminded) => tracing::info!(reminded, "reminded the marketplace of takedown requests without an answer"),
            Err(error) => tracing::error!(%error, "takedown requests could not be followed up"),
        }
        if let Err(error) = parts.screener.gallery.follow_up_closures(jiff::Timestamp::now()) {
            tracing::error!(%error, "proposals to close accounts could not be followed up");
        }
        if let Err(error) = parts.screener.gallery.sweep_deliveries(jiff::Timestamp::now()) {
            tracing::error!(%error, "old deliveries could not be removed");
        }
    }

    fn catch_up(self: &Arc<Self>) {
        self.follow_model();
        let parts = self.parts();
        let library = &parts.screener.library;
        // The generation first: the references that it has need not be added one by one.
        let refreshed = library.adopt_published().and_then(|()| library.refresh()).map_err(|error| error.to_string());
        let caught_up = refreshed.and_then(|()| {
            // References added without an embedding are embedded while checks go on.
            if !library.takes_lacking() && self.embedded.load(Ordering::Acquire) {
                return Ok(());
            }
            let embedded = parts.enrolment().embed_missing(&|_| _ = library.refresh());
            if embedded.is_ok() {
                self.embedded.store(true, Ordering::Release);
            }
            embedded.map(drop).map_err(|error| error.to_string())
        });
        if library.takes_wordless() && !self.wording.swap(true, Ordering::AcqRel) {
            let serving = Arc::clone(self);
            let enrolment = parts.enrolment();
            thread::spawn(move || {
                if let Err(error) = enrolment.word_missing(&|_| {}) {
                    tracing::error!(%error, "visual words could not be computed: keypoints do not find all references");
                }
                serving.wording.store(false, Ordering::Release);
            });
        }
        self.note(caught_up);
        if library.rebuild_is_due() && !self.rebuilding.swap(true, Ordering::AcqRel) {
            let serving = Arc::clone(self);
            thread::spawn(move || serving.rebuild(&parts));
        }
    }

    /// Opens the promoted model beside the one that serves, on a thread of its own, and swaps them.
    fn follow_model(self: &Arc<Self>) {
        let parts = self.parts();
        let Ok(wanted) = serving_model(&self.config, &parts.screener.gallery) else { return };
        let resting = self.refused.lock().is_some_and(|when| when.elapsed() < PAUSE);
        let serves = parts.screener.embedder.manifest().name == wanted;
        if serves || resting || self.opening.swap(true, Ordering::AcqRel) {
            return;
        }
        let serving = Arc::clone(self);
        thread::spawn(move || {
            match serving.open(&wanted, &parts) {
                Ok(next) => {
                    tracing::info!(model = wanted, "the service switched to another model");
                    serving.parts.store(Arc::new(next));
                }
                Err(error) => {
                    tracing::error!(
                        model = wanted,
                        error,
                        "the promoted model could not be opened; the current model goes on serving"
                    );
                    *serving.refused.lock() = Some(Instant::now());
                }
            }
            serving.opening.store(false, Ordering::Release);
        });
    }

    fn open(&self, name: &str, parts: &Parts) -> Result<Parts, String> {
        let open = || {
            let model = Model::open(&self.config, name, &parts.screener.gallery)?;
            Parts::over(&self.config, &self.config.index_dir, Arc::clone(&parts.screener.gallery), model)
        };
        let next = open().map_err(|error| error.to_string())?;
        // References added since the model was tried are embedded before it serves.
        next.enrolment().embed_missing(&|_| {}).map_err(|error| error.to_string())?;
        next.screener.library.refresh().map_err(|error| error.to_string())?;
        Ok(next)
    }

    /// Runs beside the following thread, which goes on applying changes. After a failure or a panic, the next try
    /// waits.
    fn rebuild(&self, parts: &Parts) {
        let library = &parts.screener.library;
        let built = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| library.rebuild()));
        match built {
            Ok(Ok(_)) => {}
            Ok(Err(ref error)) => {
                tracing::error!(%error, "a new generation could not be built; the current one goes on serving");
            }
            Err(_) => tracing::error!("building a new generation panicked; the current one goes on serving"),
        }
        if !matches!(built, Ok(Ok(_))) {
            thread::sleep(PAUSE);
        }
        self.rebuilding.store(false, Ordering::Release);
    }

    fn note(&self, outcome: Result<(), String>) {
        let mut fault = self.fault.lock();
        if let Err(error) = &outcome
            && fault.as_ref() != Some(error)
        {
            tracing::error!(%error, "the library cannot follow the gallery");
        }
        *fault = outcome.err();
    }
}
