use std::thread;

use serde_json::{Value, json};

use super::{NOTHING_FREE, again, case, state};
use crate::support::moderator::Moderator;
use crate::support::pictures::{jpeg, photo, scene, stolen};
use crate::support::{TestApp, problem};

#[test]
fn every_check_that_is_not_allowed_is_a_case_and_no_other_is() {
    let app = TestApp::start();
    app.add_fake(&photo(1));
    let id = case(&app, "s1", &[1]);
    let waiting = state(&app, &id);
    assert_eq!((&waiting["status"], &waiting["verdict"]), (&json!("open"), &json!("known_fake_match")));
    assert_eq!(
        (&waiting["brand"], &waiting["polarity"], &waiting["decision"]),
        (&json!("acme"), &json!("fake"), &Value::Null)
    );
    let allowed = app.check_one(&photo(2));
    problem(app.get(&format!("/v1/checks/{}/case", allowed["id"].as_str().unwrap())), 404, "not-found");
    let robin = Moderator::new(&app, "robin");
    let queue = robin.page("/console/queue");
    assert!(queue.contains(&id) && queue.contains("known fake match"), "{queue}");
    for (filter, found) in [
        ("brand=acme", true),
        ("brand=other", false),
        ("seller=s1", true),
        ("status=decided", false),
        ("action=block", false),
    ] {
        assert_eq!(robin.page(&format!("/console/queue?{filter}")).contains(&id), found, "{filter}");
    }
}

#[test]
fn the_queue_begins_with_what_is_riskiest() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    app.add_fake(&photo(1));
    app.add_fake(&photo(2));
    let first = case(&app, "honest", &[1]);
    robin.act(&format!("/console/cases/{}/claim", case(&app, "caught", &[2])), &[]);
    let caught = app.get_json(&format!("/v1/checks/{first}/case"));
    assert_eq!(caught["status"], "open");
    let known = again(1, "caught", &app)["id"].as_str().unwrap().to_owned();
    // Another case of that seller was decided as counterfeit.
    let held = robin.page("/console/queue");
    let id = held
        .split("/console/cases/")
        .skip(1)
        .map(|part| part.split('?').next().unwrap())
        .find(|id| *id != first && *id != known);
    robin.decide(id.unwrap(), "fake");
    let queue = robin.page("/console/queue");
    let place = |id: &str| queue.find(&format!("/console/cases/{id}")).unwrap();
    assert!(place(&known) < place(&first), "{queue}");
    let next = robin.act("/console/queue/next", &[]);
    assert_eq!(next, format!("/console/cases/{known}"));
}

#[test]
fn two_moderators_never_decide_the_same_case() {
    let app = TestApp::start();
    app.add_fake(&photo(1));
    let id = case(&app, "s1", &[1]);
    let people: Vec<Moderator> = ["ada", "bea", "cem", "dan"].map(|name| Moderator::new(&app, name)).into();
    let claimed = thread::scope(|scope| {
        let tries: Vec<_> = people
            .iter()
            .map(|one| scope.spawn(|| one.post(&format!("/console/cases/{id}/claim"), &[]).status().as_u16()))
            .collect();
        tries.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(claimed.iter().filter(|status| **status == 303).count(), 1, "{claimed:?}");
    let holder = claimed.iter().position(|status| *status == 303).unwrap();
    let other = &people[(holder + 1) % 4];
    let refused = other.post(&format!("/console/cases/{id}/decide"), &[("decision", "fake")]);
    assert_eq!(refused.status(), 409);
    assert!(refused.text().unwrap().contains("is claimed by"));
    assert!(other.page(&format!("/console/cases/{id}")).contains("has claimed this case"));
    assert_eq!(other.act("/console/queue/next", &[]), NOTHING_FREE);
    people[holder].act(&format!("/console/cases/{id}/release"), &[]);
    other.decide(&id, "fake");
    assert_eq!(
        people[holder].post(&format!("/console/cases/{id}/decide"), &[("decision", "authorised")]).status(),
        409
    );
    assert_eq!(state(&app, &id)["decision"], "fake");
}

#[test]
fn what_is_no_match_is_not_asked_again_and_hides_nothing_else() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let wrong = app.add_fake(&photo(1));
    let id = case(&app, "s1", &[1]);
    robin.decide(&id, "no_match");
    let answer = again(1, "s2", &app);
    assert_eq!((&answer["verdict"], &answer["action"]), (&json!("no_match"), &json!("allow")));
    let settled = &answer["photos"][0]["settled"][0];
    assert_eq!(
        (&settled["reference_id"], &settled["decision"], &settled["check_id"]),
        (&json!(wrong), &json!("no_match"), &json!(id))
    );
    assert_eq!(answer["reasons"].as_array().unwrap().last().unwrap()["code"], "settled-by-person");
    // The same photo with another reference, and another photo with the same one, need their own decisions.
    let rim = image::imageops::crop_imm(&scene(1), 3, 3, 300, 220).to_image();
    app.add("other", "fake", &jpeg(&rim, 92));
    assert_eq!(again(1, "s2", &app)["action"], "review");
    let mirrored = jpeg(&image::imageops::flip_horizontal(&scene(1)), 80);
    let other_photo = app.check_one(&mirrored);
    assert_eq!(other_photo["photos"][0]["settled"], Value::Null, "{other_photo}");
}

#[test]
fn an_authorisation_holds_for_its_seller_alone() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    app.add("acme", "authentic", &photo(1));
    let id = case(&app, "shop", &[1]);
    robin.decide(&id, "authorised");
    assert_eq!(again(1, "shop", &app)["action"], "allow");
    assert_eq!(again(1, "thief", &app)["action"], "review");
}

