//! The promises to a brand's team that hands over its whole archive.

mod crash;
mod doubts;
mod generations;
mod hostile;
mod hygiene;
mod plan;
mod shadow;
mod sources;
mod web;

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use super::{stderr, stdout, touchstone};
use crate::support::pictures::photo;

/// Runs `reindex --brand BRAND --json` and gives its exit code, report and entries.
struct Run {
    code: i32,
    report: Value,
    entries: Vec<Value>,
}

impl Run {
    fn of(folder: &Path, brand: &str, args: &[&str]) -> Self {
        let output = run(folder, brand, args);
        let text = stdout(&output);
        let last = text.lines().last().unwrap_or_else(|| panic!("{}", stderr(&output)));
        let event: Value = serde_json::from_str(last).unwrap();
        assert_eq!(event["event"], "report", "{text}");
        let page = PathBuf::from(event["page"].as_str().unwrap());
        let json = std::fs::read_to_string(page.with_file_name("report.json")).unwrap();
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["report"], event["report"]);
        let entries = json["entries"].as_array().unwrap().clone();
        Self { code: output.status.code().unwrap(), report: event["report"].clone(), entries }
    }

    fn count(&self, fate: &str) -> u64 {
        self.report["counts"][fate].as_u64().unwrap()
    }

    /// Counts in the order added, changed, removed, unchanged, duplicate, conflict, refused.
    fn counts(&self) -> [u64; 7] {
        ["added", "changed", "removed", "unchanged", "duplicate", "conflict", "refused"].map(|fate| self.count(fate))
    }

    fn embedded(&self) -> u64 {
        self.report["embedded"].as_u64().unwrap()
    }

    /// Code and detail of the entry whose source contains this text.
    fn why(&self, source: &str) -> (String, String) {
        let has = |entry: &&Value| entry["source"].as_str().unwrap().contains(source);
        let entry = self.entries.iter().find(has).unwrap_or_else(|| panic!("{source}: {:?}", self.entries));
        let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        (text("code"), text("detail"))
    }
}

fn run(folder: &Path, brand: &str, args: &[&str]) -> Output {
    let mut all = vec!["reindex", "--brand", brand, "--json"];
    all.extend(args);
    touchstone(folder, &all)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Writes drawn photos `<folder>/<number>.jpg`.
fn photos(folder: &Path, seeds: std::ops::Range<u64>) {
    std::fs::create_dir_all(folder).unwrap();
    for seed in seeds {
        std::fs::write(folder.join(format!("{seed}.jpg")), photo(seed)).unwrap();
    }
}
