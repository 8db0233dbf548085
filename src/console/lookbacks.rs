use maud::{Markup, html};

use super::parts::{encoded, time};
use super::{Shell, page};
use crate::gallery::{Lookback, ModelLookback, Session};

/// Contents of the page of lookbacks.
#[derive(Debug)]
pub struct LookbacksPage<'a> {
    /// The signed-in moderator's session.
    pub session: &'a Session,
    /// Whether checked photos are remembered.
    pub remembers: bool,
    /// The newest searches for references, and whether there are more.
    pub references: (&'a [Lookback], bool),
    /// The newest searches after a change of the model.
    pub models: &'a [ModelLookback],
}

/// The whole page: searches for references, and searches after a change of the model.
#[must_use]
pub fn lookbacks(show: &LookbacksPage<'_>) -> Markup {
    let (references, more) = show.references;
    let content = html! {
        h1 { "Lookbacks" }
        @if !show.remembers { p.note { "New checks are not remembered: " code { "memory.keep" } " is off." } }
        h2 { "Fakes that became known later" }
        @if references.is_empty() { p.empty { "No fake reference has been searched for yet." } }
        @else {
            @if more { p.note { "Only the newest " (references.len()) " are shown." } }
            div.scroll tabindex="0" role="region" aria-label="Fakes that became known later" {
                table {
                    thead { tr { th scope="col" { "Reference" } th scope="col" { "Brand" } (figures()) } }
                    tbody {
                        @for one in references {
                            tr {
                                th.path scope="row" {
                                    a href=(format!("/console/references/{}", encoded(&one.reference_id))) { (one.reference_id) }
                                }
                                td { (one.brand) }
                                td { (one.photos) } td { (one.found) }
                                td { (time(one.asked_at)) }
                                td { @match one.done_at { Some(when) => (time(when)), None => "waits or runs" } }
                            }
                        }
                    }
                }
            }
        }
        h2 { "After a change of the model" }
        p { "When another model begins to serve, the stored photos of earlier checks are judged again." }
        div.scroll tabindex="0" role="region" aria-label="After a change of the model" {
            table {
                thead { tr { th scope="col" { "Model" } (figures()) } }
                tbody {
                    @for one in show.models {
                        tr {
                            th.path scope="row" { (one.model) }
                            td { (one.photos) } td { (one.found) }
                            td { (time(one.asked_at)) }
                            td { @match one.done_at { Some(when) => (time(when)), None => "waits or runs" } }
                        }
                    }
                }
            }
        }
    };
    page(Shell { title: "Lookbacks", session: Some(show.session), part: "lookbacks", notice: None }, &content)
}

/// The headings of the columns that both tables have.
fn figures() -> Markup {
    html! {
        th scope="col" { "Photos searched" } th scope="col" { "Found" } th scope="col" { "Requested" } th scope="col" { "Ended" }
    }
}
