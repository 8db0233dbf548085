//! Cases that follow an earlier decision, and what happens to them when that decision no longer applies.

use serde_json::{Value, json};

use super::{again, case, state};
use crate::support::TestApp;
use crate::support::moderator::Moderator;
use crate::support::pictures::{jpeg, photo, scene};

struct Court {
    app: TestApp,
    fake: String,
    robin: Moderator,
    kim: Moderator,
    lee: Moderator,
}

impl Court {
    /// A known fake and three moderators.
    fn open() -> Self {
        let app = TestApp::start();
        let fake = app.add_fake(&photo(1));
        let [robin, kim, lee] = ["robin", "kim", "lee"].map(|name| Moderator::new(&app, name));
        Self { app, fake, robin, kim, lee }
    }

    /// Robin's decision, and another seller's case that follows it.
    fn decided(&self) -> (String, String) {
        let id = case(&self.app, "s1", &[1]);
        self.robin.decide(&id, "fake");
        (id, self.follower("s2"))
    }

    fn follower(&self, seller: &str) -> String {
        let id = again(1, seller, &self.app)["id"].as_str().unwrap().to_owned();
        assert_eq!(self.state(&id, "decided_by"), "precedent");
        id
    }

    fn state(&self, id: &str, field: &str) -> Value {
        state(&self.app, id)[field].clone()
    }

    fn appeal(&self, id: &str) {
        let path = format!("/v1/checks/{id}/appeals");
        let answer = self.app.request("POST", &path).json(&json!({ "text": "it is mine" })).send().unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().unwrap());
    }
}

fn may_decide(who: &Moderator, id: &str) -> bool {
    who.post(&format!("/console/cases/{id}/claim"), &[]).status() == 303
}

#[test]
fn a_persons_word_on_an_appeal_outlives_the_decision_that_was_followed() {
    for word in ["authorised", "fake"] {
        let court = Court::open();
        let (id, follower) = court.decided();
        court.appeal(&follower);
        assert!(!may_decide(&court.robin, &follower), "it follows robin's own word");
        court.kim.decide(&follower, word);
        assert_eq!(court.state(&follower, "precedent"), Value::Null, "it is kim's own word");
        court.robin.act("/console/undo", &[]);
        assert_eq!(court.state(&id, "status"), "open");
        assert_eq!(
            (court.state(&follower, "decision"), court.state(&follower, "decided_by")),
            (json!(word), json!("kim"))
        );
        assert_eq!(
            court.robin.post(&format!("/console/cases/{follower}/decide"), &[("decision", "fake")]).status(),
            409
        );
    }
}

#[test]
fn what_was_decided_as_the_same_case_is_asked_again_once_one_of_them_wins() {
    let court = Court::open();
    let (id, winner) = court.decided();
    let other = court.follower("s3");
    court.appeal(&winner);
    court.kim.decide(&winner, "no_match");
    assert_eq!(court.state(&other, "status"), "open");
    assert_eq!(court.state(&id, "decided_by"), "robin", "a person has decided it, and its seller can appeal");
}

#[test]
fn taking_back_the_second_decision_leaves_the_first_one_and_its_followers() {
    let court = Court::open();
    let (id, follower) = court.decided();
    court.appeal(&id);
    court.kim.decide(&id, "fake");
    court.kim.act("/console/undo", &[]);
    assert_eq!((court.state(&id, "status"), court.state(&id, "decided_by")), (json!("appealed"), json!("robin")));
    assert_eq!(court.state(&follower, "status"), "decided");
}

#[test]
fn whose_word_was_followed_does_not_hear_the_appeal_whoever_confirmed_it_since() {
    let court = Court::open();
    let (id, follower) = court.decided();
    court.appeal(&id);
    court.kim.decide(&id, "fake");
    court.appeal(&follower);
    assert_eq!(court.state(&follower, "first_decided_by"), "robin");
    assert!(!may_decide(&court.robin, &follower));
    assert!(may_decide(&court.lee, &follower));
}

