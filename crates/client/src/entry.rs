//! An entry of a conversation's log, as this device holds it.

use bytes::Bytes;
use hudhud_proto::{AccountId, ConversationId, DeviceId, IdError, MessageId, Seq, v1};

/// What a message carries: opaque to the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Content {
    /// A media type (RFC 6838), at most 127 bytes.
    pub content_type: String,
    /// At most 64 KiB.
    pub payload: Bytes,
}

impl Content {
    /// A plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { content_type: "text/plain".into(), payload: text.into().into_bytes().into() }
    }

    /// The text, if it is one. It is untrusted: it may hold control characters.
    pub fn as_text(&self) -> Option<&str> {
        let is_text = self.content_type == "text/plain" || self.content_type.starts_with("text/plain;");
        is_text.then(|| std::str::from_utf8(&self.payload).ok()).flatten()
    }

    pub(crate) fn to_wire(&self) -> v1::Content {
        v1::Content { content_type: self.content_type.clone(), payload: self.payload.clone(), ..v1::Content::default() }
    }
}

/// What an entry says.
#[derive(Clone, PartialEq, Debug)]
pub enum Body {
    /// A message.
    Content(Content),
    /// A change of the conversation.
    Event(v1::event::What),
    /// Something that this version does not know.
    Unknown,
}

/// One entry.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// The log.
    pub conversation: ConversationId,
    /// Its place in the log, from 1.
    pub seq: Seq,
    /// The place of the entry before; 0 for the first.
    pub prev: Seq,
    /// The sender's own id for it.
    pub message: MessageId,
    /// Who.
    pub sender: AccountId,
    /// On which device.
    pub sender_device: DeviceId,
    /// When the server accepted it, microseconds since the Unix epoch.
    pub time_us: u64,
    /// What.
    pub body: Body,
}

impl Entry {
    /// The entry in a frame.
    pub fn from_wire(wire: v1::Entry) -> Result<Self, IdError> {
        let body = match wire.body {
            Some(v1::entry::Body::Content(content)) => {
                Body::Content(Content { content_type: content.content_type, payload: content.payload })
            }
            Some(v1::entry::Body::Event(v1::Event { what: Some(what), .. })) => Body::Event(what),
            _ => Body::Unknown,
        };
        Ok(Self {
            conversation: ConversationId::from_slice(&wire.conversation)?,
            seq: Seq(wire.seq),
            prev: Seq(wire.prev_seq),
            message: MessageId::from_slice(&wire.message_id)?,
            sender: AccountId::from_slice(&wire.sender)?,
            sender_device: DeviceId::from_slice(&wire.sender_device)?,
            time_us: wire.time_us,
            body,
        })
    }

    /// The entry as a frame carries it.
    pub fn to_wire(&self) -> v1::Entry {
        let body = match &self.body {
            Body::Content(content) => Some(v1::entry::Body::Content(content.to_wire())),
            Body::Event(what) => Some(v1::entry::Body::Event(v1::Event { what: Some(what.clone()) })),
            Body::Unknown => None,
        };
        v1::Entry {
            conversation: self.conversation.to_bytes(),
            seq: self.seq.0,
            prev_seq: self.prev.0,
            message_id: self.message.to_bytes(),
            sender: self.sender.to_bytes(),
            sender_device: self.sender_device.to_bytes(),
            time_us: self.time_us,
            body,
        }
    }

    /// Whether it is a message rather than a change of the conversation.
    pub fn is_message(&self) -> bool {
        matches!(self.body, Body::Content(_))
    }
}
