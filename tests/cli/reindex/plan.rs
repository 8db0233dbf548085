use std::path::Path;

use tempfile::TempDir;

use super::{Run, photos, run, text};
use crate::cli::{stderr, stdout, touchstone};
use crate::support::pictures::photo;

#[test]
fn a_dry_run_says_what_would_be_done_and_why_and_does_nothing() {
    let folder = TempDir::new().unwrap();
    let fakes = folder.path().join("fakes");
    photos(&fakes, 1..4);
    Run::of(folder.path(), "acme", &["--fake", text(&fakes)]);
    std::fs::write(fakes.join("4.jpg"), photo(4)).unwrap();
    std::fs::write(fakes.join("again.jpg"), photo(4)).unwrap();
    std::fs::write(fakes.join("broken.jpg"), b"\xff\xd8\xff\xe0 and no more").unwrap();
    std::fs::remove_file(fakes.join("1.jpg")).unwrap();
    let before = touchstone(folder.path(), &["index", "list", "--json"]).stdout;

    let planned = Run::of(folder.path(), "acme", &["--fake", text(&fakes), "--prune", "--dry-run"]);
    assert_eq!(planned.counts(), [1, 0, 1, 2, 1, 0, 1]);
    assert_eq!((planned.embedded(), planned.code), (0, 3));
    assert_eq!(planned.why("broken.jpg").0, "photo-broken");
    assert!(planned.why("/1.jpg").1.contains("no longer name it"), "{:?}", planned.why("/1.jpg"));
    let words = touchstone(folder.path(), &["reindex", "--brand", "acme", "--fake", text(&fakes), "--dry-run"]);
    let words = stdout(&words);
    assert!(words.contains("added ") && words.contains("unchanged ") && words.contains("dry run: nothing"), "{words}");
    assert_eq!(touchstone(folder.path(), &["index", "list", "--json"]).stdout, before);

    // The run itself does what the plan said.
    let done = Run::of(folder.path(), "acme", &["--fake", text(&fakes), "--prune", "--yes", "--max-removed", "50"]);
    assert_eq!(done.counts(), planned.counts());
    assert_eq!(done.embedded(), 1);
}

#[test]
fn the_same_bytes_are_never_embedded_twice_by_one_model() {
    let folder = TempDir::new().unwrap();
    let fakes = folder.path().join("fakes");
    photos(&fakes, 1..6);
    std::fs::write(fakes.join("copy.jpg"), photo(1)).unwrap();
    let first = Run::of(folder.path(), "acme", &["--fake", text(&fakes)]);
    assert_eq!((first.counts(), first.embedded()), ([5, 0, 0, 0, 1, 0, 0], 5));
    let second = Run::of(folder.path(), "acme", &["--fake", text(&fakes)]);
    assert_eq!((second.counts(), second.embedded()), ([0, 0, 0, 5, 1, 0, 0], 0));
    assert!(second.report["published"].is_null(), "nothing changed, nothing is published");
    // Nor for another brand, nor after the photos were gone.
    let other = Run::of(folder.path(), "other", &["--fake", text(&fakes)]);
    assert_eq!((other.count("added"), other.embedded()), (5, 0));
    let empty = folder.path().join("fewer");
    photos(&empty, 1..5);
    Run::of(folder.path(), "acme", &["--fake", text(&empty), "--prune", "--yes", "--max-removed", "100"]);
    let back = Run::of(folder.path(), "acme", &["--fake", text(&fakes)]);
    assert_eq!((back.count("added"), back.embedded()), (1, 0));
}

