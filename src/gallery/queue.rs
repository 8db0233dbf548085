//! The order of the moderation queue, and claims of cases.

use jiff::Timestamp;

use super::Case;
use super::audit::{AuditEvent, append};
use super::cases::{COLUMNS, case, find_case};
use super::questions::{ALIKE, ASKED_ONCE};
use super::store::{Gallery, GalleryError, optional, unsigned};
use crate::domain::CaseStatus;
use crate::photo::Sha256;
use crate::storage::{self, Connection, ToSql, Writing, params};

/// Seconds that a claim lasts without an act of its holder.
pub(super) const CLAIM_SECONDS: i64 = 15 * 60;

/// Seconds of waiting that add 0.1 to a case's risk.
const PATIENCE_SECONDS: f64 = 3.0 * 24.0 * 3600.0;

/// A case in the queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Queued {
    /// The waiting, decided or appealed case.
    pub case: Case,
    /// The queue's order: the match's probability (times 0.6 for an authentic photo, which says nothing about the
    /// goods), plus up to 0.3 for the share of the seller's decided cases that were counterfeit, plus 0.1 for each
    /// three days of waiting, so that no case waits for ever.
    pub risk: f64,
    /// Number of the seller's cases that were decided as fake.
    pub seller_fakes: u64,
    /// Number of the seller's decided cases.
    pub seller_decided: u64,
    /// Whether the leading match's photo is stored, so that somebody can see it.
    pub photo_stored: bool,
    /// Number of other open cases that ask the same question.
    pub alike: u64,
    /// Number of sellers of all cases that ask it.
    pub sellers: u64,
}

/// Which cases to list. Filters that are `None` accept every case.
#[derive(Debug, Clone, Default)]
pub struct QueueQuery {
    /// Only this brand.
    pub brand: Option<String>,
    /// Only this verdict.
    pub verdict: Option<String>,
    /// Only this action.
    pub action: Option<String>,
    /// Only this seller.
    pub seller: Option<String>,
    /// Only this status; `None` lists waiting cases: open and appealed.
    pub status: Option<CaseStatus>,
    /// Only cases that this person may decide now: not claimed by others, and not an appeal against their own decision.
    pub free_for: Option<String>,
    /// Leaves out cases that this session has released within the last 15 minutes.
    pub not_released_in: Option<String>,
    /// Only the case or the listing with this id; without a status, decided ones too.
    pub id: Option<String>,
    /// The greatest number of cases to return.
    pub limit: usize,
    /// The number of cases to skip first.
    pub offset: usize,
}

/// The result of [`Gallery::claim`].
#[derive(Debug, Clone, PartialEq)]
pub enum Claimed {
    /// The caller has claimed the case, for 15 minutes.
    Yours(Box<Case>),
    /// Somebody else has claimed it.
    Taken(Box<Case>),
    /// The caller decided it before the appeal, so somebody else has to decide now.
    OwnDecision(Box<Case>),
    /// It is already decided.
    Decided(Box<Case>),
}

