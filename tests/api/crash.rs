//! kill -9 and power cuts under load. `KILLS` and `CUTS` set how often; scripts/bench/kill asks for 50.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use reqwest::blocking::Response;
use serde_json::{Value, json};
use tempfile::TempDir;
use touchstone::photo::Sha256;

use crate::cli::{stderr, touchstone};
use crate::support::database::{needs_a_file, open_gallery};
use crate::support::disk::SmallDisk;
use crate::support::moderator::Moderator;
use crate::support::pictures::{photo, stolen};
use crate::support::service::Service;
use crate::support::{PASSWORD, files, form, times};

fn kill(service: &mut Service) {
    service.child.kill().unwrap();
}

/// The answer, unless the connection breaks, as it does when the process dies, or the answer is an error.
fn answered(sent: reqwest::Result<Response>) -> Option<Value> {
    sent.and_then(Response::error_for_status).and_then(Response::json).ok()
}

/// Kills the service again and again while two clients write references, each time at another moment, independent of
/// the writes.
fn no_reference_is_lost(folder: &Path, rounds: u64, end: impl Fn(&mut Service), mend: impl Fn()) {
    let kept: Mutex<Vec<(u64, String)>> = Mutex::default();
    for round in 0..rounds {
        // Dropped when the scope waits for the writers, whatever happens.
        std::thread::scope(|scope| {
            let mut service = Service::start(folder, &[]);
            for writer in 0..2 {
                let (url, client, kept) =
                    (format!("{}/v1/brands/acme/references", service.url), service.client(), &kept);
                scope.spawn(move || {
                    for number in 0.. {
                        let seed = 1_000_000 + round * 10_000 + writer * 1_000 + number;
                        let form = form(&[&photo(seed)], &[("polarity", "fake")]);
                        let Some(body) = answered(client.post(&url).multipart(form).send()) else { return };
                        kept.lock().unwrap().push((seed, body["id"].as_str().unwrap().to_owned()));
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(150 + (round * 7919) % 450));
            end(&mut service);
        });
        mend();
    }
    let service = Service::start(folder, &[]);
    let kept = kept.into_inner().unwrap();
    assert!(kept.len() as u64 >= rounds, "only {} writes were acknowledged", kept.len());
    for (seed, id) in &kept {
        let status = service.status(&format!("/v1/brands/acme/references/{id}")).0;
        assert_eq!(status, 200, "reference {id} of seed {seed} is lost");
    }
    let (seed, _) = kept.last().unwrap();
    assert_eq!(service.send("/v1/checks", &photo(*seed), &[]).1["verdict"], "known_fake_match");
    println!("ended {rounds} times: {} acknowledged references, none lost", kept.len());
}

/// The same while a moderator decides and an admin makes keys.
fn no_deed_is_lost(folder: &Path, rounds: u64, end: impl Fn(&mut Service), mend: impl Fn()) {
    let service = Service::start(folder, &[]);
    service.send("/v1/brands/acme/references", &photo(1), &[("polarity", "fake")]);
    drop(service);
    // On another disk, because nobody may have a file open on a disk whose power is cut.
    let elsewhere = TempDir::new().unwrap();
    let password = elsewhere.path().join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    let mut user = crate::cli::command(folder, &["user", "add", "robin", "--password-stdin"]);
    assert!(user.stdin(std::fs::File::open(&password).unwrap()).status().unwrap().success());
    let (checks, decisions, keys) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    for round in 0..rounds {
        // Dropped when the scope waits for the writers, whatever happens.
        std::thread::scope(|scope| {
            let mut service = Service::start(folder, &[]);
            let (checks, decisions, keys) = (&checks, &decisions, &keys);
            let (url, client) = (service.url.clone(), service.client());
            scope.spawn(move || {
                let Some(robin) = Moderator::try_sign_in(&url, "robin") else { return };
                for number in 0.. {
                    // Each from another seller: an authorisation of one seller does not apply to the next.
                    let fields = [("listing_id", "l1"), ("seller_id", &*format!("s-{round}-{number}"))];
                    let form = form(&[&photo(1)], &fields);
                    let Some(body) = answered(client.post(format!("{url}/v1/checks")).multipart(form).send()) else {
                        return;
                    };
                    let id = body["id"].as_str().unwrap().to_owned();
                    checks.lock().unwrap().push(id.clone());
                    if robin.try_decide(&id, "authorised") == Some(303) {
                        decisions.lock().unwrap().push(id);
                    }
                }
            });
            let (url, client) = (format!("{}/v1/keys", service.url), service.client());
            scope.spawn(move || {
                let wanted = json!({ "scope": "moderator" });
                while let Some(body) = answered(client.post(&url).json(&wanted).send()) {
                    keys.lock().unwrap().push(body["id"].as_str().unwrap().to_owned());
                }
            });
            std::thread::sleep(Duration::from_millis(400 + (round * 7919) % 700));
            end(&mut service);
        });
        mend();
    }
    let service = Service::start(folder, &[]);
    let (checks, decisions) = (checks.into_inner().unwrap(), decisions.into_inner().unwrap());
    assert!(checks.len() as u64 >= rounds && !decisions.is_empty());
    for id in &checks {
        assert_eq!(service.status(&format!("/v1/checks/{id}")).0, 200, "check {id} is lost");
    }
    for id in &decisions {
        let case = service.status(&format!("/v1/checks/{id}/case")).1;
        assert!(case.contains("\"decision\":\"authorised\""), "the decision about {id} is lost: {case}");
    }
    let kept = service.status("/v1/keys").1;
    let keys = keys.into_inner().unwrap();
    assert!(!keys.is_empty() && keys.iter().all(|id| kept.contains(id.as_str())), "a key is lost");
    let (checks, decisions, keys) = (checks.len(), decisions.len(), keys.len());
    println!("ended {rounds} times: {checks} checks, {decisions} decisions, {keys} keys, none lost");
}

/// The log's chain is valid, and a backup finds each photo with its checksum.
fn is_whole(folder: &Path) {
    let elsewhere = TempDir::new().unwrap();
    let file = elsewhere.path().join("backup.tar");
    for args in [&["audit", "verify"][..], &["backup", file.to_str().unwrap()]] {
        let output = touchstone(folder, args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn no_acknowledged_reference_is_lost_by_kill_9() {
    let folder = TempDir::new().unwrap();
    no_reference_is_lost(folder.path(), times("KILLS", 3), kill, || ());
    is_whole(folder.path());
}

#[test]
fn no_acknowledged_reference_is_lost_by_a_power_cut() {
    if needs_a_file("a power cut") {
        return;
    }
    let Some(disk) = SmallDisk::in_file() else { return };
    no_reference_is_lost(disk.path(), times("CUTS", 3), |_| disk.cut_power(), || disk.come_back());
    is_whole(disk.path());
}

#[test]
fn no_acknowledged_check_decision_or_key_is_lost_by_kill_9_and_the_log_holds() {
    let folder = TempDir::new().unwrap();
    no_deed_is_lost(folder.path(), times("KILLS", 3), kill, || ());
    is_whole(folder.path());
}

#[test]
fn no_acknowledged_check_decision_or_key_is_lost_by_a_power_cut_and_the_log_holds() {
    if needs_a_file("a power cut") {
        return;
    }
    let Some(disk) = SmallDisk::in_file() else { return };
    no_deed_is_lost(disk.path(), times("CUTS", 3), |_| disk.cut_power(), || disk.come_back());
    is_whole(disk.path());
}

/// A run stores many photos before it syncs them; another client may add one of them meanwhile, or after the run was
/// killed.
#[test]
fn a_photo_that_a_run_has_kept_unsynced_survives_a_power_cut_once_its_reference_is_acknowledged() {
    if needs_a_file("a power cut") {
        return;
    }
    let Some(disk) = SmallDisk::in_file() else { return };
    let gallery = open_gallery(&disk.path().join("data"));
    for seed in 0..4 {
        gallery.keep_photo(Sha256::of(&photo(seed)), &photo(seed)).unwrap();
    }
    drop(gallery);
    let service = Service::start(disk.path(), &[]);
    for seed in 0..4 {
        assert_eq!(service.send("/v1/brands/acme/references", &photo(seed), &[("polarity", "fake")]).0, 201);
    }
    disk.cut_power();
    drop(service);
    disk.come_back();
    is_whole(disk.path());
}

#[test]
fn what_was_erased_does_not_come_back_after_a_power_cut() {
    if needs_a_file("a power cut") {
        return;
    }
    let Some(disk) = SmallDisk::in_file() else { return };
    let service = Service::start(disk.path(), &[]);
    let added = service.send("/v1/brands/acme/references", &photo(1), &[("polarity", "fake")]).1;
    assert_eq!(service.send("/v1/checks", &stolen(&photo(1)), &[("seller_id", "s1")]).1["action"], "review");
    let left = |kind: &str| files(&disk.path().join("data").join(kind)).len();
    assert_eq!(left("uploads"), 1);
    let forgotten = touchstone(disk.path(), &["forget-seller", "s1"]);
    assert!(forgotten.status.success(), "{}", stderr(&forgotten));
    disk.cut_power();
    drop(service);
    disk.come_back();
    assert_eq!(left("uploads"), 0);
    let service = Service::start(disk.path(), &[]);
    let reference = format!("{}/v1/brands/acme/references/{}", service.url, added["id"].as_str().unwrap());
    assert_eq!(service.client().delete(reference).send().unwrap().status(), 204);
    disk.cut_power();
    drop(service);
    disk.come_back();
    assert_eq!((left("photos"), left("thumbnails")), (0, 0));
}
