use serde_json::{Value, json};

use crate::support::pictures::photo;
use crate::support::{TestApp, problem};

#[test]
fn a_brand_without_a_policy_follows_the_models_defaults() {
    let app = TestApp::start();
    let body = app.get_json("/v1/brands/acme/policy");
    assert_eq!(body["version"], 0);
    assert_eq!(body["policy"]["authentic_reuse"], "review");
    let index = app.get_json("/v1/index");
    assert_eq!(body["effective"]["fake_match"], index["thresholds"]["fake_match"]);
}

#[test]
fn a_brands_own_thresholds_count_from_the_next_check() {
    let app = TestApp::start();
    let fake = photo(40);
    app.add_fake(&fake);
    let policy = json!({ "thresholds": { "fake_match": 1.0, "fake_likely": 1.0 } });
    assert!(app.put_policy("acme", &policy).status().is_success());
    assert_eq!(app.verdict(&crate::support::pictures::stolen(&fake)), "same_product_lookalike");
}

#[test]
fn thresholds_out_of_range_or_order_and_actions_that_block_are_refused() {
    let app = TestApp::start();
    for thresholds in [
        json!({ "fake_match": 1.5 }),
        json!({ "fake_match": 0.1 }),
        json!({ "authentic_reuse": 0.0 }),
        json!({ "lookalike": 0.1 }),
    ] {
        problem(app.put_policy("acme", &json!({ "thresholds": thresholds })), 422, "policy-thresholds-invalid");
    }
    problem(app.put_policy("acme", &json!({ "lookalike": "block" })), 422, "policy-action-invalid");
    problem(app.put_policy("acme", &json!({ "authorised_sellers": [""] })), 422, "policy-sellers-invalid");
    problem(app.put_policy("acme", &json!({ "colour": "red" })), 422, "json-invalid");
    problem(app.put_policy("acme", &json!([])), 422, "json-invalid");
    // Nothing of a rejected policy is stored.
    assert_eq!(app.get_json("/v1/brands/acme/policy")["version"], 0);
    problem(app.put_policy("Not A Slug", &json!({})), 422, "name-invalid");
}

#[test]
fn two_people_do_not_overwrite_each_other() {
    let app = TestApp::start();
    let first = app.put_policy("acme", &json!({}));
    assert_eq!(first.headers()["etag"], "\"1\"");
    let put = |tag: &str| {
        app.request("PUT", "/v1/brands/acme/policy")
            .header("If-Match", tag)
            .json(&json!({ "lookalike": "review" }))
            .send()
            .unwrap()
    };
    problem(put("\"0\""), 412, "policy-version-differs");
    assert_eq!(put("\"1\"").json::<Value>().unwrap()["version"], 2);
    problem(put("nonsense"), 422, "if-match-invalid");
}

#[test]
fn a_certificate_earned_under_one_model_does_not_hold_under_another() {
    let folder = std::sync::Arc::new(tempfile::TempDir::new().unwrap());
    let fake = crate::support::real_photo(2);
    {
        let app = TestApp::over(std::sync::Arc::clone(&folder), "sscd-distilled", |_| {});
        app.add_fake(&fake);
        app.certify("acme");
        assert_eq!(app.check_one(&fake)["action"], "block");
    }
    let app = TestApp::over(folder, "efficientnet-lite0", |_| {});
    let answer = app.check_one(&fake);
    assert_eq!((answer["verdict"].as_str(), answer["action"].as_str()), (Some("known_fake_match"), Some("review")));
}
