//! Proposals to close sellers' accounts: a moderator confirms or dismisses them.

use strum::{EnumString, IntoStaticStr, VariantNames};

use super::desk::Worker;
use super::{Desk, DeskError};
use crate::domain::{ClosureState, InvalidName};
use crate::gallery::{Closure, ClosureResult};

/// What a moderator does with a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case", parse_err_ty = InvalidName, parse_err_fn = not_act)]
pub enum ClosureAct {
    /// Asks the marketplace to close the account.
    Confirm,
    /// Dismisses the proposal, or takes a confirmed closure back.
    Dismiss,
}

fn not_act(text: &str) -> InvalidName {
    InvalidName(format!("act is {text:?}, expected one of {}", ClosureAct::VARIANTS.join(", ")))
}

impl ClosureAct {
    /// The state that the act leads to.
    #[must_use]
    pub fn goal(self) -> ClosureState {
        match self {
            Self::Confirm => ClosureState::Confirmed,
            Self::Dismiss => ClosureState::Dismissed,
        }
    }
}

impl Desk {
    /// Confirms or dismisses a proposal to close a seller's account that the moderator saw in the state `seen`.
    ///
    /// # Errors
    /// When there is no such proposal, its state is another one or does not allow the act, the reason is missing, or the database returns
    /// an error. Nothing is changed then.
    pub fn decide_closure(
        &self,
        worker: &Worker,
        (id, seen): (&str, ClosureState),
        act: ClosureAct,
        reason: Option<&str>,
    ) -> Result<Closure, DeskError> {
        let reason = reason.ok_or(DeskError::NoReason)?;
        let who = (worker.name.as_str(), worker.session.as_str());
        let decided = self.parts.screener.gallery.decide_closure(who, (id, seen), (act.goal(), reason))?;
        match decided.ok_or_else(|| DeskError::UnknownClosure(id.to_owned()))? {
            ClosureResult::Done(closure) => Ok(*closure),
            ClosureResult::NotAllowed(from) => {
                Err(DeskError::ClosureNotAllowed { id: id.to_owned(), from, to: act.goal() })
            }
        }
    }
}
