//! The report shows hostile input as text, and fetches nothing.

use touchstone::evaluate::metrics::{figures, held};
use touchstone::evaluate::report::render;
use touchstone::evaluate::{Class, Pairing, Record, Split};

const HOSTILE: &str = "a/<script>alert(1)</script>\"'&\u{202e}gpj.jpg";

fn record(class: Class) -> Record {
    let pairing = Pairing {
        reference: HOSTILE.to_owned(),
        copy: class == Class::Copy,
        same_product: true,
        polarity: HOSTILE.to_owned(),
        similarity: 0.7,
        normalised: 0.6,
        inliers: 12,
        detail: 0.5,
        structure: 0.0,
        difference: 0.0,
        other_colour: false,
        evidence: 2.0,
        probability: 0.9,
    };
    Record {
        query: HOSTILE.to_owned(),
        class,
        transform: Some(HOSTILE.to_owned()),
        strength: Some(HOSTILE.to_owned()),
        group: HOSTILE.to_owned(),
        split: Split::Test,
        expected: Some(HOSTILE.to_owned()),
        verdict: HOSTILE.to_owned(),
        action: HOSTILE.to_owned(),
        views: 1,
        first_look_s: 0.01,
        whole_s: 0.01,
        category: String::new(),
        kind: String::new(),
        reasons: Vec::new(),
        pairings: vec![pairing],
    }
}

fn page(records: &[Record], picture: &dyn Fn(&str) -> Option<String>) -> String {
    let all = figures(&records.iter().collect::<Vec<_>>(), &[], &held);
    let versions = [(HOSTILE.to_owned(), HOSTILE.to_owned())];
    render(HOSTILE, &versions, &all, &all, &all, records, picture)
}

#[test]
fn no_path_becomes_markup() {
    let html = page(&[record(Class::Copy), record(Class::SameKind), record(Class::Unrelated)], &|_| None);
    assert!(!html.contains("<script"), "a path became a script");
    assert!(html.contains("&lt;script&gt;"));
    assert!(html.contains("\\u{202e}gpj.jpg"), "a character that turns text around is spelled out");
}

#[test]
fn pictures_stay_within_the_page() {
    let records = [record(Class::Copy), record(Class::Unrelated)];
    let inside = page(&records, &|_| Some("data:image/png;base64,AA==\"onerror=\"alert(1)".to_owned()));
    assert!(inside.contains("<img src=\"data:image/png;base64,AA==&quot;onerror=&quot;alert(1)\""));
    for outside in ["https://example.org/a.png", "javascript:alert(1)", "data:text/html,x"] {
        let html = page(&records, &|_| Some(outside.to_owned()));
        assert!(!html.contains("<img"), "{outside} became a picture");
    }
}

#[test]
fn every_plot_and_table_can_be_read_aloud() {
    let html = page(&[record(Class::Copy), record(Class::Unrelated)], &|_| None);
    let drawn = html.matches("<svg width=").count();
    assert_eq!(drawn, 5, "{drawn} plots");
    assert_eq!(html.matches("role=\"img\" aria-label=\"").count(), drawn);
    assert_eq!(html.matches("<th").count() - html.matches("<thead").count(), html.matches("<th scope=").count());
    assert!(!html.contains("could not be drawn"));
}

#[test]
fn a_report_without_records_is_a_page_too() {
    let html = page(&[], &|_| None);
    assert!(html.ends_with("</html>") && !html.contains("could not be drawn") && !html.contains("NaN"));
    assert!(!html.to_lowercase().contains(concat!("genu", "ine")), "no match proves that of goods");
}
