//! The two encodings of a frame: protobuf for programs, JSON for people, bots and load tools.

use crate::limits::FRAME_BYTES_MAX;
use crate::v1::{ClientFrame, Content, Entry, ServerFrame, client_frame::Command, entry, server_frame::Event};
use crate::{ProtocolError, objects};
use buffa::{DecodeOptions, Message};
use bytes::Bytes;

/// How the frames of a connection are written. The WebSocket subprotocol chooses it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Encoding {
    /// Protobuf in binary messages.
    Protobuf,
    /// Protobuf's canonical JSON in text messages, except that text payloads are readable (see [`Content::text`]).
    Json,
}

/// Bytes that are not a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`FRAME_BYTES_MAX`].
    #[error("a frame has at most {FRAME_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// Not protobuf of this schema.
    #[error("not a protobuf frame: {0}")]
    Protobuf(#[from] buffa::DecodeError),
    /// Not JSON of this schema.
    #[error("not a JSON frame: {0}")]
    Json(#[from] serde_json::Error),
}

impl From<FrameError> for ProtocolError {
    fn from(error: FrameError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl Encoding {
    /// Every encoding, the preferred one first.
    pub const ALL: [Self; 2] = [Self::Protobuf, Self::Json];

    /// The WebSocket subprotocol (RFC 6455 §1.9) that stands for it.
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Protobuf => "hudhud.v1.proto",
            Self::Json => "hudhud.v1.json",
        }
    }

    /// Reads what a client wrote.
    pub fn decode_client(self, bytes: &[u8]) -> Result<ClientFrame, FrameError> {
        let mut frame: ClientFrame = self.decode(bytes)?;
        text_to_payload(&mut frame);
        Ok(frame)
    }

    /// Reads what a server wrote. A server may write longer frames than a client (pages), so the limit is the caller's.
    pub fn decode_server(self, bytes: &[u8]) -> Result<ServerFrame, FrameError> {
        let mut frame: ServerFrame = match self {
            Self::Protobuf => DecodeOptions::new().with_recursion_limit(16).decode_from_slice(bytes)?,
            Self::Json => serde_json::from_slice(bytes)?,
        };
        for content in contents(&mut frame) {
            content_text_to_payload(content);
        }
        Ok(frame)
    }

    /// Writes a client's frame.
    pub fn encode_client(self, frame: &ClientFrame) -> Bytes {
        match self {
            Self::Protobuf => frame.encode_to_bytes(),
            Self::Json => {
                let mut frame = frame.clone();
                client_contents(&mut frame).into_iter().for_each(content_payload_to_text);
                json(&frame)
            }
        }
    }

    /// Writes a server's frame.
    pub fn encode_server(self, frame: &ServerFrame) -> Bytes {
        match self {
            Self::Protobuf => frame.encode_to_bytes(),
            Self::Json => {
                let mut frame = frame.clone();
                payload_to_text(&mut frame);
                json(&frame)
            }
        }
    }

    fn decode<M: Message + serde::de::DeserializeOwned>(self, bytes: &[u8]) -> Result<M, FrameError> {
        if bytes.len() > FRAME_BYTES_MAX {
            return Err(FrameError::TooLong(bytes.len()));
        }
        Ok(match self {
            Self::Protobuf => DecodeOptions::new().with_recursion_limit(16).decode_from_slice(bytes)?,
            Self::Json => objects::from_slice(bytes)?,
        })
    }
}

fn json(frame: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(frame).expect("messages have string keys and finite numbers").into()
}

/// Text that came as text becomes payload: past this point there is one form.
pub(crate) fn text_to_payload(frame: &mut ClientFrame) {
    client_contents(frame).into_iter().for_each(content_text_to_payload);
}

/// The payloads that a client's frame carries.
fn client_contents(frame: &mut ClientFrame) -> Vec<&mut Content> {
    match &mut frame.command {
        Some(Command::Send(send)) => send.content.as_option_mut().into_iter().collect(),
        Some(Command::Report(report)) => report.contents.iter_mut().collect(),
        _ => Vec::new(),
    }
}

/// Text payloads become text, for an encoding that people read.
pub(crate) fn payload_to_text(frame: &mut ServerFrame) {
    for content in contents(frame) {
        content_payload_to_text(content);
    }
}

fn content_text_to_payload(content: &mut Content) {
    if content.payload.is_empty() && !content.text.is_empty() {
        content.payload = std::mem::take(&mut content.text).into_bytes().into();
        if content.content_type.is_empty() {
            content.content_type = "text/plain".into();
        }
    }
    content.text.clear();
}

fn content_payload_to_text(content: &mut Content) {
    let is_text = content.content_type == "text/plain" || content.content_type.starts_with("text/plain;");
    if let (true, Ok(text)) = (is_text, std::str::from_utf8(&content.payload)) {
        content.text = text.to_owned();
        content.payload.clear();
    }
}

fn contents(frame: &mut ServerFrame) -> impl Iterator<Item = &mut Content> {
    let entries: &mut [Entry] = match &mut frame.event {
        Some(Event::Entry(entry)) => std::slice::from_mut(entry),
        Some(Event::EntryPage(page)) => &mut page.entries,
        _ => &mut [],
    };
    entries.iter_mut().filter_map(|entry| match &mut entry.body {
        Some(entry::Body::Content(content)) => Some(content),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::Send;

    fn send(content: Content) -> ClientFrame {
        let send = Send { conversation: vec![1; 16].into(), content: content.into(), ..Default::default() };
        ClientFrame { request: 7, command: Some(Command::Send(send)) }
    }

    fn text(payload: &str) -> Content {
        Content { content_type: "text/plain".into(), payload: payload.to_owned().into(), ..Default::default() }
    }

    #[test]
    fn both_encodings_carry_the_same_frame() {
        let frame = send(text("hello"));
        for encoding in Encoding::ALL {
            let bytes = encoding.encode_client(&frame);
            assert_eq!(encoding.decode_client(&bytes).expect("what was written is read"), frame);
        }
    }

    #[test]
    fn people_read_and_write_text_in_json() {
        let frame = r#"{"request":"7","send":{"conversation":"AQEBAQEBAQEBAQEBAQEBAQ==","content":{"text":"hello"}}}"#;
        let decoded = Encoding::Json.decode_client(frame.as_bytes()).expect("valid");
        assert_eq!(decoded, send(text("hello")));
        let written = Encoding::Json.encode_client(&decoded);
        assert!(std::str::from_utf8(&written).expect("JSON is text").contains(r#""text":"hello""#));
    }

    #[test]
    fn payload_that_is_not_text_stays_bytes() {
        let frame = send(Content { payload: vec![0xff, 0].into(), ..text("") });
        let bytes = Encoding::Json.encode_client(&frame);
        assert_eq!(Encoding::Json.decode_client(&bytes).expect("valid"), frame);
    }

    #[test]
    fn a_frame_over_the_limit_is_refused() {
        let bytes = vec![0; FRAME_BYTES_MAX + 1];
        assert!(matches!(Encoding::Protobuf.decode_client(&bytes), Err(FrameError::TooLong(_))));
    }
}
