use std::collections::BTreeMap;

use tempfile::TempDir;

use crate::support::pictures::{photo, stolen};
use crate::support::service::Service;
use crate::support::store::ObjectServer;
use crate::support::{TestApp, form, problem, real_photo};

/// A service that may fetch from this machine, on which the tests serve their photos.
fn fetching(change: impl FnOnce(&mut touchstone::config::Config)) -> TestApp {
    TestApp::with("sscd-distilled", |config| {
        config.fetch.photo_url = true;
        config.fetch.private_addresses = true;
        config.fetch.hosts = vec!["127.0.0.1".to_owned()];
        change(config);
    })
}

#[test]
fn a_photo_can_be_named_in_place_of_being_sent_in_checks_look_ups_and_references() {
    let store = ObjectServer::start(vec![("photos/fake.jpg", photo(1)), ("photos/copy.jpg", stolen(&photo(1)))]);
    let app = fetching(|_| {});
    let url = |name: &str| format!("{}/photos/{name}?signature=secret", store.url());
    let fake = url("fake.jpg");
    let added = app.post_form("/v1/brands/acme/references", form(&[], &[("polarity", "fake"), ("photo_url", &fake)]));
    assert_eq!(added.status(), 201);
    let copy = url("copy.jpg");
    let answer = app.check(&[&real_photo(0)], &[("photo_url", &copy), ("seller_id", "S1")]);
    assert_eq!(answer["verdict"], "known_fake_match");
    // In the order sent, named by the path, because a query may contain a secret.
    assert_eq!(
        (&answer["photos"][0]["name"], &answer["photos"][0]["verdict"]),
        (&"copy.jpg".into(), &"known_fake_match".into())
    );
    assert_eq!(answer["photos"][1]["verdict"], "no_match");
    assert!(!answer.to_string().contains("secret"));
    let found: serde_json::Value = app.post_form("/v1/lookups", form(&[], &[("photo_url", &copy)])).json().unwrap();
    assert_eq!(found["matches"][0]["polarity"], "fake");
}

#[test]
fn nothing_is_fetched_unless_it_is_switched_on_and_its_place_was_named() {
    let store =
        ObjectServer::start(vec![("photos/1.jpg", photo(1)), ("redirect/2.jpg", b"http://localhost:1/x".to_vec())]);
    let url = format!("{}/photos/1.jpg", store.url());
    let check = |app: &TestApp, url: &str| app.post_form("/v1/checks", form(&[], &[("photo_url", url)]));
    problem(check(&TestApp::start(), &url), 422, "photo-url-off");
    let elsewhere = fetching(|config| config.fetch.hosts = vec!["img.example.com".to_owned()]);
    let detail = problem(check(&elsewhere, &url), 422, "photo-url-not-allowed");
    assert!(detail.contains("is not among fetch.hosts"), "{detail}");
    let public_only = fetching(|config| config.fetch.private_addresses = false);
    problem(check(&public_only, &url.replace("http:", "https:")), 422, "photo-url-not-allowed");
    let by_name = fetching(|config| {
        config.fetch.private_addresses = false;
        config.fetch.hosts = vec!["localhost".to_owned()];
    });
    let named = url.replace("http://127.0.0.1", "https://localhost");
    let detail = problem(check(&by_name, &named), 422, "photo-url-not-allowed");
    assert!(detail.contains("has no public address"), "{detail}");
    let app = fetching(|_| {});
    problem(check(&app, &format!("{}/redirect/2.jpg", store.url())), 422, "photo-url-not-allowed");
    problem(check(&app, "file:///etc/passwd"), 422, "photo-url-not-allowed");
    problem(check(&app, "s3://uploads/1.jpg"), 422, "photo-url-not-allowed");
    problem(check(&app, "1.jpg"), 422, "photo-url-invalid");
    assert_eq!(store.bytes_sent(), 0);
}

#[test]
fn whose_fault_it_is_that_a_photo_did_not_come_is_told() {
    let store = ObjectServer::start(vec![("photos/1.jpg", photo(1)), ("photos/2.jpg", photo(2))]);
    let app = fetching(|config| config.photo.max_bytes = photo(1).len() - 1);
    let check =
        |name: &str| app.post_form("/v1/checks", form(&[], &[("photo_url", &format!("{}/{name}", store.url()))]));
    problem(check("photos/none.jpg"), 422, "photo-url-unreadable");
    problem(check("photos/1.jpg"), 413, "photo-too-many-bytes");
    store.answer("photos/2.jpg", 503);
    let response = check("photos/2.jpg");
    assert_eq!(response.headers()["retry-after"], "5");
    problem(response, 502, "photo-url-failed");
    let gone = app.post_form("/v1/checks", form(&[], &[("photo_url", "http://127.0.0.1:1/1.jpg")]));
    problem(gone, 502, "photo-url-failed");
}

#[test]
fn a_repeat_is_answered_without_fetching_again() {
    let store = ObjectServer::start(vec![("photos/1.jpg", photo(1))]);
    let app = fetching(|_| {});
    let url = format!("{}/photos/1.jpg", store.url());
    let send = |url: &str| {
        let request = app.request("POST", "/v1/checks").header("idempotency-key", "once");
        request.multipart(form(&[], &[("photo_url", url)])).send().unwrap()
    };
    let first = send(&url).text().unwrap();
    let sent = store.bytes_sent();
    let again = send(&url);
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    assert_eq!((again.text().unwrap(), store.bytes_sent()), (first, sent));
    problem(send(&format!("{url}?other")), 422, "idempotency-key-reused");
}

#[test]
fn objects_are_read_from_named_stores_and_from_no_other_folder() {
    let store = ObjectServer::start(vec![
        ("uploads/new/1.jpg", photo(1)),
        ("uploads/private/2.jpg", photo(2)),
        ("other/new/3.jpg", photo(3)),
    ]);
    let folder = TempDir::new().unwrap();
    let settings = folder.path().join("touchstone.toml");
    std::fs::write(&settings, "[fetch]\nphoto_url = true\nstores = [\"s3://uploads/new\"]\n").unwrap();
    let service = Service::start_ready(folder.path(), |command| {
        command.args(["--config", settings.to_str().unwrap()]).envs(store.variables());
    });
    let check = |url: &str| {
        let sent = service.client().post(format!("{}/v1/checks", service.url));
        sent.multipart(form(&[], &[("photo_url", url)])).send().unwrap()
    };
    let answer: BTreeMap<String, serde_json::Value> = check("s3://uploads/new/1.jpg").json().unwrap();
    assert_eq!(answer["verdict"], "no_match");
    for outside in [
        "s3://uploads/private/2.jpg",
        "s3://uploads/new/../private/2.jpg",
        "s3://other/new/3.jpg",
        "s3://uploads/newer/1.jpg",
    ] {
        problem(check(outside), 422, "photo-url-not-allowed");
    }
    problem(check("s3://uploads/new/none.jpg"), 422, "photo-url-unreadable");
}
