//! Cases with the same photo and the same reference are one question: one row, one decision.

use serde_json::{Value, json};

use crate::support::moderator::Moderator;
use crate::support::pictures::{jpeg, photo, scene};
use crate::support::{TestApp, real_photo};

fn case(app: &TestApp, id: &str) -> Value {
    app.get_json(&format!("/v1/checks/{id}/case"))
}

/// Sends the same copy of the brand's fake under three sellers.
fn three(app: &TestApp) -> Vec<String> {
    app.add_fake(&photo(1));
    let copy = jpeg(&scene(1), 70);
    let ask = |seller: &str| app.check(&[&copy], &[("seller_id", seller), ("listing_id", seller)]);
    ["s1", "s2", "s3"].map(|seller| ask(seller)["id"].as_str().unwrap().to_owned()).into()
}

/// The cases that the queue lists.
fn listed(robin: &Moderator, filters: &str) -> Vec<String> {
    let page = robin.page(&format!("/console/queue?{filters}"));
    let rows = page.split("data-row href=\"/console/cases/").skip(1);
    rows.map(|row| row.split(['?', '"']).next().unwrap().to_owned()).collect()
}

#[test]
fn one_row_and_one_decision_for_all_listings_with_the_same_photo() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let ids = three(&app);
    let rows = listed(&robin, "");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert!(robin.page("/console/queue").contains("and 2 more, 3 sellers"));
    assert_eq!(listed(&robin, "seller=s2").len(), 1, "one seller's cases are listed by themselves");

    robin.decide(&rows[0], "fake");
    for id in &ids {
        let case = case(&app, id);
        let by = if *id == rows[0] { "robin" } else { "precedent" };
        assert_eq!((&case["decision"], &case["decided_by"]), (&json!("fake"), &json!(by)), "{case}");
    }
    robin.act("/console/undo", &[]);
    for id in &ids {
        assert_eq!(case(&app, id)["status"], "open", "undoing the decision opens all of them again");
    }
    robin.decide(&rows[0], "no_match");
    for id in &ids {
        assert_eq!(case(&app, id)["decision"], "no_match");
    }
    let proof = app.gallery.verify_audit().unwrap();
    assert_eq!(proof.wrong, None);
}

#[test]
fn a_case_can_be_taken_out_of_the_question_and_a_decision_kept_to_one_listing() {
    let app = TestApp::start();
    let (robin, kim) = (Moderator::new(&app, "robin"), Moderator::new(&app, "kim"));
    let ids = three(&app);
    robin.act(&format!("/console/cases/{}/apart", ids[0]), &[]);
    assert_eq!(listed(&robin, "").len(), 2, "the case stands by itself now");

    kim.act(&format!("/console/cases/{}/claim", ids[2]), &[]);
    robin.act(&format!("/console/cases/{}/claim", ids[1]), &[]);
    let page = robin.page(&format!("/console/cases/{}", ids[1]));
    let question = page.split("name=\"question\" value=\"").nth(1).map(|rest| rest.split('"').next().unwrap());
    let question = question.unwrap_or_else(|| panic!("the page names the question: {page}"));
    let only_this = [("decision", "fake"), ("question", question), ("others", "1")];
    robin.act(&format!("/console/cases/{}/decide", ids[1]), &only_this);
    assert_eq!(case(&app, &ids[2])["status"], "open", "the box was not ticked");
    robin.act("/console/undo", &[]);
    let all = [("decision", "fake"), ("question", question), ("others", "1"), ("together", "1")];
    robin.act(&format!("/console/cases/{}/decide", ids[1]), &all);
    assert_eq!(case(&app, &ids[2])["status"], "open", "kim has claimed it");
    assert_eq!(case(&app, &ids[0])["status"], "open", "it was taken out");
}

#[test]
fn what_depends_on_the_seller_decides_no_other_sellers_case() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let ids = three(&app);
    robin.decide(&ids[0], "authorised");
    assert!(ids[1..].iter().all(|id| case(&app, id)["status"] == "open"));
}

#[test]
fn no_match_decides_no_case_that_asks_more() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    app.add_fake(&photo(1));
    app.add_fake(&real_photo(0));
    let (copy, other) = (jpeg(&scene(1), 70), real_photo(0));
    let plain = app.check(&[&copy], &[("seller_id", "s1")])["id"].as_str().unwrap().to_owned();
    let more = app.check(&[&copy, &other], &[("seller_id", "s2")])["id"].as_str().unwrap().to_owned();
    robin.decide(&plain, "no_match");
    assert_eq!(case(&app, &plain)["decision"], "no_match");
    assert_eq!(case(&app, &more)["status"], "open", "its other photo is undecided");
}