#[test]
fn nothing_is_removed_without_a_word_nor_more_than_the_guard_lets() {
    let folder = TempDir::new().unwrap();
    let fakes = folder.path().join("fakes");
    photos(&fakes, 1..11);
    Run::of(folder.path(), "acme", &["--fake", text(&fakes)]);
    let remove = |names: std::ops::Range<u64>| {
        names.for_each(|name| std::fs::remove_file(fakes.join(format!("{name}.jpg"))).unwrap());
    };
    let served = |folder: &Path| {
        let list = touchstone(folder, &["index", "list"]);
        stdout(&list).lines().find(|line| line.contains("serves")).unwrap().to_owned()
    };
    remove(1..3);
    // Without --prune nothing is removed.
    assert_eq!(Run::of(folder.path(), "acme", &["--fake", text(&fakes)]).count("removed"), 0);
    let asked = run(folder.path(), "acme", &["--fake", text(&fakes), "--prune"]);
    assert_eq!(asked.status.code(), Some(8), "{}", stderr(&asked));
    assert!(stderr(&asked).contains("run again with --yes"));
    assert!(served(folder.path()).contains(" 10 references"));
    let pruned = Run::of(folder.path(), "acme", &["--fake", text(&fakes), "--prune", "--yes"]);
    assert_eq!((pruned.counts(), pruned.code), ([0, 0, 2, 8, 0, 0, 0], 0));
    assert!(served(folder.path()).contains(" 8 references"));

    remove(3..5);
    let stopped = run(folder.path(), "acme", &["--fake", text(&fakes), "--prune", "--yes"]);
    assert_eq!(stopped.status.code(), Some(8));
    assert!(stderr(&stopped).contains("remove 2 of 8 fake references of acme, more than 20 %"), "{}", stderr(&stopped));
    assert!(served(folder.path()).contains(" 8 references"));
    // A run of one polarity prunes that one only.
    let authentic = folder.path().join("authentic");
    photos(&authentic, 20..21);
    let other = Run::of(folder.path(), "acme", &["--authentic", text(&authentic), "--prune", "--yes"]);
    assert_eq!((other.count("added"), other.count("removed")), (1, 0));
}

#[test]
fn a_photo_that_cannot_be_read_this_time_is_not_taken_for_gone() {
    let folder = TempDir::new().unwrap();
    let fakes = folder.path().join("fakes");
    photos(&fakes, 1..8);
    Run::of(folder.path(), "acme", &["--fake", text(&fakes)]);
    std::fs::write(fakes.join("1.jpg"), b"the disk gave something else").unwrap();
    let run = Run::of(folder.path(), "acme", &["--fake", text(&fakes), "--prune", "--yes"]);
    assert_eq!(run.counts(), [0, 0, 0, 6, 0, 0, 1]);
}

#[test]
fn two_runs_of_one_brand_do_not_work_at_once() {
    let folder = TempDir::new().unwrap();
    let fakes = folder.path().join("fakes");
    photos(&fakes, 1..3);
    Run::of(folder.path(), "acme", &["--fake", text(&fakes)]);
    let lock = std::fs::File::create(folder.path().join("data/reindex/acme.lock")).unwrap();
    lock.lock().unwrap();
    let busy = run(folder.path(), "acme", &["--fake", text(&fakes)]);
    assert_eq!(busy.status.code(), Some(8));
    assert!(stderr(&busy).contains("another reindex of acme is running"), "{}", stderr(&busy));
    assert_eq!(Run::of(folder.path(), "other", &["--fake", text(&fakes)]).count("added"), 2);
}

#[test]
fn a_run_that_stopped_itself_leaves_what_could_be_undone() {
    let folder = TempDir::new().unwrap();
    let fakes = folder.path().join("fakes");
    photos(&fakes, 1..6);
    Run::of(folder.path(), "acme", &["--fake", text(&fakes)]);
    std::fs::remove_file(fakes.join("1.jpg")).unwrap();
    Run::of(folder.path(), "acme", &["--fake", text(&fakes), "--prune", "--yes"]);
    // The next run names it again, and the guard stops it; the run after that does not name it.
    let other = folder.path().join("other");
    photos(&other, 1..2);
    let stopped = run(folder.path(), "acme", &["--fake", text(&other), "--prune", "--yes"]);
    assert_eq!(stopped.status.code(), Some(8), "{}", stderr(&stopped));
    assert!(Run::of(folder.path(), "acme", &["--fake", text(&fakes)]).report["published"].is_null());
    assert_eq!(touchstone(folder.path(), &["index", "rollback"]).status.code(), Some(0));
    let served = stdout(&touchstone(folder.path(), &["index", "verify"]));
    assert!(served.contains("5 of 5 vectors"), "{served}");
    let again = Run::of(folder.path(), "acme", &["--fake", text(&other)]);
    assert_eq!((again.counts(), again.embedded()), ([0, 0, 0, 1, 0, 0, 0], 0), "photo 1 is back, as it was");
}

