use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use super::{brand, command, stderr, stdout, take_in, touchstone};
use crate::support::TestApp;
use crate::support::pictures::{photo, stolen};
use crate::support::store::ObjectServer;
use crate::support::{real_photo, wait_for};

/// A table of three listings beside its photos: a copy of a fake among two photos, one without a match, one without a
/// photo.
fn listings(folder: &Path) -> String {
    brand(folder);
    assert_eq!(take_in(folder, false).status.code(), Some(3));
    fs::write(folder.join("copy.jpg"), stolen(&photo(1))).unwrap();
    fs::write(folder.join("other.png"), real_photo(4)).unwrap();
    let manifest = folder.join("listings.csv");
    let rows = "path,listing_id,seller_id\nother.png,L1,S1\ncopy.jpg,L1,S1\nother.png,L2,S2\nmissing.jpg,L3,S3\n";
    fs::write(&manifest, rows).unwrap();
    manifest.to_str().unwrap().to_owned()
}

fn answers(text: &str) -> Vec<Value> {
    let mut all: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    all.sort_by_key(|answer| answer["line"].as_u64());
    all
}

fn run(folder: &Path, args: &[&str]) -> Output {
    touchstone(folder, &[&["check"], args].concat())
}

#[test]
fn every_listing_of_a_table_is_answered_and_what_cannot_be_used_is_told() {
    let folder = TempDir::new().unwrap();
    let manifest = listings(folder.path());
    let output = run(folder.path(), &["--manifest", &manifest, "--json"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let all = answers(&stdout(&output));
    assert_eq!(all.len(), 3);
    assert_eq!((&all[0]["listing_id"], &all[0]["check"]["verdict"]), (&"L1".into(), &"known_fake_match".into()));
    assert_eq!((&all[0]["check"]["photos"][1]["verdict"], &all[0]["line"]), (&"known_fake_match".into(), &2.into()));
    assert_eq!(all[0]["check"]["listing"]["seller_id"], "S1");
    assert_eq!(all[1]["check"]["action"], "allow");
    assert_eq!((&all[2]["problem"]["code"], &all[2]["problem"]["photo"]), (&"file-unreadable".into(), &0.into()));
    assert!(stderr(&output).ends_with("1 allow, 1 review, 0 block, 1 refused; 0 done before\n"), "{}", stderr(&output));
    let plain = stdout(&run(folder.path(), &["--manifest", &manifest]));
    assert!(plain.contains("row 2 L1: known_fake_match (review)\n") && !plain.contains("L2"), "{plain}");
}

#[test]
fn a_run_that_was_stopped_goes_on_and_what_has_changed_is_checked_again() {
    let folder = TempDir::new().unwrap();
    let manifest = listings(folder.path());
    let out = folder.path().join("answers.jsonl");
    let args = ["--manifest", &manifest, "--out", out.to_str().unwrap()];
    assert_eq!(run(folder.path(), &args).status.code(), Some(3));
    let first = fs::read_to_string(&out).unwrap();
    assert_eq!(first.lines().count(), 3);
    // A run that stopped in the middle of a line has not answered that listing.
    let whole: Vec<&str> = first.lines().filter(|line| line.contains("\"check\"")).collect();
    fs::write(&out, format!("{}\n{}", whole[0], &whole[1][..50])).unwrap();
    let output = run(folder.path(), &args);
    assert!(stdout(&output).ends_with("1 refused; 1 done before\n"), "{}", stdout(&output));
    let ids = |text: &str| -> BTreeSet<String> {
        answers(text).iter().filter(|one| one.get("check").is_some()).map(|one| one["listing_id"].to_string()).collect()
    };
    assert_eq!(ids(&fs::read_to_string(&out).unwrap()).len(), 2);
    // Rejected rows are tried again, and so are rows that have changed.
    fs::copy(folder.path().join("other.png"), folder.path().join("missing.jpg")).unwrap();
    let rows = fs::read_to_string(&manifest).unwrap().replace("L2,S2", "L2,S9");
    fs::write(&manifest, rows).unwrap();
    let output = run(folder.path(), &args);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).ends_with("2 allow, 0 review, 0 block, 0 refused; 1 done before\n"), "{}", stdout(&output));
    assert!(stdout(&run(folder.path(), &args)).ends_with("; 3 done before\n"));
}

