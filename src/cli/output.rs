//! What a command says. A reader that went away, or a full disk behind a redirection, never stops a command half-way.

use std::fmt::Arguments;
use std::io::{self, Write};

use parking_lot::Mutex;

use crate::page::visible;

/// The first line of an answer that was lost, unless nobody wanted it.
static LOST: Mutex<Option<io::Error>> = Mutex::new(None);

/// One line of an answer; what a file's name holds cannot make it two, or move the cursor.
macro_rules! say {
    ($($words:tt)*) => { $crate::cli::output::line(format_args!($($words)*)) };
}

/// A document, as it is.
macro_rules! document {
    ($($words:tt)*) => { $crate::cli::output::text(format_args!($($words)*)) };
}

/// One line beside the answer.
macro_rules! tell {
    ($($words:tt)*) => { $crate::cli::output::aside(format_args!($($words)*)) };
}

pub(super) use {document, say, tell};

pub(super) fn line(words: Arguments<'_>) {
    text(format_args!("{}", visible(&words.to_string())));
}

pub(super) fn text(words: Arguments<'_>) {
    let mut out = io::stdout().lock();
    if let Err(error) = writeln!(out, "{words}").and_then(|()| out.flush())
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        LOST.lock().get_or_insert(error);
    }
}

pub(super) fn aside(words: Arguments<'_>) {
    // There is nowhere left to say that it could not be said.
    let _ = writeln!(io::stderr(), "{}", visible(&words.to_string()));
}

/// Whether all of the answer got out.
pub(super) fn lost() -> Option<io::Error> {
    LOST.lock().take()
}
