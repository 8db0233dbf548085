use serde::{Deserialize, Serialize};

use super::PostgresUrl;

/// Where the records are stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageOptions {
    /// URL of a PostgreSQL database, 15 or later. Without it, records are in `<data>/touchstone.db`.
    pub database: Option<PostgresUrl>,
}
