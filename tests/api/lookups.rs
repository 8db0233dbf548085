use serde_json::{Value, json};

use crate::support::pictures::{photo, stolen};
use crate::support::{TestApp, form, problem};

fn ids(body: &Value) -> Vec<&str> {
    body["matches"].as_array().unwrap().iter().map(|near| near["reference_id"].as_str().unwrap()).collect()
}

#[test]
fn the_most_similar_references_come_nearest_first() {
    let app = TestApp::start();
    let added: Vec<String> = (50..56).map(|seed| app.add_fake(&photo(seed))).collect();
    let body: Value = app.post_form("/v1/lookups", form(&[&stolen(&photo(52))], &[("k", "3")])).json().unwrap();
    assert_eq!((ids(&body).len(), ids(&body)[0]), (3, added[2].as_str()));
    let similarities: Vec<f64> =
        body["matches"].as_array().unwrap().iter().map(|near| near["similarity"].as_f64().unwrap()).collect();
    assert!(similarities.is_sorted_by(|a, b| a >= b), "{similarities:?}");
}

#[test]
fn a_reference_finds_those_like_it_but_not_itself() {
    let app = TestApp::start();
    let original = app.add_fake(&photo(57));
    let copy = app.add_fake(&stolen(&photo(57)));
    app.add_fake(&photo(58));
    let ask = |body: Value| app.request("POST", "/v1/lookups").json(&body).send().unwrap();
    let body: Value = ask(json!({ "reference_id": original, "k": 1 })).json().unwrap();
    assert_eq!(ids(&body), [copy.as_str()]);
    problem(ask(json!({ "reference_id": "ref_unknown" })), 404, "not-found");
    problem(ask(json!({ "reference_id": original, "k": 0 })), 422, "k-invalid");
    problem(ask(json!({ "k": 3 })), 422, "json-invalid");
}

#[test]
fn filters_leave_only_what_they_name() {
    let app = TestApp::start();
    let add =
        |brand: &str, polarity: &str, seed| app.add(brand, polarity, &photo(seed))["id"].as_str().unwrap().to_owned();
    let (a, b, c) = (add("acme", "fake", 60), add("acme", "authentic", 61), add("other", "fake", 62));
    let found = |fields: &[(&'static str, &str)]| {
        let body: Value = app.post_form("/v1/lookups", form(&[&photo(60)], fields)).json().unwrap();
        let mut found: Vec<String> = ids(&body).into_iter().map(str::to_owned).collect();
        found.sort();
        found
    };
    let sorted = |mut wanted: Vec<&String>| {
        wanted.sort();
        wanted.into_iter().cloned().collect::<Vec<_>>()
    };
    assert_eq!(found(&[]), sorted(vec![&a, &b, &c]));
    assert_eq!(found(&[("brand", "acme")]), sorted(vec![&a, &b]));
    assert_eq!(found(&[("polarity", "fake")]), sorted(vec![&a, &c]));
    assert_eq!(found(&[("brand", "acme"), ("polarity", "authentic")]), sorted(vec![&b]));
    assert_eq!(found(&[("product", "p1")]), sorted(vec![&a, &b, &c]));
    assert_eq!(found(&[("product", "p2")]), Vec::<String>::new());
    problem(app.post_form("/v1/lookups", form(&[&photo(60)], &[("polarity", "real")])), 422, "name-invalid");
}
