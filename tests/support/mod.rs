//! The service on port 0 over empty folders, and images to send to it.

pub mod database;
pub mod disk;
pub mod moderator;
pub mod objects;
pub mod pictures;
pub mod receiver;
pub mod service;
pub mod store;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use reqwest::blocking::multipart::{Form, Part};
use reqwest::blocking::{Client, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use touchstone::align::Vocabulary;
use touchstone::assembly::{Model, Parts};
use touchstone::config::Config;
use touchstone::domain::{Outcome, Polarity, Role, Scope};
use touchstone::embed::{Embedder, ModelManifest, load_runtime};
use touchstone::gallery::{AuditEntry, Certifier, FloodLimits, Gallery, StoredCheck};
use touchstone::http::{self, App, Certificate};
use touchstone::hygiene::GenericBank;
use touchstone::keys::{self, MOST_RATE, Wanted};
use touchstone::moderation::put_account;
use touchstone::photo::Limits;
use touchstone::scoring::Scoring;
use touchstone::screening::Clock;

/// The default and the fully open ones.
pub const MODELS: [&str; 3] = ["sscd-distilled", "efficientnet-lite0", "touchstone-open"];

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder, with its content.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries =
        walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    entries.map(|entry| (entry.path().display().to_string(), std::fs::read(entry.path()).unwrap())).collect()
}

