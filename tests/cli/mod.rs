mod backfill;
mod backup;
mod doctor;
mod evaluate;
mod manuals;
mod models;
mod reindex;

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::database::name_database;
use crate::support::pictures::{photo, stolen};
use crate::support::{real_photo, root, wait_for};

/// Runs the binary over `folder`, with the models of the checkout.
pub(crate) fn touchstone(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().unwrap()
}

pub(crate) fn command(folder: &Path, args: &[&str]) -> Command {
    let set = |name: &str, path: &str| format!("{name}={}", folder.join(path).display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_touchstone"));
    command.current_dir(root()).args(args).args([
        "--set",
        "embed.workers=1",
        "--set",
        &set("data", "data"),
        "--set",
        &set("index_dir", "index"),
    ]);
    name_database(&mut command, &folder.join("data"));
    command
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A brand's folders: two products of fakes, one authentic photo, one file that is no photo.
pub(crate) fn brand(folder: &Path) {
    for (path, seed) in [("fake/bag/1.jpg", 1), ("fake/watch/2.jpg", 2), ("authentic/bag/3.jpg", 3)] {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, photo(seed)).unwrap();
    }
    std::fs::write(folder.join("fake/notes.txt"), "not a photo, and long enough to be sniffed").unwrap();
    std::fs::write(folder.join("fake/.DS_Store"), "hidden").unwrap();
}

pub(crate) fn take_in(folder: &Path, json: bool) -> Output {
    let (authentic, fake) = (folder.join("authentic"), folder.join("fake"));
    let mut args = vec![
        "reindex",
        "--brand",
        "acme",
        "--authentic",
        authentic.to_str().unwrap(),
        "--fake",
        fake.to_str().unwrap(),
    ];
    args.extend(json.then_some("--json"));
    touchstone(folder, &args)
}

#[test]
fn help_is_as_reviewed() {
    let folder = TempDir::new().unwrap();
    let helps = [
        &["--help"][..],
        &["check", "--help"],
        &["lookup", "--help"],
        &["reindex", "--help"],
        &["index", "--help"],
        &["key", "--help"],
        &["backup", "--help"],
        &["restore", "--help"],
        &["key", "add", "--help"],
        &["model", "fetch", "--help"],
        &["doctor", "--help"],
    ];
    let text: Vec<String> = helps
        .iter()
        .map(|args| {
            stdout(
                &Command::new(env!("CARGO_BIN_EXE_touchstone"))
                    .args(*args)
                    .current_dir(folder.path())
                    .output()
                    .unwrap(),
            )
        })
        .collect();
    insta::assert_snapshot!("help", text.join("\n----\n"));
}

#[test]
fn a_brands_folders_become_references_and_checks_find_them() {
    let folder = TempDir::new().unwrap();
    brand(folder.path());
    let first = take_in(folder.path(), true);
    assert_eq!(first.status.code(), Some(3), "{}", stderr(&first));
    let events: Vec<Value> = stdout(&first).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let report = &events.last().unwrap()["report"];
    assert_eq!((&report["counts"]["added"], &report["published"]["references"]), (&3.into(), &3.into()));
    let refused = events.iter().find(|event| event["event"] == "refused").unwrap();
    assert_eq!(refused["entry"]["code"], "photo-type-unknown");
    assert!(refused["entry"]["source"].as_str().unwrap().ends_with("notes.txt"));

    let listing = folder.path().join("listing.jpg");
    std::fs::write(&listing, stolen(&photo(1))).unwrap();
    let check = touchstone(folder.path(), &["check", listing.to_str().unwrap(), "--json"]);
    assert_eq!(check.status.code(), Some(10), "review: {}", stderr(&check));
    let answer: Value = serde_json::from_str(&stdout(&check)).unwrap();
    assert_eq!(answer["verdict"], "known_fake_match");
    assert_eq!(answer["photos"][0]["matches"][0]["product"], "bag");

    let plain = stdout(&touchstone(folder.path(), &["check", listing.to_str().unwrap()]));
    assert!(
        plain.contains("The photo matches a known fake.") && plain.ends_with("listing: known_fake_match (review)\n"),
        "{plain}"
    );

    let lookup =
        touchstone(folder.path(), &["lookup", listing.to_str().unwrap(), "-k", "2", "--polarity", "fake", "--json"]);
    let matches: Value = serde_json::from_str(&stdout(&lookup)).unwrap();
    assert_eq!((matches.as_array().unwrap().len(), matches[0]["product"].as_str()), (2, Some("bag")));

    std::fs::write(&listing, real_photo(4)).unwrap();
    assert_eq!(touchstone(folder.path(), &["check", listing.to_str().unwrap()]).status.code(), Some(0));
}

#[test]
fn a_running_service_sees_what_the_command_took_in() {
    let folder = std::sync::Arc::new(TempDir::new().unwrap());
    let app = crate::support::TestApp::over(std::sync::Arc::clone(&folder), "sscd-distilled", |_| {});
    assert_eq!(app.verdict(&photo(1)), "no_match");
    brand(folder.path());
    take_in(folder.path(), false);
    wait_for("what was taken in", || app.verdict(&photo(1)) == "known_fake_match");
}

#[test]
fn what_is_wrong_is_one_line_and_an_exit_code_of_its_own() {
    let folder = TempDir::new().unwrap();
    let picture = folder.path().join("photo.jpg");
    std::fs::write(&picture, photo(1)).unwrap();
    let pdf = folder.path().join("photo.pdf");
    std::fs::write(&pdf, b"%PDF-1.7").unwrap();
    let (picture, pdf) = (picture.to_str().unwrap(), pdf.to_str().unwrap());
    let pipe = folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    let pipe = pipe.to_str().unwrap();
    let cases: [(&[&str], i32); 15] = [
        (&["check", "/nowhere/photo.jpg"], 7),
        (&["check", pipe], 7),
        (&["lookup", pipe], 7),
        (&["check", "/dev/zero"], 7),
        (&["check", "/"], 7),
        (&["check", pdf], 7),
        (&["check", picture, "--model", "nothing"], 5),
        (&["check", picture, "--set", "runtime=/nowhere/libonnxruntime.so"], 5),
        (&["check", picture, "--set", "server.colour=red"], 4),
        (&["check", picture, "--config", "/nowhere/touchstone.toml"], 4),
        (&["reindex", "--brand", "acme", "--fake", "/nowhere"], 7),
        (&["reindex", "--brand", "acme"], 2),
        (&["serve", "--set", "server.listen=0.0.0.0:0"], 4),
        (&["serve", "--set", "server.listen=here"], 4),
        (&["key", "add", "--scope", "brand"], 2),
    ];
    let mut lines = Vec::new();
    for (args, code) in cases {
        let output = touchstone(folder.path(), args);
        let error = stderr(&output)
            .replace(&folder.path().display().to_string(), "FOLDER")
            .replace(&root().display().to_string(), "ROOT");
        assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
        if code != 2 {
            assert_eq!(error.trim_end().lines().count(), 1, "{error}");
        }
        lines.push(error);
    }
    insta::assert_snapshot!("cli-errors", lines.join(""));
}

/// ONNX Runtime's own builds write a file of usage data under the user's home.
#[test]
fn nothing_is_noted_for_the_makers_of_the_runtime() {
    let folder = TempDir::new().unwrap();
    let picture = folder.path().join("photo.jpg");
    std::fs::write(&picture, photo(1)).unwrap();
    let home = TempDir::new().unwrap();
    let mut check = command(folder.path(), &["check", picture.to_str().unwrap()]);
    check.env_remove("ORT_DISABLE_TELEMETRY").env_remove("XDG_CACHE_HOME").env("HOME", home.path());
    let output = check.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn variables_of_others_may_be_anything_and_ones_of_ours_are_refused_in_one_line() {
    let folder = TempDir::new().unwrap();
    let nonsense = std::ffi::OsStr::from_bytes(b"\xff");
    let listed = command(folder.path(), &["key", "list"]).env("SOMEBODYS", nonsense).output().unwrap();
    assert_eq!(listed.status.code(), Some(0), "{}", stderr(&listed));
    let refused = command(folder.path(), &["key", "list"]).env("TOUCHSTONE_EMBED__QUEUE", nonsense).output().unwrap();
    assert_eq!(refused.status.code(), Some(4), "{}", stderr(&refused));
    assert_eq!(stderr(&refused).trim_end().lines().count(), 1);
}

#[test]
fn every_photos_answer_is_told_before_a_check_fails_over_some() {
    let folder = TempDir::new().unwrap();
    brand(folder.path());
    take_in(folder.path(), false);
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let [fake, missing, pdf, broken, other] =
        ["fake.jpg", "missing.jpg", "photo.pdf", "broken.jpg", "other.png"].map(place);
    std::fs::write(&fake, stolen(&photo(1))).unwrap();
    std::fs::write(&pdf, b"%PDF-1.7").unwrap();
    std::fs::write(&broken, &photo(2)[..400]).unwrap();
    std::fs::write(&other, real_photo(4)).unwrap();
    let check = |args: &[&str]| touchstone(folder.path(), &[&["check"], args].concat());
    let all = [&*missing, &fake, &pdf, &broken, &other];
    let output = check(&all);
    let said = stdout(&output);
    assert_eq!((output.status.code(), stderr(&output).lines().count()), (Some(7), 1), "{}", stderr(&output));
    assert!(stderr(&output).contains(&missing) && stderr(&output).contains("PDF is not accepted"));
    let starts: Vec<&str> = said.lines().filter(|line| !line.starts_with(' ')).collect();
    let begins = [
        format!("{missing}: No such file"),
        format!("{fake}: known_fake_match (review)"),
        format!("{pdf}: PDF is not accepted"),
        format!("{broken}: undecidable (review)"),
        format!("{other}: no_match (allow)"),
        "listing: not judged, because 2 of 5 photos cannot be used".to_owned(),
    ];
    assert_eq!(starts.len(), begins.len(), "{said}");
    assert!(starts.iter().zip(&begins).all(|(line, begin)| line.starts_with(begin)), "{said}");

    let output = check(&[&missing, &other, "--json"]);
    assert_eq!(output.status.code(), Some(7));
    let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&answer["photos"][0]["index"], &answer["photos"][0]["verdict"]), (&1.into(), &"no_match".into()));
    assert_eq!((&answer["action"], &answer["not_judged"][0]["index"]), (&"review".into(), &0.into()));
    // If every photo can be used, the answer has no `not_judged`.
    let answer: Value = serde_json::from_str(&stdout(&check(&[&other, "--json"]))).unwrap();
    assert_eq!((&answer["action"], &answer["not_judged"]), (&"allow".into(), &Value::Null));
}

