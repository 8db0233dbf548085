use maud::{Markup, html};

use super::parts::{Picture, age, alike, as_they_are, choice, small, state, text_field, words};
use super::{Shell, csrf, page};
use crate::domain::{BrandId, CaseStatus};
use crate::gallery::{QueueQuery, Queued, Session};
use crate::page::visible;
use crate::verdict::Verdict;

/// Contents of the queue's page.
#[derive(Debug)]
pub struct QueuePage<'a> {
    /// The signed-in moderator's session.
    pub session: &'a Session,
    /// The filters as parsed.
    pub query: &'a QueueQuery,
    /// The filters as a query string.
    pub address: &'a str,
    /// The cases on this page.
    pub cases: &'a [Queued],
    /// Number of all cases that match the filters.
    pub all: u64,
    /// Number of this page, from 1.
    pub page: usize,
    /// Brands that the filter offers.
    pub brands: &'a [BrandId],
    /// A notice for the top of the page.
    pub notice: Option<&'a str>,
}

/// The whole queue page: filters, counts and cases.
#[must_use]
pub fn queue(show: &QueuePage<'_>) -> Markup {
    let content = html! {
        h1 { "Queue" }
        form.filters #filters method="get" action="/console/queue" hx-get="/console/queue" hx-trigger="input delay:300ms"
            hx-target="#results" hx-replace-url="true" role="search" aria-label="Filters" {
            (filters(show))
            noscript { button { "Filter" } }
        }
        div.bar {
            form method="post" action="/console/queue/next" {
                (csrf(show.session))
                input #from type="hidden" name="queue" value=(show.address);
                button.main data-key="q" { "Take the next case" }
            }
            p.note #count role="status" { (count(show)) }
        }
        div #results { (rows(show)) }
    };
    page(Shell { title: "Queue", session: Some(show.session), part: "queue", notice: show.notice }, &content)
}

fn filters(show: &QueuePage<'_>) -> Markup {
    const VERDICTS: [Verdict; 9] = [
        Verdict::KnownFakeMatch,
        Verdict::KnownFakeLikely,
        Verdict::AuthenticPhotoReuse,
        Verdict::BrandMarkImitated,
        Verdict::BrandMarkSeen,
        Verdict::SameProductLookalike,
        Verdict::Conflict,
        Verdict::GenericOrLowInformation,
        Verdict::Undecidable,
    ];
    let same = |text: &str| (text.to_owned(), words(text));
    let verdicts = VERDICTS.map(|verdict| same(verdict.as_str()));
    let statuses = [CaseStatus::Open, CaseStatus::Appealed, CaseStatus::Decided].map(|status| same(status.as_str()));
    html! {
        (choice("brand", "Brand", show.query.brand.as_deref(), "any", &as_they_are(show.brands)))
        (choice("verdict", "Verdict", show.query.verdict.as_deref(), "any", &verdicts))
        (choice("action", "Action", show.query.action.as_deref(), "any", &[same("review"), same("block")]))
        (choice("status", "Status", show.query.status.map(CaseStatus::as_str), "waiting", &statuses))
        (text_field("seller", "Seller", "search", show.query.seller.as_deref()))
        (text_field("id", "Case or listing", "search", show.query.id.as_deref()))
    }
}

/// The cases, with the other parts of the page that depend on the filters.
#[must_use]
pub fn queue_rows(show: &QueuePage<'_>) -> Markup {
    html! {
        input #from type="hidden" name="queue" value=(show.address) hx-swap-oob="true";
        span hx-swap-oob="innerHTML:#count" { (count(show)) }
        (rows(show))
    }
}

fn count(show: &QueuePage<'_>) -> Markup {
    let order = match show.query.status {
        Some(CaseStatus::Decided) => "newest decision first",
        _ => "riskiest first",
    };
    let first = show.query.offset + 1;
    html! {
        @if show.cases.is_empty() { "none of " (show.all) } @else { (first) " to " (show.query.offset + show.cases.len()) " of " (show.all) }
        "; " (order)
    }
}

fn rows(show: &QueuePage<'_>) -> Markup {
    html! {
        @if show.cases.is_empty() { p.empty { "No case matches the filters." } }
        ol.rows {
            @for queued in show.cases { (row(queued, show.address)) }
        }
        nav.pages aria-label="Pages" {
            @if show.page > 1 { a href=(page_address(show.address, show.page - 1)) { "Previous page" } }
            @if ((show.query.offset + show.cases.len()) as u64) < show.all {
                a href=(page_address(show.address, show.page + 1)) { "Next page" }
            }
        }
    }
}

fn page_address(address: &str, page: usize) -> String {
    let separator = if address.is_empty() { "" } else { "&" };
    format!("/console/queue?{address}{separator}page={page}")
}

fn row(queued: &Queued, address: &str) -> Markup {
    let case = &queued.case;
    let href = format!("/console/cases/{}?{}", case.check_id, queue_part(address));
    html! {
        li {
            a.row data-row href=(href) {
                span.shot { @if let Some(sum) = case.photo.as_deref().and_then(|sum| sum.parse().ok()).filter(|_| queued.photo_stored) { (small(Picture::Photo(sum), "")) } }
                span.about {
                    strong { (words(&case.verdict)) }
                    " · " (alike(case))
                    @if let Some(brand) = &case.brand { " · " (brand) }
                    @if case.action == "block" { " · " span.tag.block { "block" } }
                    @if case.status == CaseStatus::Appealed { " · " span.tag { "appeal" } }
                    @if queued.alike > 0 { " · " span.tag { (more(queued)) } }
                    br;
                    span.note {
                        @if let Some(seller) = &case.seller_id { "seller " (visible(seller)) ", " (queued.seller_fakes) " of " (queued.seller_decided) " decided as counterfeit · " }
                        @if let Some(when) = case.decided_at { "decided " (age(when)) " ago · " } @else { "waiting " (age(case.created_at)) " · " }
                        (state(case))
                    }
                }
                span.risk { span.note { "risk" } " " (format!("{:.2}", queued.risk)) }
            }
        }
    }
}

/// How many other cases ask the same question.
fn more(queued: &Queued) -> String {
    let sellers = if queued.sellers == 1 { "seller" } else { "sellers" };
    format!("and {} more, {} {sellers}", queued.alike, queued.sellers)
}

/// The filters as a query parameter of a case's address, so that the next case comes from the same queue.
pub(super) fn queue_part(address: &str) -> String {
    if address.is_empty() {
        return String::new();
    }
    let mut part = url::form_urlencoded::Serializer::new(String::new());
    part.append_pair("queue", address);
    part.finish()
}
