//! Events of cases, read from the audit log: an event exists exactly if its act was committed, and their order is that of the
//! commits.

use jiff::Timestamp;
use rusqlite::params;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::cases::{Case, find_case};
use super::store::{Gallery, GalleryError, parsed, signed, unsigned};
use crate::domain::{CaseEvent, CaseStatus};

/// Something that happened to a case.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Event {
    /// Position, unique and ascending, with gaps. A reader that stores it notices events that it has already had.
    pub seq: u64,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: CaseEvent,
    /// Id of the check.
    pub check_id: String,
    /// The case as it is now, which may be later than the event; absent if it was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<Case>,
}

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

impl Gallery {
    /// The events after a position, oldest first, at most `limit`, and their cases in one snapshot. Events whose states
    /// were erased are left out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn case_events(&self, after: u64, limit: usize) -> Result<Vec<Event>, GalleryError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT seq, at, action, subject, before, after FROM audit
                 WHERE seq > ?1 AND action IN ('decide', 'decide-as-before', 'reopen', 'undo') ORDER BY seq",
            )?;
            let mut rows = statement.query(params![signed(after)])?;
            let mut events = Vec::new();
            while events.len() < limit
                && let Some(row) = rows.next()?
            {
                let (action, before, after): (String, String, String) = (row.get(2)?, row.get(4)?, row.get(5)?);
                if let Some(kind) = kind(&action, &before, &after) {
                    let (seq, at, check_id) = (unsigned(row, 0)?, parsed(row, 1)?, row.get::<_, String>(3)?);
                    let case = find_case(db, &check_id)?;
                    events.push(Event { seq, at, kind, check_id, case });
                }
            }
            Ok(events)
        })
    }
}

/// What an act means for its case; `None` for one that leaves the case as it was.
fn kind(action: &str, before: &str, after: &str) -> Option<CaseEvent> {
    let state = |text| serde_json::from_str::<State>(text).ok();
    match action {
        "decide-as-before" => Some(CaseEvent::Decided),
        "reopen" => Some(CaseEvent::Reopened),
        "undo" => state(after)?.restored?.case.map(|_| CaseEvent::Reopened),
        _ => match (state(before)?.case?.status, state(after)?.case?.status) {
            (CaseStatus::Appealed, CaseStatus::Decided) => Some(CaseEvent::AppealDecided),
            (_, CaseStatus::Decided) => Some(CaseEvent::Decided),
            _ => None,
        },
    }
}
