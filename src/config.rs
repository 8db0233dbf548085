//! Every limit, threshold and path. Values come from a file, then from environment variables, then from flags.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::decoder::DecoderOptions;
use crate::domain::{AllianceOptions, TakedownOptions};
use crate::embed::EmbedOptions;
use crate::fetch::FetchOptions;
use crate::gallery::Retention;
use crate::index::IndexOptions;
use crate::memory::MemoryOptions;
use crate::moderation::Platform;
use crate::photo::Limits;
use crate::screening::CheckOptions;
use crate::storage::StorageOptions;
use crate::webhooks::WebhookOptions;

/// All settings. `touchstone.example.toml` lists every one with its default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folder of the database and the photos.
    pub data: PathBuf,
    /// Where the records are stored.
    pub storage: StorageOptions,
    /// Folder of the published generations.
    pub index_dir: PathBuf,
    /// Folder of the model manifests.
    pub models: PathBuf,
    /// Name of the model: `<models>/<model>.toml`. It serves until another one is promoted.
    pub model: String,
    /// The model named for this command, which then uses no other.
    #[serde(skip)]
    pub model_named: Option<String>,
    /// Folder of photos that many goods share, such as size charts: a reference near one never leads to a block.
    pub generic: PathBuf,
    /// File of the keys that encrypt photos, one per line, 64 hex digits: the first encrypts. If absent, photos are
    /// stored unencrypted.
    pub photo_keys: Option<PathBuf>,
    /// Path of ONNX Runtime's shared library.
    pub runtime: PathBuf,
    /// Settings of the service.
    pub server: Server,
    /// Limits on photos.
    pub photo: Limits,
    /// Where photos are decoded, and with which limits.
    pub decoder: DecoderOptions,
    /// Settings of the embedding threads.
    pub embed: EmbedOptions,
    /// Settings of the index.
    pub index: IndexOptions,
    /// Which photos of checks are stored, and the flood limits.
    pub checks: CheckOptions,
    /// What is remembered of checked photos, and for how long.
    pub memory: MemoryOptions,
    /// Rules for fetching by URL.
    pub fetch: FetchOptions,
    /// Whether and how events are sent to the marketplace.
    pub webhooks: WebhookOptions,
    /// How long photos and checks are stored.
    pub retention: Retention,
    /// Deadlines of takedown requests, and the figures for the fast lane.
    pub takedown: TakedownOptions,
    /// Whose signals are pulled, and what they may decide.
    pub alliance: AllianceOptions,
    /// Whether the service speaks the protocol of Meta's Hasher-Matcher-Actioner, too.
    pub hma: HmaOptions,
    /// Settings of the moderators' console.
    pub console: ConsoleOptions,
    /// Settings of the log.
    pub log: Log,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: "data".into(),
            storage: StorageOptions::default(),
            index_dir: "index".into(),
            models: "models".into(),
            model: "sscd-distilled".to_owned(),
            model_named: None,
            generic: "models/generic".into(),
            photo_keys: None,
            runtime: "models/runtime/libonnxruntime.so".into(),
            server: Server::default(),
            photo: Limits::default(),
            decoder: DecoderOptions::default(),
            embed: EmbedOptions::default(),
            index: IndexOptions::default(),
            checks: CheckOptions::default(),
            memory: MemoryOptions::default(),
            fetch: FetchOptions::default(),
            webhooks: WebhookOptions::default(),
            retention: Retention::default(),
            takedown: TakedownOptions::default(),
            alliance: AllianceOptions::default(),
            hma: HmaOptions::default(),
            console: ConsoleOptions::default(),
            log: Log::default(),
        }
    }
}

