//! What people decide, each decision with all that it changes in one transaction.

use jiff::Timestamp;
use rusqlite::Transaction;

use super::audit::{Deed, append};
use super::cases::{find_case, overwrite_case};
use super::effects::Effects;
use super::outcomes::{find_outcome, write_outcome};
use super::pairs::{Pair, drop_overruled, lower_standing, put_pair};
use super::queue::claim;
use super::rows::{change, find_key};
use super::store::{Gallery, GalleryError};
use super::{Case, CaseStatus, Claimed, Decision, Outcome, Quarantine, Reference, ReferenceState};

/// A decision to keep.
#[derive(Debug)]
pub struct NewDecision<'a> {
    /// The check.
    pub check_id: &'a str,
    /// What was found.
    pub decision: Decision,
    /// Why, in words.
    pub note: Option<&'a str>,
    /// Whether the case is decided with it; otherwise only the pairs are.
    pub closes: bool,
    /// What it says of photos and references.
    pub pairs: Vec<Pair>,
    /// What it says for the brand's certificate.
    pub outcome: Option<Outcome>,
}

/// What became of a decision.
#[derive(Debug, Clone, PartialEq)]
pub enum Decided {
    /// It is kept.
    Kept(Box<Case>),
    /// It is not theirs to decide: it is decided, somebody else works on it, or the appeal is against their decision.
    NotTheirs(Box<Case>),
}

impl Gallery {
    /// Keeps a decision, unless somebody else holds the case. `None` when there is no such case.
    ///
    /// # Errors
    /// When the database refuses; nothing is kept then.
    pub fn decide(&self, (who, session): (&str, &str), new: &NewDecision<'_>) -> Result<Option<Decided>, GalleryError> {
        self.write(|transaction| {
            let Some(case) = find_case(transaction, new.check_id)? else {
                return Ok(None);
            };
            let taken = case.holder().is_some_and(|holder| holder != who);
            let own = case.status == CaseStatus::Appealed && case.first_decided_by.as_deref() == Some(who);
            if case.status == CaseStatus::Decided || taken || own {
                return Ok(Some(Decided::NotTheirs(Box::new(case))));
            }
            let (mut before, mut after) = (Effects::default(), Effects::default());
            let mut decided = case.clone();
            if new.closes {
                decided.status = CaseStatus::Decided;
                decided.decision = Some(new.decision);
                decided.decided_by = Some(who.to_owned());
                decided.decided_at = Some(Timestamp::now());
                decided.note = new.note.map(str::to_owned);
                decided.claimed_by = None;
                decided.claimed_until = 0;
                overwrite_case(transaction, &decided)?;
                (before.case, after.case) = (Some(case), Some(decided.clone()));
                // What was said of single photos on the way here stands; a second decision overrules the first.
                if decided.first_decided_by.is_some() {
                    before.pairs = drop_overruled(transaction, new.check_id, new.decision)?;
                }
                if new.decision != Decision::Fake {
                    reopen_followers(transaction, who, new.check_id)?;
                }
            }
            if !new.closes
                && let Claimed::Yours(held) = claim(transaction, (who, session), decided.clone())?
            {
                decided = *held;
            }
            for pair in &new.pairs {
                before.pairs.extend(put_pair(transaction, pair)?);
                after.pairs.push(pair.clone());
                if let Some((was, is)) = lower_standing(transaction, pair)? {
                    before.references.push(was);
                    after.references.push(is);
                }
            }
            if let Some(outcome) = &new.outcome {
                before.outcome = find_outcome(transaction, &outcome.check_id, &outcome.brand, outcome.polarity)?;
                write_outcome(transaction, outcome)?;
                after.outcome = Some(outcome.clone());
            }
            let deed = Deed { actor: who, session: Some(session), action: "decide", subject: new.check_id };
            append(transaction, deed, &before, &after)?;
            Ok(Some(Decided::Kept(Box::new(decided))))
        })
    }

    /// Holds a reference back on a person's word. `None` when there is none that takes part.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn quarantine(
        &self,
        (who, session): (&str, &str),
        key: u64,
        detail: &str,
    ) -> Result<Option<Reference>, GalleryError> {
        self.write(|transaction| {
            let found = find_key(transaction, key)?.filter(|found| found.state == ReferenceState::Active);
            let Some(found) = found else {
                return Ok(None);
            };
            let quarantine = Quarantine { code: "moderator".to_owned(), detail: detail.to_owned() };
            let held = Reference {
                state: ReferenceState::Quarantined,
                quarantine: Some(quarantine),
                publication: None,
                updated_at: Timestamp::now(),
                ..found.clone()
            };
            change(transaction, &held)?;
            let deed = Deed { actor: who, session: Some(session), action: "quarantine", subject: &held.id };
            append(transaction, deed, &Effects::of_reference(&found), &Effects::of_reference(&held))?;
            Ok(Some(held))
        })
    }

    /// Takes a seller's appeal against a case that was decided as fake. `None` when there is no such case; `false` when
    /// it was not decided so, or was appealed already.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn appeal(
        &self,
        (who, session): (&str, Option<&str>),
        check_id: &str,
        text: &str,
    ) -> Result<Option<(Case, bool)>, GalleryError> {
        self.write(|transaction| {
            let Some(case) = find_case(transaction, check_id)? else {
                return Ok(None);
            };
            if case.status != CaseStatus::Decided || case.decision != Some(Decision::Fake) || case.appeal.is_some() {
                return Ok(Some((case, false)));
            }
            // Where an earlier decision was followed, it is that one's author who must not hear the appeal.
            let author = match &case.precedent {
                Some(precedent) => find_case(transaction, precedent)?.and_then(|case| case.decided_by),
                None => case.decided_by.clone(),
            };
            let appealed = Case {
                status: CaseStatus::Appealed,
                appeal: Some(text.to_owned()),
                appealed_at: Some(Timestamp::now()),
                first_decided_by: author,
                ..case.clone()
            };
            overwrite_case(transaction, &appealed)?;
            let deed = Deed { actor: who, session, action: "appeal", subject: check_id };
            append(transaction, deed, &Effects::of_case(&case), &Effects::of_case(&appealed))?;
            Ok(Some((appealed, true)))
        })
    }
}

/// Cases that were decided as this one was are asked again once it is decided otherwise.
pub(super) fn reopen_followers(transaction: &Transaction<'_>, who: &str, check_id: &str) -> rusqlite::Result<()> {
    let followers: Vec<String> = transaction
        .prepare_cached("SELECT check_id FROM moderation_case WHERE precedent = ?1 AND status = 'decided'")?
        .query_map([check_id], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for follower in followers {
        let Some(case) = find_case(transaction, &follower)? else { continue };
        let reopened = Case {
            status: CaseStatus::Open,
            decision: None,
            decided_by: None,
            decided_at: None,
            precedent: None,
            ..case.clone()
        };
        overwrite_case(transaction, &reopened)?;
        let deed = Deed { actor: who, session: None, action: "reopen", subject: &follower };
        append(transaction, deed, &Effects::of_case(&case), &Effects::of_case(&reopened))?;
    }
    Ok(())
}
