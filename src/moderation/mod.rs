//! What moderators do: decide cases so that it sticks, take decisions back, hear appeals, hand out evidence.

mod accounts;
mod desk;
mod evidence;
mod finder;
mod judging;
mod statement;

use thiserror::Error;

use crate::enrolment::EnrolError;
use crate::gallery::{Case, GalleryError, InvalidName};
use crate::library::LibraryError;

pub use accounts::{AccountError, LoginGuard, SignIn, put_account, sign_in, token_sum};
pub use desk::{CaseView, Desk, Judgement, PairView, Worker};
pub use evidence::{EvidenceError, Verified, bundle, verify};
pub use finder::{Finder, Near, Subject};
pub use statement::{Platform, Section, Statement};

/// Why something was not done.
#[derive(Debug, Error)]
pub enum DeskError {
    /// No such case.
    #[error("there is no case {0}: only checks that were not allowed are cases")]
    Unknown(String),
    /// It is not theirs to decide.
    #[error("{}", not_theirs(.0))]
    NotTheirs(Box<Case>),
    /// There is no match to decide about.
    #[error(
        "case {0} has no such match to decide about; decide fake or authorised, or name a photo and a reference of it"
    )]
    NoSuchPair(String),
    /// No such photo in the case.
    #[error("case {id} has no photo {index}, or its bytes were not kept")]
    NoSuchPhoto {
        /// The case.
        id: String,
        /// The place asked for.
        index: usize,
    },
    /// Nothing is left to take back.
    #[error("there is nothing to undo in this session")]
    NothingToUndo,
    /// Somebody else has gone on with it.
    #[error("{action} of {subject} cannot be undone: somebody has changed it since")]
    ChangedSince {
        /// What was done.
        action: String,
        /// About what.
        subject: String,
    },
    /// An appeal needs a decision, and there is one appeal a case.
    #[error("{}", cannot_appeal(.0))]
    CannotAppeal(Box<Case>),
    /// Only a brand's own photo is misused.
    #[error("case {0} was looked at through no authentic match: photo_misuse is about a brand's own photo")]
    NoAuthenticMatch(String),
    /// There is no restriction to state reasons for.
    #[error("case {0} is decided neither as fake nor as photo_misuse: there is no restriction to state reasons for")]
    NothingRestricted(String),
    /// What the log said of the case was erased.
    #[error(
        "what was said about case {0} was erased, because its seller wanted it or it was too old: it proves nothing any more"
    )]
    Erased(String),
    /// The reference cannot be held back.
    #[error("there is no reference {0} that takes part in checks")]
    NoActiveReference(String),
    /// No such reference.
    #[error("there is no reference {0}")]
    NoSuchReference(String),
    /// No such photo among those that are kept.
    #[error("no photo with the sum {0} is kept here; send it again")]
    NoSuchUpload(crate::photo::Sha256),
    /// A photo cannot be looked up.
    #[error(transparent)]
    Screen(#[from] crate::screening::ScreenError),
    /// A name is none.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The stored answer cannot be read.
    #[error("the stored answer cannot be read: {0}")]
    Answer(#[from] serde_json::Error),
    /// The database said no.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// It is kept, but does not count yet.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// A photo cannot become a reference.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// The bundle cannot be made.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
}

fn not_theirs(case: &Case) -> String {
    let id = &case.check_id;
    match (case.holder(), case.decision) {
        (_, Some(decision)) if case.status == crate::gallery::CaseStatus::Decided => {
            format!(
                "case {id} was decided as {} by {}",
                decision.as_str(),
                case.decided_by.as_deref().unwrap_or("somebody")
            )
        }
        (Some(holder), _) => format!("case {id} is being worked on by {holder}"),
        _ => format!("the appeal in case {id} is against your own decision; somebody else has to decide"),
    }
}

fn cannot_appeal(case: &Case) -> String {
    let id = &case.check_id;
    match &case.appeal {
        Some(_) => format!("case {id} was appealed already; its second decision is the last one here"),
        None => format!("case {id} is decided neither as fake nor as photo_misuse: there is nothing to appeal against"),
    }
}
