//! Alliances: found one, invite others, join, share signals, and take those of others. Members exchange packs over HTTP or
//! as files; a pull also acknowledges what was taken, and tells how signals fared. Who sees what: docs/ALLIANCE.md.

mod banks;
mod exchange;
mod invitation;
mod packs;

use thiserror::Error;

use crate::domain::{InvalidName, MemberId};
use crate::gallery::{Gallery, GalleryError, Member};
use crate::hygiene::HygieneError;
use crate::keys::KeyError;
use crate::library::LibraryError;
use crate::signals::{IdentityFault, PackFault};

pub use banks::{ForeignBank, export_hashes, import_hashes};
pub use exchange::{Acknowledgement, Exchange, ExchangeError, MOST_FEEDBACK};
pub use invitation::{Invitation, Inviting, NewAlliance, Reply, abandon, accept, create, invite, join, member_of_key};
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
        "this touchstone is already in the alliance with this id, {0:?}; if the invitation is for that one, add --existing: the member who invites then gets what you share with it"
    )]
    Known(String),
    /// Another member has this name.
    #[error("the alliance has a member named {0:?} already; choose another name, or expel that member first")]
    NameTaken(String),
    /// The invitation was used by somebody else, or withdrawn.
    #[error("the invitation is no longer open; ask for a new one")]
    InvitationUsed,
    /// A touchstone cannot exchange signals with itself.
    #[error("{0} is this touchstone itself, expected another member")]
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

/// A member by its id or its name, among those that were not expelled.
///
/// # Errors
/// [`AllianceError::UnknownMember`].
pub fn member(gallery: &Gallery, alliance: &str, named: &str) -> Result<Member, AllianceError> {
    let members = gallery.members(Some(alliance), false)?;
    let is = |member: &Member| member.id.as_ref().is_some_and(|id| id.as_str() == named) || member.name == named;
    members.into_iter().find(is).ok_or_else(|| AllianceError::UnknownMember(named.to_owned()))
}
