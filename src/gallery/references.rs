use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::audit::{AuditEvent, append, log_quarantine};
use super::effects::{Effects, Standing, set_mark};
use super::rows::{
    COLUMNS, KIND, PRESENT, change, doubts_text, find, find_key, find_photo, is_needed, overwrite, reference, tombstone,
};
use super::store::{Gallery, GalleryError, io_error, new_id, next_revision, signed, unsigned};
use super::vectors::insert_vector;
use super::words::insert_words;
use crate::domain::{
    BrandId, Claim, Details, Kind, Mark, PhotoRecord, Polarity, Quarantine, Reference, ReferenceState,
};
use crate::embed::Embedding;
use crate::photo::Sha256;
use crate::storage::{self, OptionalExtension, Writing, named_params, params};

/// A reference to add.
#[derive(Debug)]
pub struct NewReference<'a> {
    /// What the brand says about it.
    pub claim: &'a Claim,
    /// What intake found in the bytes.
    pub photo: &'a PhotoRecord,
    /// The photo's bytes; `None` where [`Gallery::keep_photo`] has stored them.
    pub bytes: Option<&'a [u8]>,
    /// The photo's embedding by the serving model.
    pub embedding: &'a Embedding,
    /// The id of a vocabulary and the photo's visual words in it, if they were computed.
    pub words: Option<(&'a str, &'a [u8])>,
    /// Why it must never lead to a block by itself.
    pub mark: Option<Mark>,
    /// Why it starts in quarantine.
    pub quarantine: Option<&'a Quarantine>,
    /// Keys of references that it contradicts; they are marked as disputed.
    pub disputes: &'a [u64],
    /// The run that it is staged for; `None` makes it active at once.
    pub run: Option<&'a str>,
    /// The actor, if the addition is logged, and the session in which it can be undone.
    pub by: Option<(&'a str, Option<&'a str>)>,
}

/// What adding a [`NewReference`] did.
#[derive(Debug)]
pub enum Added {
    /// The reference is new.
    New(Reference),
    /// The brand already has this very photo with this polarity; nothing changed.
    Existing(Reference),
    /// The brand already has this very photo with the other polarity; nothing changed.
    Contradicts(Reference),
}

/// What to change on a reference: `None` leaves a field, `Some(None)` clears it.
#[derive(Debug, Default)]
pub struct ReferenceUpdate {
    /// The brand's own product id.
    pub product: Option<Option<String>>,
    /// Where the brand got the photo.
    pub source: Option<Option<String>>,
    /// Free text.
    pub notes: Option<Option<String>>,
    /// Why the brand may use the photo.
    pub rights_basis: Option<Option<String>>,
    /// The kind that the brand gives.
    pub kind: Option<Option<Kind>>,
    /// The new state.
    pub state: Option<ReferenceState>,
}

/// Which references to list, in the order in which they were added.
#[derive(Debug, Default)]
pub struct ListQuery {
    /// Only this polarity.
    pub polarity: Option<Polarity>,
    /// Only this product.
    pub product: Option<String>,
    /// Only this kind in effect.
    pub kind: Option<Kind>,
    /// Only this state; `None` lists active, disabled and quarantined references.
    pub state: Option<ReferenceState>,
    /// Only keys greater than this one; 0 starts at the beginning.
    pub after: u64,
    /// The greatest number of references to return.
    pub limit: usize,
}

