//! The console's and the desk's promises to a marketplace.

mod accounts;
mod cases;
mod decisions;
mod events;
mod evidence;
mod lookups;
mod notices;
mod precedents;
mod questions;

use serde_json::Value;

use crate::support::TestApp;
use crate::support::pictures::{jpeg, photo, stolen};

/// The id of a check of a seller's stolen photos that was not allowed.
fn case(app: &TestApp, seller: &str, seeds: &[u64]) -> String {
    let photos: Vec<Vec<u8>> = seeds.iter().map(|seed| stolen(&photo(*seed))).collect();
    let photos: Vec<&[u8]> = photos.iter().map(Vec::as_slice).collect();
    let answer = app.check(&photos, &[("seller_id", seller), ("listing_id", "l1")]);
    assert_ne!(answer["action"], "allow", "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

/// Where a moderator is sent who asks for a case when there is none.
const NOTHING_FREE: &str = "/console/queue?told=nothing-free";

/// The same stolen photo, compressed again.
fn again(seed: u64, seller: &str, app: &TestApp) -> Value {
    let bytes = image::load_from_memory(&stolen(&photo(seed))).unwrap().into_rgb8();
    app.check(&[&jpeg(&bytes, 70)], &[("seller_id", seller)])
}

/// The case as the marketplace sees it.
fn state(app: &TestApp, id: &str) -> Value {
    app.get_json(&format!("/v1/checks/{id}/case"))
}
