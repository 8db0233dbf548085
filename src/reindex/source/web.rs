//! Files at https:// URLs, by the rules of [`crate::fetch`].

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::client::{ClientOptions, HttpClient, HttpConnector};
use object_store::http::HttpBuilder;
use url::Url;

use crate::fetch::{self, FetchOptions};

/// Opens the store of a URL's host.
pub(super) fn store(url: &Url, options: &FetchOptions) -> Result<Arc<dyn ObjectStore>, String> {
    if let Some(refusal) = options.refusal(url) {
        return Err(refusal);
    }
    let builder = HttpBuilder::new()
        .with_url(&url[..url::Position::BeforePath])
        .with_client_options(ClientOptions::new().with_allow_http(options.private_addresses))
        .with_http_connector(Careful(options.clone()));
    Ok(Arc::new(builder.build().map_err(|error| error.to_string())?))
}

#[derive(Debug)]
struct Careful(FetchOptions);

impl HttpConnector for Careful {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let failed = |source| object_store::Error::Generic { store: "HTTP", source: Box::new(source) };
        fetch::client(&self.0.hosts()).map(HttpClient::new).map_err(failed)
    }
}
