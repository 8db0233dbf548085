use std::io::Write;
use std::path::Path;

use image::ImageFormat;
use serde_json::Value;
use tempfile::TempDir;

use super::{Run, run, text};
use crate::cli::{brand, stderr, stdout, touchstone};
use crate::support::fixture;
use crate::support::pictures::{Logo, encode, photo};
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

/// The brand's references: polarity, product, notes and rights basis of each, sorted.
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
    // Fields that the manifest does not name stay.
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
    // The same bytes from another archive.
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
    // Objects that the store reports as unchanged are not read again.
    let (before, _) = (server.bytes_sent(), s3(&["--fake", "s3://brand/fakes"]));
    assert!(server.bytes_sent() - before < photo(1).len(), "only listed");
    let output = s3(&["--manifest", "s3://brand/list.csv"]);
    let event: Value = serde_json::from_str(stdout(&output).lines().last().unwrap()).unwrap();
    assert_eq!((&event["report"]["counts"]["added"], &event["report"]["counts"]["refused"]), (&1.into(), &1.into()));
    let output = s3(&["--fake", "s3://nothing/here"]);
    assert_eq!(output.status.code(), Some(7), "{}", stdout(&output));
}

#[test]
fn an_object_that_the_store_does_not_give_is_not_pruned_and_one_that_is_gone_is() {
    let folder = TempDir::new().unwrap();
    let list = b"url,polarity\ns3://brand/more/9.jpg,fake\n".to_vec();
    let names: Vec<String> = (1..9).map(|seed| format!("brand/fakes/{seed}.jpg")).collect();
    let mut objects: Vec<(&str, Vec<u8>)> = names.iter().map(String::as_str).zip((1..9).map(photo)).collect();
    objects.extend([("brand/more/9.jpg", photo(9)), ("brand/list.csv", list)]);
    let server = ObjectServer::start(objects);
    let s3 = |args: &[&str]| {
        let all = [&["reindex", "--brand", "acme", "--json", "--no-points"], args].concat();
        let output = server.command(folder.path(), &all).output().unwrap();
        let event: Value = serde_json::from_str(stdout(&output).lines().last().unwrap_or_default())
            .unwrap_or_else(|_| panic!("{}", stderr(&output)));
        event["report"]["counts"].clone()
    };
    let both = ["--fake", "s3://brand/fakes", "--fake", "s3://brand/more/9.jpg"];
    assert_eq!(s3(&both)["added"], 9);
    server.answer("brand/fakes/1.jpg", 404);
    for refused in ["brand/fakes/2.jpg", "brand/more/9.jpg"] {
        server.answer(refused, 403);
    }
    let counts = s3(&[&both[..], &["--prune", "--yes"]].concat());
    // The store lists 2.jpg as unchanged; 9.jpg was requested by its name.
    assert_eq!((&counts["removed"], &counts["kept"]), (&1.into(), &1.into()), "{counts}");
    let counts = s3(&["--fake", "s3://brand/fakes", "--manifest", "s3://brand/list.csv", "--prune", "--yes"]);
    assert_eq!((&counts["removed"], &counts["kept"]), (&0.into(), &1.into()), "{counts}");
}

#[test]
fn names_in_one_unicode_form_find_files_in_the_other() {
    let folder = TempDir::new().unwrap();
    let fakes = folder.path().join("fakes");
    std::fs::create_dir_all(fakes.join("Taschen-Größe".replace('ö', "o\u{308}"))).unwrap();
    std::fs::write(fakes.join("Taschen-Gro\u{308}ße/Ko\u{308}ln.jpg"), photo(1)).unwrap();
    std::fs::write(fakes.join("M\u{fc}nchen.jpg"), photo(2)).unwrap();
    // Both are there: each is found by its own bytes.
    std::fs::write(fakes.join("\u{e9}t\u{e9}.jpg"), photo(3)).unwrap();
    std::fs::write(fakes.join("e\u{301}te\u{301}.jpg"), photo(4)).unwrap();
    // One name in two spellings, neither of which the manifest has.
    std::fs::write(fakes.join("Vi\u{1ec7}t.jpg"), photo(5)).unwrap();
    std::fs::write(fakes.join("Vie\u{323}\u{302}t.jpg"), photo(6)).unwrap();
    let rows = [
        "path,polarity",
        "fakes/Taschen-Gr\u{f6}ße/K\u{f6}ln.jpg,fake",
        "fakes/Mu\u{308}nchen.jpg,fake",
        "fakes/\u{e9}t\u{e9}.jpg,fake",
        "fakes/e\u{301}te\u{301}.jpg,fake",
        "fakes/Vi\u{ea}\u{323}t.jpg,fake",
        "fakes/Stra\u{df}e.jpg,fake",
    ];
    let manifest = folder.path().join("list.csv");
    std::fs::write(&manifest, rows.join("\n")).unwrap();
    let first = Run::of(folder.path(), "acme", &["--manifest", text(&manifest)]);
    assert_eq!(first.counts(), [4, 0, 0, 0, 0, 0, 2], "{:?}", first.entries);
    let (code, detail) = first.why("Vi\u{ea}\u{323}t");
    assert!(code == "name-ambiguous" && detail.contains("2 have the same name"), "{code} {detail}");
    assert_eq!(first.why("Stra\u{df}e").0, "file-unreadable");
    let again = Run::of(folder.path(), "acme", &["--manifest", text(&manifest), "--prune", "--yes"]);
    assert_eq!(again.counts(), [0, 0, 0, 4, 0, 0, 2], "{:?}", again.entries);
}

