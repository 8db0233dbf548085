//! Parts that several pages share.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::domain::{CaseStatus, Decision};
use crate::gallery::{AuditEntry, Case};
use crate::page::visible;
use crate::photo::Sha256;

/// The source of a small photo, by the SHA-256 of its bytes.
#[derive(Debug, Clone, Copy)]
pub enum Picture {
    /// A photo that a check or a look-up sent.
    Photo(Sha256),
    /// A reference's photo.
    Reference(Sha256),
}

impl Picture {
    /// The address of the version whose longer side has `side` pixels.
    #[must_use]
    pub fn address(self, side: u32) -> String {
        match self {
            Self::Photo(sum) => format!("/console/pictures/photo/{sum}/{side}"),
            Self::Reference(sum) => format!("/console/pictures/reference/{sum}/{side}"),
        }
    }
}

/// A text percent-encoded, as the value of a query or as part of a path.
#[must_use]
pub fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// A small photo in a grid.
pub(super) fn small(picture: Picture, alt: &str) -> Markup {
    html! { img src=(picture.address(320)) alt=(alt) loading="lazy" decoding="async" width="320" height="320"; }
}

/// A time to the minute for people, with the exact one for machines.
pub(super) fn time(when: Timestamp) -> Markup {
    html! { time datetime=(when) { (when.strftime("%Y-%m-%d %H:%M")) " UTC" } }
}

/// Time since `when`, rounded to minutes, hours or days.
pub(super) fn age(when: Timestamp) -> String {
    let minutes = (Timestamp::now().as_second() - when.as_second()).max(0) / 60;
    match minutes {
        0..=119 => format!("{minutes} min"),
        120..=2879 => format!("{} h", minutes / 60),
        _ => format!("{} d", minutes / 1440),
    }
}

pub(super) fn percent(probability: f64) -> String {
    format!("{:.1} %", probability * 100.0)
}

/// The probability that the case's photo is a copy, in words.
pub(super) fn alike(case: &Case) -> String {
    match case.reference {
        Some(_) => format!("copy {}", percent(case.probability)),
        None if matches!(case.verdict.as_str(), "known_fake_likely" | "authentic_photo_reuse") => {
            "signal of another member".to_owned()
        }
        None => "no match".to_owned(),
    }
}

/// A code in words: `known_fake_match` becomes "known fake match".
pub(super) fn words(code: &str) -> String {
    code.replace(['_', '-'], " ")
}

/// A decision in words.
#[must_use]
pub fn decision_words(decision: Decision) -> &'static str {
    match decision {
        Decision::Fake => "counterfeit",
        Decision::PhotoMisuse => "photo misused",
        Decision::Authorised => "authorised",
        Decision::NoMatch => "not a match",
    }
}

/// The status of a case in one line.
pub(super) fn state(case: &Case) -> String {
    let by = case.decided_by.as_deref().unwrap_or("somebody");
    match (case.status, case.decision) {
        (CaseStatus::Decided, Some(decision)) => match &case.precedent {
            Some(_) => format!("{}, following an earlier decision", decision_words(decision)),
            None => format!("{} ({by})", decision_words(decision)),
        },
        (CaseStatus::Appealed, Some(decision)) => format!("appealed; was {} ({by})", decision_words(decision)),
        (status, _) => match case.holder() {
            Some(holder) => format!("{}, claimed by {holder}", status.as_str()),
            None => status.as_str().to_owned(),
        },
    }
}

/// A select field of a filter: pairs of value and words; the empty value is `any`.
pub(super) fn choice(name: &str, label: &str, chosen: Option<&str>, any: &str, values: &[(String, String)]) -> Markup {
    html! {
        label {
            (label)
            select name=(name) {
                option value="" selected[chosen.is_none()] { (any) }
                @for (value, words) in values {
                    option value=(value) selected[chosen == Some(value)] { (words) }
                }
            }
        }
    }
}

/// Values whose words are the values themselves.
pub(super) fn as_they_are<T: ToString>(values: &[T]) -> Vec<(String, String)> {
    values.iter().map(|value| (value.to_string(), value.to_string())).collect()
}

pub(super) fn text_field(name: &str, label: &str, kind: &str, value: Option<&str>) -> Markup {
    html! { label { (label) input name=(name) type=(kind) value=[value]; } }
}

/// Entries of the audit log as rows of a table.
pub(super) fn audit_rows(entries: &[AuditEntry]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Log" {
            table {
                thead { tr { th scope="col" { "Entry" } th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "What" } th scope="col" { "About" } th scope="col" { "Before and after" } } }
                tbody {
                    @for entry in entries {
                        tr {
                            td { (entry.seq) }
                            td { (time(entry.at)) }
                            td { (entry.actor) }
                            td { (words(&entry.action)) }
                            td.path { (visible(&entry.subject)) }
                            td {
                                @if entry.is_erased() {
                                    "erased"
                                } @else if entry.before != "null" || entry.after != "null" {
                                    details {
                                        summary { "Show" }
                                        p.path { "before: " (visible(&entry.before)) }
                                        p.path { "after: " (visible(&entry.after)) }
                                        p.path { "sha256: " (entry.sha256) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
