//! Disks that are full, read-only, slow or stall. Tests that need their own file system mount one; tests that need a
//! slow disk delay its syncs with `strace`. Where that is not permitted they are skipped with a message.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use rand::Rng;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::{stderr, touchstone};
use crate::support::database::needs_a_file;
use crate::support::disk::SmallDisk;
use crate::support::pictures::photo;
use crate::support::service::Service;
use crate::support::{TestApp, form, problem, skipped, wait_for};

fn add(service: &Service, seed: u64) -> (u16, Value) {
    service.send("/v1/brands/acme/references", &photo(seed), &[("polarity", "fake")])
}

/// Fills or closes the disk, and checks that only stored writes are acknowledged and the state is reported. Returns the
/// acknowledged writes.
fn refuses(service: &Service, break_disk: impl FnOnce(&Service)) -> Vec<String> {
    let mut kept: Vec<String> = (0..3).map(|seed| add(service, seed).1["id"].as_str().unwrap().to_owned()).collect();
    break_disk(service);
    wait_for("a refusal", || {
        let (status, body) = add(service, rand::rng().random_range(1000..1_000_000));
        if status == 201 {
            kept.push(body["id"].as_str().unwrap().to_owned());
        } else {
            assert_eq!((status, &body["code"]), (503, &json!("storage-unavailable")), "{body}");
        }
        status == 503
    });
    let (ready, why) = service.status("/readyz");
    assert!(ready == 503 && why.contains("nothing can be written"), "{ready} {why}");
    for seed in [0, 77] {
        let (status, body) = service.send("/v1/checks", &photo(seed), &[]);
        assert_eq!((status, &body["code"]), (503, &json!("not-ready")), "{body}");
    }
    assert_eq!(service.status("/healthz").0, 200);
    assert_eq!(service.status(&format!("/v1/brands/acme/references/{}", kept[0])).0, 200, "reading goes on");
    kept
}

fn has_all(service: &Service, kept: &[String]) {
    for id in kept {
        assert_eq!(service.status(&format!("/v1/brands/acme/references/{id}")).0, 200, "{id} is lost");
    }
    assert_eq!(service.send("/v1/checks", &photo(0), &[]).1["verdict"], "known_fake_match");
}

/// Fills or closes the disk, and checks that the service recovers by itself afterwards.
fn outlives(folder: &Path, service: Service, break_disk: impl FnOnce(&Service), mend_disk: impl FnOnce(&Service)) {
    let kept = refuses(&service, break_disk);
    mend_disk(&service);
    wait_for("readiness", || service.status("/readyz").0 == 200);
    has_all(&service, &kept);
    assert_eq!(add(&service, 5).0, 201);
    drop(service);
    has_all(&Service::start(folder, &[]), &kept);
}

#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged_and_is_told() {
    if needs_a_file("a disk that fails") {
        return;
    }
    let Some(disk) = SmallDisk::in_memory(24) else { return };
    let service = Service::start(disk.path(), &[]);
    let empty = |_: &Service| std::fs::remove_file(disk.path().join("filler")).unwrap();
    outlives(disk.path(), service, |_| drop(disk.fill()), empty);
}

#[test]
fn a_disk_that_takes_no_more_writes_loses_nothing_that_was_acknowledged_and_is_told() {
    if needs_a_file("a disk that fails") {
        return;
    }
    let folder = TempDir::new().unwrap();
    // The process may write nothing, and ignores the signal that would end it for trying.
    let service = Service::start_ready(folder.path(), |command| {
        let plain = std::mem::replace(command, Command::new("/bin/sh"));
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(plain.get_program()).args(plain.get_args());
        command.current_dir(crate::support::root());
    });
    let allow = |bytes: Option<u64>| {
        move |service: &Service| {
            let pid = Pid::from_child(&service.child);
            prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
        }
    };
    outlives(folder.path(), service, allow(Some(0)), allow(None));
}

