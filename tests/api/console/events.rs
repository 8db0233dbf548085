use serde_json::{Value, json};

use crate::support::moderator::Moderator;
use crate::support::pictures::photo;
use crate::support::receiver::Receiver;
use crate::support::{TestApp, wait_for};

#[test]
fn the_page_of_events_shows_what_did_not_arrive_and_a_button_sends_it_again() {
    let app = TestApp::with("sscd-distilled", |config| {
        config.webhooks.enabled = true;
        config.webhooks.private_addresses = true;
        config.webhooks.hosts = vec!["127.0.0.1".to_owned()];
        config.webhooks.max_attempts = 1;
    });
    let robin = Moderator::new(&app, "robin");
    let empty = robin.page("/console/events");
    assert!(empty.contains("No webhook.") && empty.contains("none yet"), "{empty}");

    let receiver = Receiver::start();
    receiver.answer(500);
    let made = app.request("POST", "/v1/webhooks").json(&json!({ "url": receiver.url })).send().unwrap();
    let made: Value = made.json().unwrap();
    let reference = app.add_fake(&photo(1));
    robin.act(&format!("/console/references/{reference}/quarantine"), &[("why", "wrong bag")]);
    let dead = |app: &TestApp| app.get_json("/v1/webhooks")["webhooks"][0]["dead"] == json!(1);
    wait_for("the dead letter", || dead(&app));

    let page = robin.page("/console/events");
    for said in [
        &receiver.url,
        "the receiver answered 500",
        "reference quarantined",
        &format!("/console/references/{reference}"),
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    let secret = made["secret"].as_str().unwrap().strip_prefix("whsec_").unwrap();
    assert!(!page.contains(secret));
    let action = page.split("action=\"/console/webhooks/").nth(1).unwrap().split('"').next().unwrap();
    receiver.answer(200);
    let next = robin.act(&format!("/console/webhooks/{action}"), &[]);
    assert_eq!(next, "/console/events?told=sent-again");
    receiver.wait(2);
    wait_for("the delivery", || !dead(&app));
    let page = robin.page(&next);
    assert!(page.contains("will be sent again") && page.contains("Every event was delivered"), "{page}");
    let entry = app.log().into_iter().find(|entry| entry.action == "resend-event").unwrap();
    assert_eq!(entry.actor, "robin");

    let unknown = robin.post("/console/webhooks/whk_none/deliveries/msg_none/resend", &[]);
    assert_eq!(unknown.status(), 404);
}

#[test]
fn the_page_says_when_nothing_is_sent() {
    let app = TestApp::start();
    let page = Moderator::new(&app, "robin").page("/console/events");
    assert!(page.contains("webhooks.enabled"), "{page}");
}
