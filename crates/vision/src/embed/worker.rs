use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use metrics::{counter, histogram};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::onnx::read_weights;
use super::{Embedding, ModelError, ModelManifest, OnnxModel, Tensor, preprocess, preprocess_view};
use crate::photo::Photo;

/// Histogram: seconds that one run of the model took, over a batch of photos.
pub const BATCH_SECONDS: &str = "touchstone_embed_seconds";
/// Counter: photos and views embedded.
pub const EMBEDDED_PHOTOS: &str = "touchstone_embedded_photos_total";

/// Threads and queue of the embedder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmbedOptions {
    /// Threads with one session each; 0 means one per core.
    pub workers: usize,
    /// Threads inside one run of the network.
    pub threads_per_worker: usize,
    /// Most photos that may wait; further ones are rejected.
    pub queue: usize,
    /// Most photos of one shape in one run.
    pub max_batch: usize,
    /// Longest wait, in microseconds, for a started batch to fill. A lone photo never waits.
    pub max_wait_us: u64,
}

impl Default for EmbedOptions {
    fn default() -> Self {
        Self { workers: 0, threads_per_worker: 1, queue: 256, max_batch: 8, max_wait_us: 500 }
    }
}

/// Why a photo has no embedding.
#[derive(Debug, Error)]
pub enum EmbedError {
    /// The queue is full; try again later.
    #[error("the embedding queue is full; try again in a second")]
    Busy,
    /// The network failed on this photo.
    #[error("the model failed: {0}")]
    Failed(String),
    /// The threads have ended.
    #[error("the embedding threads have stopped")]
    Stopped,
}

struct Job {
    tensor: Tensor,
    answer: Sender<Result<Embedding, String>>,
}

/// An embedding in work.
pub struct Pending(Receiver<Result<Embedding, String>>);

impl Pending {
    /// Waits for the embedding. Blocks: do not call it on async threads.
    ///
    /// # Errors
    /// [`EmbedError::Failed`] or [`EmbedError::Stopped`].
    pub fn wait(self) -> Result<Embedding, EmbedError> {
        match self.0.recv() {
            Ok(answer) => answer.map_err(EmbedError::Failed),
            Err(_) => Err(EmbedError::Stopped),
        }
    }
}

/// One model on its own threads behind a bounded queue.
pub struct Embedder {
    manifest: ModelManifest,
    queue: Sender<Job>,
}

impl Embedder {
    /// Opens the model once per thread and starts the threads. They end when the embedder is dropped.
    ///
    /// # Errors
    /// When the file or the runtime cannot be used, or the graph differs from the manifest.
    pub fn start(models: &Path, manifest: ModelManifest, options: &EmbedOptions) -> Result<Self, ModelError> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let workers = if options.workers == 0 { cores } else { options.workers };
        let weights = read_weights(models, &manifest)?;
        let (queue, jobs) = bounded(options.queue.max(1));
        for number in 0..workers {
            let model = OnnxModel::from_weights(&weights, &manifest, options.threads_per_worker.max(1))?;
            let worker = Worker {
                model,
                jobs: jobs.clone(),
                max_batch: options.max_batch.max(1),
                max_wait: Duration::from_micros(options.max_wait_us),
            };
            thread::Builder::new()
                .name(format!("embed-{number}"))
                .spawn(move || worker.run())
                .map_err(ModelError::Thread)?;
        }
        Ok(Self { manifest, queue })
    }

    /// The model's manifest.
    #[must_use]
    pub fn manifest(&self) -> &ModelManifest {
        &self.manifest
    }

    /// Preprocesses the photo on the calling thread and queues it.
    ///
    /// # Errors
    /// [`EmbedError::Busy`] when the queue is full, or [`EmbedError::Stopped`].
    pub fn submit(&self, photo: &Photo) -> Result<Pending, EmbedError> {
        let (job, pending) = job(preprocess(photo, &self.manifest.input));
        match self.queue.try_send(job) {
            Ok(()) => Ok(pending),
            Err(TrySendError::Full(_)) => Err(EmbedError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(EmbedError::Stopped),
        }
    }

    /// As [`Embedder::submit`], but waits for a place in the queue; for background work.
    ///
    /// # Errors
    /// [`EmbedError::Stopped`].
    pub fn submit_patiently(&self, photo: &Photo) -> Result<Pending, EmbedError> {
        self.queue_patiently(preprocess(photo, &self.manifest.input))
    }

    /// Queues a part of an accepted photo (see [`preprocess_view`]), and waits for a place in the queue, too.
    ///
    /// # Errors
    /// [`EmbedError::Stopped`].
    pub fn submit_view(&self, view: &Photo) -> Result<Pending, EmbedError> {
        self.queue_patiently(preprocess_view(view, &self.manifest.input))
    }

    fn queue_patiently(&self, tensor: Tensor) -> Result<Pending, EmbedError> {
        let (job, pending) = job(tensor);
        self.queue.send(job).map_err(|_| EmbedError::Stopped)?;
        Ok(pending)
    }
}

fn job(tensor: Tensor) -> (Job, Pending) {
    let (answer, receiver) = bounded(1);
    (Job { tensor, answer }, Pending(receiver))
}

struct Worker {
    model: OnnxModel,
    jobs: Receiver<Job>,
    max_batch: usize,
    max_wait: Duration,
}

impl Worker {
    fn run(mut self) {
        // A photo of another shape, which ended the last batch and opens the next one.
        let mut odd_one = None;
        while let Some(first) = odd_one.take().or_else(|| self.jobs.recv().ok()) {
            let mut batch = vec![first];
            odd_one = self.fill(&mut batch);
            self.embed(batch);
        }
    }

    /// Takes photos already queued; waits for more only if the batch has more than one.
    fn fill(&self, batch: &mut Vec<Job>) -> Option<Job> {
        let deadline = Instant::now() + self.max_wait;
        while batch.len() < self.max_batch {
            let next = if batch.len() == 1 {
                self.jobs.try_recv().map_err(|_| RecvTimeoutError::Timeout)
            } else {
                self.jobs.recv_deadline(deadline)
            };
            match next {
                Ok(job) if job.tensor.shape() == batch[0].tensor.shape() => batch.push(job),
                Ok(job) => return Some(job),
                Err(_) => return None,
            }
        }
        None
    }

    fn embed(&mut self, batch: Vec<Job>) {
        let started = Instant::now();
        let (tensors, answers): (Vec<_>, Vec<_>) = batch.into_iter().map(|job| (job.tensor, job.answer)).unzip();
        match self.model.embed(&tensors) {
            Ok(embeddings) => {
                counter!(EMBEDDED_PHOTOS).increment(tensors.len() as u64);
                histogram!(BATCH_SECONDS).record(started.elapsed());
                for (answer, embedding) in answers.into_iter().zip(embeddings) {
                    // The caller may have gone; then nobody receives the embedding.
                    let _ = answer.send(Ok(embedding));
                }
            }
            // One photo must not fail the others of its batch: run them one by one.
            Err(_) if tensors.len() > 1 => {
                for (tensor, answer) in tensors.into_iter().zip(answers) {
                    self.embed(vec![Job { tensor, answer }]);
                }
            }
            Err(error) => {
                tracing::error!(%error, "embedding failed");
                for answer in answers {
                    let _ = answer.send(Err(error.to_string()));
                }
            }
        }
    }
}
