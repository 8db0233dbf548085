use super::audit::{AuditEvent, append};
use super::store::{Gallery, GalleryError, conversion, next_revision, parsed, signed, unsigned};
use crate::domain::{BrandId, Policy, StoredPolicy};
use crate::storage::{self, OptionalExtension, Row, params};

impl Gallery {
    /// Policies that changed after the revision `since`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn policies_since(&self, since: u64) -> Result<Vec<(BrandId, StoredPolicy)>, GalleryError> {
        self.read(|db| {
            let mut statement =
                db.prepare_cached("SELECT version, policy, model, brand FROM policy WHERE revision > ?1")?;
            let rows = statement.query_map([signed(since)], |row| Ok((parsed(row, 3)?, stored_policy(row)?)))?;
            rows.collect()
        })
    }

    /// A brand's policy; version 0 with the defaults if it has set none.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn policy(&self, brand: &BrandId) -> Result<StoredPolicy, GalleryError> {
        self.read(|db| {
            let found = db
                .prepare_cached("SELECT version, policy, model FROM policy WHERE brand = ?1")?
                .query_row([brand.as_str()], stored_policy)
                .optional()?;
            Ok(found.unwrap_or_default())
        })
    }

    /// Replaces a brand's policy, increments its version and logs both. With `expected`, only if the stored version
    /// equals it; otherwise returns `None`. `by`: id of the API key.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn set_policy(
        &self,
        by: &str,
        brand: &BrandId,
        policy: &Policy,
        model: &str,
        expected: Option<u64>,
    ) -> Result<Option<StoredPolicy>, GalleryError> {
        let text = serde_json::to_string(policy).map_err(|error| self.failed(conversion(1, error)))?;
        self.write(|transaction| {
            let before = transaction
                .query_row("SELECT version, policy, model FROM policy WHERE brand = ?1", [brand.as_str()], stored_policy)
                .optional()?
                .unwrap_or_default();
            if expected.is_some_and(|expected| expected != before.version) {
                return Ok(None);
            }
            let after = StoredPolicy { version: before.version + 1, model: model.to_owned(), policy: policy.clone() };
            let revision = next_revision(transaction)?;
            transaction.execute(
                "INSERT INTO policy (brand, version, policy, revision, model) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (brand) DO UPDATE SET version = excluded.version, policy = excluded.policy, revision = excluded.revision, model = excluded.model",
                params![brand.as_str(), signed(after.version), text, signed(revision), model],
            )?;
            let event = AuditEvent { actor: by, session: None, action: "set-policy", subject: brand.as_str() };
            append(transaction, event, &before, &after)?;
            Ok(Some(after))
        })
    }
}

fn stored_policy(row: &Row<'_>) -> storage::Result<StoredPolicy> {
    Ok(StoredPolicy {
        version: unsigned(row, 0)?,
        model: row.get(2)?,
        policy: serde_json::from_str(row.get_ref(1)?.as_str()?).map_err(|error| conversion(1, error))?,
    })
}
