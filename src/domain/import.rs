//! Imports of brands' archives.

use serde::Serialize;
use strum::{EnumString, IntoStaticStr, VariantNames};

use super::InvalidName;

/// What a run did with a photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[derive(EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase", parse_err_ty = InvalidName, parse_err_fn = not_status)]
pub enum ImportStatus {
    /// A new reference.
    Added,
    /// The reference exists, and its details change.
    Changed,
    /// The reference exists and stays the same.
    Unchanged,
    /// An earlier entry of this run has the same bytes.
    Duplicate,
    /// It contradicts another reference: added, but quarantined.
    Conflict,
    /// It cannot be read, or is not a usable photo.
    Refused,
    /// The source no longer names it: the reference is removed.
    Removed,
    /// A reference that a pruning run cannot judge, because its source exists but cannot be used this time. It stays.
    Kept,
}

impl ImportStatus {
    /// All statuses, in the order of a report.
    pub const ALL: [Self; 8] = [
        Self::Added,
        Self::Changed,
        Self::Removed,
        Self::Kept,
        Self::Unchanged,
        Self::Duplicate,
        Self::Conflict,
        Self::Refused,
    ];
}

named!(ImportStatus, "status", not_status);
