use serde_json::{Value, json};
use touchstone::domain::Scope;

use super::{Brand, actions, answer, answered, found_later, id, newest, states};
use crate::support::moderator::Moderator;
use crate::support::pictures::photo;
use crate::support::{TestApp, client_with, problem};

#[test]
fn a_notice_has_up_to_three_hundred_listings() {
    let app = TestApp::start();
    let acme = Brand::new(&app, "acme");
    let ids: Vec<String> = (0..301).map(|number| format!("l{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    assert!(problem(acme.send(&acme.about(&ids)), 422, "notice-size-invalid").contains("301"));
    problem(acme.send(&acme.about(&[])), 422, "notice-size-invalid");
    let filed = acme.file(&ids[..300]);
    assert_eq!(filed["listings"].as_array().unwrap().len(), 300);
    assert_eq!(filed["listings"][299]["listing_id"], "l299", "in the order in which they were sent");
    let page = app.get_json("/v1/notices");
    assert_eq!((page["notices"].as_array().unwrap().len(), &page["next"]), (1, &Value::Null));
    assert_eq!(page["notices"][0]["states"], json!({ "waiting": 300 }));
}

#[test]
fn what_is_wrong_with_which_listing_is_told_and_nothing_is_stored() {
    let app = TestApp::start();
    let acme = Brand::new(&app, "acme");
    let theirs = app.add("globex", "fake", &photo(2))["id"].as_str().unwrap().to_owned();
    let good = json!({ "listing_id": "l0", "ground": "trademark", "evidence": "Our sign." });
    for (wrong, code, part) in [
        (json!({ "listing_id": "l1", "ground": "counterfeit" }), "notice-unfounded", "listings[1]"),
        (json!({ "listing_id": "l1", "ground": "ugly", "evidence": "x" }), "notice-listing-invalid", "listings[1]"),
        (json!({ "ground": "counterfeit", "evidence": "x" }), "notice-listing-invalid", "listing_id"),
        (json!("l1"), "notice-listing-invalid", "listings[1]"),
        (
            json!({ "listing_id": " ", "ground": "counterfeit", "evidence": "x" }),
            "field-empty",
            "listings[1].listing_id",
        ),
        (
            json!({ "listing_id": "l\u{1}", "ground": "counterfeit", "evidence": "x" }),
            "field-invalid",
            "listings[1].listing_id",
        ),
        (
            json!({ "listing_id": "l1", "ground": "counterfeit", "evidence": " " }),
            "field-empty",
            "listings[1].evidence",
        ),
        (
            json!({ "listing_id": "l1", "ground": "counterfeit", "evidence": "x".repeat(4001) }),
            "field-too-long",
            "listings[1].evidence",
        ),
        (
            json!({ "listing_id": "l".repeat(257), "ground": "counterfeit", "evidence": "x" }),
            "field-too-long",
            "listings[1].listing_id",
        ),
        (
            json!({ "listing_id": "l1", "ground": "counterfeit", "reference_id": theirs }),
            "reference-unknown",
            "listings[1].reference_id",
        ),
        (json!({ "listing_id": "l0", "ground": "counterfeit", "evidence": "x" }), "listing-repeated", "listings[0]"),
    ] {
        let detail = problem(acme.send(&json!({ "brand": "acme", "listings": [good, wrong] })), 422, code);
        assert!(detail.contains(part), "{code}: {detail}");
    }
    problem(acme.send(&json!({ "brand": "Acme", "listings": [good] })), 422, "json-invalid");
    problem(acme.send(&json!({ "brand": "acme", "listings": [good], "more": 1 })), 422, "json-invalid");
    assert_eq!(app.get_json("/v1/notices")["notices"], json!([]));
    let own = app.add_fake(&photo(1));
    let founded = json!({ "brand": "acme", "listings": [{ "listing_id": "l1", "seller_id": "s1", "ground": "photo-misuse", "reference_id": own }] });
    assert_eq!(acme.send(&founded).status(), 201);
}

#[test]
fn the_same_notice_again_is_the_same_notice_and_an_open_listing_is_in_one_only() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let acme = Brand::new(&app, "acme");
    let filed = acme.file(&["l1", "l2"]);
    let notice = id(&filed);
    let again = acme.send(&acme.about(&["l1", "l2"]));
    assert_eq!(again.status(), 200);
    assert_eq!(id(&again.json::<Value>().unwrap()), notice);
    assert_eq!(actions(&app, notice), ["file-notice", "file-notice"], "nothing was changed");
    for listings in [&["l3", "l1"][..], &["l1"], &["l1", "l2", "l3"]] {
        let detail = problem(acme.send(&acme.about(listings)), 409, "notice-open");
        assert!(detail.contains("l1") && detail.contains(notice), "{detail}");
    }
    // Another brand may name the same listing.
    assert_eq!(Brand::new(&app, "globex").send(&Brand::new(&app, "globex").about(&["l1"])).status(), 201);
    robin.act(&format!("/console/notices/{notice}/act"), &[("act", "reject"), ("reason", "unclear")]);
    assert_ne!(id(&acme.file(&["l1", "l2"])), notice, "nobody has to act on the first one any more");
}

#[test]
fn a_brand_neither_sees_nor_files_nor_takes_back_what_is_not_its_own() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let (acme, globex) = (Brand::new(&app, "acme"), Brand::new(&app, "globex"));
    let filed = acme.file(&["l1"]);
    let notice = id(&filed);
    problem(globex.send(&acme.about(&["l9"])), 403, "key-brand");
    problem(globex.get("/v1/notices?brand=acme"), 403, "key-brand");
    problem(globex.get(&format!("/v1/notices/{notice}")), 404, "not-found");
    let path = format!("/v1/notices/{notice}/listings/l1");
    problem(globex.put(&path, &json!({ "state": "withdrawn" })), 404, "not-found");
    problem(globex.get("/v1/brands/acme/standing"), 403, "key-brand");
    assert_eq!(globex.get("/v1/notices").json::<Value>().unwrap()["notices"], json!([]));
    let own: Value = acme.get("/v1/notices").json().unwrap();
    assert_eq!(id(&own["notices"][0]), notice);

    // What moderation asked for is the brand's matter, but not its to take back; the seller stays the marketplace's.
    let case = found_later(&app, "s1", "l2", 3);
    robin.decide(&case, "fake");
    let asked = newest(&app);
    let seen: Value = acme.get(&format!("/v1/notices/{asked}")).json().unwrap();
    assert_eq!((&seen["source"], &seen["listings"][0]["listing_id"]), (&json!("moderation"), &json!("l2")));
    assert_eq!((&seen["listings"][0]["seller_id"], &seen["listings"][0]["check_id"]), (&Value::Null, &Value::Null));
    let full = app.get_json(&format!("/v1/notices/{asked}"));
    assert_eq!((&full["listings"][0]["seller_id"], &full["listings"][0]["check_id"]), (&json!("s1"), &json!(case)));
    let refused = acme.put(&format!("/v1/notices/{asked}/listings/l2"), &json!({ "state": "withdrawn" }));
    problem(refused, 409, "transition-not-allowed");
    for state in ["acknowledged", "removed", "restored"] {
        problem(acme.put(&path, &json!({ "state": state })), 409, "transition-not-allowed");
    }
    assert_eq!(acme.put(&path, &json!({ "state": "withdrawn" })).status(), 200);
    assert_eq!(actions(&app, notice), ["file-notice", "withdraw-notice"]);
}

