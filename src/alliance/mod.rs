//! Alliances: found one, invite others, join, share signals, and take those of others. Members exchange packs over HTTP or
//! as files; a pull also acknowledges what was taken, and tells how signals fared. Who sees what: docs/ALLIANCE.md.

mod banks;
mod exchange;
mod invitation;
mod packs;

use jiff::Timestamp;
use thiserror::Error;

use crate::domain::{BrandId, InvalidName, MemberId, Polarity};
use crate::gallery::{Alliance, Gallery, GalleryError, Member};
use crate::hygiene::HygieneError;
use crate::keys::KeyError;
use crate::library::LibraryError;
use crate::signals::{IdentityFault, PackFault, SignalId};

use invitation::with_members;

pub use banks::{ForeignBank, export_hashes, import_hashes};
pub use exchange::{Acknowledgement, Exchange, ExchangeError, MOST_FEEDBACK};
pub use invitation::{Invitation, Inviting, Joining, NewAlliance, Reply, accept, create, invite, join, member_of_key};
pub use packs::{MOST_AT_ONCE, Packed, Took, pack, position, take};

/// Why an alliance's command or request fails.
#[derive(Debug, Error)]
pub enum AllianceError {
    /// There is no such alliance here.
    #[error("there is no alliance {0:?} here; `touchstone alliance list` shows them")]
    UnknownAlliance(String),
    /// This touchstone has left the alliance.
    #[error("this touchstone has left the alliance {0}")]
    Left(String),
    /// There is no such member.
    #[error("the alliance has no member {0:?}; `touchstone alliance list` shows them")]
    UnknownMember(String),
    /// The member may not do that.
    #[error("the member {name} {what}")]
    NotAllowed {
        /// The member's name.
        name: String,
        /// Why not.
        what: &'static str,
    },
    /// Somebody else took signals of the member at the same time.
    #[error("another process has taken signals of {0} meanwhile; try again")]
    Overtaken(String),
    /// This touchstone is in the alliance already, or in another one with this id.
    #[error(
        "this touchstone is already in the alliance with this id, {0:?}; if the invitation is for that one, add --existing: the inviter will then receive everything you share with it"
    )]
    Known(String),
    /// There are several alliances with this name.
    #[error("{count} alliances are named {name:?}; use an id, which touchstone alliance list shows")]
    Ambiguous {
        /// The name.
        name: String,
        /// How many there are.
        count: usize,
    },
    /// This touchstone has another name in alliances.
    #[error(
        "this touchstone is named {0:?} in its alliances; use --as {0:?}, or leave all alliances to choose another name"
    )]
    Named(String),
    /// Another alliance has this name.
    #[error("this touchstone is in an alliance named {0:?} already; choose another name")]
    AllianceNameTaken(String),
    /// Banks from files have no members to invite.
    #[error("{0:?} has the banks that came as files; it has no other members, and nothing can be shared with it")]
    OnlyBanks(String),
    /// Another member has this name.
    #[error("the alliance has a member named {0:?} already; choose another name, or expel that member first")]
    NameTaken(String),
    /// There is nothing to release.
    #[error("{0} is not a quarantined signal of this member; touchstone alliance list shows those that are")]
    NotQuarantined(SignalId),
    /// The invitation was used by somebody else, or withdrawn.
    #[error(
        "the invitation is not open here: it was used or withdrawn, or another touchstone made it; ask for a new one"
    )]
    InvitationUsed,
    /// A touchstone cannot exchange signals with itself.
    #[error("this touchstone made the invitation itself ({0}); give it to the member you invite")]
    Itself(MemberId),
    /// The place asked for is not in the log.
    #[error("line {asked} is not in the log, expected at most {last}; start again with after=0")]
    BeyondLog {
        /// The place asked for.
        asked: u64,
        /// The last line.
        last: u64,
    },
    /// A name, text or address is invalid.
    #[error("{0}")]
    Invalid(String),
    /// A pack is refused.
    #[error(transparent)]
    Pack(#[from] PackFault),
    /// The member may not have so many signals.
    #[error(
        "{name} shares more than {most} signals (alliance.max_signals); raise the limit or ask the member to share less"
    )]
    TooMany {
        /// The member's name.
        name: String,
        /// The limit.
        most: u64,
    },
    /// The database returned an error.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// The library could not follow.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// Signals could not be compared with references.
    #[error(transparent)]
    Hygiene(#[from] HygieneError),
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A file or a stream cannot be written.
    #[error("{0}")]
    File(#[from] std::io::Error),
}

impl From<InvalidName> for AllianceError {
    fn from(InvalidName(detail): InvalidName) -> Self {
        Self::Invalid(detail)
    }
}

impl From<IdentityFault> for AllianceError {
    fn from(fault: IdentityFault) -> Self {
        Self::Invalid(fault.to_string())
    }
}

impl AllianceError {
    /// Stable kebab-case code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownAlliance(_) => "alliance-unknown",
            Self::Left(_) => "alliance-left",
            Self::UnknownMember(_) => "member-unknown",
            Self::NotAllowed { .. } => "member-not-allowed",
            Self::Overtaken(_) => "member-overtaken",
            Self::Known(_) => "alliance-known",
            Self::NameTaken(_) => "member-name-taken",
            Self::Ambiguous { .. } => "alliance-ambiguous",
            Self::Named(_) => "member-named",
            Self::AllianceNameTaken(_) => "alliance-name-taken",
            Self::OnlyBanks(_) => "alliance-banks",
            Self::NotQuarantined(_) => "signal-not-quarantined",
            Self::InvitationUsed => "invitation-used",
            Self::Itself(_) => "member-itself",
            Self::BeyondLog { .. } => "log-too-short",
            Self::Invalid(_) => "alliance-invalid",
            Self::Pack(fault) => fault.code(),
            Self::TooMany { .. } => "signals-too-many",
            Self::Gallery(_) | Self::Library(_) | Self::Hygiene(_) | Self::Key(_) | Self::File(_) => "internal",
        }
    }
}

