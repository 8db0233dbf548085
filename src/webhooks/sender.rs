use std::error::Error;

use jiff::Timestamp;
use serde::Serialize;
use thiserror::Error;
use url::Url;

use super::{Secret, WebhookOptions, asked_to_wait};
use crate::fetch::{HostRules, NotAllowed, client, with_causes};

/// The greatest length of a receiver's URL in characters.
const MAX_URL: usize = 2048;
/// Most bytes of an answer that are read: enough to see what a receiver says.
const MAX_ANSWER: usize = 1024;

/// Why events cannot be sent to a URL.
#[derive(Debug, Error)]
pub enum UrlFault {
    /// The setting `webhooks.enabled` is off.
    #[error("this service sends no events; set webhooks.enabled = true and name the receiver's host in webhooks.hosts")]
    Off,
    /// The text is not a URL.
    #[error("url cannot be read: {0}; expected https://HOST/PATH")]
    Invalid(String),
    /// The settings do not allow this URL.
    #[error("url is not allowed: {0}")]
    NotAllowed(String),
}

impl UrlFault {
    /// Stable kebab-case code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Off => "webhooks-off",
            Self::Invalid(_) => "webhook-url-invalid",
            Self::NotAllowed(_) => "webhook-url-not-allowed",
        }
    }
}

/// What a receiver gets, as JSON.
#[derive(Debug, Serialize)]
pub struct Message<'a, T> {
    /// The event's type.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// When it happened.
    pub timestamp: Timestamp,
    /// The event.
    pub data: &'a T,
}

/// What came back from a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The HTTP status; `None` if there was no answer.
    pub status: Option<u16>,
    /// The answer's first 1,024 bytes as text; empty if there was no answer.
    pub body: String,
    /// Why it does not count as success; `None` for a status of 200 to 299.
    pub error: Option<String>,
    /// Seconds that the receiver asks to wait before the next attempt.
    pub wait_s: Option<i64>,
}

impl Answered {
    fn failed(error: String) -> Self {
        Self { status: None, body: String::new(), error: Some(error), wait_s: None }
    }
}

/// Sends messages, as far as the settings allow.
pub struct Sender {
    options: WebhookOptions,
    rules: HostRules,
    /// `None` if webhooks are off, or the system cannot create a client.
    client: Option<reqwest::Client>,
}

impl Sender {
    /// Creates the HTTP client; sends nothing yet.
    #[must_use]
    pub fn new(options: &WebhookOptions) -> Self {
        let rules = HostRules {
            section: "webhooks",
            hosts: options.hosts.clone(),
            private_addresses: options.private_addresses,
            // A redirect would take a signed message to somebody else.
            max_redirects: 0,
            timeout_s: options.timeout_s,
        };
        let client = options.enabled.then(|| client(&rules)).and_then(|client| {
            client.inspect_err(|error| tracing::error!(%error, "events cannot be sent to webhooks")).ok()
        });
        Self { options: options.clone(), rules, client }
    }

    /// The settings.
    #[must_use]
    pub fn options(&self) -> &WebhookOptions {
        &self.options
    }

    /// Checks a receiver's URL. A host's addresses are checked when something is sent.
    ///
    /// # Errors
    /// [`UrlFault`], which says what is not allowed.
    pub fn check(&self, text: &str) -> Result<Url, UrlFault> {
        if self.client.is_none() {
            return Err(UrlFault::Off);
        }
        if text.len() > MAX_URL {
            return Err(UrlFault::Invalid(format!("it is longer than {MAX_URL} characters, the limit")));
        }
        let url = Url::parse(text).map_err(|error| UrlFault::Invalid(error.to_string()))?;
        self.rules.refusal(&url).map_or(Ok(url), |refusal| Err(UrlFault::NotAllowed(refusal)))
    }

    /// Sends one message, signed, and waits for the answer. `id` is the header `webhook-id`.
    pub async fn send<T: Serialize + Sync>(
        &self,
        url: &str,
        secret: &Secret,
        id: &str,
        message: &Message<'_, T>,
    ) -> Answered {
        let url = match self.check(url) {
            Ok(url) => url,
            Err(fault) => return Answered::failed(fault.to_string()),
        };
        let (Some(client), Ok(body)) = (&self.client, serde_json::to_string(message)) else {
            return Answered::failed("the event cannot be written as JSON".to_owned());
        };
        let timestamp = Timestamp::now().as_second();
        let request = client
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", secret.signature(id, timestamp, &body))
            .body(body);
        match request.send().await {
            Ok(answer) => read(answer).await,
            Err(error) => Answered::failed(reason(&error)),
        }
    }
}

async fn read(mut answer: reqwest::Response) -> Answered {
    let status = answer.status();
    let header = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
    let wait_s = header.and_then(|text| asked_to_wait(text, Timestamp::now()));
    let mut body = Vec::new();
    while body.len() < MAX_ANSWER
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(MAX_ANSWER);
    let error = (!status.is_success()).then(|| format!("the receiver answered {status}, expected 200 to 299"));
    Answered { status: Some(status.as_u16()), body: String::from_utf8_lossy(&body).into_owned(), error, wait_s }
}

/// Why a request failed, without the address that the host resolves to.
fn reason(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(NotAllowed(detail)) = error.downcast_ref() {
            return format!("it is not allowed: {detail}");
        }
        cause = error.source();
    }
    tracing::debug!(error = with_causes(error), "an event could not be sent");
    if error.is_timeout() {
        "the receiver took too long".to_owned()
    } else if error.is_connect() {
        "the receiver cannot be reached".to_owned()
    } else {
        "the connection broke".to_owned()
    }
}
