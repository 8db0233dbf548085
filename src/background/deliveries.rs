//! Delivers events to webhooks. One thread plans deliveries from the audit log; each webhook with something due has a
//! task of its own, which sends one event after the other, so that a slow receiver holds back only itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender as Guard, TryRecvError, bounded};
use jiff::Timestamp;
use tokio::task::JoinHandle;

use crate::domain::DeliveryState;
use crate::gallery::{Attempt, Due, Gallery, GalleryError};
use crate::telemetry;
use crate::webhooks::{Answered, Message, Sender, WebhookOptions, next_attempt};

/// Seconds after the time-out of an attempt, from which on the attempt counts as lost.
const MARGIN_S: u64 = 10;

/// Why nothing more is sent to a receiver that answers 410, as the specification asks.
const GONE: &str = "the receiver answered 410 Gone";

/// Delivers until the returned guard is dropped. Does nothing if the settings switch webhooks off.
///
/// # Errors
/// When the system can start neither thread nor runtime.
pub fn deliver(gallery: Arc<Gallery>, sender: Arc<Sender>, pause: Duration) -> std::io::Result<Guard<()>> {
    let (guard, stopped) = bounded(0);
    if sender.options().enabled {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = Arc::new(Work { gallery, sender });
        thread::Builder::new().name("deliveries".to_owned()).spawn(move || {
            runtime.block_on(work.go_on(&stopped, pause));
            // An attempt in progress is made again after the next start.
            runtime.shutdown_background();
        })?;
    }
    Ok(guard)
}

struct Work {
    gallery: Arc<Gallery>,
    sender: Arc<Sender>,
}

impl Work {
    async fn go_on(self: &Arc<Self>, stopped: &Receiver<()>, pause: Duration) {
        let mut tasks: HashMap<String, JoinHandle<()>> = HashMap::new();
        let mut failing = false;
        while stopped.try_recv() != Err(TryRecvError::Disconnected) {
            let due = self.with(|gallery| {
                let now = Timestamp::now();
                gallery.plan_deliveries(now)?;
                gallery.due_webhooks(now)
            });
            match due.await {
                Ok(due) => {
                    failing = false;
                    tasks.retain(|_, task| !task.is_finished());
                    for webhook in due {
                        tasks.entry(webhook.clone()).or_insert_with(|| tokio::spawn(Arc::clone(self).empty(webhook)));
                    }
                }
                Err(error) if !failing => {
                    failing = true;
                    tracing::error!(%error, "events cannot be read for webhooks");
                }
                Err(_) => {}
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends what is due to one webhook, oldest event first.
    async fn empty(self: Arc<Self>, webhook: String) {
        let lease = i64::try_from(self.sender.options().timeout_s + MARGIN_S).unwrap_or(i64::MAX);
        loop {
            let id = webhook.clone();
            match self.with(move |gallery| gallery.begin_delivery(&id, Timestamp::now(), lease)).await {
                Ok(Some(due)) => self.attempt(due).await,
                Ok(None) => return,
                Err(error) => return tracing::error!(%error, webhook, "a delivery cannot begin"),
            }
        }
    }

    async fn attempt(&self, due: Due) {
        let Due { delivery, event, url, secret } = due;
        let message = Message { kind: event.kind.as_str(), timestamp: event.at, data: &event };
        let answered = self.sender.send(&url, &secret.into(), &delivery.id, &message).await;
        let attempt = judged(self.sender.options(), delivery.attempts, answered, Timestamp::now());
        telemetry::webhook(outcome(attempt.state));
        if attempt.state == DeliveryState::Dead {
            tracing::warn!(webhook = delivery.webhook_id, event = delivery.seq, "an event could not be delivered");
        }
        if let Err(error) = self.with(move |gallery| gallery.settle(&delivery, &attempt, Timestamp::now())).await {
            tracing::error!(%error, "the result of a delivery cannot be stored; it will be sent again");
        }
    }

    /// Runs blocking work off this thread.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Gallery) -> Result<T, GalleryError> + Send + 'static,
    ) -> Result<T, String> {
        let gallery = Arc::clone(&self.gallery);
        let done = tokio::task::spawn_blocking(move || work(&gallery)).await;
        done.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

/// The metric's name of an attempt that left a delivery in this state.
fn outcome(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Waiting => "failed",
        DeliveryState::Delivered => "delivered",
        DeliveryState::Dead => "dead",
    }
}

/// What an answer to the attempt with this number, from 1, means for its delivery.
fn judged(options: &WebhookOptions, number: u32, answered: Answered, now: Timestamp) -> Attempt {
    let Answered { status, error, wait_s, .. } = answered;
    let gone = status == Some(410);
    let next = next_attempt(options, number, rand::random());
    // Of a receiver that is gone, it waits until somebody enables the webhook again.
    let next = next.map(|seconds| if gone { 0 } else { seconds.max(wait_s.unwrap_or_default()) });
    let state = match (&error, next) {
        (None, _) => DeliveryState::Delivered,
        (Some(_), Some(_)) => DeliveryState::Waiting,
        (Some(_), None) => DeliveryState::Dead,
    };
    let next_at = now.as_second() + next.unwrap_or_default();
    Attempt { state, status, error, next_at, disables: gone.then_some(GONE) }
}
