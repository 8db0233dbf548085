//! Encryption, erasure and retention, and what the log still proves afterwards.

use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;
use touchstone::gallery::{Gallery, Retention, Vault};

use crate::cli::{stderr, stdout, touchstone};
use crate::support::database::{open_gallery, open_sealed};
use crate::support::moderator::Moderator;
use crate::support::pictures::photo;
use crate::support::{TestApp, files, real_photo};

const KEY: &str = "6b2f0c5f0b1e4a7d9c8e7f6a5b4c3d2e1f00112233445566778899aabbccddee";
const OTHER: &str = "aa2f0c5f0b1e4a7d9c8e7f6a5b4c3d2e1f00112233445566778899aabbccddee";

fn keep_key(folder: &Path, keys: &str) -> std::path::PathBuf {
    let path = folder.join("photo.keys");
    std::fs::write(&path, keys).unwrap();
    path
}

fn sealed(folder: &Path) -> Gallery {
    let keys = std::fs::read_to_string(folder.join("photo.keys")).unwrap();
    open_sealed(&folder.join("data"), Some(Vault::parse(&keys).unwrap()))
}

#[test]
fn with_a_key_no_photo_lies_readable_on_the_disk_and_everything_works_as_without() {
    let folder = Arc::new(TempDir::new().unwrap());
    let gallery = |keys: &str| {
        keep_key(folder.path(), keys);
        TestApp::over_gallery(Arc::clone(&folder), sealed(folder.path()))
    };
    let app = gallery(KEY);
    app.add_fake(&photo(1));
    let check = app.check(&[&photo(1)], &[("seller_id", "s1")]);
    let moderator = Moderator::new(&app, "robin");
    let case = moderator.page(&format!("/console/cases/{}", check["id"].as_str().unwrap()));
    let pictures: Vec<&str> = case.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let picture = pictures.iter().find(|path| path.starts_with("/console/pictures/")).unwrap();
    assert_eq!(&moderator.get(picture).bytes().unwrap()[..3], b"\xff\xd8\xff", "moderators see it");
    let kinds = ["photos", "uploads", "features", "thumbnails"];
    let kept: Vec<_> = kinds.iter().flat_map(|kind| files(&folder.path().join("data").join(kind))).collect();
    assert!(kept.len() >= 4, "{:?}", kept.iter().map(|(path, _)| path).collect::<Vec<_>>());
    for (path, bytes) in &kept {
        assert!(bytes.starts_with(b"TSV1"), "{path} is not encrypted");
    }
    drop((app, moderator));
    // Without the key, or with another, nothing can be opened, and nothing is written in the clear.
    let file = folder.path().join("x.jpg");
    std::fs::write(&file, photo(1)).unwrap();
    for args in [&["check", file.to_str().unwrap()][..], &["user", "list"], &["key", "list"]] {
        let output = touchstone(folder.path(), args);
        assert_eq!(output.status.code(), Some(6), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("photos are encrypted with key"));
    }
    let keys = keep_key(folder.path(), OTHER);
    let set = format!("photo_keys={}", keys.display());
    assert_eq!(touchstone(folder.path(), &["user", "list", "--set", &set]).status.code(), Some(6));
    // A new key before the old one: both open files, and all files can be encrypted again with the new one.
    keep_key(folder.path(), &format!("# new\n{OTHER}\n{KEY}\n"));
    let output = touchstone(folder.path(), &["encrypt-photos", "--set", &set]);
    assert!(output.status.success(), "{}", stderr(&output));
    let app = gallery(OTHER);
    assert_eq!(app.verdict(&photo(1)), "known_fake_match");
}

#[test]
fn photos_that_are_there_already_are_encrypted_on_request() {
    let folder = Arc::new(TempDir::new().unwrap());
    let app = TestApp::over(Arc::clone(&folder), "sscd-distilled", |_| {});
    app.add_fake(&photo(1));
    app.check(&[&photo(1)], &[]);
    drop(app);
    let set = format!("photo_keys={}", keep_key(folder.path(), KEY).display());
    let output = touchstone(folder.path(), &["encrypt-photos", "--set", &set]);
    assert!(output.status.success(), "{}", stderr(&output));
    for (path, bytes) in ["photos", "uploads"].iter().flat_map(|kind| files(&folder.path().join("data").join(kind))) {
        assert!(bytes.starts_with(b"TSV1"), "{path}");
    }
    let app = TestApp::over_gallery(Arc::clone(&folder), sealed(folder.path()));
    assert_eq!(app.verdict(&photo(1)), "known_fake_match");
}

