//! Work that nobody waits for, each on a thread of its own while the service runs.

mod alliances;
mod deliveries;
mod hashes;
mod lookbacks;

pub use alliances::pull;
pub use deliveries::deliver;
pub use hashes::hash;
pub use lookbacks::LookbackWatch;