/// Waits at most a minute until it is there.
pub fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let started = Instant::now();
    while !there() {
        assert!(started.elapsed() < Duration::from_mins(1), "{what} did not come");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Prints, even where the output of passing tests is captured, what could not be tested here.
pub fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// How often to break something: the variable's value, or a default for daily runs.
pub fn times(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

pub fn demo_photo(name: &str) -> Vec<u8> {
    let path = root().join("demo/photos").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run scripts/setup --demo", path.display()))
}

/// One of five real photos that no model takes for copies of each other.
pub fn real_photo(number: usize) -> Vec<u8> {
    demo_photo(["coffee.png", "motorcycle_left.png", "coins.png", "chelsea.png", "rocket.jpg"][number])
}

pub fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(root().join("tests/fixtures").join(name)).unwrap()
}

/// Settings over `folder`, with the models of the checkout.
pub fn config(folder: &Path, model: &str) -> Config {
    let mut config = Config {
        data: folder.join("data"),
        index_dir: folder.join("index"),
        models: root().join("models"),
        generic: root().join("models/generic"),
        model: model.to_owned(),
        runtime: root().join("models/runtime/libonnxruntime.so"),
        ..Config::default()
    };
    // The tests' program cannot decode in separate processes; tests about processes start touchstone.
    config.storage = database::storage(&config.data);
    config.decoder.apart = false;
    config.embed.workers = 1;
    config.server.max_waiting = 64;
    config
}

/// One embedder per model for the whole test run, because each uses a session and a thread.
pub fn embedder(model: &str) -> Arc<Embedder> {
    static OPEN: Mutex<Vec<(String, Arc<Embedder>)>> = Mutex::new(Vec::new());
    let mut open = OPEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((_, embedder)) = open.iter().find(|(name, _)| name == model) {
        return Arc::clone(embedder);
    }
    let config = config(Path::new("."), model);
    load_runtime(&config.runtime).unwrap();
    let manifest = ModelManifest::load(&config.models, model).unwrap();
    let embedder = Arc::new(Embedder::start(&config.models, manifest, &config.embed).unwrap());
    open.push((model.to_owned(), Arc::clone(&embedder)));
    embedder
}

/// The scoring artefact, shared like [`embedder`].
pub fn vocabulary() -> Arc<Vocabulary> {
    static VOCABULARY: std::sync::LazyLock<Arc<Vocabulary>> =
        std::sync::LazyLock::new(|| Arc::new(Vocabulary::load(&root().join("models")).unwrap()));
    Arc::clone(&VOCABULARY)
}

pub fn scoring(model: &str) -> Arc<Scoring> {
    let models = root().join("models");
    Arc::new(Scoring::load(&models, &ModelManifest::load(&models, model).unwrap()).unwrap())
}

/// The generic images, shared like [`embedder`].
pub fn bank(model: &str, gallery: &Gallery) -> Arc<GenericBank> {
    static OPEN: Mutex<Vec<(String, Arc<GenericBank>)>> = Mutex::new(Vec::new());
    let mut open = OPEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((_, bank)) = open.iter().find(|(name, _)| name == model) {
        return Arc::clone(bank);
    }
    let bank =
        GenericBank::open(&root().join("models/generic"), &embedder(model), &Limits::default(), gallery).unwrap();
    let bank = Arc::new(bank);
    open.push((model.to_owned(), Arc::clone(&bank)));
    bank
}

/// The fewest confirmed outcomes, with none wrong, that prove 99 %: 1 - 0.99^n >= 1 - 0.05 / 6.
pub const ENOUGH: usize = 477;

/// The password of every account in tests.
pub const PASSWORD: &str = "correct horse battery";

pub struct TestApp {
    pub url: String,
    pub gallery: Arc<Gallery>,
    /// The time of checks.
    pub clock: Clock,
    scoring: Arc<Scoring>,
    /// Lives as long as the app.
    folder: Arc<TempDir>,
    client: Client,
    stop: Option<oneshot::Sender<()>>,
    server: Option<thread::JoinHandle<()>>,
}

impl TestApp {
    pub fn start() -> Self {
        Self::with("sscd-distilled", |_| {})
    }

    pub fn with(model: &str, change: impl FnOnce(&mut Config)) -> Self {
        Self::over(Arc::new(TempDir::new().unwrap()), model, change)
    }

    /// Starts over a folder that another app may have used before.
    pub fn over(folder: Arc<TempDir>, model: &str, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config(folder.path(), model);
        change(&mut config);
        let gallery = database::open_gallery(&config.data);
        Self::serving(folder, config, gallery, axum::Router::new())
    }

    /// Starts with further routes beside its own.
    pub fn beside(more: axum::Router<Arc<App>>) -> Self {
        let folder = Arc::new(TempDir::new().unwrap());
        let config = config(folder.path(), "sscd-distilled");
        let gallery = database::open_gallery(&config.data);
        Self::serving(folder, config, gallery, more)
    }

    /// Starts over a gallery that is already open.
    pub fn over_gallery(folder: Arc<TempDir>, gallery: Gallery) -> Self {
        let config = config(folder.path(), "sscd-distilled");
        Self::serving(folder, config, gallery, axum::Router::new())
    }

    fn serving(folder: Arc<TempDir>, mut config: Config, gallery: Gallery, more: axum::Router<Arc<App>>) -> Self {
        config.server.listen = "127.0.0.1:0".to_owned();
        let (gallery, model) = (Arc::new(gallery), config.model.clone());
        let model = model.as_str();
        let scoring = scoring(model);
        let serving = Model {
            embedder: embedder(model),
            scoring: Arc::clone(&scoring),
            vocabulary: vocabulary(),
            bank: bank(model, &gallery),
        };
        let parts = Parts::over(&config, &config.index_dir, Arc::clone(&gallery), serving).unwrap();
        let wanted = Wanted { scope: Scope::Admin, label: Some("tests".to_owned()), days: None, rate: Some(MOST_RATE) };
        let (_, key) = keys::make(&gallery, "test", wanted).unwrap();
        let kept = (Arc::clone(&gallery), scoring, parts.screener.clock.clone());
        let app = App::new(parts, &config, touchstone::telemetry::record_metrics());
        let certificate = config.server.tls_certificate.clone().zip(config.server.tls_key.clone());
        let scheme = if certificate.is_some() { "https" } else { "http" };
        let (stop, stopped) = oneshot::channel::<()>();
        let (started, address) = std::sync::mpsc::channel();
        let server = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(async {
                let certificate = match certificate {
                    Some((chain, key)) => Some(Certificate::load(&chain, &key).await.unwrap()),
                    None => None,
                };
                let listener = std::net::TcpListener::bind(&config.server.listen).unwrap();
                started.send(listener.local_addr().unwrap()).unwrap();
                let shutdown = async {
                    let _ = stopped.await;
                };
                http::serve_with(listener, app, more, certificate, shutdown).await.unwrap();
            });
        });
        let url = format!("{scheme}://{}", address.recv().unwrap());
        let (gallery, scoring, clock) = kept;
        let client = client_with(&key);
        let app = Self { url, gallery, clock, scoring, folder, client, stop: Some(stop), server: Some(server) };
        app.wait_until_ready();
        app
    }

    fn wait_until_ready(&self) {
        for _ in 0..600 {
            if self.get("/readyz").status().is_success() {
                return;
            }
            thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("not ready: {}", self.get("/readyz").text().unwrap());
    }

    pub fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.url)).send().unwrap()
    }

    pub fn get_json(&self, path: &str) -> Value {
        self.get(path).json().unwrap()
    }

    pub fn request(&self, method: &str, path: &str) -> reqwest::blocking::RequestBuilder {
        self.client.request(method.parse().unwrap(), format!("{}{path}", self.url))
    }

    pub fn post_form(&self, path: &str, form: Form) -> Response {
        self.client.post(format!("{}{path}", self.url)).multipart(form).send().unwrap()
    }

    /// Sends photos as one listing.
    pub fn check(&self, photos: &[&[u8]], fields: &[(&'static str, &str)]) -> Value {
        let response = self.post_form("/v1/checks", form(photos, fields));
        let status = response.status();
        let body: Value = response.json().unwrap();
        assert!(status.is_success(), "{status}: {body}");
        body
    }

    pub fn check_one(&self, photo: &[u8]) -> Value {
        self.check(&[photo], &[])
    }

    pub fn verdict(&self, photo: &[u8]) -> String {
        self.check_one(photo)["verdict"].as_str().unwrap().to_owned()
    }

    /// Adds a reference and returns its body.
    pub fn add(&self, brand: &str, polarity: &str, photo: &[u8]) -> Value {
        let response = self.post_form(
            &format!("/v1/brands/{brand}/references"),
            form(&[photo], &[("polarity", polarity), ("product", "p1")]),
        );
        let status = response.status();
        let body: Value = response.json().unwrap();
        assert_eq!(status, 201, "{body}");
        body
    }

    pub fn add_fake(&self, photo: &[u8]) -> String {
        self.add("acme", "fake", photo)["id"].as_str().unwrap().to_owned()
    }

    pub fn put_policy(&self, brand: &str, policy: &Value) -> Response {
        self.request("PUT", &format!("/v1/brands/{brand}/policy")).json(policy).send().unwrap()
    }

    /// Stores outcomes of `confirmed` right and `wrong` wrong matches to the brand's fakes, all with one score.
    pub fn outcomes(&self, brand: &str, score: f64, confirmed: usize, wrong: usize) {
        for number in 0..confirmed + wrong {
            let id = format!("chk_{brand}_{score}_{number}");
            let check = StoredCheck {
                id: &id,
                idempotency_key: None,
                request_sha256: touchstone::photo::Sha256([0; 32]),
                listing_id: None,
                seller_id: None,
                action: "review",
                created_at: jiff::Timestamp::now(),
                answer: "{}",
                photos: &[],
                hits: &[],
                case: None,
                remembered: &touchstone::gallery::NewRemembered::default(),
                signals: &[],
            };
            self.gallery.save_check(&check, &FloodLimits::default()).unwrap();
            self.gallery
                .put_outcome(
                    "tests",
                    &Outcome {
                        check_id: id.clone(),
                        brand: brand.parse().unwrap(),
                        polarity: Polarity::Fake,
                        photo: touchstone::photo::Sha256::of(id.as_bytes()),
                        confirmed: number < confirmed,
                        score,
                        scoring: self.scoring.id().to_owned(),
                        decided_by: None,
                        note: None,
                        decided_at: jiff::Timestamp::now(),
                    },
                    &Certifier { scoring: self.scoring.id(), threshold: |_| None },
                )
                .unwrap();
        }
    }

    /// The audit log, oldest first; its chain must be valid.
    pub fn log(&self) -> Vec<AuditEntry> {
        assert_eq!(self.gallery.verify_audit().unwrap().wrong, None);
        let mut log = self.gallery.audit(None, 1000).unwrap();
        log.reverse();
        log
    }

    /// A new key's id and text.
    pub fn new_key(&self, scope: Scope) -> (String, String) {
        let wanted = Wanted { scope, label: None, days: None, rate: None };
        let (key, text) = keys::make(&self.gallery, "test", wanted).unwrap();
        (key.id, text)
    }

    /// An account of the console.
    pub fn account(&self, name: &str, role: Role) {
        put_account(&self.gallery, "test", name, role, PASSWORD).unwrap();
    }

    /// Folder of everything that the service stores.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A brand that is certified to block, and whose policy asks for it.
    pub fn certify(&self, brand: &str) {
        self.outcomes(brand, 0.97, ENOUGH, 0);
        let response = self.put_policy(brand, &json!({ "block": true }));
        assert!(response.status().is_success(), "{}", response.text().unwrap());
        assert_eq!(self.get_json(&format!("/v1/brands/{brand}/certificate"))["certified"], true);
    }
}

/// A client that sends a key with each request. It accepts the tests' generated certificates.
pub fn client_with(key: &str) -> Client {
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("authorization", format!("Bearer {key}").parse().unwrap());
    Client::builder().default_headers(headers).tls_danger_accept_invalid_certs(true).build().unwrap()
}

impl Drop for TestApp {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

pub fn form(photos: &[&[u8]], fields: &[(&'static str, &str)]) -> Form {
    let mut form = Form::new();
    for (name, value) in fields {
        form = form.text(*name, (*value).to_owned());
    }
    for (number, photo) in photos.iter().enumerate() {
        form = form.part("photo", Part::bytes(photo.to_vec()).file_name(format!("photo-{number}.jpg")));
    }
    form
}

/// Asserts a problem+json answer and returns its detail.
pub fn problem(response: Response, status: u16, code: &str) -> String {
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let got = response.status().as_u16();
    let body: Value = response.json().unwrap();
    assert_eq!((got, body["code"].as_str().unwrap()), (status, code), "{body}");
    assert_eq!(body["status"], status);
    assert_eq!(body["type"], format!("urn:touchstone:problem:{code}"));
    body["detail"].as_str().unwrap().to_owned()
}