#[test]
fn a_file_of_keys_that_is_none_is_told_without_what_is_in_it() {
    for (text, line) in
        [("", "contains no key"), ("# only words\n", "contains no key"), (&format!("{KEY}\nsecret!"), "line 2")]
    {
        let error = Vault::parse(text).unwrap_err();
        assert!(error.contains(line) && !error.contains("secret!"), "{error}");
    }
    let folder = TempDir::new().unwrap();
    let output = touchstone(folder.path(), &["user", "list", "--set", "photo_keys=/nowhere/keys"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
}

#[test]
fn a_sealed_file_that_was_changed_or_moved_is_not_believed() {
    let folder = Arc::new(TempDir::new().unwrap());
    keep_key(folder.path(), KEY);
    let app = TestApp::over_gallery(Arc::clone(&folder), sealed(folder.path()));
    let (a, b) = (app.add("acme", "fake", &photo(1)), app.add("acme", "fake", &real_photo(3)));
    drop(app);
    let gallery = sealed(folder.path());
    let sum = |body: &Value| body["sha256"].as_str().unwrap().parse().unwrap();
    let file = |body: &Value| {
        let name = body["sha256"].as_str().unwrap();
        folder.path().join("data/photos").join(&name[..2]).join(name)
    };
    let (first, second) = (file(&a), file(&b));
    assert!(gallery.photo(sum(&a)).is_ok());
    std::fs::copy(&second, &first).unwrap();
    assert!(gallery.photo(sum(&a)).unwrap_err().to_string().contains("damaged, or belongs to another photo"));
    let mut bytes = std::fs::read(&second).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&second, bytes).unwrap();
    assert!(gallery.photo(sum(&b)).is_err());
}

/// Whether a text occurs in the database's files, or in a file's name.
fn is_kept(folder: &Path, text: &str) -> bool {
    let found = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    files(folder).iter().any(|(path, bytes)| path.contains(text) || found(bytes))
}

#[test]
fn a_seller_who_is_forgotten_is_nowhere_and_the_log_still_holds() {
    let folder = Arc::new(TempDir::new().unwrap());
    let app = TestApp::over(Arc::clone(&folder), "sscd-distilled", |_| {});
    app.add_fake(&photo(1));
    app.add("globex", "authentic", &photo(2));
    app.put_policy("globex", &json!({ "authorised_sellers": ["seller-forgetful", "seller-other"] }));
    let send = |seller: &str, listing: &str, bytes: &[u8]| -> String {
        let check = app.check(&[bytes], &[("seller_id", seller), ("listing_id", listing)]);
        check["id"].as_str().unwrap().to_owned()
    };
    let theirs = send("seller-forgetful", "listing-forgetful", &photo(1));
    let shared = send("seller-other", "listing-other", &photo(1));
    send("seller-forgetful", "listing-forgetful-2", &real_photo(3));
    app.add_fake(&photo(5));
    let appealed = send("seller-forgetful", "listing-forgetful-3", &photo(5));
    let robin = Moderator::new(&app, "robin");
    robin.decide(&theirs, "fake");
    robin.decide(&appealed, "fake");
    let appeal = json!({ "text": "I am Forgetful Jane and it is mine." });
    assert!(
        app.request("POST", &format!("/v1/checks/{appealed}/appeals"))
            .json(&appeal)
            .send()
            .unwrap()
            .status()
            .is_success()
    );
    let output = touchstone(folder.path(), &["forget-seller", "seller-forgetful"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let answer = app.get_json(&format!("/v1/checks/{theirs}"));
    assert_eq!(
        (&answer["verdict"], &answer["listing"]["seller_id"], &answer["photos"][0]["name"]),
        (&json!("known_fake_match"), &Value::Null, &Value::Null)
    );
    assert_eq!(app.get_json(&format!("/v1/checks/{shared}"))["listing"]["seller_id"], "seller-other");
    let policy = app.get_json("/v1/brands/globex/policy");
    assert_eq!(policy["policy"]["authorised_sellers"], json!(["seller-other"]));
    // A photo that both sellers sent is kept for the other one.
    let case = robin.page(&format!("/console/cases/{shared}"));
    assert!(case.contains("/console/pictures/photo/"));
    // The decision about the photo still applies to others.
    assert_eq!(app.get_json(&format!("/v1/checks/{}/case", send("seller-3", "l3", &photo(1))))["decision"], "fake");
    let evidence = robin.post(&format!("/console/cases/{theirs}/evidence"), &[]);
    assert_eq!(evidence.status(), 422, "what was erased proves nothing, and says so");
    let verified = touchstone(folder.path(), &["audit", "verify"]);
    assert!(verified.status.success(), "{}", stderr(&verified));
    assert!(String::from_utf8_lossy(&verified.stdout).contains("with erased details"));
    drop((app, robin));
    let gallery = open_gallery(&folder.path().join("data"));
    // A copy has no free pages: it contains only the database's current data.
    gallery.copy_database(&folder.path().join("copy.db")).unwrap();
    drop(gallery);
    std::fs::remove_dir_all(folder.path().join("data")).unwrap();
    for text in ["seller-forgetful", "listing-forgetful", "Forgetful Jane"] {
        assert!(!is_kept(folder.path(), text), "{text} is still there");
    }
}

#[test]
fn what_is_older_than_it_may_be_is_swept_and_what_waits_is_not() {
    let folder = Arc::new(TempDir::new().unwrap());
    let app = TestApp::over(Arc::clone(&folder), "sscd-distilled", |config| config.checks.keep_allowed_every = 1);
    app.add_fake(&photo(1));
    let send = |seed: &[u8], seller: &str| -> String {
        app.check(&[seed], &[("seller_id", seller), ("listing_id", "l1")])["id"].as_str().unwrap().to_owned()
    };
    let (waits, decided, allowed) = (
        send(&photo(1), "s1"),
        send(&crate::support::pictures::stolen(&photo(1)), "seller-two"),
        send(&real_photo(3), "s3"),
    );
    let robin = Moderator::new(&app, "robin");
    robin.decide(&decided, "no_match");
    let gallery = open_gallery(&folder.path().join("data"));
    let retention = Retention { photos_days: 10, checks_days: 20 };
    let after = |days: i64| Timestamp::now() + SignedDuration::from_hours(days * 24);
    assert!(gallery.sweep(&retention, after(9)).unwrap().is_nothing());
    assert_eq!(gallery.sweep(&retention, after(11)).unwrap().photos, 2, "the case that waits keeps its photo");
    assert_eq!(gallery.sweep(&retention, after(11)).unwrap().photos, 0);
    assert_eq!(app.get(&format!("/v1/checks/{allowed}")).status(), 200);
    assert_eq!(gallery.sweep(&retention, after(21)).unwrap().checks, 2);
    assert_eq!(app.get(&format!("/v1/checks/{allowed}")).status(), 404);
    assert_eq!(app.get_json(&format!("/v1/checks/{decided}"))["listing"]["seller_id"], Value::Null);
    assert_eq!(app.get_json(&format!("/v1/checks/{waits}"))["listing"]["seller_id"], "s1");
    // A session of weeks ago has ended, too.
    assert_eq!(robin.get("/console/queue").status(), 303);
    assert!(!Moderator::sign_in(&app, "robin").page(&format!("/console/cases/{decided}")).contains("seller-two"));
    assert!(gallery.sweep(&Retention { photos_days: 0, checks_days: 0 }, after(9999)).unwrap().is_nothing());
    assert_eq!(gallery.verify_audit().unwrap().wrong, None);
}

/// As if the process had ended between the commit and the removal of files after it.
#[test]
fn photos_that_a_crash_has_left_are_removed_by_whoever_comes_next() {
    let folder = Arc::new(TempDir::new().unwrap());
    let app = TestApp::over(Arc::clone(&folder), "sscd-distilled", |_| {});
    let id = app.add_fake(&photo(1));
    app.check(&[&crate::support::pictures::stolen(&photo(1))], &[("seller_id", "s1")]);
    let data = folder.path().join("data");
    let kept = [files(&data.join("photos")), files(&data.join("uploads"))];
    assert_eq!(kept.each_ref().map(Vec::len), [1, 1]);
    app.request("DELETE", &format!("/v1/brands/acme/references/{id}")).send().unwrap();
    assert!(touchstone(folder.path(), &["forget-seller", "s1"]).status.success());
    let left = || files(&data.join("photos")).len() + files(&data.join("uploads")).len();
    assert_eq!(left(), 0);
    for (path, bytes) in kept.iter().flatten() {
        std::fs::write(path, bytes).unwrap();
    }
    let again = touchstone(folder.path(), &["forget-seller", "s1"]);
    assert!(stdout(&again).contains("1 photos"), "{}", stdout(&again));
    // A file this new may belong to a reference that is being added.
    assert!(touchstone(folder.path(), &["sweep"]).status.success());
    assert_eq!(left(), 1);
    let photo = std::fs::File::open(&kept[0][0].0).unwrap();
    photo.set_modified(std::time::SystemTime::now() - std::time::Duration::from_hours(2)).unwrap();
    assert!(touchstone(folder.path(), &["sweep"]).status.success());
    assert_eq!(left(), 0);
}
