//! What is told on the page that is gone to: its code stands in the address.

use axum::response::{IntoResponse, Redirect, Response};

/// Something that was done, or could not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    DecidedLast,
    DecisionUndone,
    QuarantineUndone,
    AddedUndone,
    NothingFree,
}

impl Told {
    const ALL: [Self; 5] =
        [Self::DecidedLast, Self::DecisionUndone, Self::QuarantineUndone, Self::AddedUndone, Self::NothingFree];

    fn code(self) -> &'static str {
        match self {
            Self::DecidedLast => "decided-last",
            Self::DecisionUndone => "decision-undone",
            Self::QuarantineUndone => "quarantine-undone",
            Self::AddedUndone => "added-undone",
            Self::NothingFree => "nothing-free",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::DecidedLast => "Decided; u takes it back. No other case is free for you here.",
            Self::DecisionUndone => "The decision is taken back; the case is yours again.",
            Self::QuarantineUndone => "The reference takes part in checks again.",
            Self::AddedUndone => "The reference that was added is gone again.",
            Self::NothingFree => "No case is free for you here.",
        }
    }

    /// The address of a page that tells it.
    pub(super) fn at(self, page: &str) -> String {
        let separator = if page.contains('?') { '&' } else { '?' };
        format!("{page}{separator}told={}", self.code())
    }

    pub(super) fn redirect(self, page: &str) -> Response {
        Redirect::to(&self.at(page)).into_response()
    }
}

/// The words for a code; an unknown one says nothing.
pub(super) fn told(code: Option<&str>) -> Option<&'static str> {
    Told::ALL.into_iter().find(|told| Some(told.code()) == code).map(Told::text)
}
