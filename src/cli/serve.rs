use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::{Exit, Failure, Parts};
use crate::config::Config;
use crate::http::{self, App};
use crate::telemetry;

pub(super) fn serve(config: &Config) -> Result<Exit, Failure> {
    let metrics = telemetry::record_metrics();
    let parts = Parts::open(config)?;
    let app = App::new(parts.screener(config), config, metrics);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(config.server.max_in_flight.max(1) + 16)
        .build()
        .map_err(|error| Failure::Serve(format!("the async runtime cannot start: {error}")))?;
    runtime.block_on(async {
        let listener = listen(config).await?;
        let address = listener.local_addr().map_err(|error| Failure::Serve(error.to_string()))?;
        // Scripts that start on port 0 read this line.
        println!("listening on http://{address}");
        http::serve(listener, app, shutdown()).await.map_err(|error| Failure::Serve(error.to_string()))?;
        Ok(Exit::Done)
    })
}

async fn listen(config: &Config) -> Result<TcpListener, Failure> {
    let listen = &config.server.listen;
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        Failure::Serve(format!("cannot listen on {listen}: {error}; set server.listen to a free address"))
    })?;
    let loopback = listener.local_addr().is_ok_and(|address: SocketAddr| address.ip().is_loopback());
    if loopback || config.server.allow_unauthenticated {
        return Ok(listener);
    }
    Err(Failure::Serve(format!(
        "server.listen is {listen}, which others can reach, and there are no keys yet; listen on 127.0.0.1 behind a proxy that authenticates, or set server.allow_unauthenticated = true"
    )))
}

/// Ends when the process is asked to: Ctrl-C, or SIGTERM.
async fn shutdown() {
    let interrupt = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    #[cfg(unix)]
    let terminate = async {
        if let Ok(mut signal) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            signal.recv().await;
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
    tracing::info!("stopping: requests in flight are finished first");
}
