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
use crate::background::{deliver, hash, pull};
use crate::config::{Config, ConsoleOptions, HmaOptions, Server};
use crate::fetch::PhotoFetcher;
use crate::library::HashBanks;
use crate::moderation::{Desk, LoginGuard};
use crate::screening::Screener;
use crate::telemetry;
use crate::webhooks;

/// Shared state of all handlers.
pub struct App {
    serving: Arc<Serving>,
    pub(super) server: Server,
    pub(super) console: ConsoleOptions,
    /// Counts wrong passwords, per name.
    pub(super) guard: LoginGuard,
    /// Rate limits and permits of each key.
    pub(super) limits: Limits,
    pub(super) metrics: Option<PrometheusHandle>,
    /// Permits for requests with photos, which also bound the memory of their bodies.
    admission: Arc<Semaphore>,
    /// Permits for blocking work: more threads than cores only take memory.
    working: Arc<Semaphore>,
    /// Permits for checks that run or wait to run.
    turns: Arc<Semaphore>,
    /// Fetches photos that requests name by URL.
    pub(super) fetcher: PhotoFetcher,
    /// Permits for requests that wait for other hosts: few, so that slow hosts leave room for requests that send
    /// photos.
    fetching: Arc<Semaphore>,
    /// Sends events to webhooks.
    pub(super) webhooks: Arc<webhooks::Sender>,
    /// Whether the routes of HMA answer.
    pub(super) hma: HmaOptions,
    /// PDQ hashes of references.
    pub(super) hashes: Arc<HashBanks>,
    /// Permits for batches.
    batches: Arc<Semaphore>,
    pub(super) background: Arc<Background>,
    pub(super) cores: usize,
    /// Becomes true when the service is to stop.
    stop: watch::Sender<bool>,
}

impl App {
    /// A new app. It is not ready until it is served and has caught up with the gallery.
    #[must_use]
    pub fn new(parts: Parts, config: &Config, metrics: Option<PrometheusHandle>) -> Arc<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let waiting = if config.server.max_waiting == 0 { cores * 3 } else { config.server.max_waiting };
        let working = Arc::new(Semaphore::new(cores + 2));
        let background = Arc::new(Background::new(cores, Arc::clone(&working), cores + 2));
        Arc::new(Self {
            serving: Arc::new(Serving::new(parts, config, Arc::clone(&background) as _)),
            server: config.server.clone(),
            console: ConsoleOptions {
                secure_cookie: config.console.secure_cookie || config.server.tls_certificate.is_some(),
                ..config.console.clone()
            },
            guard: LoginGuard::default(),
            limits: Limits::new(config.server.max_in_flight.max(1)),
            metrics,
            admission: Arc::new(Semaphore::new(config.server.max_in_flight.max(1))),
            background,
            working,
            hma: config.hma.clone(),
            hashes: Arc::default(),
            batches: Arc::new(Semaphore::new(config.server.max_batches.max(1))),
            cores,
            stop: watch::Sender::new(false),
            turns: Arc::new(Semaphore::new(cores + 2 + waiting)),
            fetcher: PhotoFetcher::new(&config.fetch),
            webhooks: Arc::new(webhooks::Sender::new(&config.webhooks)),
            fetching: Arc::new(Semaphore::new((config.server.max_in_flight / 4).max(1))),
        })
    }

    /// Permits for a request with photos, or 429. Acquired before the body is read.
    pub(super) fn admit(&self, caller: &Caller) -> Result<[OwnedSemaphorePermit; 2], Problem> {
        let own = self.limits.place(caller).ok_or_else(refused)?;
        Ok([own, place(&self.admission)?])
    }

    /// As [`App::admit`], for a signed-in moderator.
    pub(super) fn admit_moderator(&self) -> Result<OwnedSemaphorePermit, Problem> {
        place(&self.admission)
    }

    /// A permit for a batch, or 429.
    pub(super) fn admit_batch(&self) -> Result<OwnedSemaphorePermit, Problem> {
        place(&self.batches)
    }

    /// Tells long requests that the service is stopping.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// A permit for a check whose photos are all in memory, or 429: a longer queue only makes every caller wait longer.
    pub(super) fn take_turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        place(&self.turns)
    }

    /// A permit for a request whose photos must be fetched, or 429.
    pub(super) fn fetching(&self) -> Result<OwnedSemaphorePermit, Problem> {
        place(&self.fetching)
    }

    /// Runs blocking work off the async threads, a few tasks at a time.
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

    /// As [`App::work`], but without a permit: for short reads, which must not wait for writers.
    pub(super) async fn work_beside<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let app = Arc::clone(self);
        let span = tracing::Span::current();
        let done = tokio::task::spawn_blocking(move || span.in_scope(|| work(&app)));
        done.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a request's blocking work panicked");
            Err(Problem::internal())
        })
    }

    /// As [`App::work`], for the console, whose errors are pages.
    pub(super) async fn page<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.work(move |app| Ok(work(app))).await?
    }

    /// The parts that answer requests now.
    pub(super) fn parts(&self) -> Arc<Parts> {
        self.serving.parts()
    }

    pub(super) fn screener(&self) -> ScreenerOf {
        ScreenerOf(self.parts())
    }

    /// The moderators' desk over the current parts.
    pub(super) fn desk(&self) -> Desk {
        Desk::new(self.parts())
    }

    /// `None` when checks can be trusted; otherwise the reason.
    pub(super) fn not_ready(&self) -> Option<String> {
        self.serving.not_ready()
    }

    /// Follows the gallery, and delivers its events, until the returned guards are dropped.
    pub(super) fn follow(&self) -> Vec<Sender<()>> {
        let pause = Duration::from_millis(self.server.refresh_ms.max(10));
        let delivering = deliver(Arc::clone(&self.parts().screener.gallery), Arc::clone(&self.webhooks), pause)
            .inspect_err(|error| tracing::error!(%error, "no thread can be started: events are not delivered"));
        let serving = Arc::clone(&self.serving);
        let pulling = pull(move || serving.parts().screener.clone(), &self.parts().screener.alliance, pause)
            .inspect_err(|error| tracing::error!(%error, "no thread can be started: signals are not pulled"));
        let serving = Arc::clone(&self.serving);
        let hashing = self.hma.enabled.then(|| {
            hash(move || serving.parts().enrolment(), Arc::clone(&self.hashes), pause)
                .inspect_err(|error| tracing::error!(%error, "no thread can be started: references are not hashed"))
        });
        let hashing = hashing.and_then(Result::ok);
        delivering.into_iter().chain(pulling).chain(hashing).chain([self.serving.follow(pause)]).collect()
    }
}

fn place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(places).try_acquire_owned().map_err(|_| refused())
}

fn refused() -> Problem {
    telemetry::refused();
    Problem::busy()
}

/// A screener that stays the same as long as the value lives.
pub(super) struct ScreenerOf(Arc<Parts>);

impl Deref for ScreenerOf {
    type Target = Screener;

    fn deref(&self) -> &Screener {
        &self.0.screener
    }
}
