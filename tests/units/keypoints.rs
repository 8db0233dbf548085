use image::imageops;
use image::{DynamicImage, RgbImage};
use touchstone::align::{LocalFeatures, StrongestKeypoints, VisualWord, Vocabulary};
use touchstone::index::{KeypointIndex, KeypointOrigin, SnapshotError};

use crate::support::{fixture, real_photo, root};

fn vocabulary() -> Vocabulary {
    Vocabulary::load(&root().join("models")).unwrap()
}

fn picture(number: usize) -> RgbImage {
    image::load_from_memory(&real_photo(number)).unwrap().to_rgb8()
}

fn words(picture: &RgbImage) -> Vec<VisualWord> {
    vocabulary().words(&LocalFeatures::of(picture))
}

fn probes(picture: &RgbImage) -> Vec<Vec<VisualWord>> {
    vocabulary().probes(&mut StrongestKeypoints::of(picture))
}

/// Five drawings under the keys 0 to 4.
fn five() -> KeypointIndex {
    let index = KeypointIndex::new(vocabulary().len());
    for number in 0..5 {
        index.insert(number as u64, &words(&picture(number)));
    }
    index
}

fn first(index: &KeypointIndex, picture: &RgbImage) -> Option<(u64, f32, bool)> {
    let votes = index.search(&probes(picture), 3.0, 16, None);
    votes.first().map(|vote| (vote.keys[0], vote.votes, vote.mirrored))
}

fn origin() -> KeypointOrigin {
    KeypointOrigin { gallery: "gal_1".to_owned(), vocabulary: vocabulary().id().to_owned() }
}

/// A third of the width and height, pasted on another drawing, turned by a quarter.
fn pasted(number: usize, on: usize) -> RgbImage {
    let small = DynamicImage::from(picture(number)).thumbnail(300, 300).rotate90().to_rgb8();
    let mut ground = DynamicImage::from(picture(on)).thumbnail(700, 700).to_rgb8();
    imageops::overlay(&mut ground, &small, 40, 50);
    ground
}

#[test]
fn a_picture_is_found_by_its_keypoints_turned_mirrored_and_pasted_on_another() {
    let index = five();
    for number in 0..5 {
        let photo = picture(number);
        let (key, votes, mirrored) = first(&index, &photo).unwrap();
        assert_eq!((key, mirrored), (number as u64, false), "{votes}");
        let (key, votes, mirrored) = first(&index, &imageops::flip_horizontal(&photo)).unwrap();
        assert_eq!((key, mirrored), (number as u64, true), "{votes}");
    }
    let votes = index.search(&probes(&pasted(0, 3)), 3.0, 16, None);
    let keys: Vec<u64> = votes.iter().map(|vote| vote.keys[0]).collect();
    assert!(keys.contains(&0) && keys.contains(&3), "{votes:?}");
}

#[test]
fn a_mirrored_descriptor_has_the_same_words_so_that_a_mirrored_photo_costs_no_second_search() {
    // Keypoints move a little in the mirror image, so most words are the same, but not all.
    let photo = picture(1);
    let (mut straight, mut mirrored) = (words(&photo), words(&imageops::flip_horizontal(&photo)));
    let total = straight.len();
    straight.sort_unstable();
    mirrored.sort_unstable();
    let words: std::collections::HashSet<usize> = straight.iter().map(|word| word.word()).collect();
    let shared = mirrored.iter().filter(|word| words.contains(&word.word())).count();
    assert!(shared * 2 > total, "{shared} of {total}");
}

#[test]
fn a_removed_key_is_found_no_more_and_a_filter_leaves_out_others() {
    let index = five();
    index.remove(2);
    assert!(!index.contains(2));
    let found = index.search(&probes(&picture(2)), 3.0, 16, None);
    assert!(found.iter().all(|vote| !vote.keys.contains(&2)), "{found:?}");
    let found = index.search(&probes(&pasted(0, 3)), 3.0, 16, Some(&|key| key == 0));
    assert_eq!(found.iter().flat_map(|vote| vote.keys.clone()).collect::<Vec<_>>(), [0]);
    // The same drawing is added again under another key.
    index.insert(7, &words(&picture(2)));
    assert_eq!(first(&index, &picture(2)).unwrap().0, 7);
}

