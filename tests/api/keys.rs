use std::collections::BTreeSet;

use reqwest::blocking::{RequestBuilder, Response};
use serde_json::{Value, json};
use touchstone::domain::Scope;

use crate::support::database::{on_postgres, open_gallery};
use crate::support::moderator::Moderator;
use crate::support::pictures::photo;
use crate::support::service::{Service, serve};
use crate::support::{TestApp, client_with, form, problem, real_photo, wait_for};

/// The permissions, written by hand from the documented promise and not from the code.
const PROMISED: &[(&str, &str, &[&str])] = &[
    ("POST", "/v1/checks", &["platform"]),
    ("POST", "/v1/checks:batch", &["platform"]),
    ("GET", "/v1/checks/{id}", &["platform", "moderator"]),
    ("GET", "/v1/checks/{id}/case", &["platform", "moderator"]),
    ("GET", "/v1/events", &["platform", "moderator"]),
    ("POST", "/v1/checks/{id}/appeals", &["platform"]),
    ("PUT", "/v1/checks/{id}/outcomes/{brand}", &["platform"]),
    ("POST", "/v1/webhooks", &[]),
    ("GET", "/v1/webhooks", &[]),
    ("DELETE", "/v1/webhooks/{id}", &[]),
    ("POST", "/v1/webhooks/{id}/test", &[]),
    ("POST", "/v1/webhooks/{id}/enable", &[]),
    ("GET", "/v1/webhooks/{id}/deliveries", &[]),
    ("POST", "/v1/webhooks/{id}/deliveries/{delivery}/resend", &[]),
    ("POST", "/v1/lookups", &["platform", "brand", "moderator"]),
    ("POST", "/v1/brands/{brand}/references", &["brand"]),
    ("GET", "/v1/brands/{brand}/references", &["brand", "moderator"]),
    ("GET", "/v1/brands/{brand}/references/{id}", &["brand", "moderator"]),
    ("PATCH", "/v1/brands/{brand}/references/{id}", &["brand"]),
    ("DELETE", "/v1/brands/{brand}/references/{id}", &["brand"]),
    ("GET", "/v1/brands/{brand}/policy", &["brand", "moderator"]),
    ("PUT", "/v1/brands/{brand}/policy", &["brand"]),
    ("GET", "/v1/brands/{brand}/certificate", &["brand", "moderator"]),
    ("GET", "/v1/brands/{brand}/lookbacks", &["brand", "moderator"]),
    ("GET", "/v1/brands/{brand}/standing", &["platform", "brand", "moderator"]),
    ("POST", "/v1/notices", &["brand"]),
    ("GET", "/v1/notices", &["platform", "brand", "moderator"]),
    ("GET", "/v1/notices/{id}", &["platform", "brand", "moderator"]),
    ("PUT", "/v1/notices/{id}/listings/{listing_id}", &["platform", "brand"]),
    ("GET", "/v1/sellers/{seller_id}", &["platform", "moderator"]),
    ("GET", "/v1/sellers/{seller_id}/links", &["platform", "moderator"]),
    ("GET", "/v1/closures", &["platform", "moderator"]),
    ("GET", "/v1/closures/{id}", &["platform", "moderator"]),
    ("GET", "/h/hash", &["platform", "moderator"]),
    ("POST", "/h/hash", &["platform", "moderator"]),
    ("GET", "/m/raw_lookup", &["platform", "moderator"]),
    ("GET", "/m/lookup", &["platform", "moderator"]),
    ("POST", "/m/lookup", &["platform", "moderator"]),
    ("GET", "/m/index/status", &["platform", "moderator"]),
    ("GET", "/c/banks", &["platform", "moderator"]),
    ("POST", "/v1/alliances/{alliance}/members", &["alliance"]),
    ("GET", "/v1/alliances/{alliance}/signals", &["alliance"]),
    ("POST", "/v1/alliances/{alliance}/acknowledgements", &["alliance"]),
    ("GET", "/v1/index", &["platform", "moderator"]),
    ("GET", "/v1/keys", &[]),
    ("POST", "/v1/keys", &[]),
    ("DELETE", "/v1/keys/{id}", &[]),
    ("GET", "/metrics", &["platform"]),
];
const OPEN: &[(&str, &str)] = &[("GET", "/healthz"), ("GET", "/readyz")];

