//! Clients that speak TLS from an address of their choice.

use futures_util::StreamExt as _;
use hudhud_e2e::overload::Source;
use hudhud_proto::Encoding;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message, http::HeaderValue};

/// No answer takes so long, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

/// A WebSocket through the balancer.
pub type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// Whom clients trust, and where they connect to.
#[derive(Clone)]
pub struct Client {
    connector: TlsConnector,
    to: SocketAddr,
}

/// A connection on which HTTP/1.1 is spoken, a request at a time.
pub struct Http<S>(pub S);

impl Client {
    /// Trusts one authority, and speaks HTTP/1.1.
    pub fn new(authority: &str, to: SocketAddr) -> Self {
        Self::speaking(authority, to, "http/1.1")
    }

    /// Trusts one authority, and speaks a protocol of ALPN.
    pub fn speaking(authority: &str, to: SocketAddr, protocol: &str) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
            roots.add(certificate.expect("PEM")).expect("an authority");
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("known versions");
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Self { connector: Arc::new(config).into(), to }
    }

    /// Connects from an address.
    pub async fn connect(&self, from: Ipv4Addr) -> io::Result<Http<TlsStream<TcpStream>>> {
        let connect = async {
            let stream = Source { address: Some(from), receive_bytes: None }.connect(self.to).await?;
            self.connector.connect(ServerName::try_from("localhost").expect("a name"), stream).await.map(Http)
        };
        tokio::time::timeout(PATIENCE, connect).await.map_err(io::Error::from).flatten()
    }

    /// Opens a WebSocket from an address.
    pub async fn socket(&self, from: Ipv4Addr) -> tungstenite::Result<Socket> {
        let Http(stream) = self.connect(from).await?;
        let mut request = "wss://localhost/v1/ws".into_client_request()?;
        let subprotocol = HeaderValue::from_static(Encoding::Protobuf.subprotocol());
        request.headers_mut().insert("sec-websocket-protocol", subprotocol);
        let opened = tokio::time::timeout(PATIENCE, tokio_tungstenite::client_async(request, stream)).await;
        opened.map_err(io::Error::from)?.map(|(socket, _)| socket)
    }

    /// Opens WebSockets, one after the other.
    pub async fn sockets(&self, from: Ipv4Addr, count: usize) -> Vec<Socket> {
        let mut sockets = Vec::new();
        for n in 0..count {
            let socket = self.socket(from).await;
            sockets.push(socket.unwrap_or_else(|error| panic!("socket {n} of {count}: {error}")));
        }
        sockets
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Http<S> {
    /// Sends a request and returns the status of its answer, whose body is read to its end.
    pub async fn ask(&mut self, line: &str, headers: &str, body: &str) -> io::Result<u16> {
        let exchange = self.exchange(line, headers, body);
        tokio::time::timeout(PATIENCE, exchange).await.map_err(io::Error::from).flatten()
    }

    async fn exchange(&mut self, line: &str, headers: &str, body: &str) -> io::Result<u16> {
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
             {headers}\r\n{body}"
        );
        self.0.write_all(request.as_bytes()).await?;
        self.0.flush().await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await?);
        }
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let head = String::from_utf8(head).map_err(|_| wrong("a head that is no text"))?.to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.ok_or_else(|| wrong("an answer without a length"))?];
        self.0.read_exact(&mut body).await?;
        status.ok_or_else(|| wrong("an answer without a status"))
    }
}

/// Whether a WebSocket is there, of which everything that came is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It is.
    Open,
    /// It was closed, with this code.
    Closed(u16),
    /// It broke.
    Broken,
}

/// Reads what has come, and says how it is.
pub async fn state<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) -> State {
    loop {
        match tokio::time::timeout(Duration::from_millis(1), socket.next()).await {
            Err(_) => return State::Open,
            Ok(Some(Ok(Message::Close(Some(frame))))) => return State::Closed(frame.code.into()),
            Ok(Some(Ok(Message::Close(None)) | Err(_)) | None) => return State::Broken,
            Ok(Some(Ok(_))) => {}
        }
    }
}
