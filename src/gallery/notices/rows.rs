//! Takedown notices as rows of the database.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Notice, NoticeListing, NoticeQuery, NoticeSummary};
use crate::domain::{NoticeSource, NoticeState};
use crate::gallery::store::{new_id, optional_second, parsed, second, signed, unsigned};
use crate::storage::{self, Connection, Kind, OptionalExtension, Row, Stored, ToSql, Value, Writing, params};

const COLUMNS: &str = "n.number, n.id, n.brand, n.source, n.created_at, n.filed_by";
const LISTING: &str = "l.notice, l.listing_id, l.place, l.seller_id, l.check_id, l.ground, l.reference_id, l.evidence, l.state, l.reason, l.decided_by, l.reviewed, l.restore_asked, l.deadline_at, l.reminded_at, l.updated_at, l.checked_seller";

/// First character of an erased listing's id, which no id that a caller sends may contain.
pub(super) const ERASED: char = '\u{1}';

pub(super) fn find_notice(db: &Connection, id: &str) -> storage::Result<Option<Notice>> {
    let sql = format!("SELECT {COLUMNS} FROM notice n WHERE n.id = ?1");
    db.prepare_cached(&sql)?.query_row([id], |row| notice(row, 0)).optional()
}

pub(super) fn find_listing(db: &Connection, notice: &str, listing: &str) -> storage::Result<Option<NoticeListing>> {
    let sql = format!("SELECT {LISTING} FROM notice_listing l WHERE l.notice = ?1 AND l.listing_id = ?2");
    let found = db.prepare_cached(&sql)?.query_row([notice, listing], |row| notice_listing(row, 0)).optional()?;
    // A caller may send an erased listing's place.
    Ok(found.filter(|row| row.listing_id.is_some()))
}

pub(super) fn listings_of(db: &Connection, notice: &str) -> storage::Result<Vec<NoticeListing>> {
    let sql = format!("SELECT {LISTING} FROM notice_listing l WHERE l.notice = ?1 ORDER BY l.place");
    db.prepare_cached(&sql)?.query_map([notice], |row| notice_listing(row, 0))?.collect()
}

/// The notices about a check or a listing, oldest first.
pub(super) fn about(
    db: &Connection,
    check_id: &str,
    listing_id: Option<&str>,
) -> storage::Result<Vec<(Notice, NoticeListing)>> {
    let sql = format!(
        "SELECT {COLUMNS}, {LISTING} FROM notice_listing l JOIN notice n ON n.id = l.notice WHERE l.check_id = ?1 OR l.listing_id = ?2 ORDER BY n.number"
    );
    db.prepare_cached(&sql)?
        .query_map(params![check_id, listing_id], |row| Ok((notice(row, 0)?, notice_listing(row, 6)?)))?
        .collect()
}

/// Requests whose deadline is at or before `until` and of which nobody was reminded yet, at most `limit`.
pub(super) fn to_remind_of(
    db: &Connection,
    until: Timestamp,
    limit: u32,
) -> storage::Result<Vec<(Notice, NoticeListing)>> {
    let sql = format!(
        "SELECT {COLUMNS}, {LISTING} FROM notice_listing l JOIN notice n ON n.id = l.notice
         WHERE l.state IN ('requested', 'acknowledged') AND l.reminded_at IS NULL AND l.deadline_at <= ?1 LIMIT ?2"
    );
    db.prepare_cached(&sql)?
        .query_map(params![until.as_second(), limit], |row| Ok((notice(row, 0)?, notice_listing(row, 6)?)))?
        .collect()
}

pub(super) fn list(db: &Connection, query: &NoticeQuery) -> storage::Result<Vec<Notice>> {
    let (conditions, mut values) = filters(query);
    let order = if query.urgent_first { URGENT_FIRST } else { "n.number" };
    let sql = format!(
        "SELECT {COLUMNS} FROM notice n WHERE {conditions} AND n.number > :after ORDER BY {order} LIMIT :limit OFFSET :offset"
    );
    let whole = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let (now, after) = (Timestamp::now().as_second(), signed(query.after));
    let (limit, offset) = (whole(query.limit), whole(query.offset));
    let more: [(&str, &dyn ToSql); 3] = [(":after", &after), (":limit", &limit), (":offset", &offset)];
    values.extend(more);
    if query.urgent_first {
        values.push((":now", &now));
    }
    db.prepare_cached(&sql)?.query_map(&values[..], |row| notice(row, 0))?.collect()
}

const URGENT_FIRST: &str = "
    (SELECT min(CASE WHEN l.state = 'waiting' THEN 0
                     WHEN l.state IN ('requested', 'acknowledged') AND l.deadline_at < :now THEN 1
                     WHEN l.reviewed = 0 AND l.state <> 'withdrawn' THEN 2 ELSE 3 END)
     FROM notice_listing l WHERE l.notice = n.id), n.number DESC";