fn scopes() -> [(&'static str, Scope); 5] {
    [
        ("platform", Scope::Platform),
        ("brand", Scope::Brand("acme".parse().unwrap())),
        ("moderator", Scope::Moderator),
        ("admin", Scope::Admin),
        ("alliance", Scope::Alliance),
    ]
}

/// Every method and route of the document.
fn documented() -> BTreeSet<(String, String)> {
    let document: Value = serde_json::from_str(&touchstone::http::openapi_json()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let operations = |(path, item): (&String, &Value)| -> Vec<(String, String)> {
        item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())).collect()
    };
    paths.iter().flat_map(operations).collect()
}

/// A request that names `brand`, and an existing reference and check.
fn request(app: &TestApp, key: &str, (method, path): (&str, &str), brand: &str, id: &str) -> RequestBuilder {
    let path = path.replace("{brand}", brand).replace("{id}", id).replace("{delivery}", "msg_none");
    let request = client_with(key).request(method.parse().unwrap(), format!("{}{path}", app.url));
    match (method, path.as_str()) {
        ("POST", "/v1/checks") => request.multipart(form(&[&photo(7)], &[])),
        ("POST", "/v1/checks:batch") => request.header("content-type", "application/x-ndjson").body("{}"),
        ("POST", "/v1/lookups") => request.json(&json!({ "reference_id": id, "brand": brand })),
        ("POST", "/v1/notices") => {
            let listing = json!({ "listing_id": "l1", "ground": "counterfeit", "evidence": "We bought one." });
            request.json(&json!({ "brand": brand, "listings": [listing] }))
        }
        ("PUT", _) if path.contains("/listings/") => request.json(&json!({ "state": "removed" })),
        ("POST", "/v1/webhooks") => request.json(&json!({ "url": "https://shop.example/events" })),
        ("POST", "/v1/keys") => request.json(&json!({ "scope": "moderator" })),
        ("POST", _) if path.ends_with("/references") => request.multipart(form(&[&photo(8)], &[("polarity", "fake")])),
        ("POST", _) => request.json(&json!({ "text": "It is mine." })),
        ("PUT", _) if path.contains("/outcomes/") => request.json(&json!({ "outcome": "confirmed" })),
        ("PUT" | "PATCH", _) => request.json(&json!({})),
        _ => request,
    }
}

#[test]
fn every_route_of_the_document_is_promised_to_somebody() {
    let promised = PROMISED.iter().map(|(method, path, _)| (method, path)).chain(OPEN.iter().map(|(m, p)| (m, p)));
    let promised: BTreeSet<(String, String)> = promised.map(|(m, p)| ((*m).to_owned(), (*p).to_owned())).collect();
    assert_eq!(documented(), promised);
}

