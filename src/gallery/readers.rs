//! Connections for reading, which threads share.

use std::ops::Deref;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::storage::{self, Connection, Engine};

/// A connection that was idle for longer is asked whether it still works.
const ASKED_AFTER: Duration = Duration::from_secs(1);

/// Connections to a server at once, so that a node does not take them from the others.
const MOST: usize = 32;

/// Connections to a server that stay open while nobody reads.
const MOST_IDLE: usize = 8;

/// How long a read waits for a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens connections as they are needed; connections to a server are limited.
pub(super) struct Readers {
    engine: Engine,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<(Connection, Instant)>,
    open: usize,
}

impl Readers {
    pub(super) fn new(engine: Engine) -> Self {
        Self { engine, state: Mutex::default(), returned: Condvar::new() }
    }

    /// An idle connection, or a new one.
    ///
    /// # Errors
    /// When none can be opened, or none is returned for ten seconds.
    pub(super) fn take(&self) -> storage::Result<Reader<'_>> {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut state = self.state.lock();
            if let Some((connection, since)) = state.idle.pop() {
                drop(state);
                let reader = Reader { pool: self, connection: Some(connection) };
                if reader.is_usable() && (since.elapsed() < ASKED_AFTER || reader.answers()) {
                    return Ok(reader);
                }
                reader.discard();
            } else if state.open < MOST || !self.engine.is_server() {
                state.open += 1;
                drop(state);
                // Without a connection it only gives its place back.
                let mut reader = Reader { pool: self, connection: None };
                reader.connection = Some(self.engine.connect_reader()?);
                return Ok(reader);
            } else if self.returned.wait_until(&mut state, until).timed_out() {
                return Err(storage::Error::Late(PATIENCE.as_secs()));
            }
        }
    }
}

/// A connection that returns to the others when it is dropped.
pub(super) struct Reader<'p> {
    pool: &'p Readers,
    connection: Option<Connection>,
}

impl Reader<'_> {
    /// Closes the connection instead of returning it.
    pub(super) fn discard(mut self) {
        self.connection = None;
    }
}

impl Deref for Reader<'_> {
    type Target = Connection;

    #[expect(clippy::expect_used, reason = "only a reader that `take` did not return has none")]
    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("a reader has a connection")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let connection = self.connection.take().filter(Connection::is_usable);
        let mut state = self.pool.state.lock();
        let kept = state.idle.len() < MOST_IDLE || !self.pool.engine.is_server();
        match connection.filter(|_| kept) {
            Some(connection) => state.idle.push((connection, Instant::now())),
            None => state.open -= 1,
        }
        self.pool.returned.notify_one();
    }
}