/// Settings of the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Address and port; port 0 takes a free one.
    pub listen: String,
    /// PEM file of the certificate chain; if absent, the service speaks plain HTTP.
    pub tls_certificate: Option<PathBuf>,
    /// PEM file of the certificate's private key.
    pub tls_key: Option<PathBuf>,
    /// Whether plain HTTP is allowed on other addresses than loopback, where keys and photos can be read on the way.
    pub allow_plain_http: bool,
    /// Requests per second for keys without a rate of their own; 0 means no limit.
    pub key_rate: u32,
    /// Requests with photos that are processed at once; one more gets 429.
    pub max_in_flight: usize,
    /// Checks that wait for a core, whole in memory; one more gets 429, so that nobody waits long. 0 means three per
    /// core.
    pub max_waiting: usize,
    /// Batches that are processed at once; one more gets 429.
    pub max_batches: usize,
    /// The greatest number of listings in a batch.
    pub max_batch_lines: usize,
    /// The greatest number of photos in a check.
    pub max_photos: usize,
    /// The greatest size of a request in bytes.
    pub max_request_bytes: usize,
    /// Seconds until a request ends with 503.
    pub timeout_s: u64,
    /// The greatest number of matches in the answer for a photo.
    pub max_matches: usize,
    /// Milliseconds between reads of changes that other processes made.
    pub refresh_ms: u64,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            tls_certificate: None,
            tls_key: None,
            allow_plain_http: false,
            key_rate: 200,
            max_in_flight: 64,
            max_waiting: 0,
            max_batches: 2,
            max_batch_lines: 1_000,
            max_photos: 20,
            max_request_bytes: 100 << 20,
            timeout_s: 30,
            max_matches: 10,
            refresh_ms: 250,
        }
    }
}

/// Settings of the routes of Meta's Hasher-Matcher-Actioner.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HmaOptions {
    /// Whether the routes `/h/hash`, `/m/lookup`, `/m/raw_lookup`, `/m/index/status` and `/c/banks` answer, and references
    /// get PDQ hashes.
    pub enabled: bool,
}

/// Settings of the moderators' console.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsoleOptions {
    /// Whether the session's cookie is sent over TLS only: set it where a proxy in front speaks TLS.
    pub secure_cookie: bool,
    /// The marketplace's own details in statements of reasons.
    pub statement: Platform,
}

/// Settings of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Least level, or a filter by module in the `RUST_LOG` format.
    pub filter: String,
    /// Whether each line is a JSON object.
    pub json: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info,ort=warn,hnsw_rs=warn".to_owned(), json: false }
    }
}

/// Why settings cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The configuration file cannot be read.
    #[error("the configuration file {path} cannot be read: {source}")]
    Missing {
        /// Path of the file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Invalid TOML, an unknown name, or a wrong type or value.
    #[error("{origin}: {reason}")]
    Invalid {
        /// The file, variable or flag.
        origin: String,
        /// What is wrong, and what was expected.
        reason: String,
    },
}

/// Configuration file of the installed service.
const INSTALLED: &str = "/etc/touchstone/touchstone.toml";

/// Prefix of environment variables; `__` stands for the dot: `TOUCHSTONE_SERVER__LISTEN`.
const PREFIX: &str = "TOUCHSTONE_";

impl Config {
    /// Reads `file` (or `touchstone.toml` in the working folder, or that of the installed service, if it exists), then
    /// the variables.
    ///
    /// # Errors
    /// When the file cannot be read, or it or a variable is invalid.
    pub fn load(file: Option<&Path>, variables: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let usual = [Path::new("touchstone.toml"), Path::new(INSTALLED)];
        let file = file.or_else(|| usual.into_iter().find(|path| path.exists()));
        let mut table = match file {
            Some(path) => read_table(path)?,
            None => toml::Table::new(),
        };
        for (name, value) in variables {
            if let Some(path) = name.strip_prefix(PREFIX).filter(|path| *path != "CONFIG") {
                set(&mut table, path, &value, &name)?;
            }
        }
        let origin = || file.map_or("configuration".to_owned(), |path| path.display().to_string());
        let config: Self = table.try_into().map_err(|error: toml::de::Error| ConfigError::Invalid {
            origin: origin(),
            reason: error.message().to_owned(),
        })?;
        config.checked(origin)
    }

