//! Moderation cases: checks that were not allowed, and what moderators decided.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::audit::{AuditEntry, AuditEvent, append, entries};
use super::questions::question;
use super::queue::{rank_new, rank_seller};
use super::sellers::look_at_seller;
use super::store::{Gallery, GalleryError, optional, parsed, signed};
use crate::domain::{CaseStatus, Decision, Polarity, StrikeOptions};
use crate::photo::Sha256;
use crate::storage::{self, Connection, OptionalExtension, Row, Writing, params};

/// A check that was not allowed, for moderators to decide.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Case {
    /// Id of the check, which is also the case's.
    pub check_id: String,
    /// The marketplace's id of the listing.
    pub listing_id: Option<String>,
    /// The marketplace's id of the seller.
    pub seller_id: Option<String>,
    /// When the case was opened: when the check was answered, or when a lookback found it later.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// The verdict: the check's, or that of the lookback that opened the case.
    pub verdict: String,
    /// The action that the verdict asks for: `review` or `block`.
    pub action: String,
    /// Brand of the leading match; absent if nothing matched.
    pub brand: Option<String>,
    /// Polarity of the leading match's reference.
    pub polarity: Option<Polarity>,
    /// Id of the leading match's reference.
    pub reference: Option<String>,
    /// Probability of the leading match; 0.5 if nothing matched.
    pub probability: f64,
    /// SHA-256 of the leading match's photo, in lower-case hex.
    pub photo: Option<String>,
    /// Whether the case is open, decided or appealed.
    pub status: CaseStatus,
    /// Who has claimed the case, until `claimed_until`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub claimed_by: Option<String>,
    /// End of the claim, in seconds since 1970.
    #[serde(skip)]
    #[schema(ignore)]
    pub claimed_until: i64,
    /// What was decided; absent while the case is open.
    pub decision: Option<Decision>,
    /// Who decided; `precedent` where the same photo and reference were decided before.
    pub decided_by: Option<String>,
    /// When the case was decided.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub decided_at: Option<Timestamp>,
    /// The moderator's reason, free text.
    pub note: Option<String>,
    /// The photo that the moderator compared, counted from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_photo: Option<u64>,
    /// Id of the reference that the moderator compared it with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_reference: Option<String>,
    /// Id of the check whose decision was followed.
    pub precedent: Option<String>,
    /// The seller's objection to the decision, free text.
    pub appeal: Option<String>,
    /// When the seller appealed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub appealed_at: Option<Timestamp>,
    /// Who decided before the appeal, or made the decision that was followed.
    pub first_decided_by: Option<String>,
}

impl Case {
    /// Who has claimed the case; `None` once the claim has ended.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        self.claimed_by.as_deref().filter(|_| self.claimed_until >= Timestamp::now().as_second())
    }

    /// Whether the appeal is against this person's own decision, so that somebody else has to decide.
    #[must_use]
    pub fn is_own_appeal(&self, who: &str) -> bool {
        self.status == CaseStatus::Appealed && self.first_decided_by.as_deref() == Some(who)
    }

    /// The case without its decision.
    pub(super) fn reopened(&self) -> Self {
        Self {
            status: CaseStatus::Open,
            decision: None,
            decided_by: None,
            decided_at: None,
            precedent: None,
            first_decided_by: None,
            decided_photo: None,
            decided_reference: None,
            ..self.clone()
        }
    }
}

/// What a check knows of the case that it opens.
#[derive(Debug, Clone)]
pub struct NewCase<'a> {
    /// The check's verdict.
    pub verdict: &'a str,
    /// The leading match.
    pub lead: Option<Lead<'a>>,
    /// SHA-256 of the leading match's photo.
    pub photo: Option<Sha256>,
    /// An earlier check of the same photo and reference that was decided as fake, so that this one is, too.
    pub precedent: Option<&'a str>,
}

/// The match that decides a check's verdict.
#[derive(Debug, Clone, Copy)]
pub struct Lead<'a> {
    /// The brand.
    pub brand: &'a str,
    /// Authentic or fake.
    pub polarity: Polarity,
    /// Id of the reference; `None` where the verdict rests on a signal of another member.
    pub reference: Option<&'a str>,
    /// Probability of a copy.
    pub probability: f64,
}

pub(super) const COLUMNS: &str = "c.check_id, c.listing_id, c.seller_id, c.created_at, c.verdict, c.action, c.brand, c.polarity, c.reference, c.probability, c.photo, c.status, c.claimed_by, c.claimed_until, c.decision, c.decided_by, c.decided_at, c.note, c.precedent, c.appeal, c.appealed_at, c.first_decided_by, c.decided_photo, c.decided_reference";

impl Gallery {
    /// Finds a case by its check's id.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn case(&self, check_id: &str) -> Result<Option<Case>, GalleryError> {
        self.read(|db| find_case(db, check_id))
    }

    /// A case and its audit events, oldest first, in one snapshot.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn case_with_log(&self, check_id: &str) -> Result<Option<(Case, Vec<AuditEntry>)>, GalleryError> {
        self.read(|db| {
            let snapshot = db.snapshot()?;
            let Some(case) = find_case(&snapshot, check_id)? else {
                return Ok(None);
            };
            let mut log = entries(&snapshot, Some(check_id), usize::MAX)?;
            log.reverse();
            Ok(Some((case, log)))
        })
    }

    /// A seller's other cases, newest first, at most `limit`. `besides`: the check to leave out.
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
}

