//! The decoding process.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::confine::confine;
use super::protocol::{Said, Terms, read_bytes, read_message, write_message};
use crate::photo::{Pixels, pixels};

/// Decodes the files that arrive over standard input, a socket, until it is closed.
///
/// # Errors
/// When standard input is not a socket, or the other side breaks the protocol.
pub fn main() -> io::Result<()> {
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let terms: Terms = read_message(&mut socket)?;
    let busy_for = watch(terms.seconds)?;
    // Decoders may share work among rayon's threads, and none can be started once this process is confined.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global();
    confine(&terms.limits);
    // Panics are not printed: the answer says that the file is broken.
    std::panic::set_hook(Box::new(|_| {}));
    write_message(&mut socket, &Said::Ready)?;
    loop {
        let Ok(bytes) = read_bytes(&mut socket, terms.limits.max_bytes) else { return Ok(()) };
        busy_for.store(1, Ordering::Release);
        let decoded = std::panic::catch_unwind(|| pixels(&bytes, &terms.limits));
        busy_for.store(0, Ordering::Release);
        match decoded {
            Ok(Ok(Pixels { rgb, frames, more_frames, damaged, on_black, invisible_on_white })) => {
                let (width, height) = rgb.dimensions();
                let on = on_black.is_some();
                let said =
                    Said::Photo { width, height, frames, more_frames, damaged, on_black: on, invisible_on_white };
                write_message(&mut socket, &said)?;
                socket.write_all(rgb.as_raw())?;
                if let Some(on_black) = on_black {
                    socket.write_all(on_black.as_raw())?;
                }
            }
            Ok(Err(error)) => write_message(&mut socket, &Said::of(error))?,
            Err(_) => write_message(&mut socket, &Said::Broken("the decoder failed".to_owned()))?,
        }
    }
}

/// Ends this process when a file takes twice its time, because the service, which should have killed it, is gone.
fn watch(seconds: u64) -> io::Result<Arc<AtomicU64>> {
    let busy_for = Arc::new(AtomicU64::new(0));
    let watched = Arc::clone(&busy_for);
    thread::Builder::new().stack_size(64 << 10).spawn(move || {
        loop {
            thread::sleep(Duration::from_secs(1));
            let busy = watched.load(Ordering::Acquire);
            if busy > seconds.saturating_mul(2) {
                std::process::exit(1);
            }
            if busy > 0 {
                // Only this thread counts up; a finished file has reset the counter to 0.
                let _ = watched.compare_exchange(busy, busy + 1, Ordering::AcqRel, Ordering::Relaxed);
            }
        }
    })?;
    Ok(busy_for)
}
