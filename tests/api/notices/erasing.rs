use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;

use tempfile::TempDir;
use touchstone::gallery::Retention;

use super::{Brand, answered, found_later, id, log, newest, states};
use crate::support::database::open_gallery;
use crate::support::moderator::Moderator;
use crate::support::{TestApp, files, problem};

#[test]
fn a_seller_who_is_forgotten_is_in_no_notice_and_others_stay() {
    let folder = Arc::new(TempDir::new().unwrap());
    let app = TestApp::over(Arc::clone(&folder), "sscd-distilled", |_| {});
    let robin = Moderator::new(&app, "robin");
    let acme = Brand::new(&app, "acme");
    let case = found_later(&app, "seller-forgetful", "listing-forgetful-1", 1);
    robin.decide(&case, "fake");
    let asked = newest(&app);
    // By the seller's id, by the listing of a check, and of somebody else.
    let listings = json!([
        { "listing_id": "listing-forgetful-2", "seller_id": "seller-forgetful", "ground": "counterfeit", "evidence": "Forgetful Jane sells it." },
        { "listing_id": "listing-other", "seller_id": "seller-other", "ground": "counterfeit", "evidence": "Others sell it." },
        { "listing_id": "listing-forgetful-1", "ground": "counterfeit", "evidence": "Jane again." },
    ]);
    problem(acme.send(&json!({ "brand": "acme", "listings": listings })), 409, "notice-open");
    answered(&app, &asked, "listing-forgetful-1", "removed");
    let filed: Value = acme.send(&json!({ "brand": "acme", "listings": listings })).json().unwrap();
    let notice = id(&filed);
    robin.act(&format!("/console/notices/{notice}/act"), &[("act", "request")]);
    let path = format!("/v1/notices/{notice}/listings/listing-forgetful-2");
    let removed = json!({ "state": "removed", "reason": "Jane agreed." });
    assert_eq!(app.request("PUT", &path).json(&removed).send().unwrap().status(), 200);

    let erased = app.gallery.forget_seller("test", "seller-forgetful").unwrap();
    assert_eq!((erased.notices, erased.entries_kept), (3, 0));
    assert_eq!(states(&app, notice), ["removed", "requested", "withdrawn"], "nobody can answer without an id");
    assert_eq!(states(&app, &asked), ["removed"]);
    let body = app.get_json(&format!("/v1/notices/{notice}"));
    let (first, other) = (&body["listings"][0], &body["listings"][1]);
    for field in ["listing_id", "seller_id", "evidence", "reason"] {
        assert_eq!(first[field], Value::Null, "{field}");
    }
    assert_eq!((&other["listing_id"], &other["seller_id"]), (&json!("listing-other"), &json!("seller-other")));
    problem(super::answer(&app, notice, "%010", &json!({ "state": "restored" })), 404, "not-found");
    let log = log(&app, notice);
    let kept: Vec<_> = log.iter().filter(|entry| !entry.is_erased()).collect();
    assert!(!kept.is_empty() && kept.iter().all(|entry| entry.after.contains("listing-other")));
    assert_eq!(robin.get(&format!("/console/notices/{notice}")).status(), 200);
    assert_eq!(app.gallery.forget_seller("test", "seller-forgetful").unwrap().notices, 0);
    drop((app, robin, acme));
    let gallery = open_gallery(&folder.path().join("data"));
    gallery.copy_database(&folder.path().join("copy.db")).unwrap();
    drop(gallery);
    std::fs::remove_dir_all(folder.path().join("data")).unwrap();
    for text in ["seller-forgetful", "listing-forgetful", "Jane"] {
        let has = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!files(folder.path()).iter().any(|(_, bytes)| has(bytes)), "{text} is still there");
    }
}

#[test]
fn listings_on_which_nobody_has_to_act_are_erased_after_their_time_and_others_are_not() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let filed = Brand::new(&app, "acme").file(&["l1", "l2"]);
    let notice = id(&filed);
    robin.act(&format!("/console/notices/{notice}/act"), &[("act", "request")]);
    answered(&app, notice, "l1", "removed");
    let retention = Retention { photos_days: 0, checks_days: 20 };
    let after = |days: i64| Timestamp::now() + SignedDuration::from_hours(days * 24);
    assert_eq!(app.gallery.sweep(&retention, after(19)).unwrap().notices, 0);
    assert_eq!(app.gallery.sweep(&retention, after(21)).unwrap().notices, 1);
    assert_eq!(app.gallery.sweep(&retention, after(21)).unwrap().notices, 0);
    let listings = app.get_json(&format!("/v1/notices/{notice}"))["listings"].clone();
    assert_eq!((&listings[0]["listing_id"], &listings[0]["state"]), (&Value::Null, &json!("removed")));
    assert_eq!(listings[1]["listing_id"], "l2");
    assert_eq!(app.gallery.verify_audit().unwrap().wrong, None);
}
