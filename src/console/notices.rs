//! Takedown notices: the list, and one notice with the moderator's buttons.

use jiff::Timestamp;
use maud::{Markup, html};

use super::parts::{age, as_they_are, audit_rows, choice, encoded, time, words};
use super::{Shell, csrf, page};
use crate::domain::{NoticeSource, NoticeState, Party};
use crate::gallery::{AuditEntry, Notice, NoticeListing, NoticeQuery, NoticeSummary, Session};
use crate::moderation::NoticeAct;
use crate::page::visible;

/// Contents of the list of notices.
#[derive(Debug)]
pub struct NoticesPage<'a> {
    /// The signed-in moderator's session.
    pub session: &'a Session,
    /// The filters as parsed.
    pub query: &'a NoticeQuery,
    /// The filters as a query string.
    pub address: &'a str,
    /// The notices on this page.
    pub notices: &'a [NoticeSummary],
    /// Number of all notices that match the filters.
    pub all: u64,
    /// Number of this page, from 1.
    pub page: usize,
    /// Brands that the filter offers: those with notices.
    pub brands: &'a [String],
}

/// The whole page of the list: filters, count and notices.
#[must_use]
pub fn notices(show: &NoticesPage<'_>) -> Markup {
    let states = NoticeState::ALL.map(|state| (state.as_str().to_owned(), state_words(state).to_owned()));
    let content = html! {
        h1 { "Notices" }
        form.filters #filters method="get" action="/console/notices" role="search" aria-label="Filters" {
            (choice("brand", "Brand", show.query.brand.as_deref(), "any", &as_they_are(show.brands)))
            (choice("state", "State of a listing", show.query.state.map(NoticeState::as_str), "any", &states))
            button { "Filter" }
        }
        p.note #count role="status" { (count(show)) }
        @if show.notices.is_empty() { p.empty { "No notice matches the filters." } }
        ol.rows { @for summary in show.notices { (row(summary)) } }
        nav.pages aria-label="Pages" {
            @if show.page > 1 { a href=(page_address(show, show.page - 1)) { "Previous page" } }
            @if ((show.query.offset + show.notices.len()) as u64) < show.all {
                a href=(page_address(show, show.page + 1)) { "Next page" }
            }
        }
    };
    page(Shell { title: "Notices", session: Some(show.session), part: "notices", notice: None }, &content)
}

fn count(show: &NoticesPage<'_>) -> Markup {
    let first = show.query.offset + 1;
    html! {
        @if show.notices.is_empty() { "none of " (show.all) } @else { (first) " to " (show.query.offset + show.notices.len()) " of " (show.all) }
        "; waiting ones first, then overdue ones, then those that nobody has reviewed"
    }
}

fn page_address(show: &NoticesPage<'_>, page: usize) -> String {
    let separator = if show.address.is_empty() { "" } else { "&" };
    format!("/console/notices?{}{separator}page={page}", show.address)
}

fn row(summary: &NoticeSummary) -> Markup {
    let NoticeSummary { notice, states, overdue, unreviewed } = summary;
    let waiting = states.get(&NoticeState::Waiting).copied().unwrap_or_default();
    html! {
        li {
            a.row data-row href=(notice_address(&notice.id)) {
                span.about {
                    strong { (source_words(notice.source)) }
                    @if let Some(brand) = &notice.brand { " · " (brand) }
                    @if waiting > 0 { " · " span.tag { (waiting) " waiting" } }
                    @if *overdue > 0 { " · " span.tag.fake { (overdue) " overdue" } }
                    @if *unreviewed > 0 { " · " span.tag { (unreviewed) " not yet reviewed" } }
                    br;
                    span.note {
                        (age(notice.created_at)) " ago"
                        @for (state, count) in states { " · " (count) " " (state_words(*state)) }
                    }
                }
            }
        }
    }
}

/// Address of a notice's page.
pub(super) fn notice_address(id: &str) -> String {
    format!("/console/notices/{}", encoded(id))
}

fn source_words(source: NoticeSource) -> &'static str {
    match source {
        NoticeSource::Moderation => "from moderation",
        NoticeSource::Brand => "from the brand",
    }
}

