use std::sync::Arc;

use touchstone::decoder::Decoder;
use touchstone::embed::ModelManifest;
use touchstone::enrolment::Enrolment;
use touchstone::gallery::{Claim, Details, Gallery, Polarity, Policy};
use touchstone::index::IndexOptions;
use touchstone::library::{Filter, Library};
use touchstone::photo::Limits;

use crate::support::pictures::photo;
use crate::support::{embedder, root, scoring};

#[test]
fn a_rebuild_serves_what_another_process_wrote_just_before_it() {
    let folder = tempfile::TempDir::new().unwrap();
    let embedder = embedder("sscd-distilled");
    let manifest = ModelManifest::load(&root().join("models"), "sscd-distilled").unwrap();
    let open = || Arc::new(Gallery::open(folder.path()).unwrap());
    let library = Library::open(
        open(),
        &folder.path().join("index"),
        &manifest,
        scoring("sscd-distilled"),
        &IndexOptions::default(),
    )
    .unwrap();

    // Another connection adds a reference and a policy; this library has not refreshed since.
    let other = open();
    let enrolment = Enrolment {
        gallery: Arc::clone(&other),
        embedder: Arc::clone(&embedder),
        decoder: Arc::new(Decoder::here(&Limits::default())),
    };
    let claim = Claim { brand: "acme".parse().unwrap(), polarity: Polarity::Fake, details: Details::default() };
    enrolment.enrol(&photo(1), &claim, None, None).unwrap();
    let policy = Policy { authorised_sellers: vec!["S1".to_owned()], ..Policy::default() };
    other.set_policy("tests", &claim.brand, &policy, &manifest.id(), None).unwrap();

    library.rebuild().unwrap();
    let decoded = touchstone::photo::Photo::decode(&photo(1), &Limits::default()).unwrap();
    let query = embedder.submit(&decoded).unwrap().wait().unwrap();
    let found = library.search(&query, 1, 0.5, &Filter::default());
    assert_eq!(found.len(), 1, "the catalogue knows what the index finds");
    assert_eq!(library.policy(&claim.brand).policy, policy);
    assert_eq!(
        library.search(&query, 1, 0.5, &Filter { brand: Some(claim.brand.clone()), ..Filter::default() }).len(),
        1
    );
}