#[test]
fn every_route_is_closed_to_every_key_that_it_is_not_for() {
    let app = TestApp::start();
    let reference = app.add_fake(&photo(1));
    let check = app.check_one(&photo(1))["id"].as_str().unwrap().to_owned();
    let keys: Vec<_> = scopes().into_iter().map(|(name, scope)| (name, app.new_key(scope).1)).collect();
    for (method, path, allowed) in PROMISED {
        let id = if path.starts_with("/v1/checks") { &check } else { &reference };
        let nobody = client_with("").request(method.parse().unwrap(), format!("{}{path}", app.url)).send().unwrap();
        problem(nobody, 401, "key-missing");
        let wrong = request(&app, &format!("tsk_{:016x}_{:064x}", 1, 2), (method, path), "acme", id).send().unwrap();
        problem(wrong, 401, "key-unknown");
        for (name, key) in &keys {
            // Deletions come last, with the admin's own key.
            let answer = request(&app, key, (method, path), "acme", id);
            // Nobody but a member of an alliance speaks for it.
            let admin = *name == "admin" && !allowed.contains(&"alliance");
            let (name, allowed) = (*name, allowed.contains(name) || admin);
            if allowed && *method == "DELETE" {
                continue;
            }
            let answer = answer.send().unwrap();
            if allowed {
                let status = answer.status().as_u16();
                assert!(!matches!(status, 401 | 403 | 405) && status < 500, "{name} {method} {path}: {status}");
            } else {
                assert!(problem(answer, 403, "key-scope").contains(name));
            }
        }
    }
}

#[test]
fn a_brands_key_reaches_nothing_of_another_brand() {
    let app = TestApp::start();
    let theirs = app.add("globex", "fake", &photo(2))["id"].as_str().unwrap().to_owned();
    let own = app.add_fake(&photo(1));
    let key = app.new_key(Scope::Brand("acme".parse().unwrap())).1;
    for (method, path, allowed) in PROMISED.iter().filter(|(_, path, _)| path.contains("{brand}")) {
        let answer = request(&app, &key, (method, path), "globex", &theirs).send().unwrap();
        problem(answer, 403, if allowed.contains(&"brand") { "key-brand" } else { "key-scope" });
        // Another brand's ids do not exist under one's own name.
        if allowed.contains(&"brand") && path.contains("{id}") {
            problem(request(&app, &key, (method, path), "acme", &theirs).send().unwrap(), 404, "not-found");
        }
    }
    let client = client_with(&key);
    let lookup = |body: Value| client.post(format!("{}/v1/lookups", app.url)).json(&body).send().unwrap();
    problem(lookup(json!({ "reference_id": theirs })), 404, "not-found");
    problem(lookup(json!({ "reference_id": own, "brand": "globex" })), 403, "key-brand");
    // A look-up by photo searches one's own references only, even when no brand is named.
    let sent = client.post(format!("{}/v1/lookups", app.url)).multipart(form(&[&photo(2)], &[])).send().unwrap();
    let found: Value = sent.json().unwrap();
    let brands: Vec<&str> =
        found["matches"].as_array().unwrap().iter().map(|it| it["brand"].as_str().unwrap()).collect();
    assert_eq!(brands, ["acme"]);
    assert_eq!(app.get(&format!("/v1/brands/globex/references/{theirs}")).status(), 200, "nothing was changed");
}

#[test]
fn a_key_is_shown_once_and_kept_as_a_sum() {
    let app = TestApp::start();
    let made = app
        .request("POST", "/v1/keys")
        .json(&json!({ "scope": "brand", "brand": "acme", "label": "IP team", "days": 30 }));
    let made = made.send().unwrap();
    assert_eq!((made.status().as_u16(), made.headers()["cache-control"].to_str().unwrap()), (201, "no-store"));
    let made: Value = made.json().unwrap();
    let text = made["key"].as_str().unwrap();
    assert_eq!((text.len(), &made["scope"], &made["brand"]), (85, &json!("brand"), &json!("acme")));
    let listed = app.get("/v1/keys").text().unwrap();
    let secret = text.rsplit('_').next().unwrap();
    assert!(listed.contains("IP team") && !listed.contains(secret));
    for file in if on_postgres() { &[][..] } else { &["touchstone.db", "touchstone.db-wal"] } {
        let bytes = std::fs::read(app.folder().join("data").join(file)).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{file} holds the secret");
    }
    let refused = |body: Value| app.request("POST", "/v1/keys").json(&body).send().unwrap();
    problem(refused(json!({ "scope": "brand" })), 422, "name-invalid");
    problem(refused(json!({ "scope": "platform", "brand": "acme" })), 422, "name-invalid");
    problem(refused(json!({ "scope": "root" })), 422, "name-invalid");
    problem(refused(json!({ "scope": "admin", "days": 0 })), 422, "name-invalid");
}

