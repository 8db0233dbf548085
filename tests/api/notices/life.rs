use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Brand, actions, answered, id, log, states};
use crate::support::TestApp;
use crate::support::moderator::Moderator;

/// A brand needs two answers for the fast lane.
fn app() -> TestApp {
    TestApp::with("sscd-distilled", |config| config.takedown.fast_lane_least = 2)
}

fn act(moderator: &Moderator, notice: &str, act: &str, listing: &str) -> u16 {
    let fields = [("act", act), ("listing", listing), ("reason", "seen by a moderator")];
    moderator.post(&format!("/console/notices/{notice}/act"), &fields).status().as_u16()
}

#[test]
fn a_notice_lives_from_its_filing_to_the_restored_listing_and_the_brands_standing_follows() {
    let app = app();
    let (robin, kim) = (Moderator::new(&app, "robin"), Moderator::new(&app, "kim"));
    let acme = Brand::new(&app, "acme");
    let standing = acme.standing();
    assert_eq!(
        (&standing["fast_lane"], &standing["success"], &standing["missing"]),
        (&json!(false), &Value::Null, &json!(["answers", "success"]))
    );

    let filed = acme.file(&["l1", "l2"]);
    let first = id(&filed);
    assert_eq!(states(&app, first), ["waiting", "waiting"]);
    assert_eq!(filed["listings"][0]["deadline_at"], Value::Null, "the marketplace has not heard of it");
    robin.act(&format!("/console/notices/{first}/act"), &[("act", "request")]);
    assert_eq!(states(&app, first), ["requested", "requested"]);
    answered(&app, first, "l1", "acknowledged");
    answered(&app, first, "l1", "removed");
    answered(&app, first, "l2", "removed");
    let standing = acme.standing();
    assert_eq!((&standing["fast_lane"], &standing["success"]), (&json!(true), &json!(1.0)));
    assert_eq!(standing["missing"], json!([]));

    // In the fast lane the marketplace hears at once, and a moderator looks afterwards.
    let second = acme.file(&["l3"]);
    let second = id(&second);
    assert_eq!(states(&app, second), ["requested"]);
    assert_eq!(actions(&app, second), ["file-notice", "request-takedown"]);
    assert!(robin.page(&format!("/console/notices/{second}")).contains("not yet reviewed"));
    assert_eq!(act(&robin, second, "confirm", "l3"), 303);
    assert!(!robin.page(&format!("/console/notices/{second}")).contains("not yet reviewed"));

    let countered = answered(&app, first, "l1", "countered");
    assert_eq!(countered["reason"], "reason of l1");
    assert_eq!(act(&robin, first, "restore", "l1"), 409, "robin requested it");
    assert_eq!(act(&kim, first, "restore", "l1"), 303);
    assert_eq!(states(&app, first), ["restored", "removed"]);
    let standing = acme.standing();
    assert_eq!(standing["record"], json!({ "answered": 2, "removed": 1, "restored": 1 }));
    assert_eq!(standing["missing"], json!(["success", "counter", "wait"]));
    assert_ne!(standing["waits_until"], Value::Null);
    let third = acme.file(&["l4"]);
    assert_eq!(states(&app, id(&third)), ["waiting"], "a moderator sees it first again");

    let expected = [
        "file-notice",
        "file-notice",
        "request-takedown",
        "request-takedown",
        "acknowledge-takedown",
        "remove-listing",
        "remove-listing",
        "counter-notice",
        "restore-listing",
    ];
    assert_eq!(actions(&app, first), expected);
    let last: Value = serde_json::from_str(&log(&app, first).last().unwrap().after).unwrap();
    let after = json!({ "notice_id": first, "listing_id": "l1", "seller_id": null, "brand": "acme", "state": "restored", "reason": "seen by a moderator" });
    assert_eq!(last, after);
    let lanes = app.log().into_iter().filter(|entry| entry.subject == "acme").map(|entry| entry.action);
    assert_eq!(lanes.collect::<Vec<_>>(), ["enter-fast-lane", "leave-fast-lane"]);
}

