//! Work that nobody waits for, each on a thread of its own while the service runs.

mod alliances;
mod deliveries;
mod hashes;
mod lookbacks;

use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender as Guard, bounded};

pub use alliances::pull;
pub use deliveries::deliver;
pub use hashes::hash;
pub use lookbacks::LookbackWatch;

/// Repeats some work on a thread, with a pause in between, until the returned guard is dropped.
fn repeat(name: &str, pause: Duration, mut work: impl FnMut() + Send + 'static) -> std::io::Result<Guard<()>> {
    let (guard, stopped) = bounded(0);
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        loop {
            work();
            if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    })?;
    Ok(guard)
}
