//! TLS of the public listener: 1.2 and 1.3 by rustls on aws-lc-rs, HTTP/2 and HTTP/1.1 by ALPN.
//!
//! Certificates come from two files (`files`) or from an authority (`acme`); `certificates` holds the one that is shown.

mod acme;
mod certificates;
mod files;
mod metrics;

pub(crate) use acme::{CERTIFICATE as ACME_CERTIFICATE, KEY as ACME_KEY};
pub(crate) use certificates::Certificates;
pub use metrics::TlsMetrics;

use crate::config::{Acme, Config, Source};
use crate::exit::Failure;
use acme::Renewal;
use files::{Pair, Watch};
use hudhud_ports::Clock;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What a connection speaks that begins with a handshake of TLS (RFC 8446 §5.1: the type of the record).
const HANDSHAKE: u8 = 22;
/// By which an authority asks for a challenge's certificate (RFC 8737).
const ACME_TLS: &[u8] = b"acme-tls/1";

/// The folder of certificates that authorities gave, in the data folder.
const ACME: &str = "acme";

/// Where the certificate for what this configuration asks an authority is kept.
pub(crate) fn acme_folder(acme: &Acme, data: &Path) -> PathBuf {
    acme::folder_of(acme, &data.join(ACME))
}

/// What connections are opened with.
pub struct Tls {
    acceptor: TlsAcceptor,
    metrics: TlsMetrics,
}

/// A connection that was opened.
pub enum Opened {
    /// TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// The other end does not speak TLS; nothing was read.
    Plain(TcpStream),
    /// An authority has seen what it asked for, and says no more.
    Challenge,
}

/// Reads the certificates that a configuration names, and keeps them fresh until it is stopped. None where the listener is to
/// speak plain HTTP.
pub fn start(
    config: &Config,
    clock: Arc<dyn Clock>,
    metrics: TlsMetrics,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<Option<Arc<Tls>>, Failure> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let certificates = Arc::new(Certificates::new(provider.clone(), metrics.clone()));
    let stop = stop.clone();
    match config.tls.source()? {
        Source::None => return Ok(None),
        Source::Files { certificate, key } => {
            let watch = Watch::start(Pair::new(certificate, key), certificates.clone(), metrics.clone())?;
            tasks.spawn(async move { stop.run_until_cancelled(watch.run()).await });
        }
        Source::Acme(acme) => {
            let folder = config.data.join(ACME);
            let renewal = Renewal::start(acme.clone(), &folder, certificates.clone(), clock, metrics.clone())?;
            tasks.spawn(async move { stop.run_until_cancelled(renewal.run()).await });
        }
    }
    Ok(Some(Arc::new(Tls::new(provider, certificates, metrics))))
}

impl Tls {
    fn new(provider: Arc<CryptoProvider>, certificates: Arc<Certificates>, metrics: TlsMetrics) -> Self {
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().expect("the provider has TLS 1.2 and 1.3");
        let mut config = builder.with_no_client_auth().with_cert_resolver(certificates);
        config.alpn_protocols = [b"h2", &b"http/1.1"[..], ACME_TLS].map(<[u8]>::to_vec).into();
        // Sessions are resumed by what the client holds: nothing is kept for who has gone.
        config.ticketer = aws_lc_rs::Ticketer::new().expect("the operating system has random bytes");
        Self { acceptor: Arc::new(config).into(), metrics }
    }

    /// Takes a handshake. The caller sets the limit of time.
    pub async fn open(&self, stream: TcpStream) -> io::Result<Opened> {
        let mut first = [HANDSHAKE];
        stream.peek(&mut first).await?;
        if first != [HANDSHAKE] {
            return Ok(Opened::Plain(stream));
        }
        // In a box, as it is large and over soon.
        let stream = Box::pin(self.acceptor.accept(stream)).await?;
        if stream.get_ref().1.alpn_protocol() == Some(ACME_TLS) {
            return Ok(Opened::Challenge);
        }
        self.metrics.tls_handshakes.inc();
        Ok(Opened::Tls(Box::new(stream)))
    }

    /// Counts a connection that was not opened.
    pub fn failed(&self) {
        self.metrics.tls_handshake_failures.inc();
    }
}
