//! The WebSocket: binary messages of the subprotocol `hudhud.v1.proto`.

use super::limits::{CLOSE_TIMEOUT, FRAME_BYTES_MAX, WRITE_TIMEOUT};
use crate::Closed;
use futures_util::{FutureExt, SinkExt, StreamExt};
use hudhud_proto::Encoding;
use hudhud_proto::v1::{ClientFrame, ServerFrame};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
pub(super) use tokio_tungstenite::Connector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

/// An open connection.
pub(super) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// Checks that this is a URL that [`open`] understands.
pub(super) fn check_url(url: &str) -> Result<(), String> {
    let example = "use one such as ws://127.0.0.1:8080/v1/ws";
    let uri: Uri = url.parse().map_err(|error| format!("{url:?} is no URL ({error}): {example}"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("ws" | "wss"), Some(_)) => Ok(()),
        _ => Err(format!("{url:?} is no URL of a WebSocket: {example}")),
    }
}

/// What checks the certificates of servers: against the authorities in a file, or the usual ones.
pub(super) fn connector(authorities: Option<&Path>) -> Result<Connector, String> {
    let mut roots = RootCertStore::empty();
    match authorities {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let broken = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
            for authority in CertificateDer::pem_file_iter(path).map_err(|error| broken(&error))? {
                roots.add(authority.map_err(|error| broken(&error))?).map_err(|error| broken(&error))?;
            }
            if roots.is_empty() {
                return Err(broken(&"there is no certificate in PEM"));
            }
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("the provider has TLS 1.2 and 1.3");
    Ok(Connector::Rustls(Arc::new(builder.with_root_certificates(roots).with_no_client_auth())))
}

/// Opens a connection.
pub(super) async fn open(url: String, connector: Connector) -> Result<Socket, Closed> {
    let mut request = url.as_str().into_client_request().map_err(closed)?;
    let protocol = HeaderValue::from_static(Encoding::Protobuf.subprotocol());
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol.clone());
    let config =
        WebSocketConfig::default().max_message_size(Some(FRAME_BYTES_MAX)).max_frame_size(Some(FRAME_BYTES_MAX));
    let (stream, response) =
        connect_async_tls_with_config(request, Some(config), true, Some(connector)).await.map_err(closed)?;
    if response.headers().get(SEC_WEBSOCKET_PROTOCOL) != Some(&protocol) {
        let reason = format!("{url} speaks WebSocket but not {}", Encoding::Protobuf.subprotocol());
        return Err(Closed { code: None, reason });
    }
    Ok(Socket { stream })
}

impl Socket {
    /// The next frame. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<ServerFrame, Closed> {
        loop {
            let message = match self.stream.next().await {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(closed(error)),
                None => return Err(Closed { code: None, reason: "the server closed the connection".into() }),
            };
            match message {
                Message::Binary(bytes) => {
                    return Encoding::Protobuf
                        .decode_server(&bytes)
                        .map_err(|error| Closed { code: None, reason: error.to_string() });
                }
                Message::Close(frame) => {
                    return Err(match frame {
                        Some(frame) => {
                            Closed { code: Some(frame.code.into()), reason: frame.reason.as_str().to_owned() }
                        }
                        None => Closed { code: None, reason: "the server closed the connection".into() },
                    });
                }
                // Pings are answered by the library; text is another subprotocol's.
                Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    /// A frame that is here already.
    pub(super) fn try_next(&mut self) -> Option<Result<ServerFrame, Closed>> {
        self.next().now_or_never()
    }

    /// Writes a frame; it leaves with the next [`Socket::flush`].
    pub(super) async fn feed(&mut self, frame: &ClientFrame) -> Result<(), Closed> {
        let message = Message::Binary(Encoding::Protobuf.encode_client(frame));
        in_time(WRITE_TIMEOUT, self.stream.feed(message)).await
    }

    /// Sends what was written.
    pub(super) async fn flush(&mut self) -> Result<(), Closed> {
        in_time(WRITE_TIMEOUT, self.stream.flush()).await
    }

    /// Says goodbye, if that is quick.
    pub(super) async fn close(mut self) {
        // The connection is given up either way.
        let _ = in_time(CLOSE_TIMEOUT, self.stream.close(None)).await;
    }
}

async fn in_time(limit: Duration, write: impl Future<Output = tungstenite::Result<()>>) -> Result<(), Closed> {
    match tokio::time::timeout(limit, write).await {
        Ok(written) => written.map_err(closed),
        Err(_) => Err(Closed { code: None, reason: "the server does not read".into() }),
    }
}

fn closed(error: tungstenite::Error) -> Closed {
    Closed { code: None, reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked_before_anything_is_tried() {
        assert_eq!(check_url("ws://127.0.0.1:8080/v1/ws"), Ok(()));
        assert_eq!(check_url("wss://chat.example/v1/ws"), Ok(()));
        for bad in ["", "127.0.0.1", "http://127.0.0.1/", "ws://", "ws:// x"] {
            assert!(check_url(bad).is_err(), "{bad:?} passed");
        }
    }
}
