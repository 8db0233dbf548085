//! The feed tells a marketplace every decision once, in order.

use serde_json::{Value, json};

use crate::support::moderator::Moderator;
use crate::support::pictures::{jpeg, photo, scene};
use crate::support::{TestApp, problem, real_photo};

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
    assert_eq!(events(&app, last).0, [], "nothing has happened since");

    let page = app.get_json(&format!("/v1/events?after={next}"));
    let newest = page["events"].as_array().unwrap().last().unwrap();
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
    for wrong in ["check.done", "", "check.decided,", "check.decided&type=check.reopened"] {
        let answer = app.get(&format!("/v1/events?type={wrong}"));
        let status = answer.status().as_u16();
        let code = if wrong.contains('&') { "query-invalid" } else { "name-invalid" };
        problem(answer, status, code);
        assert!(matches!(status, 400 | 422), "{wrong}: {status}");
    }
}

/// Types and subjects of all events of these types.
fn of_types(app: &TestApp, types: &str, subject: &str) -> Vec<(String, String)> {
    let page = app.get_json(&format!("/v1/events?type={types}"));
    let text = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
    page["events"].as_array().unwrap().iter().map(|event| (text(event, "type"), text(event, subject))).collect()
}

#[test]
fn a_reader_that_asks_for_types_gets_these_and_no_others() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let reference = app.add_fake(&photo(1));
    let id = case(&app, "s1", 90);
    robin.decide(&id, "fake");
    robin.act("/console/undo", &[]);
    robin.act(&format!("/console/references/{reference}/quarantine"), &[("why", "wrong bag")]);
    assert_eq!(of_types(&app, "check.reopened", "check_id"), [told("check.reopened", &id)]);
    let both = [told("check.decided", &id), told("check.reopened", &id)];
    assert_eq!(of_types(&app, "check.decided,check.reopened,appeal.decided", "check_id"), both);
    assert_eq!(of_types(&app, "certificate.ended", "brand"), []);
    let all = app.get_json("/v1/events")["events"].as_array().unwrap().clone();
    assert_eq!(all.len(), 3, "{all:?}");
    let names: Vec<&String> = all[2].as_object().unwrap().keys().collect();
    assert_eq!(names, ["at", "brand", "reference_id", "seq", "type"], "fields of no meaning are absent");
    assert_eq!((&all[0]["seller_id"], &all[0]["brand"]), (&json!("s1"), &json!("acme")));
}

/// By a moderator, because it contradicts another one, and because it matches too much.
#[test]
fn every_quarantine_is_an_event_whoever_made_it() {
    let app = TestApp::with("sscd-distilled", |config| config.checks.flood.listings = 1);
    let robin = Moderator::new(&app, "robin");
    let first = app.add_fake(&photo(1));
    robin.act(&format!("/console/references/{first}/quarantine"), &[("why", "wrong bag")]);
    app.add("other", "authentic", &real_photo(0));
    let copy = jpeg(&image::load_from_memory(&real_photo(0)).unwrap().to_rgb8(), 90);
    let second = app.add("acme", "fake", &copy)["id"].as_str().unwrap().to_owned();
    let flood = app.add_fake(&real_photo(1));
    // The reference, pasted into unlike photos.
    let piece = image::load_from_memory(&real_photo(1)).unwrap().thumbnail(300, 300).into_rgb8();
    for seed in 2..12 {
        let mut canvas = image::imageops::resize(&scene(seed), 640, 480, image::imageops::FilterType::Triangle);
        image::imageops::replace(&mut canvas, &piece, 20, 20);
        app.check(&[&jpeg(&canvas, 90)], &[("listing_id", &format!("l{seed}"))]);
    }
    let quarantined = |id: &str| told("reference.quarantined", id);
    let expected = [quarantined(&first), quarantined(&second), quarantined(&flood)];
    assert_eq!(of_types(&app, "reference.quarantined", "reference_id"), expected);
    let actors: Vec<String> =
        app.log().into_iter().filter(|entry| entry.action == "quarantine").map(|entry| entry.actor).collect();
    assert_eq!(actors, ["robin", "touchstone", "touchstone"]);
}

#[test]
fn a_certificate_that_a_wrong_outcome_ends_is_an_event_each_time_it_ends() {
    let app = TestApp::start();
    app.add_fake(&photo(1));
    app.certify("acme");
    let ended = || of_types(&app, "certificate.ended", "brand");
    let id = app.check_one(&photo(1))["id"].as_str().unwrap().to_owned();
    let put = |confirmed: bool| {
        let request = app.request("PUT", &format!("/v1/checks/{id}/outcomes/acme"));
        assert_eq!(request.json(&json!({ "confirmed": confirmed })).send().unwrap().status(), 200);
        app.get_json("/v1/brands/acme/certificate")["certified"].as_bool().unwrap()
    };
    assert!(put(true));
    assert_eq!(ended(), []);
    assert!(!put(false));
    assert!(!put(false));
    let one = told("certificate.ended", "acme");
    assert_eq!(ended(), std::slice::from_ref(&one), "what has ended does not end again");
    assert!(put(true));
    assert_eq!(ended().len(), 1);

    // A moderator's decision ends it, too, and the next one after the decision was undone.
    let robin = Moderator::new(&app, "robin");
    let second = app.check_one(&jpeg(&scene(1), 85))["id"].as_str().unwrap().to_owned();
    for ends in 2..4 {
        robin.decide(&second, "authorised");
        assert_eq!(ended().len(), ends);
        robin.act("/console/undo", &[]);
        assert_eq!(app.get_json("/v1/brands/acme/certificate")["certified"], true);
    }
    let entry = app.log().into_iter().rev().find(|entry| entry.action == "end-certificate").unwrap();
    assert_eq!((entry.actor.as_str(), entry.subject.as_str()), ("robin", "acme"));
}

#[test]
fn events_about_a_seller_who_was_erased_are_left_out() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    app.add_fake(&photo(1));
    robin.decide(&case(&app, "s1", 90), "fake");
    let follower = case(&app, "s2", 80);
    assert_eq!(events(&app, 0).0.len(), 2);
    app.gallery.forget_seller("test", "s1").unwrap();
    assert_eq!(events(&app, 0).0, [told("check.decided", &follower)]);
    app.gallery.forget_seller("test", "s2").unwrap();
    assert_eq!(events(&app, 0).0, []);
}
