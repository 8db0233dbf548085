//! A marketplace's receiver of events, which answers as the test says and keeps what it got.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::wait_for;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    pub id: String,
    pub timestamp: String,
    pub signature: String,
    pub body: String,
    /// The status that was answered.
    pub status: u16,
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    /// Whether the signature is that of this secret, computed here from RFC 2104 and FIPS 180-4.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let key = BASE64_STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let padded =
            |with: u8| -> Vec<u8> { (0..64).map(|place| key.get(place).copied().unwrap_or_default() ^ with).collect() };
        let text = format!("{}.{}.{}", self.id, self.timestamp, self.body);
        let inner = Sha256::digest([padded(0x36), text.into_bytes()].concat());
        let tag = Sha256::digest([padded(0x5c), inner.to_vec()].concat());
        self.signature == format!("v1,{}", BASE64_STANDARD.encode(tag))
    }
}

struct Desk {
    next: Mutex<VecDeque<u16>>,
    otherwise: Mutex<u16>,
    received: Mutex<Vec<Received>>,
    /// Permits to answer.
    gate: Semaphore,
}

/// Lives as long as the test's process.
#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    desk: Arc<Desk>,
}

impl Receiver {
    pub fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap())
    }

    /// A free address at which nobody listens.
    pub fn nowhere() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    pub fn at(address: SocketAddr) -> Self {
        let desk = Arc::new(Desk {
            next: Mutex::default(),
            otherwise: Mutex::new(200),
            received: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        });
        let (started, told) = std::sync::mpsc::channel();
        let app = axum::Router::new().fallback(take).with_state(Arc::clone(&desk));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind(address).await.unwrap();
                started.send(listener.local_addr().unwrap()).unwrap();
                axum::serve(listener, app).await.unwrap();
            });
        });
        Self { url: format!("http://{}/events", told.recv().unwrap()), desk }
    }

    /// Answers with these statuses first.
    pub fn answer_next(&self, statuses: &[u16]) {
        self.desk.next.lock().unwrap().extend(statuses);
    }

    /// Answers with this status from now on.
    pub fn answer(&self, status: u16) {
        *self.desk.otherwise.lock().unwrap() = status;
    }

    /// Keeps senders waiting until [`Receiver::release`].
    pub fn hold(&self) {
        self.desk.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub fn release(&self) {
        self.desk.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// Everything that arrived, in order.
    pub fn received(&self) -> Vec<Received> {
        self.desk.received.lock().unwrap().clone()
    }

    /// Waits until so many requests have arrived, and returns all.
    pub fn wait(&self, count: usize) -> Vec<Received> {
        wait_for("an event", || self.received().len() >= count);
        self.received()
    }
}

async fn take(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let status = desk.next.lock().unwrap().pop_front().unwrap_or(*desk.otherwise.lock().unwrap());
    let header = |headers: &HeaderMap, name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(
        (parts.method.as_str(), header(&parts.headers, "content-type")),
        ("POST", "application/json".to_owned())
    );
    desk.received.lock().unwrap().push(Received {
        id: header(&parts.headers, "webhook-id"),
        timestamp: header(&parts.headers, "webhook-timestamp"),
        signature: header(&parts.headers, "webhook-signature"),
        body: String::from_utf8(body.to_vec()).unwrap(),
        status,
    });
    drop(desk.gate.acquire().await.unwrap());
    // Of no meaning unless the status redirects.
    let elsewhere = [(header::LOCATION, "/elsewhere")];
    let answer = (StatusCode::from_u16(status).unwrap(), elsewhere, "thank you").into_response();
    // 425 Too Early.
    if status == 425 { ([(header::RETRY_AFTER, "1800")], answer).into_response() } else { answer }
}