/// An alliance by its id or its name. Of those with the same name, one that this touchstone has left does not count.
///
/// # Errors
/// [`AllianceError::UnknownAlliance`], [`AllianceError::Ambiguous`].
pub fn named(gallery: &Gallery, name: &str) -> Result<Alliance, AllianceError> {
    let all = gallery.alliances()?;
    let (live, left): (Vec<_>, Vec<_>) =
        all.into_iter().filter(|one| one.id == name || one.name == name).partition(|one| one.left_at.is_none());
    let mut found = if live.is_empty() { left } else { live };
    match (found.len(), found.pop()) {
        (_, None) => Err(AllianceError::UnknownAlliance(name.to_owned())),
        (1, Some(one)) => Ok(one),
        (count, Some(_)) => Err(AllianceError::Ambiguous { name: name.to_owned(), count }),
    }
}

/// Sets what of a brand is shared; without days, nothing of it any more.
///
/// # Errors
/// When this touchstone has left the alliance, or it has only banks.
pub fn share(
    gallery: &Gallery,
    actor: &str,
    alliance: &str,
    what: (&BrandId, Polarity),
    delay_days: Option<u32>,
) -> Result<(), AllianceError> {
    let alliance = with_members(gallery, alliance)?;
    Ok(gallery.share_brand(actor, &alliance.id, what, delay_days)?)
}

/// Releases a signal of a member from quarantine.
///
/// # Errors
/// [`AllianceError::NotQuarantined`].
pub fn release(gallery: &Gallery, actor: &str, member: &Member, signal: &SignalId) -> Result<(), AllianceError> {
    let released = match gallery.signal_key(member.number, signal)? {
        Some(key) => gallery.release_signal((actor, None), key, Timestamp::now())?,
        None => false,
    };
    if released { Ok(()) } else { Err(AllianceError::NotQuarantined(signal.clone())) }
}

/// A member by its id or its name, among those that were not expelled.
///
/// # Errors
/// [`AllianceError::UnknownMember`].
pub fn member(gallery: &Gallery, alliance: &str, named: &str) -> Result<Member, AllianceError> {
    let members = gallery.members(Some(alliance), false)?;
    let is = |member: &Member| member.id.as_ref().is_some_and(|id| id.as_str() == named) || member.name == named;
    members.into_iter().find(is).ok_or_else(|| AllianceError::UnknownMember(named.to_owned()))
}