#[test]
fn a_revoked_key_is_refused_at_once_and_a_revocation_stays() {
    let app = TestApp::start();
    let (id, text) = app.new_key(Scope::Moderator);
    let call = || client_with(&text).get(format!("{}/v1/index", app.url)).send().unwrap();
    assert_eq!(call().status(), 200);
    let revoke = || app.request("DELETE", &format!("/v1/keys/{id}")).send().unwrap().json::<Value>().unwrap();
    let first = revoke()["revoked_at"].clone();
    assert!(problem(call(), 401, "key-revoked").contains(&id));
    assert_eq!(revoke()["revoked_at"], first, "once more changes nothing");
    problem(app.request("DELETE", "/v1/keys/key_none").send().unwrap(), 404, "not-found");
    let header = call().headers()["www-authenticate"].to_str().unwrap().to_owned();
    assert_eq!(header, "Bearer");
}

#[test]
fn an_expired_key_is_refused_only_whoever_has_its_secret_hears_why() {
    use touchstone::keys::{KeyRefused, Wanted, authenticate, make};
    let folder = tempfile::TempDir::new().unwrap();
    let gallery = open_gallery(folder.path());
    let wanted = Wanted { scope: Scope::Platform, label: None, days: Some(1), rate: None };
    let (key, text) = make(&gallery, "test", wanted).unwrap();
    let ends = key.expires_at.unwrap();
    let second = jiff::SignedDuration::from_secs(1);
    assert_eq!(authenticate(&gallery, &text, ends - second).unwrap().id, key.id);
    assert!(matches!(authenticate(&gallery, &text, ends), Err(KeyRefused::Expired { .. })));
    let other = format!("{}{:064x}", &text[..21], 0);
    assert!(matches!(authenticate(&gallery, &other, ends), Err(KeyRefused::Unknown)));
    for broken in ["", "tsk_", &text[1..], &format!("{text}0"), &text.to_uppercase(), &text.replace("tsk_", "tsk-")] {
        assert!(matches!(authenticate(&gallery, broken, ends - second), Err(KeyRefused::Unknown)), "{broken}");
    }
}

#[test]
fn a_key_that_calls_too_often_waits_and_no_other_does() {
    let app = TestApp::start();
    let made = app.request("POST", "/v1/keys").json(&json!({ "scope": "moderator", "rate": 3 })).send().unwrap();
    let text = made.json::<Value>().unwrap()["key"].as_str().unwrap().to_owned();
    let call = || -> Response { client_with(&text).get(format!("{}/v1/index", app.url)).send().unwrap() };
    let answers: Vec<Response> = (0..8).map(|_| call()).collect();
    let limited = answers.into_iter().find(|answer| answer.status() == 429).expect("eight at once are too many");
    assert_eq!(limited.headers()["retry-after"], "1");
    problem(limited, 429, "rate-limited");
    assert_eq!(app.get("/v1/index").status(), 200, "another key may");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(call().status(), 200);
}

#[test]
fn the_first_start_shows_a_key_and_no_later_one() {
    let folder = tempfile::TempDir::new().unwrap();
    let first = Service::start(folder.path(), &[]);
    assert!(first.client().get(format!("{}/v1/keys", first.url)).send().unwrap().status().is_success());
    let key = first.key.clone();
    drop(first);
    std::fs::write(folder.path().join("admin-key"), "none").unwrap();
    let second = Service::start(folder.path(), &[]);
    assert_eq!(second.key, "none", "no second key was shown");
    let answer = client_with(&key).get(format!("{}/v1/keys", second.url)).send().unwrap();
    assert_eq!(answer.json::<Value>().unwrap()["keys"].as_array().unwrap().len(), 1);
}

