//! Webhooks: each event reaches each receiver, signed, whatever fails in between.

use std::process::Command;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use reqwest::blocking::Response;
use serde_json::{Value, json};
use tempfile::TempDir;
use touchstone::config::Config;

use crate::support::moderator::Moderator;
use crate::support::pictures::{jpeg, photo, scene};
use crate::support::receiver::{Received, Receiver};
use crate::support::service::Service;
use crate::support::{TestApp, form, problem, real_photo, root, skipped, wait_for};

/// May send to this machine, on which the tests receive.
fn sending(config: &mut Config) {
    config.webhooks.enabled = true;
    config.webhooks.private_addresses = true;
    config.webhooks.hosts = vec!["127.0.0.1".to_owned()];
    config.webhooks.first_retry_s = 1;
    config.webhooks.timeout_s = 5;
}

fn started() -> TestApp {
    TestApp::with("sscd-distilled", sending)
}

fn ask(app: &TestApp, body: &Value) -> Response {
    app.request("POST", "/v1/webhooks").json(body).send().unwrap()
}

/// Makes a webhook; returns its id and its secret.
fn webhook(app: &TestApp, body: &Value) -> (String, String) {
    let answer = ask(app, body);
    assert_eq!((answer.status().as_u16(), answer.headers()["cache-control"].to_str().unwrap()), (201, "no-store"));
    let made: Value = answer.json().unwrap();
    let listed = app.get_json("/v1/webhooks")["webhooks"].as_array().unwrap().last().unwrap().clone();
    for (name, value) in made.as_object().unwrap().iter().filter(|(name, _)| *name != "secret") {
        assert_eq!(listed[name], *value, "{name} is listed as it was answered");
    }
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), text("secret"))
}

fn of_receiver(app: &TestApp, receiver: &Receiver) -> (String, String) {
    webhook(app, &json!({ "url": receiver.url }))
}

/// Makes an event: a moderator quarantines a reference.
fn quarantine(app: &TestApp, robin: &Moderator, seed: u64) -> String {
    let id = app.add_fake(&photo(seed));
    robin.act(&format!("/console/references/{id}/quarantine"), &[("why", "wrong bag")]);
    id
}

fn deliveries(app: &TestApp, webhook: &str) -> Vec<Value> {
    app.get_json(&format!("/v1/webhooks/{webhook}/deliveries"))["deliveries"].as_array().unwrap().clone()
}

fn states(app: &TestApp, webhook: &str) -> Vec<String> {
    deliveries(app, webhook).iter().map(|one| one["state"].as_str().unwrap().to_owned()).collect()
}

fn kinds(received: &[Received]) -> Vec<String> {
    received.iter().map(Received::kind).collect()
}

#[test]
fn an_event_that_fails_twice_is_delivered_once_under_one_id_and_its_signature_verifies() {
    let app = started();
    let receiver = Receiver::start();
    receiver.answer_next(&[500, 429]);
    let (id, secret) = of_receiver(&app, &receiver);
    let reference = quarantine(&app, &Moderator::new(&app, "robin"), 1);
    let received = receiver.wait(3);
    wait_for("the delivery", || states(&app, &id) == ["delivered"]);

    assert_eq!(received.iter().map(|one| one.status).collect::<Vec<_>>(), [500, 429, 200]);
    assert!(received.iter().all(|one| one.id == received[0].id && one.id.starts_with("msg_")), "{received:?}");
    assert!(received.iter().all(|one| one.is_signed_with(&secret)), "{received:?}");
    let (_, other) = of_receiver(&app, &receiver);
    assert!(received.iter().all(|one| !one.is_signed_with(&other)), "another secret signs nothing of it");
    let mut forged = received[2].clone();
    forged.body = forged.body.replace("acme", "rival");
    assert!(!forged.is_signed_with(&secret), "{forged:?}");

    let listed = app.get_json("/v1/events?type=reference.quarantined")["events"][0].clone();
    let message = received[2].json();
    assert_eq!((&message["type"], &message["timestamp"]), (&listed["type"], &listed["at"]));
    assert_eq!((&message["data"], &message["data"]["reference_id"]), (&listed, &json!(reference)));
    let delivery = deliveries(&app, &id).remove(0);
    assert_eq!((&delivery["attempts"], &delivery["status"]), (&json!(3), &json!(200)));
    assert_eq!((&delivery["id"], &delivery["seq"]), (&json!(received[0].id), &listed["seq"]));
    assert_eq!(receiver.received().len(), 3, "once is enough");
}

