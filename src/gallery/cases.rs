//! Checks that were not allowed, as cases that people decide: the queue, and who works on what.

use jiff::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, named_params, params};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::audit::{AuditEntry, Deed, append, entries};
use super::store::{Gallery, GalleryError, parsed, unsigned};
use super::{InvalidName, Polarity};

/// Seconds that a claim holds without its holder doing anything.
pub const CLAIM_SECONDS: i64 = 15 * 60;

/// What a person found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The goods are counterfeit.
    Fake,
    /// The photo is what the match says, and the seller may use it; the goods are in order.
    Authorised,
    /// The photo does not show what the reference shows.
    NoMatch,
}

impl Decision {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Fake, Self::Authorised, Self::NoMatch];

    /// As stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fake => "fake",
            Self::Authorised => "authorised",
            Self::NoMatch => "no_match",
        }
    }
}

impl std::str::FromStr for Decision {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|decision| decision.as_str() == text);
        found.ok_or_else(|| InvalidName(format!("decision is {text:?}, expected fake, authorised or no_match")))
    }
}

/// How far a case is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CaseStatus {
    /// Nobody has decided yet.
    Open,
    /// Somebody has.
    Decided,
    /// The seller has appealed; somebody else decides again.
    Appealed,
}

impl CaseStatus {
    /// As stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Decided => "decided",
            Self::Appealed => "appealed",
        }
    }
}

impl std::str::FromStr for CaseStatus {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = [Self::Open, Self::Decided, Self::Appealed].into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| InvalidName(format!("status is {text:?}, expected open, decided or appealed")))
    }
}

/// A check that was not allowed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Case {
    /// The check's id, which is the case's.
    pub check_id: String,
    /// The marketplace's id of the listing.
    pub listing_id: Option<String>,
    /// The marketplace's id of the seller.
    pub seller_id: Option<String>,
    /// When the check was answered.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// The check's verdict.
    pub verdict: String,
    /// The check's action: `review` or `block`.
    pub action: String,
    /// Whose reference was matched, where one was.
    pub brand: Option<String>,
    /// Its polarity.
    pub polarity: Option<Polarity>,
    /// Its id.
    pub reference: Option<String>,
    /// The match's probability; 0.5 where there is none.
    pub probability: f64,
    /// How far it is.
    pub status: CaseStatus,
    /// Who works on it, until `claimed_until`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub claimed_by: Option<String>,
    /// Until when, in seconds since 1970.
    #[serde(skip)]
    #[schema(ignore)]
    pub claimed_until: i64,
    /// What was found.
    pub decision: Option<Decision>,
    /// By whom; `precedent` where the same photo and reference were decided before.
    pub decided_by: Option<String>,
    /// When.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub decided_at: Option<Timestamp>,
    /// Why, in words.
    pub note: Option<String>,
    /// The check whose decision was followed.
    pub precedent: Option<String>,
    /// What the seller says against the decision.
    pub appeal: Option<String>,
    /// When.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub appealed_at: Option<Timestamp>,
    /// Who decided before the appeal.
    pub first_decided_by: Option<String>,
}

impl Case {
    /// Who works on it now.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        self.claimed_by.as_deref().filter(|_| self.claimed_until >= Timestamp::now().as_second())
    }
}

/// What a check knows of the case that it makes.
#[derive(Debug, Clone)]
pub struct NewCase<'a> {
    /// The verdict.
    pub verdict: &'a str,
    /// Brand, polarity, id and probability of the match that tells most.
    pub lead: Option<(&'a str, Polarity, &'a str, f64)>,
    /// An earlier check of the same photo and reference that was decided as fake: this one is, too.
    pub precedent: Option<&'a str>,
}

/// A case in the queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Queued {
    /// The case.
    pub case: Case,
    /// What the queue is ordered by: the match's probability, and up to 0.3 for the share of the seller's decided cases
    /// that were counterfeit, and up to 0.1 for three days of waiting.
    pub risk: f64,
    /// The seller's cases that were decided as fake.
    pub seller_fakes: u64,
    /// All decided cases of the seller.
    pub seller_decided: u64,
}