#[test]
fn manifests_may_begin_with_a_byte_order_mark() {
    for (name, rows) in [("brand.csv", CSV.to_owned()), ("brand.jsonl", JSON_LINES.to_owned())] {
        let folder = TempDir::new().unwrap();
        brand(folder.path());
        let manifest = folder.path().join(name);
        std::fs::write(&manifest, format!("\u{feff}{rows}")).unwrap();
        let run = Run::of(folder.path(), "acme", &["--manifest", text(&manifest)]);
        assert_eq!(run.counts(), [3, 0, 0, 0, 0, 0, 1], "{name}: {:?}", run.entries);
        assert_eq!(references(folder.path()).len(), 3);
        let utf16: Vec<u8> = format!("\u{feff}{rows}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        std::fs::write(&manifest, utf16).unwrap();
        let refused = super::run(folder.path(), "acme", &["--manifest", text(&manifest)]);
        assert_eq!(refused.status.code(), Some(7));
        assert!(stderr(&refused).contains("UTF-16; save it as UTF-8"), "{}", stderr(&refused));
    }
    let folder = TempDir::new().unwrap();
    brand(folder.path());
    let manifest = folder.path().join("quoted.csv");
    std::fs::write(&manifest, "\u{feff}\"path\",\"polarity\"\r\n\"fake/bag/1.jpg\",\"fake\"\r\n").unwrap();
    assert_eq!(Run::of(folder.path(), "acme", &["--manifest", text(&manifest)]).count("added"), 1);
}

#[test]
fn a_quoted_csv_text_may_hold_line_breaks_and_lines_are_counted_rightly() {
    let folder = TempDir::new().unwrap();
    brand(folder.path());
    let manifest = folder.path().join("brand.csv");
    for end in ["\n", "\r\n", "\r"] {
        let lines = [
            "path,polarity,notes",
            "fake/bag/1.jpg,fake,\"seen in May,",
            "and \"\"again\"\" in June\"",
            "",
            "fake/watch/2.jpg,fale,\"one",
            "two\"",
            "fake/watch/2.jpg,fake,a,b",
            "authentic/bag/3.jpg,authentic,\"three\"",
            "fake/gone.jpg,fake,",
        ];
        std::fs::write(&manifest, lines.join(end)).unwrap();
        let run = Run::of(folder.path(), "acme", &["--manifest", text(&manifest)]);
        assert_eq!(run.count("refused"), 3, "{:?}", run.entries);
        assert_eq!(run.why("brand.csv:5").0, "manifest-row-invalid", "{:?}", run.entries);
        let (code, detail) = run.why("brand.csv:7");
        assert!(code == "manifest-row-invalid" && detail.contains("4 fields, expected 3"), "{detail}");
        let notes = format!("seen in May,{}and \\\"again\\\" in June", end.escape_default());
        let kept = references(folder.path());
        assert!(kept.iter().any(|one| one.contains(&notes)), "{kept:?}");
    }
    // A missing closing quote is reported where the quote opens, even if a later one seems to close it.
    let rows =
        "path,polarity,notes\nfake/bag/1.jpg,fake,\"a\nb\"\nfake/bag/1.jpg,fake,\"open\nfake/watch/2.jpg,fake,\"b\"\n";
    std::fs::write(&manifest, rows).unwrap();
    let stopped = run(folder.path(), "acme", &["--manifest", text(&manifest)]);
    assert_eq!(stopped.status.code(), Some(7));
    assert!(
        stderr(&stopped).contains("line 4: a quoted text continues past the end of the line"),
        "{}",
        stderr(&stopped)
    );
}

#[test]
fn archives_that_are_not_read_are_named_by_what_they_are() {
    let folder = TempDir::new().unwrap();
    let kinds: [(&str, &[u8], &str); 8] = [
        ("photos.zip", b"PK\x03\x04\x14\0\0\0", "archive type not read: zip;"),
        ("photos.jpg", b"PK\x03\x04\x14\0\0\0", "archive type not read: zip;"),
        ("photos.tar", b"PK\x03\x04\x14\0\0\0", "archive type not read: zip;"),
        ("photos.tar.xz", b"\xfd7zXZ\0\0\x04", "archive type not read: xz;"),
        ("photos.tar.bz2", b"BZh91AY&SY", "archive type not read: bzip2;"),
        ("photos.7z", b"7z\xbc\xaf\x27\x1c\0\x04", "archive type not read: 7z;"),
        ("photos.rar", b"Rar!\x1a\x07\x01\0", "archive type not read: rar;"),
        ("photos.tar.zst", b"\x28\xb5\x2f\xfd\x04\0", "archive type not read: zstd;"),
    ];
    for (name, first, kind) in kinds {
        let path = folder.path().join(name);
        // Larger than a photo may be, but that must not be the reported error.
        let file = std::fs::File::create(&path).unwrap();
        (&file).write_all(first).unwrap();
        file.set_len(64 << 20).unwrap();
        let refused = run(folder.path(), "acme", &["--fake", text(&path)]);
        assert_eq!((refused.status.code(), stderr(&refused).lines().count()), (Some(7), 1), "{}", stderr(&refused));
        let said = stderr(&refused);
        let words = [kind, ".tar, .tar.gz or .tgz, which are read"];
        assert!(words.iter().all(|word| said.contains(word)), "{name}: {said}");
    }
    // The name of a photo does not make an archive.
    std::fs::write(folder.path().join("photo.zip"), photo(1)).unwrap();
    let named = Run::of(folder.path(), "acme", &["--fake", text(&folder.path().join("photo.zip"))]);
    assert_eq!(named.count("added"), 1, "{:?}", named.entries);
    // Beside photos in a folder, too.
    let fakes = folder.path().join("fakes");
    std::fs::create_dir(&fakes).unwrap();
    std::fs::write(fakes.join("more.zip"), kinds[0].1).unwrap();
    std::fs::write(fakes.join("2.jpg"), photo(2)).unwrap();
    let run = Run::of(folder.path(), "acme", &["--fake", text(&fakes)]);
    assert_eq!(run.counts(), [1, 0, 0, 0, 0, 0, 1]);
    assert_eq!(run.why("more.zip").0, "archive-not-read");
}

#[test]
fn rows_with_control_characters_are_refused_and_notes_may_have_lines() {
    let folder = TempDir::new().unwrap();
    brand(folder.path());
    let manifest = folder.path().join("brand.jsonl");
    let rows = [
        r#"{"path": "fake/bag/1.jpg", "polarity": "fake", "product": "bag\u0007"}"#,
        r#"{"path": "fake/watch/2.jpg", "polarity": "fake", "rights_basis": "own\nwork"}"#,
        r#"{"path": "fake/no\u001b[2J.jpg", "polarity": "fake"}"#,
        r#"{"path": "authentic/bag/3.jpg", "polarity": "authentic", "notes": "two\nlines"}"#,
    ];
    std::fs::write(&manifest, rows.join("\n")).unwrap();
    let run = Run::of(folder.path(), "acme", &["--manifest", text(&manifest)]);
    assert_eq!(run.counts(), [1, 0, 0, 0, 0, 0, 3], "{:?}", run.entries);
    assert!(run.why("brand.jsonl:1").1.contains("product contains the control character U+0007 at byte 3"));
    assert!(run.why("brand.jsonl:2").1.contains("rights_basis contains the control character U+000A"));
    assert!(run.why("brand.jsonl:3").1.contains("source contains the control character U+001B"));
}

#[test]
fn a_manifest_says_what_is_a_logo_and_the_report_tells() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let logo = Logo::new().picture();
    std::fs::write(at("found.png"), encode(&logo, ImageFormat::Png)).unwrap();
    std::fs::write(at("said.jpg"), photo(1)).unwrap();
    std::fs::write(at("photo.jpg"), photo(2)).unwrap();
    let manifest = at("brand.csv");
    let rows = |kind: &str| {
        format!("path,polarity,kind\nfound.png,authentic,\nsaid.jpg,authentic,{kind}\nphoto.jpg,authentic,\n")
    };
    std::fs::write(&manifest, rows("logo")).unwrap();
    let run = Run::of(folder.path(), "acme", &["--manifest", text(&manifest)]);
    assert_eq!((run.counts(), run.code), ([3, 0, 0, 0, 0, 0, 0], 0), "{:?}", run.entries);
    assert_eq!((run.why("found.png").0, run.why("said.jpg").0), ("logo".into(), "logo".into()));
    assert_eq!(run.report["logos"], 2);
    std::fs::write(&manifest, rows("photo")).unwrap();
    let run = Run::of(folder.path(), "acme", &["--manifest", text(&manifest)]);
    assert_eq!(run.why("said.jpg").1, "kind was logo, is photo");
    std::fs::write(&manifest, rows("banner")).unwrap();
    let run = Run::of(folder.path(), "acme", &["--manifest", text(&manifest)]);
    assert_eq!(run.why("brand.csv:3").1, "kind is \"banner\", expected photo or logo");
}