#[test]
fn each_receiver_gets_its_types_in_order_and_from_where_it_asked() {
    let app = started();
    let (decisions, references, everything) = (Receiver::start(), Receiver::start(), Receiver::start());
    let robin = Moderator::new(&app, "robin");
    app.add_fake(&photo(1));
    let check = app.check(&[&jpeg(&scene(1), 90)], &[("seller_id", "s1"), ("listing_id", "l1")]);
    let check = check["id"].as_str().unwrap();
    robin.decide(check, "fake");
    webhook(&app, &json!({ "url": decisions.url, "types": ["check.decided", "check.reopened"], "after": 0 }));
    webhook(&app, &json!({ "url": references.url, "types": ["reference.quarantined"] }));
    of_receiver(&app, &everything);
    robin.act("/console/undo", &[]);
    quarantine(&app, &robin, 2);
    robin.decide(check, "fake");

    let (first, last) = (decisions.wait(3), everything.wait(3));
    assert_eq!(kinds(&first), ["check.decided", "check.reopened", "check.decided"]);
    assert_eq!(kinds(&references.wait(1)), ["reference.quarantined"]);
    assert_eq!(kinds(&last), ["check.reopened", "reference.quarantined", "check.decided"]);
    let data = &last[2].json()["data"];
    assert_eq!((&data["check_id"], &data["case"]["decision"]), (&json!(check), &json!("fake")));
    assert_eq!((&data["seller_id"], &data["listing_id"], &data["brand"]), (&json!("s1"), &json!("l1"), &json!("acme")));
    assert_eq!(references.received().len(), 1);
}

#[test]
fn nothing_is_sent_unless_it_is_switched_on_and_to_no_place_that_was_not_named() {
    let receiver = Receiver::start();
    let https = receiver.url.replace("http:", "https:");
    let off = TestApp::start();
    problem(ask(&off, &json!({ "url": https })), 422, "webhooks-off");
    let public_only = TestApp::with("sscd-distilled", |config| {
        sending(config);
        config.webhooks.private_addresses = false;
        config.webhooks.hosts.push("localhost".to_owned());
    });
    let refused = |url: &str| problem(ask(&public_only, &json!({ "url": url })), 422, "webhook-url-not-allowed");
    let detail = refused(&https);
    assert!(detail.contains("127.0.0.1 is private, which webhooks.private_addresses does not allow"), "{detail}");
    assert!(refused(&receiver.url).contains("scheme is http, expected https"));
    assert!(refused("https://elsewhere.example/").contains("is not among webhooks.hosts"));
    assert!(refused("https://robin:secret@localhost/").contains("contains a user name"));
    problem(ask(&public_only, &json!({ "url": "events" })), 422, "webhook-url-invalid");
    // What a name leads to shows when something is sent.
    let (id, _) = webhook(&public_only, &json!({ "url": https.replace("127.0.0.1", "localhost") }));
    let tried: Value = public_only.request("POST", &format!("/v1/webhooks/{id}/test")).send().unwrap().json().unwrap();
    let error = tried["error"].as_str().unwrap();
    assert!(error.contains("localhost has no public address, and webhooks.private_addresses is false"), "{error}");
    assert_eq!(receiver.received().len(), 0);

    let app = started();
    receiver.answer(302);
    let (id, _) = of_receiver(&app, &receiver);
    let tried: Value = app.request("POST", &format!("/v1/webhooks/{id}/test")).send().unwrap().json().unwrap();
    assert_eq!(tried["delivered"], false, "{tried}");
    assert_eq!(receiver.received().len(), 1, "a redirect is not followed");
    problem(ask(&app, &json!({ "url": receiver.url, "types": ["check.done"] })), 422, "name-invalid");
    problem(ask(&app, &json!({ "url": receiver.url, "types": [] })), 422, "types-empty");
}

