//! Logging, and every metric's name and help in one place.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::embed::{BATCH_SECONDS, EMBEDDED_PHOTOS};

const SECONDS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

const REQUESTS: &str = "touchstone_http_requests_total";
const REQUEST_SECONDS: &str = "touchstone_http_request_seconds";
const PHOTOS: &str = "touchstone_photos_total";
const CHECKS: &str = "touchstone_checks_total";
const REFUSED: &str = "touchstone_requests_refused_total";
const KEPT_OUT: &str = "touchstone_requests_kept_out_total";
const FETCHED: &str = "touchstone_photo_urls_total";
const BATCH_LINES: &str = "touchstone_batch_lines_total";
const SEARCH_SECONDS: &str = "touchstone_search_seconds";
const SECOND_LOOKS: &str = "touchstone_second_looks_total";
const VIEWS: &str = "touchstone_views_total";
const DECODE_SECONDS: &str = "touchstone_decode_seconds";
const DECODERS_LOST: &str = "touchstone_decoders_lost_total";
const INDEX_KEYS: &str = "touchstone_index_keys";
const INDEX_ADDED: &str = "touchstone_index_added_keys";
const INDEX_REMOVED: &str = "touchstone_index_removed_keys";
const INDEX_GENERATION: &str = "touchstone_index_generation";
const KEYPOINT_KEYS: &str = "touchstone_keypoint_index_keys";
const KEYPOINT_POSTINGS: &str = "touchstone_keypoint_index_postings";
const FOUND_LATER: &str = "touchstone_lookback_findings_total";
const SIGNALS: &str = "touchstone_signals";
const SIGNAL_PULLS: &str = "touchstone_signal_pulls_total";
const SIGNAL_REVIEWS: &str = "touchstone_signal_reviews_total";
const READY: &str = "touchstone_ready";
const WEBHOOK_ATTEMPTS: &str = "touchstone_webhook_attempts_total";
const WEBHOOK_DELIVERIES: &str = "touchstone_webhook_deliveries";
const BUILD: &str = "touchstone_build_info";

/// The log filter, which can change while the process runs.
pub struct LogFilter(Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>);

impl LogFilter {
    /// Replaces the filter. `filter` is in the `RUST_LOG` format.
    ///
    /// # Errors
    /// When the text is not a filter; then the former filter stays.
    pub fn change(&self, filter: &str) -> Result<(), String> {
        let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
        self.0(filter)
    }
}

/// Sends log lines to standard error, plain or as JSON. `filter` is in the `RUST_LOG` format.
pub fn log_to_stderr(filter: &str, json: bool) -> LogFilter {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let logging = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    // A second call, as in tests, keeps the first logger.
    if json {
        let logging = logging.json().with_filter_reloading();
        let handle = logging.reload_handle();
        let _ = logging.try_init();
        LogFilter(Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string())))
    } else {
        let logging = logging.compact().with_filter_reloading();
        let handle = logging.reload_handle();
        let _ = logging.try_init();
        LogFilter(Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string())))
    }
}

thread_local! {
    /// Whether this thread is inside [`caught`], which handles panics itself.
    static ANSWERED_FOR: Cell<bool> = const { Cell::new(false) };
}

/// Logs panics, one line each, except those that `caught` turns into errors.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        if !ANSWERED_FOR.get() {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(place, "a thread panicked: {}", panic.payload_as_str().unwrap_or("without a message"));
        }
    }));
}

/// Runs `work` and turns a panic into `None`.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    let before = ANSWERED_FOR.replace(true);
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    ANSWERED_FOR.set(before);
    done.ok()
}

/// Starts to record metrics for this process; `None` if that was done before.
#[must_use]
pub fn record_metrics() -> Option<PrometheusHandle> {
    let handle = PrometheusBuilder::new().set_buckets(SECONDS).ok()?.install_recorder().ok()?;
    describe_counter!(REQUESTS, "HTTP requests by route, method and status");
    describe_histogram!(REQUEST_SECONDS, "Time to answer an HTTP request, by route");
    describe_counter!(PHOTOS, "Photos judged, by verdict");
    describe_counter!(CHECKS, "Checks answered, by action");
    describe_counter!(REFUSED, "Requests refused because the service was full");
    describe_counter!(KEPT_OUT, "Requests rejected for their key, by the problem's code");
    describe_counter!(FETCHED, "Photos that requests named by URL: fetched, or the problem's code");
    describe_counter!(BATCH_LINES, "Listings in batches, by outcome: answered or failed");
    describe_histogram!(BATCH_SECONDS, "Time of one run of the model");
    describe_counter!(EMBEDDED_PHOTOS, "Photos embedded");
    describe_histogram!(SEARCH_SECONDS, "Time of one search in the index");
    describe_counter!(SECOND_LOOKS, "Photos that were aligned with references, keypoint by keypoint");
    describe_counter!(VIEWS, "Views embedded for checks: whole photos, and regions of them");
    describe_histogram!(DECODE_SECONDS, "Time to decode one photo");
    describe_counter!(DECODERS_LOST, "Decoding processes that crashed on a photo, or were killed over one");
    describe_counter!(FOUND_LATER, "Photos of earlier checks in which lookbacks found newer references");
    describe_counter!(
        WEBHOOK_ATTEMPTS,
        "Attempts to deliver an event, by outcome: delivered, failed, or dead after the last one"
    );
    describe_gauge!(WEBHOOK_DELIVERIES, "Events that are not delivered, by state: waiting or dead");
    describe_gauge!(SIGNALS, "Signals of other members of alliances that take part in checks");
    describe_counter!(SIGNAL_PULLS, "Pulls of members' signals, by outcome: taken, or the error's code");
    describe_counter!(SIGNAL_REVIEWS, "Photos whose verdict rests on a signal of another member");
    describe_gauge!(READY, "1 when checks can be trusted, else 0");
    describe_gauge!(BUILD, "Always 1; labels give the version and the serving model");
    describe_gauge!(INDEX_KEYS, "References served by the index");
    describe_gauge!(INDEX_ADDED, "References added since the generation was built");
    describe_gauge!(INDEX_REMOVED, "References of the generation that are no longer served");
    describe_gauge!(INDEX_GENERATION, "Number of the serving generation");
    describe_gauge!(KEYPOINT_KEYS, "References in the keypoint index");
    describe_gauge!(KEYPOINT_POSTINGS, "Keypoints in the keypoint index");
    // What has not happened yet is told as zero, so that the first time is an increase.
    for name in [REFUSED, DECODERS_LOST, EMBEDDED_PHOTOS, SECOND_LOOKS, VIEWS, FOUND_LATER, SIGNAL_REVIEWS] {
        counter!(name).increment(0);
    }
    for outcome in ["delivered", "failed", "dead"] {
        counter!(WEBHOOK_ATTEMPTS, "outcome" => outcome).increment(0);
    }
    Some(handle)
}

