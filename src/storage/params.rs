//! What a statement's parameters are bound to.

use super::value::{ToSql, Value};

/// The values of a statement's parameters, by position (`?1`) or name (`:brand`).
pub(crate) trait Params {
    /// Name (`None` for a position) and value of each.
    fn items(&self) -> Vec<(Option<&str>, &dyn ToSql)>;
}

impl Params for [&dyn ToSql; 0] {
    fn items(&self) -> Vec<(Option<&str>, &dyn ToSql)> {
        Vec::new()
    }
}

macro_rules! arrays {
    ($($length:literal),*) => {$(
        impl<T: ToSql> Params for [T; $length] {
            fn items(&self) -> Vec<(Option<&str>, &dyn ToSql)> {
                self.iter().map(|value| (None, value as &dyn ToSql)).collect()
            }
        }
    )*};
}
arrays!(1, 2, 3, 4, 5, 6);

impl Params for &[&dyn ToSql] {
    fn items(&self) -> Vec<(Option<&str>, &dyn ToSql)> {
        self.iter().map(|value| (None, *value)).collect()
    }
}

impl Params for &[(&str, &dyn ToSql)] {
    fn items(&self) -> Vec<(Option<&str>, &dyn ToSql)> {
        self.iter().map(|(name, value)| (Some(*name), *value)).collect()
    }
}

/// A value for each of a statement's parameters, by position.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$(&$value as &dyn $crate::storage::ToSql),*] as &[&dyn $crate::storage::ToSql]
    };
}

/// A value for each of a statement's parameters, by name.
macro_rules! named_params {
    ($($name:literal: $value:expr),* $(,)?) => {
        &[$(($name, &$value as &dyn $crate::storage::ToSql)),*] as &[(&str, &dyn $crate::storage::ToSql)]
    };
}

pub(crate) use {named_params, params};

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::{ToSqlOutput, ValueRef};
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Real(number) => ValueRef::Real(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
