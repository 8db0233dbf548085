//! A fake that becomes known later is found in listings that were let through, once, and in no other listing.

use std::process::Stdio;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;
use touchstone::config::Config;
use touchstone::embed::ModelManifest;
use touchstone::gallery::Vault;
use touchstone::memory::Memory;

use crate::cli::{stderr, stdout, touchstone};
use crate::support::database::{open_gallery, open_sealed};
use crate::support::moderator::Moderator;
use crate::support::pictures::jpeg;
use crate::support::service::serve;
use crate::support::{TestApp, files, real_photo, root, times, wait_for};

/// A real photo as a seller sends it: cut a little, smaller, and compressed again.
fn copied(number: usize) -> Vec<u8> {
    let photo = image::load_from_memory(&real_photo(number)).unwrap().to_rgb8();
    let (width, height) = photo.dimensions();
    let cut = image::imageops::crop_imm(&photo, width / 20, height / 20, width * 9 / 10, height * 9 / 10).to_image();
    let small = image::imageops::resize(&cut, cut.width() * 3 / 4, cut.height() * 3 / 4, image::imageops::Triangle);
    jpeg(&small, 80)
}

/// Sends a listing that nothing is known against. Returns the check's id.
fn allowed(app: &TestApp, number: usize, listing: &str, seller: &str) -> String {
    let answer = app.check(&[&copied(number)], &[("listing_id", listing), ("seller_id", seller)]);
    assert_eq!(answer["action"], "allow", "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

fn case(app: &TestApp, check: &str) -> Option<Value> {
    let answer = app.get(&format!("/v1/checks/{check}/case"));
    (answer.status() == 200).then(|| answer.json().unwrap())
}

/// Waits until every lookback that was asked for has searched the whole memory once.
fn searched(app: &TestApp) {
    wait_for("the end of the lookbacks", || {
        let due = app.gallery.follow_lookbacks(Timestamp::now()).unwrap();
        !due && app.gallery.lookbacks(None, 100).unwrap().iter().all(|lookback| lookback.photos > 0)
    });
}

#[test]
fn a_fake_that_is_added_later_is_found_in_a_listing_that_was_let_through() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let check = allowed(&app, 0, "l-1", "s-1");
    let other = allowed(&app, 2, "l-2", "s-2");
    let answer = app.get_json(&format!("/v1/checks/{check}"));
    let reference = app.add_fake(&real_photo(0));
    wait_for("the case", || case(&app, &check).is_some());
    searched(&app);

    let found = case(&app, &check).unwrap();
    assert_eq!((&found["verdict"], &found["status"]), (&json!("known_fake_likely"), &json!("open")), "{found}");
    assert_eq!((&found["reference"], &found["listing_id"]), (&json!(reference), &json!("l-1")));
    let listed = robin.page("/console/lookbacks");
    assert!(listed.contains(&format!("/console/references/{reference}")), "{listed}");
    assert!(listed.contains("sscd-distilled@"), "the model that serves is listed, too");
    assert!(case(&app, &other).is_none(), "another photo is no copy");
    assert_eq!(app.get_json(&format!("/v1/checks/{check}")), answer, "the answer to the check stays as it was given");

    let page = robin.page(&format!("/console/cases/{check}"));
    assert!(page.contains("a lookback found it"), "the page says so");
    assert!(page.contains("The photo is not stored"), "and what was compared");
    assert!(!page.contains("/console/pictures/photo/"), "nothing stands in the place of a photo that nobody can see");
    assert!(page.contains("/console/pictures/reference/"));
    assert!(!robin.page("/console/queue").contains("/console/pictures/photo/"));
    robin.decide(&check, "fake");
    let decided = case(&app, &check).unwrap();
    assert_eq!((&decided["decision"], &decided["decided_by"]), (&json!("fake"), &json!("robin")));
}

#[test]
fn where_the_photo_is_stored_the_reference_is_verified_in_it() {
    let app = TestApp::with("sscd-distilled", |config| config.checks.keep_allowed_every = 1);
    let robin = Moderator::new(&app, "robin");
    let check = allowed(&app, 0, "l-1", "s-1");
    app.add_fake(&real_photo(0));
    wait_for("the case", || case(&app, &check).is_some());
    let found = case(&app, &check).unwrap();
    assert!(found["probability"].as_f64().unwrap() > 0.9, "{found}");
    let page = robin.page(&format!("/console/cases/{check}"));
    assert!(page.contains("keypoints agree"), "the page shows where the reference is");
    assert!(!page.contains("The photo is not stored"));
}

#[test]
fn nothing_is_found_twice_and_a_released_reference_is_searched_for_again() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let first = allowed(&app, 0, "l-1", "s-1");
    let reference = app.add_fake(&real_photo(0));
    wait_for("the case", || case(&app, &first).is_some());
    robin.decide(&first, "no_match");
    let state = |state: &str| {
        let body = json!({ "state": state });
        let path = format!("/v1/brands/acme/references/{reference}");
        assert_eq!(app.request("PATCH", &path).json(&body).send().unwrap().status(), 200);
    };
    state("disabled");
    app.gallery.follow_lookbacks(Timestamp::now()).unwrap();
    assert!(app.gallery.lookbacks(None, 10).unwrap().is_empty(), "a disabled reference is searched for no more");
    // Other bytes: about the first ones, somebody has decided.
    let other = image::load_from_memory(&copied(0)).unwrap().to_rgb8();
    let second = app.check(&[&jpeg(&other, 60)], &[("listing_id", "l-2")])["id"].as_str().unwrap().to_owned();
    state("active");
    wait_for("the second case", || case(&app, &second).is_some());
    searched(&app);
    let kept = case(&app, &first).unwrap();
    assert_eq!((&kept["status"], &kept["decision"]), (&json!("decided"), &json!("no_match")), "it was found before");
}

