use std::io::{BufRead, BufReader, Read, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Chain, Identity, Line, LineFault};
use crate::domain::MemberId;
use crate::photo::Sha256;

/// The name of the format, in each pack's first line.
const FORMAT: &str = "touchstone-signals";
/// Version of the format that is read and written.
const VERSION: u32 = 1;
/// Most bytes of a line, and of the first line.
const MOST_LINE: u64 = 64 << 10;
/// The greatest number of lines of a pack.
pub const MOST_LINES: usize = 100_000;
/// Most bytes of all lines, uncompressed: about twice what [`MOST_LINES`] usual ones have.
const MOST_BODY: usize = 512 << 20;
/// Strength of the compression: zstd's own default.
const LEVEL: i32 = 3;

/// A place in a member's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The last line's place; 0 before the first.
    pub seq: u64,
    /// The [`Chain`] up to there.
    pub sum: Sha256,
}

impl Position {
    /// Before the first line.
    #[must_use]
    pub fn start() -> Self {
        Self { seq: 0, sum: Chain::start().0 }
    }

    /// After further lines.
    #[must_use]
    pub fn after(self, lines: &[Line]) -> Self {
        let seq = lines.last().map_or(self.seq, Line::seq);
        Self { seq, sum: lines.iter().fold(Chain(self.sum), Chain::after).0 }
    }
}

/// What the writer of a pack says about it; everything else of the [`Manifest`] follows from the lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heading {
    /// Id of the alliance.
    pub alliance: String,
    /// When the pack is written.
    pub created_at: Timestamp,
    /// Version of the program that writes it.
    pub touchstone: String,
    /// The position before the pack's first line.
    pub after: Position,
    /// Whether the log goes on after the last line.
    pub more: bool,
    /// Name and checksum of the model of the embeddings.
    pub model: String,
    /// Id of the vocabulary of the keypoints.
    pub vocabulary: String,
    /// The terms under which the signals may be used.
    pub terms: String,
}

/// What the signature covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Id of the alliance.
    pub alliance: String,
    /// The member who shares.
    pub member: MemberId,
    /// When the pack was written.
    pub created_at: Timestamp,
    /// Version of the program that wrote it.
    pub touchstone: String,
    /// The position before the pack's first line.
    pub after: Position,
    /// The position of its last line.
    pub last: Position,
    /// Whether the log goes on after the last line.
    pub more: bool,
    /// Number of signals shared.
    pub shared: u64,
    /// Number of signals withdrawn.
    pub withdrawn: u64,
    /// Name and checksum of the model of the embeddings.
    pub model: String,
    /// Id of the vocabulary of the keypoints.
    pub vocabulary: String,
    /// The terms under which the signals may be used.
    pub terms: String,
    /// SHA-256 of the lines after the first, uncompressed.
    pub sha256: Sha256,
}

/// A pack's first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: String,
    version: u32,
    /// The manifest's JSON as text, so that the signature covers these very bytes.
    manifest: String,
    /// Ed25519, in Base64.
    signature: String,
}

/// A pack that was read and verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Pack {
    /// The manifest.
    pub manifest: Manifest,
    /// The lines.
    pub lines: Vec<Line>,
}

/// Why a pack is refused.
#[derive(Debug, Error)]
pub enum PackFault {
    /// It is not a pack, or a part of it is missing.
    #[error("the pack cannot be read: {0}")]
    Unreadable(String),
    /// Another version of the format.
    #[error("the pack has version {0} of the format, expected {VERSION}; update touchstone")]
    Version(u32),
    /// The signature does not fit the member's key.
    #[error("the pack is not signed with the key of {0}: it was changed, or somebody else wrote it")]
    Signature(MemberId),
    /// It belongs elsewhere.
    #[error("the pack is for the alliance {got}, expected {expected}")]
    Alliance {
        /// The pack's alliance.
        got: String,
        /// The alliance of the member.
        expected: String,
    },
    /// The lines are not those that were signed.
    #[error("the lines have the SHA-256 {got}, expected {expected}")]
    Sum {
        /// Of the lines.
        got: Sha256,
        /// In the manifest.
        expected: Sha256,
    },
    /// Lines are missing before the first one, or all were taken before.
    #[error("the pack starts after line {got} of the log, expected after line {expected}; {}", if got > expected { "lines in between are missing" } else { "its lines were taken before" })]
    Gap {
        /// The pack's.
        got: u64,
        /// What was taken last.
        expected: u64,
    },
    /// The member's log is not the one of which earlier lines were taken.
    #[error(
        "the log of {member} differs from that of earlier packs at line {seq} or before; ask the member why or expel it"
    )]
    Fork {
        /// The member.
        member: MemberId,
        /// The last line that both agree on is before this one.
        seq: u64,
    },
    /// It has no lines, and says that there are more.
    #[error("the pack has no lines, and says that more follow; tell the member")]
    Endless,
    /// A line is invalid.
    #[error("line {number} is invalid: {fault}")]
    Line {
        /// The line's number in the pack, from 1.
        number: u64,
        /// What is wrong.
        fault: LineFault,
    },
    /// There are too many lines, or too many bytes in them.
    #[error("the pack has more than {0} lines or {MOST_BODY} bytes, the limits")]
    TooLong(usize),
}

impl PackFault {
    /// Stable kebab-case code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) | Self::Version(_) => "pack-unreadable",
            Self::Signature(_) => "pack-signature",
            Self::Alliance { .. } => "pack-alliance",
            Self::Sum { .. } => "pack-changed",
            Self::Gap { .. } => "pack-gap",
            Self::Fork { .. } => "pack-fork",
            Self::Line { .. } | Self::Endless => "pack-line",
            Self::TooLong(_) => "pack-too-long",
        }
    }
}

