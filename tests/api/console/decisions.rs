//! What a decision about one photo covers, and what it does not.

use image::RgbImage;
use serde_json::{Value, json};
use touchstone::domain::Role;

use super::{again, case, state};
use crate::support::TestApp;
use crate::support::moderator::Moderator;
use crate::support::pictures::{jpeg, photo, scene, stolen};

/// The same drawing in other colours.
fn recoloured(image: &RgbImage) -> RgbImage {
    let mut other = image.clone();
    other.pixels_mut().for_each(|pixel| pixel.0.swap(0, 2));
    other
}

fn broken() -> Vec<u8> {
    photo(3)[..400].to_vec()
}

#[test]
fn not_a_match_of_a_lookalike_lets_no_fake_through() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let fake = app.add_fake(&photo(1));
    let lookalike = recoloured(&scene(1));
    let asked = app.check(&[&jpeg(&lookalike, 90)], &[("seller_id", "s1")]);
    assert_eq!(asked["photos"][0]["matches"][0]["reference_id"], fake, "{asked}");
    robin.decide(asked["id"].as_str().unwrap(), "no_match");
    let same = app.check(&[&jpeg(&lookalike, 50)], &[("seller_id", "s2")]);
    assert_eq!(same["action"], "allow", "it is not asked again");
    for copy in [photo(1), jpeg(&scene(1), 60), stolen(&photo(1))] {
        assert_eq!(app.check(&[&copy], &[("seller_id", "s1")])["action"], "review");
    }
}

#[test]
fn a_fakes_word_is_not_carried_over_to_what_only_looks_alike() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    app.add_fake(&photo(1));
    let id = case(&app, "s1", &[1]);
    robin.decide(&id, "fake");
    let lookalike = image::load_from_memory(&stolen(&photo(1))).unwrap().into_rgb8();
    let other = app.check(&[&jpeg(&recoloured(&lookalike), 90)], &[("seller_id", "honest")]);
    let seen = state(&app, other["id"].as_str().unwrap());
    assert_eq!((&seen["decision"], &seen["precedent"]), (&Value::Null, &Value::Null), "{seen}");
    let copy = again(1, "s2", &app);
    assert_eq!(state(&app, copy["id"].as_str().unwrap())["precedent"], json!(id), "its own copy follows it");
}

#[test]
fn each_photo_keeps_its_own_word() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let (first, second) = (app.add_fake(&photo(1)), app.add_fake(&photo(2)));
    let id = case(&app, "s1", &[1, 2]);
    assert_eq!(robin.decide_on(&id, "no_match", 1, Some(&second)), 303);
    assert_eq!(robin.decide_on(&id, "fake", 0, Some(&first)), 303);
    assert_eq!(state(&app, &id)["decision"], "fake");
    assert_eq!(again(2, "s2", &app)["action"], "allow", "the second photo is no match");
    let followed = again(1, "s2", &app);
    assert_eq!(state(&app, followed["id"].as_str().unwrap())["precedent"], json!(id), "the first one is the fake's");
    // Undone one by one, newest first.
    robin.act("/console/undo", &[]);
    assert_eq!(state(&app, &id)["status"], "open");
    assert_eq!(again(2, "s2", &app)["action"], "allow", "that word still stands");
    robin.act("/console/undo", &[]);
    assert_eq!(again(2, "s2", &app)["action"], "review");
}

#[test]
fn a_photo_that_matches_nothing_says_nothing_of_the_others() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let fake = app.add_fake(&photo(1));
    let check = app.check(&[&stolen(&photo(1)), &broken()], &[("seller_id", "s1")]);
    assert_eq!(check["photos"][1]["verdict"], "undecidable", "{check}");
    let id = check["id"].as_str().unwrap();
    assert_eq!(robin.decide_on(id, "no_match", 0, Some(&fake)), 303);
    assert_eq!(state(&app, id)["status"], "open", "the other photo is still in question");
    let page = robin.page(&format!("/console/cases/{id}"));
    assert!(page.contains("name=\"photo\" value=\"1\"") && !page.contains("name=\"reference\""), "{page}");
    assert_eq!(robin.decide_on(id, "no_match", 1, None), 422, "there is nothing that it is no match of");
    assert_eq!(robin.decide_on(id, "fake", 1, None), 303);
    assert_eq!(again(1, "s2", &app)["action"], "allow", "the first photo is still no match");
    // A photo without a reference is not a pair.
    app.add_fake(&photo(5));
    let other = case(&app, "s3", &[5, 2]);
    let half = robin.post(&format!("/console/cases/{other}/decide"), &[("decision", "fake"), ("reference", &fake)]);
    assert_eq!(half.status(), 422);
    assert_eq!(robin.decide_on(&other, "fake", 0, Some("ref_none")), 422);
    assert_eq!(robin.decide_on(&other, "fake", 7, None), 404);
}

