//! Several nodes over one PostgreSQL database and one folder of photos.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::{self, stderr, stdout};
use crate::support::database::Server;
use crate::support::objects::ObjectStore;
use crate::support::pictures::photo;
use crate::support::service::Service;
use crate::support::{form, times, wait_for};

const DATABASE: &str = "TOUCHSTONE_STORAGE__DATABASE";

/// Starts a node; all nodes of a folder share its photos.
fn node(server: &Server, folder: &Path, name: &str) -> Service {
    let index = format!("index_dir={}", folder.join(name).display());
    Service::start_ready(folder, |command| {
        command.env(DATABASE, &server.url).args(["--set", &index, "--set", "server.refresh_ms=50"]);
    })
}

fn command(server: &Server, folder: &Path, args: &[&str]) -> std::process::Output {
    cli::command(folder, args).env(DATABASE, &server.url).output().unwrap()
}

fn add(node: &Service, seed: u64) -> (u16, Value) {
    node.send("/v1/brands/acme/references", &photo(seed), &[("polarity", "fake"), ("kind", "photo")])
}

fn verdict(node: &Service, seed: u64) -> String {
    node.send("/v1/checks", &photo(seed), &[]).1["verdict"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn what_one_node_is_told_holds_for_all() {
    let Some(server) = Server::start() else { return };
    let folder = TempDir::new().unwrap();
    let nodes = [node(&server, folder.path(), "one"), node(&server, folder.path(), "two")];
    assert_eq!(add(&nodes[0], 1).0, 201);
    wait_for("the reference at the other node", || verdict(&nodes[1], 1) == "known_fake_match");
    // One idempotency key is one check, whichever node gets it.
    let sent: Vec<Value> = std::thread::scope(|scope| {
        let sends = nodes.iter().cycle().take(6).map(|node| {
            scope.spawn(|| {
                let request = node.client().post(format!("{}/v1/checks", node.url)).header("idempotency-key", "k1");
                request.multipart(form(&[&photo(2)], &[])).send().unwrap().json::<Value>().unwrap()
            })
        });
        let sends: Vec<_> = sends.collect();
        sends.into_iter().map(|send| send.join().unwrap()).collect()
    });
    assert!(sent.iter().all(|answer| answer["id"] == sent[0]["id"] && answer["id"].is_string()), "{sent:?}");
    // A key that one node revoked is refused by the other at once.
    let made = nodes[0].client().post(format!("{}/v1/keys", nodes[0].url));
    let made: Value = made.json(&json!({ "scope": "admin", "label": "shop" })).send().unwrap().json().unwrap();
    let key = made["key"].as_str().unwrap();
    let used = |node: &Service| {
        crate::support::client_with(key).get(format!("{}/v1/index", node.url)).send().unwrap().status()
    };
    assert_ne!(used(&nodes[1]), 401);
    let revoke = format!("{}/v1/keys/{}", nodes[0].url, made["id"].as_str().unwrap());
    assert!(nodes[0].client().delete(revoke).send().unwrap().status().is_success());
    assert_eq!(used(&nodes[1]), 401);
    let audit = command(&server, folder.path(), &["audit", "verify"]);
    assert!(audit.status.success(), "{}{}", stdout(&audit), stderr(&audit));
}

#[test]
fn a_reindex_on_one_machine_reaches_every_node_and_no_request_is_dropped() {
    let Some(server) = Server::start() else { return };
    let folder = TempDir::new().unwrap();
    let nodes = [node(&server, folder.path(), "one"), node(&server, folder.path(), "two")];
    let fakes = folder.path().join("fakes");
    std::fs::create_dir(&fakes).unwrap();
    for seed in 10..22 {
        std::fs::write(fakes.join(format!("{seed}.jpg")), photo(seed)).unwrap();
    }
    let (done, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for node in &nodes {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    let (status, body) = node.send("/v1/checks", &photo(10), &[]);
                    assert_eq!(status, 200, "{body}");
                    answered.fetch_add(1, Ordering::AcqRel);
                }
            });
        }
        let args = ["reindex", "--brand", "acme", "--no-points", "--fake", &fakes.to_string_lossy()];
        let run = command(&server, folder.path(), &args);
        let seen = || nodes.iter().all(|node| (10..22).all(|seed| verdict(node, seed) == "known_fake_match"));
        let started = Instant::now();
        while run.status.success() && !seen() && started.elapsed() < Duration::from_mins(1) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let reached = seen();
        done.store(true, Ordering::Release);
        assert!(run.status.success(), "{}", stderr(&run));
        assert!(reached, "the run reaches both nodes");
    });
    assert!(answered.load(Ordering::Acquire) > 0);
}

