use maud::{Markup, html};

use super::parts::{Picture, age, as_they_are, choice, percent, small, state, text_field, words};
use super::{Shell, csrf, page};
use crate::gallery::{BrandId, CaseStatus, QueueQuery, Queued, Session};
use crate::page::visible;
use crate::verdict::Verdict;

/// What the queue shows.
#[derive(Debug)]
pub struct QueuePage<'a> {
    /// Who looks.
    pub session: &'a Session,
    /// By what is filtered.
    pub query: &'a QueueQuery,
    /// The same, as it stands in an address.
    pub address: &'a str,
    /// The cases, each with the sum of the photo that decides.
    pub cases: &'a [(Queued, Option<String>)],
    /// How many wait in all.
    pub waiting: u64,
    /// Brands to choose from.
    pub brands: &'a [BrandId],
}

/// The whole page.
#[must_use]
pub fn queue(show: &QueuePage<'_>) -> Markup {
    let content = html! {
        h1 { "Queue" }
        form.filters #filters method="get" action="/console/queue" hx-get="/console/queue" hx-trigger="change, input delay:300ms"
            hx-target="#results" hx-push-url="true" role="search" aria-label="Filters" {
            (filters(show))
            noscript { button { "Filter" } }
        }
        div #results { (queue_rows(show)) }
    };
    page(Shell { title: "Queue", session: Some(show.session), part: "queue", notice: None }, &content)
}

fn filters(show: &QueuePage<'_>) -> Markup {
    const VERDICTS: [Verdict; 7] = [
        Verdict::KnownFakeMatch,
        Verdict::KnownFakeLikely,
        Verdict::AuthenticPhotoReuse,
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
    }
}

/// The cases, and the button that takes the most urgent one.
#[must_use]
pub fn queue_rows(show: &QueuePage<'_>) -> Markup {
    html! {
        div.bar {
            form method="post" action="/console/queue/next" {
                (csrf(show.session))
                input type="hidden" name="queue" value=(show.address);
                button.main data-key="q" { "Take the next case" }
            }
            p.note { (show.cases.len()) " shown, " (show.waiting) " waiting; the riskiest first" }
        }
        @if show.cases.is_empty() { p.empty { "No case fits." } }
        ol.rows {
            @for (queued, photo) in show.cases { (row(queued, photo.as_deref(), show.address)) }
        }
    }
}

fn row(queued: &Queued, photo: Option<&str>, address: &str) -> Markup {
    let case = &queued.case;
    let href = format!("/console/cases/{}?{}", case.check_id, queue_part(address));
    html! {
        li {
            a.row data-row href=(href) {
                span.shot { @if let Some(sum) = photo { (small(Picture::Photo(sum), "")) } }
                span.about {
                    strong { (words(&case.verdict)) }
                    " · " (percent(case.probability))
                    @if let Some(brand) = &case.brand { " · " (brand) }
                    @if case.action == "block" { " · " span.tag.block { "block" } }
                    @if case.status == CaseStatus::Appealed { " · " span.tag { "appeal" } }
                    br;
                    span.note {
                        @if let Some(seller) = &case.seller_id { "seller " (visible(seller)) ", " (queued.seller_fakes) " of " (queued.seller_decided) " decided as counterfeit · " }
                        "waiting " (age(case.created_at)) " · " (state(case))
                    }
                }
                span.risk { span.note { "risk" } " " (format!("{:.2}", queued.risk)) }
            }
        }
    }
}

/// The filters that a case hands on, so that the next one comes from the same queue.
pub(super) fn queue_part(address: &str) -> String {
    if address.is_empty() {
        return String::new();
    }
    let mut part = url::form_urlencoded::Serializer::new(String::new());
    part.append_pair("queue", address);
    part.finish()
}
