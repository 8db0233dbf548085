//! Banks of PDQ hashes as files: those of a brand are written, those of others are taken as signals.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Write};

use jiff::Timestamp;

use super::{AllianceError, Took};
use crate::domain::{BrandId, Fared, MemberRole, Polarity};
use crate::gallery::{Alliance, Gallery, GalleryError, Joining, Member, NewMember, Taken, TakenLine};
use crate::photo::{Pdq, Sha256};
use crate::screening::Screener;
use crate::signals::{Line, Perceptual, Signal, SignalId, withdrawals};

/// The alliance of banks that came as files.
pub(super) const BANKS: &str = "all_banks";
/// The greatest number of hashes in a file.
const MOST_HASHES: usize = 1_000_000;

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

/// Writes the hashes of a brand's active references of one polarity, one `pdq HASH` a line, as `tx`'s exchange
/// `local_file` reads them. Returns how many. Flat photos are left out.
///
/// # Errors
/// When the gallery cannot be read, or the file not written.
pub fn export_hashes(
    gallery: &Gallery,
    (brand, polarity): (&BrandId, Polarity),
    mut to: impl Write,
) -> Result<usize, AllianceError> {
    let mut written = 0;
    for row in gallery.hashes()? {
        if row.brand == *brand && row.polarity == polarity && row.pdq.can_match() {
            writeln!(to, "pdq {}", row.pdq)?;
            written += 1;
        }
    }
    to.flush()?;
    Ok(written)
}

/// Takes a bank of hashes from a file: `pdq HASH` a line, or the CSV that `tx dataset` prints. Other types of signals are
/// left out. The file replaces what was taken for the bank before.
///
/// # Errors
/// When a line cannot be read, or the database cannot be written; then nothing is taken.
pub fn import_hashes(
    screener: &Screener,
    actor: &str,
    bank: ForeignBank<'_>,
    from: impl BufRead,
) -> Result<Took, AllianceError> {
    let hashes = read(from)?;
    if hashes.is_empty() {
        let detail = "the file has no PDQ hash, expected lines `pdq HASH`; to empty a bank, run touchstone alliance expel all_banks BANK".to_owned();
        return Err(AllianceError::Invalid(detail));
    }
    let most = screener.alliance.max_signals;
    if hashes.len() as u64 > most {
        return Err(AllianceError::Invalid(format!("the file has more than {most} hashes (alliance.max_signals)")));
    }
    let gallery = &screener.gallery;
    let member = member(gallery, actor, bank.name)?;
    let known = gallery.active_signals(member.number)?;
    let lines = changes(bank, &hashes, &known, member.taken.seq);
    let withdrawn = withdrawals(&lines);
    let last = member.taken.after(&lines);
    let lines: Vec<TakenLine> = lines.into_iter().map(|line| TakenLine { line, held_back: None }).collect();
    let taken = Taken { member: member.number, lines: &lines, after: member.taken, last };
    if !gallery.take_lines(&taken, Timestamp::now())? {
        return Err(AllianceError::Overtaken(bank.name.to_owned()));
    }
    screener.library.refresh()?;
    Ok(Took { taken: lines.len() as u64 - withdrawn, quarantined: 0, withdrawn, more: false })
}

/// The lines that turn the known signals of a bank into those of a file.
fn changes(bank: ForeignBank<'_>, hashes: &[Pdq], known: &BTreeSet<SignalId>, after: u64) -> Vec<Line> {
    // Whole seconds, as the chain has them.
    let at = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
    let id = |pdq: &Pdq| SignalId::of(bank.name, &format!("{} {} {pdq}", bank.brand, bank.polarity));
    let wanted: BTreeMap<SignalId, &Pdq> = hashes.iter().map(|pdq| (id(pdq), pdq)).collect();
    let gone = known.iter().filter(|known| !wanted.contains_key(known)).map(|id| (id.clone(), None));
    let new = wanted.iter().filter(|(id, _)| !known.contains(id)).map(|(id, pdq)| (id.clone(), Some(*pdq)));
    let line = |(seq, (id, pdq)): (u64, (SignalId, Option<&Pdq>))| match pdq {
        None => Line::Withdraw { seq, at, id },
        Some(pdq) => Line::Share { seq, at, id, signal: Some(Box::new(signal(bank, pdq, at))) },
    };
    (after + 1..).zip(gone.chain(new)).map(line).collect()
}

fn signal(bank: ForeignBank<'_>, pdq: &Pdq, vouched_at: Timestamp) -> Signal {
    Signal {
        brand: bank.brand.clone(),
        polarity: bank.polarity,
        product: None,
        rights_basis: None,
        vouched_at,
        fared: Fared::default(),
        fingerprint: None,
        pdq: Some(Perceptual { hash: Sha256(pdq.hash), quality: pdq.quality }),
        embedding: None,
        keypoints: None,
    }
}

/// The member that stands for a bank that came as a file; made if it is new.
fn member(gallery: &Gallery, actor: &str, name: &str) -> Result<Member, AllianceError> {
    if gallery.alliance(BANKS)?.is_none_or(|banks| banks.left_at.is_some()) {
        let (title, terms) = ("banks from files".to_owned(), "The source of each bank sets its terms.".to_owned());
        let (id, created_at) = (BANKS.to_owned(), Timestamp::now());
        gallery.add_alliance(actor, &Alliance { id, name: title, terms, created_at, left_at: None, log_seq: 0 })?;
    }
    let find = || -> Result<Option<Member>, GalleryError> {
        Ok(gallery.members(Some(BANKS), false)?.into_iter().find(|member| member.name == name))
    };
    if let Some(known) = find()? {
        return Ok(known);
    }
    // A file has no key: the member's id follows from the name.
    let public_key = Sha256::of(name.as_bytes()).0;
    let joining = Joining { public_key: &public_key, name, url: None, token: None };
    let new = NewMember { alliance: BANKS, name, role: MemberRole::Shares, key_id: None, joining: Some(&joining) };
    gallery.add_member(actor, &new, Timestamp::now())?;
    find()?.ok_or_else(|| AllianceError::UnknownMember(name.to_owned()))
}

fn read(from: impl BufRead) -> Result<Vec<Pdq>, AllianceError> {
    let mut hashes = Vec::new();
    for (number, line) in (1..).zip(from.lines()) {
        let line =
            line.map_err(|error| AllianceError::Invalid(format!("line {number}: {error}; expected a text file")))?;
        if hashes.len() == MOST_HASHES {
            return Err(AllianceError::Invalid(format!("the file has more than {MOST_HASHES} hashes, the limit")));
        }
        let mut words = line.split([' ', ',', '\t']).map(|word| word.trim().trim_matches('"'));
        let Some("pdq") = words.next() else { continue };
        let text = words.next().unwrap_or_default();
        let hash: Pdq = text.parse().map_err(|error| AllianceError::Invalid(format!("line {number}: {error}")))?;
        hashes.push(hash);
    }
    Ok(hashes)
}
