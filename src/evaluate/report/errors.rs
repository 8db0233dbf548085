//! The worst errors of a report, as pairs of photos.

use maud::{Markup, html};

use super::class_name;
use crate::evaluate::metrics::Signal;
use crate::evaluate::record::{Class, Pairing, Record, Split};
use crate::page::visible;

/// Errors shown of each kind.
const SHOWN: usize = 24;

/// Returns a `data:` URI for a path; `None` where there is no image.
type Picture<'a> = &'a dyn Fn(&str) -> Option<String>;

fn pairs(records: &[Record], wanted: impl Fn(&Record, &Pairing) -> bool) -> Vec<(f64, &Record, &Pairing)> {
    let of = |record| move |pairing| (Signal::Evidence.of(pairing), record, pairing);
    let mut all: Vec<_> =
        records.iter().flat_map(|record| record.pairings.iter().map(of(record))).filter(|p| wanted(p.1, p.2)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all
}

/// The pairings with the highest evidence of queries that are no copies.
pub(super) fn false_matches(records: &[Record], picture: Picture<'_>) -> Markup {
    let mut wrong = pairs(records, |record, pairing| record.class != Class::Copy && !pairing.copy);
    wrong.reverse();
    list(&wrong, picture)
}

/// Copies with the lowest evidence for their true reference, and copies never compared with it.
pub(super) fn missed_copies(records: &[Record], picture: Picture<'_>) -> Markup {
    let right = pairs(records, |record, pairing| record.class == Class::Copy && pairing.copy);
    let copies = records.iter().filter(|record| record.class == Class::Copy);
    let lost: Vec<_> = copies.filter(|record| !record.pairings.iter().any(|pairing| pairing.copy)).collect();
    html! {
        @if !lost.is_empty() {
            details {
                summary { "Copies that were never compared with their true reference: " (lost.len()) }
                ul {
                    @for record in lost.iter().take(SHOWN) { li.path { (visible(&record.query)) } }
                    @if lost.len() > SHOWN { li { "and " (lost.len() - SHOWN) " more" } }
                }
            }
        }
        (list(&right, picture))
    }
}

fn list(pairs: &[(f64, &Record, &Pairing)], picture: Picture<'_>) -> Markup {
    html! {
        @if pairs.is_empty() { p { "None." } }
        ol.pairs {
            @for (_, record, pairing) in pairs.iter().take(SHOWN) {
                li {
                    div.two {
                        (photo("Query", &record.query, picture))
                        (photo(polarity(pairing), &pairing.reference, picture))
                    }
                    (facts(record, pairing))
                }
            }
        }
    }
}

fn polarity(pairing: &Pairing) -> &str {
    match pairing.polarity.as_str() {
        "authentic" => "Authentic photo",
        "fake" => "Known fake",
        other => other,
    }
}

fn photo(role: &str, path: &str, picture: Picture<'_>) -> Markup {
    // Anything but an image within the page would be fetched from elsewhere.
    let inline = picture(path).filter(|uri| uri.starts_with("data:image/"));
    let path = visible(path);
    html! {
        figure {
            @match inline {
                Some(uri) => { img src=(uri) alt=(format!("{role}: {path}")) loading="lazy"; }
                None => div.none { "No photo" },
            }
            figcaption { strong { (role) } br; span.path { (path) } }
        }
    }
}

fn facts(record: &Record, pairing: &Pairing) -> Markup {
    let side = match record.split {
        Split::Fit => "Fit",
        Split::Test => "Test",
    };
    html! {
        p.facts {
            "Evidence " strong { (format!("{:.2}", pairing.evidence)) }
            (format!(", probability {:.3}, similarity {:.3}", pairing.probability, pairing.similarity))
            (format!(", normalised {:.3}", pairing.normalised))
            (format!(", {} inliers, detail {:.2}", pairing.inliers, pairing.detail))
        }
        p.facts.note {
            (side) ", " (class_name(record.class))
            @if let Some(transform) = &record.transform { ", " (transform) }
            @if let Some(strength) = &record.strength { " (" (strength) ")" }
            ". Verdict: " (record.verdict)
            @if let Some(expected) = &record.expected { "; expected: " (expected) }
            @if record.class != Class::Copy && pairing.same_product { ". The reference shows the same product." }
        }
    }
}
