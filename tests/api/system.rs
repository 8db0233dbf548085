use std::collections::HashSet;

use serde_json::Value;

use crate::support::TestApp;
use crate::support::pictures::photo;

#[test]
fn the_index_tells_what_it_holds() {
    let app = TestApp::start();
    app.add("acme", "fake", &photo(70));
    app.add("acme", "authentic", &photo(71));
    let body = app.get_json("/v1/index");
    assert_eq!(
        (body["references"].as_u64(), body["added"].as_u64(), body["search"].as_str()),
        (Some(2), Some(2), Some("exact"))
    );
    assert_eq!(body["brands"], serde_json::json!([{ "brand": "acme", "authentic": 1, "fake": 1 }]));
}

#[test]
fn health_readiness_metrics_and_docs_answer() {
    let app = TestApp::start();
    assert_eq!(app.get("/healthz").text().unwrap(), "ok\n");
    assert_eq!(app.get("/readyz").text().unwrap(), "ready\n");
    assert!(app.get("/metrics").headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
    let docs = app.get("/docs/").text().unwrap();
    assert!(docs.contains("swagger-ui"), "{docs}");
    let served: Value = app.get_json("/openapi.json");
    let printed: Value = serde_json::from_str(&touchstone::http::openapi_json()).unwrap();
    assert_eq!(served, printed);
}

#[test]
fn every_answer_carries_a_request_id() {
    let app = TestApp::start();
    assert!(!app.get("/healthz").headers()["x-request-id"].is_empty());
    let given = app.request("GET", "/v1/nothing").header("x-request-id", "mine").send().unwrap();
    assert_eq!(given.headers()["x-request-id"], "mine");
}

#[test]
fn the_openapi_document_is_as_reviewed() {
    insta::assert_snapshot!("openapi", touchstone::http::openapi_json());
}

#[test]
fn every_operation_has_an_id_of_its_own() {
    let document: Value = serde_json::from_str(&touchstone::http::openapi_json()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let mut ids = HashSet::new();
    for operation in paths.values().flat_map(|path| path.as_object().unwrap().values()) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{id} is the id of two operations");
    }
    assert!(ids.len() > 20);
}

#[test]
fn no_output_calls_goods_genuine() {
    let document: Value = serde_json::from_str(&touchstone::http::openapi_json()).unwrap();
    let text = document["components"].to_string();
    assert!(
        !text.to_lowercase().contains("genuine"),
        "a match to an authentic photo never proves that goods are genuine"
    );
}