#[test]
fn a_receiver_that_stays_away_gets_a_dead_letter_and_everything_when_it_is_sent_again() {
    let app = TestApp::with("sscd-distilled", |config| {
        sending(config);
        config.webhooks.max_attempts = 2;
    });
    let address = Receiver::nowhere();
    let (id, secret) = webhook(&app, &json!({ "url": format!("http://{address}/events") }));
    quarantine(&app, &Moderator::new(&app, "robin"), 1);
    wait_for("the dead letter", || states(&app, &id) == ["dead"]);
    let dead = deliveries(&app, &id).remove(0);
    assert_eq!((&dead["attempts"], &dead["error"]), (&json!(2), &json!("the receiver cannot be reached")));
    let counted = app.get_json("/v1/webhooks")["webhooks"][0].clone();
    assert_eq!((&counted["dead"], &counted["waiting"], &counted["delivered"]), (&json!(1), &json!(0), &json!(0)));

    let receiver = Receiver::at(address);
    let resend = |delivery: &str| {
        app.request("POST", &format!("/v1/webhooks/{id}/deliveries/{delivery}/resend")).send().unwrap()
    };
    problem(resend("msg_none"), 404, "not-found");
    let again: Value = resend(dead["id"].as_str().unwrap()).json().unwrap();
    assert_eq!((&again["state"], &again["attempts"]), (&json!("waiting"), &json!(0)));
    let received = receiver.wait(1);
    wait_for("the delivery", || states(&app, &id) == ["delivered"]);
    assert_eq!(received[0].id, dead["id"], "a resent event has the id of its first attempt");
    assert!(received[0].is_signed_with(&secret));
    let resent = app.log().into_iter().find(|entry| entry.action == "resend-event").unwrap();
    assert_eq!(dead["id"], resent.subject);

    let days = |days: i64| Timestamp::now() + SignedDuration::from_hours(24 * days);
    app.gallery.sweep_deliveries(days(29)).unwrap();
    assert_eq!(states(&app, &id), ["delivered"]);
    app.gallery.sweep_deliveries(days(31)).unwrap();
    assert_eq!(deliveries(&app, &id), [] as [Value; 0]);
}

#[test]
fn two_services_over_one_database_send_each_event_once() {
    let folder = Arc::new(TempDir::new().unwrap());
    let start = || TestApp::over(Arc::clone(&folder), "sscd-distilled", sending);
    let (app, _other) = (start(), start());
    let receiver = Receiver::start();
    let (id, _) = of_receiver(&app, &receiver);
    let robin = Moderator::new(&app, "robin");
    for seed in 1..6 {
        quarantine(&app, &robin, seed);
    }
    wait_for("all deliveries", || states(&app, &id) == ["delivered"; 5]);
    assert_eq!(receiver.received().len(), 5);
}

#[test]
fn a_restart_goes_on_where_the_service_stopped() {
    let folder = Arc::new(TempDir::new().unwrap());
    let start = || TestApp::over(Arc::clone(&folder), "sscd-distilled", sending);
    let app = start();
    let receiver = Receiver::start();
    let (id, secret) = of_receiver(&app, &receiver);
    let robin = Moderator::new(&app, "robin");
    quarantine(&app, &robin, 1);
    receiver.wait(1);
    receiver.answer(503);
    let second = quarantine(&app, &robin, 2);
    receiver.wait(2);
    drop((robin, app));
    receiver.answer(200);
    let app = start();
    let robin = Moderator::sign_in(&app, "robin");
    let third = quarantine(&app, &robin, 3);
    wait_for("all deliveries", || states(&app, &id) == ["delivered"; 3]);

    let received = receiver.received();
    let taken: Vec<&Received> = received.iter().filter(|one| one.status == 200).collect();
    let mut told: Vec<String> =
        taken.iter().map(|one| one.json()["data"]["reference_id"].as_str().unwrap().to_owned()).collect();
    assert!(told.contains(&second) && told.contains(&third), "{told:?}");
    told.sort_unstable();
    told.dedup();
    assert_eq!((told.len(), taken.len()), (3, 3), "each once");
    let failed = received.iter().find(|one| one.status == 503).unwrap();
    assert!(taken.iter().any(|one| one.id == failed.id), "the same event has the same id after a restart");
    assert!(received.iter().all(|one| one.is_signed_with(&secret)));
}

