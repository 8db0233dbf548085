use std::collections::BTreeSet;

use serde_json::json;
use tempfile::TempDir;

use super::{Run, photos, text};
use crate::support::pictures::{blank, jpeg, photo, scene};
use crate::support::{TestApp, real_photo, root, wait_for};

/// Another brightness and another file of the same photo.
fn nearly(bytes: &[u8]) -> Vec<u8> {
    let image = image::load_from_memory(bytes).unwrap().brighten(6).into_rgb8();
    jpeg(&image, 80)
}

fn app_over(folder: &std::path::Path) -> TestApp {
    TestApp::over(std::sync::Arc::new(TempDir::new().unwrap()), "sscd-distilled", |config| {
        config.data = folder.join("data");
        config.index_dir = folder.join("index");
    })
}

#[test]
fn a_poisoned_archive_is_told_and_no_check_blocks_because_of_it() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    // Already there: another brand's photo.
    std::fs::create_dir_all(at("others")).unwrap();
    std::fs::write(at("others/theirs.png"), real_photo(0)).unwrap();
    Run::of(folder.path(), "others", &["--authentic", text(&at("others"))]);
    // The run's photos: good ones, one photo with both polarities, nearly the same with both, another brand's as a
    // fake, broken files, plain ones, duplicates.
    photos(&at("fake"), 1..4);
    std::fs::create_dir_all(at("authentic")).unwrap();
    std::fs::write(at("fake/both.jpg"), real_photo(1)).unwrap();
    std::fs::write(at("authentic/both.jpg"), real_photo(1)).unwrap();
    std::fs::write(at("authentic/near.png"), real_photo(2)).unwrap();
    std::fs::write(at("fake/near.jpg"), nearly(&real_photo(2))).unwrap();
    std::fs::write(at("fake/theirs.jpg"), nearly(&real_photo(0))).unwrap();
    std::fs::write(at("fake/empty.jpg"), b"").unwrap();
    std::fs::write(at("fake/cut.jpg"), &photo(5)[..900]).unwrap();
    std::fs::write(at("fake/blank.png"), blank()).unwrap();
    std::fs::copy(root().join("models/generic/size-chart-1.png"), at("fake/chart.png")).unwrap();
    for number in 0..20 {
        std::fs::write(at(&format!("fake/duplicate-{number}.jpg")), photo(1)).unwrap();
    }
    let run = Run::of(folder.path(), "acme", &["--fake", text(&at("fake")), "--authentic", text(&at("authentic"))]);
    assert_eq!(run.code, 3);
    assert_eq!(run.counts(), [5, 0, 0, 0, 20, 5, 2], "{:?}", run.entries);
    assert_eq!(run.why("theirs.jpg").0, "conflict");
    assert!(run.why("theirs.jpg").1.contains("another brand's authentic"), "{:?}", run.why("theirs.jpg"));
    assert!(run.why("near.png").1.contains("this brand's fake"), "{:?}", run.why("near.png"));
    assert_eq!(run.why("blank.png").0, "generic");
    assert_eq!(run.why("chart.png").0, "generic");
    assert_eq!(run.report["generic"], 2);

    let app = app_over(folder.path());
    let held = app.get_json("/v1/brands/acme/references?state=quarantined");
    let held = held["references"].as_array().unwrap();
    assert_eq!(held.len(), 4, "both, near twice, theirs: {held:?}");
    assert!(held.iter().all(|one| one["quarantine"]["code"] == "conflict"));
    let told = app.get_json("/v1/events?type=reference.quarantined")["events"].as_array().unwrap().clone();
    let told: BTreeSet<&str> = told.iter().map(|event| event["reference_id"].as_str().unwrap()).collect();
    assert_eq!(told, held.iter().map(|one| one["id"].as_str().unwrap()).collect(), "each is an event, once");
    app.certify("acme");
    // A brand that may block: the good fake leads to a block, the contradicted one does not.
    assert_eq!(app.check_one(&photo(1))["action"], "block");
    for poisoned in [real_photo(0), real_photo(1), real_photo(2), blank()] {
        let answer = app.check_one(&poisoned);
        assert_ne!(answer["action"], "block", "{answer}");
    }
    let chart = std::fs::read(root().join("models/generic/size-chart-1.png")).unwrap();
    let answer = app.check_one(&chart);
    assert_eq!((&answer["verdict"], &answer["action"]), (&json!("known_fake_match"), &json!("review")), "{answer}");
    let codes: Vec<&str> = answer["reasons"].as_array().unwrap().iter().map(|r| r["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"reference-never-blocks"), "{codes:?}");
    // The other brand's photo was there first: it stays, disputed.
    let theirs = app.get_json("/v1/brands/others/references");
    let theirs = &theirs["references"][0];
    assert_eq!((&theirs["state"], &theirs["mark"]), (&json!("active"), &json!("disputed")));

    // A person decides: the reference is active again.
    let id = held[0]["id"].as_str().unwrap();
    let path = format!("/v1/brands/acme/references/{id}");
    let body = app.request("PATCH", &path).json(&json!({ "state": "active" })).send().unwrap();
    let body: serde_json::Value = body.json().unwrap();
    assert_eq!((&body["state"], &body["quarantine"]), (&json!("active"), &serde_json::Value::Null));
    let theirs = theirs["id"].as_str().unwrap();
    let decided = app.request("PATCH", &format!("/v1/brands/others/references/{theirs}"));
    let decided: serde_json::Value = decided.json(&json!({ "state": "active" })).send().unwrap().json().unwrap();
    assert!(decided["mark"].is_null(), "what was disputed is decided: {decided}");
    let refused = app.request("PATCH", &path).json(&json!({ "state": "staged" })).send().unwrap();
    crate::support::problem(refused, 422, "state-invalid");
}

#[test]
fn a_reference_sent_over_http_goes_through_the_same_hygiene() {
    let app = TestApp::start();
    let authentic = app.add("acme", "authentic", &real_photo(0));
    assert_eq!(authentic["state"], "active");
    let fake = app.add("others", "fake", &nearly(&real_photo(0)));
    assert_eq!((&fake["state"], &fake["quarantine"]["code"]), (&json!("quarantined"), &json!("conflict")), "{fake}");
    assert_eq!(app.add("acme", "fake", &blank())["mark"], "generic");
    // The photo that was there first stays, but is disputed from now on.
    assert_eq!(app.verdict(&real_photo(0)), "conflict");
}

#[test]
fn near_copies_within_a_brand_are_grouped() {
    let folder = TempDir::new().unwrap();
    let fakes = folder.path().join("fakes");
    photos(&fakes, 1..5);
    for (name, seed) in [("1b", 1), ("1c", 1), ("2b", 2)] {
        let darker = image::DynamicImage::ImageRgb8(scene(seed)).brighten(if name == "1c" { 8 } else { -6 });
        std::fs::write(fakes.join(format!("{name}.jpg")), jpeg(&darker.into_rgb8(), 85)).unwrap();
    }
    let run = Run::of(folder.path(), "acme", &["--fake", text(&fakes)]);
    assert_eq!((run.count("added"), run.report["published"]["groups"].as_u64()), (7, Some(2)));
    let app = app_over(folder.path());
    let page = app.get_json("/v1/brands/acme/references");
    let group = |name: &str| {
        let all = page["references"].as_array().unwrap();
        let ends = |one: &&serde_json::Value| one["source"].as_str().unwrap().ends_with(name);
        all.iter().find(ends).unwrap()["group"].clone()
    };
    assert_eq!((group("/1.jpg"), group("/2.jpg")), (group("/1b.jpg"), group("/2b.jpg")));
    assert_eq!(group("/1.jpg"), group("/1c.jpg"));
    assert!(group("/1.jpg") != group("/2.jpg") && group("/3.jpg").is_null());
}

#[test]
fn a_reference_that_matches_too_many_unlike_photos_is_quarantined_by_itself() {
    let app = TestApp::with("sscd-distilled", |config| config.checks.flood.listings = 5);
    let flood = app.add_fake(&real_photo(0));
    // The reference pasted into unlike photos: each check finds it, and they have nothing else in common.
    let piece = image::load_from_memory(&real_photo(0)).unwrap().thumbnail(300, 300).into_rgb8();
    let unlike = |seed: u64| {
        let mut canvas = image::imageops::resize(&scene(seed), 640, 480, image::imageops::FilterType::Triangle);
        image::imageops::replace(&mut canvas, &piece, 20, 20);
        jpeg(&canvas, 90)
    };
    let state = |id: &str| app.get_json(&format!("/v1/brands/acme/references/{id}"))["state"].clone();
    // One photo many times, or one listing with many photos, is not a flood.
    for _ in 0..8 {
        app.check(&[&unlike(1)], &[]);
        app.check(&[&real_photo(0)], &[("listing_id", "L1")]);
    }
    assert_eq!(state(&flood), "active");
    for seed in 2..30 {
        let listing = format!("L{seed}");
        app.check(&[&unlike(seed)], &[("listing_id", &listing)]);
    }
    let held = app.get_json(&format!("/v1/brands/acme/references/{flood}"));
    assert_eq!((&held["state"], &held["quarantine"]["code"]), (&json!("quarantined"), &json!("flood")), "{held}");
    wait_for("that it takes part in no check any more", || app.verdict(&real_photo(0)) == "no_match");
}
