//! What a gateway needs of a socket. The server has one on WebSockets, the simulator one on its network.

use async_trait::async_trait;
use bytes::Bytes;
use hudhud_proto::AccountId;
use std::task::{Context, Poll};

/// The other end is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the connection is closed")]
pub struct Closed;

/// One open connection that carries whole frames, in order, both ways.
#[async_trait]
pub trait Transport: Send {
    /// The next frame, once it is there; `None` once the other end closed, the connection broke, or something came that must
    /// not, such as a frame longer than [`hudhud_proto::limits::FRAME_BYTES_MAX`]: then [`Self::refuse`] says so.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>>;

    /// Behind a `None`: tells the other end what it must not have sent, if that was it, and closes.
    async fn refuse(&mut self) {}

    /// Writes frames in order, with one flush for all, and returns once the operating system has them. Waits where the
    /// other end does not read. A cancelled call may have written part: only [`Self::close`] may follow.
    async fn send(&mut self, frames: Vec<Bytes>) -> Result<(), Closed>;

    /// The other end has proved who it is. Until then whoever owns the socket may give its place to another.
    fn authenticated(&mut self, _account: AccountId) {}

    /// Closes with a code of RFC 6455 §7.4 and a reason of at most 123 bytes.
    async fn close(&mut self, code: u16, reason: &str);
}
