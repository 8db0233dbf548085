use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::{Run, photos, text};
use crate::cli::{stderr, stdout, touchstone};
use crate::support::pictures::photo;
use crate::support::{TestApp, wait_for};

fn listed(folder: &Path) -> Value {
    serde_json::from_str(&stdout(&touchstone(folder, &["index", "list", "--json"]))).unwrap()
}

fn current(folder: &Path) -> PathBuf {
    let root = folder.join("index/sscd-distilled");
    let line = std::fs::read_to_string(root.join("CURRENT")).unwrap();
    root.join(line.split(' ').next().unwrap())
}

/// Waits until the service takes a photo for a known fake, or no longer does; it must never answer with an error
/// meanwhile.
fn comes_to(app: &TestApp, photo: &[u8], known_fake: bool) {
    wait_for("what was published", || is_fake(app, photo) == known_fake);
}

/// Drawn scenes may look alike: only a verdict of a copy counts.
fn is_fake(app: &TestApp, photo: &[u8]) -> bool {
    app.verdict(photo) == "known_fake_match"
}

#[test]
fn a_running_service_takes_a_generation_up_and_goes_back_with_a_rollback() {
    let folder = std::sync::Arc::new(TempDir::new().unwrap());
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    photos(&first, 1..4);
    photos(&second, 3..6);
    Run::of(folder.path(), "acme", &["--fake", text(&first)]);
    let app = TestApp::over(std::sync::Arc::clone(&folder), "sscd-distilled", |_| {});
    let generation = || app.get_json("/v1/index")["generation"].as_u64().unwrap();
    let before = generation();
    // 1 and 2 are removed, 3 stays, 4 and 5 are added.
    let run = Run::of(folder.path(), "acme", &["--fake", text(&second), "--prune", "--yes", "--max-removed", "100"]);
    assert_eq!(run.counts(), [2, 0, 2, 1, 0, 0, 0]);
    comes_to(&app, &photo(4), true);
    comes_to(&app, &photo(1), false);
    assert_eq!((is_fake(&app, &photo(3)), generation() > before), (true, true));
    let index = app.get_json("/v1/index");
    assert_eq!((&index["references"], &index["added"], &index["removed"]), (&3.into(), &0.into(), &0.into()));

    let back = touchstone(folder.path(), &["index", "rollback"]);
    assert_eq!(back.status.code(), Some(0), "{}", stderr(&back));
    comes_to(&app, &photo(1), true);
    comes_to(&app, &photo(4), false);
    assert_eq!((is_fake(&app, &photo(3)), generation()), (true, before));
    // A restarted service answers as the running one does.
    drop(app);
    let app = TestApp::over(std::sync::Arc::clone(&folder), "sscd-distilled", |_| {});
    assert_eq!((is_fake(&app, &photo(1)), is_fake(&app, &photo(4))), (true, false));
    // Repeating the run brings it back without embedding anything.
    let again = Run::of(folder.path(), "acme", &["--fake", text(&second), "--prune", "--yes", "--max-removed", "100"]);
    assert_eq!((again.count("added"), again.embedded()), (2, 0));
    comes_to(&app, &photo(5), true);
}

#[test]
fn changes_made_over_http_since_outlive_a_rollback() {
    let folder = std::sync::Arc::new(TempDir::new().unwrap());
    let fakes = folder.path().join("fakes");
    photos(&fakes, 1..4);
    Run::of(folder.path(), "acme", &["--fake", text(&fakes)]);
    let app = TestApp::over(std::sync::Arc::clone(&folder), "sscd-distilled", |_| {});
    app.add_fake(&photo(9));
    touchstone(folder.path(), &["index", "rollback"]);
    comes_to(&app, &photo(1), false);
    assert_eq!(app.verdict(&photo(9)), "known_fake_match");
    let nothing = touchstone(folder.path(), &["index", "rollback"]);
    assert_eq!(nothing.status.code(), Some(8));
    assert!(stderr(&nothing).contains("no publication can be undone"), "{}", stderr(&nothing));
    // What was rolled back can be sent over HTTP again.
    app.add_fake(&photo(1));
    assert_eq!(app.verdict(&photo(1)), "known_fake_match");
}

