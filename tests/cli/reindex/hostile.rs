//! What sources, disks and readers of the output must not be able to do to a run.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::{Run, photos, run, text};
use crate::cli::{brand, stderr, stdout, take_in, touchstone};
use crate::support::pictures::photo;

fn tar(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    archive.into_inner().unwrap()
}

/// Runs with a manifest of this name and text beside the brand's photos; returns the exit code and stderr.
fn manifest(name: &str, rows: &str) -> (i32, String) {
    let folder = TempDir::new().unwrap();
    brand(folder.path());
    let path = folder.path().join(name);
    std::fs::write(&path, rows).unwrap();
    let output = run(folder.path(), "acme", &["--manifest", text(&path)]);
    (output.status.code().unwrap(), stderr(&output))
}

#[test]
fn a_name_that_an_archive_holds_twice_stands_for_two_images_on_every_run() {
    let folder = TempDir::new().unwrap();
    let archive = folder.path().join("fakes.tar");
    std::fs::write(&archive, tar(&[("a.jpg", photo(1)), ("a.jpg", photo(2)), ("a.jpg", photo(3))])).unwrap();
    let args = ["--fake", text(&archive), "--prune", "--yes", "--max-removed", "100"];
    assert_eq!(Run::of(folder.path(), "acme", &args).counts(), [3, 0, 0, 0, 0, 0, 0]);
    assert_eq!(Run::of(folder.path(), "acme", &args).counts(), [0, 0, 0, 3, 0, 0, 0]);
}

#[test]
fn names_that_mean_something_to_a_url_are_files_like_others() {
    let folder = TempDir::new().unwrap();
    let fakes = folder.path().join("fake");
    std::fs::create_dir(&fakes).unwrap();
    for (seed, name) in ["a%20b.jpg", "a b.jpg", "a%2Fb.jpg", "a#b?.jpg", "größe.jpg"].iter().enumerate() {
        std::fs::write(fakes.join(name), photo(seed as u64)).unwrap();
    }
    let args = ["--fake", text(&fakes), "--prune", "--yes"];
    assert_eq!(Run::of(folder.path(), "acme", &args).counts(), [5, 0, 0, 0, 0, 0, 0]);
    assert_eq!(Run::of(folder.path(), "acme", &args).counts(), [0, 0, 0, 5, 0, 0, 0]);
}

#[test]
fn an_entry_that_cannot_be_named_or_read_is_refused_and_the_others_are_not() {
    let folder = TempDir::new().unwrap();
    let fakes = folder.path().join("fake");
    photos(&fakes, 1..3);
    std::fs::write(fakes.join(std::ffi::OsStr::from_bytes(b"\xff.jpg")), photo(3)).unwrap();
    std::fs::write(fakes.join("line\nbreak.jpg"), photo(4)).unwrap();
    std::os::unix::fs::symlink(&fakes, fakes.join("loop")).unwrap();
    std::os::unix::fs::symlink("nowhere", fakes.join("gone.jpg")).unwrap();
    assert!(Command::new("mkfifo").arg(fakes.join("pipe.jpg")).status().unwrap().success());
    let run = Run::of(folder.path(), "acme", &["--fake", text(&fakes)]);
    assert_eq!((run.counts(), run.code), ([2, 0, 0, 0, 0, 0, 5], 3));
    assert_eq!(run.why("\u{fffd}.jpg").0, "name-unusable");
    assert_eq!(run.why("break.jpg").0, "name-unusable");
    assert_eq!(run.why("loop").0, "file-unreadable");
    assert_eq!(run.why("gone.jpg").0, "file-unreadable");
    assert_eq!(run.why("pipe.jpg").0, "not-a-file");
}

#[test]
fn what_a_file_is_called_cannot_write_a_line_of_its_own() {
    let folder = TempDir::new().unwrap();
    let archive = folder.path().join("fakes.tar");
    std::fs::write(&archive, tar(&[("x\nadded forged.jpg\u{1b}[2J", b"no photo at all".to_vec())])).unwrap();
    let output = touchstone(folder.path(), &["reindex", "--brand", "acme", "--fake", text(&archive)]);
    let said = stdout(&output);
    assert!(said.contains(r"fakes.tar!x\u{a}added forged.jpg\u{1b}[2J"), "{said}");
    assert!(!said.contains('\u{1b}') && !said.lines().any(|line| line.starts_with("added forged")), "{said}");
}