#[test]
fn no_acknowledged_write_is_lost_when_nodes_are_killed_and_the_database_restarts() {
    let Some(server) = Server::start() else { return };
    let (kills, restarts) = (times("KILLS", 3), times("RESTARTS", 2));
    let folder = TempDir::new().unwrap();
    let nodes = [node(&server, folder.path(), "one"), node(&server, folder.path(), "two")].map(Mutex::new);
    let (next, done) = (AtomicU64::new(1000), AtomicBool::new(false));
    let kept = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for place in &nodes {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    let (url, client) = {
                        let node = place.lock().unwrap();
                        (node.url.clone(), node.client())
                    };
                    let seed = next.fetch_add(1, Ordering::AcqRel);
                    let sent = client
                        .post(format!("{url}/v1/brands/acme/references"))
                        .multipart(form(&[&photo(seed)], &[("polarity", "fake"), ("kind", "photo")]))
                        .send();
                    // What was not acknowledged may be stored or not.
                    if let Ok(answer) = sent
                        && answer.status() == 201
                        && let Ok(body) = answer.json::<Value>()
                    {
                        kept.lock().unwrap().push((seed, body["id"].as_str().unwrap().to_owned()));
                    }
                }
            });
        }
        let mut events: Vec<bool> = (0..kills).map(|_| true).chain((0..restarts).map(|_| false)).collect();
        rand::seq::SliceRandom::shuffle(&mut events[..], &mut rand::rng());
        for (number, kill) in events.into_iter().enumerate() {
            std::thread::sleep(Duration::from_millis(300));
            if kill {
                let name = ["one", "two"][number % 2];
                let mut place = nodes[number % 2].lock().unwrap();
                let _ = place.child.kill();
                let _ = place.child.wait();
                *place = node(&server, folder.path(), name);
            } else {
                server.restart();
            }
        }
        done.store(true, Ordering::Release);
    });
    let kept = kept.into_inner().unwrap();
    let nodes = nodes.map(|place| place.into_inner().unwrap());
    println!("{} references were acknowledged over {kills} kills and {restarts} restarts", kept.len());
    assert!(!kept.is_empty());
    for node in &nodes {
        wait_for("readiness", || node.status("/readyz").0 == 200);
        for (seed, id) in &kept {
            let (status, body) = node.status(&format!("/v1/brands/acme/references/{id}"));
            assert_eq!(status, 200, "{id}: {body}");
            if seed % 5 == 0 {
                assert_eq!(verdict(node, *seed), "known_fake_match", "{id}");
            }
        }
    }
    let audit = command(&server, folder.path(), &["audit", "verify"]);
    assert!(audit.status.success(), "{}{}", stdout(&audit), stderr(&audit));
}

