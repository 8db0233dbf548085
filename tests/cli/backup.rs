use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use super::{stderr, stdout, touchstone};
use crate::support::moderator::Moderator;
use crate::support::pictures::photo;
use crate::support::{TestApp, files};

fn backup(folder: &Path, file: &Path) -> Output {
    touchstone(folder, &["backup", file.to_str().unwrap()])
}

fn restore(folder: &Path, file: &Path, more: &[&str]) -> Output {
    touchstone(folder, &[&["restore", file.to_str().unwrap()], more].concat())
}

/// A gallery with references, a decided case and a key.
fn filled() -> (Arc<TempDir>, String) {
    let folder = Arc::new(TempDir::new().unwrap());
    let app = TestApp::over(Arc::clone(&folder), "sscd-distilled", |_| {});
    app.add_fake(&photo(1));
    app.add("globex", "authentic", &photo(2));
    let check = app.check(&[&photo(1)], &[("seller_id", "s1"), ("listing_id", "l1")]);
    Moderator::new(&app, "robin").decide(check["id"].as_str().unwrap(), "fake");
    (folder, check["id"].as_str().unwrap().to_owned())
}

#[test]
fn what_was_backed_up_serves_again_with_everything_that_was_acknowledged() {
    let (folder, check) = filled();
    let elsewhere = TempDir::new().unwrap();
    let file = elsewhere.path().join("backup.tar");
    let written = backup(folder.path(), &file);
    assert!(written.status.success(), "{}", stderr(&written));
    assert!(
        stdout(&written).contains("2 references' photos, 1 photos that were sent, 1 indexes"),
        "{}",
        stdout(&written)
    );
    let proven = restore(elsewhere.path(), &file, &["--dry-run"]);
    assert!(proven.status.success() && !elsewhere.path().join("data").exists(), "{}", stderr(&proven));
    let restored = restore(elsewhere.path(), &file, &[]);
    assert!(restored.status.success(), "{}", stderr(&restored));
    let app = TestApp::over(Arc::new(elsewhere), "sscd-distilled", |_| {});
    assert_eq!(app.verdict(&photo(1)), "known_fake_match");
    assert_eq!(app.verdict(&photo(2)), "authentic_photo_reuse");
    assert_eq!(app.get_json(&format!("/v1/checks/{check}/case"))["decision"], "fake");
    let verified = touchstone(app.folder(), &["audit", "verify"]);
    assert!(verified.status.success(), "{}", stderr(&verified));
    assert_eq!(Moderator::sign_in(&app, "robin").get(&format!("/console/cases/{check}")).status(), 200);
}

#[test]
fn a_backup_that_is_cut_or_changed_anywhere_restores_nothing_and_is_told() {
    let (folder, _) = filled();
    let elsewhere = TempDir::new().unwrap();
    let file = elsewhere.path().join("backup.tar");
    assert!(backup(folder.path(), &file).status.success());
    let whole = std::fs::read(&file).unwrap();
    let tried = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        let output = restore(elsewhere.path(), &file, &[]);
        assert_eq!(output.status.code(), Some(6), "{}{}", stdout(&output), stderr(&output));
        assert_eq!(stderr(&output).trim_end().lines().count(), 1, "{}", stderr(&output));
        let deep = elsewhere.path().join("deep");
        let set = |name: &str| format!("{name}={}", deep.join(name).display());
        let dry = std::process::Command::new(env!("CARGO_BIN_EXE_touchstone"))
            .args(["restore", file.to_str().unwrap(), "--dry-run", "--set", &set("data"), "--set", &set("index_dir")])
            .output()
            .unwrap();
        assert_eq!(dry.status.code(), Some(6));
        let left: Vec<_> =
            std::fs::read_dir(elsewhere.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["backup.tar"], "nothing is left behind");
        stderr(&output)
    };
    // Not in the two empty blocks that end a tar archive, whose loss is harmless.
    for share in [0.0, 0.1, 0.5, 0.9, 0.95] {
        tried(&whole[..(whole.len() as f64 * share) as usize]);
    }
    for share in [0.01, 0.2, 0.4, 0.6, 0.8, 0.93] {
        let mut changed = whole.clone();
        // Outside a header's checksum and padding, in the content of a file.
        let first = (whole.len() as f64 * share) as usize;
        let place = (first..whole.len()).find(|place| whole[*place] > 1).unwrap();
        changed[place] ^= 1;
        tried(&changed);
    }
    assert!(tried(b"no archive at all").contains("is not a complete backup"));
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    // Because `append_data` rejects such names, the header's bytes are written by hand.
    header.as_mut_bytes()[..12].copy_from_slice(b"../evil.text");
    header.set_cksum();
    builder.append(&header, &b"evil"[..]).unwrap();
    assert!(tried(&builder.into_inner().unwrap()).contains("which no backup contains"));
    assert!(!elsewhere.path().parent().unwrap().join("evil.text").exists());
}

