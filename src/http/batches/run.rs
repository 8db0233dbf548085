//! Runs a batch: lines are read only as fast as they are answered.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::line::{self, Asked, Caps};
use super::lines::Lines;
use crate::gallery::IdempotencyKey;
use crate::http::access::Caller;
use crate::http::checks::answered_before;
use crate::http::{App, Problem, fetched, system};
use crate::screening::Answered;
use crate::telemetry;

/// Lines of a batch in work, beyond one per core.
const AHEAD: usize = 2;

pub(super) struct Batch {
    pub(super) app: Arc<App>,
    pub(super) caller: Caller,
    pub(super) key: Option<String>,
    /// Unbounded, because a client may read answers only after it has sent everything; there are no more answers than
    /// lines.
    pub(super) answers: mpsc::UnboundedSender<Bytes>,
    /// The batch's permit, returned when the batch ends.
    pub(super) _place: OwnedSemaphorePermit,
}

impl Batch {
    pub(super) async fn run(self, body: Body) {
        let mut lines = Lines::new(body, self.app.server.max_request_bytes);
        let mut counts = Counts::default();
        let mut tasks = JoinSet::new();
        let ended = tokio::select! {
            ended = self.take(&mut lines, &mut tasks, &mut counts) => ended,
            // The client has gone; nobody reads the other answers.
            () = self.answers.closed() => return,
        };
        while let Some(answered) = tasks.join_next().await {
            counts.count(answered.unwrap_or(false));
        }
        let mut end = json!({ "end": { "lines": counts.lines, "answered": counts.answered, "failed": counts.failed } });
        let whole = ended.is_ok();
        if let Err(problem) = ended {
            end["problem"] = json!(problem);
        }
        let _ = self.answers.send(format!("{end}\n").into());
        drop(self.answers);
        if !whole {
            lines.throw_away().await;
        }
    }

    /// Takes lines until the body ends, or until an error ends the batch.
    async fn take(&self, lines: &mut Lines, tasks: &mut JoinSet<bool>, counts: &mut Counts) -> Result<(), Problem> {
        let window = Arc::new(Semaphore::new(self.app.cores + AHEAD));
        let mut stopping = self.app.stopping();
        loop {
            let next = async {
                let place = Arc::clone(&window).acquire_owned().await.map_err(|_| Problem::internal())?;
                self.app.limits.wait(&self.caller, self.app.server.key_rate).await;
                Ok::<_, Problem>((place, lines.next().await?))
            };
            let (place, line) = tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop) => return Err(interrupted()),
                next = next => next?,
            };
            while let Some(answered) = tasks.try_join_next() {
                counts.count(answered.unwrap_or(false));
            }
            let Some((number, text)) = line else { return Ok(()) };
            if counts.lines == self.app.server.max_batch_lines as u64 {
                return Err(too_many(self.app.server.max_batch_lines));
            }
            counts.lines += 1;
            let (app, caller, key, answers) =
                (Arc::clone(&self.app), self.caller.clone(), self.key.clone(), self.answers.clone());
            tasks.spawn(async move {
                let _place = place;
                let caps =
                    Caps { photos: app.server.max_photos, photo_bytes: app.screener().decoder.limits().max_bytes };
                let (id, asked) = line::read(&text, caps);
                drop(text);
                let outcome = match asked {
                    Ok(asked) => answer(&app, &caller, asked, key.map(|key| format!("{key}#{number}"))).await,
                    Err(problem) => Err(problem),
                };
                telemetry::batch_line(outcome.is_ok());
                let _ = answers.send(line::write(number, id.as_deref(), &outcome));
                outcome.is_ok()
            });
        }
    }
}

async fn answer(app: &Arc<App>, caller: &Caller, asked: Asked, key: Option<String>) -> Result<Answered, Problem> {
    let Asked { listing, mut photos, key: own } = asked;
    let key = own.or(key);
    let caller = caller.clone();
    let confirmed = caller.clone();
    // The key may expire or be revoked while the batch runs.
    app.work_beside(move |app| {
        confirmed.confirm(&app.screener().gallery)?;
        app.not_ready().map_or(Ok(()), |reason| Err(system::not_ready(reason)))
    })
    .await?;
    if let Some(answer) = answered_before(app, &caller, &listing, &photos, key.as_deref()).await? {
        return Ok(answer);
    }
    fetched::fetch_in_batch(app, &mut photos).await?;
    let _place = app.background.place().await?;
    app.work_beside(move |app| {
        let repeats = key.as_deref().map(|key| IdempotencyKey { api_key: caller.id(), key });
        Ok(app.screener().check_patiently(&listing, &photos, repeats, &*app.background)?)
    })
    .await
}

#[derive(Default)]
struct Counts {
    lines: u64,
    answered: u64,
    failed: u64,
}

impl Counts {
    fn count(&mut self, answered: bool) {
        if answered { self.answered += 1 } else { self.failed += 1 }
    }
}

fn interrupted() -> Problem {
    let detail = "the service is stopping and reads no more lines; send the batch again with the same key";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "batch-interrupted", detail)
}

fn too_many(most: usize) -> Problem {
    let detail = format!(
        "the batch has more than {most} lines (server.max_batch_lines); send the remaining lines in another batch"
    );
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-many-lines", detail)
}