    /// Checks ranges here: numbers out of range would fail much later, and less clearly.
    fn checked(self, origin: impl Fn() -> String) -> Result<Self, ConfigError> {
        let ranges = [
            ("server.max_in_flight", self.server.max_in_flight, 1..=10_000),
            ("server.max_waiting", self.server.max_waiting, 0..=10_000),
            ("server.max_batches", self.server.max_batches, 1..=1_000),
            ("server.max_batch_lines", self.server.max_batch_lines, 1..=100_000),
            ("server.max_photos", self.server.max_photos, 1..=1_000),
            ("server.max_matches", self.server.max_matches, 1..=1_000),
            ("embed.workers", self.embed.workers, 0..=256),
            ("embed.threads_per_worker", self.embed.threads_per_worker, 1..=256),
            ("embed.queue", self.embed.queue, 1..=65_536),
            ("embed.max_batch", self.embed.max_batch, 1..=1_024),
            ("index.m", self.index.m, 2..=255),
            ("index.ef_construction", self.index.ef_construction, 2..=10_000),
            ("index.ef_search", self.index.ef_search, 1..=10_000),
            ("index.keep", self.index.keep, 1..=1_000),
            ("decoder.max_seconds", usize::try_from(self.decoder.max_seconds).unwrap_or(usize::MAX), 1..=3_600),
            ("decoder.max_photos", usize::try_from(self.decoder.max_photos).unwrap_or(usize::MAX), 1..=1_000_000_000),
            ("webhooks.timeout_s", usize::try_from(self.webhooks.timeout_s).unwrap_or(usize::MAX), 1..=60),
            ("webhooks.max_attempts", self.webhooks.max_attempts as usize, 1..=100),
            ("webhooks.first_retry_s", usize::try_from(self.webhooks.first_retry_s).unwrap_or(usize::MAX), 1..=3_600),
            ("retention.photos_days", self.retention.photos_days as usize, 0..=36_500),
            ("retention.checks_days", self.retention.checks_days as usize, 0..=36_500),
            ("memory.days", self.memory.days as usize, 0..=36_500),
            ("memory.keypoints", self.memory.keypoints, 0..=250),
            ("takedown.deadline_hours", self.takedown.deadline_hours as usize, 1..=8_760),
            ("takedown.reminder_hours", self.takedown.reminder_hours as usize, 0..=8_760),
            ("takedown.fast_lane_least", self.takedown.fast_lane_least as usize, 1..=1_000_000),
            ("takedown.strikes.fake", self.takedown.strikes.fake as usize, 0..=1_000),
            ("takedown.strikes.misuse", self.takedown.strikes.misuse as usize, 0..=1_000),
            ("takedown.strikes.removed", self.takedown.strikes.removed as usize, 0..=1_000),
            ("takedown.strikes.days", self.takedown.strikes.days as usize, 1..=36_500),
            ("takedown.strikes.closure", self.takedown.strikes.closure as usize, 0..=1_000_000),
            ("takedown.strikes.shared_most", self.takedown.strikes.shared_most as usize, 2..=1_000),
            ("alliance.pull_s", usize::try_from(self.alliance.pull_s).unwrap_or(usize::MAX), 0..=604_800),
            ("alliance.timeout_s", usize::try_from(self.alliance.timeout_s).unwrap_or(usize::MAX), 1..=3_600),
            ("alliance.max_signals", usize::try_from(self.alliance.max_signals).unwrap_or(usize::MAX), 0..=10_000_000),
            ("alliance.trust_from", self.alliance.trust_from as usize, 1..=1_000_000),
            ("alliance.flood", self.alliance.flood as usize, 1..=1_000_000),
            ("checks.flood.listings", self.checks.flood.listings, 1..=100_000),
            ("checks.flood.unlike_bits", self.checks.flood.unlike_bits as usize, 1..=256),
        ];
        let shares = [
            ("takedown.fast_lane_success", self.takedown.fast_lane_success),
            ("takedown.fast_lane_counter", self.takedown.fast_lane_counter),
            ("alliance.least_trust", self.alliance.least_trust),
        ];
        if let Some((name, got)) = shares.into_iter().find(|(_, got)| !(0.0..=1.0).contains(got)) {
            let reason = format!("{name} is {got}, expected 0 to 1");
            return Err(ConfigError::Invalid { origin: origin(), reason });
        }
        let hosts = [
            ("fetch.hosts", &self.fetch.hosts),
            ("webhooks.hosts", &self.webhooks.hosts),
            ("alliance.hosts", &self.alliance.hosts),
        ];
        for (name, hosts) in hosts {
            if let Some(host) = hosts.iter().find(|host| !is_host(host)) {
                let reason = format!(
                    "{name} has {host:?}, expected a host as it stands in a URL, without scheme, port and path"
                );
                return Err(ConfigError::Invalid { origin: origin(), reason });
            }
        }
        let out = ranges.into_iter().find(|(_, got, range)| !range.contains(got));
        out.map_or(Ok(self), |(name, got, range)| {
            let (least, most) = range.into_inner();
            Err(ConfigError::Invalid {
                origin: origin(),
                reason: format!("{name} is {got}, expected {least} to {most}"),
            })
        })
    }

