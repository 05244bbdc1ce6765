//! A WebSocket as the gateway sees one: whole frames, both ways.

use async_trait::async_trait;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use bytes::Bytes;
use futures_util::SinkExt as _;
use hudhud_proto::Encoding;
use hudhud_proto::limits::FRAME_BYTES_MAX;
use hudhud_roles::gateway::{Closed, Transport};
use std::time::Duration;
use tokio_tungstenite::tungstenite;

/// How long a close waits for the other end's (RFC 6455 §7.1.1). Without the wait what the client sent last would make the
/// kernel reset the connection, and the close be lost.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// An open WebSocket.
pub struct Socket {
    socket: WebSocket,
    encoding: Encoding,
}

impl Socket {
    /// A WebSocket whose subprotocol is this encoding's.
    pub fn new(socket: WebSocket, encoding: Encoding) -> Self {
        Self { socket, encoding }
    }

    fn message(&self, frame: Bytes) -> Result<Message, Closed> {
        match self.encoding {
            Encoding::Protobuf => Ok(Message::Binary(frame)),
            Encoding::Json => Utf8Bytes::try_from(frame).map(Message::Text).map_err(|_| Closed),
        }
    }

    /// The close that answers what a client must not send.
    async fn refuse(&mut self, error: axum::Error) {
        let error = error.into_inner();
        let (code, reason) = match error.downcast_ref::<tungstenite::Error>() {
            Some(tungstenite::Error::Capacity(_)) => {
                (close_code::SIZE, format!("a frame has at most {FRAME_BYTES_MAX} bytes"))
            }
            Some(tungstenite::Error::Utf8(_)) => (close_code::INVALID, "a text message is UTF-8".to_owned()),
            Some(tungstenite::Error::Protocol(error)) => (close_code::PROTOCOL, error.to_string()),
            _ => return,
        };
        self.close(code, &reason).await;
    }
}

#[async_trait]
impl Transport for Socket {
    async fn receive(&mut self) -> Option<Bytes> {
        loop {
            let message = match self.socket.recv().await? {
                Ok(message) => message,
                Err(error) => {
                    self.refuse(error).await;
                    return None;
                }
            };
            return match (message, self.encoding) {
                (Message::Binary(frame), Encoding::Protobuf) => Some(frame),
                (Message::Text(frame), Encoding::Json) => Some(frame.into()),
                // Pings are answered by the library. They count for nothing: a frame of the protocol shows that a client lives.
                (Message::Ping(_) | Message::Pong(_), _) => continue,
                (Message::Close(_), _) => None,
                (Message::Text(_), Encoding::Protobuf) => {
                    self.close(close_code::UNSUPPORTED, "hudhud.v1.proto takes binary messages, this was text").await;
                    None
                }
                (Message::Binary(_), Encoding::Json) => {
                    self.close(close_code::UNSUPPORTED, "hudhud.v1.json takes text messages, this was binary").await;
                    None
                }
            };
        }
    }

    async fn send(&mut self, frames: Vec<Bytes>) -> Result<(), Closed> {
        for frame in frames {
            let message = self.message(frame)?;
            self.socket.feed(message).await.map_err(|_| Closed)?;
        }
        self.socket.flush().await.map_err(|_| Closed)
    }

    async fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code, reason: reason.into() };
        let handshake = async {
            if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
                while let Some(Ok(_)) = self.socket.recv().await {}
            }
        };
        // Whoever does not answer is closed all the same.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, handshake).await;
    }
}
