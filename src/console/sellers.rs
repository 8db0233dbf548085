//! Sellers: the list of proposals to close accounts, and one seller with strikes, links, cases and notices.

use maud::{Markup, html};

use super::network::network;
use super::parts::{age, audit_rows, decision_words, encoded, state, time, words};
use super::{Shell, csrf, page};
use crate::domain::{ClosureState, Strike, StrikeGround, StrikeOptions};
use crate::gallery::{AuditEntry, Case, Closure, LinkGraph, SellerRecord, Session};
use crate::moderation::ClosureAct;
use crate::page::visible;

/// Contents of the list of proposals.
#[derive(Debug)]
pub struct SellersPage<'a> {
    /// The signed-in moderator's session.
    pub session: &'a Session,
    /// The proposals that wait for a moderator.
    pub closures: &'a [Closure],
}

/// Address of a seller's page.
#[must_use]
pub fn seller_address(seller: &str) -> String {
    format!("/console/sellers?seller={}", encoded(seller))
}

/// The whole page of the list.
#[must_use]
pub fn sellers(show: &SellersPage<'_>) -> Markup {
    let content = html! {
        h1 { "Sellers" }
        form.filters #filters method="get" action="/console/sellers" role="search" aria-label="Find a seller" {
            label { "The marketplace's id of the seller" input name="seller" required autocomplete="off"; }
            button { "Open" }
        }
        h2 { "Proposals to close an account" }
        @if show.closures.is_empty() { p.empty { "No proposal waits for a decision." } }
        ol.rows { @for closure in show.closures { (row(closure)) } }
    };
    page(Shell { title: "Sellers", session: Some(show.session), part: "sellers", notice: None }, &content)
}

fn row(closure: &Closure) -> Markup {
    html! {
        li {
            a.row data-row href=(seller_address(&closure.seller_id)) {
                span.about {
                    strong { (visible(&closure.seller_id)) } " · " span.tag.fake[closure.state == ClosureState::Proposed] { (closure_words(closure.state)) }
                    br;
                    span.note { "proposed " (age(closure.proposed_at)) " ago with " (strikes_in_words(closure.strikes)) }
                }
            }
        }
    }
}

pub(super) fn closure_words(state: ClosureState) -> &'static str {
    match state {
        ClosureState::Proposed => "closure proposed",
        ClosureState::Confirmed => "closure confirmed",
        ClosureState::Doubted => "closure in doubt",
        ClosureState::Dismissed => "proposal dismissed",
        ClosureState::Withdrawn => "proposal withdrawn",
    }
}

pub(super) fn strikes_in_words(strikes: u64) -> String {
    if strikes == 1 { "1 strike".to_owned() } else { format!("{strikes} strikes") }
}

/// Contents of a seller's page.
#[derive(Debug)]
pub struct SellerPage<'a> {
    /// The signed-in moderator's session.
    pub session: &'a Session,
    /// What is known about the seller.
    pub record: &'a SellerRecord,
    /// How strikes count.
    pub options: &'a StrikeOptions,
    /// The sellers that share photos with this one.
    pub graph: &'a LinkGraph,
    /// The seller's newest cases.
    pub cases: &'a [Case],
    /// The newest proposal's entries in the audit log, newest first.
    pub log: &'a [AuditEntry],
    /// A notice for the top of the page.
    pub notice: Option<&'a str>,
}

/// The whole page of a seller.
#[must_use]
pub fn seller(show: &SellerPage<'_>) -> Markup {
    let record = show.record;
    let content = html! {
        h1 { "Seller " (visible(&record.seller_id)) @if let Some(closure) = &record.closure { " " span.tag { (closure_words(closure.state)) } } }
        p.note {
            @if let (Some(first), Some(last)) = (record.first_check_at, record.last_check_at) { "Checks from " (time(first)) " to " (time(last)) "." }
            @else { "No check of this seller is stored." }
        }
        (closure(show))
        (tiles(record))
        (strikes(show))
        (links(show))
        (cases(show))
        @if !show.log.is_empty() { section { h2 { "History of the newest proposal" } (audit_rows(show.log)) } }
    };
    let title = format!("Seller {}", record.seller_id);
    page(Shell { title: &title, session: Some(show.session), part: "sellers", notice: show.notice }, &content)
}

/// The newest proposal, with the moderator's buttons.
fn closure(show: &SellerPage<'_>) -> Markup {
    let Some(closure) = &show.record.closure else { return html! {} };
    let acts = [ClosureAct::Confirm, ClosureAct::Dismiss].map(|act| (act, closure.state.may_become(act.goal())));
    html! {
        section {
            h2 { (explained(closure.state)) }
            @if let Some(by) = &closure.decided_by {
                p { "Decided by " (by) @if closure.state != ClosureState::Doubted { ", " (time(closure.updated_at)) } @if let Some(reason) = &closure.reason { ": " (visible(reason)) } }
            }
            @if acts.iter().any(|(_, may)| *may) {
                form.bar method="post" action=(format!("/console/closures/{}/decide", encoded(&closure.id))) {
                    (csrf(show.session))
                    input type="hidden" name="seen" value=(closure.state.as_str());
                    label.grow { "Reason (required)" textarea name="reason" maxlength="1000" rows="1" required {} }
                    @for (act, may) in acts {
                        @if may { button.fake[act == ClosureAct::Confirm] name="act" value=(<&str>::from(act)) { (act_words(act, closure.state)) } }
                    }
                }
            }
        }
    }
}

