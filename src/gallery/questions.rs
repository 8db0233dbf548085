//! Waiting cases that ask the same question: the same photo and the same reference, or one reference in many photos that
//! a lookback found. They stand as one row in the queue, and one decision can decide them all.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::audit::{AuditEvent, append};
use super::cases::{COLUMNS, Case, PRECEDENT, case, find_case, overwrite_unranked};
use super::effects::Effects;
use super::notices::follow_case;
use super::sellers::cases_changed;
use super::store::{Gallery, GalleryError, signed, unsigned};
use crate::domain::{CaseStatus, TakedownOptions};
use crate::photo::Sha256;
use crate::storage::{self, ToSql, Writing, params};

/// A lookback that finds a reference in more listings than this asks one question about all of them.
const MANY: u64 = 20;
/// How the key of a question about many photos begins.
const MANY_PHOTOS: &str = "lookback:";

/// Leaves out open cases whose question is asked by another one, with a higher rank.
pub(super) const ASKED_ONCE: &str = "(c.status <> 'open' OR c.question IS NULL OR NOT EXISTS (
     SELECT 1 FROM moderation_case o WHERE o.question = c.question AND o.status = 'open'
     AND (o.rank, o.check_id) > (c.rank, c.check_id)))";

/// Numbers of the other open cases with the same question, and of the sellers of all of them.
pub(super) const ALIKE: &str = "(SELECT count(*) FROM moderation_case o WHERE o.question = c.question AND o.status = 'open' AND o.check_id <> c.check_id),
     (SELECT count(DISTINCT o.seller_id) FROM moderation_case o WHERE o.question = c.question AND o.status = 'open')";

/// The open cases that ask the same question as another one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SameQuestion {
    /// The key of the question; `None` if the case stands by itself.
    pub key: Option<String>,
    /// The other cases, or the first of them, the riskiest first.
    pub cases: Vec<Case>,
    /// The number of all other cases.
    pub count: u64,
}

impl SameQuestion {
    /// Whether the question is about one reference in many photos, not about one photo.
    #[must_use]
    pub fn is_about_many_photos(&self) -> bool {
        self.key.as_ref().is_some_and(|key| key.starts_with(MANY_PHOTOS))
    }
}

impl Gallery {
    /// The other open cases with the same question, at most `limit` of them.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn same_question(&self, check_id: &str, limit: usize) -> Result<SameQuestion, GalleryError> {
        self.read(|db| {
            let key: Option<String> = db
                .prepare_cached("SELECT question FROM moderation_case WHERE check_id = ?1")?
                .query_row([check_id], |row| row.get(0))?;
            let sql = format!(
                "SELECT {COLUMNS} FROM moderation_case c WHERE c.status = 'open' AND c.check_id <> ?1 AND c.question = ?2
                 ORDER BY c.rank DESC LIMIT ?3"
            );
            let cases = db
                .prepare_cached(&sql)?
                .query_map(params![check_id, key, i64::try_from(limit).unwrap_or(i64::MAX)], case)?
                .collect::<storage::Result<_>>()?;
            let count = db
                .prepare_cached(
                    "SELECT count(*) FROM moderation_case WHERE status = 'open' AND check_id <> ?1 AND question = ?2",
                )?
                .query_row(params![check_id, key], |row| unsigned(row, 0))?;
            Ok(SameQuestion { key, cases, count })
        })
    }

    /// Takes a case out of its question, so that it is decided by itself. `false` if it is not open, or has none.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn ask_apart(&self, (who, session): (&str, &str), check_id: &str) -> Result<bool, GalleryError> {
        self.write(|transaction| {
            let apart = transaction.execute(
                "UPDATE moderation_case SET question = NULL WHERE check_id = ?1 AND status = 'open' AND question IS NOT NULL",
                [check_id],
            )?;
            if apart == 1 {
                let event = AuditEvent { actor: who, session: Some(session), action: "ask-apart", subject: check_id };
                append(transaction, event, &(), &())?;
            }
            Ok(apart == 1)
        })
    }
}

/// The key of the question of a case about one photo and one reference.
pub(super) fn question(photo: Option<Sha256>, reference: Option<&str>) -> Option<String> {
    Some(format!("{}:{}", photo?, reference?))
}

/// If a lookback has found a reference in many listings, asks one question about all that are open.
pub(super) fn ask_together(
    transaction: &Writing<'_>,
    (key, check_id): (u64, &str),
    reference: &str,
) -> storage::Result<()> {
    let found: u64 = transaction
        .prepare_cached("SELECT coalesce(max(found), 0) FROM lookback WHERE key = ?1")?
        .query_row([signed(key)], |row| unsigned(row, 0))?;
    // The earlier ones once; later ones join them.
    let (which, id): (&str, &dyn ToSql) = match found {
        0..=MANY => return Ok(()),
        found if found == MANY + 1 => ("check_id IN (SELECT check_id FROM finding WHERE key = ?3)", &signed(key)),
        _ => ("check_id = ?3", &check_id),
    };
    let sql = format!(
        "UPDATE moderation_case SET question = ?1 WHERE status = 'open' AND reference = ?2 AND {which}
         AND question IS NOT NULL AND question <> ?1"
    );
    let question = format!("{MANY_PHOTOS}{reference}");
    let values: [&dyn ToSql; 3] = [&question, &reference, id];
    transaction.prepare_cached(&sql)?.execute(&values[..]).map(drop)
}

/// Makes the same decision in open cases, unless somebody else has claimed them meanwhile.
pub(super) fn follow(
    transaction: &Writing<'_>,
    options: &TakedownOptions,
    lead: &Case,
    followers: &[String],
) -> storage::Result<()> {
    let mut sellers = BTreeSet::new();
    for id in followers {
        let Some(case) = find_case(transaction, id)?.filter(|case| is_free(case, lead)) else { continue };
        let decided = Case {
            status: CaseStatus::Decided,
            decision: lead.decision,
            decided_by: Some(PRECEDENT.to_owned()),
            decided_at: Some(Timestamp::now()),
            precedent: Some(lead.check_id.clone()),
            first_decided_by: lead.decided_by.clone(),
            ..case.clone()
        };
        overwrite_unranked(transaction, &decided)?;
        sellers.extend(decided.seller_id.clone());
        let event = AuditEvent { actor: PRECEDENT, session: None, action: "decide-as-before", subject: id };
        let after = serde_json::json!({ "decision": lead.decision, "precedent": lead.check_id });
        append(transaction, event, &Effects::of_case(&case), &after)?;
        follow_case(transaction, options, (PRECEDENT, None), &decided)?;
    }
    cases_changed(transaction, &options.strikes, &sellers)
}

fn is_free(case: &Case, lead: &Case) -> bool {
    case.status == CaseStatus::Open && case.holder().is_none_or(|holder| lead.decided_by.as_deref() == Some(holder))
}