/// A state in words.
pub(super) fn state_words(state: NoticeState) -> &'static str {
    match state {
        NoticeState::Waiting => "waiting for a moderator",
        NoticeState::Rejected => "rejected",
        NoticeState::Requested => "takedown requested",
        NoticeState::Acknowledged => "acknowledged",
        NoticeState::Removed => "removed",
        NoticeState::Refused => "refused by the marketplace",
        NoticeState::Countered => "counter-notice of the seller",
        NoticeState::Restored => "restored",
        NoticeState::Withdrawn => "withdrawn",
    }
}

/// Contents of a notice's page.
#[derive(Debug)]
pub struct NoticePage<'a> {
    /// The signed-in moderator's session.
    pub session: &'a Session,
    /// The notice.
    pub about: &'a Notice,
    /// Its listings in their order.
    pub listings: &'a [NoticeListing],
    /// The notice's entries in the audit log, newest first.
    pub log: &'a [AuditEntry],
    /// A notice for the top of the page.
    pub notice: Option<&'a str>,
}

/// The whole page of a notice.
#[must_use]
pub fn notice_page(show: &NoticePage<'_>) -> Markup {
    let Notice { id, brand, source, created_at, filed_by, .. } = show.about;
    let content = html! {
        h1 { "Notice " span.tag { (source_words(*source)) } }
        p.note {
            span.path { (id) } " · " (time(*created_at)) ", " (age(*created_at)) " ago · filed by " (filed_by)
            @if let Some(brand) = brand { " · brand " (brand) }
        }
        @if show.listings.len() > 1 { (all(show)) }
        h2 { "Listings" }
        ol.rows { @for listing in show.listings { (listing_item(show, listing)) } }
        section { h2 { "History of this notice" } (audit_rows(show.log)) }
    };
    page(Shell { title: "Notice", session: Some(show.session), part: "notices", notice: show.notice }, &content)
}

/// The acts that concern all listings of the notice at once.
fn all(show: &NoticePage<'_>) -> Markup {
    let offered = offered(show);
    html! {
        @if !offered.is_empty() { section.more { h2 { "All listings" } (act_form(show, None, &offered)) } }
    }
}

/// The acts that at least one of these listings allows.
fn offered(show: &NoticePage<'_>) -> Vec<NoticeAct> {
    let mut offered: Vec<NoticeAct> = Vec::new();
    for act in show.listings.iter().flat_map(|listing| acts(show, listing)) {
        // Whether a removed listing should come back is asked one by one.
        if !offered.contains(&act) && act != NoticeAct::AskRestore {
            offered.push(act);
        }
    }
    offered
}

/// Whether the seller objects to a request that rests on this moderator's own decision.
fn is_own(show: &NoticePage<'_>, listing: &NoticeListing) -> bool {
    listing.state == NoticeState::Countered && listing.decided_by.as_deref() == Some(&show.session.account)
}

/// What the moderator may do with a listing.
fn acts(show: &NoticePage<'_>, listing: &NoticeListing) -> Vec<NoticeAct> {
    let notice = show.about;
    let next = listing.state.next(notice.source, Party::Moderator);
    let moves = next.into_iter().filter(|_| !is_own(show, listing)).filter_map(|to| match to {
        NoticeState::Requested => Some(NoticeAct::Request),
        NoticeState::Rejected => Some(NoticeAct::Reject),
        NoticeState::Restored => Some(NoticeAct::Restore),
        NoticeState::Removed => Some(NoticeAct::Keep),
        _ => None,
    });
    let confirm = listing.is_unreviewed().then_some(NoticeAct::Confirm);
    let down = listing.state == NoticeState::Removed && !listing.restore_asked;
    let ask = (down && notice.source == NoticeSource::Brand).then_some(NoticeAct::AskRestore);
    let all = confirm.into_iter().chain(moves).chain(ask);
    all.filter(|_| listing.listing_id.is_some()).collect()
}

