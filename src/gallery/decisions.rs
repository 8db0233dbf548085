//! What people decide, each decision with all that it changes in one transaction, and its undoing.

use jiff::Timestamp;
use rusqlite::{Connection, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use super::audit::{AuditEntry, Deed, append, undoable};
use super::cases::{claim, find_case, overwrite_case};
use super::outcomes::{find_outcome, withdraw_outcome, write_outcome};
use super::rows::{bury, find_key, overwrite};
use super::store::{Gallery, GalleryError, next_revision, parsed, signed, unsigned};
use super::{Case, CaseStatus, Claimed, Decision, Mark, Outcome, Quarantine, Reference, ReferenceState};
use crate::photo::Sha256;

/// A reference whose matches were overturned in so many cases, and confirmed in fewer, never blocks by itself.
pub const OVERTURNED_ENOUGH: u64 = 3;

/// A photo and a reference that somebody decided about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// Key of the reference.
    pub key: u64,
    /// The check in which.
    pub check_id: String,
    /// Sum of the photo.
    pub photo: Sha256,
    /// Its perceptual hash: photos whose hashes are near are the same group.
    pub perceptual_hash: Sha256,
    /// The seller: an authorisation holds for that one only.
    pub seller_id: Option<String>,
    /// What was found.
    pub decision: Decision,
    /// When: of two that say different things, the later one holds.
    pub decided_at: Timestamp,
}

/// A decision to keep.
#[derive(Debug)]
pub struct NewDecision<'a> {
    /// The check.
    pub check_id: &'a str,
    /// What was found.
    pub decision: Decision,
    /// Why, in words.
    pub note: Option<&'a str>,
    /// Whether the case is decided with it; otherwise only the pairs are.
    pub closes: bool,
    /// What it says of photos and references.
    pub pairs: Vec<Pair>,
    /// What it says for the brand's certificate.
    pub outcome: Option<Outcome>,
}

/// What became of a decision.
#[derive(Debug, Clone, PartialEq)]
pub enum Decided {
    /// It is kept.
    Kept(Box<Case>),
    /// It is not theirs to decide: it is decided, somebody else works on it, or the appeal is against their decision.
    NotTheirs(Box<Case>),
}

/// What became of an undoing.
#[derive(Debug, Clone, PartialEq)]
pub enum Undone {
    /// The newest thing that the session did is undone.
    Done(Box<AuditEntry>),
    /// There is nothing to undo.
    Nothing,
    /// Somebody has changed it since.
    ChangedSince(Box<AuditEntry>),
}

/// What a deed found or left, as far as it changed it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Effects {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    case: Option<Case>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pairs: Vec<Pair>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) references: Vec<Standing>,
    /// Key of a reference that was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) added: Option<u64>,
}

/// What people and hygiene change of a reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Standing {
    key: u64,
    id: String,
    state: ReferenceState,
    quarantine: Option<Quarantine>,
    mark: Option<Mark>,
    publication: Option<u64>,
}

impl Standing {
    pub(super) fn of(reference: &Reference) -> Self {
        Self {
            key: reference.key,
            id: reference.id.clone(),
            state: reference.state,
            quarantine: reference.quarantine.clone(),
            mark: reference.mark,
            publication: reference.publication,
        }
    }
}

