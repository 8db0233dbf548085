//! Texts that callers send: names, ids and free text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

/// A text that is not a valid name or code. The message says what was expected.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidName(pub String);

impl InvalidName {
    /// `text` is not one of the names of `what`.
    pub(super) fn expected(what: &str, text: &str, names: &[&str]) -> Self {
        let names = match names {
            [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
            names => names.concat(),
        };
        Self(format!("{what} is {text:?}, expected {names}"))
    }
}

/// A brand's short name: 1 to 64 of `a-z`, `0-9`, `-`, `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
#[schema(value_type = String, pattern = "^[a-z0-9_-]{1,64}$", example = "acme")]
pub struct BrandId(String);

impl BrandId {
    /// The name in the database and in JSON.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BrandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BrandId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        if (1..=64).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName(format!("brand is {text:?}, expected 1 to 64 characters of a-z, 0-9, - and _")))
        }
    }
}

impl<'de> Deserialize<'de> for BrandId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text is rejected.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TextFault {
    /// The text is empty or only white space.
    #[error("{field} is empty or blank; send visible text, or leave the field out")]
    Empty {
        /// Name of the field in the request.
        field: String,
    },
    /// The text contains a control character.
    #[error("{field} contains the control character U+{:04X} at byte {at}; remove it", u32::from(*.control))]
    Control {
        /// Name of the field in the request.
        field: String,
        /// The control character.
        control: char,
        /// Its byte offset in the UTF-8 text, from 0.
        at: usize,
    },
}

impl TextFault {
    /// Stable kebab-case code of the error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty { .. } => "field-empty",
            Self::Control { .. } => "field-invalid",
        }
    }
}

impl From<TextFault> for InvalidName {
    fn from(fault: TextFault) -> Self {
        Self(fault.to_string())
    }
}

/// Whether a character is invisible and moves the cursor, ends a line or changes the direction of text.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Checks a single-line text: an id, a name, a source. It must not be blank or contain control characters.
///
/// # Errors
/// [`TextFault`], which names the field.
pub fn check_name(field: &str, text: &str) -> Result<(), TextFault> {
    if text.trim().is_empty() && !text.chars().any(is_control) {
        return Err(TextFault::Empty { field: field.to_owned() });
    }
    without_control(field, text, |_| false)
}

/// Checks a free text: it may be empty and may contain line breaks and tabs.
///
/// # Errors
/// [`TextFault::Control`], which names the field.
pub fn check_text(field: &str, text: &str) -> Result<(), TextFault> {
    without_control(field, text, |c| matches!(c, '\n' | '\r' | '\t'))
}

/// Checks a field by its name: `notes`, `note` and `text` are free texts, all others are names.
///
/// # Errors
/// [`TextFault`], which names the field.
pub fn check_field(field: &str, text: &str) -> Result<(), TextFault> {
    if matches!(field, "notes" | "note" | "text") { check_text(field, text) } else { check_name(field, text) }
}

fn without_control(field: &str, text: &str, allowed: impl Fn(char) -> bool) -> Result<(), TextFault> {
    match text.char_indices().find(|(_, c)| is_control(*c) && !allowed(*c)) {
        Some((at, control)) => Err(TextFault::Control { field: field.to_owned(), control, at }),
        None => Ok(()),
    }
}
