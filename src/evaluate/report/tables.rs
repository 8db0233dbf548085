//! The tables of a report.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::{class_name, percent};
use crate::evaluate::metrics::{Alarms, Figures, Ranking, Rate, Signal};
use crate::evaluate::record::Class;

/// A table that scrolls by itself on narrow pages; the keyboard can reach and scroll it.
fn scroll(label: &str, caption: &str, rows: &Markup) -> Markup {
    html! {
        div.scroll role="region" aria-label=(label) tabindex="0" {
            table { caption { span { (caption) } } (rows) }
        }
    }
}

/// A row of column headers.
fn columns(names: &[&str]) -> Markup {
    html! { thead { tr { @for name in names { th scope="col" { (name) } } } } }
}

/// A share as "93.2\u{a0}%" with its interval and counts.
fn cell(rate: Rate) -> Markup {
    html! {
        (rate.share.map_or_else(|| "–".to_owned(), percent))
        @if rate.of > 0 {
            small { (percent(rate.low)) " to " (percent(rate.high)) }
            small { (rate.count) " of " (rate.of) }
        }
    }
}

/// A share per 100,000 with its interval and counts.
fn per_100_000(rate: Rate) -> Markup {
    let scaled = |share: f64| format!("{:.0}", share * 1e5);
    html! {
        (rate.share.map_or_else(|| "–".to_owned(), scaled))
        @if rate.of > 0 {
            small { (scaled(rate.low)) " to " (scaled(rate.high)) }
            small { (rate.count) " of " (rate.of) }
        }
    }
}

/// A row's name, and its value for one set of figures.
type Row<'a> = (&'a str, Box<dyn Fn(&Figures) -> Markup>);

/// The value of a row from the ranking by evidence.
fn by_evidence(figure: impl Fn(&Ranking) -> Markup + 'static) -> Box<dyn Fn(&Figures) -> Markup> {
    Box::new(move |figures| figures.ranking(Signal::Evidence).map_or_else(|| html! { "–" }, &figure))
}

fn alarm_row(of: fn(&Figures) -> &Alarms, pick: fn(&Alarms) -> Rate) -> Box<dyn Fn(&Figures) -> Markup> {
    Box::new(move |figures| per_100_000(pick(of(figures))))
}

fn headline_rows() -> Vec<Row<'static>> {
    let recall = |place: usize| {
        by_evidence(
            move |r| html! { (r.at_precision.get(place).map_or_else(|| "–".to_owned(), |o| percent(o.recall))) },
        )
    };
    vec![
        ("Micro average precision (uAP)", by_evidence(|r| html! { (percent(r.average_precision)) })),
        ("Recall at precision 90\u{a0}%", recall(0)),
        ("Recall at precision 99\u{a0}%", recall(1)),
        ("Recall at precision 99.9\u{a0}%", recall(2)),
        ("Recall at 1", by_evidence(|r| cell(r.recall_at_1))),
        ("True reference first, 0.1\u{a0}% of wrongs above", by_evidence(|r| cell(r.at_wrongs.overall))),
        ("The same, unedited copies", by_evidence(|r| cell(r.at_wrongs.near_copies))),
        ("Unrelated photos with any alarm, per 100,000", alarm_row(|f| &f.unrelated, |a| a.any)),
        ("Unrelated photos called a copy, per 100,000", alarm_row(|f| &f.unrelated, |a| a.copy)),
        ("Photos of the same kind with any alarm, per 100,000", alarm_row(|f| &f.same_kind, |a| a.any)),
        ("Photos of the same kind called a copy, per 100,000", alarm_row(|f| &f.same_kind, |a| a.copy)),
        ("Expected calibration error, all pairings", Box::new(|f| html! { (percent(f.calibration.pooled.error)) })),
        (
            "Expected calibration error, highest pairings",
            Box::new(|f| html! { (percent(f.calibration.highest.error)) }),
        ),
        ("Area under risk-coverage (lower is better)", Box::new(|f| html! { (percent(f.risk.area)) })),
    ]
}

/// The main figures, ranked by evidence, for each side of the split.
pub(super) fn headline(fit: &Figures, test: &Figures, all: &Figures) -> Markup {
    let classes: BTreeSet<Class> = all.queries.keys().copied().collect();
    let count = |figures: &Figures, class| figures.queries.get(&class).copied().unwrap_or(0);
    let views =
        |figures: &Figures, class| figures.views.get(&class).map_or_else(|| "–".to_owned(), |v| format!("{v:.2}"));
    scroll(
        "Headline figures",
        "Test is the result; thresholds were chosen on Fit. Pairings ranked by evidence; 95\u{a0}% intervals.",
        &html! {
            (columns(&["Figure", "Test", "Fit", "All"]))
            tbody {
                @for &class in &classes {
                    tr {
                        th scope="row" { "Queries: " (class_name(class)) }
                        td.wanted { (count(test, class)) } td { (count(fit, class)) } td { (count(all, class)) }
                    }
                }
                @for (name, value) in headline_rows() {
                    tr { th scope="row" { (name) } td.wanted { (value(test)) } td { (value(fit)) } td { (value(all)) } }
                }
                @for &class in &classes {
                    tr {
                        th scope="row" { "Mean views: " (class_name(class)) }
                        td.wanted { (views(test, class)) } td { (views(fit, class)) } td { (views(all, class)) }
                    }
                }
            }
        },
    )
}

