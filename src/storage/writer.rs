//! The one connection that writes. Threads that write at the same time share a transaction, and so one disk sync: each
//! works in a savepoint of its own, and none returns before the transaction is committed.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};

use super::connection::{Connection, Engine};
use super::error::{Error, Result};

/// The greatest number of writes that share a transaction, so that the first one need not wait for ever.
const MOST_TOGETHER: usize = 64;

/// A connection inside a transaction that writes.
pub(crate) struct Writing<'a>(&'a Connection);

impl<'a> Writing<'a> {
    pub(super) fn within(connection: &'a Connection) -> Self {
        Self(connection)
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
    outcome: Mutex<Option<std::result::Result<(), String>>>,
    known: Condvar,
}

impl Batch {
    fn finish(&self, outcome: std::result::Result<(), String>) {
        *self.outcome.lock() = Some(outcome);
        self.known.notify_all();
    }

    fn wait(&self) -> std::result::Result<(), String> {
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

pub(crate) struct Writer {
    engine: Engine,
    /// Version of the schema that this program knows.
    version: usize,
    state: Mutex<State>,
    /// Number of threads about to lock `state`; while it is above 0, the transaction stays open for them.
    coming: AtomicUsize,
}

impl Writer {
    pub(crate) fn new(engine: Engine, version: usize, connection: Connection) -> Self {
        Self { engine, version, state: Mutex::new(State { connection, open: None }), coming: AtomicUsize::new(0) }
    }

    /// Begins a transaction, on a new connection if the server ended the old one.
    fn begin(&self, state: &mut State) -> Result<()> {
        let mut begun = state.connection.begin_write();
        // The server may have ended the connection while it was idle.
        if begun.is_err() && !state.connection.is_usable() {
            state.connection = self.engine.connect(false)?;
            begun = state.connection.begin_write();
        }
        let end = || state.connection.execute_batch("ROLLBACK");
        match begun {
            Ok(got) if got > self.version => {
                end()?;
                Err(Error::Migrated { got, known: self.version })
            }
            Ok(_) => Ok(()),
            Err(error) => {
                let _ = end();
                Err(error)
            }
        }
    }

    /// Does `work` and returns once it is committed. A failed write leaves nothing behind and undoes no other.
    pub(crate) fn write<T>(&self, work: impl FnOnce(&Writing<'_>) -> Result<T>) -> Result<T> {
        self.coming.fetch_add(1, Ordering::AcqRel);
        let mut state = self.state.lock();
        self.coming.fetch_sub(1, Ordering::AcqRel);
        if state.open.is_none() {
            self.begin(&mut state)?;
            state.open = Some(Open { batch: Arc::default(), pieces: 0 });
        }
        let mut turn = Turn { state: &mut state, done: false };
        let answer = turn.state.piece(work);
        turn.done = true;
        drop(turn);
        // Only the first write of a transaction ends it by failing, and nobody shares it yet.
        let Some(open) = state.open.as_mut() else { return answer };
        open.pieces += 1;
        let (batch, full) = (Arc::clone(&open.batch), open.pieces >= MOST_TOGETHER);
        // A full disk ends a transaction by itself: then no write is stored, and every thread is told.
        let lost = !state.connection.in_transaction();
        if full || lost || self.coming.load(Ordering::Acquire) == 0 {
            state.finish();
        }
        drop(state);
        let committed = batch.wait();
        let answer = answer?;
        committed.map_err(Error::NotCommitted)?;
        Ok(answer)
    }
}

impl State {
    fn piece<T>(&mut self, work: impl FnOnce(&Writing<'_>) -> Result<T>) -> Result<T> {
        // The first write needs no savepoint: the transaction is its own until it is done.
        let first = self.open.as_ref().is_some_and(|open| open.pieces == 0);
        if !first {
            self.connection.execute_batch("SAVEPOINT piece")?;
        }
        let mut piece = Piece { connection: &self.connection, first, done: false };
        let answer = work(&Writing(&self.connection));
        piece.done = answer.is_ok();
        drop(piece);
        match &answer {
            Ok(_) if !first => self.connection.execute_batch("RELEASE SAVEPOINT piece")?,
            Err(_) if first => self.open = None,
            _ => {}
        }
        answer
    }
}

/// Rolls a write back that failed or panicked.
struct Piece<'a> {
    connection: &'a Connection,
    first: bool,
    done: bool,
}

impl Drop for Piece<'_> {
    fn drop(&mut self) {
        if self.done || !self.connection.in_transaction() {
            return;
        }
        let back = if self.first { "ROLLBACK" } else { "ROLLBACK TO SAVEPOINT piece; RELEASE SAVEPOINT piece" };
        let _ = self.connection.execute_batch(back);
    }
}
