//! Checks of texts that callers send, before they are stored: ids, names and free text.

use super::InvalidName;

/// Why a text is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
