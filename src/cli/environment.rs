//! What libraries read from the environment before the first line of this program runs.

use std::env;
use std::num::NonZero;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use crate::embed::{NO_TELEMETRY, telemetry_is_off};

/// How many heaps glibc's `malloc` keeps, mallopt(3). By default there are eight a core, each keeps the most that it ever held, and
/// memory creeps up for hours. What one a core costs: docs/ARCHITECTURE.md.
const HEAPS: &str = "MALLOC_ARENA_MAX";

/// Becomes the same program, in the same process, with what is missing in its environment. Where that cannot be, ONNX Runtime
/// is not loaded, and whoever needs it hears why.
pub(super) fn put_in_order() {
    let heaps = env::var_os(HEAPS);
    if telemetry_is_off() && heaps.is_some() {
        return;
    }
    let Ok(program) = env::current_exe() else { return };
    let mut words = env::args_os();
    let mut again = Command::new(program);
    let (name, value) = NO_TELEMETRY;
    let cores = || thread::available_parallelism().map_or(2, NonZero::get).to_string().into();
    again.arg0(words.next().unwrap_or_default()).args(words);
    again.env(name, value).env(HEAPS, heaps.unwrap_or_else(cores));
    // Comes back only where it failed.
    let _ = again.exec();
}
