//! Publications: changes of the gallery as a whole that can be undone as a whole, a published reindex or a promoted
//! model.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::audit::log_quarantine;
use super::rows::{PRESENT, find_key, overwrite, tombstone};
use super::store::{Gallery, GalleryError, conversion, next_revision, parsed, signed, unsigned};
use crate::domain::{BrandId, Details, Mark, Polarity, Quarantine, Reference, ReferenceState};
use crate::photo::Sha256;
use crate::storage::{self, Connection, OptionalExtension, Row, Writing, params};

/// The change that a publication made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Published {
    /// A reindex run changed a brand's references.
    Reindex {
        /// The brand whose references changed.
        brand: BrandId,
        /// Id of the reindex run.
        run: String,
    },
    /// Another model was promoted.
    Model {
        /// Name of the promoted model.
        name: String,
    },
}

/// One recorded publication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Publication {
    /// Position among all publications, from 1.
    pub number: u64,
    /// The change.
    #[serde(flatten)]
    pub what: Published,
    /// The gallery revision that the publication made.
    pub revision: u64,
    /// When it was published.
    pub published_at: Timestamp,
    /// When it was undone; `None` if it still applies.
    pub undone_at: Option<Timestamp>,
    /// Whether the data to undo it was deleted.
    pub forgotten: bool,
}

/// The changes of a reindex run, besides activating the references that it staged.
#[derive(Debug, Default)]
pub struct RunChanges {
    /// New details by reference key, with the gaps filled from the old ones.
    pub details: HashMap<u64, Details>,
    /// References to quarantine, staged or active, by key.
    pub quarantined: HashMap<u64, Quarantine>,
    /// References that must never block, by key.
    pub marks: HashMap<u64, Mark>,
    /// Group of near-duplicates by reference key.
    pub groups: HashMap<u64, u64>,
    /// Groups that became part of another group: old number to new.
    pub joined_groups: HashMap<u64, u64>,
    /// Keys of references to remove.
    pub removed: HashSet<u64>,
}

/// The fields of a reference that a publication may change, with their values before it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    polarity: Polarity,
    details: Details,
    state: ReferenceState,
    quarantine: Option<Quarantine>,
    mark: Option<Mark>,
    group: Option<u64>,
    publication: Option<u64>,
}