pub(crate) fn requested(route: &str, method: &str, status: u16, took: Duration) {
    let route = route.to_owned();
    counter!(REQUESTS, "route" => route.clone(), "method" => method.to_owned(), "status" => status.to_string())
        .increment(1);
    histogram!(REQUEST_SECONDS, "route" => route).record(took);
}

pub(crate) fn refused() {
    counter!(REFUSED).increment(1);
}

pub(crate) fn kept_out(code: &'static str) {
    counter!(KEPT_OUT, "code" => code).increment(1);
}

pub(crate) fn fetched(outcome: &'static str) {
    counter!(FETCHED, "outcome" => outcome).increment(1);
}

/// Counts an attempt to deliver an event: `delivered`, `failed`, or `dead` after the last one.
pub(crate) fn webhook(outcome: &'static str) {
    counter!(WEBHOOK_ATTEMPTS, "outcome" => outcome).increment(1);
}

/// Sets the numbers of deliveries that wait and that are dead. Set when the metrics are read.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(crate) fn deliveries([waiting, dead]: [u64; 2]) {
    gauge!(WEBHOOK_DELIVERIES, "state" => "waiting").set(waiting as f64);
    gauge!(WEBHOOK_DELIVERIES, "state" => "dead").set(dead as f64);
}

pub(crate) fn batch_line(answered: bool) {
    counter!(BATCH_LINES, "outcome" => if answered { "answered" } else { "failed" }).increment(1);
}

pub(crate) fn judged(verdict: &'static str) {
    counter!(PHOTOS, "verdict" => verdict).increment(1);
}

pub(crate) fn checked(action: &'static str) {
    counter!(CHECKS, "action" => action).increment(1);
}

pub(crate) fn found_later() {
    counter!(FOUND_LATER).increment(1);
}

/// Sets the number of signals that take part in checks.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(crate) fn signals(count: usize) {
    gauge!(SIGNALS).set(count as f64);
}

/// Counts a pull of a member's signals: `taken`, or the error's code.
pub(crate) fn signals_pulled(outcome: &'static str) {
    counter!(SIGNAL_PULLS, "outcome" => outcome).increment(1);
}

pub(crate) fn reviewed_for_signal() {
    counter!(SIGNAL_REVIEWS).increment(1);
}

pub(crate) fn searched(took: Duration) {
    histogram!(SEARCH_SECONDS).record(took);
}

pub(crate) fn decoded(took: Duration) {
    histogram!(DECODE_SECONDS).record(took);
}

pub(crate) fn decoder_lost() {
    counter!(DECODERS_LOST).increment(1);
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(crate) fn index(generation: u64, keys: usize, added: usize, removed: usize) {
    gauge!(INDEX_KEYS).set(keys as f64);
    gauge!(INDEX_ADDED).set(added as f64);
    gauge!(INDEX_REMOVED).set(removed as f64);
    gauge!(INDEX_GENERATION).set(generation as f64);
}

/// Sets the size of the keypoint index.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(crate) fn keypoints(keys: usize, postings: usize) {
    gauge!(KEYPOINT_KEYS).set(keys as f64);
    gauge!(KEYPOINT_POSTINGS).set(postings as f64);
}

/// Set when the metrics are read.
pub(crate) fn state(ready: bool, model: &str) {
    gauge!(READY).set(if ready { 1.0 } else { 0.0 });
    gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION"), "model" => model.to_owned()).set(1.0);
}

/// Counts a photo's embedded views and, if `twice`, the photo as one that was aligned with references.
pub fn looked(twice: bool, views: u32) {
    counter!(SECOND_LOOKS).increment(u64::from(twice));
    counter!(VIEWS).increment(u64::from(views));
}
