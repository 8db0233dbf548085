use std::sync::Arc;

use touchstone::align::StrongestKeypoints;
use touchstone::decoder::Decoder;
use touchstone::domain::{Claim, Details, Polarity, Policy};
use touchstone::embed::ModelManifest;
use touchstone::enrolment::Enrolment;
use touchstone::index::IndexOptions;
use touchstone::library::{Filter, Library};
use touchstone::photo::Limits;

use crate::support::database::{count, open_gallery, tamper};
use crate::support::pictures::photo;
use crate::support::{embedder, real_photo, root, scoring, vocabulary};

#[test]
fn a_rebuild_serves_what_another_process_wrote_just_before_it() {
    let folder = tempfile::TempDir::new().unwrap();
    let embedder = embedder("sscd-distilled");
    let manifest = ModelManifest::load(&root().join("models"), "sscd-distilled").unwrap();
    let open = || Arc::new(open_gallery(folder.path()));
    let library = Library::open(
        open(),
        &folder.path().join("index"),
        &manifest,
        (scoring("sscd-distilled"), vocabulary()),
        &IndexOptions::default(),
    )
    .unwrap();

    // Another connection adds a reference and a policy; this library has not refreshed since.
    let other = open();
    let enrolment = Enrolment {
        gallery: Arc::clone(&other),
        embedder: Arc::clone(&embedder),
        decoder: Arc::new(Decoder::here(&Limits::default())),
        vocabulary: vocabulary(),
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

/// A gallery with two references and its library.
struct Opened {
    folder: tempfile::TempDir,
    enrolment: Enrolment,
}

impl Opened {
    fn new() -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        let enrolment = Enrolment {
            gallery: Arc::new(open_gallery(folder.path())),
            embedder: embedder("sscd-distilled"),
            decoder: Arc::new(Decoder::here(&Limits::default())),
            vocabulary: vocabulary(),
        };
        let claim = Claim { brand: "acme".parse().unwrap(), polarity: Polarity::Fake, details: Details::default() };
        for number in [0, 1] {
            enrolment.enrol(&real_photo(number), &claim, None, None).unwrap();
        }
        Self { folder, enrolment }
    }

    fn library(&self) -> Library {
        Library::open(
            Arc::clone(&self.enrolment.gallery),
            &self.folder.path().join("index"),
            self.enrolment.embedder.manifest(),
            (scoring("sscd-distilled"), vocabulary()),
            &IndexOptions::default(),
        )
        .unwrap()
    }

    /// The key of the reference with the most votes for a photo.
    fn voted(&self, library: &Library, number: usize) -> Option<u64> {
        let photo = touchstone::photo::Photo::decode(&real_photo(number), &Limits::default()).unwrap();
        let embedding = self.enrolment.embedder.submit(&photo).unwrap().wait().unwrap();
        let probes = vocabulary().probes(&mut StrongestKeypoints::of(photo.rgb()));
        library.sharing(&probes, &embedding, 2.0, 10).first().map(|(found, _)| found.key)
    }

    fn keypoint_file(&self) -> std::path::PathBuf {
        self.folder.path().join("index/keypoints.bin")
    }
}

#[test]
fn keypoints_find_references_after_a_restart_whatever_became_of_the_keypoint_file() {
    let opened = Opened::new();
    let library = opened.library();
    let keys = [opened.voted(&library, 0), opened.voted(&library, 1)];
    assert!(keys[0].is_some() && keys[1].is_some() && keys[0] != keys[1], "{keys:?}");
    assert_eq!(opened.voted(&library, 2), None);
    library.rebuild().unwrap();
    let whole = std::fs::read(opened.keypoint_file()).unwrap();
    let found = || {
        let library = opened.library();
        [opened.voted(&library, 0), opened.voted(&library, 1)]
    };
    assert_eq!(found(), keys, "as it was written");
    std::fs::write(opened.keypoint_file(), &whole[..whole.len() / 2]).unwrap();
    assert_eq!(found(), keys, "cut");
    std::fs::remove_file(opened.keypoint_file()).unwrap();
    assert_eq!(found(), keys, "gone");

    // Changes after the file was written count, too.
    std::fs::write(opened.keypoint_file(), &whole).unwrap();
    let acme = "acme".parse().unwrap();
    let first = opened.enrolment.gallery.by_keys(keys[0]).unwrap().remove(&keys[0].unwrap()).unwrap();
    assert!(opened.enrolment.gallery.delete("test", &acme, &first.id).unwrap());
    assert_eq!(found(), [None, keys[1]]);
}

#[test]
fn references_without_words_get_them_from_their_photos_and_are_found_from_the_next_refresh_on() {
    let opened = Opened::new();
    lose_words(opened.folder.path());
    let library = opened.library();
    assert_eq!(opened.voted(&library, 0), None);
    assert!(library.takes_wordless());
    assert_eq!(opened.enrolment.word_missing(&|_| {}).unwrap(), 2);
    library.refresh().unwrap();
    assert!(opened.voted(&library, 0).is_some());
    assert_eq!(opened.enrolment.word_missing(&|_| {}).unwrap(), 0);
}

/// Leaves the gallery as earlier versions left it.
fn lose_words(data: &std::path::Path) {
    assert_eq!(count(data, "SELECT count(*) FROM words"), 2);
    tamper(data, "DELETE FROM words");
}
