//! A certificate in two files, which somebody else renews.

use super::TlsMetrics;
use super::certificates::{Certificate, Certificates};
use crate::config::ConfigError;
use crate::exit::Failure;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often it is looked whether the files have changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Where certificate and key are.
#[derive(Clone, Debug)]
pub struct Pair {
    certificate: PathBuf,
    key: PathBuf,
}

/// When each file was last changed; none where there is no file.
type Stamps = [Option<SystemTime>; 2];

/// Keeps the certificate that is shown to what the files hold.
pub struct Watch {
    pair: Pair,
    certificates: Arc<Certificates>,
    metrics: TlsMetrics,
    stamps: Stamps,
    hang_up: Signal,
}

impl Pair {
    /// Of two paths.
    pub fn new(certificate: &Path, key: &Path) -> Self {
        Self { certificate: certificate.to_owned(), key: key.to_owned() }
    }

    fn stamps(&self) -> Stamps {
        [&self.certificate, &self.key].map(|path| std::fs::metadata(path).and_then(|data| data.modified()).ok())
    }

    fn read(&self, certificates: &Certificates) -> Result<Certificate, ConfigError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
        };
        certificates
            .read(&read(&self.certificate)?, &read(&self.key)?)
            .map_err(|why| ConfigError::Invalid { origin: None, message: format!("tls.certificate_file: {why}") })
    }
}

impl Watch {
    /// Reads the files for the first time. They have to be whole.
    pub fn start(pair: Pair, certificates: Arc<Certificates>, metrics: TlsMetrics) -> Result<Self, Failure> {
        // Before the files: what changes while they are read is seen later.
        let stamps = pair.stamps();
        certificates.show(&pair.read(&certificates)?);
        let hang_up = signal(SignalKind::hangup()).expect("this signal can be listened for");
        Ok(Self { pair, certificates, metrics, stamps, hang_up })
    }

    /// Reads them again whenever they change, and on SIGHUP.
    pub async fn run(mut self) {
        loop {
            tokio::select! {
                biased;
                _ = self.hang_up.recv() => {}
                () = tokio::time::sleep(LOOK_INTERVAL) => {
                    if self.pair.stamps() == self.stamps {
                        continue;
                    }
                }
            }
            self.stamps = self.pair.stamps();
            match self.pair.read(&self.certificates) {
                Ok(certificate) => {
                    self.certificates.show(&certificate);
                    tracing::info!(valid_to_s = certificate.validity().to, "a new certificate is shown");
                }
                Err(error) => {
                    self.metrics.tls_reload_failures.inc();
                    tracing::warn!(%error, "the certificate's files were not taken; the one before is still shown");
                }
            }
        }
    }
}
