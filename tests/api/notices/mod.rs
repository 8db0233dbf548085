//! Takedown notices, from the brand or from moderation to the restored listing.

mod decisions;
mod erasing;
mod filing;
mod life;

use reqwest::blocking::{Client, Response};
use serde_json::{Value, json};
use touchstone::domain::Scope;
use touchstone::gallery::AuditEntry;

use crate::support::pictures::photo;
use crate::support::{TestApp, client_with, wait_for};

/// A brand that files notices.
pub struct Brand {
    url: String,
    client: Client,
    name: String,
}

impl Brand {
    pub fn new(app: &TestApp, name: &str) -> Self {
        let key = app.new_key(Scope::Brand(name.parse().unwrap())).1;
        Self { url: app.url.clone(), client: client_with(&key), name: name.to_owned() }
    }

    /// Files a notice about these listings, with evidence for each.
    pub fn file(&self, listings: &[&str]) -> Value {
        let answer = self.send(&self.about(listings));
        let status = answer.status();
        let body: Value = answer.json().unwrap();
        assert_eq!(status, 201, "{body}");
        body
    }

    pub fn about(&self, listings: &[&str]) -> Value {
        let about = |id: &&str| json!({ "listing_id": id, "ground": "counterfeit", "evidence": "We bought one." });
        json!({ "brand": self.name, "listings": listings.iter().map(about).collect::<Vec<_>>() })
    }

    pub fn send(&self, body: &Value) -> Response {
        self.client.post(format!("{}/v1/notices", self.url)).json(body).send().unwrap()
    }

    pub fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.url)).send().unwrap()
    }

    pub fn put(&self, path: &str, body: &Value) -> Response {
        self.client.put(format!("{}{path}", self.url)).json(body).send().unwrap()
    }

    pub fn standing(&self) -> Value {
        self.get(&format!("/v1/brands/{}/standing", self.name)).json().unwrap()
    }
}

pub fn id(notice: &Value) -> &str {
    notice["id"].as_str().unwrap()
}

/// The states of a notice's listings, in their order.
pub fn states(app: &TestApp, notice: &str) -> Vec<String> {
    let notice = app.get_json(&format!("/v1/notices/{notice}"));
    notice["listings"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap().to_owned()).collect()
}

/// The marketplace says what became of a listing.
pub fn answer(app: &TestApp, notice: &str, listing: &str, body: &Value) -> Response {
    app.request("PUT", &format!("/v1/notices/{notice}/listings/{listing}")).json(body).send().unwrap()
}

/// As [`answer`], which must succeed.
pub fn answered(app: &TestApp, notice: &str, listing: &str, state: &str) -> Value {
    let body = json!({ "state": state, "reason": format!("reason of {listing}") });
    let answer = answer(app, notice, listing, &body);
    let status = answer.status();
    let body: Value = answer.json().unwrap();
    assert_eq!((status.as_u16(), &body["state"]), (200, &json!(state)), "{body}");
    body
}

/// The audit events about a notice, oldest first.
pub fn log(app: &TestApp, notice: &str) -> Vec<AuditEntry> {
    app.log().into_iter().filter(|entry| entry.subject == notice).collect()
}

pub fn actions(app: &TestApp, notice: &str) -> Vec<String> {
    log(app, notice).into_iter().map(|entry| entry.action).collect()
}

/// The id of the newest notice.
pub fn newest(app: &TestApp) -> String {
    let page = app.get_json("/v1/notices?limit=1000");
    id(page["notices"].as_array().unwrap().last().expect("there is a notice")).to_owned()
}

/// A check that lets a listing through.
pub fn allowed(app: &TestApp, seller: &str, listing: &str, seed: u64) -> String {
    let check = app.check(&[&photo(seed)], &[("seller_id", seller), ("listing_id", listing)]);
    assert_eq!(check["action"], "allow", "{check}");
    check["id"].as_str().unwrap().to_owned()
}

/// A check that let a listing through, whose photo became known as a fake's later.
pub fn found_later(app: &TestApp, seller: &str, listing: &str, seed: u64) -> String {
    let id = allowed(app, seller, listing, seed);
    app.add_fake(&photo(seed));
    wait_for_case(app, &id);
    id
}

pub fn wait_for_case(app: &TestApp, id: &str) {
    wait_for("the case", || app.get(&format!("/v1/checks/{id}/case")).status() == 200);
}
