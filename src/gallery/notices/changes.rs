//! Changes of a listing's state. Each is one transaction with its audit events, which are recorded under the notice's id.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::lanes::look_at;
use super::rows::{find_listing, find_notice, listings_of, overwrite, to_remind_of};
use super::{Notice, NoticeListing};
use crate::domain::{NoticeSource, NoticeState, Party, TakedownOptions};
use crate::gallery::audit::{AuditEvent, append};
use crate::gallery::sellers::{look_at_seller, look_at_sellers};
use crate::gallery::store::{Gallery, GalleryError};
use crate::storage;
use crate::storage::Writing;

/// The greatest number of requests that one transaction reminds of, so that checks need not wait.
const AT_ONCE: u32 = 500;

/// Who acts.
#[derive(Debug, Clone, Copy)]
pub struct NoticeActor<'a> {
    /// Id of an API key, or name of an account.
    pub who: &'a str,
    /// The console's session, if any.
    pub session: Option<&'a str>,
    /// On whose behalf.
    pub party: Party,
}

/// A listing's new state, with its reason.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// The new state.
    pub to: NoticeState,
    /// The reason, free text.
    pub reason: Option<&'a str>,
}

/// The result of changing a listing's state.
#[derive(Debug, Clone, PartialEq)]
pub enum Moved {
    /// The listing is in the new state, or was before.
    Done(Box<NoticeListing>),
    /// The actor may not change the state so.
    NotAllowed {
        /// The state as it is.
        from: NoticeState,
        /// The states to which the actor may change it.
        allowed: Vec<NoticeState>,
    },
    /// The seller objects to this moderator's own decision.
    OwnDecision,
}

/// The states before and after a change, as the audit log stores them.
#[derive(Serialize)]
struct Recorded<'a> {
    notice_id: &'a str,
    listing_id: Option<&'a str>,
    seller_id: Option<&'a str>,
    brand: Option<&'a str>,
    state: NoticeState,
    reason: Option<&'a str>,
}

impl<'a> Recorded<'a> {
    fn of(notice: &'a Notice, listing: &'a NoticeListing) -> Self {
        Self {
            notice_id: &notice.id,
            listing_id: listing.listing_id.as_deref(),
            seller_id: listing.seller_id.as_deref(),
            brand: notice.brand.as_deref(),
            state: listing.state,
            reason: listing.reason.as_deref(),
        }
    }
}

impl Gallery {
    /// Changes the state of a notice's listing. `None` when there is no such notice or listing.
    ///
    /// # Errors
    /// When the database cannot be written; then nothing is changed.
    pub fn move_listing(
        &self,
        actor: NoticeActor<'_>,
        (notice, listing): (&str, &str),
        to: Change<'_>,
    ) -> Result<Option<Moved>, GalleryError> {
        let options = self.takedown();
        self.write(|transaction| {
            let found = find_notice(transaction, notice)?.zip(find_listing(transaction, notice, listing)?);
            let Some((notice, row)) = found else { return Ok(None) };
            let seller = row.checked_seller.clone();
            let moved = step(transaction, &options, actor, &notice, row, to)?;
            look_at_brand(transaction, &options, &notice)?;
            look_at_seller(transaction, &options.strikes, seller.as_deref())?;
            Ok(Some(moved))
        })
    }

    /// Changes the state of the listings of a notice that are in one of the states `from`, as far as the actor may. Returns
    /// how many were changed; `None` when there is no such notice.
    ///
    /// # Errors
    /// When the database cannot be written; then nothing is changed.
    pub fn move_all(
        &self,
        actor: NoticeActor<'_>,
        (notice, from): (&str, &[NoticeState]),
        to: Change<'_>,
    ) -> Result<Option<u64>, GalleryError> {
        let options = self.takedown();
        self.write(|transaction| {
            let Some(notice) = find_notice(transaction, notice)? else { return Ok(None) };
            let mut changed = 0;
            let mut sellers = BTreeSet::new();
            for row in listings_of(transaction, &notice.id)?.into_iter().filter(|row| from.contains(&row.state)) {
                sellers.extend(row.checked_seller.clone());
                let moved = step(transaction, &options, actor, &notice, row, to)?;
                changed += u64::from(matches!(moved, Moved::Done(_)));
            }
            look_at_brand(transaction, &options, &notice)?;
            look_at_sellers(transaction, &options.strikes, &sellers)?;
            Ok(Some(changed))
        })
    }

    /// Records that a moderator has seen requests that went out unseen: one listing, or all of the notice. Returns how
    /// many; `None` when there is no such notice.
    ///
    /// # Errors
    /// When the database cannot be written; then nothing is changed.
    pub fn confirm_requests(
        &self,
        actor: NoticeActor<'_>,
        (notice, listing): (&str, Option<&str>),
    ) -> Result<Option<u64>, GalleryError> {
        let options = self.takedown();
        self.write(|transaction| {
            let Some(notice) = find_notice(transaction, notice)? else { return Ok(None) };
            let mut confirmed = 0;
            let mut sellers = BTreeSet::new();
            for row in listings_of(transaction, &notice.id)? {
                if row.is_unreviewed() && listing.is_none_or(|id| row.listing_id.as_deref() == Some(id)) {
                    let seen = NoticeListing { reviewed: true, decided_by: Some(actor.who.to_owned()), ..row.clone() };
                    overwrite(transaction, &seen)?;
                    record(transaction, actor, &notice, "review-notice", Some(&row), &seen)?;
                    sellers.extend(seen.checked_seller);
                    confirmed += 1;
                }
            }
            look_at_sellers(transaction, &options.strikes, &sellers)?;
            Ok(Some(confirmed))
        })
    }

