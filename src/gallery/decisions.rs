//! Moderators' decisions; each makes all its changes in one transaction.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::alliances::deny_signal;
use super::audit::{AuditEvent, append};
use super::cases::{PRECEDENT, find_case, overwrite_case, overwrite_unranked};
use super::certificates::Certifier;
use super::effects::Effects;
use super::notices::follow_case;
use super::outcomes::{find_outcome, withdraw_said, write_outcome};
use super::pairs::{Pair, drop_convictions, last_word, put_pair, recompute_mark};
use super::questions::follow;
use super::queue::claim;
use super::rows::{change, find_key};
use super::sellers::{cases_changed, look_at_seller};
use super::store::{Gallery, GalleryError};
use super::{Case, Claimed};
use crate::domain::{CaseStatus, Decision, Outcome, Quarantine, Reference, ReferenceState, TakedownOptions};
use crate::storage::{self, Writing};

/// A decision to store.
#[derive(Debug)]
pub struct NewDecision<'a> {
    /// Id of the check.
    pub check_id: &'a str,
    /// What the moderator decided.
    pub decision: Decision,
    /// The moderator's reason, free text.
    pub note: Option<&'a str>,
    /// Whether it decides the whole case; otherwise only the pairs.
    pub closes: bool,
    /// The pairs of photo and reference that it decides.
    pub pairs: Vec<Pair>,
    /// The photo that the moderator looked at, counted from 0, and the id of the reference compared with it; without a
    /// reference if the photo's verdict rests on a signal.
    pub looked_at: Option<(u64, Option<String>)>,
    /// Outcomes for the brands' certificates.
    pub outcomes: Vec<Outcome>,
    /// Ids of open cases that ask the same question and are decided likewise.
    pub followers: Vec<String>,
    /// The rule by which outcomes certify.
    pub certifier: Certifier<'a>,
}

/// The result of [`Gallery::decide`].
#[derive(Debug, Clone, PartialEq)]
pub enum Decided {
    /// The decision is stored.
    Kept(Box<Case>),
    /// The person may not decide it: it is already decided, somebody else has claimed it, or the appeal is against
    /// their own decision.
    NotTheirs(Box<Case>),
}

impl Gallery {
    /// Stores a decision, unless somebody else has claimed the case. `None` when there is no such case.
    ///
    /// # Errors
    /// When the database cannot be written; then nothing is stored.
    pub fn decide(&self, (who, session): (&str, &str), new: &NewDecision<'_>) -> Result<Option<Decided>, GalleryError> {
        let options = self.takedown();
        self.write(|transaction| {
            let Some(case) = find_case(transaction, new.check_id)? else {
                return Ok(None);
            };
            let taken = case.holder().is_some_and(|holder| holder != who);
            if case.status == CaseStatus::Decided || taken || case.is_own_appeal(who) {
                return Ok(Some(Decided::NotTheirs(Box::new(case))));
            }
            let certified = new.certifier.before(transaction, new.check_id, &new.outcomes)?;
            let (mut before, mut after) = (Effects::default(), Effects::default());
            let mut decided = case.clone();
            if new.closes {
                decided.status = CaseStatus::Decided;
                decided.decision = Some(new.decision);
                decided.decided_by = Some(who.to_owned());
                decided.decided_at = Some(Timestamp::now());
                decided.note = new.note.map(str::to_owned);
                let (photo, reference) = new.looked_at.clone().unzip();
                (decided.decided_photo, decided.decided_reference) = (photo, reference.flatten());
                // From now on it is this person's own decision.
                decided.precedent = None;
                decided.claimed_by = None;
                decided.claimed_until = 0;
                overwrite_case(transaction, &decided)?;
                // A second decision replaces the first, with its pairs and outcomes.
                if case.status == CaseStatus::Appealed {
                    before.pairs = drop_convictions(transaction, new.check_id)?;
                    if let Some(first) = &case.first_decided_by {
                        before.outcomes = withdraw_said(transaction, new.check_id, first)?;
                    }
                }
                if new.decision != Decision::Fake {
                    reopen_followers(transaction, &options, who, new.check_id)?;
                    // Other cases that followed the same precedent are as doubtful as this one was.
                    if let Some(precedent) = &case.precedent {
                        reopen_followers(transaction, &options, who, precedent)?;
                    }
                }
                follow(transaction, &options, &decided, &new.followers)?;
                (before.case, after.case) = (Some(case), Some(decided.clone()));
            }
            if !new.closes
                && let Claimed::Yours(held) = claim(transaction, (who, session), decided.clone())?
            {
                decided = *held;
            }
            if let Some((photo, None)) = new.looked_at
                && !new.closes
            {
                deny_signal(transaction, new.check_id, photo)?;
            }
            for pair in &new.pairs {
                let pair = last_word(transaction, pair)?;
                before.pairs.extend(put_pair(transaction, &pair)?);
                after.pairs.push(pair);
            }
            let keys: BTreeSet<u64> = before.pairs.iter().chain(&new.pairs).map(|pair| pair.key).collect();
            for key in keys {
                after.recomputed.extend(recompute_mark(transaction, key)?);
            }
            for outcome in &new.outcomes {
                before.outcomes.extend(find_outcome(transaction, outcome)?);
                write_outcome(transaction, outcome)?;
                after.outcomes.push(outcome.clone());
            }
            let event = AuditEvent { actor: who, session: Some(session), action: "decide", subject: new.check_id };
            append(transaction, event, &before, &after)?;
            if new.closes {
                follow_case(transaction, &options, (who, Some(session)), &decided)?;
                look_at_seller(transaction, &options.strikes, decided.seller_id.as_deref())?;
            }
            new.certifier.log_ended(transaction, (who, Some(session)), &certified)?;
            Ok(Some(Decided::Kept(Box::new(decided))))
        })
    }