#[test]
fn nothing_follows_a_decision_under_appeal_or_one_that_was_taken_back() {
    let court = Court::open();
    let (id, follower) = court.decided();
    court.appeal(&id);
    let while_appealed = again(1, "s4", &court.app)["id"].as_str().unwrap().to_owned();
    assert_eq!(court.state(&while_appealed, "status"), "open");
    court.kim.decide(&id, "authorised");
    assert_eq!(court.state(&follower, "status"), "open");
    let log = court.kim.page(&format!("/console/cases/{follower}"));
    assert!(log.contains("decide as before") && log.contains("reopen"), "{log}");
}

#[test]
fn a_second_decision_takes_the_place_of_the_first_with_all_that_it_said() {
    let court = Court::open();
    let authentic = court.app.add("acme", "authentic", &photo(7))["id"].as_str().unwrap().to_owned();
    let id = case(&court.app, "s1", &[1, 7]);
    let outcomes = || court.app.get_json("/v1/brands/acme/certificate")["outcomes"].clone();
    court.robin.decide_on(&id, "fake", 0, Some(&court.fake));
    assert_eq!(outcomes(), 1);
    court.appeal(&id);
    court.kim.decide_on(&id, "photo_misuse", 1, Some(&authentic));
    assert_eq!(outcomes(), 0, "of the goods nothing is said any more");
    let statement = court.kim.page(&format!("/console/cases/{id}/statement"));
    assert!(statement.contains("Photo 2 of 2 matches an image that the brand supplied as authentic"), "{statement}");
    assert!(!statement.contains("known fake"), "{statement}");
    assert_eq!(
        court.state(again(1, "s2", &court.app)["id"].as_str().unwrap(), "status"),
        "open",
        "nothing is followed"
    );
    court.kim.act("/console/undo", &[]);
    assert_eq!(outcomes(), 1, "robin's word is back");
}

#[test]
fn what_was_said_of_single_photos_outlives_an_appeal() {
    let court = Court::open();
    let second = court.app.add_fake(&photo(2));
    let id = case(&court.app, "s1", &[1, 2]);
    court.robin.decide_on(&id, "no_match", 0, Some(&court.fake));
    court.robin.decide_on(&id, "fake", 1, Some(&second));
    court.appeal(&id);
    court.kim.decide_on(&id, "authorised", 1, Some(&second));
    assert_eq!(again(1, "s2", &court.app)["action"], "allow");
    let other = again(2, "s2", &court.app);
    assert_eq!(court.state(other["id"].as_str().unwrap(), "status"), "open");
}

#[test]
fn a_conviction_that_was_contradicted_since_is_followed_no_more() {
    let court = Court::open();
    let (_, winner) = court.decided();
    court.appeal(&winner);
    court.kim.decide(&winner, "authorised");
    assert_eq!(again(1, "s2", &court.app)["action"], "allow", "its own seller may");
    assert_eq!(court.state(again(1, "s4", &court.app)["id"].as_str().unwrap(), "status"), "open", "others are asked");
}

#[test]
fn an_appeal_does_not_hang_on_a_decision_that_was_taken_back() {
    let court = Court::open();
    let (_, follower) = court.decided();
    court.appeal(&follower);
    court.robin.act("/console/undo", &[]);
    assert_eq!((court.state(&follower, "status"), court.state(&follower, "decision")), (json!("open"), Value::Null));
    assert_eq!(court.state(&follower, "appeal"), "it is mine", "whoever decides reads it");
}

#[test]
fn a_conflict_is_never_decided_as_before() {
    let court = Court::open();
    let (_, _) = court.decided();
    // Somebody supplies nearly the same image as an authentic one: the known fake is in dispute.
    let disputed = court.app.add("other", "authentic", &jpeg(&scene(1), 60));
    assert!(disputed["id"].is_string(), "{disputed}");
    let check = again(1, "s5", &court.app);
    assert_eq!(check["verdict"], "conflict", "{check}");
    assert_eq!(court.state(check["id"].as_str().unwrap(), "status"), "open");
}
