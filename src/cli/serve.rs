use tokio::signal::unix::{SignalKind, signal};

use super::output::say;
use super::{Exit, Failure};
use crate::assembly::Parts;
use crate::config::{Config, ConfigError};
use crate::http::{self, App, Certificate};
use crate::keys::make_first;
use crate::telemetry;

/// `read_log_filter` reads the current log filter from the settings.
pub(super) fn serve(
    config: &Config,
    read_log_filter: impl Fn() -> Result<(), Failure> + Sync,
) -> Result<Exit, Failure> {
    // Before the model is loaded, so that a wrong address or certificate is reported at once.
    let listener = listen(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(config.server.max_in_flight.max(1) + 16)
        .build()
        .map_err(|error| Failure::Serve(format!("the async runtime cannot start: {error}")))?;
    // From here on SIGHUP no longer ends the process, not even while the model is loaded.
    let hangups = runtime.block_on(async { signal(SignalKind::hangup()) });
    let mut hangups = hangups.map_err(|error| Failure::Serve(format!("SIGHUP cannot be handled: {error}")))?;
    let certificate = runtime.block_on(certificate(config))?;
    let renewal = certificate.as_ref().map(Certificate::renewal);
    let metrics = telemetry::record_metrics();
    let parts = Parts::open(config)?;
    if let Some((_, key)) = make_first(&parts.screener.gallery)? {
        say!("first key, of scope admin, shown this once: {key}");
    }
    let app = App::new(parts, config, metrics);
    runtime.block_on(async {
        let failed = |error: std::io::Error| Failure::Serve(error.to_string());
        let address = listener.local_addr().map_err(failed)?;
        let stop = shutdown().map_err(failed)?;
        // Scripts that start on port 0 read this line, and may stop the service from then on.
        say!("listening on {}://{address}", if certificate.is_some() { "https" } else { "http" });
        let reread = async {
            while hangups.recv().await.is_some() {
                match read_log_filter() {
                    Ok(()) => tracing::info!("SIGHUP: reread the log filter and the certificate"),
                    Err(error) => {
                        tracing::error!(%error, "SIGHUP: the settings cannot be used; the log filter stays unchanged");
                    }
                }
                if let Some(renewal) = &renewal {
                    renewal.notify_one();
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            served = http::serve(listener, app, certificate, stop) => served.map_err(failed)?,
            () = reread => {}
        }
        Ok(Exit::Done)
    })
}

fn listen(config: &Config) -> Result<std::net::TcpListener, Failure> {
    let listen = &config.server.listen;
    let failed = |error: std::io::Error| {
        let reason = format!("cannot listen on {listen}: {error}; set it to a free ADDRESS:PORT");
        match error.kind() {
            std::io::ErrorKind::InvalidInput => wrong("server.listen", reason),
            // The port may become free.
            _ => Failure::Serve(format!("server.listen: {reason}")),
        }
    };
    let listener = std::net::TcpListener::bind(listen).map_err(failed)?;
    let loopback = listener.local_addr().map_err(failed)?.ip().is_loopback();
    if !loopback && config.server.tls_certificate.is_none() && !config.server.allow_plain_http {
        let reason = format!(
            "others can reach {listen}, and without TLS they could read keys and photos; set server.tls_certificate and server.tls_key, or server.allow_plain_http = true behind a proxy that speaks TLS"
        );
        return Err(wrong("server.listen", reason));
    }
    Ok(listener)
}

/// The certificate of the settings, if one is set.
async fn certificate(config: &Config) -> Result<Option<Certificate>, Failure> {
    match (&config.server.tls_certificate, &config.server.tls_key) {
        (None, None) => Ok(None),
        (Some(chain), Some(key)) => Certificate::load(chain, key).await.map(Some).map_err(|error| {
            let (chain, key) = (chain.display(), key.display());
            let reason = format!(
                "{chain} and {key} cannot be used ({error}); expected PEM files of a certificate and of its key"
            );
            wrong("server.tls_certificate and server.tls_key", reason)
        }),
        _ => {
            let reason = "only one of tls_certificate and tls_key is set; set both";
            Err(wrong("server", reason.to_owned()))
        }
    }
}

fn wrong(origin: &str, reason: String) -> Failure {
    Failure::Config(ConfigError::Invalid { origin: origin.to_owned(), reason })
}

/// Completes when Ctrl-C or SIGTERM asks the process to stop. It listens from the moment of this call.
fn shutdown() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping after the requests that are already running");
    })
}