    /// Sets one value by its dotted name, as the flag `--set name=value` does.
    ///
    /// # Errors
    /// When there is no such setting, or the value is invalid.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let invalid = |reason: String| ConfigError::Invalid { origin: format!("--set {name}={value}"), reason };
        let mut table = toml::Table::try_from(&*self).map_err(|error| invalid(error.to_string()))?;
        set(&mut table, &name.replace('.', "__"), value, name)?;
        let config: Self = table.try_into().map_err(|error: toml::de::Error| invalid(error.message().to_owned()))?;
        let config = Self { model_named: self.model_named.take(), ..config };
        *self = config.checked(|| format!("--set {name}={value}"))?;
        Ok(())
    }
}

/// Whether a setting names a host, or with `*.` all names below one, as URLs are normalised.
fn is_host(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let parsed = url::Host::parse(name).ok().filter(|_| !name.contains('*'));
    parsed.is_some_and(|host| host.to_string() == name.to_ascii_lowercase())
}

fn read_table(path: &Path) -> Result<toml::Table, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ConfigError::Missing { path: path.to_owned(), source })?;
    text.parse().map_err(|error: toml::de::Error| ConfigError::Invalid {
        origin: path.display().to_string(),
        reason: error.to_string().trim_end().replace('\n', " "),
    })
}

/// Puts a text into the table, as the TOML type that it parses as.
fn set(table: &mut toml::Table, path: &str, text: &str, origin: &str) -> Result<(), ConfigError> {
    let lower = path.to_ascii_lowercase();
    let parts: Vec<&str> = lower.split("__").collect();
    let (name, sections) = parts.split_last().unwrap_or((&"", &[]));
    let mut table = table;
    for section in sections {
        let entry = table.entry((*section).to_owned()).or_insert_with(|| toml::Table::new().into());
        table = entry.as_table_mut().ok_or_else(|| ConfigError::Invalid {
            origin: origin.to_owned(),
            reason: format!("{section} is a value, not a section"),
        })?;
    }
    let list = || format!("list = {text}").parse::<toml::Table>().ok().filter(|table| table.len() == 1)?.remove("list");
    let value = if let Some(list) = text.starts_with('[').then(list).flatten() {
        list
    } else if let Ok(number) = text.parse::<i64>() {
        number.into()
    } else if let Ok(truth) = text.parse::<bool>() {
        truth.into()
    } else if let Some(share) = text.parse::<f64>().ok().filter(|_| text.contains('.')) {
        share.into()
    } else {
        text.to_owned().into()
    };
    table.insert((*name).to_owned(), value);
    Ok(())
}