#[test]
fn the_command_reports_what_it_would_find_and_then_opens_the_cases() {
    let folder = Arc::new(TempDir::new().unwrap());
    let app = TestApp::over(Arc::clone(&folder), "sscd-distilled", |config| config.memory.keep = true);
    let check = allowed(&app, 0, "l-1", "s-1");
    drop(app);
    let photos = folder.path().join("fakes");
    std::fs::create_dir(&photos).unwrap();
    std::fs::write(photos.join("coffee.png"), real_photo(0)).unwrap();
    let photos = photos.display().to_string();
    let added = touchstone(folder.path(), &["reindex", "--brand", "acme", "--fake", &photos]);
    assert!(added.status.success(), "{}", stderr(&added));

    let dry = touchstone(folder.path(), &["lookback", "--brand", "acme", "--dry-run", "--json"]);
    let lines: Vec<Value> = stdout(&dry).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["check_id"], &lines[0]["listing_id"]), (&json!(check), &json!("l-1")), "{}", stderr(&dry));
    assert_eq!(lines[1], json!({ "photos": 1, "found": 1, "references": 1 }));
    let tomorrow = (Timestamp::now() + SignedDuration::from_hours(48)).strftime("%Y-%m-%d").to_string();
    let later = touchstone(folder.path(), &["lookback", "--brand", "acme", "--since", &tomorrow, "--dry-run"]);
    assert_eq!(stdout(&later), "1 references, 0 remembered photos; 0 cases would be opened or added to\n");

    let done = touchstone(folder.path(), &["lookback", "--brand", "acme"]);
    assert!(
        stdout(&done).ends_with("1 references, 1 remembered photos; 1 cases opened or added to\n"),
        "{}",
        stdout(&done)
    );
    let again = touchstone(folder.path(), &["lookback", "--brand", "acme"]);
    assert_eq!(stdout(&again), "1 references, 1 remembered photos; 0 cases opened or added to\n");
    for (args, code) in [
        (&["lookback"][..], 2),
        (&["lookback", "--brand", "acme", "--since", "yesterday"], 2),
        (&["lookback", "--reference", "ref_none"], 8),
    ] {
        assert_eq!(touchstone(folder.path(), args).status.code(), Some(code), "{args:?}");
    }
    let app = TestApp::over(folder, "sscd-distilled", |_| {});
    assert_eq!(case(&app, &check).unwrap()["status"], "open");
}

#[test]
fn a_forgotten_seller_leaves_nothing_in_the_memory() {
    let folder = Arc::new(TempDir::new().unwrap());
    let app = TestApp::over(Arc::clone(&folder), "sscd-distilled", |_| {});
    let gone = allowed(&app, 0, "l-1", "seller-to-forget");
    let kept = allowed(&app, 0, "l-2", "another-seller");
    let memory = Memory::of(&app.gallery);
    memory.flush().unwrap();
    allowed(&app, 0, "l-3", "seller-to-forget");
    drop(app);
    let said = touchstone(folder.path(), &["forget-seller", "seller-to-forget"]);
    assert!(stdout(&said).contains("2 photos from the memory"), "{}", stdout(&said));
    for (path, bytes) in files(&folder.path().join("data/memory")) {
        let names = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!names("seller-to-forget"), "{path}");
        assert!(!path.ends_with(".segment") || names("another-seller"), "{path}");
    }
    let app = TestApp::over(folder, "sscd-distilled", |_| {});
    app.add_fake(&real_photo(0));
    wait_for("the case", || case(&app, &kept).is_some());
    searched(&app);
    assert!(case(&app, &gone).is_none());
}

