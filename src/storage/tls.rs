//! TLS to PostgreSQL. An encrypted connection needs a certificate that is valid for the system's trusted roots, also with
//! `sslmode=require`, where libpq does not verify it.

use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls};

use super::error::{Error, Result};

/// Connects to the server. Without `sslmode` in the URL, connections within this machine are not encrypted and all others are
/// encrypted if the server can; `sslmode=require` insists on it.
pub(super) async fn connect(config: &Config) -> Result<Client> {
    let local =
        config.get_hosts().iter().all(is_local) && config.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback);
    if config.get_ssl_mode() == SslMode::Disable || (config.get_ssl_mode() == SslMode::Prefer && local) {
        let (client, connection) = config.connect(NoTls).await?;
        // Ends with the client; why it ended is told to whoever asks next.
        tokio::spawn(connection);
        return Ok(client);
    }
    // Certificates that cannot be read are left out: without the right one the connection fails.
    let (tls, _) = tokio_postgres_rustls::MakeRustlsConnect::with_native_certs().map_err(|error| {
        Error::Conversion(
            format!(
                "the system's trusted certificates cannot be read: {error:?}; name a file of them in SSL_CERT_FILE"
            )
            .into(),
        )
    })?;
    let (client, connection) = config.connect(tls).await?;
    tokio::spawn(connection);
    Ok(client)
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        Host::Unix(_) => true,
    }
}
