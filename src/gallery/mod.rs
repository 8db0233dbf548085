//! The gallery: brands and their references in the database, with their photos in files or an object store.

mod accounts;
mod alliances;
mod audit;
mod cache;
mod cases;
mod certificates;
mod checks;
mod copy;
mod decisions;
mod deliveries;
mod effects;
mod erasing;
mod events;
mod hashes;
mod health;
mod journal;
mod keys;
mod locks;
mod lookbacks;
mod memory;
mod model_lookbacks;
mod notices;
mod outcomes;
mod overview;
mod pairs;
mod photos;
mod policies;
mod publications;
mod questions;
mod queue;
mod readers;
mod references;
mod rows;
mod schema;
mod sellers;
mod store;
mod transfer;
mod vault;
mod vectors;
mod webhooks;
mod words;

pub use accounts::{Account, Session};
pub use alliances::{
    Alliance, Joining, Member, MemberFault, NewMember, QuarantinedSignal, SharedLine, SignalCase, SignalFeedback,
    SignalInfo, SignalRow, Taken, TakenLine,
};
pub use audit::{AuditEntry, AuditProof};
pub use cases::{Case, Lead, NewCase};
pub use certificates::Certifier;
pub use checks::{FloodLimits, Hit, IdempotencyKey, SavedCheck, StoredCheck, differing_bits};
pub use copy::{photos_of, segments_of};
pub use decisions::{Decided, NewDecision};
pub use deliveries::{Attempt, Delivery, DeliveryQuery, Due};
pub use effects::Undone;
pub use erasing::{Erased, Retention};
pub use events::{Event, EventQuery};
pub use hashes::HashRow;
pub use health::Fault;
pub use journal::{Journal, JournalEntry};
pub use keys::ApiKey;
pub use locks::WorkLock;
pub use lookbacks::{FoundLater, Lookback, LookbackWork, NewFinding};
pub use memory::{MemorySegment, NewRemembered, RememberedRow};
pub use model_lookbacks::{KeptCheck, ModelLookback, ModelLookbackWork};
pub use notices::{
    Change, Filed, Moved, NewListing, NewNotice, Notice, NoticeActor, NoticeListing, NoticeQuery, NoticeSummary,
};

pub use overview::DayCount;
pub use pairs::Pair;
use photos::PhotoStore;
pub use photos::stored_name;
pub use publications::{Publication, Published, RunChanges};
pub use questions::SameQuestion;
pub use queue::{Claimed, QueueQuery, Queued};
pub use references::{Added, ListQuery, NewReference, ReferenceUpdate};
pub use sellers::{
    Appeals, Closure, ClosureQuery, ClosureResult, Link, LinkGraph, LinkedSeller, SellerMatches, SellerRecord,
    SharedPhoto,
};
pub(crate) use store::new_id;
pub use store::{Gallery, GalleryError};
pub use transfer::{CopiedTable, Place, TransferError, copy_records};
pub use vault::Vault;
pub use vectors::{ChangedRow, Identity, THUMBNAIL_SIDES, VectorQuery};
pub use webhooks::{Counted, Webhook};
pub use words::WordsRow;
