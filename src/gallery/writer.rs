//! The one connection that writes. Threads that write at the same time share a transaction, and so one disk sync: each
//! works in a savepoint of its own, and none returns before the transaction is committed.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, Transaction};

/// The greatest number of writes that share a transaction, so that the first one need not wait for ever.
const MOST_TOGETHER: usize = 64;

/// A connection inside a transaction that writes.
pub(super) struct Writing<'a>(&'a Connection);

impl<'a> Writing<'a> {
    pub(super) fn within(transaction: &'a Transaction<'_>) -> Self {
        Self(transaction)
    }
}

impl Deref for Writing<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.0
    }
}

/// Whether a shared transaction was committed, once that is known.
#[derive(Default)]
struct Batch {
    outcome: Mutex<Option<Result<(), String>>>,
    known: Condvar,
}

impl Batch {
    fn finish(&self, outcome: Result<(), String>) {
        *self.outcome.lock() = Some(outcome);
        self.known.notify_all();
    }

    fn wait(&self) -> Result<(), String> {
        let mut outcome = self.outcome.lock();
        loop {
            match &*outcome {
                Some(known) => return known.clone(),
                None => self.known.wait(&mut outcome),
            }
        }
    }
}

struct Open {
    batch: Arc<Batch>,
    pieces: usize,
}

struct State {
    connection: Connection,
    open: Option<Open>,
}

impl State {
    /// Ends the open transaction and tells every thread that shares it.
    fn finish(&mut self) {
        let Some(open) = self.open.take() else { return };
        let committed = self.connection.execute_batch("COMMIT").map_err(|error| error.to_string());
        if committed.is_err() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        open.batch.finish(committed);
    }
}

/// Ends the shared transaction if a write panics, without that write: the others wait for it.
struct Turn<'a> {
    state: &'a mut State,
    done: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.state.finish();
        }
    }
}

pub(super) struct Writer {
    state: Mutex<State>,
    /// Number of threads about to lock `state`; while it is above 0, the transaction stays open for them.
    coming: AtomicUsize,
}

impl Writer {
    pub(super) fn new(connection: Connection) -> Self {
        Self { state: Mutex::new(State { connection, open: None }), coming: AtomicUsize::new(0) }
    }

    /// Does `work` and returns once it is committed. A failed write leaves nothing behind and undoes no other.
    pub(super) fn write<T>(&self, work: impl FnOnce(&Writing<'_>) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        self.coming.fetch_add(1, Ordering::AcqRel);
        let mut state = self.state.lock();
        self.coming.fetch_sub(1, Ordering::AcqRel);
        if state.open.is_none() {
            state.connection.execute_batch("BEGIN IMMEDIATE")?;
            state.open = Some(Open { batch: Arc::default(), pieces: 0 });
        }
        let mut turn = Turn { state: &mut state, done: false };
        let answer = turn.state.piece(work);
        turn.done = true;
        drop(turn);
        let Some(open) = state.open.as_mut() else { return answer };
        open.pieces += 1;
        let (batch, full) = (Arc::clone(&open.batch), open.pieces >= MOST_TOGETHER);
        // A full disk ends a transaction by itself: then no write is stored, and every thread is told.
        let lost = state.connection.is_autocommit();
        if full || lost || self.coming.load(Ordering::Acquire) == 0 {
            state.finish();
        }
        drop(state);
        let committed = batch.wait();
        let answer = answer?;
        committed.map_err(not_committed)?;
        Ok(answer)
    }
}

impl State {
    fn piece<T>(&mut self, work: impl FnOnce(&Writing<'_>) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        // Dropping a savepoint without a commit rolls it back.
        let savepoint = self.connection.savepoint()?;
        let answer = work(&Writing(&savepoint))?;
        savepoint.commit()?;
        Ok(answer)
    }
}

fn not_committed(reason: String) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR), Some(reason))
}