#[test]
fn the_last_generations_and_what_they_removed_are_kept_and_no_more() {
    let folder = TempDir::new().unwrap();
    let fakes = folder.path().join("fakes");
    let mut kept = Vec::new();
    for number in 1..6_u64 {
        let _ = std::fs::remove_dir_all(&fakes);
        photos(&fakes, number..number + 2);
        Run::of(folder.path(), "acme", &["--fake", text(&fakes), "--prune", "--yes", "--max-removed", "100"]);
        kept.push(listed(folder.path())["generations"].as_array().unwrap().len());
    }
    assert_eq!(kept, [1, 2, 3, 3, 3]);
    let publications = listed(folder.path())["publications"].clone();
    let forgotten: Vec<bool> =
        publications.as_array().unwrap().iter().map(|one| one["forgotten"].as_bool().unwrap()).collect();
    assert_eq!(forgotten, [true, true, false, false, false]);
    // Photo 1 belonged to the second run, which can no longer be undone: none of it is left.
    let kept = |seed: u64| {
        let sum = touchstone::photo::Sha256::of(&photo(seed)).to_string();
        folder.path().join("data/photos").join(&sum[..2]).join(sum).exists()
    };
    assert_eq!([1, 2, 3, 4, 5, 6].map(kept), [false, true, true, true, true, true]);
    for _ in 0..3 {
        assert_eq!(touchstone(folder.path(), &["index", "rollback"]).status.code(), Some(0));
    }
    assert_eq!(touchstone(folder.path(), &["index", "rollback"]).status.code(), Some(8));
}

#[test]
fn verify_proves_what_is_whole_and_names_what_is_not() {
    let folder = TempDir::new().unwrap();
    let fakes = folder.path().join("fakes");
    photos(&fakes, 1..4);
    Run::of(folder.path(), "acme", &["--fake", text(&fakes)]);
    let whole = touchstone(folder.path(), &["index", "verify"]);
    assert_eq!(whole.status.code(), Some(0));
    assert!(stdout(&whole).contains("valid; 3 of 3 vectors found themselves, recall 1.0000"), "{}", stdout(&whole));
    let file = current(folder.path()).join("vectors.f32");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let broken = touchstone(folder.path(), &["index", "verify"]);
    assert_eq!(broken.status.code(), Some(6));
    let words = stdout(&broken);
    assert!(
        words.contains("invalid")
            && words.contains("size and checksum is 6144 bytes")
            && words.contains("expected 6144 bytes"),
        "{words}"
    );
}

#[test]
fn a_damaged_generation_does_not_replace_what_serves() {
    let folder = std::sync::Arc::new(TempDir::new().unwrap());
    let fakes = folder.path().join("fakes");
    photos(&fakes, 1..3);
    Run::of(folder.path(), "acme", &["--fake", text(&fakes)]);
    let app = TestApp::over(std::sync::Arc::clone(&folder), "sscd-distilled", |config| config.server.refresh_ms = 20);
    // The newest generation is damaged before the service has opened it.
    let good = current(folder.path());
    let bad = good.with_file_name("sscd-distilled-00000007");
    std::fs::create_dir(&bad).unwrap();
    for file in std::fs::read_dir(&good).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), bad.join(file.file_name())).unwrap();
    }
    std::fs::write(bad.join("keys.u64"), b"short").unwrap();
    let line = std::fs::read_to_string(good.with_file_name("CURRENT")).unwrap();
    std::fs::write(good.with_file_name("CURRENT"), line.replace("00000001", "00000007")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!((app.verdict(&photo(1)).as_str(), app.get("/readyz").status().as_u16()), ("known_fake_match", 200));
}

#[test]
fn rollbacks_lead_back_step_by_step() {
    let folder = std::sync::Arc::new(TempDir::new().unwrap());
    photos(&folder.path().join("fakes"), 1..3);
    let manifest = folder.path().join("list.csv");
    let publish = |rows: &str| {
        std::fs::write(&manifest, format!("path,polarity,product\n{rows}")).unwrap();
        Run::of(folder.path(), "acme", &["--manifest", text(&manifest), "--prune", "--yes", "--max-removed", "100"])
    };
    let products = || {
        let app = TestApp::over(std::sync::Arc::clone(&folder), "sscd-distilled", |_| {});
        let page = app.get_json("/v1/brands/acme/references");
        let mut all: Vec<String> = page["references"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["product"].as_str().unwrap().to_owned())
            .collect();
        all.sort();
        all
    };
    publish("fakes/1.jpg,fake,a\nfakes/2.jpg,fake,x\n");
    publish("fakes/1.jpg,fake,b\nfakes/2.jpg,fake,x\n");
    publish("fakes/1.jpg,fake,c\n");
    assert_eq!(products(), ["c"]);
    let back = || assert_eq!(touchstone(folder.path(), &["index", "rollback"]).status.code(), Some(0));
    back();
    assert_eq!(products(), ["b", "x"]);
    back();
    assert_eq!(products(), ["a", "x"]);
    back();
    assert!(products().is_empty());
}

#[test]
fn references_published_under_another_model_are_embedded_by_the_one_that_serves() {
    let folder = std::sync::Arc::new(TempDir::new().unwrap());
    let app = TestApp::over(std::sync::Arc::clone(&folder), "sscd-distilled", |_| {});
    let fakes = folder.path().join("fakes");
    photos(&fakes, 1..3);
    Run::of(folder.path(), "acme", &["--fake", text(&fakes), "--model", "efficientnet-lite0"]);
    comes_to(&app, &photo(1), true);
}