#[test]
fn an_authorisation_leaves_a_photo_that_is_no_match_alone() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let (first, second) = (app.add_fake(&photo(1)), app.add_fake(&photo(2)));
    let id = case(&app, "shop", &[1, 2]);
    robin.decide_on(&id, "no_match", 0, Some(&first));
    robin.decide_on(&id, "authorised", 1, Some(&second));
    assert_eq!(again(1, "s2", &app)["action"], "allow", "no match, whoever sends it");
    assert_eq!(
        (&again(2, "shop", &app)["action"], &again(2, "s2", &app)["action"]),
        (&json!("allow"), &json!("review"))
    );
}

#[test]
fn the_certificate_counts_the_most_probable_match_that_was_spoken_of_by_its_own_word() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let counts = |brand: &str| {
        let certificate = app.get_json(&format!("/v1/brands/{brand}/certificate"));
        (certificate["outcomes"].as_u64().unwrap(), certificate["steps"][0]["wrong"].as_u64().unwrap())
    };
    app.add("acme", "fake", &photo(1));
    app.add("other", "fake", &photo(2));
    let id = case(&app, "s1", &[1, 2]);
    let matched = |place: usize| {
        let check = app.get_json(&format!("/v1/checks/{id}"));
        check["photos"][place]["matches"][0]["reference_id"].as_str().unwrap().to_owned()
    };
    robin.decide_on(&id, "no_match", 0, Some(&matched(0)));
    robin.decide_on(&id, "fake", 1, Some(&matched(1)));
    assert_eq!((counts("acme"), counts("other")), ((1, 1), (1, 0)), "each brand hears of its own match");
    robin.act("/console/undo", &[]);
    assert_eq!((counts("acme"), counts("other")), ((0, 0), (0, 0)));
}

#[test]
fn a_brands_photo_can_be_misused_without_a_word_about_the_goods() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let authentic = app.add("acme", "authentic", &photo(1))["id"].as_str().unwrap().to_owned();
    let fake = app.add_fake(&photo(2));
    let id = case(&app, "s1", &[1]);
    assert_eq!(robin.decide_on(&id, "photo_misuse", 0, Some(&authentic)), 303);
    let decided = state(&app, &id);
    assert_eq!((&decided["decision"], &decided["status"]), (&json!("photo_misuse"), &json!("decided")));
    let statement = robin.page(&format!("/console/cases/{id}/statement"));
    assert!(
        statement.contains("Nothing is stated about the goods.") && statement.contains("2001/29/EC"),
        "{statement}"
    );
    assert!(!statement.contains("2017/1001"), "{statement}");
    assert!(!robin.page("/console/overview").contains("seller=s1"), "no counterfeit was confirmed");
    assert_eq!(
        state(&app, again(1, "s2", &app)["id"].as_str().unwrap())["status"],
        "open",
        "others are asked for themselves"
    );
    let appeal = app.request("POST", &format!("/v1/checks/{id}/appeals")).json(&json!({ "text": "it is mine" })).send();
    assert_eq!(appeal.unwrap().status(), 200);
    let other = case(&app, "s1", &[2]);
    assert_eq!(robin.decide_on(&other, "photo_misuse", 0, Some(&fake)), 422, "a fake's photo is not the brand's");
}

#[test]
fn where_photos_are_not_kept_a_word_is_about_the_very_same_bytes() {
    let app = TestApp::with("sscd-distilled", |config| config.checks.keep_photos = false);
    let robin = Moderator::new(&app, "robin");
    app.add_fake(&photo(1));
    robin.decide(&case(&app, "s1", &[1]), "no_match");
    assert_eq!(app.check(&[&stolen(&photo(1))], &[("seller_id", "s2")])["action"], "allow");
    assert_eq!(again(1, "s2", &app)["action"], "review");
}