#[test]
fn answers_over_tls_are_those_over_http() {
    let folder = tempfile::TempDir::new().unwrap();
    let drawn = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    std::fs::write(&chain, drawn.cert.pem()).unwrap();
    std::fs::write(&key, drawn.signing_key.serialize_pem()).unwrap();
    let app = TestApp::with("sscd-distilled", |config| {
        config.server.tls_certificate = Some(chain.clone());
        config.server.tls_key = Some(key.clone());
    });
    assert!(app.url.starts_with("https://"));
    app.add_fake(&photo(1));
    assert_eq!(app.verdict(&photo(1)), "known_fake_match");
    let plain = reqwest::blocking::get(app.url.replace("https", "http") + "/healthz");
    assert!(plain.is_err(), "nothing is answered without TLS");
    std::fs::write(&chain, "no certificate").unwrap();
    let set = |name: &str, path: &std::path::Path| format!("server.{name}={}", path.display());
    let (chain, key) = (set("tls_certificate", &chain), set("tls_key", &key));
    let serve = |args: &[&str]| serve(folder.path(), args).output().unwrap().status.code();
    assert_eq!(serve(&["--set", &chain, "--set", &key]), Some(4), "what is no certificate is no start");
    assert_eq!(serve(&["--set", &chain]), Some(4), "one of the two files is no setting");
}

/// A brand's key must neither reveal another brand's references nor keep them from leading to blocks.
#[test]
fn a_brand_that_contradicts_another_hears_not_whom_and_disputes_nothing_of_it() {
    let app = TestApp::start();
    let theirs = app.add("globex", "authentic", &real_photo(0))["id"].as_str().unwrap().to_owned();
    let client = client_with(&app.new_key(Scope::Brand("acme".parse().unwrap())).1);
    let near = crate::support::pictures::jpeg(&image::load_from_memory(&real_photo(0)).unwrap().to_rgb8(), 90);
    let url = format!("{}/v1/brands/acme/references", app.url);
    let sent: Value =
        client.post(&url).multipart(form(&[&near], &[("polarity", "fake")])).send().unwrap().json().unwrap();
    assert_eq!(sent["state"], "quarantined", "it waits for a person: {sent}");
    let own = format!("{url}/{}", sent["id"].as_str().unwrap());
    for seen in [
        sent.to_string(),
        client.get(&url).send().unwrap().text().unwrap(),
        client.get(&own).send().unwrap().text().unwrap(),
    ] {
        assert!(!seen.contains(&theirs) && !seen.contains("another brand") && !seen.contains("authentic"), "{seen}");
    }
    let kept = app.get_json(&format!("/v1/brands/globex/references/{theirs}"));
    assert_eq!(kept["mark"], Value::Null, "the other brand's reference stands as it stood");
    // The marketplace sees which reference contradicts it.
    let own = app.get_json(&own[app.url.len()..]);
    assert!(own["quarantine"]["detail"].as_str().unwrap().contains(&theirs));
}

/// What moderators write to each other may name another brand's reference.
#[test]
fn a_brand_does_not_read_what_a_moderator_wrote() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let id = app.add_fake(&photo(1));
    robin.act(&format!("/console/references/{id}/quarantine"), &[("why", "the same bag as ref_globex of globex")]);
    let path = format!("/v1/brands/acme/references/{id}");
    let brand = client_with(&app.new_key(Scope::Brand("acme".parse().unwrap())).1);
    let seen: Value = brand.get(format!("{}{path}", app.url)).send().unwrap().json().unwrap();
    assert_eq!((&seen["state"], &seen["quarantine"]["code"]), (&Value::from("quarantined"), &Value::from("moderator")));
    assert!(!seen.to_string().contains("globex"), "{seen}");
    assert_eq!(app.get_json(&path)["quarantine"]["detail"], "the same bag as ref_globex of globex");
}

