//! Files that earlier versions wrote can still be read. Database schemas are tested in `units/gallery.rs`.
//!
//! Each file of `fixtures/formats` was written by the first version of its format and never changes. When a format
//! changes, give its name in `writes_the_formats_of_today` the next number, write the file with
//! `cargo test --release -- --ignored writes_the_formats_of_today`, and add a test that opens it. Data that can be
//! computed again, such as keypoints, need not be readable in an old format.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;
use tempfile::TempDir;
use touchstone::align::LocalFeatures;
use touchstone::domain::{Fared, ImportStatus, Polarity};
use touchstone::embed::{Embedding, RoundedEmbedding};
use touchstone::gallery::{Gallery, Journal, JournalEntry, Vault};
use touchstone::index::{Generation, IndexOptions, LiveIndex, Nodes, Origin, Scope, SnapshotError};
use touchstone::photo::Sha256;
use touchstone::signals::{
    Heading, Identity, Keypoints, Line, Perceptual, Position, RoundedNumbers, Signal, SignalId, read as read_pack,
    write,
};

use crate::cli::{stderr, stdout, touchstone};
use crate::support::database::open_sealed;
use crate::support::moderator::Moderator;
use crate::support::pictures::{photo, scene, stolen};
use crate::support::{TestApp, root};

/// Key of the photos in the backup.
const KEY: &str = "746f75636873746f6e6520666978747572652c206e6f74207365637265742121";

fn place() -> PathBuf {
    root().join("tests/fixtures/formats")
}

fn read(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let file = File::open(place().join(name)).unwrap();
    GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    bytes
}

fn unpack(name: &str, folder: &Path) {
    tar::Archive::new(&*read(name)).unpack(folder).unwrap();
}

fn sealed(folder: &Path) -> Gallery {
    open_sealed(&folder.join("data"), Some(Vault::parse(KEY).unwrap()))
}

/// Writes the key's file, and returns the setting that names it.
fn keys(folder: &Path) -> String {
    let path = folder.join("photo.keys");
    std::fs::write(&path, KEY).unwrap();
    format!("photo_keys={}", path.display())
}

fn ring(step: u16) -> Embedding {
    let angle = f32::from(step) * 0.13;
    Embedding::normalize(vec![angle.cos(), angle.sin(), 0.5, 0.25]).unwrap()
}

fn ring_origin() -> Origin {
    Origin { model: "ring@1".to_owned(), dimension: 4, gallery: "gal_1".to_owned() }
}

/// The member that signed the pack.
fn member() -> Identity {
    Identity::from_secret(&[7; 32]).unwrap()
}

/// A signal that is shared, and one that was withdrawn.
fn lines() -> Vec<Line> {
    let at = "2026-12-01T00:00:00Z".parse().unwrap();
    let rounded = RoundedEmbedding::of(&ring(1));
    let signal = Signal {
        brand: "acme".parse().unwrap(),
        polarity: Polarity::Fake,
        product: Some("bag".to_owned()),
        rights_basis: None,
        vouched_at: at,
        fared: Fared { confirmed: 2, overturned: 1 },
        fingerprint: Some(Perceptual { hash: Sha256([7; 32]), quality: 80 }),
        pdq: Some(Perceptual { hash: Sha256([9; 32]), quality: 90 }),
        embedding: Some(RoundedNumbers {
            model: "ring@1".to_owned(),
            scale: rounded.scale(),
            bytes: rounded.to_bytes(),
        }),
        keypoints: Some(Keypoints { vocabulary: "v1".to_owned(), words: vec![1; 16] }),
    };
    let (first, second) = (SignalId::of("all_1", "ref_1"), SignalId::of("all_1", "ref_2"));
    vec![
        Line::Share { seq: 1, at, id: first, signal: Some(Box::new(signal)) },
        Line::Share { seq: 2, at, id: second.clone(), signal: None },
        Line::Withdraw { seq: 3, at, id: second },
    ]
}

fn pack() -> Vec<u8> {
    let heading = Heading {
        alliance: "all_1".to_owned(),
        created_at: "2026-12-01T00:00:00Z".parse().unwrap(),
        touchstone: "0.1.0".to_owned(),
        after: Position::start(),
        more: false,
        model: "ring@1".to_owned(),
        vocabulary: "v1".to_owned(),
        terms: "For checking listings only.".to_owned(),
    };
    let mut bytes = Vec::new();
    write(&mut bytes, &member(), heading, &lines()).unwrap();
    bytes
}

#[test]
fn a_pack_of_signals_of_format_1_is_read() {
    let file = File::open(place().join("signals-1.pack")).unwrap();
    let read = read_pack(file, member().public_key(), "all_1", (Position::start(), 10)).unwrap();
    assert_eq!(read.lines, lines());
    assert_eq!((read.manifest.shared, read.manifest.withdrawn, read.manifest.last.seq), (2, 1, 3));
}

fn entry() -> JournalEntry {
    JournalEntry {
        source: "fake/bag/1.jpg".to_owned(),
        polarity: Polarity::Fake,
        version: Some("1000-7".to_owned()),
        about: None,
        sha256: Some(Sha256([7; 32])),
        key: Some(1),
        status: ImportStatus::Added,
        code: None,
        detail: None,
        doubts: vec![],
    }
}

