//! Brands and their references: the source of truth, in SQLite, with the photos beside it.

#![expect(clippy::disallowed_types, reason = "the one user of the database")]

mod photos;
mod policy;
mod schema;
mod store;
mod types;

pub use photos::PhotoStore;
pub use policy::{
    Action, BlockCertificate, CERTIFIED_PRECISION, Policy, PolicyError, StoredPolicy, ThresholdOverrides,
};
pub(crate) use store::new_id;
pub use store::{
    Added, ChangedRow, Gallery, GalleryError, ListQuery, NewReference, ReferenceUpdate, SavedCheck, StoredCheck,
};
pub use types::{BrandId, InvalidName, Polarity, Reference, ReferenceState};