#[test]
fn a_member_with_an_endless_name_takes_no_memory() {
    let folder = TempDir::new().unwrap();
    let archive = folder.path().join("fakes.tar.gz");
    let mut packed = GzEncoder::new(std::fs::File::create(&archive).unwrap(), Compression::fast());
    let mut header = tar::Header::new_gnu();
    header.set_path("././@LongLink").unwrap();
    header.set_size(1 << 33);
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_cksum();
    packed.write_all(header.as_bytes()).unwrap();
    for _ in 0..64 {
        packed.write_all(&vec![b'a'; 1 << 20]).unwrap();
    }
    packed.finish().unwrap();
    let output = run(folder.path(), "acme", &["--fake", text(&archive)]);
    assert_eq!(output.status.code(), Some(7));
    assert!(stderr(&output).contains("the header of a member is longer than"), "{}", stderr(&output));
}

#[test]
fn what_is_no_archive_is_told_so() {
    let folder = TempDir::new().unwrap();
    let archive = folder.path().join("fakes.tar");
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&tar(&[("a.jpg", photo(1))])).unwrap();
    std::fs::write(&archive, packed.finish().unwrap()).unwrap();
    let output = run(folder.path(), "acme", &["--fake", text(&archive)]);
    assert_eq!((output.status.code(), stderr(&output).lines().count()), (Some(7), 1), "{}", stderr(&output));
    assert!(stderr(&output).contains("must be named .tar.gz"), "{}", stderr(&output));
}

#[test]
fn rows_are_never_swallowed() {
    let quote = manifest("a.csv", "path,polarity,notes\nfake/bag/1.jpg,fake,\"open\nfake/watch/2.jpg,fake,b\n");
    assert!(quote.0 == 7 && quote.1.contains("line 2: a quoted text continues past the end of the line"), "{quote:?}");
    let column = manifest("a.csv", "path,polarity,path\nfake/bag/1.jpg,fake,fake/watch/2.jpg\n");
    assert!(column.0 == 7 && column.1.contains("it has the column path twice"), "{column:?}");
}

#[test]
fn a_row_that_says_a_thing_twice_is_refused() {
    let folder = TempDir::new().unwrap();
    brand(folder.path());
    let path = folder.path().join("a.jsonl");
    let rows = r#"{"path": "fake/bag/1.jpg", "polarity": "fake", "product": "bag"}
{"path": "fake/watch/2.jpg", "path": "authentic/bag/3.jpg", "polarity": "fake"}
{"path": 7, "polarity": "fake"}
{"path": "fake/bag/1.jpg", "polarity": "fake", "product": "tote"}
"#;
    std::fs::write(&path, rows).unwrap();
    for counts in [[1, 0, 0, 0, 0, 0, 3], [0, 0, 0, 1, 0, 0, 3]] {
        let run = Run::of(folder.path(), "acme", &["--manifest", text(&path)]);
        assert_eq!((run.counts(), run.code), (counts, 3));
        assert_eq!(run.why("a.jsonl:2").1, "path occurs twice");
        assert_eq!(run.why("a.jsonl:3").1, "path is 7, expected a text");
        assert_eq!(run.why("a.jsonl:4").0, "manifest-row-repeated");
    }
}

