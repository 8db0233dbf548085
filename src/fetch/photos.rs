//! Fetches photos that a request names by URL, for the service.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, ObjectStoreScheme};
use parking_lot::Mutex;
use thiserror::Error;
use url::Url;

use super::{FetchOptions, NotAllowed, client, with_causes};

/// The greatest length of a URL in characters.
const MAX_URL: usize = 2048;

/// Why a photo was not fetched.
#[derive(Debug, Error)]
pub enum FetchFault {
    /// The setting `fetch.photo_url` is off.
    #[error("this service fetches no photos; send the photo itself, or ask its operator for fetch.photo_url")]
    Off,
    /// The text is not a URL.
    #[error("photo_url cannot be read: {0}; expected https://HOST/PATH")]
    Invalid(String),
    /// The settings do not allow this URL.
    #[error("photo_url is not allowed: {0}")]
    NotAllowed(String),
    /// The host or store refuses to send the photo: the caller should fix the URL.
    #[error("photo_url cannot be read: {0}")]
    Refused(String),
    /// A temporary failure: a retry may work.
    #[error("the photo could not be fetched: {0}; try again")]
    Failed(String),
    /// The photo is larger than `photo.max_bytes`.
    #[error("the photo at photo_url has more than {max} bytes, the limit")]
    TooLarge {
        /// The limit in bytes.
        max: usize,
    },
}

impl FetchFault {
    /// Stable kebab-case code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Off => "photo-url-off",
            Self::Invalid(_) => "photo-url-invalid",
            Self::NotAllowed(_) => "photo-url-not-allowed",
            Self::Refused(_) => "photo-url-unreadable",
            Self::Failed(_) => "photo-url-failed",
            Self::TooLarge { .. } => "photo-too-many-bytes",
        }
    }
}

/// Fetches photos, as far as the settings allow.
pub struct PhotoFetcher {
    rules: FetchOptions,
    /// `None` if fetching is off, or the system cannot create a client.
    client: Option<reqwest::Client>,
    /// Opened stores by scheme and host.
    stores: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl PhotoFetcher {
    /// Creates the HTTP client; fetches nothing yet.
    #[must_use]
    pub fn new(options: &FetchOptions) -> Self {
        let rules = FetchOptions { urls: options.photo_url, timeout_s: options.photo_url_timeout_s, ..options.clone() };
        let client = rules.urls.then(|| client(&rules.hosts())).and_then(|client| {
            client.inspect_err(|error| tracing::error!(%error, "photos at URLs cannot be fetched")).ok()
        });
        Self { rules, client, stores: Mutex::default() }
    }

    /// Fetches the bytes at a URL, at most `max_bytes`.
    ///
    /// # Errors
    /// [`FetchFault`], which tells the caller's faults from temporary ones.
    pub async fn fetch(&self, text: &str, max_bytes: usize) -> Result<Bytes, FetchFault> {
        if !self.rules.urls {
            return Err(FetchFault::Off);
        }
        if text.len() > MAX_URL {
            return Err(FetchFault::Invalid(format!("it is longer than {MAX_URL} characters, the limit")));
        }
        let url = Url::parse(text).map_err(|error| FetchFault::Invalid(error.to_string()))?;
        let limit = Duration::from_secs(self.rules.timeout_s.max(1));
        let fetched = match url.scheme() {
            "http" | "https" => tokio::time::timeout(limit, self.fetch_from_host(url, max_bytes)).await,
            _ => tokio::time::timeout(limit, self.fetch_from_store(&url, max_bytes)).await,
        };
        fetched.unwrap_or_else(|_| Err(FetchFault::Failed(format!("it took longer than {} s", limit.as_secs()))))
    }

    async fn fetch_from_host(&self, url: Url, max_bytes: usize) -> Result<Bytes, FetchFault> {
        if let Some(refusal) = self.rules.refusal(&url) {
            return Err(FetchFault::NotAllowed(refusal));
        }
        let Some(client) = &self.client else { return Err(FetchFault::Off) };
        let mut answer = client.get(url).send().await.map_err(|error| of_client(&error))?;
        let status = answer.status();
        if status.is_server_error() || status == reqwest::StatusCode::TOO_MANY_REQUESTS {
            return Err(FetchFault::Failed(format!("its host answers {status}")));
        }
        if !status.is_success() {
            return Err(FetchFault::Refused(format!("its host answers {status}")));
        }
        let mut read = BytesMut::new();
        if answer.content_length().is_some_and(|length| length > max_bytes as u64) {
            return Err(FetchFault::TooLarge { max: max_bytes });
        }
        while let Some(chunk) = answer.chunk().await.map_err(|error| of_client(&error))? {
            append(&mut read, &chunk, max_bytes)?;
        }
        Ok(read.freeze())
    }

    async fn fetch_from_store(&self, url: &Url, max_bytes: usize) -> Result<Bytes, FetchFault> {
        let (scheme, path) = ObjectStoreScheme::parse(url).map_err(|error| FetchFault::Invalid(error.to_string()))?;
        if !matches!(
            scheme,
            ObjectStoreScheme::AmazonS3 | ObjectStoreScheme::GoogleCloudStorage | ObjectStoreScheme::MicrosoftAzure
        ) || url.query().is_some()
            || !self.rules.stores.iter().any(|allowed| lies_in(url, &path, allowed))
        {
            let detail = format!("{}://{} with this path is not among fetch.stores", url.scheme(), url.authority());
            return Err(FetchFault::NotAllowed(detail));
        }
        let store = self.store(url)?;
        let answer = store.get(&path).await.map_err(|error| of_store(&error))?;
        if answer.meta.size > max_bytes as u64 {
            return Err(FetchFault::TooLarge { max: max_bytes });
        }
        let (mut read, mut pieces) = (BytesMut::new(), answer.into_stream());
        while let Some(piece) = pieces.next().await {
            append(&mut read, &piece.map_err(|error| of_store(&error))?, max_bytes)?;
        }
        Ok(read.freeze())
    }

    fn store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>, FetchFault> {
        let name = format!("{}://{}", url.scheme(), url.authority());
        let mut stores = self.stores.lock();
        if let Some(store) = stores.get(&name) {
            return Ok(Arc::clone(store));
        }
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?.to_ascii_lowercase(), value.into_string().ok()?))
        });
        let (store, _) = object_store::parse_url_opts(url, variables).map_err(|error| of_store(&error))?;
        let store: Arc<dyn ObjectStore> = Arc::from(store);
        stores.insert(name, Arc::clone(&store));
        Ok(store)
    }
}

