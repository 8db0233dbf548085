//! Banks of PDQ hashes, as Meta's Hasher-Matcher-Actioner (HMA) has them: one bank for each brand and polarity. They are
//! matched, exported to text files, and those of others are taken as signals.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

use crate::alliance::{AllianceError, Took};
use crate::domain::{AllianceOptions, BrandId, MemberRole, Polarity};
use crate::enrolment::{EnrolError, Enrolment};
use crate::gallery::{Alliance, Gallery, GalleryError, HashRow, Joining, Taken};
use crate::photo::{Pdq, Sha256};
use crate::screening::Screener;
use crate::signals::{Chain, Line, Perceptual, Position, Signal, SignalId};

/// Photos whose hashes differ in at most this many of 256 bits count as the same, as in HMA.
pub const NEAR_BITS: u32 = 31;
/// Hashes of a lower quality match nothing, as in HMA.
pub const LEAST_QUALITY: u8 = 50;
/// The alliance of banks that came as files.
const BANKS: &str = "all_banks";
/// Photos hashed in one step.
const BATCH: usize = 64;
/// The greatest number of lines of a file.
const MOST_LINES: usize = 1_000_000;

/// A bank: the active references of a brand with one polarity.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Bank {
    /// Its name: the brand and the polarity in capitals, such as `ACME_FAKE`.
    pub name: String,
    /// The share of look-ups that search the bank: always 1.
    pub matching_enabled_ratio: f32,
}

/// A match of a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashMatch {
    /// The reference's key, as HMA's content id.
    pub key: u64,
    /// The bank's name.
    pub bank: String,
    /// Differing bits, 0 to 31.
    pub distance: u32,
}

/// The hashes of all active references in memory.
#[derive(Debug, Default)]
pub struct HashBanks {
    held: Mutex<(Option<u64>, Vec<HashRow>)>,
}

impl HashBanks {
    /// The references whose hashes are near, nearest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn matches(&self, gallery: &Gallery, pdq: &Pdq) -> Result<Vec<HashMatch>, GalleryError> {
        self.with(gallery, |rows| {
            let mut found: Vec<HashMatch> = rows
                .iter()
                .filter(|row| row.pdq.quality >= LEAST_QUALITY)
                .map(|row| (row, row.pdq.distance(pdq)))
                .filter(|(_, distance)| *distance <= NEAR_BITS)
                .map(|(row, distance)| HashMatch { key: row.key, bank: bank_name(&row.brand, row.polarity), distance })
                .collect();
            found.sort_by_key(|one| (one.distance, one.key));
            found
        })
    }

    /// All banks, by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn banks(&self, gallery: &Gallery) -> Result<Vec<Bank>, GalleryError> {
        self.with(gallery, |rows| {
            let names: BTreeMap<String, ()> =
                rows.iter().map(|row| (bank_name(&row.brand, row.polarity), ())).collect();
            names.into_keys().map(|name| Bank { name, matching_enabled_ratio: 1.0 }).collect()
        })
    }

    /// Number of hashes that can match.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn len(&self, gallery: &Gallery) -> Result<usize, GalleryError> {
        self.with(gallery, |rows| rows.iter().filter(|row| row.pdq.quality >= LEAST_QUALITY).count())
    }

    fn with<T>(&self, gallery: &Gallery, look: impl FnOnce(&[HashRow]) -> T) -> Result<T, GalleryError> {
        let newest = gallery.revision()?;
        let mut held = self.held.lock();
        if held.0 != Some(newest) {
            *held = (Some(newest), gallery.hashes()?);
        }
        Ok(look(&held.1))
    }

    /// Makes the next look read the hashes again: hashes were added, which is no change of the gallery.
    pub fn forget(&self) {
        self.held.lock().0 = None;
    }
}

/// The name of a bank: letters and digits in capitals, everything else as `_`.
#[must_use]
pub fn bank_name(brand: &BrandId, polarity: Polarity) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
    format!("{brand}_{polarity}").chars().map(plain).collect()
}

/// Hashes every active reference that has no hash yet. Returns how many.
///
/// # Errors
/// When the gallery cannot be read or written. A photo that cannot be read is logged and gets none.
pub fn hash_missing(enrolment: &Enrolment) -> Result<usize, EnrolError> {
    let (gallery, mut done, mut after) = (&enrolment.gallery, 0, 0);
    loop {
        let missing = gallery.without_pdq(after, BATCH)?;
        let Some(last) = missing.last() else { return Ok(done) };
        after = last.key;
        let mut hashes = Vec::with_capacity(missing.len());
        for reference in &missing {
            let sum = reference.photo.sha256;
            let bytes = gallery.photo(sum)?;
            match enrolment.decoder.decode(&bytes) {
                Ok(photo) => hashes.push((sum, Pdq::of(photo.rgb()))),
                Err(error) => tracing::error!(reference = reference.id, %error, "a reference cannot be hashed"),
            }
        }
        gallery.add_pdq(&hashes)?;
        done += hashes.len();
    }
}

/// Writes the hashes of a bank, one `pdq HASH` a line, as `tx`'s exchange `local_file` reads them. Returns how many. Flat
/// photos are left out.
///
/// # Errors
/// When the gallery cannot be read, or the file not written.
pub fn export(
    gallery: &Gallery,
    (brand, polarity): (&BrandId, Polarity),
    mut to: impl Write,
) -> Result<usize, AllianceError> {
    let mut written = 0;
    for row in gallery.hashes()? {
        if row.brand == *brand && row.polarity == polarity && row.pdq.quality >= LEAST_QUALITY {
            writeln!(to, "pdq {}", row.pdq)?;
            written += 1;
        }
    }
    to.flush()?;
    Ok(written)
}

