//! The gallery: brands and their references in SQLite, with their photos in files beside it.

#![expect(clippy::disallowed_types, reason = "the one user of the database")]

mod accounts;
mod audit;
mod cases;
mod checks;
mod copy;
mod decisions;
mod effects;
mod erasing;
mod health;
mod journal;
mod keys;
mod names;
mod outcomes;
mod overview;
mod pairs;
mod photos;
mod policies;
mod policy;
mod publications;
mod queue;
mod references;
mod rows;
mod schema;
mod store;
mod types;
mod vault;
mod vectors;
mod words;
mod writer;

pub use accounts::{Account, Role, Session};
pub use audit::{AuditEntry, AuditProof};
pub use cases::{Case, CaseStatus, Decision, NewCase};
pub use checks::{FloodLimits, Hit, IdempotencyKey, SavedCheck, StoredCheck, differing_bits};
pub use copy::photos_of;
pub use decisions::{Decided, NewDecision};
pub use effects::Undone;
pub use erasing::{Erased, Retention};
pub use health::Fault;
pub use journal::{ImportStatus, Journal, JournalEntry};
pub use keys::{ApiKey, Scope, ScopeName};
pub use names::{TextFault, check_field, check_name, check_text};
pub use outcomes::Outcome;
pub use overview::DayCount;
pub use pairs::Pair;
use photos::PhotoStore;
pub use policy::{Action, Policy, PolicyError, StoredPolicy, ThresholdOverrides};
pub use publications::{Publication, Published, RunChanges};
pub use queue::{Claimed, QueueQuery, Queued};
pub use references::{Added, ListQuery, NewReference, ReferenceUpdate};
pub(crate) use store::new_id;
pub use store::{Gallery, GalleryError};
pub use types::{
    BrandId, Claim, DETAIL_CAPS, Details, InvalidName, Kind, Mark, PhotoRecord, Polarity, Quarantine, Reference,
    ReferenceState,
};
pub use vault::Vault;
pub use vectors::{ChangedRow, Identity, THUMBNAIL_SIDES, VectorQuery};
pub use words::WordsRow;
