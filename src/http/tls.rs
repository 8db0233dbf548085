use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use axum_server::tls_rustls::RustlsConfig;

/// How often to look whether the files were replaced.
const LOOK: Duration = Duration::from_secs(30);

/// A certificate and its key, in PEM files that others may replace while the service runs.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate and those that vouch for it.
    pub chain: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Certificate {
    /// Whether the files hold a certificate and its key.
    ///
    /// # Errors
    /// When they do not, or cannot be read.
    pub async fn check(&self) -> std::io::Result<()> {
        self.load().await.map(drop)
    }

    pub(super) async fn load(&self) -> std::io::Result<RustlsConfig> {
        RustlsConfig::from_pem_file(&self.chain, &self.key).await
    }

    /// Takes new files in as they come, for connections from then on; files that cannot be used change nothing.
    pub(super) async fn renew(self, config: RustlsConfig) {
        let mut loaded = self.changed();
        loop {
            tokio::time::sleep(LOOK).await;
            let now = self.changed();
            if now == loaded {
                continue;
            }
            match config.reload_from_pem_file(&self.chain, &self.key).await {
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
