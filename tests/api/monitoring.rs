//! The board and the alerts name metrics that exist.

use std::collections::BTreeSet;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::pictures::{photo, stolen};
use crate::support::service::Service;
use crate::support::{form, root};

/// All metrics that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("touchstone_")).map(str::to_owned).collect()
}

fn expressions(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let ("expr" | "definition", Some(text)) = (name.as_str(), value.as_str()) {
                    out.push_str(text);
                    out.push('\n');
                }
                expressions(value, out);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, out)),
        _ => {}
    }
}

#[test]
fn every_metric_that_the_board_and_the_alerts_name_is_told_by_the_service() {
    let folder = TempDir::new().unwrap();
    let service = Service::start(folder.path(), &[]);
    assert_eq!(service.send("/v1/brands/acme/references", &photo(1), &[("polarity", "fake")]).0, 201);
    assert_eq!(service.send("/v1/checks", &stolen(&photo(1)), &[]).1["verdict"], "known_fake_match");
    // Metrics with labels appear with their first event: a photo by URL, a line of a batch, a missing key.
    let post = |path: &str| service.client().post(format!("{}{path}", service.url));
    post("/v1/checks").multipart(form(&[], &[("photo_url", "https://a.example/1.jpg")])).send().unwrap();
    let batch = post("/v1/checks:batch").header("content-type", "application/x-ndjson").body("{}\n").send();
    batch.unwrap().text().unwrap();
    reqwest::blocking::get(format!("{}/v1/index", service.url)).unwrap();
    let (_, metrics) = service.status("/metrics");
    let told: BTreeSet<&str> = metrics
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let folder = root().join("packaging/monitoring");
    let board: Value = serde_json::from_slice(&std::fs::read(folder.join("touchstone-board.json")).unwrap()).unwrap();
    let mut text = std::fs::read_to_string(folder.join("alerts.yml")).unwrap();
    expressions(&board, &mut text);
    let named = named(&text);
    assert!(named.len() > 15, "{named:?}");
    assert!(told.contains("touchstone_signals"));
    let unknown: Vec<&String> = named.iter().filter(|name| !told.contains(name.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
