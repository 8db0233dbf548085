//! Hashes references that have no PDQ hash yet.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender as Guard, bounded};

use crate::enrolment::Enrolment;
use crate::hashing::{HashBanks, hash_missing};

/// Hashes what is missing after each change of the gallery, until the returned guard is dropped.
///
/// # Errors
/// When the system can start no thread.
pub fn hash(
    enrolment: impl Fn() -> Enrolment + Send + 'static,
    banks: Arc<HashBanks>,
    pause: Duration,
) -> std::io::Result<Guard<()>> {
    let (guard, stopped) = bounded(0);
    thread::Builder::new().name("hashes".to_owned()).spawn(move || {
        let mut done = None;
        loop {
            let enrolment = enrolment();
            let newest = enrolment.gallery.revision().ok();
            if newest != done {
                match hash_missing(&enrolment) {
                    Ok(hashed) => {
                        done = newest;
                        if hashed > 0 {
                            banks.forget();
                        }
                    }
                    Err(error) => tracing::error!(%error, "references could not be hashed"),
                }
            }
            if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    })?;
    Ok(guard)
}
