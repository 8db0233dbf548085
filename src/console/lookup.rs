use maud::{Markup, html};

use super::cases::standing;
use super::parts::{Picture, as_they_are, choice, small, text_field, time};
use super::{Shell, csrf, page};
use crate::domain::{BrandId, Reference, ReferenceState};
use crate::gallery::Session;
use crate::moderation::Near;
use crate::page::visible;

/// Contents of the look-up page.
#[derive(Debug)]
pub struct LookupPage<'a> {
    /// The signed-in moderator's session.
    pub session: &'a Session,
    /// The photo or reference to look up, with its description; `None` before one is chosen.
    pub subject: Option<(Picture, String)>,
    /// The filters' values by name; `photo` or `reference` names the subject.
    pub chosen: &'a [(String, String)],
    /// The results, nearest first.
    pub found: &'a [Near],
    /// Brands that the filter offers.
    pub brands: &'a [BrandId],
    /// A notice for the top of the page.
    pub notice: Option<&'a str>,
}

impl LookupPage<'_> {
    fn chosen(&self, name: &str) -> Option<&str> {
        chosen(self.chosen, name)
    }
}

/// The value of a filter; `None` where it is empty or absent.
#[must_use]
pub fn chosen<'a>(all: &'a [(String, String)], name: &str) -> Option<&'a str> {
    all.iter().find(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.as_str())
}

/// The whole look-up page: upload form, filters and results.
#[must_use]
pub fn lookup(show: &LookupPage<'_>) -> Markup {
    let content = html! {
        h1 { "Similar references" }
        form.drop #drop method="post" action="/console/lookup" enctype="multipart/form-data" {
            (csrf(show.session))
            label { "Drop a photo here, paste one, or choose a file" input #photo type="file" name="photo" accept="image/*" required; }
            button.main { "Look it up" }
        }
        @if let Some((picture, alt)) = &show.subject {
            div.subject {
                figure { (small(*picture, alt)) figcaption { (alt) } }
                form.filters #filters method="get" action="/console/lookup" hx-get="/console/lookup" hx-trigger="input delay:300ms"
                    hx-target="#results" hx-replace-url="true" role="search" aria-label="Filters" {
                    (filters(show))
                    noscript { button { "Filter" } }
                }
            }
            p.note #count role="status" { (count(show)) }
            div #results { (grid(show)) }
        }
    };
    page(Shell { title: "Look-up", session: Some(show.session), part: "lookup", notice: show.notice }, &content)
}

fn filters(show: &LookupPage<'_>) -> Markup {
    let states = [ReferenceState::Disabled, ReferenceState::Quarantined, ReferenceState::Retired];
    let states = states.map(ReferenceState::as_str);
    html! {
        @for name in ["photo", "reference"] {
            @if let Some(value) = show.chosen(name) { input type="hidden" name=(name) value=(value); }
        }
        (choice("brand", "Brand", show.chosen("brand"), "any", &as_they_are(show.brands)))
        (choice("polarity", "Polarity", show.chosen("polarity"), "any", &as_they_are(&["authentic", "fake"])))
        (text_field("product", "Product", "search", show.chosen("product")))
        (choice("state", "State", show.chosen("state"), "active", &as_they_are(&states)))
        (text_field("since", "Added from", "date", show.chosen("since")))
        (text_field("until", "Added to", "date", show.chosen("until")))
    }
}

/// The grid of results, and their number.
#[must_use]
pub fn results(show: &LookupPage<'_>) -> Markup {
    html! {
        span hx-swap-oob="innerHTML:#count" { (count(show)) }
        (grid(show))
    }
}

fn count(show: &LookupPage<'_>) -> Markup {
    html! { "the " (show.found.len()) " most similar references, nearest first; 1.000 means an identical photo" }
}

fn grid(show: &LookupPage<'_>) -> Markup {
    html! { ol.grid { @for near in show.found { (result(near)) } } }
}

pub(super) fn result(near: &Near) -> Markup {
    let Near { reference, similarity } = near;
    let claim = &reference.claim;
    let alt = format!("{} reference of {}", claim.polarity, claim.brand);
    html! {
        li {
            a data-row href=(format!("/console/references/{}", reference.id)) {
                (small(Picture::Reference(reference.photo.sha256), &alt))
                span.similarity { (format!("{similarity:.3}")) }
            }
            p {
                span class=(format!("tag {}", claim.polarity)) { (claim.polarity) } " " (claim.brand)
                @if let Some(product) = &claim.details.product { br; span.note { (visible(product)) } }
                @if reference.state != ReferenceState::Active || reference.mark.is_some() || reference.photo.is_by_identity_only() { br; span.note { (standing(reference)) } }
                br; a.note href=(format!("/console/lookup?reference={}", reference.id)) { "Find similar references" }
            }
        }
    }
}

/// The page of one reference.
#[must_use]
pub fn reference(
    session: &Session,
    reference: &Reference,
    (confirmed, overturned): (u64, u64),
    notice: Option<&str>,
) -> Markup {
    let (claim, photo) = (&reference.claim, &reference.photo);
    let details = claim.details.named().filter_map(|(name, _, text)| Some((name, text?)));
    let sum = photo.sha256;
    let content = html! {
        h1 { (claim.polarity) " reference of " (claim.brand) }
        div.columns {
            figure {
                img src=(Picture::Reference(sum).address(1200)) alt=(format!("The {} reference of {}", claim.polarity, claim.brand)) width=(photo.width) height=(photo.height);
            }
            section {
                dl.figures {
                    dt { "Id" } dd.path { (reference.id) }
                    dt { "State" } dd { (standing(reference)) }
                    @for doubt in &photo.doubts { dt { "In doubt" } dd { (doubt) ": " (doubt.text()) } }
                    @for (name, text) in details { dt { (name.replace('_', " ")) } dd { (visible(text)) } }
                    dt { "Matches so far" } dd { (confirmed) " confirmed, " (overturned) " overturned" }
                    dt { "Size" } dd { (photo.width) " × " (photo.height) ", " (photo.media_type) }
                    dt { "Added" } dd { (time(reference.created_at)) }
                    dt { "sha256" } dd.path { (sum) }
                }
                p { a href=(format!("/console/lookup?reference={}", reference.id)) { "Find similar references" } }
                @if reference.state == ReferenceState::Active {
                    form.stack method="post" action=(format!("/console/references/{}/quarantine", reference.id)) {
                        (csrf(session)) input type="hidden" name="case" value="";
                        label { "Reason to quarantine it" input name="why" required maxlength="1000"; }
                        button { "Quarantine the reference" }
                    }
                }
            }
        }
    };
    page(Shell { title: "Reference", session: Some(session), part: "lookup", notice }, &content)
}
