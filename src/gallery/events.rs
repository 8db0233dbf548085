//! Events, read from the audit log: an event exists exactly if its act was committed, and their order is that of the
//! commits. Events whose states were erased are left out.

use jiff::Timestamp;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::cases::{Case, find_case};
use super::store::{Gallery, GalleryError, conversion, parsed, signed, unsigned};
use crate::domain::{CaseStatus, EventType};
use crate::storage::{self, Connection, OptionalExtension, Row, params};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Event {
    /// Position, unique and ascending, with gaps. A reader that stores it notices events that it has already had.
    pub seq: u64,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// Id of the check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_id: Option<String>,
    /// The case as it is now, which may be later than the event; absent if it was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<Case>,
    /// Id of the reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference_id: Option<String>,
    /// Id of the notice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice_id: Option<String>,
    /// Id of the proposal to close the seller's account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closure_id: Option<String>,
    /// The marketplace's id of the listing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listing_id: Option<String>,
    /// The marketplace's id of the seller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seller_id: Option<String>,
    /// The brand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
}

impl Event {
    fn new(seq: u64, at: Timestamp, kind: EventType) -> Self {
        let (check_id, case, reference_id, notice_id) = (None, None, None, None);
        let (closure_id, listing_id, seller_id, brand) = (None, None, None, None);
        Self { seq, at, kind, check_id, case, reference_id, notice_id, closure_id, listing_id, seller_id, brand }
    }
}

/// How acts of one action become events. A new event needs a rule and, if its subject is new, a function that reads it.
struct Rule {
    /// The action in the audit log.
    action: &'static str,
    /// The types that it can become.
    types: &'static [EventType],
    /// The type of one act, by the states before and after it; `None` if it is no event.
    told: fn(&str, &str) -> Option<EventType>,
    /// Adds to the event what the act's subject and the state after it name.
    about: fn(&Connection, (&str, &str), Event) -> storage::Result<Event>,
}

use EventType::{
    AppealDecided, CertificateEnded, CheckDecided, CheckReopened, ClosureConfirmed, ClosureProposed, ClosureWithdrawn,
    FoundByLookback, ListingRestored, ReferenceQuarantined, RestoreRequested, TakedownReminded, TakedownRequested,
    TakedownWithdrawn,
};

const RULES: &[Rule] = &[
    Rule { action: "decide", types: &[CheckDecided, AppealDecided], told: decided, about: about_check },
    Rule { action: "decide-as-before", types: &[CheckDecided], told: |_, _| Some(CheckDecided), about: about_check },
    Rule { action: "reopen", types: &[CheckReopened], told: |_, _| Some(CheckReopened), about: about_check },
    Rule { action: "undo", types: &[CheckReopened], told: undone, about: about_check },
    Rule {
        action: "found-by-lookback",
        types: &[FoundByLookback],
        told: |_, _| Some(FoundByLookback),
        about: about_check,
    },
    Rule {
        action: "request-takedown",
        types: &[TakedownRequested],
        told: |_, _| Some(TakedownRequested),
        about: about_notice,
    },
    Rule {
        action: "remind-takedown",
        types: &[TakedownReminded],
        told: |_, _| Some(TakedownReminded),
        about: about_notice,
    },
    Rule { action: "withdraw-notice", types: &[TakedownWithdrawn], told: withdrawn, about: about_notice },
    Rule { action: "reject-notice", types: &[TakedownWithdrawn], told: withdrawn, about: about_notice },
    Rule {
        action: "request-restore",
        types: &[RestoreRequested],
        told: |_, _| Some(RestoreRequested),
        about: about_notice,
    },
    Rule {
        action: "restore-listing",
        types: &[ListingRestored],
        told: |_, _| Some(ListingRestored),
        about: about_notice,
    },
    Rule {
        action: "quarantine",
        types: &[ReferenceQuarantined],
        told: |_, _| Some(ReferenceQuarantined),
        about: about_reference,
    },
    Rule {
        action: "propose-closure",
        types: &[ClosureProposed],
        told: |_, _| Some(ClosureProposed),
        about: about_closure,
    },
    Rule {
        action: "confirm-closure",
        types: &[ClosureConfirmed],
        told: |_, _| Some(ClosureConfirmed),
        about: about_closure,
    },
    Rule {
        action: "dismiss-closure",
        types: &[ClosureWithdrawn],
        told: |_, _| Some(ClosureWithdrawn),
        about: about_closure,
    },
    Rule {
        action: "withdraw-closure",
        types: &[ClosureWithdrawn],
        told: |_, _| Some(ClosureWithdrawn),
        about: about_closure,
    },
    Rule {
        action: "end-certificate",
        types: &[CertificateEnded],
        told: |_, _| Some(CertificateEnded),
        about: |_, (brand, _), event| Ok(Event { brand: Some(brand.to_owned()), ..event }),
    },
];

