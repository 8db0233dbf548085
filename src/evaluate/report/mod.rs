//! The report of an evaluation: one page without scripts and external files.

mod charts;
mod errors;
mod plots;
mod tables;

use maud::{DOCTYPE, Markup, html};

use crate::evaluate::metrics::{Figures, Signal};
use crate::evaluate::record::{Class, Record};
use crate::page::head;

/// The page as HTML.
///
/// `versions` are the names and versions of the programs and models that made the figures. `fit`, `test` and `all` are
/// the figures of the two sides of the split and of both. `records` are all records, for histograms and errors.
/// `picture` returns a `data:` URI of an image for the path of a query or a reference; any other value is left out.
pub fn render(
    title: &str,
    versions: &[(String, String)],
    fit: &Figures,
    test: &Figures,
    all: &Figures,
    records: &[Record],
    picture: &dyn Fn(&str) -> Option<String>,
) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body {
                header { h1 { (title) } (made_by(versions)) }
                main {
                    (results(fit, test, all))
                    (curves(test, records))
                    (details(test))
                    (worst(records, picture))
                }
            }
        }
    };
    page.into_string()
}

fn made_by(versions: &[(String, String)]) -> Markup {
    html! {
        p {
            "A match says that a photo is a copy of a reference: of a brand's authentic photo or of a known fake's. "
            "A match to an authentic photo says where the photo came from, and nothing about the goods."
        }
        dl.versions { @for (name, version) in versions { dt { (name) } dd { (version) } } }
    }
}

fn results(fit: &Figures, test: &Figures, all: &Figures) -> Markup {
    html! {
        h2 { "Results" }
        (tables::headline(fit, test, all))
        p.note {
            "Intervals are those of Clopper and Pearson, and assume independent queries. Edits of one source are "
            "not independent, so the true uncertainty is larger."
        }
        (tables::systems(test))
    }
}

fn curves(test: &Figures, records: &[Record]) -> Markup {
    html! {
        h2 { "Curves" }
        div.plots {
            (charts::precision_recall(test))
            (charts::risk_coverage(test))
            (charts::histogram(records, Signal::Similarity, "Similarity by class", "Cosine similarity"))
            (charts::histogram(records, Signal::Evidence, "Evidence by class", "Evidence (log-odds)"))
            (charts::reliability(test))
        }
        (tables::bins(test))
    }
}

fn details(test: &Figures) -> Markup {
    html! {
        h2 { "Calibration" }
        (tables::calibration(test))
        h2 { "Copies found, by transform and strength" }
        p.note {
            "Found: the true reference ranks first, above the threshold that at most 0.1 % of the queries that are no "
            "copies pass."
        }
        (tables::recall(test))
        h2 { "Verdicts" }
        (tables::confusion(test))
        h2 { "Same product" }
        (tables::naming(test))
    }
}

fn worst(records: &[Record], picture: &dyn Fn(&str) -> Option<String>) -> Markup {
    html! {
        h2 { "Worst false matches" }
        p.note {
            "Queries that are no copies, with the references that they have the highest evidence for. Both sides of the "
            "split."
        }
        (errors::false_matches(records, picture))
        h2 { "Hardest copies" }
        p.note { "Copies with the lowest evidence for their true reference. Both sides of the split." }
        (errors::missed_copies(records, picture))
    }
}

fn class_name(class: Class) -> &'static str {
    match class {
        Class::Copy => "copies",
        Class::SameKind => "same kind",
        Class::Unrelated => "unrelated",
    }
}

/// A share, 0 to 1, in per cent, with enough digits to differ from 0 % and 100 %.
fn percent(share: f64) -> String {
    let digits = if share > 0.0 && share < 0.01 || share > 0.99 && share < 1.0 { 2 } else { 1 };
    format!("{:.digits$}\u{a0}%", share * 100.0)
}