impl Gallery {
    /// Stores photos and their references, all or none. Once it returns, they survive a crash.
    ///
    /// # Errors
    /// When the database or a file cannot be written; then nothing is stored.
    pub fn add(&self, new: &[NewReference<'_>], model: &str) -> Result<Vec<Added>, GalleryError> {
        // Missing files are written inside the transaction: the write lock then also keeps another process from removing the same
        // photo in between. An object store is too slow for that.
        self.put_before(new)?;
        let added: Vec<Added> =
            self.write(|transaction| new.iter().map(|new| self.insert_or_find(transaction, new, model)).collect())?;
        let is_new = |(_, added): &(&NewReference<'_>, &Added)| matches!(added, Added::New(_));
        let stored = new.iter().zip(&added).filter(is_new);
        self.photos.put_again(stored.filter_map(|(new, _)| Some((new.photo.sha256, new.bytes?))))?;
        Ok(added)
    }

    /// Puts new photos into an object store.
    fn put_before(&self, new: &[NewReference<'_>]) -> Result<(), GalleryError> {
        if !self.photos.is_remote() {
            return Ok(());
        }
        for new in new {
            let known = self.find_photo(&new.claim.brand, new.photo.sha256)?;
            if let Some(bytes) = new.bytes
                && !known.is_some_and(|known| known.state.is_present())
            {
                self.photos.put(new.photo.sha256, bytes)?;
            }
        }
        Ok(())
    }

    /// [`Gallery::add`] for a single reference.
    ///
    /// # Errors
    /// When the database or a file cannot be written; then nothing is stored.
    pub fn add_one(&self, new: &NewReference<'_>, model: &str) -> Result<Added, GalleryError> {
        let added = self.add(std::slice::from_ref(new), model)?.pop();
        added.ok_or_else(|| self.failed(storage::Error::NoRows))
    }

    fn insert_or_find(&self, transaction: &Writing<'_>, new: &NewReference<'_>, model: &str) -> storage::Result<Added> {
        let known = find_photo(transaction, &new.claim.brand, new.photo.sha256)?;
        if let Some(known) = known.as_ref().filter(|known| known.state.is_present()) {
            let same = known.claim.polarity == new.claim.polarity;
            return Ok(if same { Added::Existing(known.clone()) } else { Added::Contradicts(known.clone()) });
        }
        match new.bytes {
            _ if self.photos.is_remote() => {}
            Some(bytes) => self.photos.put(new.photo.sha256, bytes).map_err(io_error)?,
            None => self.photos.check(new.photo.sha256).map_err(io_error)?,
        }
        insert_vector(transaction, new.photo.sha256, model, new.embedding)?;
        if let Some((vocabulary, words)) = new.words {
            insert_words(transaction, new.photo.sha256, vocabulary, words)?;
        }
        let (mut before, mut after) = (Effects::default(), Effects::default());
        for key in new.disputes {
            if let Some((was, is)) = dispute(transaction, *key)? {
                before.references.push(was);
                after.references.push(is);
            }
        }
        let added = match known.filter(|known| new.run.is_some() && known.state == ReferenceState::Staged) {
            // This run staged it before with other details: a brand has one run at a time.
            Some(staged) => restage(transaction, new, staged),
            None => insert(transaction, new),
        }?;
        if let Some((who, session)) = new.by {
            after.added = Some(added.key);
            // The effects on other references are undone only if nobody has changed them since.
            after.references.push(Standing::of(&added));
            let event = AuditEvent { actor: who, session, action: "add-reference", subject: &added.id };
            append(transaction, event, &before, &after)?;
        }
        log_quarantine(transaction, None, &added)?;
        Ok(Added::New(added))
    }

    /// Stores a photo's bytes before its reference, so that the transaction that adds it waits for no disk. They
    /// survive a crash once [`Gallery::sync_photos`] has returned.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn keep_photo(&self, sha256: Sha256, bytes: &[u8]) -> Result<(), GalleryError> {
        Ok(self.photos.put_unsynced(sha256, bytes)?)
    }

    /// Syncs the photos that [`Gallery::keep_photo`] stored, so that they survive a crash.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn sync_photos(&self) -> Result<(), GalleryError> {
        Ok(self.photos.sync()?)
    }

    /// Finds a brand's reference by its public id.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn get(&self, brand: &BrandId, id: &str) -> Result<Option<Reference>, GalleryError> {
        self.read(|db| find(db, brand, id))
    }