/// The part of an audit event's state that tells whether it changed a case.
#[derive(Deserialize)]
struct State {
    case: Option<CaseState>,
    /// In an undo: the state that it restored.
    restored: Option<Restored>,
}

#[derive(Deserialize)]
struct CaseState {
    status: CaseStatus,
}

#[derive(Deserialize)]
struct Restored {
    case: Option<IgnoredAny>,
}

fn state(text: &str) -> Option<State> {
    serde_json::from_str(text).ok()
}

fn decided(before: &str, after: &str) -> Option<EventType> {
    match (state(before)?.case?.status, state(after)?.case?.status) {
        (CaseStatus::Appealed, CaseStatus::Decided) => Some(AppealDecided),
        (_, CaseStatus::Decided) => Some(CheckDecided),
        _ => None,
    }
}

fn undone(_: &str, after: &str) -> Option<EventType> {
    state(after)?.restored?.case.map(|_| CheckReopened)
}

/// The part of a notice's recorded state that events name.
#[derive(Default, Deserialize)]
#[serde(default)]
struct NoticeState {
    listing_id: Option<String>,
    seller_id: Option<String>,
    brand: Option<String>,
    state: Option<crate::domain::NoticeState>,
}

/// Only a request that the marketplace has heard of can be withdrawn for it.
fn withdrawn(before: &str, _: &str) -> Option<EventType> {
    let before: Option<NoticeState> = serde_json::from_str(before).ok()?;
    before?.state.filter(|state| *state != crate::domain::NoticeState::Waiting).map(|_| TakedownWithdrawn)
}

fn about_notice(_: &Connection, (id, after): (&str, &str), event: Event) -> storage::Result<Event> {
    let state: NoticeState = serde_json::from_str(after).map_err(|error| conversion(5, error))?;
    let NoticeState { listing_id, seller_id, brand, .. } = state;
    Ok(Event { notice_id: Some(id.to_owned()), listing_id, seller_id, brand, ..event })
}

/// The part of a closure's recorded state that events name.
#[derive(Deserialize)]
struct ClosureState {
    seller_id: Option<String>,
}

fn about_closure(_: &Connection, (id, after): (&str, &str), event: Event) -> storage::Result<Event> {
    let state: ClosureState = serde_json::from_str(after).map_err(|error| conversion(5, error))?;
    Ok(Event { closure_id: Some(id.to_owned()), seller_id: state.seller_id, ..event })
}

fn about_check(db: &Connection, (id, _): (&str, &str), event: Event) -> storage::Result<Event> {
    let listing = db
        .prepare_cached("SELECT listing_id, seller_id FROM listing_check WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (listing_id, seller_id) = listing.unwrap_or_default();
    let case = find_case(db, id)?;
    let brand = case.as_ref().and_then(|case| case.brand.clone());
    Ok(Event { check_id: Some(id.to_owned()), case, listing_id, seller_id, brand, ..event })
}

fn about_reference(db: &Connection, (id, _): (&str, &str), event: Event) -> storage::Result<Event> {
    let brand =
        db.prepare_cached("SELECT brand FROM reference WHERE id = ?1")?.query_row([id], |row| row.get(0)).optional()?;
    Ok(Event { reference_id: Some(id.to_owned()), brand, ..event })
}

/// Which events to read.
#[derive(Debug, Clone, Copy)]
pub struct EventQuery<'a> {
    /// Only events after this position.
    pub after: u64,
    /// Only these types; all if empty.
    pub types: &'a [EventType],
    /// The greatest number of events.
    pub limit: usize,
}