impl Gallery {
    /// Cases by risk, the highest first; decided ones newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn queue(&self, query: &QueueQuery) -> Result<Vec<Queued>, GalleryError> {
        let mut cases = self.read(|db| queue(db, query))?;
        for queued in &mut cases {
            let photo: Option<Sha256> = queued.case.photo.as_ref().and_then(|sum| sum.parse().ok());
            queued.photo_stored = photo.is_some_and(|sha256| self.has_photo(sha256, true));
        }
        Ok(cases)
    }

    /// The number of cases that the same filters accept.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn queue_length(&self, query: &QueueQuery) -> Result<u64, GalleryError> {
        self.read(|db| {
            let (filters, values) = filters(query);
            let sql = format!("SELECT count(*) FROM moderation_case c WHERE {filters}");
            db.prepare_cached(&sql)?.query_row(&values[..], |row| unsigned(row, 0))
        })
    }

    /// The number of waiting cases, and the time of the oldest one.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn waiting(&self) -> Result<(u64, Option<Timestamp>), GalleryError> {
        self.read(|db| {
            db.prepare_cached("SELECT count(*), min(created_at) FROM moderation_case WHERE status <> 'decided'")?
                .query_row([], |row| Ok((unsigned(row, 0)?, optional(row, 1)?)))
        })
    }

    /// Claims a case, or extends the caller's claim. `None` when there is no such case.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn claim(&self, (who, session): (&str, &str), check_id: &str) -> Result<Option<Claimed>, GalleryError> {
        self.write(|transaction| {
            let found = find_case(transaction, check_id)?;
            found.map(|case| claim(transaction, (who, session), case)).transpose()
        })
    }

    /// Claims the first case in the queue that the caller may decide. `None` when there is none.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn claim_next(&self, (who, session): (&str, &str), query: &QueueQuery) -> Result<Option<Case>, GalleryError> {
        self.write(|transaction| {
            let query = QueueQuery {
                free_for: Some(who.to_owned()),
                not_released_in: Some(session.to_owned()),
                status: query.status.filter(|status| *status != CaseStatus::Decided),
                limit: 1,
                offset: 0,
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

    /// Releases a case. `false` when the caller has not claimed it.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn release(&self, (who, session): (&str, &str), check_id: &str) -> Result<bool, GalleryError> {
        self.write(|transaction| {
            let released = transaction
                .prepare_cached("UPDATE moderation_case SET claimed_by = NULL, claimed_until = 0 WHERE check_id = ?1 AND claimed_by = ?2")?
                .execute([check_id, who])?;
            if released == 1 {
                let event = AuditEvent { actor: who, session: Some(session), action: "release", subject: check_id };
                append(transaction, event, &(), &())?;
            }
            Ok(released == 1)
        })
    }
}

/// The statement contains only the filters in use, so that the engine can use a matching index.
fn filters(query: &QueueQuery) -> (String, Vec<(&'static str, &dyn ToSql)>) {
    let mut conditions = vec![match query.status {
        None if query.id.is_some() => "TRUE",
        None => "c.status <> 'decided'",
        Some(CaseStatus::Open) => "c.status = 'open'",
        Some(CaseStatus::Decided) => "c.status = 'decided'",
        Some(CaseStatus::Appealed) => "c.status = 'appealed'",
    }];
    // The filters may leave out the case that stands for a question.
    if [&query.seller, &query.id, &query.verdict, &query.action].iter().all(|filter| filter.is_none()) {
        conditions.push(ASKED_ONCE);
    }
    let mut values: Vec<(&'static str, &dyn ToSql)> = Vec::new();
    for (name, condition, value) in [
        (":brand", "c.brand = :brand", &query.brand),
        (":verdict", "c.verdict = :verdict", &query.verdict),
        (":action", "c.action = :action", &query.action),
        (":seller", "c.seller_id = :seller", &query.seller),
        (":id", "(c.check_id = :id OR c.listing_id = :id)", &query.id),
    ] {
        if let Some(value) = value {
            conditions.push(condition);
            values.push((name, value));
        }
    }
    (conditions.join(" AND "), values)
}

/// A case's rank changes only with its seller's record: waiting adds the same to every case, so time itself need not be
/// in the rank.
fn rank(which: &str) -> String {
    format!(
        "UPDATE moderation_case AS c SET rank = c.probability * iif(c.polarity = 'authentic', 0.6, 1.0)
             + 0.3 * coalesce((SELECT avg(iif(o.decision = 'fake', 1.0, 0.0)) FROM moderation_case o WHERE o.seller_id = c.seller_id AND o.decision IS NOT NULL), 0)
             - 0.1 * unixepoch(c.created_at) / {PATIENCE_SECONDS:.1} WHERE {which}"
    )
}

/// Ranks a case that was just opened.
pub(super) fn rank_new(transaction: &Writing<'_>, check_id: &str) -> storage::Result<()> {
    transaction.prepare_cached(&rank("c.check_id = ?1"))?.execute([check_id]).map(drop)
}

/// Ranks all waiting cases of a seller, after a decision about one of their cases changed.
pub(super) fn rank_seller(transaction: &Writing<'_>, seller: &str) -> storage::Result<()> {
    // The seller's record is read once, not once for each case.
    let sql =
        rank("c.seller_id = ?1 AND c.status <> 'decided'").replace("o.seller_id = c.seller_id", "o.seller_id = ?1");
    transaction.prepare_cached(&sql)?.execute([seller]).map(drop)
}

pub(super) fn rank_all(transaction: &Writing<'_>) -> storage::Result<()> {
    transaction.execute(&rank("TRUE"), []).map(drop)
}

fn queue(db: &Connection, query: &QueueQuery) -> storage::Result<Vec<Queued>> {
    let (filters, mut values) = filters(query);
    let order = if query.status == Some(CaseStatus::Decided) { "c.decided_at DESC" } else { "c.rank DESC" };
    let sql = format!(
        "SELECT {COLUMNS},
                 (SELECT count(*) FROM moderation_case o WHERE o.seller_id = c.seller_id AND o.decision = 'fake'),
                 (SELECT count(*) FROM moderation_case o WHERE o.seller_id = c.seller_id AND o.decision IS NOT NULL),
                 c.rank + 0.1 * :now / {PATIENCE_SECONDS:.1}, {ALIKE}
             FROM moderation_case c WHERE {filters}
             AND (:me IS NULL OR ((c.claimed_by IS NULL OR c.claimed_by = :me OR c.claimed_until < :now)
                                  AND NOT (c.status = 'appealed' AND c.first_decided_by IS NOT DISTINCT FROM :me)))
             AND (:session IS NULL OR NOT EXISTS (SELECT 1 FROM audit a WHERE a.subject = c.check_id AND a.session = :session
                                                  AND a.action = 'release' AND unixepoch(a.at) > :now - {CLAIM_SECONDS}))
         ORDER BY {order} LIMIT :limit OFFSET :offset"
    );
    let whole = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let (now, limit, offset) = (Timestamp::now().as_second(), whole(query.limit), whole(query.offset));
    let more: [(&str, &dyn ToSql); 5] = [
        (":now", &now),
        (":me", &query.free_for),
        (":session", &query.not_released_in),
        (":limit", &limit),
        (":offset", &offset),
    ];
    values.extend(more);
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(&values[..], |row| {
        Ok(Queued {
            case: case(row)?,
            seller_fakes: unsigned(row, 24)?,
            seller_decided: unsigned(row, 25)?,
            risk: row.get(26)?,
            photo_stored: false,
            alike: unsigned(row, 27)?,
            sellers: unsigned(row, 28)?,
        })
    })?;
    rows.collect()
}

pub(super) fn claim(
    transaction: &Writing<'_>,
    (who, session): (&str, &str),
    mut case: Case,
) -> storage::Result<Claimed> {
    if case.status == CaseStatus::Decided {
        return Ok(Claimed::Decided(Box::new(case)));
    }
    if case.is_own_appeal(who) {
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
        let event = AuditEvent { actor: who, session: Some(session), action: "claim", subject: &case.check_id };
        append(transaction, event, &(), &())?;
    }
    Ok(Claimed::Yours(Box::new(case)))
}
