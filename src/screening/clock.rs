use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};

/// The time of checks: the system's, unless it is set back to make checks that are older.
#[derive(Debug, Clone, Default)]
pub struct Clock(Arc<AtomicI64>);

impl Clock {
    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp::now() - SignedDuration::from_secs(self.0.load(Ordering::Relaxed))
    }

    /// For tests: sets every copy of this clock back, by at most as long as the system's clock has run since 1970.
    pub fn set_back(&self, by: SignedDuration) {
        self.0.store(by.as_secs(), Ordering::Relaxed);
    }
}