impl Gallery {
    /// The events after a position, oldest first, with their cases, and the position after them: that of the last one,
    /// or, if no more follow, of the newest act. All in one snapshot.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn events(&self, query: &EventQuery<'_>) -> Result<(Vec<Event>, u64), GalleryError> {
        self.read(|db| {
            let snapshot = db.snapshot()?;
            let found = events(&snapshot, query)?;
            let last = found.last().map_or(query.after, |event| event.seq);
            let newest = "SELECT coalesce(max(seq), 0) FROM audit";
            let is_last = found.len() < query.limit;
            let next = if is_last { last.max(snapshot.query_row(newest, [], |row| unsigned(row, 0))?) } else { last };
            Ok((found, next))
        })
    }

    /// The newest events, newest first, at most `limit`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn newest_events(&self, limit: usize) -> Result<Vec<Event>, GalleryError> {
        self.read(|db| first(db, (&format!("{} ORDER BY seq DESC", select(&[])), 0), &[], limit))
    }
}

pub(super) fn events(db: &Connection, query: &EventQuery<'_>) -> storage::Result<Vec<Event>> {
    let sql = format!("{} ORDER BY seq", select(query.types));
    first(db, (&sql, signed(query.after)), query.types, query.limit)
}

/// The event at a position; `None` if there is none, or it was erased.
pub(super) fn event_at(db: &Connection, seq: u64) -> storage::Result<Option<Event>> {
    let mut statement = db.prepare_cached(&format!("{} AND seq = ?2", select(&[])))?;
    let mut rows = statement.query(params![signed(seq) - 1, signed(seq)])?;
    rows.next()?.map_or(Ok(None), |row| event(db, &row))
}

/// The statement that finds acts after the position `?1` that can become events of the types; of all, if empty.
fn select(types: &[EventType]) -> String {
    let fits = |rule: &&Rule| types.is_empty() || rule.types.iter().any(|kind| types.contains(kind));
    let actions: Vec<String> = RULES.iter().filter(fits).map(|rule| format!("'{}'", rule.action)).collect();
    format!(
        "SELECT seq, at, action, subject, before, after FROM audit
         WHERE seq > ?1 AND action IN ({}) AND NOT (before = '' AND after = '')",
        actions.join(", ")
    )
}

/// The first events that a statement finds after a position.
fn first(db: &Connection, (sql, after): (&str, i64), types: &[EventType], limit: usize) -> storage::Result<Vec<Event>> {
    let mut found = Vec::new();
    if limit == 0 {
        return Ok(found);
    }
    db.visit_until(sql, [after], |row| {
        found.extend(event(db, row)?.filter(|event| types.is_empty() || types.contains(&event.kind)));
        Ok(found.len() >= limit)
    })?;
    Ok(found)
}

/// The event of an act, if it is one.
fn event(db: &Connection, row: &Row<'_>) -> storage::Result<Option<Event>> {
    let action = row.get_ref(2)?.as_str()?;
    let Some(rule) = RULES.iter().find(|rule| rule.action == action) else { return Ok(None) };
    let Some(kind) = (rule.told)(row.get_ref(4)?.as_str()?, row.get_ref(5)?.as_str()?) else { return Ok(None) };
    let event = Event::new(unsigned(row, 0)?, parsed(row, 1)?, kind);
    (rule.about)(db, (row.get_ref(3)?.as_str()?, row.get_ref(5)?.as_str()?), event).map(Some)
}