/// The process is killed while an attempt is in progress.
#[test]
fn a_service_that_is_killed_loses_no_event() {
    let folder = TempDir::new().unwrap();
    let settings = folder.path().join("touchstone.toml");
    let text = "[webhooks]\nenabled = true\nprivate_addresses = true\nhosts = [\"127.0.0.1\"]\ntimeout_s = 2\n";
    std::fs::write(&settings, text).unwrap();
    let start = || Service::start(folder.path(), &["--config", settings.to_str().unwrap()]);
    let service = start();
    let receiver = Receiver::start();
    receiver.hold();
    let post = |service: &Service, path: &str| service.client().post(format!("{}{path}", service.url));
    let made: Value =
        post(&service, "/v1/webhooks").json(&json!({ "url": receiver.url })).send().unwrap().json().unwrap();
    for polarity in ["authentic", "fake"] {
        let copy =
            jpeg(&image::load_from_memory(&real_photo(0)).unwrap().to_rgb8(), if polarity == "fake" { 90 } else { 95 });
        let sent = post(&service, "/v1/brands/acme/references").multipart(form(&[&copy], &[("polarity", polarity)]));
        assert_eq!(sent.send().unwrap().status(), 201);
    }
    let first = receiver.wait(1);
    assert_eq!(first[0].kind(), "reference.quarantined");
    // Dropped services are killed.
    drop(service);
    receiver.release();
    let service = start();
    let list = format!("/v1/webhooks/{}/deliveries", made["id"].as_str().unwrap());
    wait_for("the delivery", || service.status(&list).1.contains("\"delivered\""));
    assert!(receiver.received().iter().all(|one| one.id == first[0].id), "one event, one id");
}

#[test]
fn a_receiver_that_is_gone_gets_nothing_more() {
    let app = started();
    let receiver = Receiver::start();
    receiver.answer(410);
    let (id, _) = of_receiver(&app, &receiver);
    let robin = Moderator::new(&app, "robin");
    quarantine(&app, &robin, 1);
    wait_for("the end", || app.get_json("/v1/webhooks")["webhooks"][0]["disabled"].is_string());
    let kept = deliveries(&app, &id).remove(0);
    assert_eq!((&kept["state"], &kept["status"]), (&json!("waiting"), &json!(410)));
    let path = format!("/v1/webhooks/{id}/deliveries/{}/resend", kept["id"].as_str().unwrap());
    problem(app.request("POST", &path).send().unwrap(), 409, "webhook-disabled");
    // Another receiver shows that the next event has been sent to whoever wants it.
    let other = Receiver::start();
    of_receiver(&app, &other);
    quarantine(&app, &robin, 2);
    other.wait(1);
    assert_eq!(receiver.received().len(), 1);
    let ended = app.log().into_iter().find(|entry| entry.action == "disable-webhook").unwrap();
    assert_eq!((ended.subject.as_str(), ended.actor.as_str()), (id.as_str(), "touchstone"));

    // Once it is back, it gets what it missed.
    receiver.answer(200);
    let enabled = app.request("POST", &format!("/v1/webhooks/{id}/enable")).send().unwrap();
    assert_eq!(enabled.status(), 200);
    assert!(enabled.json::<Value>().unwrap().get("disabled").is_none());
    let received = receiver.wait(3);
    assert_eq!(received[1].id, received[0].id, "the event that it refused comes first");
    assert_ne!(received[2].id, received[0].id);
    app.request("POST", &path).send().unwrap().error_for_status().unwrap();
    receiver.wait(4);
    problem(app.request("POST", "/v1/webhooks/whk_none/enable").send().unwrap(), 404, "not-found");
}

