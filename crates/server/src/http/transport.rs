//! A WebSocket as the gateway sees one: whole frames, both ways.

use super::STRANGER_BYTES_MAX;
use crate::crowd::Place;
use crate::listen::Busy;
use async_trait::async_trait;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use bytes::Bytes;
use futures_util::SinkExt as _;
use hudhud_proto::{AccountId, Encoding};
use hudhud_roles::gateway::{Closed, Transport};
use std::sync::Arc;
use std::time::Duration;
use tokio_tungstenite::tungstenite;

/// How long a close waits for the other end's (RFC 6455 §7.1.1). Without the wait what the client sent last would make the
/// kernel reset the connection, and the close be lost.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// An open WebSocket in its place: whole messages of any kind, and the closing handshake.
pub struct Messages {
    socket: WebSocket,
    place: Arc<Place>,
    around: Option<Busy>,
}

impl Messages {
    /// Of a connection that was just upgraded, in a place of its own; where it is one of several streams, with the connection
    /// around it.
    pub(super) fn new(socket: WebSocket, place: Arc<Place>, around: Option<Busy>) -> Self {
        Self { socket, place, around }
    }

    /// Waits for the next message, text or binary; `None` once the other end closed, broke off, or sent what it must not, and
    /// once its place is given away. Cancel-safe.
    pub async fn receive(&mut self) -> Option<Message> {
        loop {
            let message = tokio::select! {
                biased;
                () = self.place.given_away() => return None,
                message = self.socket.recv() => message?,
                () = self.place.overspent() => {
                    let reason = format!("more than {STRANGER_BYTES_MAX} bytes before a hello with a valid token");
                    self.close(close_code::POLICY, &reason).await;
                    return None;
                }
            };
            return match message {
                // Pings are answered by the library. They count for nothing: a frame of the protocol shows that a client
                // lives. A close is answered too (RFC 6455 §5.5.1): the next read writes that answer before it ends.
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_)) => continue,
                Ok(message) => Some(message),
                Err(error) => {
                    self.refuse(error).await;
                    None
                }
            };
        }
    }

    /// Writes messages in order, with one flush for all.
    pub async fn send(&mut self, messages: impl IntoIterator<Item = Message> + Send) -> Result<(), Closed> {
        // Collected, as an iterator that is held over an await would have to be shareable.
        let messages = messages.into_iter().collect::<Vec<_>>();
        let place = self.place.clone();
        let write = async {
            for message in messages {
                self.socket.feed(message).await.map_err(|_| Closed)?;
            }
            self.socket.flush().await.map_err(|_| Closed)
        };
        tokio::select! {
            biased;
            () = place.given_away() => Err(Closed),
            written = write => written,
        }
    }

    fn authenticated(&self, account: AccountId) {
        self.place.prove(account);
        if let Some(around) = &self.around {
            around.place().prove(account);
        }
    }

    /// Closes with a code of RFC 6455 §7.4 and a reason of at most 123 bytes, and waits for the answer, but not for long.
    pub async fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code, reason: reason.into() };
        let handshake = async {
            if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
                while let Some(Ok(_)) = self.socket.recv().await {}
            }
        };
        // Whoever does not answer is closed all the same.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, handshake).await;
    }

    /// The close that answers what a client must not send.
    async fn refuse(&mut self, error: axum::Error) {
        let error = error.into_inner();
        let (code, reason) = match error.downcast_ref::<tungstenite::Error>() {
            Some(tungstenite::Error::Capacity(tungstenite::error::CapacityError::MessageTooLong {
                max_size, ..
            })) => (close_code::SIZE, format!("a frame has at most {max_size} bytes")),
            Some(tungstenite::Error::Utf8(_)) => (close_code::INVALID, "a text message is UTF-8".to_owned()),
            Some(tungstenite::Error::Protocol(error)) => (close_code::PROTOCOL, error.to_string()),
            _ => return,
        };
        self.close(code, &reason).await;
    }
}

/// An open WebSocket whose subprotocol is an encoding's.
pub struct Socket {
    messages: Messages,
    encoding: Encoding,
}

impl Socket {
    /// One message a frame, of the kind that this encoding has.
    pub fn new(messages: Messages, encoding: Encoding) -> Self {
        Self { messages, encoding }
    }

    fn message(&self, frame: Bytes) -> Result<Message, Closed> {
        match self.encoding {
            Encoding::Protobuf => Ok(Message::Binary(frame)),
            Encoding::Json => Utf8Bytes::try_from(frame).map(Message::Text).map_err(|_| Closed),
        }
    }
}

#[async_trait]
impl Transport for Socket {
    async fn receive(&mut self) -> Option<Bytes> {
        let wrong = match (self.messages.receive().await?, self.encoding) {
            (Message::Binary(frame), Encoding::Protobuf) => return Some(frame),
            (Message::Text(frame), Encoding::Json) => return Some(frame.into()),
            (_, Encoding::Protobuf) => "hudhud.v1.proto takes binary messages, this was text",
            (_, Encoding::Json) => "hudhud.v1.json takes text messages, this was binary",
        };
        self.messages.close(close_code::UNSUPPORTED, wrong).await;
        None
    }

    async fn send(&mut self, frames: Vec<Bytes>) -> Result<(), Closed> {
        let messages = frames.into_iter().map(|frame| self.message(frame)).collect::<Result<Vec<_>, _>>()?;
        self.messages.send(messages).await
    }

    fn authenticated(&mut self, account: AccountId) {
        self.messages.authenticated(account);
    }

    async fn close(&mut self, code: u16, reason: &str) {
        self.messages.close(code, reason).await;
    }
}