#[test]
fn what_a_stopped_run_has_staged_takes_the_words_of_the_run_that_publishes_it() {
    let folder = TempDir::new().unwrap();
    photos(&folder.path().join("fakes"), 1..7);
    let manifest = folder.path().join("list.csv");
    let write =
        |rows: &[String]| std::fs::write(&manifest, format!("path,polarity,product\n{}\n", rows.join("\n"))).unwrap();
    let row = |seed: u64, product: &str| format!("fakes/{seed}.jpg,fake,{product}");
    write(&[row(1, "bag"), row(2, "bag")]);
    Run::of(folder.path(), "acme", &["--manifest", text(&manifest)]);
    write(&[row(3, "misspelt"), row(4, "bag")]);
    assert_eq!(run(folder.path(), "acme", &["--manifest", text(&manifest), "--prune", "--yes"]).status.code(), Some(8));
    write(&[row(1, "bag"), row(2, "bag"), row(3, "watch")]);
    let run = Run::of(folder.path(), "acme", &["--manifest", text(&manifest), "--prune", "--yes"]);
    assert_eq!((run.counts(), run.embedded()), ([1, 0, 0, 2, 0, 0, 0], 0));
    let lookup = touchstone(folder.path(), &["lookup", text(&folder.path().join("fakes/3.jpg")), "-k", "1", "--json"]);
    assert!(stdout(&lookup).contains(r#""product": "watch""#), "{}", stdout(&lookup));
    // Photo 4, staged and no longer named, is gone.
    let lookup = touchstone(folder.path(), &["lookup", text(&folder.path().join("fakes/4.jpg")), "-k", "9", "--json"]);
    assert!(!stdout(&lookup).contains(r#""similarity": 1.0"#), "{}", stdout(&lookup));
}

#[test]
fn an_unreadable_row_never_takes_its_reference_out() {
    let folder = TempDir::new().unwrap();
    photos(&folder.path().join("fakes"), 1..8);
    let manifest = folder.path().join("list.csv");
    let rows = |edit: &dyn Fn(u64) -> String| {
        let rows: Vec<String> = (1..8).map(edit).collect();
        std::fs::write(&manifest, format!("path,polarity\n{}\n", rows.join("\n"))).unwrap();
    };
    rows(&|seed| format!("fakes/{seed}.jpg,fake"));
    Run::of(folder.path(), "acme", &["--manifest", text(&manifest)]);
    rows(&|seed| format!("fakes/{seed}.jpg,{}", if seed == 3 { "fale" } else { "fake" }));
    let run_ = Run::of(folder.path(), "acme", &["--manifest", text(&manifest), "--prune", "--yes"]);
    assert_eq!(run_.counts(), [0, 0, 0, 6, 0, 0, 1]);
    // A row that may name any photo only stops the run.
    rows(&|seed| if seed == 3 { "fakes/3.jpg,fake,extra,words".to_owned() } else { format!("fakes/{seed}.jpg,fake") });
    let stopped = run(folder.path(), "acme", &["--manifest", text(&manifest), "--prune", "--yes"]);
    assert_eq!(stopped.status.code(), Some(8));
    assert!(stderr(&stopped).contains("list.csv:4 cannot be read"), "{}", stderr(&stopped));
}

#[test]
fn a_standing_conflict_publishes_once() {
    let folder = TempDir::new().unwrap();
    let (authentic, fake) = (folder.path().join("authentic"), folder.path().join("fake"));
    photos(&authentic, 1..3);
    photos(&fake, 2..4);
    let both = ["--authentic", text(&authentic), "--fake", text(&fake)];
    Run::of(folder.path(), "acme", &["--authentic", text(&authentic)]);
    let first = Run::of(folder.path(), "acme", &both);
    // Both files of the disputed image may be told as conflicts, whichever comes first.
    assert_eq!((first.count("conflict") > 0, first.report["published"].is_null()), (true, false));
    let second = Run::of(folder.path(), "acme", &both);
    assert_eq!((second.count("conflict") > 0, second.report["published"].is_null()), (true, true), "nothing is new");
}

/// Replaces a file by a link to itself: it exists, and cannot be read, not even by root.
fn unreadable(path: &Path) {
    std::fs::rename(path, path.with_extension("aside")).unwrap();
    std::os::unix::fs::symlink(path, path).unwrap();
}

#[test]
fn what_is_there_and_cannot_be_read_is_not_pruned_and_is_told() {
    let folder = TempDir::new().unwrap();
    let fakes = folder.path().join("fakes");
    photos(&fakes.join("bag"), 1..4);
    photos(&fakes.join("watch"), 4..8);
    photos(&fakes, 8..9);
    Run::of(folder.path(), "acme", &["--fake", text(&fakes)]);
    // A whole folder cannot be read: nothing below it counts as named.
    let aside = folder.path().join("bag-aside");
    std::fs::rename(fakes.join("bag"), &aside).unwrap();
    std::os::unix::fs::symlink(fakes.join("bag"), fakes.join("bag")).unwrap();
    std::fs::remove_file(fakes.join("8.jpg")).unwrap();
    let prune = ["--fake", text(&fakes), "--prune", "--yes"];
    let planned = Run::of(folder.path(), "acme", &[&prune[..3], &["--dry-run"]].concat());
    assert_eq!((planned.counts(), planned.count("kept")), ([0, 0, 1, 4, 0, 0, 1], 3));
    let run = Run::of(folder.path(), "acme", &prune);
    assert_eq!((run.counts(), run.count("kept"), run.code), ([0, 0, 1, 4, 0, 0, 1], 3, 3));
    let (code, detail) = run.why("bag/1.jpg [ref_");
    assert!(
        code == "source-unusable" && detail.contains("cannot be used now, so it was not pruned"),
        "{code} {detail}"
    );
    let words = stdout(&touchstone(folder.path(), &[&["reindex", "--brand", "acme"], &prune[..]].concat()));
    assert!(words.contains("3 kept") && words.contains("kept ") && words.contains("/bag/2.jpg [ref_"), "{words}");
    // Once it can be read, missing photos are removed.
    std::fs::remove_file(fakes.join("bag")).unwrap();
    std::fs::rename(&aside, fakes.join("bag")).unwrap();
    std::fs::remove_file(fakes.join("bag/1.jpg")).unwrap();
    let run = Run::of(folder.path(), "acme", &prune);
    assert_eq!((run.counts(), run.count("kept"), run.code), ([0, 0, 1, 6, 0, 0, 0], 0, 0));
}

#[test]
fn a_source_that_cannot_be_read_is_known_in_another_spelling_and_by_what_it_held() {
    let folder = TempDir::new().unwrap();
    let fakes = folder.path().join("fakes");
    photos(&fakes, 1..9);
    std::fs::write(fakes.join("copy.jpg"), photo(1)).unwrap();
    Run::of(folder.path(), "acme", &["--fake", text(&fakes)]);
    // Of two files with the same bytes, one is gone and the other cannot be read: which of them the reference names is
    // chance.
    std::fs::remove_file(fakes.join("1.jpg")).unwrap();
    unreadable(&fakes.join("copy.jpg"));
    unreadable(&fakes.join("2.jpg"));
    std::fs::remove_file(fakes.join("3.jpg")).unwrap();
    std::fs::remove_file(fakes.join("copy.aside")).unwrap();
    std::fs::remove_file(fakes.join("2.aside")).unwrap();
    let other = format!("file://{}/../fakes", fakes.display());
    let prune = ["--fake", &other, "--prune", "--yes"];
    let same = ["--fake", text(&fakes), "--prune"];
    let planned = Run::of(folder.path(), "acme", &[&same[..], &["--dry-run"]].concat());
    assert_eq!((planned.count("kept"), planned.count("removed")), (2, 1), "{:?}", planned.entries);
    let run = Run::of(folder.path(), "acme", &[&same[..], &["--yes"]].concat());
    assert_eq!((run.count("kept"), run.count("removed")), (2, 1), "{:?}", run.entries);
    let run = Run::of(folder.path(), "acme", &prune);
    assert!(run.count("kept") >= 1, "2.jpg, by its place: {:?}", run.entries);
    assert!(run.why("2.jpg [ref_").0 == "source-unusable", "{:?}", run.entries);
}