#[test]
fn records_move_to_another_engine_and_back_and_an_interrupted_copy_goes_on() {
    let Some(server) = Server::start() else { return };
    let folder = TempDir::new().unwrap();
    let fakes = folder.path().join("fakes");
    std::fs::create_dir(&fakes).unwrap();
    for seed in 0..4 {
        std::fs::write(fakes.join(format!("{seed}.jpg")), photo(seed)).unwrap();
    }
    let run = |args: &[&str], database: Option<&str>| {
        let mut command = cli::command(folder.path(), args);
        match database {
            Some(url) => command.env(DATABASE, url),
            None => command.env_remove(DATABASE),
        };
        command.output().unwrap()
    };
    let taken = run(&["reindex", "--brand", "acme", "--no-points", "--fake", &fakes.to_string_lossy()], None);
    assert!(taken.status.success(), "{}", stderr(&taken));
    let file = folder.path().join("data/touchstone.db").display().to_string();
    let copy = |from: &str, to: &str| run(&["storage", "copy", "--from", from, "--to", to, "--json"], None);
    let tables = |output: &std::process::Output| -> Vec<(Value, Value, Value)> {
        assert!(output.status.success(), "{}", stderr(output));
        let tables: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        tables.iter().map(|table| (table["table"].clone(), table["rows"].clone(), table["sha256"].clone())).collect()
    };
    let there = tables(&copy(&file, &server.url));
    assert!(there.iter().any(|(table, rows, _)| table == "reference" && rows == 4));
    // Once more changes nothing, and says the same.
    let again = copy(&file, &server.url);
    assert_eq!(tables(&again), there);
    assert!(!stdout(&again).contains("\"was_there\":false"), "{}", stdout(&again));
    let back = folder.path().join("back.db").display().to_string();
    assert_eq!(tables(&copy(&server.url, &back)), there);
    // The copy serves: the same reference is found, and new ones get new keys.
    let served = run(&["check", &fakes.join("1.jpg").to_string_lossy(), "--json"], Some(&server.url));
    assert!(stdout(&served).contains("known_fake_match"), "{}{}", stdout(&served), stderr(&served));
    std::fs::write(fakes.join("9.jpg"), photo(9)).unwrap();
    let more =
        run(&["reindex", "--brand", "acme", "--no-points", "--fake", &fakes.to_string_lossy()], Some(&server.url));
    assert!(more.status.success(), "{}", stderr(&more));
    // Records of another gallery are not written over.
    let refused = copy(&file, &server.url);
    assert_eq!(refused.status.code(), Some(8), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("copy to an empty database"), "{}", stderr(&refused));
    let nothing = copy(&folder.path().join("none.db").display().to_string(), &back);
    assert_eq!((nothing.status.code(), nothing.stdout.is_empty()), (Some(6), true), "{}", stderr(&nothing));
}

#[test]
fn a_node_goes_on_by_itself_after_the_server_has_ended_its_connections_or_was_restarted() {
    let Some(server) = Server::start() else { return };
    let folder = TempDir::new().unwrap();
    // Nothing is remembered, so that nothing writes in the background.
    let node = Service::start_ready(folder.path(), |command| {
        command.env(DATABASE, &server.url).args(["--set", "memory.keep=false", "--set", "server.refresh_ms=50"]);
    });
    let ended = || {
        let mut db = postgres::Client::connect(&server.url, postgres::NoTls).unwrap();
        db.batch_execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'touchstone'",
        )
        .unwrap();
    };
    for end in [&ended as &dyn Fn(), &|| server.restart()] {
        assert_eq!(node.send("/v1/checks", &photo(1), &[]).0, 200);
        end();
        // A look while it is away notes the fault.
        let _ = node.status("/readyz");
        wait_for("readiness", || node.status("/readyz").0 == 200);
        assert_eq!(node.send("/v1/checks", &photo(1), &[]).0, 200);
    }
    assert_eq!(node.status("/v1/checks/%00").0, 404);
}

#[test]
fn a_part_of_a_gallery_is_not_served_and_the_copy_can_be_finished() {
    let Some(server) = Server::start() else { return };
    let folder = TempDir::new().unwrap();
    let first = node(&server, folder.path(), "one");
    assert_eq!(add(&first, 1).0, 201);
    drop(first);
    let file = folder.path().join("copy.db");
    let copy = |from: &str, to: &str| command(&server, folder.path(), &["storage", "copy", "--from", from, "--to", to]);
    assert!(copy(&server.url, &file.display().to_string()).status.success());
    // As a copy that was killed before its last table left it.
    let cut = postgres::Client::connect(&server.url, postgres::NoTls).unwrap().batch_execute(
        "UPDATE gallery SET id = 'unfinished'; DELETE FROM words; DELETE FROM vector; DELETE FROM reference",
    );
    cut.unwrap();
    let served = command(&server, folder.path(), &["key", "list"]);
    assert_eq!(served.status.code(), Some(6), "{}", stdout(&served));
    assert!(stderr(&served).contains("touchstone storage copy"), "{}", stderr(&served));
    let finished = copy(&file.display().to_string(), &server.url);
    assert!(finished.status.success(), "{}", stderr(&finished));
    assert_eq!(verdict(&node(&server, folder.path(), "two"), 1), "known_fake_match");
}

