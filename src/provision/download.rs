//! HTTP downloads that resume where they were cut off.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_RANGE, RANGE};
use reqwest::{Client, Response, StatusCode};
use tokio::runtime::Runtime;
use url::Url;

use super::{Pinned, ProvisionError, Watch, index};
use crate::fetch::with_causes;

/// How often a download is resumed before it fails.
const TRIES: u32 = 5;

/// Pause between two tries, times the number of the try.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest time without a byte before a download is cut off.
const IDLE: Duration = Duration::from_mins(1);

pub(super) struct Downloader {
    runtime: Runtime,
    client: Client,
}

impl Downloader {
    pub(super) fn new() -> Result<Self, ProvisionError> {
        let failed = |reason: String| ProvisionError::Network { url: "the network".to_owned(), reason };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(30))
            .read_timeout(IDLE)
            .user_agent(concat!("touchstone/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self {
            runtime: runtime.map_err(|error| failed(error.to_string()))?,
            client: client.map_err(|error| failed(error.to_string()))?,
        })
    }

    /// The URL of a package's wheel in an index.
    pub(super) fn find(&self, at: &str, pinned: &Pinned) -> Result<Url, ProvisionError> {
        let network = |reason: String| ProvisionError::Network { url: at.to_owned(), reason };
        let page = index::page(at, &pinned.package).map_err(network)?;
        let text = self.runtime.block_on(async {
            let accept = "application/vnd.pypi.simple.v1+json, text/html;q=0.5";
            let answer = self.client.get(page.clone()).header(ACCEPT, accept).send().await?;
            answer.error_for_status()?.text().await
        });
        let text = text.map_err(|error| network(with_causes(&error)))?;
        index::address(&page, &text, &pinned.wheel_sha256).ok_or_else(|| ProvisionError::NotThere {
            index: at.to_owned(),
            package: pinned.package.clone(),
            version: pinned.version.clone(),
            sum: pinned.wheel_sha256.clone(),
        })
    }

    /// Downloads a file to `path`, resuming after the bytes that are already there.
    pub(super) fn fetch(&self, url: &Url, path: &Path, sha256: &str, watch: &dyn Watch) -> Result<(), ProvisionError> {
        for attempt in 1.. {
            match self.runtime.block_on(self.go_on(url, path, watch)) {
                Ok(()) => return Ok(()),
                // If the file is already complete, nothing is left to resume.
                Err(_) if super::sum_of(path).is_ok_and(|sum| sum == sha256) => return Ok(()),
                Err(reason) if attempt == TRIES => {
                    return Err(ProvisionError::Network { url: url.to_string(), reason });
                }
                Err(reason) => tracing::warn!(%url, reason, attempt, "a download was cut off"),
            }
            std::thread::sleep(PAUSE * attempt);
        }
        Ok(())
    }

    async fn go_on(&self, url: &Url, path: &Path, watch: &dyn Watch) -> Result<(), String> {
        let told = |error: reqwest::Error| with_causes(&error);
        let here = std::fs::metadata(path).map_or(0, |found| found.len());
        let mut wanted = self.client.get(url.clone());
        if here > 0 {
            wanted = wanted.header(RANGE, format!("bytes={here}-"));
        }
        let mut answer = wanted.send().await.map_err(told)?;
        if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            // Longer than the file on the server, so it is another file.
            let _ = std::fs::remove_file(path);
            return Err("the partial file is longer than the file on the server; it is fetched again".to_owned());
        }
        let mut answer_here = 0;
        if goes_on(&answer, here) {
            answer_here = here;
        }
        answer = answer.error_for_status().map_err(told)?;
        let mut file = opened(path, answer_here).map_err(|error| error.to_string())?;
        let of = answer.content_length().map(|length| length + answer_here);
        let mut done = answer_here;
        while let Some(piece) = answer.chunk().await.map_err(told)? {
            file.write_all(&piece).map_err(|error| error.to_string())?;
            done += piece.len() as u64;
            watch.bytes(done, of);
        }
        file.sync_all().map_err(|error| error.to_string())
    }
}

/// Whether the answer begins where the file ends. A server without ranges sends the whole file.
fn goes_on(answer: &Response, here: u64) -> bool {
    let range = answer.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok()).unwrap_or_default();
    answer.status() == StatusCode::PARTIAL_CONTENT && range.starts_with(&format!("bytes {here}-"))
}

fn opened(path: &Path, length: u64) -> std::io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    file.set_len(length)?;
    Ok(file)
}
