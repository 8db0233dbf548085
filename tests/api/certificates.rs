use serde_json::{Value, json};

use crate::support::pictures::{photo, stolen};
use crate::support::{ENOUGH, TestApp, problem};

#[test]
fn a_brand_is_certified_by_its_own_outcomes_and_by_no_fewer_than_prove_it() {
    let app = TestApp::start();
    let fake = photo(70);
    app.add_fake(&fake);
    assert!(app.put_policy("acme", &json!({ "block": true })).status().is_success());
    app.outcomes("acme", 0.97, ENOUGH - 1, 0);
    app.outcomes("rival", 0.97, 3, 0);
    let certificate = app.get_json("/v1/brands/acme/certificate");
    assert_eq!((&certificate["certified"], &certificate["threshold"]), (&json!(false), &Value::Null));
    assert_eq!(certificate["outcomes"], ENOUGH - 1);
    let answer = app.check_one(&fake);
    assert_eq!((answer["verdict"].as_str(), answer["action"].as_str()), (Some("known_fake_match"), Some("review")));
    assert!(answer["reasons"].to_string().contains("no-block-certificate"), "{answer}");

    // The last outcome comes through the console: a moderator confirms that check.
    let path = format!("/v1/checks/{}/outcomes/acme", answer["id"].as_str().unwrap());
    let kept = app.request("PUT", &path).json(&json!({ "confirmed": true, "decided_by": "m1" })).send().unwrap();
    assert_eq!(kept.status(), 200);
    let certificate = app.get_json("/v1/brands/acme/certificate");
    assert_eq!((&certificate["certified"], &certificate["threshold"]), (&json!(true), &json!(0.97)));
    assert!(certificate["precision_bound"].as_f64().unwrap() >= 0.99);
    assert_eq!(certificate["versions"]["scoring"], answer["versions"]["scoring"]);
    assert_eq!(app.check_one(&stolen(&fake))["action"], "block");
    assert_eq!(app.get_json("/v1/brands/rival/certificate")["certified"], false);
}

#[test]
fn a_wrong_block_ends_the_certificate_at_once_and_a_mended_outcome_counts_once() {
    let app = TestApp::start();
    let fake = photo(71);
    app.add_fake(&fake);
    app.certify("acme");
    let blocked = app.check_one(&fake);
    assert_eq!(blocked["action"], "block");
    let path = format!("/v1/checks/{}/outcomes/acme", blocked["id"].as_str().unwrap());
    let put = |confirmed: bool| app.request("PUT", &path).json(&json!({ "confirmed": confirmed })).send().unwrap();
    assert_eq!(put(false).status(), 200);
    assert_eq!(app.get_json("/v1/brands/acme/certificate")["certified"], false);
    assert_eq!(app.check_one(&fake)["action"], "review");
    assert_eq!(put(true).status(), 200);
    let certificate = app.get_json("/v1/brands/acme/certificate");
    assert_eq!((&certificate["certified"], &certificate["outcomes"]), (&json!(true), &json!(ENOUGH + 1)));
}

#[test]
fn a_certified_brand_that_does_not_ask_for_blocks_gets_none() {
    let app = TestApp::start();
    let fake = photo(72);
    app.add_fake(&fake);
    app.certify("acme");
    app.put_policy("acme", &json!({}));
    assert_eq!(app.check_one(&fake)["action"], "review");
    assert_eq!(app.get_json("/v1/brands/acme/certificate")["blocks"], false);
}

#[test]
fn outcomes_of_what_was_not_found_are_refused() {
    let app = TestApp::start();
    let fake = photo(73);
    app.add_fake(&fake);
    let id = app.check_one(&fake)["id"].as_str().unwrap().to_owned();
    let put = |path: String, body: Value| app.request("PUT", &path).json(&body).send().unwrap();
    let confirmed = json!({ "confirmed": true });
    problem(put(format!("/v1/checks/{id}/outcomes/rival"), confirmed.clone()), 422, "outcome-without-match");
    let authentic = json!({ "confirmed": true, "polarity": "authentic" });
    problem(put(format!("/v1/checks/{id}/outcomes/acme"), authentic), 422, "outcome-without-match");
    problem(put("/v1/checks/chk_0/outcomes/acme".to_owned(), confirmed.clone()), 404, "not-found");
    problem(put(format!("/v1/checks/{id}/outcomes/A C"), confirmed), 422, "name-invalid");
    problem(put(format!("/v1/checks/{id}/outcomes/acme"), json!({})), 422, "json-invalid");
    let long = json!({ "confirmed": true, "decided_by": "x".repeat(257) });
    problem(put(format!("/v1/checks/{id}/outcomes/acme"), long), 422, "field-too-long");
    assert_eq!(app.get_json("/v1/brands/acme/certificate")["outcomes"], 0);
}
