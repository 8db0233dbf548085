//! Work that nobody waits for, each on a thread of its own while the service runs.

mod alliances;
mod deliveries;
mod lookbacks;

pub use alliances::pull;
pub use deliveries::deliver;
pub use lookbacks::LookbackWatch;