/// Which cases to list.
#[derive(Debug, Clone, Default)]
pub struct QueueQuery {
    /// Of this brand.
    pub brand: Option<String>,
    /// With this verdict.
    pub verdict: Option<String>,
    /// With this action.
    pub action: Option<String>,
    /// Of this seller.
    pub seller: Option<String>,
    /// In this status; without one, those that wait: open and appealed.
    pub status: Option<CaseStatus>,
    /// Only those that this person may decide now: not claimed by others, and no appeal against their own decision.
    pub free_for: Option<String>,
    /// Not those that this session has given back within the time of a claim.
    pub not_released_in: Option<String>,
    /// How many at most.
    pub limit: usize,
}

/// What became of claiming a case.
#[derive(Debug, Clone, PartialEq)]
pub enum Claimed {
    /// It is theirs, for a while.
    Yours(Box<Case>),
    /// Somebody else works on it.
    Taken(Box<Case>),
    /// They decided it before the appeal: somebody else has to.
    OwnDecision(Box<Case>),
    /// It is decided.
    Decided(Box<Case>),
}

const COLUMNS: &str = "c.check_id, c.listing_id, c.seller_id, c.created_at, c.verdict, c.action, c.brand, c.polarity, c.reference, c.probability, c.status, c.claimed_by, c.claimed_until, c.decision, c.decided_by, c.decided_at, c.note, c.precedent, c.appeal, c.appealed_at, c.first_decided_by";

impl Gallery {
    /// A case by its check.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn case(&self, check_id: &str) -> Result<Option<Case>, GalleryError> {
        self.read(|db| find_case(db, check_id))
    }

    /// A case and all that was done about it, oldest first, as they were at one moment.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn case_with_log(&self, check_id: &str) -> Result<Option<(Case, Vec<AuditEntry>)>, GalleryError> {
        self.read(|db| {
            let snapshot = db.unchecked_transaction()?;
            let Some(case) = find_case(&snapshot, check_id)? else {
                return Ok(None);
            };
            let mut log = entries(&snapshot, Some(check_id), usize::MAX)?;
            log.reverse();
            Ok(Some((case, log)))
        })
    }

    /// Cases by risk, the highest first; decided ones newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn queue(&self, query: &QueueQuery) -> Result<Vec<Queued>, GalleryError> {
        self.read(|db| queue(db, query))
    }

    /// How many cases wait, and since when the oldest does.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn waiting(&self) -> Result<(u64, Option<Timestamp>), GalleryError> {
        self.read(|db| {
            db.prepare_cached("SELECT count(*), min(created_at) FROM moderation_case WHERE status <> 'decided'")?
                .query_row([], |row| Ok((unsigned(row, 0)?, optional(row, 1)?)))
        })
    }

    /// A seller's other cases, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn cases_of_seller(&self, seller: &str, besides: &str, limit: usize) -> Result<Vec<Case>, GalleryError> {
        self.read(|db| {
            let sql = format!(
                "SELECT {COLUMNS} FROM moderation_case c WHERE seller_id = ?1 AND check_id <> ?2 ORDER BY created_at DESC LIMIT ?3"
            );
            db.prepare_cached(&sql)?
                .query_map(params![seller, besides, i64::try_from(limit).unwrap_or(i64::MAX)], case)?
                .collect()
        })
    }

    /// Takes a case, or holds it longer. `None` when there is no such.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn claim(&self, (who, session): (&str, &str), check_id: &str) -> Result<Option<Claimed>, GalleryError> {
        self.write(|transaction| {
            let found = find_case(transaction, check_id)?;
            found.map(|case| claim(transaction, (who, session), case)).transpose()
        })
    }

    /// Takes the case that is most urgent among those that may be taken.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn claim_next(&self, (who, session): (&str, &str), query: &QueueQuery) -> Result<Option<Case>, GalleryError> {
        self.write(|transaction| {
            let query = QueueQuery {
                free_for: Some(who.to_owned()),
                not_released_in: Some(session.to_owned()),
                status: query.status.filter(|status| *status != CaseStatus::Decided),
                limit: 1,
                ..query.clone()
            };
            let Some(next) = queue(transaction, &query)?.pop() else {
                return Ok(None);
            };
            match claim(transaction, (who, session), next.case)? {
                Claimed::Yours(case) => Ok(Some(*case)),
                _ => Ok(None),
            }
        })
    }

    /// Gives a case back. `false` when they do not hold it.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn release(&self, (who, session): (&str, &str), check_id: &str) -> Result<bool, GalleryError> {
        self.write(|transaction| {
            let released = transaction
                .prepare_cached("UPDATE moderation_case SET claimed_by = NULL, claimed_until = 0 WHERE check_id = ?1 AND claimed_by = ?2")?
                .execute([check_id, who])?;
            if released == 1 {
                let deed = Deed { actor: who, session: Some(session), action: "release", subject: check_id };
                append(transaction, deed, &(), &())?;
            }
            Ok(released == 1)
        })
    }
}