/// The number of lines that withdraw a signal.
#[must_use]
pub fn withdrawals(lines: &[Line]) -> u64 {
    lines.iter().filter(|line| matches!(line, Line::Withdraw { .. })).count() as u64
}

/// Writes a pack.
///
/// # Errors
/// When it cannot be written.
pub fn write(to: impl Write, identity: &Identity, heading: Heading, lines: &[Line]) -> std::io::Result<()> {
    let mut body = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut body, line)?;
        body.push(b'\n');
    }
    let Heading { alliance, created_at, touchstone, after, more, model, vocabulary, terms } = heading;
    let withdrawn = withdrawals(lines);
    let manifest = Manifest {
        alliance,
        member: identity.member_id(),
        created_at,
        touchstone,
        after,
        last: after.after(lines),
        more,
        shared: lines.len() as u64 - withdrawn,
        withdrawn,
        model,
        vocabulary,
        terms,
        sha256: Sha256::of(&body),
    };
    let manifest = serde_json::to_string(&manifest)?;
    let signature = BASE64_STANDARD.encode(identity.sign(manifest.as_bytes()));
    let head = Head { format: FORMAT.to_owned(), version: VERSION, manifest, signature };
    let mut packed = zstd::Encoder::new(to, LEVEL)?;
    serde_json::to_writer(&mut packed, &head)?;
    packed.write_all(b"\n")?;
    packed.write_all(&body)?;
    packed.finish()?.flush()
}

/// Reads a pack of at most `most` lines that a member with `public_key` signed for `alliance`, and that goes on after `taken`.
///
/// # Errors
/// [`PackFault`]; nothing of the pack is to be used then.
pub fn read(
    from: impl Read,
    public_key: &[u8],
    alliance: &str,
    (taken, most): (Position, usize),
) -> Result<Pack, PackFault> {
    let unreadable = |error: std::io::Error| PackFault::Unreadable(error.to_string());
    let mut lines = BufReader::new(zstd::Decoder::new(from).map_err(unreadable)?);
    let head = next_line(&mut lines)?.ok_or_else(|| PackFault::Unreadable("it is empty".to_owned()))?;
    let manifest = verified(&head, public_key)?;
    if manifest.alliance != alliance {
        return Err(PackFault::Alliance { got: manifest.alliance, expected: alliance.to_owned() });
    }
    if manifest.after.seq != taken.seq {
        return Err(PackFault::Gap { got: manifest.after.seq, expected: taken.seq });
    }
    if manifest.after.sum != taken.sum {
        return Err(PackFault::Fork { member: manifest.member, seq: taken.seq });
    }
    let (mut read, mut sum) = (Vec::new(), sha2::Sha256::default());
    let mut bytes = 0;
    while let Some(text) = next_line(&mut lines)? {
        bytes += text.len();
        if read.len() == most || bytes > MOST_BODY {
            return Err(PackFault::TooLong(most));
        }
        sha2::Digest::update(&mut sum, &text);
        sha2::Digest::update(&mut sum, b"\n");
        let number = read.len() as u64 + 1;
        let invalid = |fault| PackFault::Line { number, fault };
        let line = Line::parse(&text).map_err(invalid)?;
        let expected = taken.seq + number;
        if line.seq() != expected {
            let detail = format!("its place is {}, expected {expected}", line.seq());
            return Err(invalid(LineFault::Invalid(detail)));
        }
        read.push(line);
    }
    if read.is_empty() && manifest.more {
        return Err(PackFault::Endless);
    }
    let got = Sha256(sha2::Digest::finalize(sum).into());
    if got != manifest.sha256 {
        return Err(PackFault::Sum { got, expected: manifest.sha256 });
    }
    if manifest.last != taken.after(&read) {
        return Err(PackFault::Fork { member: manifest.member, seq: manifest.last.seq });
    }
    Ok(Pack { manifest, lines: read })
}

/// The manifest in a pack's first line, if the key signed it.
fn verified(head: &str, public_key: &[u8]) -> Result<Manifest, PackFault> {
    let unreadable = |error: serde_json::Error| PackFault::Unreadable(format!("its first line: {error}"));
    let head: Head = serde_json::from_str(head).map_err(unreadable)?;
    if head.format != FORMAT {
        return Err(PackFault::Unreadable(format!("its format is {:?}, expected {FORMAT:?}", head.format)));
    }
    if head.version != VERSION {
        return Err(PackFault::Version(head.version));
    }
    let member = MemberId::of(public_key);
    let signature = BASE64_STANDARD.decode(&head.signature).unwrap_or_default();
    if !Identity::is_signed_by(public_key, head.manifest.as_bytes(), &signature) {
        return Err(PackFault::Signature(member));
    }
    let manifest: Manifest = serde_json::from_str(&head.manifest).map_err(unreadable)?;
    if manifest.member != member {
        return Err(PackFault::Signature(member));
    }
    Ok(manifest)
}

/// The next line without its end; `None` at the end of the pack.
fn next_line(lines: &mut impl BufRead) -> Result<Option<String>, PackFault> {
    let mut text = String::new();
    let mut one = lines.take(MOST_LINE);
    let read = one.read_line(&mut text).map_err(|error| PackFault::Unreadable(error.to_string()))?;
    match text.pop() {
        None => Ok(None),
        Some('\n') => Ok(Some(text)),
        Some(_) if read as u64 == MOST_LINE => {
            Err(PackFault::Unreadable(format!("a line is longer than {MOST_LINE} bytes, the limit")))
        }
        Some(_) => Err(PackFault::Unreadable("it ends in the middle of a line".to_owned())),
    }
}