impl Gallery {
    /// Keeps a decision, unless somebody else holds the case. `None` when there is no such case.
    ///
    /// # Errors
    /// When the database refuses; nothing is kept then.
    pub fn decide(&self, (who, session): (&str, &str), new: &NewDecision<'_>) -> Result<Option<Decided>, GalleryError> {
        self.write(|transaction| {
            let Some(case) = find_case(transaction, new.check_id)? else {
                return Ok(None);
            };
            let taken = case.holder().is_some_and(|holder| holder != who);
            let own = case.status == CaseStatus::Appealed && case.first_decided_by.as_deref() == Some(who);
            if case.status == CaseStatus::Decided || taken || own {
                return Ok(Some(Decided::NotTheirs(Box::new(case))));
            }
            let (mut before, mut after) = (Effects::default(), Effects::default());
            let mut decided = case.clone();
            if new.closes {
                decided.status = CaseStatus::Decided;
                decided.decision = Some(new.decision);
                decided.decided_by = Some(who.to_owned());
                decided.decided_at = Some(Timestamp::now());
                decided.note = new.note.map(str::to_owned);
                decided.claimed_by = None;
                decided.claimed_until = 0;
                overwrite_case(transaction, &decided)?;
                (before.case, after.case) = (Some(case), Some(decided.clone()));
                // What was said of single photos on the way here stands; a second decision overrules the first.
                if decided.first_decided_by.is_some() {
                    before.pairs = drop_overruled(transaction, new)?;
                }
                if new.decision != Decision::Fake {
                    reopen_followers(transaction, who, new.check_id)?;
                }
            }
            if !new.closes
                && let Claimed::Yours(held) = claim(transaction, (who, session), decided.clone())?
            {
                decided = *held;
            }
            for pair in &new.pairs {
                before.pairs.extend(put_pair(transaction, pair)?);
                after.pairs.push(pair.clone());
                if let Some((was, is)) = lower_standing(transaction, pair)? {
                    before.references.push(was);
                    after.references.push(is);
                }
            }
            if let Some(outcome) = &new.outcome {
                before.outcome = find_outcome(transaction, &outcome.check_id, &outcome.brand, outcome.polarity)?;
                write_outcome(transaction, outcome)?;
                after.outcome = Some(outcome.clone());
            }
            let deed = Deed { actor: who, session: Some(session), action: "decide", subject: new.check_id };
            append(transaction, deed, &before, &after)?;
            Ok(Some(Decided::Kept(Box::new(decided))))
        })
    }

    /// Holds a reference back on a person's word. `None` when there is none that takes part.
    ///
    /// # Errors
    /// When the database refuses.
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
            let quarantine = Quarantine { code: "moderator".to_owned(), detail: detail.to_owned() };
            let held = Reference {
                state: ReferenceState::Quarantined,
                quarantine: Some(quarantine),
                publication: None,
                updated_at: Timestamp::now(),
                ..found.clone()
            };
            let revision = next_revision(transaction)?;
            overwrite(transaction, &held, revision)?;
            let effects = |reference| Effects { references: vec![Standing::of(reference)], ..Effects::default() };
            let deed = Deed { actor: who, session: Some(session), action: "quarantine", subject: &held.id };
            append(transaction, deed, &effects(&found), &effects(&held))?;
            Ok(Some(held))
        })
    }

    /// Undoes the newest thing that a session has done and not undone yet.
    ///
    /// # Errors
    /// When the database refuses; nothing is undone then.
    pub fn undo(&self, (who, session): (&str, &str)) -> Result<Undone, GalleryError> {
        let mut gone = None;
        let undone = self.write(|transaction| {
            let Some(entry) = undoable(transaction, session)? else {
                return Ok(Undone::Nothing);
            };
            let effects = |text: &str| -> rusqlite::Result<Effects> {
                serde_json::from_str(text).map_err(|error| super::store::conversion(0, error))
            };
            let (before, after) = (effects(&entry.before)?, effects(&entry.after)?);
            if !stands(transaction, &after)? {
                return Ok(Undone::ChangedSince(Box::new(entry)));
            }
            gone = revert(transaction, who, &before, &after)?;
            let deed = Deed { actor: who, session: Some(session), action: "undo", subject: &entry.subject };
            append(transaction, deed, &after, &serde_json::json!({ "undoes": entry.seq, "restored": before }))?;
            Ok(Undone::Done(Box::new(entry)))
        })?;
        if let Some(sha256) = gone {
            self.drop_photo(sha256)?;
        }
        Ok(undone)
    }

    /// Takes a seller's appeal against a case that was decided as fake. `None` when there is no such case; `false` when it is not
    /// decided, or was appealed already.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn appeal(
        &self,
        (who, session): (&str, Option<&str>),
        check_id: &str,
        text: &str,
    ) -> Result<Option<(Case, bool)>, GalleryError> {
        self.write(|transaction| {
            let Some(case) = find_case(transaction, check_id)? else {
                return Ok(None);
            };
            if case.status != CaseStatus::Decided || case.decision != Some(Decision::Fake) || case.appeal.is_some() {
                return Ok(Some((case, false)));
            }
            // Where an earlier decision was followed, it is that one's author who must not hear the appeal.
            let author = match &case.precedent {
                Some(precedent) => find_case(transaction, precedent)?.and_then(|case| case.decided_by),
                None => case.decided_by.clone(),
            };
            let appealed = Case {
                status: CaseStatus::Appealed,
                appeal: Some(text.to_owned()),
                appealed_at: Some(Timestamp::now()),
                first_decided_by: author,
                ..case.clone()
            };
            overwrite_case(transaction, &appealed)?;
            let effects = |case: &Case| Effects { case: Some(case.clone()), ..Effects::default() };
            let deed = Deed { actor: who, session, action: "appeal", subject: check_id };
            append(transaction, deed, &effects(&case), &effects(&appealed))?;
            Ok(Some((appealed, true)))
        })
    }

    /// What people have said of photos and these references.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn decided_pairs(&self, keys: impl IntoIterator<Item = u64>) -> Result<Vec<Pair>, GalleryError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!("SELECT {PAIR} FROM decided_pair WHERE key = ?1"))?;
            let mut pairs = Vec::new();
            for key in keys {
                for found in statement.query_map([signed(key)], pair)? {
                    pairs.push(found?);
                }
            }
            Ok(pairs)
        })
    }

    /// In how many cases matches to a reference were confirmed, and in how many overturned.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn reference_record(&self, key: u64) -> Result<(u64, u64), GalleryError> {
        self.read(|db| record(db, key))
    }
}

