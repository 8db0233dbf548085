//! Sellers: what is known about one, links by shared photos, strikes, and proposals to close an account.

use jiff::{SignedDuration, Timestamp};
use reqwest::blocking::Response;
use serde_json::{Value, json};
use touchstone::config::Config;
use touchstone::gallery::{AuditEntry, Retention};
use touchstone::memory::Memory;

use super::notices::{Brand, answered, found_later, id, newest};
use crate::support::moderator::Moderator;
use crate::support::pictures::{jpeg, photo};
use crate::support::{TestApp, problem, real_photo};

/// A check of the first known fake photos, one case each, decided by a moderator.
fn decided(app: &TestApp, moderator: &Moderator, seller: &str, photos: std::ops::Range<usize>) -> Vec<String> {
    let cases = photos.map(|number| {
        let check = app.check(&[&real_photo(number)], &[("seller_id", seller), ("listing_id", &format!("l-{number}"))]);
        let case = check["id"].as_str().unwrap().to_owned();
        moderator.decide(&case, "fake");
        case
    });
    cases.collect()
}

fn with_fakes(change: impl FnOnce(&mut Config)) -> (TestApp, Moderator) {
    let app = TestApp::with("sscd-distilled", change);
    for number in 0..4 {
        app.add_fake(&real_photo(number));
    }
    let robin = Moderator::new(&app, "robin");
    (app, robin)
}

fn seller(app: &TestApp, id: &str) -> Value {
    app.get_json(&format!("/v1/sellers/{id}"))
}

/// The state of the seller's newest proposal; null if there is none.
fn closure(app: &TestApp, id: &str) -> Value {
    seller(app, id)["closure"]["state"].clone()
}

/// Types of the events about a seller's account, oldest first.
fn told(app: &TestApp) -> Vec<String> {
    let types = "seller.closure_proposed,seller.closure_confirmed,seller.closure_withdrawn";
    let events = app.get_json(&format!("/v1/events?type={types}"));
    let kinds = events["events"].as_array().unwrap().iter().map(|event| {
        assert_eq!(event["seller_id"], "s-1", "{event}");
        event["type"].as_str().unwrap().trim_start_matches("seller.closure_").to_owned()
    });
    kinds.collect()
}

/// Decides about the newest proposal, as its page is now.
fn decide_closure(app: &TestApp, moderator: &Moderator, act: &str, reason: &str) -> Response {
    let closure = &seller(app, "s-1")["closure"];
    let (id, seen) = (closure["id"].as_str().unwrap(), closure["state"].as_str().unwrap());
    let fields = [("act", act), ("reason", reason), ("seen", seen)];
    moderator.post(&format!("/console/closures/{id}/decide"), &fields)
}

#[test]
fn a_seller_is_known_by_checks_matches_decisions_appeals_notices_and_strikes() {
    let (app, robin) = with_fakes(|_| {});
    app.check(&[&photo(1)], &[("seller_id", "s-1")]);
    let cases = decided(&app, &robin, "s-1", 0..2);
    robin.decide_on(
        app.check(&[&real_photo(2)], &[("seller_id", "s-1")])["id"].as_str().unwrap(),
        "authorised",
        0,
        None,
    );
    app.check(&[&real_photo(3)], &[("seller_id", "s-1")]);
    app.request("POST", &format!("/v1/checks/{}/appeals", cases[0])).json(&json!({ "text": "Mine." })).send().unwrap();

    let known = seller(&app, "s-1");
    assert_eq!(known["checks"], json!({ "allow": 1, "review": 4 }), "{known}");
    assert_eq!(known["matches"], json!([{ "verdict": "known_fake_match", "brand": "acme", "cases": 4 }]));
    assert_eq!(known["waiting"], 2, "one is open, one is appealed");
    assert_eq!(known["decisions"], json!({ "fake": 1, "authorised": 1 }));
    assert_eq!(known["appeals"], json!({ "waiting": 1, "granted": 0, "dismissed": 0 }));
    assert_eq!(known["strikes"], 1, "a decision under appeal does not count");
    assert_eq!(known["infringements"][0]["check_id"], json!(cases[1]));
    assert_eq!(known["closure"], Value::Null);
    problem(app.get("/v1/sellers/s-none"), 404, "not-found");
}

