use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum_server::tls_rustls::RustlsConfig;
use tokio::sync::Notify;

/// How often to look whether the files were replaced.
const LOOK: Duration = Duration::from_secs(30);

/// A certificate and its key, from PEM files that others may replace while the service runs.
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    pub(super) config: RustlsConfig,
    wanted: Arc<Notify>,
}

impl Certificate {
    /// Reads the certificate, with those that vouch for it, and the private key.
    ///
    /// # Errors
    /// When the files cannot be read, or do not hold that.
    pub async fn load(chain: &Path, key: &Path) -> std::io::Result<Self> {
        let config = RustlsConfig::from_pem_file(chain, key).await?;
        Ok(Self { chain: chain.to_owned(), key: key.to_owned(), config, wanted: Arc::default() })
    }

    /// Whoever notifies it has the files taken in at once, and not only when somebody next looks at them.
    #[must_use]
    pub fn renewal(&self) -> Arc<Notify> {
        Arc::clone(&self.wanted)
    }

    /// Takes new files in as they come, for connections from then on; files that cannot be used change nothing.
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
                Err(error) => tracing::error!(%error, "the new certificate cannot be used: the old one goes on"),
            }
            loaded = now;
        }
    }

    fn changed(&self) -> [Option<SystemTime>; 2] {
        let when = |path: &Path| std::fs::metadata(path).and_then(|file| file.modified()).ok();
        [when(&self.chain), when(&self.key)]
    }
}
