use std::io::{Read, Write};

use jiff::Timestamp;

use super::AllianceError;
use super::invitation::{own, taking_part};
use crate::domain::{Fared, Reference};
use crate::embed::RoundedEmbedding;
use crate::gallery::{Gallery, GalleryError, Member, SharedLine, Taken, TakenLine};
use crate::hygiene::{NEAR_BITS as NEAR_FINGERPRINT, opposite};
use crate::library::Filter;
use crate::photo::Sha256;
use crate::screening::Screener;
use crate::signals::{self, Heading, Keypoints, Line, Perceptual, Position, RoundedNumbers, Signal};

/// The greatest number of lines of a pack over HTTP.
pub const MOST_AT_ONCE: usize = 1_000;

/// What was taken from a pack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Took {
    /// Signals that are new or changed.
    pub taken: u64,
    /// Those of them that were quarantined at once.
    pub quarantined: u64,
    /// Signals that were withdrawn.
    pub withdrawn: u64,
    /// Whether the member's log goes on.
    pub more: bool,
}

impl Took {
    /// The sums of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            taken: self.taken + other.taken,
            quarantined: self.quarantined + other.quarantined,
            withdrawn: self.withdrawn + other.withdrawn,
            more: other.more,
        }
    }
}

/// Where a pack ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed {
    /// The log's last line in the pack.
    pub last: u64,
    /// Whether the log goes on after it.
    pub more: bool,
}

/// The position of the own log after a line.
///
/// # Errors
/// [`AllianceError::BeyondLog`] if the log is shorter.
pub fn position(gallery: &Gallery, alliance: &str, seq: u64) -> Result<Position, AllianceError> {
    if let Some(position) = gallery.log_position(alliance, seq)? {
        return Ok(position);
    }
    let last = gallery.alliance(alliance)?.map_or(0, |found| found.log_seq);
    Err(AllianceError::BeyondLog { asked: seq, last })
}

/// Writes a pack of what this touchstone has shared with an alliance after a line of its log, at most `most` lines.
///
/// # Errors
/// When the alliance is unknown, the log is shorter, or the database cannot be read or written.
pub fn pack(
    screener: &Screener,
    alliance: &str,
    (after, most): (u64, usize),
    to: impl Write,
) -> Result<Packed, AllianceError> {
    let gallery = &screener.gallery;
    let alliance = taking_part(gallery, alliance)?;
    let (_, identity) = own(gallery, &alliance.id)?;
    gallery.follow_sharing(&alliance.id, screener.library.model(), Timestamp::now())?;
    let after = position(gallery, &alliance.id, after)?;
    let mut shared = gallery.log_lines(&alliance.id, after.seq, most.saturating_add(1))?;
    let more = shared.len() > most;
    shared.truncate(most);
    let lines = shared.into_iter().map(|line| signed_line(screener, line)).collect::<Result<Vec<_>, _>>()?;
    let heading = Heading {
        alliance: alliance.id,
        created_at: Timestamp::now(),
        touchstone: env!("CARGO_PKG_VERSION").to_owned(),
        after,
        more,
        model: screener.library.model().to_owned(),
        vocabulary: screener.vocabulary.id().to_owned(),
        terms: alliance.terms,
    };
    signals::write(to, &identity, heading, &lines)?;
    Ok(Packed { last: lines.last().map_or(after.seq, Line::seq), more })
}

fn signed_line(screener: &Screener, line: SharedLine) -> Result<Line, GalleryError> {
    let SharedLine { seq, at, id, withdraws, reference } = line;
    if withdraws {
        return Ok(Line::Withdraw { seq, at, id });
    }
    let Some(reference) = reference else { return Ok(Line::Share { seq, at, id, signal: None }) };
    let (gallery, sum) = (&screener.gallery, reference.photo.sha256);
    let model = screener.library.model().to_owned();
    let dimension = screener.embedder.manifest().output.dimension;
    let embedding = gallery.embedding(sum, &model, dimension)?.map(|embedding| {
        let rounded = RoundedEmbedding::of(&embedding);
        RoundedNumbers { model, scale: rounded.scale(), bytes: rounded.to_bytes() }
    });
    let vocabulary = screener.vocabulary.id();
    let keypoints = gallery.words(sum, vocabulary)?.map(|words| Keypoints { vocabulary: vocabulary.to_owned(), words });
    let (confirmed, overturned) = gallery.reference_record(reference.key)?;
    let reported = gallery.reported_on(id.as_str())?;
    let fared = Fared { confirmed: confirmed + reported.confirmed, overturned: overturned + reported.overturned };
    let signal = Signal {
        brand: reference.claim.brand,
        polarity: reference.claim.polarity,
        product: reference.claim.details.product,
        rights_basis: reference.claim.details.rights_basis,
        vouched_at: reference.created_at,
        fared,
        fingerprint: Some(Perceptual {
            hash: Sha256(reference.photo.perceptual_hash),
            quality: reference.photo.quality,
        }),
        pdq: gallery.pdq(sum)?.map(|pdq| Perceptual { hash: Sha256(pdq.hash), quality: pdq.quality }),
        embedding,
        keypoints,
    };
    Ok(Line::Share { seq, at, id, signal: Some(Box::new(signal)) })
}