#[test]
fn a_local_path_and_its_file_url_are_the_same_place() {
    let folder = TempDir::new().unwrap();
    brand(folder.path());
    let lists = folder.path().join("lists");
    std::fs::create_dir(&lists).unwrap();
    let path = lists.join("a.csv");
    let url = format!("file://{}", folder.path().join("fake").display());
    std::fs::write(&path, format!("path,polarity\n../fake/bag/1.jpg,fake\n{url}/watch/2.jpg,fake\n")).unwrap();
    let run = Run::of(folder.path(), "acme", &["--manifest", text(&path), "--allow", &url]);
    assert_eq!(run.counts(), [2, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_anything_is_done() {
    let folder = TempDir::new().unwrap();
    brand(folder.path());
    let file = folder.path().join("fake/notes.txt");
    let fakes = folder.path().join("fake");
    let output = run(folder.path(), "acme", &["--fake", text(&fakes), "--report", text(&file.join("below"))]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("name another folder with --report"), "{}", stderr(&output));
    assert_eq!(Run::of(folder.path(), "acme", &["--fake", text(&fakes)]).count("added"), 2);
}

#[test]
fn a_full_or_closed_output_stops_no_run() {
    for (end, code) in [("/dev/full", 1), ("closed", 3)] {
        let folder = TempDir::new().unwrap();
        brand(folder.path());
        let fakes = folder.path().join("fake");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let out = if end == "closed" {
            Stdio::from(writer)
        } else {
            Stdio::from(std::fs::OpenOptions::new().write(true).open(end).unwrap())
        };
        let output = crate::cli::command(folder.path(), &["reindex", "--brand", "acme", "--fake", text(&fakes)])
            .stdout(out)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        let again = Run::of(folder.path(), "acme", &["--fake", text(&fakes)]);
        assert_eq!((again.count("added"), again.count("unchanged")), (0, 2));
    }
}

#[test]
fn a_source_that_is_empty_prunes_nothing_and_says_so() {
    let folder = TempDir::new().unwrap();
    brand(folder.path());
    take_in(folder.path(), true);
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let args = ["reindex", "--brand", "acme", "--fake", text(&empty), "--prune", "--yes"];
    let output = touchstone(folder.path(), &args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("nothing was pruned of the fake references"), "{}", stdout(&output));
}

fn only_folder(folder: &Path) -> std::path::PathBuf {
    std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn a_rollback_that_cannot_move_the_index_undoes_nothing() {
    let folder = TempDir::new().unwrap();
    brand(folder.path());
    take_in(folder.path(), true);
    let model = only_folder(&folder.path().join("index"));
    let aside = folder.path().join("aside");
    std::fs::rename(&model, &aside).unwrap();
    std::fs::write(&model, "in the way").unwrap();
    let refused = touchstone(folder.path(), &["index", "rollback"]);
    assert_eq!(refused.status.code(), Some(6), "{}", stderr(&refused));
    std::fs::remove_file(&model).unwrap();
    std::fs::rename(&aside, &model).unwrap();
    let undone = stdout(&touchstone(folder.path(), &["index", "rollback"]));
    assert!(undone.starts_with("undone: 1 "), "{undone}");
}

#[test]
fn verify_does_not_pass_over_a_missing_or_damaged_generation() {
    let folder = TempDir::new().unwrap();
    brand(folder.path());
    take_in(folder.path(), true);
    let verify = || {
        let output = touchstone(folder.path(), &["index", "verify"]);
        (output.status.code(), stderr(&output))
    };
    assert_eq!(verify().0, Some(0));
    let model = only_folder(&folder.path().join("index"));
    let current = std::fs::read(model.join("CURRENT")).unwrap();
    for damage in ["", "nonsense"] {
        std::fs::write(model.join("CURRENT"), damage).unwrap();
        let (code, said) = verify();
        assert!(code == Some(6) && said.contains("no generation serves"), "{code:?} {said}");
    }
    std::fs::write(model.join("CURRENT"), &current).unwrap();
    let name = String::from_utf8(current).unwrap();
    std::fs::write(model.join(name.split(' ').next().unwrap()).join("header.json"), "{").unwrap();
    let (code, said) = verify();
    assert!(code == Some(6) && said.contains("1 of 1 generations are invalid"), "{code:?} {said}");
    std::fs::remove_dir_all(folder.path().join("index")).unwrap();
    let (code, said) = verify();
    assert!(code == Some(6) && said.contains("no generation serves"), "{code:?} {said}");
}

/// The crate that reads Parquet panics on this one.
#[test]
fn a_damaged_parquet_file_is_told_and_nothing_else_happens() {
    let folder = TempDir::new().unwrap();
    let manifest = folder.path().join("rows.parquet");
    std::fs::write(&manifest, crate::support::fixture("damaged.parquet")).unwrap();
    let output = run(folder.path(), "acme", &["--manifest", text(&manifest)]);
    assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
    assert!(stderr(&output).contains("the file is damaged"), "{}", stderr(&output));
    assert_eq!(stderr(&output).lines().count(), 1, "nothing of the panic is said: {}", stderr(&output));
}
