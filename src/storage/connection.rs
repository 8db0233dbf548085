//! A connection to the database, and what is done with it.

use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use rusqlite::OpenFlags;

use super::error::Result;
use super::params::Params;
use super::postgres::{PostgresConnection, PostgresUrl};
use super::statement::{Row, Statement};
use super::writer::Writing;

/// Rows that PostgreSQL sends at once while all rows of a query are visited.
const VISITED_AT_ONCE: usize = 1000;

/// Which database, for opening connections.
#[derive(Debug, Clone)]
pub(crate) enum Engine {
    /// A file of SQLite.
    Sqlite(std::path::PathBuf),
    /// A schema of a PostgreSQL database.
    Postgres(Box<PostgresUrl>),
}

impl Engine {
    /// Opens a connection for reading and writing. A missing SQLite file is created if `create` is set.
    ///
    /// # Errors
    /// When the database cannot be opened or reached.
    pub(crate) fn connect(&self, create: bool) -> Result<Connection> {
        match self {
            Self::Sqlite(path) => Connection::open_file(path, create),
            Self::Postgres(url) => Ok(Connection::Postgres(Box::new(PostgresConnection::open(url)?))),
        }
    }

    /// Opens a connection for reading.
    ///
    /// # Errors
    /// When the database cannot be opened or reached.
    pub(crate) fn connect_reader(&self) -> Result<Connection> {
        let connection = self.connect(false)?;
        match &connection {
            Connection::Sqlite(db) => db.pragma_update(None, "query_only", true)?,
            Connection::Postgres(db) => db.batch("SET default_transaction_read_only = on")?,
        }
        Ok(connection)
    }

    /// Whether it is a server, which allows so many connections and no more.
    pub(crate) fn is_server(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// The database's place, without a password.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Sqlite(path) => path.display().to_string(),
            Self::Postgres(url) => url.to_string(),
        }
    }
}

/// A connection to a database. Its statements see what was committed, and what it wrote itself.
pub(crate) enum Connection {
    Sqlite(rusqlite::Connection),
    Postgres(Box<PostgresConnection>),
}

