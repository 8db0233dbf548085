//! Splits a request body into lines while it arrives.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::StatusCode;
use bytes::BytesMut;
use futures_util::StreamExt;

use crate::http::Problem;
use crate::http::drain::throw_away;

/// How long the sender may pause before the batch ends.
const IDLE: Duration = Duration::from_mins(1);

pub(super) struct Lines {
    body: BodyDataStream,
    /// Bytes received but not yet returned.
    read: BytesMut,
    /// The first bytes of `read`, known to have no line break.
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

    /// The next line that is not blank, with its number from 1; `None` after the last.
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
                    let detail = format!("the body ended early: {error}; send the batch again with the same key");
                    return Err(Problem::new(StatusCode::BAD_REQUEST, "batch-broken-off", detail));
                }
                Err(_) => {
                    let detail =
                        format!("no line arrived for {} s; send the remaining lines in another batch", IDLE.as_secs());
                    return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "batch-idle", detail));
                }
            }
        }
    }

    /// Reads and drops the rest of the body, within bounds, so that the sender sees the answer.
    pub(super) async fn throw_away(mut self) {
        throw_away(&mut self.body).await;
    }
}
