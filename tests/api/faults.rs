//! Damaged pages, clocks that go back, and requests that panic.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use rand::Rng;
use serde_json::json;
use tempfile::TempDir;

use crate::cli::{stderr, touchstone};
use crate::support::database::{needs_a_file, tamper};
use crate::support::moderator::Moderator;
use crate::support::pictures::photo;
use crate::support::service::{Service, serve};
use crate::support::{TestApp, problem, times};

#[test]
fn a_damaged_page_is_told_and_never_becomes_no_match() {
    if needs_a_file("damaged pages") {
        return;
    }
    let tries = times("PAGES", 6);
    let folder = TempDir::new().unwrap();
    let service = Service::start(folder.path(), &[]);
    for seed in 0..8 {
        service.send("/v1/brands/acme/references", &photo(seed), &[("polarity", "fake")]);
    }
    let key = service.key.clone();
    drop(service);
    let database = folder.path().join("data/touchstone.db");
    // Writes move from the write-ahead log into the pages.
    assert!(touchstone(folder.path(), &["sweep"]).status.success());
    let whole = std::fs::read(&database).unwrap();
    let wal = folder.path().join("data/touchstone.db-wal");
    let mut random = rand::rng();
    let mut seen = [0; 3];
    for _ in 0..tries {
        let _ = std::fs::remove_file(&wal);
        let mut damaged = whole.clone();
        let page = random.random_range(0..whole.len() / 4096) * 4096;
        random.fill(&mut damaged[page..page + 4096]);
        std::fs::write(&database, &damaged).unwrap();
        let mut child = serve(folder.path(), &[]);
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url =
            lines.by_ref().map_while(Result::ok).find_map(|line| line.strip_prefix("listening on ").map(str::to_owned));
        let Some(url) = url else {
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
            seen[0] += 1;
            continue;
        };
        let service = Service { child, url, key: key.clone() };
        for _ in 0..20 {
            let (status, body) = service.send("/v1/checks", &photo(3), &[]);
            match status {
                200 if body["verdict"] == "known_fake_match" => seen[1] += 1,
                200 => assert_eq!(body["verdict"], "undecidable", "page {}: {body}", page / 4096),
                // A damaged page of keys or sessions: nobody can sign in.
                401 | 503 => seen[2] += 1,
                other => panic!("{other} {body}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    println!("{tries} pages: {} no start, {} checks right, {} refused", seen[0], seen[1], seen[2]);
}

#[test]
fn after_the_clock_was_set_back_the_last_word_still_holds() {
    let app = TestApp::start();
    app.add_fake(&photo(1));
    let robin = Moderator::new(&app, "robin");
    let send = || app.check(&[&photo(1)], &[("seller_id", "s1")])["id"].as_str().unwrap().to_owned();
    let first = send();
    robin.decide(&first, "no_match");
    assert_eq!(app.verdict(&photo(1)), "no_match", "what was decided is not asked again");
    // As if a clock that was a year ahead had dated that decision.
    tamper(&app.folder().join("data"), "UPDATE decided_pair SET decided_at = '2099-01-01T00:00:00Z'");
    let kim = Moderator::new(&app, "kim");
    let other =
        app.check(&[&crate::support::pictures::jpeg(&crate::support::pictures::scene(1), 40)], &[("seller_id", "s2")]);
    if other["action"] == "review" {
        kim.decide(other["id"].as_str().unwrap(), "fake");
        assert_eq!(app.verdict(&photo(1)), "known_fake_match", "the later word holds, whatever the clock said");
    }
    let key = app.request("POST", "/v1/keys").json(&json!({ "scope": "admin", "days": 1 })).send().unwrap();
    assert_eq!(key.status(), 201);
}

#[test]
fn a_panic_in_one_request_ends_that_request_only() {
    let app = TestApp::beside(
        axum::Router::new().route("/panics", axum::routing::get(async || -> &'static str { panic!("as a test") })),
    );
    app.add_fake(&photo(1));
    for _ in 0..5 {
        problem(app.get("/panics"), 500, "internal");
    }
    assert_eq!(app.verdict(&photo(1)), "known_fake_match");
}
