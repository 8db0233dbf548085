//! Decides the status of each photo and records it. One thread, so that of two photos with the same bytes one is the
//! first.

use super::ReindexError;
use super::intake::{Content, Fresh, Seen, Vector};
use super::source::{Item, Refusal, one_spelling};
use crate::domain::{Claim, Details, ImportStatus, Kind, Mark, Quarantine, Reference, ReferenceState};
use crate::embed::{EmbedError, Embedding};
use crate::enrolment::{EnrolError, Enrolment};
use crate::gallery::{Added, Journal, JournalEntry, NewReference, RunChanges};
use crate::hygiene::GenericBank;
use crate::photo::Sha256;

/// The changes that a run makes to the gallery, so far.
pub(super) struct Ledger<'a> {
    pub(super) enrolment: &'a Enrolment,
    pub(super) bank: &'a GenericBank,
    pub(super) journal: &'a Journal,
    /// Stages nothing: new photos are only counted.
    pub(super) dry: bool,
    pub(super) changes: RunChanges,
}

/// Entries that were recorded, and photos that must wait.
#[derive(Default)]
pub(super) struct Written {
    pub(super) entries: Vec<JournalEntry>,
    pub(super) put_off: Vec<Seen>,
}

/// A photo to stage.
struct Staging {
    item: Item,
    version: Option<String>,
    fresh: Fresh,
    claim: Claim,
    embedding: Embedding,
    mark: Option<Mark>,
}

