use serde_json::{Value, json};

use super::{cases, signed_in};
use crate::api::notices::{Brand, id};
use crate::support::moderator::Moderator;
use crate::support::pictures::photo;
use crate::support::receiver::Receiver;
use crate::support::{TestApp, wait_for};

/// axe-core 4, of Deque Systems, under the Mozilla Public License 2.0.
const AXE: &str = include_str!("../vendor/axe.min.js");

#[test]
fn no_page_shuts_anybody_out() {
    let app = TestApp::with("sscd-distilled", |config| {
        config.webhooks.enabled = true;
        config.webhooks.private_addresses = true;
        config.webhooks.hosts = vec!["127.0.0.1".to_owned()];
        config.webhooks.max_attempts = 1;
        config.takedown.strikes.closure = 1;
    });
    let Some(browser) = signed_in(&app, "robin") else { return };
    let ids = cases(&app, 1..4);
    let reference = app.add_fake(&photo(9));
    let webhook = json!({ "url": format!("http://{}/events", Receiver::nowhere()) });
    assert_eq!(app.request("POST", "/v1/webhooks").json(&webhook).send().unwrap().status(), 201);
    browser.press('q');
    browser.wait("document.querySelector('[data-key=f]')");
    let decided = browser.value("location.pathname").as_str().unwrap().to_owned();
    browser.press('f');
    browser.wait(&format!("location.pathname !== '{decided}' && document.querySelector('[data-key=f]')"));
    let open = browser.value("location.pathname").as_str().unwrap().to_owned();
    let statement = format!("{decided}/statement");
    for seller in ["s1", "s2", "s3"] {
        app.check(&[&photo(20)], &[("seller_id", seller)]);
    }
    let acme = Brand::new(&app, "acme");
    let filed = acme.file(&["l1", "l2"]);
    let notice = format!("/console/notices/{}", id(&filed));
    Moderator::new(&app, "kim").act(&format!("{notice}/act"), &[("act", "request"), ("listing", "l1")]);
    let paths = [
        "/console/notices",
        &notice,
        "/console/sellers",
        "/console/sellers?seller=s1",
        "/console/queue",
        "/console/queue?status=decided",
        &open,
        &decided,
        &statement,
        "/console/lookup",
        &format!("/console/lookup?reference={reference}"),
        &format!("/console/references/{reference}"),
        "/console/overview",
        "/console/events",
        "/console/alliances",
        "/console/lookbacks",
        "/console/audit",
        "/console/cases/chk_none",
        "/console/login",
    ];
    assert_eq!(ids.len(), 3);
    wait_for("a dead letter", || app.get_json("/v1/webhooks")["webhooks"][0]["dead"] != json!(0));
    let mut serious = Vec::new();
    for (width, dark) in [(1280, false), (1280, true), (390, false), (390, true)] {
        browser.show(width, dark);
        for path in paths {
            browser.goto(&format!("{}{path}", app.url));
            browser.wait("!document.querySelector('.htmx-request') && document.readyState === 'complete'");
            let wider = browser.value("document.documentElement.scrollWidth - document.documentElement.clientWidth");
            assert!(wider.as_i64().unwrap() <= 0, "{path} is {wider} pixels wider than a screen of {width}");
            browser.run_script(AXE);
            let found = browser.call_back(
                "axe.run(document, { resultTypes: ['violations'] }).then((done) => arguments[0](done.violations.map(
                     (one) => ({ id: one.id, impact: one.impact, nodes: one.nodes.map((node) => node.html + ' ' + node.failureSummary) }))))",
            );
            for one in found.as_array().unwrap() {
                let words =
                    format!("{path} at {width}, dark {dark}: {} ({}) {}", one["id"], one["impact"], one["nodes"]);
                if matches!(one["impact"].as_str(), Some("serious" | "critical")) {
                    serious.push(words);
                } else {
                    println!("{words}");
                }
            }
        }
    }
    assert_eq!(serious, Vec::<String>::new());
}

/// Loads a page of sixty results and prints the time until it was painted.
#[test]
fn a_page_of_sixty_results_shows_every_picture() {
    let app = TestApp::start();
    let Some(browser) = signed_in(&app, "robin") else { return };
    let first = app.add_fake(&photo(100));
    (101..161).for_each(|seed| drop(app.add_fake(&photo(seed))));
    browser.show(1280, false);
    for visit in ["first", "second"] {
        browser.goto(&format!("{}/console/lookup?reference={first}", app.url));
        browser.wait("document.querySelectorAll('#results img').length === 60");
        browser.wait(
            "performance.getEntriesByName('first-contentful-paint').length > 0 && document.readyState === 'complete'",
        );
        let times: Value = browser.value(
            "({ first_contentful_paint: performance.getEntriesByName('first-contentful-paint')[0].startTime, load: performance.getEntriesByType('navigation')[0].loadEventStart })",
        );
        println!("sixty results, {visit} visit, milliseconds: {times}");
        browser.run_script("document.querySelectorAll('#results img').forEach((one) => one.loading = 'eager')");
        browser.wait(
            "[...document.querySelectorAll('#results img')].every((one) => one.complete && one.naturalWidth > 0)",
        );
    }
}
