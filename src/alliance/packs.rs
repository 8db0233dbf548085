use std::io::{Read, Write};

use jiff::Timestamp;

use super::AllianceError;
use super::invitation::{own, taking_part};
use crate::domain::{AllianceOptions, Claim, Details, Fared, Polarity};
use crate::embed::RoundedEmbedding;
use crate::gallery::{GalleryError, Member, SharedLine, Taken};
use crate::hygiene::contradicting;
use crate::photo::Sha256;
use crate::screening::Screener;
use crate::signals::{self, Keypoints, Line, Manifest, Perceptual, RoundedNumbers, Signal};

/// The greatest number of lines of a pack over HTTP.
pub const MOST_AT_ONCE: usize = 1_000;

/// What was taken from a pack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Took {
    /// Signals that are new or changed.
    pub shared: u64,
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
            shared: self.shared + other.shared,
            quarantined: self.quarantined + other.quarantined,
            withdrawn: self.withdrawn + other.withdrawn,
            more: other.more,
        }
    }
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
) -> Result<(), AllianceError> {
    let gallery = &screener.gallery;
    let alliance = taking_part(gallery, alliance)?;
    let (_, identity) = own(gallery, &alliance.id)?;
    gallery.follow_sharing(&alliance.id, Timestamp::now())?;
    let position = gallery.log_position(&alliance.id, after)?;
    let last = || gallery.alliance(&alliance.id).map(|found| found.map_or(0, |found| found.shared));
    let Some(position) = position else {
        return Err(AllianceError::BeyondLog { asked: after, last: last()? });
    };
    let shared = gallery.log_lines(&alliance.id, after, most.saturating_add(1))?;
    let more = shared.len() > most;
    let lines = shared.into_iter().take(most).map(|line| signed_line(screener, line));
    let lines = lines.collect::<Result<Vec<_>, _>>()?;
    let manifest = Manifest {
        alliance: alliance.id,
        member: identity.member_id(),
        created_at: Timestamp::now(),
        touchstone: env!("CARGO_PKG_VERSION").to_owned(),
        after: position,
        last: position,
        more,
        shared: 0,
        withdrawn: 0,
        model: screener.library.model().to_owned(),
        vocabulary: screener.vocabulary.id().to_owned(),
        terms: alliance.terms,
        sha256: Sha256::of(&[]),
    };
    Ok(signals::write(to, &identity, manifest, &lines)?)
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

/// Takes a pack of a member, all or nothing. Signals that contradict a reference of the other polarity, or that show what
/// many goods share, are quarantined. A pack that was taken before is refused, and changes nothing.
///
/// # Errors
/// When the pack is refused, the member may not share, or the database cannot be written.
pub fn take(
    screener: &Screener,
    options: &AllianceOptions,
    member: &Member,
    from: impl Read,
) -> Result<Took, AllianceError> {
    let not_allowed = |what| AllianceError::NotAllowed { name: member.name.clone(), what };
    if !member.role.shares() {
        return Err(not_allowed("only gets signals, and shares none"));
    }
    let public_key = member.public_key.as_deref().ok_or_else(|| not_allowed("has not joined yet"))?;
    let gallery = &screener.gallery;
    let pack = signals::read(from, public_key, &member.alliance, member.taken)?;
    let (known, _) = gallery.count_signals(member.number)?;
    let new = pack.lines.iter().filter(|line| matches!(line, Line::Share { signal: Some(_), .. })).count() as u64;
    if known + new > options.max_signals {
        return Err(AllianceError::TooMany { name: member.name.clone(), most: options.max_signals });
    }
    let held_back = pack.lines.iter().map(|line| held_back(screener, line)).collect::<Result<Vec<_>, _>>()?;
    let taken = Taken { member: member.number, lines: &pack.lines, held_back: &held_back, last: pack.manifest.last };
    if !gallery.take_lines(&taken, member.taken, Timestamp::now())? {
        return Err(not_allowed("was taken from by somebody else meanwhile, or expelled"));
    }
    screener.library.refresh()?;
    Ok(Took {
        shared: new,
        quarantined: held_back.iter().flatten().count() as u64,
        withdrawn: pack.manifest.withdrawn,
        more: pack.manifest.more,
    })
}

/// Why a signal takes no part in checks.
fn held_back(screener: &Screener, line: &Line) -> Result<Option<String>, AllianceError> {
    let Line::Share { signal: Some(signal), .. } = line else { return Ok(None) };
    let own = signal.embedding.as_ref().filter(|embedding| embedding.model == screener.library.model());
    let Some(embedding) = own.and_then(|embedding| embedding.embedding().restored().ok()) else { return Ok(None) };
    let thresholds = &screener.embedder.manifest().thresholds;
    if embedding.dimension() != screener.embedder.manifest().output.dimension {
        return Ok(Some(format!("its embedding has {} numbers, which the model does not give", embedding.dimension())));
    }
    let fingerprint = signal.fingerprint.unwrap_or(Perceptual { hash: Sha256([0; 32]), quality: 0 });
    if screener.generic.mark(fingerprint.quality, &embedding, thresholds).is_some() {
        return Ok(Some("it shows too little, or what many goods share".to_owned()));
    }
    let claim = Claim { brand: signal.brand.clone(), polarity: signal.polarity, details: Details::default() };
    let parts = (&*screener.gallery, &*screener.library, thresholds);
    let contradicted = contradicting(&claim, &fingerprint.hash.0, &embedding, parts)?;
    Ok(contradicted.first().map(|other| {
        let other_polarity = match signal.polarity {
            Polarity::Fake => "authentic",
            Polarity::Authentic => "fake",
        };
        format!("it is a near-duplicate of {}, which is {other_polarity}", other.id)
    }))
}