    /// Finds a reference of any brand by its public id.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn find(&self, id: &str) -> Result<Option<Reference>, GalleryError> {
        self.read(|db| {
            let sql = format!("SELECT {COLUMNS} FROM reference WHERE id = ?1 AND state <> 'deleted'");
            db.prepare_cached(&sql)?.query_row([id], reference).optional()
        })
    }

    /// The references with these keys; deleted ones are left out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn by_keys(&self, keys: impl IntoIterator<Item = u64>) -> Result<HashMap<u64, Reference>, GalleryError> {
        self.read(|db| {
            let sql = format!("SELECT {COLUMNS} FROM reference WHERE key = ?1 AND state <> 'deleted'");
            let mut statement = db.prepare_cached(&sql)?;
            let rows = keys.into_iter().map(|key| {
                let found = statement.query_row([signed(key)], reference).optional()?;
                Ok(found.map(|reference| (key, reference)))
            });
            rows.filter_map(Result::transpose).collect()
        })
    }

    /// A brand's references, in the order they were added.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn list(&self, brand: &BrandId, query: &ListQuery) -> Result<Vec<Reference>, GalleryError> {
        self.read(|db| {
            let sql = format!(
                "SELECT {COLUMNS} FROM reference WHERE brand = :brand AND state <> 'deleted' AND key > :after
                 AND (:polarity IS NULL OR polarity = :polarity) AND (:product IS NULL OR product = :product)
                 AND (:kind IS NULL OR {KIND} = :kind)
                 AND CASE WHEN :state IS NULL THEN state IN {PRESENT} ELSE state = :state END
                 ORDER BY key LIMIT :limit"
            );
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map(
                named_params! {
                    ":brand": brand.as_str(),
                    ":after": signed(query.after),
                    ":polarity": query.polarity.map(Polarity::as_str),
                    ":product": query.product,
                    ":kind": query.kind.map(Kind::as_str),
                    ":state": query.state.map(ReferenceState::as_str),
                    ":limit": i64::try_from(query.limit).unwrap_or(i64::MAX),
                },
                reference,
            )?;
            rows.collect()
        })
    }

    /// Changes a reference and logs it; `None` when the brand has no such reference. Activating a quarantined one
    /// clears the reason: a person has decided against it. `by`: id of the API key.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn update(
        &self,
        by: &str,
        brand: &BrandId,
        id: &str,
        update: &ReferenceUpdate,
    ) -> Result<Option<Reference>, GalleryError> {
        self.write(|transaction| {
            let found = find(transaction, brand, id)?.filter(|found| found.state.is_present());
            let Some(found) = found else {
                return Ok(None);
            };
            let mut changed = found.clone();
            let take = |field: &mut Option<String>, new: &Option<Option<String>>| {
                if let Some(new) = new {
                    field.clone_from(new);
                }
            };
            let details = &mut changed.claim.details;
            take(&mut details.product, &update.product);
            take(&mut details.source, &update.source);
            take(&mut details.notes, &update.notes);
            take(&mut details.rights_basis, &update.rights_basis);
            details.kind = update.kind.unwrap_or(details.kind);
            if let Some(state) = update.state {
                changed.state = state;
                changed.quarantine = None;
                // A person has decided the dispute.
                changed.mark = changed.mark.filter(|mark| *mark != Mark::Disputed);
            }
            changed.publication = None;
            changed.updated_at = Timestamp::now();
            change(transaction, &changed)?;
            let event = AuditEvent { actor: by, session: None, action: "change-reference", subject: id };
            append(transaction, event, &Logged::of(&found), &Logged::of(&changed))?;
            Ok(Some(changed))
        })
    }

    /// Deletes a reference, its embeddings and, if no other reference needs it, its photo, and logs it. `false` when
    /// the brand has no such reference. `by`: id of the API key.
    ///
    /// # Errors
    /// When the database or a file cannot be written.
    pub fn delete(&self, by: &str, brand: &BrandId, id: &str) -> Result<bool, GalleryError> {
        let deleted = self.write(|transaction| {
            let found = find(transaction, brand, id)?.filter(|found| found.state.is_present());
            let Some(reference) = found else {
                return Ok(None);
            };
            tombstone(transaction, reference.key)?;
            let event = AuditEvent { actor: by, session: None, action: "delete-reference", subject: id };
            append(transaction, event, &Logged::of(&reference), &())?;
            Ok(Some(reference.photo.sha256))
        })?;
        match deleted {
            Some(sha256) => self.drop_photo(sha256).map(|()| true),
            None => Ok(false),
        }
    }

    /// Removes a photo and what was derived from it, unless a reference needs it. Runs after [`tombstone`], in a second
    /// transaction: a crash in between leaves a photo that nobody needs, never a reference without its photo. The photo
    /// goes last: while it exists, [`Gallery::drop_left_photos`] finds what a crash has left.
    pub(super) fn drop_photo(&self, sha256: Sha256) -> Result<(), GalleryError> {
        let derived = || self.drop_thumbnails(sha256).and_then(|()| self.features.remove(sha256));
        if self.photos.is_remote() {
            // Nobody writes while the object store answers: only the photo itself has to wait for that.
            derived()?;
        }
        self.write(|transaction| {
            if is_needed(transaction, sha256)? {
                return Ok(());
            }
            transaction.execute("DELETE FROM vector WHERE sha256 = ?1", [&sha256.0[..]])?;
            transaction.execute("DELETE FROM words WHERE sha256 = ?1", [&sha256.0[..]])?;
            transaction.execute("DELETE FROM pdq WHERE sha256 = ?1", [&sha256.0[..]])?;
            if !self.photos.is_remote() {
                derived().map_err(io_error)?;
            }
            self.photos.remove_synced(sha256).map_err(io_error)
        })
    }

    /// Removes photos of deleted references that a crash has left, if they are older than `age`, and returns how many.
    pub(super) fn drop_left_photos(&self, age: Duration) -> Result<u64, GalleryError> {
        let unneeded: Vec<Sha256> = self.read(|db| {
            db.prepare_cached(
                "SELECT DISTINCT sha256 FROM reference gone WHERE state = 'deleted'
                 AND NOT EXISTS (SELECT 1 FROM reference r WHERE r.sha256 = gone.sha256 AND r.state <> 'deleted')",
            )?
            .query_map([], |row| Ok(Sha256(row.get(0)?)))?
            .collect()
        })?;
        let mut left = 0;
        for sha256 in unneeded.into_iter().filter(|sha256| self.photos.is_older(*sha256, age)) {
            self.drop_photo(sha256)?;
            left += 1;
        }
        Ok(left)
    }

    /// The brand's reference with this very photo: first the one that it has now, else a staged one, else a retired
    /// one.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn find_photo(&self, brand: &BrandId, sha256: Sha256) -> Result<Option<Reference>, GalleryError> {
        self.read(|db| find_photo(db, brand, sha256))
    }
}

