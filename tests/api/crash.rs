//! kill -9 while references are written. `KILLS` sets how often; scripts/bench/kill asks for 50.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;

use crate::support::form;
use crate::support::pictures::photo;
use crate::support::service::Service;

#[test]
fn no_acknowledged_reference_is_lost_by_kill_9() {
    let kills: u64 = std::env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let folder = tempfile::TempDir::new().unwrap();
    let acknowledged: Mutex<Vec<(u64, String)>> = Mutex::default();
    for round in 0..kills {
        let mut service = Service::start(folder.path(), &[]);
        std::thread::scope(|scope| {
            for writer in 0..2 {
                let (url, client, acknowledged) = (service.url.clone(), service.client(), &acknowledged);
                scope.spawn(move || {
                    for number in 0.. {
                        let seed = 1_000_000 + round * 10_000 + writer * 1_000 + number;
                        let sent = client
                            .post(format!("{url}/v1/brands/acme/references"))
                            .multipart(form(&[&photo(seed)], &[("polarity", "fake")]))
                            .send();
                        // The connection breaks when the process dies.
                        let Ok(answer) = sent else { return };
                        let Ok(body) = answer.json::<Value>() else { return };
                        acknowledged.lock().unwrap().push((seed, body["id"].as_str().unwrap().to_owned()));
                    }
                });
            }
            // Another moment in each round, in no step with the writes.
            std::thread::sleep(Duration::from_millis(150 + (round * 7919) % 450));
            service.child.kill().unwrap();
            service.child.wait().unwrap();
        });
    }
    let service = Service::start(folder.path(), &[]);
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() as u64 >= kills, "only {} writes were acknowledged", acknowledged.len());
    let client = service.client();
    for (seed, id) in &acknowledged {
        let kept = client.get(format!("{}/v1/brands/acme/references/{id}", service.url)).send().unwrap();
        assert!(kept.status().is_success(), "reference {id} of seed {seed} is lost");
    }
    let (seed, _) = acknowledged.last().unwrap();
    let check: Value = client
        .post(format!("{}/v1/checks", service.url))
        .multipart(form(&[&photo(*seed)], &[]))
        .send()
        .unwrap()
        .json()
        .unwrap();
    assert_eq!(check["verdict"], "known_fake_match");
    println!("{kills} kills, {} acknowledged references, none lost", acknowledged.len());
}
