//! Output of commands. A closed pipe, or a full disk behind a redirection, never stops a command half-way.

use std::fmt::Arguments;
use std::io::{self, Write};

use parking_lot::Mutex;

use crate::page::visible;

/// The first error of writing an answer, unless the reader closed the pipe.
static LOST: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints a line of the answer; a file name in it cannot break the line or move the cursor.
macro_rules! say {
    ($($words:tt)*) => { $crate::cli::output::line(format_args!($($words)*)) };
}

/// Prints a document unchanged.
macro_rules! document {
    ($($words:tt)*) => { $crate::cli::output::text(format_args!($($words)*)) };
}

/// Prints a line beside the answer, to standard error.
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
    // There is nowhere left to report a failure.
    let _ = writeln!(io::stderr(), "{}", visible(&words.to_string()));
}

/// The first error of writing the answer, if any.
pub(super) fn lost() -> Option<io::Error> {
    LOST.lock().take()
}