fn queue(db: &Connection, query: &QueueQuery) -> rusqlite::Result<Vec<Queued>> {
    let status = match query.status {
        None => "c.status <> 'decided'",
        Some(CaseStatus::Open) => "c.status = 'open'",
        Some(CaseStatus::Decided) => "c.status = 'decided'",
        Some(CaseStatus::Appealed) => "c.status = 'appealed'",
    };
    let order = if query.status == Some(CaseStatus::Decided) { "decided_at DESC" } else { "risk DESC, check_id" };
    let sql = format!(
        "SELECT *, probability + 0.3 * fakes / max(decided, 1.0) + 0.1 * min((:now - unixepoch(created_at)) / 259200.0, 1.0) AS risk FROM (
             SELECT {COLUMNS},
                 (SELECT count(*) FROM moderation_case o WHERE o.seller_id = c.seller_id AND o.decision = 'fake') AS fakes,
                 (SELECT count(*) FROM moderation_case o WHERE o.seller_id = c.seller_id AND o.decision IS NOT NULL) AS decided
             FROM moderation_case c WHERE {status}
             AND (:brand IS NULL OR c.brand = :brand) AND (:verdict IS NULL OR c.verdict = :verdict)
             AND (:action IS NULL OR c.action = :action) AND (:seller IS NULL OR c.seller_id = :seller)
             AND (:me IS NULL OR ((c.claimed_by IS NULL OR c.claimed_by = :me OR c.claimed_until < :now)
                                  AND NOT (c.status = 'appealed' AND c.first_decided_by IS :me)))
             AND (:session IS NULL OR NOT EXISTS (SELECT 1 FROM audit a WHERE a.subject = c.check_id AND a.session = :session
                                                  AND a.action = 'release' AND unixepoch(a.at) > :now - {CLAIM_SECONDS})))
         ORDER BY {order} LIMIT :limit"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(
        named_params! {
            ":now": Timestamp::now().as_second(),
            ":brand": query.brand,
            ":verdict": query.verdict,
            ":action": query.action,
            ":seller": query.seller,
            ":me": query.free_for,
            ":session": query.not_released_in,
            ":limit": i64::try_from(query.limit).unwrap_or(i64::MAX),
        },
        |row| {
            Ok(Queued {
                case: case(row)?,
                seller_fakes: unsigned(row, 21)?,
                seller_decided: unsigned(row, 22)?,
                risk: row.get(23)?,
            })
        },
    )?;
    rows.collect()
}

pub(super) fn claim(
    transaction: &Transaction<'_>,
    (who, session): (&str, &str),
    mut case: Case,
) -> rusqlite::Result<Claimed> {
    if case.status == CaseStatus::Decided {
        return Ok(Claimed::Decided(Box::new(case)));
    }
    if case.status == CaseStatus::Appealed && case.first_decided_by.as_deref() == Some(who) {
        return Ok(Claimed::OwnDecision(Box::new(case)));
    }
    if case.holder().is_some_and(|holder| holder != who) {
        return Ok(Claimed::Taken(Box::new(case)));
    }
    let held_already = case.holder().is_some();
    case.claimed_by = Some(who.to_owned());
    case.claimed_until = Timestamp::now().as_second() + CLAIM_SECONDS;
    transaction
        .prepare_cached("UPDATE moderation_case SET claimed_by = ?1, claimed_until = ?2 WHERE check_id = ?3")?
        .execute(params![who, case.claimed_until, case.check_id])?;
    if !held_already {
        let deed = Deed { actor: who, session: Some(session), action: "claim", subject: &case.check_id };
        append(transaction, deed, &(), &())?;
    }
    Ok(Claimed::Yours(Box::new(case)))
}