const PAIR: &str = "key, check_id, photo, perceptual_hash, seller_id, decision, decided_at";

fn pair(row: &Row<'_>) -> rusqlite::Result<Pair> {
    Ok(Pair {
        key: unsigned(row, 0)?,
        check_id: row.get(1)?,
        photo: Sha256(row.get(2)?),
        perceptual_hash: Sha256(row.get(3)?),
        seller_id: row.get(4)?,
        decision: parsed(row, 5)?,
        decided_at: parsed(row, 6)?,
    })
}

/// Writes a pair and returns what stood in its place.
fn put_pair(transaction: &Transaction<'_>, new: &Pair) -> rusqlite::Result<Option<Pair>> {
    let sql = format!("SELECT {PAIR} FROM decided_pair WHERE key = ?1 AND check_id = ?2 AND photo = ?3");
    let place = params![signed(new.key), new.check_id, &new.photo.0[..]];
    let known = transaction.prepare_cached(&sql)?.query_map(place, pair)?.next().transpose()?;
    transaction
        .prepare_cached(&format!("INSERT OR REPLACE INTO decided_pair ({PAIR}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"))?
        .execute(params![
            signed(new.key),
            new.check_id,
            &new.photo.0[..],
            &new.perceptual_hash.0[..],
            new.seller_id,
            new.decision.as_str(),
            new.decided_at.to_string(),
        ])?;
    Ok(known)
}

fn drop_pair(transaction: &Transaction<'_>, gone: &Pair) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM decided_pair WHERE key = ?1 AND check_id = ?2 AND photo = ?3")?
        .execute(params![signed(gone.key), gone.check_id, &gone.photo.0[..]])
        .map(drop)
}

/// Drops what an earlier decision of the same case has said otherwise.
fn drop_overruled(transaction: &Transaction<'_>, new: &NewDecision<'_>) -> rusqlite::Result<Vec<Pair>> {
    let sql = format!("SELECT {PAIR} FROM decided_pair WHERE check_id = ?1 AND decision <> ?2");
    let overruled: Vec<Pair> = transaction
        .prepare_cached(&sql)?
        .query_map([new.check_id, new.decision.as_str()], pair)?
        .collect::<rusqlite::Result<_>>()?;
    overruled.iter().try_for_each(|gone| drop_pair(transaction, gone))?;
    Ok(overruled)
}

/// Cases that were decided as this one was are asked again once it is decided otherwise.
fn reopen_followers(transaction: &Transaction<'_>, who: &str, check_id: &str) -> rusqlite::Result<()> {
    let followers: Vec<String> = transaction
        .prepare_cached("SELECT check_id FROM moderation_case WHERE precedent = ?1 AND status = 'decided'")?
        .query_map([check_id], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for follower in followers {
        let Some(case) = find_case(transaction, &follower)? else { continue };
        let reopened = Case {
            status: CaseStatus::Open,
            decision: None,
            decided_by: None,
            decided_at: None,
            precedent: None,
            ..case.clone()
        };
        overwrite_case(transaction, &reopened)?;
        let effects = |case: &Case| Effects { case: Some(case.clone()), ..Effects::default() };
        let deed = Deed { actor: who, session: None, action: "reopen", subject: &follower };
        append(transaction, deed, &effects(&case), &effects(&reopened))?;
    }
    Ok(())
}

fn record(db: &Connection, key: u64) -> rusqlite::Result<(u64, u64)> {
    db.prepare_cached(
        "SELECT count(DISTINCT CASE WHEN decision = 'fake' THEN check_id END), count(DISTINCT CASE WHEN decision = 'no_match' THEN check_id END)
         FROM decided_pair WHERE key = ?1",
    )?
    .query_row([signed(key)], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?)))
}