#[test]
fn a_thousand_near_copies_do_not_hide_another_picture() {
    let index = five();
    let copy = words(&picture(4));
    for number in 0..1000_u64 {
        // Each lacks another keypoint, so that there are a thousand different pictures.
        let mut words = copy.clone();
        words.remove(number as usize % words.len());
        words.truncate(copy.len() - 1 - (number / copy.len() as u64) as usize);
        index.insert(100 + number, &words);
    }
    let found = index.search(&probes(&pasted(0, 4)), 2.0, 4096, None);
    assert!(found.iter().any(|vote| vote.keys.contains(&0)));
    let found = index.search(&probes(&picture(4)), 2.0, 4096, None);
    assert_eq!(found.iter().flat_map(|vote| &vote.keys).filter(|key| **key >= 100).count(), 1000);
}

#[test]
fn what_is_written_is_read_again_without_what_was_removed() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("keypoints.bin");
    let index = five();
    index.insert(9, &words(&picture(3)));
    index.remove(1);
    index.save(&path, &origin(), 42).unwrap();
    let (read, revision) = KeypointIndex::open(&path, &origin(), vocabulary().len()).unwrap();
    assert_eq!(revision, 42);
    assert_eq!(read.stats().keys, 5);
    assert_eq!(read.stats().pictures, 4);
    for number in [0, 2, 3, 4] {
        let photo = picture(number);
        let of = |index: &KeypointIndex| index.search(&probes(&photo), 3.0, 16, None);
        let (before, after) = (of(&index), of(&read));
        assert_eq!(before, after);
    }
    assert_eq!(read.search(&probes(&picture(3)), 3.0, 16, None)[0].keys, [3, 9]);
}

/// Written by `five().save(...)`. Such files must stay readable.
#[test]
fn a_file_of_the_first_format_is_read() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("keypoints.bin");
    std::fs::write(&path, fixture("keypoints-v1.bin")).unwrap();
    let origin = KeypointOrigin { gallery: "gal_1".to_owned(), vocabulary: "15c7eb52efe7".to_owned() };
    let (index, revision) = KeypointIndex::open(&path, &origin, 131_328).unwrap();
    assert_eq!((revision, index.stats().keys), (1, 5));
    assert_eq!(index.size(), (5, 452));
}

#[test]
#[ignore = "writes the fixture"]
fn write_the_fixture() {
    five().save(&root().join("tests/fixtures/keypoints-v1.bin"), &origin(), 1).unwrap();
}

#[test]
fn a_file_that_is_cut_changed_or_of_another_gallery_is_refused_with_got_and_expected() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("keypoints.bin");
    let open = |origin: &KeypointOrigin| KeypointIndex::open(&path, origin, vocabulary().len()).map(drop);
    assert!(matches!(open(&origin()), Err(SnapshotError::None(_))));
    five().save(&path, &origin(), 1).unwrap();
    let whole = std::fs::read(&path).unwrap();

    let other = KeypointOrigin { gallery: "gal_2".to_owned(), ..origin() };
    let said = open(&other).unwrap_err().to_string();
    assert!(said.contains("gallery gal_1") && said.contains("expected of gallery gal_2"), "{said}");

    for cut in [0, 1, 60, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert!(open(&origin()).is_err(), "cut at {cut}");
    }
    for place in (0..whole.len()).step_by(whole.len() / 40) {
        let mut changed = whole.clone();
        changed[place] ^= 0x11;
        std::fs::write(&path, &changed).unwrap();
        assert!(open(&origin()).is_err(), "changed at {place}");
    }
    std::fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
    assert!(open(&origin()).is_err());
    std::fs::write(&path, &whole).unwrap();
    open(&origin()).unwrap();
}

#[test]
fn a_vocabulary_that_contradicts_itself_is_refused() {
    let text = vocabulary().to_json();
    let read = Vocabulary::parse(text.as_bytes()).unwrap();
    assert_eq!(read.to_json(), text);
    for (from, to, said) in [
        ("\"format\": 1", "\"format\": 2", "format is 2, expected 1"),
        ("\"alignment\": 4", "\"alignment\": 1", "version 1, expected 4"),
        ("\"centres\": \"", "\"centres\": \"AAAA", "expected a multiple of 64"),
    ] {
        assert!(text.contains(from), "{from}");
        let error = Vocabulary::parse(text.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
}
