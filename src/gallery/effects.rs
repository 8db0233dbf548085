//! What a recorded act changed, stored in the audit log, so that it can be undone.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Case;
use super::audit::{AuditEntry, AuditEvent, append, undoable};
use super::cases::{find_case, overwrite_case};
use super::certificates::Certifier;
use super::decisions::reopen_followers;
use super::notices::follow_case;
use super::outcomes::{find_outcome, withdraw_outcome, write_outcome};
use super::pairs::{Pair, drop_pair, find_pair, put_pair, recompute_mark};
use super::queue::CLAIM_SECONDS;
use super::rows::{change, find_key, tombstone};
use super::sellers::look_at_seller;
use super::store::{Gallery, GalleryError, conversion};
use crate::domain::{CaseStatus, Mark, Outcome, Quarantine, Reference, ReferenceState, TakedownOptions};
use crate::photo::Sha256;
use crate::storage::{self, Writing};

/// The result of [`Gallery::undo`].
#[derive(Debug, Clone, PartialEq)]
pub enum Undone {
    /// The session's newest act is undone.
    Done(Box<AuditEntry>),
    /// The session has nothing to undo.
    Nothing,
    /// Somebody has changed its subject since, so it was not undone.
    ChangedSince(Box<AuditEntry>),
}

/// The rows that an act changed, as they were before it or after it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Effects {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) case: Option<Case>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) pairs: Vec<Pair>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) outcomes: Vec<Outcome>,
    /// Written by schema version 4, at most one.
    #[serde(default, skip_serializing)]
    outcome: Option<Outcome>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) references: Vec<Standing>,
    /// References whose mark follows from moderators' decisions; undoing computes it again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) recomputed: Vec<Standing>,
    /// Key of a reference that the act added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) added: Option<u64>,
}

impl Effects {
    pub(super) fn of_case(case: &Case) -> Self {
        Self { case: Some(case.clone()), ..Self::default() }
    }

    pub(super) fn of_outcomes(outcomes: Vec<Outcome>) -> Self {
        Self { outcomes, ..Self::default() }
    }

    pub(super) fn of_reference(reference: &Reference) -> Self {
        Self { references: vec![Standing::of(reference)], ..Self::default() }
    }

    /// Whether the act changed this reference's mark. If not, the mark is whatever later acts made it.
    fn marks_otherwise(&self, standing: &Standing) -> bool {
        self.references.iter().any(|other| other.key == standing.key && other.mark != standing.mark)
    }
}

/// The fields of a reference that people and hygiene change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Standing {
    key: u64,
    id: String,
    state: ReferenceState,
    quarantine: Option<Quarantine>,
    mark: Option<Mark>,
    publication: Option<u64>,
}

impl Standing {
    pub(super) fn of(reference: &Reference) -> Self {
        Self {
            key: reference.key,
            id: reference.id.clone(),
            state: reference.state,
            quarantine: reference.quarantine.clone(),
            mark: reference.mark,
            publication: reference.publication,
        }
    }
}

/// Sets or clears a reference's mark. Returns the reference's standing before and after.
pub(super) fn set_mark(
    transaction: &Writing<'_>,
    found: Reference,
    mark: Option<Mark>,
) -> storage::Result<(Standing, Standing)> {
    let was = Standing::of(&found);
    let marked = Reference { mark, publication: None, updated_at: Timestamp::now(), ..found };
    change(transaction, &marked)?;
    Ok((was, Standing::of(&marked)))
}

impl Gallery {
    /// Undoes the newest act of a session that is not undone yet.
    ///
    /// # Errors
    /// When the database cannot be written; then nothing is undone.
    pub fn undo(&self, (who, session): (&str, &str), certifier: &Certifier<'_>) -> Result<Undone, GalleryError> {
        let options = self.takedown();
        let mut gone = None;
        let undone = self.write(|transaction| {
            let Some(entry) = undoable(transaction, session)? else {
                return Ok(Undone::Nothing);
            };
            let effects = |text: &str| -> storage::Result<Effects> {
                let mut effects: Effects = serde_json::from_str(text).map_err(|error| conversion(0, error))?;
                effects.outcomes.extend(effects.outcome.take());
                Ok(effects)
            };
            let (before, after) = (effects(&entry.before)?, effects(&entry.after)?);
            if !stands(transaction, who, (&before, &after))? {
                // Reported once; the next undo concerns the act before.
                let event =
                    AuditEvent { actor: who, session: Some(session), action: "undo-refused", subject: &entry.subject };
                append(transaction, event, &(), &serde_json::json!({ "undoes": entry.seq }))?;
                return Ok(Undone::ChangedSince(Box::new(entry)));
            }
            let certified = certifier.before(transaction, &entry.subject, &before.outcomes)?;
            gone = revert(transaction, &options, who, (&before, &after))?;
            let event = AuditEvent { actor: who, session: Some(session), action: "undo", subject: &entry.subject };
            append(transaction, event, &after, &serde_json::json!({ "undoes": entry.seq, "restored": before }))?;
            if let Some(case) = &before.case {
                follow_case(transaction, &options, (who, Some(session)), case)?;
                look_at_seller(transaction, &options.strikes, case.seller_id.as_deref())?;
            }
            certifier.log_ended(transaction, (who, Some(session)), &certified)?;
            Ok(Undone::Done(Box::new(entry)))
        })?;
        if let Some(sha256) = gone {
            self.drop_photo(sha256)?;
        }
        Ok(undone)
    }
}

