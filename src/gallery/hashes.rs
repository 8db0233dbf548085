//! PDQ hashes of references' photos. Derived: computed again from the photo where they are missing.

use super::checks::differing_bits;
use super::rows::{COLUMNS, PLAIN, find_key, reference};
use super::store::{Gallery, GalleryError, parsed, signed, unsigned};
use crate::domain::{BrandId, Polarity, Reference};
use crate::photo::{Pdq, Sha256};
use crate::storage::{self, OptionalExtension, Row, params};

/// An active reference and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashRow {
    /// The reference's key.
    pub key: u64,
    /// Its brand.
    pub brand: BrandId,
    /// Authentic or fake.
    pub polarity: Polarity,
    /// The hash of its photo.
    pub pdq: Pdq,
}

impl Gallery {
    /// References after the key `after` whose photos have no hash yet.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn without_pdq(&self, after: u64, limit: usize) -> Result<Vec<Reference>, GalleryError> {
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM reference r WHERE {PLAIN} AND key > ?1
                 AND NOT EXISTS (SELECT 1 FROM pdq p WHERE p.sha256 = r.sha256) ORDER BY key LIMIT ?2"
            ))?
            .query_map(params![signed(after), i64::try_from(limit).unwrap_or(i64::MAX)], reference)?
            .collect()
        })
    }

    /// Stores the hashes of photos.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn add_pdq(&self, hashes: &[(Sha256, Pdq)]) -> Result<(), GalleryError> {
        self.write(|transaction| {
            let mut statement = transaction.prepare_cached(
                "INSERT INTO pdq (sha256, hash, quality) VALUES (?1, ?2, ?3)
                     ON CONFLICT (sha256) DO UPDATE SET hash = excluded.hash, quality = excluded.quality",
            )?;
            hashes
                .iter()
                .try_for_each(|(sum, pdq)| statement.execute(params![&sum.0[..], &pdq.hash[..], pdq.quality]).map(drop))
        })
    }

    /// The hash of a photo, if it is stored.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn pdq(&self, sha256: Sha256) -> Result<Option<Pdq>, GalleryError> {
        self.read(|db| {
            db.prepare_cached("SELECT hash, quality FROM pdq WHERE sha256 = ?1")?
                .query_row([&sha256.0[..]], |row| pdq(row, 0))
                .optional()
        })
    }

    /// An active reference of one polarity whose fingerprint differs in at most `most` of 256 bits.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn near_fingerprint(
        &self,
        polarity: Polarity,
        hash: &[u8; 32],
        most: u32,
    ) -> Result<Option<Reference>, GalleryError> {
        self.read(|db| {
            let mut near = None;
            let sql = "SELECT key, perceptual_hash FROM reference WHERE state = 'active' AND polarity = ?1";
            db.visit_until(sql, [polarity.as_str()], |row| {
                if differing_bits(&row.get(1)?, hash) <= most {
                    near = find_key(db, unsigned(row, 0)?)?;
                }
                Ok(near.is_some())
            })?;
            Ok(near)
        })
    }

    /// Active photos with their hashes, in the order of their keys.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn hashes(&self) -> Result<Vec<HashRow>, GalleryError> {
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT r.key, r.brand, r.polarity, p.hash, p.quality FROM reference r JOIN pdq p ON p.sha256 = r.sha256
                 WHERE {PLAIN} ORDER BY r.key"
            ))?
            .query_map([], |row| {
                let (key, brand, polarity) = (unsigned(row, 0)?, parsed(row, 1)?, parsed(row, 2)?);
                Ok(HashRow { key, brand, polarity, pdq: pdq(row, 3)? })
            })?
            .collect()
        })
    }
}

fn pdq(row: &Row<'_>, index: usize) -> storage::Result<Pdq> {
    Ok(Pdq { hash: row.get(index)?, quality: row.get(index + 1)? })
}
