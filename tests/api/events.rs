//! The feed tells a marketplace every decision once, in order.

use serde_json::{Value, json};

use crate::support::moderator::Moderator;
use crate::support::pictures::{jpeg, photo, scene};
use crate::support::{TestApp, problem};

/// The id of a check that is not allowed.
fn case(app: &TestApp, seller: &str, quality: u8) -> String {
    let answer = app.check(&[&jpeg(&scene(1), quality)], &[("seller_id", seller)]);
    assert_ne!(answer["action"], "allow", "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

/// Type and check of each event after a position, and the position after them.
fn events(app: &TestApp, after: u64) -> (Vec<(String, String)>, u64) {
    let page = app.get_json(&format!("/v1/events?after={after}"));
    let text = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
    let events = page["events"].as_array().unwrap().iter();
    (events.map(|event| (text(event, "type"), text(event, "check_id"))).collect(), page["next"].as_u64().unwrap())
}

fn told(kind: &str, id: &str) -> (String, String) {
    (kind.to_owned(), id.to_owned())
}

#[test]
fn decisions_appeals_and_what_no_longer_holds_are_listed_in_order() {
    let app = TestApp::start();
    let (robin, kim) = (Moderator::new(&app, "robin"), Moderator::new(&app, "kim"));
    app.add_fake(&photo(1));
    let id = case(&app, "s1", 90);
    assert_eq!(events(&app, 0).0, [], "a case is no event before somebody has decided it");

    robin.decide(&id, "fake");
    robin.act("/console/undo", &[]);
    robin.decide(&id, "fake");
    let follower = case(&app, "s2", 80);
    let (first, next) = events(&app, 0);
    assert_eq!(
        first,
        [
            told("check.decided", &id),
            told("check.reopened", &id),
            told("check.decided", &id),
            told("check.decided", &follower)
        ]
    );

    let appeal = json!({ "text": "I have the receipt" });
    assert_eq!(app.request("POST", &format!("/v1/checks/{id}/appeals")).json(&appeal).send().unwrap().status(), 200);
    kim.decide(&id, "authorised");
    let (later, last) = events(&app, next);
    assert_eq!(later, [told("check.reopened", &follower), told("appeal.decided", &id)]);
    assert_eq!(events(&app, last), (Vec::new(), last), "nothing has happened since");

    let newest = app.get_json(&format!("/v1/events?after={}", last - 1))["events"][0].clone();
    assert_eq!((&newest["case"]["decision"], &newest["case"]["decided_by"]), (&json!("authorised"), &json!("kim")));
}

#[test]
fn pages_of_any_size_list_each_event_once() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    app.add_fake(&photo(1));
    for quality in [90, 85, 80] {
        robin.decide(&case(&app, "s1", quality), "fake");
        robin.act("/console/undo", &[]);
    }
    let (all, _) = events(&app, 0);
    assert_eq!(all.len(), 6, "{all:?}");
    for limit in [1, 2, 5] {
        let (mut seen, mut after) = (Vec::new(), 0);
        loop {
            let page = app.get_json(&format!("/v1/events?after={after}&limit={limit}"));
            let events = page["events"].as_array().unwrap();
            if events.is_empty() {
                break;
            }
            assert!(events.len() <= limit);
            seen.extend(events.iter().map(|event| event["seq"].as_u64().unwrap()));
            after = page["next"].as_u64().unwrap();
        }
        assert!(seen.is_sorted_by(|a, b| a < b) && seen.len() == all.len(), "{limit}: {seen:?}");
    }
}

#[test]
fn a_decision_about_one_photo_of_an_open_case_is_no_event() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let (first, second) = (app.add_fake(&photo(1)), app.add_fake(&photo(2)));
    let answer = app.check(&[&jpeg(&scene(1), 90), &jpeg(&scene(2), 90)], &[("seller_id", "s1")]);
    let id = answer["id"].as_str().unwrap();
    assert_eq!(robin.decide_on(id, "no_match", 0, Some(&first)), 303);
    assert_eq!(events(&app, 0).0, []);
    assert_eq!(robin.decide_on(id, "no_match", 1, Some(&second)), 303);
    assert_eq!(events(&app, 0).0, [told("check.decided", id)]);
}

#[test]
fn a_page_that_cannot_be_is_refused() {
    let app = TestApp::start();
    problem(app.get("/v1/events?limit=0"), 422, "limit-invalid");
    problem(app.get("/v1/events?limit=1001"), 422, "limit-invalid");
    problem(app.get("/v1/events?after=9223372036854775808"), 422, "after-invalid");
    problem(app.get("/v1/events?after=-1"), 400, "query-invalid");
    problem(app.get("/v1/events?since=1"), 400, "query-invalid");
}