#[test]
fn the_memory_is_encrypted_with_the_photos_and_ends_with_its_days() {
    const KEY: &str = "6b2f0c5f0b1e4a7d9c8e7f6a5b4c3d2e1f00112233445566778899aabbccddee";
    const NEW: &str = "aa2f0c5f0b1e4a7d9c8e7f6a5b4c3d2e1f00112233445566778899aabbccddee";
    let folder = Arc::new(TempDir::new().unwrap());
    let open = |keys: &str| open_sealed(&folder.path().join("data"), Some(Vault::parse(keys).unwrap()));
    let app = TestApp::over_gallery(Arc::clone(&folder), open(KEY));
    let check = allowed(&app, 0, "a-listing-id", "s-1");
    Memory::of(&app.gallery).flush().unwrap();
    drop(app);
    let readable = || files(&folder.path().join("data/memory")).iter().any(|(_, bytes)| holds(bytes, "a-listing-id"));
    assert!(!readable(), "a sealed segment names no listing");

    let gallery = Arc::new(open(&format!("{NEW}\n{KEY}")));
    let memory = Memory::of(&gallery);
    assert_eq!((memory.reseal().unwrap(), memory.reseal().unwrap()), (1, 0), "encrypted again once");
    drop((memory, gallery));
    let app = TestApp::over_gallery(Arc::clone(&folder), open(NEW));
    app.add_fake(&real_photo(0));
    wait_for("the case", || case(&app, &check).is_some());

    let memory = Memory::of(&app.gallery);
    let after = |days: i64| Timestamp::now() + SignedDuration::from_hours(24 * days);
    assert_eq!(memory.retain(30, after(29)).unwrap(), 0);
    assert_eq!(memory.retain(0, after(9999)).unwrap(), 0, "0 keeps it without end");
    assert_eq!(memory.retain(30, after(30)).unwrap(), 1);
    assert!(!files(&folder.path().join("data/memory")).iter().any(|(path, _)| path.ends_with(".segment")));
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn what_a_crash_leaves_in_a_segment_is_neither_lost_nor_read_twice() {
    let folder = Arc::new(TempDir::new().unwrap());
    let app = TestApp::over(Arc::clone(&folder), "sscd-distilled", |_| {});
    let memory = Memory::of(&app.gallery);
    let first = allowed(&app, 0, "l-1", "s-1");
    memory.flush().unwrap();
    let before = memory.stats().unwrap();
    let segment = || {
        let all = files(&folder.path().join("data/memory"));
        all.into_iter().find(|(path, _)| path.ends_with(".segment")).unwrap()
    };
    let (path, mut bytes) = segment();
    // A block that was written, and never counted.
    bytes.extend_from_within(bytes.len() / 2..);
    std::fs::write(&path, &bytes).unwrap();
    memory.verify().unwrap();
    let second = allowed(&app, 0, "l-2", "s-2");
    memory.flush().unwrap();
    let after = memory.stats().unwrap();
    assert_eq!((before.photos, after.photos), (1, 2));
    assert_eq!(after.bytes, segment().1.len() as u64);
    app.add_fake(&real_photo(0));
    wait_for("both cases", || case(&app, &first).is_some() && case(&app, &second).is_some());

    let mut damaged = segment().1;
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let error = memory.verify().unwrap_err().to_string();
    assert!(error.contains("checksum") && error.contains(".segment"), "{error}");
}

#[test]
fn a_backup_holds_the_memory() {
    let folder = Arc::new(TempDir::new().unwrap());
    let app = TestApp::over(Arc::clone(&folder), "sscd-distilled", |_| {});
    let in_segment = allowed(&app, 0, "l-1", "s-1");
    Memory::of(&app.gallery).flush().unwrap();
    let in_database = allowed(&app, 0, "l-2", "s-2");
    drop(app);
    let file = folder.path().join("backup.tar").display().to_string();
    let made = touchstone(folder.path(), &["backup", &file]);
    assert!(made.status.success(), "{}", stderr(&made));
    let new = Arc::new(TempDir::new().unwrap());
    let restored = touchstone(new.path(), &["restore", &file]);
    assert!(restored.status.success(), "{}", stderr(&restored));
    let app = TestApp::over(new, "sscd-distilled", |_| {});
    app.add_fake(&real_photo(0));
    wait_for("both cases", || case(&app, &in_segment).is_some() && case(&app, &in_database).is_some());
}

/// The service is killed while it searches, again and again.
#[test]
fn no_case_of_a_lookback_is_lost_or_made_twice_when_the_service_is_killed() {
    const LISTINGS: usize = 12;
    let folder = Arc::new(TempDir::new().unwrap());
    let app = TestApp::over(Arc::clone(&folder), "sscd-distilled", |_| {});
    let photo = image::load_from_memory(&copied(0)).unwrap().to_rgb8();
    for number in 0..LISTINGS {
        let quality = 60 + u8::try_from(number).unwrap();
        let answer = app.check(&[&jpeg(&photo, quality)], &[("listing_id", &format!("l-{number}"))]);
        assert_eq!(answer["action"], "allow", "{answer}");
    }
    drop(app);
    let photos = folder.path().join("fakes");
    std::fs::create_dir(&photos).unwrap();
    std::fs::write(photos.join("coffee.png"), real_photo(0)).unwrap();
    let added = touchstone(folder.path(), &["reindex", "--brand", "acme", "--fake", &photos.display().to_string()]);
    assert!(added.status.success(), "{}", stderr(&added));
    for _ in 0..times("KILLS", 3) {
        let mut service = serve(folder.path(), &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(rand::random_range(100..1200)));
        service.kill().and_then(|()| service.wait()).unwrap();
    }
    let app = TestApp::over(folder, "sscd-distilled", |_| {});
    let found = || app.log().iter().filter(|entry| entry.action == "found-by-lookback").count();
    wait_for("every case", || found() >= LISTINGS);
    searched(&app);
    assert_eq!(found(), LISTINGS);
    assert_eq!(app.gallery.waiting().unwrap().0, LISTINGS as u64);
    assert_eq!(app.gallery.lookbacks(None, 10).unwrap()[0].found, LISTINGS as u64);
}

#[test]
fn a_brand_that_adds_many_fakes_does_not_keep_another_waiting() {
    let app = TestApp::start();
    let mut ids: Vec<String> = (0..4).map(|number| app.add_fake(&real_photo(number))).collect();
    ids.push(app.add("globex", "fake", &real_photo(4))["id"].as_str().unwrap().to_owned());
    let keys: Vec<u64> = ids.iter().map(|id| app.gallery.find(id).unwrap().unwrap().key).collect();
    // Nothing runs before it is due.
    let later = Timestamp::now() + SignedDuration::from_hours(1);
    for (second, key) in (0..).zip(&keys) {
        app.gallery.ask_lookback(*key, 0, later + SignedDuration::from_secs(second)).unwrap();
    }
    let due = app.gallery.due_lookback(3, later + SignedDuration::from_mins(1)).unwrap().unwrap();
    assert_eq!(due.keys, [keys[0], keys[4], keys[1]]);
}

/// A check that found nothing, then another model: what the check missed becomes a case, once.
#[test]
fn after_a_change_of_the_model_stored_photos_are_judged_again() {
    let folder = Arc::new(TempDir::new().unwrap());
    let keep = |config: &mut Config| config.checks.keep_allowed_every = 1;
    let app = TestApp::over(Arc::clone(&folder), "sscd-distilled", keep);
    app.add_fake(&real_photo(0));
    let before = app.check(&[&copied(0)], &[("listing_id", "l-1")]);
    assert_eq!(before["verdict"], "known_fake_match", "{before}");
    // With this policy, the check finds nothing, as with a model that misses the copy.
    let policy = |thresholds: Value| {
        let body = json!({ "thresholds": thresholds });
        assert_eq!(app.request("PUT", "/v1/brands/acme/policy").json(&body).send().unwrap().status(), 200);
    };
    policy(json!({ "fake_match": 1.0, "fake_likely": 1.0 }));
    let photo = image::load_from_memory(&copied(0)).unwrap().to_rgb8();
    let missed = app.check(&[&jpeg(&photo, 60)], &[("listing_id", "l-2")]);
    assert_eq!(missed["action"], "allow", "{missed}");
    let unrelated = allowed(&app, 2, "l-3", "s-3");
    policy(json!({}));
    searched(&app);
    let missed = missed["id"].as_str().unwrap();
    assert!(case(&app, missed).is_none());
    drop(app);

    // The service notes the change itself; this note is older, so that the search is due at once.
    let manifest = ModelManifest::load(&root().join("models"), "efficientnet-lite0").unwrap();
    let gallery = open_gallery(&folder.path().join("data"));
    let earlier = Timestamp::now() - SignedDuration::from_mins(5);
    assert!(!gallery.follow_model(&manifest.id(), 0, earlier).unwrap());
    drop(gallery);
    let app = TestApp::over(folder, "efficientnet-lite0", keep);
    wait_for("the end of the search", || app.gallery.model_lookbacks(1).unwrap()[0].done_at.is_some());
    let done = app.gallery.model_lookbacks(1).unwrap().remove(0);
    assert_eq!((done.model, done.photos, done.found), (manifest.id(), 3, 1));
    let found = case(&app, missed).unwrap();
    assert_eq!((&found["verdict"], &found["listing_id"]), (&json!("known_fake_match"), &json!("l-2")), "{found}");
    assert!(case(&app, &unrelated).is_none());
    let of_lookbacks = app.log().into_iter().filter(|entry| entry.action == "found-by-lookback").count();
    assert_eq!(of_lookbacks, 1, "the case that the first check opened is left alone");
}

/// The similarity of two embeddings says something only beside the background of the model that made them.
#[test]
fn photos_that_a_former_model_embedded_are_found_by_that_models_embeddings() {
    let folder = Arc::new(TempDir::new().unwrap());
    let without_keypoints = |config: &mut Config| config.memory.keypoints = 0;
    let app = TestApp::over(Arc::clone(&folder), "efficientnet-lite0", without_keypoints);
    let reference = app.add_fake(&real_photo(0));
    let state = |app: &TestApp, state: &str| {
        let path = format!("/v1/brands/acme/references/{reference}");
        assert_eq!(app.request("PATCH", &path).json(&json!({ "state": state })).send().unwrap().status(), 200);
    };
    state(&app, "disabled");
    let check = allowed(&app, 0, "l-1", "s-1");
    let other = allowed(&app, 2, "l-2", "s-2");
    Memory::of(&app.gallery).flush().unwrap();
    drop(app);
    let app = TestApp::over(folder, "sscd-distilled", without_keypoints);
    state(&app, "active");
    wait_for("the case", || case(&app, &check).is_some());
    searched(&app);
    assert!(case(&app, &other).is_none());
}

#[test]
fn a_search_after_a_change_of_the_model_resumes_and_ends_when_another_model_serves() {
    let app = TestApp::with("sscd-distilled", |config| {
        config.checks.keep_allowed_every = 1;
        // The service itself must not note its model.
        config.memory.keep = false;
    });
    let checks: Vec<String> = (0..3).map(|number| allowed(&app, number, "l", "s")).collect();
    let gallery = &app.gallery;
    let start = Timestamp::now();
    let later = start + SignedDuration::from_mins(3);
    assert!(!gallery.follow_model("a@1", 0, start).unwrap(), "checks under the former model may still be running");
    assert_eq!(gallery.due_model_lookback("a@1", start).unwrap(), None);
    assert!(gallery.follow_model("a@1", 0, later).unwrap());
    assert_eq!(gallery.due_model_lookback("b@1", later).unwrap(), None, "not the model that serves");

    let ids = |most: usize| {
        let work = gallery.due_model_lookback("a@1", later).unwrap().unwrap();
        let found = gallery.kept_checks(&work, most).unwrap();
        (work, found.into_iter().map(|check| check.id).collect::<Vec<_>>())
    };
    let (work, first) = ids(2);
    assert_eq!(first, [checks[2].clone(), checks[1].clone()], "the newest first");
    gallery.note_judged_again(&work, &first[1], 2, 1).unwrap();
    assert_eq!(ids(2).1, [checks[0].clone()], "the search resumes");

    assert!(!gallery.follow_model("b@1", 0, later).unwrap());
    assert_eq!(gallery.due_model_lookback("a@1", later).unwrap(), None);
    let listed = gallery.model_lookbacks(10).unwrap();
    let seen: Vec<_> = listed.iter().map(|one| (one.model.as_str(), one.photos, one.done_at.is_some())).collect();
    assert_eq!(seen, [("b@1", 0, false), ("a@1", 2, true)]);
}
