use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use maud::{Markup, html};

use super::graph::{Series, bars};
use super::parts::{age, as_they_are, audit_rows, choice, time};
use super::{Shell, page};
use crate::domain::BrandId;
use crate::gallery::{AuditEntry, DayCount, Session};
use crate::index::Stats;
use crate::page::visible;

/// Contents of the overview.
#[derive(Debug)]
pub struct OverviewPage<'a> {
    /// The signed-in moderator's session.
    pub session: &'a Session,
    /// The days, oldest first, as YYYY-MM-DD.
    pub days: &'a [String],
    /// Number of checks by day and action.
    pub checks: &'a [(String, u64)],
    /// Number of cases by day and brand.
    pub cases: &'a [DayCount],
    /// The brand that the charts show; `None` for all brands.
    pub brand: Option<&'a str>,
    /// Number of waiting cases, and the time of the oldest one.
    pub waiting: (u64, Option<Timestamp>),
    /// Brands with their numbers of authentic and fake active references.
    pub brands: &'a [(BrandId, [usize; 2])],
    /// The index's statistics, and its version with the gallery's revision.
    pub index: (&'a Stats, &'a str),
    /// Number of references in doubt, which match identical photos only.
    pub by_identity_only: usize,
    /// The gallery's newest revision.
    pub revision: u64,
    /// Sellers with the most cases decided as counterfeit: the number, and the time of the last one.
    pub sellers: &'a [(String, u64, Option<Timestamp>)],
}

/// The whole overview page: figures, charts and tables.
#[must_use]
pub fn overview(show: &OverviewPage<'_>) -> Markup {
    let content = html! {
        h1 { "Overview" }
        (now(show))
        h2 { "The last " (show.days.len()) " days" }
        form.filters #filters method="get" action="/console/overview" {
            (choice("brand", "Brand", show.brand, "all", &as_they_are(&names(show))))
            button { "Show" }
        }
        div.graphs { (graphs(show)) }
        h2 { "Overturned cases, per 100 decided" }
        p.note { "A case counts on the day on which it was opened. It is overturned if its match was wrong: not a match, or a known fake's photo of legitimate goods." }
        div.graphs { (rates(show)) }
        h2 { "Brands" }
        (brands(show))
        h2 { "Sellers with the most cases decided as counterfeit" }
        @if show.sellers.is_empty() { p.empty { "none yet" } }
        ol.plain {
            @for (seller, fakes, last) in show.sellers {
                li {
                    a href=(super::sellers::seller_address(seller)) { (visible(seller)) } ": " (fakes)
                    @if let Some(last) = last { span.note { ", last " (time(*last)) } }
                }
            }
        }
    };
    page(Shell { title: "Overview", session: Some(show.session), part: "overview", notice: None }, &content)
}

fn now(show: &OverviewPage<'_>) -> Markup {
    let (stats, version) = show.index;
    let oldest = show.waiting.1.map_or_else(|| "none".to_owned(), age);
    let behind = version.rsplit_once('+').and_then(|(_, applied)| applied.parse::<u64>().ok());
    let behind = behind.map(|applied| show.revision.saturating_sub(applied)).unwrap_or_default();
    html! {
        dl.tiles {
            div { dt { "Cases waiting" } dd { (show.waiting.0) } }
            div { dt { "Age of the oldest" } dd { (oldest) } }
            div { dt { "References served" } dd { (stats.keys) } }
            @if show.by_identity_only > 0 { div { dt { "Matched by identity only" } dd { (show.by_identity_only) } } }
            div { dt { "Index" } dd { (version) span.note { " " (if stats.graph { "graph" } else { "exact scan" }) } } }
            div { dt { "Changes not served yet" } dd { (behind) } }
        }
    }
}

/// Totals of each day for one brand, or for all brands.
fn by_day(show: &OverviewPage<'_>, brand: Option<&str>, value: impl Fn(&DayCount) -> u64) -> Vec<u64> {
    let shown = |one: &&DayCount| brand.is_none_or(|brand| one.brand.as_deref() == Some(brand));
    let of_day = |day: &String| show.cases.iter().filter(shown).filter(|one| one.day == *day).map(&value).sum();
    show.days.iter().map(of_day).collect()
}

/// Brands that have references or cases.
fn names<'a>(show: &OverviewPage<'a>) -> Vec<&'a str> {
    let served = show.brands.iter().map(|(brand, _)| brand.as_str());
    let names: BTreeSet<&str> = served.chain(show.cases.iter().filter_map(|one| one.brand.as_deref())).collect();
    names.into_iter().collect()
}

/// Number of brands whose rate is charted when none is chosen: those with the most decisions.
const RATES: usize = 8;