/// What matches too many things that it is not proves nothing by itself.
fn lower_standing(transaction: &Transaction<'_>, pair: &Pair) -> rusqlite::Result<Option<(Standing, Standing)>> {
    if pair.decision != Decision::NoMatch {
        return Ok(None);
    }
    let (confirmed, overturned) = record(transaction, pair.key)?;
    let found = find_key(transaction, pair.key)?.filter(|found| found.mark.is_none());
    let Some(found) = found.filter(|_| overturned >= OVERTURNED_ENOUGH && overturned > confirmed) else {
        return Ok(None);
    };
    let lowered =
        Reference { mark: Some(Mark::Generic), publication: None, updated_at: Timestamp::now(), ..found.clone() };
    let revision = next_revision(transaction)?;
    overwrite(transaction, &lowered, revision)?;
    Ok(Some((Standing::of(&found), Standing::of(&lowered))))
}

/// Whether everything is still as a deed has left it.
fn stands(transaction: &Transaction<'_>, after: &Effects) -> rusqlite::Result<bool> {
    // A word about one photo can be taken back only while the case goes on.
    if let (None, Some(pair)) = (&after.case, after.pairs.first())
        && find_case(transaction, &pair.check_id)?.is_none_or(|case| case.status == CaseStatus::Decided)
    {
        return Ok(false);
    }
    if let Some(outcome) = &after.outcome
        && find_outcome(transaction, &outcome.check_id, &outcome.brand, outcome.polarity)?.as_ref() != Some(outcome)
    {
        return Ok(false);
    }
    if let Some(case) = &after.case {
        let same = |now: Case| {
            (now.status, now.decision, now.decided_at, now.appeal.is_some())
                == (case.status, case.decision, case.decided_at, case.appeal.is_some())
        };
        if !find_case(transaction, &case.check_id)?.is_some_and(same) {
            return Ok(false);
        }
    }
    for standing in &after.references {
        if find_key(transaction, standing.key)?.is_none_or(|now| Standing::of(&now) != *standing) {
            return Ok(false);
        }
    }
    match after.added {
        Some(key) => Ok(find_key(transaction, key)?.is_some_and(|found| found.state.is_present())),
        None => Ok(true),
    }
}

/// Puts back what a deed has changed; the sum of a photo that nobody may need any more is returned.
fn revert(
    transaction: &Transaction<'_>,
    who: &str,
    before: &Effects,
    after: &Effects,
) -> rusqlite::Result<Option<Sha256>> {
    for gone in &after.pairs {
        drop_pair(transaction, gone)?;
    }
    for back in &before.pairs {
        put_pair(transaction, back)?;
    }
    if let Some(case) = &before.case {
        // Who takes it back goes on with it.
        let mine = Case {
            claimed_by: Some(who.to_owned()),
            claimed_until: Timestamp::now().as_second() + super::cases::CLAIM_SECONDS,
            ..case.clone()
        };
        overwrite_case(transaction, &mine)?;
        if after.case.as_ref().is_some_and(|case| case.decision == Some(Decision::Fake)) {
            reopen_followers(transaction, who, &case.check_id)?;
        }
    }
    match (&before.outcome, &after.outcome) {
        (Some(outcome), _) => write_outcome(transaction, outcome)?,
        (None, Some(outcome)) => withdraw_outcome(transaction, outcome)?,
        (None, None) => {}
    }
    for standing in &before.references {
        let Some(found) = find_key(transaction, standing.key)? else { continue };
        let restored = Reference {
            state: standing.state,
            quarantine: standing.quarantine.clone(),
            mark: standing.mark,
            publication: standing.publication,
            updated_at: Timestamp::now(),
            ..found
        };
        let revision = next_revision(transaction)?;
        overwrite(transaction, &restored, revision)?;
    }
    let Some(key) = after.added else { return Ok(None) };
    let sha256 = find_key(transaction, key)?.map(|added| added.photo.sha256);
    bury(transaction, key)?;
    Ok(sha256)
}
