//! What Hudhud's clients and servers say to each other, and what a server keeps.
//!
//! [`v1`] holds the messages, generated from `proto/hudhud/v1/*.proto`; the rest of this crate is what a
//! schema cannot say: id types, limits, the two encodings of a frame, and what each error code means over HTTP.
//! No I/O and nothing async in here.

pub mod command;
mod frame;
mod ids;
pub mod limits;
mod objects;
mod position;
mod status;

#[allow(missing_docs, clippy::all)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/hudhud.rs"));
}

/// Every message of `hudhud.v1`.
pub use generated::hudhud::v1;

pub use buffa::{DecodeError, EnumValue, Message, MessageField};
pub use frame::{Encoding, FrameError};
pub use ids::{AccountId, ConnectionId, ConversationId, DeviceId, Handle, IdError, MessageId, TokenId};
pub use position::{Position, Seq, Shard};
pub use status::{ProtocolError, http_status};

/// The `google.protobuf.FileDescriptorSet` of every message, from which the OpenAPI document is made.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
