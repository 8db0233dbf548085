//! Pruning: removes references that the sources no longer name, within a limit and after confirmation.

use std::collections::BTreeMap;

use super::source::{above, one_spelling};
use super::{PAGE, Plan, ReindexError};
use crate::domain::{ImportStatus, Polarity, Reference};
use crate::gallery::{Gallery, Journal, JournalEntry, ListQuery, RunChanges};

/// The number of references to remove, and of all, by polarity.
#[derive(Default)]
pub(super) struct Shares {
    removed: BTreeMap<Polarity, (usize, usize)>,
    /// Polarities that have references but do not occur in the sources: none of them is removed.
    pub(super) unnamed: Vec<Polarity>,
}

/// Marks references that the sources no longer name. Keeps all references of a polarity that the sources do not
/// contain, and references whose source exists but cannot be used this time.
pub(super) fn mark_removed(
    plan: &Plan,
    gallery: &Gallery,
    journal: &Journal,
    changes: &mut RunChanges,
) -> Result<Shares, ReindexError> {
    if let Some(row) = journal.unknown()? {
        return Err(ReindexError::UnknownRow { row: row.source, detail: row.detail.unwrap_or_default() });
    }
    let polarities = journal.polarities()?;
    let mut shares = Shares::default();
    let mut after = 0;
    loop {
        let page = gallery.list(&plan.brand, &ListQuery { after, limit: PAGE, ..ListQuery::default() })?;
        let Some(last) = page.last() else {
            return Ok(shares);
        };
        after = last.key;
        for reference in &page {
            let polarity = reference.claim.polarity;
            if !polarities.contains(&polarity) {
                if !shares.unnamed.contains(&polarity) {
                    shares.unnamed.push(polarity);
                }
                continue;
            }
            let (removed, of) = shares.removed.entry(polarity).or_default();
            *of += 1;
            if journal.has_bytes(reference.photo.sha256)? {
                continue;
            }
            let source = reference.claim.details.source.as_deref().map(one_spelling).unwrap_or_default();
            if let Some(refused) = journal.refused_for(reference.photo.sha256, above(&source))? {
                journal.record(&kept(reference, &refused))?;
                continue;
            }
            *removed += 1;
            changes.removed.insert(reference.key);
            journal.record(&removal(reference))?;
        }
    }
}

fn removal(reference: &Reference) -> JournalEntry {
    about(reference, ImportStatus::Removed, "not-named", "the sources no longer name it".to_owned())
}

fn kept(reference: &Reference, refused: &JournalEntry) -> JournalEntry {
    let why = refused.detail.as_deref().or(refused.code.as_deref()).unwrap_or("refused");
    let detail = format!("its source cannot be used now, so it was not pruned: {}: {why}", refused.source);
    about(reference, ImportStatus::Kept, "source-unusable", detail)
}

fn about(reference: &Reference, status: ImportStatus, code: &str, detail: String) -> JournalEntry {
    JournalEntry {
        source: format!("{} [{}]", reference.claim.details.source.as_deref().unwrap_or("no source"), reference.id),
        polarity: reference.claim.polarity,
        version: None,
        about: None,
        sha256: Some(reference.photo.sha256),
        key: Some(reference.key),
        status,
        code: Some(code.to_owned()),
        detail: Some(detail),
        doubts: Vec::new(),
    }
}

pub(super) fn guard(plan: &Plan, shares: &Shares, confirm: &dyn Fn(usize, usize) -> bool) -> Result<(), ReindexError> {
    for (&polarity, &(removed, of)) in &shares.removed {
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share = removed as f64 / of.max(1) as f64;
        if share > plan.max_removed {
            let (brand, most) = (plan.brand.clone(), plan.max_removed * 100.0);
            return Err(ReindexError::TooManyRemoved { brand, polarity, removed, of, most });
        }
    }
    let sum = shares.removed.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    if sum.0 == 0 || confirm(sum.0, sum.1) { Ok(()) } else { Err(ReindexError::NotConfirmed) }
}