#[test]
fn undo_stops_where_somebody_else_has_gone_on() {
    let app = TestApp::start();
    let (robin, kim) = (Moderator::new(&app, "robin"), Moderator::new(&app, "kim"));
    let (first, other) = (app.add_fake(&photo(1)), app.add_fake(&photo(4)));
    app.add_fake(&photo(2));
    let earlier = case(&app, "s0", &[4]);
    robin.decide_on(&earlier, "fake", 0, Some(&other));
    let id = case(&app, "s1", &[1, 2]);
    assert_eq!(robin.decide_on(&id, "no_match", 0, Some(&first)), 303);
    robin.act(&format!("/console/cases/{id}/release"), &[]);
    assert_eq!(kim.decide_on(&id, "no_match", 0, Some(&first)), 303);
    assert_eq!(robin.post("/console/undo", &[]).status(), 409, "kim has said it since, and works on it");
    assert_eq!(again(1, "s2", &app)["action"], "allow");
    assert_eq!(
        robin.act("/console/undo", &[]),
        format!("/console/cases/{earlier}?told=decision-undone"),
        "it is told once"
    );
    kim.act("/console/undo", &[]);
    assert_eq!(again(1, "s2", &app)["action"], "allow", "what robin has said stands");

    // A reference that somebody holds back is theirs.
    let added = robin.act(
        &format!("/console/cases/{id}/reference"),
        &[("photo", "0"), ("brand", "acme"), ("polarity", "fake"), ("product", "")],
    );
    kim.act(&format!("{added}/quarantine"), &[("why", "shows nothing")]);
    assert_eq!(robin.post("/console/undo", &[]).status(), 409);
    kim.act("/console/undo", &[]);
    assert_eq!(kim.get(&added).status(), 200);
}

#[test]
fn a_listing_that_shows_one_photo_twice_can_be_undone_as_any_other() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    app.add_fake(&photo(1));
    let id = case(&app, "s1", &[1, 1]);
    robin.decide(&id, "authorised");
    assert_eq!(again(1, "s1", &app)["action"], "allow");
    robin.act("/console/undo", &[]);
    assert_eq!(again(1, "s1", &app)["action"], "review");
}

#[test]
fn a_quarantine_can_be_undone_though_the_mark_has_changed_since() {
    let app = TestApp::start();
    let (robin, kim) = (Moderator::new(&app, "robin"), Moderator::new(&app, "kim"));
    let fake = app.add_fake(&photo(1));
    let reference = || app.get_json(&format!("/v1/brands/acme/references/{fake}"));
    let edits = [scene(1), image::imageops::flip_horizontal(&scene(1)), image::imageops::flip_vertical(&scene(1))];
    let checks = edits.map(|edit| app.check_one(&jpeg(&edit, 80))["id"].as_str().unwrap().to_owned());
    robin.act(&format!("/console/references/{fake}/quarantine"), &[("why", "wrong bag")]);
    for id in &checks {
        kim.decide(id, "no_match");
    }
    assert_eq!(reference()["mark"], "overturned");
    robin.act("/console/undo", &[]);
    assert_eq!((&reference()["state"], &reference()["mark"]), (&json!("active"), &json!("overturned")));
}

#[test]
fn a_mark_of_overturned_matches_goes_with_the_decisions_that_made_it() {
    let app = TestApp::start();
    let (robin, kim) = (Moderator::new(&app, "robin"), Moderator::new(&app, "kim"));
    let fake = app.add_fake(&photo(1));
    let mark = || app.get_json(&format!("/v1/brands/acme/references/{fake}"))["mark"].clone();
    let edits = [scene(1), image::imageops::flip_horizontal(&scene(1)), image::imageops::flip_vertical(&scene(1))];
    let mut checks = Vec::new();
    // One at a time, because deciding opens the next case.
    for (who, edit) in [&kim, &robin, &robin].into_iter().zip(edits) {
        checks.push(app.check_one(&jpeg(&edit, 80))["id"].as_str().unwrap().to_owned());
        who.decide(checks.last().unwrap(), "no_match");
    }
    assert_eq!(mark(), "overturned");
    kim.act("/console/undo", &[]);
    assert_eq!(mark(), Value::Null, "two are not enough");
    kim.decide(&checks[0], "fake");
    assert_eq!(mark(), Value::Null);
}