#[test]
fn a_label_is_left_out_rather_than_empty() {
    let app = TestApp::start();
    let make = |body: Value| app.request("POST", "/v1/keys").json(&body).send().unwrap();
    for label in ["", "  "] {
        problem(make(json!({ "scope": "platform", "label": label })), 422, "field-empty");
    }
    let made: Value = make(json!({ "scope": "platform" })).json().unwrap();
    assert_eq!(made["label"], "");
}

/// Changes by API calls are in the log with their key.
#[test]
fn policies_outcomes_and_references_that_calls_change_are_in_the_log() {
    let app = TestApp::start();
    let (id, key) = app.new_key(Scope::Admin);
    let client = client_with(&key);
    let url = |path: &str| format!("{}{path}", app.url);
    let sent = client.post(url("/v1/brands/acme/references")).multipart(form(&[&photo(1)], &[("polarity", "fake")]));
    let reference: Value = sent.send().unwrap().json().unwrap();
    let reference = reference["id"].as_str().unwrap();
    let path = url(&format!("/v1/brands/acme/references/{reference}"));
    let check = app.check_one(&photo(1));
    let check = check["id"].as_str().unwrap();
    for (method, path, body) in [
        ("PATCH", &path, json!({ "notes": "seen in May" })),
        ("PUT", &url("/v1/brands/acme/policy"), json!({ "block": true })),
        ("PUT", &url(&format!("/v1/checks/{check}/outcomes/acme")), json!({ "confirmed": true, "polarity": "fake" })),
        ("DELETE", &path, Value::Null),
    ] {
        let sent = client.request(method.parse().unwrap(), path).json(&body).send().unwrap();
        assert!(sent.status().is_success(), "{method} {path}: {}", sent.text().unwrap());
    }
    let log = app.log();
    let of_key: Vec<_> = log.iter().filter(|entry| entry.actor == id).collect();
    let said: Vec<(&str, &str)> = of_key.iter().map(|entry| (&*entry.action, &*entry.subject)).collect();
    let expected = [
        ("add-reference", reference),
        ("change-reference", reference),
        ("set-policy", "acme"),
        ("put-outcome", check),
        ("delete-reference", reference),
    ];
    assert_eq!(said, expected);
    for (entry, after) in of_key.iter().zip(["active", "seen in May", "\"block\":true", "\"confirmed\":true", "null"]) {
        assert!(entry.after.contains(after), "{}: {}", entry.action, entry.after);
        assert!(entry.session.is_none() && entry.holds());
    }
}

#[test]
fn one_key_cannot_hold_every_place() {
    let app = TestApp::with("sscd-distilled", |config| config.server.max_in_flight = 4);
    let slow = app.new_key(Scope::Platform).1;
    // Bodies that never arrive keep their permits.
    let held: Vec<_> = (0..4)
        .map(|_| {
            let mut socket = std::net::TcpStream::connect(app.url.strip_prefix("http://").unwrap()).unwrap();
            let head = format!(
                "POST /v1/checks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {slow}\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000\r\n\r\n--x"
            );
            std::io::Write::write_all(&mut socket, head.as_bytes()).unwrap();
            socket
        })
        .collect();
    wait_for("the end of the slow key's share", || {
        let answer = client_with(&slow).post(format!("{}/v1/checks", app.url)).multipart(form(&[&photo(1)], &[]));
        answer.send().unwrap().status() == 429
    });
    assert_eq!(app.verdict(&photo(1)), "no_match", "another key goes on");
    drop(held);
}

#[test]
fn two_keys_in_one_request_are_none() {
    let app = TestApp::start();
    let key = app.new_key(Scope::Admin).1;
    let request = reqwest::blocking::Client::new().get(format!("{}/v1/index", app.url)).bearer_auth(&key);
    assert_eq!(request.try_clone().unwrap().send().unwrap().status(), 200);
    problem(request.header("authorization", "Bearer other").send().unwrap(), 401, "key-missing");
}