/// The statement contains only the filters in use, so that the engine can use a matching index.
pub(super) fn filters(query: &NoticeQuery) -> (String, Vec<(&'static str, &dyn ToSql)>) {
    let mut conditions = vec!["TRUE"];
    let mut values: Vec<(&'static str, &dyn ToSql)> = Vec::new();
    if let Some(brand) = &query.brand {
        conditions.push("n.brand = :brand");
        values.push((":brand", brand));
    }
    if let Some(state) = &query.state {
        // Few listings are in a state in which somebody has to act; they are found by it. Most end in one of the others.
        conditions.push(if state.is_open() {
            "n.id IN (SELECT l.notice FROM notice_listing l WHERE l.state = :state)"
        } else {
            "EXISTS (SELECT 1 FROM notice_listing l WHERE l.notice = n.id AND l.state = :state)"
        });
        values.push((":state", state));
    }
    (conditions.join(" AND "), values)
}

impl Stored for NoticeState {
    const KIND: Kind = Kind::Text;

    fn stored(&self) -> Value<'_> {
        Value::Text(self.as_str())
    }
}

pub(super) fn summary(db: &Connection, notice: Notice, now: Timestamp) -> storage::Result<NoticeSummary> {
    let mut summary = NoticeSummary { notice, states: BTreeMap::new(), overdue: 0, unreviewed: 0 };
    let mut statement = db.prepare_cached(
        "SELECT state, count(*), count(*) FILTER (WHERE deadline_at < ?2), count(*) FILTER (WHERE reviewed = 0) FROM notice_listing WHERE notice = ?1 GROUP BY state",
    )?;
    let mut rows = statement.query(params![summary.notice.id, now.as_second()])?;
    while let Some(row) = &rows.next()? {
        let state: NoticeState = parsed(row, 0)?;
        summary.states.insert(state, unsigned(row, 1)?);
        if state.is_due() {
            summary.overdue += unsigned(row, 2)?;
        }
        if !matches!(state, NoticeState::Waiting | NoticeState::Withdrawn) {
            summary.unreviewed += unsigned(row, 3)?;
        }
    }
    Ok(summary)
}

fn notice(row: &Row<'_>, at: usize) -> storage::Result<Notice> {
    Ok(Notice {
        number: unsigned(row, at)?,
        id: row.get(at + 1)?,
        brand: row.get(at + 2)?,
        source: parsed(row, at + 3)?,
        created_at: second(row, at + 4)?,
        filed_by: row.get(at + 5)?,
    })
}

fn notice_listing(row: &Row<'_>, at: usize) -> storage::Result<NoticeListing> {
    Ok(NoticeListing {
        notice: row.get(at)?,
        listing_id: Some(row.get::<String>(at + 1)?).filter(|id| !id.starts_with(ERASED)),
        place: unsigned(row, at + 2)?,
        seller_id: row.get(at + 3)?,
        check_id: row.get(at + 4)?,
        ground: parsed(row, at + 5)?,
        reference_id: row.get(at + 6)?,
        evidence: row.get(at + 7)?,
        state: parsed(row, at + 8)?,
        reason: row.get(at + 9)?,
        decided_by: row.get(at + 10)?,
        reviewed: row.get(at + 11)?,
        restore_asked: row.get(at + 12)?,
        deadline_at: optional_second(row, at + 13)?,
        reminded_at: optional_second(row, at + 14)?,
        updated_at: second(row, at + 15)?,
        checked_seller: row.get(at + 16)?,
    })
}

pub(super) fn insert_notice(
    transaction: &Writing<'_>,
    brand: Option<&str>,
    source: NoticeSource,
    filed_by: &str,
    now: Timestamp,
) -> storage::Result<Notice> {
    let id = new_id("ntc");
    let number = transaction
        .prepare_cached(
            "INSERT INTO notice (id, brand, source, created_at, filed_by) VALUES (?1, ?2, ?3, ?4, ?5) RETURNING number",
        )?
        .query_row(params![id, brand, source.as_str(), now.as_second(), filed_by], |row| unsigned(row, 0))?;
    let (brand, filed_by) = (brand.map(str::to_owned), filed_by.to_owned());
    Ok(Notice { number, id, brand, source, created_at: now, filed_by })
}

pub(super) fn insert_listing(transaction: &Writing<'_>, row: &NoticeListing) -> storage::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO notice_listing (notice, place, listing_id, seller_id, check_id, ground, reference_id, evidence, state, reason, decided_by, reviewed, deadline_at, updated_at, checked_seller)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?
        .execute(params![
            row.notice,
            signed(row.place),
            row.listing_id,
            row.seller_id,
            row.check_id,
            row.ground.as_str(),
            row.reference_id,
            row.evidence,
            row.state,
            row.reason,
            row.decided_by,
            row.reviewed,
            row.deadline_at.map(Timestamp::as_second),
            row.updated_at.as_second(),
            row.checked_seller,
        ])
        .map(drop)
}

/// Writes every column of a listing that may change.
pub(super) fn overwrite(transaction: &Writing<'_>, row: &NoticeListing) -> storage::Result<()> {
    transaction
        .prepare_cached(
            "UPDATE notice_listing SET state = ?3, reason = ?4, decided_by = ?5, reviewed = ?6, restore_asked = ?7, deadline_at = ?8,
                    reminded_at = ?9, updated_at = ?10 WHERE notice = ?1 AND place = ?2",
        )?
        .execute(params![
            row.notice,
            signed(row.place),
            row.state,
            row.reason,
            row.decided_by,
            row.reviewed,
            row.restore_asked,
            row.deadline_at.map(Timestamp::as_second),
            row.reminded_at.map(Timestamp::as_second),
            row.updated_at.as_second(),
        ])
        .map(drop)
}
