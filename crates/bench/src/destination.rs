//! Where the server is reached: by TCP, or by TLS over it with a certificate that was made for the run.

use anyhow::Context as _;
use rcgen::CertifiedKey;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

/// The name in certificates.
const NAME: &str = "localhost";

/// What is between the load and the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// TCP.
    Plain,
    /// TLS 1.3, a full handshake for every connection: nothing is resumed, as from clients that were never there.
    Tls,
}

/// A connection.
pub type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A certificate and its key, in PEM.
pub struct Certificate {
    /// Vouches for itself.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// A server's address, and what it shows where it speaks TLS.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Address", into = "Address")]
pub struct Destination {
    address: Address,
    tls: Option<TlsConnector>,
}

/// See [`Destination`], as another process is told.
#[derive(Clone, Serialize, Deserialize)]
struct Address {
    server: SocketAddr,
    certificate: Option<String>,
}

impl Certificate {
    /// Makes one.
    pub fn new() -> anyhow::Result<Self> {
        let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
        Ok(Self { certificate: cert.pem(), key: signing_key.serialize_pem() })
    }
}

impl TryFrom<Address> for Destination {
    type Error = anyhow::Error;

    fn try_from(address: Address) -> anyhow::Result<Self> {
        let tls = address.certificate.as_deref().map(trusting).transpose()?;
        Ok(Self { address, tls })
    }
}

impl From<Destination> for Address {
    fn from(destination: Destination) -> Self {
        destination.address
    }
}

impl Destination {
    /// With the certificate that it shows, in PEM, where it speaks TLS.
    pub fn new(server: SocketAddr, certificate: Option<String>) -> anyhow::Result<Self> {
        Address { server, certificate }.try_into()
    }

    /// The URL of its WebSocket.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        format!("{scheme}://{}/v1/ws", self.address.server)
    }

    /// Connects from an address of this machine.
    pub async fn open(&self, source: IpAddr) -> anyhow::Result<Stream> {
        let server = self.address.server;
        let socket = TcpSocket::new_v4()?;
        socket.bind((source, 0).into()).with_context(|| format!("{source} has no free port"))?;
        let stream = socket.connect(server).await.with_context(|| format!("{server} takes no connection"))?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Either::Left(stream)) };
        let name = ServerName::try_from(NAME).context("a name")?;
        let stream = tls.connect(name, stream).await.with_context(|| format!("{server} opens no TLS"))?;
        Ok(Either::Right(Box::new(stream)))
    }
}

/// What trusts a certificate and nothing else.
fn trusting(certificate: &str) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).context("the certificate is not PEM")?)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let mut config = builder.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config).into())
}
