use std::io;

use thiserror::Error;

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why the database could not answer.
#[derive(Debug, Error)]
pub enum Error {
    /// SQLite returned an error.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL returned an error, or could not be reached.
    #[error("{}", super::postgres::told(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// The database server did not answer in time.
    #[error("the server did not answer within {0} s; check its load and the network")]
    Late(u64),
    /// A query for one row found none.
    #[error("the query returned no rows")]
    NoRows,
    /// A stored value cannot be read, or a value not stored.
    #[error("{0}")]
    Conversion(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A file that belongs to a change could not be read or written; the change was rolled back.
    #[error(transparent)]
    File(io::Error),
    /// The transaction that a change shared with others was not committed.
    #[error("{0}")]
    NotCommitted(String),
    /// A newer touchstone has changed the schema since this one opened the database.
    #[error(
        "a newer touchstone has migrated the database to version {got}, and this one knows {known}; run the newer one"
    )]
    Migrated {
        /// Version of the database.
        got: usize,
        /// Newest version that this program knows.
        known: usize,
    },
    /// A statement's parameters and its values do not agree.
    #[error("the statement has {expected} parameters, got {got} values")]
    Parameters {
        /// Number of parameters.
        expected: usize,
        /// Number of values.
        got: usize,
    },
}

/// What an error means for the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Stored data is damaged.
    Damaged,
    /// Nothing can be written: no space, read-only or a failing disk.
    Unwritable,
    /// The database server cannot be reached.
    Unreachable,
    /// Anything else.
    Other,
}

impl Error {
    pub(crate) fn meaning(&self) -> Meaning {
        use rusqlite::ErrorCode;
        match self {
            Self::Sqlite(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Meaning::Damaged,
                Some(
                    ErrorCode::DiskFull | ErrorCode::ReadOnly | ErrorCode::SystemIoFailure | ErrorCode::CannotOpen,
                ) => Meaning::Unwritable,
                _ => Meaning::Other,
            },
            Self::Postgres(error) => super::postgres::meaning(error),
            Self::Late(_) => Meaning::Unreachable,
            _ => Meaning::Other,
        }
    }
}