fn act_words(act: NoticeAct) -> &'static str {
    match act {
        NoticeAct::Request => "Request the takedown",
        NoticeAct::Reject => "Reject the notice",
        NoticeAct::Confirm => "Confirm the request",
        NoticeAct::Restore => "Grant the counter-notice",
        NoticeAct::Keep => "Dismiss the counter-notice",
        NoticeAct::AskRestore => "Ask to restore the listing",
    }
}

fn act_form(show: &NoticePage<'_>, listing: Option<&str>, acts: &[NoticeAct]) -> Markup {
    let takes_reason = acts.iter().any(|act| *act != NoticeAct::Confirm);
    html! {
        form.bar method="post" action=(format!("{}/act", notice_address(&show.about.id))) {
            (csrf(show.session))
            @if let Some(listing) = listing { input type="hidden" name="listing" value=(listing); }
            @if takes_reason { label.grow { "Reason (the marketplace and the brand can read it)" textarea name="reason" maxlength="1000" rows="1" {} } }
            @for act in acts {
                button.main[*act == NoticeAct::Request] name="act" value=(<&str>::from(*act)) { (act_words(*act)) }
            }
        }
    }
}

fn listing_item(show: &NoticePage<'_>, listing: &NoticeListing) -> Markup {
    let acts = acts(show, listing);
    let row = |name: &str, value: Markup| html! { dt { (name) } dd { (value) } };
    let text = |text: &str| html! { (visible(text)) };
    html! {
        li {
            h3 {
                @match &listing.listing_id { Some(id) => { "Listing " (visible(id)) }, None => { "An erased listing" } }
                " " span.tag { (state_words(listing.state)) }
                @if listing.is_overdue(Timestamp::now()) { " " span.tag.fake { "overdue" } }
                @if listing.is_unreviewed() { " " span.tag { "not yet reviewed" } }
            }
            dl.figures {
                (row("Ground", html! { (words(<&str>::from(listing.ground))) }))
                @if let Some(seller) = &listing.checked_seller { (row("Seller", html! { a href=(super::sellers::seller_address(seller)) { (visible(seller)) } })) }
                @if let Some(seller) = listing.seller_id.as_ref().filter(|seller| listing.checked_seller.as_ref() != Some(seller)) { (row("Seller, as the notice says", html! { (visible(seller)) })) }
                @if let Some(reference) = &listing.reference_id { (row("Reference", html! { a href=(format!("/console/references/{}", encoded(reference))) { (visible(reference)) } })) }
                @if let Some(check) = &listing.check_id { (row("Check", html! { @if show.about.source == NoticeSource::Moderation { a.path href=(format!("/console/cases/{}", encoded(check))) { (check) } } @else { span.path { (check) } } })) }
                @if let Some(evidence) = &listing.evidence { (row("Evidence", text(evidence))) }
                @if let Some(reason) = &listing.reason { (row("Reason", text(reason))) }
                @if let Some(by) = &listing.decided_by { (row("Decided by", text(by))) }
                @if let Some(deadline) = listing.deadline_at.filter(|_| listing.state.is_due()) { (row("Answer expected by", time(deadline))) }
                @if listing.restore_asked { (row("Restoring", text("the marketplace is asked to show the listing again"))) }
            }
            @if is_own(show, listing) { p.locked { "The counter-notice is against your own decision. Another moderator must decide it." } }
            @if let Some(id) = listing.listing_id.as_deref().filter(|_| !acts.is_empty()) {
                (act_form(show, Some(id), &acts))
            }
        }
    }
}

/// The takedown notices about a case's listing.
pub(super) fn of_case(notices: &[(Notice, NoticeListing)]) -> Markup {
    html! {
        @if !notices.is_empty() {
            section {
                h2 { "Takedown notices" }
                ol.plain {
                    @for (notice, listing) in notices {
                        li {
                            a href=(notice_address(&notice.id)) { (source_words(notice.source)) ", " (time(notice.created_at)) } ": " (state_words(listing.state))
                            @if listing.restore_asked { "; the marketplace is asked to restore the listing" }
                        }
                    }
                }
            }
        }
    }
}
