//! Logos among a brand's references, tested through whole checks.

use image::{ImageFormat, Rgb};
use serde_json::{Value, json};

use crate::support::pictures::{Logo, encode, photo};
use crate::support::{TestApp, form, problem};

fn png(logo: &Logo) -> Vec<u8> {
    encode(&logo.picture(), ImageFormat::Png)
}

fn kinds(answer: &Value) -> (&str, &str) {
    (answer["kind"].as_str().unwrap(), answer["kind_from"].as_str().unwrap())
}

fn add(app: &TestApp, polarity: &str, kind: &str, picture: &[u8]) -> Value {
    let fields = [("polarity", polarity), ("kind", kind)];
    let response = app.post_form("/v1/brands/acme/references", form(&[picture], &fields));
    assert_eq!(response.status(), 201);
    response.json().unwrap()
}

#[test]
fn a_kind_is_found_and_the_brands_word_goes_before_it() {
    let app = TestApp::start();
    let found = app.add("acme", "authentic", &png(&Logo::new()));
    assert_eq!(kinds(&found), ("logo", "picture"));
    assert_eq!(kinds(&app.add("acme", "authentic", &photo(1))), ("photo", "picture"));
    let other = Logo { order: [3, 1, 0, 2], ..Logo::new() };
    // A fake that looks like artwork is a photo unless the brand calls it a logo.
    assert_eq!(kinds(&app.add("acme", "fake", &png(&other))), ("photo", "picture"));
    let path = format!("/v1/brands/acme/references/{}", found["id"].as_str().unwrap());
    let patch = |kind: Value| app.request("PATCH", &path).json(&json!({ "kind": kind })).send().unwrap();
    assert_eq!(kinds(&patch("photo".into()).json().unwrap()), ("photo", "brand"));
    assert_eq!(kinds(&patch("logo".into()).json().unwrap()), ("logo", "brand"));
    assert_eq!(kinds(&patch(Value::Null).json().unwrap()), ("logo", "picture"));
    problem(patch("banner".into()), 422, "json-invalid");
    let fields = [("polarity", "authentic"), ("kind", "banner")];
    problem(app.post_form("/v1/brands/acme/references", form(&[&photo(2)], &fields)), 422, "name-invalid");
    let listed = app.get_json("/v1/brands/acme/references?kind=logo");
    assert_eq!(listed["references"].as_array().unwrap().len(), 1);
}

#[test]
fn a_logo_is_seen_on_any_ground_and_a_changed_one_goes_to_a_person() {
    let app = TestApp::start();
    let reference = app.add("acme", "authentic", &png(&Logo::new()));
    let answer = app.check_one(&png(&Logo::new()));
    assert_eq!((&answer["verdict"], &answer["action"]), (&"brand_mark_seen".into(), &"allow".into()), "{answer}");
    let grounds = Logo { ink: Rgb([20; 3]), ground: Rgb([230, 222, 200]), ..Logo::new() };
    let answer = app.check_one(&png(&grounds));
    assert_eq!(answer["verdict"], "brand_mark_seen", "{answer}");
    let found = &answer["photos"][0]["matches"][0];
    assert_eq!((&found["reference_id"], &found["kind"]), (&reference["id"], &"logo".into()), "{answer}");
    assert!(found["probability"].as_f64().unwrap() > 0.9 && found["score"].is_null(), "{answer}");
    let covered = found["overlay"]["photo_overlap"].as_f64().unwrap();
    assert!((0.12..0.2).contains(&covered), "{answer}");

    let recoloured = Logo { ink: Rgb([200, 20, 160]), ..Logo::new() };
    let answer = app.check_one(&png(&recoloured));
    assert_eq!((&answer["verdict"], &answer["action"]), (&"brand_mark_imitated".into(), &"review".into()), "{answer}");
    assert_eq!(answer["photos"][0]["matches"][0]["logo_changes"], json!(["other-colour"]), "{answer}");
    let codes: Vec<&str> =
        answer["reasons"].as_array().unwrap().iter().filter_map(|one| one["code"].as_str()).collect();
    assert!(codes.contains(&"logo-imitated") && codes.contains(&"logo-in-other-colour"), "{codes:?}");
}

#[test]
fn a_known_imitation_goes_to_a_person_whatever_the_policy_says_and_never_blocks() {
    let app = TestApp::start();
    let imitation = Logo { order: [0, 2, 1, 3], ..Logo::new() };
    add(&app, "fake", "logo", &png(&imitation));
    app.certify("acme");
    let policy = json!({ "block": true, "brand_mark_imitated": "allow" });
    assert_eq!(app.request("PUT", "/v1/brands/acme/policy").json(&policy).send().unwrap().status(), 200);
    let answer = app.check_one(&png(&imitation));
    assert_eq!((&answer["verdict"], &answer["action"]), (&"brand_mark_imitated".into(), &"review".into()), "{answer}");
    assert_eq!(answer["reasons"][0]["code"], "known-imitation-seen");
}

#[test]
fn a_picture_that_is_said_to_be_a_photo_is_copied_as_one() {
    let app = TestApp::start();
    add(&app, "authentic", "photo", &png(&Logo::new()));
    assert_eq!(app.verdict(&png(&Logo::new())), "authentic_photo_reuse");
}
