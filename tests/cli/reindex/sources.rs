use std::io::Write;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::{Run, run, text};
use crate::cli::{brand, stderr, stdout, touchstone};
use crate::support::fixture;
use crate::support::pictures::photo;
use crate::support::store::ObjectServer;

const CSV: &str = "path,polarity,product,notes,rights_basis\n\
    authentic/bag/3.jpg,authentic,bag,,own work\n\
    fake/bag/1.jpg,fake,bag,seen in May,evidence\n\
    fake/watch/2.jpg,fake,,,evidence\n\
    fake/notes.txt,fake,,,evidence\n";

const JSON_LINES: &str = r#"{"path": "authentic/bag/3.jpg", "polarity": "authentic", "product": "bag", "rights_basis": "own work"}
{"path": "fake/bag/1.jpg", "polarity": "fake", "product": "bag", "notes": "seen in May", "rights_basis": "evidence"}

{"path": "fake/watch/2.jpg", "polarity": "fake", "product": null, "rights_basis": "evidence"}
{"path": "fake/notes.txt", "polarity": "fake", "rights_basis": "evidence"}
"#;

/// What the brand has now: polarity, product, notes and rights basis of each reference, sorted.
fn references(folder: &Path) -> Vec<String> {
    let app = crate::support::TestApp::over(std::sync::Arc::new(TempDir::new().unwrap()), "sscd-distilled", |config| {
        config.data = folder.join("data");
        config.index_dir = folder.join("index");
    });
    let page = app.get_json("/v1/brands/acme/references");
    let mut all: Vec<String> = page["references"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{} {} {} {}", one["polarity"], one["product"], one["notes"], one["rights_basis"]))
        .collect();
    all.sort();
    all
}

#[test]
fn csv_json_lines_and_parquet_say_the_same() {
    let mut seen: Vec<Vec<String>> = Vec::new();
    for (name, bytes) in [
        ("brand.csv", CSV.as_bytes().to_vec()),
        ("brand.jsonl", JSON_LINES.as_bytes().to_vec()),
        ("brand.parquet", fixture("brand.parquet")),
    ] {
        let folder = TempDir::new().unwrap();
        brand(folder.path());
        let manifest = folder.path().join(name);
        std::fs::write(&manifest, bytes).unwrap();
        let run = Run::of(folder.path(), "acme", &["--manifest", text(&manifest)]);
        assert_eq!((run.counts(), run.code), ([3, 0, 0, 0, 0, 0, 1], 3), "{name}");
        assert_eq!(run.why("notes.txt").0, "photo-type-unknown");
        seen.push(references(folder.path()));
    }
    assert_eq!(
        seen[0],
        [
            r#""authentic" "bag" null "own work""#,
            r#""fake" "bag" "seen in May" "evidence""#,
            r#""fake" null null "evidence""#
        ]
    );
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
}

#[test]
fn what_a_manifest_says_anew_changes_references_and_only_when_published() {
    let folder = TempDir::new().unwrap();
    brand(folder.path());
    let manifest = folder.path().join("brand.csv");
    std::fs::write(&manifest, CSV.replace("fake/notes.txt,fake,,,evidence\n", "")).unwrap();
    Run::of(folder.path(), "acme", &["--manifest", text(&manifest)]);
    std::fs::write(&manifest, "path,polarity,product\nfake/bag/1.jpg,fake,tote\n").unwrap();
    let changed = Run::of(folder.path(), "acme", &["--manifest", text(&manifest)]);
    assert_eq!((changed.counts(), changed.embedded()), ([0, 1, 0, 0, 0, 0, 0], 0));
    assert!(changed.why("1.jpg").1.contains("product was bag, is tote"), "{:?}", changed.why("1.jpg"));
    // What it is silent about stays.
    assert!(references(folder.path()).contains(&r#""fake" "tote" "seen in May" "evidence""#.to_owned()));
    touchstone(folder.path(), &["index", "rollback"]);
    assert!(references(folder.path()).contains(&r#""fake" "bag" "seen in May" "evidence""#.to_owned()));
}

#[test]
fn a_row_that_cannot_be_used_is_told_by_its_number_and_the_rest_comes_in() {
    let folder = TempDir::new().unwrap();
    brand(folder.path());
    let outside = folder.path().join("outside.jpg");
    std::fs::write(&outside, photo(9)).unwrap();
    let below = folder.path().join("below");
    std::fs::create_dir_all(below.join("fake")).unwrap();
    std::fs::write(below.join("fake/1.jpg"), photo(1)).unwrap();
    let rows = [
        "path,url,polarity,notes".to_owned(),
        "fake/1.jpg,,fake,".to_owned(),
        "fake/2.jpg,,genuine,".to_owned(),
        ",,fake,".to_owned(),
        format!("{},,fake,", outside.display()),
        "../outside.jpg,,fake,".to_owned(),
        ",s3://others/photo.jpg,fake,".to_owned(),
        format!("fake/1.jpg,,fake,{}", "x".repeat(5000)),
        "fake/1.jpg,fake".to_owned(),
        "fake/missing.jpg,,fake,".to_owned(),
        "fake/link.jpg,,fake,".to_owned(),
    ];
    std::os::unix::fs::symlink(&outside, below.join("fake/link.jpg")).unwrap();
    let manifest = below.join("brand.csv");
    std::fs::write(&manifest, rows.join("\n")).unwrap();
    let run = Run::of(folder.path(), "acme", &["--manifest", text(&manifest)]);
    assert_eq!((run.count("added"), run.count("refused"), run.code), (1, 9, 3), "{:?}", run.entries);
    let codes = ["csv:3", "csv:4", "csv:8", "csv:9"].map(|row| run.why(row).0);
    assert!(codes.iter().all(|code| code == "manifest-row-invalid"), "{codes:?}");
    assert!(run.why("csv:3").1.contains("expected authentic or fake"));
    let places = ["/outside.jpg", "../outside.jpg", "s3://others/photo.jpg", "link.jpg"].map(|place| run.why(place).0);
    assert!(places.iter().all(|code| code == "place-not-allowed"), "{places:?}");
    assert_eq!(run.why("missing.jpg").0, "file-unreadable");
    let allowed = Run::of(folder.path(), "acme", &["--manifest", text(&manifest), "--allow", text(folder.path())]);
    assert_eq!(allowed.count("added"), 1, "outside.jpg, once");
}

#[test]
fn a_manifest_that_is_misspelt_or_unknown_is_refused_as_a_whole() {
    let folder = TempDir::new().unwrap();
    for (name, text_of, words) in [
        ("a.csv", "path,polarity,prodcut\n", "it has the columns prodcut"),
        ("b.csv", "path,product\n", "no column polarity"),
        ("c.xlsx", "path", "neither .csv, .jsonl nor .parquet"),
        ("d.parquet", "not a table", "d.parquet"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, text_of).unwrap();
        let failed = run(folder.path(), "acme", &["--manifest", text(&path)]);
        assert_eq!(failed.status.code(), Some(7), "{name}");
        assert!(stderr(&failed).contains(words), "{name}: {}", stderr(&failed));
    }
}

#[test]
fn tar_archives_are_read_without_unpacking_them() {
    let folder = TempDir::new().unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    let add = |archive: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        archive.append(&header, bytes).unwrap();
    };
    add(&mut archive, "bag/1.jpg", &photo(1));
    add(&mut archive, "../../climbs.jpg", &photo(2));
    add(&mut archive, "bag/.hidden.jpg", &photo(3));
    add(&mut archive, "notes.txt", b"no photo, and long enough");
    let bytes = archive.into_inner().unwrap();
    let plain = folder.path().join("fakes.tar");
    std::fs::write(&plain, &bytes).unwrap();
    let packed = folder.path().join("fakes.tar.gz");
    let mut gz = flate2::write::GzEncoder::new(std::fs::File::create(&packed).unwrap(), flate2::Compression::fast());
    gz.write_all(&bytes).unwrap();
    gz.finish().unwrap();
    let first = Run::of(folder.path(), "acme", &["--fake", text(&plain)]);
    assert_eq!(first.counts(), [2, 0, 0, 0, 0, 0, 1], "{:?}", first.entries);
    assert!(first.why("fakes.tar!notes.txt").0.starts_with("photo-"));
    // The same bytes out of another archive.
    let second = Run::of(folder.path(), "acme", &["--fake", text(&packed)]);
    assert_eq!((second.counts(), second.embedded()), ([0, 0, 0, 2, 0, 0, 1], 0));
    assert!(!folder.path().join("../climbs.jpg").exists());
    std::fs::write(&plain, &bytes[..700]).unwrap();
    let cut = run(folder.path(), "acme", &["--fake", text(&plain)]);
    assert_eq!(cut.status.code(), Some(7), "{}", stderr(&cut));
}

#[test]
fn object_stores_are_read_as_folders_are() {
    let folder = TempDir::new().unwrap();
    let manifest = b"url,polarity\ns3://brand/more/5.jpg,fake\ns3://elsewhere/6.jpg,fake\n".to_vec();
    let server = ObjectServer::start(vec![
        ("brand/fakes/bag/1.jpg", photo(1)),
        ("brand/fakes/2.jpg", photo(2)),
        ("brand/fakes/.cache/3.jpg", photo(3)),
        ("brand/other/4.jpg", photo(4)),
        ("brand/more/5.jpg", photo(5)),
        ("brand/list.csv", manifest),
    ]);
    let s3 = |args: &[&str]| {
        let mut all = vec!["reindex", "--brand", "acme", "--json"];
        all.extend(args);
        server.command(folder.path(), &all).output().unwrap()
    };
    let output = s3(&["--fake", "s3://brand/fakes"]);
    let event: Value = serde_json::from_str(stdout(&output).lines().last().unwrap()).unwrap();
    assert_eq!(event["report"]["counts"]["added"], 2, "{}", stderr(&output));
    assert_eq!(event["report"]["counts"]["refused"], 0);
    // What the store says is unchanged is not read again.
    let (before, _) = (server.bytes_sent(), s3(&["--fake", "s3://brand/fakes"]));
    assert!(server.bytes_sent() - before < photo(1).len(), "only listed");
    let output = s3(&["--manifest", "s3://brand/list.csv"]);
    let event: Value = serde_json::from_str(stdout(&output).lines().last().unwrap()).unwrap();
    assert_eq!((&event["report"]["counts"]["added"], &event["report"]["counts"]["refused"]), (&1.into(), &1.into()));
    let output = s3(&["--fake", "s3://nothing/here"]);
    assert_eq!(output.status.code(), Some(7), "{}", stdout(&output));
}
