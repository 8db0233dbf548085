//! The HTTP service: routes, problem+json errors, one module per resource.

mod access;
mod alliances;
mod background;
mod batches;
mod cases;
mod checks;
mod console;
mod drain;
mod encoding;
mod error;
mod events;
mod fetched;
mod form;
mod hma;
mod keys;
mod lookbacks;
mod lookups;
mod notices;
mod observe;
mod outcomes;
mod policies;
mod references;
mod router;
mod sellers;
mod serving;
mod state;
mod system;
mod tls;
mod webhooks;

use std::future::Future;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;

pub use error::Problem;
pub use router::openapi_json;
use router::router_with;
pub use state::App;
pub use tls::Certificate;

/// Parses a form, for fuzz targets.
#[cfg(fuzzing)]
pub(crate) fn fuzz_form(bytes: &[u8]) {
    form::fuzz(bytes);
}

/// How long a client may take for a request's head, and how long an idle connection stays open.
const HEAD: Duration = Duration::from_secs(30);

/// Serves until `shutdown` completes, then finishes requests already running. Uses TLS where a certificate is given.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    certificate: Option<Certificate>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    serve_with(listener, app, Router::new(), certificate, shutdown).await
}

/// As [`serve`], with further routes, which need no key.
///
/// # Errors
/// When the listener fails.
pub async fn serve_with(
    listener: TcpListener,
    app: Arc<App>,
    more: Router<Arc<App>>,
    certificate: Option<Certificate>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let following = app.follow();
    let handle = Handle::new();
    let ending = Arc::clone(&app);
    let (stopping, last) = (handle.clone(), Duration::from_secs(app.server.timeout_s.max(1) + 5));
    let stop = tokio::spawn(async move {
        shutdown.await;
        ending.stop();
        stopping.graceful_shutdown(Some(last));
    });
    let service = router_with(Arc::clone(&app), more).into_make_service();
    let served = match certificate {
        None => {
            let mut server = axum_server::from_tcp(listener)?.handle(handle);
            server.http_builder().http1().header_read_timeout(HEAD);
            server.serve(service).await
        }
        Some(certificate) => {
            let mut server = axum_server::from_tcp_rustls(listener, certificate.config.clone())?.handle(handle);
            let renewing = tokio::spawn(certificate.renew());
            server.http_builder().http1().header_read_timeout(HEAD);
            let served = server.serve(service).await;
            renewing.abort();
            served
        }
    };
    stop.abort();
    drop(following);
    served
}
