use serde_json::{Value, json};

use super::{Brand, actions, allowed, answered, found_later, id, log, newest, states, wait_for_case};
use crate::support::TestApp;
use crate::support::moderator::Moderator;
use crate::support::pictures::{photo, stolen};

fn count(app: &TestApp) -> usize {
    app.get_json("/v1/notices")["notices"].as_array().unwrap().len()
}

#[test]
fn a_live_listing_that_is_decided_as_fake_is_requested_at_once_and_undo_takes_it_back() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let case = found_later(&app, "s1", "l1", 1);
    assert_eq!(count(&app), 0, "nobody has decided yet");
    robin.decide(&case, "fake");
    let notice = newest(&app);
    let body = app.get_json(&format!("/v1/notices/{notice}"));
    let listing = &body["listings"][0];
    assert_eq!((&body["source"], &body["brand"]), (&json!("moderation"), &json!("acme")));
    assert_eq!(
        [&listing["listing_id"], &listing["seller_id"], &listing["check_id"], &listing["ground"], &listing["state"]],
        [&json!("l1"), &json!("s1"), &json!(case), &json!("counterfeit"), &json!("requested")]
    );
    assert_ne!(listing["deadline_at"], Value::Null);
    let entry = log(&app, &notice).remove(0);
    assert_eq!(
        (entry.actor.as_str(), entry.action.as_str(), entry.before.as_str()),
        ("robin", "request-takedown", "null")
    );
    assert!(robin.page(&format!("/console/cases/{case}")).contains(&notice), "the case names it");

    robin.act("/console/undo", &[]);
    assert_eq!(states(&app, &notice), ["withdrawn"]);
    assert_eq!(actions(&app, &notice), ["request-takedown", "withdraw-notice"]);
    robin.decide(&case, "fake");
    let second = newest(&app);
    assert_ne!(second, notice);
    answered(&app, &second, "l1", "removed");
    robin.act("/console/undo", &[]);
    assert_eq!(states(&app, &second), ["removed"], "the marketplace alone can bring it back");
    assert_eq!(actions(&app, &second).last().unwrap(), "request-restore");
    answered(&app, &second, "l1", "restored");
    robin.decide(&case, "authorised");
    assert_eq!(count(&app), 2, "that restricts nothing");
}

#[test]
fn a_decision_that_falls_on_appeal_ends_the_request_and_one_that_stands_does_not() {
    let app = TestApp::start();
    let (robin, kim) = (Moderator::new(&app, "robin"), Moderator::new(&app, "kim"));
    for (seed, second, state) in [(1, "authorised", "withdrawn"), (2, "fake", "requested")] {
        let case = found_later(&app, &format!("s{seed}"), &format!("l{seed}"), seed);
        robin.decide(&case, "fake");
        let notice = newest(&app);
        let appeal = app.request("POST", &format!("/v1/checks/{case}/appeals")).json(&json!({ "text": "It is mine." }));
        assert_eq!(appeal.send().unwrap().status(), 200);
        assert_eq!(states(&app, &notice), ["requested"], "the decision stands until somebody has heard the appeal");
        kim.decide(&case, second);
        assert_eq!(states(&app, &notice), [state]);
        assert_eq!(newest(&app), notice, "and there is no second one");
    }
}

#[test]
fn a_listing_that_never_went_live_is_not_requested() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    app.add_fake(&photo(1));
    let check = app.check(&[&stolen(&photo(1))], &[("seller_id", "s1"), ("listing_id", "l1")]);
    assert_eq!(check["action"], "review");
    robin.decide(check["id"].as_str().unwrap(), "fake");
    assert_eq!(count(&app), 0);
}

#[test]
fn a_decision_for_several_listings_requests_each_takedown_and_ends_it_with_that_one() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let cases = [("s1", "l1"), ("s2", "l2")].map(|(seller, listing)| allowed(&app, seller, listing, 2));
    app.add_fake(&photo(2));
    for case in &cases {
        wait_for_case(&app, case);
    }
    robin.decide(&cases[0], "fake");
    let page = app.get_json("/v1/notices");
    let notices: Vec<String> = page["notices"].as_array().unwrap().iter().map(|notice| id(notice).to_owned()).collect();
    assert_eq!(notices.len(), 2, "{page}");
    let mut actors: Vec<String> = notices.iter().map(|notice| log(&app, notice)[0].actor.clone()).collect();
    actors.sort();
    assert_eq!(actors, ["precedent", "robin"]);
    robin.act("/console/undo", &[]);
    for notice in &notices {
        assert_eq!(states(&app, notice), ["withdrawn"]);
    }
}

#[test]
fn the_statement_says_whether_it_was_upon_a_notice_and_evidence_names_it() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let own = found_later(&app, "s1", "l1", 1);
    robin.decide(&own, "fake");
    let page = robin.page(&format!("/console/cases/{own}/statement"));
    assert!(page.contains("own initiative, not upon a notice"), "{page}");

    let upon = found_later(&app, "s2", "l2", 2);
    let filed = Brand::new(&app, "acme").file(&["l2"]);
    robin.decide(&upon, "fake");
    let page = robin.page(&format!("/console/cases/{upon}/statement"));
    assert!(page.contains("upon a notice (Article 16)") && page.contains(id(&filed)), "{page}");
    let zip = robin.post(&format!("/console/cases/{upon}/evidence"), &[]).bytes().unwrap();
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(zip.to_vec())).unwrap();
    let notices: Value = serde_json::from_reader(archive.by_name("notices.json").unwrap()).unwrap();
    assert_eq!(notices[0]["notice"]["id"], filed["id"]);
    assert_eq!(touchstone::moderation::verify(&zip).unwrap().case, upon);

    robin.act(&format!("/console/notices/{}/act", id(&filed)), &[("act", "reject"), ("reason", "unclear")]);
    let page = robin.page(&format!("/console/cases/{upon}/statement"));
    assert!(page.contains("own initiative, not upon a notice"), "a rejected notice led to nothing: {page}");
}