/// What a case takes from its check.
pub(super) struct CheckOfCase<'a> {
    pub(super) id: &'a str,
    pub(super) listing_id: Option<&'a str>,
    pub(super) seller_id: Option<&'a str>,
    /// The action that the case asks about.
    pub(super) action: &'a str,
    /// When the check was answered, or a lookback found it later.
    pub(super) opened_at: Timestamp,
}

/// Opens a case.
pub(super) fn insert_case(
    transaction: &Writing<'_>,
    strikes: &StrikeOptions,
    check: &CheckOfCase<'_>,
    new: &NewCase<'_>,
) -> storage::Result<()> {
    // The precedent may have been undone or appealed against since it was found.
    let stands = |case: &Case| (case.status, case.decision) == (CaseStatus::Decided, Some(Decision::Fake));
    let precedent = match new.precedent {
        Some(id) => find_case(transaction, id)?.filter(stands),
        None => None,
    };
    let (brand, polarity, reference, probability) = match new.lead {
        Some(Lead { brand, polarity, reference, probability }) => {
            (Some(brand), Some(polarity.as_str()), reference, probability)
        }
        None => (None, None, None, 0.5),
    };
    transaction
        .prepare_cached(
            "INSERT INTO moderation_case (check_id, listing_id, seller_id, created_at, verdict, action, brand, polarity, reference, probability, photo, status, decision, decided_by, decided_at, precedent, first_decided_by, question)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
        )?
        .execute(params![
            check.id,
            check.listing_id,
            check.seller_id,
            check.opened_at.to_string(),
            new.verdict,
            check.action,
            brand,
            polarity,
            reference,
            probability,
            new.photo.map(|photo| photo.to_string()),
            if precedent.is_some() { "decided" } else { "open" },
            precedent.as_ref().map(|_| "fake"),
            precedent.as_ref().map(|_| PRECEDENT),
            precedent.as_ref().map(|_| check.opened_at.to_string()),
            precedent.as_ref().map(|case| &case.check_id),
            precedent.as_ref().and_then(|case| case.decided_by.as_ref()),
            question(new.photo, reference),
        ])?;
    rank_new(transaction, check.id)?;
    if let Some(precedent) = precedent.map(|case| case.check_id) {
        check.seller_id.map_or(Ok(()), |seller| rank_seller(transaction, seller))?;
        let event = AuditEvent { actor: PRECEDENT, session: None, action: "decide-as-before", subject: check.id };
        append(transaction, event, &(), &serde_json::json!({ "decision": "fake", "precedent": precedent }))?;
        look_at_seller(transaction, strikes, check.seller_id)?;
    }
    Ok(())
}

/// The actor of decisions that follow an earlier one about the same photo and reference.
pub(super) const PRECEDENT: &str = "precedent";

pub(super) fn find_case(db: &Connection, check_id: &str) -> storage::Result<Option<Case>> {
    let sql = format!("SELECT {COLUMNS} FROM moderation_case c WHERE check_id = ?1");
    db.prepare_cached(&sql)?.query_row([check_id], case).optional()
}

/// Writes every column of a case that people change, and ranks the seller's waiting cases again.
pub(super) fn overwrite_case(transaction: &Writing<'_>, case: &Case) -> storage::Result<()> {
    overwrite_unranked(transaction, case)?;
    case.seller_id.as_deref().map_or(Ok(()), |seller| rank_seller(transaction, seller))
}

/// As [`overwrite_case`], where the caller ranks the seller's cases after many of them.
pub(super) fn overwrite_unranked(transaction: &Writing<'_>, case: &Case) -> storage::Result<()> {
    transaction
        .prepare_cached(
            "UPDATE moderation_case SET status = ?1, claimed_by = ?2, claimed_until = ?3, decision = ?4, decided_by = ?5, decided_at = ?6,
             note = ?7, precedent = ?8, appeal = ?9, appealed_at = ?10, first_decided_by = ?11, decided_photo = ?12, decided_reference = ?13
             WHERE check_id = ?14",
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
            case.decided_photo.map(signed),
            case.decided_reference,
            case.check_id,
        ])
        .map(drop)
}

pub(super) fn case(row: &Row<'_>) -> storage::Result<Case> {
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
        photo: row.get(10)?,
        status: parsed(row, 11)?,
        claimed_by: row.get(12)?,
        claimed_until: row.get(13)?,
        decision: optional(row, 14)?,
        decided_by: row.get(15)?,
        decided_at: optional(row, 16)?,
        note: row.get(17)?,
        precedent: row.get(18)?,
        appeal: row.get(19)?,
        appealed_at: optional(row, 20)?,
        first_decided_by: row.get(21)?,
        decided_photo: row.get::<Option<i64>>(22)?.map(i64::unsigned_abs),
        decided_reference: row.get(23)?,
    })
}
