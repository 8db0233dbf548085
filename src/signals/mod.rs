//! Signals: what members of an alliance tell each other about references, never the pictures. A pack of signals is one
//! file or one answer over HTTP: signed lines, compressed. The format: docs/FORMATS.md.

mod identity;
mod line;
mod pack;

pub use identity::{Identity, IdentityFault};
pub use line::{Chain, Keypoints, Line, LineFault, Perceptual, RoundedNumbers, Signal, SignalId};
pub use pack::{Heading, MOST_LINES, Manifest, Pack, PackFault, Position, read, withdrawals, write};
