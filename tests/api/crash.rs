//! kill -9 and power cuts under load. `KILLS` and `CUTS` set how often; scripts/bench/kill asks for 50.

use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use reqwest::blocking::Response;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::{stderr, touchstone};
use crate::support::disk::SmallDisk;
use crate::support::moderator::Moderator;
use crate::support::pictures::photo;
use crate::support::service::Service;
use crate::support::{PASSWORD, form, times};

/// Two write references until `end` ends them, at another moment in each round, in no step with the writes. Seeds and ids
/// of what was acknowledged are added to `kept`.
fn write_until(service: &Service, round: u64, kept: &Mutex<Vec<(u64, String)>>, end: impl FnOnce()) {
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (url, client) = (service.url.clone(), service.client());
            scope.spawn(move || {
                for number in 0.. {
                    let seed = 1_000_000 + round * 10_000 + writer * 1_000 + number;
                    let fields = [("polarity", "fake")];
                    let sent = client
                        .post(format!("{url}/v1/brands/acme/references"))
                        .multipart(form(&[&photo(seed)], &fields))
                        .send();
                    // The connection breaks when the process dies; what cannot be kept is refused.
                    let Ok(answer) = sent.and_then(Response::error_for_status) else { return };
                    let Ok(body) = answer.json::<Value>() else { return };
                    kept.lock().unwrap().push((seed, body["id"].as_str().unwrap().to_owned()));
                }
            });
        }
        std::thread::sleep(Duration::from_millis(150 + (round * 7919) % 450));
        end();
    });
}

fn has_all(service: &Service, kept: &[(u64, String)]) {
    for (seed, id) in kept {
        let status = service.status(&format!("/v1/brands/acme/references/{id}")).0;
        assert_eq!(status, 200, "reference {id} of seed {seed} is lost");
    }
    let (seed, _) = kept.last().unwrap();
    assert_eq!(service.send("/v1/checks", &photo(*seed), &[]).1["verdict"], "known_fake_match");
}

#[test]
fn no_acknowledged_reference_is_lost_by_kill_9() {
    let kills = times("KILLS", 3);
    let folder = TempDir::new().unwrap();
    let kept = Mutex::default();
    for round in 0..kills {
        let service = Service::start(folder.path(), &[]);
        let pid = service.child.id().to_string();
        let kill = || assert!(Command::new("/bin/kill").args(["-9", &pid]).status().unwrap().success());
        write_until(&service, round, &kept, kill);
    }
    let kept = kept.into_inner().unwrap();
    assert!(kept.len() as u64 >= kills, "only {} writes were acknowledged", kept.len());
    has_all(&Service::start(folder.path(), &[]), &kept);
    println!("{kills} kills, {} acknowledged references, none lost", kept.len());
}

#[test]
fn neither_references_nor_their_photos_are_lost_by_a_power_cut() {
    let cuts = times("CUTS", 3);
    let Some(disk) = SmallDisk::in_file() else { return };
    let kept = Mutex::default();
    for round in 0..cuts {
        let service = Service::start(disk.path(), &[]);
        write_until(&service, round, &kept, || disk.cut_power());
        drop(service);
        disk.come_back();
    }
    let kept = kept.into_inner().unwrap();
    assert!(kept.len() as u64 >= cuts, "only {} writes were acknowledged", kept.len());
    has_all(&Service::start(disk.path(), &[]), &kept);
    let verified = touchstone(disk.path(), &["audit", "verify"]);
    assert!(verified.status.success(), "{}", stderr(&verified));
    // A backup holds each photo against its sum.
    let elsewhere = TempDir::new().unwrap();
    let file = elsewhere.path().join("backup.tar");
    let backup = touchstone(disk.path(), &["backup", file.to_str().unwrap()]);
    assert!(backup.status.success(), "{}", stderr(&backup));
    println!("{cuts} cuts, {} acknowledged references, none lost", kept.len());
}

#[test]
fn neither_checks_nor_decisions_that_were_acknowledged_are_lost_by_kill_9_and_the_log_holds() {
    let kills = times("KILLS", 3);
    let folder = TempDir::new().unwrap();
    let mut added = Service::start(folder.path(), &[]);
    added.send("/v1/brands/acme/references", &photo(1), &[("polarity", "fake")]);
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
        assert_eq!(service.status(&format!("/v1/checks/{id}")).0, 200, "check {id} is lost");
    }
    for id in &decisions {
        let case = service.status(&format!("/v1/checks/{id}/case")).1;
        assert!(case.contains("\"decision\":\"authorised\""), "the decision about {id} is lost: {case}");
    }
    let kept = service.status("/v1/keys").1;
    let keys = keys.into_inner().unwrap();
    assert!(keys.iter().all(|id| kept.contains(id.as_str())), "a key is lost");
    let verified = touchstone(folder.path(), &["audit", "verify"]);
    assert!(verified.status.success(), "{}", stderr(&verified));
    println!("{kills} kills: {} checks, {} decisions, {} keys, none lost", checks.len(), decisions.len(), keys.len());
}
