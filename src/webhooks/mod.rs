//! Sends events to the marketplace after the Standard Webhooks specification: <https://www.standardwebhooks.com>.
//! When and how often: `background/deliveries.rs`.

mod retry;
mod secret;
mod sender;

use serde::{Deserialize, Serialize};

pub use retry::{asked_to_wait, next_attempt};
pub use secret::{Secret, SecretFault};
pub use sender::{Answered, Message, Sender, UrlFault};

/// Settings of webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookOptions {
    /// Whether events are sent at all.
    pub enabled: bool,
    /// Hosts to which events may be sent: names, or `*.example.com` for all names below one.
    pub hosts: Vec<String>,
    /// Whether private addresses and plain HTTP are allowed too, for a receiver on one's own network.
    pub private_addresses: bool,
    /// The longest time for one attempt in seconds.
    pub timeout_s: u64,
    /// Attempts after which a delivery is dead.
    pub max_attempts: u32,
    /// Seconds between the first attempt and the second; each further wait is twice as long, at most 12 hours.
    pub first_retry_s: u64,
}

impl Default for WebhookOptions {
    fn default() -> Self {
        // 15 attempts from 10 seconds on take about a day and a half.
        Self {
            enabled: false,
            hosts: Vec::new(),
            private_addresses: false,
            timeout_s: 10,
            max_attempts: 15,
            first_retry_s: 10,
        }
    }
}
