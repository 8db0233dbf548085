//! The console's promises to moderators, tested in Debian's Chromium through its driver. Without them these tests print
//! a message and pass; scripts/test installs them where it can.

mod access;
mod driver;
mod paths;

use driver::Browser;

use crate::support::moderator::Moderator;
use crate::support::pictures::{jpeg, photo, scene};
use crate::support::{PASSWORD, TestApp};

/// A browser with a signed-in moderator, whose account it creates.
fn signed_in(app: &TestApp, name: &str) -> Option<Browser> {
    app.account(name, touchstone::domain::Role::Admin);
    let browser = Browser::start()?;
    sign_in(&browser, app, name);
    Some(browser)
}

fn sign_in(browser: &Browser, app: &TestApp, name: &str) {
    browser.goto(&format!("{}/console/login", app.url));
    browser.type_into("[name=name]", name);
    browser.type_into("[name=password]", PASSWORD);
    browser.click("button.main");
    browser.wait("location.pathname === '/console/queue'");
}

/// Creates this many cases, each with a photo of its own.
fn cases(app: &TestApp, seeds: std::ops::Range<u64>) -> Vec<String> {
    seeds
        .map(|seed| {
            app.add_fake(&photo(seed));
            let check = app.check(&[&jpeg(&scene(seed), 60)], &[("seller_id", "s1"), ("listing_id", "l1")]);
            assert_eq!(check["action"], "review", "{check}");
            check["id"].as_str().unwrap().to_owned()
        })
        .collect()
}