#[test]
fn a_backup_of_the_first_format_with_its_sealed_photos_and_its_index_is_restored_and_served() {
    let folder = Arc::new(TempDir::new().unwrap());
    let file = folder.path().join("backup.tar");
    std::fs::write(&file, read("backup-1.tar.gz")).unwrap();
    let set = keys(folder.path());
    let restored = touchstone(folder.path(), &["restore", file.to_str().unwrap(), "--set", &set]);
    assert!(restored.status.success(), "{}", stderr(&restored));
    let verified = touchstone(folder.path(), &["audit", "verify", "--set", &set]);
    assert!(verified.status.success(), "{}", stderr(&verified));
    let index = folder.path().join("index/sscd-distilled");
    let current = std::fs::read_to_string(index.join("CURRENT")).unwrap();
    let header = index.join(current.split(' ').next().unwrap()).join("header.json");
    let header: Value = serde_json::from_slice(&std::fs::read(header).unwrap()).unwrap();
    let origin: Origin = serde_json::from_value(header["origin"].clone()).unwrap();
    let generation = Generation::open(&index, &origin, &IndexOptions::default()).unwrap();
    assert_eq!(generation.nodes().len(), 1);
    drop(generation);
    let gallery = sealed(folder.path());
    let picture = gallery.photo(gallery.by_keys([1]).unwrap()[&1].photo.sha256).unwrap();
    let app = TestApp::over_gallery(folder, gallery);
    assert_eq!(app.verdict(&picture), "known_fake_match");
}

#[test]
fn an_index_of_the_first_format_is_opened_with_its_graph() {
    let folder = TempDir::new().unwrap();
    unpack("index-1.tar.gz", folder.path());
    let generation = Generation::open(folder.path(), &ring_origin(), &IndexOptions::default()).unwrap();
    assert_eq!((generation.number(), generation.revision(), generation.graph().is_some()), (1, 3, true));
    let live = LiveIndex::new(Arc::new(generation));
    let near: Vec<u64> = live.search(&ring(20), 3, Scope::All).iter().map(|near| near.key).collect();
    assert_eq!((near[0], near.len()), (20, 3));
}

#[test]
fn points_of_the_second_format_are_read_and_those_of_another_are_not() {
    let mut bytes = read("points-2.bin.gz");
    let points = LocalFeatures::from_bytes(&bytes).unwrap();
    assert!(points.len() > 20, "{}", points.len());
    assert!(!points.is_current(), "they are made again from the photo");
    bytes[0] = 1;
    assert!(LocalFeatures::from_bytes(&bytes).is_none());
}

#[test]
fn a_journal_of_the_first_or_second_format_knows_what_it_has_read() {
    for name in ["journal-1.db.gz", "journal-2.db.gz"] {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("acme.db"), read(name)).unwrap();
        let journal = Journal::open(folder.path(), &"acme".parse().unwrap()).unwrap().unwrap();
        let known = journal.known_sum("fake/bag/1.jpg", Polarity::Fake).unwrap();
        assert_eq!(known, Some((Sha256([7; 32]), "1000-7".to_owned())), "{name}");
    }
}

#[test]
fn evidence_of_the_first_format_is_verified() {
    let folder = TempDir::new().unwrap();
    let output = touchstone(folder.path(), &["verify-evidence", place().join("evidence-1.zip").to_str().unwrap()]);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
}

/// A file of an earlier version is never written again.
fn keep(name: &str, bytes: &[u8]) {
    match File::create_new(place().join(name)) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        file => file.unwrap().write_all(bytes).unwrap(),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

#[test]
#[ignore = "writes fixtures of formats for which there is none"]
fn writes_the_formats_of_today() {
    std::fs::create_dir_all(place()).unwrap();
    let folder = Arc::new(TempDir::new().unwrap());
    let set = keys(folder.path());
    let fakes = folder.path().join("fake");
    std::fs::create_dir(&fakes).unwrap();
    std::fs::write(fakes.join("1.jpg"), photo(1)).unwrap();
    let fakes = fakes.to_string_lossy().into_owned();
    let indexed = touchstone(folder.path(), &["reindex", "--brand", "acme", "--fake", &fakes, "--set", &set]);
    assert!(indexed.status.success(), "{}", stderr(&indexed));
    let gallery = sealed(folder.path());
    let app = TestApp::over_gallery(Arc::clone(&folder), gallery);
    let check = app.check(&[&stolen(&photo(1))], &[("seller_id", "s1"), ("listing_id", "l1")]);
    let id = check["id"].as_str().unwrap();
    let robin = Moderator::new(&app, "robin");
    robin.decide(id, "fake");
    keep("evidence-1.zip", &robin.post(&format!("/console/cases/{id}/evidence"), &[]).bytes().unwrap());
    drop((app, robin));
    let file = folder.path().join("backup.tar");
    let written = touchstone(folder.path(), &["backup", file.to_str().unwrap(), "--set", &set]);
    assert!(written.status.success(), "{}", stderr(&written));
    keep("backup-1.tar.gz", &gzip(&std::fs::read(&file).unwrap()));
    let index = TempDir::new().unwrap();
    let mut nodes = Nodes::new(4);
    for step in 1..=40 {
        nodes.insert(u64::from(step), &ring(step));
    }
    let options = IndexOptions { exact_below: 10, ..IndexOptions::default() };
    Generation::build(nodes, 3, &options)
        .publish(index.path(), &ring_origin(), 1, || Ok::<(), SnapshotError>(()))
        .unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_dir_all(".", index.path()).unwrap();
    keep("index-1.tar.gz", &gzip(&archive.into_inner().unwrap()));
    keep("points-2.bin.gz", &gzip(&LocalFeatures::of(&scene(1)).to_bytes()));
    keep("signals-1.pack", &pack());
    let journals = TempDir::new().unwrap();
    let journal = Journal::open(journals.path(), &"acme".parse().unwrap()).unwrap().unwrap();
    journal.record(&entry()).unwrap();
    drop(journal);
    keep("journal-2.db.gz", &gzip(&std::fs::read(journals.path().join("acme.db")).unwrap()));
}
