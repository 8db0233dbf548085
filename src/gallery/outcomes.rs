use super::audit::{AuditEvent, append};
use super::certificates::Certifier;
use super::effects::Effects;
use super::store::{Gallery, GalleryError, next_revision, parsed, signed};
use crate::domain::{BrandId, Outcome};
use crate::photo::Sha256;
use crate::storage::{self, Connection, OptionalExtension, Row, Writing, params};

impl Gallery {
    /// Stores an outcome, in place of an earlier one of the same check, brand and polarity, and logs both, and whether
    /// it ended the brand's certificate. `by`: id of the API key.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn put_outcome(&self, by: &str, outcome: &Outcome, certifier: &Certifier<'_>) -> Result<(), GalleryError> {
        self.write(|transaction| {
            let certified = certifier.before(transaction, &outcome.check_id, std::slice::from_ref(outcome))?;
            let before = Effects::of_outcomes(find_outcome(transaction, outcome)?.into_iter().collect());
            write_outcome(transaction, outcome)?;
            let after = Effects::of_outcomes(vec![outcome.clone()]);
            let event = AuditEvent { actor: by, session: None, action: "put-outcome", subject: &outcome.check_id };
            append(transaction, event, &before, &after)?;
            certifier.log_ended(transaction, (by, None), &certified)
        })
    }

    /// A brand's outcomes under one scoring artefact, oldest check first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn outcomes(&self, brand: &BrandId, scoring: &str) -> Result<Vec<Outcome>, GalleryError> {
        self.read(|db| outcomes_of(db, brand, scoring))
    }

    /// Brands whose outcomes changed after the revision `since`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn brands_with_outcomes_since(&self, since: u64) -> Result<Vec<BrandId>, GalleryError> {
        self.read(|db| {
            let mut statement = db.prepare_cached("SELECT DISTINCT brand FROM outcome WHERE revision > ?1")?;
            statement.query_map([signed(since)], |row| parsed(row, 0))?.collect()
        })
    }
}

const COLUMNS: &str = "check_id, brand, polarity, photo, confirmed, score, scoring, decided_by, note, decided_at";

pub(super) fn outcomes_of(db: &Connection, brand: &BrandId, scoring: &str) -> storage::Result<Vec<Outcome>> {
    let sql =
        format!("SELECT {COLUMNS} FROM outcome WHERE brand = ?1 AND scoring = ?2 AND withdrawn = 0 ORDER BY check_id");
    db.prepare_cached(&sql)?.query_map([brand.as_str(), scoring], outcome)?.collect()
}

pub(super) fn write_outcome(transaction: &Writing<'_>, outcome: &Outcome) -> storage::Result<()> {
    let revision = next_revision(transaction)?;
    transaction
        .prepare_cached(&format!(
            "INSERT INTO outcome ({COLUMNS}, revision) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
             ON CONFLICT (brand, check_id, polarity) DO UPDATE SET photo = excluded.photo, confirmed = excluded.confirmed, score = excluded.score,
             scoring = excluded.scoring, decided_by = excluded.decided_by, note = excluded.note, decided_at = excluded.decided_at,
             revision = excluded.revision, withdrawn = 0"
        ))?
        .execute(params![
            outcome.check_id,
            outcome.brand.as_str(),
            outcome.polarity.as_str(),
            &outcome.photo.0[..],
            outcome.confirmed,
            outcome.score,
            outcome.scoring,
            outcome.decided_by,
            outcome.note,
            outcome.decided_at.to_string(),
            signed(revision),
        ])
        .map(drop)
}

/// The stored outcome of the same check, brand and polarity.
pub(super) fn find_outcome(db: &Connection, of: &Outcome) -> storage::Result<Option<Outcome>> {
    let sql =
        format!("SELECT {COLUMNS} FROM outcome WHERE check_id = ?1 AND brand = ?2 AND polarity = ?3 AND withdrawn = 0");
    db.prepare_cached(&sql)?
        .query_row([of.check_id.as_str(), of.brand.as_str(), of.polarity.as_str()], outcome)
        .optional()
}

/// Withdraws one person's outcomes of a check, and returns them.
pub(super) fn withdraw_said(transaction: &Writing<'_>, check_id: &str, who: &str) -> storage::Result<Vec<Outcome>> {
    let sql = format!("SELECT {COLUMNS} FROM outcome WHERE check_id = ?1 AND decided_by = ?2 AND withdrawn = 0");
    let said: Vec<Outcome> =
        transaction.prepare_cached(&sql)?.query_map([check_id, who], outcome)?.collect::<storage::Result<_>>()?;
    said.iter().try_for_each(|gone| withdraw_outcome(transaction, gone))?;
    Ok(said)
}

/// Withdraws an outcome. The row stays, so that readers see the change.
pub(super) fn withdraw_outcome(transaction: &Writing<'_>, gone: &Outcome) -> storage::Result<()> {
    let revision = next_revision(transaction)?;
    transaction
        .prepare_cached(
            "UPDATE outcome SET withdrawn = 1, revision = ?1 WHERE check_id = ?2 AND brand = ?3 AND polarity = ?4",
        )?
        .execute(params![signed(revision), gone.check_id, gone.brand.as_str(), gone.polarity.as_str()])
        .map(drop)
}

fn outcome(row: &Row<'_>) -> storage::Result<Outcome> {
    Ok(Outcome {
        check_id: row.get(0)?,
        brand: parsed(row, 1)?,
        polarity: parsed(row, 2)?,
        photo: Sha256(row.get(3)?),
        confirmed: row.get(4)?,
        score: row.get(5)?,
        scoring: row.get(6)?,
        decided_by: row.get(7)?,
        note: row.get(8)?,
        decided_at: parsed(row, 9)?,
    })
}
