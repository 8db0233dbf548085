use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum_server::tls_rustls::RustlsConfig;
use tokio::sync::Notify;

/// Interval between checks for replaced files.
const LOOK: Duration = Duration::from_secs(30);

/// A TLS certificate and its private key, from PEM files that may be replaced while the service runs.
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    pub(super) config: RustlsConfig,
    wanted: Arc<Notify>,
}

impl Certificate {
    /// Reads the certificate chain and the private key.
    ///
    /// # Errors
    /// When a file cannot be read, or is not PEM with a certificate or a key.
    pub async fn load(chain: &Path, key: &Path) -> std::io::Result<Self> {
        let config = RustlsConfig::from_pem_file(chain, key).await?;
        Ok(Self { chain: chain.to_owned(), key: key.to_owned(), config, wanted: Arc::default() })
    }

    /// Notify it to reload the files at once, without waiting for the next check.
    #[must_use]
    pub fn renewal(&self) -> Arc<Notify> {
        Arc::clone(&self.wanted)
    }

    /// Reloads replaced files, for connections from then on; files that cannot be used change nothing.
    pub(super) async fn renew(self) {
        let mut loaded = self.changed();
        loop {
            let asked = tokio::time::timeout(LOOK, self.wanted.notified()).await.is_ok();
            let now = self.changed();
            if now == loaded && !asked {
                continue;
            }
            match self.config.reload_from_pem_file(&self.chain, &self.key).await {
                Ok(()) => tracing::info!("the certificate was renewed"),
                Err(error) => tracing::error!(%error, "the new certificate cannot be used; the old one stays in use"),
            }
            loaded = now;
        }
    }

    fn changed(&self) -> [Option<SystemTime>; 2] {
        let when = |path: &Path| std::fs::metadata(path).and_then(|file| file.modified()).ok();
        [when(&self.chain), when(&self.key)]
    }
}
