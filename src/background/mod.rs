//! Work that nobody waits for, each on a thread of its own while the service runs.

mod deliveries;

pub use deliveries::deliver;