/// Takes a pack of a member with at most `most_lines` lines, all or nothing. Signals that contradict a reference of the other
/// polarity, or that show what many goods share, are quarantined. A pack that was taken before is refused, and changes
/// nothing.
///
/// # Errors
/// When the pack is refused, the member may not share, or the database cannot be written.
pub fn take(
    screener: &Screener,
    member: &Member,
    (from, most_lines): (impl Read, usize),
) -> Result<Took, AllianceError> {
    let not_allowed = |what| AllianceError::NotAllowed { name: member.name.clone(), what };
    if !member.role.shares() {
        return Err(not_allowed("only receives signals; it cannot share any"));
    }
    let public_key = member.public_key.as_deref().ok_or_else(|| not_allowed("has not joined yet"))?;
    let gallery = &screener.gallery;
    let pack = signals::read(from, public_key, &member.alliance, (member.taken, most_lines))?;
    let (known, _) = gallery.count_signals(member.number)?;
    let new = pack.lines.iter().filter(|line| matches!(line, Line::Share { signal: Some(_), .. })).count() as u64;
    let most = screener.alliance.max_signals;
    if known + new > most {
        return Err(AllianceError::TooMany { name: member.name.clone(), most });
    }
    let line = |line: Line| -> Result<TakenLine, AllianceError> {
        Ok(TakenLine { held_back: held_back(screener, &line)?, line })
    };
    let lines = pack.lines.into_iter().map(line).collect::<Result<Vec<_>, _>>()?;
    let taken = Taken { member: member.number, lines: &lines, after: member.taken, last: pack.manifest.last };
    if !gallery.take_lines(&taken, Timestamp::now())? {
        return Err(AllianceError::Overtaken(member.name.clone()));
    }
    screener.library.refresh()?;
    Ok(Took {
        taken: new,
        quarantined: lines.iter().filter(|line| line.held_back.is_some()).count() as u64,
        withdrawn: pack.manifest.withdrawn,
        more: pack.manifest.more,
    })
}

/// Why a signal takes no part in checks.
fn held_back(screener: &Screener, line: &Line) -> Result<Option<String>, AllianceError> {
    let Line::Share { signal: Some(signal), .. } = line else { return Ok(None) };
    let own = signal.embedding.as_ref().filter(|embedding| embedding.model == screener.library.model());
    let Some(embedding) = own.and_then(|embedding| embedding.embedding().restored().ok()) else {
        return held_back_by_hash(screener, signal);
    };
    let manifest = screener.embedder.manifest();
    if embedding.dimension() != manifest.output.dimension {
        let got = embedding.dimension();
        return Ok(Some(format!("its embedding has {got} numbers, expected {}", manifest.output.dimension)));
    }
    let quality = signal.fingerprint.map_or(0, |fingerprint| fingerprint.quality);
    if screener.generic.mark(quality, &embedding, &manifest.thresholds).is_some() {
        return Ok(Some("it shows too little, or what many goods share".to_owned()));
    }
    // By the embedding alone: the member chooses the fingerprint.
    let filter = Filter { polarity: Some(opposite(signal.polarity)), ..Filter::default() };
    let nearest = screener.library.search(&embedding, 1, f32::INFINITY, &filter);
    let near = nearest.first().filter(|near| near.similarity >= manifest.thresholds.near_copy);
    let Some(near) = near else { return Ok(None) };
    let reference = screener.gallery.by_keys([near.key])?.into_values().next();
    Ok(reference.map(|reference| contradiction(&reference)))
}

/// As [`held_back`], for a signal without an embedding by this model.
fn held_back_by_hash(screener: &Screener, signal: &Signal) -> Result<Option<String>, AllianceError> {
    let Some(fingerprint) = signal.fingerprint else { return Ok(None) };
    let near = screener.gallery.near_fingerprint(opposite(signal.polarity), &fingerprint.hash.0, NEAR_FINGERPRINT)?;
    Ok(near.map(|reference| contradiction(&reference)))
}

fn contradiction(reference: &Reference) -> String {
    format!("it is a near-duplicate of {}, which is {}", reference.id, reference.claim.polarity)
}
