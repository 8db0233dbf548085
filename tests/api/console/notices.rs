use crate::api::notices::{Brand, answered, found_later, id, newest};
use crate::support::TestApp;
use crate::support::database::tamper;
use crate::support::moderator::Moderator;

/// The place of a notice in the list.
fn place(page: &str, notice: &str) -> usize {
    page.find(&format!("/console/notices/{notice}")).unwrap_or_else(|| panic!("{notice} is not in {page}"))
}

#[test]
fn the_list_begins_with_what_waits_and_goes_on_with_what_is_overdue() {
    let app = TestApp::with("sscd-distilled", |config| config.takedown.deadline_hours = 1);
    let robin = Moderator::new(&app, "robin");
    let (acme, globex) = (Brand::new(&app, "acme"), Brand::new(&app, "globex"));
    let waits = id(&acme.file(&["l1"])).to_owned();
    let asked = id(&globex.file(&["l2"])).to_owned();
    robin.act(&format!("/console/notices/{asked}/act"), &[("act", "request")]);
    robin.decide(&found_later(&app, "s1", "l3", 1), "fake");
    let done = newest(&app);
    answered(&app, &done, "l3", "removed");
    let page = robin.page("/console/notices");
    assert!(place(&page, &waits) < place(&page, &done), "{page}");
    assert!(page.contains("1 waiting") && page.contains("1 to 3 of 3"), "{page}");
    assert!(page.contains("<option value=\"globex\">"), "{page}");
    // The newest notice comes first, until an older one is overdue.
    assert!(place(&page, &done) < place(&page, &asked), "{page}");
    overdue(&app, &asked);
    let page = robin.page("/console/notices");
    assert!(place(&page, &waits) < place(&page, &asked) && place(&page, &asked) < place(&page, &done), "{page}");
    assert!(page.contains("1 overdue"), "{page}");
    assert!(robin.page(&format!("/console/notices/{asked}")).contains("overdue"));
    assert_eq!(app.get_json("/v1/notices?brand=globex")["notices"][0]["overdue"], 1);
    for (filter, found) in
        [("brand=globex", [false, true, false]), ("state=removed", [false, false, true]), ("state=", [true; 3])]
    {
        let page = robin.page(&format!("/console/notices?{filter}"));
        for (notice, found) in [&waits, &asked, &done].into_iter().zip(found) {
            assert_eq!(page.contains(notice), found, "{filter}");
        }
    }
    assert_eq!(robin.get("/console/notices?state=gone").status(), 422);
    assert_eq!(robin.get("/console/notices/ntc_none").status(), 404);
}

/// As if the deadline had passed.
fn overdue(app: &TestApp, notice: &str) {
    let sql = format!("UPDATE notice_listing SET deadline_at = 1 WHERE notice = '{notice}'");
    tamper(&app.folder().join("data"), &sql);
}

#[test]
fn a_notices_page_offers_what_may_be_done_and_tells_what_was() {
    let app = TestApp::start();
    let (robin, kim) = (Moderator::new(&app, "robin"), Moderator::new(&app, "kim"));
    let filed = Brand::new(&app, "acme").file(&["l<1>", "l2"]);
    let notice = id(&filed);
    let path = format!("/console/notices/{notice}");
    let act = format!("{path}/act");
    let page = robin.page(&path);
    for part in ["All listings", "Request the takedown", "Reject the notice", "l&lt;1&gt;", "We bought one.", "acme"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("Grant the counter-notice"));
    let told = robin.act(&act, &[("act", "request"), ("listing", "l2")]);
    assert_eq!(told, format!("{path}?told=notice-changed"));
    assert!(robin.page(&told).contains("The notice was changed"));
    answered(&app, notice, "l2", "removed");
    answered(&app, notice, "l2", "countered");
    let page = kim.page(&path);
    for part in ["Grant the counter-notice", "Dismiss the counter-notice", "reason of l2", "<td>counter notice</td>"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let own = robin.page(&path);
    assert!(own.contains("against your own decision") && !own.contains("Dismiss the counter-notice"), "{own}");
    assert_eq!(robin.post(&act, &[("act", "keep"), ("listing", "l2")]).status(), 409, "it is robin's own request");
    kim.act(&act, &[("act", "keep"), ("listing", "l2")]);
    assert_eq!(crate::api::notices::states(&app, notice), ["waiting", "removed"]);
    assert_eq!(kim.post(&act, &[("act", "restore")]).status(), 409, "nothing is countered any more");
    assert_eq!(kim.post(&act, &[("act", "burn")]).status(), 422);
    assert_eq!(kim.post(&act, &[("act", "request"), ("listing", "l9")]).status(), 404);
    let long = "x".repeat(1001);
    assert_eq!(kim.post(&act, &[("act", "reject"), ("reason", &long)]).status(), 422);
    // A request of moderation follows its case.
    kim.decide(&found_later(&app, "s1", "l3", 1), "fake");
    let asked = newest(&app);
    assert!(!kim.page(&format!("/console/notices/{asked}")).contains("Reject the notice"));
    let reject = [("act", "reject"), ("listing", "l3"), ("reason", "no")];
    assert_eq!(kim.post(&format!("/console/notices/{asked}/act"), &reject).status(), 409);
    answered(&app, &asked, "l3", "removed");
    let restore = [("act", "ask-restore"), ("listing", "l3"), ("reason", "no")];
    assert_eq!(kim.post(&format!("/console/notices/{asked}/act"), &restore).status(), 409);
}