    /// Asks the marketplace to show a listing again that a brand's notice removed. `None` when there is no such notice or
    /// listing; `false` when the listing is not down, the marketplace was asked before, or the request is one of moderation,
    /// which follows its case.
    ///
    /// # Errors
    /// When the database cannot be written; then nothing is changed.
    pub fn ask_to_restore(
        &self,
        actor: NoticeActor<'_>,
        (notice, listing): (&str, &str),
        reason: &str,
    ) -> Result<Option<bool>, GalleryError> {
        let options = self.takedown();
        self.write(|transaction| {
            let found = find_notice(transaction, notice)?.zip(find_listing(transaction, notice, listing)?);
            let Some((notice, row)) = found else { return Ok(None) };
            let down = row.state == NoticeState::Removed && !row.restore_asked && notice.source == NoticeSource::Brand;
            if down {
                let reason = Some(reason.to_owned());
                let asked = NoticeListing { restore_asked: true, reviewed: true, reason, ..row.clone() };
                ask(transaction, actor, &notice, (&row, &asked))?;
                look_at_seller(transaction, &options.strikes, asked.checked_seller.as_deref())?;
            }
            Ok(Some(down))
        })
    }

    /// Reminds the marketplace of requests without an answer, once of each, and looks at the standing of the brands in the
    /// fast lane. Returns the number of reminders.
    ///
    /// # Errors
    /// When the database cannot be written; reminders until then stay recorded.
    pub fn follow_up_takedowns(&self, now: Timestamp) -> Result<u64, GalleryError> {
        let options = self.takedown();
        let until = now + SignedDuration::from_hours(i64::from(options.reminder_hours));
        let mut reminded = 0;
        loop {
            let some = self.write(|transaction| remind(transaction, until, now))?;
            reminded += some;
            if some < u64::from(AT_ONCE) {
                break;
            }
        }
        self.look_at_lanes(now)?;
        Ok(reminded)
    }
}

pub(super) fn with_deadline(row: NoticeListing, options: &TakedownOptions, now: Timestamp) -> NoticeListing {
    let deadline = now + SignedDuration::from_hours(i64::from(options.deadline_hours));
    NoticeListing { deadline_at: Some(deadline), reminded_at: None, updated_at: now, ..row }
}

fn step(
    transaction: &Writing<'_>,
    options: &TakedownOptions,
    actor: NoticeActor<'_>,
    notice: &Notice,
    row: NoticeListing,
    Change { to, reason }: Change<'_>,
) -> storage::Result<Moved> {
    if row.state == to {
        return Ok(Moved::Done(Box::new(row)));
    }
    let allowed = row.state.next(notice.source, actor.party);
    if !allowed.contains(&to) {
        return Ok(Moved::NotAllowed { from: row.state, allowed });
    }
    let moderator = actor.party == Party::Moderator;
    if moderator && row.state == NoticeState::Countered && row.decided_by.as_deref() == Some(actor.who) {
        return Ok(Moved::OwnDecision);
    }
    let now = Timestamp::now();
    let mut changed = NoticeListing { state: to, reason: reason.map(str::to_owned), updated_at: now, ..row.clone() };
    if to == NoticeState::Requested {
        changed = with_deadline(changed, options, now);
    }
    if moderator && matches!(to, NoticeState::Requested | NoticeState::Rejected) {
        changed.decided_by = Some(actor.who.to_owned());
    }
    changed.reviewed |= moderator;
    changed.restore_asked &= to != NoticeState::Restored;
    change(transaction, actor, notice, &row, &changed)?;
    Ok(Moved::Done(Box::new(changed)))
}

/// The figures of the brand that filed the notice may have changed its place.
fn look_at_brand(transaction: &Writing<'_>, options: &TakedownOptions, notice: &Notice) -> storage::Result<()> {
    match notice.brand.as_deref().filter(|_| notice.source == NoticeSource::Brand) {
        Some(brand) => look_at(transaction, options, brand, Timestamp::now()).map(drop),
        None => Ok(()),
    }
}

/// Stores and records that the marketplace is asked to show a listing again.
pub(super) fn ask(
    transaction: &Writing<'_>,
    actor: NoticeActor<'_>,
    notice: &Notice,
    (before, after): (&NoticeListing, &NoticeListing),
) -> storage::Result<()> {
    overwrite(transaction, after)?;
    record(transaction, actor, notice, "request-restore", Some(before), after)
}

fn remind(transaction: &Writing<'_>, until: Timestamp, now: Timestamp) -> storage::Result<u64> {
    let due = to_remind_of(transaction, until, AT_ONCE)?;
    let actor = NoticeActor { who: "touchstone", session: None, party: Party::Moderator };
    for (notice, row) in &due {
        let reminded = NoticeListing { reminded_at: Some(now), ..row.clone() };
        overwrite(transaction, &reminded)?;
        record(transaction, actor, notice, "remind-takedown", Some(row), &reminded)?;
    }
    Ok(due.len() as u64)
}

/// Stores a listing's new state and its audit event.
pub(super) fn change(
    transaction: &Writing<'_>,
    actor: NoticeActor<'_>,
    notice: &Notice,
    before: &NoticeListing,
    after: &NoticeListing,
) -> storage::Result<()> {
    overwrite(transaction, after)?;
    record(transaction, actor, notice, after.state.action(), Some(before), after)
}

pub(super) fn record(
    transaction: &Writing<'_>,
    actor: NoticeActor<'_>,
    notice: &Notice,
    action: &str,
    before: Option<&NoticeListing>,
    after: &NoticeListing,
) -> storage::Result<()> {
    let event = AuditEvent { actor: actor.who, session: actor.session, action, subject: &notice.id };
    let before = before.map(|row| Recorded::of(notice, row));
    append(transaction, event, &before, &Recorded::of(notice, after)).map(drop)
}
