//! Whole connections: frames one after another, in the order that somebody chose who knows no order.
//!
//! The first byte says what comes: `j` JSON frames, each on a line; `p` protobuf frames, each after its length in two bytes.
//! A capital letter leaves out the hello, which comes before them otherwise.

use crate::world::{self, World};
use async_trait::async_trait;
use bytes::Bytes;
use hudhud_proto::Encoding;
use hudhud_proto::v1::{self, ClientFrame, ErrorCode, client_frame::Command, server_frame::Event};
use hudhud_roles::gateway::{Closed, Transport};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The number of the request that says hello.
const HELLO: u64 = u64::MAX;
/// Turns of the scheduler after which everything that was asked is answered: nothing here waits for anything outside.
const TURNS: usize = 300;

/// Plays the other end of a connection.
pub fn run(input: &[u8]) {
    let Some((selector, rest)) = input.split_first() else { return };
    let encoding = if matches!(selector, b'j' | b'J') { Encoding::Json } else { Encoding::Protobuf };
    let mut frames = match encoding {
        Encoding::Json => rest.split(|byte| *byte == b'\n').map(Bytes::copy_from_slice).collect(),
        Encoding::Protobuf => prefixed(rest),
    };
    let sent = Arc::new(Mutex::new(Vec::new()));
    world::run(async {
        let World { gateway, token, .. } = World::new().await;
        if selector.is_ascii_lowercase() {
            let hello = v1::Hello { token, ..Default::default() };
            frames.push_front(
                encoding.encode_client(&ClientFrame { request: HELLO, command: Some(Command::Hello(hello)) }),
            );
        }
        let asked = frames.len();
        gateway
            .serve(Box::new(Script { frames, turns_left: TURNS, sent: sent.clone() }), encoding, world::ADDRESS)
            .await;
        check(encoding, asked, &sent.lock());
    });
}

/// What came back are frames; nothing is answered that was not asked, and nothing by `INTERNAL`.
fn check(encoding: Encoding, asked: usize, sent: &[Bytes]) {
    let mut answers = 0;
    for bytes in sent {
        let frame = encoding.decode_server(bytes).expect("a server sends frames");
        match frame.event.expect("a frame holds something") {
            Event::Error(error) => {
                assert_ne!(error.code.as_known(), Some(ErrorCode::Internal), "{error:?}");
                answers += 1;
            }
            _ if frame.request != 0 => answers += 1,
            _ => {}
        }
    }
    assert!(answers <= asked, "{answers} answers to {asked} frames");
}

fn prefixed(mut bytes: &[u8]) -> VecDeque<Bytes> {
    let mut frames = VecDeque::new();
    while let Some((length, rest)) = bytes.split_at_checked(2) {
        let length = usize::from(u16::from_be_bytes([length[0], length[1]])).min(rest.len());
        let (frame, behind) = rest.split_at(length);
        frames.push_back(Bytes::copy_from_slice(frame));
        bytes = behind;
    }
    frames
}

struct Script {
    frames: VecDeque<Bytes>,
    turns_left: usize,
    sent: Arc<Mutex<Vec<Bytes>>>,
}

#[async_trait]
impl Transport for Script {
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.frames.is_empty() && self.turns_left > 0 {
            self.turns_left -= 1;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.frames.pop_front())
    }

    async fn send(&mut self, frames: Vec<Bytes>) -> Result<(), Closed> {
        self.sent.lock().extend(frames);
        Ok(())
    }

    async fn close(&mut self, _: u16, reason: &str) {
        assert!(reason.len() <= 123, "a reason that no close frame can hold");
    }
}