/// Makes a case of a check that was not allowed.
pub(super) fn insert_case(
    transaction: &Transaction<'_>,
    check: &super::StoredCheck<'_>,
    new: &NewCase<'_>,
) -> rusqlite::Result<()> {
    // It may have been undone or appealed against since it was looked for.
    let holds = |id: &str| -> rusqlite::Result<bool> {
        let case = find_case(transaction, id)?;
        Ok(case.is_some_and(|case| (case.status, case.decision) == (CaseStatus::Decided, Some(Decision::Fake))))
    };
    let precedent = match new.precedent {
        Some(id) if holds(id)? => Some(id),
        _ => None,
    };
    let (brand, polarity, reference, probability) = match new.lead {
        Some((brand, polarity, reference, probability)) => {
            (Some(brand), Some(polarity.as_str()), Some(reference), probability)
        }
        None => (None, None, None, 0.5),
    };
    transaction
        .prepare_cached(
            "INSERT INTO moderation_case (check_id, listing_id, seller_id, created_at, verdict, action, brand, polarity, reference, probability, status, decision, decided_by, decided_at, precedent)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?
        .execute(params![
            check.id,
            check.listing_id,
            check.seller_id,
            check.created_at.to_string(),
            new.verdict,
            check.action,
            brand,
            polarity,
            reference,
            probability,
            if precedent.is_some() { "decided" } else { "open" },
            precedent.map(|_| "fake"),
            precedent.map(|_| PRECEDENT),
            precedent.map(|_| check.created_at.to_string()),
            precedent,
        ])?;
    if let Some(precedent) = precedent {
        let deed = Deed { actor: PRECEDENT, session: None, action: "decide-as-before", subject: check.id };
        append(transaction, deed, &(), &serde_json::json!({ "decision": "fake", "precedent": precedent }))?;
    }
    Ok(())
}

/// Who decides where a person has decided about the same photo and reference before.
const PRECEDENT: &str = "precedent";

pub(super) fn find_case(db: &Connection, check_id: &str) -> rusqlite::Result<Option<Case>> {
    let sql = format!("SELECT {COLUMNS} FROM moderation_case c WHERE check_id = ?1");
    db.prepare_cached(&sql)?.query_row([check_id], case).optional()
}

/// Writes everything of a case that people change.
pub(super) fn overwrite_case(transaction: &Transaction<'_>, case: &Case) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "UPDATE moderation_case SET status = ?1, claimed_by = ?2, claimed_until = ?3, decision = ?4, decided_by = ?5, decided_at = ?6,
             note = ?7, precedent = ?8, appeal = ?9, appealed_at = ?10, first_decided_by = ?11 WHERE check_id = ?12",
        )?
        .execute(params![
            case.status.as_str(),
            case.claimed_by,
            case.claimed_until,
            case.decision.map(Decision::as_str),
            case.decided_by,
            case.decided_at.map(|when| when.to_string()),
            case.note,
            case.precedent,
            case.appeal,
            case.appealed_at.map(|when| when.to_string()),
            case.first_decided_by,
            case.check_id,
        ])
        .map(drop)
}

fn case(row: &Row<'_>) -> rusqlite::Result<Case> {
    Ok(Case {
        check_id: row.get(0)?,
        listing_id: row.get(1)?,
        seller_id: row.get(2)?,
        created_at: parsed(row, 3)?,
        verdict: row.get(4)?,
        action: row.get(5)?,
        brand: row.get(6)?,
        polarity: optional(row, 7)?,
        reference: row.get(8)?,
        probability: row.get(9)?,
        status: parsed(row, 10)?,
        claimed_by: row.get(11)?,
        claimed_until: row.get(12)?,
        decision: optional(row, 13)?,
        decided_by: row.get(14)?,
        decided_at: optional(row, 15)?,
        note: row.get(16)?,
        precedent: row.get(17)?,
        appeal: row.get(18)?,
        appealed_at: optional(row, 19)?,
        first_decided_by: row.get(20)?,
    })
}

pub(super) fn optional<T: std::str::FromStr>(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<T>>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    match row.get_ref(index)? {
        ValueRef::Null => Ok(None),
        _ => parsed(row, index).map(Some),
    }
}