#[test]
#[expect(clippy::disallowed_types, reason = "makes databases that are none of ours")]
fn a_database_that_could_not_serve_is_not_restored_whatever_its_sums_say() {
    let (folder, _) = filled();
    let elsewhere = TempDir::new().unwrap();
    let file = elsewhere.path().join("backup.tar");
    assert!(backup(folder.path(), &file).status.success());
    let whole = std::fs::read(&file).unwrap();
    for sql in [
        "DROP TABLE api_key",
        "DROP TABLE hit",
        "ALTER TABLE api_key DROP COLUMN label",
        "CREATE TRIGGER evil AFTER INSERT ON audit BEGIN DELETE FROM api_key; END",
        "UPDATE gallery SET id = 'gal_other'",
        "DELETE FROM gallery",
    ] {
        let unpacked = TempDir::new().unwrap();
        tar::Archive::new(&whole[..]).unpack(unpacked.path()).unwrap();
        let path = unpacked.path().join("touchstone.db");
        rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let sum = touchstone::photo::Sha256::of(&std::fs::read(&path).unwrap());
        let sums = std::fs::read_to_string(unpacked.path().join("SHA256SUMS")).unwrap();
        let fitting: String = sums
            .lines()
            .map(|line| {
                if line.ends_with("  touchstone.db") { format!("{sum}  touchstone.db\n") } else { format!("{line}\n") }
            })
            .collect();
        std::fs::write(unpacked.path().join("SHA256SUMS"), fitting).unwrap();
        let mut archive = tar::Builder::new(std::fs::File::create(&file).unwrap());
        for entry in walkdir::WalkDir::new(unpacked.path()).into_iter().map(Result::unwrap) {
            if entry.file_type().is_file() {
                archive
                    .append_path_with_name(entry.path(), entry.path().strip_prefix(unpacked.path()).unwrap())
                    .unwrap();
            }
        }
        archive.finish().unwrap();
        let output = restore(elsewhere.path(), &file, &[]);
        assert_eq!(output.status.code(), Some(6), "{sql}: {}", stdout(&output));
        assert!(!elsewhere.path().join("data").exists(), "{sql}");
    }
}

#[test]
fn a_backup_is_written_to_a_plain_file_or_not_at_all() {
    let (folder, _) = filled();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(folder.path().join("target"), &link).unwrap();
    let output = backup(folder.path(), &link);
    assert_eq!(output.status.code(), Some(6));
    assert!(stderr(&output).contains("is not a plain file") && link.is_symlink(), "{}", stderr(&output));
    assert_eq!(backup(folder.path(), &folder.path().join("nowhere/backup.tar")).status.code(), Some(6));
    // A damaged photo is reported at backup, not when it is needed.
    let photos = walkdir::WalkDir::new(folder.path().join("data/photos")).into_iter().map(Result::unwrap);
    let photo = photos.into_iter().find(|entry| entry.file_type().is_file()).unwrap();
    std::fs::write(photo.path(), b"rotten").unwrap();
    let output = backup(folder.path(), &folder.path().join("backup.tar"));
    assert_eq!(output.status.code(), Some(6));
    assert!(
        stderr(&output).contains("cannot be backed up") && !folder.path().join("backup.tar").exists(),
        "{}",
        stderr(&output)
    );
}