#[test]
fn the_same_fake_photo_is_decided_as_before_whoever_sends_it() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    app.add_fake(&photo(1));
    let id = case(&app, "s1", &[1]);
    robin.decide(&id, "fake");
    let answer = again(1, "s2", &app);
    assert_eq!(answer["action"], "review", "the policy's answer stays the policy's");
    let followed = state(&app, answer["id"].as_str().unwrap());
    assert_eq!(
        (&followed["decision"], &followed["precedent"], &followed["decided_by"]),
        (&json!("fake"), &json!(id), &json!("precedent"))
    );
    assert_eq!(app.get_json("/v1/brands/acme/certificate")["outcomes"], 1, "it is counted once");
}

#[test]
fn an_authentic_photo_in_a_counterfeits_listing_proves_nothing_of_other_sellers() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    app.add("acme", "authentic", &photo(1));
    robin.decide(&case(&app, "s1", &[1]), "fake");
    let answer = again(1, "s2", &app);
    assert_eq!(state(&app, answer["id"].as_str().unwrap())["status"], "open");
}

#[test]
fn no_match_is_about_one_photo_and_the_case_waits_for_the_others() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    app.add_fake(&photo(1));
    app.add_fake(&photo(2));
    let id = case(&app, "s1", &[1, 2]);
    assert_eq!(robin.decide(&id, "no_match"), format!("/console/cases/{id}"));
    assert_eq!(state(&app, &id)["status"], "open");
    let second = robin.page(&format!("/console/cases/{id}"));
    let field = |name: &str| {
        second.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    let fields = [("decision", "no_match"), ("photo", &field("photo")), ("reference", &field("reference"))];
    assert_eq!(robin.act(&format!("/console/cases/{id}/decide"), &fields), "/console/queue?told=decided-last");
    assert_eq!(state(&app, &id)["decision"], "no_match");
}

#[test]
fn undo_puts_everything_back() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    app.add_fake(&photo(1));
    let id = case(&app, "s1", &[1]);
    robin.decide(&id, "fake");
    assert_eq!(app.get_json("/v1/brands/acme/certificate")["outcomes"], 1);
    assert_eq!(robin.act("/console/undo", &[]), format!("/console/cases/{id}?told=decision-undone"));
    let case = state(&app, &id);
    assert_eq!(
        (&case["status"], &case["decision"], &case["claimed_by"]),
        (&json!("open"), &Value::Null, &json!("robin"))
    );
    assert_eq!(app.get_json("/v1/brands/acme/certificate")["outcomes"], 0);
    assert_eq!(state(&app, again(1, "s2", &app)["id"].as_str().unwrap())["status"], "open");
    assert_eq!(robin.post("/console/undo", &[]).status(), 422, "there is nothing more");
    // An act of another session cannot be undone in this one.
    robin.decide(&id, "authorised");
    assert_eq!(Moderator::sign_in(&app, "robin").post("/console/undo", &[]).status(), 422);
}