impl Ledger<'_> {
    pub(super) fn write(&mut self, batch: Vec<Seen>) -> Result<Written, ReindexError> {
        let mut written = Written::default();
        let mut staging = Vec::new();
        for Seen { item, version, content } in batch {
            let sha256 = content.sha256();
            let entry = |status| entry(&item, version.clone(), sha256, status);
            let decided = match content {
                Content::Refused(refusal, _) => Some(refused(entry(ImportStatus::Refused), refusal)),
                Content::Known(sha256) => Some(self.known(&item, entry(ImportStatus::Unchanged), sha256)?),
                Content::Twin(sha256) => match self.twin(&item, entry(ImportStatus::Duplicate), sha256)? {
                    Some(decided) => Some(decided),
                    None => {
                        written.put_off.push(Seen { item, version, content: Content::Twin(sha256) });
                        continue;
                    }
                },
                Content::New(fresh) => {
                    match self.same_bytes(&item, entry(ImportStatus::Duplicate), fresh.record.sha256)? {
                        Some(decided) => Some(decided),
                        None => self.prepare((item, version), *fresh, &mut staging)?,
                    }
                }
            };
            written.entries.extend(decided.map(|entry| self.record(entry)).transpose()?);
        }
        for entry in self.stage(staging)? {
            written.entries.push(self.record(entry)?);
        }
        Ok(written)
    }

    fn record(&self, entry: JournalEntry) -> Result<JournalEntry, ReindexError> {
        // For a source that is named twice, the first entry counts.
        let again = entry.status == ImportStatus::Duplicate
            && entry
                .sha256
                .map(|sum| self.journal.same_bytes(sum))
                .transpose()?
                .flatten()
                .is_some_and(|first| first.source == entry.source && first.polarity == entry.polarity);
        if !again {
            self.journal.record(&entry)?;
        }
        Ok(entry)
    }

    fn twin(&mut self, item: &Item, entry: JournalEntry, sha256: Sha256) -> Result<Option<JournalEntry>, ReindexError> {
        if let Some(decided) = self.same_bytes(item, entry.clone(), sha256)? {
            return Ok(Some(decided));
        }
        let refused = self.journal.refused_bytes(sha256)?;
        Ok(refused.map(|twin| JournalEntry {
            status: ImportStatus::Refused,
            code: twin.code,
            detail: twin.detail,
            ..entry
        }))
    }

    /// The status of a photo whose bytes this run has already read; `None` for other bytes.
    fn same_bytes(
        &mut self,
        item: &Item,
        entry: JournalEntry,
        sha256: Sha256,
    ) -> Result<Option<JournalEntry>, ReindexError> {
        let Some(first) = self.journal.same_bytes(sha256)? else {
            return Ok(None);
        };
        if first.polarity == item.polarity {
            let detail = format!("the same bytes as {}", first.source);
            let code = Some("duplicate".to_owned());
            return Ok(Some(JournalEntry {
                status: ImportStatus::Duplicate,
                key: first.key,
                code,
                detail: Some(detail),
                ..entry
            }));
        }
        let words =
            |other: &str| format!("the very same bytes are called {} and {}: {other}", first.polarity, item.polarity);
        let conflict = Quarantine { code: "conflict".to_owned(), detail: words(&first.source), private: false };
        if let Some(key) = first.key {
            self.contradict(key, Quarantine { detail: words(&item.source), ..conflict.clone() })?;
        }
        Ok(Some(held_back(entry, conflict, first.key)))
    }

    /// Quarantines a staged reference; marks one from before the run as disputed, which stays active.
    fn contradict(&mut self, key: u64, conflict: Quarantine) -> Result<(), ReindexError> {
        let known = self.enrolment.gallery.by_keys([key])?.remove(&key);
        match known {
            Some(known) if known.state == ReferenceState::Staged => {
                self.journal.contradict(key, &conflict.code, &conflict.detail)?;
                self.changes.quarantined.insert(key, conflict);
            }
            Some(known) => self.dispute(&known),
            None => {}
        }
        Ok(())
    }

    fn dispute(&mut self, known: &Reference) {
        if known.mark != Some(Mark::Disputed) {
            self.changes.marks.insert(known.key, Mark::Disputed);
        }
    }

    fn known(&mut self, item: &Item, entry: JournalEntry, sha256: Sha256) -> Result<JournalEntry, ReindexError> {
        if let Some(decided) = self.same_bytes(item, entry.clone(), sha256)? {
            return Ok(decided);
        }
        match self.enrolment.gallery.find_photo(self.journal.brand(), sha256)? {
            Some(known) => Ok(self.beside(item, entry, known)),
            None => Ok(refused(
                entry,
                Refusal { code: "reference-gone", detail: "its reference was deleted meanwhile; run again".to_owned() },
            )),
        }
    }

    /// The status of a photo that already has a reference.
    fn beside(&mut self, item: &Item, entry: JournalEntry, known: Reference) -> JournalEntry {
        let entry = JournalEntry { key: Some(known.key), ..entry };
        if known.claim.polarity != item.polarity {
            self.dispute(&known);
            let detail = format!(
                "the brand already has this very photo as {}, in {}; delete that reference first if it is wrong",
                known.claim.polarity, known.id
            );
            // The reference itself stays active: the quarantine is only the entry's.
            return held_back(
                entry,
                Quarantine { code: "reference-contradicts".to_owned(), detail, private: false },
                None,
            );
        }
        let said = said_anew(&known.claim.details, &item.details);
        if known.state == ReferenceState::Staged {
            if said.is_some() {
                self.changes.details.insert(known.key, item.details.clone());
            }
            let (mark, kind) = (known.mark, known.kind());
            return as_added(JournalEntry { doubts: known.photo.doubts, ..entry }, mark, kind);
        }
        if let Some(quarantine) = known.quarantine {
            return JournalEntry { code: Some("quarantined".to_owned()), detail: Some(quarantine.detail), ..entry };
        }
        match said {
            Some(what) => {
                self.changes.details.insert(known.key, item.details.clone());
                JournalEntry { status: ImportStatus::Changed, detail: Some(what), ..entry }
            }
            None => entry,
        }
    }

    fn prepare(
        &self,
        (item, version): (Item, Option<String>),
        mut fresh: Fresh,
        staging: &mut Vec<Staging>,
    ) -> Result<Option<JournalEntry>, ReindexError> {
        let entry = entry(&item, version.clone(), Some(fresh.record.sha256), ImportStatus::Added);
        let entry = JournalEntry { doubts: fresh.record.doubts.clone(), ..entry };
        let embedding = match std::mem::replace(&mut fresh.embedding, Vector::Unasked) {
            Vector::Unasked => {
                let kind = Kind::of(item.polarity, item.details.kind, fresh.record.kind);
                return Ok(Some(as_added(entry, None, kind)));
            }
            Vector::Kept(embedding) => embedding,
            Vector::Pending(pending) => match pending.wait() {
                Ok(embedding) => embedding,
                Err(EmbedError::Failed(detail)) => {
                    return Ok(Some(refused(entry, Refusal { code: "model-failed", detail })));
                }
                Err(error) => return Err(EnrolError::from(error).into()),
            },
        };
        let mark = self.bank.mark(fresh.record.quality, &embedding, &self.enrolment.embedder.manifest().thresholds);
        let claim =
            Claim { brand: self.journal.brand().clone(), polarity: item.polarity, details: item.details.clone() };
        staging.push(Staging { item, version, fresh, claim, embedding, mark });
        Ok(None)
    }

    fn stage(&mut self, staging: Vec<Staging>) -> Result<Vec<JournalEntry>, ReindexError> {
        if self.dry || staging.is_empty() {
            return Ok(Vec::new());
        }
        let new: Vec<NewReference<'_>> = staging
            .iter()
            .map(|one| NewReference {
                claim: &one.claim,
                photo: &one.fresh.record,
                bytes: None,
                embedding: &one.embedding,
                words: None,
                mark: one.mark,
                quarantine: None,
                disputes: &[],
                run: Some(self.journal.run()),
                by: None,
            })
            .collect();
        self.enrolment.gallery.sync_photos()?;
        let added = self.enrolment.gallery.add(&new, &self.enrolment.embedder.manifest().id())?;
        let entries = staging.into_iter().zip(added).map(|(one, added)| {
            let entry = entry(&one.item, one.version, Some(one.fresh.record.sha256), ImportStatus::Unchanged);
            match added {
                Added::New(reference) => {
                    let kind = reference.kind();
                    let doubts = reference.photo.doubts;
                    as_added(JournalEntry { key: Some(reference.key), doubts, ..entry }, one.mark, kind)
                }
                Added::Existing(known) | Added::Contradicts(known) => self.beside(&one.item, entry, known),
            }
        });
        Ok(entries.collect())
    }
}