impl Gallery {
    /// Activates the references that `run` staged and makes its other changes, in one transaction: every reader sees
    /// all of them or none.
    ///
    /// # Errors
    /// When the database cannot be written; then nothing is changed.
    pub fn publish_run(&self, brand: &BrandId, run: &str, changes: &RunChanges) -> Result<Publication, GalleryError> {
        self.write(|transaction| {
            let revision = next_revision(transaction)?;
            let what = Published::Reindex { brand: brand.clone(), run: run.to_owned() };
            let number = insert_publication(transaction, &what, revision)?;
            // If a photo was added by another way since it was staged, the staged reference is dropped.
            let overtaken = format!(
                "UPDATE reference AS s SET state = 'deleted' WHERE state = 'staged' AND run = ?1 AND EXISTS (
                 SELECT 1 FROM reference r WHERE r.brand = s.brand AND r.sha256 = s.sha256 AND r.state IN {PRESENT})"
            );
            transaction.execute(&overtaken, [run])?;
            transaction.execute(
                "INSERT INTO publication_effect (number, key, before) SELECT ?1, key, NULL FROM reference WHERE state = 'staged' AND run = ?2",
                params![signed(number), run],
            )?;
            transaction.execute(
                "UPDATE reference SET state = 'active', revision = ?1, publication = ?2 WHERE state = 'staged' AND run = ?3",
                params![signed(revision), signed(number), run],
            )?;
            for (group, into) in &changes.joined_groups {
                transaction.execute(
                    "UPDATE reference SET near_group = ?1 WHERE near_group = ?2",
                    params![signed(*into), signed(*group)],
                )?;
            }
            for key in changes.keys() {
                let Some(found) = find_key(transaction, key)?.filter(|found| found.state.is_present()) else {
                    continue;
                };
                remember(transaction, number, &found)?;
                let changed = Reference { publication: Some(number), ..changes.applied_to(found.clone()) };
                overwrite(transaction, &changed, revision)?;
                log_quarantine(transaction, Some(&found), &changed)?;
            }
            publication(transaction, number)
        })
    }

    /// Records that another model serves.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn promote(&self, model: &str) -> Result<Publication, GalleryError> {
        self.write(|transaction| {
            let revision = next_revision(transaction)?;
            let number = insert_publication(transaction, &Published::Model { name: model.to_owned() }, revision)?;
            publication(transaction, number)
        })
    }

    /// The name of the promoted model, if a promotion still applies.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn promoted_model(&self) -> Result<Option<String>, GalleryError> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT model FROM publication WHERE kind = 'model' AND undone_at IS NULL ORDER BY number DESC LIMIT 1",
            )?
            .query_row([], |row| row.get(0))
            .optional()
        })
    }

    /// All publications, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn publications(&self) -> Result<Vec<Publication>, GalleryError> {
        self.read(|db| {
            let sql = format!("SELECT {COLUMNS} FROM publication ORDER BY number");
            db.prepare_cached(&sql)?.query_map([], row)?.collect()
        })
    }

    /// The publication that a run made; `None` if it was not published.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn publication_of(&self, run: &str) -> Result<Option<Publication>, GalleryError> {
        self.read(|db| {
            let sql = format!("SELECT {COLUMNS} FROM publication WHERE run = ?1");
            db.prepare_cached(&sql)?.query_row([run], row).optional()
        })
    }

    /// Undoes the newest publication that still applies: references that it activated are retired, and the others get
    /// their former fields back, unless somebody has changed them since. `None` when nothing can be undone.
    ///
    /// # Errors
    /// When the database cannot be written; then nothing is changed.
    pub fn undo_publication(&self) -> Result<Option<Publication>, GalleryError> {
        self.write(|transaction| {
            let sql = format!("SELECT {COLUMNS} FROM publication WHERE undone_at IS NULL ORDER BY number DESC LIMIT 1");
            let Some(last) = transaction.query_row(&sql, [], row).optional()?.filter(|last| !last.forgotten) else {
                return Ok(None);
            };
            let revision = next_revision(transaction)?;
            transaction.execute(
                "UPDATE publication SET undone_at = ?1 WHERE number = ?2",
                params![Timestamp::now().to_string(), signed(last.number)],
            )?;
            transaction.execute(
                "UPDATE reference SET state = 'retired', revision = ?1 WHERE state <> 'deleted'
                 AND key IN (SELECT key FROM publication_effect WHERE number = ?2 AND before IS NULL)",
                params![signed(revision), signed(last.number)],
            )?;
            for (key, before) in changed_by(transaction, &last)? {
                let Some(found) = find_key(transaction, key)? else { continue };
                // The photo may have been added again by another way meanwhile.
                let rival = before.state.is_present() && !found.state.is_present() && has_rival(transaction, &found)?;
                if !rival {
                    overwrite(transaction, &before.restored_to(found), revision)?;
                }
            }
            publication(transaction, last.number).map(Some)
        })
    }

    /// Deletes the data to undo all but the newest `keep` publications, and the references that they retired.
    ///
    /// # Errors
    /// When the database or a file cannot be written.
    pub fn forget_publications(&self, keep: usize) -> Result<(), GalleryError> {
        let gone: Vec<Sha256> = self.write(|transaction| {
            let newest: u64 = transaction
                .query_row("SELECT coalesce(max(number), 0) FROM publication", [], |row| unsigned(row, 0))?;
            let last = newest.saturating_sub(keep as u64);
            let retired: Vec<(u64, Sha256)> = transaction
                .prepare_cached(
                    "SELECT r.key, r.sha256 FROM reference r WHERE r.state = 'retired'
                     AND EXISTS (SELECT 1 FROM publication_effect e WHERE e.key = r.key AND e.number <= ?1)
                     AND NOT EXISTS (SELECT 1 FROM publication_effect e WHERE e.key = r.key AND e.number > ?1)",
                )?
                .query_map([signed(last)], |row| Ok((unsigned(row, 0)?, Sha256(row.get(1)?))))?
                .collect::<storage::Result<_>>()?;
            for (key, _) in &retired {
                tombstone(transaction, *key)?;
            }
            transaction.execute("DELETE FROM publication_effect WHERE number <= ?1", [signed(last)])?;
            transaction.execute("UPDATE publication SET forgotten = 1 WHERE number <= ?1", [signed(last)])?;
            Ok(retired.into_iter().map(|(_, sha256)| sha256).collect())
        })?;
        gone.into_iter().try_for_each(|sha256| self.drop_photo(sha256))
    }

    /// Deletes references of the brand that another run than `run` staged: that run will not be published any more.
    ///
    /// # Errors
    /// When the database or a file cannot be written.
    pub fn drop_staged(&self, brand: &BrandId, run: &str) -> Result<(), GalleryError> {
        let stale = self.write(|transaction| {
            let stale: Vec<(u64, Sha256)> = transaction
                .prepare_cached(
                    "SELECT key, sha256 FROM reference WHERE state = 'staged' AND brand = ?1 AND run <> ?2",
                )?
                .query_map([brand.as_str(), run], |row| Ok((unsigned(row, 0)?, Sha256(row.get(1)?))))?
                .collect::<storage::Result<_>>()?;
            for (key, _) in &stale {
                tombstone(transaction, *key)?;
            }
            Ok(stale)
        })?;
        stale.into_iter().try_for_each(|(_, sha256)| self.drop_photo(sha256))
    }

    /// Keys of the references that a run has staged.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn staged(&self, run: &str) -> Result<HashSet<u64>, GalleryError> {
        self.read(|db| {
            db.prepare_cached("SELECT key FROM reference WHERE state = 'staged' AND run = ?1")?
                .query_map([run], |row| unsigned(row, 0))?
                .collect()
        })
    }

    /// Deletes one staged reference.
    ///
    /// # Errors
    /// When the database or a file cannot be written.
    pub fn unstage(&self, key: u64) -> Result<(), GalleryError> {
        let staged = self.write(|transaction| {
            let found = find_key(transaction, key)?.filter(|found| found.state == ReferenceState::Staged);
            found.map(|found| tombstone(transaction, key).map(|()| found.photo.sha256)).transpose()
        })?;
        staged.map_or(Ok(()), |sha256| self.drop_photo(sha256))
    }
}