#[test]
fn a_run_that_is_killed_loses_no_answer_that_it_wrote() {
    let folder = TempDir::new().unwrap();
    listings(folder.path());
    let manifest = folder.path().join("many.csv");
    let rows = (0..60).map(|number| format!("other.png,L{number}\n")).collect::<Vec<_>>().concat();
    fs::write(&manifest, format!("path,listing_id\n{rows}")).unwrap();
    let out = folder.path().join("answers.jsonl");
    let args = ["check", "--manifest", manifest.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let lines = || fs::read_to_string(&out).unwrap_or_default().lines().count();
    let mut child = command(folder.path(), &args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("some answers", || lines() >= 5);
    // Two runs would mix their lines.
    let beside = touchstone(folder.path(), &args);
    assert_eq!(beside.status.code(), Some(8), "{}", stderr(&beside));
    child.kill().unwrap();
    child.wait().unwrap();
    let before = lines() as u64;
    let output = touchstone(folder.path(), &args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stdout(&output);
    let done: u64 = said.rsplit("; ").next().unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(done + 1 >= before && done > 0, "{said}, {before} lines were there");
    let listings: BTreeSet<String> =
        answers(&fs::read_to_string(&out).unwrap()).iter().map(|one| one["listing_id"].to_string()).collect();
    assert_eq!(listings.len(), 60);
}

#[test]
fn kept_checks_become_cases_once_however_often_the_run_is_made() {
    let folder = Arc::new(TempDir::new().unwrap());
    let manifest = listings(folder.path());
    let check = || answers(&stdout(&run(folder.path(), &["--manifest", &manifest, "--keep", "--json"])));
    let first = check();
    assert_eq!(check(), first);
    let app = TestApp::over(Arc::clone(&folder), "sscd-distilled", |_| {});
    let id = first[0]["check"]["id"].as_str().unwrap();
    assert_eq!(app.get_json(&format!("/v1/checks/{id}")), first[0]["check"]);
    assert_eq!(app.get(&format!("/v1/checks/{id}/case")).status(), 200);
}

#[test]
fn a_table_may_lie_in_a_store_and_points_nowhere_but_where_it_may() {
    let rows = |path: &str| format!("{{\"path\": \"{path}\", \"listing_id\": \"L1\"}}\n").into_bytes();
    let store = ObjectServer::start(vec![
        ("shop/export/listings.jsonl", [rows("1.jpg"), rows("s3://shop/uploads/2.jpg")].concat()),
        ("shop/export/1.jpg", photo(1)),
        ("shop/uploads/2.jpg", photo(2)),
    ]);
    let folder = TempDir::new().unwrap();
    let args = ["check", "--manifest", "s3://shop/export/listings.jsonl", "--json"];
    let output = store.command(folder.path(), &args).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert_eq!(answers(&stdout(&output))[0]["problem"]["code"], "place-not-allowed");
    let more = [&args[..], &["--allow", "s3://shop/uploads"]].concat();
    let output = store.command(folder.path(), &more).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(answers(&stdout(&output))[0]["check"]["photos"].as_array().unwrap().len(), 2);
}

#[test]
fn tables_and_rows_of_a_wrong_form_are_told() {
    let folder = TempDir::new().unwrap();
    let manifest = folder.path().join("listings.csv");
    fs::write(folder.path().join("1.jpg"), photo(1)).unwrap();
    let run = |text: &str| {
        fs::write(&manifest, text).unwrap();
        run(folder.path(), &["--manifest", manifest.to_str().unwrap(), "--json"])
    };
    let output = run("path,colour\n1.jpg,red\n");
    assert!(
        output.status.code() == Some(7) && stderr(&output).contains("it has the columns colour"),
        "{}",
        stderr(&output)
    );
    let too_many = "1.jpg,L1,\n".repeat(21);
    let output =
        run(&format!("path,listing_id,seller_id\n{too_many}1.jpg,L2,S1\n1.jpg,L2,S2\n1.jpg,L3,a\u{7}b\n,L4,\n"));
    let codes: Vec<Value> = answers(&stdout(&output)).iter().map(|one| one["problem"]["code"].clone()).collect();
    assert_eq!(codes, ["too-many-photos", "manifest-row-invalid", "manifest-row-invalid", "manifest-row-invalid"]);
    let output = touchstone(folder.path(), &["check", "1.jpg", "--manifest", "x.csv"]);
    assert_eq!(output.status.code(), Some(2));
}
