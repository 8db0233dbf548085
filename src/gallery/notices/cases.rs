//! Takedown requests that follow from moderators' decisions about listings that are live.

use jiff::Timestamp;

use super::changes::{NoticeActor, ask, change, record, with_deadline};
use super::filing::{NewListing, drawn};
use super::rows::{about, insert_listing, insert_notice};
use super::{Notice, NoticeListing};
use crate::domain::{CaseStatus, Ground, NoticeSource, NoticeState, Party, TakedownOptions};
use crate::gallery::Case;
use crate::gallery::store::signed;
use crate::storage::{self, OptionalExtension, Writing, params};

/// What a case's decision means for its listing, if that is live: the check let it through. A decision that restricts
/// requests the takedown, unless a request stands; without one, requests end.
pub(in crate::gallery) fn follow_case(
    transaction: &Writing<'_>,
    options: &TakedownOptions,
    (who, session): (&str, Option<&str>),
    case: &Case,
) -> storage::Result<()> {
    if !is_live(transaction, &case.check_id)? {
        return Ok(());
    }
    let actor = NoticeActor { who, session, party: Party::Moderator };
    let own = about(transaction, &case.check_id, None)?;
    let mut own = own.into_iter().filter(|(notice, _)| notice.source == NoticeSource::Moderation);
    let decision = case.decision.filter(|_| case.status != CaseStatus::Open);
    match decision.and_then(Ground::of).zip(case.listing_id.as_deref()) {
        Some((ground, listing)) => {
            if let Some((_, row)) = own.rfind(|(_, row)| stands(row)) {
                return set_ground(transaction, &row, ground);
            }
            request(transaction, options, actor, case, (ground, listing))
        }
        None => own.try_for_each(|(notice, row)| fall(transaction, actor, &notice, &row)),
    }
}

fn is_live(transaction: &Writing<'_>, check_id: &str) -> storage::Result<bool> {
    let allowed = transaction
        .prepare_cached("SELECT action = 'allow' FROM listing_check WHERE id = ?1")?
        .query_row([check_id], |row| row.get(0))
        .optional()?;
    Ok(allowed.unwrap_or(false))
}

/// Whether a request of moderation has neither ended nor been taken back.
fn stands(row: &NoticeListing) -> bool {
    (row.state.is_open() || matches!(row.state, NoticeState::Removed | NoticeState::Refused)) && !row.restore_asked
}

fn set_ground(transaction: &Writing<'_>, row: &NoticeListing, ground: Ground) -> storage::Result<()> {
    transaction
        .prepare_cached("UPDATE notice_listing SET ground = ?3 WHERE notice = ?1 AND place = ?2")?
        .execute(params![row.notice, signed(row.place), ground.as_str()])
        .map(drop)
}

fn request(
    transaction: &Writing<'_>,
    options: &TakedownOptions,
    actor: NoticeActor<'_>,
    case: &Case,
    (ground, listing): (Ground, &str),
) -> storage::Result<()> {
    let now = Timestamp::now();
    let (brand, reference_id) = subject_of(transaction, case)?;
    let notice = insert_notice(transaction, brand.as_deref(), NoticeSource::Moderation, actor.who, now)?;
    let new = NewListing {
        listing_id: listing.to_owned(),
        seller_id: case.seller_id.clone(),
        ground,
        reference_id,
        evidence: None,
    };
    let row = NoticeListing {
        check_id: Some(case.check_id.clone()),
        checked_seller: case.seller_id.clone(),
        state: NoticeState::Requested,
        decided_by: Some(actor.who.to_owned()),
        reviewed: true,
        ..with_deadline(drawn(&notice, &new, 0), options, now)
    };
    insert_listing(transaction, &row)?;
    record(transaction, actor, &notice, NoticeState::Requested.action(), None, &row)
}

/// The brand and the reference that the moderator compared, else those for which the case was opened.
fn subject_of(transaction: &Writing<'_>, case: &Case) -> storage::Result<(Option<String>, Option<String>)> {
    let Some(id) = case.decided_reference.as_ref().filter(|id| Some(*id) != case.reference.as_ref()) else {
        return Ok((case.brand.clone(), case.reference.clone()));
    };
    let brand = transaction
        .prepare_cached("SELECT brand FROM reference WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok((brand, Some(id.clone())))
}

/// Ends a request whose decision no longer holds. A listing that is down comes back only when the marketplace says so.
fn fall(
    transaction: &Writing<'_>,
    actor: NoticeActor<'_>,
    notice: &Notice,
    row: &NoticeListing,
) -> storage::Result<()> {
    match row.state {
        NoticeState::Removed | NoticeState::Countered if !row.restore_asked => {
            let asked = NoticeListing { restore_asked: true, ..row.clone() };
            ask(transaction, actor, notice, (row, &asked))
        }
        state if state.next(notice.source, actor.party).contains(&NoticeState::Withdrawn) => {
            let now = Timestamp::now();
            let gone = NoticeListing { state: NoticeState::Withdrawn, reason: None, updated_at: now, ..row.clone() };
            change(transaction, actor, notice, row, &gone)
        }
        _ => Ok(()),
    }
}