/// The fields of a reference that an API call may change, for the audit log.
#[derive(Serialize)]
struct Logged<'a> {
    references: [Standing; 1],
    details: &'a Details,
}

impl<'a> Logged<'a> {
    fn of(reference: &'a Reference) -> Self {
        Self { references: [Standing::of(reference)], details: &reference.claim.details }
    }
}

/// Marks a reference as disputed: somebody has supplied a near-duplicate with the other polarity.
fn dispute(transaction: &Writing<'_>, key: u64) -> storage::Result<Option<(Standing, Standing)>> {
    let found = find_key(transaction, key)?.filter(|found| found.mark != Some(Mark::Disputed));
    found.map(|found| set_mark(transaction, found, Some(Mark::Disputed))).transpose()
}

fn restage(transaction: &Writing<'_>, new: &NewReference<'_>, staged: Reference) -> storage::Result<Reference> {
    let staged = Reference { claim: new.claim.clone(), mark: new.mark, updated_at: Timestamp::now(), ..staged };
    overwrite(transaction, &staged, 0)?;
    Ok(staged)
}

fn insert(transaction: &Writing<'_>, new: &NewReference<'_>) -> storage::Result<Reference> {
    let now = Timestamp::now();
    let state = match (new.run, new.quarantine) {
        (Some(_), _) => ReferenceState::Staged,
        (None, Some(_)) => ReferenceState::Quarantined,
        (None, None) => ReferenceState::Active,
    };
    let mut reference = Reference {
        key: 0,
        id: new_id("ref"),
        claim: new.claim.clone(),
        photo: new.photo.clone(),
        state,
        quarantine: new.quarantine.cloned(),
        mark: new.mark,
        group: None,
        run: new.run.map(str::to_owned),
        publication: None,
        created_at: now,
        updated_at: now,
    };
    let pixels: Vec<u8> = reference.photo.pixels.iter().flat_map(|sum| sum.0).collect();
    let pixels = Some(pixels).filter(|pixels| !pixels.is_empty());
    // A staged reference is invisible to readers, so it needs no revision.
    let revision = if new.run.is_some() { 0 } else { next_revision(transaction)? };
    reference.key = transaction
        .prepare_cached(
            "INSERT INTO reference (id, brand, polarity, state, run, sha256, perceptual_hash, quality, width, height, media_type, created_at, updated_at, revision, doubts, pixels, kind_found)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12, 0, ?13, ?14, ?15) RETURNING key",
        )?
        .query_row(params![
            reference.id,
            reference.claim.brand.as_str(),
            reference.claim.polarity.as_str(),
            state.as_str(),
            new.run,
            &reference.photo.sha256.0[..],
            &reference.photo.perceptual_hash[..],
            reference.photo.quality,
            reference.photo.width,
            reference.photo.height,
            reference.photo.media_type,
            now.to_string(),
            doubts_text(&reference.photo.doubts),
            pixels,
            reference.photo.kind.as_str(),
        ], |row| unsigned(row, 0))?;
    overwrite(transaction, &reference, revision)?;
    Ok(reference)
}
