//! The routes of Meta's Hasher-Matcher-Actioner, and banks of PDQ hashes as files.

use std::sync::Arc;

use reqwest::blocking::multipart::{Form, Part};
use serde_json::{Value, json};
use tempfile::TempDir;
use touchstone::photo::Pdq;

use crate::cli::{stderr, stdout, touchstone};
use crate::support::pictures::{blank, jpeg, photo, scene};
use crate::support::{TestApp, problem, wait_for};

fn app() -> (Arc<TempDir>, TestApp) {
    let folder = Arc::new(TempDir::new().unwrap());
    let app = TestApp::over(Arc::clone(&folder), "sscd-distilled", |config| config.hma.enabled = true);
    (folder, app)
}

fn sent(bytes: &[u8]) -> Form {
    Form::new().part("photo", Part::bytes(bytes.to_vec()).file_name("photo.jpg"))
}

fn pdq(seed: u64) -> Pdq {
    Pdq::of(&image::load_from_memory(&photo(seed)).unwrap().to_rgb8())
}

/// Whether a text is this photo's hash, as far as two decoders of JPEG agree.
fn is_hash(text: &str, seed: u64) -> bool {
    text.parse::<Pdq>().unwrap().distance(&pdq(seed)) <= 2
}

#[test]
fn hashes_are_pdq_and_match_the_banks_of_brands() {
    let (_folder, app) = app();
    app.add_fake(&photo(1));
    app.add("acme", "authentic", &photo(2));
    let hashed: Value = app.post_form("/h/hash", sent(&photo(1))).json().unwrap();
    let own = hashed["pdq"].as_str().unwrap();
    assert!(is_hash(own, 1), "{hashed}");
    assert_eq!(app.post_form("/h/hash", sent(&blank())).json::<Value>().unwrap(), json!({ "pdq": "" }), "too flat");

    wait_for("the hashes", || app.get_json("/m/index/status")["pdq"]["size"] == 2);
    let names = |value: Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|bank| bank["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(app.get_json("/c/banks")), ["ACME_AUTHENTIC", "ACME_FAKE"]);
    let near = jpeg(&scene(1), 60);
    assert_eq!(app.post_form("/m/lookup", sent(&near)).json::<Value>().unwrap(), json!({ "pdq": ["ACME_FAKE"] }));
    let lookup = |hash: &Pdq| app.get_json(&format!("/m/lookup?signal_type=pdq&signal={hash}"));
    assert_eq!(lookup(&pdq(2)), json!(["ACME_AUTHENTIC"]));
    assert_eq!(lookup(&pdq(9)), json!([]));
    let raw = app.get_json(&format!("/m/raw_lookup?signal_type=pdq&signal={own}&include_distance=true"));
    assert_eq!(raw["matches"][0]["distance"], "0");
    let key = raw["matches"][0]["content_id"].clone();
    let raw = app.get_json(&format!("/m/raw_lookup?signal_type=pdq&signal={own}"));
    assert_eq!(raw, json!({ "matches": [key] }));

    problem(app.get("/m/lookup?signal_type=md5&signal=0"), 422, "signal-type-unknown");
    problem(app.get("/m/lookup?signal_type=pdq&signal=xyz"), 422, "signal-invalid");
    problem(app.get("/m/raw_lookup?signal_type=pdq"), 422, "parameter-missing");
    problem(app.get("/h/hash"), 422, "parameter-missing");
    problem(app.post_form("/h/hash", sent(b"no photo at all, whatever its name")), 415, "photo-type-unknown");
    // Which URLs may be fetched, the settings say: none.
    assert_eq!(app.get("/h/hash?url=https://shop.example/1.jpg").status(), 422);
    problem(TestApp::start().get("/c/banks"), 404, "hma-off");
}

#[test]
fn an_imported_bank_is_matched_and_can_be_replaced() {
    let (folder, app) = app();
    let file = |text: &str| {
        let path = folder.path().join("bank.txt");
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let import = |text: &str| {
        let file = file(text);
        let words = ["alliance", "import-hashes", &file, "--bank", "trust-lab", "--brand", "acme"];
        touchstone(folder.path(), &words)
    };
    let done = import(&format!("pdq {}\nvideo_md5 0123\npdq {}\n", pdq(1), pdq(2)));
    assert!(stdout(&done).contains("trust-lab: 2 signals taken"), "{}", stderr(&done));
    let signals = |count: usize| wait_for("the signals", || app.get_json("/v1/index")["signals"] == count);
    signals(2);
    let answer = app.check_one(&jpeg(&scene(1), 70));
    assert_eq!((&answer["verdict"], &answer["action"]), (&json!("known_fake_likely"), &json!("review")), "{answer}");
    let signal = &answer["photos"][0]["shared"][0];
    assert_eq!((&signal["member"], &signal["alliance"]), (&json!("trust-lab"), &json!("banks from files")));
    assert!(signal["pdq_bits"].as_u64().unwrap() <= 31, "{signal}");
    assert_eq!(app.check_one(&photo(5))["verdict"], "no_match");

    // The CSV that tx prints; the new file replaces the old one.
    let csv = format!("signal_type,signal_str,collab,category,tags\npdq,{},test,INVESTIGATION_SEED,\n", pdq(2));
    assert!(stdout(&import(&csv)).contains("0 signals taken, 0 of them quarantined; 1 withdrawn"));
    signals(1);
    assert_eq!(app.check_one(&jpeg(&scene(1), 70))["verdict"], "no_match");
    // A bank that was expelled can come back.
    let expelled = touchstone(folder.path(), &["alliance", "expel", "banks from files", "trust-lab"]);
    assert!(expelled.status.success(), "{}", stderr(&expelled));
    signals(0);
    assert!(stdout(&import(&csv)).contains("1 signals taken"));
    signals(1);
    let wrong = import("pdq 12\n");
    assert_eq!(wrong.status.code(), Some(2), "{}", stderr(&wrong));
    assert!(stderr(&wrong).contains("line 1: expected a PDQ hash of 64 lower-case hex digits"), "{}", stderr(&wrong));
    signals(1);
}

#[test]
fn the_hashes_of_a_brand_are_written_for_others() {
    let (folder, app) = app();
    app.add_fake(&photo(1));
    app.add_fake(&blank());
    app.add("acme", "authentic", &photo(2));
    let path = folder.path().join("acme.txt").display().to_string();
    let done = touchstone(folder.path(), &["alliance", "export-hashes", &path, "--brand", "acme"]);
    assert!(stdout(&done).contains("contains 1 hashes"), "{}", stderr(&done));
    let text = std::fs::read_to_string(&path).unwrap();
    let hash = text.strip_prefix("pdq ").and_then(|text| text.strip_suffix('\n')).unwrap();
    assert!(is_hash(hash, 1), "{text}");
}
