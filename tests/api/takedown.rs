//! The story of a takedown, from a listing that was let through to the one that is shown again.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use touchstone::domain::Decision;
use touchstone::moderation::verify;

use super::notices::{Brand, answered, id, states, wait_for_case};
use crate::support::moderator::Moderator;
use crate::support::pictures::jpeg;
use crate::support::receiver::{Received, Receiver};
use crate::support::{TestApp, real_photo, wait_for};

fn copied(quality: u8) -> Vec<u8> {
    let photo = image::load_from_memory(&real_photo(0)).unwrap().to_rgb8();
    jpeg(&image::imageops::resize(&photo, 400, 267, image::imageops::Triangle), quality)
}

fn listed(app: &TestApp, seller: &str, listing: &str, photo: &[u8]) -> String {
    let answer = app.check(&[photo], &[("seller_id", seller), ("listing_id", listing)]);
    assert_eq!(answer["action"], "allow", "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

/// How often each type was delivered with success.
fn delivered(received: &[Received]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for event in received.iter().filter(|event| event.status == 200) {
        *counts.entry(event.kind()).or_default() += 1;
    }
    counts
}

#[test]
fn what_becomes_known_later_is_taken_down_and_what_was_wrong_is_put_back() {
    let app = TestApp::with("sscd-distilled", |config| {
        config.webhooks.enabled = true;
        config.webhooks.private_addresses = true;
        config.webhooks.hosts = vec!["127.0.0.1".to_owned()];
        config.webhooks.first_retry_s = 1;
    });
    let (robin, kim) = (Moderator::new(&app, "robin"), Moderator::new(&app, "kim"));
    let acme = Brand::new(&app, "acme");
    let receiver = Receiver::start();
    let webhook = app.request("POST", "/v1/webhooks").json(&json!({ "url": receiver.url })).send().unwrap();
    let secret = webhook.json::<Value>().unwrap()["secret"].as_str().unwrap().to_owned();

    // Nothing is known: all three listings are let through.
    let (same, other) = (copied(85), copied(60));
    let three_weeks = SignedDuration::from_hours(21 * 24);
    app.clock.set_back(three_weeks);
    let first = listed(&app, "s-1", "l-1", &same);
    let second = listed(&app, "s-1", "l-2", &other);
    let third = listed(&app, "s-2", "l-3", &same);
    let innocent = app.check(&[&real_photo(2)], &[("seller_id", "s-3")])["id"].as_str().unwrap().to_owned();

    // Three weeks later, the brand adds the photo as a fake's, and the lookback finds all three.
    app.clock.set_back(SignedDuration::ZERO);
    let answered_at: Timestamp =
        app.get_json(&format!("/v1/checks/{first}"))["created_at"].as_str().unwrap().parse().unwrap();
    assert!(Timestamp::now().duration_since(answered_at) >= three_weeks);
    receiver.answer_next(&[500, 503]);
    app.add_fake(&real_photo(0));
    for check in [&first, &second, &third] {
        wait_for_case(&app, check);
    }
    assert!(robin.page("/console/queue").contains("and 1 more, 2 sellers"), "one photo is one question");

    robin.decide(&first, "fake");
    let decided = |check: &str| app.get_json(&format!("/v1/checks/{check}/case"))["decision"].clone();
    assert_eq!([decided(&first), decided(&third), decided(&second)], [json!("fake"), json!("fake"), Value::Null]);
    robin.decide(&second, "fake");

    // The sellers are linked by their photo, which is no brand's own.
    let links = app.get_json("/v1/sellers/s-1/links");
    assert_eq!((&links["links"][0]["sellers"], &links["links"][0]["photos"]), (&json!(["s-1", "s-2"]), &json!(1)));
    let strikes = |seller: &str| app.get_json(&format!("/v1/sellers/{seller}"))["strikes"].clone();
    assert_eq!([strikes("s-1"), strikes("s-2")], [json!(2), json!(1)]);

    // The marketplace hears of each once, although its receiver failed twice.
    let expected = BTreeMap::from(
        [("check.decided", 3), ("listing.found_by_lookback", 3), ("listing.takedown_requested", 3)]
            .map(|(kind, count)| (kind.to_owned(), count)),
    );
    wait_for("the events", || delivered(&receiver.received()) == expected);
    let received = receiver.received();
    assert!(received.iter().all(|event| event.is_signed_with(&secret)));
    assert_eq!(received.iter().filter(|event| event.status != 200).count(), 2);
    let requested = received
        .iter()
        .map(Received::json)
        .find(|event| event["type"] == "listing.takedown_requested" && event["data"]["listing_id"] == "l-1");
    let notice = requested.unwrap()["data"]["notice_id"].as_str().unwrap().to_owned();

    // It takes the listing down; the seller objects, and another moderator agrees.
    answered(&app, &notice, "l-1", "removed");
    answered(&app, &notice, "l-1", "countered");
    let act = |moderator: &Moderator| {
        let fields = [("act", "restore"), ("listing", "l-1"), ("reason", "the seller has the receipt")];
        moderator.post(&format!("/console/notices/{notice}/act"), &fields).status().as_u16()
    };
    assert_eq!((act(&robin), act(&kim)), (409, 303), "robin does not decide about robin's own request");
    assert_eq!(states(&app, &notice), ["restored"]);
    assert_eq!(strikes("s-1"), 1, "a listing that was restored is no strike");
    assert_eq!(acme.standing()["record"]["restored"], 0, "moderation's requests say nothing about the brand");
    let filed = acme.file(&["l-9"]);
    kim.act(&format!("/console/notices/{}/act", id(&filed)), &[("act", "request")]);
    answered(&app, id(&filed), "l-9", "removed");
    assert_eq!(acme.standing()["record"], json!({ "answered": 1, "removed": 1, "restored": 0 }));

    // The evidence can be verified without the service, and the log is whole.
    let bundle = robin.post(&format!("/console/cases/{first}/evidence"), &[]).bytes().unwrap();
    let verified = verify(&bundle).unwrap();
    assert_eq!((verified.case.as_str(), verified.decision.map(Decision::as_str)), (&*first, Some("fake")));
    assert_eq!(app.gallery.verify_audit().unwrap().wrong, None);
    assert_eq!(app.get(&format!("/v1/checks/{innocent}/case")).status(), 404, "and nobody else was bothered");
}