/// What somebody else's bank is about.
#[derive(Debug, Clone, Copy)]
pub struct ForeignBank<'a> {
    /// Its name, under which its signals are listed.
    pub name: &'a str,
    /// The brand that its photos are about.
    pub brand: &'a BrandId,
    /// Whether they are authentic or fake.
    pub polarity: Polarity,
}

/// Takes a bank of hashes from a file: `pdq HASH` a line, or the CSV that `tx dataset` prints. Other types of signals are
/// left out. The file replaces what was taken for the bank before. Returns what changed.
///
/// # Errors
/// When a line cannot be read, or the database cannot be written; then nothing is taken.
pub fn import(
    screener: &Screener,
    actor: &str,
    options: &AllianceOptions,
    bank: ForeignBank<'_>,
    from: impl BufRead,
) -> Result<Took, AllianceError> {
    let hashes = read(from)?;
    if hashes.len() as u64 > options.max_signals {
        return Err(AllianceError::TooMany { name: bank.name.to_owned(), most: options.max_signals });
    }
    let gallery = &screener.gallery;
    let member = member(gallery, actor, bank.name)?;
    let known = gallery.active_signals(member.number)?;
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
    let id = |pdq: &Pdq| SignalId::of(bank.name, &format!("{} {} {pdq}", bank.brand, bank.polarity));
    let wanted: BTreeMap<SignalId, Pdq> = hashes.into_iter().map(|pdq| (id(&pdq), pdq)).collect();
    let (mut lines, mut seq) = (Vec::new(), member.taken.seq);
    let mut next = || {
        seq += 1;
        seq
    };
    for gone in known.iter().filter(|known| !wanted.contains_key(known)) {
        lines.push(Line::Withdraw { seq: next(), at: now, id: gone.clone() });
    }
    let withdrawn = lines.len() as u64;
    for (id, pdq) in wanted.into_iter().filter(|(id, _)| !known.contains(id)) {
        let hash = Perceptual { hash: Sha256(pdq.hash), quality: pdq.quality };
        let signal = Signal {
            brand: bank.brand.clone(),
            polarity: bank.polarity,
            product: None,
            rights_basis: None,
            vouched_at: now,
            fared: Default::default(),
            fingerprint: None,
            pdq: Some(hash),
            embedding: None,
            keypoints: None,
        };
        lines.push(Line::Share { seq: next(), at: now, id, signal: Some(Box::new(signal)) });
    }
    let sum = lines.iter().fold(Chain(member.taken.sum), |chain, line| chain.after(line)).0;
    let last = Position { seq: member.taken.seq + lines.len() as u64, sum };
    let held_back = vec![None; lines.len()];
    let taken = Taken { member: member.number, lines: &lines, held_back: &held_back, last };
    if !gallery.take_lines(&taken, member.taken, Timestamp::now())? {
        let what = "was taken from by somebody else meanwhile";
        return Err(AllianceError::NotAllowed { name: bank.name.to_owned(), what });
    }
    screener.library.refresh()?;
    Ok(Took { shared: lines.len() as u64 - withdrawn, quarantined: 0, withdrawn, more: false })
}

/// The member that stands for a bank that came as a file; made if it is new.
fn member(gallery: &Gallery, actor: &str, name: &str) -> Result<crate::gallery::Member, AllianceError> {
    if gallery.alliance(BANKS)?.is_none() {
        let (name, terms) = ("banks from files".to_owned(), "See where each bank comes from.".to_owned());
        let (id, created_at) = (BANKS.to_owned(), Timestamp::now());
        gallery.add_alliance(actor, &Alliance { id, name, terms, created_at, left_at: None, shared: 0 })?;
    }
    let find = || -> Result<_, GalleryError> {
        Ok(gallery.members(Some(BANKS), false)?.into_iter().find(|member| member.name == name))
    };
    if let Some(known) = find()? {
        return Ok(known);
    }
    // Nobody has the key of a file: its id follows from the name.
    let public_key = Sha256::of(name.as_bytes()).0;
    let joining = Joining { public_key: &public_key, name, url: None, token: None };
    let key_id = format!("bank {name}");
    gallery.add_member(actor, (BANKS, name), (MemberRole::Shares, &key_id), Some(&joining), Timestamp::now())?;
    find()?.ok_or_else(|| AllianceError::UnknownMember(name.to_owned()))
}

fn read(from: impl BufRead) -> Result<Vec<Pdq>, AllianceError> {
    let mut hashes = Vec::new();
    for (number, line) in (1..).zip(from.lines()) {
        let line = line?;
        if hashes.len() == MOST_LINES {
            return Err(AllianceError::Invalid(format!("the file has more than {MOST_LINES} hashes, the limit")));
        }
        let mut words = line.split([' ', ',', '\t']).map(|word| word.trim().trim_matches('"'));
        let Some("pdq") = words.next() else { continue };
        let text = words.next().unwrap_or_default();
        let hash: Pdq = text.parse().map_err(|error| AllianceError::Invalid(format!("line {number}: {error}")))?;
        hashes.push(hash);
    }
    Ok(hashes)
}