#[test]
fn a_change_that_is_not_allowed_is_refused_with_what_is_and_a_repeat_changes_nothing() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let filed = Brand::new(&app, "acme").file(&["l1"]);
    let notice = id(&filed);
    let put = |body: Value| answer(&app, notice, "l1", &body);
    let refused: Value = put(json!({ "state": "removed" })).json().unwrap();
    assert_eq!((&refused["status"], &refused["code"]), (&json!(409), &json!("transition-not-allowed")));
    assert_eq!(refused["transition"], json!({ "from": "waiting", "to": "removed", "allowed": [] }));
    robin.act(&format!("/console/notices/{notice}/act"), &[("act", "request")]);
    let refused: Value = put(json!({ "state": "restored" })).json().unwrap();
    let allowed = json!(["acknowledged", "removed", "refused"]);
    assert_eq!(refused["transition"], json!({ "from": "requested", "to": "restored", "allowed": allowed }));
    problem(put(json!({ "state": "refused" })), 422, "reason-missing");
    problem(put(json!({ "state": "refused", "reason": " " })), 422, "reason-missing");
    problem(put(json!({ "state": "refused", "reason": "\u{202e}" })), 422, "field-invalid");
    problem(put(json!({ "state": "gone" })), 422, "json-invalid");
    problem(answer(&app, notice, "l2", &json!({ "state": "removed" })), 404, "not-found");
    problem(answer(&app, "ntc_none", "l1", &json!({ "state": "removed" })), 404, "not-found");
    answered(&app, notice, "l1", "removed");
    let before = app.log().len();
    assert_eq!(answered(&app, notice, "l1", "removed")["reason"], "reason of l1");
    assert_eq!(app.log().len(), before);
    problem(put(json!({ "state": "countered" })), 422, "reason-missing");
    assert_eq!(states(&app, notice), ["removed"]);
}

#[test]
fn pages_of_any_size_list_each_notice_once_and_filters_hold() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let (acme, globex) = (Brand::new(&app, "acme"), Brand::new(&app, "globex"));
    let filed: Vec<String> = (0..5)
        .map(|number| {
            let brand = if number % 2 == 0 { &acme } else { &globex };
            id(&brand.file(&[&format!("l{number}")])).to_owned()
        })
        .collect();
    robin.act(&format!("/console/notices/{}/act", filed[0]), &[("act", "request")]);
    for limit in [1, 2, 5] {
        let (mut seen, mut after) = (Vec::new(), Some(0));
        while let Some(position) = after {
            let page = app.get_json(&format!("/v1/notices?after={position}&limit={limit}"));
            seen.extend(page["notices"].as_array().unwrap().iter().map(|one| id(one).to_owned()));
            after = page["next"].as_u64();
        }
        assert_eq!(seen, filed, "{limit}");
    }
    let count = |query: &str| app.get_json(&format!("/v1/notices?{query}"))["notices"].as_array().unwrap().len();
    assert_eq!(
        [count("brand=acme"), count("brand=globex"), count("state=requested"), count("state=removed")],
        [3, 2, 1, 0]
    );
    assert_eq!(count("brand=globex&state=requested"), 0);
    problem(app.get("/v1/notices?state=gone"), 400, "query-invalid");
    problem(app.get("/v1/notices?limit=0"), 422, "limit-invalid");
    problem(app.get("/v1/notices?brand=Acme"), 422, "name-invalid");
    let moderator = client_with(&app.new_key(Scope::Moderator).1);
    assert_eq!(moderator.get(format!("{}/v1/notices", app.url)).send().unwrap().status(), 200);
}
