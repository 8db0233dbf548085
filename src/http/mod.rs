//! The service: routes, errors as problem+json, one file a resource.

mod cases;
mod checks;
mod console;
mod drain;
mod error;
mod form;
mod lookups;
mod observe;
mod outcomes;
mod policies;
mod references;
mod router;
mod serving;
mod state;
mod system;

use std::future::Future;
use std::sync::Arc;

use tokio::net::TcpListener;

pub use error::Problem;
pub use router::{openapi_json, router};
pub use state::App;

/// Serves until `shutdown` ends, then finishes the requests in flight.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let following = app.follow();
    let served = axum::serve(listener, router(Arc::clone(&app))).with_graceful_shutdown(shutdown).await;
    drop(following);
    served
}
