//! Prepared statements and their rows.

use std::sync::Arc;

use super::dialect::Translated;
use super::error::{Error, Result};
use super::params::Params;
use super::postgres::{PostgresConnection, read_column};
use super::value::{FromSql, Value};

/// A prepared statement.
pub(crate) enum Statement<'s> {
    Sqlite(rusqlite::CachedStatement<'s>),
    Postgres(&'s PostgresConnection, Arc<Translated>),
}

#[expect(clippy::needless_pass_by_value, reason = "callers write arrays and `params!`, without `&`")]
impl Statement<'_> {
    /// Runs the statement and returns the number of rows that it changed.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) fn execute(&mut self, params: impl Params) -> Result<usize> {
        match self {
            Self::Sqlite(statement) => {
                bind(statement, &params)?;
                Ok(statement.raw_execute()?)
            }
            Self::Postgres(db, sql) => db.execute(sql, &params),
        }
    }

    /// Runs the query.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) fn query(&mut self, params: impl Params) -> Result<Rows<'_>> {
        match self {
            Self::Sqlite(statement) => {
                bind(statement, &params)?;
                Ok(Rows::Sqlite(statement.raw_query()))
            }
            Self::Postgres(db, sql) => Ok(Rows::Postgres { rest: db.query(sql, &params)?.into_iter(), current: None }),
        }
    }

    /// Runs the query and reads its first row.
    ///
    /// # Errors
    /// When it fails or has no row.
    pub(crate) fn query_row<T>(&mut self, params: impl Params, read: impl FnOnce(&Row<'_>) -> Result<T>) -> Result<T> {
        let mut rows = self.query(params)?;
        let row = rows.next()?.ok_or(Error::NoRows)?;
        read(&row)
    }

    /// Runs the query and reads its rows.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) fn query_map<T, F>(&mut self, params: impl Params, read: F) -> Result<MappedRows<'_, F>>
    where
        F: FnMut(&Row<'_>) -> Result<T>,
    {
        Ok(MappedRows { rows: self.query(params)?, read })
    }
}

/// Binds a SQLite statement's parameters.
fn bind(statement: &mut rusqlite::Statement<'_>, params: &impl Params) -> Result<()> {
    let items = params.items();
    let expected = statement.parameter_count();
    if items.len() != expected {
        return Err(Error::Parameters { expected, got: items.len() });
    }
    for (place, (name, value)) in items.iter().enumerate() {
        let index = match name {
            None => place + 1,
            Some(name) => statement
                .parameter_index(name)?
                .ok_or_else(|| Error::Conversion(format!("the statement has no parameter {name}").into()))?,
        };
        statement.raw_bind_parameter(index, value.value())?;
    }
    Ok(())
}

/// The rows of a query.
pub(crate) enum Rows<'q> {
    Sqlite(rusqlite::Rows<'q>),
    Postgres { rest: std::vec::IntoIter<tokio_postgres::Row>, current: Option<tokio_postgres::Row> },
}

impl Rows<'_> {
    /// The next row.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn next(&mut self) -> Result<Option<Row<'_>>> {
        match self {
            Self::Sqlite(rows) => Ok(rows.next()?.map(Row::Sqlite)),
            Self::Postgres { rest, current } => {
                *current = rest.next();
                Ok(current.as_ref().map(Row::Postgres))
            }
        }
    }
}

/// The rows of a query, each read by a function.
pub(crate) struct MappedRows<'q, F> {
    rows: Rows<'q>,
    read: F,
}

impl<T, F: FnMut(&Row<'_>) -> Result<T>> Iterator for MappedRows<'_, F> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        match self.rows.next() {
            Ok(row) => row.map(|row| (self.read)(&row)),
            Err(error) => Some(Err(error)),
        }
    }
}

/// A row of a query.
#[derive(Clone, Copy)]
pub(crate) enum Row<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r tokio_postgres::Row),
}

impl<'r> Row<'r> {
    /// The value of a column.
    ///
    /// # Errors
    /// When there is no such column.
    pub(crate) fn get_ref(&self, index: usize) -> Result<Value<'r>> {
        match self {
            Self::Sqlite(row) => Ok(match row.get_ref(index)? {
                rusqlite::types::ValueRef::Null => Value::Null,
                rusqlite::types::ValueRef::Integer(number) => Value::Integer(number),
                rusqlite::types::ValueRef::Real(number) => Value::Real(number),
                rusqlite::types::ValueRef::Blob(bytes) => Value::Blob(bytes),
                rusqlite::types::ValueRef::Text(text) => {
                    Value::Text(std::str::from_utf8(text).map_err(|error| Error::Conversion(error.into()))?)
                }
            }),
            Self::Postgres(row) => read_column(row, index),
        }
    }

    /// The value of a column as a Rust value.
    ///
    /// # Errors
    /// When there is no such column, or its value is of another kind.
    pub(crate) fn get<T: FromSql>(&self, index: usize) -> Result<T> {
        T::from_sql(self.get_ref(index)?).map_err(|error| match error {
            Error::Conversion(reason) => Error::Conversion(format!("column {index}: {reason}").into()),
            other => other,
        })
    }
}

/// For queries that may find nothing.
pub(crate) trait OptionalExtension<T> {
    /// `None` if the query had no row.
    ///
    /// # Errors
    /// All others.
    fn optional(self) -> Result<Option<T>>;
}

impl<T> OptionalExtension<T> for Result<T> {
    fn optional(self) -> Result<Option<T>> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(Error::NoRows) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
