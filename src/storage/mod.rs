//! The database engines behind the gallery: SQLite in the data folder, or PostgreSQL. Both have the same connections, statements
//! and rows, and read the same SQL: `dialect.rs` says what that SQL may contain.

#![expect(clippy::disallowed_types, reason = "the one user of the database engines")]

mod connection;
mod dialect;
mod error;
mod objects;
mod options;
mod params;
mod postgres;
mod runtime;
mod statement;
mod tls;
mod value;
mod writer;

pub(crate) use connection::{Connection, Engine};
pub use error::Error;
pub(crate) use error::{Meaning, Result};
pub(crate) use params::{named_params, params};
pub(crate) use statement::{OptionalExtension, Row};
pub(crate) use value::{Kind, OwnedValue, Stored, ToSql, Value};
pub(crate) use writer::{Writer, Writing};

pub(crate) use objects::Objects;
pub use objects::{StoreUrl, StoreUrlError};
pub use options::StorageOptions;
pub use postgres::{PostgresUrl, UrlError};