#[test]
fn a_disk_that_the_kernel_gives_up_loses_nothing_that_was_acknowledged_and_is_told() {
    if needs_a_file("a disk that fails") {
        return;
    }
    let Some(disk) = SmallDisk::in_file() else { return };
    let service = Service::start(disk.path(), &[]);
    let kept = refuses(&service, |_| disk.cut_power());
    drop(service);
    disk.come_back();
    has_all(&Service::start(disk.path(), &[]), &kept);
}

/// Delays the syncs of a process, as a slow disk would, until it is dropped.
struct SlowSyncs {
    strace: Child,
    _words: Lines<BufReader<ChildStderr>>,
}

impl SlowSyncs {
    fn of(service: &Service, delay: Duration) -> Option<Self> {
        let inject = format!("inject=fsync,fdatasync:delay_enter={}", delay.as_micros());
        let pid = service.child.id().to_string();
        let mut strace = Command::new("strace");
        strace.args(["-f", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", &inject, "-p", &pid]);
        if let Ok(mut strace) = strace.stderr(Stdio::piped()).spawn() {
            let mut words = BufReader::new(strace.stderr.take().unwrap()).lines();
            if words.by_ref().map_while(Result::ok).any(|line| line.contains("attached")) {
                return Some(Self { strace, _words: words });
            }
            strace.wait().unwrap();
        }
        skipped("a slow disk, for strace is not here or may not look into other processes");
        None
    }
}

impl Drop for SlowSyncs {
    fn drop(&mut self) {
        // Asked to end, strace may wait for the call that it delays; killed, it releases it.
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

#[test]
fn a_slow_disk_delays_writes_and_nothing_else() {
    if needs_a_file("a disk that fails") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let service = Service::start(folder.path(), &[]);
    let mut kept = vec![add(&service, 0).1["id"].as_str().unwrap().to_owned()];
    let delay = Duration::from_millis(200);
    let Some(slow) = SlowSyncs::of(&service, delay) else { return };
    let started = Instant::now();
    std::thread::scope(|scope| {
        let checks: Vec<_> = (0..4).map(|_| scope.spawn(|| service.send("/v1/checks", &photo(0), &[]))).collect();
        let adding: Vec<_> = (1..4)
            .map(|seed| {
                scope.spawn({
                    let service = &service;
                    move || add(service, seed)
                })
            })
            .collect();
        while !adding.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            assert_eq!(service.status("/readyz").0, 200);
            assert_eq!(service.status(&format!("/v1/brands/acme/references/{}", kept[0])).0, 200);
        }
        for check in checks {
            assert_eq!(check.join().unwrap().1["verdict"], "known_fake_match");
        }
        kept.extend(adding.into_iter().map(|one| one.join().unwrap().1["id"].as_str().unwrap().to_owned()));
    });
    assert_eq!(kept.len(), 4);
    assert!(started.elapsed() > delay, "syncs were not held up");
    // Killed, so that acknowledged writes are on the disk or nowhere.
    drop(service);
    drop(slow);
    has_all(&Service::start(folder.path(), &[]), &kept);
}

#[test]
fn a_disk_that_is_slower_than_anybody_waits_is_told_and_loses_nothing_that_was_acknowledged() {
    if needs_a_file("a disk that fails") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let service = Service::start(folder.path(), &[]);
    let kept = [add(&service, 0).1["id"].as_str().unwrap().to_owned()];
    drop(service);
    let service = Service::start(folder.path(), &["--set", "server.timeout_s=2"]);
    let Some(slow) = SlowSyncs::of(&service, Duration::from_secs(4)) else { return };
    for (status, body) in [add(&service, 1), service.send("/v1/checks", &photo(0), &[])] {
        assert_eq!((status, &body["code"]), (503, &json!("timed-out")), "{body}");
    }
    assert_eq!(service.status("/healthz").0, 200);
    assert_eq!(service.status(&format!("/v1/brands/acme/references/{}", kept[0])).0, 200, "reading goes on");
    drop(slow);
    wait_for("an answer", || service.send("/v1/checks", &photo(0), &[]).0 == 200);
    has_all(&service, &kept);
    drop(service);
    has_all(&Service::start(folder.path(), &[]), &kept);
}

#[test]
fn on_a_read_only_or_full_disk_commands_fail_in_one_line() {
    if needs_a_file("a disk that fails") {
        return;
    }
    let Some(disk) = SmallDisk::in_memory(1) else { return };
    disk.fill();
    for how in ["rw", "ro"] {
        disk.remount(how);
        for args in [&["key", "list"][..], &["sweep"]] {
            let output = touchstone(disk.path(), args);
            assert_eq!(output.status.code(), Some(6), "{how}: {}", stderr(&output));
            assert_eq!(stderr(&output).trim_end().lines().count(), 1);
        }
    }
}

#[test]
#[expect(clippy::disallowed_types, reason = "holds the lock that a stalled disk would hold")]
fn a_disk_that_stalls_delays_writes_and_nothing_else() {
    if needs_a_file("a disk that fails") {
        return;
    }
    let app = TestApp::start();
    let id = app.add_fake(&photo(1));
    let path = app.folder().join("data/touchstone.db");
    let stalled = rusqlite::Connection::open(&path).unwrap();
    stalled.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::scope(|scope| {
        let checks: Vec<_> = (0..4).map(|_| scope.spawn(|| app.verdict(&photo(1)))).collect();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(app.get("/healthz").status(), 200);
        assert_eq!(app.get("/readyz").status(), 200);
        assert_eq!(app.get(&format!("/v1/brands/acme/references/{id}")).status(), 200, "reading goes on");
        std::thread::sleep(Duration::from_millis(700));
        stalled.execute_batch("ROLLBACK").unwrap();
        for check in checks {
            assert_eq!(check.join().unwrap(), "known_fake_match");
        }
    });
    // A disk that stalls longer than a request waits is reported; writes that were not stored are not acknowledged.
    stalled.execute_batch("BEGIN IMMEDIATE").unwrap();
    problem(app.post_form("/v1/checks", form(&[&photo(1)], &[])), 503, "storage-unavailable");
    stalled.execute_batch("ROLLBACK").unwrap();
    assert_eq!(app.verdict(&photo(1)), "known_fake_match");
}

/// The folder is renamed, removed, or replaced: open files still answer, and no other database is used.
#[test]
fn a_data_folder_that_is_gone_is_told_at_once_and_nothing_is_answered_from_it() {
    if needs_a_file("a disk that fails") {
        return;
    }
    let app = TestApp::start();
    let id = app.add_fake(&photo(1));
    assert_eq!(app.verdict(&photo(1)), "known_fake_match");
    let (data, aside) = (app.folder().join("data"), app.folder().join("aside"));
    let refuses = |how: &str| {
        let why = problem(app.get("/readyz"), 503, "not-ready");
        assert!(why.contains("the data folder is not the one that was opened"), "{how}: {why}");
        for response in [
            app.post_form("/v1/checks", form(&[&photo(1)], &[])),
            app.get(&format!("/v1/brands/acme/references/{id}")),
            app.post_form("/v1/brands/acme/references", form(&[&photo(2)], &[("polarity", "fake")])),
            app.post_form("/v1/lookups", form(&[&photo(1)], &[])),
        ] {
            assert_eq!(response.status(), 503, "{how}: {}", response.text().unwrap());
        }
        assert_eq!(app.get("/healthz").status(), 200);
    };
    std::fs::rename(&data, &aside).unwrap();
    refuses("renamed");
    assert!(!data.exists(), "nothing makes it anew");
    std::fs::rename(&aside, &data).unwrap();
    wait_for("readiness", || app.get("/readyz").status() == 200);
    assert_eq!(app.verdict(&photo(1)), "known_fake_match");
    app.add_fake(&photo(2));
    // A copy in its place is another database: writes to one are not in the other.
    std::fs::rename(&data, &aside).unwrap();
    std::fs::create_dir(&data).unwrap();
    std::fs::copy(aside.join("touchstone.db"), data.join("touchstone.db")).unwrap();
    refuses("replaced");
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&aside, &data).unwrap();
    wait_for("readiness", || app.get("/readyz").status() == 200);
    assert_eq!(app.verdict(&photo(2)), "known_fake_match");
    std::fs::remove_dir_all(&data).unwrap();
    refuses("removed");
    assert!(!data.exists(), "nothing makes it anew");
}
