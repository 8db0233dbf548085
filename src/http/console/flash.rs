//! Notices that the next page shows: the address carries a notice's code.

use axum::response::{IntoResponse, Redirect, Response};

/// What the last act did, or why it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flash {
    DecidedLast,
    DecisionUndone,
    QuarantineUndone,
    AddedUndone,
    NothingFree,
    NoticeChanged,
    SentAgain,
    ClosureDecided,
}

impl Flash {
    const ALL: [Self; 8] = [
        Self::DecidedLast,
        Self::DecisionUndone,
        Self::QuarantineUndone,
        Self::AddedUndone,
        Self::NothingFree,
        Self::NoticeChanged,
        Self::SentAgain,
        Self::ClosureDecided,
    ];

    fn code(self) -> &'static str {
        match self {
            Self::DecidedLast => "decided-last",
            Self::DecisionUndone => "decision-undone",
            Self::QuarantineUndone => "quarantine-undone",
            Self::AddedUndone => "added-undone",
            Self::NothingFree => "nothing-free",
            Self::NoticeChanged => "notice-changed",
            Self::SentAgain => "sent-again",
            Self::ClosureDecided => "closure-decided",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::DecidedLast => "Decided. Press u to undo. No other case with these filters is free.",
            Self::DecisionUndone => "The decision is undone. You have claimed the case again.",
            Self::QuarantineUndone => "The reference takes part in checks again.",
            Self::AddedUndone => "The added reference is deleted again.",
            Self::NothingFree => "No case with these filters is free.",
            Self::NoticeChanged => "The notice was changed; its history shows how.",
            Self::SentAgain => "The event will be sent again at once.",
            Self::ClosureDecided => "The decision is stored, and an event tells the marketplace.",
        }
    }

    /// The address of `page` with the notice's code.
    pub(super) fn at(self, page: &str) -> String {
        let separator = if page.contains('?') { '&' } else { '?' };
        format!("{page}{separator}told={}", self.code())
    }

    pub(super) fn redirect(self, page: &str) -> Response {
        Redirect::to(&self.at(page)).into_response()
    }
}

/// The notice for a code; `None` for an unknown one.
pub(super) fn flash_text(code: Option<&str>) -> Option<&'static str> {
    Flash::ALL.into_iter().find(|flash| Some(flash.code()) == code).map(Flash::text)
}
