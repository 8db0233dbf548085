//! Disks that are full, read-only or stall, pages that are damaged, clocks that go back, requests that panic. What needs a
//! file system of its own mounts one, and is skipped, saying so, where that is not allowed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rand::Rng;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::{stderr, touchstone};
use crate::support::moderator::Moderator;
use crate::support::pictures::photo;
use crate::support::service::{Service, serve};
use crate::support::{PASSWORD, TestApp, form, problem};

/// A small file system in memory, until it is dropped.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    fn new(megabytes: u32) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Self { folder });
        }
        println!("SKIPPED: no file system may be mounted here");
        None
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn remount(&self, how: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(self.path()).status();
        assert!(done.unwrap().success());
    }

    fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = std::fs::File::create(&path).unwrap();
        let _ = std::io::copy(&mut std::io::repeat(1), &mut file);
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn status(service: &Service, path: &str) -> (u16, String) {
    let answer = service.client().get(format!("{}{path}", service.url)).send().unwrap();
    (answer.status().as_u16(), answer.text().unwrap())
}

fn send(service: &Service, path: &str, bytes: &[u8], fields: &[(&'static str, &str)]) -> (u16, Value) {
    let answer =
        service.client().post(format!("{}{path}", service.url)).multipart(form(&[bytes], fields)).send().unwrap();
    (answer.status().as_u16(), answer.json().unwrap())
}

fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let started = Instant::now();
    while !there() {
        assert!(started.elapsed() < Duration::from_mins(1), "{what} did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Fills or closes the disk, and sees that nothing is said that is not kept, that the state is clear, and that all goes
/// on by itself afterwards.
fn outlives(folder: &Path, service: Service, break_disk: impl FnOnce(&Service), mend_disk: impl FnOnce(&Service)) {
    let add = |seed: u64| send(&service, "/v1/brands/acme/references", &photo(seed), &[("polarity", "fake")]);
    let mut kept: Vec<String> = (0..3).map(|seed| add(seed).1["id"].as_str().unwrap().to_owned()).collect();
    break_disk(&service);
    wait_for("a refusal", || {
        let (status, body) = add(rand::rng().random_range(1000..1_000_000));
        if status == 201 {
            kept.push(body["id"].as_str().unwrap().to_owned());
        } else {
            assert_eq!((status, &body["code"]), (503, &json!("storage-unavailable")), "{body}");
        }
        status == 503
    });
    let (ready, why) = status(&service, "/readyz");
    assert!(ready == 503 && why.contains("nothing can be written"), "{ready} {why}");
    for seed in [0, 77] {
        let (status, body) = send(&service, "/v1/checks", &photo(seed), &[]);
        assert_eq!((status, &body["code"]), (503, &json!("not-ready")), "{body}");
    }
    assert_eq!(status(&service, "/healthz").0, 200);
    assert_eq!(status(&service, &format!("/v1/brands/acme/references/{}", kept[0])).0, 200, "reading goes on");
    mend_disk(&service);
    wait_for("readiness", || status(&service, "/readyz").0 == 200);
    assert_eq!(send(&service, "/v1/checks", &photo(0), &[]).1["verdict"], "known_fake_match");
    assert_eq!(add(5).0, 201);
    drop(service);
    let service = Service::start(folder, &[]);
    for id in kept {
        assert_eq!(status(&service, &format!("/v1/brands/acme/references/{id}")).0, 200, "{id} is lost");
    }
}

#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged_and_is_told() {
    let Some(disk) = SmallDisk::new(24) else { return };
    let service = Service::start(disk.path(), &[]);
    let empty = |_: &Service| std::fs::remove_file(disk.path().join("filler")).unwrap();
    outlives(disk.path(), service, |_| drop(disk.fill()), empty);
}

#[test]
fn a_disk_that_takes_no_more_writes_loses_nothing_that_was_acknowledged_and_is_told() {
    let folder = TempDir::new().unwrap();
    // Every write of the process is refused, and the signal that would end it over that is ignored.
    let service = Service::start_ready(folder.path(), |command| {
        let plain = std::mem::replace(command, Command::new("/bin/sh"));
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(plain.get_program()).args(plain.get_args());
        command.current_dir(crate::support::root());
    });
    let allow = |bytes: &'static str| {
        move |service: &Service| {
            let pid = service.child.id().to_string();
            let limit = format!("--fsize={bytes}:unlimited");
            assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
        }
    };
    outlives(folder.path(), service, allow("0"), allow("unlimited"));
}

#[test]
fn on_a_read_only_or_full_disk_commands_fail_in_one_line() {
    let Some(disk) = SmallDisk::new(1) else { return };
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
fn a_damaged_page_is_told_and_never_becomes_no_match() {
    let tries: u64 = std::env::var("PAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let folder = TempDir::new().unwrap();
    let service = Service::start(folder.path(), &[]);
    for seed in 0..8 {
        send(&service, "/v1/brands/acme/references", &photo(seed), &[("polarity", "fake")]);
    }
    let key = service.key.clone();
    drop(service);
    let database = folder.path().join("data/touchstone.db");
    // What is in the log of writes comes into the pages.
    assert!(touchstone(folder.path(), &["sweep"]).status.success());
    let whole = std::fs::read(&database).unwrap();
    let wal = folder.path().join("data/touchstone.db-wal");
    let mut random = rand::rng();
    let mut seen = [0; 3];
    for _ in 0..tries {
        let _ = std::fs::remove_file(&wal);
        let mut damaged = whole.clone();
        let page = random.random_range(0..whole.len() / 4096) * 4096;
        random.fill(&mut damaged[page..page + 4096]);
        std::fs::write(&database, &damaged).unwrap();
        let mut child = serve(folder.path(), &[]);
        let mut child =
            child.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let url =
            lines.by_ref().map_while(Result::ok).find_map(|line| line.strip_prefix("listening on ").map(str::to_owned));
        let Some(url) = url else {
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
            seen[0] += 1;
            continue;
        };
        let service = Service { child, url, key: key.clone() };
        for _ in 0..20 {
            let (status, body) = send(&service, "/v1/checks", &photo(3), &[]);
            match status {
                200 if body["verdict"] == "known_fake_match" => seen[1] += 1,
                200 => assert_eq!(body["verdict"], "undecidable", "page {}: {body}", page / 4096),
                // A page of keys or sessions: nobody gets in.
                401 | 503 => seen[2] += 1,
                other => panic!("{other} {body}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    println!("{tries} pages: {} no start, {} checks right, {} refused", seen[0], seen[1], seen[2]);
}

#[test]
fn neither_checks_nor_decisions_that_were_acknowledged_are_lost_by_kill_9_and_the_log_holds() {
    let kills: u64 = std::env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let folder = TempDir::new().unwrap();
    let mut added = Service::start(folder.path(), &[]);
    send(&added, "/v1/brands/acme/references", &photo(1), &[("polarity", "fake")]);
    added.child.kill().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    let mut user = crate::cli::command(folder.path(), &["user", "add", "robin", "--password-stdin"]);
    assert!(user.stdin(std::fs::File::open(&password).unwrap()).status().unwrap().success());
    let (checks, decisions, keys) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    for round in 0..kills {
        let mut service = Service::start(folder.path(), &[]);
        std::thread::scope(|scope| {
            let (service_ref, checks, decisions, keys) = (&service, &checks, &decisions, &keys);
            let (url, client) = (service_ref.url.clone(), service_ref.client());
            scope.spawn(move || {
                let Some(robin) = Moderator::try_sign_in(&url, "robin") else { return };
                for number in 0.. {
                    // Each of a seller of its own: what is authorised for one is asked again for the next.
                    let fields = [("listing_id", "l1"), ("seller_id", &*format!("s-{round}-{number}"))];
                    let sent = client.post(format!("{url}/v1/checks")).multipart(form(&[&photo(1)], &fields)).send();
                    let Ok(body) = sent.and_then(reqwest::blocking::Response::json::<Value>) else { return };
                    let Some(id) = body["id"].as_str().map(str::to_owned) else { return };
                    checks.lock().unwrap().push(id.clone());
                    if robin.try_decide(&id, "authorised") == Some(303) {
                        decisions.lock().unwrap().push(id);
                    }
                }
            });
            let (url, client) = (service_ref.url.clone(), service_ref.client());
            scope.spawn(move || {
                loop {
                    let sent = client.post(format!("{url}/v1/keys")).json(&json!({ "scope": "moderator" })).send();
                    let Ok(body) = sent.and_then(reqwest::blocking::Response::json::<Value>) else { return };
                    let Some(id) = body["id"].as_str() else { return };
                    keys.lock().unwrap().push(id.to_owned());
                }
            });
            std::thread::sleep(Duration::from_millis(400 + (round * 7919) % 700));
            let pid = service.child.id().to_string();
            assert!(Command::new("/bin/kill").args(["-9", &pid]).status().unwrap().success());
        });
        service.child.wait().unwrap();
    }
    let service = Service::start(folder.path(), &[]);
    let (checks, decisions) = (checks.into_inner().unwrap(), decisions.into_inner().unwrap());
    assert!(checks.len() as u64 >= kills && !decisions.is_empty());
    for id in &checks {
        assert_eq!(status(&service, &format!("/v1/checks/{id}")).0, 200, "check {id} is lost");
    }
    for id in &decisions {
        let case = status(&service, &format!("/v1/checks/{id}/case")).1;
        assert!(case.contains("\"decision\":\"authorised\""), "the decision about {id} is lost: {case}");
    }
    let kept = status(&service, "/v1/keys").1;
    let keys = keys.into_inner().unwrap();
    assert!(keys.iter().all(|id| kept.contains(id.as_str())), "a key is lost");
    let verified = touchstone(folder.path(), &["audit", "verify"]);
    assert!(verified.status.success(), "{}", stderr(&verified));
    println!("{kills} kills: {} checks, {} decisions, {} keys, none lost", checks.len(), decisions.len(), keys.len());
}

#[test]
#[expect(clippy::disallowed_types, reason = "holds the lock that a stalled disk would hold")]
fn a_disk_that_stalls_delays_writes_and_nothing_else() {
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
    // One that stalls for longer than anybody waits is told; what could not be kept is not said.
    stalled.execute_batch("BEGIN IMMEDIATE").unwrap();
    problem(app.post_form("/v1/checks", form(&[&photo(1)], &[])), 503, "storage-unavailable");
    stalled.execute_batch("ROLLBACK").unwrap();
    assert_eq!(app.verdict(&photo(1)), "known_fake_match");
}

#[test]
#[expect(clippy::disallowed_types, reason = "sets what was decided into the future")]
fn after_the_clock_was_set_back_the_last_word_still_holds() {
    let app = TestApp::start();
    app.add_fake(&photo(1));
    let robin = Moderator::new(&app, "robin");
    let send = || app.check(&[&photo(1)], &[("seller_id", "s1")])["id"].as_str().unwrap().to_owned();
    let first = send();
    robin.decide(&first, "no_match");
    assert_eq!(app.verdict(&photo(1)), "no_match", "what was decided is not asked again");
    // As if that had been said by a clock that was a year ahead.
    let db = rusqlite::Connection::open(app.folder().join("data/touchstone.db")).unwrap();
    db.execute_batch("UPDATE decided_pair SET decided_at = '2099-01-01T00:00:00Z'").unwrap();
    drop(db);
    let kim = Moderator::new(&app, "kim");
    let other =
        app.check(&[&crate::support::pictures::jpeg(&crate::support::pictures::scene(1), 40)], &[("seller_id", "s2")]);
    if other["action"] == "review" {
        kim.decide(other["id"].as_str().unwrap(), "fake");
        assert_eq!(app.verdict(&photo(1)), "known_fake_match", "the later word holds, whatever the clock said");
    }
    let key = app.request("POST", "/v1/keys").json(&json!({ "scope": "admin", "days": 1 })).send().unwrap();
    assert_eq!(key.status(), 201);
}

#[test]
fn a_panic_in_one_request_ends_that_request_only() {
    let app = TestApp::beside(
        axum::Router::new().route("/panics", axum::routing::get(async || -> &'static str { panic!("as a test") })),
    );
    app.add_fake(&photo(1));
    for _ in 0..5 {
        problem(app.get("/panics"), 500, "internal");
    }
    assert_eq!(app.verdict(&photo(1)), "known_fake_match");
}