#[test]
fn empty_ids_and_control_characters_are_wrong_usage() {
    let folder = TempDir::new().unwrap();
    for args in [
        &["check", "photo.jpg", "--seller", ""][..],
        &["check", "photo.jpg", "--seller", "a\nb"],
        &["check", "photo.jpg", "--brand", " "],
        &["lookup", "photo.jpg", "--product", "a\u{1b}[2J"],
        &["forget-seller", ""],
        &["forget-seller", "a\u{7}"],
        &["key", "revoke", ""],
        &["key", "add", "--scope", "admin", "--label", "a\nb"],
    ] {
        let output = touchstone(folder.path(), args);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(
            ["is empty", "contains the control character", "on one line"].iter().any(|words| said.contains(words)),
            "{said}"
        );
    }
}

#[test]
fn a_runtime_library_that_is_cut_off_is_told_and_does_not_end_the_process() {
    let folder = TempDir::new().unwrap();
    let (photo_file, cut) = (folder.path().join("photo.jpg"), folder.path().join("cut.so"));
    std::fs::write(&photo_file, photo(1)).unwrap();
    let whole = std::fs::read(root().join("models/runtime/libonnxruntime.so")).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 4]).unwrap();
    let set = format!("runtime={}", cut.display());
    let output = touchstone(folder.path(), &["check", photo_file.to_str().unwrap(), "--set", &set]);
    let said = stderr(&output);
    assert_eq!((output.status.code(), said.lines().count()), (Some(5), 1), "{said}");
    assert!(said.contains("the file is truncated"), "{said}");
}
