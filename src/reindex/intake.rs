//! Reads, decodes and embeds photos in parallel, in no particular order, and records them in one thread. Every channel
//! is bounded: memory does not grow with the number of photos.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;

use super::ledger::Ledger;
use super::source::{Fetched, Item, Location, Refusal, Sources, Spot, Stores, not_read, unread_kind};
use super::{Progress, ReindexError};
use crate::domain::{PhotoRecord, Polarity, ReferenceState};
use crate::embed::{Embedding, Pending};
use crate::enrolment::{EnrolError, Enrolment};
use crate::gallery::Journal;
use crate::photo::{Photo, PhotoError, Sha256};

/// Reading threads: more than cores, because an object store answers late.
const READERS: usize = 8;
/// Photos that wait for a core.
const WAITING: usize = 16;
/// Photos that wait for their embedding, or to be recorded.
const UNWRITTEN: usize = 128;
/// Photos that one transaction records, and the longest wait for that many.
const BATCH: usize = 64;
const BATCH_WAIT: Duration = Duration::from_millis(250);

/// A photo that was read and, if it is new, decoded.
pub(super) struct Seen {
    pub(super) item: Item,
    pub(super) version: Option<String>,
    pub(super) content: Content,
}

/// What reading found out about a photo's bytes.
pub(super) enum Content {
    /// They cannot be read, or are not a photo.
    Refused(Refusal, Option<Sha256>),
    /// The brand already has a reference with these bytes.
    Known(Sha256),
    /// This run is already processing the same bytes.
    Twin(Sha256),
    /// They are new.
    New(Box<Fresh>),
}

/// A photo that is not a reference yet.
pub(super) struct Fresh {
    pub(super) record: PhotoRecord,
    pub(super) embedding: Vector,
}

/// The embedding of a new photo.
pub(super) enum Vector {
    /// The model is computing it.
    Pending(Pending),
    /// Stored by an earlier run, or for another brand.
    Kept(Embedding),
    /// Not needed: a dry run stores nothing.
    Unasked,
}

/// The bytes of a new photo, not decoded yet.
struct Raw {
    item: Item,
    version: Option<String>,
    sha256: Sha256,
    bytes: Bytes,
}

/// The result of reading a photo.
enum Reading {
    Raw(Raw),
    Seen(Seen),
}

/// What all threads of the intake share.
pub(super) struct Intake<'a, P: Progress> {
    pub(super) sources: &'a Sources,
    pub(super) stores: &'a Stores,
    pub(super) enrolment: &'a Enrolment,
    pub(super) journal: &'a Journal,
    pub(super) progress: &'a P,
    /// Whether photos are embedded; a dry run does not.
    pub(super) embed: bool,
    pub(super) embedded: AtomicU64,
    pub(super) stop: AtomicBool,
    /// SHA-256 of photos that are on their way to the writer.
    pub(super) under_way: Mutex<HashSet<Sha256>>,
}

