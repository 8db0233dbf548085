use touchstone::gallery::{Action, Gallery, Policy};
use touchstone::photo::Sha256;

use crate::support::fixture;

/// A gallery of the first schema, opened by this program.
#[expect(clippy::disallowed_types, reason = "lays an old database out")]
fn migrated(folder: &std::path::Path) -> Gallery {
    let old = rusqlite::Connection::open(folder.join("touchstone.db")).unwrap();
    old.execute_batch(&String::from_utf8(fixture("gallery-v1.sql")).unwrap()).unwrap();
    drop(old);
    Gallery::open(folder).unwrap()
}

#[test]
fn a_gallery_of_the_first_version_keeps_sellers_and_actions_and_loses_what_means_something_else_now() {
    let folder = tempfile::TempDir::new().unwrap();
    let gallery = migrated(folder.path());
    assert_eq!(gallery.id(), "gal_1");
    let policy = |brand: &str| gallery.policy(&brand.parse().unwrap()).unwrap();
    let sellers = |id: &str| Policy { authorised_sellers: vec![id.to_owned()], ..Policy::default() };
    let certified = policy("certified");
    assert_eq!((certified.version, certified.policy), (4, sellers("S1")));
    let strict = policy("strict");
    let actions = Policy { authentic_reuse: Action::Allow, lookalike: Action::Review, ..Policy::default() };
    assert_eq!((strict.version, strict.policy), (2, actions));
    // What did not change keeps its version.
    let plain = policy("plain");
    assert_eq!((plain.version, plain.policy), (2, sellers("S2")));
    // Whoever follows the gallery hears of the changes, and of nothing else.
    let mut changed: Vec<String> =
        gallery.policies_since(7).unwrap().into_iter().map(|(brand, _)| brand.to_string()).collect();
    changed.sort();
    assert_eq!((gallery.revision().unwrap(), changed), (8, vec!["certified".to_owned(), "strict".to_owned()]));
}

#[test]
fn nothing_is_kept_of_a_photo_that_no_reference_needs() {
    let folder = tempfile::TempDir::new().unwrap();
    let gallery = Gallery::open(folder.path()).unwrap();
    let photo = Sha256::of(b"gone");
    gallery.keep_features(photo, b"features").unwrap();
    assert_eq!(gallery.features(photo), None);
}