#[test]
fn enough_strikes_propose_a_closure_which_falls_with_them_and_only_a_person_confirms() {
    let (app, robin) = with_fakes(|_| {});
    let first_two = decided(&app, &robin, "s-1", 0..2);
    assert_eq!(closure(&app, "s-1"), Value::Null);
    let third = decided(&app, &robin, "s-1", 2..3).remove(0);
    assert_eq!(closure(&app, "s-1"), "proposed");
    let proposals = app.get_json("/v1/closures?state=proposed");
    let proposal = &proposals["closures"][0];
    assert_eq!((&proposal["seller_id"], &proposal["strikes"]), (&json!("s-1"), &json!(3)));
    let whole = app.get_json(&format!("/v1/closures/{}", proposal["id"].as_str().unwrap()));
    assert_eq!(whole["infringements"].as_array().unwrap().len(), 3, "the evidence is with it");

    // It falls with a decision that is undone, and comes again.
    robin.act("/console/undo", &[]);
    assert_eq!(closure(&app, "s-1"), "withdrawn");
    robin.decide(&third, "fake");
    assert_eq!(
        (closure(&app, "s-1"), told(&app)),
        (json!("proposed"), ["proposed", "withdrawn", "proposed"].map(str::to_owned).to_vec())
    );

    // Nobody is closed without a person and a reason.
    assert_eq!(decide_closure(&app, &robin, "confirm", " ").status(), 422);
    assert_eq!(decide_closure(&app, &robin, "close", "three fakes").status(), 422);
    assert_eq!(decide_closure(&app, &robin, "confirm", "three fakes").status(), 303);
    assert_eq!(closure(&app, "s-1"), "confirmed");

    // A confirmed closure that loses a strike is not lifted by the program either.
    app.request("POST", &format!("/v1/checks/{third}/appeals")).json(&json!({ "text": "Mine." })).send().unwrap();
    assert_eq!(closure(&app, "s-1"), "doubted");
    assert!(robin.page("/console/sellers").contains("closure in doubt"));
    assert_eq!(told(&app).last().unwrap(), "confirmed");
    // A person may confirm it nevertheless; that it has fewer strikes is then no news.
    assert_eq!(decide_closure(&app, &robin, "confirm", "two fakes are enough").status(), 303);
    app.request("POST", &format!("/v1/checks/{}/appeals", first_two[0]))
        .json(&json!({ "text": "Mine." }))
        .send()
        .unwrap();
    assert_eq!(closure(&app, "s-1"), "doubted", "one fewer than that");
    assert_eq!(decide_closure(&app, &robin, "dismiss", "the receipt is real").status(), 303);
    assert_eq!(
        (closure(&app, "s-1"), told(&app).last().unwrap().clone()),
        (json!("dismissed"), "withdrawn".to_owned())
    );
    assert_eq!(decide_closure(&app, &robin, "confirm", "after all").status(), 409);
    assert_eq!(app.get_json("/v1/closures")["closures"].as_array().unwrap().len(), 2, "both proposals stay on record");
}

#[test]
fn several_cases_about_one_photo_are_one_strike() {
    let (app, robin) = with_fakes(|_| {});
    for listing in ["l-1", "l-2", "l-3", "l-4"] {
        let check = app.check(&[&real_photo(0)], &[("seller_id", "s-1"), ("listing_id", listing)]);
        let case = check["id"].as_str().unwrap();
        // The later ones follow the first.
        if listing == "l-1" {
            robin.decide(case, "fake");
        }
    }
    let known = seller(&app, "s-1");
    assert_eq!(
        (&known["decisions"]["fake"], &known["strikes"], &known["closure"]),
        (&json!(4), &json!(1), &Value::Null)
    );
}

#[test]
fn the_policy_says_what_counts() {
    let (app, robin) = with_fakes(|config| {
        config.takedown.strikes.fake = 2;
        config.takedown.strikes.closure = 0;
    });
    decided(&app, &robin, "s-1", 0..3);
    assert_eq!((&seller(&app, "s-1")["strikes"], closure(&app, "s-1")), (&json!(6), Value::Null));
}

#[test]
fn a_removal_counts_once_a_moderator_has_reviewed_the_notice_and_not_while_the_seller_objects() {
    let app = TestApp::start();
    let (robin, acme) = (Moderator::new(&app, "robin"), Brand::new(&app, "acme"));
    app.check(&[&photo(1)], &[("seller_id", "s-1"), ("listing_id", "l-1")]);
    let listing =
        json!({ "listing_id": "l-1", "seller_id": "s-1", "ground": "counterfeit", "evidence": "We bought one." });
    let filed: Value = acme.send(&json!({ "brand": "acme", "listings": [listing] })).json().unwrap();
    let strikes = || seller(&app, "s-1")["strikes"].clone();
    robin.act(&format!("/console/notices/{}/act", id(&filed)), &[("act", "request")]);
    assert_eq!(strikes(), 0);
    answered(&app, id(&filed), "l-1", "removed");
    assert_eq!(strikes(), 1);
    assert_eq!(seller(&app, "s-1")["notices"], json!({ "removed": 1 }));
    answered(&app, id(&filed), "l-1", "countered");
    assert_eq!(strikes(), 0);
    answered(&app, id(&filed), "l-1", "removed");
    assert_eq!(strikes(), 1);

    // A brand that names the wrong seller harms nobody.
    app.check(&[&photo(2)], &[("seller_id", "s-2")]);
    let listing =
        json!({ "listing_id": "l-1", "seller_id": "s-2", "ground": "counterfeit", "evidence": "We bought one." });
    let filed: Value = acme.send(&json!({ "brand": "acme", "listings": [listing] })).json().unwrap();
    robin.act(&format!("/console/notices/{}/act", id(&filed)), &[("act", "request")]);
    answered(&app, id(&filed), "l-1", "removed");
    assert_eq!(seller(&app, "s-2")["strikes"], 0);
}

