//! Reading, finding and writing references as database rows.

use jiff::Timestamp;

use super::store::{conversion, next_revision, parsed, signed, unsigned};
use crate::domain::{BrandId, Claim, Details, Kind, Mark, PhotoRecord, Quarantine, Reference};
use crate::photo::{Doubt, Sha256};
use crate::storage::{self, Connection, OptionalExtension, Row, Value, Writing, params};

/// SQL list of the states in which a brand has a reference now; must agree with [`ReferenceState::is_present`].
pub(super) const PRESENT: &str = "('active', 'disabled', 'quarantined')";

/// SQL of [`Kind::of`] for a row.
pub(super) const KIND: &str = "coalesce(kind, iif(polarity = 'authentic', kind_found, 'photo'))";

/// SQL for a reference that is an active photo and leads to verdicts without reserve.
pub(super) const PLAIN: &str =
    "state = 'active' AND mark IS NULL AND coalesce(kind, iif(polarity = 'authentic', kind_found, 'photo')) = 'photo'";

pub(super) const COLUMNS: &str = "key, id, brand, polarity, product, source, notes, rights_basis, state, quarantine_code, quarantine_detail, mark, near_group, sha256, perceptual_hash, quality, width, height, media_type, created_at, updated_at, run, publication, doubts, pixels, kind, kind_found, quarantine_private";

pub(super) fn reference(row: &Row<'_>) -> storage::Result<Reference> {
    let code: Option<String> = row.get(9)?;
    let detail: Option<String> = row.get(10)?;
    let private = row.get(27)?;
    Ok(Reference {
        key: unsigned(row, 0)?,
        id: row.get(1)?,
        claim: Claim {
            brand: parsed(row, 2)?,
            polarity: parsed(row, 3)?,
            details: Details {
                product: row.get(4)?,
                source: row.get(5)?,
                notes: row.get(6)?,
                rights_basis: row.get(7)?,
                kind: kind(row, 25)?,
            },
        },
        state: parsed(row, 8)?,
        quarantine: code.map(|code| Quarantine { code, detail: detail.unwrap_or_default(), private }),
        mark: mark(row, 11)?,
        group: row.get::<Option<i64>>(12)?.map(i64::unsigned_abs),
        photo: PhotoRecord {
            sha256: Sha256(row.get(13)?),
            perceptual_hash: row.get(14)?,
            quality: row.get(15)?,
            width: row.get(16)?,
            height: row.get(17)?,
            media_type: row.get(18)?,
            doubts: doubts(row, 23)?,
            pixels: sums(row, 24)?,
            kind: parsed(row, 26)?,
        },
        created_at: parsed(row, 19)?,
        updated_at: parsed(row, 20)?,
        run: row.get(21)?,
        publication: row.get::<Option<i64>>(22)?.map(i64::unsigned_abs),
    })
}

pub(super) fn mark(row: &Row<'_>, index: usize) -> storage::Result<Option<Mark>> {
    match row.get_ref(index)? {
        Value::Null => Ok(None),
        _ => parsed(row, index).map(Some),
    }
}

/// The kind that the brand gave, if any.
pub(super) fn kind(row: &Row<'_>, index: usize) -> storage::Result<Option<Kind>> {
    match row.get_ref(index)? {
        Value::Null => Ok(None),
        _ => parsed(row, index).map(Some),
    }
}

/// Codes of doubts in one text, separated by spaces.
pub(super) fn doubts_text(doubts: &[Doubt]) -> String {
    doubts.iter().map(|doubt| doubt.as_str()).collect::<Vec<_>>().join(" ")
}

/// Reads the form that [`doubts_text`] writes.
pub(super) fn doubts(row: &Row<'_>, index: usize) -> storage::Result<Vec<Doubt>> {
    let text = row.get_ref(index)?.as_str()?;
    text.split_whitespace().map(|code| code.parse().map_err(|error| conversion(index, error))).collect()
}