fn explained(state: ClosureState) -> &'static str {
    match state {
        ClosureState::Proposed => "Should the marketplace close this account?",
        ClosureState::Doubted => {
            "Too many strikes of this closure were overturned or are under appeal. Should the account stay closed?"
        }
        ClosureState::Confirmed => "The marketplace is asked to close this account",
        ClosureState::Dismissed => "The proposal to close this account was dismissed",
        ClosureState::Withdrawn => "The proposal to close this account was withdrawn: too few strikes count",
    }
}

fn act_words(act: ClosureAct, state: ClosureState) -> &'static str {
    match (act, state) {
        (ClosureAct::Confirm, ClosureState::Doubted) => "Keep the closure",
        (ClosureAct::Confirm, _) => "Close the account",
        (ClosureAct::Dismiss, ClosureState::Confirmed | ClosureState::Doubted) => "Take the closure back",
        (ClosureAct::Dismiss, _) => "Dismiss the proposal",
    }
}

fn tiles(record: &SellerRecord) -> Markup {
    let checks: u64 = record.checks.values().sum();
    let allowed = record.checks.get("allow").copied().unwrap_or_default();
    let tile = |name: &str, value: Markup| html! { div { dt { (name) } dd { (value) } } };
    html! {
        dl.tiles {
            (tile("Checks", html! { (checks) }))
            (tile("Checks not allowed", html! { (checks - allowed) }))
            (tile("Cases waiting", html! { (record.waiting) }))
            @for (decision, count) in &record.decisions { (tile(&format!("Decided: {}", decision_words(*decision)), html! { (count) })) }
            @if record.appeals.waiting > 0 { (tile("Appeals waiting", html! { (record.appeals.waiting) })) }
            @if record.appeals.granted + record.appeals.dismissed > 0 { (tile("Appeals granted", html! { (record.appeals.granted) " of " (record.appeals.granted + record.appeals.dismissed) })) }
            @for (state, count) in &record.notices { (tile(&format!("Notices: {}", super::notices::state_words(*state)), html! { (count) })) }
            (tile("Strikes", html! { (record.strikes) }))
        }
    }
}

fn strikes(show: &SellerPage<'_>) -> Markup {
    let StrikeOptions { days, closure, .. } = show.options;
    html! {
        section {
            h2 { "Strikes" }
            p.note {
                "Strikes count for " (days) " days. "
                @if *closure > 0 { "From " (strikes_in_words(u64::from(*closure))) " on, touchstone proposes to close the account. " }
                "Several infringements about one photo or one listing count once. Decisions under appeal and removals under a counter-notice do not count."
            }
            @if show.record.infringements.is_empty() { p.empty { "No strike." } }
            @else {
                div.scroll tabindex="0" role="region" aria-label="Strikes" {
                    table {
                        thead { tr { th scope="col" { "When" } th scope="col" { "Why" } th scope="col" { "Strikes" } th scope="col" { "Brand" } th scope="col" { "Listing" } th scope="col" { "Evidence" } } }
                        tbody { @for strike in &show.record.infringements { (strike_row(strike)) } }
                    }
                }
            }
        }
    }
}

fn strike_row(strike: &Strike) -> Markup {
    let why = match strike.ground {
        StrikeGround::Fake => "counterfeit",
        StrikeGround::PhotoMisuse => "photo misused",
        StrikeGround::Removed => "removed after a brand's notice",
    };
    html! {
        tr {
            td { (time(strike.at)) } td { (why) } td { (strike.strikes) }
            td { (strike.brand.as_deref().unwrap_or_default()) }
            td.path { (visible(strike.listing_id.as_deref().unwrap_or_default())) }
            td.path {
                @match (&strike.notice_id, &strike.check_id) {
                    (Some(notice), _) => a href=(super::notices::notice_address(notice)) { (notice) },
                    (None, Some(check)) => a href=(format!("/console/cases/{}", encoded(check))) { (check) },
                    (None, None) => "",
                }
            }
        }
    }
}

fn links(show: &SellerPage<'_>) -> Markup {
    let LinkGraph { links, truncated, .. } = show.graph;
    html! {
        section {
            h2 { "Sellers who used the same photos" }
            @if links.is_empty() { p.empty { "No other seller is known to have used the same photos." } }
            @else {
                p.note {
                    "The number in a circle is the seller's strikes; a thicker line means more shared photos. Brands' own photos, generic photos, and photos that more than " (show.options.shared_most) " sellers used are left out. A shared photo is a hint, not a proof: one seller may have copied the other's photo."
                    @if *truncated { " Some sellers or photos are left out because there are too many." }
                }
                (network(show.graph))
                p { a href=(format!("/console/sellers/links.csv?seller={}", encoded(&show.record.seller_id))) download { "Download the links as CSV" } }
            }
        }
    }
}

fn cases(show: &SellerPage<'_>) -> Markup {
    html! {
        section {
            h2 { "Cases" }
            @if show.cases.is_empty() { p.empty { "No case." } }
            @if show.record.waiting > 0 { p { a href=(format!("/console/queue?seller={}", encoded(&show.record.seller_id))) { "Show the waiting cases in the queue" } } }
            ol.plain {
                @for case in show.cases {
                    li { a href=(format!("/console/cases/{}", encoded(&case.check_id))) { (words(&case.verdict)) } ", " (time(case.created_at)) ": " (state(case)) }
                }
            }
        }
    }
}
