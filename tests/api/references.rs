use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::pictures::{photo, stolen};
use crate::support::{TestApp, form, problem, real_photo};

#[test]
fn adding_disabling_enabling_and_deleting_show_in_the_next_check() {
    let app = TestApp::start();
    let fake = photo(20);
    assert_eq!(app.verdict(&fake), "no_match");
    let path = format!("/v1/brands/acme/references/{}", app.add_fake(&fake));
    assert_eq!(app.verdict(&fake), "known_fake_match");
    let set = |state: &str| app.request("PATCH", &path).json(&json!({ "state": state })).send().unwrap();
    assert_eq!(set("disabled").json::<Value>().unwrap()["state"], "disabled");
    assert_eq!(app.verdict(&fake), "no_match");
    set("active");
    assert_eq!(app.verdict(&fake), "known_fake_match");
    assert_eq!(app.request("DELETE", &path).send().unwrap().status(), 204);
    assert_eq!(app.verdict(&fake), "no_match");
    problem(app.get(&path), 404, "not-found");
    problem(app.request("DELETE", &path).send().unwrap(), 404, "not-found");
    // After deletion nothing is remembered: the same photo may be added again, even with the other polarity.
    app.add("acme", "authentic", &fake);
    assert_eq!(app.verdict(&fake), "authentic_photo_reuse");
}

#[test]
fn a_restart_serves_what_was_acknowledged() {
    let folder = Arc::new(tempfile::TempDir::new().unwrap());
    let (kept, disabled, deleted) = (real_photo(0), real_photo(2), real_photo(3));
    {
        let app = TestApp::over(Arc::clone(&folder), "sscd-distilled", |_| {});
        app.add_fake(&kept);
        let id = app.add_fake(&disabled);
        app.request("PATCH", &format!("/v1/brands/acme/references/{id}"))
            .json(&json!({ "state": "disabled" }))
            .send()
            .unwrap();
        let id = app.add_fake(&deleted);
        app.request("DELETE", &format!("/v1/brands/acme/references/{id}")).send().unwrap();
    }
    let app = TestApp::over(folder, "sscd-distilled", |_| {});
    assert_eq!(app.verdict(&stolen(&kept)), "known_fake_match");
    assert_eq!(app.verdict(&disabled), "no_match");
    assert_eq!(app.verdict(&deleted), "no_match");
}

#[test]
fn a_missing_or_broken_index_is_rebuilt_from_the_gallery() {
    let folder = Arc::new(tempfile::TempDir::new().unwrap());
    let fake = photo(24);
    drop({
        let app = TestApp::over(Arc::clone(&folder), "sscd-distilled", |_| {});
        app.add_fake(&fake);
        app
    });
    let index = folder.path().join("index/sscd-distilled");
    let damage: [&dyn Fn(); 3] = [
        &|| std::fs::remove_dir_all(&index).unwrap(),
        &|| std::fs::write(index.join("CURRENT"), "../../etc 00").unwrap(),
        &|| {
            let current = std::fs::read_to_string(index.join("CURRENT")).unwrap();
            let name = current.split(' ').next().unwrap();
            std::fs::write(index.join(name).join("vectors.f32"), b"short").unwrap();
        },
    ];
    for destroy in damage {
        destroy();
        let app = TestApp::over(Arc::clone(&folder), "sscd-distilled", |_| {});
        assert_eq!(app.verdict(&fake), "known_fake_match");
    }
}

#[test]
fn the_same_photo_twice_is_one_reference_and_the_other_polarity_a_conflict() {
    let app = TestApp::start();
    let fake = photo(25);
    let first = app.add("acme", "fake", &fake);
    let again = app.post_form("/v1/brands/acme/references", form(&[&fake], &[("polarity", "fake")]));
    assert_eq!(again.status(), 200);
    assert_eq!(again.json::<Value>().unwrap(), first);
    let other = app.post_form("/v1/brands/acme/references", form(&[&fake], &[("polarity", "authentic")]));
    let detail = problem(other, 409, "reference-contradicts");
    assert!(detail.contains(first["id"].as_str().unwrap()), "{detail}");
}

#[test]
fn a_reference_tells_all_that_is_known_of_it() {
    let app = TestApp::start();
    let fields =
        [("polarity", "fake"), ("product", "bag-7"), ("source", "raid 2026-03"), ("notes", "inner label wrong")];
    let response = app.post_form("/v1/brands/acme/references", form(&[&photo(26)], &fields));
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let added: Value = response.json().unwrap();
    assert_eq!(app.get_json(&location), added);
    assert_eq!(
        (added["width"].as_u64(), added["height"].as_u64(), added["media_type"].as_str()),
        (Some(320), Some(240), Some("image/jpeg"))
    );
    for field in ["sha256", "perceptual_hash"] {
        assert_eq!(added[field].as_str().unwrap().len(), 64);
    }
    let changed: Value = app
        .request("PATCH", &location)
        .json(&json!({ "notes": null, "product": "bag-8" }))
        .send()
        .unwrap()
        .json()
        .unwrap();
    assert_eq!(
        (changed["notes"].is_null(), changed["product"].as_str(), changed["source"].as_str()),
        (true, Some("bag-8"), Some("raid 2026-03"))
    );
    assert_eq!(app.check_one(&photo(26))["photos"][0]["matches"][0]["product"], "bag-8");
}

#[test]
fn a_list_comes_in_pages_and_can_be_narrowed() {
    let app = TestApp::start();
    for seed in 30..35 {
        app.add("acme", if seed % 2 == 0 { "fake" } else { "authentic" }, &photo(seed));
    }
    app.add("other", "fake", &photo(36));
    let first = app.get_json("/v1/brands/acme/references?limit=3");
    let second = app.get_json(&format!("/v1/brands/acme/references?limit=3&after={}", first["next"]));
    assert_eq!(first["references"].as_array().unwrap().len(), 3);
    assert_eq!((second["references"].as_array().unwrap().len(), second["next"].is_null()), (2, true));
    assert_eq!(app.get_json("/v1/brands/acme/references?polarity=fake")["references"].as_array().unwrap().len(), 3);
    problem(app.get("/v1/brands/acme/references?limit=0"), 422, "limit-invalid");
    problem(app.get("/v1/brands/acme/references?colour=red"), 400, "query-invalid");
}

#[test]
fn a_brand_does_not_reach_anothers_reference() {
    let app = TestApp::start();
    let id = app.add_fake(&photo(37));
    problem(app.get(&format!("/v1/brands/other/references/{id}")), 404, "not-found");
    problem(app.request("DELETE", &format!("/v1/brands/other/references/{id}")).send().unwrap(), 404, "not-found");
    problem(
        app.request("PATCH", &format!("/v1/brands/other/references/{id}")).json(&json!({})).send().unwrap(),
        404,
        "not-found",
    );
    assert!(app.get(&format!("/v1/brands/acme/references/{id}")).status().is_success());
}
