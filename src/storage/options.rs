use serde::{Deserialize, Serialize};

use super::{PostgresUrl, StoreUrl};

/// Where records and photos are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageOptions {
    /// URL of a PostgreSQL database, 15 or later. Without it, records are in `<data>/touchstone.db`.
    pub database: Option<PostgresUrl>,
    /// URL of an object store for photos, and what is derived from them. Without it, they are in folders of `data`.
    pub photos: Option<StoreUrl>,
    /// Megabytes of keypoints from the object store that are cached in `<data>/cache`; 0 caches none.
    pub cache_mb: u64,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self { database: None, photos: None, cache_mb: 4096 }
    }
}
