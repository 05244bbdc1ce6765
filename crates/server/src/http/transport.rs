//! A WebSocket as the gateway sees one: whole frames, both ways.

use super::STRANGER_BYTES_MAX;
use crate::crowd::{Ending, Place};
use crate::listen::Busy;
use async_trait::async_trait;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, poll};
use hudhud_proto::{AccountId, Encoding};
use hudhud_roles::gateway::{Closed, Transport};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
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
    /// The close that answers what came and must not: a code and a reason.
    refusal: Option<Box<(u16, String)>>,
}

impl Messages {
    /// Of a connection that was just upgraded, in a place of its own; where it is one of several streams, with the connection
    /// around it.
    pub(super) fn new(socket: WebSocket, place: Arc<Place>, around: Option<Busy>) -> Self {
        Self { socket, place, around, refusal: None }
    }

    /// Waits for the next message, text or binary; `None` once the other end closed, broke off, or sent what it must not, and
    /// once its place is given away. Cancel-safe.
    pub async fn receive(&mut self) -> Option<Message> {
        let message = poll_fn(|context| self.poll_receive(context)).await;
        if message.is_none() {
            self.refuse().await;
        }
        message
    }

    /// As [`Self::receive`], but for [`Self::refuse`], which is to follow a `None`.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<Message>> {
        // Before the socket is read: whatever comes meanwhile is within the bound, or wakes this task again.
        let ending = self.place.poll_ending(context);
        if ending == Poll::Ready(Ending::GivenAway) {
            return Poll::Ready(None);
        }
        loop {
            let message = match self.socket.poll_next_unpin(context) {
                Poll::Ready(Some(message)) => message,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending if self.place.poll_ending(context) == Poll::Ready(Ending::Overspent) => {
                    let reason = format!("more than {STRANGER_BYTES_MAX} bytes before a hello with a valid token");
                    self.refusal = Some(Box::new((close_code::POLICY, reason)));
                    return Poll::Ready(None);
                }
                Poll::Pending => return Poll::Pending,
            };
            return Poll::Ready(match message {
                // Pings are answered by the library. They count for nothing: a frame of the protocol shows that a client
                // lives. A close is answered too (RFC 6455 §5.5.1): the next read writes that answer before it ends.
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_)) => continue,
                Ok(message) => Some(message),
                Err(error) => {
                    self.refusal = refusal(error).map(Box::new);
                    None
                }
            });
        }
    }

    /// Answers what came and must not with the close that says so.
    async fn refuse(&mut self) {
        if let Some((code, reason)) = self.refusal.take().map(|refusal| *refusal) {
            self.close(code, &reason).await;
        }
    }

    /// Writes messages in order, with one flush for all.
    pub async fn send(&mut self, messages: impl IntoIterator<Item = Message> + Send) -> Result<(), Closed> {
        // Collected, as an iterator that is held over an await would have to be shareable.
        self.send_all(messages.into_iter().collect()).await
    }

    async fn send_all(&mut self, messages: Vec<Message>) -> Result<(), Closed> {
        if self.place.is_given_away() {
            return Err(Closed);
        }
        let place = self.place.clone();
        let write = async {
            for message in messages {
                self.socket.feed(message).await.map_err(|_| Closed)?;
            }
            self.socket.flush().await.map_err(|_| Closed)
        };
        let mut write = pin!(write);
        // Nearly always the socket takes all at once.
        if let Poll::Ready(written) = poll!(&mut write) {
            return written;
        }
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
}

/// The close that answers what a client must not send; none where the connection broke.
fn refusal(error: axum::Error) -> Option<(u16, String)> {
    let error = error.into_inner();
    match error.downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Capacity(tungstenite::error::CapacityError::MessageTooLong { max_size, .. })) => {
            Some((close_code::SIZE, format!("a frame has at most {max_size} bytes")))
        }
        Some(tungstenite::Error::Utf8(_)) => Some((close_code::INVALID, "a text message is UTF-8".to_owned())),
        Some(tungstenite::Error::Protocol(error)) => Some((close_code::PROTOCOL, error.to_string())),
        _ => None,
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
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let wrong = match (ready!(self.messages.poll_receive(context)), self.encoding) {
            (None, _) => return Poll::Ready(None),
            (Some(Message::Binary(frame)), Encoding::Protobuf) => return Poll::Ready(Some(frame)),
            (Some(Message::Text(frame)), Encoding::Json) => return Poll::Ready(Some(frame.into())),
            (Some(_), Encoding::Protobuf) => "hudhud.v1.proto takes binary messages, this was text",
            (Some(_), Encoding::Json) => "hudhud.v1.json takes text messages, this was binary",
        };
        self.messages.refusal = Some(Box::new((close_code::UNSUPPORTED, wrong.to_owned())));
        Poll::Ready(None)
    }

    async fn refuse(&mut self) {
        self.messages.refuse().await;
    }

    async fn send(&mut self, frames: Vec<Bytes>) -> Result<(), Closed> {
        let messages = frames.into_iter().map(|frame| self.message(frame)).collect::<Result<Vec<_>, _>>()?;
        self.messages.send_all(messages).await
    }

    fn authenticated(&mut self, account: AccountId) {
        self.messages.authenticated(account);
    }

    async fn close(&mut self, code: u16, reason: &str) {
        self.messages.close(code, reason).await;
    }
}
