//! The environment that libraries read before the first line of this program runs.

use std::env;
use std::num::NonZero;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use crate::embed::{NO_TELEMETRY, telemetry_is_off};

/// The number of heaps of glibc's `malloc`, mallopt(3). By default there are eight per core, each keeps its peak size,
/// and memory creeps up for hours. docs/decisions/014-restart-with-environment.md gives the cost of one per core.
const HEAPS: &str = "MALLOC_ARENA_MAX";

/// Executes the same program again in the same process, with the missing variables set. If that fails, ONNX Runtime is
/// not loaded, and the commands that need it report why.
pub(super) fn reexec_with_env() {
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
    // Returns only if it failed.
    let _ = again.exec();
}