    /// Quarantines a reference on a moderator's word. `None` when no active reference has this id.
    ///
    /// # Errors
    /// When the database cannot be written.
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
            let (code, detail) = (Quarantine::MODERATOR.to_owned(), detail.to_owned());
            let quarantine = Quarantine { code, detail, private: true };
            let held = Reference {
                state: ReferenceState::Quarantined,
                quarantine: Some(quarantine),
                publication: None,
                updated_at: Timestamp::now(),
                ..found.clone()
            };
            change(transaction, &held)?;
            let event = AuditEvent { actor: who, session: Some(session), action: "quarantine", subject: &held.id };
            append(transaction, event, &Effects::of_reference(&found), &Effects::of_reference(&held))?;
            Ok(Some(held))
        })
    }

    /// Records a seller's appeal against a decision that restricts. `None` when there is no such case; `false` when its
    /// decision does not restrict, or was appealed before.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn appeal(
        &self,
        (who, session): (&str, Option<&str>),
        check_id: &str,
        text: &str,
    ) -> Result<Option<(Case, bool)>, GalleryError> {
        let options = self.takedown();
        self.write(|transaction| {
            let Some(case) = find_case(transaction, check_id)? else {
                return Ok(None);
            };
            let restricted = case.decision.is_some_and(Decision::restricts);
            if case.status != CaseStatus::Decided || !restricted || case.appeal.is_some() {
                return Ok(Some((case, false)));
            }
            // If the case followed a precedent, the precedent's author is already recorded.
            let author = case.first_decided_by.clone().or_else(|| case.decided_by.clone());
            let appealed = Case {
                status: CaseStatus::Appealed,
                appeal: Some(text.to_owned()),
                appealed_at: Some(Timestamp::now()),
                first_decided_by: author,
                ..case.clone()
            };
            overwrite_case(transaction, &appealed)?;
            let event = AuditEvent { actor: who, session, action: "appeal", subject: check_id };
            append(transaction, event, &Effects::of_case(&case), &Effects::of_case(&appealed))?;
            look_at_seller(transaction, &options.strikes, appealed.seller_id.as_deref())?;
            Ok(Some((appealed, true)))
        })
    }
}

/// Reopens cases that followed this one as a precedent, once it is decided otherwise.
pub(super) fn reopen_followers(
    transaction: &Writing<'_>,
    options: &TakedownOptions,
    who: &str,
    check_id: &str,
) -> storage::Result<()> {
    let followers: Vec<String> = transaction
        .prepare_cached(
            "SELECT check_id FROM moderation_case WHERE precedent = ?1 AND status <> 'open' AND decided_by = ?2",
        )?
        .query_map([check_id, PRECEDENT], |row| row.get(0))?
        .collect::<storage::Result<_>>()?;
    let mut sellers = BTreeSet::new();
    for follower in followers {
        let Some(case) = find_case(transaction, &follower)? else { continue };
        let reopened = case.reopened();
        overwrite_unranked(transaction, &reopened)?;
        sellers.extend(reopened.seller_id.clone());
        let event = AuditEvent { actor: who, session: None, action: "reopen", subject: &follower };
        append(transaction, event, &Effects::of_case(&case), &Effects::of_case(&reopened))?;
        follow_case(transaction, options, (who, None), &reopened)?;
    }
    cases_changed(transaction, &options.strikes, &sellers)
}
