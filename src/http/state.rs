use std::ops::Deref;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::Sender;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::Problem;
use super::access::{Caller, Limits};
use super::background::Background;
use super::console::Refusal;
use super::serving::Serving;
use crate::assembly::Parts;
use crate::config::{Config, ConsoleOptions, Server};
use crate::fetch::PhotoFetcher;
use crate::moderation::{Desk, LoginGuard};
use crate::screening::Screener;
use crate::telemetry;

/// What every handler works with.
pub struct App {
    serving: Arc<Serving>,
    pub(super) server: Server,
    pub(super) console: ConsoleOptions,
    /// Counts wrong passwords.
    pub(super) guard: LoginGuard,
    /// How often each key may call.
    pub(super) limits: Limits,
    pub(super) metrics: Option<PrometheusHandle>,
    /// Requests with photos that may be here at once; it also bounds the memory of their bodies.
    admission: Arc<Semaphore>,
    /// Requests worked on at once: more threads than cores only take memory.
    working: Arc<Semaphore>,
    /// Checks that are worked on or wait for it.
    turns: Arc<Semaphore>,
    /// Fetches photos that requests name by URL.
    pub(super) fetcher: PhotoFetcher,
    /// Requests that wait for other hosts: few enough that slow ones leave places to those who send their photos.
    fetching: Arc<Semaphore>,
    /// Batches that are here.
    batches: Arc<Semaphore>,
    pub(super) background: Arc<Background>,
    pub(super) cores: usize,
    /// Whether the service is to end.
    stop: watch::Sender<bool>,
}

impl App {
    /// An app that is not ready before it is served and has caught up.
    #[must_use]
    pub fn new(parts: Parts, config: &Config, metrics: Option<PrometheusHandle>) -> Arc<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let waiting = if config.server.max_waiting == 0 { cores * 3 } else { config.server.max_waiting };
        let working = Arc::new(Semaphore::new(cores + 2));
        Arc::new(Self {
            serving: Arc::new(Serving::new(parts, config)),
            server: config.server.clone(),
            console: ConsoleOptions {
                secure_cookie: config.console.secure_cookie || config.server.tls_certificate.is_some(),
                ..config.console.clone()
            },
            guard: LoginGuard::default(),
            limits: Limits::new(config.server.max_in_flight.max(1)),
            metrics,
            admission: Arc::new(Semaphore::new(config.server.max_in_flight.max(1))),
            background: Arc::new(Background::new(cores, Arc::clone(&working), cores + 2)),
            working,
            batches: Arc::new(Semaphore::new(config.server.max_batches.max(1))),
            cores,
            stop: watch::Sender::new(false),
            turns: Arc::new(Semaphore::new(cores + 2 + waiting)),
            fetcher: PhotoFetcher::new(&config.fetch),
            fetching: Arc::new(Semaphore::new((config.server.max_in_flight / 4).max(1))),
        })
    }

    /// A place for a request with photos, or 429. Taken before the body is read.
    pub(super) fn admit(&self, caller: &Caller) -> Result<[OwnedSemaphorePermit; 2], Problem> {
        let own = self.limits.place(caller).ok_or_else(refused)?;
        Ok([own, place(&self.admission)?])
    }

    /// As [`App::admit`], for somebody who is signed in.
    pub(super) fn admit_moderator(&self) -> Result<OwnedSemaphorePermit, Problem> {
        place(&self.admission)
    }

    /// A place for a batch, or 429.
    pub(super) fn admit_batch(&self) -> Result<OwnedSemaphorePermit, Problem> {
        place(&self.batches)
    }

    /// Says to what goes on for long that the service is to end.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// A turn for a check that is whole in memory, or 429: a queue that is longer only makes everybody wait.
    pub(super) fn take_turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        place(&self.turns)
    }

    /// A place for a request whose photos are fetched, or 429.
    pub(super) fn fetching(&self) -> Result<OwnedSemaphorePermit, Problem> {
        place(&self.fetching)
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

    /// As [`App::work`], but waits for no place: for what only reads a little, and must not wait for what cannot be written.
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

    /// As [`App::work`], for the console, whose refusals are pages.
    pub(super) async fn page<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.work(move |app| Ok(work(app))).await?
    }

    /// What answers requests now.
    pub(super) fn parts(&self) -> Arc<Parts> {
        self.serving.parts()
    }

    pub(super) fn screener(&self) -> ScreenerOf {
        ScreenerOf(self.parts())
    }

    /// Where moderators work.
    pub(super) fn desk(&self) -> Desk {
        Desk::new(self.parts())
    }

    /// `None` when checks can be trusted; otherwise why they cannot.
    pub(super) fn not_ready(&self) -> Option<String> {
        self.serving.not_ready()
    }

    /// Keeps what serves in step with the gallery until the returned guard is dropped.
    pub(super) fn follow(&self) -> Sender<()> {
        self.serving.follow(Duration::from_millis(self.server.refresh_ms.max(10)))
    }
}

fn place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(places).try_acquire_owned().map_err(|_| refused())
}

fn refused() -> Problem {
    telemetry::refused();
    Problem::busy()
}

/// A screener that stays the same for as long as it is held.
pub(super) struct ScreenerOf(Arc<Parts>);

impl Deref for ScreenerOf {
    type Target = Screener;

    fn deref(&self) -> &Screener {
        &self.0.screener
    }
}
