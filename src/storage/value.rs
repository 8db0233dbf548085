//! Values that statements take and rows contain. Both engines store four kinds: whole numbers of 64 bits, floating-point numbers,
//! texts and bytes. Booleans are the whole numbers 0 and 1.

use super::error::{Error, Result};

/// The kind of a value, known also where the value is null: PostgreSQL wants to know each parameter's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Integer,
    Real,
    Text,
    Blob,
}

/// A value for a statement, or in a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a str),
    Blob(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The text.
    ///
    /// # Errors
    /// When the value is of another kind.
    pub(crate) fn as_str(self) -> Result<&'a str> {
        match self {
            Self::Text(text) => Ok(text),
            other => Err(other.unlike("a text")),
        }
    }

    /// The bytes, `None` for null.
    ///
    /// # Errors
    /// When the value is of another kind.
    pub(crate) fn as_blob_or_null(self) -> Result<Option<&'a [u8]>> {
        match self {
            Self::Null => Ok(None),
            Self::Blob(bytes) => Ok(Some(bytes)),
            other => Err(other.unlike("bytes")),
        }
    }

    fn unlike(self, expected: &str) -> Error {
        let got = match self {
            Self::Null => "null",
            Self::Integer(_) => "a whole number",
            Self::Real(_) => "a number",
            Self::Text(_) => "a text",
            Self::Blob(_) => "bytes",
        };
        Error::Conversion(format!("got {got}, expected {expected}").into())
    }
}

/// A value that another thread may send, or that outlives its row.
#[derive(Debug)]
pub(crate) enum OwnedValue {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl OwnedValue {
    pub(crate) fn as_value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Integer(number) => Value::Integer(*number),
            Self::Real(number) => Value::Real(*number),
            Self::Text(text) => Value::Text(text),
            Self::Blob(bytes) => Value::Blob(bytes),
        }
    }
}

impl From<Value<'_>> for OwnedValue {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Integer(number) => Self::Integer(number),
            Value::Real(number) => Self::Real(number),
            Value::Text(text) => Self::Text(text.to_owned()),
            Value::Blob(bytes) => Self::Blob(bytes.to_vec()),
        }
    }
}

/// What a statement can take.
pub(crate) trait ToSql {
    fn kind(&self) -> Kind;
    fn value(&self) -> Value<'_>;
}

/// Types whose values are all of one kind.
pub(crate) trait Stored {
    const KIND: Kind;
    fn stored(&self) -> Value<'_>;
}

impl<T: Stored + ?Sized> ToSql for T {
    fn kind(&self) -> Kind {
        T::KIND
    }

    fn value(&self) -> Value<'_> {
        self.stored()
    }
}

/// What can be read from a row.
pub(crate) trait FromSql: Sized {
    /// # Errors
    /// When the value has another kind, or is out of range.
    fn from_sql(value: Value<'_>) -> Result<Self>;
}

impl<T: Stored + ?Sized> Stored for &T {
    const KIND: Kind = T::KIND;

    fn stored(&self) -> Value<'_> {
        (**self).stored()
    }
}

impl<T: Stored> Stored for Option<T> {
    const KIND: Kind = T::KIND;

    fn stored(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, T::stored)
    }
}

impl<T: FromSql> FromSql for Option<T> {
    fn from_sql(value: Value<'_>) -> Result<Self> {
        if value == Value::Null { Ok(None) } else { T::from_sql(value).map(Some) }
    }
}

macro_rules! whole_numbers {
    ($($number:ty),*) => {$(
        impl Stored for $number {
            const KIND: Kind = Kind::Integer;

            fn stored(&self) -> Value<'_> {
                Value::Integer(i64::from(*self))
            }
        }

        impl FromSql for $number {
            fn from_sql(value: Value<'_>) -> Result<Self> {
                match value {
                    Value::Integer(number) => {
                        Self::try_from(number).map_err(|error| Error::Conversion(error.into()))
                    }
                    other => Err(other.unlike("a whole number")),
                }
            }
        }
    )*};
}
whole_numbers!(i64, i32, u8, u16, u32);

impl Stored for bool {
    const KIND: Kind = Kind::Integer;

    fn stored(&self) -> Value<'_> {
        Value::Integer(i64::from(*self))
    }
}

impl FromSql for bool {
    fn from_sql(value: Value<'_>) -> Result<Self> {
        i64::from_sql(value).map(|number| number != 0)
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Stored for $number {
            const KIND: Kind = Kind::Real;

            fn stored(&self) -> Value<'_> {
                Value::Real(f64::from(*self))
            }
        }
    )*};
}
numbers!(f32, f64);

impl FromSql for f64 {
    #[expect(clippy::cast_precision_loss, reason = "whole numbers in columns of numbers are small")]
    fn from_sql(value: Value<'_>) -> Result<Self> {
        match value {
            Value::Real(number) => Ok(number),
            Value::Integer(number) => Ok(number as f64),
            other => Err(other.unlike("a number")),
        }
    }
}

impl FromSql for f32 {
    #[expect(clippy::cast_possible_truncation, reason = "stored from such a number")]
    fn from_sql(value: Value<'_>) -> Result<Self> {
        f64::from_sql(value).map(|number| number as f32)
    }
}

impl Stored for str {
    const KIND: Kind = Kind::Text;

    fn stored(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl Stored for String {
    const KIND: Kind = Kind::Text;

    fn stored(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl FromSql for String {
    fn from_sql(value: Value<'_>) -> Result<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl Stored for [u8] {
    const KIND: Kind = Kind::Blob;

    fn stored(&self) -> Value<'_> {
        Value::Blob(self)
    }
}

impl Stored for Vec<u8> {
    const KIND: Kind = Kind::Blob;

    fn stored(&self) -> Value<'_> {
        Value::Blob(self)
    }
}

impl<const N: usize> Stored for [u8; N] {
    const KIND: Kind = Kind::Blob;

    fn stored(&self) -> Value<'_> {
        Value::Blob(self)
    }
}

impl FromSql for Vec<u8> {
    fn from_sql(value: Value<'_>) -> Result<Self> {
        match value {
            Value::Blob(bytes) => Ok(bytes.to_vec()),
            other => Err(other.unlike("bytes")),
        }
    }
}

impl<const N: usize> FromSql for [u8; N] {
    fn from_sql(value: Value<'_>) -> Result<Self> {
        match value {
            Value::Blob(bytes) => bytes
                .try_into()
                .map_err(|_| Error::Conversion(format!("got {} bytes, expected {N}", bytes.len()).into())),
            other => Err(other.unlike("bytes")),
        }
    }
}