/// Whether everything is still as the act left it.
fn stands(transaction: &Writing<'_>, who: &str, (before, after): (&Effects, &Effects)) -> storage::Result<bool> {
    // A decision about one photo can be undone only while the case is open and nobody else has claimed it.
    if let (None, Some(pair)) = (&after.case, after.pairs.first()) {
        let goes_on =
            |case: Case| case.status != CaseStatus::Decided && case.holder().is_none_or(|holder| holder == who);
        if !find_case(transaction, &pair.check_id)?.is_some_and(goes_on) {
            return Ok(false);
        }
    }
    for pair in &after.pairs {
        if find_pair(transaction, pair)?.as_ref() != Some(pair) {
            return Ok(false);
        }
    }
    for outcome in &after.outcomes {
        if find_outcome(transaction, outcome)?.as_ref() != Some(outcome) {
            return Ok(false);
        }
    }
    if let Some(case) = &after.case {
        let same = |now: Case| {
            (now.status, now.decision, now.decided_at, now.appeal.is_some())
                == (case.status, case.decision, case.decided_at, case.appeal.is_some())
        };
        if !find_case(transaction, &case.check_id)?.is_some_and(same) {
            return Ok(false);
        }
    }
    for standing in &after.references {
        let Some(now) = find_key(transaction, standing.key)? else { return Ok(false) };
        let mut now = Standing::of(&now);
        if !before.marks_otherwise(standing) {
            now.mark = standing.mark;
        }
        if now != *standing {
            return Ok(false);
        }
    }
    match after.added {
        Some(key) => Ok(find_key(transaction, key)?.is_some_and(|found| found.state.is_present())),
        None => Ok(true),
    }
}

/// Restores what an act changed. Returns the SHA-256 of a photo that perhaps no reference needs any more.
fn revert(
    transaction: &Writing<'_>,
    options: &TakedownOptions,
    who: &str,
    (before, after): (&Effects, &Effects),
) -> storage::Result<Option<Sha256>> {
    for gone in &after.pairs {
        drop_pair(transaction, gone)?;
    }
    for back in &before.pairs {
        put_pair(transaction, back)?;
    }
    let keys: BTreeSet<u64> = after.pairs.iter().chain(&before.pairs).map(|pair| pair.key).collect();
    for key in keys {
        recompute_mark(transaction, key)?;
    }
    if let Some(case) = &before.case {
        // The person who undoes a decision gets the case back.
        let mine = Case {
            claimed_by: Some(who.to_owned()),
            claimed_until: Timestamp::now().as_second() + CLAIM_SECONDS,
            ..case.clone()
        };
        overwrite_case(transaction, &mine)?;
        // If the case was decided likewise before, that decision still stands.
        let undone = after.case.as_ref().and_then(|case| case.decision);
        if undone.is_some() && undone != case.decision {
            reopen_followers(transaction, options, who, &case.check_id)?;
        }
    }
    for gone in &after.outcomes {
        withdraw_outcome(transaction, gone)?;
    }
    for back in &before.outcomes {
        write_outcome(transaction, back)?;
    }
    for standing in &before.references {
        let Some(found) = find_key(transaction, standing.key)? else { continue };
        let mark = if after.marks_otherwise(standing) { standing.mark } else { found.mark };
        let restored = Reference {
            state: standing.state,
            quarantine: standing.quarantine.clone(),
            mark,
            publication: standing.publication,
            updated_at: Timestamp::now(),
            ..found
        };
        change(transaction, &restored)?;
    }
    let Some(key) = after.added else { return Ok(None) };
    let sha256 = find_key(transaction, key)?.map(|added| added.photo.sha256);
    tombstone(transaction, key)?;
    Ok(sha256)
}
