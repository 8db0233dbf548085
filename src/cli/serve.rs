use tokio::net::TcpListener;

use super::output::say;
use super::{Exit, Failure};
use crate::assembly::Parts;
use crate::config::Config;
use crate::http::{self, App};
use crate::telemetry;

pub(super) fn serve(config: &Config) -> Result<Exit, Failure> {
    // Before the model is loaded: a wrong address is told at once.
    let listener = listen(config)?;
    let metrics = telemetry::record_metrics();
    let parts = Parts::open(config)?;
    let app = App::new(parts, config, metrics);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(config.server.max_in_flight.max(1) + 16)
        .build()
        .map_err(|error| Failure::Serve(format!("the async runtime cannot start: {error}")))?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener).map_err(|error| Failure::Serve(error.to_string()))?;
        let address = listener.local_addr().map_err(|error| Failure::Serve(error.to_string()))?;
        // Scripts that start on port 0 read this line.
        say!("listening on http://{address}");
        http::serve(listener, app, shutdown()).await.map_err(|error| Failure::Serve(error.to_string()))?;
        Ok(Exit::Done)
    })
}

fn listen(config: &Config) -> Result<std::net::TcpListener, Failure> {
    let listen = &config.server.listen;
    let failed = |error: std::io::Error| {
        Failure::Serve(format!("cannot listen on {listen}: {error}; set server.listen to a free ADDRESS:PORT"))
    };
    let listener = std::net::TcpListener::bind(listen).map_err(failed)?;
    let loopback = listener.local_addr().map_err(failed)?.ip().is_loopback();
    if !loopback && !config.server.allow_unauthenticated {
        return Err(Failure::Serve(format!(
            "server.listen is {listen}, which others can reach, and there are no keys yet; listen on 127.0.0.1 behind a proxy that authenticates, or set server.allow_unauthenticated = true"
        )));
    }
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
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
