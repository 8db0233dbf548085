//! kill -9 and power cuts at any point of a run. `KILLS` and `CUTS` set how often; scripts/bench/kill asks for 50.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::Rng;
use serde_json::Value;
use tempfile::TempDir;

use super::{Run, photos, text};
use crate::support::database::{count, name_database};
use crate::support::disk::SmallDisk;
use crate::support::pictures::photo;
use crate::support::service::Service;
use crate::support::{TestApp, form, root, times, wait_for};

/// Photos of each round.
const PHOTOS: u64 = 12;

/// Number of embeddings by the model, whatever the bytes.
fn vectors(folder: &Path) -> u64 {
    count(&folder.join("data"), "SELECT count(*) FROM vector").unsigned_abs()
}

/// Whether a look-up finds this photo's own reference.
fn found(lookup: &Value) -> bool {
    lookup["matches"][0]["similarity"].as_f64().is_some_and(|similarity| similarity > 0.9999)
}

fn serves(app: &TestApp, photo: &[u8]) -> bool {
    found(&app.post_form("/v1/lookups", form(&[photo], &[("k", "1")])).json().unwrap())
}

/// How often the old generation served afterwards, and how often the new one.
#[derive(Debug, Default)]
struct Served {
    old: u64,
    new: u64,
}

impl Served {
    fn count(&mut self, round: u64, before: u64, after: u64) {
        assert!(after == before || after == before + PHOTOS, "round {round}: {before} references became {after}");
        if after == before {
            self.old += 1;
        } else {
            self.new += 1;
        }
    }
}

/// Stops when dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a run, waits, calls `cut`, and kills the run.
fn ended_after(folder: &Path, fakes: &Path, delay: Duration, cut: impl FnOnce()) {
    let set = |name: &str, path: &str| format!("{name}={}", folder.join(path).display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_touchstone"));
    name_database(&mut command, &folder.join("data"));
    let child = command
        .current_dir(root())
        .args(["reindex", "--brand", "acme", "--no-points", "--fake", text(fakes)])
        .args(["--set", "embed.workers=1", "--set", &set("data", "data"), "--set", &set("index_dir", "index")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let child = Killed(child);
    std::thread::sleep(delay);
    cut();
    drop(child);
}

#[test]
fn a_run_killed_at_any_point_leaves_the_old_or_the_new_whole_and_goes_on_where_it_was() {
    let kills = times("KILLS", 3);
    let folder = std::sync::Arc::new(TempDir::new().unwrap());
    let round = |number: u64| folder.path().join(format!("round-{number}"));
    photos(&round(0), 0..PHOTOS);
    let started = Instant::now();
    Run::of(folder.path(), "acme", &["--no-points", "--fake", text(&round(0))]);
    let whole_run = started.elapsed();
    let app = TestApp::over(std::sync::Arc::clone(&folder), "sscd-distilled", |config| config.server.refresh_ms = 20);
    let references = |app: &TestApp| app.get_json("/v1/index")["references"].as_u64().unwrap();
    let mut random = rand::rng();
    let mut served = Served::default();
    for number in 1..=kills {
        let (before, embedded) = (references(&app), vectors(folder.path()));
        photos(&round(number), number * PHOTOS..(number + 1) * PHOTOS);
        ended_after(folder.path(), &round(number), whole_run.mul_f64(random.random_range(0.05..1.1)), || ());
        std::thread::sleep(Duration::from_millis(60));
        // The service that ran meanwhile, and sometimes one that starts on the remains.
        let fresh =
            number.is_multiple_of(5).then(|| TestApp::over(std::sync::Arc::clone(&folder), "sscd-distilled", |_| {}));
        let app_now = fresh.as_ref().unwrap_or(&app);
        let after = references(app_now);
        served.count(number, before, after);
        for place in [0, PHOTOS / 2, PHOTOS - 1] {
            let seen = serves(app_now, &photo(number * PHOTOS + place));
            assert_eq!(seen, after != before, "round {number}, photo {place}");
        }
        assert!(serves(app_now, &photo(0)));
        let kept = vectors(folder.path()) - embedded;
        let resumed = Run::of(folder.path(), "acme", &["--fake", text(&round(number))]);
        assert_eq!(resumed.embedded(), PHOTOS - kept, "round {number}: of {PHOTOS} photos {kept} had a vector");
        assert_eq!(resumed.count("added") + resumed.count("unchanged"), PHOTOS);
        wait_for("the whole round", || references(&app) == before + PHOTOS);
    }
    println!("{kills} kills: {served:?}");
}

#[test]
fn a_run_whose_power_is_cut_leaves_the_old_or_the_new_whole_and_goes_on() {
    let cuts = times("CUTS", 2);
    let Some(disk) = SmallDisk::in_file() else { return };
    let elsewhere = TempDir::new().unwrap();
    let round = |number: u64| elsewhere.path().join(format!("round-{number}"));
    photos(&round(0), 0..PHOTOS);
    let started = Instant::now();
    Run::of(disk.path(), "acme", &["--no-points", "--fake", text(&round(0))]);
    let whole_run = started.elapsed();
    let mut served = Served::default();
    for number in 1..=cuts {
        photos(&round(number), number * PHOTOS..(number + 1) * PHOTOS);
        let delay = whole_run.mul_f64(rand::rng().random_range(0.05..1.1));
        ended_after(disk.path(), &round(number), delay, || disk.cut_power());
        disk.come_back();
        let service = Service::start(disk.path(), &[]);
        let index: Value = serde_json::from_str(&service.status("/v1/index").1).unwrap();
        let (before, after) = (number * PHOTOS, index["references"].as_u64().unwrap());
        served.count(number, before, after);
        for place in [0, PHOTOS / 2, PHOTOS - 1] {
            let lookup = service.send("/v1/lookups", &photo(number * PHOTOS + place), &[("k", "1")]).1;
            assert_eq!(found(&lookup), after != before, "round {number}, photo {place}");
        }
        drop(service);
        let resumed = Run::of(disk.path(), "acme", &["--fake", text(&round(number))]);
        assert_eq!(resumed.count("added") + resumed.count("unchanged"), PHOTOS);
    }
    println!("{cuts} cuts: {served:?}");
}