/// The share of a brand's decided cases that were overturned, day by day.
fn rates(show: &OverviewPage<'_>) -> Markup {
    let mut plots: Vec<(u64, &str, Vec<u64>)> = names(show)
        .into_iter()
        .filter(|name| show.brand.is_none_or(|brand| brand == *name))
        .map(|name| {
            let decided = by_day(show, Some(name), |one| one.decided);
            let overturned = by_day(show, Some(name), |one| one.overturned);
            let rates = decided.iter().zip(overturned).map(|(all, gone)| (gone * 100).checked_div(*all).unwrap_or(0));
            (decided.iter().sum(), name, rates.collect())
        })
        .filter(|(decided, ..)| *decided > 0)
        .collect();
    plots.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    plots.truncate(RATES);
    html! {
        @if plots.is_empty() { p.empty { "no case decided yet" } }
        @for (decided, name, values) in plots {
            (bars(&format!("{name} ({decided} decided)"), show.days, &[Series { name: "overturned per 100", class: "s3", values }], Some(100)))
        }
    }
}

fn graphs(show: &OverviewPage<'_>) -> Markup {
    let checks: BTreeMap<&str, u64> = show.checks.iter().map(|(day, count)| (day.as_str(), *count)).collect();
    let of_brand = |value: fn(&DayCount) -> u64| by_day(show, show.brand, value);
    let (reviews, blocks) = (of_brand(|one| one.reviews), of_brand(|one| one.blocks));
    let allowed = show.days.iter().enumerate().map(|(place, day)| {
        let all = checks.get(day.as_str()).copied().unwrap_or_default();
        all.saturating_sub(reviews[place] + blocks[place])
    });
    let all = [
        Series { name: "allowed", class: "s0", values: allowed.collect() },
        Series { name: "review", class: "s1", values: reviews.clone() },
        Series { name: "block", class: "s2", values: blocks.clone() },
    ];
    let cases = [
        Series { name: "review", class: "s1", values: reviews },
        Series { name: "block", class: "s2", values: blocks },
    ];
    let outcome = [
        Series { name: "counterfeit", class: "s2", values: of_brand(|one| one.found[0]) },
        Series { name: "photo misused", class: "s1", values: of_brand(|one| one.found[1]) },
        Series { name: "authorised", class: "s3", values: of_brand(|one| one.found[2]) },
        Series { name: "not a match", class: "s0", values: of_brand(|one| one.found[3]) },
    ];
    html! {
        // A check without a match belongs to no brand.
        @if show.brand.is_none() { (bars("Checks", show.days, &all, None)) }
        (bars("Cases", show.days, &cases, None))
        (bars("Decisions on these cases", show.days, &outcome, None))
    }
}

fn brands(show: &OverviewPage<'_>) -> Markup {
    let served: BTreeMap<&str, [usize; 2]> =
        show.brands.iter().map(|(brand, counts)| (brand.as_str(), *counts)).collect();
    let sum = |name: &str, value: &dyn Fn(&DayCount) -> u64| -> u64 {
        show.cases.iter().filter(|one| one.brand.as_deref() == Some(name)).map(value).sum()
    };
    html! {
        div.scroll tabindex="0" role="region" aria-label="Brands" {
            table {
                thead { tr {
                    th scope="col" { "Brand" } th scope="col" { "Authentic" } th scope="col" { "Fake" } th scope="col" { "Reviews" }
                    th scope="col" { "Blocks" } th scope="col" { "Decided" } th scope="col" { "Overturned" }
                } }
                tbody {
                    @for name in names(show) {
                        @let [authentic, fake] = served.get(name).copied().unwrap_or_default();
                        @let (decided, overturned) = (sum(name, &|one| one.decided), sum(name, &|one| one.overturned));
                        tr {
                            th scope="row" { a href=(format!("/console/queue?brand={name}")) { (name) } }
                            td { (authentic) } td { (fake) }
                            td { (sum(name, &|one| one.reviews)) } td { (sum(name, &|one| one.blocks)) }
                            td { (decided) }
                            td { (overturned) @if decided > 0 { " (" (overturned * 100 / decided) " %)" } }
                        }
                    }
                }
            }
        }
    }
}

/// The newest entries of the audit log.
#[must_use]
pub fn audit(session: &Session, entries: &[AuditEntry]) -> Markup {
    let content = html! {
        h1 { "Audit log" }
        p.note { "The newest " (entries.len()) " entries. No entry can be changed; each contains the SHA-256 of the previous one." }
        (audit_rows(entries))
    };
    page(Shell { title: "Audit log", session: Some(session), part: "audit", notice: None }, &content)
}