impl<P: Progress> Intake<'_, P> {
    /// Takes in every photo and returns how many the model embedded.
    pub(super) fn run(&self, ledger: &mut Ledger<'_>) -> Result<u64, ReindexError> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let (name, named) = bounded::<Item>(WAITING);
        let (send_read, to_decode) = bounded::<Raw>(WAITING);
        let (send_seen, to_write) = bounded::<Result<Seen, ReindexError>>(UNWRITTEN);
        thread::scope(|scope| {
            let lister = scope.spawn(move || self.list(&name));
            scope.spawn(|| {
                if let Some(total) = self.sources.count(self.stores, &self.stop) {
                    self.progress.total(total);
                }
            });
            for _ in 0..READERS {
                let (named, read, seen) = (named.clone(), send_read.clone(), send_seen.clone());
                scope.spawn(move || self.read(&named, &read, &seen));
            }
            for _ in 0..=cores {
                let (read, seen) = (to_decode.clone(), send_seen.clone());
                scope.spawn(move || self.decode(&read, &seen));
            }
            drop((named, send_read, to_decode, send_seen));
            let written = self.write(&to_write, ledger);
            // Threads that still run find their channels closed.
            self.stop.store(true, Ordering::Release);
            drop(to_write);
            let listed = lister.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            written.and(listed)
        })?;
        Ok(self.embedded.load(Ordering::Acquire))
    }

    fn list(&self, named: &Sender<Item>) -> Result<(), ReindexError> {
        let max_bytes = self.enrolment.decoder.limits().max_bytes;
        self.sources
            .list(self.stores, max_bytes, &mut |item| !self.stop.load(Ordering::Acquire) && named.send(item).is_ok())
    }

    fn read(&self, named: &Receiver<Item>, raw: &Sender<Raw>, seen: &Sender<Result<Seen, ReindexError>>) {
        for item in named {
            let sent = match self.read_one(item) {
                Ok(Reading::Raw(one)) => raw.send(one).is_ok(),
                // A photo that needs no decoding goes straight to the writer.
                Ok(Reading::Seen(one)) => seen.send(Ok(one)).is_ok(),
                Err(error) => seen.send(Err(error)).is_ok(),
            };
            if !sent {
                return;
            }
        }
    }

    fn read_one(&self, item: Item) -> Result<Reading, ReindexError> {
        let limit = self.enrolment.decoder.limits().max_bytes;
        let (version, bytes) = match &item.place {
            Location::Unreadable(refusal) => (None, Err(refusal.clone())),
            Location::Bytes(bytes) => (None, Ok(bytes.clone())),
            Location::Spot(spot) => {
                if let Some((sha256, version)) = self.unchanged(&item, spot)? {
                    return Ok(Reading::Seen(Seen { item, version: Some(version), content: Content::Known(sha256) }));
                }
                match self.stores.fetch(spot, limit) {
                    Fetched::Refused(refusal) => (None, Err(refusal)),
                    Fetched::Here { version, answer } => (version, self.stores.read(*answer, limit)),
                }
            }
        };
        let bytes = bytes.and_then(|bytes| match unread_kind(&bytes) {
            Some(kind) => Err(Refusal { code: "archive-not-read", detail: not_read(kind) }),
            None => Ok(bytes),
        });
        let bytes = match bytes {
            Err(refusal) => return Ok(Reading::Seen(Seen { item, version, content: Content::Refused(refusal, None) })),
            Ok(bytes) => bytes,
        };
        // Known bytes, and bytes in process, are not decoded again.
        let sha256 = Sha256::of(&bytes);
        let content = if self.is_known(sha256, item.polarity)? {
            Content::Known(sha256)
        } else if !self.under_way.lock().insert(sha256) {
            Content::Twin(sha256)
        } else {
            return Ok(Reading::Raw(Raw { item, version, sha256, bytes }));
        };
        Ok(Reading::Seen(Seen { item, version, content }))
    }

    /// The SHA-256 and version from an earlier pass, if the store reports the same version now.
    fn unchanged(&self, item: &Item, spot: &Spot) -> Result<Option<(Sha256, String)>, ReindexError> {
        let Some((sha256, known)) = self.journal.known_sum(&item.source, item.polarity)? else {
            return Ok(None);
        };
        let same = self.stores.version(spot).is_some_and(|version| version == known);
        Ok((same && self.is_known(sha256, item.polarity)?).then_some((sha256, known)))
    }

    /// Whether the brand has a reference with these bytes, or this run has staged one with this polarity.
    fn is_known(&self, sha256: Sha256, polarity: Polarity) -> Result<bool, ReindexError> {
        let known = self.enrolment.gallery.find_photo(self.journal.brand(), sha256)?;
        Ok(known.is_some_and(|known| {
            known.state.is_present()
                || (known.run.as_deref() == Some(self.journal.run())
                    && known.state == ReferenceState::Staged
                    && known.claim.polarity == polarity)
        }))
    }

    fn decode(&self, raw: &Receiver<Raw>, seen: &Sender<Result<Seen, ReindexError>>) {
        for Raw { item, version, sha256, bytes } in raw {
            let content = self.look_at(sha256, &bytes);
            if seen.send(content.map(|content| Seen { item, version, content })).is_err() {
                return;
            }
        }
    }

    fn look_at(&self, sha256: Sha256, bytes: &Bytes) -> Result<Content, ReindexError> {
        let (photo, record) = match self.enrolment.take_in(bytes) {
            Ok(taken) => taken,
            // The decoder is missing, not the photo wrong: the run stops, and the next one resumes here.
            Err(error @ PhotoError::DecoderUnavailable) => return Err(EnrolError::Photo(error).into()),
            Err(error) => {
                let refusal = Refusal { code: error.code(), detail: error.to_string() };
                return Ok(Content::Refused(refusal, Some(sha256)));
            }
        };
        let embedding = if self.embed { self.vector(&photo)? } else { Vector::Unasked };
        drop(photo);
        if self.embed {
            self.enrolment.gallery.keep_photo(sha256, bytes)?;
        }
        Ok(Content::New(Box::new(Fresh { record, embedding })))
    }

    fn vector(&self, photo: &Photo) -> Result<Vector, ReindexError> {
        let manifest = self.enrolment.embedder.manifest();
        let dimension = manifest.output.dimension;
        if let Some(embedding) = self.enrolment.gallery.embedding(photo.sha256(), &manifest.id(), dimension)? {
            return Ok(Vector::Kept(embedding));
        }
        self.embedded.fetch_add(1, Ordering::AcqRel);
        let pending = self.enrolment.embedder.submit_patiently(photo).map_err(EnrolError::from)?;
        Ok(Vector::Pending(pending))
    }

    /// A duplicate may arrive before its original: it waits until the original is recorded.
    fn write(&self, seen: &Receiver<Result<Seen, ReindexError>>, ledger: &mut Ledger<'_>) -> Result<(), ReindexError> {
        let mut put_off = Vec::new();
        let mut batch = Vec::new();
        let mut deadline = Instant::now() + BATCH_WAIT;
        loop {
            match seen.recv_deadline(deadline) {
                Ok(one) => batch.push(one?),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if batch.len() >= BATCH || Instant::now() >= deadline {
                batch.append(&mut put_off);
                put_off = self.write_batch(std::mem::take(&mut batch), ledger)?;
                deadline = Instant::now() + BATCH_WAIT;
            }
        }
        batch.append(&mut put_off);
        let left = self.write_batch(batch, ledger)?;
        // The originals are recorded now, or were refused.
        self.write_batch(left, ledger).map(drop)
    }

    fn write_batch(&self, batch: Vec<Seen>, ledger: &mut Ledger<'_>) -> Result<Vec<Seen>, ReindexError> {
        let written = ledger.write(batch)?;
        for entry in &written.entries {
            self.progress.done(entry);
        }
        let mut under_way = self.under_way.lock();
        for entry in &written.entries {
            if let Some(sha256) = entry.sha256 {
                under_way.remove(&sha256);
            }
        }
        Ok(written.put_off)
    }
}