#[test]
fn folders_that_lie_in_each_other_are_not_restored_into() {
    let (folder, _) = filled();
    let elsewhere = TempDir::new().unwrap();
    let file = elsewhere.path().join("backup.tar");
    assert!(backup(folder.path(), &file).status.success());
    let config = elsewhere.path().join("touchstone.toml");
    std::fs::write(&config, format!("data = {0:?}\nindex_dir = {0:?}\n", elsewhere.path().join("x"))).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_touchstone"))
        .args(["restore", file.to_str().unwrap(), "--config", config.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(6));
    assert!(
        stderr(&output).contains("beside each other") && !elsewhere.path().join("x").exists(),
        "{}",
        stderr(&output)
    );
}

#[test]
fn nothing_is_restored_over_something() {
    let (folder, _) = filled();
    let file = folder.path().join("backup.tar");
    assert!(backup(folder.path(), &file).status.success());
    let output = restore(folder.path(), &file, &[]);
    assert_eq!(output.status.code(), Some(8));
    assert!(stderr(&output).contains("is not empty"), "{}", stderr(&output));
}

#[test]
fn a_backup_under_load_is_whole_and_has_what_was_acknowledged_before_it() {
    let folder = Arc::new(TempDir::new().unwrap());
    let app = TestApp::over(Arc::clone(&folder), "sscd-distilled", |_| {});
    let before: Vec<String> = (0..5).map(|seed| app.add_fake(&photo(100 + seed))).collect();
    let done = AtomicBool::new(false);
    let elsewhere = TempDir::new().unwrap();
    let files: Vec<_> = (0..4).map(|number| elsewhere.path().join(format!("{number}.tar"))).collect();
    let mut outputs: Vec<Output> = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // References and checks with photos are added and removed.
            for seed in 0.. {
                if done.load(Ordering::Acquire) {
                    return;
                }
                let id = app.add_fake(&photo(200 + seed));
                app.check(&[&photo(100), &photo(200 + seed)], &[("seller_id", "s1")]);
                if seed % 2 == 0 {
                    app.request("DELETE", &format!("/v1/brands/acme/references/{id}")).send().unwrap();
                }
            }
        });
        outputs = files.iter().map(|file| backup(folder.path(), file)).collect();
        done.store(true, Ordering::Release);
    });
    for output in outputs {
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let places: Vec<_> = files.iter().map(|_| Arc::new(TempDir::new().unwrap())).collect();
    for (place, file) in places.iter().zip(&files) {
        let restored = restore(place.path(), file, &[]);
        assert!(restored.status.success(), "{}", stderr(&restored));
    }
    let again = TestApp::over(Arc::clone(&places[3]), "sscd-distilled", |_| {});
    for id in before {
        assert_eq!(again.get(&format!("/v1/brands/acme/references/{id}")).status(), 200);
    }
}

#[test]
fn a_damaged_photo_is_mended_by_whoever_adds_the_same() {
    let folder = Arc::new(TempDir::new().unwrap());
    let app = TestApp::over(Arc::clone(&folder), "sscd-distilled", |_| {});
    app.add_fake(&photo(1));
    let (path, mut bytes) = files(&folder.path().join("data/photos")).pop().unwrap();
    bytes[1000..1100].fill(0);
    std::fs::write(path, bytes).unwrap();
    let file = folder.path().join("backup.tar");
    assert_eq!(backup(folder.path(), &file).status.code(), Some(6));
    app.add("globex", "fake", &photo(1));
    assert!(backup(folder.path(), &file).status.success());
}