#[test]
fn the_marketplace_is_reminded_once_of_a_request_without_an_answer() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let filed = Brand::new(&app, "acme").file(&["l1", "l2", "l3"]);
    let notice = id(&filed);
    robin.act(&format!("/console/notices/{notice}/act"), &[("act", "request"), ("listing", "l1")]);
    robin.act(&format!("/console/notices/{notice}/act"), &[("act", "request"), ("listing", "l2")]);
    answered(&app, notice, "l1", "removed");
    let later = |hours: i64| Timestamp::now() + SignedDuration::from_hours(hours);
    assert_eq!(app.gallery.follow_up_takedowns(later(11)).unwrap(), 0);
    assert_eq!(app.gallery.follow_up_takedowns(later(13)).unwrap(), 1, "l1 is answered, and l3 was never requested");
    assert_eq!(app.gallery.follow_up_takedowns(later(40)).unwrap(), 0, "once is enough");
    let reminders: Vec<_> = log(&app, notice).into_iter().filter(|entry| entry.action == "remind-takedown").collect();
    assert_eq!(reminders.len(), 1);
    assert!(reminders[0].after.contains("\"listing_id\":\"l2\""), "{}", reminders[0].after);
    let listings = app.get_json(&format!("/v1/notices/{notice}"))["listings"].clone();
    assert_eq!((&listings[0]["reminded_at"], &listings[2]["reminded_at"]), (&Value::Null, &Value::Null));
    assert_ne!(listings[1]["reminded_at"], Value::Null);
}

#[test]
fn a_moderator_who_rejects_says_why_and_the_brand_reads_it() {
    let app = app();
    let robin = Moderator::new(&app, "robin");
    let acme = Brand::new(&app, "acme");
    let filed = acme.file(&["l1", "l2"]);
    let path = format!("/console/notices/{}/act", id(&filed));
    assert_eq!(robin.post(&path, &[("act", "reject"), ("listing", "l1")]).status(), 422, "without a reason");
    robin.act(&path, &[("act", "reject"), ("reason", "the photo shows another bag")]);
    assert_eq!(states(&app, id(&filed)), ["rejected", "rejected"]);
    let seen: Value = acme.get(&format!("/v1/notices/{}", id(&filed))).json().unwrap();
    assert_eq!(seen["listings"][1]["reason"], "the photo shows another bag");
    // A rejected notice is an answer like any other.
    assert_eq!(acme.standing()["record"], json!({ "answered": 2, "removed": 0, "restored": 0 }));
    robin.act(&path, &[("act", "request"), ("listing", "l2")]);
    assert_eq!(states(&app, id(&filed)), ["rejected", "requested"], "on second thoughts");
}

#[test]
fn a_request_that_turns_out_wrong_afterwards_ends_or_asks_to_restore() {
    let app = app();
    let robin = Moderator::new(&app, "robin");
    let acme = Brand::new(&app, "acme");
    let first = acme.file(&["l1", "l2"]);
    robin.act(&format!("/console/notices/{}/act", id(&first)), &[("act", "request")]);
    answered(&app, id(&first), "l1", "removed");
    answered(&app, id(&first), "l2", "removed");
    let fast = acme.file(&["l3", "l4"]);
    let notice = id(&fast);
    answered(&app, notice, "l4", "removed");
    assert_eq!(act(&robin, notice, "reject", "l3"), 303);
    assert_eq!(act(&robin, notice, "reject", "l4"), 409, "it is down already");
    assert_eq!(act(&robin, notice, "ask-restore", "l4"), 303);
    assert_eq!(act(&robin, notice, "ask-restore", "l4"), 409, "once is enough");
    assert_eq!(states(&app, notice), ["rejected", "removed"]);
    let listing = app.get_json(&format!("/v1/notices/{notice}"))["listings"][1].clone();
    assert_eq!(listing["restore_asked"], true);
    assert_eq!(actions(&app, notice).last().unwrap(), "request-restore");
    assert_eq!(answered(&app, notice, "l4", "restored")["restore_asked"], false);
}
