//! An object store that answers the S3 requests of these tests: objects, heads and listings.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::Digest;

use super::database::name_database;
use super::root;

struct Shelf {
    objects: BTreeMap<String, Vec<u8>>,
    sent: AtomicUsize,
    /// Objects that are listed but not returned, with the status answered instead. With 404 they are not listed either.
    refused: Mutex<BTreeMap<String, u16>>,
}

/// Lives as long as the test's process.
pub struct ObjectServer {
    url: String,
    shelf: Arc<Shelf>,
}

impl ObjectServer {
    /// Serves objects, each as `<bucket>/<path>`.
    pub fn start(objects: Vec<(&str, Vec<u8>)>) -> Self {
        let objects = objects.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect();
        let shelf = Arc::new(Shelf { objects, sent: AtomicUsize::new(0), refused: Mutex::default() });
        let (started, address) = std::sync::mpsc::channel();
        let app = axum::Router::new().fallback(answer).with_state(Arc::clone(&shelf));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                started.send(listener.local_addr().unwrap()).unwrap();
                axum::serve(listener, app).await.unwrap();
            });
        });
        Self { url: format!("http://{}", address.recv().unwrap()), shelf }
    }

    /// Address of the store.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers requests for an object with a status from now on.
    pub fn answer(&self, name: &str, status: u16) {
        self.shelf.refused.lock().unwrap().insert(name.to_owned(), status);
    }

    /// Bytes of objects sent so far.
    pub fn bytes_sent(&self) -> usize {
        self.shelf.sent.load(Ordering::SeqCst)
    }

    /// The binary over `folder`, with this store's address and keys.
    pub fn command(&self, folder: &Path, args: &[&str]) -> Command {
        let set = |name: &str, path: &str| format!("{name}={}", folder.join(path).display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_touchstone"));
        command
            .current_dir(root())
            .args(args)
            .args(["--set", &set("data", "data"), "--set", &set("index_dir", "index")])
            .envs(self.variables());
        name_database(&mut command, &folder.join("data"));
        command
    }

    /// Environment variables that point a process to this store.
    pub fn variables(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ENDPOINT", self.url.clone()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "eu-central-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "id".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ]
    }
}

async fn answer(State(shelf): State<Arc<Shelf>>, request: Request) -> Response {
    let path = request.uri().path().trim_matches('/').to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    if query.contains("list-type=2") {
        return list(&shelf, &path, &query);
    }
    if let Some(status) = shelf.refused.lock().unwrap().get(&path) {
        return StatusCode::from_u16(*status).unwrap().into_response();
    }
    // Objects below this prefix contain the address that they redirect to.
    if let Some(to) = shelf.objects.get(&path).filter(|_| path.starts_with("redirect/")) {
        return (StatusCode::FOUND, [(header::LOCATION, to.clone())]).into_response();
    }
    let Some(bytes) = shelf.objects.get(&path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::ETAG, HeaderValue::from_str(&tag(bytes)).unwrap());
    headers.insert(header::LAST_MODIFIED, HeaderValue::from_static("Mon, 02 Nov 2026 10:00:00 GMT"));
    if request.method() == Method::HEAD {
        headers.insert(header::CONTENT_LENGTH, bytes.len().into());
        return (headers, ()).into_response();
    }
    shelf.sent.fetch_add(bytes.len(), Ordering::SeqCst);
    (headers, bytes.clone()).into_response()
}

fn list(shelf: &Shelf, bucket: &str, query: &str) -> Response {
    let url = url::Url::parse(&format!("http://host/?{query}")).unwrap();
    let prefix =
        url.query_pairs().find(|(name, _)| name == "prefix").map_or(String::new(), |(_, value)| value.into_owned());
    let inside = |name: &str| name.strip_prefix(&format!("{bucket}/")).map(str::to_owned);
    let found = shelf.objects.iter().filter_map(|(name, bytes)| Some((inside(name)?, bytes)));
    let refused = shelf.refused.lock().unwrap().clone();
    let contents: Vec<String> = found
        .filter(|(name, _)| name.starts_with(&prefix) && refused.get(&format!("{bucket}/{name}")) != Some(&404))
        .map(|(name, bytes)| {
            format!(
                "<Contents><Key>{name}</Key><LastModified>2026-11-02T10:00:00.000Z</LastModified><ETag>{}</ETag><Size>{}</Size></Contents>",
                tag(bytes).replace('"', "&quot;"),
                bytes.len()
            )
        })
        .collect();
    let contents = contents.concat();
    format!("<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>")
        .into_response()
}

fn tag(bytes: &[u8]) -> String {
    format!("\"{:x}\"", sha2::Sha256::digest(bytes))
}
