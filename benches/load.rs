//! Sends listings to `POST /v1/checks` at a fixed rate, whether or not earlier ones were answered, and times each from
//! when it was due: a service that falls behind cannot slow its own measurement down.
//!
//!     cargo bench --bench load -- URL PHOTOS --key KEY --rate 116 --seconds 60 [--warm 5]
//!
//! PHOTOS is a folder of JPEGs, one photo per listing, in shuffled order. Prints one JSON object: answers by status,
//! latency in milliseconds, and the processor time of this program itself, which the service does not have.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_precision_loss,
    reason = "a benchmark"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::{Value, json};

const EDGE: &str = "touchstone-load";

struct Plan {
    url: String,
    key: String,
    photos: Vec<Bytes>,
    rate: f64,
    seconds: f64,
    warm: f64,
}

#[derive(Default)]
struct Seen {
    statuses: BTreeMap<String, u64>,
    verdicts: BTreeMap<String, u64>,
    /// Latency of accepted requests in milliseconds.
    accepted: Vec<f64>,
    refused: Vec<f64>,
}

fn main() {
    let plan = plan();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let started = Instant::now();
    let seen = runtime.block_on(drive(&plan));
    // Measured to the last answer, so that late answers do not look like a higher rate.
    let took = (started.elapsed().as_secs_f64() - plan.warm).max(plan.seconds);
    let Seen { statuses, verdicts, mut accepted, mut refused } = Arc::into_inner(seen).unwrap().into_inner();
    let report = json!({
        "rate": plan.rate,
        "seconds": plan.seconds,
        "statuses": statuses,
        "verdicts": verdicts,
        "accepted_per_second": accepted.len() as f64 / took,
        "accepted_ms": percentiles(&mut accepted),
        "refused_ms": percentiles(&mut refused),
        "generator_cores": own_seconds() / (took + plan.warm),
    });
    println!("{report}");
}

fn plan() -> Plan {
    let mut places = Vec::new();
    let (mut rate, mut seconds, mut warm) = (116.0, 60.0, 5.0);
    let mut key = String::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--key" {
            key = words.next().unwrap();
            continue;
        }
        let mut number = || words.next().unwrap().parse().unwrap();
        match word.as_str() {
            "--bench" => {}
            "--rate" => rate = number(),
            "--seconds" => seconds = number(),
            "--warm" => warm = number(),
            _ => places.push(word),
        }
    }
    let [url, folder] = <[String; 2]>::try_from(places).expect("URL and PHOTOS");
    let mut files: Vec<PathBuf> = walkdir::WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "jpg"))
        .collect();
    files.shuffle(&mut StdRng::seed_from_u64(6));
    let photos = files.iter().map(|file| std::fs::read(file).unwrap().into()).collect();
    Plan { url, key, photos, rate, seconds, warm }
}

async fn drive(plan: &Plan) -> Arc<Mutex<Seen>> {
    let client: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).pool_max_idle_per_host(512).build(HttpConnector::new());
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut tasks = tokio::task::JoinSet::new();
    let started = Instant::now();
    let (rate, warm) = (plan.rate, Duration::from_secs_f64(plan.warm));
    for number in 0_u32.. {
        let due = Duration::from_secs_f64(f64::from(number) / rate);
        if due.as_secs_f64() >= plan.warm + plan.seconds {
            break;
        }
        tokio::time::sleep_until((started + due).into()).await;
        let photo = &plan.photos[number as usize % plan.photos.len()];
        let request = request(plan, number, photo);
        let (client, seen) = (client.clone(), Arc::clone(&seen));
        tasks.spawn(async move {
            let (status, verdict) = match client.request(request).await {
                Ok(answer) => {
                    let status = answer.status();
                    let body = answer.into_body().collect().await.map(http_body_util::Collected::to_bytes);
                    (status.as_u16().to_string(), body.ok().filter(|_| status == StatusCode::OK))
                }
                Err(error) => (format!("no answer: {error}"), None),
            };
            let took = started.elapsed().saturating_sub(due).as_secs_f64() * 1e3;
            if due < warm {
                return;
            }
            let mut seen = seen.lock();
            *seen.statuses.entry(status).or_default() += 1;
            match verdict.and_then(|body| serde_json::from_slice::<Value>(&body).ok()) {
                Some(answer) => {
                    let verdict = answer["verdict"].as_str().unwrap_or_default().to_owned();
                    *seen.verdicts.entry(verdict).or_default() += 1;
                    seen.accepted.push(took);
                }
                None => seen.refused.push(took),
            }
        });
        // Finished tasks are dropped as they end, to save memory.
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
    seen
}

fn request(Plan { url, key, .. }: &Plan, number: u32, photo: &Bytes) -> Request<Full<Bytes>> {
    let mut body = BytesMut::with_capacity(photo.len() + 512);
    body.put_slice(
        format!(
            "--{EDGE}\r\nContent-Disposition: form-data; name=\"listing_id\"\r\n\r\nload-{number}\r\n\
             --{EDGE}\r\nContent-Disposition: form-data; name=\"seller_id\"\r\n\r\nseller-{}\r\n\
             --{EDGE}\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"{number}.jpg\"\r\n\
             Content-Type: image/jpeg\r\n\r\n",
            number % 1009
        )
        .as_bytes(),
    );
    body.put_slice(photo);
    body.put_slice(format!("\r\n--{EDGE}--\r\n").as_bytes());
    Request::post(format!("{url}/v1/checks"))
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", format!("multipart/form-data; boundary={EDGE}"))
        .body(Full::new(body.freeze()))
        .unwrap()
}

fn percentiles(times: &mut [f64]) -> Value {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
        let place = ((times.len() as f64 * share).ceil() as usize).clamp(1, times.len().max(1)) - 1;
        times.get(place).map(|time| (time * 10.0).round() / 10.0)
    };
    json!({ "count": times.len(), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p99.9": at(0.999), "max": at(1.0) })
}

/// Processor time of this process so far in seconds: user and system time, in hundredths, after the name in
/// parentheses.
fn own_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) / 100.0
}
