//! What a marketplace may rely on when its moderators decide.

mod accounts;
mod cases;
mod evidence;
mod lookups;

use serde_json::Value;

use crate::support::TestApp;
use crate::support::pictures::{photo, stolen};

/// A check of somebody's stolen photos that was not allowed; its id.
fn case(app: &TestApp, seller: &str, seeds: &[u64]) -> String {
    let photos: Vec<Vec<u8>> = seeds.iter().map(|seed| stolen(&photo(*seed))).collect();
    let photos: Vec<&[u8]> = photos.iter().map(Vec::as_slice).collect();
    let answer = app.check(&photos, &[("seller_id", seller), ("listing_id", "l1")]);
    assert_ne!(answer["action"], "allow", "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

/// What the marketplace hears of a case.
fn state(app: &TestApp, id: &str) -> Value {
    app.get_json(&format!("/v1/checks/{id}/case"))
}
