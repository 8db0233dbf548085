//! What libraries read from the environment before the first line of this program runs.

use std::env;
use std::num::NonZero;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use crate::embed::NO_TELEMETRY;

/// How many heaps glibc's `malloc` keeps, mallopt(3). By default there are eight a core, each keeps the most that it ever held, and
/// memory creeps up for hours. What one a core costs: docs/ARCHITECTURE.md.
const HEAPS: &str = "MALLOC_ARENA_MAX";

/// Becomes the same program, in the same process, with what is missing in its environment. Where that cannot be, ONNX Runtime
/// is not loaded, and whoever needs it hears why.
pub(super) fn put_in_order() {
    let (name, value) = NO_TELEMETRY;
    let still = env::var_os(name).is_some_and(|is| is == value);
    if still && env::var_os(HEAPS).is_some() {
        return;
    }
    let Ok(program) = env::current_exe() else { return };
    let mut words = env::args_os();
    let mut again = Command::new(program);
    again.arg0(words.next().unwrap_or_default()).args(words).env(name, value);
    if env::var_os(HEAPS).is_none() {
        again.env(HEAPS, thread::available_parallelism().map_or(2, NonZero::get).to_string());
    }
    // Comes back only where it failed.
    let _ = again.exec();
}