impl Connection {
    fn open_file(path: &Path, create: bool) -> Result<Self> {
        let mut flags = OpenFlags::default();
        flags.set(OpenFlags::SQLITE_OPEN_CREATE, create);
        let db = rusqlite::Connection::open_with_flags(path, flags)?;
        db.busy_timeout(Duration::from_secs(10))?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        // Acknowledged means on disk, even after a power failure.
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "foreign_keys", true)?;
        db.set_prepared_statement_cache_capacity(64);
        Ok(Self::Sqlite(db))
    }

    /// A database in memory.
    pub(crate) fn in_memory() -> Result<Self> {
        Ok(Self::Sqlite(rusqlite::Connection::open_in_memory()?))
    }

    /// A file of SQLite as it is, with SQLite's own settings: for files that are no gallery.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn plain_file(path: &Path) -> Result<Self> {
        Ok(Self::Sqlite(rusqlite::Connection::open(path)?))
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// Prepares a statement, or takes it from the connection's cache.
    ///
    /// # Errors
    /// When the statement is wrong.
    pub(crate) fn prepare_cached(&self, sql: &str) -> Result<Statement<'_>> {
        match self {
            Self::Sqlite(db) => Ok(Statement::Sqlite(db.prepare_cached(sql)?)),
            Self::Postgres(db) => Ok(Statement::Postgres(db, db.translated(sql))),
        }
    }

    /// Runs a statement and returns the number of rows that it changed.
    ///
    /// # Errors
    /// When the statement fails.
    pub(crate) fn execute(&self, sql: &str, params: impl Params) -> Result<usize> {
        self.prepare_cached(sql)?.execute(params)
    }

    /// Runs a query and reads its first row.
    ///
    /// # Errors
    /// When the query fails or has no row.
    pub(crate) fn query_row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<T> {
        self.prepare_cached(sql)?.query_row(params, read)
    }

    /// Visits every row of a query, however many there are, without holding them in memory.
    ///
    /// # Errors
    /// When the query fails, or at the first error of `visit`.
    pub(crate) fn visit(
        &self,
        sql: &str,
        params: impl Params,
        mut visit: impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        self.visit_until(sql, params, |row| visit(row).map(|()| false))
    }

    /// As [`Connection::visit`]; ends when `visit` returns true.
    ///
    /// # Errors
    /// As [`Connection::visit`].
    pub(crate) fn visit_until(
        &self,
        sql: &str,
        params: impl Params,
        mut visit: impl FnMut(&Row<'_>) -> Result<bool>,
    ) -> Result<()> {
        match self {
            Self::Sqlite(_) => {
                let mut statement = self.prepare_cached(sql)?;
                let mut rows = statement.query(params)?;
                while let Some(row) = rows.next()? {
                    if visit(&row)? {
                        break;
                    }
                }
                Ok(())
            }
            Self::Postgres(db) => db.visit(sql, &params, VISITED_AT_ONCE, &mut visit),
        }
    }

    /// Runs statements without parameters.
    ///
    /// # Errors
    /// At the first one that fails.
    pub(crate) fn execute_batch(&self, sql: &str) -> Result<()> {
        match self {
            Self::Sqlite(db) => Ok(db.execute_batch(sql)?),
            Self::Postgres(db) => db.batch(sql),
        }
    }

    /// Begins a transaction that writes. Only one at a time runs, whatever process or node began it, so that what it reads stays
    /// true until it ends.
    ///
    /// Returns the schema's version, which another process may have changed.
    ///
    /// # Errors
    /// When another one does not end for ten seconds.
    pub(super) fn begin_write(&self) -> Result<usize> {
        match self {
            Self::Sqlite(db) => {
                db.execute_batch("BEGIN IMMEDIATE")?;
                let version =
                    self.query_row("SELECT user_version FROM pragma_user_version", [], |row| row.get::<u32>(0))?;
                Ok(version as usize)
            }
            Self::Postgres(db) => db.begin_write(),
        }
    }

    /// Does work in a write transaction of its own, also where the gallery's tables do not exist yet.
    ///
    /// # Errors
    /// When the work fails, or cannot be committed; then nothing is changed.
    pub(crate) fn exclusively<T>(&self, work: impl FnOnce(&Writing<'_>) -> Result<T>) -> Result<T> {
        match self {
            Self::Sqlite(db) => db.execute_batch("BEGIN IMMEDIATE")?,
            Self::Postgres(db) => db.begin_first()?,
        }
        let done = work(&Writing::within(self)).and_then(|done| self.execute_batch("COMMIT").map(|()| done));
        if done.is_err() {
            let _ = self.execute_batch("ROLLBACK");
        }
        done
    }

    /// Whether a transaction is open.
    pub(super) fn in_transaction(&self) -> bool {
        match self {
            Self::Sqlite(db) => !db.is_autocommit(),
            Self::Postgres(db) => db.in_transaction(),
        }
    }

    /// Whether the connection still works, as far as is known.
    pub(crate) fn is_usable(&self) -> bool {
        match self {
            Self::Sqlite(_) => true,
            Self::Postgres(db) => db.is_usable(),
        }
    }

    /// Asks the server whether the connection still works.
    pub(crate) fn answers(&self) -> bool {
        match self {
            Self::Sqlite(_) => true,
            Self::Postgres(db) => db.answers(),
        }
    }

    /// A view of the database at one moment, for several queries.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) fn snapshot(&self) -> Result<Snapshot<'_>> {
        self.execute_batch(match self {
            Self::Sqlite(_) => "BEGIN DEFERRED",
            Self::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        })?;
        Ok(Snapshot(self))
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_postgres() { "connection to PostgreSQL" } else { "connection to SQLite" })
    }
}

/// See [`Connection::snapshot`].
pub(crate) struct Snapshot<'s>(&'s Connection);

impl Deref for Snapshot<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.0
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        let _ = self.0.execute_batch("ROLLBACK");
    }
}
