//! Brands and their references: the source of truth, in SQLite, with the photos beside it.

#![expect(clippy::disallowed_types, reason = "the one user of the database")]

mod checks;
mod outcomes;
mod photos;
mod policies;
mod policy;
mod references;
mod schema;
mod store;
mod types;

pub use checks::{SavedCheck, StoredCheck};
pub use outcomes::Outcome;
pub use photos::PhotoStore;
pub use policy::{Action, Policy, PolicyError, StoredPolicy, ThresholdOverrides};
pub use references::{Added, ChangedRow, ListQuery, NewReference, ReferenceUpdate};
pub(crate) use store::new_id;
pub use store::{Gallery, GalleryError};
pub use types::{BrandId, InvalidName, Polarity, Reference, ReferenceState};
