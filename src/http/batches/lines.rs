//! The lines of a body, one after the other as they come.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::StatusCode;
use bytes::BytesMut;
use futures_util::StreamExt;

use crate::http::Problem;
use crate::http::drain::throw_away;

/// How long nothing may come before the batch is ended.
const IDLE: Duration = Duration::from_mins(1);

pub(super) struct Lines {
    body: BodyDataStream,
    /// What came and was not taken yet.
    read: BytesMut,
    /// Bytes of `read` that hold no line break.
    looked: usize,
    ended: bool,
    max_bytes: usize,
    number: u64,
}

impl Lines {
    pub(super) fn new(body: Body, max_bytes: usize) -> Self {
        let body = body.into_data_stream();
        Self { body, read: BytesMut::new(), looked: 0, ended: false, max_bytes, number: 0 }
    }

    /// The next line that is not blank, with its number; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<(u64, Bytes)>, Problem> {
        loop {
            let Some(line) = self.line().await? else { return Ok(None) };
            self.number += 1;
            if !line.trim_ascii().is_empty() {
                return Ok(Some((self.number, line)));
            }
        }
    }

    async fn line(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            if let Some(at) = self.read[self.looked..].iter().position(|byte| *byte == b'\n') {
                let line = self.read.split_to(self.looked + at + 1).freeze();
                self.looked = 0;
                return Ok(Some(line));
            }
            self.looked = self.read.len();
            if self.looked > self.max_bytes {
                return Err(Problem::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "line-too-large",
                    format!(
                        "line {} is longer than server.max_request_bytes, {}; send fewer or smaller photos",
                        self.number + 1,
                        self.max_bytes
                    ),
                ));
            }
            if self.ended {
                self.looked = 0;
                return Ok((!self.read.is_empty()).then(|| self.read.split().freeze()));
            }
            match tokio::time::timeout(IDLE, self.body.next()).await {
                Ok(Some(Ok(piece))) => self.read.extend_from_slice(&piece),
                Ok(None) => self.ended = true,
                Ok(Some(Err(error))) => {
                    let detail = format!("the body broke off: {error}; send the batch again with the same key");
                    return Err(Problem::new(StatusCode::BAD_REQUEST, "batch-broken-off", detail));
                }
                Err(_) => {
                    let detail = format!("no line came for {} s; send the rest in another batch", IDLE.as_secs());
                    return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "batch-idle", detail));
                }
            }
        }
    }

    /// Reads on without keeping anything, within bounds, so that the sender sees the answer.
    pub(super) async fn throw_away(mut self) {
        throw_away(&mut self.body).await;
    }
}
