//! Progress of long runs, for people and for scripts.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use serde_json::json;

use super::output::{document, tell};
use crate::backfill::Watch;
use crate::domain::ImportStatus;
use crate::gallery::JournalEntry;
use crate::page::visible;
use crate::reindex::Progress;

/// Time between lines of progress without a terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// A bar on a terminal, lines without one, events with `--json`.
pub(super) struct Show {
    bar: ProgressBar,
    json: bool,
    lines: bool,
    refused: AtomicU64,
    started: Mutex<Instant>,
    said: Mutex<Instant>,
    phase: Mutex<&'static str>,
}

impl Show {
    pub(super) fn new(json: bool) -> Self {
        let terminal = std::io::stderr().is_terminal() && !json;
        let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} {per_sec} eta {eta} {prefix}");
        let bar = if terminal { ProgressBar::no_length() } else { ProgressBar::hidden() };
        Self {
            bar: bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())),
            json,
            lines: !terminal && !json,
            refused: AtomicU64::new(0),
            started: Mutex::new(Instant::now()),
            said: Mutex::new(Instant::now()),
            phase: Mutex::new(""),
        }
    }

    pub(super) fn reached(&self, done: u64) {
        self.bar.set_position(done);
        self.say();
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// Prints a line, at most every few seconds.
    fn say(&self) {
        if !self.json && !self.lines {
            return;
        }
        let Some(mut said) = self.said.try_lock() else { return };
        if said.elapsed() < LINE_EVERY {
            return;
        }
        *said = Instant::now();
        let (done, total) = (self.bar.position(), self.bar.length());
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let rate = done as f64 / self.started.lock().elapsed().as_secs_f64().max(0.001);
        #[expect(clippy::cast_precision_loss, reason = "a guess")]
        let eta = total.map(|total| (total.saturating_sub(done) as f64 / rate.max(0.001)).round());
        let (phase, refused) = (*self.phase.lock(), self.refused.load(Ordering::Relaxed));
        if self.json {
            let event = json!({ "event": "progress", "phase": phase, "done": done, "total": total, "per_second": rate, "eta_s": eta, "refused": refused });
            document!("{event}");
        } else {
            let of = total.map(|total| format!(" of {total}")).unwrap_or_default();
            let left = eta.map(|eta| format!(", {eta:.0} s left")).unwrap_or_default();
            let held = if refused > 0 { format!(", {refused} refused or quarantined") } else { String::new() };
            tell!("{phase}: {done}{of}, {rate:.1} per second{left}{held}");
        }
    }
}

impl Progress for Show {
    fn total(&self, images: u64) {
        self.bar.set_length(images);
    }

    fn step(&self) {
        self.bar.inc(1);
        self.say();
    }

    fn done(&self, entry: &JournalEntry) {
        if matches!(entry.status, ImportStatus::Refused | ImportStatus::Conflict) {
            let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
            self.bar.set_prefix(format!("{refused} refused or quarantined"));
            if self.json {
                document!("{}", json!({ "event": "refused", "entry": entry }));
            } else {
                let code = entry.code.as_deref().unwrap_or_default();
                self.bar.println(visible(&format!("{} {}: {code}", entry.status.as_str(), entry.source)));
            }
        }
        Progress::step(self);
    }

    fn phase(&self, name: &'static str) {
        *self.phase.lock() = name;
        *self.started.lock() = Instant::now();
        self.bar.set_message(name);
        self.bar.reset();
        self.bar.unset_length();
        if self.json {
            document!("{}", json!({ "event": "phase", "phase": name }));
        }
    }
}

impl Watch for Show {
    fn total(&self, listings: u64) {
        self.bar.set_length(listings);
    }

    fn step(&self) {
        self.bar.inc(1);
        self.say();
    }
}