#[test]
fn a_skipped_case_is_not_offered_again_to_who_skipped_it() {
    let app = TestApp::start();
    let (robin, kim) = (Moderator::new(&app, "robin"), Moderator::new(&app, "kim"));
    app.add_fake(&photo(1));
    app.add_fake(&photo(2));
    let mut both = [case(&app, "s1", &[1]), case(&app, "s1", &[2])].map(|id| format!("/console/cases/{id}"));
    let first = robin.act("/console/queue/next", &[]);
    let skipped = first.rsplit_once('/').unwrap().1.to_owned();
    let second = robin.act("/console/queue/next", &[("skipped", &skipped)]);
    let mut seen = [first.clone(), second.clone()];
    both.sort();
    seen.sort();
    assert_eq!(both, seen);
    let last = second.rsplit_once('/').unwrap().1.to_owned();
    assert_eq!(robin.act("/console/queue/next", &[("skipped", &last)]), super::NOTHING_FREE);
    assert!(seen.contains(&kim.act("/console/queue/next", &[])), "others get them");
}

#[test]
fn what_somebody_held_is_free_once_their_account_is_closed() {
    let app = TestApp::start();
    let (robin, kim) = (Moderator::new(&app, "robin"), Moderator::new(&app, "kim"));
    app.add_fake(&photo(1));
    let id = case(&app, "s1", &[1]);
    robin.act("/console/queue/next", &[]);
    assert_eq!(kim.act("/console/queue/next", &[]), super::NOTHING_FREE);
    assert!(crate::cli::touchstone(app.folder(), &["user", "disable", "robin"]).status.success());
    assert_eq!(kim.act("/console/queue/next", &[]), format!("/console/cases/{id}"));
}

#[test]
fn a_form_with_odd_content_is_refused_before_anything_is_done() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let fake = app.add_fake(&photo(1));
    let id = case(&app, "s1", &[1]);
    let long = "x".repeat(5000);
    let case_path = |what: &str| format!("/console/cases/{id}/{what}");
    for (path, fields) in [
        (case_path("decide"), vec![("decision", "fake"), ("note", long.as_str())]),
        (case_path("decide"), vec![("decision", "sure")]),
        (case_path("decide"), vec![("decision", "fake"), ("photo", "first")]),
        (case_path("decide"), vec![("decision", "fake"), ("queue", "status=odd")]),
        (case_path("reference"), vec![("photo", "0"), ("brand", "acme"), ("polarity", "fake"), ("product", &long)]),
        (format!("/console/references/{fake}/quarantine"), vec![("why", "  ")]),
    ] {
        assert_eq!(robin.post(&path, &fields).status(), 422, "{path} {fields:?}");
        assert_eq!(state(&app, &id)["status"], "open");
    }
    // Characters that an address cannot contain are left out or encoded.
    let odd = "seller=nobody\n&x=\r\n&brand=\u{7f}";
    assert!(
        robin.act(&case_path("release"), &[("queue", odd)]).starts_with("/console/queue?brand=%7F&seller=nobody%0A")
    );
    robin.act(&case_path("decide"), &[("decision", "fake"), ("queue", odd)]);
    assert_eq!(state(&app, &id)["status"], "decided");
    robin.act(&format!("/console/references/{fake}/quarantine"), &[("why", "odd"), ("case", "\n")]);
    for (text, status) in [("  ", 422), (long.as_str(), 422), ("it is mine", 303), ("once more", 409)] {
        assert_eq!(robin.post(&case_path("appeal"), &[("text", text)]).status(), status, "{text}");
    }
}

#[test]
fn a_name_waits_however_many_try_it_at_once() {
    let app = TestApp::start();
    app.account("robin", Role::Moderator);
    let tried = std::thread::scope(|scope| {
        let all: Vec<_> = (0..12)
            .map(|_| scope.spawn(|| crate::support::moderator::login(&app, "robin", "wrong").status().as_u16()))
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).filter(|status| *status == 401).count()
    });
    assert_eq!(tried, 5);
}
