//! Locks for work that one process does at a time: files in the data folder, or advisory locks of PostgreSQL, which hold for all
//! nodes.

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::store::{Gallery, GalleryError};
use crate::storage::Connection;

/// Pause between two tries to get a lock of PostgreSQL.
const PAUSE: Duration = Duration::from_millis(200);

/// Some work is locked until this is dropped or the process ends; in PostgreSQL also only until the server ends the connection, which
/// the holder is not told.
#[derive(Debug)]
pub struct WorkLock(#[expect(dead_code, reason = "held, not read")] Held);

#[derive(Debug)]
enum Held {
    File(#[expect(dead_code, reason = "held, not read")] File),
    /// The lock ends with its connection.
    Connection(#[expect(dead_code, reason = "held, not read")] Box<Connection>),
}

impl Gallery {
    /// Locks the work `name`, and waits while somebody else has it. `folder`: where the lock's file is, if it is a file.
    ///
    /// # Errors
    /// When the folder cannot be written, or the database not reached.
    pub fn lock(&self, folder: &Path, name: &str) -> Result<WorkLock, GalleryError> {
        make(folder)?;
        if self.is_shared() {
            let connection = self.lock_connection()?;
            while !self.locks(&connection, name)? {
                thread::sleep(PAUSE);
            }
            return Ok(WorkLock(Held::Connection(Box::new(connection))));
        }
        let file = lock_file(folder, name)?;
        file.lock()?;
        Ok(WorkLock(Held::File(file)))
    }

    /// As [`Gallery::lock`], but returns `None` at once if somebody else has the lock.
    ///
    /// # Errors
    /// As [`Gallery::lock`].
    pub fn try_lock(&self, folder: &Path, name: &str) -> Result<Option<WorkLock>, GalleryError> {
        make(folder)?;
        if self.is_shared() {
            let connection = self.lock_connection()?;
            let locked = self.locks(&connection, name)?;
            return Ok(locked.then(|| WorkLock(Held::Connection(Box::new(connection)))));
        }
        let file = lock_file(folder, name)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(WorkLock(Held::File(file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    fn lock_connection(&self) -> Result<Connection, GalleryError> {
        self.engine().connect(false).map_err(|source| self.failed(source))
    }

    /// Tries to lock.
    fn locks(&self, connection: &Connection, name: &str) -> Result<bool, GalleryError> {
        let sql = format!("SELECT pg_try_advisory_lock({NUMBER})");
        connection.query_row(&sql, [name], |row| row.get(0)).map_err(|source| self.failed(source))
    }
}

/// SQL of a lock's number: galleries in other schemas have other ones.
const NUMBER: &str = "hashtextextended(current_schema() || ' ' || ?1, 0)";

/// Makes the folder of the work and of its lock, readable by the owner alone.
fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn lock_file(folder: &Path, name: &str) -> io::Result<File> {
    File::options().create(true).append(true).open(folder.join(name))
}