/// Whether an object is in an allowed place: the same bucket, and below the same folder. Other names of the same place,
/// such as `https://bucket.s3.amazonaws.com/`, do not count: they fall under fetch.hosts.
fn lies_in(url: &Url, path: &Path, allowed: &str) -> bool {
    let Ok(place) = Url::parse(allowed) else { return false };
    let Ok((_, folder)) = ObjectStoreScheme::parse(&place) else { return false };
    (url.scheme(), url.authority()) == (place.scheme(), place.authority()) && path.prefix_matches(&folder)
}

fn append(read: &mut BytesMut, piece: &[u8], max_bytes: usize) -> Result<(), FetchFault> {
    if read.len() + piece.len() > max_bytes {
        return Err(FetchFault::TooLarge { max: max_bytes });
    }
    read.extend_from_slice(piece);
    Ok(())
}

fn of_client(error: &reqwest::Error) -> FetchFault {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(NotAllowed(detail)) = error.downcast_ref() {
            return FetchFault::NotAllowed(detail.clone());
        }
        cause = error.source();
    }
    // The URL is the caller's own; the address that it resolves to stays secret.
    let what = if error.is_timeout() {
        "it took too long"
    } else if error.is_connect() {
        "its host cannot be reached"
    } else {
        "the connection broke"
    };
    tracing::debug!(error = with_causes(error), "a photo could not be fetched");
    FetchFault::Failed(what.to_owned())
}

fn of_store(error: &object_store::Error) -> FetchFault {
    use object_store::Error as E;
    match error {
        E::NotFound { .. } => FetchFault::Refused("no object has this name".to_owned()),
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
            FetchFault::Refused("its store does not let this service read it".to_owned())
        }
        E::InvalidPath { .. } | E::NotSupported { .. } => FetchFault::Invalid("it does not name an object".to_owned()),
        other => {
            tracing::warn!(error = with_causes(other), "an object store does not answer");
            FetchFault::Failed("its store does not answer".to_owned())
        }
    }
}