#[test]
fn a_receiver_that_asks_to_wait_is_not_called_before() {
    let app = started();
    let receiver = Receiver::start();
    receiver.answer(425);
    let (id, _) = of_receiver(&app, &receiver);
    quarantine(&app, &Moderator::new(&app, "robin"), 1);
    wait_for("the answer", || deliveries(&app, &id).first().is_some_and(|one| one["status"] == 425));
    let waiting = deliveries(&app, &id).remove(0);
    let time = |field: &str| waiting[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
    let wait = time("next_at") - time("updated_at");
    assert!((1790..=1810).contains(&wait), "{waiting}");
}

#[test]
fn a_slow_receiver_holds_back_only_itself() {
    let app = TestApp::with("sscd-distilled", |config| {
        sending(config);
        config.webhooks.timeout_s = 60;
    });
    let (slow, quick) = (Receiver::start(), Receiver::start());
    slow.hold();
    let (id, _) = of_receiver(&app, &slow);
    of_receiver(&app, &quick);
    let robin = Moderator::new(&app, "robin");
    quarantine(&app, &robin, 1);
    slow.wait(1);
    quarantine(&app, &robin, 2);
    quick.wait(2);
    assert_eq!((states(&app, &id), slow.received().len()), (vec!["waiting".to_owned(); 2], 1));
    slow.release();
    wait_for("both deliveries", || states(&app, &id) == ["delivered"; 2]);
}

#[test]
fn nothing_is_sent_about_a_seller_who_was_erased() {
    let app = started();
    let receiver = Receiver::start();
    receiver.answer(503);
    let robin = Moderator::new(&app, "robin");
    app.add_fake(&photo(1));
    let check = app.check(&[&jpeg(&scene(1), 90)], &[("seller_id", "s1")]);
    robin.decide(check["id"].as_str().unwrap(), "fake");
    let follower = app.check(&[&jpeg(&scene(1), 80)], &[("seller_id", "s1")]);
    assert_eq!(app.get_json(&format!("/v1/checks/{}/case", follower["id"].as_str().unwrap()))["decision"], "fake");
    let (early, _) = webhook(&app, &json!({ "url": receiver.url, "after": 0 }));
    receiver.wait(2);
    app.gallery.forget_seller("test", "s1").unwrap();
    let late = Receiver::start();
    webhook(&app, &json!({ "url": late.url, "after": 0 }));
    receiver.answer(200);
    quarantine(&app, &robin, 2);
    assert_eq!(kinds(&late.wait(1)), ["reference.quarantined"]);
    wait_for("the others to be dropped", || states(&app, &early) == ["delivered"]);
    let taken: Vec<Received> = receiver.received().into_iter().filter(|one| one.status == 200).collect();
    assert_eq!(kinds(&taken), ["reference.quarantined"]);
}

#[test]
fn a_webhook_can_be_tested_and_deleted_and_its_secret_is_shown_once() {
    let app = started();
    let receiver = Receiver::start();
    let (id, secret) = of_receiver(&app, &receiver);
    let test = || app.request("POST", &format!("/v1/webhooks/{id}/test")).send().unwrap();
    let tried: Value = test().json().unwrap();
    assert_eq!(tried, json!({ "delivered": true, "status": 200, "body": "thank you" }));
    receiver.answer(404);
    let tried: Value = test().json().unwrap();
    assert_eq!((&tried["delivered"], &tried["status"]), (&json!(false), &json!(404)));
    let received = receiver.received();
    assert_eq!(kinds(&received), ["webhook.test"; 2]);
    assert!(received.iter().all(|one| one.is_signed_with(&secret) && one.json()["data"]["webhook_id"] == json!(id)));
    assert_eq!(deliveries(&app, &id), [] as [Value; 0], "a test is no event");

    for seen in [app.get("/v1/webhooks").text().unwrap(), format!("{:?}", app.log())] {
        assert!(seen.contains(&receiver.url) && !seen.contains(secret.strip_prefix("whsec_").unwrap()), "{seen}");
    }
    let delete = || app.request("DELETE", &format!("/v1/webhooks/{id}")).send().unwrap();
    assert_eq!(delete().status(), 204);
    problem(delete(), 404, "not-found");
    problem(test(), 404, "not-found");
    assert_eq!(app.get_json("/v1/webhooks")["webhooks"], json!([]));
    quarantine(&app, &Moderator::new(&app, "robin"), 1);
    let other = Receiver::start();
    webhook(&app, &json!({ "url": other.url, "after": 0 }));
    other.wait(1);
    assert_eq!(receiver.received().len(), 2, "nothing more is sent");
}

/// The example in docs/EVENTS.md accepts what the service sends, and nothing else.
#[test]
fn the_documents_example_verifies() {
    let text = std::fs::read_to_string(root().join("docs/EVENTS.md")).unwrap();
    let example = text.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let app = started();
    let receiver = Receiver::start();
    let (id, secret) = of_receiver(&app, &receiver);
    app.request("POST", &format!("/v1/webhooks/{id}/test")).send().unwrap();
    let sent = receiver.wait(1).remove(0);
    let run = |secret: &str, sent: &Received| {
        let headers =
            json!({ "webhook-id": sent.id, "webhook-timestamp": sent.timestamp, "webhook-signature": sent.signature });
        let call = format!(
            "{example}\nimport json, sys\nverify(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3].encode())\n"
        );
        Command::new("python3").args(["-c", &call, secret, &headers.to_string(), &sent.body]).output()
    };
    let Ok(accepted) = run(&secret, &sent) else { return skipped("there is no python3 to run the example") };
    assert!(accepted.status.success(), "{}", String::from_utf8_lossy(&accepted.stderr));
    let forged = Received { body: sent.body.replace("test", "fake"), ..sent.clone() };
    assert!(!run(&secret, &forged).unwrap().status.success());
    let old = Received { timestamp: "1614265330".to_owned(), ..sent.clone() };
    assert!(!run(&secret, &old).unwrap().status.success());
    let (_, other) = of_receiver(&app, &receiver);
    assert!(!run(&other, &sent).unwrap().status.success());
}