impl Content {
    fn sha256(&self) -> Option<Sha256> {
        match self {
            Self::Refused(_, sha256) => *sha256,
            Self::Known(sha256) | Self::Twin(sha256) => Some(*sha256),
            Self::New(fresh) => Some(fresh.record.sha256),
        }
    }
}

fn entry(item: &Item, version: Option<String>, sha256: Option<Sha256>, status: ImportStatus) -> JournalEntry {
    let (source, polarity) = (item.source.clone(), item.polarity);
    let about = item.about.as_deref().map(one_spelling);
    JournalEntry {
        source,
        polarity,
        version,
        about,
        sha256,
        key: None,
        status,
        code: None,
        detail: None,
        doubts: Vec::new(),
    }
}

fn refused(entry: JournalEntry, Refusal { code, detail }: Refusal) -> JournalEntry {
    // A photo that could not be read or decoded is read again in the next run.
    JournalEntry {
        status: ImportStatus::Refused,
        version: None,
        code: Some(code.to_owned()),
        detail: Some(detail),
        ..entry
    }
}

fn held_back(entry: JournalEntry, Quarantine { code, detail, .. }: Quarantine, key: Option<u64>) -> JournalEntry {
    JournalEntry { status: ImportStatus::Conflict, key, code: Some(code), detail: Some(detail), ..entry }
}

/// Adds a note to the entry of a generic reference or a logo.
fn as_added(entry: JournalEntry, mark: Option<Mark>, kind: Kind) -> JournalEntry {
    let told = match (mark, kind) {
        (Some(_), _) => {
            Some(("generic", "it shows too little, or what many goods share: it never leads to a block by itself"))
        }
        (None, Kind::Logo) => {
            Some(("logo", "a logo, not a photo: it is searched for on goods, and a copy of it is not a reused photo"))
        }
        (None, Kind::Photo) => None,
    };
    let (code, detail) = told.map(|(code, detail)| (code.to_owned(), detail.to_owned())).unzip();
    JournalEntry { status: ImportStatus::Added, code, detail, ..entry }
}

/// The details that differ from the reference's, as a sentence. Another source of the same bytes is no difference.
fn said_anew(known: &Details, new: &Details) -> Option<String> {
    let said = new.over(known);
    let shown = |text: Option<&str>| text.unwrap_or("nothing").to_owned();
    let pairs = known.named().zip(said.named()).filter(|((name, _, old), (_, _, new))| *name != "source" && old != new);
    let mut what: Vec<String> =
        pairs.map(|((name, _, old), (_, _, new))| format!("{name} was {}, is {}", shown(old), shown(new))).collect();
    if said.kind != known.kind {
        let shown = |kind: Option<Kind>| shown(kind.map(Kind::as_str));
        what.push(format!("kind was {}, is {}", shown(known.kind), shown(said.kind)));
    }
    (!what.is_empty()).then(|| what.join("; "))
}
