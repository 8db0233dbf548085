//! Hashes references that have no PDQ hash yet.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender as Guard;

use super::repeat;
use crate::enrolment::Enrolment;
use crate::library::HashBanks;

/// Wait after hashing has failed.
const PAUSE: Duration = Duration::from_mins(1);

/// Hashes what is missing after each change of the gallery, until the returned guard is dropped.
///
/// # Errors
/// When the system can start no thread.
pub fn hash(
    enrolment: impl Fn() -> Enrolment + Send + 'static,
    banks: Arc<HashBanks>,
    pause: Duration,
) -> std::io::Result<Guard<()>> {
    let (mut done, mut failed) = (None, None::<Instant>);
    repeat("hashes", pause, move || {
        let enrolment = enrolment();
        let newest = enrolment.gallery.revision().ok();
        let resting = failed.is_some_and(|when| when.elapsed() < PAUSE);
        if newest == done || resting {
            return;
        }
        match enrolment.hash_missing() {
            Ok(_) => (done, failed) = (newest, None),
            Err(error) => {
                tracing::error!(%error, "references could not be hashed; the next try is in a minute");
                failed = Some(Instant::now());
            }
        }
        // Some may have been hashed before a failure.
        banks.forget();
    })
}