#[test]
fn a_node_does_not_write_after_a_newer_one_has_migrated_the_database() {
    let Some(server) = Server::start() else { return };
    let folder = TempDir::new().unwrap();
    let node = node(&server, folder.path(), "one");
    assert_eq!(add(&node, 1).0, 201);
    let mut db = postgres::Client::connect(&server.url, postgres::NoTls).unwrap();
    db.batch_execute("UPDATE schema_version SET version = version + 1").unwrap();
    assert_eq!(add(&node, 2).0, 503);
    let newer = command(&server, folder.path(), &["key", "list"]);
    assert_eq!(newer.status.code(), Some(6));
    assert!(stderr(&newer).contains("run a newer touchstone"), "{}", stderr(&newer));
}

#[test]
fn a_database_that_cannot_be_reached_is_one_line_without_the_password() {
    let folder = TempDir::new().unwrap();
    let tried = |url: &str| cli::command(folder.path(), &["key", "list"]).env(DATABASE, url).output().unwrap();
    let unreachable = tried("postgres://touchstone:geheim@127.0.0.1:1/touchstone");
    assert_eq!(unreachable.status.code(), Some(6));
    let said = stderr(&unreachable);
    assert!(
        said.trim_end().lines().count() == 1 && said.contains("127.0.0.1:1/touchstone") && !said.contains("geheim"),
        "{said}"
    );
    let odd = tried("postgres://touchstone:12/geheim@127.0.0.1:1/touchstone");
    assert!(!stderr(&odd).contains("geheim"), "{}", stderr(&odd));
    let wrong = tried("mysql://touchstone:geheim@127.0.0.1/touchstone");
    assert_eq!(wrong.status.code(), Some(4));
    assert!(stderr(&wrong).contains("postgres://") && !stderr(&wrong).contains("geheim"), "{}", stderr(&wrong));
}

#[test]
fn photos_in_an_object_store_serve_nodes_that_share_no_folder_and_a_store_that_hangs_loses_nothing() {
    let (Some(server), Some(store)) = (Server::start(), ObjectStore::start()) else { return };
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let start = |folder: &TempDir, key: Option<&str>| {
        if let Some(key) = key {
            std::fs::write(folder.path().join("admin-key"), key).unwrap();
        }
        Service::start_ready(folder.path(), |command| {
            store.configure(command);
            command.env(DATABASE, &server.url).args(["--set", "server.refresh_ms=50", "--set", "memory.keep=false"]);
        })
    };
    let one = start(&folders[0], None);
    let two = start(&folders[1], Some(&one.key));
    let (status, added) = add(&one, 1);
    assert_eq!(status, 201, "{added}");
    let sum = added["sha256"].as_str().unwrap();
    assert!(store.list("production/photos/").contains(sum) && !folders[0].path().join("data/photos").exists());
    wait_for("the reference at the other node", || verdict(&two, 1) == "known_fake_match");
    wait_for("its keypoints", || store.list("production/features/").contains(sum));
    // The other node has no keypoints of its own: a strong edit is found by those in the store.
    let (checked, body) = two.send("/v1/checks", &crate::support::pictures::stolen(&photo(1)), &[("seller_id", "s1")]);
    assert_eq!(
        (checked, body["photos"][0]["matches"][0]["reference_id"].clone()),
        (200, added["id"].clone()),
        "{body}"
    );
    assert!(store.list("production/uploads/").contains("<Key>"), "the photo of a check that is reviewed is stored");
    store.hang(true);
    let (refused, problem) = add(&one, 2);
    assert_eq!(refused, 503, "{problem}");
    assert_eq!(two.status("/healthz").0, 200);
    store.hang(false);
    wait_for("the store", || add(&one, 2).0 == 201);
    wait_for("the new reference at the other node", || verdict(&two, 2) == "known_fake_match");
    let deleted =
        one.client().delete(format!("{}/v1/brands/acme/references/{}", one.url, added["id"].as_str().unwrap()));
    assert!(deleted.send().unwrap().status().is_success());
    assert!(!store.list("production/photos/").contains(sum) && !store.list("production/features/").contains(sum));
    // Photos are read back from the store.
    let backup = folders[0].path().join("backup.tar");
    let mut done = cli::command(folders[0].path(), &["backup", &backup.to_string_lossy()]);
    store.configure(&mut done);
    let done = done.env(DATABASE, &server.url).output().unwrap();
    assert!(
        done.status.success() && stdout(&done).contains("1 references' photos"),
        "{}{}",
        stdout(&done),
        stderr(&done)
    );
}
