use std::collections::BTreeSet;

use parking_lot::Mutex;

use crate::domain::{BrandId, Polarity};
use crate::gallery::{Gallery, GalleryError, HashRow};
use crate::photo::Pdq;

/// A reference whose hash is near.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashMatch {
    /// The reference's key.
    pub key: u64,
    /// The bank's name: see [`bank_name`].
    pub bank: String,
    /// Differing bits, 0 to 31.
    pub distance: u32,
}

/// The PDQ hashes of active references in memory, in banks: one for each brand and polarity.
#[derive(Debug, Default)]
pub struct HashBanks {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// The gallery's revision that was read; `None` before the first time.
    revision: Option<u64>,
    rows: Vec<HashRow>,
}

impl HashBanks {
    /// The references whose hashes are near, nearest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn matches(&self, gallery: &Gallery, pdq: &Pdq) -> Result<Vec<HashMatch>, GalleryError> {
        self.with(gallery, |rows| {
            let near = rows.iter().map(|row| (row, row.pdq.distance(pdq)));
            let near = near.filter(|(_, distance)| *distance <= Pdq::NEAR_BITS);
            let mut found: Vec<HashMatch> = near
                .map(|(row, distance)| HashMatch { key: row.key, bank: bank_name(&row.brand, row.polarity), distance })
                .collect();
            found.sort_by_key(|one| (one.distance, one.key));
            found
        })
    }

    /// The names of all banks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn names(&self, gallery: &Gallery) -> Result<BTreeSet<String>, GalleryError> {
        self.with(gallery, |rows| rows.iter().map(|row| bank_name(&row.brand, row.polarity)).collect())
    }

    /// Number of hashes that can match.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn count(&self, gallery: &Gallery) -> Result<usize, GalleryError> {
        self.with(gallery, <[HashRow]>::len)
    }

    fn with<T>(&self, gallery: &Gallery, look: impl FnOnce(&[HashRow]) -> T) -> Result<T, GalleryError> {
        let newest = gallery.revision()?;
        let mut held = self.held.lock();
        if held.revision != Some(newest) {
            let rows = gallery.hashes()?.into_iter().filter(|row| row.pdq.can_match()).collect();
            *held = Held { revision: Some(newest), rows };
        }
        Ok(look(&held.rows))
    }

    /// Makes the next search read the hashes again: added hashes do not change the gallery's revision.
    pub fn forget(&self) {
        self.held.lock().revision = None;
    }
}

/// The name of a bank, such as `ACME_FAKE`: brand and polarity in capitals, everything but letters and digits as `_`. Brands
/// that differ only in such signs share a bank.
#[must_use]
pub fn bank_name(brand: &BrandId, polarity: Polarity) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
    format!("{brand}_{polarity}").chars().map(plain).collect()
}
