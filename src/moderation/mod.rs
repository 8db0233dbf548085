//! Moderation: deciding cases with lasting effect, undoing decisions, appeals, and evidence.

mod accounts;
mod desk;
mod evidence;
mod finder;
mod judging;
mod notices;
mod sellers;
mod statement;

use thiserror::Error;

use crate::domain::{ClosureState, InvalidName, NoticeState};
use crate::enrolment::EnrolError;
use crate::gallery::{Case, GalleryError};
use crate::library::LibraryError;

pub use accounts::{AccountError, LoginGuard, SignIn, put_account, sign_in, token_sum};
pub use desk::{CaseView, Desk, Judgement, PairView, SharedQuestion, Worker};
pub use evidence::{EvidenceError, Verified, bundle, verify};
pub use finder::{Finder, Near, Subject};
pub use notices::{FilingError, MOST_EVIDENCE, MOST_LISTINGS, NoticeAct, file_notice};
pub use sellers::ClosureAct;
pub use statement::{Platform, Section, Statement};

/// Why an act of a moderator failed.
#[derive(Debug, Error)]
pub enum DeskError {
    /// No case has this id.
    #[error("there is no case {0}: only checks that were not allowed are cases")]
    Unknown(String),
    /// The moderator may not decide the case: it is decided, claimed by somebody else, or an appeal against them.
    #[error("{}", not_theirs(.0))]
    NotTheirs(Box<Case>),
    /// The photo has no such match to decide about.
    #[error(
        "case {0} has no such match to decide about; decide fake or authorised, or name a photo and a reference of it"
    )]
    NoSuchPair(String),
    /// The case has no such photo, or its bytes are not stored.
    #[error("case {id} has no photo {index}, or its bytes are not stored")]
    NoSuchPhoto {
        /// Id of the case.
        id: String,
        /// The requested number of the photo, from 0.
        index: usize,
    },
    /// The session has nothing to undo.
    #[error("there is nothing to undo in this session")]
    NothingToUndo,
    /// Somebody has changed the subject since.
    #[error("{action} of {subject} cannot be undone: somebody has changed it since")]
    ChangedSince {
        /// The act to undo.
        action: String,
        /// Id of the act's subject.
        subject: String,
    },
    /// The case has no restricting decision, or was already appealed.
    #[error("{}", cannot_appeal(.0))]
    CannotAppeal(Box<Case>),
    /// The moderator saw the case with a match that is not an authentic photo.
    #[error(
        "case {0} was not decided on an authentic photo's match; photo_misuse needs a match to a brand's own photo"
    )]
    NoAuthenticMatch(String),
    /// The decision does not restrict the listing, so a statement of reasons has no subject.
    #[error(
        "case {0} is decided neither as fake nor as photo_misuse; only these two decisions have a statement of reasons"
    )]
    NothingRestricted(String),
    /// The case's entries in the log were erased.
    #[error(
        "the record of case {0} was erased, at its seller's request or after its retention; evidence cannot be made"
    )]
    Erased(String),
    /// The reference to quarantine does not exist, or is not active.
    #[error("reference {0} does not exist or is not active")]
    NoActiveReference(String),
    /// No reference has this id.
    #[error("there is no reference {0}")]
    NoSuchReference(String),
    /// No notice has this id, or it has no such listing.
    #[error("there is no notice {0}, or it has no such listing")]
    UnknownNotice(String),
    /// A listing's state does not allow the change.
    #[error("{}", transition_not_allowed(*.from, *.to, .allowed))]
    TransitionNotAllowed {
        /// The state as it is.
        from: NoticeState,
        /// The requested state.
        to: NoticeState,
        /// The states that the actor may choose.
        allowed: Vec<NoticeState>,
    },
    /// The seller objects to a request that rests on this moderator's own decision.
    #[error("the counter-notice is against your own decision; somebody else has to decide")]
    OwnNotice,
    /// Nothing is known about this seller.
    #[error("nothing is known about the seller {0:?}; check the id")]
    UnknownSeller(String),
    /// No proposal to close an account has this id.
    #[error("there is no proposal {0} to close an account; open the seller's page again")]
    UnknownClosure(String),
    /// The proposal's state does not allow the change.
    #[error("the proposal {id} is {} and cannot become {}; open the seller's page again", .from.as_str(), .to.as_str())]
    ClosureNotAllowed {
        /// Id of the proposal.
        id: String,
        /// The state as it is.
        from: ClosureState,
        /// The requested state.
        to: ClosureState,
    },
    /// No listing of the notice is in a state that the act concerns.
    #[error("no listing of notice {0} is in a state that allows this")]
    NothingToChange(String),
    /// The act needs a reason.
    #[error("the reason is empty; write one")]
    NoReason,
    /// No stored photo has this SHA-256.
    #[error("no photo with the sha256 {0} is stored; send it again")]
    NoSuchUpload(crate::photo::Sha256),
    /// The photo to look up cannot be screened.
    #[error(transparent)]
    Screen(#[from] crate::screening::ScreenError),
    /// A name is invalid.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The stored answer cannot be parsed.
    #[error("the stored answer cannot be read: {0}")]
    Answer(#[from] serde_json::Error),
    /// The database returned an error.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// The change is stored, but the library could not apply it yet.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The photo cannot be enrolled as a reference.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// The evidence bundle cannot be made.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
}

/// A sentence about a change of state that is not allowed.
#[must_use]
pub fn transition_not_allowed(from: NoticeState, to: NoticeState, allowed: &[NoticeState]) -> String {
    let allowed: Vec<&str> = allowed.iter().map(|state| state.as_str()).collect();
    let expected = if allowed.is_empty() { "no change".to_owned() } else { allowed.join(" or ") };
    format!("the listing is {}; {} is not allowed from there, expected {expected}", from.as_str(), to.as_str())
}

fn not_theirs(case: &Case) -> String {
    let id = &case.check_id;
    match (case.holder(), case.decision) {
        (_, Some(decision)) if case.status == crate::domain::CaseStatus::Decided => {
            format!(
                "case {id} was decided as {} by {}",
                decision.as_str(),
                case.decided_by.as_deref().unwrap_or("somebody")
            )
        }
        (Some(holder), _) => format!("case {id} is claimed by {holder}"),
        _ => format!("the appeal in case {id} is against your own decision; somebody else has to decide"),
    }
}

fn cannot_appeal(case: &Case) -> String {
    let id = &case.check_id;
    match &case.appeal {
        Some(_) => format!("case {id} was already appealed; the second decision is final here"),
        None => format!(
            "case {id} is decided neither as fake nor as photo_misuse; only these two decisions can be appealed"
        ),
    }
}