#[test]
fn a_listing_that_was_restored_is_no_strike() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let case = found_later(&app, "s-1", "l-1", 1);
    robin.decide(&case, "fake");
    let notice = newest(&app);
    answered(&app, &notice, "l-1", "removed");
    assert_eq!(seller(&app, "s-1")["strikes"], 1);
    answered(&app, &notice, "l-1", "countered");
    answered(&app, &notice, "l-1", "restored");
    assert_eq!(seller(&app, "s-1")["strikes"], 0);
}

/// The links of a seller: both ids, and the number of photos.
fn links(app: &TestApp, seller: &str, distance: u32) -> Vec<(String, String, u64)> {
    let graph = app.get_json(&format!("/v1/sellers/{seller}/links?distance={distance}"));
    let link = |link: &Value| {
        let seller = |index: usize| link["sellers"][index].as_str().unwrap().to_owned();
        (seller(0), seller(1), link["photos"].as_u64().unwrap())
    };
    graph["links"].as_array().unwrap_or_else(|| panic!("{graph}")).iter().map(link).collect()
}

fn link(one: &str, two: &str, photos: u64) -> (String, String, u64) {
    (one.to_owned(), two.to_owned(), photos)
}

#[test]
fn sellers_are_linked_by_photos_that_both_used() {
    let app = TestApp::start();
    let list = |seller: &str, photo: &[u8]| {
        app.check(&[photo], &[("seller_id", seller)]);
    };
    list("s-1", &photo(1));
    list("s-1", &photo(2));
    list("s-2", &photo(1));
    list("s-2", &photo(2));
    list("s-2", &photo(3));
    list("s-3", &photo(3));
    list("s-4", &photo(4));
    assert_eq!(links(&app, "s-1", 1), [link("s-1", "s-2", 2)]);
    assert_eq!(links(&app, "s-1", 2), [link("s-1", "s-2", 2), link("s-2", "s-3", 1)], "friends of friends");
    assert_eq!(links(&app, "s-4", 2), []);
    let graph = app.get_json("/v1/sellers/s-3/links?distance=2");
    let distances: Vec<_> = graph["sellers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["seller_id"].clone(), one["distance"].clone()))
        .collect();
    assert_eq!(distances, [(json!("s-3"), json!(0)), (json!("s-2"), json!(1)), (json!("s-1"), json!(2))]);
    let newest = &graph["links"][1]["newest"];
    assert_eq!(app.get(&format!("/v1/checks/{}", newest["checks"][0].as_str().unwrap())).status(), 200);
    problem(app.get("/v1/sellers/s-1/links?distance=3"), 422, "distance-invalid");

    // A seller's request to be forgotten reaches the links.
    app.gallery.forget_seller("test", "s-2").unwrap();
    assert_eq!(links(&app, "s-1", 2), []);
}

#[test]
fn a_brands_own_photo_a_blank_one_and_one_that_many_use_link_nobody() {
    let app = TestApp::with("sscd-distilled", |config| config.takedown.strikes.shared_most = 3);
    app.add("acme", "authentic", &real_photo(0));
    let smaller = image::load_from_memory(&real_photo(0)).unwrap().thumbnail(500, 500).to_rgb8();
    let blank = jpeg(&image::RgbImage::from_pixel(300, 300, image::Rgb([250, 250, 250])), 90);
    let shared = [real_photo(0), jpeg(&smaller, 80), blank, photo(5)];
    for seller in ["s-1", "s-2", "s-3"] {
        for photo in &shared {
            app.check(&[photo], &[("seller_id", seller)]);
        }
    }
    let among_three = [link("s-1", "s-2", 1), link("s-1", "s-3", 1), link("s-2", "s-3", 1)];
    assert_eq!(links(&app, "s-1", 1), among_three, "by the last one only");
    app.check(&[&photo(5)], &[("seller_id", "s-4")]);
    assert_eq!(links(&app, "s-1", 1), [], "one seller too many");

    // What a brand adds later as its own links nobody any more.
    for seller in ["s-1", "s-2"] {
        app.check(&[&photo(6)], &[("seller_id", seller)]);
    }
    assert_eq!(links(&app, "s-1", 1), [link("s-1", "s-2", 1)]);
    app.add("acme", "authentic", &photo(6));
    assert_eq!(links(&app, "s-1", 1), []);
}

#[test]
fn a_sellers_page_shows_strikes_links_and_the_proposal_and_exports_the_links() {
    let (app, robin) = with_fakes(|_| {});
    let strange = "=cmd|'x' & <b>/ü";
    for seller in ["s-1", strange] {
        app.check(&[&photo(1)], &[("seller_id", seller)]);
    }
    decided(&app, &robin, "s-1", 0..3);
    let list = robin.page("/console/sellers");
    assert!(list.contains("/console/sellers?seller=s-1") && list.contains("3 strikes"), "{list}");
    let page = robin.page("/console/sellers?seller=s-1");
    assert!(page.contains("Close the account") && page.contains("Dismiss the proposal"));
    assert_eq!(page.matches("<circle").count(), 2);
    assert!(!page.contains("<b>"), "ids are text");
    let address = page.split("href=\"").find(|part| part.contains("%3Dcmd")).unwrap().split('"').next().unwrap();
    assert!(robin.page(address).contains("No strike."));
    let csv = robin.get("/console/sellers/links.csv?seller=s-1").text().unwrap();
    assert!(csv.starts_with("Source,Target,Weight,Photo,Source check,Target check\n'=cmd|"), "{csv}");
    assert_eq!(robin.get("/console/sellers?seller=s-none").status(), 404);
    app.check(&[&photo(2)], &[("seller_id", "..")]);
    assert!(robin.page("/console/sellers?seller=..").contains("Seller .."));

    // What somebody decided since the page was drawn is not taken back unseen.
    let closure = seller(&app, "s-1")["closure"]["id"].as_str().unwrap().to_owned();
    assert_eq!(decide_closure(&app, &robin, "confirm", "three fakes").status(), 303);
    let stale = [("act", "dismiss"), ("reason", "no"), ("seen", "proposed")];
    assert_eq!(robin.post(&format!("/console/closures/{closure}/decide"), &stale).status(), 409);
}

#[test]
fn a_closure_outlives_the_age_of_its_strikes_and_a_dismissal_needs_news() {
    let (app, robin) = with_fakes(|_| {});
    let kim = Moderator::new(&app, "kim");
    let cases = decided(&app, &robin, "s-1", 0..3);
    assert_eq!(decide_closure(&app, &robin, "dismiss", "small things").status(), 303);
    // A decision that another moderator repeats after an appeal is no news, although its strike is new.
    app.request("POST", &format!("/v1/checks/{}/appeals", cases[0])).json(&json!({ "text": "Mine." })).send().unwrap();
    kim.decide(&cases[0], "fake");
    assert_eq!((&seller(&app, "s-1")["strikes"], closure(&app, "s-1")), (&json!(3), json!("dismissed")));
    decided(&app, &robin, "s-1", 3..4);
    assert_eq!(closure(&app, "s-1"), "proposed", "a fourth fake is");
    assert_eq!(decide_closure(&app, &robin, "confirm", "four fakes").status(), 303);

    // After the retention, nobody knows whose the cases were; the closure stands, and is erased in its turn.
    let later = Timestamp::now() + SignedDuration::from_hours(24 * 40);
    let retention = Retention { photos_days: 0, checks_days: 30 };
    app.gallery.sweep(&retention, Timestamp::now() + SignedDuration::from_hours(24 * 30)).unwrap();
    app.check(&[&photo(1)], &[("seller_id", "s-1")]);
    app.gallery.sweep(&retention, later).unwrap();
    assert_eq!(app.get_json("/v1/closures")["closures"], json!([]));
    assert!(app.log().iter().filter(|entry| entry.subject.starts_with("cls_")).all(AuditEntry::is_erased));
}

#[test]
fn links_are_forgotten_with_the_photos() {
    let app = TestApp::start();
    let list = |seller: &str, seed: u64| {
        app.check(&[&photo(seed)], &[("seller_id", seller)]);
    };
    app.clock.set_back(SignedDuration::from_hours(24 * 40));
    list("s-1", 1);
    list("s-2", 1);
    list("s-1", 2);
    list("s-2", 2);
    app.clock.set_back(SignedDuration::ZERO);
    // A photo that is used again is as new as its last use.
    list("s-1", 2);
    list("s-2", 2);
    assert_eq!(links(&app, "s-1", 1), [link("s-1", "s-2", 2)]);
    Memory::of(&app.gallery).retain(30, Timestamp::now()).unwrap();
    assert_eq!(links(&app, "s-1", 1), [link("s-1", "s-2", 1)]);
}
