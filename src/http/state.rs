use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Problem;
use crate::config::{Config, Server};
use crate::enrolment::Enrolment;
use crate::screening::Screener;
use crate::telemetry;

/// How long to wait after a generation could not be built.
const REBUILD_PAUSE: Duration = Duration::from_mins(1);

/// What every handler works with.
pub struct App {
    pub(super) screener: Screener,
    pub(super) server: Server,
    pub(super) metrics: Option<PrometheusHandle>,
    /// Requests with photos that may be here at once; it also bounds the memory of their bodies.
    admission: Arc<Semaphore>,
    /// Requests worked on at once: more threads than cores only take memory.
    working: Arc<Semaphore>,
    /// Why checks cannot be trusted right now, if they cannot.
    fault: Mutex<Option<String>>,
    /// Whether every reference has been embedded by this model.
    embedded: AtomicBool,
    rebuilding: AtomicBool,
}

impl App {
    /// An app that is not ready before it is served and has caught up.
    #[must_use]
    pub fn new(screener: Screener, config: &Config, metrics: Option<PrometheusHandle>) -> Arc<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Arc::new(Self {
            screener,
            server: config.server.clone(),
            metrics,
            admission: Arc::new(Semaphore::new(config.server.max_in_flight.max(1))),
            working: Arc::new(Semaphore::new(cores + 2)),
            fault: Mutex::new(None),
            embedded: AtomicBool::new(false),
            rebuilding: AtomicBool::new(false),
        })
    }

    /// A place for a request with photos, or 429. Taken before the body is read.
    pub(super) fn admit(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.admission).try_acquire_owned().map_err(|_| {
            telemetry::refused();
            Problem::busy()
        })
    }

    /// Runs blocking work off the async threads, a few at a time.
    pub(super) async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let place = Arc::clone(&self.working).acquire_owned().await.map_err(|_| Problem::busy())?;
        self.work_beside(move |app| {
            let _place = place;
            work(app)
        })
        .await
    }

    /// As [`App::work`], but waits for no place: for answers about the service itself.
    pub(super) async fn work_beside<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let app = Arc::clone(self);
        let span = tracing::Span::current();
        let done = tokio::task::spawn_blocking(move || span.in_scope(|| work(&app)));
        done.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a request's work panicked");
            Err(Problem::internal())
        })
    }

    pub(super) fn enrolment(&self) -> Enrolment {
        Enrolment {
            gallery: Arc::clone(&self.screener.gallery),
            embedder: Arc::clone(&self.screener.embedder),
            limits: self.screener.limits.clone(),
        }
    }

    /// `None` when checks can be trusted; otherwise why they cannot.
    pub(super) fn not_ready(&self) -> Option<String> {
        if let Err(error) = self.screener.gallery.revision() {
            return Some(error.to_string());
        }
        let fault = self.fault.lock().clone();
        fault.or_else(|| {
            (!self.embedded.load(Ordering::Acquire))
                .then(|| "references are still being embedded by this model".to_owned())
        })
    }

    /// Keeps the library in step with the database until the returned guard is dropped.
    pub(super) fn follow(self: &Arc<Self>) -> Sender<()> {
        let (stop, stopped) = bounded::<()>(0);
        let app = Arc::clone(self);
        let pause = Duration::from_millis(self.server.refresh_ms.max(10));
        thread::spawn(move || {
            loop {
                app.catch_up();
                if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
        stop
    }

    fn catch_up(self: &Arc<Self>) {
        let refreshed = self.screener.library.refresh().map_err(|error| error.to_string());
        let caught_up = refreshed.and_then(|()| {
            if self.embedded.load(Ordering::Acquire) {
                return Ok(());
            }
            let embedded = self.enrolment().embed_missing(&self.screener.library);
            self.embedded.store(embedded.is_ok(), Ordering::Release);
            embedded.map(drop).map_err(|error| error.to_string())
        });
        self.note(caught_up);
        if self.screener.library.rebuild_is_due() && !self.rebuilding.swap(true, Ordering::AcqRel) {
            let app = Arc::clone(self);
            thread::spawn(move || app.rebuild());
        }
    }

    /// Beside the following thread, which goes on taking changes in. After a failure, or a panic, the
    /// next try waits.
    fn rebuild(&self) {
        let library = &self.screener.library;
        let built = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| library.rebuild()));
        match built {
            Ok(Ok(_)) => {}
            Ok(Err(ref error)) => tracing::error!(%error, "a new generation could not be built: what serves goes on"),
            Err(_) => tracing::error!("building a new generation panicked: what serves goes on"),
        }
        if !matches!(built, Ok(Ok(_))) {
            thread::sleep(REBUILD_PAUSE);
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
