//! An object store behind blocking calls: S3, Google Cloud Storage, Azure, or what speaks like them.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt, ObjectStoreScheme, RetryConfig};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

use super::runtime::wait;

/// How long one request to the store may take.
const REQUEST: Duration = Duration::from_secs(10);

/// How long a request is retried after the store failed.
const RETRIES: Duration = Duration::from_secs(5);

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(5);

/// Where photos are: `s3://bucket/folder`, `gs://` or `az://`. The variables `AWS_*`, `GOOGLE_*` and `AZURE_*` say how to get there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StoreUrl(Url);

/// Why a text does not name an object store.
#[derive(Debug, Error)]
#[error("got {0}, expected s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or az://CONTAINER/FOLDER")]
pub struct StoreUrlError(String);

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, StoreUrlError> {
        let wrong = || StoreUrlError(text.to_owned());
        let url = Url::parse(text).map_err(|_| wrong())?;
        let plain = url.query().is_none() && url.username().is_empty() && url.password().is_none();
        if plain && ["s3", "gs", "az"].contains(&url.scheme()) && url.has_host() { Ok(Self(url)) } else { Err(wrong()) }
    }
}

impl TryFrom<String> for StoreUrl {
    type Error = StoreUrlError;

    fn try_from(text: String) -> Result<Self, StoreUrlError> {
        text.parse()
    }
}

impl From<StoreUrl> for String {
    fn from(url: StoreUrl) -> Self {
        url.0.into()
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A folder of a store.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    store: Arc<dyn ObjectStore>,
    folder: Path,
}

impl Objects {
    /// Opens the store. Makes no request.
    ///
    /// # Errors
    /// When the variables that configure the store are wrong.
    pub(crate) fn open(url: &StoreUrl) -> io::Result<Self> {
        let (scheme, folder) = ObjectStoreScheme::parse(&url.0).map_err(io::Error::other)?;
        let retry = RetryConfig { max_retries: 2, retry_timeout: RETRIES, ..RetryConfig::default() };
        let client =
            |http: bool| ClientOptions::new().with_timeout(REQUEST).with_connect_timeout(CONNECT).with_allow_http(http);
        // As the environment variable of the same name means, which options given here would overrule.
        let http = |name: &str| std::env::var(name).is_ok_and(|text| text.eq_ignore_ascii_case("true"));
        let address = url.0.as_str();
        // The builders have these methods in common, and no trait.
        macro_rules! opened {
            ($builder:ty, $http:expr) => {{
                let builder = <$builder>::from_env().with_url(address).with_retry(retry);
                Arc::new(builder.with_client_options(client($http)).build().map_err(told)?)
            }};
        }
        let store: Arc<dyn ObjectStore> = match scheme {
            ObjectStoreScheme::GoogleCloudStorage => opened!(GoogleCloudStorageBuilder, false),
            ObjectStoreScheme::MicrosoftAzure => opened!(MicrosoftAzureBuilder, http("AZURE_ALLOW_HTTP")),
            _ => opened!(AmazonS3Builder, http("AWS_ALLOW_HTTP")),
        };
        Ok(Self { store, folder })
    }

    /// A folder inside this one.
    pub(crate) fn within(&self, name: &str) -> Self {
        Self { store: Arc::clone(&self.store), folder: self.folder.clone().join(name) }
    }

    /// Stores an object; it survives once this returns.
    ///
    /// # Errors
    /// When the store does not take it.
    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) -> io::Result<()> {
        let (store, path) = self.at(name);
        called(async move { store.put(&path, Bytes::from(bytes).into()).await.map(drop) })
    }

    /// An object's bytes.
    ///
    /// # Errors
    /// When there is none (`NotFound`), or the store does not answer.
    pub(crate) fn get(&self, name: &str) -> io::Result<Vec<u8>> {
        let (store, path) = self.at(name);
        called(async move { Ok(store.get(&path).await?.bytes().await?.to_vec()) })
    }

    /// When an object was last written.
    ///
    /// # Errors
    /// As [`Objects::get`].
    pub(crate) fn modified(&self, name: &str) -> io::Result<SystemTime> {
        let (store, path) = self.at(name);
        called(async move { Ok(store.head(&path).await?.last_modified.into()) })
    }

    /// Removes an object. A missing one is no error.
    ///
    /// # Errors
    /// When the store does not remove it.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        let (store, path) = self.at(name);
        match called(async move { store.delete(&path).await }) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The last part of the name of each object.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let (store, folder) = (Arc::clone(&self.store), self.folder.clone());
        // Listing takes as long as there are objects.
        let listed = wait(async move {
            let listing = store.list(Some(&folder));
            listing.map_ok(|found| found.location.filename().unwrap_or_default().to_owned()).try_collect().await
        });
        listed.map_err(io::Error::other)?.map_err(told)
    }

    fn at(&self, name: &str) -> (Arc<dyn ObjectStore>, Path) {
        (Arc::clone(&self.store), Path::from(format!("{}/{name}", self.folder)))
    }
}

fn called<T: Send + 'static>(request: impl Future<Output = object_store::Result<T>> + Send + 'static) -> io::Result<T> {
    // The store's own limits are for one attempt each.
    let limited = async move { tokio::time::timeout(2 * REQUEST, request).await };
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the object store does not answer");
    wait(limited).map_err(io::Error::other)?.map_err(late)?.map_err(told)
}

fn told(error: object_store::Error) -> io::Error {
    match error {
        object_store::Error::NotFound { path, .. } => {
            io::Error::new(io::ErrorKind::NotFound, format!("the object store has no {path}"))
        }
        other => io::Error::other(format!("object store: {other}")),
    }
}