/// Signals and baselines side by side.
pub(super) fn systems(figures: &Figures) -> Markup {
    scroll(
        "Signals and baselines",
        "Signals and baselines on Test",
        &html! {
            (columns(&[
                "Ranked by", "uAP", "Recall at precision 90\u{a0}%", "99\u{a0}%", "99.9\u{a0}%", "Recall at 1",
                "True reference first, 0.1\u{a0}% of wrongs above",
            ]))
            tbody { @for ranking in &figures.rankings {
                tr {
                    th scope="row" { (ranking.name) }
                    td { (percent(ranking.average_precision)) }
                    @for operating in &ranking.at_precision { td { (percent(operating.recall)) } }
                    td { (cell(ranking.recall_at_1)) }
                    td { (cell(ranking.at_wrongs.overall)) }
                }
            } }
        },
    )
}

/// Recall at the wrongs' threshold by transform and strength, with bars.
pub(super) fn recall(figures: &Figures) -> Markup {
    let Some(found) = figures.ranking(Signal::Evidence).map(|ranking| &ranking.at_wrongs) else { return html! {} };
    let mut strengths: Vec<&String> = found.by_strength.keys().collect();
    strengths.sort_by_key(|strength| ["light", "medium", "heavy"].iter().position(|known| known == strength));
    let row = |name: &str, all: Option<Rate>, of: &dyn Fn(&String) -> Option<Rate>| {
        html! {
            tr {
                th scope="row" { (name) }
                (bar(all))
                @for &strength in &strengths { (bar(of(strength))) }
            }
        }
    };
    scroll(
        "Recall by transform and strength",
        "Copies with the true reference first on Test, by evidence",
        &html! {
            thead { tr {
                th scope="col" { "Transform" } th scope="col" { "All" }
                @for &strength in &strengths { th scope="col" { (strength) } }
            } }
            tbody {
                (row("all copies", Some(found.overall), &|s| found.by_strength.get(s).copied()))
                (row("unedited", Some(found.near_copies), &|_| None))
                @for (transform, &all) in &found.by_transform {
                    (row(transform, Some(all), &|s| found.by_both.get(transform).and_then(|row| row.get(s)).copied()))
                }
            }
        },
    )
}

fn bar(rate: Option<Rate>) -> Markup {
    let Some((rate, share)) = rate.and_then(|rate| Some((rate, rate.share?))) else { return html! { td { "–" } } };
    html! {
        td.value {
            (percent(share))
            span.bar aria-hidden="true" { span style=(format!("width:{:.1}%", share * 100.0)) {} }
            small { (rate.count) " of " (rate.of) }
        }
    }
}

/// Number of records by expected and given verdict.
pub(super) fn confusion(figures: &Figures) -> Markup {
    let rows = || figures.confusion.iter();
    let given: BTreeSet<&String> = rows().flat_map(|(expected, row)| row.keys().chain([expected])).collect();
    scroll(
        "Verdicts",
        "Records on Test by expected verdict (rows) and verdict given (columns)",
        &html! {
            thead { tr { th scope="col" { "Expected" } @for verdict in &given { th scope="col" { (verdict) } } } }
            tbody { @for (expected, row) in rows() {
                tr {
                    th scope="row" { (expected) }
                    @for &verdict in &given {
                        td.wanted[verdict == expected] { (row.get(verdict).copied().unwrap_or(0)) }
                    }
                }
            } }
        },
    )
}

/// Same-product naming by each signal.
pub(super) fn naming(figures: &Figures) -> Markup {
    scroll(
        "Same-product naming",
        "Other photos of products in the gallery on Test, at a threshold where at most 1\u{a0}% are named a wrong product",
        &html! {
            (columns(&["Ranked by", "Right product", "Wrong product"]))
            tbody { @for naming in &figures.naming {
                tr { th scope="row" { (naming.name) } td { (cell(naming.right)) } td { (cell(naming.wrong)) } }
            } }
        },
    )
}

/// Calibration errors by polarity of the reference.
pub(super) fn calibration(figures: &Figures) -> Markup {
    let every = std::iter::once(("all", &figures.calibration));
    let polarities = figures.by_polarity.iter().map(|(polarity, calibration)| (polarity.as_str(), calibration));
    scroll(
        "Calibration errors",
        "Expected calibration error on Test",
        &html! {
            (columns(&["References", "All pairings", "Highest pairings"]))
            tbody { @for (name, calibration) in every.chain(polarities) {
                tr {
                    th scope="row" { (name) }
                    @for part in [&calibration.pooled, &calibration.highest] {
                        td { (percent(part.error)) small { (part.count) " pairings" } }
                    }
                }
            } }
        },
    )
}

/// The bins behind the reliability diagram.
pub(super) fn bins(figures: &Figures) -> Markup {
    let (pooled, highest) = (&figures.calibration.pooled.bins, &figures.calibration.highest.bins);
    let inner = scroll(
        "Reliability bins",
        "Pairings on Test by the probability given",
        &html! {
            (columns(&[
                "Probability", "All pairings", "Mean probability", "Copies",
                "Highest pairings", "Mean probability", "Copies",
            ]))
            tbody { @for (all, first) in pooled.iter().zip(highest) {
                tr {
                    th scope="row" { (format!("{:.3} to {:.3}", all.low, all.high)) }
                    @for bin in [all, first] {
                        td { (bin.count) }
                        @if bin.count > 0 { td { (percent(bin.probability)) } td { (percent(bin.copies)) } }
                        @else { td { "–" } td { "–" } }
                    }
                }
            } }
        },
    );
    html! { details { summary { "Reliability bins as a table" } (inner) } }
}