/// Concatenated SHA-256 values; null means none.
pub(super) fn sums(row: &Row<'_>, index: usize) -> storage::Result<Vec<Sha256>> {
    let bytes = row.get_ref(index)?.as_blob_or_null()?.unwrap_or_default();
    Ok(bytes.as_chunks::<32>().0.iter().copied().map(Sha256).collect())
}

pub(super) fn find(db: &Connection, brand: &BrandId, id: &str) -> storage::Result<Option<Reference>> {
    let sql = format!("SELECT {COLUMNS} FROM reference WHERE id = ?1 AND brand = ?2 AND state <> 'deleted'");
    db.prepare_cached(&sql)?.query_row([id, brand.as_str()], reference).optional()
}

pub(super) fn find_photo(db: &Connection, brand: &BrandId, sha256: Sha256) -> storage::Result<Option<Reference>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM reference WHERE brand = ?1 AND sha256 = ?2 AND state <> 'deleted'
         ORDER BY CASE state WHEN 'staged' THEN 1 WHEN 'retired' THEN 2 ELSE 0 END, key DESC LIMIT 1"
    );
    db.prepare_cached(&sql)?.query_row(params![brand.as_str(), &sha256.0[..]], reference).optional()
}

pub(super) fn find_key(db: &Connection, key: u64) -> storage::Result<Option<Reference>> {
    let sql = format!("SELECT {COLUMNS} FROM reference WHERE key = ?1 AND state <> 'deleted'");
    db.prepare_cached(&sql)?.query_row([signed(key)], reference).optional()
}

/// Whether any reference that is not deleted has this photo.
pub(super) fn is_needed(db: &Connection, sha256: Sha256) -> storage::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM reference WHERE sha256 = ?1 AND state <> 'deleted')";
    db.query_row(sql, [&sha256.0[..]], |row| row.get(0))
}

/// Turns a row into a tombstone: only its key, its photo's SHA-256 and its revision remain.
pub(super) fn tombstone(transaction: &Writing<'_>, key: u64) -> storage::Result<()> {
    let revision = next_revision(transaction)?;
    transaction
        .prepare_cached(
            "UPDATE reference SET state = 'deleted', product = NULL, source = NULL, notes = NULL, rights_basis = NULL, quarantine_code = NULL,
             quarantine_detail = NULL, quarantine_private = 0, doubts = '', pixels = NULL, updated_at = ?1, revision = ?2 WHERE key = ?3",
        )?
        .execute(params![Timestamp::now().to_string(), signed(revision), signed(key)])?;
    Ok(())
}

/// As [`overwrite`], under the next revision.
pub(super) fn change(transaction: &Writing<'_>, changed: &Reference) -> storage::Result<()> {
    let revision = next_revision(transaction)?;
    overwrite(transaction, changed, revision)
}

/// Writes every column of a reference that may change.
pub(super) fn overwrite(transaction: &Writing<'_>, changed: &Reference, revision: u64) -> storage::Result<()> {
    let (Claim { polarity, details, .. }, quarantine) = (&changed.claim, changed.quarantine.as_ref());
    transaction
        .prepare_cached(
            "UPDATE reference SET polarity = ?1, product = ?2, source = ?3, notes = ?4, rights_basis = ?5, state = ?6, quarantine_code = ?7,
             quarantine_detail = ?8, mark = ?9, near_group = ?10, updated_at = ?11, revision = ?12, publication = ?13,
             quarantine_private = ?14, kind = ?15 WHERE key = ?16",
        )?
        .execute(params![
            polarity.as_str(),
            details.product,
            details.source,
            details.notes,
            details.rights_basis,
            changed.state.as_str(),
            quarantine.map(|quarantine| &quarantine.code),
            quarantine.map(|quarantine| &quarantine.detail),
            changed.mark.map(Mark::as_str),
            changed.group.map(signed),
            changed.updated_at.to_string(),
            signed(revision),
            changed.publication.map(signed),
            quarantine.is_some_and(|quarantine| quarantine.private),
            details.kind.map(Kind::as_str),
            signed(changed.key),
        ])?;
    Ok(())
}