impl RunChanges {
    /// Whether there are no changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys().is_empty()
    }

    /// The keys of all references that change.
    fn keys(&self) -> BTreeSet<u64> {
        let keys = self.details.keys().chain(self.quarantined.keys()).chain(self.marks.keys());
        keys.chain(self.groups.keys()).chain(&self.removed).copied().collect()
    }

    fn applied_to(&self, mut reference: Reference) -> Reference {
        let key = reference.key;
        if let Some(said) = self.details.get(&key) {
            reference.claim.details = said.over(&reference.claim.details);
        }
        reference.mark = self.marks.get(&key).copied().or(reference.mark);
        reference.group = self.groups.get(&key).copied().or(reference.group);
        if let Some(quarantine) = self.quarantined.get(&key) {
            reference.state = ReferenceState::Quarantined;
            reference.quarantine = Some(quarantine.clone());
        }
        if self.removed.contains(&key) {
            reference.state = ReferenceState::Retired;
        }
        reference.updated_at = Timestamp::now();
        reference
    }
}

impl Before {
    fn of(reference: &Reference) -> Self {
        Self {
            polarity: reference.claim.polarity,
            details: reference.claim.details.clone(),
            state: reference.state,
            quarantine: reference.quarantine.clone(),
            mark: reference.mark,
            group: reference.group,
            publication: reference.publication,
        }
    }

    fn restored_to(self, mut reference: Reference) -> Reference {
        reference.claim.polarity = self.polarity;
        reference.claim.details = self.details;
        Reference {
            state: self.state,
            quarantine: self.quarantine,
            mark: self.mark,
            group: self.group,
            publication: self.publication,
            updated_at: Timestamp::now(),
            ..reference
        }
    }
}

/// Stores a reference's fields before the publication changes them. Does nothing for a reference that the publication
/// activated.
fn remember(transaction: &Writing<'_>, number: u64, found: &Reference) -> storage::Result<()> {
    let before = serde_json::to_string(&Before::of(found)).map_err(|error| conversion(2, error))?;
    transaction
        .prepare_cached(
            "INSERT INTO publication_effect (number, key, before) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?
        .execute(params![signed(number), signed(found.key), before])?;
    Ok(())
}

/// References that a publication changed and nobody has changed since.
fn changed_by(db: &Connection, publication: &Publication) -> storage::Result<Vec<(u64, Before)>> {
    let mut statement = db.prepare_cached(
        "SELECT e.key, e.before FROM publication_effect e JOIN reference r ON r.key = e.key
         WHERE e.number = ?1 AND e.before IS NOT NULL AND r.publication = ?1",
    )?;
    let rows = statement.query_map([signed(publication.number)], |row| {
        let before = serde_json::from_str(row.get_ref(1)?.as_str()?).map_err(|error| conversion(1, error))?;
        Ok((unsigned(row, 0)?, before))
    })?;
    rows.collect()
}

/// Whether another reference gives the brand this photo.
fn has_rival(db: &Connection, reference: &Reference) -> storage::Result<bool> {
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM reference WHERE brand = ?1 AND sha256 = ?2 AND key <> ?3 AND state IN {PRESENT})"
    );
    db.query_row(
        &sql,
        params![reference.claim.brand.as_str(), &reference.photo.sha256.0[..], signed(reference.key)],
        |row| row.get(0),
    )
}

const COLUMNS: &str = "number, kind, brand, run, model, revision, published_at, undone_at, forgotten";

fn row(row: &Row<'_>) -> storage::Result<Publication> {
    let what = if row.get_ref(1)?.as_str()? == "model" {
        Published::Model { name: row.get(4)? }
    } else {
        Published::Reindex { brand: parsed(row, 2)?, run: row.get(3)? }
    };
    let undone: Option<String> = row.get(7)?;
    Ok(Publication {
        number: unsigned(row, 0)?,
        what,
        revision: unsigned(row, 5)?,
        published_at: parsed(row, 6)?,
        undone_at: undone.map(|_| parsed(row, 7)).transpose()?,
        forgotten: row.get(8)?,
    })
}

fn publication(db: &Connection, number: u64) -> storage::Result<Publication> {
    db.query_row(&format!("SELECT {COLUMNS} FROM publication WHERE number = ?1"), [signed(number)], row)
}

fn insert_publication(transaction: &Writing<'_>, what: &Published, revision: u64) -> storage::Result<u64> {
    let (kind, brand, run, model) = match what {
        Published::Reindex { brand, run } => ("reindex", Some(brand.as_str()), Some(run.as_str()), ""),
        Published::Model { name } => ("model", None, None, name.as_str()),
    };
    transaction.query_row(
        "INSERT INTO publication (kind, brand, run, model, revision, published_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         RETURNING number",
        params![kind, brand, run, model, signed(revision), Timestamp::now().to_string()],
        |row| unsigned(row, 0),
    )
}