#[test]
fn a_reference_whose_matches_are_overturned_blocks_no_more() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let id = app.add_fake(&photo(1));
    let mark = || app.get_json(&format!("/v1/brands/acme/references/{id}"))["mark"].clone();
    // Three different edits of one photo, so that each needs its own decision.
    let edits = [
        scene(1),
        image::imageops::flip_horizontal(&scene(1)),
        image::imageops::crop_imm(&scene(1), 60, 40, 190, 150).to_image(),
    ];
    for (number, edit) in edits.iter().enumerate() {
        assert_eq!(mark(), Value::Null, "after {number}");
        let check = app.check_one(&jpeg(edit, 85));
        assert_eq!(check["action"], "review", "{check}");
        robin.decide(check["id"].as_str().unwrap(), "no_match");
    }
    assert_eq!(mark(), "overturned");
    let page = robin.page(&format!("/console/references/{id}"));
    assert!(page.contains("0 confirmed, 3 overturned"), "{page}");
    robin.act("/console/undo", &[]);
    assert_eq!(mark(), Value::Null);
}

#[test]
fn a_reference_can_be_held_back_and_a_photo_become_one_with_the_same_hygiene() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let fake = app.add_fake(&photo(1));
    let id = case(&app, "s1", &[1]);
    robin.act(&format!("/console/references/{fake}/quarantine"), &[("why", "shows the wrong bag"), ("case", &id)]);
    let held = app.get_json(&format!("/v1/brands/acme/references/{fake}"));
    assert_eq!((&held["state"], &held["quarantine"]["detail"]), (&json!("quarantined"), &json!("shows the wrong bag")));
    assert_eq!(app.verdict(&stolen(&photo(1))), "no_match");
    robin.act("/console/undo", &[]);
    assert_eq!(app.get_json(&format!("/v1/brands/acme/references/{fake}"))["state"], "active");

    // A near-duplicate of a known fake that is added as authentic is stored, but quarantined.
    let id = app.check_one(&jpeg(&scene(1), 60))["id"].as_str().unwrap().to_owned();
    let fields = [("photo", "0"), ("brand", "acme"), ("polarity", "authentic"), ("product", "bag")];
    let added = robin.act(&format!("/console/cases/{id}/reference"), &fields);
    let added = app.get_json(&format!("/v1/brands/acme/references/{}", added.rsplit_once('/').unwrap().1));
    assert_eq!(
        (&added["polarity"], &added["state"], &added["quarantine"]["code"]),
        (&json!("authentic"), &json!("quarantined"), &json!("conflict"))
    );
    robin.act("/console/undo", &[]);
    let gone = app.get(&format!("/v1/brands/acme/references/{}", added["id"].as_str().unwrap()));
    assert_eq!(gone.status(), 404);
}

#[test]
fn an_appeal_is_heard_by_somebody_else_and_what_followed_is_asked_again() {
    let app = TestApp::start();
    let (robin, kim) = (Moderator::new(&app, "robin"), Moderator::new(&app, "kim"));
    app.add_fake(&photo(1));
    let id = case(&app, "s1", &[1]);
    let appeal = |id: &str, text: &str| {
        app.request("POST", &format!("/v1/checks/{id}/appeals")).json(&json!({ "text": text })).send().unwrap()
    };
    problem(appeal(&id, "too early"), 409, "appeal-not-possible");
    robin.decide(&id, "fake");
    let follower = again(1, "s2", &app)["id"].as_str().unwrap().to_owned();
    assert_eq!(state(&app, &follower)["status"], "decided");
    problem(appeal(&id, " "), 422, "text-missing");
    assert_eq!(appeal(&id, "I have the receipt").status(), 200);
    assert_eq!(state(&app, &id)["status"], "appealed");
    assert_eq!(robin.post(&format!("/console/cases/{id}/claim"), &[]).status(), 409);
    assert_eq!(robin.post(&format!("/console/cases/{id}/decide"), &[("decision", "fake")]).status(), 409);
    assert_eq!(robin.act("/console/queue/next", &[]), NOTHING_FREE, "it is not theirs");
    assert_eq!(kim.act("/console/queue/next", &[]), format!("/console/cases/{id}"));
    assert!(kim.page(&format!("/console/cases/{id}")).contains("I have the receipt"));
    kim.decide(&id, "authorised");
    let decided = state(&app, &id);
    assert_eq!(
        (&decided["decision"], &decided["decided_by"], &decided["first_decided_by"]),
        (&json!("authorised"), &json!("kim"), &json!("robin"))
    );
    assert_eq!(state(&app, &follower)["status"], "open", "what followed the first decision is asked again");
    assert_eq!(again(1, "s1", &app)["action"], "allow");
    assert_eq!(state(&app, again(1, "s3", &app)["id"].as_str().unwrap())["status"], "open");
    problem(appeal(&id, "once more"), 409, "appeal-not-possible");
    assert_eq!(robin.post("/console/undo", &[]).status(), 409, "it has gone on since");
}
